// Page tables: entry bits, leaf sizes, all or nothing, pruning, destruction, against an array of what should be.
#include "check.h"
#include "core-local/gstage.h"

#define MEGA 0x200000ull
#define GIGA 0x40000000ull
#define PA 0x80000000ull
#define ROOT_GSTAGE 2048
#define ROOT 512

static int tables, tables_left;
static struct page_table gstage, plain;

static paddr_t test_alloc(void *context)
{
	(void)context;
	if (tables_left == 0)
		return 0;
	tables_left--;
	tables++;
	void *table = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	memset(table, 0xa5, PAGE_SIZE);
	return (paddr_t)table;
}

static void test_release(void *context, paddr_t table)
{
	(void)context;
	tables--;
	free((void *)table);
}

static void make(struct page_table *t, bool is_gstage)
{
	size_t bytes = (is_gstage ? ROOT_GSTAGE : ROOT) * 8;

	*t = (struct page_table){ aligned_alloc(bytes, bytes), is_gstage, test_alloc, test_release, 0, false };
	memset(t->root, 0, bytes);
}

static int setup(void **state)
{
	(void)state;
	tables = 0;
	tables_left = 1000;
	make(&gstage, true);
	make(&plain, false);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	table_unmap(&gstage, 0, 1ull << 41); // whatever a test has left there
	table_unmap(&plain, 0, 1ull << 38);
	bool clean = tables == 0;
	for (unsigned i = 0; i < ROOT_GSTAGE; i++)
		clean = clean && gstage.root[i] == 0;
	free(gstage.root);
	free(plain.root);
	return clean ? 0 : -1;
}

static uint64_t *below(uint64_t entry)
{
	assert_int_equal(entry & 0x3ff, 1); // a pointer: V alone
	return (uint64_t *)(entry >> 10 << 12);
}

static void expect_at(struct page_table *t, uint64_t va, paddr_t wanted, unsigned wanted_prot)
{
	paddr_t pa = 0;
	unsigned prot = 0;

	assert_true(table_lookup(t, va, &pa, &prot));
	assert_int_equal(pa, wanted);
	assert_int_equal(prot, wanted_prot);
}

static void entry_bits(void **state)
{
	uint64_t va = 0x1ffc0201000; // in the last GiB of 2^41

	(void)state;
	assert_int_equal(table_map(&gstage, va, PA + 0x5000, 4096, PROT_READ | PROT_WRITE), ERR_OK);
	assert_int_equal(tables, 2);
	uint64_t leaf = below(below(gstage.root[2047])[1])[1];
	assert_int_equal(leaf, (PA + 0x5000) >> 12 << 10 | 0xd7); // D A U W R V
	assert_int_equal(table_map(&gstage, 2 * MEGA, PA, MEGA, PROT_READ | PROT_EXEC), ERR_OK);
	assert_int_equal(below(gstage.root[0])[2], PA >> 12 << 10 | 0xdb); // D A U X R V
	assert_int_equal(table_map(&plain, PA, PA, MEGA, PROT_READ | PROT_WRITE), ERR_OK);
	assert_int_equal(below(plain.root[2])[0], PA >> 12 << 10 | 0xc7); // D A W R V
	expect_at(&gstage, va + 0x123, PA + 0x5123, PROT_READ | PROT_WRITE);
	expect_at(&gstage, 2 * MEGA + 0x12345, PA + 0x12345, PROT_READ | PROT_EXEC);
	assert_true(table_lookup(&gstage, va, 0, 0));
	assert_false(table_lookup(&gstage, va - 1, 0, 0));
	assert_false(table_lookup(&gstage, 4 * MEGA, 0, 0));
	assert_false(table_lookup(&gstage, 1ull << 41, 0, 0));
	assert_false(table_lookup(&plain, 1ull << 38, 0, 0));
}

