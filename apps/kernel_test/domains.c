// Tests of the life of a domain: start, stop, restore, restart, destroy, on every core.
#include "apps/kernel_test/test.h"

static void exit_on_every_core(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child c;
		CHECK(child_run(&c, core, "exit", 0xabcd0000 + core));
		CHECK(child_exits(&c, 0xabcd0000 + core));
		EQUAL(child_status(&c).epoch, 1);
		CHECK(child_destroy(&c));
	}
}

static void registers_are_zero(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child c;
		CHECK(child_run(&c, core, "zero", ~0ul));
		CHECK(child_exits(&c, 0));
		CHECK(child_restore(&c)); // and again after a restart
		CHECK(child_begin(&c));
		EQUAL(c.epoch, 2);
		CHECK(child_exits(&c, 0));
		CHECK(child_destroy(&c));
		CHECK(child_run_as(&c, core, "zero", ~0ul, 1, DOMAIN_FLAG_NO_FILE));
		CHECK(child_exits(&c, 0));
		CHECK(child_destroy(&c));
	}
}

// What an incarnation wrote is gone in the next: data, bss, stack, heap.
static void memory_is_restored(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child c;
		CHECK(child_run(&c, core, "memory", 0));
		CHECK(child_exits(&c, 0));
		uint64_t used = child_status(&c).frames_used;
		for (unsigned turn = 2; turn < 5; turn++) {
			CHECK(child_restore(&c));
			CHECK(child_begin(&c));
			EQUAL(c.epoch, turn);
			CHECK(child_exits(&c, 0));
			EQUAL(child_status(&c).frames_used, used);
		}
		CHECK(child_destroy(&c));
	}
}

static void states_are_checked(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child c;
		CHECK(child_create(&c, core, "spin", 0, 1, 0));
		FAILS(ERR_STATE, CALL_domain_restore, c.handle);
		CHECK(child_load(&c));
		CHECK(child_begin(&c));
		FAILS(ERR_STATE, CALL_domain_start, c.handle, test_entry, GPA_STACK_TOP);
		FAILS(ERR_STATE, CALL_domain_restore, c.handle);
		FAILS(ERR_STATE, CALL_domain_unregister, c.handle, 0);
		WORKS(CALL_domain_stop, c.handle, FAULT_COMPLAINT);
		WORKS(CALL_domain_stop, c.handle, FAULT_KILLED); // the first reason stands
		struct domain_status s = child_status(&c);
		EQUAL(s.state & 0xffff, DOMAIN_STOPPED | FAULT_COMPLAINT << 8);
		CHECK(s.time_stopped <= time_read());
		WORKS(CALL_domain_unregister, c.handle, 0);
		WORKS(CALL_domain_unregister, c.handle, 0);
		WORKS(CALL_domain_restore, c.handle);
		WORKS(CALL_domain_restore, c.handle);
		CHECK(child_begin(&c));
		CHECK(child_destroy(&c)); // while it runs
	}
}

static void stop_of_wild_kind_is_a_kill(void)
{
	struct child c;
	CHECK(child_run(&c, test_cores - 1, "spin", 0));
	WORKS(CALL_domain_stop, c.handle, 77);
	EQUAL(child_status(&c).state >> 8 & 0xff, FAULT_KILLED);
}

static void first_domain_is_safe(void)
{
	FAILS(ERR_DENIED, CALL_domain_destroy, test_own);
	FAILS(ERR_STATE, CALL_domain_restore, test_own);
	FAILS(ERR_STATE, CALL_domain_start, test_own, 0, 0);
	FAILS(ERR_STATE, CALL_domain_unregister, test_own, 1);
}

// A domain's end is told to the one who made it: a sticky event with core and index.
static void end_is_reported(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child c;
		struct domain_status s;
		while (kcall(CALL_event_next).value[0] != EVENT_NONE)
			;
		CHECK(child_run(&c, core, "exit", 1));
		CHECK(child_wait(&c, &s));
		test_nap(2000);
		bool told = false;
		for (;;) {
			struct kernel_result e = kcall(CALL_event_next);
			if (e.value[0] == EVENT_NONE)
				break;
			told |= e.value[0] == EVENT_DOMAIN && e.value[1] == core && e.value[2] == c.domain;
		}
		CHECK(told);
		CHECK(child_destroy(&c));
	}
}

static void many_at_once(void)
{
	static struct child c[24];
	for (unsigned i = 0; i < 24; i++)
		CHECK(child_run(&c[i], i % test_cores, "yield", 50 + i));
	for (unsigned i = 0; i < 24; i++)
		CHECK(child_exits(&c[i], 0));
}

