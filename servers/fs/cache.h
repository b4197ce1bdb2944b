// Block cache of one volume. See cache.c.
#pragma once
#include "servers/fs/disk.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CACHE_CLUSTERS 16u // reads under way at most
#define CACHE_CLUSTER_BLOCKS (DISK_READ_BYTES / 1024u)

enum {
	BUFFER_VALID = 1,      // data is the block's content
	BUFFER_READING = 2,    // a read is under way
	BUFFER_DIRTY = 4,      // changed since the last commit copied it
	BUFFER_COMMITTING = 8, // copied into a commit that is not yet on the disk: the cache has the only good copy
	BUFFER_HASHED = 16,
	BUFFER_IDLE = 32,      // on the list of buffers that may be evicted
	BUFFER_CONTENT = 64,   // of a file: written in place, where everything else goes through the journal
	BUFFER_MADE = 128,     // no block of ours before; since the last commit
};

enum {
	BUFFER_OP_SHADOWED = 1, // changed by the operation; shadow has the bytes before
	BUFFER_OP_FRESH = 2,    // was no block of anything before the operation
	BUFFER_OP_FREED = 4,    // freed by the operation
};

struct buffer {
	uint32_t block;
	uint16_t pins;
	uint8_t flags;
	uint8_t op_flags;
	uint8_t op_was; // flags before the operation
	uint8_t kind;     // what the block is, for checksum.c; 0: not known, or content
	bool summed;      // `sum` is that of all of the block as the commit under way copies it
	uint32_t owner;   // whose it is
	uint32_t checked; // parts (inodes of a table; else bit 0) that were found right since they were read
	uint32_t stale;   // parts whose checksum is to be computed before the next commit
	uint32_t sum;     // CRC-32C from zero on, without inversion
	uint32_t changed; // parts that operations changed since the last commit, for judge.c
	bool disputed;    // since then it was taken for two kinds: the disk names it twice
	uint64_t seal;    // sum of the content while nobody changes it, of dirty content also as it was written; 0: not known
	uint8_t *data;
	struct buffer *hash_next;
	struct buffer *next; // idle list (most recently used first) or dirty list
	struct buffer *previous;
	struct buffer *op_next;
	struct buffer *shadow;
	struct buffer *base; // content before the first change since the last commit, for judge.c; 0: not kept
	struct buffer *commit_next;
};

struct cache_cluster { // one read of neighbouring blocks
	struct disk_read read;
	struct cache *cache;
	unsigned count; // 0: free
	struct buffer *buffers[CACHE_CLUSTER_BLOCKS];
};

struct buffer_list {
	struct buffer *first;
	struct buffer *last;
	unsigned count;
};

struct cache {
	struct disk *disk;
	uint32_t block_size;
	unsigned block_shift;
	unsigned buffer_count;
	unsigned buffer_max; // that many at most, as long as there is memory
	unsigned hash_mask;
	struct buffer **hash;
	void *(*more)(size_t bytes); // memory to grow by, or 0; zeroed when it said no
	struct buffer_list idle;
	struct buffer_list dirty;
	unsigned bases;     // buffers with a base
	unsigned dirty_max; // what fits into a commit; an operation that needs more ends with ERR_LIMIT
	struct buffer *committing;
	struct buffer *op_first;
	bool op_active;
	void (*freeing)(struct cache *cache, const struct buffer *b); // what is freed has a kind; 0: nobody wants to know
	struct cache_cluster clusters[CACHE_CLUSTERS];
	uint64_t hits;
	uint64_t misses;
	uint64_t read_ahead;
};

#define CACHE_STEP 0x80000u // bytes that the cache asks `more` for at once

// Where the cache's memory comes from: `first` at once, more in steps when blocks would have to be evicted, up to
// bytes_max in all. So a restart does not pay for memory that it may not need.
struct cache_memory {
	void *first;
	size_t first_bytes;
	size_t bytes_max;
	void *(*more)(size_t bytes); // 0: never
};

// ERR_NO_MEMORY when the first piece holds fewer than 64 blocks.
enum error cache_open(struct cache *cache, struct disk *disk, uint32_t block_size, const struct cache_memory *memory);
// Buffers that there can be: what dirty blocks may be counted on.
unsigned cache_capacity(const struct cache *cache);

// Pins the block, reading it if needed. The disk's error, or ERR_NO_MEMORY when nothing can be evicted.
enum error cache_get(struct cache *cache, uint32_t block, struct buffer **buffer);
// The same for the first of `run` blocks that will be wanted one after the other: a miss reads more of them.
enum error cache_get_run(struct cache *cache, uint32_t block, unsigned run, struct buffer **buffer);
// Pins without reading: the content counts only if BUFFER_VALID is set.
enum error cache_get_blank(struct cache *cache, uint32_t block, struct buffer **buffer);
void cache_put(struct cache *cache, struct buffer *buffer);
// Starts reading up to `count` neighbouring blocks that are not there; never waits unless `must`.
void cache_read_start(struct cache *cache, uint32_t block, unsigned count, bool must);

// Changes, inside an operation only. cache_modify goes before the change and keeps the old bytes. ERR_LIMIT: too much is
// dirty; ERR_NO_MEMORY: too much is dirty or kept for undo. After a commit there is more room for both.
void cache_op_begin(struct cache *cache);
void cache_op_keep(struct cache *cache);
void cache_op_undo(struct cache *cache);
enum error cache_modify(struct cache *cache, struct buffer *buffer);
// Whether so many more may become dirty by cache_overwritten: ERR_OK or ERR_LIMIT.
enum error cache_room(const struct cache *cache, unsigned count);
// A block that nobody uses becomes ours: zeroed, valid, dirty, pinned.
enum error cache_create(struct cache *cache, uint32_t block, struct buffer **buffer);
// The pinned buffer's content, which is a file's, was replaced and cannot be undone: only after all that may fail. `seal`: of all of
// it, or 0.
void cache_overwritten(struct cache *cache, struct buffer *buffer, uint64_t seal);
// A pinned buffer that belongs to no block, zeroed, until cache_put; 0: there is none.
struct buffer *cache_spare(struct cache *cache);
// The block is free from now on: what is dirty of it need not be written.
void cache_freed(struct cache *cache, uint32_t block);
// Before a change outside operations (superblock times).
void cache_mark_dirty(struct cache *cache, struct buffer *buffer);
// After a change in memory that no commit is to take.
void cache_reseal(struct cache *cache, struct buffer *buffer);
// Of metadata that the commit takes as it is now: whoever copies it later finds whether it is still the same.
void cache_seal(const struct cache *cache, struct buffer *buffer);
// The sum of what is in the buffer, or of its copy. Ends this server when it is not that of its seal (INV-66).
void cache_seal_check(const struct buffer *buffer, uint64_t sum);
// The block's buffer, not pinned; 0: it is not there, or not read yet.
struct buffer *cache_peek(struct cache *cache, uint32_t block);

// Commit (commit.c): takes the next dirty buffer off the dirty list, now committing; 0 at the end.
struct buffer *cache_commit_take(struct cache *cache);
// All that is committing is on the disk.
void cache_commit_done(struct cache *cache);
