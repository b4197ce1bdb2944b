// Superblock and group descriptors: opening a volume.
//
// Owns: the checks of everything global that the disk claims, and the sentences that say what is wrong. Must never write
// by itself, nor trust a number that it has not bounded: every later file divides and indexes by what stands here.
// Features: compat ones are ignored as Linux ignores those it does not know; unknown ro_compat ones make the volume
// read-only; unknown incompat ones refuse it, by name.
// The state word is left as it was found: each commit ends in a consistent volume with exact counts, so a volume that
// was clean stays clean after every commit.
// If the server dies while it opens: nothing was written; the next incarnation opens anew. A volume that cannot be opened
// is said once in the log, and clients get the fallback, or wait until the service is held (main.c).
#include "runtime/runtime.h"
#include "servers/fs/volume.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define SUPER_AHEAD 15u // blocks of descriptors that are read with the superblock

struct feature_name {
	uint32_t bit;
	const char *name;
};

#define INCOMPAT_SUPPORTED                                                                                             \
	(EXT2_INCOMPAT_FILETYPE | EXT4_INCOMPAT_EXTENTS | EXT4_INCOMPAT_64BIT | EXT4_INCOMPAT_FLEX_BG |                \
	 EXT4_INCOMPAT_CSUM_SEED)
#define RO_SUPPORTED                                                                                                   \
	(EXT2_RO_SPARSE_SUPER | EXT2_RO_LARGE_FILE | EXT4_RO_HUGE_FILE | EXT4_RO_GROUP_CHECKSUM | EXT4_RO_DIR_NLINK |  \
	 EXT4_RO_EXTRA_ISIZE | EXT4_RO_METADATA_CHECKSUM)

static const struct feature_name incompat_names[] = {
	{0x0001, "compression"}, {0x0004, "needs_recovery"}, {0x0008, "journal_dev"}, {0x0010, "meta_bg"},
	{0x0100, "mmp"},	 {0x0400, "ea_inode"},	     {0x1000, "dirdata"},
	{0x4000, "large_dir"},	 {0x8000, "inline_data"},    {0x10000, "encrypt"},    {0x20000, "casefold"},
	{0, 0},
};

static const struct feature_name ro_names[] = {
	{0x0004, "btree_dir"}, {0x0080, "has_snapshot"}, {0x0100, "quota"},	    {0x0200, "bigalloc"},
	{0x0800, "replica"},   {0x1000, "readonly"},	 {0x2000, "project"},	    {0x4000, "shared_blocks"},
	{0x8000, "verity"},    {0x10000, "orphan_present"}, {0, 0},
};

static void __attribute__((format(printf, 2, 3))) say(struct volume *v, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	vsnprintf(v->reason, sizeof(v->reason), format, list);
	va_end(list);
}

#define REFUSE(error, ...) (say(v, __VA_ARGS__), (error))

static void list_features(uint32_t bits, const struct feature_name *names, char *to, size_t room)
{
	size_t used = 0;
	to[0] = 0;
	for (uint32_t bit = 1; bit; bit <<= 1) {
		if (!(bits & bit))
			continue;
		const struct feature_name *n = names;
		while (n->name && n->bit != bit)
			n++;
		int more = n->name ? snprintf(to + used, room - used, "%s%s", used ? ", " : "", n->name)
				   : snprintf(to + used, room - used, "%sbit 0x%x", used ? ", " : "", bit);
		used += (size_t)more;
		if (used >= room)
			return;
	}
}

// ---- reading the superblock before there is a cache ----

struct super_read {
	struct disk_read read;
	struct ext2_super *to;
	bool done;
	enum error error;
};

static void super_arrived(struct disk_read *read, enum error error, const uint8_t *data)
{
	struct super_read *r = (struct super_read *)read;
	if (error == ERR_OK)
		memcpy(r->to, data, sizeof(*r->to));
	r->error = error;
	r->done = true;
}

