// Commits: the only way from the cache to the disk (INV-50).
//
// Owns: the log area (the `out` area of our own channel to the block driver). One commit is: copy all dirty blocks and
// a list of their numbers and digests there, mark the record valid, write the blocks from there, flush, note the mark,
// clear the record. Must never write a block that is not in a valid record.
// With a journal the blocks are one transaction: content of files in place and everything else into the journal, flush,
// commit block, flush: now the commit is durable, and the record says LOGGED; then metadata in place. So a power cut at any
// moment leaves the transaction wholly there, or not at all, for whoever replays the journal (we, Linux, e2fsck).
// Why right: the area belongs to this domain's channel, so it survives the death of this server and of the driver. A
// death before VALID: the disk has not been touched. After it: the next incarnation writes all blocks again, to the same
// places, the journal's included (writing the same bytes twice is harmless), so the disk always ends at a commit's border,
// where mark says which serials are inside; everything later is performed again from the clients' rings. The order of the
// three stores at each border is what the fences below keep.
// Without a journal (ext2) a power cut in the middle of a commit is not covered: CAVEATS.
#include "servers/fs/commit.h"
#include "abi/channel.h"
#include "runtime/inject.h"
#include "runtime/runtime.h"
#include "servers/fs/seal.h"
#include <string.h>

#define COMMIT_BLOCKS_MIN 32u
#define COMMIT_BREATH 32u // blocks copied between two answers to pings: about 0.1 ms
#define COMMIT_PLACE_SEED 0x706c616365730a00ull
#define COMMIT_DIGEST_SEED 0x706c616e61726961ull

// The reader is the next incarnation of this server, which runs after a trap and a restart of this very hart or of
// another one after the kernels' messages; only the order of our own stores matters.
#define commit_fence() __atomic_thread_fence(__ATOMIC_SEQ_CST)

static uint64_t record_digest(const struct commit_header *h, const struct commit_entry *entries)
{
	uint64_t x = channel_mix(COMMIT_DIGEST_SEED, (uint64_t)h->block_size << 32 | h->count);
	x = channel_mix(x, (uint64_t)h->data_offset << 32 | h->in_place);
	x = channel_mix(x, h->sequence);
	x = channel_mix(x, h->mark);
	x = channel_mix(x, (uint64_t)h->start << 32 | h->transaction);
	x = channel_mix(x, (uint64_t)h->move_tail << 32 | h->journal_bytes);
	x = channel_mix(x, h->tail);
	for (uint32_t i = 0; i < h->count; i++) {
		x = channel_mix(x, (uint64_t)entries[i].kind << 32 | entries[i].block);
		x = channel_mix(x, entries[i].digest);
	}
	return x;
}

static uint64_t facts_check(const struct commit_header *h)
{
	return channel_mix(channel_mix(COMMIT_DIGEST_SEED, h->time_base), h->flags);
}

static struct commit_header *header_of(const struct disk *disk)
{
	return (struct commit_header *)(void *)disk->log;
}

bool commit_known(const struct disk *disk)
{
	struct commit_header *h = header_of(disk);
	return disk->log_bytes >= sizeof(*h) && h->magic == COMMIT_MAGIC && h->version == COMMIT_VERSION;
}

static void set_last_mark(struct commit_header *h, uint64_t mark)
{
	h->last_mark = mark;
	h->last_mark_check = channel_committed_check(mark, 0, COMMIT_DIGEST_SEED);
}

void commit_format(struct disk *disk)
{
	struct commit_header *h = header_of(disk);
	if (disk->log_bytes < sizeof(*h))
		return;
	h->magic = 0;
	commit_fence();
	memset(h, 0, sizeof(*h));
	h->version = COMMIT_VERSION;
	h->state = COMMIT_EMPTY;
	h->facts_check = facts_check(h);
	set_last_mark(h, 0);
	commit_fence(); // all facts before the magic number that makes them ours
	h->magic = COMMIT_MAGIC;
}

void commit_set_facts(struct disk *disk, uint64_t time_base, uint64_t flags)
{
	struct commit_header *h = header_of(disk);
	h->time_base = time_base;
	h->flags = flags;
	h->facts_check = facts_check(h);
}

uint64_t commit_time_base(const struct disk *disk)
{
	struct commit_header *h = header_of(disk);
	return commit_known(disk) && h->facts_check == facts_check(h) ? h->time_base : 0;
}

uint64_t commit_flags(const struct disk *disk)
{
	struct commit_header *h = header_of(disk);
	return commit_known(disk) && h->facts_check == facts_check(h) ? h->flags : 0;
}

struct loss *commit_losses(const struct disk *disk)
{
	return commit_known(disk) ? header_of(disk)->losses : 0;
}