static void info_page_tells(void)
{
	struct child c;
	unsigned core = test_cores - 1;
	CHECK(child_create(&c, core, "sleep", 0x77, 5, DOMAIN_FLAG_NO_FILE));
	const struct info_domain *line = &machine_info(core)->domains[c.domain];
	CHECK(child_load(&c));
	CHECK(child_begin(&c));
	EQUAL(line->epoch, 1);
	EQUAL(line->priority, 5);
	EQUAL(line->guest_file, 0);
	CHECK(line->frames > 10);
	WORKS(CALL_domain_stop, c.handle, FAULT_KILLED);
	EQUAL(line->state, DOMAIN_STOPPED);
	CHECK(child_destroy(&c));
	EQUAL(line->state, DOMAIN_FREE);
	EQUAL(line->name[0], 0);
}

// Another image for the same domain: all segments forgotten, others loaded.
static void image_is_exchanged(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child c;
		CHECK(child_run(&c, core, "exit", 5));
		CHECK(child_exits(&c, 5));
		FAILS(ERR_STATE, CALL_domain_load, c.handle, GPA_IMAGE_END - PAGE_SIZE, 1 << 8 | PROT_READ, 0, 0);
		WORKS(CALL_domain_load, c.handle, 0, 0, 0, 0);
		EQUAL(child_state(&c), DOMAIN_CREATED);
		FAILS(ERR_INVALID, CALL_domain_load, c.handle, 0, 0, 0, 0); // CREATED: that is a segment without pages
		FAILS(ERR_INVALID, CALL_domain_load, c.handle, 0, 1 << 8 | PROT_READ, 0, 0);
		CHECK(child_load(&c));
		CHECK(child_begin(&c));
		EQUAL(c.epoch, 2);
		CHECK(child_exits(&c, 5));
		CHECK(child_destroy(&c));
	}
}

// A poked word of text is what runs, and is pristine again after a restore; nothing but the domain's own can be poked.
static void words_are_poked(void)
{
	const struct test_segment *text = &test_segments[0];
	for (unsigned core = 0; core < test_cores; core++) {
		struct child c;
		CHECK(child_create(&c, core, "exit", 5, 1, 0));
		CHECK(child_load(&c));
		struct kernel_result was = kcall(CALL_domain_poke, c.handle, test_entry, 0);
		EQUAL(was.error, ERR_OK);
		WORKS(CALL_domain_poke, c.handle, test_entry, was.value[0]); // zero: defined to be illegal
		CHECK(child_begin(&c));
		struct domain_status s;
		CHECK(child_wait(&c, &s));
		EQUAL(s.cause, 2);
		EQUAL(s.pc, test_entry);
		CHECK(child_restore(&c));
		EQUAL(kcall(CALL_domain_poke, c.handle, test_entry, 0).value[0], was.value[0]);
		CHECK(child_begin(&c));
		CHECK(child_exits(&c, 5));
		EQUAL(kcall(CALL_domain_poke, c.handle, GPA_STACK_TOP - 8, 7).error, ERR_OK);
		EQUAL(kcall(CALL_domain_poke, c.handle, GPA_STACK_TOP - 8, 0).value[0] & 7, 7);
		FAILS(ERR_INVALID, CALL_domain_poke, c.handle, test_entry + 4, 0);
		FAILS(ERR_INVALID, CALL_domain_poke, c.handle, text->gpa + (text->length & ~7ul), 0); // behind its content
		FAILS(ERR_INVALID, CALL_domain_poke, c.handle, GPA_STACK_TOP, 0);
		FAILS(ERR_INVALID, CALL_domain_poke, c.handle, GPA_INFO, 0);
		FAILS(ERR_INVALID, CALL_domain_poke, c.handle, GPA_STARTUP, 0);
		FAILS(ERR_INVALID, CALL_domain_poke, c.handle, GPA_DOORBELL, 0);
		FAILS(ERR_INVALID, CALL_domain_poke, c.handle, GPA_HEAP, 0);
		FAILS(ERR_INVALID, CALL_domain_poke, c.handle, 32, 0);
		FAILS(ERR_INVALID, CALL_domain_poke, c.handle, ~7ul, 0);
		CHECK(child_destroy(&c));
		CHECK(child_run(&c, core, "spin", 0));
		WORKS(CALL_domain_poke, c.handle, 0, 1ul << 40); // its pc
		CHECK(child_wait(&c, &s));
		EQUAL(s.cause, 20);
		CHECK(child_destroy(&c));
	}
}

const struct kernel_test domain_tests[] = {
	{"domain.exit", exit_on_every_core},
	{"domain.registers", registers_are_zero},
	{"domain.restore", memory_is_restored},
	{"domain.states", states_are_checked},
	{"domain.stop.kind", stop_of_wild_kind_is_a_kill},
	{"domain.first", first_domain_is_safe},
	{"domain.reported", end_is_reported},
	{"domain.many", many_at_once},
	{"domain.info", info_page_tells},
	{"domain.exchange", image_is_exchanged},
	{"domain.poke", words_are_poked},
	{0, 0},
};
