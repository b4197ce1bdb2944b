// What ext4 has and ext2 has not: deep extent trees, unwritten extents, checksums of every structure, indexed
// directories under checksums, features that are refused by name.
#include "one_volume.h"
#include <stdlib.h>
#include <string.h>

#define EXT4 "-t ext4 -O ^has_journal "

static uint64_t blocks_free(void)
{
	struct fs_statfs f;
	assert_int_equal(host_call(&h, FS_OP_STATFS, 0, 0, 0, 0, 0, sizeof(f)), ERR_OK);
	memcpy(&f, h.in, sizeof(f));
	return f.blocks_free;
}

static unsigned depth_of(uint64_t handle)
{
	struct inode inode;
	assert_int_equal(inode_open(h.volume, handle, &inode), ERR_OK);
	unsigned depth = ((struct ext4_extent_header *)(void *)inode.raw->block)->depth;
	inode_put(h.volume, &inode);
	return depth;
}

// Lets a program of e2fsprogs change the image ($f in the command), and mounts the result.
static void change_image(const char *command)
{
	assert_int_equal(host_commit(&h), ERR_OK);
	(void)host_change(&h, command); // e2fsck tells by its status that it changed something
	h.serial = h.mark = 0;
	assert_int_equal(host_mount(&h), ERR_OK);
}

// ---- extents ----

static void expect_number(uint64_t handle, uint64_t offset, uint32_t number)
{
	uint32_t got;
	assert_int_equal(host_call(&h, FS_OP_READ, handle, offset, 0, 0, 0, 4), ERR_OK);
	assert_int_equal(h.result[0], 4);
	memcpy(&got, h.in, 4);
	assert_int_equal(got, number);
}

// Every second block of a file, in an order that jumps: no two extents can be joined until the rest is filled in.
static void scatter(uint64_t handle, uint32_t count, uint32_t step, uint32_t size, uint32_t odd)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t block = (i + count / 3) * step % count * 2 + odd, number = block + 1;
		assert_int_equal(host_call(&h, FS_OP_WRITE, handle, (uint64_t)block * size, 0, &number, 4, 0), ERR_OK);
	}
}

struct deep {
	const char *options;
	uint32_t count, step;
	unsigned depth;
};

static void deep_tree(void **state)
{
	const struct deep *d = *state;
	mount(d->options, 65544);
	uint32_t count = d->count, step = d->step, size = h.volume->block_size;
	uint64_t handle = create("deep"), before = blocks_free();
	scatter(handle, count, step, size, 0);
	assert_int_equal(depth_of(handle), d->depth);
	for (uint32_t i = 0; i < 2 * count - 1; i += 1 + i % 5)
		expect_number(handle, (uint64_t)i * size, i % 2 ? 0 : i + 1);
	assert_int_equal(host_commit(&h), ERR_OK);
	assert_true(host_clean(&h));
	scatter(handle, count / 8, 1, size, 1);
	assert_int_equal(host_reincarnate(&h), 0);
	for (uint32_t i = 0; i < 2 * count - 1; i += 1 + i % 7)
		expect_number(handle, (uint64_t)i * size, i % 2 && i / 2 >= count / 8 ? 0 : i + 1);
	assert_int_equal(host_commit(&h), ERR_OK);
	assert_true(host_clean(&h));
	static const uint32_t cuts[] = {1900, 999, 3, 0}; // per mille
	for (unsigned i = 0; i < 4; i++) {
		uint64_t blocks = 2ull * count * cuts[i] / 2000;
		assert_int_equal(host_call(&h, FS_OP_TRUNCATE, handle, blocks * size, 0, 0, 0, 0), ERR_OK);
		assert_int_equal(host_commit(&h), ERR_OK);
		assert_true(host_clean(&h));
		if (blocks > 2)
			expect_number(handle, 2 * size, 3);
	}
	assert_int_equal(depth_of(handle), 0);
	assert_int_equal(blocks_free(), before);
	finish();
}

