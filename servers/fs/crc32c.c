// CRC-32C, which all metadata goes through in a commit: into its own checksum, and into that of its tag in the journal. So it
// is the largest single part of what a commit of small operations costs.
//
// Owns: the tables. Eight bytes at a time by one table for each, and all at once where their bits are alike: unused
// inodes, ends of blocks and bitmaps, the larger part of what a commit writes. Right because a CRC is linear: so many zero
// bytes on, a sum is a function of its own 32 bits alone (jump_table), plus, for ones, a constant; what a sum began with can be
// put into it later (checksum_zeros); and the sums of two rows of a table differ by that of their difference (checksum_rows),
// which is of zeros mostly for two inodes that were made in one second. If the server dies, the tables are made anew.
#include "servers/fs/volume.h"
#include <string.h>

#define POLYNOMIAL 0x82f63b78u // Castagnoli, reflected
#define PIECE 32u
#define JUMPS 3u // over PIECE, four of them (half an inode, or a small one), eight (an inode)

typedef uint64_t __attribute__((may_alias)) crc_word_t;

static uint32_t crc_table[8][256] __attribute__((aligned(8))); // [k][n]: byte n followed by k zero bytes
static uint32_t jump_table[JUMPS][4][256] __attribute__((aligned(8))); // [j][k][n]: byte n of a sum in place k, so many zeros later
static uint32_t far_ones[JUMPS]; // as many bytes of ones as a jump goes, after a sum of zero

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

// Eight zero bytes on.
static inline uint64_t crc_skip(uint64_t crc)
{
	return look(crc_table[7], crc << 2) ^ look(crc_table[6], crc >> 6) ^ look(crc_table[5], crc >> 14) ^ look(crc_table[4], crc >> 22);
}

static uint32_t piece_of(uint64_t crc, uint64_t word)
{
	for (unsigned i = 0; i < PIECE; i += 8)
		crc = crc_eight(crc, word);
	return (uint32_t)crc;
}

// The rest of a table of which the entries of the powers of two are there: each from two before it. A CRC is linear.
static void table_fill(uint32_t table[256])
{
	for (uint32_t power = 2; power < 256; power *= 2)
		for (uint32_t n = 1; n < power; n++)
			table[power + n] = table[power] ^ table[n];
}

