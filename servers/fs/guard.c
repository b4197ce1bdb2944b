// Guard: what a volume knows of itself and must not change while it is mounted is summed up when it is opened and looked at before each
// commit, and so are the tables and the code of CRC-32C.
//
// Owns: volume->guard. Must never repair: the server dies (an invariant), its successor has memory as the boot image has it, reads
// the disk again and performs again what was not committed, so nothing is lost. Right because it comes when the checksums of
// the commit are made and its record is not valid yet (what changes meanwhile is found too): without it, a bit that is flipped in a table, in the seed or in that code seals damage into everything that is
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

// Rows of which pieces of 64 bytes are alike before, between and behind those that are not, and words in these too; the first has enough zeros for each jump.
static bool rows_hold(void)
{
	static const word_t rows[2][64] = {
		{1, [8] = 0x0123456789abcdef, [11] = 0x9e3779b97f4a7c15, [48] = 0xbf58476d1ce4e5b9, 0x94d049bb133111eb, [58] = 7},
		{1, [9] = 0xd6e8feb86659fd93, [11] = 0x9e3779b97f4a7c15, [14] = 0xfedcba9876543210, [54] = 0x0f1e2d3c4b5a6978, [58] = 7},
	};
	uint32_t sums[2] = {0, 0x12345678};
	checksum_rows(rows, 2, sizeof(rows[0]), 1u << 1, sums);
	if (sums[1] != 0x12345678)
		return false;
	checksum_rows(rows, 2, sizeof(rows[0]), 0, sums);
	return sums[1] == 0x74b7eb6b;
}

static bool joins_hold(void)
{
	static const uint32_t parts[] = {0x12345678, 0x9abcdef0}, halves[] = {0x5678, 0xdef0};
	return checksum_join(parts, 2, 416) == 0xb1e89252 && checksum_join(parts, 2, 256) == 0xb2e0abd8 &&
	       checksum_join_two(halves, parts, 2, 256) == 0xc45abb52 && checksum_join_two(halves, parts, 2, 128) == 0x1c8d94d2 &&
	       checksum_zeros(0x12345678, 491) == 0xdc348be && checksum_zeros(0x12345678, 256) == 0x285c7528;
}

// The sums of things that take every path through crc32c.c, whose code may have been changed as well. It is asked from here, for in its own
// file the compiler would put copies of some of it into the question.
static bool checksum_code_holds(void)
{
	static const word_t known[] = {
		0x0123456789abcdef, 0, 0, 0, 0, ~0ull, ~0ull, ~0ull, ~0ull, ~0ull, ~0ull, ~0ull, ~0ull,
		0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9, 0x94d049bb133111eb, 0xd6e8feb86659fd93,
		0xfedcba9876543210, 0x0f1e2d3c4b5a6978,
	};
	return checksum_word(0x12345678, known[0]) == 0xa3d207be &&
	       checksum_crc32c(0x12345678, (const uint8_t *)known + 3, 144) == 0x8006e1fd && joins_hold() && rows_hold();
}

// A number that is out of range is told first, for the sum would run behind the tables.
bool volume_is_guarded(const struct volume *v)
{
	return v->groups <= VOLUME_GROUPS_MAX && v->run_count <= VOLUME_RUNS_MAX && v->guard == guard_sum(v) &&
	       checksum_tables_hold() && checksum_code_holds();
}
