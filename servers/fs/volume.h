// A mounted volume: everything that the core knows, and the functions of its parts, in the order in which they build on
// each other. Owns no code. No function here waits but through struct disk; all run under serve.c's lock: those that
// change something alone, those that only read beside each other.
#pragma once
#include "proto/fs.h"
#include "runtime/payload.h"
#include "servers/fs/cache.h"
#include "servers/fs/commit.h"
#include "servers/fs/ext2.h"
#include "servers/fs/ledger.h"
#include <stdbool.h>
#include <stdint.h>

#define VOLUME_GROUPS_MAX 4096u      // 512 GiB with blocks of 4 KiB, 32 GiB with 1 KiB
#define VOLUME_DESCRIPTOR_BLOCKS 256u // what that takes with 1 KiB blocks and descriptors of 64 bytes
#define VOLUME_RUNS_MAX (4 * VOLUME_GROUPS_MAX)
#define VOLUME_STREAMS 16u           // sequential readers followed at once
#define VOLUME_CHANGED_MAX 8u        // a rename changes four
#define VOLUME_WRITE_BLOCKS (FS_TRANSFER_MAX / 1024u + 1)

struct group_place { // where a group's metadata is; checked at mount
	uint32_t block_bitmap;
	uint32_t inode_bitmap;
	uint32_t inode_table;
	bool bad_blocks; // the bitmap has a wrong checksum: nothing is taken from this group
	bool bad_inodes;
};

struct block_run {
	uint32_t first;
	uint32_t count;
};

enum block_kind { // what a buffer's block is known to be
	BLOCK_UNKNOWN, // or content
	BLOCK_SUPER,
	BLOCK_DESCRIPTORS,
	BLOCK_BLOCK_BITMAP,
	BLOCK_INODE_BITMAP,
	BLOCK_INODES,
	BLOCK_DIRECTORY,
	BLOCK_INDEX, // of a directory
	BLOCK_EXTENTS,
	BLOCK_ATTRIBUTES,
};

struct stream { // a sequential reader
	uint32_t inode;
	uint32_t age;
	uint64_t next;  // offset where it will read
	uint64_t ahead; // up to here blocks were asked for
};

struct damage { // an error, and who found it
	const char *function;
	uint32_t line;
	uint32_t inode; // 0: none in particular
	uint32_t block;
	uint8_t code;   // EXT4_ERROR_*
	uint32_t time;
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
	uint32_t descriptor_size;
	uint32_t descriptor_blocks;
	uint32_t reserved_descriptors;
	uint64_t file_max;    // bytes, of a file with pointers
	uint32_t link_max;
	uint32_t checksum_seed;
	bool has_type;        // directory entries have the file type
	bool sparse_super;
	bool extents;         // new inodes have them
	bool flex;            // metadata of a group may lie in another
	bool checksums;       // of all metadata
	bool group_checksums; // of descriptors, whose flags and counts of unused inodes count then
	bool huge_counts;     // inodes count blocks with 48 bits
	bool many_links;      // a directory with too many links counts 1
	bool has_journal;
	bool read_only;
	bool fallback;
	uint64_t now; // seconds since 1970, of the changing operation under way
	uint64_t clock; // of whatever operation began last; 0: none has
	const uint64_t *forced; // results that the operation under way had when it was first performed; 0: this is the first time
	struct payload_sum *sum; // of the content that the operation under way copies; 0: nobody wants it
	bool (*is_open)(uint64_t handle); // somebody has the file open; 0: nobody ever
	bool orphaned;        // the operation under way took the last name of an open file
	bool orphans_damaged; // the chain cannot be worked off
	uint64_t corruptions; // found since the volume was opened
	uint32_t damages; // of them, those that the superblock does not tell yet
	struct damage first_damage, last_damage;
	bool (*may_use)(uint32_t inode, bool wanted); // of the change under way: ERR_AGAIN if it is not so; 0: all inodes. See share.c
	unsigned changed_count; // inodes that it changed; above VOLUME_CHANGED_MAX: not all are listed
	uint32_t changed[VOLUME_CHANGED_MAX];
	uint32_t stream_clock;
	struct stream streams[VOLUME_STREAMS];
	struct buffer *write_set[VOLUME_WRITE_BLOCKS]; // of the write under way
	uint32_t free_start; // run of blocks that the operation is freeing
	uint32_t free_count;
	uint32_t run_count;
	uint32_t held_groups[2]; // groups of which there are such maps
	struct ledger freeing;   // with the blocks that the operation under way frees, for judge.c; and what it does not account for
	struct ledger freed;     // the same since the last commit
	uint32_t unaccounted;    // accounts of the ledger of which the last commit did not know all
	uint8_t *mark_place;     // of the mark of serials, in the root directory's inode, pinned; 0: the volume has none
	uint64_t mark;           // as it stands there
	uint64_t guard;          // sum of what does not change (guard.c)
	bool doubts;             // its own memory, when it first finds the volume damaged: damage.c
	uint32_t good_commits;   // in this incarnation
	uint32_t samples;        // of checksums that were taken again
	bool lenient;            // the disk is known to be damaged: what is wrong in a commit is said, and committed
	bool before_replay;      // a journal that is to be replayed may be so
	bool unreplayed;         // the journal is to be replayed first: blocks may be torn, counts and checksums need not fit
	char reason[200]; // why it could not be mounted, a sentence
	// From here on only what there are groups for is ever looked at, or cleared.
	struct buffer *held[2][VOLUME_GROUPS_MAX]; // maps of blocks freed in this transaction and in the one being written
	struct group_place places[VOLUME_GROUPS_MAX] __attribute__((aligned(8)));
	struct block_run runs[VOLUME_RUNS_MAX] __attribute__((aligned(8))); // of metadata, in order
};