static void jump_make(uint32_t table[4][256], uint32_t (*jump)(uint32_t))
{
	for (unsigned byte = 0; byte < 4; byte++) {
		for (unsigned bit = 0; bit < 8; bit++)
			table[byte][1u << bit] = jump(1u << (8 * byte + bit));
		table_fill(table[byte]);
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

// What far_ones is to be, from its first on.
static uint32_t ones_of(unsigned jump)
{
	if (jump == 0)
		return piece_of(0, ~0ull);
	uint32_t half = far_ones[jump - 1];
	for (unsigned i = jump == 1 ? 4 : 2; --i;)
		half = (uint32_t)crc_jump(jump_table[jump - 1], half) ^ far_ones[jump - 1];
	return half;
}

static __attribute__((noinline)) void tables_make(void)
{
	uint32_t crc = 1;
	for (unsigned bit = 0; bit < 8; bit++) // of a one in the last bit of a byte, and from there the bits before it
		crc_table[0][0x80 >> bit] = crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
	table_fill(crc_table[0]);
	for (unsigned k = 1; k < 8; k++) {
		for (uint32_t n = 1; n < 256; n *= 2)
			crc_table[k][n] = crc_table[k - 1][n] >> 8 ^ crc_table[0][crc_table[k - 1][n] & 0xff];
		table_fill(crc_table[k]);
	}
	jump_make(jump_table[0], jump_piece);
	jump_make(jump_table[1], jump_four);
	jump_make(jump_table[2], jump_eight);
	for (unsigned jump = 0; jump < JUMPS; jump++)
		far_ones[jump] = ones_of(jump);
}

static inline void tables_need(void)
{
	if (__builtin_expect(!crc_table[0][1], 0))
		tables_make();
}

// Whole pieces of bits that are alike: `fill` is 0, or all ones.
static inline uint64_t crc_fill(uint64_t crc, size_t length, uint64_t fill)
{
	uint32_t ones = (uint32_t)fill;
	for (; length >= 8 * PIECE; length -= 8 * PIECE)
		crc = crc_jump(jump_table[2], crc) ^ (far_ones[2] & ones);
	if (length >= 4 * PIECE) {
		crc = crc_jump(jump_table[1], crc) ^ (far_ones[1] & ones);
		length -= 4 * PIECE;
	}
	for (; length >= PIECE; length -= PIECE)
		crc = crc_jump(jump_table[0], crc) ^ (far_ones[0] & ones);
	return crc;
}

static uint64_t crc_zeros(uint64_t crc, size_t length)
{
	crc = crc_fill(crc, length, 0);
	for (length %= PIECE; length >= 8; length -= 8)
		crc = crc_skip(crc);
	while (length--)
		crc = crc_byte(crc, 0);
	return crc;
}

static inline uint64_t differences(const crc_word_t *w, uint64_t fill)
{
	return (w[0] ^ fill) | (w[1] ^ fill) | (w[2] ^ fill) | (w[3] ^ fill);
}

static inline size_t pieces_alike(const crc_word_t *w, size_t pieces, uint64_t fill)
{
	size_t n = 0;
	for (; n + 2 <= pieces && !(differences(w, fill) | differences(w + 4, fill)); n += 2)
		w += 2 * PIECE / 8;
	return n < pieces && !differences(w, fill) ? n + 1 : n;
}

// Out of line: the short sums, of which there are more, need not save what this works with.
static __attribute__((noinline)) uint64_t crc_pieces(uint64_t crc, const crc_word_t *w, size_t pieces)
{
	for (size_t n; pieces; pieces -= n, w += n * PIECE / 8) {
		uint64_t fill = w[0];
		n = fill + 1 <= 1 ? pieces_alike(w, pieces, fill) : 0;
		if (n) {
			crc = crc_fill(crc, n * PIECE, fill);
			continue;
		}
		crc = crc_eight(crc_eight(crc_eight(crc_eight(crc, w[0]), w[1]), w[2]), w[3]);
		n = 1;
	}
	return crc;
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

uint32_t checksum_word(uint32_t sum, uint64_t word)
{
	const uint8_t *low = (const uint8_t *)crc_table[2], *high = (const uint8_t *)crc_table[6];
	uint64_t x = sum ^ word;
	tables_need();
	__asm__("" : "+r"(low), "+r"(high)); // two addresses, which reach all eight tables
#define AT(base, shifted, table) (*(const uint32_t *)(const void *)((base) + ((shifted) & 0x3fc) + (table) * 1024))
	return AT(high, x << 2, 1) ^ AT(high, x >> 6, 0) ^ AT(high, x >> 14, -1) ^ AT(high, x >> 22, -2) ^ AT(low, x >> 30, 1) ^
	       AT(low, x >> 38, 0) ^ AT(low, x >> 46, -1) ^ AT(low, x >> 54, -2);
#undef AT
}

// The sum of as many zero bytes, if it was `sum` before them: also what a beginning with `sum` instead of 0 changes in a sum.
uint32_t checksum_zeros(uint32_t sum, size_t length)
{
	tables_need();
	return (uint32_t)(length == 8 * PIECE ? crc_jump(jump_table[2], sum) : crc_zeros(sum, length));
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

// Of as many parts of which nothing counts but a number of 16 bits and one of 32 that lies four bytes on: what checksum_join of either would
// be, those of the first kind four bytes on.
uint32_t checksum_join_two(const uint32_t *low, const uint32_t *high, unsigned count, size_t size)
{
	uint64_t crc = 0;
	tables_need();
	for (unsigned i = 0; i < count; i++) {
		uint64_t x = low[i];
		crc = size == 8 * PIECE ? crc_jump(jump_table[2], crc) : crc_zeros(crc, size);
		crc ^= look(crc_table[3], x << 2) ^ look(crc_table[2], x >> 6) ^ high[i];
	}
	return (uint32_t)crc;
}

// Goes on with the sum of the difference over eight words of two rows, which are not all alike.
static __attribute__((noinline)) uint64_t row_differs(uint64_t crc, const crc_word_t *p, const crc_word_t *q)
{
	for (unsigned i = 0; i < 8; i++) {
		uint64_t x = p[i] ^ q[i];
		if (x)
			crc = crc_eight(crc, x);
		else if (crc)
			crc = crc_skip(crc);
	}
	return crc;
}

static inline uint64_t row_difference(const crc_word_t *p, const crc_word_t *q, size_t words)
{
	size_t alike = 0;
	uint64_t crc = 0;
	for (; words; words -= 8, p += 8, q += 8) {
		uint64_t one = (p[0] ^ q[0]) | (p[1] ^ q[1]) | (p[2] ^ q[2]) | (p[3] ^ q[3]);
		uint64_t two = (p[4] ^ q[4]) | (p[5] ^ q[5]) | (p[6] ^ q[6]) | (p[7] ^ q[7]);
		if (!(one | two)) {
			alike += 64;
			continue;
		}
		crc = row_differs(crc ? crc_zeros(crc, alike) : 0, p, q);
		alike = 0;
	}
	return crc ? crc_zeros(crc, alike) : 0;
}

// From zero on, of each row of a table, aligned to words: from that of the row before, which is much like it. Rows are of so many times
// 64 bytes. `known`: bit: that row's sum is there already.
void checksum_rows(const void *rows, unsigned count, size_t size, uint32_t known, uint32_t *sums)
{
	const crc_word_t *row = rows;
	for (unsigned i = 0; i < count; i++, row += size / 8) {
		if (known >> i & 1)
			continue;
		sums[i] = i ? sums[i - 1] ^ (uint32_t)row_difference(row - size / 8, row, size / 8) : checksum_crc32c(0, row, size);
	}
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

// Each table is linear: its entries cancel out, those of even and of odd numbers too, but for the constant by which these
// differ, which half the number of entries cancels out again.
bool checksum_tables_hold(void)
{
	bool ones = true;
	for (unsigned jump = 0; jump < JUMPS; jump++)
		ones &= far_ones[jump] == ones_of(jump);
	return ones && !table_sum(crc_table[0], 8 * 256) && !table_sum(jump_table[0][0], JUMPS * 4 * 256);
}
