// Copying and filling by whole words: what memcpy, memmove and memset of kernels and domains are made of.
//
// Owns nothing. The C library that we link goes byte by byte, which made the copying of segments nine tenths of a restart.
// No access is misaligned: a source that is shifted against its target is read by aligned words and put together. Such a
// word may hold bytes beside the source, never of another page. The empty asm in each loop keeps the compiler from
// seeing a memcpy in it and calling what is being defined.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t __attribute__((may_alias)) word_t;
#define WORD_BYTES sizeof(word_t)
#define WORDS_KEEP() __asm__ volatile("" ::: "memory")

// Which bit is the lowest of a word that is not 0. For __builtin_ctz gcc calls a function of 43 instructions where there is no Zbb.
static inline unsigned word_lowest_bit(uint64_t word)
{
	static const uint8_t place[64] = { // by the upper six bits of a de Bruijn sequence that is shifted so far
		0, 1, 48, 2, 57, 49, 28, 3, 61, 58, 50, 42, 38, 29, 17, 4,
		62, 55, 59, 36, 53, 51, 43, 22, 45, 39, 33, 30, 24, 18, 12, 5,
		63, 47, 56, 27, 60, 41, 37, 16, 54, 35, 52, 21, 44, 32, 23, 11,
		46, 26, 40, 15, 34, 20, 31, 10, 25, 14, 19, 9, 13, 8, 7, 6,
	};
	return place[(word & -word) * 0x03f79d71b4cb0a89ull >> 58];
}

static inline void bytes_copy(uint8_t *to, const uint8_t *from, size_t bytes)
{
	for (; bytes; bytes--) {
		*to++ = *from++;
		WORDS_KEEP();
	}
}

// Both aligned.
static inline void words_copy_aligned(word_t *to, const word_t *from, size_t words)
{
	for (; words >= 8; words -= 8, to += 8, from += 8) {
		word_t a = from[0], b = from[1], c = from[2], d = from[3], e = from[4], f = from[5], g = from[6], h = from[7];
		to[0] = a, to[1] = b, to[2] = c, to[3] = d, to[4] = e, to[5] = f, to[6] = g, to[7] = h;
		WORDS_KEEP();
	}
	for (; words; words--) {
		*to++ = *from++;
		WORDS_KEEP();
	}
}

// A few aligned words, as many as the compiler knows: no call. gcc emits one for memcpy where it does not see the alignment.
static inline __attribute__((always_inline)) void words_few(void *to, const void *from, unsigned words)
{
#pragma GCC unroll 8
	for (unsigned i = 0; i < words; i++)
		((word_t *)to)[i] = ((const word_t *)from)[i];
}

// `from` is the aligned word that holds the first byte, `shift` its bits that come before it (8 to 56). Little-endian.
static inline void words_copy_shifted(word_t *to, const word_t *from, size_t words, unsigned shift)
{
	word_t low = *from++;
	for (; words; words--) {
		word_t high = *from++;
		*to++ = low >> shift | high << (64 - shift);
		low = high;
		WORDS_KEEP();
	}
}

// As memcpy; areas may overlap when `to` lies below `from`.
static inline void words_copy(void *target, const void *source, size_t bytes)
{
	uint8_t *to = target;
	const uint8_t *from = source;
	if (bytes >= 2 * WORD_BYTES) {
		size_t head = -(uintptr_t)to % WORD_BYTES;
		bytes_copy(to, from, head);
		to += head, from += head, bytes -= head;
		size_t off = (uintptr_t)from % WORD_BYTES, words = bytes / WORD_BYTES;
		if (off == 0)
			words_copy_aligned((word_t *)to, (const word_t *)from, words);
		else
			words_copy_shifted((word_t *)to, (const word_t *)(from - off), words, (unsigned)off * 8);
		to += words * WORD_BYTES, from += words * WORD_BYTES, bytes %= WORD_BYTES;
	}
	bytes_copy(to, from, bytes);
}

// As memmove with `to` above `from`: from the end down.
static inline void words_copy_down(void *target, const void *source, size_t bytes)
{
	uint8_t *to = (uint8_t *)target + bytes;
	const uint8_t *from = (const uint8_t *)source + bytes;
	while (bytes && ((uintptr_t)to % WORD_BYTES || (uintptr_t)from % WORD_BYTES || bytes < WORD_BYTES)) {
		*--to = *--from;
		bytes--;
		WORDS_KEEP();
	}
	for (; bytes >= WORD_BYTES; bytes -= WORD_BYTES) {
		to -= WORD_BYTES, from -= WORD_BYTES;
		*(word_t *)to = *(const word_t *)from;
		WORDS_KEEP();
	}
	while (bytes--) {
		*--to = *--from;
		WORDS_KEEP();
	}
}

static inline void bytes_fill(uint8_t *to, uint8_t value, size_t bytes)
{
	for (; bytes; bytes--) {
		*to++ = value;
		WORDS_KEEP();
	}
}

// As memset.
static inline void words_fill(void *target, uint8_t value, size_t bytes)
{
	uint8_t *to = target;
	if (bytes >= 2 * WORD_BYTES) {
		word_t all = value * 0x0101010101010101ull;
		size_t head = -(uintptr_t)to % WORD_BYTES;
		bytes_fill(to, value, head);
		to += head, bytes -= head;
		for (; bytes >= 8 * WORD_BYTES; bytes -= 8 * WORD_BYTES, to += 8 * WORD_BYTES) {
			word_t *w = (word_t *)to;
			w[0] = all, w[1] = all, w[2] = all, w[3] = all, w[4] = all, w[5] = all, w[6] = all, w[7] = all;
			WORDS_KEEP();
		}
		for (; bytes >= WORD_BYTES; bytes -= WORD_BYTES, to += WORD_BYTES) {
			*(word_t *)to = all;
			WORDS_KEEP();
		}
	}
	bytes_fill(to, value, bytes);
}

// Compares; `left` is aligned to a word, `right` need not be.
static inline bool words_equal(const void *left, const void *right, size_t bytes)
{
	const word_t *a = left;
	const uint8_t *b = right;
	size_t words = bytes / WORD_BYTES, off = (uintptr_t)b % WORD_BYTES, shift = off * 8;
	const word_t *from = (const word_t *)(b - off);
	size_t i = 0;
	for (; !off && words - i >= 8; i += 8) {
		const word_t *p = a + i, *q = from + i;
		if (p[0] != q[0] || p[1] != q[1] || p[2] != q[2] || p[3] != q[3] || p[4] != q[4] || p[5] != q[5] || p[6] != q[6] ||
		    p[7] != q[7])
			return false;
	}
	for (word_t low = off && words >= 4 ? from[0] : 0; off && words - i >= 4; i += 4) {
		const word_t *p = a + i, *q = from + i;
		word_t w = q[1], x = q[2], y = q[3], z = q[4];
		if (p[0] != (low >> shift | w << (64 - shift)) || p[1] != (w >> shift | x << (64 - shift)) ||
		    p[2] != (x >> shift | y << (64 - shift)) || p[3] != (y >> shift | z << (64 - shift)))
			return false;
		low = z;
	}
	for (; i < words; i++) {
		word_t w = off ? from[i] >> shift | from[i + 1] << (64 - shift) : from[i];
		if (a[i] != w)
			return false;
	}
	for (size_t i = words * WORD_BYTES; i < bytes; i++) {
		if (((const uint8_t *)left)[i] != b[i])
			return false;
	}
	return true;
}
