// Bitmaps and free counts: giving out and taking back blocks and inode numbers.
//
// Owns: the content of both kinds of bitmap, and the three counts of each group and of the superblock. Deterministic on
// purpose: no memory of earlier searches, so that a replay in serial order after a restart chooses the same blocks and
// inodes (INV-52), but for blocks whose freeing is not yet durable (below). Bitmaps are claims of the disk: a free bit over metadata is skipped and logged, freeing
// what is free already is corruption and undoes the operation.
#include "runtime/inject.h"
#include "runtime/runtime.h"
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

static uint64_t word_get(const uint8_t *map, uint32_t i)
{
	uint64_t word = 0;
	if (map)
		__builtin_memcpy(&word, map + i / 8, 8);
	return word;
}

// First bit in [from, to) that is zero in all three maps, or `to`. A map of 0 is all zeros.
static uint32_t bit_find_zero(const uint8_t *const maps[3], uint32_t from, uint32_t to)
{
	while (from < to) {
		if (from % 64 == 0 && to - from >= 64) {
			uint64_t word = word_get(maps[0], from) | word_get(maps[1], from) | word_get(maps[2], from);
			if (word == ~0ull) {
				from += 64;
				continue;
			}
			return from + (uint32_t)__builtin_ctzll(~word);
		}
		if (!bit_get(maps[0], from) && !(maps[1] && bit_get(maps[1], from)) && !(maps[2] && bit_get(maps[2], from)))
			return from;
		from++;
	}
	return to;
}

// ---- blocks that were freed, but not yet durably so ----
// INV-60. With a journal content is written in place before its transaction is durable. A block that this transaction, or the one
// that is being written, has freed may be a file's again after a power cut: it is not used until both are durable.

static const uint8_t *held_map(const struct volume *v, unsigned generation, uint32_t group)
{
	const struct buffer *b = v->held[generation][group];
	return b ? b->data : 0;
}

static enum error hold_block(struct volume *v, uint32_t group, uint32_t i)
{
	struct buffer **b = &v->held[0][group];
	if (!v->log.journal.area)
		return ERR_OK;
	if (!*b) {
		*b = cache_spare(&v->cache);
		if (!*b)
			return ERR_NO_MEMORY;
		v->held_groups[0]++;
	}
	(*b)->data[i / 8] |= (uint8_t)(1u << i % 8);
	return ERR_OK;
}

static void drop_held(struct volume *v, unsigned generation)
{
	for (uint32_t group = 0; group < v->groups && v->held_groups[generation]; group++) {
		struct buffer *b = v->held[generation][group];
		if (!b)
			continue;
		v->held[generation][group] = 0;
		v->held_groups[generation]--;
		cache_put(&v->cache, b);
	}
}

void alloc_commit_begun(struct volume *v)
{
	invariant(v->held_groups[1] == 0);
	for (uint32_t group = 0; group < v->groups && v->held_groups[0]; group++) {
		struct buffer *b = v->held[0][group];
		v->held[1][group] = b;
		v->held[0][group] = 0;
		v->held_groups[1] += b != 0;
		v->held_groups[0] -= b != 0;
	}
}

void alloc_commit_durable(struct volume *v)
{
	drop_held(v, 1);
}

static void bits_set(uint8_t *map, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++)
		map[i / 8] |= (uint8_t)(1u << i % 8);
}

// ---- bitmaps that were never written (the descriptor says so) are made when they are first needed ----

static bool group_says(struct volume *v, uint32_t group, uint16_t flag)
{
	return v->group_checksums && volume_group(v, group)->flags & flag;
}

void alloc_blank_map(const struct volume *v, uint32_t group, bool inodes, uint8_t *map)
{
	uint32_t start = volume_group_first(v, group), length = volume_group_blocks(v, group);
	for (uint32_t i = 0; !inodes && i < length;) {
		uint32_t data = volume_data_run(v, start + i, length - i);
		bits_set(map, i, i + (data == 0));
		i += data ? data : 1;
	}
	bits_set(map, inodes ? v->inodes_per_group : length, v->block_size * 8);
}

static enum error make_block_bitmap(struct volume *v, uint32_t group)
{
	struct buffer *b;
	enum error error = volume_modify_group(v, group);
	if (error == ERR_OK)
		error = cache_create(&v->cache, v->places[group].block_bitmap, &b);
	if (error != ERR_OK)
		return error;
	alloc_blank_map(v, group, false, b->data);
	checksum_claim(b, BLOCK_BLOCK_BITMAP, group);
	cache_put(&v->cache, b);
	volume_group(v, group)->flags &= (uint16_t)~EXT4_GROUP_BLOCKS_UNUSED;
	return ERR_OK;
}

