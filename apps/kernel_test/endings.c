// Tests of how channels end: who goes first, and that each time everything comes back.
#include "apps/kernel_test/test.h"

enum first { CLIENT_FIRST, SERVER_FIRST, BOTH_AT_ONCE, CLIENT_STOPPED, ENDINGS };

static bool pair_start(struct child *server, struct child *client, unsigned core, unsigned other, unsigned flags)
{
	struct partner_argument serve = {.service = 'b'}, use = {.service = 'b', .flags = PARTNER_STAYS, .rounds = 2};
	return child_serve_as(server, core, "server", test_argument(&serve), 1, flags, 'b') &&
	       child_run_as(client, other, "client", test_argument(&use), 1, flags) && child_wait_ready(client);
}

static void pair_end(enum first first, struct child *server, struct child *client)
{
	CHECK(child_publish(server, 'b', SERVICE_NONE));
	switch (first) {
	case CLIENT_FIRST:
		CHECK(child_destroy(client));
		test_nap(2000);
		CHECK(child_destroy(server));
		break;
	case SERVER_FIRST:
		CHECK(child_destroy(server));
		test_nap(2000);
		CHECK(child_destroy(client));
		break;
	case BOTH_AT_ONCE:
		CHECK(child_destroy(client));
		CHECK(child_destroy(server));
		break;
	default:
		WORKS(CALL_domain_stop, client->handle, FAULT_KILLED);
		CHECK(child_destroy(server));
		CHECK(child_destroy(client));
	}
}

static void all_endings(unsigned flags)
{
	for (unsigned core = 0; core < test_cores; core++)
		for (unsigned apart = 0; apart < (test_cores > 1 ? 2u : 1u); apart++)
			for (unsigned first = 0; first < ENDINGS && !test_failed(); first++) {
				struct child server, client;
				CHECK(pair_start(&server, &client, core, (core + apart) % test_cores, flags));
				pair_end(first, &server, &client);
			}
}

static void endings_with_files(void)
{
	all_endings(0);
}

static void endings_without_files(void)
{
	all_endings(DOMAIN_FLAG_NO_FILE);
}

// Until it waits in a call: the only one of these clients that waits long is the one to register.
static bool wait_until_it_asks(const struct child *client)
{
	unsigned same = 0;
	for (unsigned i = 0; i < 5000 && same < 10; i++) {
		same = child_state(client) == DOMAIN_CALLING ? same + 1 : 0;
		test_nap(1000);
	}
	return same == 10;
}

// The server goes while a request to register waits: the client is refused at once.
static void server_goes_while_asked(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct partner_argument how = {.service = 'b', .flags = PARTNER_IGNORES};
		struct child server, client;
		CHECK(child_serve(&server, core, "server", test_argument(&how), 'b'));
		CHECK(child_run(&client, (core + 1) % test_cores, "client", test_argument(&how)));
		CHECK(wait_until_it_asks(&client));
		CHECK(child_withdraw(&server, 'b'));
		CHECK(child_exits(&client, PARTNER_FAILED(1, ERR_PEER_LOST)));
		CHECK(child_destroy(&client));
	}
}

// The client goes while it waits to be registered.
static void client_goes_while_asking(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct partner_argument how = {.service = 'b', .flags = PARTNER_IGNORES};
		struct child server, client;
		CHECK(child_serve(&server, core, "server", test_argument(&how), 'b'));
		CHECK(child_run(&client, (core + 1) % test_cores, "client", test_argument(&how)));
		test_nap(core % 2 ? 20000 : 300);
		CHECK(child_destroy(&client));
		test_nap(1000);
		CHECK(child_withdraw(&server, 'b'));
	}
}

// A service that is given up: the client's end is LOST, and closing it gives everything back.
static void service_is_given_up(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct partner_argument how = {.service = 'b'};
		struct child server;
		CHECK(child_serve(&server, core, "server", test_argument(&how), 'b'));
		uint64_t before = test_free_frames(0);
		struct kernel_result r = kcall(CALL_channel_open, partner_service('b'), 0, 4ul << 32, 8192, 8192);
		EQUAL(r.error, ERR_OK);
		WORKS(CALL_domain_stop, server.handle, FAULT_KILLED);
		WORKS(CALL_domain_unregister, server.handle, 1);
		for (unsigned i = 0; i < 5000; i++) {
			if (CHANNEL_INFO_STATE(kcall(CALL_channel_info, r.value[0]).value[0]) == CHANNEL_LOST)
				break;
			test_nap(200);
		}
		EQUAL(CHANNEL_INFO_STATE(kcall(CALL_channel_info, r.value[0]).value[0]), CHANNEL_LOST);
		CHECK(test_free_frames(0) < before);
		*(volatile uint64_t *)(machine_channel((unsigned)r.value[0]) + 8) = 1; // it is still there, for us
		WORKS(CALL_channel_close, r.value[0]);
		EQUAL(test_free_frames(0), before);
		CHECK(child_withdraw(&server, 'b'));
	}
}

// The memory of a client that went stays until the server has let go (RECOVERY rule 4).
static void server_holds_the_log(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct partner_argument serve = {.service = 'b', .flags = PARTNER_HOLDS}, use = {.service = 'b'};
		struct child server, client;
		CHECK(child_serve(&server, core, "server", test_argument(&serve), 'b'));
		unsigned other = (core + 1) % test_cores;
		uint64_t before = test_free_frames(other);
		CHECK(child_run(&client, other, "client", test_argument(&use)));
		CHECK(child_exits(&client, 0));
		CHECK(child_destroy(&client));
		test_nap(5000);
		CHECK(test_free_frames(other) < before); // dying, held by the server
		CHECK(child_restore(&server));
		CHECK(child_begin(&server)); // the next incarnation is told, and holds again
		test_nap(5000);
		CHECK(test_free_frames(other) < before);
		CHECK(child_withdraw(&server, 'b'));
	}
}

// The server is down when its client goes.
static void client_goes_while_server_is_down(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child server, client;
		CHECK(pair_start(&server, &client, core, (core + 1) % test_cores, 0));
		CHECK(child_restore(&server));
		CHECK(child_destroy(&client));
		test_nap(2000);
		CHECK(child_begin(&server)); // it is told, and releases
		CHECK(child_publish(&server, 'b', SERVICE_UP));
		test_nap(2000);
		CHECK(child_withdraw(&server, 'b'));
	}
}

const struct kernel_test endings_tests[] = {
	{"end.files", endings_with_files},
	{"end.kernels", endings_without_files},
	{"end.asked", server_goes_while_asked},
	{"end.asking", client_goes_while_asking},
	{"end.lost", service_is_given_up},
	{"end.held", server_holds_the_log},
	{"end.down", client_goes_while_server_is_down},
	{0, 0},
};