// 1 page + 2 MiB + 3 pages: small, large, small leaves in three tables below one.
static void leaf_sizes(void **state)
{
	(void)state;
	uint64_t va = GIGA + MEGA - 4096, bytes = 4096 + MEGA + 3 * 4096;
	assert_int_equal(table_map(&gstage, va, PA + MEGA - 4096, bytes, PROT_READ), ERR_OK);
	assert_int_equal(tables, 3);
	uint64_t *middle = below(gstage.root[1]);
	assert_int_equal(middle[1] & 0x3ff, 0xd3);
	expect_at(&gstage, va + bytes - 1, PA + MEGA - 4096 + bytes - 1, PROT_READ);
	assert_false(table_lookup(&gstage, va + bytes, 0, 0));
	table_unmap(&gstage, va, bytes);
	assert_int_equal(tables, 0);
	assert_int_equal(gstage.root[1], 0);
	// not aligned to each other: small leaves only
	assert_int_equal(table_map(&gstage, 0, PA + 4096, MEGA, PROT_READ), ERR_OK);
	assert_int_equal(below(below(gstage.root[0])[0])[511], (PA + MEGA) >> 12 << 10 | 0xd3);
}

static void arguments(void **state)
{
	const unsigned bad_prots[] = { 0, PROT_WRITE, PROT_EXEC, PROT_READ | 8, PROT_READ | 16 };
	(void)state;
	assert_int_equal(table_map(&plain, 0, PA, 4096, PROT_READ | 8), ERR_INVALID);
	assert_int_equal(table_map(&gstage, 1, PA, 4096, PROT_READ), ERR_INVALID);
	assert_int_equal(table_map(&gstage, 0, PA + 1, 4096, PROT_READ), ERR_INVALID);
	assert_int_equal(table_map(&gstage, 0, PA, 4095, PROT_READ), ERR_INVALID);
	assert_int_equal(table_map(&gstage, 0, PA, 0, PROT_READ), ERR_INVALID);
	assert_int_equal(table_map(&gstage, (1ull << 41) - 4096, PA, 8192, PROT_READ), ERR_INVALID);
	assert_int_equal(table_map(&gstage, 1ull << 41, PA, 4096, PROT_READ), ERR_INVALID);
	assert_int_equal(table_map(&gstage, 4096, PA, -4096ull, PROT_READ), ERR_INVALID);
	assert_int_equal(table_map(&gstage, 0, 1ull << 56, 4096, PROT_READ), ERR_INVALID);
	assert_int_equal(table_map(&gstage, 0, (1ull << 56) - 4096, 8192, PROT_READ), ERR_INVALID);
	assert_int_equal(table_map(&plain, (1ull << 38) - 4096, PA, 8192, PROT_READ), ERR_INVALID);
	for (unsigned i = 0; i < sizeof(bad_prots) / sizeof(bad_prots[0]); i++)
		assert_int_equal(table_map(&gstage, 0, PA, 4096, bad_prots[i]), ERR_INVALID);
	assert_int_equal(tables, 0);
}

static void overlap_changes_nothing(void **state)
{
	(void)state;
	assert_int_equal(table_map(&gstage, 3 * MEGA - 4096, PA, 4096, PROT_READ), ERR_OK);
	assert_int_equal(table_map(&gstage, 5 * MEGA, PA, MEGA, PROT_READ), ERR_OK);
	int before = tables;
	assert_int_equal(table_map(&gstage, MEGA, PA, 2 * MEGA, PROT_READ), ERR_EXISTS); // 2 MiB over a table
	assert_int_equal(table_map(&gstage, 5 * MEGA + 4096, PA, 4096, PROT_READ), ERR_EXISTS); // inside of a leaf
	assert_int_equal(table_map(&gstage, 4 * MEGA, PA + 4096, MEGA + 4096, PROT_READ), ERR_EXISTS);
	assert_int_equal(tables, before);
	assert_false(table_lookup(&gstage, MEGA, 0, 0));
	assert_false(table_lookup(&gstage, 4 * MEGA, 0, 0));
}

static void no_memory_changes_nothing(void **state)
{
	uint64_t va = GIGA - 4096, bytes = 4096 + MEGA + 4096; // needs 4 tables: 2 on each side of 1 GiB

	(void)state;
	for (int left = 0; left < 4; left++) {
		tables_left = left;
		assert_int_equal(table_map(&gstage, va, PA - 4096, bytes, PROT_READ), ERR_NO_MEMORY);
		assert_int_equal(tables, 0);
		assert_int_equal(gstage.root[0] | gstage.root[1], 0);
	}
	tables_left = 4;
	assert_int_equal(table_map(&gstage, va, PA - 4096, bytes, PROT_READ), ERR_OK);
	assert_int_equal(tables, 4);
	assert_int_equal(tables_left, 0);
}

