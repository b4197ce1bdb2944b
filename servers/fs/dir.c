// Directories: linear entries, as ext2 has them.
//
// Owns: the content of directory blocks. Every entry is checked before it is believed (record length, name length,
// inode number), so a damaged block is an error for that directory and nothing else. With checksums a block ends in a
// tail that looks like an unused entry and is never given out.
// A directory with hashed index blocks (dir_index) reads as linear, for the index hides in entries that look unused.
// Removing and changing entries leaves the index right; when a name is added, the index is dropped (index.c).
// Read cookies are byte offsets: they survive a restart, and entries do not move but by being removed.
#include "servers/fs/volume.h"
#include <string.h>

#define DIRECTORY_AHEAD 16u // blocks that are read at once: a search goes through them in turn

static uint32_t directory_blocks(const struct volume *v, const struct inode *directory)
{
	return directory->raw->size >> v->block_shift;
}

// Directories can be long: once in 16 blocks the event loop has its turn.
enum error directory_block(struct volume *v, const struct inode *directory, uint32_t index, struct buffer **b)
{
	uint32_t block, run;
	*b = 0;
	if (index % 16 == 15 && v->disk->breathe)
		v->disk->breathe(v->disk);
	uint32_t left = directory_blocks(v, directory) - index, most = left < DIRECTORY_AHEAD ? left : DIRECTORY_AHEAD;
	enum error error = bmap_find(v, directory, index, most ? most : 1, &block, &run);
	if (error != ERR_OK)
		return error;
	if (block == 0)
		return volume_corrupt(v, directory->number, 0, "directory inode %u has a hole at block %u", directory->number, index);
	error = cache_get_run(&v->cache, block, run, b);
	if (error == ERR_OK && !checksum_good(v, *b, index_kind(v, directory, index, *b), checksum_owner(v, directory))) {
		cache_put(&v->cache, *b);
		*b = 0;
		error = volume_corrupt(v, directory->number, block, "directory inode %u: the checksum of block %u is wrong",
				       directory->number, index);
	}
	return error;
}

// Where the block's entries end. Those of index blocks cover the index.
static uint32_t entries_end(const struct volume *v, const struct buffer *b)
{
	return v->checksums && b->kind == BLOCK_DIRECTORY ? v->block_size - sizeof(struct ext4_entry_tail) : v->block_size;
}

// The entry at that byte of the block, or 0 when it is not sound.
static struct ext2_entry *entry_at(struct volume *v, const struct buffer *b, uint32_t offset)
{
	struct ext2_entry *e = (struct ext2_entry *)(void *)(b->data + offset);
	uint32_t end = entries_end(v, b);
	if (end - offset < 12)
		return 0;
	unsigned length = e->name_length;
	if (e->record < 12 || e->record % 4 || e->record > end - offset)
		return 0;
	if (e->inode && (length == 0 || EXT2_ENTRY_SIZE(length) > e->record || e->inode > v->inodes))
		return 0;
	return e;
}

static enum error entry_bad(struct volume *v, const struct inode *directory, uint32_t index, uint32_t offset)
{
	return volume_corrupt(v, directory->number, 0, "directory inode %u: the entry at byte %u of block %u is damaged",
			      directory->number, offset, index);
}

static uint8_t *entry_name(struct ext2_entry *e)
{
	return (uint8_t *)(e + 1);
}

// Bytes of the entry that a new one could take.
static unsigned entry_slack(const struct ext2_entry *e)
{
	return e->record - (e->inode ? EXT2_ENTRY_SIZE(e->name_length) : 0);
}

// *room: some entry of the block leaves room for one with that name.
static enum error find_in_block(struct volume *v, const struct inode *directory, uint32_t index, struct buffer *b,
				const uint8_t *name, unsigned length, struct entry_place *place, bool *room)
{
	struct ext2_entry *before = 0;
	*room = false;
	for (uint32_t offset = 0; offset < entries_end(v, b);) {
		struct ext2_entry *e = entry_at(v, b, offset);
		if (!e)
			return entry_bad(v, directory, index, offset);
		if (e->inode && e->name_length == length && memcmp(entry_name(e), name, length) == 0) {
			*place = (struct entry_place){b, e, before, e->inode, e->type, 0};
			return ERR_OK;
		}
		*room |= entry_slack(e) >= EXT2_ENTRY_SIZE(length);
		before = e;
		offset += e->record;
	}
	return ERR_NOT_FOUND;
}

enum error directory_find(struct volume *v, const struct inode *directory, const uint8_t *name, unsigned length,
			  struct entry_place *place)
{
	uint32_t blocks = directory_blocks(v, directory);
	*place = (struct entry_place){.first_room = blocks};
	for (uint32_t i = 0; i < blocks; i++) {
		struct buffer *b;
		bool room;
		enum error error = directory_block(v, directory, i, &b);
		if (error != ERR_OK)
			return error;
		error = find_in_block(v, directory, i, b, name, length, place, &room);
		if (error == ERR_OK)
			return ERR_OK; // the place keeps the pin
		cache_put(&v->cache, b);
		if (error != ERR_NOT_FOUND)
			return error;
		if (room && i < place->first_room)
			place->first_room = i;
	}
	return ERR_NOT_FOUND;
}

