// Bitmaps and free counts: giving out and taking back blocks and inode numbers.
//
// Owns: the content of both kinds of bitmap, and the three counts of each group and of the superblock. Deterministic on
// purpose: no memory of earlier searches, so that a replay in serial order after a restart chooses the same blocks and
// inodes (INV-52). Bitmaps are claims of the disk: a free bit over metadata is skipped and logged, freeing
// what is free already is corruption and undoes the operation.
#include "runtime/inject.h"
#include "servers/fs/volume.h"

#define FREE_AT_ONCE 4096u // blocks freed between two answers to pings: about 1 ms

static bool bit_get(const uint8_t *map, uint32_t i)
{
	return map[i / 8] >> i % 8 & 1;
}

static void bit_flip(uint8_t *map, uint32_t i)
{
	map[i / 8] ^= (uint8_t)(1u << i % 8);
}

// First zero bit in [from, to), or `to`.
static uint32_t bit_find_zero(const uint8_t *map, uint32_t from, uint32_t to)
{
	while (from < to) {
		if (from % 64 == 0 && to - from >= 64) {
			uint64_t word;
			__builtin_memcpy(&word, map + from / 8, 8);
			if (word == ~0ull) {
				from += 64;
				continue;
			}
			return from + (uint32_t)__builtin_ctzll(~word);
		}
		if (!bit_get(map, from))
			return from;
		from++;
	}
	return to;
}

static uint32_t group_start(const struct volume *v, uint32_t group)
{
	return v->first_data_block + group * v->blocks_per_group;
}

static uint32_t group_length(const struct volume *v, uint32_t group)
{
	uint32_t left = v->blocks - group_start(v, group);
	return left < v->blocks_per_group ? left : v->blocks_per_group;
}

// Takes a free block of the group, at or after `from` (an index in the group). ERR_NO_SPACE: none there.
static enum error take_block(struct volume *v, uint32_t group, uint32_t from, uint32_t *block)
{
	struct buffer *b;
	uint32_t length = group_length(v, group);
	enum error error = cache_get(&v->cache, v->places[group].block_bitmap, &b);
	if (error != ERR_OK)
		return error;
	uint32_t i = bit_find_zero(b->data, from, length);
	while (i < length && !volume_block_is_data(v, group_start(v, group) + i)) {
		volume_corrupt(v, "group %u: the bitmap calls block %u free, which holds metadata", group,
			       group_start(v, group) + i);
		i = bit_find_zero(b->data, i + 1, length);
	}
	error = i < length ? cache_modify(&v->cache, b) : ERR_NO_SPACE;
	if (error == ERR_OK)
		error = volume_modify_group(v, group);
	if (error == ERR_OK)
		error = volume_modify_super(v);
	if (error == ERR_OK) {
		bit_flip(b->data, i);
		volume_group(v, group)->free_blocks_count--;
		v->super->free_blocks_count--;
		*block = group_start(v, group) + i;
	}
	cache_put(&v->cache, b);
	return error;
}

enum error alloc_block(struct volume *v, uint32_t goal, uint32_t *block)
{
	enum error error = inject("fs.alloc");
	if (error != ERR_OK)
		return error;
	if (goal <= v->first_data_block || goal >= v->blocks)
		goal = v->first_data_block + 1;
	uint32_t first = volume_block_group(v, goal);
	if (v->super->free_blocks_count == 0)
		return ERR_NO_SPACE;
	// The goal's group is looked at twice: behind the goal first, at the end from its start.
	for (uint32_t i = 0; i <= v->groups; i++) {
		uint32_t group = (first + i) % v->groups;
		if (volume_group(v, group)->free_blocks_count == 0)
			continue;
		error = take_block(v, group, i == 0 ? goal - group_start(v, group) : 0, block);
		if (error != ERR_NO_SPACE)
			return error;
	}
	return ERR_NO_SPACE;
}

static enum error free_in_group(struct volume *v, uint32_t group, uint32_t block, uint32_t count)
{
	struct buffer *b;
	uint32_t first = block - group_start(v, group);
	enum error error = cache_get(&v->cache, v->places[group].block_bitmap, &b);
	if (error != ERR_OK)
		return error;
	error = cache_modify(&v->cache, b);
	if (error == ERR_OK)
		error = volume_modify_group(v, group);
	if (error == ERR_OK)
		error = volume_modify_super(v);
	for (uint32_t i = first; i < first + count && error == ERR_OK; i++) {
		if (!bit_get(b->data, i) || !volume_block_is_data(v, group_start(v, group) + i)) {
			error = volume_corrupt(v, "block %u is to be freed, but it is free or metadata",
					       group_start(v, group) + i);
			break;
		}
		bit_flip(b->data, i);
		cache_freed(&v->cache, group_start(v, group) + i);
	}
	if (error == ERR_OK) {
		volume_group(v, group)->free_blocks_count = (uint16_t)(volume_group(v, group)->free_blocks_count + count);
		v->super->free_blocks_count += count;
		if (volume_group(v, group)->free_blocks_count > group_length(v, group) ||
		    v->super->free_blocks_count > v->blocks)
			error = volume_corrupt(v, "group %u counts more free blocks than it has", group);
	}
	cache_put(&v->cache, b);
	return error;
}

