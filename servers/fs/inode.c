// Inodes: finding them in their tables, checking them, making and destroying them.
//
// Owns: the fields of an inode that are not block pointers. There is no second copy of an inode in memory: struct inode
// points into the pinned block of the table, so there is nothing to keep coherent and nothing to flush. A handle names
// inode and generation (INV-53); a new inode gets the old one's generation + 1, which a replay repeats.
// If the server dies here: a new inode was in the cache alone; the request is still in the client's ring, and the next
// incarnation takes the same number and generation, since bitmaps and the old inode decide them. Handles stay good.
#include "servers/fs/volume.h"
#include <string.h>

#define REPLAY_AHEAD 8u // blocks of a table of inodes
#define INODE_EXTRA_DEFAULT 32u // bytes beyond the first 128 that a new inode's fields take, as mke2fs writes

enum error inode_get(struct volume *v, uint32_t number, struct inode *inode)
{
	*inode = (struct inode){0};
	if (number == 0 || number > v->inodes)
		return volume_corrupt(v, number, 0, "inode %u of %u", number, v->inodes);
	uint32_t group = (number - 1) / v->inodes_per_group;
	uint32_t byte = (number - 1) % v->inodes_per_group * v->inode_size;
	struct buffer *b;
	uint32_t index = byte >> v->block_shift, left = v->inode_table_blocks - index;
	unsigned run = v->forced ? REPLAY_AHEAD : 1; // what was made or removed in a row is so again
	enum error error = cache_get_run(&v->cache, v->places[group].inode_table + index, run < left ? run : left, &b);
	if (error != ERR_OK)
		return error;
	*inode = (struct inode){number, b, (struct ext2_inode *)(void *)(b->data + byte % v->block_size), 0};
	return ERR_OK;
}

void inode_put(struct volume *v, struct inode *inode)
{
	cache_put(&v->cache, inode->buffer);
	inode->buffer = 0;
}

// The part of the inode that is there: extra_isize bytes behind the first 128.
static bool has_extra(const struct volume *v, const struct ext2_inode *raw)
{
	return v->inode_size >= 128 + INODE_EXTRA_DEFAULT && raw->extra_isize >= 24 &&
	       raw->extra_isize <= v->inode_size - 128;
}

static enum error check_used(struct volume *v, const struct inode *inode)
{
	const struct ext2_inode *raw = inode->raw;
	switch (raw->mode & FS_MODE_TYPE) {
	case FS_MODE_DIRECTORY:
		if (raw->size == 0 || raw->size % v->block_size)
			return volume_corrupt(v, inode->number, 0, "directory inode %u has a size of %u bytes", inode->number, raw->size);
		break;
	case FS_MODE_FILE:
		if (inode_size(inode) > bmap_file_max(v, inode))
			return volume_corrupt(v, inode->number, 0, "inode %u has a size of %llu bytes", inode->number,
					      (unsigned long long)inode_size(inode));
		break;
	case FS_MODE_SYMLINK:
		if (raw->size == 0 || raw->size > v->block_size)
			return volume_corrupt(v, inode->number, 0, "symbolic link inode %u has %u bytes", inode->number, raw->size);
		break;
	case 0020000:
	case 0060000:
	case 0010000:
	case 0140000:
		break;
	default:
		return volume_corrupt(v, inode->number, 0, "inode %u has mode 0%o", inode->number, raw->mode);
	}
	return ERR_OK;
}

// Not what the table never held, nor zeroes.
static bool was_used(struct volume *v, const struct inode *inode)
{
	uint32_t group = (inode->number - 1) / v->inodes_per_group, i = (inode->number - 1) % v->inodes_per_group;
	const uint8_t *bytes = (const uint8_t *)inode->raw;
	if (i >= alloc_inodes_used(v, group))
		return false;
	return inode->raw->links_count || bytes[0] || memcmp(bytes, bytes + 1, v->inode_size - 1) != 0;
}

