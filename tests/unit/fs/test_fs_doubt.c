// Answers that are doubted: which, once for each, and how often at most.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "proto/fs.h"
#include "runtime/runtime.h"
#include "servers/fs/doubt.h"
#include "servers/fs/volume.h"
#include <stdlib.h>
#include <string.h>

#define SECOND 1000000ull // ticks

uint64_t time_ticks_from_us(uint64_t us)
{
	return us;
}

static struct volume *roomy(void)
{
	static struct ext2_super super;
	static struct volume *v;
	if (!v)
		v = calloc(1, sizeof(*v));
	super.free_blocks_count = super.free_inodes_count = 500;
	v->super = &super;
	v->blocks = v->inodes = 1000;
	v->corruptions = 0;
	return v;
}

static bool concerns(uint16_t op, const char *name, uint64_t from, enum error status)
{
	struct request r = {.seq = 7, .op = op, .arg = {9, from}, .out_length = (uint32_t)strlen(name), .in_length = 4096};
	return doubt_concerns(roomy(), &r, (const uint8_t *)name, status);
}

static void what_is_doubted(void **state)
{
	static const enum error strange[] = {ERR_HANDLE, ERR_STALE, ERR_LOST, ERR_DEVICE, ERR_NO_MEMORY, ERR_LIMIT, ERR_AGAIN,
					     ERR_UNKNOWN_CALL, ERR_READ_ONLY, ERR_PROTOCOL, ERR_CORRUPT};
	static const enum error usual[] = {ERR_EXISTS, ERR_NOT_DIRECTORY, ERR_IS_DIRECTORY, ERR_NOT_EMPTY, ERR_LINKS, ERR_CANCELLED};
	(void)state;
	for (unsigned i = 0; i < sizeof(strange) / sizeof(strange[0]); i++)
		assert_true(concerns(FS_OP_READ, "", 0, strange[i]));
	for (unsigned i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		assert_false(concerns(FS_OP_MKDIR, "name", 0, usual[i]));
	assert_false(concerns(FS_OP_LOOKUP, "name", 0, ERR_NOT_FOUND));
	assert_true(concerns(FS_OP_UNLINK, "name", 0, ERR_NOT_FOUND));
	struct request lent = {.seq = 7, .op = FS_OP_READ, .grant = 3};
	assert_false(doubt_concerns(roomy(), &lent, 0, ERR_NO_MEMORY));
}

// What a client does wrong on purpose is told at once.
static void what_the_request_explains(void **state)
{
	char name[FS_NAME_MAX + 2];
	(void)state;
	memset(name, 'n', sizeof(name));
	name[FS_NAME_MAX + 1] = 0;
	assert_false(concerns(FS_OP_LOOKUP, name, 0, ERR_NAME_TOO_LONG));
	assert_true(concerns(FS_OP_LOOKUP, name + 1, 0, ERR_NAME_TOO_LONG));
	assert_false(concerns(FS_OP_CREATE, "a/b", 0, ERR_INVALID));
	assert_false(concerns(FS_OP_CREATE, "", 0, ERR_INVALID));
	assert_true(concerns(FS_OP_CREATE, "ab", 0, ERR_INVALID));
	assert_false(concerns(FS_OP_RENAME, "ab", 0, ERR_INVALID));
	assert_false(concerns(FS_OP_FSYNC, "", 4, ERR_INVALID));
	assert_true(concerns(FS_OP_FSYNC, "", 1, ERR_INVALID));
	struct request brief = {.seq = 7, .op = FS_OP_STAT, .in_length = sizeof(struct fs_stat) - 1};
	assert_false(doubt_concerns(roomy(), &brief, 0, ERR_INVALID));
	assert_false(concerns(FS_OP_WRITE, "ab", 1ull << 45, ERR_TOO_BIG));
	assert_true(concerns(FS_OP_WRITE, "ab", 5000, ERR_TOO_BIG));
	assert_true(concerns(FS_OP_WRITE, "ab", FS_APPEND, ERR_TOO_BIG));
	assert_false(concerns(FS_OP_UNLINK, "ab", 0, ERR_TOO_BIG));
}

static void what_the_volume_explains(void **state)
{
	struct volume *v = roomy();
	struct request r = {.seq = 7, .op = FS_OP_WRITE};
	(void)state;
	assert_true(doubt_concerns(v, &r, 0, ERR_NO_SPACE));
	v->super->free_blocks_count = 60;
	assert_false(doubt_concerns(v, &r, 0, ERR_NO_SPACE));
	v = roomy();
	v->super->free_inodes_count = 0;
	assert_false(doubt_concerns(v, &r, 0, ERR_NO_SPACE));
	v->corruptions = 1;
	assert_false(doubt_concerns(v, &r, 0, ERR_CORRUPT));
}

// A table of inodes in block 30, of group 0.
static uint8_t table[1024] __attribute__((aligned(8)));
static struct buffer table_buffer = {.data = table};
static unsigned held;
static bool opened;

enum error cache_get(struct cache *c, uint32_t block, struct buffer **found)
{
	(void)c;
	assert_int_equal(block, 30 + 2);
	*found = &table_buffer;
	held++;
	return ERR_OK;
}

void cache_put(struct cache *c, struct buffer *b)
{
	(void)c;
	(void)b;
	held--;
}

static bool is_opened(uint64_t handle)
{
	return opened && FS_HANDLE_INODE(handle) == 19;
}

// The second look at a handle that was refused.
static void a_handle_is_looked_at_again(void **state)
{
	struct volume *v = roomy();
	struct ext2_inode *raw = (void *)(table + 2 * 128); // 8 in a block: 19 is the third of the third one
	(void)state;
	v->super->rev_level = 1;
	v->super->first_ino = 11;
	v->super->inodes_count = 1000;
	v->block_size = 1024, v->inode_size = 128, v->inodes_per_group = 1000, v->groups = 1;
	v->places[0].inode_table = 30;
	v->is_open = is_opened;
	raw->links_count = 1, raw->generation = 77;
	assert_true(doubt_concerns_handle(v, FS_HANDLE(19, 77), ERR_STALE));
	assert_true(doubt_concerns_handle(v, FS_HANDLE(19, 77), ERR_HANDLE));
	assert_true(doubt_concerns_handle(v, FS_HANDLE(19, 78), ERR_HANDLE)); // it is one that we could have given
	assert_false(doubt_concerns_handle(v, FS_HANDLE(19, 78), ERR_STALE));
	assert_false(doubt_concerns_handle(v, FS_HANDLE(1001, 77), ERR_HANDLE));
	assert_false(doubt_concerns_handle(v, FS_HANDLE(7, 77), ERR_STALE));
	assert_true(doubt_concerns_handle(v, FS_HANDLE(EXT2_ROOT_INODE, 0), ERR_HANDLE));
	raw->links_count = 0;
	assert_false(doubt_concerns_handle(v, FS_HANDLE(19, 77), ERR_STALE));
	opened = true;
	assert_true(doubt_concerns_handle(v, FS_HANDLE(19, 77), ERR_STALE));
	assert_int_equal(held, 0);
}

static struct doubts doubts;

static bool due(unsigned slot, uint32_t seq, enum error status, uint64_t now)
{
	struct request r = {.seq = seq, .op = FS_OP_READ};
	return doubt_is_due(&doubts, slot, &r, status, now);
}

static int fresh(void **state)
{
	(void)state;
	doubts = (struct doubts){0};
	return 0;
}

static void the_same_is_told(void **state)
{
	(void)state;
	assert_true(due(3, 10, ERR_STALE, 1000 * SECOND));
	assert_false(due(3, 10, ERR_STALE, 1001 * SECOND));
	assert_false(due(3, 11, ERR_STALE, 1002 * SECOND)); // its client's error
	assert_true(due(4, 11, ERR_STALE, 1003 * SECOND));  // and not another's
	doubt_forget(&doubts, 3);
	assert_true(due(3, 12, ERR_STALE, 1004 * SECOND));
	assert_false(due(3, 12, ERR_STALE, 1005 * SECOND));
	assert_false(due(3, 13, ERR_STALE, 1064 * SECOND));
	assert_true(due(3, 13, ERR_STALE, 1066 * SECOND));
}

// It was not found again: the server was damaged, and the client is not to blame.
static void another_answer_is_doubted_again(void **state)
{
	(void)state;
	assert_true(due(3, 10, ERR_STALE, 1000 * SECOND));
	assert_true(due(3, 11, ERR_STALE, 1001 * SECOND));
	assert_true(due(3, 11, ERR_HANDLE, 1002 * SECOND));
	assert_false(due(3, 11, ERR_HANDLE, 1003 * SECOND));
}

static void deaths_are_few(void **state)
{
	unsigned deaths = 0;
	(void)state;
	for (uint32_t i = 1; i <= 60; i++) // in a minute
		deaths += due(i % CHANNEL_MAX, i, ERR_HANDLE, 1000 * SECOND + i * SECOND);
	assert_in_range(deaths, 14, 16);
	deaths = 0;
	for (uint32_t i = 1; i <= 1000; i++)
		deaths += due(i % CHANNEL_MAX, 1000 + i, ERR_HANDLE, 9000 * SECOND);
	assert_int_equal(deaths, 4);
}

static void nonsense_in_the_table_ends(void **state)
{
	(void)state;
	doubts.spent = ~0ull;
	doubts.of[5].until = ~0ull >> 1;
	assert_true(due(5, 1, ERR_HANDLE, 1000 * SECOND));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_doubted),
		cmocka_unit_test(what_the_request_explains),
		cmocka_unit_test(what_the_volume_explains),
		cmocka_unit_test(a_handle_is_looked_at_again),
		cmocka_unit_test_setup(the_same_is_told, fresh),
		cmocka_unit_test_setup(another_answer_is_doubted_again, fresh),
		cmocka_unit_test_setup(deaths_are_few, fresh),
		cmocka_unit_test_setup(nonsense_in_the_table_ends, fresh),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