// Linux wants the block bitmap of a group in which there are inodes.
static enum error make_inode_bitmap(struct volume *v, uint32_t group)
{
	struct buffer *b;
	enum error error = volume_modify_group(v, group);
	if (error == ERR_OK && group_says(v, group, EXT4_GROUP_BLOCKS_UNUSED))
		error = make_block_bitmap(v, group);
	if (error == ERR_OK)
		error = cache_create(&v->cache, v->places[group].inode_bitmap, &b);
	if (error != ERR_OK)
		return error;
	alloc_blank_map(v, group, true, b->data);
	checksum_claim(b, BLOCK_INODE_BITMAP, group);
	cache_put(&v->cache, b);
	struct ext2_group *g = volume_group(v, group);
	g->flags &= (uint16_t)~EXT4_GROUP_INODES_UNUSED;
	g->unused_inodes = (uint16_t)v->inodes_per_group;
	return ERR_OK;
}

// The group's bitmap of either kind, checked; ERR_CORRUPT once with a line in the log, and then without.
static enum error get_bitmap(struct volume *v, uint32_t group, bool inodes, struct buffer **b)
{
	struct group_place *p = &v->places[group];
	bool *bad = inodes ? &p->bad_inodes : &p->bad_blocks;
	*b = 0;
	if (*bad)
		return ERR_CORRUPT;
	enum error error = cache_get(&v->cache, inodes ? p->inode_bitmap : p->block_bitmap, b);
	if (error != ERR_OK || checksum_good(v, *b, inodes ? BLOCK_INODE_BITMAP : BLOCK_BLOCK_BITMAP, group))
		return error;
	*bad = true;
	cache_put(&v->cache, *b);
	return volume_corrupt(v, 0, 0, "group %u: the %s bitmap's checksum is wrong; the group is left alone", group,
			      inodes ? "inode" : "block");
}

// Takes a free block of the group, at or after `from` (an index in the group). ERR_NO_SPACE: none there.
static enum error take_block(struct volume *v, uint32_t group, uint32_t from, uint32_t *block)
{
	struct buffer *b;
	uint32_t length = volume_group_blocks(v, group);
	enum error error = group_says(v, group, EXT4_GROUP_BLOCKS_UNUSED) ? make_block_bitmap(v, group) : ERR_OK;
	if (error == ERR_OK)
		error = get_bitmap(v, group, false, &b);
	if (error != ERR_OK)
		return error == ERR_CORRUPT ? ERR_NO_SPACE : error;
	const uint8_t *const maps[3] = {b->data, held_map(v, 0, group), held_map(v, 1, group)};
	uint32_t i = bit_find_zero(maps, from, length);
	while (i < length && !volume_block_is_data(v, volume_group_first(v, group) + i)) {
		volume_corrupt(v, 0, volume_group_first(v, group) + i, "group %u: the bitmap calls block %u free, which holds metadata", group,
			       volume_group_first(v, group) + i);
		i = bit_find_zero(maps, i + 1, length);
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
		*block = volume_group_first(v, group) + i;
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
		error = take_block(v, group, i == 0 ? goal - volume_group_first(v, group) : 0, block);
		if (error != ERR_NO_SPACE)
			return error;
	}
	return v->held_groups[0] || v->held_groups[1] ? ERR_AGAIN : ERR_NO_SPACE;
}

static enum error free_in_group(struct volume *v, uint32_t group, uint32_t block, uint32_t count)
{
	struct buffer *b;
	uint32_t first = block - volume_group_first(v, group);
	if (group_says(v, group, EXT4_GROUP_BLOCKS_UNUSED))
		return volume_corrupt(v, 0, block, "block %u is to be freed, but its group was never used", block);
	enum error error = get_bitmap(v, group, false, &b);
	if (error != ERR_OK)
		return error;
	error = cache_modify(&v->cache, b);
	if (error == ERR_OK)
		error = volume_modify_group(v, group);
	if (error == ERR_OK)
		error = volume_modify_super(v);
	if (error == ERR_OK && volume_data_run(v, block, count) != count)
		error = volume_corrupt(v, 0, block, "%u blocks from %u on are to be freed, but there is metadata among them", count,
				       block);
	for (uint32_t i = first; i < first + count && error == ERR_OK; i++) {
		if (!bit_get(b->data, i)) {
			error = volume_corrupt(v, 0, volume_group_first(v, group) + i, "block %u is to be freed, but it is free",
					       volume_group_first(v, group) + i);
			break;
		}
		if ((error = hold_block(v, group, i)) != ERR_OK)
			break;
		bit_flip(b->data, i);
		journal_revoke(&v->log.journal, volume_group_first(v, group) + i);
		cache_freed(&v->cache, volume_group_first(v, group) + i);
	}
	if (error == ERR_OK) {
		volume_group(v, group)->free_blocks_count = (uint16_t)(volume_group(v, group)->free_blocks_count + count);
		v->super->free_blocks_count += count;
		if (volume_group(v, group)->free_blocks_count > volume_group_blocks(v, group) ||
		    v->super->free_blocks_count > v->blocks)
			error = volume_corrupt(v, 0, block, "group %u counts more free blocks than it has", group);
	}
	cache_put(&v->cache, b);
	return error;
}

