// CRC-32C, which all metadata goes through in a commit: into its own checksum, and into that of its tag in the journal. So it
// is the largest single part of what a commit of small operations costs.
//
// Owns: the tables. Eight bytes at a time by one table for each, and 32 bytes at once where all their bits are alike: unused
// inodes, ends of blocks and bitmaps, the larger part of what a commit writes. Right because a CRC is linear: so many zero
// bytes on, a sum is a function of its own 32 bits alone (jump_table), plus, for ones, a constant; what a sum began with can be
// put into it later (checksum_zeros); and the sums of two blocks differ by that of their difference (checksum_difference),
// which is of zeros mostly for two inodes that were made in one second. If the server dies, the tables are made anew.
#include "servers/fs/volume.h"
#include <string.h>

#define POLYNOMIAL 0x82f63b78u // Castagnoli, reflected
#define PIECE 32u
#define JUMPS 3u // over PIECE, four of them (half an inode, or a small one), eight (an inode)

typedef uint64_t __attribute__((may_alias)) crc_word_t;

static uint32_t crc_table[8][256] __attribute__((aligned(8))); // [k][n]: byte n followed by k zero bytes
static uint32_t jump_table[JUMPS][4][256] __attribute__((aligned(8))); // [j][k][n]: byte n of a sum in place k, so many zeros later
static uint32_t far_ones; // PIECE bytes of ones after a sum of zero

static inline uint64_t crc_byte(uint64_t crc, uint8_t byte)
{
	return crc >> 8 ^ crc_table[0][(crc ^ byte) & 0xff];
}

// `scaled`: the byte that chooses, times the size of an entry, among other bits.
static inline uint64_t look(const uint32_t table[256], uint64_t scaled)
{
	return *(const uint32_t *)(const void *)((const uint8_t *)table + (scaled & 0x3fc));
}

static inline uint64_t crc_eight(uint64_t crc, uint64_t word)
{
	uint64_t x = crc ^ word;
	return look(crc_table[7], x << 2) ^ look(crc_table[6], x >> 6) ^ look(crc_table[5], x >> 14) ^
	       look(crc_table[4], x >> 22) ^ look(crc_table[3], x >> 30) ^ look(crc_table[2], x >> 38) ^
	       look(crc_table[1], x >> 46) ^ look(crc_table[0], x >> 54);
}

static inline uint64_t crc_jump(const uint32_t table[4][256], uint64_t crc)
{
	return look(table[0], crc << 2) ^ look(table[1], crc >> 6) ^ look(table[2], crc >> 14) ^ look(table[3], crc >> 22);
}

static uint32_t piece_of(uint64_t crc, uint64_t word)
{
	for (unsigned i = 0; i < PIECE; i += 8)
		crc = crc_eight(crc, word);
	return (uint32_t)crc;
}

// Each entry from the powers of two among them, which are there first.
static void jump_make(uint32_t table[4][256], uint32_t (*jump)(uint32_t))
{
	for (unsigned k = 0; k < 4; k++) {
		for (uint32_t n = 1; n < 256; n++) {
			uint32_t rest = n & (n - 1);
			table[k][n] = rest ? table[k][rest] ^ table[k][n ^ rest] : jump(n << 8 * k);
		}
	}
}

static uint32_t jump_piece(uint32_t crc)
{
	return piece_of(crc, 0);
}

static uint32_t jump_four(uint32_t crc)
{
	for (unsigned i = 0; i < 4; i++)
		crc = (uint32_t)crc_jump(jump_table[0], crc);
	return crc;
}

static uint32_t jump_eight(uint32_t crc)
{
	return (uint32_t)crc_jump(jump_table[1], crc_jump(jump_table[1], crc));
}

static __attribute__((noinline)) void tables_make(void)
{
	for (uint32_t n = 0; n < 256; n++) {
		uint32_t crc = n;
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
		crc_table[0][n] = crc;
	}
	for (unsigned k = 1; k < 8; k++) {
		for (uint32_t n = 0; n < 256; n++)
			crc_table[k][n] = crc_table[k - 1][n] >> 8 ^ crc_table[0][crc_table[k - 1][n] & 0xff];
	}
	jump_make(jump_table[0], jump_piece);
	jump_make(jump_table[1], jump_four);
	jump_make(jump_table[2], jump_eight);
	far_ones = piece_of(0, ~0ull);
}

static inline void tables_need(void)
{
	if (__builtin_expect(!crc_table[0][1], 0))
		tables_make();
}

static uint64_t crc_zeros(uint64_t crc, size_t length)
{
	for (; length >= 8 * PIECE; length -= 8 * PIECE)
		crc = crc_jump(jump_table[2], crc);
	if (length >= 4 * PIECE) {
		crc = crc_jump(jump_table[1], crc);
		length -= 4 * PIECE;
	}
	for (; length >= PIECE; length -= PIECE)
		crc = crc_jump(jump_table[0], crc);
	for (; length >= 8; length -= 8)
		crc = crc_eight(crc, 0);
	while (length--)
		crc = crc_byte(crc, 0);
	return crc;
}

