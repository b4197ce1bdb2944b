// Judge: looks at each block of metadata before a commit takes it, against what the block was at the last commit.
//
// Owns: the verdict. Must never repair or write: when in doubt the commit is not made, a
// line says why, and this server dies. That costs milliseconds and loses nothing: its successor has the text and data of the boot image,
// reads the disk again and performs again what was not committed. What is committed is for ever, and a commit of damage is what no
// restart can mend.
// Judged is what changed, by rules that hold for every sequence of operations: fields that no operation writes are as they were; only
// inodes that operations named have changed; each bit of a bitmap is in its group's count, each group's count in the superblock's,
// each block that was taken or freed in the count of an inode; nodes, entries and inodes are well-formed, and name what is in use;
// and what is entered in one place is owed by another (ledger.c).
// A block that was wrong when it was read may stay so: the disk is not this server's memory. And if the successor of one that
// died here comes to the same verdict about the same block, that is no fault of memory: it is said, and committed.
// If the server dies here: the same as the verdict, and the block for which it died stands in the facts of the log area.
#include "abi/words.h"
#include "runtime/runtime.h"
#include "servers/fs/seal.h"
#include "servers/fs/volume.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define JUDGE_BREATH 32u // blocks judged between two answers to pings; one after the first, whose code may never have run before
#define DOUBT_COMMITS 16u // without a finding: who asked for what was found has asked again since then

struct judge {
	struct volume *v;
	const struct buffer *b; // being judged
	const uint8_t *base;    // its former content; 0: not known
	int64_t group_blocks;   // more free ones, by the descriptors
	int64_t group_inodes;
	int64_t inode_sectors;  // more in use, by the inodes, in units of 512 bytes
	bool groups_known;      // former content of all descriptors that changed
	bool inodes_known;
	struct ledger ledger;
	struct { // inodes of the table that is being judged
		const uint8_t *was, *is; // their map; 0: not in memory
		uint32_t first;          // bit of the first
		bool none_was, none_is;  // in use, since there was no map
	} table;
	char reason[160];
};

static bool __attribute__((format(printf, 2, 3))) flaw(struct judge *j, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	vsnprintf(j->reason, sizeof(j->reason), format, list);
	va_end(list);
	return false;
}

static unsigned count_bits(uint64_t word)
{
	unsigned n = 0;
	for (; word; word &= word - 1)
		n++;
	return n;
}

// Aligned, as all is that lies in blocks: a memcpy would go byte by byte.
static uint64_t word_of(const void *bytes, size_t index)
{
	return ((const word_t *)bytes)[index];
}

// By words, where both lie alike: the C library's memcmp goes byte by byte.
static bool is_same(const void *a, const void *b, size_t bytes)
{
	const uint8_t *p = a, *q = b;
	if (((uintptr_t)p ^ (uintptr_t)q) % 8)
		return memcmp(p, q, bytes) == 0;
	for (; bytes && (uintptr_t)p % 8; bytes--)
		if (*p++ != *q++)
			return false;
	size_t words = bytes / 8;
	return seal_difference(p, q, 0, words) == words && memcmp(p + 8 * words, q + 8 * words, bytes % 8) == 0;
}

static size_t words_of(const struct judge *j)
{
	return j->v->block_size / 8;
}

// What the descriptor of the group was; 0: not known.
static const struct ext2_group *former_group(struct volume *v, uint32_t group)
{
	uint32_t in_block = v->block_size / v->descriptor_size;
	const struct buffer *b = v->descriptors[group / in_block];
	size_t at = (size_t)(group % in_block) * v->descriptor_size;
	if (!(b->flags & BUFFER_DIRTY))
		return (const struct ext2_group *)(const void *)(b->data + at);
	return b->base ? (const struct ext2_group *)(const void *)(b->base->data + at) : 0;
}

// ---- superblock ----

#define SUPER_RANGE(field) {__builtin_offsetof(struct ext2_super, field), sizeof(((struct ext2_super *)0)->field)}

static const struct {
	uint16_t at, bytes;
} super_changes[] = { // what operations and commits write, in its order
	SUPER_RANGE(free_blocks_count), SUPER_RANGE(free_inodes_count), SUPER_RANGE(wtime), SUPER_RANGE(state),
	SUPER_RANGE(feature_ro_compat), SUPER_RANGE(last_orphan),
	{__builtin_offsetof(struct ext2_super, error_count),
	 __builtin_offsetof(struct ext2_super, unused_512) - __builtin_offsetof(struct ext2_super, error_count)},
	{__builtin_offsetof(struct ext2_super, first_error_time_hi), 4}, SUPER_RANGE(checksum),
};

static bool super_may_change(size_t byte)
{
	for (unsigned i = 0; i < sizeof(super_changes) / sizeof(super_changes[0]); i++)
		if (byte - super_changes[i].at < super_changes[i].bytes)
			return true;
	return false;
}

