// Tests of kernel calls: arguments, handles, rights, windows.
#include "apps/kernel_test/test.h"

#define RW (PROT_READ | PROT_WRITE)

static void plain_is_denied(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child c;
		CHECK(child_run(&c, core, "denied", 0));
		CHECK(child_exits(&c, 0));
		CHECK(child_destroy(&c));
	}
}

static void own_calls_validate(void)
{
	struct child c, unfiled;
	CHECK(child_run(&c, test_cores - 1, "own", 0));
	CHECK(child_run_as(&unfiled, 0, "own", 0, 1, DOMAIN_FLAG_NO_FILE));
	CHECK(child_exits(&c, 0));
	CHECK(child_exits(&unfiled, 0));
}

static void self_says_who(void)
{
	struct kernel_result r = kcall(CALL_self);
	EQUAL(r.error, ERR_OK);
	EQUAL(r.value[0], 0);
	EQUAL(r.value[2], 1);
	EQUAL(r.value[3], 0);
	EQUAL(machine_info(0)->running_domain, r.value[1]);
}

// The registers that a call does not name are kept; the results that it does not name are 0.
static void results_are_clean(void)
{
	struct kernel_result r = kernel_call(CALL_yield, 1, 2, 3, 4, 5, 6);
	EQUAL(r.error, ERR_OK);
	for (unsigned i = 0; i < 5; i++)
		EQUAL(r.value[i], 0);
	r = kernel_call(CALL_COUNT, 1, 2, 3, 4, 5, 6);
	EQUAL(r.error, ERR_UNKNOWN_CALL);
	for (unsigned i = 0; i < 5; i++)
		EQUAL(r.value[i], 0);
}

static void handles_forged(void)
{
	struct child c;
	CHECK(child_create(&c, test_cores - 1, "exit", 0, 1, 0));
	const uint64_t forged[] = {0, 1, 0xffff, ~0ul, c.handle + 1, c.handle + 0x10000, c.handle & 0xffff, c.handle << 16};
	for (unsigned i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
		FAILS(ERR_HANDLE, CALL_domain_status, forged[i], 0);
		FAILS(ERR_HANDLE, CALL_domain_start, forged[i], 0, 0);
		FAILS(ERR_HANDLE, CALL_domain_destroy, forged[i]);
		FAILS(ERR_HANDLE, CALL_domain_stop, forged[i], FAULT_KILLED);
		FAILS(ERR_HANDLE, CALL_interrupt_bind, forged[i], 0, 0);
	}
}

// A handle of a dead domain stays dead when its place and its number on the core are used again.
static void handles_stale(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child c, again;
		CHECK(child_create(&c, core, "exit", 0, 1, 0));
		uint64_t stale = c.handle;
		unsigned place = c.domain;
		CHECK(child_destroy(&c));
		FAILS(ERR_HANDLE, CALL_domain_status, stale, 0);
		FAILS(ERR_HANDLE, CALL_domain_destroy, stale);
		CHECK(child_create(&again, core, "exit", 0, 1, 0));
		EQUAL(again.domain, place);
		FAILS(ERR_HANDLE, CALL_domain_status, stale, 0);
		WORKS(CALL_domain_status, again.handle, 0);
	}
}

