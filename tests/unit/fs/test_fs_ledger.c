// Ledger: what operations do passes, in however many commits and whatever shares one; what is wrong in two places at once, so that each
// of them is well-formed by itself, does not.
#include "tests/unit/fs/judged.h"
#include <stdlib.h>

#define R(n) (fixture_random() % (n))

// ---- no false verdict: a commit after each few operations ----

#define FOLDERS 24u
#define NAMES 12u // few, so that they are used again

static uint64_t folders[FOLDERS], files[FOLDERS];
static uint32_t now_open; // which files are: of handles, by chance, and others after each commit

static bool is_open(uint64_t handle)
{
	return (uint32_t)(handle * 0x9e3779b1u >> 7 ^ now_open) % 4 == 0;
}

static unsigned pick_name(char name[24])
{
	unsigned n = R(NAMES);
	return (unsigned)snprintf(name, 24, n % 5 ? "%c" : "%c-a longer name", 'a' + (int)n);
}

static void note(uint64_t *list, enum error error)
{
	if (error == ERR_OK)
		list[R(FOLDERS)] = h.result[0];
}

static uint64_t any_folder(void)
{
	uint64_t d = folders[R(FOLDERS)];
	return d && R(8) ? d : host_root(&h);
}

static uint8_t bytes[1 << 17];

static void write_some(uint64_t file)
{
	uint64_t offset = R(3) ? FS_APPEND : (uint64_t)R(40) << (R(4) * 5);
	(void)host_call(&h, FS_OP_WRITE, file, offset, 0, bytes, R(3) ? R(3000) : R(sizeof(bytes) / 2), 0);
}

static void two_names(uint16_t op, uint64_t a, uint64_t b)
{
	char both[64];
	unsigned length = pick_name(both) + 1;
	both[length - 1] = 0;
	length += op == FS_OP_SYMLINK ? (memset(both + length, 'x', 30), 30) : pick_name(both + length);
	(void)host_call(&h, op, a, b, 0, both, length, 0);
}

static void long_link(uint64_t d)
{
	char both[400];
	unsigned length = pick_name(both);
	both[length] = 0;
	memset(both + length + 1, 'y', 300);
	(void)host_call(&h, FS_OP_SYMLINK, d, 0, 0, both, length + 301, 0);
}

// Most of it fails in some way, and that is as good.
static void any_operation(void)
{
	char name[24];
	unsigned length = pick_name(name), what = R(100);
	uint64_t d = any_folder(), f = files[R(FOLDERS)];
	h.now += R(3) == 0;
	if (what < 18)
		note(files, host_call(&h, FS_OP_CREATE, d, FS_MODE_FILE | 0644, R(4) == 0 ? FS_CREATE_TRUNCATE : 0, name, length, 0));
	else if (what < 28)
		note(folders, host_call(&h, FS_OP_MKDIR, d, 0755, 0, name, length, 0));
	else if (what < 44)
		write_some(f);
	else if (what < 48)
		(void)host_call(&h, FS_OP_TRUNCATE, f, R(5) ? R(60000) : 0, 0, 0, 0, 0);
	else if (what < 64)
		(void)host_call(&h, FS_OP_UNLINK, d, 0, 0, name, length, 0);
	else if (what < 74)
		(void)host_call(&h, FS_OP_RMDIR, d, 0, 0, name, length, 0);
	else if (what < 86)
		two_names(FS_OP_RENAME, d, R(3) ? any_folder() : d);
	else if (what < 92)
		(void)host_call(&h, FS_OP_LINK, f, d, 0, name, length, 0);
	else if (what < 96)
		R(2) ? two_names(FS_OP_SYMLINK, d, 0) : long_link(d);
	else
		(void)host_call(&h, FS_OP_CHMOD, R(2) ? d : f, R(0777), 0, 0, 0, 0);
}

static unsigned commits, whole;

static void commit_some(void)
{
	now_open = fixture_random();
	fsop_free_orphans(h.volume, h.now);
	bool dirty = h.volume->cache.dirty.count;
	assert_int_equal(host_commit(&h), ERR_OK);
	commits += dirty;
	whole += dirty && !h.volume->unaccounted;
}

static void restart(void)
{
	assert_int_equal(host_reincarnate(&h), 0);
	h.volume->is_open = is_open;
}

struct work {
	const char *options;
	unsigned kib, cache, percent; // of the commits, that are judged in full
	uint64_t seed;
};