static bool super_constant(const struct ext2_super *was, const struct ext2_super *is)
{
	const uint8_t *a = (const uint8_t *)was, *b = (const uint8_t *)is;
	size_t words = sizeof(*is) / 8;
	for (size_t w = seal_difference(a, b, 0, words); w < words; w = seal_difference(a, b, w + 1, words))
		for (size_t byte = 8 * w; byte < 8 * w + 8; byte++)
			if (a[byte] != b[byte] && !super_may_change(byte))
				return false;
	return ((was->feature_ro_compat ^ is->feature_ro_compat) & ~EXT2_RO_LARGE_FILE) == 0;
}

// These change when damage was found.
static bool errors_constant(const struct ext2_super *was, const struct ext2_super *is)
{
	size_t from = __builtin_offsetof(struct ext2_super, error_count), to = __builtin_offsetof(struct ext2_super, unused_512);
	return was->state == is->state && is_same((const uint8_t *)was + from, (const uint8_t *)is + from, to - from) &&
	       was->last_error_code == is->last_error_code;
}

static bool judge_super(struct judge *j)
{
	const struct volume *v = j->v;
	const struct ext2_super *is = v->super;
	const struct ext2_super *was = (const struct ext2_super *)(const void *)(j->base + ((const uint8_t *)is - j->b->data));
	if (is->magic != EXT2_MAGIC || !super_constant(was, is) || (!v->corruptions && !errors_constant(was, is)))
		return flaw(j, "the superblock has changed in fields that nothing writes");
	size_t at = (size_t)((const uint8_t *)is - j->b->data);
	size_t end = at + sizeof(*is);
	if (!is_same(j->b->data, j->base, at) || !is_same(j->b->data + end, j->base + end, v->block_size - end))
		return flaw(j, "the superblock's neighbours have changed");
	if (v->checksums && was->checksum == is->checksum && !is_same(was, is, sizeof(*is)))
		return flaw(j, "the superblock has changed, but not its checksum");
	if (is->free_blocks_count > v->blocks || is->free_inodes_count > v->inodes || is->last_orphan > v->inodes)
		return flaw(j, "the superblock counts %u of %u blocks and %u of %u inodes as free, and its first orphan is %u",
			    is->free_blocks_count, v->blocks, is->free_inodes_count, v->inodes, is->last_orphan);
	return true;
}

// ---- group descriptors ----

// Without the fields that operations and commits write.
struct fixed_group {
	struct ext2_group part __attribute__((aligned(8)));
};

static struct fixed_group fixed_part(const struct volume *v, const struct ext2_group *g)
{
	struct fixed_group fixed = {0};
	struct ext2_group *f = &fixed.part;
	memcpy(f, g, v->descriptor_size < sizeof(*f) ? v->descriptor_size : sizeof(*f));
	f->free_blocks_count = f->free_inodes_count = f->used_dirs_count = f->flags = 0;
	f->block_bitmap_checksum = f->inode_bitmap_checksum = f->unused_inodes = f->checksum = 0;
	f->block_bitmap_checksum_hi = f->inode_bitmap_checksum_hi = 0;
	return fixed;
}

static bool is_dirty(struct volume *v, uint32_t block)
{
	const struct buffer *b = cache_peek(&v->cache, block);
	return b && b->flags & BUFFER_DIRTY;
}

// A bitmap that has not changed has the sum that it had, and is no more made than it was.
static bool maps_constant(struct volume *v, uint32_t group, const struct ext2_group *was, const struct ext2_group *is)
{
	bool wide = v->descriptor_size > EXT2_GROUP_SIZE;
	if (!is_dirty(v, v->places[group].block_bitmap) &&
	    (was->block_bitmap_checksum != is->block_bitmap_checksum || (was->flags ^ is->flags) & EXT4_GROUP_BLOCKS_UNUSED ||
	     (wide && was->block_bitmap_checksum_hi != is->block_bitmap_checksum_hi)))
		return false;
	return is_dirty(v, v->places[group].inode_bitmap) ||
	       (was->inode_bitmap_checksum == is->inode_bitmap_checksum && !((was->flags ^ is->flags) & EXT4_GROUP_INODES_UNUSED) &&
		was->unused_inodes == is->unused_inodes && was->used_dirs_count == is->used_dirs_count &&
		(!wide || was->inode_bitmap_checksum_hi == is->inode_bitmap_checksum_hi));
}

static bool judge_group(struct judge *j, uint32_t group, const struct ext2_group *was, const struct ext2_group *is)
{
	struct volume *v = j->v;
	struct fixed_group a = fixed_part(v, was), b = fixed_part(v, is);
	int blocks = is->free_blocks_count - was->free_blocks_count, inodes = is->free_inodes_count - was->free_inodes_count;
	j->group_blocks += blocks;
	j->group_inodes += inodes;
	if (is->used_dirs_count != was->used_dirs_count)
		ledger_folders(&j->ledger, group, is->used_dirs_count - was->used_dirs_count);
	if (!is_same(&a, &b, sizeof(a)) || is->flags & ~was->flags)
		return flaw(j, "the descriptor of group %u has changed in fields that nothing writes", group);
	if (is->free_blocks_count > volume_group_blocks(v, group) || is->free_inodes_count > v->inodes_per_group ||
	    is->used_dirs_count > v->inodes_per_group || (v->group_checksums && is->unused_inodes > v->inodes_per_group))
		return flaw(j, "group %u counts %u free blocks, %u free inodes, %u directories, %u unused inodes", group,
			    is->free_blocks_count, is->free_inodes_count, is->used_dirs_count, is->unused_inodes);
	if ((blocks && !is_dirty(v, v->places[group].block_bitmap)) || (inodes && !is_dirty(v, v->places[group].inode_bitmap)))
		return flaw(j, "group %u counts %d more free blocks and %d more free inodes, but its bitmap has not changed", group, blocks,
			    inodes);
	return maps_constant(v, group, was, is) || flaw(j, "group %u has changed what it says of a bitmap that has not", group);
}

