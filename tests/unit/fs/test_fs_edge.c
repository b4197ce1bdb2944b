// Edges: sparse files through all levels of indirection, a full disk, long names, many entries, every refusal's sentence.
#include "one_volume.h"
#include <stdlib.h>
#include <string.h>

static struct fs_stat stat_of(uint64_t handle)
{
	struct fs_stat s;
	assert_int_equal(host_call(&h, FS_OP_STAT, handle, 0, 0, 0, 0, sizeof(s)), ERR_OK);
	memcpy(&s, h.in, sizeof(s));
	return s;
}

static struct fs_statfs statfs(void)
{
	struct fs_statfs f;
	assert_int_equal(host_call(&h, FS_OP_STATFS, 0, 0, 0, 0, 0, sizeof(f)), ERR_OK);
	memcpy(&f, h.in, sizeof(f));
	return f;
}

static void expect_at(uint64_t handle, uint64_t offset, const char *text, uint32_t room)
{
	assert_int_equal(host_call(&h, FS_OP_READ, handle, offset, 0, 0, 0, room), ERR_OK);
	assert_int_equal(h.result[0], room);
	assert_memory_equal(h.in, text, room);
}

// One short text at the start, and at offsets behind 12 blocks, one, two and three levels of indirect blocks.
static void all_levels(void **state)
{
	static const char zeros[512];
	(void)state;
	mount("-b 1024", 20000);
	uint64_t free = statfs().blocks_free;
	uint64_t handle = create("sparse"), k = 1024, p = 256;
	const uint64_t offsets[] = {0,
				    11 * k + 1020, // across the border to the first indirect block
				    12 * k + 5,
				    (12 + p - 1) * k + 1020,
				    (12 + p) * k + 10,
				    (12 + p + p * p) * k - 3,
				    (12 + p + p * p + 12345) * k + 77,
				    (12 + p + p * p + p * p * p) * k - 8};
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(host_call(&h, FS_OP_WRITE, handle, offsets[i], 0, "position", 8, 0), ERR_OK);
	for (unsigned i = 0; i < 8; i++)
		expect_at(handle, offsets[i], "position", 8);
	expect_at(handle, 5000, zeros, 512);
	expect_at(handle, 1ull << 30, zeros, 512);
	assert_int_equal(stat_of(handle).size, offsets[7] + 8);
	assert_int_equal(host_call(&h, FS_OP_WRITE, handle, offsets[7] + 8, 0, "x", 1, 0), ERR_TOO_BIG);
	assert_int_equal(host_call(&h, FS_OP_WRITE, handle, ~0ull - 1, 0, "xx", 2, 0), ERR_TOO_BIG);
	assert_int_equal(host_commit(&h), ERR_OK);
	assert_true(host_clean(&h));
	assert_int_equal(host_call(&h, FS_OP_TRUNCATE, handle, offsets[5] + 1, 0, 0, 0, 0), ERR_OK);
	expect_at(handle, offsets[4], "position", 8);
	assert_int_equal(host_commit(&h), ERR_OK);
	assert_true(host_clean(&h));
	assert_int_equal(host_call(&h, FS_OP_TRUNCATE, handle, offsets[5] + 100, 0, 0, 0, 0), ERR_OK);
	expect_at(handle, offsets[5], "p\0\0\0", 4); // what was cut off stays cut off
	assert_int_equal(host_call(&h, FS_OP_TRUNCATE, handle, 0, 0, 0, 0, 0), ERR_OK);
	assert_int_equal(stat_of(handle).blocks, 0);
	assert_int_equal(statfs().blocks_free, free);
	finish();
}

static void large_file_flag(void **state)
{
	(void)state;
	mount("-b 4096 -O ^large_file", 20000);
	uint64_t handle = create("big");
	assert_int_equal(host_call(&h, FS_OP_WRITE, handle, 5ull << 30, 0, "end", 3, 0), ERR_OK);
	expect_at(handle, 5ull << 30, "end", 3);
	assert_true(h.volume->super->feature_ro_compat & EXT2_RO_LARGE_FILE);
	finish();
}