struct doubts *commit_doubts(const struct disk *disk)
{
	return commit_known(disk) ? &header_of(disk)->doubts : 0;
}

static uint64_t last_mark(const struct commit_header *h)
{
	return h->last_mark_check == channel_committed_check(h->last_mark, 0, COMMIT_DIGEST_SEED) ? h->last_mark : 0;
}

static uint32_t capacity_of(uint64_t log_bytes, uint32_t journal_bytes, uint32_t block_size, uint32_t *data_offset)
{
	if (log_bytes < 2 * 4096 + journal_bytes)
		return 0;
	uint64_t n = (log_bytes - journal_bytes - 4096 - sizeof(struct commit_header)) /
		     (block_size + sizeof(struct commit_entry));
	uint64_t list = sizeof(struct commit_header) + n * sizeof(struct commit_entry);
	*data_offset = (uint32_t)((list + 4095) & ~4095ull);
	return (uint32_t)n;
}

struct journal_area *commit_journal_area(const struct disk *disk, uint32_t *bytes)
{
	*bytes = journal_area_bytes(disk->log_bytes);
	return (struct journal_area *)(void *)(disk->log + ((disk->log_bytes & ~4095ull) - *bytes));
}

bool commit_journal_known(const struct disk *disk)
{
	uint32_t bytes = journal_area_bytes(disk->log_bytes);
	if (!commit_known(disk) || bytes + 4096 > disk->log_bytes || header_of(disk)->journal_bytes != bytes)
		return false;
	return journal_area_sound(commit_journal_area(disk, &bytes), bytes);
}

enum error commit_open(struct commit_log *log, struct disk *disk, uint32_t block_size, bool journal)
{
	uint32_t data_offset = 0, area = journal ? journal_area_bytes(disk->log_bytes) : 0;
	memset(log, 0, sizeof(*log));
	log->disk = disk;
	log->header = header_of(disk);
	log->block_size = block_size;
	log->capacity = capacity_of(disk->log_bytes & ~4095ull, area, block_size, &data_offset);
	if (log->capacity < COMMIT_BLOCKS_MIN)
		return ERR_NO_MEMORY;
	log->capacity--; // commit_scratch: blocks have as many bytes, or more
	log->entries = (struct commit_entry *)(void *)(disk->log + sizeof(struct commit_header));
	log->data = disk->log + data_offset;
	log->header->block_size = block_size;
	log->header->data_offset = data_offset;
	log->header->journal_bytes = area;
	return ERR_OK;
}

uint8_t *commit_scratch(const struct disk *disk)
{
	uint32_t bytes;
	uint8_t *end = disk->log + (disk->log_bytes & ~4095ull);
	if (commit_journal_known(disk))
		end = (uint8_t *)commit_journal_area(disk, &bytes);
	return end - COMMIT_SCRATCH;
}

// One place is the superblock's, for its time, one the root directory's inode's, for the mark.
uint32_t commit_dirty_max(const struct commit_log *log)
{
	const struct journal_area *area = log->journal.area;
	uint32_t n = log->capacity - 2;
	if (!area)
		return n;
	uint32_t most = area->length - area->first - 1;
	most = most < log->capacity ? most : log->capacity;
	while (journal_transaction_blocks(area, n + 2, JOURNAL_REVOKES) > most)
		n--;
	return n;
}

// ---- making a record ----

// INV-60: a replay may write what the journal holds, so what is newer has to stand behind it there.
static bool goes_in_place(const struct commit_log *log, const struct buffer *b)
{
	return !log->journal.area || (b->flags & BUFFER_CONTENT && !journal_may_hold(log->journal.area, b->block));
}

// What goes in place first, then metadata, each in the order of block numbers.
static uint64_t sort_key(const struct commit_log *log, const struct buffer *b)
{
	return (goes_in_place(log, b) ? 0 : 1ull << 32) | b->block;
}

// Neighbouring blocks become one write, so the dirty set is put in order. Shell sort: no recursion, no memory, and fast
// enough for some thousands.
static void sort_buffers(const struct commit_log *log, struct buffer **b, uint32_t n)
{
	for (uint32_t gap = n / 2; gap > 0; gap = gap == 2 ? 1 : gap * 5 / 11) {
		for (uint32_t i = gap; i < n; i++) {
			struct buffer *x = b[i];
			uint64_t key = sort_key(log, x);
			uint32_t j = i;
			for (; j >= gap && sort_key(log, b[j - gap]) > key; j -= gap)
				b[j] = b[j - gap];
			b[j] = x;
		}
	}
}