static void create_validates(void)
{
	const uint64_t name = partner_word("exit");
	for (unsigned core = 0; core < test_cores; core++) {
		FAILS(ERR_INVALID, CALL_domain_create, core, name, 0, 0, 1ul << 32);
		FAILS(ERR_INVALID, CALL_domain_create, core, name, 0, 1, 1ul << 32);
		FAILS(ERR_INVALID, CALL_domain_create, core, name, 0, 100, 8ul << 32);
		struct kernel_result r = kcall(CALL_domain_create, core, name, 0, 13, 1ul << 32);
		CHECK(r.error == ERR_QUOTA || r.error == ERR_INVALID || r.error == ERR_OK);
		if (r.error == ERR_OK)
			WORKS(CALL_domain_destroy, r.value[0]);
	}
	FAILS(ERR_INVALID, CALL_domain_create, test_cores, name, 0, 100, 1ul << 32);
	FAILS(ERR_INVALID, CALL_domain_create, ~0ul, name, 0, 100, 1ul << 32);
	FAILS(ERR_INVALID, CALL_core_ping, test_cores);
	FAILS(ERR_INVALID, CALL_core_crash, test_cores, CORE_CRASH_PANIC, 0, CALL_EARNEST);
	FAILS(ERR_INVALID, CALL_core_crash, test_cores - 1, CORE_CRASH_KINDS, 0, CALL_EARNEST);
	FAILS(ERR_INVALID, CALL_core_crash, test_cores - 1, CORE_CRASH_PANIC, DOOM_STEPS, CALL_EARNEST);
	for (unsigned core = 0; core < test_cores; core++) // a slip is not meant in earnest
		FAILS(ERR_INVALID, CALL_core_crash, core, CORE_CRASH_PANIC);
	FAILS(ERR_INVALID, CALL_power, 0, 0);
	FAILS(ERR_INVALID, CALL_power, 2, 0, CALL_EARNEST);
	FAILS(ERR_INVALID, CALL_core_reboot, test_cores);
	FAILS(ERR_INVALID, CALL_core_reboot, 0); // this one
	FAILS(ERR_INVALID, CALL_memory_count, 1ul << 32);
	FAILS(ERR_INVALID, CALL_core_log, ~0ul, 0);
}

// Whoever says that a kernel is silent is not believed when that kernel answers, however often it is said.
static void reboot_asks(void)
{
	for (unsigned n = 0; n < 50; n++)
		for (unsigned core = 1; core < test_cores; core++)
			FAILS(ERR_ALIVE, CALL_core_reboot, core);
	for (unsigned core = 0; core < test_cores; core++)
		EQUAL(kcall(CALL_core_ping, core).value[0], 1);
}

static void open_adopts(void)
{
	struct child c;
	CHECK(child_run(&c, test_cores - 1, "spin", 0));
	struct kernel_result r = kcall(CALL_domain_open, c.core, c.domain);
	EQUAL(r.error, ERR_OK);
	EQUAL(r.value[0], c.handle);
	EQUAL(r.value[1], 1);
	FAILS(ERR_NOT_FOUND, CALL_domain_open, c.core, DOMAIN_MAX);
	FAILS(ERR_NOT_FOUND, CALL_domain_open, c.core, ~0ul);
	FAILS(ERR_NOT_FOUND, CALL_domain_open, c.core, DOMAIN_MAX - 1);
	FAILS(ERR_INVALID, CALL_domain_open, test_cores, 0);
}

static enum error load(const struct child *c, uint64_t gpa, uint64_t pages, uint64_t prot, uint64_t offset, uint64_t length)
{
	return kcall(CALL_domain_load, c->handle, gpa, pages << 8 | prot, offset, length).error;
}