static bool judge_descriptors(struct judge *j)
{
	struct volume *v = j->v;
	uint32_t in_block = v->block_size / v->descriptor_size;
	for (size_t w = seal_difference(j->b->data, j->base, 0, words_of(j)); w < words_of(j);) {
		uint32_t i = (uint32_t)(8 * w / v->descriptor_size), group = j->b->owner * in_block + i;
		const void *was = j->base + (size_t)i * v->descriptor_size, *is = j->b->data + (size_t)i * v->descriptor_size;
		if (group >= v->groups)
			return flaw(j, "the place behind the last group's descriptor has changed");
		if (!judge_group(j, group, was, is))
			return false;
		w = seal_difference(j->b->data, j->base, (size_t)(i + 1) * v->descriptor_size / 8, words_of(j));
	}
	return true;
}

// ---- bitmaps ----

// From the lowest to the highest of the bits that changed in a word of the map.
static bool may_change(const struct volume *v, uint32_t group, size_t index, uint64_t changed)
{
	for (; changed; changed &= changed - 1) {
		uint32_t bit = (uint32_t)(64 * index) + (uint32_t)__builtin_ctzll(changed);
		uint32_t last = (uint32_t)(64 * index) + 63 - (uint32_t)__builtin_clzll(changed);
		if (last < volume_group_blocks(v, group) &&
		    volume_data_run(v, volume_group_first(v, group) + bit, last - bit + 1) == last - bit + 1)
			return true;
		if (bit >= volume_group_blocks(v, group) || !volume_block_is_data(v, volume_group_first(v, group) + bit))
			return false;
	}
	return true;
}

// *more: how many more bits are clear; *end: behind the last one that is newly set. False: one has changed that stands for nothing
// that is given out.
static bool compare_maps(struct judge *j, bool inodes, int *more, uint32_t *end)
{
	const struct volume *v = j->v;
	uint32_t first = inodes ? j->b->owner * v->inodes_per_group + 1 : volume_group_first(v, j->b->owner);
	*more = 0;
	*end = 0;
	for (size_t w = seal_difference(j->b->data, j->base, 0, words_of(j)); w < words_of(j);
	     w = seal_difference(j->b->data, j->base, w + 1, words_of(j))) {
		uint64_t was = word_of(j->base, w), is = word_of(j->b->data, w), changed = was ^ is;
		uint32_t last = (uint32_t)(64 * w) + 63 - (uint32_t)__builtin_clzll(changed);
		if (inodes ? last >= v->inodes_per_group : !may_change(v, j->b->owner, w, changed))
			return false;
		*more += (int)count_bits(was & changed) - (int)count_bits(is & changed);
		ledger_bits(&j->ledger, inodes, first + (uint32_t)(64 * w), is & changed, 1);
		ledger_bits(&j->ledger, inodes, first + (uint32_t)(64 * w), was & changed, -1);
		if (is & changed)
			*end = (uint32_t)(64 * w) + 64 - (uint32_t)__builtin_clzll(is & changed);
	}
	return true;
}

// Inodes that were never used have no bit, and none becomes one of them. Who gave them out asked alloc_inodes_used, so it is not asked here.
static bool border_holds(const struct volume *v, const struct ext2_group *was, const struct ext2_group *is, uint32_t end)
{
	uint32_t never = is->flags & EXT4_GROUP_INODES_UNUSED ? v->inodes_per_group : is->unused_inodes;
	uint32_t used = v->inodes_per_group - (v->group_checksums ? never : 0);
	bool had = v->group_checksums && !(was->flags & EXT4_GROUP_INODES_UNUSED);
	return end <= used && (!had || used >= v->inodes_per_group - was->unused_inodes);
}

static bool judge_bitmap(struct judge *j)
{
	struct volume *v = j->v;
	bool inodes = j->b->kind == BLOCK_INODE_BITMAP;
	uint32_t group = j->b->owner;
	const struct ext2_group *was = former_group(v, group), *is = volume_group(v, group);
	const char *name = inodes ? "inode" : "block";
	int more;
	uint32_t end;
	if (!compare_maps(j, inodes, &more, &end))
		return flaw(j, "the %s bitmap of group %u has changed in bits that nothing gives out", name, group);
	if (!was)
		return true;
	int counted = inodes ? is->free_inodes_count - was->free_inodes_count : is->free_blocks_count - was->free_blocks_count;
	if (counted != more)
		return flaw(j, "the %s bitmap of group %u has %d more free ones, its descriptor counts %d more", name, group, more, counted);
	if (inodes && !border_holds(v, was, is, end))
		return flaw(j, "group %u: inodes are in use behind %u, which were said to be used ever", group, alloc_inodes_used(v, group));
	return true;
}

