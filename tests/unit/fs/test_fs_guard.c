// Guard: each bit of what a mounted volume must not change, and of the tables of the checksums, is missed when it is flipped.
#include "servers/fs/crc32c.c"
#include "tests/unit/fs/fixture.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static struct host h;

static int guard_setup(void **state)
{
	(void)state;
	host_make(&h, "-t ext4 -b 1024", 24576, 0, 512 << 10, 512 << 10);
	assert_int_equal(host_mount(&h), ERR_OK);
	return 0;
}

static int guard_teardown(void **state)
{
	(void)state;
	host_free(&h);
	return 0;
}

static void every_bit_is_missed(void *from, size_t bytes)
{
	uint8_t *p = from;
	for (size_t bit = 0; bit < 8 * bytes; bit++) {
		p[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(volume_is_guarded(h.volume));
		p[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_true(volume_is_guarded(h.volume));
}

static void geometry_is_guarded(void **state)
{
	(void)state;
	struct volume *v = h.volume;
	every_bit_is_missed(&v->super, sizeof(v->super));
	every_bit_is_missed(&v->descriptors[0], sizeof(v->descriptors[0]));
	every_bit_is_missed(&v->block_size, offsetof(struct volume, checksum_seed) - offsetof(struct volume, block_size));
	every_bit_is_missed(&v->checksum_seed, sizeof(v->checksum_seed));
	for (uint32_t g = 0; g < v->groups; g++)
		every_bit_is_missed(&v->places[g], offsetof(struct group_place, bad_blocks));
	every_bit_is_missed(&v->run_count, sizeof(v->run_count));
	every_bit_is_missed(v->runs, v->run_count * sizeof(v->runs[0]));
}

static void tables_are_guarded(void **state)
{
	(void)state;
	every_bit_is_missed(crc_table, sizeof(crc_table));
	every_bit_is_missed(jump_table, sizeof(jump_table));
	every_bit_is_missed(&far_ones, sizeof(far_ones));
}

// What operations, commits and deaths change is none of it.
static void work_changes_nothing(void **state)
{
	(void)state;
	uint64_t root = host_root(&h);
	uint64_t guard = h.volume->guard;
	for (unsigned i = 0; i < 300; i++) {
		char name[16];
		int length = snprintf(name, sizeof(name), "f%u", i);
		assert_int_equal(host_call(&h, FS_OP_CREATE, root, FS_MODE_FILE | 0644, 0, name, (uint32_t)length, 0), ERR_OK);
		assert_int_equal(host_write_all(&h, h.result[0], 0, name, sizeof(name)), ERR_OK);
		if (i % 50 == 0)
			assert_int_equal(host_commit(&h), ERR_OK);
	}
	assert_int_equal(guard, h.volume->guard);
	assert_true(volume_is_guarded(h.volume));
	assert_int_equal(host_reincarnate(&h), 0);
	assert_true(volume_is_guarded(h.volume));
}

static unsigned breaths;

static void breathe_badly(struct disk *disk)
{
	(void)disk;
	if (breaths++ == 0)
		crc_table[3][77] ^= 4;
}

static void breathe_counted(struct disk *disk)
{
	(void)disk;
	breaths++;
}

// A commit of a few blocks waits for nothing before it writes, and is slow where its code runs for the first time: the loop has a turn while it is
// judged, and one while it is copied.
static void small_commit_breathes(void **state)
{
	(void)state;
	uint32_t count;
	assert_int_equal(host_call(&h, FS_OP_MKDIR, host_root(&h), 0755, 0, "one", 3, 0), ERR_OK);
	void (*breathe)(struct disk *) = h.volume->disk->breathe;
	breaths = 0;
	h.volume->disk->breathe = breathe_counted;
	assert_int_equal(fsop_commit_begin(h.volume, 1, &count), ERR_OK);
	h.volume->disk->breathe = breathe;
	assert_in_range(count, 1, 16);
	assert_true(breaths >= 2);
}

// The loop has its turns while a commit is made: what is changed in one of them has made wrong sums by the end.
static void change_in_a_commit_is_found(void **state)
{
	(void)state;
	char name[16];
	for (unsigned i = 0; i < 200; i++) {
		int length = snprintf(name, sizeof(name), "a name %u", i);
		assert_int_equal(host_call(&h, FS_OP_MKDIR, host_root(&h), 0755, 0, name, (uint32_t)length, 0), ERR_OK);
	}
	uint32_t count;
	int status;
	breaths = 0;
	pid_t child = fork();
	if (child == 0) {
		signal(SIGABRT, SIG_DFL);
		h.volume->disk->breathe = breathe_badly;
		(void)fsop_commit_begin(h.volume, 1, &count);
		_exit(breaths ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(geometry_is_guarded, guard_setup, guard_teardown),
		cmocka_unit_test_setup_teardown(tables_are_guarded, guard_setup, guard_teardown),
		cmocka_unit_test_setup_teardown(work_changes_nothing, guard_setup, guard_teardown),
		cmocka_unit_test_setup_teardown(small_commit_breathes, guard_setup, guard_teardown),
		cmocka_unit_test_setup_teardown(change_in_a_commit_is_found, guard_setup, guard_teardown),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
