// Mounting: from whatever the incarnation before, or a power cut, has left to a volume at the border of a commit.
//
// Owns: the order of recovery. Three things can be left: a commit record in the log area (this boot; commit.c writes its
// blocks again, the journal's among them); a journal that nobody has in memory (a boot after a power cut, or after Linux; or
// the record was damaged): it is replayed from the disk; nothing. Then the mark: from the volume where it keeps one, else
// from the log area.
// While the volume is served its superblock says needs_recovery, and the journal's superblock says where the log begins; the
// flag is on the disk before the journal says so, and both before the first transaction. An incarnation that finds the
// journal's part of the log area sound reads nothing of the journal, and replays nothing.
// When the device refuses a commit for good, both superblocks say so, as Linux has it: e2fsck looks at the volume then, and the
// next mount knows. The log area says so too: later incarnations of this boot write nothing, and read through the record.
// Whoever dies here starts again: each step may be repeated.
#include "runtime/inject.h"
#include "runtime/runtime.h"
#include "servers/fs/volume.h"
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define RECOVER_TRIES 5u // of writes that the disk has tried several times each
#define SCRATCH_OFFSET 4096u // of the log area: behind the header nothing counts while the record is empty

#define REFUSE(error, ...) (snprintf(v->reason, sizeof(v->reason), __VA_ARGS__), (error))

// The record of the incarnation before, if there is one. A damaged one is logged by commit_recover. `refused`: this incarnation is
// the first to find that the device takes no writes.
static enum error recover_record(struct disk *disk, bool resumed, uint64_t *mark, bool *refused)
{
	*mark = 0;
	*refused = false;
	if (!resumed || !commit_known(disk)) {
		commit_format(disk);
		return ERR_OK;
	}
	enum error error = ERR_DEVICE;
	bool aborted = commit_flags(disk) & COMMIT_FLAG_ABORTED;
	for (unsigned i = 0; i < RECOVER_TRIES && error == ERR_DEVICE && !aborted; i++)
		error = commit_recover(disk, mark);
	if (error != ERR_DEVICE)
		return error == ERR_CORRUPT ? ERR_OK : error;
	log_line("fs: the device %s writes: read-only, as of the last commit", aborted ? "refused" : "refuses");
	commit_read_through(disk, mark);
	*refused = !aborted;
	return ERR_OK;
}

// ---- finding the journal ----

static enum error add_run(struct volume *v, struct journal_area *area, uint32_t index, uint32_t block, uint32_t count)
{
	struct journal_run *last = &area->runs[area->run_count];
	if (area->run_count && last[-1].block + last[-1].count == block) {
		last[-1].count += count;
		return ERR_OK;
	}
	if (area->run_count == JOURNAL_RUNS)
		return REFUSE(ERR_UNSUPPORTED, "the journal lies in more than %u pieces", JOURNAL_RUNS);
	*last = (struct journal_run){index, block, count};
	area->run_count++;
	return ERR_OK;
}

static enum error map_journal(struct volume *v, const struct inode *inode, struct journal_area *area)
{
	for (uint32_t index = 0, run; index < area->length; index += run) {
		uint32_t block;
		enum error error = bmap_find(v, inode, index, area->length - index, &block, &run);
		if (error != ERR_OK || block == 0)
			return REFUSE(error == ERR_OK ? ERR_CORRUPT : error, "block %u of the journal is not there: error %d", index,
				      (int)error);
		error = add_run(v, area, index, block, run);
		if (error != ERR_OK)
			return error;
	}
	return ERR_OK;
}

static enum error read_journal_super(struct volume *v, const struct inode *inode, struct journal_area *area,
				     uint32_t area_bytes)
{
	struct buffer *b;
	uint32_t block = 0, run;
	enum error error = bmap_find(v, inode, 0, 1, &block, &run);
	if (error == ERR_OK && block)
		error = cache_get(&v->cache, block, &b);
	if (error != ERR_OK || block == 0)
		return REFUSE(error == ERR_OK ? ERR_CORRUPT : error, "the journal's superblock could not be read: error %d",
			      (int)error);
	error = journal_area_fill(area, area_bytes, b->data, v->block_size, inode_size(inode) >> v->block_shift, v->reason,
				  sizeof(v->reason));
	cache_put(&v->cache, b);
	return error;
}

static enum error find_journal(struct volume *v, struct journal_area *area, uint32_t area_bytes)
{
	struct inode inode;
	uint32_t number = v->super->journal_inum;
	if (number == 0)
		return REFUSE(ERR_UNSUPPORTED, "the journal is on another device");
	enum error error = inode_get(v, number, &inode);
	if (error != ERR_OK)
		return REFUSE(error, "the journal's inode %u could not be read: error %d", number, (int)error);
	area->check = 0; // nothing that it says is true from here on
	if (!inode_is(&inode, FS_MODE_FILE) || inode.raw->links_count == 0 || !checksum_inode_good(v, &inode))
		error = REFUSE(ERR_CORRUPT, "the journal's inode %u is damaged, or no file", number);
	if (error == ERR_OK)
		error = read_journal_super(v, &inode, area, area_bytes);
	if (error == ERR_OK)
		error = map_journal(v, &inode, area);
	inode_put(v, &inode);
	return error;
}