void directory_put(struct volume *v, struct entry_place *place)
{
	cache_put(&v->cache, place->buffer);
	place->buffer = 0;
}

static uint8_t type_of(const struct volume *v, const struct inode *inode)
{
	static const uint8_t types[16] = {
		[1] = EXT2_TYPE_FIFO,	[2] = EXT2_TYPE_CHARACTER, [4] = EXT2_TYPE_DIRECTORY, [6] = EXT2_TYPE_BLOCK,
		[8] = EXT2_TYPE_FILE, [10] = EXT2_TYPE_SYMLINK,  [12] = EXT2_TYPE_SOCKET,
	};
	return v->has_type ? types[inode->raw->mode >> 12] : 0;
}

static uint8_t mode_type_of(uint8_t type)
{
	static const uint8_t modes[EXT2_TYPES] = {0, 8, 4, 2, 6, 1, 12, 10};
	return type < EXT2_TYPES ? modes[type] : 0;
}

static void entry_fill(struct volume *v, struct ext2_entry *e, uint16_t record, const uint8_t *name, unsigned length,
		       const struct inode *target)
{
	memset(e, 0, EXT2_ENTRY_SIZE(length));
	e->record = record;
	e->inode = target->number;
	e->name_length = (uint8_t)length;
	e->type = type_of(v, target);
	memcpy(entry_name(e), name, length);
}

static enum error touch_directory(struct volume *v, struct inode *directory)
{
	enum error error = inode_modify(v, directory);
	if (error != ERR_OK)
		return error;
	inode_touch(v, directory, true);
	return ERR_OK;
}

static enum error add_in_block(struct volume *v, struct inode *directory, uint32_t index, struct buffer *b,
			       const uint8_t *name, unsigned length, const struct inode *target)
{
	unsigned need = EXT2_ENTRY_SIZE(length);
	for (uint32_t offset = 0; offset < entries_end(v, b);) {
		struct ext2_entry *e = entry_at(v, b, offset);
		if (!e)
			return entry_bad(v, directory, index, offset);
		unsigned record = entry_slack(e), used = e->record - record;
		if (record >= need) {
			enum error error = cache_modify(&v->cache, b);
			if (error != ERR_OK)
				return error;
			if (used) {
				e->record = (uint16_t)used;
				e = (struct ext2_entry *)(void *)((uint8_t *)e + used);
			}
			entry_fill(v, e, (uint16_t)record, name, length, target);
			return ERR_OK;
		}
		offset += e->record;
	}
	return ERR_NO_SPACE;
}

// A block that is to hold entries.
static void make_block(const struct volume *v, const struct inode *directory, struct buffer *b)
{
	checksum_claim(b, BLOCK_DIRECTORY, checksum_owner(v, directory));
	checksum_make_tail(v, b);
}

static enum error append_block(struct volume *v, struct inode *directory, const uint8_t *name, unsigned length,
			       const struct inode *target)
{
	uint32_t block, index = directory_blocks(v, directory);
	struct buffer *b;
	bool fresh;
	if (directory->raw->size > 0x7fffffff - v->block_size)
		return ERR_NO_SPACE;
	enum error error = inode_modify(v, directory);
	if (error == ERR_OK)
		error = bmap_allocate(v, directory, index, &block, &fresh);
	if (error != ERR_OK)
		return error;
	if (!fresh)
		return volume_corrupt(v, directory->number, block, "directory inode %u has blocks behind its end", directory->number);
	error = cache_create(&v->cache, block, &b);
	if (error != ERR_OK)
		return error;
	directory->raw->size += v->block_size;
	make_block(v, directory, b);
	entry_fill(v, (struct ext2_entry *)(void *)b->data, (uint16_t)entries_end(v, b), name, length, target);
	cache_put(&v->cache, b);
	return ERR_OK;
}

enum error directory_add(struct volume *v, struct inode *directory, const uint8_t *name, unsigned length,
			 const struct inode *target)
{
	enum error error = touch_directory(v, directory);
	if (error == ERR_OK && directory->raw->flags & EXT2_FLAG_INDEX)
		error = index_drop(v, directory);
	for (uint32_t i = directory->first_room; error == ERR_OK && i < directory_blocks(v, directory); i++) {
		struct buffer *b;
		error = directory_block(v, directory, i, &b);
		if (error != ERR_OK)
			return error;
		error = add_in_block(v, directory, i, b, name, length, target);
		cache_put(&v->cache, b);
		if (error != ERR_NO_SPACE)
			return error;
		error = ERR_OK;
	}
	return error == ERR_OK ? append_block(v, directory, name, length, target) : error;
}

