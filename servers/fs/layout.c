// Layout: where groups lie, which of them have copies of the superblock, and which blocks hold metadata.
//
// Owns: the list of all runs of metadata blocks, in order, made at mount from places that are checked here. With flex_bg
// a group's bitmaps and inode table may lie in any group, so "is this a block of data" is a search in that list. Must
// never call a block of metadata data: everything that frees or overwrites a block asks here first.
// If the server dies: the next incarnation makes the list anew from the descriptors; none of it is on the disk or in the
// log area.
#include "servers/fs/volume.h"

static bool is_power_of(uint32_t n, uint32_t base)
{
	while (n % base == 0)
		n /= base;
	return n == 1;
}

static bool group_has_super(const struct volume *v, uint32_t group)
{
	if (v->super->feature_compat & EXT4_COMPAT_SPARSE_SUPER2 && v->super->rev_level)
		return group == 0 || group == v->super->backup_groups[0] || group == v->super->backup_groups[1];
	if (!v->sparse_super || group <= 1)
		return true;
	return group & 1 && (is_power_of(group, 3) || is_power_of(group, 5) || is_power_of(group, 7));
}

uint32_t volume_group_first(const struct volume *v, uint32_t group)
{
	return v->first_data_block + group * v->blocks_per_group;
}

uint32_t volume_group_blocks(const struct volume *v, uint32_t group)
{
	uint32_t left = v->blocks - volume_group_first(v, group);
	return left < v->blocks_per_group ? left : v->blocks_per_group;
}

uint32_t volume_group_head(const struct volume *v, uint32_t group)
{
	return group_has_super(v, group) ? 1 + v->descriptor_blocks + v->reserved_descriptors : 0;
}

uint32_t volume_block_group(const struct volume *v, uint32_t block)
{
	return (block - v->first_data_block) / v->blocks_per_group;
}

// ---- the list ----

// Neighbours become one run while they come in order.
static void add_run(struct volume *v, uint32_t first, uint32_t count)
{
	struct block_run *last = v->run_count ? &v->runs[v->run_count - 1] : 0;
	if (count == 0)
		return;
	if (last && last->first + last->count == first)
		last->count += count;
	else
		v->runs[v->run_count++] = (struct block_run){first, count};
}

// Heads and, of each kind of metadata, all of it in the order of the groups: so flex_bg's long runs come in one piece.
static void add_by_kind(struct volume *v)
{
	for (uint32_t g = 0; g < v->groups; g++)
		add_run(v, volume_group_first(v, g), volume_group_head(v, g));
	for (uint32_t g = 0; g < v->groups; g++)
		add_run(v, v->places[g].block_bitmap, 1);
	for (uint32_t g = 0; g < v->groups; g++)
		add_run(v, v->places[g].inode_bitmap, 1);
	for (uint32_t g = 0; g < v->groups; g++)
		add_run(v, v->places[g].inode_table, v->inode_table_blocks);
}

static void add_by_group(struct volume *v)
{
	for (uint32_t g = 0; g < v->groups; g++) {
		add_run(v, volume_group_first(v, g), volume_group_head(v, g));
		add_run(v, v->places[g].block_bitmap, 1);
		add_run(v, v->places[g].inode_bitmap, 1);
		add_run(v, v->places[g].inode_table, v->inode_table_blocks);
	}
}

// Shell sort, as in commit.c; the list is nearly in order.
static void sort_runs(struct block_run *r, uint32_t n)
{
	for (uint32_t gap = n / 2; gap > 0; gap = gap == 2 ? 1 : gap * 5 / 11) {
		for (uint32_t i = gap; i < n; i++) {
			struct block_run x = r[i];
			uint32_t j = i;
			for (; j >= gap && r[j - gap].first > x.first; j -= gap)
				r[j] = r[j - gap];
			r[j] = x;
		}
	}
}

bool volume_list_metadata(struct volume *v, uint32_t *twice)
{
	uint32_t kept = 0;
	v->run_count = 0;
	if (v->flex)
		add_by_kind(v);
	else
		add_by_group(v);
	sort_runs(v->runs, v->run_count);
	for (uint32_t i = 1; i < v->run_count; i++) {
		struct block_run *last = &v->runs[kept], *r = &v->runs[i];
		if (r->first < last->first + last->count) {
			*twice = r->first;
			return false;
		}
		if (r->first == last->first + last->count)
			last->count += r->count;
		else
			v->runs[++kept] = *r;
	}
	v->run_count = kept + 1;
	return true;
}

uint32_t volume_data_run(const struct volume *v, uint32_t block, uint32_t count)
{
	uint32_t low = 0, high = v->run_count; // the first run behind the block is in [low, high]
	if (block <= v->first_data_block || block >= v->blocks)
		return 0;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (v->runs[middle].first <= block)
			low = middle + 1;
		else
			high = middle;
	}
	if (low > 0 && block - v->runs[low - 1].first < v->runs[low - 1].count)
		return 0;
	uint32_t end = low < v->run_count ? v->runs[low].first : v->blocks;
	return end - block < count ? end - block : count;
}

bool volume_block_is_data(const struct volume *v, uint32_t block)
{
	return volume_data_run(v, block, 1) == 1;
}
