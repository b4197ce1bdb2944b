// Frame allocator: see frames.h. Buddies are those of absolute frame numbers, so alignment holds for any base.
#include "core-local/frames.h"
#include "abi/layout.h"
#include <assert.h>
#include <string.h>

#define LARGE_PAGES (MEGAPAGE_SIZE / PAGE_SIZE)

static uint64_t frames_first_number(const struct frames *f)
{
	return f->base >> PAGE_SHIFT;
}

static uint64_t frames_index(const struct frames *f, paddr_t base, uint64_t pages)
{
	uint64_t i = (base - f->base) >> PAGE_SHIFT;
	assert(base >= f->base && base % PAGE_SIZE == 0);
	assert(i < f->count && pages > 0 && pages <= f->count - i);
	return i;
}

static void list_insert(struct frames *f, uint64_t i, unsigned order)
{
	struct frame *head = &f->table[i];
	uint32_t first = f->lists[order];
	*head = (struct frame){ .order = (uint8_t)order, .state = FRAME_FREE_HEAD, .next = first, .prev = FRAME_NONE };
	if (first != FRAME_NONE)
		f->table[first].prev = (uint32_t)i;
	f->lists[order] = (uint32_t)i;
}

static void list_remove(struct frames *f, uint64_t i)
{
	struct frame *head = &f->table[i];
	if (head->prev != FRAME_NONE)
		f->table[head->prev].next = head->next;
	else
		f->lists[head->order] = head->next;
	if (head->next != FRAME_NONE)
		f->table[head->next].prev = head->prev;
	head->state = FRAME_FREE;
}

static bool block_is_free(const struct frames *f, uint64_t i, unsigned order)
{
	return i < f->count && f->table[i].state == FRAME_FREE_HEAD && f->table[i].order == order;
}

// Makes a block free, together with all buddies that are.
static void block_insert(struct frames *f, uint64_t i, unsigned order)
{
	uint64_t first = frames_first_number(f);
	while (order + 1 < FRAME_ORDERS) {
		uint64_t buddy = ((first + i) ^ (1ull << order)) - first; // below base it wraps, beyond count
		if (!block_is_free(f, buddy, order))
			break;
		list_remove(f, buddy);
		i = buddy < i ? buddy : i;
		order++;
	}
	list_insert(f, i, order);
}

// Cuts a range into blocks, each as large as its place allows. All frames of it are in state FRAME_FREE.
static void range_insert(struct frames *f, uint64_t i, uint64_t pages)
{
	uint64_t first = frames_first_number(f);
	while (pages > 0) {
		unsigned order = 0;
		while (order + 1 < FRAME_ORDERS && (first + i) % (2ull << order) == 0 && pages >= 2ull << order)
			order++;
		block_insert(f, i, order);
		i += 1ull << order;
		pages -= 1ull << order;
	}
}

static void range_mark(struct frames *f, uint64_t i, uint64_t pages, enum frame_state state, uint16_t owner)
{
	for (struct frame *p = &f->table[i]; pages > 0; pages--, p++)
		*p = (struct frame){ .owner = owner, .state = (uint8_t)state };
}

static void range_check(const struct frames *f, uint64_t i, uint64_t pages, enum frame_state state, uint16_t owner)
{
	for (const struct frame *p = &f->table[i]; pages > 0; pages--, p++)
		assert(p->state == state && p->owner == owner);
}

uint64_t frames_table_bytes(uint64_t count)
{
	return page_up(count * sizeof(struct frame));
}

void frames_init(struct frames *f, paddr_t base, uint64_t count, struct frame *table)
{
	assert(base % PAGE_SIZE == 0 && count < FRAME_NONE);
	*f = (struct frames){ .base = base, .count = count, .table = table };
	memset(f->lists, 0xff, sizeof(f->lists));
	memset(table, 0, count * sizeof(*table));
}

void frames_add(struct frames *f, paddr_t base, uint64_t pages)
{
	uint64_t i = frames_index(f, base, pages);
	range_check(f, i, pages, FRAME_RESERVED, 0);
	range_mark(f, i, pages, FRAME_FREE, 0);
	range_insert(f, i, pages);
	f->free += pages;
}