static void load_windows(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child c;
		CHECK(child_create(&c, core, "exit", 0, 1, 0));
		const uint64_t outside[] = {0, PAGE_SIZE, GPA_IMAGE - PAGE_SIZE, GPA_IMAGE_END, GPA_INFO, GPA_DOORBELL,
					    GPA_DEVICE, GPA_STACK_TOP, GPA_CHANNEL, GPA_HEAP, GPA_BOOT_IMAGE, 1ul << 41, ~0xffful};
		for (unsigned i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
			EQUAL(load(&c, outside[i], 1, RW, 0, 0), ERR_INVALID);
		EQUAL(load(&c, GPA_IMAGE + 1, 1, RW, 0, 0), ERR_INVALID);
		EQUAL(load(&c, GPA_IMAGE, 1, 0, 0, 0), ERR_INVALID);
		EQUAL(load(&c, GPA_IMAGE, 1, 8 | RW, 0, 0), ERR_INVALID);
		EQUAL(load(&c, GPA_IMAGE, 1, PROT_WRITE | PROT_EXEC, 0, 0), ERR_INVALID);
		EQUAL(load(&c, GPA_IMAGE, 1, RW | PROT_EXEC, 0, 0), ERR_INVALID);
		EQUAL(load(&c, GPA_IMAGE, 1, RW, ~0ul, 1), ERR_INVALID);
		EQUAL(load(&c, GPA_IMAGE, 1, RW, 1ul << 40, 1), ERR_INVALID);
		EQUAL(load(&c, GPA_IMAGE, 1, RW, 0, PAGE_SIZE + 1), ERR_INVALID);
		EQUAL(load(&c, GPA_IMAGE, 0x100000, RW, 0, 0), ERR_INVALID);
		EQUAL(load(&c, GPA_IMAGE, (1ul << 56) - 1, RW, 0, 0), ERR_INVALID);
		EQUAL(load(&c, GPA_IMAGE, 1000, RW, 0, 0), ERR_QUOTA);
		EQUAL(load(&c, GPA_IMAGE, 2, RW, 0, 0), ERR_OK);
		EQUAL(load(&c, GPA_IMAGE, 1, RW, 0, 0), ERR_EXISTS);
		EQUAL(load(&c, GPA_IMAGE + PAGE_SIZE, 2, PROT_READ, 0, 0), ERR_EXISTS);
		EQUAL(load(&c, GPA_STARTUP, 1, PROT_READ, 0, 512), ERR_OK);
		CHECK(child_destroy(&c));
		CHECK(child_run(&c, core, "spin", 0));
		EQUAL(load(&c, GPA_IMAGE_END - PAGE_SIZE, 1, RW, 0, 0), ERR_STATE);
		EQUAL(load(&c, 0, 0, 0, 0, 0), ERR_STATE);
		CHECK(child_destroy(&c));
	}
}

static void load_table_is_full(void)
{
	struct child c;
	CHECK(child_create(&c, test_cores - 1, "exit", 0, 1, 0));
	enum error error = ERR_OK;
	unsigned n = 0;
	while (!error && n < 100)
		error = load(&c, GPA_IMAGE + n++ * 2 * PAGE_SIZE, 1, RW, 0, 0);
	EQUAL(error, ERR_LIMIT);
}

static void quota_is_kept(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child c;
		struct domain_status s;
		CHECK(child_run(&c, core, "quota", 7));
		CHECK(child_wait(&c, &s));
		EQUAL(s.state >> 8 & 0xff, FAULT_EXIT);
		CHECK(s.cause > 5 && s.cause < 24);
		CHECK(s.frames_used < 100 && s.frames_quota == 160);
		CHECK(child_destroy(&c));
	}
}

static void memory_alloc_cycles(void)
{
	uint64_t other = kcall(CALL_memory_alloc, 1).value[0];
	for (unsigned i = 0; i < 3000; i++) { // more in all than the window of the heap could hold once
		struct kernel_result r = kcall(CALL_memory_alloc, 100);
		EQUAL(r.error, ERR_OK);
		CHECK(r.value[0] >= GPA_HEAP && r.value[0] < GPA_HEAP_END);
		WORKS(CALL_memory_free, r.value[0]);
	}
	WORKS(CALL_memory_free, other);
	FAILS(ERR_INVALID, CALL_memory_free, other);
}

static void memory_alloc_table_is_full(void)
{
	uint64_t block[128];
	unsigned n = 0;
	struct kernel_result r;
	for (; n < 128; n++) {
		r = kcall(CALL_memory_alloc, 1);
		if (r.error)
			break;
		block[n] = r.value[0];
	}
	unsigned taken = n;
	while (n > 0)
		WORKS(CALL_memory_free, block[--n]);
	EQUAL(r.error, ERR_LIMIT);
	CHECK(taken < 128);
}