// ---- super.c ----

// Reads and checks superblock and group descriptors. ERR_OK, or volume->reason says what
// is wrong: ERR_CORRUPT (not an ext2 or damaged), ERR_UNSUPPORTED (features by name), ERR_DEVICE, ERR_NO_MEMORY.
enum error volume_open(struct volume *v, struct disk *disk, const struct cache_memory *memory);
// The same for a volume whose journal was not replayed yet: enough of it is checked to find the journal.
enum error volume_open_unreplayed(struct volume *v, struct disk *disk, const struct cache_memory *memory);
bool volume_needs_recovery(const struct volume *v);
enum error volume_read_super(struct volume *v, struct ext2_super *super); // past the cache
// How people call it: "ext2", "ext3" (with a journal), "ext4" (with extents), "memfs" (the fallback).
const char *volume_kind(const struct volume *v);
// Blocks that may be dirty at once: they fit into one commit, and dirty and committing ones together leave a quarter of
// the cache for reading and for undo.
uint32_t volume_dirty_limit(const struct volume *v);
// Newest time that the superblock knows of.
uint64_t volume_newest_time(const struct volume *v);
// As well as it is known now.
uint32_t volume_seconds(const struct volume *v);
struct ext2_group *volume_group(struct volume *v, uint32_t group);
// Checksums of the descriptors in the block of them with that index.
void volume_seal_groups(struct volume *v, uint32_t index);
enum error volume_modify_super(struct volume *v);
enum error volume_modify_group(struct volume *v, uint32_t group);

// ---- damage.c: what the superblock tells of errors ----

// Keeps it for the superblock, counts, logs a line (the first ones), returns ERR_CORRUPT. `inode`, `block`: where; 0: none.
#define volume_corrupt(v, inode, block, ...)                                                                           \
	damage_found(v, (struct damage){__func__, __LINE__, inode, block, EXT4_ERROR_CORRUPTED, 0}, __VA_ARGS__)
enum error damage_found(struct volume *v, struct damage d, const char *format, ...) __attribute__((format(printf, 3, 4)));
// Whether this server is to die of that finding, and not to believe it. True once for each, until damage_no_doubt.
bool damage_is_doubted(struct volume *v, const struct damage *d);
// What was found once was not found again.
void damage_no_doubt(struct volume *v);
// Before a commit copies: the superblock takes over what was found.
void damage_note(struct volume *v);
// So many errors more: flags the superblock. Not sealed.
void damage_tell(struct ext2_super *s, const struct damage *first, const struct damage *last, uint32_t count);

// ---- layout.c: places ----

uint32_t volume_group_first(const struct volume *v, uint32_t group);
uint32_t volume_group_blocks(const struct volume *v, uint32_t group);
uint32_t volume_group_head(const struct volume *v, uint32_t group); // blocks of superblock and descriptors at its start
uint32_t volume_block_group(const struct volume *v, uint32_t block);
// Lists all metadata, from the heads and v->places. False: the block *twice has two uses.
bool volume_list_metadata(struct volume *v, uint32_t *twice);
// How many of the `count` blocks from there on are in range and in no group's metadata, before the first that is not.
uint32_t volume_data_run(const struct volume *v, uint32_t block, uint32_t count);
bool volume_block_is_data(const struct volume *v, uint32_t block);

// ---- checksum.c ----

