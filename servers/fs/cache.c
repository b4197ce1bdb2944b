// Block cache: hash, least-recently-used eviction, pins, the dirty set, read clusters, undo of one operation.
//
// Owns: struct cache and its buffers. Never writes a disk: dirty blocks leave only by commit.c, which copies them
// (no-steal), so the disk never holds half an operation. A buffer that is dirty, committing, being read or pinned is
// never evicted; hence a read from the disk can never miss a newer content.
// An operation that changes blocks runs alone (serve.c's lock). cache_modify keeps the old bytes in a second buffer; if
// the operation fails, cache_op_undo puts all back, so failed operations have no effect (INV-51) and need no replay.
// Metadata is sealed (seal.c) when it is read and when a commit takes it, and looked at before its first change after that: who finds
// another sum dies, since memory was changed. What a block was before that change is kept until the commit, if there is room, so
// that judge.c can compare.
// If the server dies: all of this is gone, and nothing is lost by it: the log area and the clients' rings have the rest.
#include "servers/fs/cache.h"
#include "proto/protocol.h"
#include "runtime/inject.h"
#include "runtime/runtime.h"
#include "servers/fs/seal.h"
#include <string.h>

#define CACHE_BUFFERS_MIN 64u
#define CACHE_BASES 8u // that part of the buffers may be bases: what is read and what is dirty goes before

static void list_push(struct buffer_list *list, struct buffer *b)
{
	b->previous = 0;
	b->next = list->first;
	if (list->first)
		list->first->previous = b;
	else
		list->last = b;
	list->first = b;
	list->count++;
}

static void list_push_last(struct buffer_list *list, struct buffer *b)
{
	b->next = 0;
	b->previous = list->last;
	if (list->last)
		list->last->next = b;
	else
		list->first = b;
	list->last = b;
	list->count++;
}

static void list_remove(struct buffer_list *list, struct buffer *b)
{
	*(b->previous ? &b->previous->next : &list->first) = b->next;
	*(b->next ? &b->next->previous : &list->last) = b->previous;
	b->next = b->previous = 0;
	list->count--;
}

// Divides memory into buffers: their descriptions behind their data.
static unsigned add_buffers(struct cache *cache, void *memory, size_t bytes)
{
	uint8_t *data = (uint8_t *)(((uintptr_t)memory + 63) & ~(uintptr_t)63);
	size_t count = (bytes - 63) / (cache->block_size + sizeof(struct buffer));
	struct buffer *buffers = (struct buffer *)(void *)(data + count * cache->block_size);
	for (size_t i = 0; i < count; i++) {
		buffers[i] = (struct buffer){.data = data + i * cache->block_size, .flags = BUFFER_IDLE};
		list_push_last(&cache->idle, &buffers[i]);
	}
	cache->buffer_count += (unsigned)count;
	return (unsigned)count;
}

enum error cache_open(struct cache *cache, struct disk *disk, uint32_t block_size, const struct cache_memory *memory)
{
	unsigned hash = 1;
	memset(cache, 0, sizeof(*cache));
	while (hash * 2 <= memory->bytes_max / block_size)
		hash *= 2;
	size_t hash_bytes = hash * sizeof(*cache->hash);
	if (memory->first_bytes < hash_bytes + CACHE_BUFFERS_MIN * block_size)
		return ERR_NO_MEMORY;
	cache->disk = disk;
	cache->block_size = block_size;
	cache->block_shift = (unsigned)__builtin_ctz(block_size);
	cache->hash_mask = hash - 1;
	cache->hash = memory->first;
	memset(cache->hash, 0, hash_bytes);
	for (unsigned i = 0; i < CACHE_CLUSTERS; i++)
		cache->clusters[i].cache = cache;
	add_buffers(cache, (uint8_t *)memory->first + hash_bytes, memory->first_bytes - hash_bytes);
	cache->more = memory->more;
	size_t rest = memory->bytes_max > memory->first_bytes ? memory->bytes_max - memory->first_bytes : 0;
	unsigned step = (CACHE_STEP - 63) / (block_size + sizeof(struct buffer));
	cache->buffer_max = cache->buffer_count + (unsigned)(rest / CACHE_STEP) * step;
	return cache->buffer_count < CACHE_BUFFERS_MIN ? ERR_NO_MEMORY : ERR_OK;
}

unsigned cache_capacity(const struct cache *cache)
{
	return cache->more ? cache->buffer_max : cache->buffer_count;
}