// What fallocate makes reads as zeros; writing into it at either end, in the middle, and over all of it.
static void unwritten(void **state)
{
	mount(*state, 20004);
	uint32_t size = h.volume->block_size;
	uint8_t *want = calloc(400, size), *data = malloc(20 * size);
	uint64_t handle = create("u"), litter = create("litter"); // what lies in free blocks is not to be seen
	memset(data, 0xee, 20 * size);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(host_call(&h, FS_OP_WRITE, litter, FS_APPEND, 0, data, 20 * size, 0), ERR_OK);
	assert_int_equal(host_commit(&h), ERR_OK);
	assert_int_equal(named(FS_OP_UNLINK, host_root(&h), 0, "litter"), ERR_OK);
	assert_int_equal(host_call(&h, FS_OP_TRUNCATE, handle, 300ull * size, 0, 0, 0, 0), ERR_OK); // within it: unwritten
	change_image("debugfs -w -R 'fallocate /u 0 299' $f > /dev/null 2>&1");
	handle = host_lookup(&h, host_root(&h), "u");
	uint64_t before = blocks_free();
	fixture_seed(3);
	for (unsigned i = 0; i < 120; i++) {
		uint32_t length = 1 + fixture_random() % (i % 3 ? size : 9 * size);
		uint32_t at = fixture_random() % (300 * size - length);
		at = i == 0 ? 0 : i == 1 ? 300 * size - length : at;
		memset(data, (int)(i + 1), length);
		memcpy(want + at, data, length);
		assert_int_equal(host_call(&h, FS_OP_WRITE, handle, at, 0, data, length, 0), ERR_OK);
	}
	assert_true(blocks_free() + 8 >= before); // nodes of the tree, but no other block
	for (uint32_t at = 0; at < 300; at += 20) {
		assert_int_equal(host_call(&h, FS_OP_READ, handle, (uint64_t)at * size, 0, 0, 0, 20 * size), ERR_OK);
		assert_memory_equal(h.in, want + (size_t)at * size, 20 * size);
	}
	assert_int_equal(host_reincarnate(&h), 0);
	assert_int_equal(host_commit(&h), ERR_OK);
	assert_true(host_clean(&h));
	for (uint32_t at = 0; at < 300; at++)
		assert_int_equal(host_call(&h, FS_OP_WRITE, handle, (uint64_t)at * size, 0, data, size, 0), ERR_OK);
	assert_int_equal(host_call(&h, FS_OP_TRUNCATE, handle, 7, 0, 0, 0, 0), ERR_OK);
	finish();
	free(want);
	free(data);
}

static void large_offsets(void **state)
{
	(void)state;
	mount(EXT4 "-b 1024", 20001);
	uint64_t handle = create("far"), last = (UINT32_MAX - 1ull) * 1024;
	for (uint64_t at = 0; at <= last; at += last / 3)
		assert_int_equal(host_call(&h, FS_OP_WRITE, handle, at, 0, "there", 5, 0), ERR_OK);
	assert_int_equal(host_call(&h, FS_OP_WRITE, handle, last + 1024, 0, "x", 1, 0), ERR_TOO_BIG);
	assert_int_equal(host_call(&h, FS_OP_READ, handle, last / 3 * 3, 0, 0, 0, 5), ERR_OK);
	assert_memory_equal(h.in, "there", 5);
	assert_int_equal(host_call(&h, FS_OP_READ, handle, last / 2, 0, 0, 0, 4), ERR_OK);
	assert_memory_equal(h.in, "\0\0\0", 4);
	finish();
}

// ---- directories ----

static void many_names(uint64_t directory, const char *prefix, unsigned from, unsigned to, uint16_t op)
{
	char name[64];
	for (unsigned i = from; i < to; i++) {
		snprintf(name, sizeof(name), "%s-with-a-rather-long-name-%u", prefix, i);
		assert_int_equal(named(op, directory, 0100644, name), ERR_OK);
	}
}

