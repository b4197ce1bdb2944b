// Replay of a journal: what a power cut left in it is written in place.
//
// Owns: the three passes: scan (where does the last complete transaction end?), revoke (which blocks must not be
// replayed, up to which transaction?), replay. Writes nothing before the scan has checked every block number, every tag and,
// where the journal has them, every checksum of every complete transaction; a transaction without its commit block is torn
// and does not count. Nothing in the journal is changed: whoever dies in a replay, or loses power, starts again.
// Everything that is read is a claim of the disk; a walk ends after as many blocks as the journal has.
// Source: "Journal (jbd2)" in filesystems/ext4 of the Linux kernel's documentation.
#include "runtime/inject.h"
#include "runtime/runtime.h"
#include "servers/fs/volume.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define REPLAY_BATCH 64u // blocks written at once
#define REPLAY_AHEAD 64u // blocks of the journal read at once

enum pass { PASS_SCAN, PASS_REVOKE, PASS_REPLAY };

struct revoked { // in a hash table with open addressing
	uint32_t block; // + 1; 0: empty
	uint32_t sequence; // the last transaction that revokes it
};

struct replay {
	struct volume *v;
	const struct journal_area *area;
	struct journal_replayed *result;
	enum pass pass;
	uint32_t sequence; // of the transaction that is being walked
	uint32_t index;    // of the next block
	uint32_t walked;   // blocks since the start
	bool bad;          // the transaction has something that cannot be, if it is complete
	struct revoked *revoked;
	uint32_t revoked_mask;
	uint32_t revoked_count;
	uint8_t *batch;
	uint32_t batch_blocks[REPLAY_BATCH];
	uint32_t batch_count;
};

static enum error __attribute__((format(printf, 3, 4))) refuse(struct replay *r, enum error error, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	vsnprintf(r->v->reason, sizeof(r->v->reason), format, list);
	va_end(list);
	return error;
}

static enum error journal_read(struct replay *r, struct buffer **buffer)
{
	uint32_t run, block = journal_block(r->area, r->index, &run);
	enum error error = inject_shown("fs.replay.journal");
	if (error == ERR_OK)
		error = cache_get_run(&r->v->cache, block, run < REPLAY_AHEAD ? run : REPLAY_AHEAD, buffer);
	if (error != ERR_OK)
		return refuse(r, error, "block %u of the journal could not be read: error %d", r->index, (int)error);
	r->index = journal_next(r->area, r->index, 1);
	r->walked++;
	if (r->v->disk->breathe && r->walked % 32 == 0)
		r->v->disk->breathe(r->v->disk);
	return ERR_OK;
}

// ---- revoked blocks ----

static struct revoked *revoked_slot(const struct replay *r, uint32_t block)
{
	uint32_t i = block * 0x9e3779b1u & r->revoked_mask;
	while (r->revoked[i].block && r->revoked[i].block != block + 1)
		i = (i + 1) & r->revoked_mask;
	return &r->revoked[i];
}

static enum error revoke_one(struct replay *r, uint32_t block)
{
	struct revoked *slot = revoked_slot(r, block);
	if (!slot->block) {
		if (++r->revoked_count > r->revoked_mask / 4 * 3)
			return refuse(r, ERR_NO_MEMORY, "the journal revokes more than %u blocks: a larger log= is needed",
				      r->revoked_mask / 4 * 3);
		slot->block = block + 1;
	}
	slot->sequence = r->sequence; // passes go forward
	return ERR_OK;
}

static enum error walk_revokes(struct replay *r, const uint8_t *data)
{
	uint32_t count, size;
	enum error error = ERR_OK;
	if (!journal_revoke_get(r->area, data, &count, &size)) {
		r->bad = true;
		return ERR_OK;
	}
	for (uint32_t i = 0; i < count && error == ERR_OK && r->pass == PASS_REVOKE; i++) {
		const uint8_t *p = data + JBD2_REVOKE_FIRST + i * size;
		uint32_t block = jbd2_get(p + size - 4);
		if (block < r->v->blocks && (size == 4 || jbd2_get(p) == 0))
			error = revoke_one(r, block);
	}
	return error;
}

static bool is_revoked(const struct replay *r, uint32_t block)
{
	const struct revoked *slot = revoked_slot(r, block);
	return slot->block && (int32_t)(r->sequence - slot->sequence) <= 0;
}