static void grow(struct cache *cache)
{
	void *memory = cache->more(CACHE_STEP);
	if (memory)
		add_buffers(cache, memory, CACHE_STEP);
	if (!memory || cache->buffer_count >= cache->buffer_max)
		cache->more = 0;
}

static struct buffer **hash_slot(struct cache *cache, uint32_t block)
{
	return &cache->hash[(block * 0x9e3779b1u >> 8 ^ block) & cache->hash_mask];
}

static struct buffer *lookup(struct cache *cache, uint32_t block)
{
	struct buffer *b = *hash_slot(cache, block);
	while (b && b->block != block)
		b = b->hash_next;
	return b;
}

// Nothing is known of the content any more.
static void forget_kind(struct buffer *b)
{
	b->kind = 0;
	b->checked = b->stale = b->changed = 0;
	b->disputed = false;
}

static void unhash(struct cache *cache, struct buffer *b)
{
	struct buffer **p = hash_slot(cache, b->block);
	while (*p != b)
		p = &(*p)->hash_next;
	*p = b->hash_next;
	b->flags &= (uint8_t)~BUFFER_HASHED;
}

static void pin(struct cache *cache, struct buffer *b)
{
	if (b->flags & BUFFER_IDLE) {
		list_remove(&cache->idle, b);
		b->flags &= (uint8_t)~BUFFER_IDLE;
	}
	b->pins++;
	invariant(b->pins != 0);
}

// Puts the buffer on the idle list if nothing holds it any more.
static void settle(struct cache *cache, struct buffer *b)
{
	if (b->pins || b->flags & (BUFFER_IDLE | BUFFER_READING | BUFFER_DIRTY | BUFFER_COMMITTING))
		return;
	b->flags |= BUFFER_IDLE;
	if (b->flags & BUFFER_VALID)
		list_push(&cache->idle, b);
	else
		list_push_last(&cache->idle, b);
}

void cache_put(struct cache *cache, struct buffer *b)
{
	if (!b)
		return;
	invariant(b->pins != 0);
	b->pins--;
	settle(cache, b);
}

static void drop_base(struct cache *cache, struct buffer *b)
{
	if (!b->base)
		return;
	cache->bases--;
	cache_put(cache, b->base);
	b->base = 0;
}

// Room is worth more than what blocks were.
static void drop_some_base(struct cache *cache)
{
	struct buffer *b = cache->dirty.first;
	while (b && !b->base)
		b = b->next;
	if (b)
		drop_base(cache, b);
}

// A pinned buffer that belongs to no block; 0 when none can be evicted.
static struct buffer *take_any(struct cache *cache)
{
	if (cache->more && (!cache->idle.last || cache->idle.last->flags & BUFFER_VALID))
		grow(cache);
	if (!cache->idle.last && cache->bases)
		drop_some_base(cache);
	struct buffer *b = cache->idle.last;
	if (!b)
		return 0;
	invariant(!(b->flags & (BUFFER_DIRTY | BUFFER_COMMITTING | BUFFER_READING)));
	pin(cache, b);
	if (b->flags & BUFFER_HASHED)
		unhash(cache, b);
	b->flags = 0;
	b->seal = 0;
	forget_kind(b);
	return b;
}

struct buffer *cache_spare(struct cache *cache)
{
	struct buffer *b = take_any(cache);
	if (b)
		memset(b->data, 0, cache->block_size);
	return b;
}

static struct buffer *take_for(struct cache *cache, uint32_t block)
{
	struct buffer *b = take_any(cache);
	if (!b)
		return 0;
	b->block = block;
	b->flags = BUFFER_HASHED;
	struct buffer **slot = hash_slot(cache, block);
	b->hash_next = *slot;
	*slot = b;
	return b;
}

static void block_arrived(struct cache *cache, struct buffer *b, const uint8_t *data)
{
	if (RECOVERABLE)
		b->seal = seal_copy(b->data, data, cache->block_size);
	else
		memcpy(b->data, data, cache->block_size);
	if (cache->disk->amend) {
		cache->disk->amend(cache->disk, (uint64_t)b->block << cache->block_shift, cache->block_size, b->data);
		cache_reseal(cache, b);
	}
	b->flags |= BUFFER_VALID;
}

