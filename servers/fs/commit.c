// Commit log: the only way from the cache to the disk (INV-50).
//
// Owns: the log area (the `out` area of our own channel to the block driver). One commit is: copy all dirty blocks and
// a list of their numbers and digests there, mark the record valid, write the blocks from there in place, flush, note
// the mark, clear the record. Must never write a block that is not in a valid record.
// Why right: the area belongs to this domain's channel, so it survives the death of this server and of the driver. A
// death before VALID: the disk has not been touched. After it: the next incarnation writes all blocks again (writing
// the same bytes twice is harmless), so the disk always ends at a commit's border, where mark says which serials are
// inside; everything later is performed again from the clients' rings. The order of the three stores at each border
// is what the fences below keep.
// A power cut in the middle of a commit is not covered (ext2 has no journal): CAVEATS.
#include "servers/fs/commit.h"
#include "abi/channel.h"
#include "runtime/inject.h"
#include "runtime/runtime.h"
#include <string.h>

#define COMMIT_BLOCKS_MIN 32u
#define COMMIT_BREATH 32u // blocks copied between two answers to pings: about 0.1 ms
#define COMMIT_DIGEST_SEED 0x706c616e61726961ull

// The reader is the next incarnation of this server, which runs after a trap and a restart of this very hart or of
// another one after the kernels' messages; only the order of our own stores matters.
#define commit_fence() __atomic_thread_fence(__ATOMIC_SEQ_CST)

// Copies a block and computes its digest in one pass. Four lanes, so that a simple core can overlap the multiplications;
// each step is a bijection of its lane, so any single word that differs is seen. For `to` 0 there is no copy.
static inline __attribute__((always_inline)) uint64_t digest_pass(uint64_t *to, const uint64_t *from, size_t bytes)
{
	uint64_t a = COMMIT_DIGEST_SEED, b = a + 1, c = a + 2, d = a + 3;
	for (size_t i = 0; i < bytes / 8; i += 4) {
		uint64_t w0 = from[i], w1 = from[i + 1], w2 = from[i + 2], w3 = from[i + 3];
		if (to) {
			to[i] = w0;
			to[i + 1] = w1;
			to[i + 2] = w2;
			to[i + 3] = w3;
		}
		a = (a ^ w0) * 0x9e3779b97f4a7c15ull;
		b = (b ^ w1) * 0xbf58476d1ce4e5b9ull;
		c = (c ^ w2) * 0x94d049bb133111ebull;
		d = (d ^ w3) * 0xd6e8feb86659fd93ull;
	}
	return channel_mix(channel_mix(channel_mix(a, b), c), d);
}

static uint64_t digest_copy(void *to, const void *from, size_t bytes)
{
	return digest_pass(to, from, bytes);
}

static uint64_t digest_bytes(const void *from, size_t bytes)
{
	return digest_pass(0, from, bytes);
}

static uint64_t record_digest(const struct commit_header *h, const struct commit_entry *entries)
{
	uint64_t x = channel_mix(COMMIT_DIGEST_SEED, (uint64_t)h->block_size << 32 | h->count);
	x = channel_mix(x, h->data_offset);
	x = channel_mix(x, h->sequence);
	x = channel_mix(x, h->mark);
	for (uint32_t i = 0; i < h->count; i++)
		x = channel_mix(channel_mix(x, entries[i].block), entries[i].digest);
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

static uint64_t last_mark(const struct commit_header *h)
{
	return h->last_mark_check == channel_committed_check(h->last_mark, 0, COMMIT_DIGEST_SEED) ? h->last_mark : 0;
}

static uint32_t capacity_of(uint64_t log_bytes, uint32_t block_size, uint32_t *data_offset)
{
	if (log_bytes < 2 * 4096)
		return 0;
	uint64_t n = (log_bytes - 4096 - sizeof(struct commit_header)) / (block_size + sizeof(struct commit_entry));
	uint64_t list = sizeof(struct commit_header) + n * sizeof(struct commit_entry);
	*data_offset = (uint32_t)((list + 4095) & ~4095ull);
	return (uint32_t)n;
}

enum error commit_open(struct commit_log *log, struct disk *disk, uint32_t block_size)
{
	uint32_t data_offset = 0;
	memset(log, 0, sizeof(*log));
	log->disk = disk;
	log->header = header_of(disk);
	log->block_size = block_size;
	log->capacity = capacity_of(disk->log_bytes, block_size, &data_offset);
	if (log->capacity < COMMIT_BLOCKS_MIN)
		return ERR_NO_MEMORY;
	log->entries = (struct commit_entry *)(void *)(disk->log + sizeof(struct commit_header));
	log->data = disk->log + data_offset;
	log->header->block_size = block_size;
	log->header->data_offset = data_offset;
	return ERR_OK;
}

// Neighbouring blocks become one write, so the dirty set is put in order of block numbers. Shell sort: no recursion, no
// memory, and fast enough for some thousands.
static void sort_buffers(struct buffer **b, uint32_t n)
{
	for (uint32_t gap = n / 2; gap > 0; gap = gap == 2 ? 1 : gap * 5 / 11) {
		for (uint32_t i = gap; i < n; i++) {
			struct buffer *x = b[i];
			uint32_t j = i;
			for (; j >= gap && b[j - gap]->block > x->block; j -= gap)
				b[j] = b[j - gap];
			b[j] = x;
		}
	}
}

// The data part of the log area is scratch until the blocks are copied: the pointers to sort lie in its end.
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
	sort_buffers(list, n);
	*sorted = list;
	return n;
}