// ---- writing ----

static enum error batch_write(struct replay *r)
{
	struct disk *disk = r->v->disk;
	enum error error = ERR_OK;
	uint64_t owed = disk->written;
	for (uint32_t i = 0; i < r->batch_count; i++)
		owed += disk_write_sum((uint64_t)r->batch_blocks[i] * r->v->block_size,
				       (uint64_t)(r->batch - disk->log) + (uint64_t)i * r->v->block_size, r->v->block_size);
	for (uint32_t i = 0, n; i < r->batch_count && error == ERR_OK; i += n) {
		for (n = 1; i + n < r->batch_count && r->batch_blocks[i + n] == r->batch_blocks[i] + n;)
			n++;
		error = inject_shown("fs.replay.write");
		if (error == ERR_OK)
			error = disk->write(disk, (uint64_t)r->batch_blocks[i] * r->v->block_size,
					    r->batch + (size_t)i * r->v->block_size, n * r->v->block_size);
	}
	enum error waited = disk->write_wait(disk);
	r->batch_count = 0;
	if (error == ERR_OK)
		error = waited;
	if (error == ERR_OK)
		invariant(disk->written == owed); // INV-72
	return error == ERR_OK ? ERR_OK : refuse(r, error, "a block of the journal could not be written in place: error %d",
						 (int)error);
}

static bool in_batch(const struct replay *r, uint32_t block)
{
	for (uint32_t i = 0; i < r->batch_count; i++) {
		if (r->batch_blocks[i] == block)
			return true;
	}
	return false;
}

// No two writes of one block are under way at once.
static enum error replay_block(struct replay *r, const struct journal_tag *tag, const uint8_t *data)
{
	if (r->batch_count == REPLAY_BATCH || in_batch(r, tag->block)) {
		enum error error = batch_write(r);
		if (error != ERR_OK)
			return error;
	}
	uint8_t *to = r->batch + (size_t)r->batch_count * r->v->block_size;
	memcpy(to, data, r->v->block_size);
	if (tag->flags & JBD2_TAG_ESCAPED)
		jbd2_put(to, JBD2_MAGIC);
	r->batch_blocks[r->batch_count++] = tag->block;
	r->result->blocks++;
	return ERR_OK;
}

// ---- walking ----

static bool in_journal(const struct journal_area *area, uint32_t block)
{
	for (uint32_t i = 0; i < area->run_count; i++) {
		if (block - area->runs[i].block < area->runs[i].count)
			return true;
	}
	return false;
}

static void scan_block(struct replay *r, const struct journal_tag *tag, uint32_t high, const uint8_t *data)
{
	if (high || tag->block >= r->v->blocks || tag->block < r->v->first_data_block || in_journal(r->area, tag->block))
		r->bad = true;
	if (journal_has_checksums(r->area) && tag->checksum != journal_tag_checksum(r->area, r->sequence, data))
		r->bad = true;
}

// The block that a tag describes is the next one of the journal. It is read only where its content counts.
static enum error walk_block(struct replay *r, const struct journal_tag *tag, uint32_t high)
{
	struct buffer *b = 0;
	bool revoked = r->pass == PASS_REPLAY && is_revoked(r, tag->block);
	bool wanted = r->pass == PASS_SCAN ? journal_has_checksums(r->area) : r->pass == PASS_REPLAY && !revoked;
	enum error error = ERR_OK;
	if (wanted) {
		error = journal_read(r, &b);
	} else {
		r->index = journal_next(r->area, r->index, 1);
		r->walked++;
	}
	if (error == ERR_OK && r->pass == PASS_SCAN)
		scan_block(r, tag, high, b ? b->data : 0);
	else if (error == ERR_OK && wanted)
		error = replay_block(r, tag, b->data);
	r->result->revoked += revoked;
	cache_put(&r->v->cache, b);
	return error;
}

static bool walked_all(const struct replay *r)
{
	return r->walked >= r->area->length - r->area->first;
}

static enum error walk_descriptor(struct replay *r, const uint8_t *data)
{
	struct journal_tag tag;
	uint32_t at = JBD2_HEADER, high;
	while (!walked_all(r) && journal_tag_get(r->area, data, &at, &tag, &high)) {
		enum error error = walk_block(r, &tag, high);
		if (error != ERR_OK)
			return error;
	}
	return ERR_OK;
}