// Each new block is clear, whatever its frames held before, and has an unmapped page behind it.
static void memory_alloc_is_clear(void)
{
	for (unsigned turn = 0; turn < 4; turn++) {
		struct kernel_result a = kcall(CALL_memory_alloc, 40), b = kcall(CALL_memory_alloc, 1);
		EQUAL(a.error, ERR_OK);
		EQUAL(b.error, ERR_OK);
		CHECK(b.value[0] > a.value[0] + 40 * PAGE_SIZE || b.value[0] + PAGE_SIZE < a.value[0]);
		volatile uint64_t *word = (volatile uint64_t *)a.value[0];
		for (unsigned i = 0; i < 40 * PAGE_SIZE / 8; i++) {
			EQUAL(word[i], 0);
			word[i] = ~0ul;
		}
		WORKS(CALL_memory_free, a.value[0]);
		WORKS(CALL_memory_free, b.value[0]);
	}
}

// The same in pieces: each is clear, and what is written to one stands in that one.
static void memory_alloc_in_pieces(void)
{
	for (unsigned turn = 0; turn < 2; turn++) {
		struct kernel_result r = kcall(CALL_memory_alloc, 64 * 2, 2);
		EQUAL(r.error, ERR_OK);
		for (unsigned i = 0; i < 64 * 2; i++) {
			volatile uint64_t *word = (volatile uint64_t *)(r.value[0] + (i + i / 2) * PAGE_SIZE);
			EQUAL(word[0] | word[PAGE_SIZE / 8 - 1], 0);
			word[0] = word[PAGE_SIZE / 8 - 1] = i + 1;
		}
		for (unsigned i = 0; i < 64 * 2; i++)
			EQUAL(*(volatile uint64_t *)(r.value[0] + (i + i / 2) * PAGE_SIZE), i + 1);
		WORKS(CALL_memory_free, r.value[0]);
	}
}

static void status_and_publish_validate(void)
{
	struct child c;
	CHECK(child_create(&c, test_cores - 1, "exit", 0, 1, 0));
	FAILS(ERR_INVALID, CALL_domain_status, c.handle, DOMAIN_STATUS_GROUPS);
	FAILS(ERR_INVALID, CALL_domain_status, c.handle, ~0ul);
	FAILS(ERR_INVALID, CALL_domain_publish, c.handle, 0, 0, SERVICE_UP);
	FAILS(ERR_INVALID, CALL_domain_publish, c.handle, partner_service('x'), 0, SERVICE_HELD + 1);
	FAILS(ERR_NOT_FOUND, CALL_domain_publish, c.handle, partner_service('x'), 0, SERVICE_NONE);
	FAILS(ERR_INVALID, CALL_domain_watch, c.handle, 1ul << 40, 1);
	FAILS(ERR_INVALID, CALL_domain_watch, c.handle, WATCH_TICK_MIN_US - 1, 4); // its kernel would do nothing else
	FAILS(ERR_INVALID, CALL_domain_watch, c.handle, 1000, 0);
	FAILS(ERR_INVALID, CALL_domain_watch, c.handle, 1000, 1001);
	FAILS(ERR_STATE, CALL_domain_ping, c.handle);
	EQUAL(child_state(&c), DOMAIN_CREATED);
}

static void publish_fills_the_page(void)
{
	const struct info_page *page = machine_info(test_cores - 1);
	enum error error = ERR_OK;
	unsigned n = 0;
	struct child c;
	CHECK(child_create(&c, test_cores - 1, "exit", 0, 1, 0));
	for (; n < INFO_SERVICE_MAX + 1 && !error; n++)
		error = kcall(CALL_domain_publish, c.handle, partner_service('A') + n * 0x1000000, 0, SERVICE_UP).error;
	for (unsigned i = 0; i < n; i++)
		kcall(CALL_domain_publish, c.handle, partner_service('A') + i * 0x1000000, 0, SERVICE_NONE);
	EQUAL(error, ERR_LIMIT);
	for (unsigned i = 0; i < INFO_SERVICE_MAX; i++)
		EQUAL(page->services[i].state, SERVICE_NONE);
}

