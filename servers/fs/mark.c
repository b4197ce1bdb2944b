// The mark of serials in the volume: the highest serial whose effect, and that of all before it, is inside.
//
// Owns: one extended attribute, trusted.planaria.mark (8 bytes, little-endian), inside the inode of the root directory. It
// changes in the same transaction as what it speaks of, so that recovery can believe the disk alone. Volumes without a
// journal and inodes of 128 bytes have none: there the log area's mark counts (commit.c). Attributes of others in that
// inode are kept; where they leave no room there is no mark either. Its place is found at mount, and the inode's block stays in
// memory from then on: a commit cannot fail for the mark's sake, and has nothing to look for.
// Source of the layout: "Extended Attributes" in filesystems/ext4 of the Linux kernel's documentation. The hash is 0, as
// Linux has it for attributes inside inodes.
#include "runtime/runtime.h"
#include "servers/fs/volume.h"
#include <string.h>

#define MARK_NAME "planaria.mark"
#define MARK_NAMESPACE 4u // "trusted."
#define MARK_ENTRY 32u    // bytes of its entry: 16 and the name, padded to 4
#define INODE_BASE 128u
#define MARK_MOST (1ull << 62) // more operations than any volume sees

struct attribute { // of an inode or an attribute block; the name follows
	uint8_t name_length;
	uint8_t name_space;
	uint16_t value_offset; // from the first entry on
	uint32_t value_inode;
	uint32_t value_size;
	uint32_t hash;
};
_Static_assert(sizeof(struct attribute) == 16, "an attribute's entry is 16 bytes before its name");

struct attributes { // what an inode has
	uint8_t *first; // first entry
	uint32_t room;  // bytes from there to the end of the inode
	uint32_t end;   // of the entries
	uint32_t low;   // lowest value
	struct attribute *mark;
};

static bool is_mark(const struct attribute *a)
{
	return a->name_space == MARK_NAMESPACE && a->name_length == sizeof(MARK_NAME) - 1 && a->value_size == sizeof(uint64_t) &&
	       a->value_inode == 0 && memcmp(a + 1, MARK_NAME, sizeof(MARK_NAME) - 1) == 0;
}

// False: damaged.
static bool walk_entries(struct attributes *all)
{
	uint32_t word;
	for (;;) {
		if (all->end + 4 > all->room)
			return false;
		memcpy(&word, all->first + all->end, 4);
		if (word == 0)
			return true;
		struct attribute *a = (struct attribute *)(void *)(all->first + all->end);
		if (all->end + sizeof(*a) + a->name_length + 4 > all->room)
			return false;
		bool here = a->value_inode == 0 && a->value_size != 0;
		if (here && (a->value_offset > all->room || a->value_size > all->room - a->value_offset))
			return false;
		if (here && a->value_offset < all->low)
			all->low = a->value_offset;
		if (is_mark(a))
			all->mark = a;
		all->end += (uint32_t)(sizeof(*a) + a->name_length + 3) & ~3u;
	}
}

// False: the inode has no place for attributes, or they are damaged.
static bool attributes_of(const struct volume *v, const struct inode *inode, struct attributes *all)
{
	uint32_t start = INODE_BASE + inode->raw->extra_isize, magic;
	uint8_t *raw = (uint8_t *)inode->raw;
	if (v->inode_size <= INODE_BASE || inode->raw->extra_isize < 4 || start % 4 || start + 4 + MARK_ENTRY > v->inode_size)
		return false;
	*all = (struct attributes){.first = raw + start + 4, .room = v->inode_size - start - 4};
	all->low = all->room;
	memcpy(&magic, raw + start, 4);
	if (magic != EXT2_XATTR_MAGIC) { // none yet
		memset(raw + start, 0, v->inode_size - start);
		return true;
	}
	return walk_entries(all);
}

static bool has_room(const struct attributes *all)
{
	return all->end + MARK_ENTRY + 4 + sizeof(uint64_t) <= (all->low & ~3u);
}

static void make_mark(struct attributes *all)
{
	uint32_t magic = EXT2_XATTR_MAGIC;
	all->mark = (struct attribute *)(void *)(all->first + all->end);
	*all->mark = (struct attribute){
		.name_length = sizeof(MARK_NAME) - 1,
		.name_space = MARK_NAMESPACE,
		.value_offset = (uint16_t)((all->low & ~3u) - sizeof(uint64_t)),
		.value_size = sizeof(uint64_t),
	};
	memcpy(all->mark + 1, MARK_NAME, sizeof(MARK_NAME) - 1);
	memset(all->first + all->end + MARK_ENTRY, 0, 4);
	memset(all->first + all->mark->value_offset, 0, sizeof(uint64_t));
	memcpy(all->first - 4, &magic, 4);
}

// A number that cannot be would be the end of all serials.
static void mark_read(struct volume *v, uint64_t *mark)
{
	uint64_t found;
	memcpy(&found, v->mark_place, sizeof(found));
	if (found > MARK_MOST) {
		log_line("fs: the mark of serials, %llu, cannot be, and is not believed", (unsigned long long)found);
		return;
	}
	*mark = v->mark = found;
}

enum error mark_find(struct volume *v, uint64_t *mark)
{
	struct inode root;
	struct attributes all;
	enum error error = inode_get(v, EXT2_ROOT_INODE, &root);
	if (error != ERR_OK)
		return error;
	bool sound = attributes_of(v, &root, &all); // may clear the place, in memory only, until the first commit
	cache_reseal(&v->cache, root.buffer);
	if (!sound || (!all.mark && !has_room(&all))) {
		inode_put(v, &root);
		return ERR_OK;
	}
	bool fresh = !all.mark;
	if (fresh) {
		make_mark(&all);
		cache_reseal(&v->cache, root.buffer);
	}
	v->mark_place = all.first + all.mark->value_offset;
	if (!fresh)
		mark_read(v, mark);
	return ERR_OK;
}

void mark_write(struct volume *v, uint64_t mark)
{
	struct inode root;
	enum error error = inode_get(v, EXT2_ROOT_INODE, &root);
	invariant(error == ERR_OK); // it is in memory
	checksum_inode_stale(v, &root);
	cache_mark_dirty(&v->cache, root.buffer);
	memcpy(v->mark_place, &mark, sizeof(mark));
	v->mark = mark;
	inode_put(v, &root);
}
