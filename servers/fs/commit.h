// Commits: how changed blocks reach the disk, through a record that survives this server, and a journal. See commit.c.
#pragma once
#include "servers/fs/cache.h"
#include "servers/fs/disk.h"
#include "servers/fs/doubt.h"
#include "servers/fs/journal.h"
#include <stdint.h>

#define COMMIT_MAGIC 0x4d4f4346u // "FCOM"
#define COMMIT_VERSION 4u
#define COMMIT_FLAG_FALLBACK 1u // this boot serves the memory file system
#define COMMIT_FLAG_ABORTED 2u  // the device refuses writes: the volume is read-only until the next boot
#define COMMIT_DOUBT_SHIFT 8u   // from there on a bit for each finding of damage of which an incarnation died, by its sum
#define COMMIT_DOUBTS 24u
#define COMMIT_SCRATCH 1024u    // bytes: a superblock
#define COMMIT_CONDEMNED_SHIFT 32u // the upper half: 1 + the block for which the last incarnation died instead of committing it

// No bit that flips makes one of the others.
enum commit_state {
	COMMIT_EMPTY = 0x454d5054,
	COMMIT_VALID = 0x56414c49,  // the record is whole
	COMMIT_LOGGED = 0x4c4f4747, // the journal has it, durably: what is left is to write metadata in place
};

enum commit_kind {
	COMMIT_IN_PLACE, // content of files; all blocks of a volume without a journal
	COMMIT_METADATA, // through the journal, then in place
	COMMIT_ESCAPED,  // the same; begins with the journal's magic number, which is zeros until the record is LOGGED
	COMMIT_JOURNAL,  // a block of the journal itself
};

struct commit_entry {
	uint32_t block;
	uint32_t kind;   // enum commit_kind
	uint64_t digest; // of the block's bytes as they go into the journal
};
_Static_assert(sizeof(struct commit_entry) == 16, "a commit entry is 16 bytes");

#define LOSSES 32u

struct loss { // an acknowledged change that is not there; poison.c
	uint64_t handle; // of the object
	uint64_t serial; // of the operation
	uint64_t number; // rises with each loss of this boot; 0: a free entry
	uint64_t check;  // of the three
	uint64_t told;   // bit: slot of a channel whose client has heard of it
	uint64_t heard;  // 1: somebody has
};

// At the start of the log area; the entries follow, then (from data_offset) the blocks: those that go in place in the
// order of their numbers, then the transaction as it will stand in the journal, its commit block last.
struct commit_header {
	uint32_t magic;
	uint32_t version;
	uint32_t state; // enum commit_state; VALID is stored last
	uint32_t block_size;
	uint32_t count;
	uint32_t data_offset;
	uint64_t sequence;
	uint64_t mark;   // highest serial inside
	uint64_t digest; // over block_size .. mark, in_place .. tail, and all entries
	uint32_t in_place; // blocks before the transaction
	uint32_t start;    // of the transaction, in the journal
	uint32_t transaction; // its sequence number
	uint32_t move_tail; // 1: older transactions are dropped first
	uint32_t journal_bytes; // of the journal's part at the end of the log area; 0: no journal
	uint32_t tail; // of the journal, when this is finished
	// Facts that outlive a commit, each with its check word.
	uint64_t last_mark;
	uint64_t last_mark_check;
	uint64_t time_base; // seconds since 1970 at time stamp 0 of this boot
	uint64_t flags;     // COMMIT_FLAG_*
	uint64_t facts_check;
	struct loss losses[LOSSES];
	struct doubts doubts;
};
_Static_assert(sizeof(struct commit_header) == 112 + LOSSES * 48 + sizeof(struct doubts), "the commit header has no holes");
_Static_assert(sizeof(struct commit_header) <= 4096, "the commit header fits into its page");

struct commit_log {
	struct disk *disk;
	struct commit_header *header;
	struct commit_entry *entries;
	uint8_t *data;
	uint32_t block_size;
	uint32_t capacity; // blocks of one commit
	uint64_t in_place; // the record whose metadata is
	struct journal journal;
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
struct loss *commit_losses(const struct disk *disk); // 0: there is no log area
struct doubts *commit_doubts(const struct disk *disk); // likewise
// Writes a valid record's blocks again. *mark: all serials up to it are on the disk. ERR_CORRUPT: the record says
// valid but is damaged: nothing was written, *mark is the last one known.
enum error commit_recover(struct disk *disk, uint64_t *mark);
// After ERR_CORRUPT, where the journal has the transaction that this boot's incarnations were about to write, or had written: all before it
// is in place. False: nobody knows.
bool commit_place(const struct disk *disk, uint32_t *index, uint32_t *sequence);
// Instead of that, when the device refuses writes: the disk is read-only, and reads go through the record, which nobody
// clears any more. So the volume is whole, and as of the record's mark, whatever of it the device has taken.
void commit_read_through(struct disk *disk, uint64_t *mark);

// Divides the log area. ERR_NO_MEMORY when it holds fewer than 32 blocks.
enum error commit_open(struct commit_log *log, struct disk *disk, uint32_t block_size, bool journal);
// COMMIT_SCRATCH bytes of the log area that no record uses, also where none was opened.
uint8_t *commit_scratch(const struct disk *disk);
// The journal's part of the log area, and its size.
struct journal_area *commit_journal_area(const struct disk *disk, uint32_t *bytes);
// An incarnation of this boot has opened the journal, and what the area says is true: nothing need be read or replayed.
bool commit_journal_known(const struct disk *disk);
// Blocks that may be dirty, so that a commit of them fits into the log area and into the journal.
uint32_t commit_dirty_max(const struct commit_log *log);
// Copies all dirty blocks of the cache and makes their transaction. No changing operation may run until the record is valid
// (reading ones may: the disk's breathe is called). `now`: seconds since 1970. The number of blocks copied, through *count.
enum error commit_copy(struct commit_log *log, struct cache *cache, uint64_t now, uint32_t *count);
// Marks the record of what was copied valid: the commit is made, whoever dies. Never fails.
void commit_record(struct commit_log *log, uint64_t mark);
// Writes and flushes what was copied; may be repeated after an error. Afterwards the commit is durable.
enum error commit_write(struct commit_log *log);
// Whether those blocks of the record belong to the disk's blocks from `block` on, in place or in the journal (INV-72).
bool commit_has_place(const struct disk *disk, uint64_t block, uint32_t place, uint32_t count);
// What the journal has is written in place too. The same commit's commit_write has succeeded; may be repeated.
enum error commit_checkpoint(struct commit_log *log);
// It is in place: the mark becomes the last one, the record is cleared.
void commit_finish(struct commit_log *log);
// Nothing was dirty: all serials up to `mark` are on the disk already.
void commit_note(struct commit_log *log, uint64_t mark);