struct inode;
uint32_t checksum_crc32c(uint32_t crc, const void *bytes, size_t length);
uint32_t checksum_zeros(uint32_t crc, size_t length);
uint32_t checksum_join(const uint32_t *sums, unsigned count, size_t size);
uint32_t checksum_join_two(const uint32_t *low, const uint32_t *high, unsigned count, size_t size);
void checksum_rows(const void *rows, unsigned count, size_t size, uint32_t known, uint32_t *sums);
uint32_t checksum_word(uint32_t crc, uint64_t word); // of its eight bytes
bool checksum_tables_hold(void); // as far as sums tell: they were not changed
bool checksum_super_good(const struct ext2_super *super);
void checksum_super_seal(struct ext2_super *super);
void checksum_open(struct volume *v, const struct ext2_super *super);
bool checksum_group_good(struct volume *v, uint32_t group);
void checksum_group_seal(struct volume *v, uint32_t group);
// Whose a block is: the `owner` of directories and extents; groups own their bitmaps, attributes have owner 0.
uint32_t checksum_owner(const struct volume *v, const struct inode *inode);
// Whether the pinned block passes as that; it is remembered while the buffer has the block.
bool checksum_good(struct volume *v, struct buffer *b, enum block_kind kind, uint32_t owner);
bool checksum_known(const struct buffer *b, enum block_kind kind, uint32_t owner);
// The block is made here as that, or is known to be right.
void checksum_claim(struct buffer *b, enum block_kind kind, uint32_t owner);
void checksum_make_tail(const struct volume *v, struct buffer *b); // of a directory's block
bool checksum_inode_good(struct volume *v, const struct inode *inode);
void checksum_inode_stale(struct volume *v, const struct inode *inode); // it changes
// Before a commit copies what is dirty; no operation may be under way.
void checksum_seal(struct volume *v);
// Afterwards: whether the dirty block has a sum that is right, or at least another one than its former content, which was another.
bool checksum_sealed(struct volume *v, const struct buffer *b);

// Whether it is right, taken again and another way: of a block of inodes that of one.
bool checksum_right(struct volume *v, const struct buffer *b);

// ---- alloc.c: bitmaps and counts ----

// Deterministic: the same state of the volume and the same goal give the same block.
enum error alloc_block(struct volume *v, uint32_t goal, uint32_t *block);
// *fresh: its place in the table was never written.
enum error alloc_inode(struct volume *v, uint32_t parent, bool directory, uint32_t *number, bool *fresh);
// What the bitmap of a group in which nothing was ever used has in it; the map is zeroed.
void alloc_blank_map(const struct volume *v, uint32_t group, bool inodes, uint8_t *map);
uint32_t alloc_inodes_used(struct volume *v, uint32_t group); // inodes of the group from there on were never used
enum error alloc_free_blocks(struct volume *v, uint32_t block, uint32_t count);
enum error alloc_free_inode(struct volume *v, uint32_t number, bool directory);
// ERR_AGAIN from alloc_block: what is free was freed by operations that are not durable yet.
void alloc_commit_begun(struct volume *v);   // what was freed before belongs to the commit
void alloc_commit_durable(struct volume *v); // and may be used again

// ---- guard.c ----

// From volume_open on nothing of the geometry changes; false: something has, by a fault.
void volume_guard(struct volume *v);
bool volume_is_guarded(const struct volume *v);

// ---- judge.c ----

// Whether what is dirty may be committed, by what is known of its former content. Its checksums were made. False: logged; this
// server is to die.
bool judge_commit(struct volume *v);

// ---- mount.c: with the journal ----

// Brings the disk to the border of the last commit (a record that an incarnation before left, if `resumed`; the journal, after
// a power cut), opens the volume and its journal. *mark: all serials up to it are inside. Errors as of volume_open.
enum error volume_mount(struct volume *v, struct disk *disk, const struct cache_memory *memory, bool resumed,
			uint64_t *mark);
// Nothing more is going to be committed in this boot: the log area and both superblocks are told, the latter as far as the device
// lets them.
void volume_abort(struct volume *v);

// ---- journal_replay.c ----

struct journal_replayed {
	uint32_t sequence;     // of the first transaction that is not in the journal
	uint32_t transactions;
	uint32_t blocks;  // written
	uint32_t revoked; // left out
};
// Writes what complete transactions hold in place, and flushes. Reads by the cache, whose content is then stale. `scratch`
// is in the log area. ERR_CORRUPT (nothing was written), ERR_NO_MEMORY, ERR_DEVICE: with v->reason.
enum error journal_replay(struct volume *v, const struct journal_area *area, uint8_t *scratch, size_t bytes,
			  struct journal_replayed *result);

// ---- mark.c: the mark of serials in the volume ----