static void cores_answer(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct kernel_result r = kcall(CALL_core_ping, core);
		EQUAL(r.error, ERR_OK);
		EQUAL(r.value[0], 1);
		CHECK(r.value[1] < 10 * test_self.timebase);
		r = kcall(CALL_memory_count, core);
		EQUAL(r.error, ERR_OK);
		CHECK(r.value[0] > 0 && r.value[0] < r.value[1]);
		EQUAL(r.value[2], 0);
		r = kcall(CALL_core_log, core, 0);
		EQUAL(r.error, ERR_OK);
		r = kcall(CALL_core_log, core, ~0ul);
		EQUAL(r.error, ERR_OK);
		EQUAL(machine_info(core)->state, CORE_ONLINE);
	}
}

static void maps_are_idempotent(void)
{
	struct kernel_result a = kcall(CALL_boot_image_map), b = kcall(CALL_boot_image_map);
	EQUAL(a.error, ERR_OK);
	EQUAL(b.error, ERR_OK);
	EQUAL(a.value[0], GPA_BOOT_IMAGE);
	EQUAL(a.value[1], b.value[1]);
	a = kcall(CALL_device_tree_map);
	EQUAL(a.error, ERR_OK);
	EQUAL(*(volatile uint32_t *)a.value[0], 0xedfe0dd0);
}

// When the table of handles is full, nothing is made that nobody could ever name.
static void handle_table_is_full(void)
{
	static uint64_t handles[CORE_MAX * DOMAIN_MAX];
	unsigned made = 0;
	uint64_t before = test_frames_sum();
	for (unsigned core = 0; core < test_cores; core++) {
		struct kernel_result r = {ERR_OK, {0}};
		for (unsigned n = 0; n <= DOMAIN_MAX && r.error == ERR_OK; n++) {
			r = kcall(CALL_domain_create, core, partner_word("exit"), 0, 100, 1ul << 32);
			if (r.error == ERR_OK)
				handles[made++] = r.value[0];
		}
		EQUAL(r.error, ERR_LIMIT); // of domains of that core, or of handles
	}
	unsigned all = made;
	while (made > 0)
		WORKS(CALL_domain_destroy, handles[--made]);
	CHECK(all >= DOMAIN_MAX - 1);
	EQUAL(test_frames_sum(), before);
}

static void domain_table_is_full(void)
{
	for (unsigned core = 0; core < test_cores; core += test_cores > 1 ? test_cores - 1 : 1) {
		uint64_t handles[DOMAIN_MAX + 1];
		unsigned n = 0;
		struct kernel_result r = {ERR_OK, {0}};
		for (; n <= DOMAIN_MAX; n++) {
			r = kcall(CALL_domain_create, core, partner_word("exit"), 0, 100, 1ul << 32);
			if (r.error)
				break;
			handles[n] = r.value[0];
		}
		unsigned made = n;
		while (n > 0)
			WORKS(CALL_domain_destroy, handles[--n]);
		EQUAL(r.error, ERR_LIMIT);
		EQUAL(made, core == 0 ? DOMAIN_MAX - 1 : DOMAIN_MAX);
	}
}

const struct kernel_test call_tests[] = {
	{"call.self", self_says_who},
	{"call.results", results_are_clean},
	{"call.rights", plain_is_denied},
	{"call.own", own_calls_validate},
	{"call.handles.forged", handles_forged},
	{"call.handles.stale", handles_stale},
	{"call.handles.full", handle_table_is_full},
	{"call.create", create_validates},
	{"call.create.full", domain_table_is_full},
	{"call.open", open_adopts},
	{"call.reboot", reboot_asks},
	{"call.load", load_windows},
	{"call.load.full", load_table_is_full},
	{"call.quota", quota_is_kept},
	{"call.alloc.cycles", memory_alloc_cycles},
	{"call.alloc.full", memory_alloc_table_is_full},
	{"call.alloc.clear", memory_alloc_is_clear},
	{"call.alloc.pieces", memory_alloc_in_pieces},
	{"call.status", status_and_publish_validate},
	{"call.publish.full", publish_fills_the_page},
	{"call.cores", cores_answer},
	{"call.maps", maps_are_idempotent},
	{0, 0},
};