// ---- what is in use ----

// A map, now or before; 0: not in memory.
static const uint8_t *map_bytes(const struct buffer *b, bool before)
{
	if (!b || !before || !(b->flags & BUFFER_DIRTY))
		return b ? b->data : 0;
	return b->base ? b->base->data : 0;
}

// The map of the group to which the inode belongs; 0: not in memory.
static const struct buffer *inode_map(struct volume *v, uint32_t number)
{
	return cache_peek(&v->cache, v->places[(number - 1) / v->inodes_per_group].inode_bitmap);
}

static bool inode_map_unused(struct volume *v, uint32_t number)
{
	return v->group_checksums && volume_group(v, (number - 1) / v->inodes_per_group)->flags & EXT4_GROUP_INODES_UNUSED;
}

// A bitmap that is not in memory has not changed, and then it is an inode in use that has.
static bool inode_bit(const uint8_t *map, uint32_t bit)
{
	return !map || map[bit / 8] >> bit % 8 & 1;
}

static bool all_set(const uint8_t *map, uint32_t bit, uint32_t count)
{
	for (uint32_t n; count; bit += n, count -= n) {
		n = 64 - bit % 64 < count ? 64 - bit % 64 : count;
		if (~word_of(map, bit / 64) & ~0ull >> (64 - n) << bit % 64)
			return false;
	}
	return true;
}

static bool blocks_used(struct volume *v, uint32_t block, uint32_t count)
{
	for (uint32_t n; count; block += n, count -= n) {
		uint32_t group = volume_block_group(v, block), bit = block - volume_group_first(v, group);
		uint32_t rest = volume_group_blocks(v, group) - bit;
		const struct buffer *b = cache_peek(&v->cache, v->places[group].block_bitmap);
		n = rest < count ? rest : count;
		if (b && !all_set(b->data, bit, n))
			return false;
	}
	return true;
}

// ---- extents ----

// The entries of a node that the former one had not, at that index or beside it, name blocks that are marked as used.
static bool entries_used(struct judge *j, const void *node, const void *former)
{
	static const struct ext4_extent_header none;
	const struct ext4_extent_header *is = node, *was = former ? former : &none;
	const struct ext4_extent *e = (const void *)(is + 1), *f = (const void *)(was + 1);
	for (unsigned i = 0; i < is->entries; i++) {
		bool same = false;
		for (unsigned k = i ? i - 1 : 0; k <= i + 1 && k < was->entries && k < is->max && !same; k++)
			same = extent_is_same(&e[i], &f[k]);
		const struct ext4_extent_index *child = (const void *)&e[i];
		uint32_t length = e[i].length > EXT4_EXTENT_LENGTH_MAX ? e[i].length - EXT4_EXTENT_LENGTH_MAX : e[i].length;
		if (!same && !blocks_used(j->v, is->depth ? child->child : e[i].start, is->depth ? 1 : length))
			return false;
	}
	return true;
}

// A node that changed has its place between the entries of the one above: `first` is its first key, and it ends before `end`.
static bool child_fits(const struct judge *j, const void *node, unsigned depth, uint32_t first, uint64_t end, bool last)
{
	const struct ext4_extent_header *h = node;
	const struct ext4_extent *e = (const void *)(h + 1);
	if (extent_flaw(j->v, node, false)) // judged by itself
		return true;
	if (h->depth + 1u != depth || h->entries == 0 || e->block != first)
		return false;
	e += h->entries - 1;
	if (h->depth || e->length <= EXT4_EXTENT_LENGTH_MAX)
		return e->block + (h->depth ? 1ull : e->length) <= end;
	return last || e->block + (uint64_t)e->length - EXT4_EXTENT_LENGTH_MAX <= end; // unwritten ones may lie behind the end
}

static bool child_judged(struct judge *j, const struct ext4_extent_header *h, unsigned at, uint64_t end)
{
	const struct ext4_extent_index *e = (const struct ext4_extent_index *)(const void *)(h + 1) + at;
	const struct buffer *b = cache_peek(&j->v->cache, e->child);
	bool last = at + 1u == h->entries;
	if (!b || b->kind != BLOCK_EXTENTS || !(last || b->flags & BUFFER_DIRTY))
		return true;
	return child_fits(j, b->data, h->depth, e->block, last ? end : e[1].block, last);
}

// The nodes that a sound one names: those that changed, and the last one, which ends with the file, whose size may have changed.
static bool children_fit(struct judge *j, const void *node, uint64_t end)
{
	const struct ext4_extent_header *h = node;
	for (unsigned i = 0; h->depth && i < h->entries; i++)
		if (!child_judged(j, h, i, end))
			return false;
	return true;
}

