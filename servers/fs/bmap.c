// Block map: which block of the disk holds which block of a file, by way of up to three levels of indirect blocks.
//
// Owns: the pointers in inodes and indirect blocks, and the inode's count of blocks. Every number read from the disk is
// checked (a data block of the volume) before it is used; the depth is bounded by the path, never by the data. A tree
// that names a block twice is found when it is freed twice. Inodes with extents go to extent.c.
// If the server dies here: pointers and bits had changed in the cache alone, which dies with it; the disk sees a block with
// its pointer and its bit in one commit, or none of them.
#include "servers/fs/volume.h"

struct path { // indices from the inode down; level[0] is in the inode
	unsigned depth; // 0: direct
	uint32_t level[4];
};

static bool find_path(const struct volume *v, uint32_t index, struct path *path)
{
	uint64_t p = v->pointers;
	uint64_t i = index;
	if (i < EXT2_DIRECT) {
		*path = (struct path){0, {index}};
		return true;
	}
	i -= EXT2_DIRECT;
	if (i < p) {
		*path = (struct path){1, {EXT2_DIRECT, (uint32_t)i}};
		return true;
	}
	i -= p;
	if (i < p * p) {
		*path = (struct path){2, {EXT2_DIRECT + 1, (uint32_t)(i / p), (uint32_t)(i % p)}};
		return true;
	}
	i -= p * p;
	if (i < p * p * p) {
		*path = (struct path){
			3, {EXT2_DIRECT + 2, (uint32_t)(i / (p * p)), (uint32_t)(i / p % p), (uint32_t)(i % p)}};
		return true;
	}
	return false;
}

static enum error check_pointer(struct volume *v, const struct inode *inode, uint32_t block)
{
	if (block == 0 || volume_block_is_data(v, block))
		return ERR_OK;
	return volume_corrupt(v, inode->number, block, "inode %u names block %u, which is no data block", inode->number, block);
}

// How many file blocks a hole at this level of the path skips, from the path's own position.
static uint64_t hole_run(const struct volume *v, const struct path *path, unsigned level)
{
	uint64_t span = 1, inside = 0;
	for (unsigned l = path->depth; l > level; l--) {
		inside += span * path->level[l];
		span *= v->pointers;
	}
	return span - inside;
}

static uint32_t run_length(const uint32_t *p, uint32_t left, uint32_t most)
{
	uint32_t n = 1;
	most = left < most ? left : most;
	while (n < most && (p[0] ? p[n] == p[0] + n : p[n] == 0))
		n++;
	return n;
}

static enum error check_run(struct volume *v, const struct inode *inode, uint32_t block, uint32_t run)
{
	uint32_t good = block ? volume_data_run(v, block, run) : run;
	return good == run ? ERR_OK : check_pointer(v, inode, block + good);
}

enum error bmap_find(struct volume *v, const struct inode *inode, uint32_t index, uint32_t most, uint32_t *block,
		     uint32_t *run)
{
	struct path path;
	if (inode_has_extents(inode))
		return extent_find(v, inode, index, most, block, run);
	if (!find_path(v, index, &path))
		return ERR_TOO_BIG;
	uint32_t *p = &inode->raw->block[path.level[0]];
	uint32_t left = path.depth ? 1 : EXT2_DIRECT - path.level[0];
	struct buffer *b = 0;
	enum error error = ERR_OK;
	for (unsigned level = 1; level <= path.depth; level++) {
		uint32_t next = *p;
		cache_put(&v->cache, b);
		b = 0;
		if (next == 0) {
			uint64_t hole = hole_run(v, &path, level - 1);
			*block = 0;
			*run = hole < most ? (uint32_t)hole : most;
			return ERR_OK;
		}
		if ((error = check_pointer(v, inode, next)) != ERR_OK ||
		    (error = cache_get(&v->cache, next, &b)) != ERR_OK)
			return error;
		p = (uint32_t *)(void *)b->data + path.level[level];
		left = v->pointers - path.level[level];
	}
	*block = *p;
	*run = run_length(p, left, most);
	error = check_run(v, inode, *block, *run);
	cache_put(&v->cache, b);
	return error;
}

// A block for *p, near `goal`; `holder` (a buffer, pinned) contains p.
static enum error fill_pointer(struct volume *v, struct inode *inode, struct buffer *holder, uint32_t *p, uint32_t goal)
{
	uint32_t block;
	enum error error = cache_modify(&v->cache, holder);
	if (error == ERR_OK && holder != inode->buffer)
		error = inode_modify(v, inode);
	if (error == ERR_OK)
		error = alloc_block(v, goal, &block);
	if (error != ERR_OK)
		return error;
	*p = block;
	return inode_count(v, inode, 1);
}

// Where to look for a block: behind the nearest one before it in the same array, else behind the array's own block.
static uint32_t goal_near(const uint32_t *array, uint32_t index, uint32_t own)
{
	while (index > 0) {
		if (array[--index])
			return array[index] + 1;
	}
	return own + 1;
}