// Finds its place in the root directory's inode, or that there is none. *mark stays as it is if none was written yet.
enum error mark_find(struct volume *v, uint64_t *mark);
// In the commit that is being made. Needs v->mark_place.
void mark_write(struct volume *v, uint64_t mark);

// ---- inode.c ----

struct inode {
	uint32_t number;
	struct buffer *buffer; // pinned until inode_put
	struct ext2_inode *raw;
	uint32_t first_room; // of a directory: no block before this one has room for the name that is to be added
};

// Pins the inode of that number, whatever its state. ERR_CORRUPT for a number out of range.
enum error inode_get(struct volume *v, uint32_t number, struct inode *inode);
// The same for an inode that is in use and sound. ERR_STALE: not in use. ERR_AGAIN: not yet, see may_use.
enum error inode_get_used(struct volume *v, uint32_t number, struct inode *inode);
// By a client's handle: ERR_STALE also when the generation differs, ERR_HANDLE: there can be no such inode.
enum error inode_open(struct volume *v, uint64_t handle, struct inode *inode);
enum error inode_open_directory(struct volume *v, uint64_t handle, struct inode *inode);
void inode_put(struct volume *v, struct inode *inode);
enum error inode_modify(struct volume *v, struct inode *inode);
// A new one near `parent`, with one link (a directory: two), pinned and modified.
enum error inode_create(struct volume *v, uint32_t parent, uint16_t mode, struct inode *inode);
// Frees blocks, attributes and number: the last link is gone.
enum error inode_destroy(struct volume *v, struct inode *inode);
// Blocks of 512 bytes that it counts; inode_count changes that by blocks of the file system (the inode is modified).
uint64_t inode_blocks(const struct volume *v, const struct inode *inode);
enum error inode_count(struct volume *v, struct inode *inode, int64_t blocks);
bool inode_has_content(const struct volume *v, const struct inode *inode); // more blocks than that of its attributes
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

// ---- orphan.c: files without a name that live until their last close ----

// The last name is gone; the inode is modified already, has no link, and goes into the chain.
enum error orphan_add(struct volume *v, struct inode *inode);
bool orphan_listed(struct volume *v, uint32_t number);
// The first of the chain that nobody has open; ERR_NOT_FOUND: none.
enum error orphan_find_closed(struct volume *v, struct inode *inode);
// Takes it out of the chain and frees it (or, with links, what a truncation that was cut off had left).
enum error orphan_free(struct volume *v, struct inode *inode);

// ---- bmap.c: from blocks of a file to blocks of the disk ----

// *block 0: a hole. *run: how many file blocks from here on go on alike (neighbours on disk, or holes), at most `most`.
enum error bmap_find(struct volume *v, const struct inode *inode, uint32_t index, uint32_t most, uint32_t *block,
		     uint32_t *run);
// As bmap_find for one block, but fills a hole; *fresh: the block is new and has no content yet.
enum error bmap_allocate(struct volume *v, struct inode *inode, uint32_t index, uint32_t *block, bool *fresh);
// Frees all blocks of the file from `index` on.
enum error bmap_truncate(struct volume *v, struct inode *inode, uint32_t index);

uint64_t bmap_file_max(const struct volume *v, const struct inode *inode); // bytes

// ---- extent.c: the same three for inodes that have extents ----

static inline bool inode_has_extents(const struct inode *inode)
{
	return inode->raw->flags & EXT4_FLAG_EXTENTS;
}
// Unwritten blocks are holes to extent_find, and fresh ones to extent_allocate, which makes them written.
enum error extent_find(struct volume *v, const struct inode *inode, uint32_t index, uint32_t most, uint32_t *block,
		       uint32_t *run);
enum error extent_allocate(struct volume *v, struct inode *inode, uint32_t index, uint32_t *block, bool *fresh);
enum error extent_truncate(struct volume *v, struct inode *inode, uint32_t index);
void extent_init(struct inode *inode); // an empty tree; the inode is modified already
// What is wrong with a node by itself, or 0; the root is the one in the inode.
const char *extent_flaw(const struct volume *v, const void *node, bool root);

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

enum error directory_block(struct volume *v, const struct inode *directory, uint32_t index, struct buffer **b); // pins it

// ---- index.c: hashed index of a directory ----

// What the block with that index is, by its content; without checksums nobody needs to tell.
enum block_kind index_kind(const struct volume *v, const struct inode *directory, uint32_t index, const struct buffer *b);
struct ext4_index_count *index_count(const struct volume *v, const struct buffer *b); // 0: no index block, or damaged
enum error index_drop(struct volume *v, struct inode *directory); // the inode is modified already

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