static enum error read_super(struct volume *v, uint64_t offset, struct ext2_super *super)
{
	struct super_read r = {.to = super};
	if (v->disk->bytes < offset + EXT2_SUPER_SIZE)
		return REFUSE(ERR_CORRUPT, "the disk has %llu bytes; an ext2 volume has at least 65536",
			      (unsigned long long)v->disk->bytes);
	r.read = (struct disk_read){.offset = offset, .bytes = EXT2_SUPER_SIZE, .done = super_arrived};
	r.error = v->disk->read_start(v->disk, &r.read, true);
	if (r.error == ERR_OK) {
		while (!r.done)
			v->disk->wait(v->disk);
	}
	if (r.error == ERR_OK && v->disk->amend)
		v->disk->amend(v->disk, offset, EXT2_SUPER_SIZE, (uint8_t *)super);
	if (r.error != ERR_OK)
		return REFUSE(r.error, "the superblock at byte %llu could not be read: error %d",
			      (unsigned long long)offset, (int)r.error);
	return ERR_OK;
}

enum error volume_read_super(struct volume *v, struct ext2_super *super)
{
	return read_super(v, EXT2_SUPER_OFFSET, super);
}

// ---- checks ----

static bool volume_has_journal(const struct ext2_super *s)
{
	return s->rev_level && s->feature_compat & EXT3_COMPAT_HAS_JOURNAL;
}

static enum error check_features(struct volume *v, const struct ext2_super *s)
{
	char names[120];
	if (s->rev_level > 1)
		return REFUSE(ERR_UNSUPPORTED, "the volume is ext2 revision %u; revisions 0 and 1 are supported",
			      s->rev_level);
	uint32_t incompat = s->rev_level ? s->feature_incompat & ~INCOMPAT_SUPPORTED : 0;
	if (volume_has_journal(s))
		incompat &= ~EXT3_INCOMPAT_RECOVER;
	if (incompat) {
		list_features(incompat, incompat_names, names, sizeof(names));
		return REFUSE(ERR_UNSUPPORTED, "the volume needs features that are not supported: %s", names);
	}
	uint32_t ro = s->rev_level ? s->feature_ro_compat & ~RO_SUPPORTED : 0;
	if (ro & EXT4_RO_BIGALLOC) // its bitmaps count other units
		return REFUSE(ERR_UNSUPPORTED, "the volume needs features that are not supported: bigalloc");
	if (ro) {
		v->read_only = true;
		list_features(ro, ro_names, names, sizeof(names));
		if (!v->before_replay) // it is opened again then
			log_line("fs: the volume has features that allow reading only: %s", names);
	}
	return ERR_OK;
}

static void take_features(struct volume *v, const struct ext2_super *s)
{
	uint32_t incompat = s->rev_level ? s->feature_incompat : 0, ro = s->rev_level ? s->feature_ro_compat : 0;
	v->has_type = incompat & EXT2_INCOMPAT_FILETYPE;
	v->extents = incompat & EXT4_INCOMPAT_EXTENTS;
	v->flex = incompat & EXT4_INCOMPAT_FLEX_BG;
	v->sparse_super = ro & EXT2_RO_SPARSE_SUPER;
	v->huge_counts = ro & EXT4_RO_HUGE_FILE;
	v->many_links = ro & EXT4_RO_DIR_NLINK;
	v->link_max = v->many_links ? EXT4_LINK_MAX : EXT2_LINK_MAX;
	v->descriptor_size = incompat & EXT4_INCOMPAT_64BIT ? s->desc_size : EXT2_GROUP_SIZE;
}

static enum error check_checksums(struct volume *v, const struct ext2_super *s)
{
	uint32_t ro = s->rev_level ? s->feature_ro_compat : 0;
	if (ro & EXT4_RO_METADATA_CHECKSUM && s->checksum_type != EXT4_CHECKSUM_CRC32C)
		return REFUSE(ERR_UNSUPPORTED, "metadata has checksums of type %u; type 1 (crc32c) is supported",
			      s->checksum_type);
	if (!v->unreplayed && !checksum_super_good(s))
		return REFUSE(ERR_CORRUPT, "the superblock's checksum is 0x%08x, but its content has another", s->checksum);
	checksum_open(v, s);
	return ERR_OK;
}

