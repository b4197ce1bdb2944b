// A mounted volume: everything that the core knows, and the functions of its parts, in the order in which they build on
// each other. Owns no code. No function here waits but through struct disk; all run under serve.c's lock: those that
// change something alone, those that only read beside each other.
#pragma once
#include "proto/fs.h"
#include "servers/fs/cache.h"
#include "servers/fs/commit.h"
#include "servers/fs/ext2.h"
#include <stdbool.h>
#include <stdint.h>

#define VOLUME_GROUPS_MAX 4096u      // 512 GiB with blocks of 4 KiB, 32 GiB with 1 KiB
#define VOLUME_DESCRIPTOR_BLOCKS 128u // what that takes with 1 KiB blocks
#define VOLUME_STREAMS 16u           // sequential readers followed at once
#define VOLUME_WRITE_BLOCKS (FS_TRANSFER_MAX / 1024u + 1)

struct group_place { // where a group's metadata is; checked at mount
	uint32_t block_bitmap;
	uint32_t inode_bitmap;
	uint32_t inode_table;
};

struct stream { // a sequential reader
	uint32_t inode;
	uint32_t age;
	uint64_t next;  // offset where it will read
	uint64_t ahead; // up to here blocks were asked for
};

struct volume {
	struct disk *disk;
	struct cache cache;
	struct commit_log log;
	struct buffer *super_buffer; // pinned while mounted
	struct ext2_super *super;    // in it
	struct buffer *descriptors[VOLUME_DESCRIPTOR_BLOCKS];
	uint32_t block_size;
	unsigned block_shift;
	uint32_t pointers; // block numbers in an indirect block
	uint32_t blocks;
	uint32_t inodes;
	uint32_t first_data_block;
	uint32_t blocks_per_group;
	uint32_t inodes_per_group;
	uint32_t inode_table_blocks;
	uint32_t inode_size;
	uint32_t first_inode;
	uint32_t groups;
	uint32_t descriptor_blocks;
	uint32_t reserved_descriptors;
	uint64_t file_max;    // bytes
	bool has_type;        // directory entries have the file type
	bool sparse_super;
	bool read_only;
	bool fallback;
	uint64_t now; // seconds since 1970, of the operation under way
	uint64_t corruptions;
	uint32_t stream_clock;
	struct stream streams[VOLUME_STREAMS];
	struct buffer *write_set[VOLUME_WRITE_BLOCKS]; // of the write under way
	uint32_t free_start; // run of blocks that the operation is freeing
	uint32_t free_count;
	struct group_place places[VOLUME_GROUPS_MAX];
	char reason[200]; // why it could not be mounted, a sentence
};

// ---- super.c ----

