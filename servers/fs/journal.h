// The journal of a volume: where it lies, what it holds, and the format of its blocks. See journal.c.
#pragma once
#include "abi/error.h"
#include "servers/fs/jbd2.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_RUNS 512u     // pieces of the journal on the disk at most
#define JOURNAL_REVOKES 1024u // in one transaction; a block that is not revoked goes through the journal when it is used again

struct journal_run { // `count` neighbouring blocks of the disk
	uint32_t index; // of the first one in the journal
	uint32_t block;
	uint32_t count;
};

// The part of the log area (commit.h) that knows the journal: it survives the server, so that a restart reads nothing.
struct journal_area {
	uint8_t super[JBD2_SUPER_SIZE]; // as it is to be written
	uint64_t check;       // over all of the journal that never changes: super's fixed fields, geometry and runs
	uint64_t place_check; // over head .. tail
	uint32_t head;        // next block to be written
	uint32_t sequence;    // of the next transaction
	uint32_t tail;        // where the superblock on the disk says that the log begins
	uint32_t block_size;
	uint32_t length; // blocks, the superblock included
	uint32_t first;
	uint32_t incompat; // JBD2_INCOMPAT_*
	uint32_t seed;     // of checksums
	uint32_t filter_bytes; // of the filter behind this structure, a power of two: a bit for each block number, modulo
			       // its size, that may be in the journal. It may have too many, never too few
	uint32_t run_count;
	struct journal_run runs[JOURNAL_RUNS];
};
_Static_assert(sizeof(struct journal_area) % 8 == 0, "the filter behind it is aligned");

struct journal {
	struct journal_area *area; // 0: the volume has none
	uint32_t blocks; // of the volume
	uint32_t revokes[JOURNAL_REVOKES]; // of the transaction that is being made
	unsigned revoke_count;
	unsigned revoke_undo; // of them, at the begin of the operation
};

struct journal_tag {
	uint32_t block;
	uint32_t flags; // JBD2_TAG_*
	uint32_t checksum;
};

// ---- where it is ----

// What the log area's part takes, with a filter that suits a log of that size.
uint32_t journal_area_bytes(uint64_t log_bytes);
// Checks a superblock (JBD2_SUPER_SIZE bytes) and fills the area but for its runs. An error has a sentence in `reason`.
enum error journal_area_fill(struct journal_area *area, uint32_t area_bytes, const uint8_t *super, uint32_t block_size,
			     uint64_t inode_blocks, char *reason, size_t room);
// The runs are there too: what stands in the area is true from now on, and the log is empty.
void journal_area_ready(struct journal_area *area, uint32_t sequence);
bool journal_area_sound(const struct journal_area *area, uint32_t area_bytes);
// The same without head, sequence and tail, which are being written while a commit is finished.
bool journal_area_checked(const struct journal_area *area, uint32_t area_bytes);
void journal_attach(struct journal *journal, struct journal_area *area, uint32_t blocks);
// The block of the disk; *run: as many follow each other there.
uint32_t journal_block(const struct journal_area *area, uint32_t index, uint32_t *run);
uint32_t journal_next(const struct journal_area *area, uint32_t index, uint32_t by);
uint32_t journal_room(const struct journal_area *area); // free blocks
void journal_move(struct journal_area *area, uint32_t head, uint32_t sequence, uint32_t tail);
// The superblock as it is to be written now: start 0 says that the log is empty.
void journal_super_make(struct journal_area *area, uint32_t start, uint32_t sequence);

// It says from now on that an I/O error ended it; the place of the log stays as the disk has it, or should have it.
void journal_super_abort(struct journal_area *area);

// ---- what it holds ----

void journal_held(struct journal_area *area, uint32_t block);
bool journal_may_hold(const struct journal_area *area, uint32_t block);
void journal_forget(struct journal_area *area); // it is empty
// The revoke records of the transaction will be in the journal, whoever dies: what it has of those blocks does not count any more.
void journal_revokes_made(struct journal *journal);
// The block is free: a replay must not bring an older content of it back.
void journal_revoke(struct journal *journal, uint32_t block);
void journal_op_begin(struct journal *journal);
void journal_op_undo(struct journal *journal);

// ---- blocks ----

uint32_t journal_tag_bytes(uint32_t incompat);
uint32_t journal_tags_max(const struct journal_area *area); // in one descriptor block
uint32_t journal_revokes_max(const struct journal_area *area);
// Blocks of a transaction with so many of metadata and of revokes.
uint32_t journal_transaction_blocks(const struct journal_area *area, uint32_t metadata, uint32_t revokes);
bool journal_has_checksums(const struct journal_area *area);
uint32_t journal_tag_checksum(const struct journal_area *area, uint32_t sequence, const uint8_t *data);
// The same of a block whose CRC-32C from zero on is known; `begin` is for all tags of that transaction.
uint32_t journal_tag_begin(const struct journal_area *area, uint32_t sequence);
uint32_t journal_tag_of_sum(const struct journal_area *area, uint32_t begin, uint32_t sum);
void journal_descriptor_make(const struct journal_area *area, uint32_t sequence, const struct journal_tag *tags,
			     uint32_t count, uint8_t *block);
void journal_revoke_make(const struct journal_area *area, uint32_t sequence, const uint32_t *blocks, uint32_t count,
			 uint8_t *block);
void journal_commit_make(const struct journal_area *area, uint32_t sequence, uint64_t seconds, uint8_t *block);
// The block's type when it is one of that transaction and its checksum is right, else 0.
uint32_t journal_type(const struct journal_area *area, uint32_t sequence, const uint8_t *block);
// Takes the tag at *at of a descriptor block and moves *at on; false: there is none any more. *high: upper 32 bits of
// the block number.
bool journal_tag_get(const struct journal_area *area, const uint8_t *block, uint32_t *at, struct journal_tag *tag,
		     uint32_t *high);
// The revoked numbers of a revoke block: *count of them, each of *size bytes, from the 16th byte on. False: damaged.
bool journal_revoke_get(const struct journal_area *area, const uint8_t *block, uint32_t *count, uint32_t *size);