// The list of entries is scratch until the blocks are copied: the pointers to sort lie in it.
static uint32_t take_dirty(struct commit_log *log, struct cache *cache, struct buffer ***sorted)
{
	struct buffer **list = (struct buffer **)(void *)log->entries; // 8 bytes each, entries have 16
	uint32_t n = 0;
	while (n < log->capacity) {
		struct buffer *b = cache_commit_take(cache);
		if (!b)
			break;
		list[n++] = b;
	}
	sort_buffers(log, list, n);
	*sorted = list;
	return n;
}

// Where the parts of a record stand.
struct layout {
	uint32_t in_place;
	uint32_t metadata;
	uint32_t revoke_blocks;
	uint32_t tags; // of a full descriptor block
	uint32_t count;
};

static struct layout layout_of(const struct commit_log *log, struct buffer *const *sorted, uint32_t n)
{
	const struct journal *j = &log->journal;
	struct layout l = {.count = n, .in_place = n, .tags = 1};
	if (!j->area)
		return l;
	while (l.in_place && !goes_in_place(log, sorted[l.in_place - 1]))
		l.in_place--;
	l.metadata = n - l.in_place;
	l.tags = journal_tags_max(j->area);
	l.revoke_blocks = (j->revoke_count + journal_revokes_max(j->area) - 1) / journal_revokes_max(j->area);
	l.count = l.in_place + journal_transaction_blocks(j->area, l.metadata, j->revoke_count);
	return l;
}

// The place in the record of the i-th dirty block: metadata has revoke blocks before it, and descriptors between.
static uint32_t place_of(const struct layout *l, uint32_t i)
{
	if (i < l->in_place)
		return i;
	return i + l->revoke_blocks + (i - l->in_place) / l->tags + 1;
}

static uint8_t *staged(const struct commit_log *log, uint32_t place)
{
	return log->data + (size_t)place * log->block_size;
}

// The digest is of the copy, or, of content that was written in whole blocks, what was taken when it left the client's memory: a bit that
// flips in between does not pass for a sound record. Without a journal a record that is not sound is a loss, so there it is of the copy.
static uint64_t copy_digested(const struct commit_log *log, void *to, const struct buffer *b)
{
	if (b->seal && !b->kind && log->journal.area) {
		memcpy(to, b->data, log->block_size);
		return b->seal;
	}
	uint64_t digest = seal_copy(to, b->data, log->block_size);
	if (b->kind)
		cache_seal_check(b, digest);
	return digest;
}

// The kind that it has there. What is read for the record's digest is what metadata is sealed with (INV-66).
static uint32_t copy_block(struct commit_log *log, uint32_t place, uint32_t kind, struct buffer *b)
{
	uint8_t *to = staged(log, place);
	uint64_t digest = copy_digested(log, to, b);
	b->seal = b->kind ? digest : 0;
	if (kind == COMMIT_METADATA) {
		journal_held(log->journal.area, b->block);
		if (jbd2_get(to) == JBD2_MAGIC) {
			kind = COMMIT_ESCAPED;
			jbd2_put(to, 0);
			digest = seal_sum(to, log->block_size);
		}
	}
	log->entries[place] = (struct commit_entry){.block = b->block, .kind = kind, .digest = digest};
	return kind;
}

static void note_journal_block(struct commit_log *log, uint32_t place)
{
	uint64_t digest = seal_sum(staged(log, place), log->block_size);
	log->entries[place] = (struct commit_entry){.kind = COMMIT_JOURNAL, .digest = digest};
}

static void make_revokes(struct commit_log *log, const struct layout *l, uint32_t sequence)
{
	const struct journal *j = &log->journal;
	uint32_t most = journal_revokes_max(j->area);
	for (uint32_t i = 0; i < l->revoke_blocks; i++) {
		uint32_t left = j->revoke_count - i * most;
		journal_revoke_make(j->area, sequence, j->revokes + i * most, left < most ? left : most,
				    staged(log, l->in_place + i));
		note_journal_block(log, l->in_place + i);
	}
}

#define TAGS_MOST (4096u / 8u)

// A block's tag for the descriptor before it. Its sum is known if its own checksum was made of all of it a moment ago.
// Of one of them in each commit it is taken again, of all that the record has: who makes sums that are wrong dies (INV-70).
static void make_tag(const struct commit_log *log, uint32_t place, uint32_t kind, struct buffer *b, uint32_t begin, bool sampled,
		     struct journal_tag *tag)
{
	const struct journal_area *area = log->journal.area;
	*tag = (struct journal_tag){.block = b->block, .flags = kind == COMMIT_ESCAPED ? JBD2_TAG_ESCAPED : 0};
	if (journal_has_checksums(area)) {
		bool known = b->summed && kind != COMMIT_ESCAPED;
		tag->checksum = known ? journal_tag_of_sum(area, begin, b->sum)
				      : journal_tag_checksum(area, area->sequence, staged(log, place));
		if (RECOVERABLE && sampled && known)
			invariant(tag->checksum == journal_tag_checksum(area, area->sequence, staged(log, place)));
	}
	b->summed = false;
}

