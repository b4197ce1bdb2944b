// Tables of programs: against a walk of our own by the book, and an array of what should be.
#include "abi/call.h"
#include "runtime/user_table.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define OWN 0x0c000000ul
#define SLOTS 40u
#define PTE_V 1ul
#define PTE_RWX 14ul
#define PTE_U 16ul
#define PTE_A 64ul
#define PTE_D 128ul

static int pages, pages_left;
static struct user_table table;

static void *page_take(void)
{
	if (pages_left == 0)
		return 0;
	pages_left--;
	pages++;
	return memset(aligned_alloc(PAGE_SIZE, PAGE_SIZE), 0, PAGE_SIZE);
}

static void page_give(void *page)
{
	pages--;
	free(page);
}

static const struct user_pages source = {page_take, page_give};

static int setup(void **state)
{
	(void)state;
	pages = 0;
	pages_left = 1 << 20;
	assert_int_equal(user_table_make(&table, OWN + 0x1234, &source), ERR_OK);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	user_table_end(&table);
	assert_int_equal(pages, 0);
	return 0;
}

// The leaf of that address by the Privileged Architecture's walk, 0: a page fault; *at: the physical address.
static uint64_t walk(uint64_t address, uint64_t *at)
{
	const uint64_t *level = table.root;
	for (int i = 2; i >= 0; i--) {
		uint64_t entry = level[address >> (12 + 9 * i) & 511], low = (1ul << (12 + 9 * i)) - 1, base = entry >> 10 << 12;
		if (!(entry & PTE_V))
			return 0;
		if (entry & PTE_RWX) {
			assert_int_equal(base & low, 0); // a superpage that is not aligned is a fault
			assert_true((entry & PTE_A) && (entry & PTE_D));
			assert_int_equal(entry >> 54, 0);
			*at = base | (address & low);
			return entry;
		}
		assert_int_equal(entry & (PTE_A | PTE_D | PTE_U), 0); // reserved in what is no leaf
		level = (const uint64_t *)base;
	}
	return 0;
}

static void the_library_os_finds_itself(void **state)
{
	(void)state;
	static const uint64_t own[] = {OWN, OWN + 0x1234, GPA_STARTUP, GPA_INFO, GPA_DOORBELL, GPA_STACK_TOP - 8, GPA_CHANNEL,
				       GPA_HEAP, GPA_HEAP_END - 1, GPA_GRANT, GPA_BOOT_IMAGE, GPA_END - 1};
	uint64_t at;
	for (unsigned i = 0; i < sizeof own / sizeof own[0]; i++) {
		uint64_t leaf = walk(own[i], &at);
		assert_true(leaf & PTE_V);
		assert_false(leaf & PTE_U);
		assert_true(at == own[i]);
		assert_int_equal((leaf & 8) != 0, own[i] < GPA_IMAGE_END); // text is in the window of images alone
		assert_null(user_table_find(&table, own[i], PROT_READ));
	}
	assert_int_equal(walk(0, &at) & (PTE_RWX | PTE_U), 8); // a jump to nowhere is the kernel's to see
	assert_int_equal(at, 0);
	assert_int_equal(walk(PAGE_SIZE, &at), 0);
	assert_int_equal(walk(OWN - 1, &at), 0);
	assert_int_equal(walk(GPA_END, &at), 0);
	assert_int_equal(walk(USER_END - 1, &at), 0);
	assert_int_equal(walk(USER_END, &at), 0); // the upper half is nobody's
}

static void what_is_no_programs_is_refused(void **state)
{
	(void)state;
	static const uint64_t wrong[] = {0, OWN, OWN - 1, GPA_HEAP, GPA_END - PAGE_SIZE, USER_END, ~0ul << 12, USER_HIGH + 1};
	void *page = page_take();
	for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		assert_int_equal(user_table_map(&table, wrong[i], page, PROT_READ), ERR_INVALID);
		assert_null(user_table_unmap(&table, wrong[i]));
	}
	assert_int_equal(user_table_map(&table, USER_LOW, page, PROT_WRITE), ERR_INVALID); // reserved by the architecture
	assert_int_equal(user_table_map(&table, USER_LOW, page, 0), ERR_INVALID);
	assert_int_equal(user_table_map(&table, USER_LOW, page, 8 | PROT_READ), ERR_INVALID);
	assert_int_equal(user_table_map(&table, USER_LOW, page, PROT_READ), ERR_OK);
	assert_int_equal(user_table_map(&table, USER_LOW, page, PROT_READ), ERR_EXISTS);
}

