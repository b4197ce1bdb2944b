// The heap of a domain (kernel/call.c, kernel/domain.c), and what a reborn kernel makes of its record (kernel/adopt.c): blocks and their
// pieces are mapped, the page behind each of them is not, whoever frees what, and whoever dies. Real tables, real frames.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "kernel/riscv/csr.h"
#undef csr_read
#undef csr_write
#define csr_read(number) 0ul
#define csr_write(number, value) ((void)(value))
#define hfence_gvma_vmid(vmid) ((void)(vmid))
#define instruction_fence() ((void)0)
#define time_read() 0ul
#include "kernel/domain.c"
#include "kernel/call.c"
#include "kernel/adopt.c"

#define FRAMES 16384ul // 64 MiB
#define QUOTA 12000ul
#define ROUNDS 4000u

static struct core core;
static struct plan plan;
static struct info_page info;
static struct frame frame_table[FRAMES];
static uint8_t *memory;
static struct domain domain;
static uint64_t free_at_first, answered;
static uint64_t seed;

uint32_t mesh_number(struct core *of)
{
	return ++of->call_number;
}

void mesh_answer(struct core *of, struct origin origin, enum error error, const uint64_t value[5])
{
	assert_true(of == &core && origin.waits && error == ERR_OK);
	answered = value[0];
}

paddr_t trace_of_domain(const struct core *of, unsigned index)
{
	(void)of, (void)index;
	return 0;
}

static uint64_t chance(uint64_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (seed >> 33) % n;
}

static void frames_begin(void)
{
	frames_init(&core.frames, (paddr_t)memory, FRAMES, frame_table);
}

static int begin(void **state)
{
	(void)state;
	seed = 1;
	memory = memory ? memory : aligned_alloc(MEGAPAGE_SIZE, FRAMES * PAGE_SIZE);
	memset(memory, 0xa5, FRAMES * PAGE_SIZE);
	memset(&core, 0, sizeof(core));
	core.plan = &plan;
	core.info = &info;
	core.partition = (paddr_t)memory;
	frames_begin();
	frames_add(&core.frames, core.partition, FRAMES);
	memset(&domain, 0, sizeof(domain));
	domain_fill(&domain, &core, 3);
	domain.frames_quota = QUOTA;
	domain.state = DOMAIN_RUNNING;
	core.domains[3] = &domain;
	assert_int_equal(domain_root(&domain), ERR_OK);
	free_at_first = core.frames.free;
	return 0;
}

static enum error ask(uint64_t pages, uint64_t piece, uint64_t *gpa)
{
	const uint64_t arg[6] = {pages, piece};
	struct invocation c = {.core = &core, .caller = &domain, .arg = arg};
	domain.state = DOMAIN_RUNNING;
	enum error error = call_memory_alloc(&c);
	assert_int_equal(c.deferred, error == ERR_OK);
	while (domain.job.kind != JOB_NONE)
		domain_job_step(&domain);
	*gpa = answered;
	return error;
}

static uint64_t take(uint64_t pages, uint64_t piece)
{
	uint64_t gpa;
	assert_int_equal(ask(pages, piece, &gpa), ERR_OK);
	return gpa;
}

static void give(uint64_t gpa)
{
	const uint64_t arg[6] = {gpa};
	struct invocation c = {.core = &core, .caller = &domain, .arg = arg};
	assert_int_equal(call_memory_free(&c), ERR_OK);
}

static const struct heap_block *block_at(const struct domain *d, uint64_t gpa)
{
	for (unsigned i = 0; i < HEAP_MAX; i++)
		if (d->heap[i].pages && d->heap[i].gpa == gpa)
			return &d->heap[i];
	fail_msg("there is no block at %lx", (unsigned long)gpa);
	return 0;
}

static bool leads_nowhere(const struct domain *d, uint64_t gpa)
{
	return !table_lookup(&d->table, gpa, 0, 0);
}