static void cut_a_large_leaf(void *context)
{
	(void)context;
	table_unmap(&gstage, MEGA, 4096);
}

static void large_leaf_is_never_split(void **state)
{
	(void)state;
	assert_int_equal(table_map(&gstage, MEGA, PA, MEGA, PROT_READ), ERR_OK);
	assert_true(check_dies(cut_a_large_leaf, 0));
	table_unmap(&gstage, 0, 4 * GIGA); // holes are no matter
	assert_int_equal(tables, 0);
}

#define WINDOW 1536 // pages: 6 MiB across a GiB boundary

static void random_history_against_array(void **state)
{
	static paddr_t wanted[WINDOW];
	const uint64_t start = GIGA - 2 * MEGA;
	uint64_t seed = 11;

	(void)state;
	memset(wanted, 0, sizeof(wanted));
	for (int step = 0; step < 3000; step++) {
		uint64_t first = check_random(&seed) % WINDOW;
		uint64_t pages = 1 + check_random(&seed) % (step % 3 ? 8 : WINDOW - first);
		pages = pages < WINDOW - first ? pages : WINDOW - first;
		paddr_t pa = PA + (1 + check_random(&seed) % 1000) * 4096; // never so that large leaves come about
		bool taken = false;
		for (uint64_t i = first; i < first + pages; i++)
			taken = taken || wanted[i];
		if (step % 2) {
			table_unmap(&gstage, start + first * 4096, pages * 4096);
			memset(&wanted[first], 0, pages * sizeof(wanted[0]));
		} else {
			pa += (pa - start - first * 4096) % MEGA == 0 ? 4096 : 0;
			enum error error = table_map(&gstage, start + first * 4096, pa, pages * 4096, PROT_READ);
			assert_int_equal(error, taken ? ERR_EXISTS : ERR_OK);
			for (uint64_t i = 0; !taken && i < pages; i++)
				wanted[first + i] = pa + i * 4096;
		}
		bool any = false;
		for (uint64_t i = 0; i < WINDOW; i++) {
			paddr_t is = 0;
			assert_int_equal(table_lookup(&gstage, start + i * 4096, &is, 0), wanted[i] != 0);
			assert_int_equal(is, wanted[i]);
			any = any || wanted[i];
		}
		assert_true(tables <= 5 && (tables == 0) == !any);
		tables_left = 1000;
	}
}

// Emptied ranges keep their tables when they shall, and the next mapping finds them; then they go.
static void kept_tables(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 3; n++) {
		assert_int_equal(table_map(&gstage, GIGA + MEGA, PA, 16 * 4096, PROT_READ), ERR_OK);
		assert_int_equal(tables, 2);
		for (unsigned i = 0; i < 16; i++)
			expect_at(&gstage, GIGA + MEGA + i * 4096, PA + i * 4096, PROT_READ);
		assert_false(table_lookup(&gstage, GIGA + MEGA + 16 * 4096, 0, 0));
		gstage.keep = true;
		table_unmap(&gstage, GIGA + MEGA, 16 * 4096);
		gstage.keep = false;
		assert_int_equal(tables, 2);
		for (unsigned i = 0; i < 16; i++)
			assert_false(table_lookup(&gstage, GIGA + MEGA + i * 4096, 0, 0));
		tables_left = 0; // none is needed
	}
	table_unmap(&gstage, GIGA, 2 * MEGA);
	assert_int_equal(tables, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(entry_bits, setup, teardown),
		cmocka_unit_test_setup_teardown(leaf_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(arguments, setup, teardown),
		cmocka_unit_test_setup_teardown(overlap_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(no_memory_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(large_leaf_is_never_split, setup, teardown),
		cmocka_unit_test_setup_teardown(random_history_against_array, setup, teardown),
		cmocka_unit_test_setup_teardown(kept_tables, setup, teardown),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
