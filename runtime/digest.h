// A digest of many words, fast enough for all that is written: four words for a multiplication, while they are copied or not.
#pragma once
#include "abi/channel.h"
#include "abi/words.h"
#include <stdbool.h>

#define DIGEST_GROUP 64u // bytes that are mixed at once

#define DIGEST_LANES 2u

struct digest {
	uint64_t lane[DIGEST_LANES];
};

#define DIGEST_SEED 0x706c616e61726961ull

static inline void digest_begin(struct digest *d)
{
	for (unsigned i = 0; i < DIGEST_LANES; i++)
		d->lane[i] = DIGEST_SEED + i;
}

// Of all that was mixed; never 0.
static inline uint64_t digest_end(const struct digest *d)
{
	uint64_t sum = channel_mix(d->lane[0], d->lane[1]);
	return sum ? sum : 1;
}

// Mixes whole groups that are aligned to words.
void digest_read(struct digest *d, const void *from, size_t bytes);
// The same, and copies them to another aligned place. Reads each word once: somebody else may be writing it.
void digest_copy(struct digest *d, void *to, const void *from, size_t bytes);
// Whether the code of one of these (the one that copies, or the other) still finds a sum that is known. Who records a sum looks first: a wrong one
// would call an honest client a forger.
bool digest_holds(bool copies);