static bool judge_extents(struct judge *j)
{
	const char *what = extent_flaw(j->v, j->b->data, false);
	if (what && !(j->base && extent_flaw(j->v, j->base, false)))
		return flaw(j, "the extent tree that it is part of %s", what);
	if (!what && j->base && !entries_used(j, j->b->data, extent_flaw(j->v, j->base, false) ? 0 : j->base))
		return flaw(j, "the extent tree that it is part of names blocks that are free");
	ledger_node(&j->ledger, j->base, j->b->data, j->v->block_size);
	if (!what && !children_fit(j, j->b->data, UINT64_MAX))
		return flaw(j, "the extent tree that it is part of has a node in a wrong place");
	return true;
}

// ---- inodes ----

static uint64_t sectors(const struct volume *v, const struct ext2_inode *raw)
{
	struct inode inode = {.raw = (struct ext2_inode *)(uintptr_t)raw};
	return inode_blocks(v, &inode);
}

// A tree that is in the inode alone counts as many blocks as it names.
static bool count_holds(const struct volume *v, const struct ext2_inode *raw)
{
	const struct ext4_extent_header *h = (const void *)raw->block;
	const struct ext4_extent *e = (const void *)(h + 1);
	uint64_t n = raw->file_acl != 0;
	if (h->depth)
		return true;
	for (unsigned i = 0; i < h->entries; i++)
		n += e[i].length > EXT4_EXTENT_LENGTH_MAX ? e[i].length - EXT4_EXTENT_LENGTH_MAX : e[i].length;
	return sectors(v, raw) == n << (v->block_shift - 9);
}

static uint64_t size_blocks(const struct volume *v, const struct ext2_inode *raw)
{
	bool file = (raw->mode & FS_MODE_TYPE) == FS_MODE_FILE;
	uint64_t size = raw->size | (file ? (uint64_t)raw->size_high << 32 : 0);
	return (size + v->block_size - 1) >> v->block_shift;
}

// No entry reaches behind the end of a file, and a directory has a block for all that it has of size.
static bool size_holds(const struct volume *v, const struct ext2_inode *raw)
{
	const struct ext4_extent_header *h = (const void *)raw->block;
	const struct ext4_extent *last = (const struct ext4_extent *)(const void *)(h + 1) + h->entries - 1;
	bool file = (raw->mode & FS_MODE_TYPE) == FS_MODE_FILE;
	uint64_t end = 0, blocks = size_blocks(v, raw);
	if (h->depth || (h->entries && last->length > EXT4_EXTENT_LENGTH_MAX)) // unwritten ones may lie behind the end
		return true;
	if (h->entries)
		end = (uint64_t)last->block + last->length;
	return file ? end <= blocks : end == blocks && raw->size % v->block_size == 0;
}

// What is wrong with an inode in use by itself, or 0.
static const char *inode_flaw(const struct volume *v, const struct ext2_inode *raw)
{
	uint32_t type = raw->mode & FS_MODE_TYPE;
	bool mapped = type == FS_MODE_FILE || type == FS_MODE_DIRECTORY;
	bool known = mapped || type == FS_MODE_SYMLINK || type == 0020000 || type == 0060000 || type == 0010000 || type == 0140000;
	if (!known)
		return "has no type";
	if (raw->links_count && raw->dtime)
		return "has links and a time of deletion";
	if (!(raw->flags & EXT4_FLAG_EXTENTS))
		return 0;
	if (!mapped && type != FS_MODE_SYMLINK)
		return "is of a type that has no extents";
	const char *what = extent_flaw(v, raw->block, true);
	if (what)
		return what;
	if (!count_holds(v, raw))
		return "counts another number of blocks than it has";
	return mapped && !size_holds(v, raw) ? "has another size than its blocks say" : 0;
}

// Of a file that was and is: what no operation writes. The mark of serials is in the root directory's attributes.
static bool identity_holds(const struct volume *v, const struct ext2_inode *was, const struct ext2_inode *is)
{
	size_t extra = v->inode_size > 128 ? 128u + is->extra_isize : 128;
	const uint8_t *a = (const uint8_t *)was, *b = (const uint8_t *)is, *mark = v->mark_place;
	if ((was->mode ^ is->mode) & FS_MODE_TYPE || was->uid != is->uid || was->gid != is->gid || was->uid_high != is->uid_high ||
	    was->gid_high != is->gid_high || was->osd1 != is->osd1 || was->faddr != is->faddr || was->reserved2 != is->reserved2 ||
	    was->file_acl != is->file_acl || was->file_acl_high != is->file_acl_high || (was->flags ^ is->flags) & ~EXT2_FLAG_INDEX)
		return false;
	if (v->inode_size == 128)
		return true;
	if (was->extra_isize != is->extra_isize || extra > v->inode_size)
		return false;
	if (extra >= sizeof(*is) && (was->crtime != is->crtime || was->crtime_extra != is->crtime_extra))
		return false;
	if (mark < b || mark >= b + v->inode_size)
		return is_same(a + extra, b + extra, v->inode_size - extra);
	size_t at = (size_t)(mark - b);
	return at >= extra && is_same(a + extra, b + extra, at - extra) && is_same(a + at + 8, b + at + 8, v->inode_size - at - 8);
}

