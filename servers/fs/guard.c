// Guard: what a volume knows of itself and must not change while it is mounted is summed up when it is opened and looked at before each
// commit, and so are the tables and the code of CRC-32C.
//
// Owns: volume->guard. Must never repair: the server dies (an invariant), its successor has memory as the boot image has it, reads
// the disk again and performs again what was not committed, so nothing is lost. Right because it comes before the checksums of
// the commit are made: without it, a bit that is flipped in a table, in the seed or in that code seals damage into everything that is
// written, and no later check can tell (campaigns of faults found that in each volley into the data of fs).
#include "abi/channel.h"
#include "abi/words.h"
#include "servers/fs/volume.h"
#include <stddef.h>
#include <string.h>

_Static_assert(sizeof(struct group_place) % WORD_BYTES == 0, "each group's place is aligned to words");

// Aligned to words, as all that is guarded is.
static uint64_t guard_range(uint64_t sum, const void *from, size_t bytes)
{
	const word_t *words = from;
	uint64_t rest = 0;
	for (; bytes >= sizeof(*words); words++, bytes -= sizeof(*words))
		sum = channel_mix(sum, *words);
	if (!bytes)
		return sum;
	memcpy(&rest, words, bytes);
	return channel_mix(sum, rest);
}

static uint64_t guard_sum(const struct volume *v)
{
	size_t from = offsetof(struct volume, super_buffer), to = offsetof(struct volume, read_only);
	uint64_t sum = guard_range(v->run_count, (const uint8_t *)v + from, to - from);
	for (uint32_t g = 0; g < v->groups; g++) // not what is found out later: that a bitmap is damaged
		sum = guard_range(sum, &v->places[g], offsetof(struct group_place, bad_blocks));
	return guard_range(sum, v->runs, v->run_count * sizeof(v->runs[0]));
}

void volume_guard(struct volume *v)
{
	v->guard = guard_sum(v);
}

// A number that is out of range is told first, for the sum would run behind the tables.
bool volume_is_guarded(const struct volume *v)
{
	return v->groups <= VOLUME_GROUPS_MAX && v->run_count <= VOLUME_RUNS_MAX && v->guard == guard_sum(v) &&
	       checksum_holds();
}