void frames_add_rest(struct frames *f, paddr_t base)
{
	for (uint64_t i = frames_index(f, base, 1), end; i < f->count; i = end + 1) {
		for (end = i; end < f->count && f->table[end].state == FRAME_RESERVED; end++)
			;
		if (end > i)
			frames_add(f, f->base + (i << PAGE_SHIFT), end - i);
	}
}

bool frames_claim(struct frames *f, paddr_t base, uint64_t pages, uint16_t owner)
{
	uint64_t first = (base - f->base) >> PAGE_SHIFT; // below base it wraps, beyond count

	if (base % PAGE_SIZE != 0 || first >= f->count || pages == 0 || pages > f->count - first)
		return false;
	for (uint64_t i = first; i < first + pages; i++)
		if (f->table[i].state != FRAME_RESERVED)
			return false;
	range_mark(f, first, pages, FRAME_USED, owner);
	return true;
}

// First block of at least 2^order frames; every one is aligned to its own size. FRAME_NONE: none.
static uint64_t find_block(const struct frames *f, unsigned order)
{
	for (; order < FRAME_ORDERS; order++)
		if (f->lists[order] != FRAME_NONE)
			return f->lists[order];
	return FRAME_NONE;
}

// First aligned run that consists of several free blocks: for runs that are much shorter than their power of two, when
// memory is tight. Steps from block to block, so linear in the number of blocks and of allocated frames.
static uint64_t find_run(const struct frames *f, uint64_t pages, uint64_t align_pages)
{
	uint64_t first = frames_first_number(f), start = 0, i = 0;
	while (i < f->count) {
		if (f->table[i].state != FRAME_FREE_HEAD) {
			start = ++i;
			continue;
		}
		start = ((first + start + align_pages - 1) & ~(align_pages - 1)) - first;
		i += 1ull << f->table[i].order;
		if (start < i && i - start >= pages)
			return start;
	}
	return FRAME_NONE;
}

// Takes a run out of the free blocks that hold it; what the last one has behind it stays free. Every aligned start of
// a run is that of a block: a block that held it inside would be aligned itself.
static void range_take(struct frames *f, uint64_t start, uint64_t pages, uint16_t owner)
{
	uint64_t i = start, end = start + pages;
	while (i < end) {
		assert(f->table[i].state == FRAME_FREE_HEAD);
		list_remove(f, i);
		i += 1ull << f->table[i].order;
	}
	range_mark(f, start, pages, FRAME_USED, owner);
	range_insert(f, end, i - end);
	f->free -= pages;
}

static unsigned order_for(uint64_t pages)
{
	unsigned order = 0;
	while (order < FRAME_ORDERS && 1ull << order < pages)
		order++;
	return order;
}

paddr_t frames_alloc_aligned(struct frames *f, uint64_t pages, uint64_t align_pages, uint16_t owner)
{
	assert(pages > 0 && owner != 0 && owner != UINT16_MAX);
	assert(align_pages > 0 && (align_pages & (align_pages - 1)) == 0);
	if (pages > f->free)
		return 0;

	uint64_t start = find_block(f, order_for(pages > align_pages ? pages : align_pages));
	if (start == FRAME_NONE)
		start = find_run(f, pages, align_pages);
	if (start == FRAME_NONE)
		return 0;
	range_take(f, start, pages, owner);
	return f->base + (start << PAGE_SHIFT);
}

paddr_t frames_alloc(struct frames *f, uint64_t pages, uint16_t owner)
{
	uint64_t align = pages >= LARGE_PAGES ? LARGE_PAGES : 1ull << order_for(pages);
	return frames_alloc_aligned(f, pages, align, owner);
}

void frames_free(struct frames *f, paddr_t base, uint64_t pages, uint16_t owner)
{
	uint64_t i = frames_index(f, base, pages);
	range_check(f, i, pages, FRAME_USED, owner);
	range_mark(f, i, pages, FRAME_FREE, 0);
	range_insert(f, i, pages);
	f->free += pages;
}

void frames_quarantine(struct frames *f, paddr_t base, uint64_t pages, uint16_t owner)
{
	uint64_t i = frames_index(f, base, pages);
	range_check(f, i, pages, FRAME_USED, owner);
	range_mark(f, i, pages, FRAME_QUARANTINED, 0);
	f->quarantined += pages;
}