static enum error check_geometry(struct volume *v, const struct ext2_super *s)
{
	if (s->log_block_size > 2)
		return REFUSE(ERR_UNSUPPORTED, "the block size is 1024 << %u; 1024, 2048 and 4096 are supported",
			      s->log_block_size);
	v->block_shift = 10 + s->log_block_size;
	v->block_size = 1u << v->block_shift;
	v->pointers = v->block_size / 4;
	v->blocks = s->blocks_count;
	v->inodes = s->inodes_count;
	v->first_data_block = s->first_data_block;
	v->blocks_per_group = s->blocks_per_group;
	v->inodes_per_group = s->inodes_per_group;
	if (v->first_data_block != (v->block_size == 1024 ? 1u : 0u))
		return REFUSE(ERR_CORRUPT, "the first data block is %u with blocks of %u bytes", v->first_data_block,
			      v->block_size);
	if (v->blocks_per_group < 8 || v->blocks_per_group > v->block_size * 8 || v->blocks_per_group % 8)
		return REFUSE(ERR_CORRUPT, "blocks of a group: %u; 8 to %u are possible", v->blocks_per_group,
			      v->block_size * 8);
	if (s->log_frag_size != s->log_block_size || s->frags_per_group != s->blocks_per_group)
		return REFUSE(ERR_UNSUPPORTED, "fragments differ from blocks: %u and %u in a group", s->frags_per_group,
			      s->blocks_per_group);
	uint64_t blocks = v->blocks;
	if (s->rev_level && s->feature_incompat & EXT4_INCOMPAT_64BIT)
		blocks |= (uint64_t)s->blocks_count_hi << 32;
	if (blocks <= v->first_data_block || blocks > v->disk->bytes >> v->block_shift)
		return REFUSE(ERR_CORRUPT, "the volume claims %llu blocks of %u bytes, the disk has %llu bytes",
			      (unsigned long long)blocks, v->block_size, (unsigned long long)v->disk->bytes);
	if (blocks >> 32)
		return REFUSE(ERR_UNSUPPORTED, "the volume has %llu blocks; less than 4294967296 are supported",
			      (unsigned long long)blocks);
	if (v->descriptor_size < EXT2_GROUP_SIZE || v->descriptor_size > v->block_size ||
	    v->descriptor_size & (v->descriptor_size - 1) ||
	    (v->descriptor_size == EXT2_GROUP_SIZE && s->rev_level && s->feature_incompat & EXT4_INCOMPAT_64BIT))
		return REFUSE(ERR_CORRUPT, "group descriptors have %u bytes; powers of two from 64 on are possible",
			      v->descriptor_size);
	return ERR_OK;
}

static enum error check_inodes(struct volume *v, const struct ext2_super *s)
{
	v->inode_size = s->rev_level ? s->inode_size : EXT2_INODE_SIZE_OLD;
	v->first_inode = s->rev_level ? s->first_ino : EXT2_FIRST_INODE_OLD;
	if (v->inode_size < 128 || v->inode_size > v->block_size || v->inode_size & (v->inode_size - 1))
		return REFUSE(ERR_CORRUPT, "the inode size is %u; powers of two from 128 to %u are possible",
			      v->inode_size, v->block_size);
	uint32_t in_block = v->block_size / v->inode_size;
	if (v->inodes_per_group == 0 || v->inodes_per_group > v->block_size * 8)
		return REFUSE(ERR_CORRUPT, "inodes of a group: %u; 1 to %u are possible", v->inodes_per_group,
			      v->block_size * 8);
	v->inode_table_blocks = (v->inodes_per_group + in_block - 1) / in_block;
	uint64_t groups = ((uint64_t)v->blocks - v->first_data_block + v->blocks_per_group - 1) / v->blocks_per_group;
	if (groups > VOLUME_GROUPS_MAX)
		return REFUSE(ERR_UNSUPPORTED, "the volume has %llu groups; at most %u are supported",
			      (unsigned long long)groups, VOLUME_GROUPS_MAX);
	v->groups = (uint32_t)groups;
	if ((uint64_t)v->inodes != groups * v->inodes_per_group)
		return REFUSE(ERR_CORRUPT, "the volume claims %u inodes, but has %u groups of %u", v->inodes, v->groups,
			      v->inodes_per_group);
	if (v->first_inode <= EXT2_ROOT_INODE || v->first_inode > v->inodes)
		return REFUSE(ERR_CORRUPT, "the first inode for files is %u of %u", v->first_inode, v->inodes);
	return ERR_OK;
}

