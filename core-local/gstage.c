// Page tables: see gstage.h. Levels: 2 = root, entries of 1 GiB; 1 = entries of 2 MiB; 0 = entries of 4 KiB.
#include "core-local/gstage.h"
#include "abi/fence.h"
#include <assert.h>
#include <string.h>

#define ENTRY_VALID 0x01ull
#define ENTRY_READ 0x02ull
#define ENTRY_WRITE 0x04ull
#define ENTRY_EXEC 0x08ull
#define ENTRY_USER 0x10ull
#define ENTRY_USED 0xc0ull // A and D: preset, so that hardware never has to (KERNEL.md rule 15)
#define ENTRY_LEAF (ENTRY_READ | ENTRY_WRITE | ENTRY_EXEC)
#define ENTRY_NUMBER 0x003ffffffffffc00ull // of the frame, << 10

#define GIGAPAGE_SIZE (MEGAPAGE_SIZE * TABLE_ENTRIES)
#define TABLE_ENTRIES 512
#define TABLE_LIMIT_GSTAGE (1ull << 41)
#define TABLE_LIMIT (1ull << 38) // lower half of Sv39
#define PHYSICAL_LIMIT (1ull << 56)

static uint64_t level_bytes(int level)
{
	return (uint64_t)PAGE_SIZE << (9 * level);
}

static unsigned level_index(uint64_t va, int level)
{
	return (unsigned)(va / level_bytes(level)) % TABLE_ENTRIES;
}

static uint64_t entry_make(paddr_t pa, uint64_t bits)
{
	return pa >> PAGE_SHIFT << 10 | bits | ENTRY_VALID;
}

static paddr_t entry_address(uint64_t entry)
{
	return (entry & ENTRY_NUMBER) >> 10 << PAGE_SHIFT;
}

static bool entry_is_table(uint64_t entry)
{
	return (entry & (ENTRY_VALID | ENTRY_LEAF)) == ENTRY_VALID;
}

static uint64_t *entry_table(uint64_t entry)
{
	return (uint64_t *)entry_address(entry);
}

static uint64_t table_limit(const struct page_table *t)
{
	return t->gstage ? TABLE_LIMIT_GSTAGE : TABLE_LIMIT;
}

// Entry for va at level `stop`, or the one above it where the way ends; *level says which.
static uint64_t *table_walk(const struct page_table *t, uint64_t va, int stop, int *level)
{
	uint64_t *entry = &t->root[va / GIGAPAGE_SIZE];
	for (*level = 2; *level > stop && entry_is_table(*entry); )
		entry = &entry_table(*entry)[level_index(va, --*level)];
	return entry;
}

// Pages from va on whose entries lie behind that of the page before it, in the same table.
static uint64_t left_in_table(uint64_t va, uint64_t bytes)
{
	uint64_t room = -va % MEGAPAGE_SIZE;
	return (room < bytes ? room : bytes) / PAGE_SIZE;
}

// Writes the `count` entries behind `entry`, up to one that is in use. Returns how many: a count, for there may be 512.
static uint64_t table_fill(uint64_t *entry, uint64_t count, uint64_t value)
{
	uint64_t *at = entry, *last = entry + count;
	while (at != last && at[1] == 0)
		*++at = value += PAGE_SIZE >> PAGE_SHIFT << 10;
	return (uint64_t)(at - entry);
}

// Level of the largest leaf that may start here.
static int leaf_level(uint64_t va, paddr_t pa, uint64_t left)
{
	return (va | pa) % MEGAPAGE_SIZE == 0 && left >= MEGAPAGE_SIZE ? 1 : 0;
}

// Writes one leaf, with the tables above it that are missing. What fails can leave empty tables.
static enum error leaf_write(struct page_table *t, uint64_t va, int leaf, uint64_t value, uint64_t **place)
{
	int level;
	uint64_t *entry = table_walk(t, va, leaf, &level);
	while (level > leaf && !(*entry & ENTRY_VALID)) {
		paddr_t table = t->alloc(t->context);
		if (table == 0)
			return ERR_NO_MEMORY;
		memset((void *)table, 0, PAGE_SIZE);
		fence_w_w(); // partner: this hart's page walker; cleared before it is reachable
		*entry = entry_make(table, 0);
		entry = &entry_table(*entry)[level_index(va, --level)];
	}
	if (*entry & ENTRY_VALID)
		return ERR_EXISTS;
	*entry = value;
	*place = entry;
	return ERR_OK;
}