enum error inode_get_used(struct volume *v, uint32_t number, struct inode *inode)
{
	*inode = (struct inode){0};
	if (__builtin_expect(v->may_use != 0, 0) && !v->may_use(number, true))
		return ERR_AGAIN;
	enum error error = inode_get(v, number, inode);
	if (error != ERR_OK)
		return error;
	if (!was_used(v, inode))
		error = ERR_STALE;
	else if (!checksum_inode_good(v, inode))
		error = volume_corrupt(v, number, 0, "inode %u: the checksum is wrong", number);
	else if (inode->raw->links_count == 0)
		error = ERR_STALE;
	else if (number < v->first_inode && number != EXT2_ROOT_INODE)
		error = volume_corrupt(v, number, 0, "inode %u is reserved, no entry may name it", number);
	else
		error = check_used(v, inode);
	if (error != ERR_OK)
		inode_put(v, inode);
	return error;
}

static enum error inode_get_orphan(struct volume *v, uint32_t number, struct inode *inode)
{
	enum error error = inode_get(v, number, inode);
	if (error != ERR_OK)
		return error;
	error = check_used(v, inode);
	if (error != ERR_OK)
		inode_put(v, inode);
	return error;
}

enum error inode_open(struct volume *v, uint64_t handle, struct inode *inode)
{
	uint32_t number = FS_HANDLE_INODE(handle);
	*inode = (struct inode){0};
	if (number != EXT2_ROOT_INODE && (number < v->first_inode || number > v->inodes))
		return ERR_HANDLE; // none that we ever gave
	enum error error = inode_get_used(v, number, inode);
	if (error == ERR_STALE && v->super->last_orphan && orphan_listed(v, number))
		error = inode_get_orphan(v, number, inode);
	if (error == ERR_OK && inode->raw->generation != FS_HANDLE_GENERATION(handle)) {
		inode_put(v, inode);
		error = ERR_STALE;
	}
	return error;
}

enum error inode_open_directory(struct volume *v, uint64_t handle, struct inode *inode)
{
	enum error error = inode_open(v, handle, inode);
	if (error == ERR_OK && !inode_is(inode, FS_MODE_DIRECTORY)) {
		inode_put(v, inode);
		error = ERR_NOT_DIRECTORY;
	}
	return error;
}

static void note_changed(struct volume *v, uint32_t number)
{
	unsigned listed = v->changed_count < VOLUME_CHANGED_MAX ? v->changed_count : VOLUME_CHANGED_MAX;
	for (unsigned i = 0; i < listed; i++)
		if (v->changed[i] == number)
			return;
	if (listed < VOLUME_CHANGED_MAX)
		v->changed[listed] = number;
	v->changed_count = listed + 1;
}

enum error inode_modify(struct volume *v, struct inode *inode)
{
	enum error error = cache_modify(&v->cache, inode->buffer);
	if (error != ERR_OK)
		return error;
	checksum_inode_stale(v, inode);
	note_changed(v, inode->number);
	return ERR_OK;
}

// ---- the count of blocks: 32 bits, with huge_file 48, and in a flagged inode of another unit ----

static unsigned count_shift(const struct volume *v, const struct ext2_inode *raw)
{
	return v->huge_counts && raw->flags & EXT4_FLAG_HUGE_FILE ? v->block_shift - 9 : 0;
}

uint64_t inode_blocks(const struct volume *v, const struct inode *inode)
{
	const struct ext2_inode *raw = inode->raw;
	uint64_t n = raw->blocks | (v->huge_counts ? (uint64_t)raw->blocks_high << 32 : 0);
	return n << count_shift(v, raw);
}

enum error inode_count(struct volume *v, struct inode *inode, int64_t blocks)
{
	struct ext2_inode *raw = inode->raw;
	int64_t n = (int64_t)inode_blocks(v, inode) + blocks * (v->block_size / 512);
	if (n < 0)
		return volume_corrupt(v, inode->number, 0, "inode %u has more blocks than it counts", inode->number);
	n >>= count_shift(v, raw);
	if (n >> (v->huge_counts ? 48 : 32))
		return ERR_TOO_BIG;
	raw->blocks = (uint32_t)n;
	if (v->huge_counts)
		raw->blocks_high = (uint16_t)(n >> 32);
	return ERR_OK;
}

bool inode_has_content(const struct volume *v, const struct inode *inode)
{
	return inode_blocks(v, inode) > (inode->raw->file_acl ? v->block_size / 512 : 0);
}

uint64_t inode_handle(const struct inode *inode)
{
	return FS_HANDLE(inode->number, inode->raw->generation);
}

