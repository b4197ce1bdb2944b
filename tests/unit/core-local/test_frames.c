// Frame allocator: alignment, exact owners, complete coalescing, runs over several blocks, breaches.
#include "check.h"
#include "core-local/frames.h"

#define BASE 0x80203000ull // not aligned to anything large
#define COUNT 5000ull
#define PAGE 4096ull

static struct frames frames;
static struct frame *table;

static int setup(void **state)
{
	(void)state;
	table = malloc(COUNT * sizeof(*table));
	frames_init(&frames, BASE, COUNT, table);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(table);
	return 0;
}

// Owner of the frame that holds `p`; 0 when it is free, reserved, quarantined or not of this partition.
static uint16_t frames_owner(const struct frames *f, paddr_t p)
{
	uint64_t i = (p - f->base) / PAGE;
	return p >= f->base && i < f->count ? f->table[i].owner : 0;
}

// Blocks of each order, as numbers: equal before and after means that all was merged again.
static void count_blocks(unsigned counts[FRAME_ORDERS])
{
	uint64_t sum = 0;

	for (unsigned order = 0; order < FRAME_ORDERS; order++) {
		counts[order] = 0;
		for (uint32_t i = frames.lists[order]; i != FRAME_NONE; i = table[i].next) {
			assert_int_equal(table[i].state, FRAME_FREE_HEAD);
			assert_int_equal(table[i].order, order);
			assert_int_equal((BASE / PAGE + i) % (1ull << order), 0);
			counts[order]++;
			sum += 1ull << order;
		}
	}
	assert_int_equal(sum, frames.free);
}

static void reserved_at_first(void **state)
{
	(void)state;
	assert_int_equal(frames.free, 0);
	assert_int_equal(frames_alloc(&frames, 1, 1), 0);
	assert_int_equal(frames_table_bytes(1), PAGE);
	assert_int_equal(frames_table_bytes(4096), 12 * PAGE);
}

static void alignment_and_tail(void **state)
{
	(void)state;
	frames_add(&frames, BASE, COUNT);
	paddr_t small = frames_alloc(&frames, 5, 7);
	assert_int_equal(small % (8 * PAGE), 0);
	assert_int_equal(frames.free, COUNT - 5);
	assert_int_equal(frames_owner(&frames, small + 4 * PAGE + 99), 7);
	assert_int_equal(frames_owner(&frames, small + 5 * PAGE), 0);
	paddr_t large = frames_alloc(&frames, 600, 8);
	assert_int_equal(large % 0x200000, 0);
	assert_int_equal(frames.free, COUNT - 605);
	paddr_t root = frames_alloc_aligned(&frames, 1, 1024, 9);
	assert_int_equal(root % (1024 * PAGE), 0);
	assert_int_equal(frames_owner(&frames, BASE - 1), 0);
	assert_int_equal(frames_owner(&frames, BASE + COUNT * PAGE), 0);
	assert_int_equal(frames_owner(&frames, UINT64_MAX), 0);
}

// 1500 pages fit, but no block of 2048 is free: the run spans blocks.
static void run_over_several_blocks(void **state)
{
	unsigned before[FRAME_ORDERS], after[FRAME_ORDERS];

	(void)state;
	frames_add(&frames, 0x80400000, 1536); // 1024 at 0x80400000, 512 behind
	count_blocks(before);
	assert_int_equal(frames_alloc(&frames, 1537, 1), 0);
	paddr_t run = frames_alloc(&frames, 1500, 3);
	assert_int_equal(run, 0x80400000);
	assert_int_equal(frames.free, 36);
	assert_int_equal(frames_owner(&frames, run + 1499 * PAGE), 3);
	assert_int_equal(frames_owner(&frames, run + 1500 * PAGE), 0);
	frames_free(&frames, run, 1500, 3);
	count_blocks(after);
	assert_memory_equal(before, after, sizeof(before));
}

// The aligned start lies in the middle of what is free.
static void run_needs_alignment(void **state)
{
	(void)state;
	frames_add(&frames, 0x80300000, 256 + 512 + 256);
	assert_int_equal(frames_alloc(&frames, 700, 3), 0x80400000);
	assert_int_equal(frames.free, 1024 - 700);
	assert_int_equal(frames_owner(&frames, 0x803ff000), 0);
}

static void quarantine_is_for_ever(void **state)
{
	(void)state;
	frames_add(&frames, BASE, COUNT);
	paddr_t p = frames_alloc(&frames, 8, 5);
	frames_quarantine(&frames, p + 2 * PAGE, 3, 5);
	assert_int_equal(frames_owner(&frames, p + 2 * PAGE), 0);
	assert_int_equal(frames_owner(&frames, p + 5 * PAGE), 5);
	frames_free(&frames, p, 2, 5);
	frames_free(&frames, p + 5 * PAGE, 3, 5);
	assert_int_equal(frames.quarantined, 3);
	assert_int_equal(frames.free, COUNT - 3);
	while (frames_alloc(&frames, 1, 6)) {
	}
	assert_int_equal(frames.free, 0);
	assert_int_equal(frames_owner(&frames, p + 2 * PAGE), 0);
	assert_int_equal(frames_owner(&frames, p + 4 * PAGE), 0);
}

