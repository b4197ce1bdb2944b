// Tests of endpoints: calls between domains of one core, on every core, with and without guest files.
#include "apps/kernel_test/test.h"
#include "apps/kernel_test/partner.h"

static bool server_start(struct child *server, unsigned core, unsigned priority, unsigned flags)
{
	return child_serve_as(server, core, "door", 0, priority, flags, 'd');
}

// One caller with that order, beside a server that lives through it.
static void one_caller(enum partner_calls order)
{
	for (unsigned core = 0; core < test_cores; core++)
		for (unsigned flags = 0; flags <= DOMAIN_FLAG_NO_FILE; flags += DOMAIN_FLAG_NO_FILE) {
			struct child server, caller;
			CHECK(server_start(&server, core, 1, flags));
			CHECK(child_run(&caller, core, "caller", order));
			CHECK(child_exits(&caller, 0));
			CHECK(child_destroy(&caller));
			CHECK(child_withdraw(&server, 'd'));
		}
}

// A library OS calls and is called as others are, if not as fast.
static void classes_call(void)
{
	static const unsigned flags[][2] = {{DOMAIN_FLAG_LIBRARY_OS, 0}, {0, DOMAIN_FLAG_LIBRARY_OS}, {DOMAIN_FLAG_LIBRARY_OS, DOMAIN_FLAG_LIBRARY_OS}};
	for (unsigned i = 0; i < 3; i++) {
		struct child server, caller;
		unsigned core = i % test_cores;
		uint64_t fast = machine_info(core)->counters[INFO_CALLS];
		CHECK(server_start(&server, core, 1, flags[i][0]));
		CHECK(child_run_as(&caller, core, "caller", PARTNER_CALLS_ECHO, 1, flags[i][1]));
		CHECK(child_exits(&caller, 0));
		EQUAL(machine_info(core)->counters[INFO_CALLS], fast);
		CHECK(child_destroy(&caller));
		CHECK(child_withdraw(&server, 'd'));
	}
}

static void words_and_registers(void)
{
	one_caller(PARTNER_CALLS_ECHO);
}

static void handles(void)
{
	one_caller(PARTNER_CALLS_HANDLES);
}

static void badges(void)
{
	one_caller(PARTNER_CALLS_BADGES);
}

static void floats(void)
{
	one_caller(PARTNER_CALLS_FLOATS);
}

static void controls(void)
{
	one_caller(PARTNER_CALLS_OWN_CONTROLS);
	one_caller(PARTNER_CALLS_THEIR_CONTROLS);
}

static void limits(void)
{
	one_caller(PARTNER_CALLS_LIMIT);
}

// Both alone on their core: each call is counted as a fast one.
static void fast_path_is_taken(void)
{
	struct child server, caller;
	unsigned core = test_cores - 1;
	if (machine_info(core)->guest_files < 2) {
		test_skip("no guest files");
		return;
	}
	const volatile uint64_t *counters = machine_info(core)->counters;
	CHECK(server_start(&server, core, 1, 0));
	uint64_t fast = counters[INFO_CALLS];
	CHECK(child_run(&caller, core, "caller", PARTNER_CALLS_MANY));
	CHECK(child_exits(&caller, 0));
	uint64_t taken = counters[INFO_CALLS] - fast;
	test_check(taken >= 2500, __LINE__, "%lu of 3000 calls took the fast path", (unsigned long)taken);
	CHECK(child_destroy(&caller));
	CHECK(child_withdraw(&server, 'd'));
}

static bool restart(const struct child *c)
{
	struct child again = *c;
	return child_restore(c) && child_begin(&again);
}

static void server_dies_in_a_call(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child server, caller;
		struct domain_status s;
		CHECK(server_start(&server, core, 1, 0));
		CHECK(child_run(&caller, core, "caller", PARTNER_CALLS_DEATH));
		CHECK(child_wait(&server, &s));
		EQUAL(s.state >> 8 & 0xff, FAULT_EXCEPTION);
		EQUAL(child_state(&caller), DOMAIN_CALLING); // never silence, but not before there is something to say
		CHECK(restart(&server));
		CHECK(child_exits(&caller, 0));
		CHECK(child_destroy(&caller));
		CHECK(child_withdraw(&server, 'd'));
	}
}