uint64_t inode_size(const struct inode *inode)
{
	uint64_t high = inode_is(inode, FS_MODE_FILE) ? inode->raw->size_high : 0;
	return high << 32 | inode->raw->size;
}

enum error inode_set_size(struct volume *v, struct inode *inode, uint64_t size)
{
	if (size > 0x7fffffff && v->super->rev_level && !(v->super->feature_ro_compat & EXT2_RO_LARGE_FILE)) {
		enum error error = volume_modify_super(v);
		if (error != ERR_OK)
			return error;
		v->super->feature_ro_compat |= EXT2_RO_LARGE_FILE;
	}
	inode->raw->size = (uint32_t)size;
	if (inode_is(inode, FS_MODE_FILE))
		inode->raw->size_high = (uint32_t)(size >> 32);
	return ERR_OK;
}

// ---- times: 32 signed bits, and with large inodes two more that count wraps ----

static uint64_t time_get(uint32_t low, bool extra, uint32_t high)
{
	int64_t t = (int32_t)low;
	if (extra)
		t += (int64_t)(high & 3) << 32;
	return t < 0 ? 0 : (uint64_t)t;
}

static void time_set(uint32_t *low, bool extra, uint32_t *high, uint64_t t)
{
	uint64_t most = extra ? 0x37fffffffull : 0x7fffffffull;
	t = t > most ? most : t;
	*low = (uint32_t)t;
	if (extra)
		*high = (uint32_t)(((int64_t)t - (int32_t)*low) >> 32) & 3;
}

void inode_touch(struct volume *v, struct inode *inode, bool content)
{
	struct ext2_inode *raw = inode->raw;
	bool extra = has_extra(v, raw);
	time_set(&raw->ctime, extra, &raw->ctime_extra, v->now);
	if (content)
		time_set(&raw->mtime, extra, &raw->mtime_extra, v->now);
}

void inode_set_times(struct volume *v, struct inode *inode, uint64_t atime, uint64_t mtime)
{
	struct ext2_inode *raw = inode->raw;
	bool extra = has_extra(v, raw);
	time_set(&raw->atime, extra, &raw->atime_extra, atime);
	time_set(&raw->mtime, extra, &raw->mtime_extra, mtime);
}

void inode_stat(const struct volume *v, const struct inode *inode, struct fs_stat *stat)
{
	const struct ext2_inode *raw = inode->raw;
	bool extra = has_extra(v, raw);
	*stat = (struct fs_stat){
		.identity = inode_handle(inode),
		.size = inode_size(inode),
		.blocks = inode_blocks(v, inode),
		.mode = raw->mode,
		.links = raw->links_count,
		.uid = (uint32_t)raw->uid_high << 16 | raw->uid,
		.gid = (uint32_t)raw->gid_high << 16 | raw->gid,
		.atime = time_get(raw->atime, extra, extra ? raw->atime_extra : 0),
		.mtime = time_get(raw->mtime, extra, extra ? raw->mtime_extra : 0),
		.ctime = time_get(raw->ctime, extra, extra ? raw->ctime_extra : 0),
		.block_size = v->block_size,
	};
}

// ---- making and destroying ----

static uint16_t extra_size(const struct volume *v)
{
	uint16_t wanted = v->super->want_extra_isize;
	if (v->inode_size < 128 + INODE_EXTRA_DEFAULT)
		return 0;
	bool sound = wanted >= INODE_EXTRA_DEFAULT && wanted <= v->inode_size - 128 && wanted % 4 == 0;
	return sound ? wanted : INODE_EXTRA_DEFAULT;
}

static void fill_new(struct volume *v, struct inode *inode, uint16_t mode, bool fresh)
{
	struct ext2_inode *raw = inode->raw;
	uint32_t generation = v->forced ? FS_HANDLE_GENERATION(v->forced[0]) : fresh ? 1 : raw->generation + 1;
	memset(raw, 0, v->inode_size);
	raw->mode = mode;
	raw->links_count = (mode & FS_MODE_TYPE) == FS_MODE_DIRECTORY ? 2 : 1;
	raw->generation = generation ? generation : 1;
	if (v->inode_size > 128)
		raw->extra_isize = extra_size(v);
	if (v->extents && (inode_is(inode, FS_MODE_FILE) || inode_is(inode, FS_MODE_DIRECTORY)))
		extent_init(inode);
	bool extra = has_extra(v, raw);
	if (extra)
		time_set(&raw->crtime, true, &raw->crtime_extra, v->now);
	inode_set_times(v, inode, v->now, v->now);
	inode_touch(v, inode, true);
}