// e2fsck -D builds the index. Removing keeps it, adding leaves a directory that e2fsck finds right.
static void indexed(unsigned names)
{
	struct inode inode;
	mount(EXT4 "-b 1024 -N 9000", 30001);
	assert_int_equal(named(FS_OP_MKDIR, host_root(&h), 0755, "d"), ERR_OK);
	many_names(h.result[0], "n", 0, names, FS_OP_CREATE);
	change_image("e2fsck -fyD $f > /dev/null 2>&1");
	uint64_t d = host_path(&h, "d");
	assert_int_equal(inode_open(h.volume, d, &inode), ERR_OK);
	assert_true(inode.raw->flags & EXT2_FLAG_INDEX);
	many_names(d, "n", 0, names, FS_OP_LOOKUP);
	many_names(d, "n", 0, names / 3, FS_OP_UNLINK);
	assert_true(inode.raw->flags & EXT2_FLAG_INDEX);
	assert_int_equal(host_commit(&h), ERR_OK);
	assert_true(host_clean(&h));
	many_names(d, "n", names / 3, names, FS_OP_LOOKUP);
	many_names(d, "new", 0, 300, FS_OP_CREATE);
	inode_put(h.volume, &inode);
	assert_int_equal(host_commit(&h), ERR_OK);
	assert_true(host_clean(&h));
	assert_int_equal(host_reincarnate(&h), 0);
	many_names(d, "n", names / 3, names, FS_OP_LOOKUP);
	many_names(d, "new", 0, 300, FS_OP_UNLINK);
	many_names(d, "n", names / 3, names, FS_OP_UNLINK);
	assert_int_equal(named(FS_OP_RMDIR, host_root(&h), 0, "d"), ERR_OK);
	finish();
}

static void indexed_one_level(void **state)
{
	(void)state;
	indexed(600);
}

static void indexed_two_levels(void **state)
{
	(void)state;
	indexed(4000); // more than 123 blocks
}

static void too_many_links(void **state)
{
	struct inode root;
	(void)state;
	mount(EXT4 "-b 1024", 20001);
	assert_int_equal(inode_open(h.volume, host_root(&h), &root), ERR_OK);
	root.raw->links_count = EXT4_LINK_MAX - 1;
	cache_reseal(&h.volume->cache, root.buffer);
	assert_int_equal(named(FS_OP_MKDIR, host_root(&h), 0755, "a"), ERR_OK);
	assert_int_equal(root.raw->links_count, EXT4_LINK_MAX);
	assert_int_equal(named(FS_OP_MKDIR, host_root(&h), 0755, "b"), ERR_OK);
	assert_int_equal(root.raw->links_count, 1);
	assert_int_equal(named(FS_OP_MKDIR, host_root(&h), 0755, "c"), ERR_OK);
	assert_int_equal(named(FS_OP_RMDIR, host_root(&h), 0, "c"), ERR_OK);
	assert_int_equal(root.raw->links_count, 1);
	root.raw->links_count = 5; // what it has: a, b, lost+found
	inode_put(h.volume, &root);
	finish();
}

// ---- a flipped bit in each checksummed structure ----

enum target { DAMAGE_SUPER, DAMAGE_GROUP, DAMAGE_BLOCKS, DAMAGE_INODES, DAMAGE_INODE, DAMAGE_NAMES, DAMAGE_EXTENTS, DAMAGE_INDEX };

static uint32_t block_of(uint64_t handle, uint32_t index)
{
	struct inode inode;
	uint32_t block, run;
	assert_int_equal(inode_open(h.volume, handle, &inode), ERR_OK);
	assert_int_equal(bmap_find(h.volume, &inode, index, 1, &block, &run), ERR_OK);
	inode_put(h.volume, &inode);
	return block;
}

static uint32_t first_node_of(uint64_t handle)
{
	struct inode inode;
	assert_int_equal(inode_open(h.volume, handle, &inode), ERR_OK);
	uint32_t block = ((struct ext4_extent_index *)(void *)&inode.raw->block[3])->child;
	inode_put(h.volume, &inode);
	return block;
}

static uint64_t deep, names, ranked;

static void make_victims(void)
{
	mount(EXT4 "-b 1024 -N 4000", 16001);
	deep = create("deep");
	scatter(deep, 200, 1, 1024, 0);
	assert_int_equal(named(FS_OP_MKDIR, host_root(&h), 0755, "ranked"), ERR_OK);
	many_names(h.result[0], "n", 0, 100, FS_OP_CREATE);
	change_image("e2fsck -fyD $f > /dev/null 2>&1");
	assert_int_equal(named(FS_OP_MKDIR, host_root(&h), 0755, "names"), ERR_OK);
	names = h.result[0];
	many_names(names, "n", 0, 30, FS_OP_CREATE);
	assert_int_equal(host_commit(&h), ERR_OK);
	deep = host_path(&h, "deep");
	ranked = host_path(&h, "ranked");
}