// An operation that frees, and then fails, keeps nothing from being used but until the next commit. On a full disk one waits for
// that commit: it must come to an end, also when nothing is dirty.
static void free_in_vain(uint64_t handle)
{
	struct inode inode;
	uint32_t block, run;
	assert_int_equal(inode_open(h.volume, handle, &inode), ERR_OK);
	assert_int_equal(bmap_find(h.volume, &inode, 0, 1, &block, &run), ERR_OK);
	inode_put(h.volume, &inode);
	cache_op_begin(&h.volume->cache);
	journal_op_begin(&h.volume->log.journal);
	assert_int_equal(alloc_free_blocks(h.volume, block, 1), ERR_OK);
	cache_op_undo(&h.volume->cache);
	journal_op_undo(&h.volume->log.journal);
	assert_int_equal(host_commit(&h), ERR_OK);
	assert_int_equal(h.volume->held_groups[0], 0);
	assert_int_equal(named(FS_OP_MKDIR, host_root(&h), 0755, "no-room"), ERR_NO_SPACE);
}

static void full_disk(void **state)
{
	uint8_t *data = malloc(65536);
	uint64_t written = 0;
	memset(data, 'f', 65536);
	mount(*state, 4000);
	uint64_t handle = create("filler");
	enum error error;
	for (uint32_t n = 65536; n; n = error == ERR_OK ? n : n / 2) {
		error = host_call(&h, FS_OP_WRITE, handle, FS_APPEND, 0, data, n, 0);
		assert_true(error == ERR_OK || error == ERR_NO_SPACE);
		written += error == ERR_OK ? n : 0;
	}
	assert_int_equal(stat_of(handle).size, written);
	assert_int_equal(statfs().blocks_free, 0);
	assert_int_equal(named(FS_OP_MKDIR, host_root(&h), 0755, "no-room"), ERR_NO_SPACE);
	assert_int_equal(host_commit(&h), ERR_OK);
	assert_true(host_clean(&h));
	free_in_vain(handle);
	assert_int_equal(named(FS_OP_UNLINK, host_root(&h), 0, "filler"), ERR_OK);
	assert_int_equal(named(FS_OP_MKDIR, host_root(&h), 0755, "room"), ERR_OK);
	for (unsigned i = 0;; i++) { // inodes run out too
		char name[32];
		snprintf(name, sizeof(name), "file-%u", i);
		error = named(FS_OP_CREATE, host_root(&h), 0100644, name);
		if (error != ERR_OK)
			break;
	}
	assert_int_equal(error, ERR_NO_SPACE);
	assert_int_equal(statfs().inodes_free, 0);
	finish();
	free(data);
}

// A file over more groups than a commit has places is cut down in pieces; what dies between them does no harm.
static void more_than_a_commit(void **state)
{
	uint8_t *data = malloc(65536);
	memset(data, 'g', 65536);
	host_make(&h, *state, 40000, 0, 1 << 20, 112 << 10);
	assert_int_equal(host_mount(&h), ERR_OK);
	uint64_t handle = create("wide");
	for (unsigned i = 0; i < 450; i++)
		assert_int_equal(host_call(&h, FS_OP_WRITE, handle, FS_APPEND, 0, data, 65536, 0), ERR_OK);
	assert_int_equal(host_call(&h, FS_OP_TRUNCATE, handle, 1000000, 0, 0, 0, 0), ERR_OK);
	assert_true(h.pieces > 0);
	assert_int_equal(stat_of(handle).size, 1000000);
	expect_at(handle, 999990, (const char *)data, 10);
	assert_int_equal(host_commit(&h), ERR_OK);
	assert_true(host_clean(&h));
	for (unsigned i = 0; i < 400; i++)
		assert_int_equal(host_call(&h, FS_OP_WRITE, handle, FS_APPEND, 0, data, 65536, 0), ERR_OK);
	h.pieces = 0;
	assert_int_equal(named(FS_OP_UNLINK, host_root(&h), 0, "wide"), ERR_OK);
	assert_true(h.pieces > 0);
	assert_int_equal(host_reincarnate(&h), 0);
	assert_int_equal(host_lookup(&h, host_root(&h), "wide"), 0);
	finish();
	free(data);
}