// *complete: its commit block was reached.
static enum error walk_transaction(struct replay *r, bool *complete)
{
	enum error error = ERR_OK;
	*complete = r->bad = false;
	while (error == ERR_OK && !walked_all(r)) {
		struct buffer *b;
		if ((error = journal_read(r, &b)) != ERR_OK)
			return error;
		uint32_t type = journal_type(r->area, r->sequence, b->data);
		if (type == JBD2_DESCRIPTOR)
			error = walk_descriptor(r, b->data);
		else if (type == JBD2_REVOKE)
			error = walk_revokes(r, b->data);
		*complete = type == JBD2_COMMIT;
		cache_put(&r->v->cache, b);
		if (type == 0 || *complete)
			break;
	}
	return error;
}

// The scan ended in a transaction that is not complete. A commit block is written when all before it is durable, so a good one
// that is as new, or newer, tells that this is no transaction that a power cut tore: it was acknowledged, and is damaged now. Only
// with checksums can such a block be told from what once stood there.
static enum error look_behind(struct replay *r)
{
	uint32_t length = r->area->length;
	while (journal_has_checksums(r->area) && !walked_all(r)) {
		struct buffer *b;
		enum error error = journal_read(r, &b);
		if (error != ERR_OK)
			return error;
		uint32_t sequence = jbd2_get(b->data + 8);
		bool newer = sequence - r->sequence < length && jbd2_get(b->data + 4) == JBD2_COMMIT &&
			     journal_type(r->area, sequence, b->data);
		cache_put(&r->v->cache, b);
		if (newer)
			return refuse(r, ERR_CORRUPT, "transaction %u of the journal is damaged, and %u was committed: e2fsck is needed",
				      r->sequence, sequence);
	}
	return ERR_OK;
}

static enum error walk(struct replay *r, enum pass pass)
{
	struct journal_replayed *result = r->result;
	r->pass = pass;
	r->sequence = r->area->sequence;
	r->index = r->area->tail;
	r->walked = 0;
	while (pass == PASS_SCAN || r->sequence != result->sequence) {
		bool complete;
		enum error error = walk_transaction(r, &complete);
		if (error != ERR_OK)
			return error;
		if (!complete)
			break;
		if (r->bad)
			return refuse(r, ERR_CORRUPT, "transaction %u of the journal is damaged: e2fsck is needed", r->sequence);
		r->sequence++;
	}
	if (pass != PASS_SCAN)
		return ERR_OK;
	result->sequence = r->sequence;
	return look_behind(r);
}

static void divide_scratch(struct replay *r, uint8_t *scratch, size_t bytes)
{
	r->batch = scratch;
	size_t used = (size_t)REPLAY_BATCH * r->v->block_size;
	uint32_t slots = 1;
	while (used + slots * 2 * sizeof(struct revoked) <= bytes)
		slots *= 2;
	r->revoked = (struct revoked *)(void *)(scratch + used);
	r->revoked_mask = slots - 1;
	memset(r->revoked, 0, slots * sizeof(struct revoked));
}

enum error journal_replay(struct volume *v, const struct journal_area *area, uint8_t *scratch, size_t bytes,
			  struct journal_replayed *result)
{
	struct replay r = {.v = v, .area = area, .result = result};
	*result = (struct journal_replayed){.sequence = area->sequence};
	if (area->tail == 0)
		return ERR_OK; // it is empty
	if (bytes < REPLAY_BATCH * v->block_size + 1024 * sizeof(struct revoked))
		return refuse(&r, ERR_NO_MEMORY, "%llu bytes of log area are too few to replay the journal",
			      (unsigned long long)bytes);
	divide_scratch(&r, scratch, bytes);
	enum error error = walk(&r, PASS_SCAN);
	if (error == ERR_OK)
		error = walk(&r, PASS_REVOKE);
	if (error == ERR_OK)
		error = walk(&r, PASS_REPLAY);
	if (error == ERR_OK)
		error = batch_write(&r);
	if (error == ERR_OK)
		error = v->disk->flush(v->disk);
	result->transactions = result->sequence - area->sequence;
	return error;
}