static bool in_group(const struct volume *v, uint32_t group, uint32_t block, uint32_t count)
{
	uint32_t first = volume_group_first(v, group), blocks = volume_group_blocks(v, group);
	return block >= first && count <= blocks && block - first <= blocks - count;
}

static bool group_has_high(const struct volume *v, const struct ext2_group *g)
{
	return v->descriptor_size > EXT2_GROUP_SIZE &&
	       (g->block_bitmap_hi || g->inode_bitmap_hi || g->inode_table_hi || g->free_blocks_count_hi ||
		g->free_inodes_count_hi || g->used_dirs_count_hi || g->unused_inodes_hi);
}

// Without flex_bg all is in the group itself, behind its head; with it, anywhere in the volume. Overlaps are looked for
// later.
static bool group_in_place(const struct volume *v, uint32_t group, const struct group_place *p)
{
	if (v->flex)
		return p->block_bitmap < v->blocks && p->inode_bitmap < v->blocks && p->inode_table < v->blocks &&
		       v->inode_table_blocks <= v->blocks - p->inode_table;
	uint32_t head = volume_group_first(v, group) + volume_group_head(v, group);
	return in_group(v, group, p->block_bitmap, 1) && in_group(v, group, p->inode_bitmap, 1) &&
	       in_group(v, group, p->inode_table, v->inode_table_blocks) && p->block_bitmap >= head &&
	       p->inode_bitmap >= head && p->inode_table >= head;
}

static enum error check_group(struct volume *v, uint32_t group)
{
	const struct ext2_group *g = volume_group(v, group);
	struct group_place *p = &v->places[group];
	*p = (struct group_place){.block_bitmap = g->block_bitmap, .inode_bitmap = g->inode_bitmap,
				  .inode_table = g->inode_table};
	if (!v->unreplayed && !checksum_group_good(v, group))
		return REFUSE(ERR_CORRUPT, "group %u: the descriptor's checksum is wrong", group);
	if (!group_in_place(v, group, p) || group_has_high(v, g))
		return REFUSE(ERR_CORRUPT, "group %u: block bitmap %u, inode bitmap %u or inode table %u is misplaced", group,
			      p->block_bitmap, p->inode_bitmap, p->inode_table);
	if (v->unreplayed)
		return ERR_OK;
	if (g->free_blocks_count > volume_group_blocks(v, group) || g->free_inodes_count > v->inodes_per_group ||
	    g->used_dirs_count > v->inodes_per_group || (v->group_checksums && g->unused_inodes > v->inodes_per_group))
		return REFUSE(ERR_CORRUPT, "group %u claims %u free blocks, %u free inodes and %u directories", group,
			      g->free_blocks_count, g->free_inodes_count, g->used_dirs_count);
	return ERR_OK;
}

static enum error check_groups(struct volume *v)
{
	uint32_t twice;
	for (uint32_t group = 0; group < v->groups; group++) {
		v->held[0][group] = v->held[1][group] = 0;
		enum error error = check_group(v, group);
		if (error != ERR_OK)
			return error;
	}
	if (!volume_list_metadata(v, &twice))
		return REFUSE(ERR_CORRUPT, "block %u holds two kinds of metadata", twice);
	return ERR_OK;
}