static void no_false_verdict(void **state)
{
	const struct work *w = *state;
	unsigned most = getenv("FULL") ? 20000 : 600, logs = fixture_logs;
	fixture_seed(w->seed);
	memset(folders, 0, sizeof(folders));
	memset(files, 0, sizeof(files));
	host_make(&h, w->options, w->kib, 0, w->cache, 1 << 20);
	assert_int_equal(host_mount(&h), ERR_OK);
	h.volume->is_open = is_open;
	for (commits = whole = 0; commits < most; commit_some()) {
		for (unsigned n = R(4) ? 1 + R(6) : R(60); n; n--)
			any_operation();
		if (R(50) == 0)
			restart();
		assert_int_equal(h.volume->corruptions, 0);
	}
	print_message("%u commits, %u judged in full\n", commits, whole);
	assert_true(100 * whole >= w->percent * commits);
	assert_int_equal(fixture_logs, logs);
	h.volume->is_open = 0;
	commit_some();
	h.volume->is_open = is_open;
	now_open = 0;
	while (h.volume->super->last_orphan)
		commit_some();
	assert_true(host_clean(&h));
	host_free(&h);
}

// ---- what is wrong in two places at once ----

// d/f, d/g, d/gone, e/sub and so on: some of before the last commit, some of after it.
static int work(void **state)
{
	host_make(&h, *state, 24576, 0, 2 << 20, 1 << 20);
	assert_int_equal(host_mount(&h), ERR_OK);
	uint64_t root = host_root(&h), d = make(root, FS_OP_MKDIR, 0755, "d"), e = make(root, FS_OP_MKDIR, 0755, "e");
	uint64_t f = make(d, FS_OP_CREATE, FS_MODE_FILE | 0644, "f");
	make(d, FS_OP_CREATE, FS_MODE_FILE | 0644, "h");
	assert_int_equal(host_write_all(&h, f, 0, bytes, 3000), ERR_OK);
	assert_int_equal(host_commit(&h), ERR_OK);
	uint64_t g = make(d, FS_OP_CREATE, FS_MODE_FILE | 0644, "g");
	make(e, FS_OP_MKDIR, 0755, "sub");
	make(d, FS_OP_MKDIR, 0755, "other");
	assert_int_equal(host_write_all(&h, f, 3000, bytes, 3000), ERR_OK);
	assert_int_equal(host_write_all(&h, g, 0, bytes, 3000), ERR_OK);
	return 0;
}

static struct ext2_inode *raw_of(const char *path)
{
	struct inode inode;
	assert_int_equal(inode_open(h.volume, host_path(&h, path), &inode), ERR_OK);
	struct ext2_inode *raw = inode.raw;
	assert_true(inode.buffer->flags & BUFFER_DIRTY && inode.buffer->base);
	inode_put(h.volume, &inode);
	return raw;
}

static uint32_t number_of(const char *path)
{
	return FS_HANDLE_INODE(host_path(&h, path));
}

static struct ext2_entry *entry_of(const char *folder, const char *name)
{
	struct inode inode;
	struct entry_place place;
	assert_int_equal(inode_open(h.volume, host_path(&h, folder), &inode), ERR_OK);
	assert_int_equal(directory_find(h.volume, &inode, (const uint8_t *)name, (unsigned)strlen(name), &place), ERR_OK);
	assert_true(place.buffer->flags & BUFFER_DIRTY);
	inode_put(h.volume, &inode);
	directory_put(h.volume, &place);
	return place.entry;
}

static const char names[] = "names lead to other inodes", dots[] = "lead to other directories", chain[] = "chain of orphans";

static void links(void **state)
{
	(void)state;
	struct ext2_entry *f = entry_of("d", "f"), *g = entry_of("d", "g"), *sub = entry_of("e", "sub"), *other = entry_of("d", "other");
	struct ext2_inode *file = raw_of("d/f");
	judged(0);
	CHANGED(g->inode, f->inode, names);
	CHANGED(f->inode, g->inode, names);
	CHANGED(g->inode, 0, names);
	CHANGED(sub->inode, other->inode, names);
	CHANGED(raw_of("d/g")->links_count, 2, names);
	CHANGED(file->links_count, 2, names);
	CHANGED(file->links_count, 0, names);
	g->inode = f->inode; // as a second name of f: but then g has none
	file->links_count = 2;
	judged(names);
}