// All its pages, in a row of frames, and none between its pieces, before or behind it.
static void check(const struct domain *d, uint64_t gpa, uint64_t pages, uint64_t piece)
{
	const struct heap_block *b = block_at(d, gpa);
	uint64_t at = gpa;
	assert_true(b->pages == pages && leads_nowhere(d, gpa - PAGE_SIZE));
	for (uint64_t i = 0; i < pages; i++, at += PAGE_SIZE) {
		paddr_t pa = 0;
		unsigned prot = 0;
		assert_true(table_lookup(&d->table, at, &pa, &prot) && prot == (PROT_READ | PROT_WRITE));
		assert_int_equal(pa, b->frames + i * PAGE_SIZE);
		if ((i + 1) % piece == 0) {
			at += PAGE_SIZE;
			assert_true(leads_nowhere(d, at));
		}
	}
}

static void check_all(const struct domain *d)
{
	for (unsigned i = 0; i < HEAP_MAX; i++)
		if (d->heap[i].pages)
			check(d, d->heap[i].gpa, d->heap[i].pages, d->heap[i].piece);
}

static void all_is_back(void)
{
	assert_int_equal(core.frames.free, free_at_first);
	assert_int_equal(domain.frames_used, DOMAIN_PAGES + ROOT_PAGES);
}

static void pieces_have_a_page_between_them(void **state)
{
	static const uint64_t shapes[][2] = {{1, 1}, {8, 8}, {16, 8}, {512, 8}, {64, 1}, {128, 2}, {192, 64}, {600, 60}};
	(void)state;
	uint64_t gpa[8];
	for (unsigned i = 0; i < 8; i++) {
		gpa[i] = take(shapes[i][0], shapes[i][1]);
		const struct heap_block *b = block_at(&domain, gpa[i]);
		for (uint64_t byte = 0; byte < b->pages * PAGE_SIZE; byte += 64)
			assert_int_equal(*(const uint64_t *)(b->frames + byte), 0);
	}
	for (unsigned i = 0; i < 8; i++)
		check(&domain, gpa[i], shapes[i][0], shapes[i][1]);
	for (unsigned i = 0; i < 8; i++) {
		give(gpa[i]);
		check_all(&domain);
	}
	for (uint64_t page = 0; page < FRAMES; page++)
		assert_true(leads_nowhere(&domain, GPA_HEAP + page * PAGE_SIZE));
	all_is_back();
}

static void a_block_without_pieces_is_one(void **state)
{
	(void)state;
	uint64_t gpa = take(1024, 0), behind = take(1, 0);
	check(&domain, gpa, 1024, 1024);
	assert_int_equal(gpa % MEGAPAGE_SIZE, 0);
	assert_true(behind < gpa || behind >= gpa + 1025 * PAGE_SIZE);
	give(gpa);
	give(behind);
	all_is_back();
}

static void nonsense_is_refused(void **state)
{
	static const uint64_t shapes[][2] = {{0, 0}, {0, 1}, {8, 3}, {8, 16}, {8, ~0ul}, {8, 1ul << 32 | 8}, {65, 1}, {130, 2}, {130, 65}, {1024, 512}, {~0ul, 0},
					     {~0ul, ~0ul}, {1ul << 52, 1ul << 46}, {1ul << 18, 0}, {1ul << 18, 1ul << 12},
					     {(1ul << 18) - 1, 0x3ffff / 3}};
	(void)state;
	uint64_t gpa;
	for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		assert_int_equal(ask(shapes[i][0], shapes[i][1], &gpa), ERR_INVALID);
	assert_int_equal(ask(QUOTA, 0, &gpa), ERR_QUOTA);
	all_is_back();
}

// However many of the tables there are frames for: what fails has mapped nothing.
static void what_fails_leaves_nothing(void **state)
{
	uint64_t gpa;
	(void)state;
	for (uint64_t left = 512; left < 517; left++) {
		domain.frames_quota = domain.frames_used + left;
		enum error error = ask(512, 8, &gpa);
		assert_int_equal(error, left < 515 ? ERR_QUOTA : ERR_OK); // 576 pages: two tables, and the one above
		if (error == ERR_OK)
			give(gpa);
		for (uint64_t page = 0; page < 600; page++)
			assert_true(leads_nowhere(&domain, GPA_HEAP + page * PAGE_SIZE));
		all_is_back();
	}
}

