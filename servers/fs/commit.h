// Commit log: how changed blocks reach the disk. See commit.c.
#pragma once
#include "servers/fs/cache.h"
#include "servers/fs/disk.h"
#include <stdint.h>

#define COMMIT_MAGIC 0x4d4f4346u // "FCOM"
#define COMMIT_VERSION 1u
#define COMMIT_FLAG_FALLBACK 1u // this boot serves the memory file system

enum commit_state { COMMIT_EMPTY, COMMIT_VALID };

struct commit_entry {
	uint32_t block;
	uint32_t padding;
	uint64_t digest; // of the block's bytes
};
_Static_assert(sizeof(struct commit_entry) == 16, "a commit entry is 16 bytes");

// At the start of the log area; the entries follow, then (from data_offset) the blocks.
struct commit_header {
	uint32_t magic;
	uint32_t version;
	uint32_t state; // enum commit_state; VALID is stored last
	uint32_t block_size;
	uint32_t count;
	uint32_t data_offset;
	uint64_t sequence;
	uint64_t mark;   // highest serial inside
	uint64_t digest; // over block_size .. mark and all entries
	// Facts that outlive a commit, each with its check word.
	uint64_t last_mark;
	uint64_t last_mark_check;
	uint64_t time_base; // seconds since 1970 at time stamp 0 of this boot
	uint64_t flags;     // COMMIT_FLAG_*
	uint64_t facts_check;
};
_Static_assert(sizeof(struct commit_header) == 88, "the commit header has no holes");

struct commit_log {
	struct disk *disk;
	struct commit_header *header;
	struct commit_entry *entries;
	uint8_t *data;
	uint32_t block_size;
	uint32_t capacity; // blocks of one commit
	uint64_t commits;
	uint64_t blocks_written;
};

// A look at the log area before anything is known of the volume. True: it is one of ours (this boot's).
bool commit_known(const struct disk *disk);
// First incarnation: an empty log.
void commit_format(struct disk *disk);
// Facts that must be the same in all incarnations of one boot.
void commit_set_facts(struct disk *disk, uint64_t time_base, uint64_t flags);
uint64_t commit_time_base(const struct disk *disk); // 0: not set, or damaged
uint64_t commit_flags(const struct disk *disk);
// Writes a valid record's blocks again. *mark: all serials up to it are on the disk. ERR_CORRUPT: the record says
// valid but is damaged: nothing was written, *mark is the last one known.
enum error commit_recover(struct disk *disk, uint64_t *mark);

// Divides the log area. ERR_NO_MEMORY when it holds fewer than 32 blocks.
enum error commit_open(struct commit_log *log, struct disk *disk, uint32_t block_size);
// Copies all dirty blocks of the cache and marks the record valid. No changing operation may run until it returns
// (reading ones may: the disk's breathe is called).
// The number of blocks copied, through *count.
enum error commit_copy(struct commit_log *log, struct cache *cache, uint64_t mark, uint32_t *count);
// Writes and flushes what was copied; may be repeated after an error.
enum error commit_write(struct commit_log *log);
// It is on the disk: the mark becomes the last one, the record is cleared.
void commit_finish(struct commit_log *log);
// Nothing was dirty: all serials up to `mark` are on the disk already.
void commit_note(struct commit_log *log, uint64_t mark);