// As a replay will read it: these blocks, with these sums, and no more.
static bool descriptor_tells(const struct journal_area *area, const uint8_t *block, const struct journal_tag *tags,
			     const struct commit_entry *entries, uint32_t count)
{
	struct journal_tag tag;
	uint32_t at = JBD2_HEADER, high, n = 0;
	while (journal_tag_get(area, block, &at, &tag, &high)) {
		if (n == count || tag.block != entries[n].block || tag.checksum != tags[n].checksum || high)
			return false;
		n++;
	}
	return n == count && journal_type(area, area->sequence, block) == JBD2_DESCRIPTOR;
}

// The blocks behind one descriptor, from the last one on: an entry takes the place of the pointers of its own index and
// behind, so the pointers are consumed from the end.
static void copy_described(struct commit_log *log, const struct layout *l, struct buffer **sorted, uint32_t from, uint32_t count)
{
	static struct journal_tag tags[TAGS_MOST];
	const struct journal_area *area = log->journal.area;
	uint32_t begin = journal_tag_begin(area, area->sequence), before = place_of(l, from) - 1;
	for (uint32_t i = count; i-- > 0;) {
		if (i % COMMIT_BREATH == 0 && log->disk->breathe)
			log->disk->breathe(log->disk);
		struct buffer *b = sorted[from + i];
		uint32_t kind = copy_block(log, before + 1 + i, COMMIT_METADATA, b);
		bool sampled = log->header->sequence % l->metadata == from - l->in_place + i;
		make_tag(log, before + 1 + i, kind, b, begin, sampled, &tags[i]);
	}
	journal_descriptor_make(area, area->sequence, tags, count, staged(log, before));
	if (RECOVERABLE)
		invariant(descriptor_tells(area, staged(log, before), tags, &log->entries[before + 1], count));
	note_journal_block(log, before);
}

static void copy_blocks(struct commit_log *log, const struct layout *l, struct buffer **sorted)
{
	for (uint32_t end = l->metadata; end > 0;) {
		uint32_t n = (end - 1) % l->tags + 1;
		end -= n;
		copy_described(log, l, sorted, l->in_place + end, n);
	}
	for (uint32_t i = l->in_place; i-- > 0;) {
		if (i % COMMIT_BREATH == 0 && log->disk->breathe)
			log->disk->breathe(log->disk);
		(void)copy_block(log, i, COMMIT_IN_PLACE, sorted[i]);
	}
}

// The journal has no room; or it holds what an incarnation before us wrote, which may have died because it was damaged. All of that is in
// place: nobody need ever read it again, and nobody shall.
static bool older_are_dropped(const struct commit_log *log, uint32_t blocks)
{
	const struct journal_area *area = log->journal.area;
	return blocks > journal_room(area) || (RECOVERABLE && log->commits == 0 && area->tail != area->head);
}

// All but its descriptors and what they describe.
static void make_transaction(struct commit_log *log, const struct layout *l, uint64_t now)
{
	struct journal_area *area = log->journal.area;
	struct commit_header *h = log->header;
	uint32_t blocks = l->count - l->in_place;
	h->start = area->head;
	h->transaction = area->sequence;
	h->move_tail = older_are_dropped(log, blocks);
	h->tail = h->move_tail ? h->start : area->tail;
	make_revokes(log, l, h->transaction);
	journal_commit_make(area, h->transaction, now, staged(log, l->count - 1));
	if (RECOVERABLE)
		invariant(journal_type(area, h->transaction, staged(log, l->count - 1)) == JBD2_COMMIT);
	note_journal_block(log, l->count - 1);
}

static void record_make(struct commit_log *log, uint64_t mark)
{
	struct commit_header *h = log->header;
	h->block_size = log->block_size;
	h->data_offset = (uint32_t)(log->data - log->disk->log);
	h->sequence++;
	h->mark = mark;
	h->digest = record_digest(h, log->entries);
	(void)inject_shown("fs.commit.mark");
	commit_fence(); // the record before the word that makes it valid
	h->state = COMMIT_VALID;
	commit_fence(); // valid before the first write can start
}

enum error commit_copy(struct commit_log *log, struct cache *cache, uint64_t now, uint32_t *count)
{
	struct commit_header *h = log->header;
	struct buffer **sorted;
	*count = 0;
	enum error error = inject_shown("fs.commit.copy");
	if (error != ERR_OK)
		return error;
	invariant(h->state == COMMIT_EMPTY && cache->dirty.count <= log->capacity);
	uint32_t n = take_dirty(log, cache, &sorted);
	struct layout l = layout_of(log, sorted, n);
	invariant(l.count <= log->capacity);
	copy_blocks(log, &l, sorted);
	h->count = l.count;
	h->in_place = l.in_place;
	if (log->journal.area)
		make_transaction(log, &l, now);
	*count = n;
	log->blocks_written += n;
	return ERR_OK;
}