// Of a file that is new: what nothing gives it.
static bool novelty_holds(const struct volume *v, const struct ext2_inode *is)
{
	const uint8_t *end = (const uint8_t *)is + v->inode_size;
	const uint8_t *p = (const uint8_t *)is + 128 + (v->inode_size > 128 ? is->extra_isize : 0);
	while ((uintptr_t)p % 32 == 0 && p < end && !(word_of(p, 0) | word_of(p, 1) | word_of(p, 2) | word_of(p, 3)))
		p += 32;
	if (is->uid || is->gid || is->uid_high || is->gid_high || is->osd1 || is->faddr || is->reserved2 || is->file_acl ||
	    is->file_acl_high || is->flags & ~EXT4_FLAG_EXTENTS)
		return false;
	while (p < end && !*p)
		p++;
	return p >= end;
}

static bool is_same_file(const struct ext2_inode *was, const struct ext2_inode *is)
{
	return was->links_count && is->links_count && was->generation == is->generation;
}

static bool pointers_used(struct volume *v, const struct ext2_inode *was, const struct ext2_inode *is)
{
	uint32_t type = is->mode & FS_MODE_TYPE;
	if (type != FS_MODE_FILE && type != FS_MODE_DIRECTORY)
		return true;
	for (unsigned i = 0; i < EXT2_POINTERS; i++) {
		uint32_t block = is->block[i];
		if (block && (!was || block != was->block[i]) && (!volume_block_is_data(v, block) || !blocks_used(v, block, 1)))
			return false;
	}
	return true;
}

// The inode is sound by itself.
static bool blocks_hold(struct judge *j, const struct ext2_inode *was, const struct ext2_inode *is)
{
	bool tree = is->flags & EXT4_FLAG_EXTENTS, same = is_same_file(was, is);
	if (!tree)
		return pointers_used(j->v, same ? was : 0, is);
	if (same && is_same(was->block, is->block, sizeof(is->block)))
		return true;
	bool former = same && was->flags & EXT4_FLAG_EXTENTS && !extent_flaw(j->v, was->block, true);
	return entries_used(j, is->block, former ? was->block : 0);
}

static bool judge_inode(struct judge *j, uint32_t number, const struct ext2_inode *was, const struct ext2_inode *is)
{
	struct volume *v = j->v;
	if (number > v->inodes || (number < v->first_inode && number != EXT2_ROOT_INODE))
		return flaw(j, "inode %u has changed, which is reserved", number);
	uint32_t bit = j->table.first + number - j->b->owner;
	bool before = !j->table.none_was && inode_bit(j->table.was, bit), now = !j->table.none_is && inode_bit(j->table.is, bit);
	j->inode_sectors += (int64_t)(now ? sectors(v, is) : 0) - (int64_t)(before ? sectors(v, was) : 0);
	ledger_inode(&j->ledger, v, number, before ? was : 0, now ? is : 0);
	if (before && was->file_acl) // a block that several may share
		j->inodes_known = false;
	if (!now)
		return is->links_count == 0 || flaw(j, "inode %u has %u links, but is free", number, is->links_count);
	const char *what = inode_flaw(v, is);
	if (what && !(before && inode_flaw(v, was)))
		return flaw(j, "inode %u %s (mode 0%o, %u links, flags 0x%x)", number, what, is->mode, is->links_count, is->flags);
	bool same = before && was->generation == is->generation;
	if (same ? !identity_holds(v, was, is) : !novelty_holds(v, is))
		return flaw(j, "inode %u has changed in fields that nothing writes", number);
	if (!what && is->flags & EXT4_FLAG_EXTENTS && !children_fit(j, is->block, size_blocks(v, is)))
		return flaw(j, "inode %u has a node of its extent tree in a wrong place, or behind its end", number);
	return what || blocks_hold(j, was, is) || flaw(j, "inode %u names blocks that are free, or no data blocks", number);
}

static void table_open(struct judge *j)
{
	struct volume *v = j->v;
	uint32_t first = j->b->owner;
	const struct buffer *map = inode_map(v, first);
	j->table.was = map_bytes(map, true);
	j->table.is = map_bytes(map, false);
	j->table.first = (first - 1) % v->inodes_per_group;
	j->table.none_is = inode_map_unused(v, first);
	j->table.none_was = j->table.none_is || (map && map->flags & BUFFER_MADE && map->flags & BUFFER_DIRTY);
}

static bool judge_inodes(struct judge *j)
{
	struct volume *v = j->v;
	size_t size = v->inode_size / 8;
	table_open(j);
	for (size_t w = seal_difference(j->b->data, j->base, 0, words_of(j)); w < words_of(j);) {
		unsigned slot = (unsigned)(w / size);
		const void *was = j->base + slot * v->inode_size, *is = j->b->data + slot * v->inode_size;
		if (!(j->b->changed >> slot & 1))
			return flaw(j, "inode %u has changed, which no operation has named", j->b->owner + slot);
		if (!judge_inode(j, j->b->owner + slot, was, is))
			return false;
		w = seal_difference(j->b->data, j->base, (slot + 1) * size, words_of(j));
	}
	return true;
}

// ---- directories ----