static enum error read_descriptors(struct volume *v)
{
	uint32_t in_block = v->block_size / v->descriptor_size;
	uint32_t first = v->first_data_block + 1;
	v->descriptor_blocks = (v->groups + in_block - 1) / in_block;
	v->reserved_descriptors =
		v->super->feature_compat & EXT2_COMPAT_RESIZE_INODE ? v->super->reserved_gdt_blocks : 0;
	if (v->descriptor_blocks > VOLUME_DESCRIPTOR_BLOCKS)
		return REFUSE(ERR_UNSUPPORTED, "%u blocks of group descriptors; at most %u are supported",
			      v->descriptor_blocks, VOLUME_DESCRIPTOR_BLOCKS);
	if ((uint64_t)1 + v->descriptor_blocks + v->reserved_descriptors >= volume_group_blocks(v, 0))
		return REFUSE(ERR_CORRUPT, "%u blocks of group descriptors and %u reserved ones do not fit into group 0",
			      v->descriptor_blocks, v->reserved_descriptors);
	for (uint32_t i = 0; i < v->descriptor_blocks; i++) {
		enum error error = cache_get(&v->cache, first + i, &v->descriptors[i]);
		if (error != ERR_OK)
			return REFUSE(error, "block %u with group descriptors could not be read: error %d", first + i,
				      (int)error);
		checksum_claim(v->descriptors[i], BLOCK_DESCRIPTORS, i);
	}
	return check_groups(v);
}

// Groups know what they have; the superblock's counts are sums of theirs, which Linux does not keep up, and which a damaged server may have
// written outside of a commit. Nothing is owed to the difference: both change by the same from here on.
static void count_anew(struct volume *v)
{
	struct ext2_super *s = v->super;
	uint32_t blocks = 0, inodes = 0;
	for (uint32_t group = 0; group < v->groups; group++) {
		blocks += volume_group(v, group)->free_blocks_count;
		inodes += volume_group(v, group)->free_inodes_count;
	}
	if (v->read_only || (s->free_blocks_count == blocks && s->free_inodes_count == inodes))
		return;
	log_line("fs: the superblock counts %u free blocks and %u free inodes, the groups %u and %u: they are right",
		 s->free_blocks_count, s->free_inodes_count, blocks, inodes);
	s->free_blocks_count = blocks;
	s->free_inodes_count = inodes;
	cache_reseal(&v->cache, v->super_buffer);
}

static enum error check_counts(struct volume *v)
{
	const struct ext2_super *s = v->super;
	if (v->unreplayed)
		return ERR_OK;
	if (s->free_blocks_count > v->blocks || s->free_inodes_count > v->inodes)
		return REFUSE(ERR_CORRUPT, "%u of %u blocks and %u of %u inodes are said to be free", s->free_blocks_count,
			      v->blocks, s->free_inodes_count, v->inodes);
	if (s->state & EXT2_STATE_ERROR || !(s->state & EXT2_STATE_VALID))
		log_line("fs: the volume was not cleanly unmounted before this boot (state %u): e2fsck is advised", s->state);
	count_anew(v);
	return ERR_OK;
}

static uint64_t file_limit(const struct volume *v)
{
	uint64_t p = v->pointers;
	uint64_t mapped = (EXT2_DIRECT + p + p * p + p * p * p) << v->block_shift;
	uint64_t counted = (((1ull << 32) - 1) << 9) - (p * p + p + 4) * 4096; // i_blocks has 32 bits, in units of 512
	return mapped < counted ? mapped : counted;
}