static uint64_t place_of(enum target target)
{
	const struct volume *v = h.volume;
	uint64_t inode = (uint64_t)v->places[0].inode_table * 1024 + (FS_HANDLE_INODE(deep) - 1) * 256;
	switch (target) {
	case DAMAGE_SUPER: return 1024 + 104 + fixture_random() % 920; // not the flag that says that there are checksums
	case DAMAGE_GROUP: return 2048 + fixture_random() % 128;
	case DAMAGE_BLOCKS: return (uint64_t)v->places[0].block_bitmap * 1024 + fixture_random() % 1024;
	case DAMAGE_INODES: return (uint64_t)v->places[0].inode_bitmap * 1024 + fixture_random() % (v->inodes_per_group / 8);
	case DAMAGE_INODE: return inode + fixture_random() % 256;
	case DAMAGE_NAMES: return (uint64_t)block_of(names, 0) * 1024 + fixture_random() % 1024;
	case DAMAGE_EXTENTS: return (uint64_t)first_node_of(deep) * 1024 + fixture_random() % 1024;
	default: return (uint64_t)block_of(ranked, 0) * 1024 + fixture_random() % 40;
	}
}

// Whether what goes by the damaged block says so. Bitmaps cost their group, nothing else.
static bool noticed(enum target target, enum error mounted)
{
	switch (target) {
	case DAMAGE_SUPER: return mounted == ERR_OK && h.volume->read_only; // from the copy in group 1
	case DAMAGE_GROUP: return mounted == ERR_CORRUPT;
	case DAMAGE_BLOCKS:
		return host_call(&h, FS_OP_WRITE, deep, 1024, 0, "x", 1, 0) == ERR_OK && h.volume->places[0].bad_blocks &&
		       host_call(&h, FS_OP_TRUNCATE, deep, 0, 0, 0, 0, 0) == ERR_CORRUPT;
	case DAMAGE_INODES: return named(FS_OP_CREATE, host_root(&h), 0100644, "x") == ERR_OK && h.volume->places[0].bad_inodes;
	case DAMAGE_INODE: return host_call(&h, FS_OP_STAT, deep, 0, 0, 0, 0, 72) == ERR_CORRUPT;
	case DAMAGE_NAMES: return named(FS_OP_LOOKUP, names, 0, "zz") == ERR_CORRUPT;
	case DAMAGE_EXTENTS: return host_call(&h, FS_OP_READ, deep, 0, 0, 0, 0, 4) == ERR_CORRUPT;
	default: return named(FS_OP_LOOKUP, ranked, 0, "zz") == ERR_CORRUPT;
	}
}

static void flipped_bits(void **state)
{
	(void)state;
	make_victims();
	uint8_t *pristine = malloc(h.image.disk.bytes);
	memcpy(pristine, h.image.bytes, h.image.disk.bytes);
	fixture_seed(77);
	fixture_quiet = true;
	for (unsigned i = 0; i < 400; i++) {
		enum target target = i % (DAMAGE_INDEX + 1);
		uint64_t at = place_of(target);
		h.image.bytes[at] ^= (uint8_t)(1u << fixture_random() % 8);
		h.serial = h.mark = 0;
		if (!noticed(target, host_mount(&h)))
			fail_msg("a flipped bit in byte %llu (structure %d) is not noticed", (unsigned long long)at, (int)target);
		memcpy(h.image.bytes, pristine, h.image.disk.bytes);
		assert_int_equal(host_mount(&h), ERR_OK);
	}
	fixture_quiet = false;
	free(pristine);
	finish();
}

static bool everything_is_open(uint64_t handle)
{
	(void)handle;
	return true;
}

// A file that was open when it lost its name is freed at the next mount, unless its inode is damaged.
static void orphans(void **state)
{
	(void)state;
	mount(EXT4 "-b 1024", 20001);
	uint64_t before = blocks_free(), handle = create("open");
	assert_int_equal(host_call(&h, FS_OP_WRITE, handle, 0, 0, "words", 5, 0), ERR_OK);
	h.volume->is_open = everything_is_open;
	assert_int_equal(named(FS_OP_UNLINK, host_root(&h), 0, "open"), ERR_OK);
	assert_int_equal(host_commit(&h), ERR_OK);
	uint64_t at = (uint64_t)h.volume->places[0].inode_table * 1024 + (FS_HANDLE_INODE(handle) - 1) * 256;
	h.image.bytes[at + 50] ^= 4;
	assert_int_equal(host_mount(&h), ERR_OK);
	fixture_quiet = true;
	fsop_free_orphans(h.volume, h.now);
	fixture_quiet = false;
	assert_int_equal(h.volume->corruptions, 1);
	assert_true(blocks_free() < before);
	const struct ext2_super *s = (const struct ext2_super *)(void *)(h.image.bytes + EXT2_SUPER_OFFSET);
	assert_int_equal(s->state, EXT2_STATE_VALID);
	assert_int_equal(host_commit(&h), ERR_OK); // the next commit tells e2fsck that there is something to look for
	assert_int_equal(s->state, EXT2_STATE_VALID | EXT2_STATE_ERROR);
	h.image.bytes[at + 50] ^= 4;
	assert_int_equal(host_mount(&h), ERR_OK);
	fsop_free_orphans(h.volume, h.now);
	assert_int_equal(blocks_free(), before);
	finish();
}

