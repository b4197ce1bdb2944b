// Tests of what a broken domain, or a supervisor that was interrupted, must not do to a kernel or to others.
#include "apps/kernel_test/test.h"

#define CLEARED_PAGES 5000ul // 20 MiB: many milliseconds

// A watch that is armed for a stopped domain goes with the domain: else the kernel's list of deadlines leads into
// frames that are another's.
static void watch_goes_with_its_domain(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child c;
		CHECK(child_create(&c, core, "exit", 0, 1, 0));
		WORKS(CALL_domain_stop, c.handle, FAULT_KILLED);
		WORKS(CALL_domain_watch, c.handle, 50000, 5);
		CHECK(child_destroy(&c));
		CHECK(child_run(&c, core, "exit", 7));
		CHECK(child_exits(&c, 7));
		test_nap(60000);
		CHECK(child_destroy(&c));
	}
}

// Registers of VS-mode that the hardware has only once are each domain's own (KERNEL rule 1).
static void controls_are_ones_own(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child a, b;
		CHECK(child_run(&a, core, "controls", 2));
		CHECK(child_run(&b, core, "controls", 5));
		CHECK(child_exits(&a, 0));
		CHECK(child_exits(&b, 0));
		CHECK(child_destroy(&a));
		CHECK(child_destroy(&b));
	}
}

// A name does not outlive its domain: the next one in its place would get the clients.
static void name_goes_with_its_domain(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct partner_argument how = {.service = 'c'};
		struct child c;
		CHECK(child_create(&c, core, "exit", 0, 1, 0));
		CHECK(child_publish(&c, 'b', SERVICE_UP));
		CHECK(child_destroy(&c));
		CHECK(child_run(&c, core, "server", test_argument(&how)));
		CHECK(child_wait_ready(&c));
		FAILS(ERR_NOT_FOUND, CALL_channel_open, partner_service('b'), 0, 4ul << 32, 8192, 8192);
		CHECK(child_destroy(&c));
	}
}

// One that says `ready` without end must not hide what others have to report.
static void reports_are_not_hidden(void)
{
	unsigned core = test_cores - 1;
	struct child loud, other;
	CHECK(child_create(&loud, core, "loud", 0, 2, 0));
	CHECK(child_create(&other, core, "exit", 0, 1, 0));
	CHECK(child_load(&loud) && child_load(&other) && child_begin(&loud));
	CHECK(child_wait_ready(&loud));
	CHECK(child_begin(&other));
	bool seen = false;
	unsigned idle = 0;
	for (unsigned i = 0; i < 3000 && idle < 50 && !seen; i++) {
		struct kernel_result e = kcall(CALL_event_next);
		seen = e.value[0] == EVENT_DOMAIN && e.value[1] == core && e.value[2] == other.domain;
		idle = e.value[0] == EVENT_NONE ? idle + 1 : 0;
		if (e.value[0] == EVENT_NONE)
			test_nap(1000);
		else if (e.value[0] == EVENT_DOMAIN)
			child_state(&loud); // as a supervisor would ask
	}
	CHECK(seen);
	uint64_t loud_reports = 0;
	for (unsigned i = 0; i < 100; i++, test_nap(100))
		loud_reports += kcall(CALL_event_next).value[0] == EVENT_DOMAIN;
	CHECK(loud_reports < 3);
	CHECK(child_destroy(&loud));
	CHECK(child_destroy(&other));
}

// The doorbell page of a service that was given up is withdrawn. Who rings it just then does no harm, to itself neither
// (KERNEL rule 7).
static void late_ring_is_no_fault(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct partner_argument how = {.service = 'b'};
		struct child server, client;
		CHECK(child_serve(&server, core, "server", test_argument(&how), 'b'));
		CHECK(child_run(&client, (core + 1) % test_cores, "late", test_argument(&how)));
		CHECK(child_wait_ready(&client));
		CHECK(child_withdraw(&server, 'b'));
		CHECK(child_exits(&client, 0));
		CHECK(child_destroy(&client));
	}
}

// Memory is cleared for one who has a low priority. A better one on that core need not wait for it. True: seen so.
static bool clearing_gives_way_once(unsigned core)
{
	struct child slow, fast;
	struct kernel_result r = kcall(CALL_domain_create, core, partner_word("quota"), CLEARED_PAGES, CLEARED_PAGES + 300, 7ul << 32);
	slow = (struct child){r.error ? 0 : r.value[0], core, (unsigned)r.value[1], 0};
	bool seen = false;
	if (!r.error && child_create(&fast, core, "exit", 9, 1, 0) && child_load(&slow) && child_load(&fast) &&
	    child_begin(&slow)) {
		for (unsigned i = 0; i < 1000 && child_state(&slow) != DOMAIN_CALLING; i++)
			test_nap(50);
		seen = child_begin(&fast) && child_exits(&fast, 9) && child_state(&slow) == DOMAIN_CALLING;
		child_destroy(&fast);
	}
	kcall(CALL_domain_destroy, slow.handle);
	return seen;
}

static void clearing_gives_way(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		bool seen = false;
		for (unsigned i = 0; i < 20 && !seen; i++)
			seen = clearing_gives_way_once(core);
		CHECK(seen);
	}
}

const struct kernel_test hostile_tests[] = {
	{"hostile.watch", watch_goes_with_its_domain},
	{"hostile.controls", controls_are_ones_own},
	{"hostile.name", name_goes_with_its_domain},
	{"hostile.reports", reports_are_not_hidden},
	{"hostile.clearing", clearing_gives_way},
	{"hostile.late", late_ring_is_no_fault},
	{0, 0},
};