static uint32_t inode_goal(const struct volume *v, const struct inode *inode)
{
	uint32_t group = (inode->number - 1) / v->inodes_per_group;
	return v->flex ? volume_group_first(v, group) : v->places[group].inode_table + v->inode_table_blocks - 1;
}

enum error bmap_allocate(struct volume *v, struct inode *inode, uint32_t index, uint32_t *block, bool *fresh)
{
	struct path path;
	*fresh = false;
	if (inode_has_extents(inode))
		return extent_allocate(v, inode, index, block, fresh);
	if (!find_path(v, index, &path))
		return ERR_TOO_BIG;
	struct buffer *holder = inode->buffer;
	uint32_t *array = inode->raw->block;
	uint32_t own = inode_goal(v, inode);
	enum error error = ERR_OK;
	for (unsigned level = 0;; level++) {
		uint32_t *p = &array[path.level[level]];
		bool made = *p == 0;
		if (made)
			error = fill_pointer(v, inode, holder, p, goal_near(array, path.level[level], own));
		else
			error = check_pointer(v, inode, *p);
		uint32_t next = *p;
		if (holder != inode->buffer)
			cache_put(&v->cache, holder);
		if (error != ERR_OK)
			return error;
		if (level == path.depth) {
			*block = next;
			*fresh = made;
			return ERR_OK;
		}
		error = made ? cache_create(&v->cache, next, &holder) : cache_get(&v->cache, next, &holder);
		if (error != ERR_OK)
			return error;
		array = (uint32_t *)(void *)holder->data;
		own = next;
	}
}

// ---- freeing: neighbouring blocks are freed together ----

static enum error flush_run(struct volume *v)
{
	uint32_t count = v->free_count;
	v->free_count = 0;
	return count ? alloc_free_blocks(v, v->free_start, count) : ERR_OK;
}

static enum error free_later(struct volume *v, struct inode *inode, uint32_t block)
{
	enum error error = ERR_OK;
	if (v->free_count && block != v->free_start + v->free_count)
		error = flush_run(v);
	if (v->free_count == 0)
		v->free_start = block;
	v->free_count++;
	return error == ERR_OK ? inode_count(v, inode, -1) : error;
}

// Frees what lies below `block` (a tree of `level` levels of indirect blocks) from file index `from` of that tree on;
// from 0 frees the block itself.
static enum error free_tree(struct volume *v, struct inode *inode, uint32_t block, unsigned level, uint64_t from)
{
	struct buffer *b;
	uint64_t span = 1;
	enum error error = check_pointer(v, inode, block);
	if (error != ERR_OK || level == 0)
		return error == ERR_OK ? free_later(v, inode, block) : error;
	for (unsigned l = 1; l < level; l++)
		span *= v->pointers;
	error = cache_get(&v->cache, block, &b);
	if (error != ERR_OK)
		return error;
	uint32_t *p = (uint32_t *)(void *)b->data;
	if (from != 0)
		error = cache_modify(&v->cache, b);
	for (uint32_t i = (uint32_t)(from / span); i < v->pointers && error == ERR_OK; i++) {
		uint64_t below = i == from / span ? from % span : 0;
		if (p[i] == 0)
			continue;
		error = free_tree(v, inode, p[i], level - 1, below);
		if (from != 0 && below == 0) // a block that goes as a whole need not be changed
			p[i] = 0;
	}
	cache_put(&v->cache, b);
	return error == ERR_OK && from == 0 ? free_later(v, inode, block) : error;
}

uint64_t bmap_file_max(const struct volume *v, const struct inode *inode)
{
	return inode_has_extents(inode) ? (uint64_t)UINT32_MAX << v->block_shift : v->file_max;
}

enum error bmap_truncate(struct volume *v, struct inode *inode, uint32_t index)
{
	uint64_t start = EXT2_DIRECT, size = v->pointers;
	if (inode_has_extents(inode))
		return extent_truncate(v, inode, index);
	v->free_count = 0;
	enum error error = inode_modify(v, inode);
	for (uint32_t i = index; i < EXT2_DIRECT && error == ERR_OK; i++) {
		if (inode->raw->block[i])
			error = free_tree(v, inode, inode->raw->block[i], 0, 0);
		inode->raw->block[i] = 0;
	}
	for (unsigned level = 1; level <= 3 && error == ERR_OK; level++) {
		uint32_t *p = &inode->raw->block[EXT2_DIRECT + level - 1];
		uint64_t from = index > start ? index - start : 0;
		if (*p && from < size) {
			error = free_tree(v, inode, *p, level, from);
			if (from == 0)
				*p = 0;
		}
		start += size;
		size *= v->pointers;
	}
	return error == ERR_OK ? flush_run(v) : error;
}