// Reads and checks superblock and group descriptors. ERR_OK, or volume->reason says what
// is wrong: ERR_CORRUPT (not an ext2 or damaged), ERR_UNSUPPORTED (features by name), ERR_DEVICE, ERR_NO_MEMORY.
enum error volume_open(struct volume *v, struct disk *disk, const struct cache_memory *memory);
void volume_close(struct volume *v);
// Blocks that may be dirty at once: they fit into one commit, and dirty and committing ones together leave a quarter of
// the cache for reading and for undo.
uint32_t volume_dirty_limit(const struct volume *v);
// Newest time that the superblock knows of.
uint64_t volume_newest_time(const struct volume *v);
struct ext2_group *volume_group(struct volume *v, uint32_t group);
bool volume_block_is_data(const struct volume *v, uint32_t block); // in range and in no group's metadata
uint32_t volume_block_group(const struct volume *v, uint32_t block);
// Counts, logs a line (the first ones), returns ERR_CORRUPT.
enum error volume_corrupt(struct volume *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
enum error volume_modify_super(struct volume *v);
enum error volume_modify_group(struct volume *v, uint32_t group);

// ---- alloc.c: bitmaps and counts ----

// Deterministic: the same state of the volume and the same goal give the same block.
enum error alloc_block(struct volume *v, uint32_t goal, uint32_t *block);
enum error alloc_inode(struct volume *v, uint32_t parent, bool directory, uint32_t *number);
enum error alloc_free_blocks(struct volume *v, uint32_t block, uint32_t count);
enum error alloc_free_inode(struct volume *v, uint32_t number, bool directory);

// ---- inode.c ----

struct inode {
	uint32_t number;
	struct buffer *buffer; // pinned until inode_put
	struct ext2_inode *raw;
	uint32_t first_room; // of a directory: no block before this one has room for the name that is to be added
};

// Pins the inode of that number, whatever its state. ERR_CORRUPT for a number out of range.
enum error inode_get(struct volume *v, uint32_t number, struct inode *inode);
// The same for an inode that is in use and sound. ERR_STALE: not in use.
enum error inode_get_used(struct volume *v, uint32_t number, struct inode *inode);
// By a client's handle: ERR_STALE also when the generation differs.
enum error inode_open(struct volume *v, uint64_t handle, struct inode *inode);
enum error inode_open_directory(struct volume *v, uint64_t handle, struct inode *inode);
void inode_put(struct volume *v, struct inode *inode);
enum error inode_modify(struct volume *v, struct inode *inode);
// A new one near `parent`, with one link (a directory: two), pinned and modified.
enum error inode_create(struct volume *v, uint32_t parent, uint16_t mode, struct inode *inode);
// Frees blocks, attributes and number: the last link is gone.
enum error inode_destroy(struct volume *v, struct inode *inode);
uint64_t inode_handle(const struct inode *inode);
uint64_t inode_size(const struct inode *inode);
enum error inode_set_size(struct volume *v, struct inode *inode, uint64_t size); // inode is modified already
void inode_touch(struct volume *v, struct inode *inode, bool content); // ctime, with content mtime too
void inode_set_times(struct volume *v, struct inode *inode, uint64_t atime, uint64_t mtime);
void inode_stat(const struct volume *v, const struct inode *inode, struct fs_stat *stat);
static inline bool inode_is(const struct inode *inode, uint32_t type)
{
	return (inode->raw->mode & FS_MODE_TYPE) == type;
}

// ---- bmap.c: from blocks of a file to blocks of the disk ----

// *block 0: a hole. *run: how many file blocks from here on go on alike (neighbours on disk, or holes), at most `most`.
enum error bmap_find(struct volume *v, const struct inode *inode, uint32_t index, uint32_t most, uint32_t *block,
		     uint32_t *run);
// As bmap_find for one block, but fills a hole; *fresh: the block is new and has no content yet.
enum error bmap_allocate(struct volume *v, struct inode *inode, uint32_t index, uint32_t *block, bool *fresh);
// Frees all blocks of the file from `index` on.
enum error bmap_truncate(struct volume *v, struct inode *inode, uint32_t index);

// ---- dir.c ----

struct entry_place {
	struct buffer *buffer; // pinned
	struct ext2_entry *entry;
	struct ext2_entry *before; // in the same block, or 0
	uint32_t inode;
	uint8_t type;
	uint32_t first_room; // not found: first block with room for it, or the number of blocks
};

// A search in vain notes in the place where the name would fit; directory_add takes that from directory->first_room.
enum error directory_find(struct volume *v, const struct inode *directory, const uint8_t *name, unsigned length,
			  struct entry_place *place);
void directory_put(struct volume *v, struct entry_place *place);
enum error directory_add(struct volume *v, struct inode *directory, const uint8_t *name, unsigned length,
			 const struct inode *target);
enum error directory_remove(struct volume *v, struct inode *directory, struct entry_place *place);
enum error directory_change(struct volume *v, struct inode *directory, struct entry_place *place,
			    const struct inode *target);
enum error directory_empty(struct volume *v, const struct inode *directory); // ERR_NOT_EMPTY
// First block with '.' and '..'.
enum error directory_create(struct volume *v, struct inode *directory, uint32_t parent);
// Fills `to` with struct fs_dirent; *cookie goes on, *end when nothing is left.
enum error directory_read(struct volume *v, const struct inode *directory, uint64_t *cookie, uint8_t *to, uint32_t room,
			  uint32_t *bytes, bool *end);

// ---- content.c: what files and links hold ----

enum error content_read(struct volume *v, const struct inode *inode, uint64_t offset, uint8_t *to, uint32_t room,
		     uint32_t *bytes);
// All or nothing.
enum error content_write(struct volume *v, struct inode *inode, uint64_t offset, const uint8_t *from, uint32_t length);
enum error content_truncate(struct volume *v, struct inode *inode, uint64_t size);
enum error content_read_link(struct volume *v, const struct inode *inode, uint8_t *to, uint32_t room, uint32_t *bytes);
enum error content_set_link(struct volume *v, struct inode *inode, const uint8_t *target, unsigned length);

// ---- name.c: what changes directories ----

struct name {
	const uint8_t *bytes;
	unsigned length;
};
enum error name_check(struct name name); // INVALID, NAME_TOO_LONG
enum error name_lookup(struct volume *v, uint64_t directory, struct name name, struct inode *inode);
enum error name_create(struct volume *v, uint64_t directory, struct name name, uint32_t mode, uint32_t flags,
		       uint64_t *handle, bool *made);
enum error name_make_directory(struct volume *v, uint64_t directory, struct name name, uint32_t mode,
			       uint64_t *handle);
enum error name_symlink(struct volume *v, uint64_t directory, struct name name, const uint8_t *target, unsigned length,
			uint64_t *handle);
enum error name_link(struct volume *v, uint64_t handle, uint64_t directory, struct name name);
enum error name_unlink(struct volume *v, uint64_t directory, struct name name);
enum error name_remove_directory(struct volume *v, uint64_t directory, struct name name);
enum error name_rename(struct volume *v, uint64_t from, struct name old_name, uint64_t to, struct name new_name);

// ---- memory_disk.c: the fallback ----

// Formats `bytes` of zeroed memory as an empty ext2 of 1 KiB blocks (8 MiB at most are used).
void memory_disk_format(void *memory, uint32_t bytes, uint64_t time);
void memory_disk_open(struct disk *disk, void *memory, uint32_t bytes, void *log, uint32_t log_bytes);