// A default of newer mke2fs: ours stay in the superblock's chain, and the file stays empty.
static void orphans_beside_a_file_for_them(void **state)
{
	(void)state;
	mount("-t ext4 -O orphan_file -b 1024", 20001);
	uint64_t before = blocks_free(), handle = create("open");
	assert_int_equal(host_call(&h, FS_OP_WRITE, handle, 0, 0, "words", 5, 0), ERR_OK);
	h.volume->is_open = everything_is_open;
	assert_int_equal(named(FS_OP_UNLINK, host_root(&h), 0, "open"), ERR_OK);
	assert_int_equal(host_commit(&h), ERR_OK);
	assert_int_equal(host_mount(&h), ERR_OK);
	assert_true(blocks_free() < before);
	fsop_free_orphans(h.volume, h.now);
	assert_int_equal(blocks_free(), before);
	finish();
}

// ---- what the superblock tells of errors ----

static void assert_told(uint32_t count, uint32_t inode, const char *words)
{
	char command[512];
	const struct ext2_super *s = (const struct ext2_super *)(void *)(h.image.bytes + EXT2_SUPER_OFFSET);
	assert_int_equal(s->error_count, count);
	assert_int_equal(s->last_error_inode, inode);
	assert_int_equal(s->state, EXT2_STATE_VALID | EXT2_STATE_ERROR);
	snprintf(command, sizeof(command),
		 "export TZ=UTC; dumpe2fs -h $f 2> /dev/null | tr -s ' ' > $f.log; for w in %s; do grep -q \"^$(echo $w | tr _ ' ')\" $f.log || "
		 "{ echo $w; cat $f.log; exit 1; } >&2; done", words);
	assert_true(host_run(&h, command));
}

static void damage_inode(uint64_t handle, bool damaged)
{
	uint64_t at = (uint64_t)h.volume->places[0].inode_table * 1024 + (FS_HANDLE_INODE(handle) - 1) * h.volume->inode_size;
	h.image.bytes[at + 1] = damaged ? 0xf1 : 0x81; // the type
}

static void stat_fails(uint64_t handle, uint64_t now)
{
	h.now = now;
	assert_int_equal(host_call(&h, FS_OP_STAT, handle, 0, 0, 0, 0, sizeof(struct fs_stat)), ERR_CORRUPT);
}

// Counted and dated as dumpe2fs and Linux show it, whoever found it and however often; e2fsck sets all of it back.
static void errors_are_told(void **state)
{
	mount(*state, 20001);
	uint64_t first = create("first"), second = create("second");
	assert_int_equal(host_commit(&h), ERR_OK);
	assert_int_equal(host_mount(&h), ERR_OK); // or the journal mends it
	damage_inode(first, true);
	damage_inode(second, true);
	assert_int_equal(host_mount(&h), ERR_OK);
	fixture_quiet = true;
	stat_fails(first, 1900000000);
	stat_fails(second, 1900000001);
	assert_int_equal(host_commit(&h), ERR_OK);
	assert_told(2, FS_HANDLE_INODE(second), "FS_Error_count:_2 First_error_time:_Sun_Mar_17_ First_error_inode_#:_12 First_error_err:_EFSCORRUPTED "
		    "Last_error_inode_#:_13 First_error_function: Last_error_line_#:");
	assert_int_equal(host_mount(&h), ERR_OK);
	assert_int_equal(host_commit(&h), ERR_OK); // nothing new
	stat_fails(second, 1900000002);
	assert_int_equal(host_commit(&h), ERR_OK);
	assert_told(3, FS_HANDLE_INODE(second), "FS_Error_count:_3 First_error_inode_#:_12");
	fixture_quiet = false;
	damage_inode(first, false);
	damage_inode(second, false);
	assert_true(host_run(&h, "export E2FSCK_TIME=1900000009; e2fsck -fp $f > $f.log 2>&1; test $? -le 1 && e2fsck -fn $f >> $f.log 2>&1 && "
				 "! dumpe2fs -h $f 2> /dev/null | grep -i 'error count\\|last error\\|with errors' >> $f.log || { cat $f.log >&2; false; }"));
	host_free(&h);
}