static void long_names_and_many_entries(void **state)
{
	char name[300];
	(void)state;
	mount("-b 1024 -N 4000", 20000);
	assert_int_equal(named(FS_OP_MKDIR, host_root(&h), 0755, "d"), ERR_OK);
	uint64_t d = h.result[0];
	memset(name, 'n', sizeof(name));
	name[255] = 0;
	assert_int_equal(named(FS_OP_CREATE, d, 0100644, name), ERR_OK);
	assert_int_equal(host_lookup(&h, d, name), h.result[0]);
	name[255] = 'n';
	name[256] = 0;
	assert_int_equal(named(FS_OP_CREATE, d, 0100644, name), ERR_NAME_TOO_LONG);
	assert_int_equal(named(FS_OP_LOOKUP, d, 0, name), ERR_NAME_TOO_LONG);
	assert_int_equal(named(FS_OP_CREATE, d, 0100644, ""), ERR_INVALID);
	assert_int_equal(named(FS_OP_CREATE, d, 0100644, "a/b"), ERR_INVALID);
	assert_int_equal(named(FS_OP_CREATE, d, 0100644, ".."), ERR_IS_DIRECTORY);
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "entry-with-a-number-%u", i);
		assert_int_equal(named(FS_OP_CREATE, d, 0100644, name), ERR_OK);
	}
	for (unsigned i = 0; i < 3000; i += 2) {
		snprintf(name, sizeof(name), "entry-with-a-number-%u", i);
		assert_int_equal(named(FS_OP_UNLINK, d, 0, name), ERR_OK);
	}
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "entry-with-a-number-%u", i);
		assert_int_equal(named(FS_OP_LOOKUP, d, 0, name), i % 2 ? ERR_OK : ERR_NOT_FOUND);
	}
	finish();
}

// A name is looked up with its status, if there is room for all of it.
static void status_with_a_name(void **state)
{
	(void)state;
	mount("-b 1024", 8000);
	uint64_t root = host_root(&h), file = create("file");
	struct fs_stat status = stat_of(file);
	memset(h.in, 1, sizeof(status));
	assert_int_equal(host_call(&h, FS_OP_LOOKUP, root, 0, 0, "file", 4, sizeof(status)), ERR_OK);
	assert_int_equal(h.result[0], file);
	assert_int_equal(h.result[4], 1);
	assert_memory_equal(h.in, &status, sizeof(status));
	memset(h.in, 1, sizeof(status));
	memset(&status, 1, sizeof(status));
	assert_int_equal(host_call(&h, FS_OP_LOOKUP, root, 0, 0, "file", 4, sizeof(status) - 1), ERR_OK);
	assert_int_equal(h.result[0], file);
	assert_int_equal(h.result[4], 0);
	assert_memory_equal(h.in, &status, sizeof(status));
	assert_int_equal(host_call(&h, FS_OP_LOOKUP, root, 0, 0, "none", 4, sizeof(status)), ERR_NOT_FOUND);
	finish();
}