static void parents(void **state)
{
	(void)state;
	struct ext2_inode *d = raw_of("d"), *e = raw_of("e");
	struct ext2_entry *dot = entry_of("e/sub", "."), *up = entry_of("e/sub", "..");
	CHANGED(d->links_count, 4, dots);
	CHANGED(up->inode, number_of("d"), dots);
	CHANGED(dot->inode, number_of("e"), dots);
	d->links_count--; // the sum of all is as it was
	e->links_count++;
	judged(dots);
	e->links_count--;
	d->links_count++;
	judged(0);
}

static bool all_open(uint64_t handle)
{
	(void)handle;
	return true;
}

// Last names that go, and who lives on without one.
static void orphans(void **state)
{
	(void)state;
	h.volume->is_open = all_open;
	uint64_t one = host_path(&h, "d/h"), two = host_path(&h, "d/f"), d = host_path(&h, "d");
	assert_int_equal(host_call(&h, FS_OP_UNLINK, d, 0, 0, "h", 1, 0), ERR_OK);
	assert_int_equal(host_call(&h, FS_OP_UNLINK, d, 0, 0, "f", 1, 0), ERR_OK);
	judged(0);
	struct inode inode;
	assert_int_equal(inode_get(h.volume, FS_HANDLE_INODE(two), &inode), ERR_OK);
	assert_int_equal(inode.raw->dtime, FS_HANDLE_INODE(one));
	CHANGED(h.volume->super->last_orphan, 0, chain);
	CHANGED(h.volume->super->last_orphan, FS_HANDLE_INODE(one), chain);
	CHANGED(inode.raw->dtime, 0, chain);
	CHANGED(inode.raw->dtime, FS_HANDLE_INODE(two), chain);
	inode_put(h.volume, &inode);
}

static void inode_bits(void **state)
{
	(void)state;
	struct buffer *map = dirty_of(BLOCK_INODE_BITMAP);
	struct ext2_group *group = volume_group(h.volume, map->owner);
	uint32_t next = alloc_inodes_used(h.volume, map->owner);
	CHANGED(group->used_dirs_count, (uint16_t)(group->used_dirs_count + 1), "groups count other directories");
	map->data[next / 8] |= (uint8_t)(1u << next % 8); // taken, by all counts, and nothing is there
	group->free_inodes_count--;
	group->unused_inodes--;
	h.volume->super->free_inodes_count--;
	judged("bits of inode bitmaps");
}

static void block_bits(void **state)
{
	(void)state;
	struct buffer *map = dirty_of(BLOCK_BLOCK_BITMAP);
	struct ext4_extent *e = (struct ext4_extent *)(void *)&raw_of("d/g")->block[3];
	struct ext4_extent *old = (struct ext4_extent *)(void *)&raw_of("d")->block[3];
	uint32_t bit = old->start - volume_group_first(h.volume, map->owner), last = h.volume->block_size * 8 - 400;
	CHANGED(e->start, e->start - 1, "bits of block bitmaps"); // in use, but by somebody else
	assert_true(map->data[bit / 8] >> bit % 8 & 1 && map->data[last / 8] == 0);
	map->data[last / 8] = 1;
	map->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	judged("bits of block bitmaps");
}

// What goes with the blocks of a directory, of those that a commit knew and of those that it did not.
static void directories_that_go(void **state)
{
	(void)state;
	assert_int_equal(host_commit(&h), ERR_OK);
	uint64_t root = host_root(&h), d = host_path(&h, "d"), new = make(d, FS_OP_MKDIR, 0755, "new");
	make(new, FS_OP_CREATE, FS_MODE_FILE | 0644, "x");
	assert_int_equal(host_call(&h, FS_OP_UNLINK, new, 0, 0, "x", 1, 0), ERR_OK);
	assert_int_equal(host_call(&h, FS_OP_RMDIR, d, 0, 0, "new", 3, 0), ERR_OK);
	assert_false(h.volume->freed.used);
	for (const char *name = "fgh"; *name; name++)
		assert_int_equal(host_call(&h, FS_OP_UNLINK, d, 0, 0, name, 1, 0), ERR_OK);
	assert_int_equal(host_call(&h, FS_OP_RMDIR, d, 0, 0, "other", 5, 0), ERR_OK);
	assert_int_equal(host_call(&h, FS_OP_RMDIR, root, 0, 0, "d", 1, 0), ERR_OK);
	judged(0);
	assert_int_equal(h.volume->freed.unknown, 0);
	CHANGED_ONCE(h.volume->freed.sum[LEDGER_NAMES], 0, names);
	CHANGED_ONCE(h.volume->freed.sum[LEDGER_PARENTS], 0, dots);
	assert_int_equal(host_commit(&h), ERR_OK);
	assert_false(h.volume->freed.used);
}