static uint64_t leaf_bits(const struct page_table *t, unsigned prot)
{
	uint64_t bits = ENTRY_USED | ENTRY_READ;
	if (prot & PROT_WRITE)
		bits |= ENTRY_WRITE;
	if (prot & PROT_EXEC)
		bits |= ENTRY_EXEC;
	return t->gstage ? bits | ENTRY_USER : bits;
}

static bool range_is_valid(const struct page_table *t, uint64_t va, uint64_t bytes)
{
	return (va | bytes) % PAGE_SIZE == 0 && va < table_limit(t) && bytes > 0 && bytes <= table_limit(t) - va;
}

static bool table_is_empty(const uint64_t *table)
{
	for (unsigned i = 0; i < TABLE_ENTRIES; i++)
		if (table[i] != 0)
			return false;
	return true;
}

// Releases the table below the entry for va at `level`, if it is empty.
static void prune(struct page_table *t, uint64_t va, int level)
{
	int reached = -1;
	uint64_t *entry = table_walk(t, va, level, &reached);
	if (reached != level || !entry_is_table(*entry) || !table_is_empty(entry_table(*entry)))
		return;
	paddr_t table = entry_address(*entry);
	*entry = 0;
	t->release(t->context, table);
}

void table_unmap(struct page_table *t, uint64_t va, uint64_t bytes)
{
	uint64_t end = va + bytes, next;
	assert(range_is_valid(t, va, bytes));
	for (uint64_t at = va; at < end; at = next) {
		int level;
		uint64_t *entry = table_walk(t, at, 0, &level);
		uint64_t span = level_bytes(level);
		next = (at & ~(span - 1)) + span;
		if (*entry & ENTRY_VALID) {
			assert(at % span == 0 && next <= end);
			*entry = 0;
		}
		uint64_t more = level == 0 && next < end ? left_in_table(next, end - next) : 0;
		for (const uint64_t *last = entry + more; entry != last;)
			*++entry = 0;
		next += more * PAGE_SIZE;
		if (t->keep)
			continue;
		if (next % MEGAPAGE_SIZE == 0 || next >= end)
			prune(t, at, 1);
		if (next % GIGAPAGE_SIZE == 0 || next >= end)
			prune(t, at, 2);
	}
}

enum error table_map(struct page_table *t, uint64_t va, paddr_t pa, uint64_t bytes, unsigned prot)
{
	enum error error = ERR_OK;
	uint64_t done = 0, value, *entry;
	if (!range_is_valid(t, va, bytes) || !(prot & PROT_READ) || (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC)))
		return ERR_INVALID;
	if (pa % PAGE_SIZE != 0 || pa >= PHYSICAL_LIMIT || bytes > PHYSICAL_LIMIT - pa)
		return ERR_INVALID;
	while (done < bytes && error == ERR_OK) {
		int level = leaf_level(va + done, pa + done, bytes - done);
		value = entry_make(pa + done, leaf_bits(t, prot));
		error = leaf_write(t, va + done, level, value, &entry);
		if (error == ERR_OK)
			done += level_bytes(level);
		if (error == ERR_OK && level == 0)
			done += table_fill(entry, left_in_table(va + done, bytes - done), value) * PAGE_SIZE;
	}
	if (error == ERR_OK)
		return ERR_OK;
	if (done > 0) // all or nothing
		table_unmap(t, va, done);
	prune(t, va + done, 1);
	prune(t, va + done, 2);
	return error;
}

bool table_lookup(const struct page_table *t, uint64_t va, paddr_t *pa, unsigned *prot)
{
	int level;
	if (va >= table_limit(t))
		return false;
	uint64_t entry = *table_walk(t, va, 0, &level);
	if (!(entry & ENTRY_VALID))
		return false;
	if (pa)
		*pa = entry_address(entry) + va % level_bytes(level);
	if (prot)
		*prot = (entry & ENTRY_READ ? PROT_READ : 0) | (entry & ENTRY_WRITE ? PROT_WRITE : 0) |
		        (entry & ENTRY_EXEC ? PROT_EXEC : 0);
	return true;
}