static void refusals(void **state)
{
	(void)state;
	mount("-b 1024", 8000);
	uint64_t root = host_root(&h), file = create("file");
	assert_int_equal(named(FS_OP_MKDIR, root, 0755, "dir"), ERR_OK);
	uint64_t dir = h.result[0];
	assert_int_equal(named(FS_OP_MKDIR, dir, 0755, "sub"), ERR_OK);
	assert_int_equal(named(FS_OP_RMDIR, root, 0, "dir"), ERR_NOT_EMPTY);
	assert_int_equal(named(FS_OP_RMDIR, root, 0, "file"), ERR_NOT_DIRECTORY);
	assert_int_equal(named(FS_OP_RMDIR, dir, 0, "."), ERR_INVALID);
	assert_int_equal(named(FS_OP_RMDIR, dir, 0, ".."), ERR_NOT_EMPTY);
	assert_int_equal(named(FS_OP_UNLINK, root, 0, "dir"), ERR_IS_DIRECTORY);
	assert_int_equal(named(FS_OP_LOOKUP, file, 0, "x"), ERR_NOT_DIRECTORY);
	assert_int_equal(host_call(&h, FS_OP_RENAME, root, dir, 0, "dir\0x", 5, 0), ERR_INVALID);
	assert_int_equal(host_call(&h, FS_OP_RENAME, root, root, 0, "dir\0..", 6, 0), ERR_INVALID);
	assert_int_equal(host_call(&h, FS_OP_RENAME, root, root, 0, "dir", 3, 0), ERR_INVALID);
	assert_int_equal(host_call(&h, FS_OP_RENAME, root, root, 0, "dir\0dir", 7, 0), ERR_OK);
	assert_int_equal(host_call(&h, FS_OP_READ, dir, 0, 0, 0, 0, 10), ERR_IS_DIRECTORY);
	assert_int_equal(host_call(&h, FS_OP_WRITE, dir, 0, 0, "x", 1, 0), ERR_IS_DIRECTORY);
	assert_int_equal(host_call(&h, FS_OP_READLINK, file, 0, 0, 0, 0, 10), ERR_INVALID);
	assert_int_equal(host_call(&h, FS_OP_READDIR, file, 0, 0, 0, 0, 100), ERR_NOT_DIRECTORY);
	assert_int_equal(host_call(&h, FS_OP_READDIR, root, 0, 0, 0, 0, 8), ERR_TOO_BIG);
	assert_int_equal(host_call(&h, FS_OP_STAT, file, 0, 0, 0, 0, 8), ERR_INVALID);
	assert_int_equal(host_call(&h, FS_OP_STAT, file + (1ull << 32), 0, 0, 0, 0, 72), ERR_STALE);
	assert_int_equal(host_call(&h, FS_OP_STAT, 0, 0, 0, 0, 0, 72), ERR_HANDLE);
	assert_int_equal(host_call(&h, FS_OP_STAT, 7, 0, 0, 0, 0, 72), ERR_HANDLE); // a reserved inode
	assert_int_equal(host_call(&h, FS_OP_STAT, 0xffffffff, 0, 0, 0, 0, 72), ERR_HANDLE);
	assert_int_equal(host_call(&h, FS_OP_SYMLINK, root, 0, 0, "l\0", 2, 0), ERR_INVALID);
	assert_int_equal(host_call(&h, FS_OP_CREATE, root, 0020644, 0, "tty", 3, 0), ERR_UNSUPPORTED);
	assert_int_equal(host_call(&h, 99, 0, 0, 0, 0, 0, 0), ERR_UNKNOWN_CALL);
	assert_int_equal(named(FS_OP_UNLINK, root, 0, "file"), ERR_OK);
	assert_int_equal(host_call(&h, FS_OP_READ, file, 0, 0, 0, 0, 10), ERR_STALE);
	uint64_t again = create("file"); // the same inode, another generation
	assert_int_equal(FS_HANDLE_INODE(again), FS_HANDLE_INODE(file));
	assert_int_not_equal(again, file);
	finish();
}

static void link_limit(void **state)
{
	char name[32];
	(void)state;
	mount("-b 4096", 20000);
	uint64_t file = create("linked");
	struct inode inode;
	assert_int_equal(inode_open(h.volume, file, &inode), ERR_OK);
	inode.raw->links_count = EXT2_LINK_MAX - 2;
	for (unsigned i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "l%u", i);
		assert_int_equal(named(FS_OP_LINK, file, host_root(&h), name), i < 2 ? ERR_OK : ERR_LINKS);
	}
	assert_int_equal(stat_of(file).links, EXT2_LINK_MAX);
	inode.raw->links_count = 3;
	inode_put(h.volume, &inode);
	finish();
}

// ---- volumes that are not served, with their sentences ----

static void refused(const char *options, enum error want, const char *sentence)
{
	host_make(&h, options, 8000, 0, 1 << 20, 1 << 19);
	assert_int_equal(host_mount(&h), want);
	assert_string_equal(h.volume->reason, sentence);
	host_free(&h);
}

static void sentence_of(size_t offset, uint32_t value, const char *sentence)
{
	host_make(&h, "-b 1024", 8000, 0, 1 << 20, 1 << 19);
	memcpy(h.image.bytes + 1024 + offset, &value, 4);
	assert_int_equal(host_mount(&h), ERR_CORRUPT);
	assert_string_equal(h.volume->reason, sentence);
	host_free(&h);
}

static void unsupported_features(void **state)
{
	(void)state;
	refused("-b 1024 -O meta_bg,^resize_inode", ERR_UNSUPPORTED,
		"the volume needs features that are not supported: meta_bg");
	refused("-b 8192", ERR_UNSUPPORTED, "the block size is 1024 << 3; 1024, 2048 and 4096 are supported");
}