// Callers of several priorities, a domain that wants the core as well, and a server that dies again and again.
static void storm(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child server, spinner, callers[5];
		CHECK(server_start(&server, core, 3, 0));
		CHECK(child_run_as(&spinner, core, "spin", 0, 2, 0));
		for (unsigned i = 0; i < 5; i++)
			CHECK(child_run_as(&callers[i], core, "caller", PARTNER_CALLS_MANY, 1 + i % 2, i == 4 ? DOMAIN_FLAG_NO_FILE : 0));
		for (unsigned i = 0; i < 15; i++) {
			WORKS(CALL_domain_stop, server.handle, FAULT_KILLED);
			CHECK(restart(&server));
			test_nap(2000);
		}
		for (unsigned i = 0; i < 5; i++)
			CHECK(child_exits(&callers[i], 0));
		for (unsigned i = 0; i < 5; i++)
			CHECK(child_destroy(&callers[i]));
		CHECK(child_destroy(&spinner));
		CHECK(child_withdraw(&server, 'd'));
	}
}

// A server of the worst priority works for a caller at the caller's: what stands between the two does not stop it.
static void priority_is_donated(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child server, spinner, caller;
		CHECK(server_start(&server, core, 6, 0));
		CHECK(child_run_as(&spinner, core, "spin", 0, 3, 0));
		CHECK(child_run_as(&caller, core, "caller", PARTNER_CALLS_ECHO, 2, 0));
		CHECK(child_exits(&caller, 0));
		CHECK(child_destroy(&caller));
		CHECK(child_destroy(&spinner));
		CHECK(child_withdraw(&server, 'd'));
	}
}

static void answers_may_come_later(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child server, first, second;
		CHECK(server_start(&server, core, 1, 0));
		CHECK(child_run(&first, core, "caller", PARTNER_CALLS_KEPT));
		for (unsigned i = 0; i < 2000 && child_state(&first) != DOMAIN_CALLING; i++)
			test_nap(500);
		CHECK(child_run(&second, core, "caller", PARTNER_CALLS_ECHO)); // others are served meanwhile
		CHECK(child_exits(&second, 0));
		EQUAL(child_state(&first), DOMAIN_CALLING);
		CHECK(child_destroy(&second));
		CHECK(child_run(&second, core, "caller", PARTNER_CALLS_RELEASE));
		CHECK(child_exits(&second, 0));
		CHECK(child_exits(&first, 0));
		CHECK(child_destroy(&first));
		CHECK(child_destroy(&second));
		CHECK(child_withdraw(&server, 'd'));
	}
}

// A server that is destroyed, or will not come back, under its callers; callers that are destroyed in a call.
static void who_is_lost(void)
{
	for (unsigned core = 0; core < test_cores; core++)
		for (unsigned destroy = 0; destroy < 2; destroy++) {
			struct child server, callers[3];
			CHECK(server_start(&server, core, 1, 0));
			for (unsigned i = 0; i < 3; i++)
				CHECK(child_run(&callers[i], core, "caller", PARTNER_CALLS_LOST) && child_wait_ready(&callers[i]));
			CHECK(child_destroy(&callers[2]));
			WORKS(CALL_domain_stop, server.handle, FAULT_KILLED);
			if (destroy)
				CHECK(child_withdraw(&server, 'd'));
			else
				WORKS(CALL_domain_unregister, server.handle, 1);
			CHECK(child_exits(&callers[0], 0));
			CHECK(child_exits(&callers[1], 0));
			CHECK(child_destroy(&callers[0]));
			CHECK(child_destroy(&callers[1]));
			if (!destroy)
				CHECK(child_withdraw(&server, 'd'));
		}
}

// What waits for calls answers pings; a caller that waits for an answer owes none.
static void watched_at_endpoints(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child server, caller;
		CHECK(server_start(&server, core, 1, 0));
		WORKS(CALL_domain_watch, server.handle, 50000, 5); // a busy host holds it up for less
		test_nap(400000);
		CHECK(child_state(&server) != DOMAIN_STOPPED);
		CHECK(child_run(&caller, core, "caller", PARTNER_CALLS_ECHO));
		CHECK(child_exits(&caller, 0));
		CHECK(child_destroy(&caller));
		CHECK(child_withdraw(&server, 'd'));
	}
}

const struct kernel_test endpoint_tests[] = {
	{"endpoint.words", words_and_registers},
	{"endpoint.fast", fast_path_is_taken},
	{"endpoint.handles", handles},
	{"endpoint.badges", badges},
	{"endpoint.floats", floats},
	{"endpoint.controls", controls},
	{"endpoint.classes", classes_call},
	{"endpoint.limits", limits},
	{"endpoint.death", server_dies_in_a_call},
	{"endpoint.kept", answers_may_come_later},
	{"endpoint.lost", who_is_lost},
	{"endpoint.watched", watched_at_endpoints},
	{"endpoint.priority", priority_is_donated},
	{"endpoint.storm", storm},
	{0, 0},
};