static void cluster_done(struct disk_read *read, enum error error, const uint8_t *data)
{
	struct cache_cluster *cluster = (struct cache_cluster *)read; // read is its first member
	struct cache *cache = cluster->cache;
	for (unsigned i = 0; i < cluster->count; i++) {
		struct buffer *b = cluster->buffers[i];
		if (error == ERR_OK)
			block_arrived(cache, b, data + (size_t)i * cache->block_size);
		b->flags &= (uint8_t)~BUFFER_READING;
		cache_put(cache, b);
	}
	cluster->count = 0;
}

static struct cache_cluster *cluster_take(struct cache *cache, bool must)
{
	for (;;) {
		for (unsigned i = 0; i < CACHE_CLUSTERS; i++) {
			if (cache->clusters[i].count == 0)
				return &cache->clusters[i];
		}
		if (!must)
			return 0;
		cache->disk->wait(cache->disk);
	}
}

// Reads the pinned buffers of the cluster; their pins go with the read.
static enum error cluster_start(struct cache *cache, struct cache_cluster *cluster, bool must)
{
	cluster->read.offset = (uint64_t)cluster->buffers[0]->block << cache->block_shift;
	cluster->read.bytes = cluster->count << cache->block_shift;
	cluster->read.done = cluster_done;
	for (unsigned i = 0; i < cluster->count; i++)
		cluster->buffers[i]->flags |= BUFFER_READING;
	enum error error = cache->disk->read_start(cache->disk, &cluster->read, must);
	if (error != ERR_OK)
		cluster_done(&cluster->read, error, 0);
	return error;
}

void cache_read_start(struct cache *cache, uint32_t block, unsigned count, bool must)
{
	unsigned most = DISK_READ_BYTES >> cache->block_shift;
	while (count) {
		if (lookup(cache, block)) {
			block++;
			count--;
			continue;
		}
		struct cache_cluster *cluster = cluster_take(cache, must);
		if (!cluster)
			return;
		unsigned n = 0;
		while (count && n < most && !lookup(cache, block)) {
			struct buffer *b = take_for(cache, block);
			if (!b)
				break;
			cluster->buffers[n++] = b;
			block++;
			count--;
		}
		if (n == 0)
			return;
		cluster->count = n;
		cache->read_ahead += n;
		if (cluster_start(cache, cluster, must) != ERR_OK)
			return;
	}
}

enum error cache_get_blank(struct cache *cache, uint32_t block, struct buffer **buffer)
{
	struct buffer *b = lookup(cache, block);
	*buffer = 0;
	if (b) {
		pin(cache, b);
		while (b->flags & BUFFER_READING)
			cache->disk->wait(cache->disk);
	} else {
		b = take_for(cache, block);
		if (!b)
			return ERR_NO_MEMORY;
	}
	*buffer = b;
	return ERR_OK;
}

static enum error read_one(struct cache *cache, struct buffer *b)
{
	enum error error = inject("fs.cache.read");
	if (error != ERR_OK)
		return error;
	struct cache_cluster *cluster = cluster_take(cache, true);
	if (b->flags & (BUFFER_READING | BUFFER_VALID)) // somebody else was faster while we waited
		return ERR_OK;
	cluster->buffers[0] = b;
	cluster->count = 1;
	pin(cache, b);
	return cluster_start(cache, cluster, true);
}

enum error cache_get(struct cache *cache, uint32_t block, struct buffer **buffer)
{
	struct buffer *b;
	enum error error = cache_get_blank(cache, block, &b);
	*buffer = 0;
	if (error != ERR_OK)
		return error;
	if (b->flags & BUFFER_VALID) {
		cache->hits++;
		*buffer = b;
		return ERR_OK;
	}
	cache->misses++;
	error = read_one(cache, b);
	while (b->flags & BUFFER_READING)
		cache->disk->wait(cache->disk);
	if (!(b->flags & BUFFER_VALID)) {
		cache_put(cache, b);
		return error == ERR_OK ? ERR_DEVICE : error;
	}
	*buffer = b;
	return ERR_OK;
}

enum error cache_get_run(struct cache *cache, uint32_t block, unsigned run, struct buffer **buffer)
{
	if (run > 1 && !lookup(cache, block))
		cache_read_start(cache, block, run, false);
	return cache_get(cache, block, buffer);
}

// ---- changes ----

static inline void set_dirty(struct cache *cache, struct buffer *b)
{
	if (b->flags & BUFFER_DIRTY)
		return;
	invariant(!(b->flags & BUFFER_IDLE));
	b->flags |= BUFFER_DIRTY;
	list_push_last(&cache->dirty, b);
}