// ---- volumes that are not served, or only read ----

static void refused(const char *options, enum error want, const char *sentence)
{
	host_make(&h, options, 16001, 0, 1 << 20, 1 << 19);
	assert_int_equal(host_mount(&h), want);
	assert_string_equal(h.volume->reason, sentence);
	host_free(&h);
}

// As Linux makes it when it resizes a volume in use: the copy says needs_recovery, too.
static void copy_super_to_group_1(void)
{
	uint32_t block = h.volume->blocks_per_group + h.volume->first_data_block;
	struct ext2_super *copy = (struct ext2_super *)(void *)(h.image.bytes + (size_t)block * h.volume->block_size);
	memcpy(copy, h.image.bytes + EXT2_SUPER_OFFSET, sizeof(*copy));
	copy->block_group_nr = 1;
	checksum_super_seal(copy);
}

// The superblock is gone: the copy serves for reading, and the disk stays as it is.
static void backup(const char *options, unsigned kib, bool copied, const char *sentence)
{
	mount(options, kib);
	uint64_t handle = create("kept");
	assert_int_equal(host_call(&h, FS_OP_WRITE, handle, 0, 0, "these words", 11, 0), ERR_OK);
	assert_int_equal(host_commit(&h), ERR_OK);
	if (copied)
		copy_super_to_group_1();
	memset(h.image.bytes + 1024, 0, 1024);
	uint8_t *before = malloc(h.image.disk.bytes);
	memcpy(before, h.image.bytes, h.image.disk.bytes);
	fixture_quiet = true;
	assert_int_equal(host_mount(&h), ERR_OK);
	fixture_quiet = false;
	assert_string_equal(fixture_last_log, sentence);
	assert_int_equal(host_call(&h, FS_OP_READ, host_path(&h, "kept"), 0, 0, 0, 0, 11), ERR_OK);
	assert_memory_equal(h.in, "these words", 11);
	assert_int_equal(named(FS_OP_MKDIR, host_root(&h), 0755, "x"), ERR_READ_ONLY);
	assert_int_equal(host_commit(&h), ERR_OK);
	assert_memory_equal(h.image.bytes, before, h.image.disk.bytes);
	free(before);
	host_free(&h);
}

static void backup_superblocks(void **state)
{
	(void)state;
	static const char copy[] = "fs: using its copy in group 1, read-only: e2fsck is needed";
	static const char journal[] = "fs: its journal may hold newer metadata, which is not read: e2fsck replays it";
	backup(EXT4 "-b 1024", 20001, false, copy);
	backup(EXT4 "-b 1024", 20001, true, copy);
	backup("-t ext2 -b 1024", 20001, false, copy);
	backup(EXT4 "-b 2048", 50000, false, copy);
	backup("-t ext4 -b 1024 -J size=1", 20001, false, journal);
	backup("-t ext4 -b 1024 -J size=1", 20001, true, journal);
}

#define NEEDS "the volume needs features that are not supported: "

static void refusals(void **state)
{
	(void)state;
	refused(EXT4 "-O inline_data", ERR_UNSUPPORTED, NEEDS "inline_data");
	refused(EXT4 "-O encrypt,casefold", ERR_UNSUPPORTED, NEEDS "encrypt, casefold");
	refused(EXT4 "-O meta_bg,^resize_inode", ERR_UNSUPPORTED, NEEDS "meta_bg");
	refused(EXT4 "-O ea_inode,large_dir", ERR_UNSUPPORTED, NEEDS "ea_inode, large_dir");
	refused(EXT4 "-O mmp", ERR_UNSUPPORTED, NEEDS "mmp");
	refused(EXT4 "-O bigalloc -C 16384", ERR_UNSUPPORTED, NEEDS "bigalloc");
}

