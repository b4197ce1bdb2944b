// Ledger: what a commit changes in one place fits what it changes in the others: names and counts of links, inodes without a name and
// the chain of orphans, bitmaps and what is in use.
//
// Owns: nothing; sums of one commit, which judge.c feeds with all that changed, before and after. Must never look at what did not
// change: that is as it was, right or wrong.
// An inode has as many links as entries name it, a directory one name, one '.', and as many '..' as it has links beyond two; what is in
// use without a link is in the chain, to whose members one pointer each leads; a bit stands for an inode or a block that one place names. So
// each number that is entered with a weight of its own on one side and taken out on the other leaves nothing, and what is left of all together
// is zero. That needs no memory and no search. One number that is a wrong one never passes, nor do two (their sum and that of their squares would
// have to be right); it is no cryptography.
// A directory that goes takes its blocks along, and a tree its nodes: they leave the cache with the operation that frees them, so their
// entries are taken out then (ledger_freed), and stand in volume->freed until the commit.
// If the server dies here: the sums are made anew with the next commit.
#include "servers/fs/ledger.h"
#include "servers/fs/seal.h"
#include "servers/fs/volume.h"
#include <stddef.h>

// Two sums in one: of the numbers, by the factor, and of their squares. A number of 0 weighs nothing.
#define FACTOR 0x9e3779b97f4a7c15ull
#define PARENT_FACTOR 0xd6e8feb86659fd93ull // '..' beside '.', in one account

static uint64_t weight(uint32_t number)
{
	return number * (number + FACTOR);
}

// ---- entries ----

static const struct ext2_entry *entry_in(const uint8_t *block, uint32_t at)
{
	return (const struct ext2_entry *)(const void *)(block + at);
}

static void enter_entry(struct ledger *l, const struct ext2_entry *e, uint64_t times)
{
	const char *name = (const char *)(e + 1);
	if (name[0] != '.' || e->name_length > 2 || (e->name_length == 2 && name[1] != '.'))
		l->sum[LEDGER_NAMES] += times * weight(e->inode);
	else
		l->sum[LEDGER_PARENTS] += times * weight(e->inode) * (e->name_length == 2 ? PARENT_FACTOR : 1);
}

// Enters the entry there and goes behind it. False: it is damaged.
static bool pass_entry(struct ledger *l, const uint8_t *block, uint32_t *at, uint32_t bytes, uint64_t times)
{
	const struct ext2_entry *e = entry_in(block, *at);
	uint32_t record = bytes - *at < 12 ? 0 : e->record;
	if (record < 12 || record % 4 || record > bytes - *at)
		return false;
	if (times && e->inode)
		enter_entry(l, e, times);
	*at += record;
	return true;
}

// Both are walked in step. What is in both at the same place leaves nothing: of that only the lengths are read.
void ledger_directory(struct ledger *l, const uint8_t *was, const uint8_t *is, uint32_t bytes)
{
	uint32_t a = was ? 0 : bytes, b = is ? 0 : bytes, next = 0; // byte at which they differ
	bool sound = true;
	l->used = true;
	while (sound && (a < bytes || b < bytes)) {
		uint32_t at = a < b ? a : b;
		bool before = a == at, now = b == at;
		if (before && now && next < at + 12)
			next = (uint32_t)(8 * seal_difference(was, is, at / 8, bytes / 8));
		uint64_t times = !before || !now || next < at + 12;
		if (before)
			sound = pass_entry(l, was, &a, bytes, -times);
		if (now && times == 0)
			b = a;
		else if (now && sound)
			sound = pass_entry(l, is, &b, bytes, 1);
	}
	if (!sound)
		l->unknown |= LEDGER_ENTRIES;
}

// ---- blocks: the weights of a run are summed by a formula ----

static uint64_t run_weight(uint64_t start, uint64_t count)
{
	uint64_t last = count - 1, sum = last * count / 2, squares = count ? sum * (2 * last + 1) / 3 : 0;
	return count * start * (start + FACTOR) + sum * (2 * start + FACTOR) + squares;
}

static uint64_t entry_weight(const struct ext4_extent_header *h, const struct ext4_extent *e)
{
	if (h->depth)
		return run_weight(((const struct ext4_extent_index *)(const void *)e)->child, 1);
	return run_weight(e->start, e->length > EXT4_EXTENT_LENGTH_MAX ? e->length - EXT4_EXTENT_LENGTH_MAX : e->length);
}