static void a_byte_is_found_as_it_may_be_used(void **state)
{
	(void)state;
	uint8_t *page = page_take();
	assert_int_equal(user_table_map(&table, USER_END - PAGE_SIZE, page, PROT_READ | PROT_EXEC), ERR_OK);
	assert_ptr_equal(user_table_find(&table, USER_END - 1, PROT_READ), page + PAGE_SIZE - 1);
	assert_ptr_equal(user_table_find(&table, USER_END - 5, PROT_EXEC), page + PAGE_SIZE - 5);
	assert_null(user_table_find(&table, USER_END - 1, PROT_WRITE));
	assert_null(user_table_find(&table, USER_END - PAGE_SIZE - 1, PROT_READ));
	assert_null(user_table_find(&table, ~0ul, PROT_READ));
}

static uint64_t random_next(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return *seed >> 33;
}

static uint64_t address_of(unsigned slot)
{
	static const uint64_t base[] = {USER_LOW, OWN - 10 * PAGE_SIZE, USER_HIGH, USER_END - 10 * PAGE_SIZE};
	return base[slot / 10] + slot % 10 * PAGE_SIZE * (slot / 10 == 2 ? 0x40201ul : 1); // of all levels
}

static void random_pages_are_where_they_were_put(void **state)
{
	(void)state;
	void *page[SLOTS] = {0};
	unsigned prot[SLOTS];
	uint64_t seed = 7, at;
	for (unsigned n = 0; n < 3000; n++) {
		unsigned slot = (unsigned)random_next(&seed) % SLOTS;
		if (page[slot]) {
			assert_ptr_equal(user_table_unmap(&table, address_of(slot)), page[slot]);
			page_give(page[slot]);
			page[slot] = 0;
		} else {
			page[slot] = page_take();
			prot[slot] = PROT_READ | ((unsigned)random_next(&seed) & (PROT_WRITE | PROT_EXEC));
			assert_int_equal(user_table_map(&table, address_of(slot), page[slot], prot[slot]), ERR_OK);
		}
		slot = (unsigned)random_next(&seed) % SLOTS;
		uint64_t leaf = walk(address_of(slot), &at);
		assert_int_equal(leaf & (PTE_RWX | PTE_U), page[slot] ? prot[slot] << 1 | PTE_U : 0);
		assert_true(!page[slot] || at == (uint64_t)page[slot]);
	}
}

// Wherever memory ends, nothing is mapped and nothing is lost.
static void memory_may_end_anywhere(void **state)
{
	(void)state;
	user_table_end(&table);
	void *page = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	for (int room = 0; room < 8; room++) {
		pages_left = room;
		enum error error = user_table_make(&table, OWN, &source);
		assert_int_equal(error, room < 3 ? ERR_NO_MEMORY : ERR_OK); // root, the first level, that of page 0
		if (error == ERR_OK) {
			error = user_table_map(&table, USER_HIGH, page, PROT_READ);
			assert_int_equal(error, room < 5 ? ERR_NO_MEMORY : ERR_OK);
			assert_ptr_equal(user_table_unmap(&table, USER_HIGH), error == ERR_OK ? page : 0);
		} else {
			assert_int_equal(pages, 0); // without being ended
		}
		user_table_end(&table);
		assert_int_equal(pages, 0);
	}
	free(page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_library_os_finds_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_no_programs_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_byte_is_found_as_it_may_be_used, setup, teardown),
		cmocka_unit_test_setup_teardown(random_pages_are_where_they_were_put, setup, teardown),
		cmocka_unit_test_setup_teardown(memory_may_end_anywhere, setup, teardown),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