enum error inode_create(struct volume *v, uint32_t parent, uint16_t mode, struct inode *inode)
{
	uint32_t number;
	bool fresh = false;
	enum error error = alloc_inode(v, parent, (mode & FS_MODE_TYPE) == FS_MODE_DIRECTORY, &number, &fresh);
	if (error != ERR_OK)
		return error;
	error = inode_get(v, number, inode);
	if (error != ERR_OK)
		return error;
	if (!fresh && inode->raw->links_count != 0)
		error = volume_corrupt(v, number, 0, "inode %u has links, but the bitmap calls it free", number);
	if (error == ERR_OK)
		error = inode_modify(v, inode);
	if (error == ERR_OK)
		fill_new(v, inode, mode, fresh);
	else
		inode_put(v, inode);
	return error;
}

// Extended attributes in a block of their own, which several inodes may share.
static enum error drop_attributes(struct volume *v, struct inode *inode)
{
	struct buffer *b;
	uint32_t block = inode->raw->file_acl;
	if (!volume_block_is_data(v, block) || (v->descriptor_size > EXT2_GROUP_SIZE && inode->raw->file_acl_high))
		return volume_corrupt(v, inode->number, block, "inode %u has its attributes in block %u", inode->number, block);
	enum error error = cache_get(&v->cache, block, &b);
	if (error != ERR_OK)
		return error;
	struct ext2_attributes *h = (struct ext2_attributes *)(void *)b->data;
	if (!checksum_good(v, b, BLOCK_ATTRIBUTES, 0))
		error = volume_corrupt(v, 0, block, "attribute block %u: the checksum is wrong", block);
	else if (h->magic != EXT2_XATTR_MAGIC || h->references == 0)
		error = volume_corrupt(v, 0, block, "block %u is no attribute block", block);
	else if (h->references == 1)
		error = alloc_free_blocks(v, block, 1);
	else if ((error = cache_modify(&v->cache, b)) == ERR_OK)
		h->references--;
	cache_put(&v->cache, b);
	inode->raw->file_acl = 0;
	return error;
}

static bool has_blocks(const struct volume *v, const struct inode *inode)
{
	if (inode_is(inode, FS_MODE_SYMLINK))
		return inode_has_content(v, inode);
	return inode_is(inode, FS_MODE_FILE) || inode_is(inode, FS_MODE_DIRECTORY);
}

// A directory's names must be known when they go: its first block, which has some, stays in memory until then.
static enum error drop_blocks(struct volume *v, struct inode *inode)
{
	uint32_t block = 0, run;
	struct buffer *first = 0;
	enum error error = inode_is(inode, FS_MODE_DIRECTORY) ? bmap_find(v, inode, 0, 1, &block, &run) : ERR_OK;
	if (error == ERR_OK && block)
		error = cache_get(&v->cache, block, &first);
	if (first && !checksum_good(v, first, index_kind(v, inode, 0, first), checksum_owner(v, inode)))
		ledger_doubt(&v->freeing, LEDGER_ENTRIES);
	if (error == ERR_OK)
		error = bmap_truncate(v, inode, 0);
	cache_put(&v->cache, first);
	return error;
}

enum error inode_destroy(struct volume *v, struct inode *inode)
{
	enum error error = inode_modify(v, inode);
	if (error == ERR_OK && has_blocks(v, inode))
		error = drop_blocks(v, inode);
	if (error == ERR_OK && inode->raw->file_acl)
		error = drop_attributes(v, inode);
	if (error != ERR_OK)
		return error;
	bool directory = inode_is(inode, FS_MODE_DIRECTORY);
	inode->raw->links_count = 0;
	inode->raw->dtime = (uint32_t)v->now;
	inode->raw->blocks = 0;
	inode->raw->blocks_high = 0;
	inode->raw->size = 0;
	inode->raw->size_high = 0;
	return alloc_free_inode(v, inode->number, directory);
}