enum error directory_remove(struct volume *v, struct inode *directory, struct entry_place *place)
{
	enum error error = cache_modify(&v->cache, place->buffer);
	if (error == ERR_OK)
		error = touch_directory(v, directory);
	if (error != ERR_OK)
		return error;
	place->entry->inode = 0;
	if (place->before)
		place->before->record = (uint16_t)(place->before->record + place->entry->record);
	return ERR_OK;
}

enum error directory_change(struct volume *v, struct inode *directory, struct entry_place *place,
			    const struct inode *target)
{
	enum error error = cache_modify(&v->cache, place->buffer);
	if (error == ERR_OK)
		error = touch_directory(v, directory);
	if (error != ERR_OK)
		return error;
	place->entry->inode = target->number;
	place->entry->type = type_of(v, target);
	return ERR_OK;
}

static bool is_dots(struct ext2_entry *e)
{
	const uint8_t *name = entry_name(e);
	return (e->name_length == 1 && name[0] == '.') || (e->name_length == 2 && name[0] == '.' && name[1] == '.');
}

enum error directory_empty(struct volume *v, const struct inode *directory)
{
	for (uint32_t i = 0; i < directory_blocks(v, directory); i++) {
		struct buffer *b;
		enum error error = directory_block(v, directory, i, &b);
		for (uint32_t offset = 0; error == ERR_OK && offset < entries_end(v, b);) {
			struct ext2_entry *e = entry_at(v, b, offset);
			if (!e)
				error = entry_bad(v, directory, i, offset);
			else if (e->inode && !is_dots(e))
				error = ERR_NOT_EMPTY;
			else
				offset += e->record;
		}
		cache_put(&v->cache, b);
		if (error != ERR_OK)
			return error;
	}
	return ERR_OK;
}

enum error directory_create(struct volume *v, struct inode *directory, uint32_t parent)
{
	uint32_t block;
	struct buffer *b;
	bool fresh;
	enum error error = bmap_allocate(v, directory, 0, &block, &fresh);
	if (error == ERR_OK)
		error = cache_create(&v->cache, block, &b);
	if (error != ERR_OK)
		return error;
	directory->raw->size = v->block_size;
	make_block(v, directory, b);
	struct ext2_entry *dot = (struct ext2_entry *)(void *)b->data;
	struct ext2_entry *dots = (struct ext2_entry *)(void *)(b->data + 12);
	struct inode up = {.number = parent, .raw = directory->raw};
	entry_fill(v, dot, 12, (const uint8_t *)".", 1, directory);
	entry_fill(v, dots, (uint16_t)(entries_end(v, b) - 12), (const uint8_t *)"..", 2, &up);
	cache_put(&v->cache, b);
	return ERR_OK;
}

// ---- listing ----

// Without the filetype feature the inode must be asked.
static uint8_t listed_type(struct volume *v, const struct ext2_entry *e)
{
	struct inode inode;
	if (v->has_type)
		return mode_type_of(e->type);
	if (inode_get(v, e->inode, &inode) != ERR_OK)
		return 0;
	uint8_t type = (uint8_t)(inode.raw->mode >> 12);
	inode_put(v, &inode);
	return type;
}

static uint32_t list_entry(struct volume *v, struct ext2_entry *e, uint8_t *to, uint32_t room)
{
	uint32_t record = ((uint32_t)sizeof(struct fs_dirent) + e->name_length + 7u) & ~7u;
	if (record > room)
		return 0;
	struct fs_dirent d = {
		.inode = e->inode,
		.record = (uint16_t)record,
		.name_length = e->name_length,
		.type = listed_type(v, e),
	};
	memset(to, 0, record);
	memcpy(to, &d, sizeof(d));
	memcpy(to + sizeof(d), entry_name(e), e->name_length);
	return record;
}

enum error directory_read(struct volume *v, const struct inode *directory, uint64_t *cookie, uint8_t *to, uint32_t room,
			  uint32_t *bytes, bool *end)
{
	uint32_t size = directory->raw->size;
	*bytes = 0;
	*end = false;
	while (*cookie < size) {
		struct buffer *b;
		uint32_t index = (uint32_t)(*cookie >> v->block_shift), base = index << v->block_shift;
		enum error error = directory_block(v, directory, index, &b);
		if (error != ERR_OK)
			return error;
		for (uint32_t offset = 0; offset < entries_end(v, b);) {
			struct ext2_entry *e = entry_at(v, b, offset);
			uint32_t used = 0;
			if (!e)
				error = entry_bad(v, directory, index, offset);
			else if (e->inode && base + offset >= *cookie)
				used = list_entry(v, e, to + *bytes, room - *bytes);
			bool full = e && e->inode && base + offset >= *cookie && used == 0;
			if (error != ERR_OK || full) {
				cache_put(&v->cache, b);
				return error != ERR_OK ? error : *bytes ? ERR_OK : ERR_TOO_BIG;
			}
			*bytes += used;
			offset += e->record;
			if (base + offset > *cookie)
				*cookie = base + offset;
		}
		*cookie = base + v->block_size; // the tail is not listed
		cache_put(&v->cache, b);
	}
	*end = true;
	return ERR_OK;
}
