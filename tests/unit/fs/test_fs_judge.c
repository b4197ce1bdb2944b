// Judge and seals: what is changed in memory behind the server's back is not committed, and what operations do is.
#include "servers/fs/seal.h"
#include "tests/unit/fs/judged.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static uint8_t bytes[40000];

// Something of each kind is dirty, and had a content that the disk has.
static int work(void **state)
{
	host_make(&h, *state, 24576, 0, 2 << 20, 1 << 20);
	assert_int_equal(host_mount(&h), ERR_OK);
	uint64_t root = host_root(&h), d = make(root, FS_OP_MKDIR, 0755, "d"), f = make(d, FS_OP_CREATE, FS_MODE_FILE | 0644, "f");
	uint64_t holes = make(d, FS_OP_CREATE, FS_MODE_FILE | 0644, "holes");
	assert_int_equal(host_write_all(&h, f, 0, bytes, sizeof(bytes)), ERR_OK);
	for (unsigned i = 0; i < 6; i++) // more extents than the inode has room for
		assert_int_equal(host_write_all(&h, holes, 20000 * i, bytes, 100), ERR_OK);
	assert_int_equal(host_commit(&h), ERR_OK);
	make(d, FS_OP_CREATE, FS_MODE_FILE | 0644, "g");
	assert_int_equal(host_write_all(&h, f, sizeof(bytes), bytes, 3000), ERR_OK);
	assert_int_equal(host_write_all(&h, holes, 200000, bytes, 100), ERR_OK);
	return 0;
}

static void superblock(void **state)
{
	(void)state;
	struct ext2_super *s = h.volume->super;
	assert_true(judged_good());
	CHANGED(s->uuid[3], 7, "fields that nothing writes");
	CHANGED(s->magic, 0xef51, "fields that nothing writes");
	CHANGED(s->feature_ro_compat, s->feature_ro_compat ^ EXT2_RO_SPARSE_SUPER, "fields that nothing writes");
	CHANGED(s->error_count, 1, "fields that nothing writes");
	CHANGED(s->state, 3, "fields that nothing writes");
	CHANGED(s->last_orphan, h.volume->inodes + 1, "first orphan");
	CHANGED(s->free_blocks_count, h.volume->blocks + 1, "as free");
	CHANGED(s->free_blocks_count, s->free_blocks_count - 1, "its groups");
	CHANGED(s->free_inodes_count, s->free_inodes_count ^ 4, "its groups");
	CHANGED(h.volume->super_buffer->data[0], 1, "neighbours");
}

static void descriptors(void **state)
{
	(void)state;
	struct ext2_group *g = volume_group(h.volume, 0);
	CHANGED(g->inode_table, g->inode_table + 1, "fields that nothing writes");
	CHANGED(g->flags, (uint16_t)(g->flags | 64), "fields that nothing writes");
	CHANGED(g->free_blocks_count, 9000, "group 0 counts 9000");
	CHANGED(g->used_dirs_count, 9000, "9000 directories");
	CHANGED(g->free_blocks_count, (uint16_t)(g->free_blocks_count - 1), "descriptor counts");
	CHANGED(g->free_inodes_count, (uint16_t)(g->free_inodes_count - 1), "descriptor counts");
	CHANGED(g->unused_inodes, (uint16_t)(g->unused_inodes + 1), "said to be used ever");
	struct ext2_group *other = volume_group(h.volume, 1);
	CHANGED(other->free_blocks_count, (uint16_t)(other->free_blocks_count - 1), "its bitmap has not changed");
	CHANGED(other->inode_bitmap_checksum, (uint16_t)(other->inode_bitmap_checksum + 1), "a bitmap that has not");
	uint8_t *behind = h.volume->descriptors[0]->data + h.volume->groups * h.volume->descriptor_size;
	CHANGED(*behind, 1, "behind the last group");
}

static void bitmaps(void **state)
{
	(void)state;
	struct buffer *blocks = dirty_of(BLOCK_BLOCK_BITMAP), *inodes = dirty_of(BLOCK_INODE_BITMAP);
	CHANGED(blocks->data[0], (uint8_t)(blocks->data[0] ^ 1), "bits that nothing gives out"); // the descriptors
	CHANGED(inodes->data[h.volume->block_size - 1], 0x7f, "bits that nothing gives out");
	CHANGED(blocks->data[h.volume->block_size - 1], (uint8_t)(blocks->data[h.volume->block_size - 1] ^ 0x40), "has");
	CHANGED(inodes->data[1], (uint8_t)(inodes->data[1] ^ 0x20), "descriptor counts");
	CHANGED(inodes->data[1], (uint8_t)(inodes->data[1] & ~1), "descriptor counts");
}