static void damaged_superblocks(void **state)
{
	(void)state;
	sentence_of(56, 0x12345678, "no ext2 file system: the magic number is 0x5678 instead of 0xef53");
	sentence_of(4, 9000, "the volume claims 9000 blocks of 1024 bytes, the disk has 8192000 bytes");
	sentence_of(32, 4, "blocks of a group: 4; 8 to 8192 are possible");
	sentence_of(40, 0, "inodes of a group: 0; 1 to 8192 are possible");
	sentence_of(20, 0, "the first data block is 0 with blocks of 1024 bytes");
	sentence_of(88, 100, "the inode size is 100; powers of two from 128 to 1024 are possible");
	sentence_of(12, 8001, "8001 of 8000 blocks and 1989 of 2000 inodes are said to be free");
}

static void read_only_features(void **state)
{
	(void)state;
	host_make(&h, "-t ext4 -O ^has_journal,quota", 8000, 0, 1 << 20, 1 << 19);
	fixture_quiet = true;
	assert_int_equal(host_mount(&h), ERR_OK);
	fixture_quiet = false;
	assert_string_equal(fixture_last_log, "fs: the volume has features that allow reading only: quota");
	assert_int_equal(named(FS_OP_MKDIR, host_root(&h), 0755, "x"), ERR_READ_ONLY);
	assert_int_equal(statfs().flags, FS_STATFS_READ_ONLY);
	host_free(&h);
}

static void kinds_of_volumes(void **state)
{
	static const char *const kinds[] = {"ext2", "ext3", "ext4"};
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		char options[32];
		snprintf(options, sizeof(options), "-t %s", kinds[i]);
		host_make(&h, options, 16000, 0, 1 << 20, 1 << 20);
		assert_int_equal(host_mount(&h), ERR_OK);
		assert_string_equal(statfs().type, kinds[i]);
		host_free(&h);
	}
}

static void memory_volume(void **state)
{
	struct disk disk;
	(void)state;
	mount("-b 1024", 2048);
	uint8_t *memory = calloc(2048, 1024), *log = calloc(512, 1024);
	memory_disk_format(memory, 2048 * 1024, 1700000000);
	memory_disk_open(&disk, memory, 2048 * 1024, log, 512 * 1024);
	commit_format(&disk);
	struct cache_memory memory_of_cache = {h.image.cache, h.image.cache_bytes, h.image.cache_bytes, 0};
	assert_int_equal(volume_open(h.volume, &disk, &memory_of_cache), ERR_OK);
	h.volume->fallback = true;
	assert_int_equal(statfs().flags, FS_STATFS_FALLBACK);
	uint64_t handle = create("hello");
	assert_int_equal(host_write_all(&h, handle, 0, memory, 500000), ERR_OK);
	assert_int_equal(named(FS_OP_MKDIR, host_root(&h), 0755, "dir"), ERR_OK);
	assert_int_equal(host_commit(&h), ERR_OK);
	memcpy(h.image.bytes, memory, 2048 * 1024);
	finish();
	free(memory);
	free(log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_levels),
		cmocka_unit_test(large_file_flag),
		CASE(full_disk_ext2, full_disk, "-b 1024 -m 0"),
		CASE(full_disk_ext3, full_disk, "-b 1024 -m 0 -O has_journal -J size=1"),
		CASE(more_than_a_commit_with_pointers, more_than_a_commit, "-b 1024 -g 256 -N 2000 -I 128 -O ^resize_inode"),
		CASE(more_than_a_commit_with_extents, more_than_a_commit,
		     "-t ext4 -O ^has_journal,^resize_inode -b 1024 -g 256 -N 2000"),
		cmocka_unit_test(long_names_and_many_entries),
		cmocka_unit_test(status_with_a_name),
		cmocka_unit_test(refusals),
		cmocka_unit_test(link_limit),
		cmocka_unit_test(unsupported_features),
		cmocka_unit_test(damaged_superblocks),
		cmocka_unit_test(read_only_features),
		cmocka_unit_test(kinds_of_volumes),
		cmocka_unit_test(memory_volume),
	};
	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, 0, 0);
}