static bool is_node(const struct ext4_extent_header *h, size_t bytes)
{
	return h->magic == EXT4_EXTENT_MAGIC && h->entries <= (bytes - sizeof(*h)) / sizeof(struct ext4_extent);
}

void ledger_node(struct ledger *l, const void *was, const void *is, size_t bytes)
{
	static const struct ext4_extent_header none = {EXT4_EXTENT_MAGIC, 0, 0, 0, 0};
	const struct ext4_extent_header *h = was ? was : &none, *g = is ? is : &none;
	const struct ext4_extent *e = (const void *)(h + 1), *f = (const void *)(g + 1);
	unsigned same = 0;
	l->used = true;
	if (!is_node(h, bytes) || !is_node(g, bytes)) {
		l->unknown |= 1u << LEDGER_BLOCKS;
		return;
	}
	while (h->depth == g->depth && same < h->entries && same < g->entries && extent_is_same(&e[same], &f[same]))
		same++;
	for (unsigned i = same; i < h->entries; i++)
		l->sum[LEDGER_BLOCKS] += entry_weight(h, &e[i]);
	for (unsigned i = same; i < g->entries; i++)
		l->sum[LEDGER_BLOCKS] -= entry_weight(g, &f[i]);
}

// ---- inodes ----

// Without extents: pointers. What indirect blocks name is not looked at.
static void enter_pointers(struct ledger *l, const struct volume *v, const struct ext2_inode *raw, uint64_t times)
{
	struct inode inode = {.raw = (struct ext2_inode *)(uintptr_t)raw};
	if (!inode_has_content(v, &inode))
		return;
	for (unsigned i = 0; i < EXT2_DIRECT; i++)
		if (raw->block[i])
			l->sum[LEDGER_BLOCKS] -= times * run_weight(raw->block[i], 1);
}

static bool has_tree(const struct ext2_inode *raw)
{
	return raw && raw->flags & EXT4_FLAG_EXTENTS;
}

// Of one without a tree: what these blocks name may have changed while they stayed.
static bool has_indirect_blocks(const struct volume *v, const struct ext2_inode *raw)
{
	struct inode inode = {.raw = (struct ext2_inode *)(uintptr_t)raw};
	return (raw->block[EXT2_DIRECT] | raw->block[EXT2_DIRECT + 1] | raw->block[EXT2_DIRECT + 2]) &&
	       inode_has_content(v, &inode);
}

static void enter_blocks(struct ledger *l, const struct volume *v, const struct ext2_inode *was, const struct ext2_inode *is)
{
	if ((was ? was->file_acl : 0) != (is ? is->file_acl : 0)) // several may share one
		l->unknown |= 1u << LEDGER_BLOCKS;
	if (has_tree(was) || has_tree(is))
		ledger_node(l, has_tree(was) ? was->block : 0, has_tree(is) ? is->block : 0, sizeof(is->block));
	if (was && !has_tree(was))
		enter_pointers(l, v, was, -1ull);
	if (is && !has_tree(is))
		enter_pointers(l, v, is, 1);
}

static void enter_links(struct ledger *l, uint32_t number, const struct ext2_inode *raw, uint64_t times)
{
	if (raw->links_count == 0) {
		l->sum[LEDGER_CHAIN] += times * (weight(number) - weight(raw->dtime));
		return;
	}
	if ((raw->mode & FS_MODE_TYPE) != FS_MODE_DIRECTORY) {
		l->sum[LEDGER_NAMES] -= times * weight(number) * raw->links_count;
		return;
	}
	l->sum[LEDGER_NAMES] -= times * weight(number);
	l->sum[LEDGER_PARENTS] -= times * weight(number) * (1 + (raw->links_count - 2ull) * PARENT_FACTOR);
}

static bool links_differ(const struct ext2_inode *was, const struct ext2_inode *is)
{
	return !was || !is || was->links_count != is->links_count || (was->mode ^ is->mode) & FS_MODE_TYPE ||
	       (!is->links_count && was->dtime != is->dtime);
}

static bool is_same_map(const uint32_t *one, const uint32_t *other)
{
	unsigned i = 0;
	while (i < EXT2_POINTERS && one[i] == other[i])
		i++;
	return i == EXT2_POINTERS;
}

static void enter_use(struct ledger *l, const struct volume *v, uint32_t number, const struct ext2_inode *raw, int sign)
{
	l->sum[LEDGER_NUMBERS] -= (uint64_t)(int64_t)sign * weight(number);
	if ((raw->mode & FS_MODE_TYPE) == FS_MODE_DIRECTORY)
		ledger_folders(l, (number - 1) / v->inodes_per_group, -sign);
}