// ---- writing outside of commits: the two superblocks ----

static enum error write_through(struct volume *v, uint64_t offset, const uint8_t *from, uint32_t bytes)
{
	uint64_t owed = v->disk->written + disk_write_sum(offset, (uint64_t)(from - v->disk->log), bytes);
	enum error error = inject_shown("fs.mount.write");
	if (error == ERR_OK)
		error = v->disk->write(v->disk, offset, from, bytes);
	enum error waited = v->disk->write_wait(v->disk);
	if (error == ERR_OK)
		error = waited;
	if (error == ERR_OK)
		invariant(v->disk->written == owed); // INV-72
	if (error == ERR_OK)
		error = v->disk->flush(v->disk);
	return error == ERR_OK ? ERR_OK : REFUSE(error, "a superblock could not be written: error %d", (int)error);
}

static void tell_of_device(const struct volume *v, struct ext2_super *s, const char *function, uint32_t line)
{
	struct damage d = {function, line, 0, 0, EXT4_ERROR_DEVICE, volume_seconds(v)};
	damage_tell(s, &d, &d, 1);
}

// The journal's word lasts longer than that of the superblock, of which a replay may bring an older one back.
static void tell_of_journal(const struct volume *v, struct ext2_super *s)
{
	if (s->error_count == 0)
		tell_of_device(v, s, __func__, __LINE__);
	s->state |= EXT2_STATE_ERROR;
}

// In the cache and on the disk: the block is clean, so both are the same.
static enum error write_flags(struct volume *v, bool needs_recovery, bool had_errors)
{
	struct ext2_super *s = v->super;
	invariant(!(v->super_buffer->flags & BUFFER_DIRTY)); // what is not committed must not get there
	s->feature_incompat = (s->feature_incompat & ~EXT3_INCOMPAT_RECOVER) | (needs_recovery ? EXT3_INCOMPAT_RECOVER : 0);
	if (had_errors)
		tell_of_journal(v, s);
	uint8_t *scratch = v->disk->log + SCRATCH_OFFSET;
	checksum_super_seal(s);
	cache_reseal(&v->cache, v->super_buffer);
	memcpy(scratch, s, sizeof(*s));
	return write_through(v, EXT2_SUPER_OFFSET, scratch, sizeof(*s));
}

static enum error write_journal_super(struct volume *v, struct journal_area *area, uint32_t start, uint32_t sequence)
{
	uint32_t run;
	journal_super_make(area, start, sequence);
	return write_through(v, (uint64_t)journal_block(area, 0, &run) << v->block_shift, area->super, JBD2_SUPER_SIZE);
}

// ---- replay and start ----

// Where an incarnation of this boot has been, nothing is read of what it has put in place: if something of that is damaged in the journal, an
// older state would be written over a newer one, or the volume be refused.
static void skip_what_is_in_place(struct volume *v, struct journal_area *area)
{
	uint32_t index, sequence;
	if (!commit_place(v->disk, &index, &sequence) || index < area->first || index >= area->length)
		return;
	area->tail = index;
	area->sequence = sequence;
}

static enum error replay(struct volume *v, struct journal_area *area)
{
	struct journal_replayed result;
	if (v->disk->read_only)
		return REFUSE(ERR_READ_ONLY, "the journal needs recovery, and the disk is read-only");
	skip_what_is_in_place(v, area);
	uint8_t *scratch = v->disk->log + SCRATCH_OFFSET;
	enum error error = journal_replay(v, area, scratch, (size_t)((uint8_t *)area - scratch), &result);
	if (error != ERR_OK)
		return error;
	if (result.transactions)
		log_line("fs: replayed %u transactions of the journal: %u blocks written, %u revoked", result.transactions,
			 result.blocks, result.revoked);
	// The next transaction has a number that nothing in the journal has.
	area->sequence = result.sequence + 1;
	return write_journal_super(v, area, 0, area->sequence);
}

// What we write, as Linux chooses it: revoke records; checksums and numbers of 64 bits where the volume has them; no
// checksums of whole transactions.
static void choose_features(const struct volume *v, struct journal_area *area)
{
	area->incompat |= JBD2_INCOMPAT_REVOKE;
	if (v->super->feature_incompat & EXT4_INCOMPAT_64BIT)
		area->incompat |= JBD2_INCOMPAT_64BIT;
	if (v->checksums)
		area->incompat = (area->incompat & ~JBD2_INCOMPAT_CSUM_V2) | JBD2_INCOMPAT_CSUM_V3;
	if (journal_has_checksums(area))
		area->super[JBD2_S_CHECKSUM_TYPE] = JBD2_CHECKSUM_CRC32C;
	jbd2_put(area->super + JBD2_S_INCOMPAT, area->incompat);
	jbd2_put(area->super + JBD2_S_COMPAT, jbd2_get(area->super + JBD2_S_COMPAT) & ~JBD2_COMPAT_CHECKSUM);
}