// Entry i takes the place of pointers 2i and 2i + 1, so the pointers are consumed from the end.
static void copy_blocks(struct commit_log *log, struct buffer **sorted, uint32_t n)
{
	for (uint32_t i = n; i-- > 0;) {
		struct buffer *b = sorted[i];
		if (i % COMMIT_BREATH == 0 && log->disk->breathe)
			log->disk->breathe(log->disk);
		uint8_t *to = log->data + (size_t)i * log->block_size;
		uint64_t digest = digest_copy(to, b->data, log->block_size);
		log->entries[i] = (struct commit_entry){.block = b->block, .digest = digest};
	}
}

static void record_make(struct commit_log *log, uint32_t count, uint64_t mark)
{
	struct commit_header *h = log->header;
	h->block_size = log->block_size;
	h->data_offset = (uint32_t)(log->data - log->disk->log);
	h->count = count;
	h->sequence++;
	h->mark = mark;
	h->digest = record_digest(h, log->entries);
	(void)inject("fs.commit.mark");
	commit_fence(); // the record before the word that makes it valid
	h->state = COMMIT_VALID;
	commit_fence(); // valid before the first write can start
}

enum error commit_copy(struct commit_log *log, struct cache *cache, uint64_t mark, uint32_t *count)
{
	struct commit_header *h = log->header;
	struct buffer **sorted;
	*count = 0;
	enum error error = inject("fs.commit.copy");
	if (error != ERR_OK)
		return error;
	invariant(h->state == COMMIT_EMPTY && cache->dirty.count <= log->capacity);
	uint32_t n = take_dirty(log, cache, &sorted);
	copy_blocks(log, sorted, n);
	record_make(log, n, mark);
	log->commits++;
	log->blocks_written += n;
	*count = n;
	return ERR_OK;
}

static enum error write_runs(struct disk *disk, const struct commit_header *h)
{
	const struct commit_entry *e = (const struct commit_entry *)(const void *)(disk->log + sizeof(*h));
	uint32_t most = DISK_WRITE_BYTES / h->block_size;
	for (uint32_t i = 0, n; i < h->count; i += n) {
		for (n = 1; i + n < h->count && n < most && e[i + n].block == e[i].block + n;)
			n++;
		enum error error = inject("fs.commit.write");
		if (error == ERR_OK)
			error = disk->write(disk, (uint64_t)e[i].block * h->block_size,
					    disk->log + h->data_offset + (size_t)i * h->block_size, n * h->block_size);
		if (error != ERR_OK) {
			(void)disk->write_wait(disk);
			return error;
		}
	}
	return disk->write_wait(disk);
}

static enum error write_and_flush(struct disk *disk)
{
	enum error error = write_runs(disk, header_of(disk));
	if (error == ERR_OK)
		error = inject("fs.commit.flush");
	return error == ERR_OK ? disk->flush(disk) : error;
}

static void finish(struct commit_header *h)
{
	commit_fence(); // after the flush, before the mark
	set_last_mark(h, h->mark);
	commit_fence(); // the mark is noted before the record that also has it goes
	h->state = COMMIT_EMPTY;
}

enum error commit_write(struct commit_log *log)
{
	return write_and_flush(log->disk);
}

void commit_finish(struct commit_log *log)
{
	(void)inject("fs.commit.done");
	finish(log->header);
}

// As a record without blocks: a death between the mark and its check word must not leave none.
void commit_note(struct commit_log *log, uint64_t mark)
{
	struct commit_header *h = log->header;
	invariant(h->state == COMMIT_EMPTY);
	if (last_mark(h) == mark)
		return;
	record_make(log, 0, mark);
	finish(h);
}

static bool record_sound(struct disk *disk)
{
	const struct commit_header *h = header_of(disk);
	if (h->block_size != 1024 && h->block_size != 2048 && h->block_size != 4096)
		return false;
	uint32_t data_offset = 0;
	if (h->count > capacity_of(disk->log_bytes, h->block_size, &data_offset) || h->data_offset != data_offset)
		return false;
	const struct commit_entry *e = (const struct commit_entry *)(const void *)(disk->log + sizeof(*h));
	if (h->digest != record_digest(h, e))
		return false;
	for (uint32_t i = 0; i < h->count; i++) {
		if (i % COMMIT_BREATH == 0 && disk->breathe)
			disk->breathe(disk);
		if (((uint64_t)e[i].block + 1) * h->block_size > disk->bytes)
			return false;
		if (e[i].digest != digest_bytes(disk->log + h->data_offset + (size_t)i * h->block_size, h->block_size))
			return false;
	}
	return true;
}

enum error commit_recover(struct disk *disk, uint64_t *mark)
{
	struct commit_header *h = header_of(disk);
	*mark = last_mark(h);
	if (h->state == COMMIT_EMPTY)
		return ERR_OK;
	if (h->state != COMMIT_VALID || !record_sound(disk)) {
		log_line("fs: the commit record %llu (%u blocks) is damaged; going on from mark %llu",
			 (unsigned long long)h->sequence, h->count, (unsigned long long)*mark);
		h->state = COMMIT_EMPTY;
		return ERR_CORRUPT;
	}
	enum error error = write_and_flush(disk);
	if (error != ERR_OK)
		return error;
	finish(h);
	*mark = h->mark;
	return ERR_OK;
}