// A tree of several nodes goes with its file; an operation that is undone takes nothing out.
static void trees_that_go(void **state)
{
	(void)state;
	uint64_t d = host_path(&h, "d"), f = host_path(&h, "d/f");
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(host_write_all(&h, f, 8192 * (1 + i), bytes, 10), ERR_OK);
	assert_int_equal(host_commit(&h), ERR_OK);
	fixture_fail_point = "fs.alloc";
	char both[] = "f\0h";
	struct ledger none = {0};
	assert_int_equal(host_call(&h, FS_OP_TRUNCATE, f, 8192 * 150, 0, 0, 0, 0), ERR_OK);
	fixture_fail_point = 0;
	judged(0);
	assert_true(h.volume->freed.used);
	CHANGED_ONCE(h.volume->freed.sum[LEDGER_BLOCKS], 0, "bits of block bitmaps");
	assert_int_equal(host_commit(&h), ERR_OK);
	assert_memory_equal(&h.volume->freed, &none, sizeof(none));
	assert_int_equal(host_call(&h, FS_OP_RENAME, d, d, 0, both, sizeof(both) - 1, 0), ERR_OK);
	assert_int_equal(host_call(&h, FS_OP_UNLINK, d, 0, 0, "h", 1, 0), ERR_OK);
	judged(0);
}

static void maps_that_are_made(void **state)
{
	(void)state;
	char name[8];
	uint64_t root = host_root(&h);
	for (unsigned i = 0; i < 150; i++) {
		snprintf(name, sizeof(name), "%u", i);
		assert_int_equal(host_write_all(&h, make(root, FS_OP_CREATE, FS_MODE_FILE | 0644, name), 0, bytes, 4000), ERR_OK);
	}
	judged(0);
	unsigned made = 0;
	for (struct buffer *b = h.volume->cache.dirty.first; b; b = b->next) {
		if ((b->kind != BLOCK_INODE_BITMAP && b->kind != BLOCK_BLOCK_BITMAP) || !(b->flags & BUFFER_MADE))
			continue;
		CHANGED_ONCE(b->data[4], (uint8_t)(b->data[4] ^ 1), "descriptor counts");
		made |= 1u << (b->kind - BLOCK_BLOCK_BITMAP);
	}
	assert_int_equal(made, 3);
}

#define EXT4 "-t ext4 "
#define WORK(name, ...) CASE(name, no_false_verdict, &(const struct work){__VA_ARGS__})

int main(void)
{
#define JUDGED(name, options) {#name, name, work, no_work, (void *)(uintptr_t)(options)}
	const struct CMUnitTest tests[] = {
		JUDGED(links, EXT4 "-b 1024"), JUDGED(parents, EXT4 "-b 1024"), JUDGED(orphans, EXT4 "-b 1024"),
		JUDGED(inode_bits, EXT4 "-b 1024"), JUDGED(block_bits, EXT4 "-b 1024"), JUDGED(directories_that_go, EXT4 "-b 1024"),
		JUDGED(trees_that_go, EXT4 "-b 1024"), JUDGED(maps_that_are_made, EXT4 "-b 1024 -g 1024 -G 4 -N 2000"),
		WORK(ext4_4k, EXT4 "-b 4096", 60000, 2 << 20, 90, 1),
		WORK(ext4_1k, EXT4 "-b 1024", 24576, 1 << 20, 99, 2),
		WORK(ext4_small_groups, EXT4 "-b 1024 -g 1024 -G 4 -N 2000", 20481, 1 << 20, 99, 3),
		WORK(ext4_small_and_full, EXT4 "-b 1024 -N 200 -m 0 -J size=1", 4000, 1 << 20, 99, 4),
		WORK(ext4_little_memory, EXT4 "-b 1024", 24576, 160 << 10, 10, 5),
		WORK(ext4_no_journal, EXT4 "-O ^has_journal -b 1024", 24576, 1 << 20, 99, 6),
		WORK(ext4_no_sums, EXT4 "-O ^metadata_csum,^uninit_bg -b 2048", 24576, 1 << 20, 90, 7),
		WORK(ext2, "-b 1024 -I 128", 20000, 1 << 20, 0, 8),
		WORK(ext2_no_types, "-b 1024 -I 256 -O ^filetype,^dir_index", 20000, 1 << 20, 0, 9),
	};
	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, 0, 0);
}