// From here on the journal may hold something.
static enum error start_journal(struct volume *v, struct journal_area *area)
{
	uint32_t sequence = area->sequence ? area->sequence : 1;
	bool had_errors = jbd2_get(area->super + JBD2_S_ERROR) != 0;
	if (had_errors)
		log_line("fs: the journal notes error %d of an earlier mount: e2fsck is advised",
			 (int)jbd2_get(area->super + JBD2_S_ERROR));
	enum error error = write_flags(v, true, had_errors);
	if (error != ERR_OK)
		return error;
	jbd2_put(area->super + JBD2_S_ERROR, 0);
	choose_features(v, area);
	error = write_journal_super(v, area, area->first, sequence);
	if (error == ERR_OK)
		journal_area_ready(area, sequence);
	return error;
}

// From the disk, neither from the cache nor through the record: they have what was never committed. What a commit wrote half is
// found by e2fsck then.
static enum error flag_error(struct volume *v)
{
	struct ext2_super super;
	void (*amend)(const struct disk *, uint64_t, uint32_t, uint8_t *) = v->disk->amend;
	v->disk->amend = 0;
	enum error error = volume_read_super(v, &super);
	v->disk->amend = amend;
	if (error != ERR_OK || super.magic != EXT2_MAGIC)
		return error;
	tell_of_device(v, &super, __func__, __LINE__);
	checksum_super_seal(&super);
	memcpy(commit_scratch(v->disk), &super, sizeof(super));
	return write_through(v, EXT2_SUPER_OFFSET, commit_scratch(v->disk), sizeof(super));
}

// The journal's word is the one that lasts: a replay may bring an older superblock of the volume back.
void volume_abort(struct volume *v)
{
	uint32_t run, bytes;
	struct disk *disk = v->disk;
	struct journal_area *area = commit_journal_known(disk) ? commit_journal_area(disk, &bytes) : 0;
	commit_set_facts(disk, commit_time_base(disk), commit_flags(disk) | COMMIT_FLAG_ABORTED);
	enum error journal = ERR_OK, error = flag_error(v);
	if (area) {
		journal_super_abort(area);
		journal = write_through(v, (uint64_t)journal_block(area, 0, &run) << v->block_shift, area->super, JBD2_SUPER_SIZE);
	}
	if (error != ERR_OK || journal != ERR_OK)
		log_line("fs: nor does it let the volume be flagged as one with errors: run e2fsck -f");
}

static void attach_journal(struct volume *v, struct journal_area *area)
{
	journal_attach(&v->log.journal, area, v->blocks);
	v->cache.dirty_max = commit_dirty_max(&v->log);
}

// Nobody in this boot has opened the journal yet.
static enum error mount_first(struct volume *v, struct disk *disk, const struct cache_memory *memory)
{
	uint32_t bytes;
	struct cache_memory small = {memory->first, memory->first_bytes, memory->first_bytes, 0};
	struct journal_area *area = commit_journal_area(disk, &bytes);
	enum error error = volume_open_unreplayed(v, disk, &small);
	if (error != ERR_OK || !v->has_journal)
		return error == ERR_OK ? volume_open(v, disk, memory) : error;
	if (disk->log_bytes < bytes + 2 * SCRATCH_OFFSET)
		return REFUSE(ERR_NO_MEMORY, "%llu bytes of log area are too few for a journal",
			      (unsigned long long)disk->log_bytes);
	error = find_journal(v, area, bytes);
	bool missed = error == ERR_OK && area->tail && !volume_needs_recovery(v); // a copy of the superblock does not know
	if (error == ERR_OK && volume_needs_recovery(v))
		error = replay(v, area);
	if (error != ERR_OK)
		return error;
	error = volume_open(v, disk, memory); // the cache knows the disk as it was
	if (error != ERR_OK)
		return error;
	if (v->read_only && missed)
		log_line("fs: its journal may hold newer metadata, which is not read: e2fsck replays it");
	if (v->read_only)
		return v->disk->read_only || !volume_needs_recovery(v) ? ERR_OK : write_flags(v, false, false);
	error = start_journal(v, area);
	if (error == ERR_OK)
		attach_journal(v, area);
	return error;
}

enum error volume_mount(struct volume *v, struct disk *disk, const struct cache_memory *memory, bool resumed,
			uint64_t *mark)
{
	uint32_t bytes;
	bool known, refused = false;
	memset(v, 0, offsetof(struct volume, held));
	enum error error = disk->log_bytes ? recover_record(disk, resumed, mark, &refused) : ERR_OK;
	if (error != ERR_OK)
		return REFUSE(error, "the commit of the incarnation before could not be written: error %d", (int)error);
	known = disk->log_bytes && commit_journal_known(disk);
	if (known) {
		error = volume_open(v, disk, memory);
		if (error == ERR_OK && !v->read_only)
			attach_journal(v, commit_journal_area(disk, &bytes));
	} else {
		error = mount_first(v, disk, memory);
	}
	if (error == ERR_OK && v->log.journal.area)
		error = mark_find(v, mark);
	if (error == ERR_OK && refused)
		volume_abort(v);
	return error;
}