static uint32_t entries_end(const struct volume *v)
{
	return v->checksums ? v->block_size - sizeof(struct ext4_entry_tail) : v->block_size;
}

static bool entry_holds(const struct volume *v, const struct ext2_entry *e, uint32_t room)
{
	if (e->record < 12 || e->record % 4 || e->record > room)
		return false;
	if (e->inode == 0)
		return true;
	return e->name_length && EXT2_ENTRY_SIZE(e->name_length) <= e->record && e->inode <= v->inodes && e->type < EXT2_TYPES;
}

// The first byte at which there is no sound entry; the end: all are.
static uint32_t entries_walk(const struct volume *v, const uint8_t *block)
{
	uint32_t end = entries_end(v), at = 0;
	while (at < end) {
		const struct ext2_entry *e = (const void *)(block + at);
		if (end - at < 12 || !entry_holds(v, e, end - at))
			return at;
		at += e->record;
	}
	return at;
}

// A name that was put there or changed is one of something that is in use, and of that type.
static bool target_holds(struct volume *v, const struct ext2_entry *e)
{
	static const uint8_t types[16] = {[1] = EXT2_TYPE_FIFO, [2] = EXT2_TYPE_CHARACTER, [4] = EXT2_TYPE_DIRECTORY, [6] = EXT2_TYPE_BLOCK,
					  [8] = EXT2_TYPE_FILE, [10] = EXT2_TYPE_SYMLINK, [12] = EXT2_TYPE_SOCKET};
	uint32_t byte = (e->inode - 1) % v->inodes_per_group * v->inode_size;
	const struct buffer *b =
		cache_peek(&v->cache, v->places[(e->inode - 1) / v->inodes_per_group].inode_table + (byte >> v->block_shift));
	if (inode_map_unused(v, e->inode) || !inode_bit(map_bytes(inode_map(v, e->inode), false), (e->inode - 1) % v->inodes_per_group) ||
	    (e->inode < v->first_inode && e->inode != EXT2_ROOT_INODE))
		return false;
	if (memchr(e + 1, '/', e->name_length) || memchr(e + 1, 0, e->name_length))
		return false;
	if (!b || !v->has_type)
		return true;
	const struct ext2_inode *raw = (const void *)(b->data + byte % v->block_size);
	return e->type == types[raw->mode >> 12] && raw->links_count;
}

static bool judge_directory(struct judge *j)
{
	struct volume *v = j->v;
	const uint8_t *is = j->b->data;
	uint32_t end = entries_end(v), bad = entries_walk(v, is);
	ledger_directory(&j->ledger, j->base, is, v->block_size);
	if (bad < end)
		return (j->base && entries_walk(v, j->base) < end) || flaw(j, "the directory's entry at byte %u is damaged", bad);
	for (uint32_t at = 0, next = 0; j->base && at < end; at += ((const struct ext2_entry *)(const void *)(is + at))->record) {
		const struct ext2_entry *e = (const void *)(is + at);
		if (next < at)
			next = (uint32_t)(8 * seal_difference(is, j->base, at / 8, words_of(j)));
		if (!e->inode || next >= at + 8u + e->name_length || is_same(e, j->base + at, 8u + e->name_length))
			continue;
		if (!target_holds(v, e))
			return flaw(j, "the directory's entry at byte %u names inode %u, type %u, which is free or another, or by no name", at, e->inode, e->type);
	}
	return true;
}

// ---- all ----

static bool judge_kind(struct judge *j)
{
	switch (j->b->kind) {
	case BLOCK_SUPER:
		return !j->base || judge_super(j);
	case BLOCK_DESCRIPTORS:
		j->groups_known &= j->base != 0;
		return !j->base || judge_descriptors(j);
	case BLOCK_BLOCK_BITMAP:
		return !j->base || judge_bitmap(j);
	case BLOCK_INODE_BITMAP:
		j->inodes_known &= j->base != 0;
		return !j->base || judge_bitmap(j);
	case BLOCK_INODES:
		j->inodes_known &= j->base != 0;
		return !j->base || judge_inodes(j);
	case BLOCK_EXTENTS:
		return judge_extents(j);
	case BLOCK_DIRECTORY:
		return judge_directory(j);
	case BLOCK_INDEX:
		return !j->base || flaw(j, "the index of a directory has changed, which is only ever dropped");
	default:
		return true;
	}
}

// Accounts that are unknown if the former content of a block of that kind is.
static uint32_t accounts_of(enum block_kind kind)
{
	switch (kind) {
	case BLOCK_INODES:
	case BLOCK_INODE_BITMAP:
		return LEDGER_ALL;
	case BLOCK_DIRECTORY:
	case BLOCK_INDEX:
		return LEDGER_ENTRIES;
	case BLOCK_DESCRIPTORS:
		return 1u << LEDGER_FOLDERS;
	default:
		return 1u << LEDGER_BLOCKS;
	}
}

// Of a bitmap that was made: what it had when nothing of its group was in use.
static const uint8_t *blank_map(const struct judge *j)
{
	static uint8_t map[EXT2_BLOCK_MAX] __attribute__((aligned(8)));
	bool inodes = j->b->kind == BLOCK_INODE_BITMAP;
	if ((!inodes && j->b->kind != BLOCK_BLOCK_BITMAP) || !(j->b->flags & BUFFER_MADE))
		return 0;
	memset(map, 0, sizeof(map));
	alloc_blank_map(j->v, j->b->owner, inodes, map);
	return map;
}