// Out of line: the short sums, of which there are more, need not save what this works with.
static __attribute__((noinline)) uint64_t crc_pieces(uint64_t crc, const crc_word_t *w, size_t pieces)
{
	size_t zeros = 0;
	for (; pieces; pieces--, w += PIECE / 8) {
		uint64_t a = w[0], b = w[1], c = w[2], d = w[3];
		if (!(a | b | c | d)) {
			zeros += PIECE;
			continue;
		}
		if (zeros)
			crc = crc_zeros(crc, zeros);
		zeros = 0;
		if (!~(a & b & c & d))
			crc = crc_jump(jump_table[0], crc) ^ far_ones;
		else
			crc = crc_eight(crc_eight(crc_eight(crc_eight(crc, a), b), c), d);
	}
	return crc_zeros(crc, zeros);
}

// No inversion at either end: that is how the format uses it.
uint32_t checksum_crc32c(uint32_t sum, const void *bytes, size_t length)
{
	const uint8_t *p = bytes;
	uint64_t crc = sum;
	tables_need();
	for (; length && (uintptr_t)p % 8; length--)
		crc = crc_byte(crc, *p++);
	if (length >= PIECE) {
		crc = crc_pieces(crc, (const crc_word_t *)(const void *)p, length / PIECE);
		p += length / PIECE * PIECE;
		length %= PIECE;
	}
	for (; length >= 8; length -= 8, p += 8)
		crc = crc_eight(crc, *(const crc_word_t *)(const void *)p);
	while (length--)
		crc = crc_byte(crc, *p++);
	return (uint32_t)crc;
}

// The sum of as many zero bytes, if it was `sum` before them: also what a beginning with `sum` instead of 0 changes in a sum.
uint32_t checksum_zeros(uint32_t sum, size_t length)
{
	tables_need();
	return (uint32_t)crc_zeros(sum, length);
}

// Of that many parts of one size, whose sums from zero on these are.
uint32_t checksum_join(const uint32_t *sums, unsigned count, size_t size)
{
	uint64_t crc = 0;
	tables_need();
	for (unsigned i = 0; i < count; i++)
		crc = (size == 8 * PIECE ? crc_jump(jump_table[2], crc) : crc_zeros(crc, size)) ^ sums[i];
	return (uint32_t)crc;
}

// From zero on, of the bytes in which the two differ: what their sums differ by. Both aligned to words; whole pieces.
uint32_t checksum_difference(const void *one, const void *other, size_t length)
{
	const crc_word_t *p = one, *q = other;
	size_t alike = 0;
	uint64_t crc = 0;
	tables_need();
	for (; length; length -= PIECE, p += PIECE / 8, q += PIECE / 8) {
		uint64_t a = p[0] ^ q[0], b = p[1] ^ q[1], c = p[2] ^ q[2], d = p[3] ^ q[3];
		if (!(a | b | c | d)) {
			alike += PIECE;
			continue;
		}
		if (crc)
			crc = crc_zeros(crc, alike);
		crc = crc_eight(crc_eight(crc_eight(crc_eight(crc, a), b), c), d);
		alike = 0;
	}
	return crc ? (uint32_t)crc_zeros(crc, alike) : 0;
}

static uint64_t table_sum(const uint32_t *table, unsigned entries)
{
	const crc_word_t *pairs = (const crc_word_t *)(const void *)table;
	uint64_t sum = 0;
#pragma GCC unroll 8
	for (unsigned i = 0; i < entries / 2; i++)
		sum ^= pairs[i];
	return sum;
}

// The sum of something that takes every path through the code above, which may have been changed as well.
static bool code_holds(void)
{
	static const crc_word_t known[] = {
		0x0123456789abcdef, 0, 0, 0, 0, ~0ull, ~0ull, ~0ull, ~0ull,
		0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9, 0x94d049bb133111eb, 0xd6e8feb86659fd93,
		0xfedcba9876543210, 0x0f1e2d3c4b5a6978,
	};
	static const uint32_t parts[] = {0x12345678, 0x9abcdef0};
	return checksum_join(parts, 2, 13 * PIECE) == 0xb1e89252 &&
	       checksum_crc32c(0x12345678, (const uint8_t *)known + 3, 5 + 3 * PIECE + 8 + 3) == 0x37ef59be &&
	       checksum_zeros(0x12345678, 15 * PIECE + 8 + 3) == 0xdc348be && checksum_difference(known, known + 3, 3 * PIECE) == 0xb220992b;
}

// Each table is linear: its entries cancel out, those of even and of odd numbers too, but for the constant by which these
// differ, which half the number of entries cancels out again.
bool checksum_holds(void)
{
	return code_holds() && !table_sum(crc_table[0], 8 * 256) && !table_sum(jump_table[0][0], JUMPS * 4 * 256) &&
	       far_ones == piece_of(0, ~0ull);
}
