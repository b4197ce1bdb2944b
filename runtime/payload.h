// The sum of a request's payload, taken while the payload is copied: the record of a logged operation needs it, and a pass of its
// own would read all that is written once more (server_record makes one for whoever does not copy by payload_copy).
//
// A sum of what was copied, not of what the client's memory holds a moment later. The same for the same bytes, in however many
// pieces they came. It dies with the server, as the operation does that is not recorded yet.
#pragma once
#include "abi/channel.h"
#include "runtime/digest.h"
#include <string.h>

#define PAYLOAD_SUM_NONE ~0u

struct payload_sum {
	struct digest digest;
	uint32_t bytes; // summed so far; PAYLOAD_SUM_NONE: pieces came that cannot be joined
};

static inline void payload_begin(struct payload_sum *s, uint64_t seed)
{
	digest_begin(&s->digest, seed);
	s->bytes = 0;
}

// Less than a group: no more can follow.
static inline void payload_rest(struct payload_sum *s, uint8_t *to, const uint8_t *from, uint32_t bytes)
{
	word_t words[DIGEST_GROUP / WORD_BYTES] = {0};
	memcpy(words, from, bytes); // once: see digest_copy
	for (unsigned i = 0; i < (bytes + 7) / WORD_BYTES; i++)
		s->digest.lane[0] = channel_mix(s->digest.lane[0], words[i]);
	if (to)
		memcpy(to, words, bytes);
}

// The next piece of the payload. `to` 0: it is only summed; `s` 0: only copied.
static inline void payload_copy(struct payload_sum *s, uint8_t *to, const uint8_t *from, uint32_t bytes)
{
	uint32_t rest = bytes % DIGEST_GROUP;
	if (!s || s->bytes % DIGEST_GROUP || ((uintptr_t)to | (uintptr_t)from) % WORD_BYTES) {
		if (to)
			memcpy(to, from, bytes);
		if (s)
			s->bytes = PAYLOAD_SUM_NONE;
		return;
	}
	if (to)
		digest_copy(&s->digest, to, from, bytes - rest);
	else
		digest_read(&s->digest, from, bytes - rest);
	if (rest)
		payload_rest(s, to ? to + bytes - rest : 0, from + bytes - rest, rest);
	s->bytes += bytes;
}

static inline uint64_t payload_mix(const struct payload_sum *s, uint64_t h)
{
	for (unsigned i = 0; i < DIGEST_LANES; i++)
		h = channel_mix(h, s->digest.lane[i]);
	return h;
}