static void clear_dirty(struct cache *cache, struct buffer *b)
{
	if (!(b->flags & BUFFER_DIRTY))
		return;
	list_remove(&cache->dirty, b);
	b->flags &= (uint8_t)~(BUFFER_DIRTY | BUFFER_MADE);
	b->stale = b->changed = 0; // an operation that was undone has left its checksums as they were, too
	b->disputed = false;
	drop_base(cache, b);
}

// What a sum would be computed over again is not what was read or committed, and what is committed is not what was judged.
void cache_seal_check(const struct buffer *b, uint64_t sum)
{
	if (!b->seal || b->seal == sum)
		return;
	log_line("fs: block %u (kind %u) has changed in memory since it was %s: 0x%llx was its sum, 0x%llx is it", b->block, b->kind,
		 "read, summed or committed", (unsigned long long)b->seal, (unsigned long long)sum);
	invariant(b->seal == sum);
}

static __attribute__((noinline)) void copy_sealed(const struct cache *cache, struct buffer *to, const struct buffer *b)
{
	to->seal = seal_copy(to->data, b->data, cache->block_size);
	cache_seal_check(b, to->seal);
}

// The copy of a block before it is changed; in a clean one it is what commits and disk have.
static inline void copy_before(const struct cache *cache, struct buffer *to, const struct buffer *b)
{
	if (!RECOVERABLE || __builtin_expect(b->flags & BUFFER_DIRTY, 1)) // of many operations one is the first
		memcpy(to->data, b->data, cache->block_size);
	else
		copy_sealed(cache, to, b);
}

static bool wants_base(const struct cache *cache, const struct buffer *b)
{
	return RECOVERABLE && b->kind && !b->base && cache->bases * CACHE_BASES < cache->buffer_count;
}

// `base` is pinned, and passes to the buffer.
static void set_base(struct cache *cache, struct buffer *b, struct buffer *base)
{
	b->base = base;
	cache->bases++;
}

void cache_mark_dirty(struct cache *cache, struct buffer *b)
{
	if (b->flags & BUFFER_DIRTY)
		return;
	struct buffer *base = wants_base(cache, b) ? take_any(cache) : 0;
	if (base) {
		copy_before(cache, base, b);
		set_base(cache, b, base);
	}
	set_dirty(cache, b);
	b->seal = 0;
}

void cache_reseal(struct cache *cache, struct buffer *b)
{
	if (RECOVERABLE && !(b->flags & BUFFER_DIRTY))
		b->seal = seal_sum(b->data, cache->block_size);
}

void cache_seal(const struct cache *cache, struct buffer *b)
{
	if (RECOVERABLE && b->kind)
		b->seal = seal_sum(b->data, cache->block_size);
}

struct buffer *cache_peek(struct cache *cache, uint32_t block)
{
	struct buffer *b = lookup(cache, block);
	return b && b->flags & BUFFER_VALID ? b : 0;
}

void cache_overwritten(struct cache *cache, struct buffer *b, uint64_t seal)
{
	if (!(b->flags & BUFFER_DIRTY)) // else it goes where the first change since the last commit wanted it to
		b->flags |= BUFFER_CONTENT;
	b->flags |= BUFFER_VALID;
	forget_kind(b);
	drop_base(cache, b);
	set_dirty(cache, b);
	b->seal = seal;
}

void cache_op_begin(struct cache *cache)
{
	invariant(!cache->op_active && !cache->op_first);
	cache->op_active = true;
}

// The operation's list holds a pin on each of its buffers.
static void op_note(struct cache *cache, struct buffer *b, uint8_t op_flag)
{
	invariant(cache->op_active);
	if (!b->op_flags) {
		b->op_was = b->flags;
		b->op_next = cache->op_first;
		cache->op_first = b;
		pin(cache, b);
	}
	b->op_flags |= op_flag;
}

enum error cache_room(const struct cache *cache, unsigned count)
{
	return cache->dirty.count + count <= cache->dirty_max ? ERR_OK : ERR_LIMIT;
}