void commit_record(struct commit_log *log, uint64_t mark)
{
	record_make(log, mark);
	if (log->journal.area) // not before: who dies before the record is valid has made no revoke records
		journal_revokes_made(&log->journal);
	log->commits++;
}

// ---- writing a record: from here on everything is a function of the log area alone ----

static struct commit_entry *entries_of(const struct disk *disk)
{
	return (struct commit_entry *)(void *)(disk->log + sizeof(struct commit_header));
}

static bool has_journal_place(const struct journal_area *area, uint32_t index, uint64_t block, uint32_t count)
{
	for (uint32_t i = 0; i < area->run_count; i++) {
		const struct journal_run *run = &area->runs[i];
		if (index - run->index < run->count)
			return block == run->block + (index - run->index) && count <= run->count - (index - run->index);
	}
	return false;
}

// Out of line, so that it shares no register with who asks.
__attribute__((noinline)) bool commit_has_place(const struct disk *disk, uint64_t block, uint32_t place, uint32_t count)
{
	const struct commit_header *h = header_of(disk);
	const struct commit_entry *e = entries_of(disk);
	uint32_t n = 0, bytes;
	if (place >= h->count || count > h->count - place)
		return false;
	while (n < count && e[place + n].kind != COMMIT_JOURNAL && e[place + n].block == block + n)
		n++;
	if (n == count || place < h->in_place || !h->journal_bytes)
		return n == count;
	const struct journal_area *area = commit_journal_area(disk, &bytes);
	return has_journal_place(area, journal_next(area, h->start, place - h->in_place), block, count);
}

// What stood in a wrong place is lost when the sum of what was written tells of it: so each write is looked at before it goes. It is kept in
// memory meanwhile: a function that is changed can return with its caller's registers changed.
static enum error write_some(struct disk *disk, uint64_t block, uint32_t place, uint32_t count)
{
	volatile struct {
		uint64_t block;
		uint32_t place, count;
	} write = {block, place, count};
	enum error error = inject_shown("fs.commit.write");
	if (RECOVERABLE)
		invariant(commit_has_place(disk, write.block, write.place, write.count));
	const struct commit_header *h = header_of(disk);
	if (error == ERR_OK)
		error = disk->write(disk, write.block * h->block_size,
				    disk->log + h->data_offset + (size_t)write.place * h->block_size, write.count * h->block_size);
	return error;
}

// Blocks of the record, written to there.
static uint64_t owed_run(const struct disk *disk, uint32_t place, uint64_t block, uint64_t count)
{
	const struct commit_header *h = header_of(disk);
	return disk_write_sum(block * h->block_size, h->data_offset + (uint64_t)place * h->block_size, count * h->block_size);
}

// What disk->written is going to be when those of blocks [from, to) are in place that do not belong to the journal.
static uint64_t owed_in_place(const struct disk *disk, uint32_t from, uint32_t to)
{
	const struct commit_entry *e = (const struct commit_entry *)(const void *)(disk->log + sizeof(struct commit_header));
	uint64_t owed = disk->written;
	for (uint32_t i = from, n; RECOVERABLE && i < to; i += n) {
		uint32_t way = e[i].block - i;
		for (n = 0; i + n < to && e[i + n].block - (i + n) == way && e[i + n].kind != COMMIT_JOURNAL;)
			n++;
		owed += owed_run(disk, i, e[i].block, n);
		n += n == 0;
	}
	return owed;
}

// What blocks [from, to) add in the journal: block by block along its pieces, and not as they are looked up for writing.
static uint64_t owed_journal(const struct disk *disk, const struct journal_area *area, uint32_t from, uint32_t to)
{
	const struct commit_header *h = header_of(disk);
	const struct journal_run *run = area->runs, *end = area->runs + area->run_count;
	uint32_t index = journal_next(area, h->start, from - h->in_place);
	uint64_t owed = 0;
	for (uint32_t i = from; RECOVERABLE && i < to; i++) {
		while (index - run->index >= run->count)
			run = run + 1 < end ? run + 1 : area->runs;
		owed += owed_run(disk, i, run->block + (index - run->index), 1);
		index = index + 1 < area->length ? index + 1 : area->first;
	}
	return owed;
}

// INV-72: a write that was never made, or went elsewhere, is missed here, before anything says that it is there. Who dies of it leaves the
// record to the next incarnation, which writes all of it again.
static enum error wait_for(struct disk *disk, uint64_t owed, enum error error)
{
	enum error waited = disk->write_wait(disk);
	error = error == ERR_OK ? waited : error;
	if (RECOVERABLE && error == ERR_OK)
		invariant(disk->written == owed);
	return error;
}