// A reborn kernel: what a former life used is claimed first, the rest becomes free.
static void claimed_before_the_rest_is_free(void **state)
{
	(void)state;
	assert_true(frames_claim(&frames, BASE + 10 * PAGE, 5, 7));
	assert_false(frames_claim(&frames, BASE + 14 * PAGE, 2, 8)); // nobody's twice, and nothing of it
	assert_int_equal(frames_owner(&frames, BASE + 15 * PAGE), 0);
	assert_false(frames_claim(&frames, BASE + 20 * PAGE + 1, 1, 8));
	assert_false(frames_claim(&frames, BASE + 20 * PAGE, 0, 8));
	assert_false(frames_claim(&frames, BASE - PAGE, 2, 8));
	assert_false(frames_claim(&frames, BASE + (COUNT - 1) * PAGE, 2, 8));
	assert_false(frames_claim(&frames, BASE + PAGE, ~0ull, 8));
	assert_true(frames_claim(&frames, BASE + (COUNT - 1) * PAGE, 1, 9));
	frames_add_rest(&frames, BASE + 3 * PAGE);
	assert_int_equal(frames.free, COUNT - 3 - 5 - 1);
	assert_false(frames_claim(&frames, BASE + 30 * PAGE, 1, 8)); // too late
	frames_free(&frames, BASE + 10 * PAGE, 5, 7);
	frames_free(&frames, BASE + (COUNT - 1) * PAGE, 1, 9);
	assert_int_equal(frames.free, COUNT - 3);
	unsigned counts[FRAME_ORDERS];
	count_blocks(counts);
	while (frames_alloc(&frames, 1, 6)) {
	}
	assert_int_equal(frames_owner(&frames, BASE + 2 * PAGE), 0); // below the start nothing was freed
}

#define HELD 200

struct run {
	paddr_t base;
	uint64_t pages;
	uint16_t owner;
};

static void check_owners(const struct run *runs)
{
	uint64_t held = 0;

	for (int i = 0; i < HELD; i++) {
		held += runs[i].pages;
		for (uint64_t p = 0; p < runs[i].pages; p++)
			assert_int_equal(frames_owner(&frames, runs[i].base + p * PAGE), runs[i].owner);
	}
	assert_int_equal(frames.free + held, COUNT);
}

static void random_history_coalesces(void **state)
{
	static struct run runs[HELD];
	unsigned before[FRAME_ORDERS], after[FRAME_ORDERS];
	uint64_t seed = 42;

	(void)state;
	frames_add(&frames, BASE, COUNT);
	count_blocks(before);
	for (int step = 0; step < 20000; step++) {
		struct run *r = &runs[check_random(&seed) % HELD];
		if (r->pages) {
			uint64_t part = 1 + check_random(&seed) % r->pages; // from the front, some of it
			frames_free(&frames, r->base, part, r->owner);
			r->base += part * PAGE;
			r->pages -= part;
		} else {
			uint64_t pages = 1 + check_random(&seed) % (step % 50 == 0 ? 1500 : 40);
			uint16_t owner = (uint16_t)(1 + check_random(&seed) % 0xfffe);
			paddr_t base = frames_alloc(&frames, pages, owner);
			if (base)
				*r = (struct run){ base, pages, owner };
		}
		if (step % 500 == 0)
			check_owners(runs);
	}
	for (int i = 0; i < HELD; i++)
		if (runs[i].pages)
			frames_free(&frames, runs[i].base, runs[i].pages, runs[i].owner);
	assert_int_equal(frames.free, COUNT);
	count_blocks(after);
	assert_memory_equal(before, after, sizeof(before));
}

static void free_of_another(void *p)
{
	frames_free(&frames, (paddr_t)(uintptr_t)p, 2, 4);
}

static void free_twice(void *p)
{
	frames_free(&frames, (paddr_t)(uintptr_t)p, 2, 3);
	frames_free(&frames, (paddr_t)(uintptr_t)p, 2, 3);
}

static void add_outside(void *p)
{
	(void)p;
	frames_add(&frames, BASE + (COUNT - 1) * PAGE, 2);
}

static void add_twice(void *p)
{
	(void)p;
	frames_add(&frames, 0x80400000 + PAGE, 1); // inside of a free block
}

static void breaches_are_asserts(void **state)
{
	(void)state;
	assert_true(check_dies(add_outside, 0));
	frames_add(&frames, BASE, COUNT);
	void *p = (void *)(uintptr_t)frames_alloc(&frames, 2, 3);
	assert_true(check_dies(free_of_another, p));
	assert_true(check_dies(free_twice, p));
	assert_true(check_dies(add_twice, p));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reserved_at_first, setup, teardown),
		cmocka_unit_test_setup_teardown(alignment_and_tail, setup, teardown),
		cmocka_unit_test_setup_teardown(run_over_several_blocks, setup, teardown),
		cmocka_unit_test_setup_teardown(run_needs_alignment, setup, teardown),
		cmocka_unit_test_setup_teardown(quarantine_is_for_ever, setup, teardown),
		cmocka_unit_test_setup_teardown(claimed_before_the_rest_is_free, setup, teardown),
		cmocka_unit_test_setup_teardown(random_history_coalesces, setup, teardown),
		cmocka_unit_test_setup_teardown(breaches_are_asserts, setup, teardown),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