static enum error open_cache(struct volume *v, const struct cache_memory *memory)
{
	enum error error = cache_open(&v->cache, v->disk, v->block_size, memory);
	if (error != ERR_OK)
		return REFUSE(error, "%llu bytes of cache are too few for blocks of %u bytes",
			      (unsigned long long)memory->first_bytes, v->block_size);
	if (v->disk->read_only)
		v->read_only = true;
	if (v->read_only)
		return ERR_OK;
	error = commit_open(&v->log, v->disk, v->block_size, v->has_journal);
	if (error != ERR_OK)
		return REFUSE(error, "%llu bytes of log area are too few", (unsigned long long)v->disk->log_bytes);
	v->cache.dirty_max = commit_dirty_max(&v->log);
	return ERR_OK;
}

uint32_t volume_dirty_limit(const struct volume *v)
{
	uint32_t by_cache = cache_capacity(&v->cache) * 3 / 8;
	return v->cache.dirty_max < by_cache ? v->cache.dirty_max : by_cache;
}

static enum error pin_super(struct volume *v)
{
	uint32_t block = EXT2_SUPER_OFFSET >> v->block_shift;
	uint32_t in_block = v->block_size / v->descriptor_size, descriptors = (v->groups + in_block - 1) / in_block;
	uint32_t run = 1 + (descriptors < SUPER_AHEAD ? descriptors : SUPER_AHEAD); // they follow it, and are wanted next
	enum error error = cache_get_run(&v->cache, block, run, &v->super_buffer);
	if (error != ERR_OK)
		return REFUSE(error, "block %u with the superblock could not be read: error %d", block, (int)error);
	v->super = (struct ext2_super *)(void *)(v->super_buffer->data + EXT2_SUPER_OFFSET % v->block_size);
	checksum_claim(v->super_buffer, BLOCK_SUPER, 0);
	return ERR_OK;
}

static enum error check_super(struct volume *v, const struct ext2_super *s, bool copy)
{
	v->read_only = false;
	if (s->magic != EXT2_MAGIC)
		return REFUSE(ERR_CORRUPT, "no ext2 file system: the magic number is 0x%04x instead of 0xef53", s->magic);
	v->has_journal = volume_has_journal(s);
	v->unreplayed = !copy && v->before_replay && v->has_journal && s->feature_incompat & EXT3_INCOMPAT_RECOVER;
	// A flipped bit is to be called that, not an unknown feature: the checksum comes first.
	enum error error = check_checksums(v, s);
	if (error == ERR_OK)
		error = check_features(v, s);
	if (error != ERR_OK)
		return error;
	take_features(v, s);
	error = check_geometry(v, s);
	return error == ERR_OK ? check_inodes(v, s) : error;
}

// A copy at the start of that group, if groups are as large as blocks of that size allow, as mke2fs makes them.
static bool backup_good(struct volume *v, unsigned shift, uint32_t group, struct ext2_super *s)
{
	uint32_t block = (8192u << (shift - 10)) * group + (shift == 10);
	return read_super(v, (uint64_t)block << shift, s) == ERR_OK && s->magic == EXT2_MAGIC &&
	       s->log_block_size == shift - 10 && s->block_group_nr == group &&
	       s->blocks_per_group == 8192u << (shift - 10) && check_super(v, s, true) == ERR_OK;
}

// The superblock is damaged. A copy has the geometry, but neither counts nor the state of the volume, and if the first
// sectors belong to something else by now, it must not be overwritten: so the volume is only read, until e2fsck
// has repaired it. Without a copy the reason stays what it was.
static bool find_backup(struct volume *v, struct ext2_super *s)
{
	static const uint32_t groups[] = {1, 3, 5, 7, 9};
	char reason[sizeof(v->reason)];
	memcpy(reason, v->reason, sizeof(reason));
	for (unsigned shift = 10; shift <= 12; shift++) {
		for (unsigned i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
			if (!backup_good(v, shift, groups[i], s))
				continue;
			log_line("fs: THE SUPERBLOCK IS DAMAGED: %s", reason);
			log_line("fs: using its copy in group %u, read-only: e2fsck is needed", groups[i]);
			s->state = EXT2_STATE_VALID; // a copy has none, and what it says of the journal was true long ago
			s->feature_incompat &= ~EXT3_INCOMPAT_RECOVER;
			v->read_only = true;
			return true;
		}
	}
	memcpy(v->reason, reason, sizeof(reason));
	return false;
}