void ledger_inode(struct ledger *l, const struct volume *v, uint32_t number, const struct ext2_inode *was, const struct ext2_inode *is)
{
	l->used = true;
	if (was && links_differ(was, is)) {
		enter_use(l, v, number, was, -1);
		enter_links(l, number, was, -1ull);
	}
	if (is && links_differ(was, is)) {
		enter_use(l, v, number, is, 1);
		enter_links(l, number, is, 1);
	}
	if ((was && !has_tree(was) && has_indirect_blocks(v, was)) || (is && !has_tree(is) && has_indirect_blocks(v, is)))
		l->unknown |= 1u << LEDGER_BLOCKS;
	else if (!was || !is || !is_same_map(was->block, is->block) || was->file_acl != is->file_acl ||
	    has_tree(was) != has_tree(is))
		enter_blocks(l, v, was, is);
}

// ---- bitmaps and descriptors ----

void ledger_bits(struct ledger *l, bool inodes, uint32_t first, uint64_t bits, int sign)
{
	l->used = true;
	while (bits) {
		unsigned at = (unsigned)__builtin_ctzll(bits);
		uint64_t rest = ~(bits >> at); // its lowest bit is clear, for the run has one
		unsigned count = rest ? (unsigned)__builtin_ctzll(rest) : 64;
		l->sum[inodes ? LEDGER_NUMBERS : LEDGER_BLOCKS] += (uint64_t)(int64_t)sign * run_weight(first + at, count);
		bits &= at + count < 64 ? ~0ull << (at + count) : 0;
	}
}

void ledger_folders(struct ledger *l, uint32_t group, int more)
{
	l->sum[LEDGER_FOLDERS] += (uint64_t)(int64_t)more * weight(group + 1);
}

// ---- what is freed ----

// What the block was at the last commit; 0: not known.
static const uint8_t *former_content(const struct buffer *b)
{
	if (!(b->flags & BUFFER_DIRTY))
		return b->data;
	if (b->base)
		return b->base->data;
	return b->shadow && !(b->op_was & BUFFER_DIRTY) ? b->shadow->data : 0;
}

void ledger_freed(struct cache *cache, const struct buffer *b)
{
	struct volume *v = (struct volume *)(void *)((uint8_t *)cache - offsetof(struct volume, cache));
	bool entries = b->kind == BLOCK_DIRECTORY || b->kind == BLOCK_INDEX;
	const uint8_t *was = former_content(b);
	if ((!entries && b->kind != BLOCK_EXTENTS) || (b->flags & BUFFER_DIRTY && b->flags & BUFFER_MADE))
		return;
	if (!was || b->disputed)
		ledger_doubt(&v->freeing, entries ? LEDGER_ENTRIES : 1u << LEDGER_BLOCKS);
	else if (entries)
		ledger_directory(&v->freeing, was, 0, v->block_size);
	else
		ledger_node(&v->freeing, was, 0, v->block_size);
}

void ledger_doubt(struct ledger *l, uint32_t accounts)
{
	l->unknown |= accounts;
	l->used = true;
}

void ledger_add(struct ledger *l, const struct ledger *more)
{
	for (unsigned i = 0; i < LEDGER_ACCOUNTS; i++)
		l->sum[i] += more->sum[i];
	l->unknown |= more->unknown;
	l->used |= more->used;
}

// ---- the verdict ----

const char *ledger_flaw(const struct ledger *l, uint32_t was, uint32_t is)
{
	static const char *const flaws[LEDGER_ACCOUNTS] = {
		[LEDGER_NAMES] = "names lead to other inodes than those whose links say so",
		[LEDGER_PARENTS] = "'.' and '..' lead to other directories than those whose links say so",
		[LEDGER_CHAIN] = "an inode without a link is not in the chain of orphans, or one that is there has links",
		[LEDGER_NUMBERS] = "bits of inode bitmaps stand for other inodes than those that came into use or went",
		[LEDGER_FOLDERS] = "groups count other directories than those that came or went",
		[LEDGER_BLOCKS] = "bits of block bitmaps stand for other blocks than those that came to be named or went",
	};
	for (unsigned i = 0; i < LEDGER_ACCOUNTS; i++) {
		uint64_t owed = i == LEDGER_CHAIN ? weight(is) - weight(was) : 0;
		if (!(l->unknown >> i & 1) && l->sum[i] != owed)
			return flaws[i];
	}
	return 0;
}