static struct ext2_inode *raw_of(const char *path, struct buffer **b)
{
	struct inode inode;
	assert_int_equal(inode_open(h.volume, host_path(&h, path), &inode), ERR_OK);
	*b = inode.buffer;
	struct ext2_inode *raw = inode.raw;
	inode_put(h.volume, &inode);
	assert_true((*b)->flags & BUFFER_DIRTY);
	return raw;
}

static void inodes(void **state)
{
	(void)state;
	struct buffer *b;
	struct ext2_inode *raw = raw_of("d/f", &b);
	struct ext4_extent *e = (struct ext4_extent *)(void *)&raw->block[3];
	CHANGED(raw->mode, 0644, "has no type");
	CHANGED(raw->mode, 0010644, "has no extents");
	CHANGED(raw->mode, FS_MODE_DIRECTORY | 0755, "another size");
	CHANGED(raw->uid, 1, "fields that nothing writes");
	CHANGED(raw->crtime, raw->crtime ^ 8, "fields that nothing writes");
	CHANGED(raw->extra_isize, 28, "fields that nothing writes");
	CHANGED(((uint8_t *)raw)[250], 1, "fields that nothing writes");
	CHANGED(raw->dtime, 5, "time of deletion");
	CHANGED(raw->blocks, raw->blocks + 2, "another number of blocks");
	CHANGED(raw->size, 100, "another size");
	CHANGED(raw->block[0], 0, "damaged header");
	CHANGED(e->start, 1, "no data blocks");
	CHANGED(e->start, e->start + 2000, "are free");
	CHANGED(e->length, 0, "overlap");
	CHANGED(b->changed, 0, "no operation has named");
	CHANGED(b->data[1020], 1, "no operation has named");
	raw = raw_of("d/g", &b);
	CHANGED(raw->file_acl, 9, "another number of blocks");
	CHANGED(raw->gid, 1, "fields that nothing writes");
	CHANGED(raw->flags, raw->flags | EXT2_FLAG_IMMUTABLE, "fields that nothing writes");
	CHANGED(((uint8_t *)raw)[250], 1, "fields that nothing writes");
}

static void trees(void **state)
{
	(void)state;
	struct buffer *b = dirty_of(BLOCK_EXTENTS);
	struct ext4_extent_header *header = (struct ext4_extent_header *)(void *)b->data;
	struct ext4_extent *e = (struct ext4_extent *)(void *)(header + 1);
	CHANGED(header->magic, 0xf30b, "damaged header");
	CHANGED(header->max, 7, "damaged header");
	CHANGED(e[1].block, 0, "overlap");
	CHANGED(e[6].start, e[6].start + 2000, "are free");
	CHANGED(header->entries, 200, "extent tree");
	CHANGED(header->depth, 1, "extent tree");
	CHANGED(e[6].block, 937216, "wrong place, or behind its end");
	CHANGED(e[0].block, 1, "wrong place, or behind its end");
}

static void directories(void **state)
{
	(void)state;
	struct buffer *b = dirty_of(BLOCK_DIRECTORY);
	struct ext2_entry *e = (struct ext2_entry *)(void *)(b->data + 24); // behind '.' and '..': "f"
	assert_memory_equal(e + 1, "f", 1);
	CHANGED(e->record, 14, "entry at byte 24 is damaged");
	CHANGED(e->record, 2000, "is damaged");
	CHANGED(e->name_length, 200, "is damaged");
	CHANGED(e->inode, h.volume->inodes + 1, "is damaged");
	CHANGED(e->inode, h.volume->inodes - 5, "is free or another");
	CHANGED(e->inode, 2, "is free or another");
	CHANGED(e->type, EXT2_TYPE_SYMLINK, "is free or another");
	CHANGED(*(char *)(e + 1), '/', "by no name");
	CHANGED(*(char *)(e + 1), 0, "by no name");
	CHANGED(b->kind, BLOCK_INDEX, "index of a directory");
}

