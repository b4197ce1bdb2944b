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

struct work {
	const char *options;
	unsigned kib;
	uint64_t seed;
};

static void workload(void **state)
{
	const struct work *w = *state;
	struct host h;
	struct model m;
	fixture_seed(w->seed);
	host_make(&h, w->options, w->kib, 0, 1 << 20, 1 << 19);
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

#define EXT4 "-t ext4 -O ^has_journal "
#define EXT4_NO_EXTENTS "-t ext4 -O ^has_journal,^extent,^64bit"
#define WORK(name, ...) CASE(name, workload, &(const struct work){__VA_ARGS__})

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORK(random_1k, "-b 1024 -I 128", 40000, 11),
		WORK(random_2k, "-b 2048 -I 256", 40000, 12),
		WORK(random_4k, "-b 4096 -I 256", 60000, 13),
		WORK(random_small_and_full, "-b 1024 -I 128 -N 200 -m 0", 3000, 14),
		WORK(random_no_filetype, "-b 1024 -I 256 -O ^filetype,^dir_index,^resize_inode,^sparse_super,^large_file", 30000, 15),
		WORK(random_small_groups, "-b 1024 -g 1024 -I 128", 20000, 16),
		WORK(checksums_and_pointers, EXT4_NO_EXTENTS " -b 1024 -g 1024 -G 4 -N 2000", 20481, 23),
		WORK(descriptors_crc16, EXT4_NO_EXTENTS ",^metadata_csum,uninit_bg -b 1024 -g 1024", 20481, 24),
		WORK(ext4_1k, EXT4 "-b 1024", 40000, 31),
		WORK(ext4_4k, EXT4 "-b 4096", 60000, 33),
		WORK(ext4_small_groups, EXT4 "-b 1024 -g 1024 -G 4 -N 2000", 20481, 34),
		WORK(ext4_small_and_full, EXT4 "-b 1024 -N 200 -m 0", 3000, 35),
		WORK(ext4_small_inodes, EXT4 "-b 1024 -I 128", 20000, 36),
	};
	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, 0, 0);
}