enum error cache_modify(struct cache *cache, struct buffer *b)
{
	invariant(b->flags & BUFFER_VALID);
	if (!(b->flags & BUFFER_DIRTY) && cache_room(cache, 1) != ERR_OK)
		return ERR_LIMIT;
	if (!(b->op_flags & (BUFFER_OP_SHADOWED | BUFFER_OP_FRESH))) {
		struct buffer *shadow = take_any(cache);
		if (!shadow)
			return ERR_NO_MEMORY;
		copy_before(cache, shadow, b);
		b->shadow = shadow;
		op_note(cache, b, BUFFER_OP_SHADOWED);
	}
	set_dirty(cache, b);
	b->seal = 0;
	return ERR_OK;
}

enum error cache_create(struct cache *cache, uint32_t block, struct buffer **buffer)
{
	enum error error = cache_room(cache, 1);
	*buffer = 0;
	if (error == ERR_OK)
		error = cache_get_blank(cache, block, buffer);
	if (error != ERR_OK)
		return error;
	struct buffer *b = *buffer;
	invariant(!(b->op_flags & BUFFER_OP_FREED)); // operations free last
	op_note(cache, b, BUFFER_OP_FRESH);
	memset(b->data, 0, cache->block_size);
	cache_overwritten(cache, b, 0);
	b->flags &= (uint8_t)~BUFFER_CONTENT;
	b->flags |= BUFFER_MADE;
	return ERR_OK;
}

static void drop_content(struct cache *cache, struct buffer *b)
{
	clear_dirty(cache, b);
	forget_kind(b);
	if (!(b->flags & BUFFER_READING))
		b->flags &= (uint8_t)~BUFFER_VALID;
}

void cache_freed(struct cache *cache, uint32_t block)
{
	struct buffer *b = lookup(cache, block);
	if (!b)
		return;
	if (b->kind && cache->freeing)
		cache->freeing(cache, b);
	// What the disk has too is dropped at once: an undo reads it again. So a large file's removal pins no buffers.
	if (b->pins == 0 && !b->op_flags && !(b->flags & (BUFFER_DIRTY | BUFFER_COMMITTING | BUFFER_READING)))
		drop_content(cache, b);
	else
		op_note(cache, b, BUFFER_OP_FREED);
}

static void undo_one(struct cache *cache, struct buffer *b)
{
	if (b->op_flags & BUFFER_OP_SHADOWED)
		memcpy(b->data, b->shadow->data, cache->block_size);
	if (b->op_flags & BUFFER_OP_FRESH) {
		drop_content(cache, b);
	} else if (!(b->op_was & BUFFER_DIRTY)) {
		clear_dirty(cache, b);
		if (b->shadow)
			b->seal = b->shadow->seal;
	}
}

// The first change since the last commit: what was before it is what the commit is judged by.
static void keep_base(struct cache *cache, struct buffer *b)
{
	if (__builtin_expect(b->op_was & BUFFER_DIRTY, 1) || !(b->flags & BUFFER_DIRTY) || !b->shadow || !wants_base(cache, b))
		return;
	set_base(cache, b, b->shadow);
	b->shadow = 0;
}

static void op_end(struct cache *cache, bool keep)
{
	invariant(cache->op_active);
	while (cache->op_first) {
		struct buffer *b = cache->op_first;
		cache->op_first = b->op_next;
		if (!keep)
			undo_one(cache, b);
		else if (b->op_flags & BUFFER_OP_FREED)
			drop_content(cache, b);
		else
			keep_base(cache, b);
		if (b->shadow)
			cache_put(cache, b->shadow);
		b->shadow = 0;
		b->op_next = 0;
		b->op_flags = 0;
		cache_put(cache, b);
	}
	cache->op_active = false;
}

void cache_op_keep(struct cache *cache)
{
	op_end(cache, true);
}

void cache_op_undo(struct cache *cache)
{
	op_end(cache, false);
}

// ---- commit ----

struct buffer *cache_commit_take(struct cache *cache)
{
	struct buffer *b = cache->dirty.first;
	if (!b)
		return 0;
	invariant(!cache->op_active && !(b->flags & BUFFER_COMMITTING));
	clear_dirty(cache, b);
	b->flags |= BUFFER_COMMITTING;
	b->commit_next = cache->committing;
	cache->committing = b;
	return b;
}

void cache_commit_done(struct cache *cache)
{
	while (cache->committing) {
		struct buffer *b = cache->committing;
		cache->committing = b->commit_next;
		b->commit_next = 0;
		b->flags &= (uint8_t)~BUFFER_COMMITTING;
		settle(cache, b);
	}
}