static bool judge_block(struct judge *j, const struct buffer *b)
{
	j->b = b;
	j->base = b->base ? b->base->data : blank_map(j);
	if (b->disputed || !(j->base || (b->flags & BUFFER_MADE && b->kind != BLOCK_INODES))) {
		ledger_doubt(&j->ledger, accounts_of(b->kind));
		j->groups_known &= b->kind != BLOCK_DESCRIPTORS, j->inodes_known &= b->kind != BLOCK_INODES && b->kind != BLOCK_INODE_BITMAP;
	} else if (!judge_kind(j)) {
		return false;
	}
	return checksum_sealed(j->v, b) || flaw(j, "its checksum was not made");
}

// What all descriptors say is what the superblock and what the inodes say.
static bool judge_totals(struct judge *j)
{
	struct volume *v = j->v;
	const struct ext2_super *is = v->super, *was = is;
	j->b = v->super_buffer;
	if (j->b->flags & BUFFER_DIRTY)
		was = j->b->base ? (const void *)(j->b->base->data + ((const uint8_t *)is - j->b->data)) : 0;
	if (!was)
		return true;
	ledger_add(&j->ledger, &v->freed);
	v->unaccounted = j->ledger.unknown;
	const char *what = ledger_flaw(&j->ledger, was->last_orphan, is->last_orphan);
	if (what)
		return flaw(j, "%s", what);
	if (!j->groups_known)
		return true;
	int64_t blocks = (int64_t)is->free_blocks_count - was->free_blocks_count;
	int64_t inodes = (int64_t)is->free_inodes_count - was->free_inodes_count;
	if (blocks != j->group_blocks || inodes != j->group_inodes)
		return flaw(j, "the superblock counts %lld more free blocks and %lld more free inodes, its groups %lld and %lld",
			    (long long)blocks, (long long)inodes, (long long)j->group_blocks, (long long)j->group_inodes);
	if (j->inodes_known && j->inode_sectors + blocks * (int64_t)(v->block_size / 512) != 0)
		return flaw(j, "the superblock counts %lld more free blocks, the inodes %lld more in use, of 512 bytes", (long long)blocks,
			    (long long)j->inode_sectors);
	return true;
}

// A code that makes sums that are wrong makes many: one block of each commit is enough to find it soon, of inodes each second time.
static const struct buffer *sample_of(struct volume *v)
{
	uint32_t turn = v->samples++, skip = turn / 2 % v->cache.dirty.count;
	const struct buffer *b = v->cache.dirty.first;
	while (b && (turn % 2 ? skip-- > 0 : b->kind != BLOCK_INODES))
		b = b->next;
	return b;
}

static bool judge_sample(struct judge *j)
{
	const struct buffer *b = j->v->cache.dirty.count ? sample_of(j->v) : 0;
	if (!b || b->disputed)
		return true;
	j->b = b;
	return checksum_right(j->v, b) || flaw(j, "its checksum is wrong");
}

static uint64_t condemned(const struct volume *v)
{
	return commit_flags(v->disk) >> COMMIT_CONDEMNED_SHIFT;
}

static void set_condemned(const struct volume *v, uint64_t block)
{
	uint64_t flags = commit_flags(v->disk) & ((1ull << COMMIT_CONDEMNED_SHIFT) - 1);
	commit_set_facts(v->disk, commit_time_base(v->disk), flags | block << COMMIT_CONDEMNED_SHIFT);
}

// The verdict is not good. True: all the same.
static bool judge_again(const struct judge *j)
{
	const struct volume *v = j->v;
	uint64_t block = 1 + (uint64_t)j->b->block;
	bool again = v->lenient || condemned(v) == block;
	log_line("fs: block %u is %s: %s", j->b->block, again ? "judged so twice, and committed" : "not committed", j->reason);
	if (!again)
		set_condemned(v, block);
	return again;
}

bool judge_commit(struct volume *v)
{
	struct judge j = {.v = v, .groups_known = true, .inodes_known = true};
	unsigned n = 0;
	bool good = true;
	for (struct buffer *b = v->cache.dirty.first; b; b = b->next) {
		if (b->kind == BLOCK_UNKNOWN)
			continue;
		if (!judge_block(&j, b) && (good = false, !judge_again(&j)))
			return false;
		if (!good) // what is wrong on the disk does not add up either
			ledger_doubt(&j.ledger, LEDGER_ALL), j.groups_known = false;
		if (n++ % JUDGE_BREATH == 0 && v->disk->breathe)
			v->disk->breathe(v->disk);
	}
	if ((!judge_totals(&j) || !judge_sample(&j)) && (good = false, !judge_again(&j)))
		return false;
	if (good && condemned(v))
		set_condemned(v, 0);
	if (++v->good_commits == DOUBT_COMMITS && v->corruptions == 0)
		damage_no_doubt(v);
	return true;
}