enum error alloc_free_blocks(struct volume *v, uint32_t block, uint32_t count)
{
	while (count) {
		if (!volume_block_is_data(v, block))
			return volume_corrupt(v, 0, block, "block %u is to be freed, but it is no data block", block);
		uint32_t group = volume_block_group(v, block);
		uint32_t here = volume_group_first(v, group) + volume_group_blocks(v, group) - block;
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
		return volume_corrupt(v, 0, 0, "group %u: the counts of inodes do not fit its bitmap", group);
	return ERR_OK;
}

uint32_t alloc_inodes_used(struct volume *v, uint32_t group)
{
	if (group_says(v, group, EXT4_GROUP_INODES_UNUSED))
		return 0;
	return v->inodes_per_group - (v->group_checksums ? volume_group(v, group)->unused_inodes : 0);
}

// Inodes behind those that were ever used may hold anything on the disk: the border moves one inode at a time.
static enum error move_border(struct volume *v, uint32_t group, uint32_t i, bool *fresh)
{
	uint32_t used = alloc_inodes_used(v, group);
	*fresh = i >= used;
	if (i < used)
		return ERR_OK;
	if (i > used && i != first_usable(v, group))
		return volume_corrupt(v, group * v->inodes_per_group + i + 1, 0, "group %u: inode %u is free, but %u are said to be used",
				      group, i, used);
	volume_group(v, group)->unused_inodes = (uint16_t)(v->inodes_per_group - i - 1);
	return ERR_OK;
}

// As an index in the group; none: inodes_per_group. One whose freeing another client can still lose is left alone.
static uint32_t find_free_inode(struct volume *v, uint32_t group, const uint8_t *map, uint32_t from)
{
	const uint8_t *const maps[3] = {map, 0, 0};
	uint32_t i = bit_find_zero(maps, from, v->inodes_per_group);
	while (i < v->inodes_per_group && v->may_use && !v->may_use(group * v->inodes_per_group + i + 1, false))
		i = bit_find_zero(maps, i + 1, v->inodes_per_group);
	return i;
}

// Takes a free inode of the group, at or after `from` (an index in the group).
static enum error take_inode(struct volume *v, uint32_t group, uint32_t from, bool directory, uint32_t *number, bool *fresh)
{
	struct buffer *b;
	enum error error = group_says(v, group, EXT4_GROUP_INODES_UNUSED) ? make_inode_bitmap(v, group) : ERR_OK;
	if (error == ERR_OK)
		error = get_bitmap(v, group, true, &b);
	if (error != ERR_OK)
		return error == ERR_CORRUPT ? ERR_NO_SPACE : error;
	uint32_t i = find_free_inode(v, group, b->data, from);
	error = i < v->inodes_per_group ? change_inode_bit(v, group, b, i, -1, directory) : ERR_NO_SPACE;
	if (error == ERR_OK)
		error = move_border(v, group, i, fresh);
	*number = group * v->inodes_per_group + i + 1;
	cache_put(&v->cache, b);
	return error;
}

enum error alloc_inode(struct volume *v, uint32_t parent, bool directory, uint32_t *number, bool *fresh)
{
	uint32_t first = (parent - 1) / v->inodes_per_group;
	uint32_t forced = v->forced ? FS_HANDLE_INODE(v->forced[0]) : 0;
	if (v->super->free_inodes_count == 0)
		return ERR_NO_SPACE;
	if (forced >= v->first_inode && forced <= v->inodes) // INV-57
		return take_inode(v, (forced - 1) / v->inodes_per_group, (forced - 1) % v->inodes_per_group, directory, number,
				  fresh);
	for (uint32_t i = 0; i < v->groups; i++) {
		uint32_t group = (first + i) % v->groups;
		if (volume_group(v, group)->free_inodes_count == 0)
			continue;
		enum error error = take_inode(v, group, first_usable(v, group), directory, number, fresh);
		if (error != ERR_NO_SPACE)
			return error;
	}
	return v->may_use ? ERR_AGAIN : ERR_NO_SPACE; // after a commit what was left alone may be taken
}

enum error alloc_free_inode(struct volume *v, uint32_t number, bool directory)
{
	struct buffer *b;
	uint32_t group = (number - 1) / v->inodes_per_group;
	uint32_t i = (number - 1) % v->inodes_per_group;
	enum error error = get_bitmap(v, group, true, &b);
	if (error != ERR_OK)
		return error;
	if (!bit_get(b->data, i) || number < v->first_inode)
		error = volume_corrupt(v, number, 0, "inode %u is to be freed, but it is free or reserved", number);
	else
		error = change_inode_bit(v, group, b, i, 1, directory ? -1 : 0);
	cache_put(&v->cache, b);
	return error;
}