static void many_come_and_go(void **state)
{
	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct heap_block *b = &domain.heap[chance(HEAP_MAX)];
		uint64_t pieces = 1 + chance(HEAP_PIECES), piece = 1 + chance(20), gpa;
		if (b->pages)
			give(b->gpa);
		else
			(void)ask(pieces * piece, chance(4) ? piece : 0, &gpa);
		if (round % 16 == 0)
			check_all(&domain);
	}
	heap_free(&domain);
	all_is_back();
}

// The tables are gone, and who had which frame.
static bool reborn(void)
{
	frames_begin();
	memset(&fresh, 0, sizeof(fresh));
	domain_fill(&fresh, &core, 3);
	fresh.frames_quota = QUOTA;
	fresh.state = DOMAIN_CREATED;
	if (!heap_claim(&domain))
		return false;
	frames_add_rest(&core.frames, (paddr_t)memory);
	return tables_make(&fresh);
}

static void a_reborn_kernel_leaves_them_again(void **state)
{
	(void)state;
	uint64_t stacks = take(512, 8), other = take(3, 0), small = take(128, 2);
	memset((void *)block_at(&domain, stacks)->frames, 0x77, 512 * PAGE_SIZE);
	assert_true(reborn());
	check(&fresh, stacks, 512, 8);
	check(&fresh, other, 3, 3);
	check(&fresh, small, 128, 2);
	assert_int_equal(*(const uint8_t *)(block_at(&fresh, stacks)->frames + 511 * PAGE_SIZE), 0x77);
	domain = fresh;
	domain.table.context = &domain;
	give(stacks);
	give(small);
	give(other);
	all_is_back();
}

static void a_reborn_kernel_believes_no_nonsense(void **state)
{
	static const struct heap_block wrong[] = {
		{.pages = 512, .piece = 0}, {.pages = 512, .piece = 7}, {.pages = 512, .piece = 1024}, {.pages = 512, .piece = 4},
		{.pages = 512, .piece = 512, .span = 513}, {.pages = 512, .piece = 8, .span = 577}, {.pages = 512, .piece = 512}, {.pages = 0, .piece = 8}, {.pages = 0, .piece = 0}, {.pages = ~0u, .piece = 1u << 31}, {.pages = 1ul << 18, .piece = 1u << 18},
		{.pages = 512, .piece = 8, .gpa = GPA_HEAP_END - 575 * PAGE_SIZE}, {.pages = 512, .piece = 8, .gpa = GPA_HEAP - PAGE_SIZE},
		{.pages = 512, .piece = 8, .gpa = GPA_HEAP + 8}, {.pages = 512, .piece = 8, .gpa = ~0ul << 12}};
	(void)state;
	struct heap_block *b = (struct heap_block *)(uintptr_t)block_at(&domain, take(512, 8)), right = *b;
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		*b = wrong[i];
		b->gpa = b->gpa ? b->gpa : right.gpa;
		b->frames = right.frames;
		b->span = b->span ? b->span : right.span;
		assert_int_equal(reborn(), i == 4); // which is one that there can be
	}
	*b = right;
	b->gpa = GPA_HEAP_END - 576 * PAGE_SIZE;
	assert_true(reborn());
	check(&fresh, b->gpa, 512, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(pieces_have_a_page_between_them, begin),
		cmocka_unit_test_setup(a_block_without_pieces_is_one, begin),
		cmocka_unit_test_setup(nonsense_is_refused, begin),
		cmocka_unit_test_setup(what_fails_leaves_nothing, begin),
		cmocka_unit_test_setup(many_come_and_go, begin),
		cmocka_unit_test_setup(a_reborn_kernel_leaves_them_again, begin),
		cmocka_unit_test_setup(a_reborn_kernel_believes_no_nonsense, begin),
	};
	int failed = cmocka_run_group_tests(tests, 0, 0);
	free(memory);
	return failed;
}
