// The leak check: domains, channels and mappings are made and destroyed in a loop on all cores.
//
// One turn: a server and a client with a channel between them on two cores, memory of ours allocated and freed, all
// destroyed in an order that changes. The size is the manifest's argument, in thousands of domains. The runner compares
// every core's free frames before and after; here they are looked at on the way, so that a leak is found early.
#include "apps/kernel_test/test.h"

static void turn(unsigned n)
{
	struct partner_argument serve = {.service = 'c'}, use = {.service = 'c', .flags = n % 3 ? 0 : PARTNER_CLOSES};
	struct child server, client;
	unsigned flags = n % 5 == 0 ? DOMAIN_FLAG_NO_FILE : 0;
	CHECK(child_run_as(&server, n % test_cores, "server", test_argument(&serve), 1, flags));
	CHECK(child_publish(&server, 'c', SERVICE_UP));
	CHECK(child_run_as(&client, n / test_cores % test_cores, "client", test_argument(&use), 1, flags));
	struct kernel_result r = kcall(CALL_memory_alloc, 1 + n % 600);
	EQUAL(r.error, ERR_OK);
	WORKS(CALL_memory_free, r.value[0]);
	if (n % 4) // else it is destroyed at whatever it is doing
		CHECK(child_exits(&client, 0));
	CHECK(child_publish(&server, 'c', SERVICE_NONE));
	CHECK(child_destroy(n % 2 ? &server : &client));
	CHECK(child_destroy(n % 2 ? &client : &server));
}

static void nothing_leaks(void)
{
	uint64_t before = test_frames_sum(), start = time_read();
	unsigned turns = (unsigned)test_thousands * 500; // two domains each
	for (unsigned n = 0; n < turns && !test_failed(); n++) {
		turn(n);
		if (n % 5000 == 4999)
			test_say("  leaks: %u domains", 2 * (n + 1));
	}
	for (unsigned i = 0; i < 5000 && test_frames_sum() != before; i++)
		test_nap(200);
	uint64_t us = (time_read() - start) / (test_self.timebase / 1000000);
	test_say("FIGURE leaks domains %u us each %lu", 2 * turns, (unsigned long)(us / (2 * turns)));
	EQUAL(test_frames_sum(), before);
}

// One client that opens and closes again and again, on each pair of cores.
static void channels_do_not_leak(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct partner_argument serve = {.service = 'c'};
		struct partner_argument use = {.service = 'c', .flags = PARTNER_MANY, .rounds = (uint16_t)(300 * test_thousands)};
		struct child server, client;
		if (test_thousands > 30)
			use.rounds = 10000;
		CHECK(child_run(&server, core, "server", test_argument(&serve)));
		CHECK(child_publish(&server, 'c', SERVICE_UP));
		CHECK(child_run(&client, (core + 1) % test_cores, "client", test_argument(&use)));
		CHECK(child_exits(&client, 0));
		CHECK(child_publish(&server, 'c', SERVICE_NONE));
		CHECK(child_destroy(&client));
		CHECK(child_destroy(&server));
	}
}

const struct kernel_test leak_tests[] = {
	{"leak.channels", channels_do_not_leak},
	{"leak.all", nothing_leaks},
	{0, 0},
};
