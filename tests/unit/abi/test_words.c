// words.h against byte loops: every alignment, every short length, overlap both ways; exact buffers for the sanitizer.
#include "abi/words.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define WORDS_ROOM 256

static uint8_t words_area[WORDS_ROOM], words_expected[WORDS_ROOM];

static void words_prepare(void)
{
	for (unsigned i = 0; i < WORDS_ROOM; i++)
		words_area[i] = words_expected[i] = (uint8_t)(i * 7 + 3);
}

static void test_words_fill(void **state)
{
	(void)state;
	for (unsigned at = 0; at < 16; at++) {
		for (unsigned bytes = 0; bytes < 160; bytes++) {
			words_prepare();
			for (unsigned i = 0; i < bytes; i++)
				words_expected[at + i] = 0xa5;
			words_fill(words_area + at, 0xa5, bytes);
			assert_memory_equal(words_area, words_expected, WORDS_ROOM);
		}
	}
}

static void words_try_copy(unsigned to, unsigned from, unsigned bytes)
{
	uint8_t kept[WORDS_ROOM];
	words_prepare();
	memcpy(kept, words_area, WORDS_ROOM);
	for (unsigned i = 0; i < bytes; i++)
		words_expected[to + i] = kept[from + i];
	if (to <= from)
		words_copy(words_area + to, words_area + from, bytes);
	else
		words_copy_down(words_area + to, words_area + from, bytes);
	assert_memory_equal(words_area, words_expected, WORDS_ROOM);
}

static void test_words_copy(void **state)
{
	(void)state;
	for (unsigned to = 0; to < 40; to++) {
		for (unsigned from = 8; from < 40; from++) {
			for (unsigned bytes = 0; bytes < 150; bytes += 1 + bytes / 40)
				words_try_copy(to, from, bytes);
		}
	}
}

static void test_words_equal(void **state)
{
	(void)state;
	static uint8_t left[WORDS_ROOM] __attribute__((aligned(8))), right[WORDS_ROOM + 16] __attribute__((aligned(8)));
	for (unsigned off = 0; off < 8; off++) {
		for (unsigned bytes = 0; bytes < 60; bytes++) {
			for (unsigned i = 0; i < bytes; i++)
				left[i] = right[off + i] = (uint8_t)(i * 5 + 1);
			assert_true(words_equal(left, right + off, bytes));
			for (unsigned i = 0; i < bytes; i++) {
				right[off + i] ^= 0x80;
				assert_false(words_equal(left, right + off, bytes));
				right[off + i] ^= 0x80;
			}
		}
	}
}

static void lowest_bits(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit < 64; bit++) {
		assert_int_equal(word_lowest_bit(1ull << bit), bit);
		assert_int_equal(word_lowest_bit(~0ull << bit), bit);
		assert_int_equal(word_lowest_bit(0x8000000000000000ull | 5ull << bit), bit);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lowest_bits),
		cmocka_unit_test(test_words_fill),
		cmocka_unit_test(test_words_copy),
		cmocka_unit_test(test_words_equal),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