enum error alloc_free_blocks(struct volume *v, uint32_t block, uint32_t count)
{
	while (count) {
		if (!volume_block_is_data(v, block))
			return volume_corrupt(v, "block %u is to be freed, but it is no data block", block);
		uint32_t group = volume_block_group(v, block);
		uint32_t here = group_start(v, group) + group_length(v, group) - block;
		here = here < count ? here : count;
		here = here < FREE_AT_ONCE ? here : FREE_AT_ONCE;
		if (v->disk->breathe)
			v->disk->breathe(v->disk);
		enum error error = free_in_group(v, group, block, here);
		if (error != ERR_OK)
			return error;
		block += here;
		count -= here;
	}
	return ERR_OK;
}

// First inode of the group that may be given out, as an index.
static uint32_t first_usable(const struct volume *v, uint32_t group)
{
	uint32_t start = group * v->inodes_per_group;
	uint32_t reserved = v->first_inode - 1; // numbers count from 1
	return start >= reserved ? 0 : reserved - start < v->inodes_per_group ? reserved - start : v->inodes_per_group;
}

static enum error change_inode_bit(struct volume *v, uint32_t group, struct buffer *b, uint32_t i, int free, int dirs)
{
	enum error error = cache_modify(&v->cache, b);
	if (error == ERR_OK)
		error = volume_modify_group(v, group);
	if (error == ERR_OK)
		error = volume_modify_super(v);
	if (error != ERR_OK)
		return error;
	struct ext2_group *g = volume_group(v, group);
	bit_flip(b->data, i);
	g->free_inodes_count = (uint16_t)(g->free_inodes_count + free);
	g->used_dirs_count = (uint16_t)(g->used_dirs_count + dirs);
	v->super->free_inodes_count += (uint32_t)free;
	if (g->free_inodes_count > v->inodes_per_group || g->used_dirs_count > v->inodes_per_group ||
	    v->super->free_inodes_count > v->inodes)
		return volume_corrupt(v, "group %u: the counts of inodes do not fit its bitmap", group);
	return ERR_OK;
}

static enum error take_inode(struct volume *v, uint32_t group, bool directory, uint32_t *number)
{
	struct buffer *b;
	enum error error = cache_get(&v->cache, v->places[group].inode_bitmap, &b);
	if (error != ERR_OK)
		return error;
	uint32_t i = bit_find_zero(b->data, first_usable(v, group), v->inodes_per_group);
	error = i < v->inodes_per_group ? change_inode_bit(v, group, b, i, -1, directory) : ERR_NO_SPACE;
	*number = group * v->inodes_per_group + i + 1;
	cache_put(&v->cache, b);
	return error;
}

enum error alloc_inode(struct volume *v, uint32_t parent, bool directory, uint32_t *number)
{
	uint32_t first = (parent - 1) / v->inodes_per_group;
	if (v->super->free_inodes_count == 0)
		return ERR_NO_SPACE;
	for (uint32_t i = 0; i < v->groups; i++) {
		uint32_t group = (first + i) % v->groups;
		if (volume_group(v, group)->free_inodes_count == 0)
			continue;
		enum error error = take_inode(v, group, directory, number);
		if (error != ERR_NO_SPACE)
			return error;
	}
	return ERR_NO_SPACE;
}

enum error alloc_free_inode(struct volume *v, uint32_t number, bool directory)
{
	struct buffer *b;
	uint32_t group = (number - 1) / v->inodes_per_group;
	uint32_t i = (number - 1) % v->inodes_per_group;
	enum error error = cache_get(&v->cache, v->places[group].inode_bitmap, &b);
	if (error != ERR_OK)
		return error;
	if (!bit_get(b->data, i) || number < v->first_inode)
		error = volume_corrupt(v, "inode %u is to be freed, but it is free or reserved", number);
	else
		error = change_inode_bit(v, group, b, i, 1, directory ? -1 : 0);
	cache_put(&v->cache, b);
	return error;
}
