// Thousands of random operations, the same on a volume and on a model: results, tree, e2fsck and debugfs agree.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "model.h"
#include <stdlib.h>

static unsigned count_of(void)
{
	return getenv("FULL") ? 20000 : 3000;
}

static void workload(const char *options, unsigned kib, uint64_t seed)
{
	struct host h;
	struct model m;
	fixture_seed(seed);
	host_make(&h, options, kib, 0, 1 << 20, 1 << 19);
	assert_int_equal(host_mount(&h), ERR_OK);
	model_make(&m, &h);
	for (unsigned i = 0; i < count_of(); i++) {
		assert_true(model_step(&m, &h));
		if (fixture_random() % 200 == 0)
			assert_int_equal(host_commit(&h), ERR_OK);
	}
	assert_true(model_equal(&m, &h));
	assert_int_equal(host_commit(&h), ERR_OK);
	assert_true(host_clean(&h));
	assert_true(model_equal_debugfs(&m, &h));
	assert_int_equal(host_reincarnate(&h), 0);
	assert_true(model_equal(&m, &h));
	assert_int_equal(h.volume->corruptions, 0);
	model_free(&m);
	host_free(&h);
}

static void random_1k(void **state)
{
	(void)state;
	workload("-b 1024 -I 128", 40000, 11);
}

static void random_2k(void **state)
{
	(void)state;
	workload("-b 2048 -I 256", 40000, 12);
}

static void random_4k(void **state)
{
	(void)state;
	workload("-b 4096 -I 256", 60000, 13);
}

static void random_small_and_full(void **state)
{
	(void)state;
	workload("-b 1024 -I 128 -N 200 -m 0", 3000, 14);
}

static void random_no_filetype(void **state)
{
	(void)state;
	workload("-b 1024 -I 256 -O ^filetype,^dir_index,^resize_inode,^sparse_super,^large_file", 30000, 15);
}

static void random_small_groups(void **state)
{
	(void)state;
	workload("-b 1024 -g 1024 -I 128", 20000, 16);
}

#define EXT4_NO_EXTENTS "-t ext4 -O ^has_journal,^extent,^64bit"
static void checksums_and_pointers(void **state)
{
	(void)state;
	workload(EXT4_NO_EXTENTS " -b 1024 -g 1024 -G 4 -N 2000", 20481, 23);
}

static void descriptors_crc16(void **state)
{
	(void)state;
	workload(EXT4_NO_EXTENTS ",^metadata_csum,uninit_bg -b 1024 -g 1024", 20481, 24);
}

#define EXT4 "-t ext4 -O ^has_journal "
static void ext4_1k(void **state)
{
	(void)state;
	workload(EXT4 "-b 1024", 40000, 31);
}

static void ext4_4k(void **state)
{
	(void)state;
	workload(EXT4 "-b 4096", 60000, 33);
}

static void ext4_small_groups(void **state)
{
	(void)state;
	workload(EXT4 "-b 1024 -g 1024 -G 4 -N 2000", 20481, 34);
}

static void ext4_small_and_full(void **state)
{
	(void)state;
	workload(EXT4 "-b 1024 -N 200 -m 0", 3000, 35);
}

static void ext4_small_inodes(void **state)
{
	(void)state;
	workload(EXT4 "-b 1024 -I 128", 20000, 36);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_1k),		cmocka_unit_test(random_2k),
		cmocka_unit_test(random_4k),		cmocka_unit_test(random_small_and_full),
		cmocka_unit_test(random_no_filetype),	cmocka_unit_test(random_small_groups),
		cmocka_unit_test(checksums_and_pointers), cmocka_unit_test(descriptors_crc16),
		cmocka_unit_test(ext4_1k),		cmocka_unit_test(ext4_4k),
		cmocka_unit_test(ext4_small_groups),
		cmocka_unit_test(ext4_small_and_full),	cmocka_unit_test(ext4_small_inodes),
	};
	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, 0, 0);
}
