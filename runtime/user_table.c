// Sv39 tables of programs (user_table.h).
#include "runtime/user_table.h"
#include "abi/call.h"

#define PTE_VALID 1ul
#define PTE_READ 2ul
#define PTE_WRITE 4ul
#define PTE_EXEC 8ul
#define PTE_USER 16ul
#define PTE_DONE 0xc0ul // accessed and dirty: hardware that does not set them would fault
#define PTE_PAGE_SHIFT 10
#define ENTRIES 512u
#define LEVELS 3u // the root is level 2
#define GIGAPAGE_SIZE 0x40000000ul

static unsigned index_at(uint64_t address, unsigned level)
{
	return (unsigned)(address >> (PAGE_SHIFT + 9 * level)) % ENTRIES;
}

static uint64_t entry_of(uint64_t at, uint64_t bits)
{
	return at >> PAGE_SHIFT << PTE_PAGE_SHIFT | bits | PTE_VALID;
}

static void *page_of(uint64_t entry)
{
	return (void *)(entry >> PTE_PAGE_SHIFT << PAGE_SHIFT);
}

static bool is_table(uint64_t entry)
{
	return (entry & PTE_VALID) && !(entry & (PTE_READ | PTE_WRITE | PTE_EXEC));
}

static bool is_of_program(const struct user_table *table, uint64_t address)
{
	bool low = address >= USER_LOW && address < table->own, high = address >= USER_HIGH && address < USER_END;
	return address % PAGE_SIZE == 0 && (low || high);
}

// The entry for a page; tables on the way are made where that is asked for. 0: there is no table, or no page for one.
static uint64_t *entry_find(const struct user_table *table, uint64_t address, bool make)
{
	uint64_t *at = table->root;
	for (unsigned level = LEVELS - 1; level > 0; level--) {
		uint64_t *entry = &at[index_at(address, level)];
		if (!(*entry & PTE_VALID) && make) {
			void *page = table->pages->take();
			*entry = page ? entry_of((uint64_t)page, 0) : 0;
		}
		if (!is_table(*entry))
			return 0;
		at = page_of(*entry);
	}
	return &at[index_at(address, 0)];
}

// The library OS at its own addresses, not for programs: what is there, and what of it may be written or executed, the G-stage
// says. Text lies in the window of images alone.
static void own_map(uint64_t *root, uint64_t *first, uint64_t own)
{
	for (uint64_t at = own; at < GIGAPAGE_SIZE; at += MEGAPAGE_SIZE)
		first[index_at(at, 1)] = entry_of(at, PTE_READ | PTE_WRITE | PTE_DONE | (at < GPA_IMAGE_END ? PTE_EXEC : 0));
	for (uint64_t at = GIGAPAGE_SIZE; at < GPA_END; at += GIGAPAGE_SIZE)
		root[index_at(at, 2)] = entry_of(at, PTE_READ | PTE_WRITE | PTE_DONE);
}

enum error user_table_make(struct user_table *table, uint64_t own, const struct user_pages *pages)
{
	*table = (struct user_table){pages->take(), own & ~(MEGAPAGE_SIZE - 1), pages};
	if (!table->root)
		return ERR_NO_MEMORY;
	uint64_t *nowhere = entry_find(table, 0, true);
	if (!nowhere) {
		user_table_end(table);
		return ERR_NO_MEMORY;
	}
	*nowhere = entry_of(0, PTE_EXEC | PTE_DONE);
	own_map(table->root, page_of(table->root[0]), table->own);
	return ERR_OK;
}

enum error user_table_map(struct user_table *table, uint64_t address, void *page, unsigned prot)
{
	if (!is_of_program(table, address) || !(prot & PROT_READ) || prot > (PROT_READ | PROT_WRITE | PROT_EXEC))
		return ERR_INVALID;
	uint64_t *entry = entry_find(table, address, true);
	if (!entry)
		return ERR_NO_MEMORY;
	if (*entry & PTE_VALID)
		return ERR_EXISTS;
	*entry = entry_of((uint64_t)page, prot << 1 | PTE_USER | PTE_DONE);
	return ERR_OK;
}
_Static_assert(PROT_READ << 1 == PTE_READ && PROT_WRITE << 1 == PTE_WRITE && PROT_EXEC << 1 == PTE_EXEC, "prot is three bits of an entry");

void *user_table_unmap(struct user_table *table, uint64_t address)
{
	uint64_t *entry = is_of_program(table, address) ? entry_find(table, address, false) : 0;
	void *page = entry && (*entry & PTE_VALID) ? page_of(*entry) : 0;
	if (page)
		*entry = 0;
	return page;
}

void *user_table_find(const struct user_table *table, uint64_t address, unsigned prot)
{
	uint64_t page = address & ~(PAGE_SIZE - 1), wanted = prot << 1 | PTE_USER | PTE_VALID;
	uint64_t *entry = is_of_program(table, page) ? entry_find(table, page, false) : 0;
	return entry && (*entry & wanted) == wanted ? (uint8_t *)page_of(*entry) + (address - page) : 0;
}

// Pages of programs alone: what is mapped for the library OS is not the table's.
static void level_end(const struct user_table *table, uint64_t *at, unsigned level)
{
	for (unsigned i = 0; i < ENTRIES; i++) {
		if (is_table(at[i]) && level > 0)
			level_end(table, page_of(at[i]), level - 1);
		else if ((at[i] & PTE_VALID) && (at[i] & PTE_USER))
			table->pages->give(page_of(at[i]));
	}
	table->pages->give(at);
}

void user_table_end(struct user_table *table)
{
	if (table->root)
		level_end(table, table->root, LEVELS - 1);
	table->root = 0;
}
