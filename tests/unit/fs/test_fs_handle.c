// Sealed handles: back as they were, each word of one handle alone, nothing to be learnt from a neighbour, and every operation's
// arguments and results in their places.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "servers/fs/handle.h"
#include <stdbool.h>
#include <string.h>

#define KEY 0x0123456789abcdefull

static void back_as_it_was(void **state)
{
	(void)state;
	assert_int_equal(handle_seal(KEY, 0), 0);
	assert_int_equal(handle_unseal(KEY, 0), 0);
	for (uint64_t i = 1; i < 100000; i++) {
		uint64_t handle = FS_HANDLE(i, i * 7919);
		assert_int_equal(handle_unseal(KEY, handle_seal(KEY, handle)), handle);
		assert_int_equal(handle_seal(KEY, handle_unseal(KEY, handle)), handle);
	}
}

static unsigned bits_of(uint64_t word)
{
	return (unsigned)__builtin_popcountll(word);
}

// Half of the bits change with each bit of handle, word or key, on average, and never few.
static void every_bit_matters(void **state)
{
	(void)state;
	uint64_t sum = 0, count = 0;
	for (uint64_t i = 1; i < 200; i++) {
		uint64_t handle = FS_HANDLE(i, 1), word = handle_seal(KEY, handle);
		for (unsigned bit = 0; bit < 64; bit++) {
			unsigned differ[3] = {bits_of(word ^ handle_seal(KEY, handle ^ 1ull << bit)),
					      bits_of(handle ^ handle_unseal(KEY, word ^ 1ull << bit)),
					      bits_of(word ^ handle_seal(KEY ^ 1ull << bit, handle))};
			for (unsigned k = 0; k < 3; k++) {
				assert_in_range(differ[k], 8, 56);
				sum += differ[k];
				count++;
			}
		}
	}
	assert_in_range(sum * 100 / count, 3100, 3300);
}

// Of a million random words none unseals to one of the first 4096 inodes with one of the first 16 generations.
static void a_guess_finds_nothing(void **state)
{
	(void)state;
	uint64_t word = 1, found = 0;
	for (unsigned i = 0; i < 1000000; i++) {
		word = word * 6364136223846793005ull + 1442695040888963407ull;
		uint64_t handle = handle_unseal(KEY, word);
		found += FS_HANDLE_INODE(handle) <= 4096 && FS_HANDLE_GENERATION(handle) <= 16;
	}
	assert_int_equal(found, 0);
}

// Which arguments (bits 0 to 2) and results (bits 8 to 12) are handles, as proto/fs.h says it.
static const uint32_t places[FS_OPS] = {
	[FS_OP_ROOT] = 0x100,	 [FS_OP_LOOKUP] = 0x101,  [FS_OP_STAT] = 1,	    [FS_OP_READ] = 1,
	[FS_OP_READDIR] = 1,	 [FS_OP_READLINK] = 1,	  [FS_OP_STATFS] = 0,	    [FS_OP_CREATE] = 0x1901,
	[FS_OP_WRITE] = 0x1801,	 [FS_OP_TRUNCATE] = 0x1801, [FS_OP_UNLINK] = 0x1801, [FS_OP_MKDIR] = 0x1901,
	[FS_OP_RMDIR] = 0x1801,	 [FS_OP_RENAME] = 0x1803, [FS_OP_LINK] = 0x1803,    [FS_OP_SYMLINK] = 0x1901,
	[FS_OP_CHMOD] = 0x1801,	 [FS_OP_UTIMES] = 0x1801, [FS_OP_SYNC] = 0,	    [FS_OP_FSYNC] = 1,
};

static void all_that_are_handles(void **state)
{
	(void)state;
	const uint64_t handle = FS_HANDLE(12, 3), word = handle_seal(KEY, handle);
	for (uint16_t op = FS_OP_ROOT; op < FS_OPS; op++) {
		struct request r = {.op = op, .arg = {word, word, word}};
		const struct request sealed = r;
		uint64_t result[5] = {handle, handle, handle, handle, handle};
		bool second = op == FS_OP_LINK || op == FS_OP_RENAME, made = places[op] & 0x100;
		result[3] = second || made ? handle : 0; // as ops.c names them
		handle_unseal_arguments(KEY, &r);
		handle_seal_results(KEY, &sealed, result);
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(r.arg[i], places[op] >> i & 1 ? handle : word);
		for (unsigned i = 0; i < 5; i++)
			assert_int_equal(result[i], i == 3 && !second && !made ? 0 : places[op] >> (8 + i) & 1 ? word : handle);
		handle_unseal_results(KEY, op, result);
		for (unsigned i = 0; i < 5; i++)
			assert_int_equal(result[i], i == 3 && !second && !made ? 0 : handle);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(back_as_it_was),
		cmocka_unit_test(every_bit_matters),
		cmocka_unit_test(a_guess_finds_nothing),
		cmocka_unit_test(all_that_are_handles),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