static enum error open_checked(struct volume *v, const struct cache_memory *memory)
{
	struct ext2_super super;
	enum error error = read_super(v, EXT2_SUPER_OFFSET, &super);
	if (error == ERR_OK)
		error = check_super(v, &super, false);
	bool damaged = error == ERR_CORRUPT && find_backup(v, &super);
	if (error != ERR_OK && !damaged)
		return error;
	if ((error = open_cache(v, memory)) != ERR_OK || (error = pin_super(v)) != ERR_OK)
		return error;
	if (damaged) // in memory only: nothing writes a volume that is read-only
		memcpy(v->super, &super, sizeof(super));
	v->file_max = file_limit(v);
	if ((error = read_descriptors(v)) != ERR_OK)
		return error;
	return check_counts(v);
}

static enum error open_volume(struct volume *v, struct disk *disk, const struct cache_memory *memory, bool unreplayed)
{
	struct inode root;
	memset(v, 0, offsetof(struct volume, held));
	v->disk = disk;
	v->before_replay = unreplayed;
	enum error error = open_checked(v, memory);
	if (error != ERR_OK || v->unreplayed)
		return error;
	error = inode_get_used(v, EXT2_ROOT_INODE, &root);
	if (error != ERR_OK)
		return REFUSE(error, "the root directory (inode 2) cannot be read: error %d", (int)error);
	bool directory = inode_is(&root, FS_MODE_DIRECTORY);
	inode_put(v, &root);
	volume_guard(v);
	v->cache.freeing = RECOVERABLE ? ledger_freed : 0;
	return directory ? ERR_OK : REFUSE(ERR_CORRUPT, "inode 2 is not a directory");
}

enum error volume_open(struct volume *v, struct disk *disk, const struct cache_memory *memory)
{
	return open_volume(v, disk, memory, false);
}

enum error volume_open_unreplayed(struct volume *v, struct disk *disk, const struct cache_memory *memory)
{
	return open_volume(v, disk, memory, true);
}

bool volume_needs_recovery(const struct volume *v)
{
	return v->has_journal && v->super->feature_incompat & EXT3_INCOMPAT_RECOVER;
}

const char *volume_kind(const struct volume *v)
{
	return v->fallback ? "memfs" : v->extents ? "ext4" : v->has_journal ? "ext3" : "ext2";
}

uint64_t volume_newest_time(const struct volume *v)
{
	const struct ext2_super *s = v->super;
	uint32_t newest = s->wtime;
	newest = s->mtime > newest ? s->mtime : newest;
	newest = s->lastcheck > newest ? s->lastcheck : newest;
	return s->rev_level && s->mkfs_time > newest ? s->mkfs_time : newest;
}

uint32_t volume_seconds(const struct volume *v)
{
	return (uint32_t)(v->clock ? v->clock : v->super_buffer ? volume_newest_time(v) : 0);
}

struct ext2_group *volume_group(struct volume *v, uint32_t group)
{
	uint32_t in_block = v->block_size / v->descriptor_size;
	uint8_t *block = v->descriptors[group / in_block]->data;
	return (struct ext2_group *)(void *)(block + group % in_block * v->descriptor_size);
}

void volume_seal_groups(struct volume *v, uint32_t index)
{
	uint32_t in_block = v->block_size / v->descriptor_size, first = index * in_block;
	for (uint32_t group = first; group < first + in_block && group < v->groups; group++)
		checksum_group_seal(v, group);
}

enum error volume_modify_super(struct volume *v)
{
	return cache_modify(&v->cache, v->super_buffer);
}

enum error volume_modify_group(struct volume *v, uint32_t group)
{
	return cache_modify(&v->cache, v->descriptors[group / (v->block_size / v->descriptor_size)]);
}