static enum error flush_disk(struct disk *disk)
{
	enum error error = inject_shown("fs.commit.flush");
	return error == ERR_OK ? disk->flush(disk) : error;
}

static bool is_metadata(const struct commit_entry *e)
{
	return e->kind == COMMIT_METADATA || e->kind == COMMIT_ESCAPED;
}

// Blocks [from, to) of the record to their own places, those of the journal left out; neighbours together.
static enum error write_in_place(struct disk *disk, uint32_t from, uint32_t to)
{
	const struct commit_entry *e = entries_of(disk);
	uint32_t most = DISK_WRITE_BYTES / header_of(disk)->block_size;
	enum error error = ERR_OK;
	for (uint32_t i = from, n; i < to && error == ERR_OK; i += n) {
		n = 1;
		if (e[i].kind == COMMIT_JOURNAL)
			continue;
		while (i + n < to && n < most && e[i + n].kind != COMMIT_JOURNAL && e[i + n].block == e[i].block + n)
			n++;
		error = write_some(disk, e[i].block, i, n);
	}
	return error;
}

// Blocks [from, to) of the record to the journal.
static enum error write_journal(struct disk *disk, const struct journal_area *area, uint32_t from, uint32_t to)
{
	const struct commit_header *h = header_of(disk);
	uint32_t most = DISK_WRITE_BYTES / h->block_size;
	enum error error = ERR_OK;
	for (uint32_t i = from, n; i < to && error == ERR_OK; i += n) {
		uint32_t block = journal_block(area, journal_next(area, h->start, i - h->in_place), &n);
		n = n < to - i ? n : to - i;
		n = n < most ? n : most;
		error = write_some(disk, block, i, n);
	}
	return error;
}

// All transactions before this one are in place, and after a flush nobody needs them.
static enum error move_tail(struct disk *disk, struct journal_area *area)
{
	const struct commit_header *h = header_of(disk);
	uint64_t at = (uint64_t)area->runs[0].block * h->block_size; // its first block
	enum error error = flush_disk(disk);
	if (error != ERR_OK)
		return error;
	journal_super_make(area, h->start, h->transaction);
	uint64_t owed = disk->written + disk_write_sum(at, (uint64_t)(area->super - disk->log), JBD2_SUPER_SIZE);
	error = wait_for(disk, owed, disk->write(disk, at, area->super, JBD2_SUPER_SIZE));
	return error == ERR_OK ? flush_disk(disk) : error;
}

// In no order among themselves: all of it is one wait.
static enum error write_all_but_last(struct disk *disk, const struct journal_area *area)
{
	const struct commit_header *h = header_of(disk);
	enum error error = write_in_place(disk, 0, h->in_place);
	return error == ERR_OK ? write_journal(disk, area, h->in_place, h->count - 1) : error;
}

// INV-59: each flush stands between what has to be there and what says so.
static enum error write_transaction(struct disk *disk, struct journal_area *area)
{
	struct commit_header *h = header_of(disk);
	enum error error = h->move_tail ? move_tail(disk, area) : ERR_OK;
	uint64_t owed = owed_in_place(disk, 0, h->in_place) + owed_journal(disk, area, h->in_place, h->count - 1);
	if (error == ERR_OK)
		error = wait_for(disk, owed, write_all_but_last(disk, area));
	if (error == ERR_OK)
		error = flush_disk(disk); // all of it before the block that says so
	owed = disk->written + owed_journal(disk, area, h->count - 1, h->count);
	if (error == ERR_OK)
		error = wait_for(disk, owed, write_journal(disk, area, h->count - 1, h->count));
	if (error == ERR_OK)
		error = flush_disk(disk);
	return error;
}

static enum error write_record(struct disk *disk)
{
	struct commit_header *h = header_of(disk);
	bool journal = h->journal_bytes && h->count;
	uint64_t flushed = disk->flushed;
	uint32_t bytes;
	enum error error;
	if (h->state == COMMIT_LOGGED)
		return ERR_OK;
	if (journal) {
		error = write_transaction(disk, commit_journal_area(disk, &bytes));
	} else {
		uint64_t owed = owed_in_place(disk, 0, h->count);
		error = wait_for(disk, owed, write_in_place(disk, 0, h->count));
		if (error == ERR_OK)
			error = flush_disk(disk);
	}
	if (error != ERR_OK)
		return error;
	if (RECOVERABLE)
		invariant(disk->flushed == flushed + (!journal ? 1 : h->move_tail ? 4 : 2));
	commit_fence(); // after the flush
	h->state = COMMIT_LOGGED;
	commit_fence(); // before the copies of the blocks change
	return ERR_OK;
}