static void only_read(const char *options, const char *sentence)
{
	host_make(&h, options, 16001, 0, 1 << 20, 1 << 19);
	fixture_quiet = true;
	unsigned logs = fixture_logs;
	assert_int_equal(host_mount(&h), ERR_OK);
	fixture_quiet = false;
	assert_string_equal(fixture_last_log, sentence);
	assert_int_equal(fixture_logs, logs + 1);
	assert_int_equal(named(FS_OP_MKDIR, host_root(&h), 0755, "x"), ERR_READ_ONLY);
	host_free(&h);
}

static void read_only_features(void **state)
{
	(void)state;
	only_read(EXT4 "-O quota", "fs: the volume has features that allow reading only: quota");
	only_read(EXT4 "-O project -I 256", "fs: the volume has features that allow reading only: project");
	only_read(EXT4 "-O verity", "fs: the volume has features that allow reading only: verity");
}

// Features that change nothing but where things are, and where the sums begin.
static void places(void **state)
{
	static const char *const options[] = {"-O sparse_super2", "-O metadata_csum_seed", "-O ^flex_bg", "-O ^resize_inode",
					      "-O ^dir_index,^huge_file,^dir_nlink,^extra_isize"};
	char text[128];
	(void)state;
	for (unsigned i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		snprintf(text, sizeof(text), EXT4 "-b 1024 -g 4096 %s", options[i]);
		mount(text, 20481);
		many_names(host_root(&h), "n", 0, 200, FS_OP_CREATE);
		uint64_t handle = create("f");
		uint8_t *data = calloc(1, 6 << 20);
		assert_int_equal(host_write_all(&h, handle, 0, data, 6 << 20), ERR_OK);
		free(data);
		finish();
	}
}

#define DEEP(name, ...) CASE(name, deep_tree, &(const struct deep){__VA_ARGS__})

// The superblock's counts are sums of those of the groups: wrong ones, in the same boot, are made right by the next commit.
static void counts_are_made_anew(void **state)
{
	mount(*state, 20001);
	(void)create("first");
	assert_int_equal(host_commit(&h), ERR_OK);
	uint32_t blocks = h.volume->super->free_blocks_count, inodes = h.volume->super->free_inodes_count;
	assert_true(host_change(&h, "for n in blocks inodes; do debugfs -w -R \"ssv free_${n}_count 77\" $f; done > /dev/null 2>&1"));
	fixture_quiet = true;
	assert_int_equal(host_reincarnate(&h), 0);
	fixture_quiet = false;
	assert_non_null(strstr(fixture_last_log, "77 free blocks and 77 free inodes"));
	assert_int_equal(h.volume->super->free_blocks_count, blocks);
	assert_int_equal(h.volume->super->free_inodes_count, inodes);
	(void)create("second");
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEEP(deep_1k, EXT4 "-b 1024", 29000, 7919, 3), // more than 4 x 84 x 84 extents
		DEEP(deep_4k, EXT4 "-b 4096", 4001, 1201, 2),
		DEEP(deep_without_checksums, "-t ext4 -O ^has_journal,^metadata_csum,^64bit -b 1024", 5003, 1, 2),
		CASE(unwritten_1k, unwritten, EXT4 "-b 1024"),
		CASE(unwritten_4k, unwritten, EXT4 "-b 4096"),
		cmocka_unit_test(large_offsets),
		cmocka_unit_test(indexed_one_level),	cmocka_unit_test(indexed_two_levels),
		cmocka_unit_test(too_many_links),	cmocka_unit_test(flipped_bits),
		cmocka_unit_test(refusals),		cmocka_unit_test(read_only_features),
		cmocka_unit_test(backup_superblocks),
		cmocka_unit_test(orphans),		cmocka_unit_test(orphans_beside_a_file_for_them),
		CASE(errors_are_told_ext2, errors_are_told, "-b 1024"),
		CASE(errors_are_told_ext4, errors_are_told, EXT4 "-b 1024"),
		CASE(errors_are_told_journal, errors_are_told, "-t ext4 -O ^orphan_file -b 1024"),
		cmocka_unit_test(places),
		CASE(counts_ext2, counts_are_made_anew, "-b 1024"),
		CASE(counts_ext4, counts_are_made_anew, EXT4 "-b 1024"),
		CASE(counts_journal, counts_are_made_anew, "-t ext4 -b 1024"),
	};
	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, 0, 0);
}