// ---- of all bits that flip, how many are missed? ----

// Of 1000. What nobody can tell: times, modes and sizes of files that have changed; behind the entries of directories and trees,
// of which these have few, there is only what nobody reads.
static const uint16_t unnoticed_max[BLOCK_ATTRIBUTES + 1] = {
	[BLOCK_SUPER] = 20, [BLOCK_DESCRIPTORS] = 20, [BLOCK_INODES] = 200, [BLOCK_DIRECTORY] = 960, [BLOCK_EXTENTS] = 940,
};

static void every_bit(void **state)
{
	(void)state;
	fixture_quiet = true;
	unsigned flipped[BLOCK_ATTRIBUTES + 1] = {0}, missed[BLOCK_ATTRIBUTES + 1] = {0};
	for (struct buffer *b = h.volume->cache.dirty.first; b; b = b->next) {
		for (uint32_t bit = 0; b->kind != BLOCK_UNKNOWN && b->base && bit < 8 * h.volume->block_size; bit += 3) {
			b->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
			flipped[b->kind]++;
			missed[b->kind] += judged_good();
			b->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
	}
	fixture_quiet = false;
	bool failed = false;
	assert_true(judged_good());
	for (unsigned k = BLOCK_SUPER; k <= BLOCK_EXTENTS; k++) {
		print_message("kind %u: %u of %u flipped bits would be committed\n", k, missed[k], flipped[k]);
		if (k == BLOCK_INDEX) // is not changed
			continue;
		assert_true(flipped[k] > 0);
		failed |= missed[k] * 1000 > unnoticed_max[k] * flipped[k];
	}
	assert_false(failed);
}

// ---- twice is the disk ----

static void second_verdict_is_no_death(void **state)
{
	(void)state;
	struct ext2_group *g = volume_group(h.volume, 0);
	uint16_t directories = g->used_dirs_count;
	checksum_seal(h.volume);
	g->used_dirs_count = 9000;
	checksum_seal(h.volume);
	assert_false(judge_commit(h.volume));
	assert_non_null(strstr(fixture_last_log, "not committed"));
	assert_true(judge_commit(h.volume));
	assert_non_null(strstr(fixture_last_log, "judged so twice"));
	g->used_dirs_count = directories;
	checksum_seal(h.volume);
	assert_true(judge_commit(h.volume)); // and all is forgotten
	assert_int_equal(commit_flags(h.volume->disk) >> COMMIT_CONDEMNED_SHIFT, 0);
}

// Sums that are made wrong are all other ones: a few are taken again.
static void sums_are_taken_again(void **state)
{
	(void)state;
	struct buffer *b;
	(void)raw_of("d/f", &b);
	struct ext2_inode *first = (struct ext2_inode *)(void *)(b->data + (size_t)__builtin_ctz(b->changed) * h.volume->inode_size);
	checksum_seal(h.volume);
	first->checksum_lo ^= 0x10;
	h.volume->samples = 0; // of inodes
	assert_false(judge_commit(h.volume));
	assert_non_null(strstr(fixture_last_log, "its checksum is wrong"));
	first->checksum_lo ^= 0x10;
	assert_true(judge_commit(h.volume));
	struct buffer *directory = dirty_of(BLOCK_DIRECTORY);
	directory->data[h.volume->block_size - 1] ^= 0x10;
	unsigned found = 0;
	for (unsigned i = 0; i < 2 * h.volume->cache.dirty.count; i++) {
		found += !judge_commit(h.volume);
		commit_set_facts(h.volume->disk, commit_time_base(h.volume->disk), 0);
	}
	assert_int_equal(found, 1);
	directory->data[h.volume->block_size - 1] ^= 0x10;
	assert_int_equal(host_commit(&h), ERR_OK);
}

// The same for the journal's tags: each block has its turn, by the number of the commit.
static void tags_are_taken_again(void **state)
{
	(void)state;
	unsigned died = 0, summed = 0;
	checksum_seal(h.volume);
	for (struct buffer *b = h.volume->cache.dirty.first; b; b = b->next) {
		summed += b->summed;
		b->sum ^= 1;
	}
	for (unsigned i = 0, children = h.volume->cache.dirty.count; i < children; i++) {
		uint32_t count;
		int status;
		h.volume->log.header->sequence = i;
		pid_t child = fork();
		if (child == 0) {
			signal(SIGABRT, SIG_DFL);
			(void)commit_copy(&h.volume->log, &h.volume->cache, 1, &count);
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		died += WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
	}
	assert_true(summed >= 5 && died >= summed);
}

// An escape that is undone in a block that has none would put the magic number of the journal over the block's own first word.
static void escapes_are_looked_at(void **state)
{
	(void)state;
	uint32_t count;
	int status;
	assert_int_equal(fsop_commit_begin(h.volume, 1, &count), ERR_OK);
	assert_int_equal(fsop_commit_write(h.volume), ERR_OK);
	pid_t child = fork();
	if (child == 0) {
		signal(SIGABRT, SIG_DFL);
		jbd2_put(h.volume->log.data + (size_t)(count - 2) * h.volume->block_size, JBD2_MAGIC);
		(void)commit_checkpoint(&h.volume->log);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_int_equal(commit_checkpoint(&h.volume->log), ERR_OK);
	fsop_commit_end(h.volume);
	assert_true(host_clean(&h));
}

// Or lives, and finds nothing amiss.
static bool ends_by_abort(pid_t child)
{
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGABRT : WEXITSTATUS(status) == 0);
	return WIFSIGNALED(status);
}

// INV-72. Whether a commit dies in whose course the fixture does that to the n-th write or flush.
static bool commit_dies(unsigned *what, unsigned n)
{
	uint32_t count;
	fflush(0);
	pid_t child = fork();
	if (child == 0) {
		signal(SIGABRT, SIG_DFL);
		*what = n;
		if (fsop_commit_begin(h.volume, 1, &count) != ERR_OK || fsop_commit_write(h.volume) != ERR_OK ||
		    commit_checkpoint(&h.volume->log) != ERR_OK)
			_exit(2);
		fsop_commit_end(h.volume);
		_exit(*what == 0); // 1: it was met, and nobody minds
	}
	return ends_by_abort(child);
}

// Of writes and flushes that a commit owes, none can be left out, and no write can go elsewhere.
static void writes_are_owed(void **state)
{
	(void)state;
	struct image *image = &h.image;
	unsigned lost = 0, strayed = 0, unflushed = 0;
	while (commit_dies(&image->lose_write, lost + 1))
		lost++;
	while (commit_dies(&image->stray_write, strayed + 1))
		strayed++;
	while (commit_dies(&image->lose_flush, unflushed + 1))
		unflushed++;
	assert_true(strayed == lost && lost >= (h.volume->has_journal ? 4 : 2));
	assert_int_equal(unflushed, h.volume->has_journal ? 2 : 1);
	assert_int_equal(host_commit(&h), ERR_OK);
	assert_true(host_clean(&h));
}

// Nothing of a record may go but to its places.
static void places_are_known(void **state)
{
	(void)state;
	uint32_t count, run, in_place = 0, journalled = 0;
	assert_int_equal(fsop_commit_begin(h.volume, 1, &count), ERR_OK);
	const struct commit_log *log = &h.volume->log;
	const struct commit_header *header = log->header;
	for (uint32_t i = 0; i < header->count; i++) {
		const struct commit_entry *e = &log->entries[i];
		for (uint32_t block = 0; block < h.volume->blocks; block++) {
			bool own = e->kind != COMMIT_JOURNAL && block == e->block, its = false;
			if (log->journal.area && i >= header->in_place)
				its = block == journal_block(log->journal.area,
							     journal_next(log->journal.area, header->start, i - header->in_place), &run);
			assert_int_equal(commit_has_place(&h.image.disk, block, i, 1), own || its);
			in_place += own;
			journalled += its;
		}
	}
	assert_false(commit_has_place(&h.image.disk, log->entries[0].block, 0, header->count));
	assert_false(commit_has_place(&h.image.disk, log->entries[0].block, header->count, 1));
	assert_int_equal(in_place, count);
	assert_true(journalled == header->count - header->in_place || !log->journal.area);
	assert_int_equal(fsop_commit_write(h.volume), ERR_OK);
	assert_int_equal(commit_checkpoint(&h.volume->log), ERR_OK);
	fsop_commit_end(h.volume);
}

static void first_finding_is_doubted(void **state)
{
	(void)state;
	struct volume *v = h.volume;
	const struct damage it = {.function = __func__, .line = 7, .inode = 12}, other = {.function = __func__, .line = 7, .inode = 13};
	assert_false(damage_is_doubted(v, &it)); // while it is mounted
	v->doubts = true;
	assert_true(damage_is_doubted(v, &it));
	assert_false(damage_is_doubted(v, &it));
	assert_true(damage_is_doubted(v, &other)); // that the one was there says nothing of the other
	assert_false(damage_is_doubted(v, &other));
	assert_false(damage_is_doubted(v, &it));
	struct damage many = it;
	unsigned deaths = 2;
	for (many.block = 1; many.block < 1000; many.block++)
		deaths += damage_is_doubted(v, &many);
	assert_int_equal(deaths, 16);
	v->doubts = false;
	assert_int_equal(host_call(&h, FS_OP_LOOKUP, FS_HANDLE(EXT2_ROOT_INODE, 0), 0, 0, "no", 2, 0), ERR_NOT_FOUND);
	assert_int_equal(volume_corrupt(v, 0, 0, "as the disk is"), ERR_CORRUPT);
	v->doubts = true;
	uint64_t root = host_root(&h);
	for (unsigned i = 0; i < 40; i++) { // it was found again: no commit makes it doubtful
		assert_int_equal(host_call(&h, FS_OP_CHMOD, root, 0700 + i % 2, 0, 0, 0, 0), ERR_OK);
		assert_int_equal(host_commit(&h), ERR_OK);
	}
	assert_false(damage_is_doubted(v, &it));
	v->corruptions = v->good_commits = 0;
	for (unsigned i = 0; i < 16; i++) {
		assert_false(damage_is_doubted(v, &it));
		assert_int_equal(host_call(&h, FS_OP_CHMOD, root, 0700 + i % 2, 0, 0, 0, 0), ERR_OK);
		assert_int_equal(host_commit(&h), ERR_OK);
	}
	assert_true(damage_is_doubted(v, &it));
}

// ---- seals ----

static bool copy_dies(void)
{
	uint32_t count;
	fflush(0);
	pid_t child = fork();
	if (child == 0) {
		signal(SIGABRT, SIG_DFL);
		_exit(commit_copy(&h.volume->log, &h.volume->cache, 1, &count) != ERR_OK);
	}
	return ends_by_abort(child);
}

// A bit that flips in metadata behind its checksums and the judge, before it is copied for the commit.
static void copy_is_what_was_summed(void **state)
{
	(void)state;
	unsigned flipped = 0;
	checksum_seal(h.volume);
	for (struct buffer *b = h.volume->cache.dirty.first; b; b = b->next) {
		uint8_t *at = b->data + fixture_random() % h.volume->block_size, bit = (uint8_t)(1u << fixture_random() % 8);
		if (!b->kind)
			continue;
		*at ^= bit;
		assert_true(copy_dies());
		*at ^= bit;
		flipped++;
	}
	assert_true(flipped >= 5);
	assert_false(copy_dies());
}

static void sum_sees_each_bit(void **state)
{
	(void)state;
	static _Alignas(8) uint8_t block[1024], copy[1024];
	for (unsigned i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)fixture_random();
	uint64_t sum = seal_sum(block, sizeof(block));
	assert_int_equal(seal_copy(copy, block, sizeof(block)), sum);
	assert_memory_equal(copy, block, sizeof(block));
	assert_int_equal(seal_difference(block, copy, 0, 128), 128);
	for (unsigned bit = 0; bit < 8 * sizeof(block); bit++) {
		block[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(seal_sum(block, sizeof(block)), sum);
		assert_int_equal(seal_copy(copy, block, sizeof(block)), seal_sum(block, sizeof(block)));
		copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
		for (unsigned from = 0; from < 20; from++)
			assert_int_equal(seal_difference(block, copy, from, 128), bit / 64 >= from ? bit / 64 : 128);
		block[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

// After a commit, and after it was read, metadata has a seal that is right; what is dirty has none.
static void what_is_clean_is_sealed(void **state)
{
	(void)state;
	unsigned sealed = 0;
	for (struct buffer *b = h.volume->cache.dirty.first; b; b = b->next)
		assert_int_equal(b->seal, 0);
	assert_int_equal(host_commit(&h), ERR_OK);
	for (struct buffer *b = h.volume->cache.idle.first; b; b = b->next) {
		if (!b->kind || !(b->flags & BUFFER_VALID))
			continue;
		assert_int_equal(b->seal, seal_sum(b->data, h.volume->block_size));
		sealed++;
	}
	assert_true(sealed >= 6);
	assert_int_equal(h.volume->super_buffer->seal, seal_sum(h.volume->super_buffer->data, h.volume->block_size));
	assert_int_equal(h.volume->cache.bases, 0);
}

static unsigned sealed_content(const uint8_t *data)
{
	unsigned n = 0;
	for (struct buffer *b = h.volume->cache.dirty.first; b; b = b->next)
		for (unsigned i = 0; i < 3 && b->seal; i++)
			n += b->seal == seal_sum(data + 4096 * i, 4096) && memcmp(b->data, data + 4096 * i, 4096) == 0;
	return n;
}

// What is written in whole blocks has the sum that was taken when it left the client's memory, in its commit's record too.
static void content_has_the_sum_of_the_payload(void **state)
{
	static _Alignas(8) uint8_t data[3 * 4096];
	uint64_t file = host_path(&h, "d/f"), mark;
	uint32_t count;
	(void)state;
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)fixture_random();
	struct payload_sum sum;
	struct request r = {.op = FS_OP_WRITE, .arg = {file}, .out_length = sizeof(data)};
	struct fs_call call = {&r, data, h.in, h.now, 0, &sum};
	payload_begin(&sum, 7);
	assert_int_equal(fsop_perform(h.volume, &call, h.result), ERR_OK);
	assert_int_equal(sealed_content(data), 3);
	struct request part = {.op = FS_OP_WRITE, .arg = {file, 4096 + 8}, .out_length = 64};
	struct fs_call again = {&part, data, h.in, h.now, 0, &sum};
	payload_begin(&sum, 7);
	assert_int_equal(fsop_perform(h.volume, &again, h.result), ERR_OK);
	assert_int_equal(sealed_content(data), 2);
	struct buffer *b = h.volume->cache.dirty.first;
	while (!b->seal)
		b = b->next;
	b->data[1000] ^= 0x10;
	assert_int_equal(fsop_commit_begin(h.volume, h.serial, &count), ERR_OK);
	assert_int_equal(commit_recover(&h.image.disk, &mark), ERR_CORRUPT);
	assert_non_null(strstr(fixture_last_log, "is damaged"));
}

int main(void)
{
#define JUDGED(name, options) {#name, name, work, no_work, (void *)(uintptr_t)(options)}
#define EXT4 "-t ext4 -O ^orphan_file " // whatever the host's mke2fs does by default: its inode would move the others
	const struct CMUnitTest tests[] = {
		JUDGED(superblock, EXT4 "-b 4096"), JUDGED(descriptors, EXT4 "-b 1024"), JUDGED(bitmaps, EXT4 "-b 1024"),
		JUDGED(inodes, EXT4 "-b 1024"),     JUDGED(trees, EXT4 "-b 1024"),       JUDGED(directories, EXT4 "-b 1024"),
		JUDGED(every_bit, EXT4 "-b 1024"),  JUDGED(second_verdict_is_no_death, EXT4 "-b 1024"),
		JUDGED(first_finding_is_doubted, EXT4 "-b 1024"), JUDGED(sums_are_taken_again, EXT4 "-b 1024"),
		JUDGED(tags_are_taken_again, EXT4 "-b 1024"), JUDGED(escapes_are_looked_at, EXT4 "-b 1024"),
		JUDGED(writes_are_owed, EXT4 "-b 1024"), JUDGED(writes_are_owed, "-b 1024"),
		JUDGED(places_are_known, EXT4 "-b 1024"), JUDGED(places_are_known, "-b 1024"),
		JUDGED(what_is_clean_is_sealed, EXT4 "-b 1024"), cmocka_unit_test(sum_sees_each_bit),
		JUDGED(copy_is_what_was_summed, EXT4 "-b 1024"), JUDGED(copy_is_what_was_summed, "-b 1024"),
		JUDGED(content_has_the_sum_of_the_payload, EXT4 "-b 4096"),
	};
	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, 0, 0);
}