enum error commit_write(struct commit_log *log)
{
	return write_record(log->disk);
}

static void unescape(struct disk *disk)
{
	const struct commit_header *h = header_of(disk);
	const struct commit_entry *e = entries_of(disk);
	for (uint32_t i = h->in_place; i < h->count; i++) {
		if (e[i].kind == COMMIT_ESCAPED)
			jbd2_put(disk->log + h->data_offset + (size_t)i * h->block_size, JBD2_MAGIC);
	}
}

// What the journal has is whole now. A block that begins with the magic number in place of what it had must not go where it belongs: who dies
// instead finds the digests wrong, and replays the journal.
static bool escapes_hold(const struct disk *disk)
{
	const struct commit_header *h = header_of(disk);
	const struct commit_entry *e = entries_of(disk);
	for (uint32_t i = h->in_place; i < h->count; i++) {
		const uint8_t *data = disk->log + h->data_offset + (size_t)i * h->block_size;
		if (is_metadata(&e[i]) && (e[i].kind == COMMIT_ESCAPED) != (jbd2_get(data) == JBD2_MAGIC))
			return false;
	}
	return true;
}

static enum error checkpoint(struct disk *disk)
{
	const struct commit_header *h = header_of(disk);
	invariant(h->state == COMMIT_LOGGED);
	if (!h->journal_bytes)
		return ERR_OK;
	unescape(disk);
	invariant(escapes_hold(disk));
	uint64_t owed = owed_in_place(disk, h->in_place, h->count);
	return wait_for(disk, owed, write_in_place(disk, h->in_place, h->count));
}

enum error commit_checkpoint(struct commit_log *log)
{
	enum error error = checkpoint(log->disk);
	if (error == ERR_OK)
		log->in_place = log->header->sequence;
	return error;
}

// A move of the tail emptied the journal but for this transaction: the filter starts anew with what this one holds.
static void renew_filter(struct disk *disk, struct journal_area *area)
{
	const struct commit_header *h = header_of(disk);
	const struct commit_entry *e = entries_of(disk);
	journal_forget(area);
	for (uint32_t i = h->in_place; i < h->count; i++) {
		if (is_metadata(&e[i]))
			journal_held(area, e[i].block);
	}
}

static void journal_advance(struct disk *disk)
{
	const struct commit_header *h = header_of(disk);
	uint32_t bytes;
	struct journal_area *area = commit_journal_area(disk, &bytes);
	if (h->move_tail)
		renew_filter(disk, area);
	journal_move(area, journal_next(area, h->start, h->count - h->in_place), h->transaction + 1, h->tail);
}

// Whoever dies in here does all of it again, for the record says LOGGED to the end.
static void finish(struct disk *disk)
{
	struct commit_header *h = header_of(disk);
	commit_fence(); // after the flush, before the mark
	if (h->journal_bytes && h->count)
		journal_advance(disk);
	set_last_mark(h, h->mark);
	commit_fence(); // the mark is noted before the record that also has it goes
	h->state = COMMIT_EMPTY;
}

void commit_finish(struct commit_log *log)
{
	(void)inject_shown("fs.commit.done");
	invariant(log->in_place == log->header->sequence);
	finish(log->disk);
}

// As a record without blocks: a death between the mark and its check word must not leave none.
void commit_note(struct commit_log *log, uint64_t mark)
{
	struct commit_header *h = log->header;
	invariant(h->state == COMMIT_EMPTY);
	if (last_mark(h) == mark)
		return;
	h->count = h->in_place = 0;
	record_make(log, mark);
	finish(log->disk);
}

// ---- recovery ----

// The digest is of the block as the journal has it, so an escaped one is put into that state first.
static bool block_sound(struct disk *disk, const struct commit_entry *e, uint32_t place)
{
	const struct commit_header *h = header_of(disk);
	uint8_t *data = disk->log + h->data_offset + (size_t)place * h->block_size;
	if (e->kind > COMMIT_JOURNAL || ((uint64_t)e->block + 1) * h->block_size > disk->bytes)
		return false;
	if (e->kind == COMMIT_ESCAPED)
		jbd2_put(data, 0);
	return e->digest == seal_sum(data, h->block_size);
}

static bool journal_part_sound(struct disk *disk)
{
	const struct commit_header *h = header_of(disk);
	uint32_t bytes;
	if (h->journal_bytes == 0)
		return true;
	if (h->journal_bytes != journal_area_bytes(disk->log_bytes) || h->journal_bytes + 4096 > disk->log_bytes)
		return false;
	const struct journal_area *area = commit_journal_area(disk, &bytes);
	return journal_area_checked(area, bytes) && area->block_size == h->block_size && h->in_place <= h->count &&
	       h->start >= area->first && h->start < area->length && h->count - h->in_place < area->length - area->first;
}

static bool record_sound(struct disk *disk)
{
	const struct commit_header *h = header_of(disk);
	if (h->block_size != 1024 && h->block_size != 2048 && h->block_size != 4096)
		return false;
	uint32_t data_offset = 0;
	if (!journal_part_sound(disk) ||
	    h->count > capacity_of(disk->log_bytes & ~4095ull, h->journal_bytes, h->block_size, &data_offset) ||
	    h->data_offset != data_offset || h->digest != record_digest(h, entries_of(disk)))
		return false;
	for (uint32_t i = 0; i < h->count; i++) {
		if (i % COMMIT_BREATH == 0 && disk->breathe)
			disk->breathe(disk);
		if (!block_sound(disk, &entries_of(disk)[i], i))
			return false;
	}
	return true;
}

static uint64_t place_digest(const struct commit_header *h)
{
	return channel_mix(channel_mix(COMMIT_PLACE_SEED, (uint64_t)h->start << 32 | h->transaction), h->block_size);
}

// The record is lost. Where its transaction begins in the journal is known all the same, if the journal's area has it; it is kept in the
// record's place, for the area is filled anew from the disk.
static void keep_place(struct disk *disk)
{
	struct commit_header *h = header_of(disk);
	uint32_t bytes = journal_area_bytes(disk->log_bytes);
	bool known = h->journal_bytes == bytes && bytes + 4096 <= disk->log_bytes;
	const struct journal_area *area = commit_journal_area(disk, &bytes);
	if (!known || !journal_area_sound(area, bytes))
		return;
	h->start = area->head;
	h->transaction = area->sequence;
	h->digest = place_digest(h);
}

bool commit_place(const struct disk *disk, uint32_t *index, uint32_t *sequence)
{
	const struct commit_header *h = header_of(disk);
	if (!commit_known(disk) || h->state != COMMIT_EMPTY || h->digest != place_digest(h))
		return false;
	*index = h->start;
	*sequence = h->transaction;
	return true;
}

enum error commit_recover(struct disk *disk, uint64_t *mark)
{
	struct commit_header *h = header_of(disk);
	*mark = last_mark(h);
	if (h->state == COMMIT_EMPTY)
		return ERR_OK;
	if ((h->state != COMMIT_VALID && h->state != COMMIT_LOGGED) || !record_sound(disk)) {
		log_line("fs: the commit record %llu (%u blocks) is damaged; going on from mark %llu",
			 (unsigned long long)h->sequence, h->count, (unsigned long long)*mark);
		keep_place(disk);
		commit_fence(); // before the record is gone
		h->state = COMMIT_EMPTY;
		h->journal_bytes = 0; // what the journal has is found out from the disk
		return ERR_CORRUPT;
	}
	enum error error = write_record(disk);
	if (error == ERR_OK)
		error = checkpoint(disk);
	if (error != ERR_OK)
		return error;
	finish(disk);
	*mark = h->mark;
	return ERR_OK;
}

// ---- a device that refuses writes ----

// Of one block of the record, what lies in these bytes of the disk.
static void amend_by_entry(const struct disk *disk, uint32_t place, uint64_t offset, uint32_t bytes, uint8_t *data)
{
	const struct commit_header *h = header_of(disk);
	const struct commit_entry *e = &entries_of(disk)[place];
	const uint8_t *block = disk->log + h->data_offset + (size_t)place * h->block_size;
	uint64_t at = (uint64_t)e->block * h->block_size, end = at + h->block_size;
	uint64_t from = at > offset ? at : offset, to = end < offset + bytes ? end : offset + bytes;
	if (e->kind == COMMIT_JOURNAL || from >= to)
		return;
	memcpy(data + (from - offset), block + (from - at), to - from);
	if (e->kind == COMMIT_ESCAPED && from == at)
		jbd2_put(data + (from - offset), JBD2_MAGIC);
}

static void amend(const struct disk *disk, uint64_t offset, uint32_t bytes, uint8_t *data)
{
	for (uint32_t i = 0; i < header_of(disk)->count; i++)
		amend_by_entry(disk, i, offset, bytes, data);
}

void commit_read_through(struct disk *disk, uint64_t *mark)
{
	const struct commit_header *h = header_of(disk);
	commit_set_facts(disk, commit_time_base(disk), commit_flags(disk) | COMMIT_FLAG_ABORTED);
	disk->read_only = true;
	*mark = last_mark(h);
	if (h->state == COMMIT_EMPTY)
		return;
	if (!record_sound(disk)) {
		log_line("fs: the commit record %llu is damaged, and can no more be read through", (unsigned long long)h->sequence);
		return;
	}
	*mark = h->mark;
	disk->amend = amend;
}
