// Tests of channels: both ends, same core and across cores, restarts. Services are "kt-a" and so on.
#include "apps/kernel_test/test.h"
#include <string.h>

#define SLOTS 16ul

static const struct partner_argument plain_server = {.service = 'a'};

static bool server_run(struct child *c, unsigned core, uint16_t flags, unsigned domain_flags)
{
	struct partner_argument how = plain_server;
	how.flags = flags;
	return child_serve_as(c, core, "server", test_argument(&how), 1, domain_flags, 'a');
}

static bool client_run(struct child *c, unsigned core, uint16_t flags, uint16_t rounds, unsigned domain_flags)
{
	struct partner_argument how = {.service = 'a', .flags = flags, .rounds = rounds};
	return child_run_as(c, core, "client", test_argument(&how), 1, domain_flags);
}

static struct kernel_result own_open(uint64_t bytes)
{
	return kcall(CALL_channel_open, partner_service('a'), 0, SLOTS << 32 | 1, bytes, bytes);
}

static unsigned own_state(unsigned slot)
{
	return CHANNEL_INFO_STATE(kcall(CALL_channel_info, slot).value[0]);
}

// Waits until our end says so.
static bool own_becomes(unsigned slot, unsigned state)
{
	for (unsigned i = 0; i < 20000 && own_state(slot) != state; i++)
		test_nap(200);
	return own_state(slot) == state;
}

// Waits for an event of ours; what else comes is dropped.
static bool event_comes(uint64_t kind, uint64_t slot)
{
	for (unsigned i = 0; i < 20000; i++) {
		struct kernel_result e = kcall(CALL_event_next);
		if (e.value[0] == kind && e.value[1] == slot)
			return true;
		if (e.value[0] == EVENT_NONE)
			test_nap(200);
	}
	return false;
}

// ---- two children: all placements and both kinds of doorbell

static void pair_works(unsigned server_core, unsigned client_core, unsigned server_flags, unsigned client_flags)
{
	struct child server, client;
	CHECK(server_run(&server, server_core, 0, server_flags));
	CHECK(client_run(&client, client_core, PARTNER_CLOSES, 30, client_flags));
	CHECK(child_exits(&client, 0));
	CHECK(child_destroy(&client));
	CHECK(child_withdraw(&server, 'a'));
}

static void pairs_everywhere(void)
{
	test_pairs(pair_works);
}

// Both ends have company on their cores, so they are BLOCKED when they wait: rings must wake them, from an idle kernel
// and from under a busy neighbour. Without the wake-up they would sleep for ever.
static void company_works(const char *neighbour, unsigned flags)
{
	for (unsigned core = 0; core < test_cores; core++) {
		unsigned other = (core + 1) % test_cores;
		struct child server, client, near, far;
		CHECK(server_run(&server, core, 0, flags));
		CHECK(child_run_as(&near, core, neighbour, 0, 7, DOMAIN_FLAG_NO_FILE));
		CHECK(child_run_as(&far, other, neighbour, 0, 7, DOMAIN_FLAG_NO_FILE));
		CHECK(client_run(&client, other, PARTNER_TRUSTS, 40, flags));
		CHECK(child_exits(&client, 0));
		CHECK(child_destroy(&client));
		CHECK(child_destroy(&near));
		CHECK(child_destroy(&far));
		CHECK(child_withdraw(&server, 'a'));
	}
}

static void company_of_sleepers(void)
{
	company_works("sleep", 0);
	company_works("sleep", DOMAIN_FLAG_NO_FILE);
}

static void company_of_spinners(void)
{
	company_works("spin", 0);
	company_works("spin", DOMAIN_FLAG_NO_FILE);
}

// What a channel end has is seen by channel_info of both sides, and agrees.
static void info_of_both_ends(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child server;
		CHECK(server_run(&server, core, 0, 0));
		struct kernel_result opened = own_open(5000), info = kcall(CALL_channel_info, opened.value[0]);
		EQUAL(opened.error, ERR_OK);
		EQUAL(CHANNEL_INFO_ROLE(info.value[0]), CHANNEL_ROLE_CLIENT);
		EQUAL(CHANNEL_INFO_STATE(info.value[0]), CHANNEL_OPEN);
		EQUAL(CHANNEL_INFO_PRIORITY(info.value[0]), 1);
		EQUAL(CHANNEL_INFO_SLOTS(info.value[1]), SLOTS);
		EQUAL(info.value[2], 5000);
		EQUAL(info.value[3], 5000);
		EQUAL(CHANNEL_PEER_CORE(info.value[4]), core);
		EQUAL(CHANNEL_PEER_DOMAIN(info.value[4]), server.domain);
		EQUAL(CHANNEL_PEER_EPOCH(info.value[4]), 1);
		bool page = machine_info(core)->domains[server.domain].guest_file != 0;
		EQUAL((info.value[0] & CHANNEL_HAS_DOORBELL_PAGE) != 0, page);
		CHECK(CHANNEL_OWN_IDENTITY(info.value[1]) >= IDENTITY_CHANNEL);
		CHECK(CHANNEL_PEER_IDENTITY(info.value[1]) >= IDENTITY_CHANNEL);
		struct kernel_result name = kcall(CALL_channel_name, opened.value[0]);
		EQUAL(name.value[0], partner_service('a'));
		EQUAL(name.value[2], 0); // no DMA right
		CHECK(name.value[3] != 0);
		FAILS(ERR_STATE, CALL_channel_accept, opened.value[0]);
		FAILS(ERR_STATE, CALL_channel_refuse, opened.value[0]);
		WORKS(CALL_channel_close, opened.value[0]);
		FAILS(ERR_NOT_FOUND, CALL_channel_info, opened.value[0]);
		CHECK(child_withdraw(&server, 'a'));
	}
}

// Identities are given by priority: a lower number of priority has lower identities, which come first.
static void identities_by_priority(void)
{
	struct child server;
	unsigned last = 0;
	CHECK(server_run(&server, test_cores - 1, 0, 0));
	for (unsigned priority = 0; priority < CHANNEL_PRIORITIES; priority++) {
		struct kernel_result r = kcall(CALL_channel_open, partner_service('a'), 0, SLOTS << 32 | priority, 0, 0);
		EQUAL(r.error, ERR_OK);
		unsigned peer = CHANNEL_PEER_IDENTITY(kcall(CALL_channel_info, r.value[0]).value[1]);
		CHECK(peer > last);
		last = peer;
	}
	CHECK(child_withdraw(&server, 'a'));
}

static void refusal(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child server;
		CHECK(server_run(&server, core, PARTNER_REFUSES, 0));
		for (unsigned i = 0; i < 20; i++) // more than may be outstanding to one core
			EQUAL(own_open(0).error, ERR_REFUSED);
		CHECK(child_withdraw(&server, 'a'));
	}
}

// Every slot of ours, then LIMIT; and all of it comes back.
static void slots_run_out(void)
{
	struct child server;
	struct kernel_result r = {ERR_OK, {0}};
	unsigned n = 0;
	CHECK(server_run(&server, test_cores - 1, 0, 0));
	for (; n < CHANNEL_MAX + 1 && !r.error; n++)
		r = own_open(0);
	EQUAL(r.error, ERR_LIMIT);
	EQUAL(n - 1, CHANNEL_MAX);
	for (unsigned slot = 0; slot < CHANNEL_MAX; slot++)
		WORKS(CALL_channel_close, slot);
	for (unsigned i = 0; i < 20000 && own_open(0).error == ERR_LIMIT; i++)
		test_nap(200);
	EQUAL(own_state(0), CHANNEL_OPEN);
	WORKS(CALL_channel_close, 0);
	CHECK(child_withdraw(&server, 'a'));
}

static void quota_holds_for_channels(void)
{
	struct child server;
	CHECK(server_run(&server, test_cores - 1, 0, 0));
	EQUAL(own_open(6 << 20).error, ERR_QUOTA);
	CHECK(child_withdraw(&server, 'a'));
}

// A request that waited for its answer too long: the client gets AGAIN; the late accept does no harm.
static void nobody_accepts(void)
{
	for (unsigned core = 0; core < test_cores; core += test_cores > 1 ? test_cores - 1 : 1) {
		struct child server;
		CHECK(server_run(&server, core, PARTNER_IGNORES, 0));
		uint64_t start = time_read();
		EQUAL(own_open(0).error, ERR_AGAIN);
		CHECK(time_read() - start >= CALL_DEADLINE_MS * test_self.timebase / 1000);
		WORKS(CALL_domain_status, server.handle, 0);
		CHECK(child_withdraw(&server, 'a'));
	}
}

// The way to that core is not worn out by requests that nobody answered.
static void nobody_accepts_often(void)
{
	static struct child clients[20];
	struct child server;
	unsigned core = test_cores - 1;
	CHECK(server_run(&server, core, PARTNER_IGNORES, 0));
	for (unsigned i = 0; i < 20; i++)
		CHECK(client_run(&clients[i], 0, 0, 1, DOMAIN_FLAG_NO_FILE));
	for (unsigned i = 0; i < 20; i++)
		CHECK(child_exits(&clients[i], PARTNER_FAILED(1, ERR_AGAIN)));
	CHECK(child_withdraw(&server, 'a'));
	struct child after;
	CHECK(child_run(&after, core, "exit", 3));
	CHECK(child_exits(&after, 3));
	CHECK(server_run(&server, core, 0, 0)); // and a channel too
	EQUAL(own_open(0).error, ERR_OK);
	CHECK(child_withdraw(&server, 'a'));
}

// We serve, and accept a request that has been given up.
static void accept_comes_late(void)
{
	for (unsigned core = 0; core < test_cores; core += test_cores > 1 ? test_cores - 1 : 1) {
		struct child client;
		struct domain_status s;
		WORKS(CALL_domain_publish, test_own, partner_service('a'), 0, SERVICE_UP);
		CHECK(client_run(&client, core, 0, 1, 0));
		CHECK(event_comes(EVENT_CHANNEL_REQUEST, 0));
		CHECK(child_wait(&client, &s)); // it got AGAIN and left
		EQUAL(s.cause, PARTNER_FAILED(1, ERR_AGAIN));
		enum error late = kcall(CALL_channel_accept, 0).error;
		CHECK(late == ERR_HANDLE || late == ERR_STATE || late == ERR_OK);
		CHECK(child_destroy(&client));
		WORKS(CALL_domain_publish, test_own, partner_service('a'), 0, SERVICE_NONE);
	}
}

static void names_are_looked_up(void)
{
	struct child server;
	EQUAL(own_open(0).error, ERR_NOT_FOUND);
	CHECK(server_run(&server, test_cores - 1, 0, 0));
	CHECK(child_publish(&server, 'a', SERVICE_HELD));
	EQUAL(own_open(0).error, ERR_PEER_LOST);
	CHECK(child_publish(&server, 'a', SERVICE_NONE));
	EQUAL(own_open(0).error, ERR_NOT_FOUND);
	CHECK(child_publish(&server, 'a', SERVICE_UP));
	EQUAL(own_open(0).error, ERR_OK);
	CHECK(child_withdraw(&server, 'a'));
	EQUAL(own_open(0).error, ERR_NOT_FOUND);
}

// ---- rights on the memory

// Each side's pages are read-only for the other. `peer` writes where it must not: page 0 (server), page 1 (client).
static void pages_of_the_peer(void)
{
	struct child server;
	struct channel_geometry g = {0};
	CHECK(server_run(&server, test_cores - 1, 0, 0));
	struct kernel_result r = own_open(8192);
	EQUAL(r.error, ERR_OK);
	unsigned slot = (unsigned)r.value[0];
	CHECK(bare_layout(slot, &g));
	volatile uint8_t *memory = machine_channel(slot);
	for (uint64_t at = 0; at < g.bytes; at += PAGE_SIZE) { // all of it is there and was clear
		bool words = at != PAGE_SIZE;
		EQUAL(*(volatile uint64_t *)(memory + at), 0);
		if (words && (at < PAGE_SIZE || (at >= g.requests && at < g.records) || (at >= g.out && at < g.in)))
			*(volatile uint64_t *)(memory + at + 8) = 1;
	}
	CHECK(child_withdraw(&server, 'a'));
}

// Which side may write the page at that offset; the other dies of it.
static void trespass_of(bool server_tries, uint64_t offset, bool allowed)
{
	struct partner_argument serve = {.service = 'a'}, use = {.service = 'a'};
	struct child server, client;
	struct domain_status s;
	(server_tries ? &serve : &use)->trespass = (uint16_t)(offset | 1);
	CHECK(child_run(&server, test_cores - 1, "server", test_argument(&serve)));
	CHECK(child_wait_ready(&server) && child_publish(&server, 'a', SERVICE_UP));
	CHECK(child_run(&client, 0, "client", test_argument(&use)));
	if (allowed) {
		CHECK(child_wait(&client, &s)); // what it wrote may confuse the exchange; nobody died of it
		EQUAL(s.state >> 8 & 0xff, FAULT_EXIT);
		CHECK(child_state(&server) != DOMAIN_STOPPED);
	} else {
		CHECK(child_wait(server_tries ? &server : &client, &s));
		EQUAL(s.state >> 8 & 0xff, FAULT_EXCEPTION);
		EQUAL(s.cause, 23);
		EQUAL(s.address, GPA_CHANNEL + offset);
	}
	CHECK(child_destroy(&client));
	CHECK(child_withdraw(&server, 'a'));
}

static void trespass_dies(void)
{
	struct channel_geometry g;
	CHECK(channel_layout(&g, PARTNER_SLOTS, PARTNER_OUT_BYTES, PARTNER_IN_BYTES));
	const struct {
		uint64_t offset;
		bool of_server;
	} parts[] = {{128, false},        {PAGE_SIZE + 128, true}, {g.requests + 128, false}, {g.records + 128, true},
		     {g.out + 16, false}, {g.in - 8, false},       {g.in + 16, true},         {g.bytes - 8, true}};
	for (unsigned i = 0; i < 8 && !test_failed(); i++) {
		trespass_of(true, parts[i].offset, parts[i].of_server);
		trespass_of(false, parts[i].offset, !parts[i].of_server);
	}
	trespass_of(true, g.bytes, false); // behind its end there is nothing, for either
	trespass_of(false, g.bytes, false);
}

// ---- restarts

static void restart_keeps_the_channel(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child server;
		CHECK(server_run(&server, core, 0, 0));
		struct kernel_result r = own_open(8192);
		EQUAL(r.error, ERR_OK);
		unsigned slot = (unsigned)r.value[0];
		volatile uint64_t *word = (volatile uint64_t *)(machine_channel(slot) + 8);
		*word = 0x1234567;
		for (uint32_t epoch = 2; epoch < 5; epoch++) {
			while (kcall(CALL_event_next).value[0] != EVENT_NONE)
				;
			CHECK(child_restore(&server));
			CHECK(own_becomes(slot, CHANNEL_DOWN));
			CHECK(event_comes(EVENT_CHANNEL_STATE, slot));
			CHECK(child_begin(&server));
			CHECK(own_becomes(slot, CHANNEL_OPEN));
			EQUAL(CHANNEL_PEER_EPOCH(kcall(CALL_channel_info, slot).value[4]), epoch);
			EQUAL(*word, 0x1234567);
		}
		WORKS(CALL_channel_close, slot);
		CHECK(child_withdraw(&server, 'a'));
	}
}

// A request lies in the ring while its server dies: the next incarnation answers it.
static void request_waits_for_successor(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child server, client;
		CHECK(server_run(&server, core, PARTNER_DEAF, 0));
		CHECK(client_run(&client, (core + 1) % test_cores, PARTNER_EPOCH | PARTNER_CLOSES, 3, 0));
		test_nap(10000);
		CHECK(child_restore(&server));
		CHECK(child_begin(&server));
		CHECK(child_exits(&client, 0));
		CHECK(child_destroy(&client));
		CHECK(child_withdraw(&server, 'a'));
	}
}

// A request to register is pending while the server is restarted: the next incarnation gets the event.
static void registration_waits_for_successor(void)
{
	for (unsigned core = 0; core < test_cores; core += test_cores > 1 ? test_cores - 1 : 1) {
		struct child server, client;
		CHECK(server_run(&server, core, PARTNER_DEAF | PARTNER_IGNORES, 0));
		CHECK(client_run(&client, (core + 1) % test_cores, 0, 1, 0));
		test_nap(5000);
		CHECK(child_restore(&server));
		CHECK(child_begin(&server)); // it still ignores: the client gets AGAIN in the end, nothing is lost
		CHECK(child_exits(&client, PARTNER_FAILED(1, ERR_AGAIN)));
		CHECK(child_destroy(&client));
		CHECK(child_withdraw(&server, 'a'));
	}
}

// A client that is restarted finds its channel open.
static void client_restart_keeps_the_channel(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child server, client;
		CHECK(server_run(&server, (core + 1) % test_cores, 0, 0));
		CHECK(client_run(&client, core, PARTNER_STAYS, 3, 0));
		CHECK(child_wait_ready(&client));
		uint64_t used = child_status(&client).frames_used;
		CHECK(child_restore(&client));
		EQUAL(child_status(&client).frames_used, used);
		CHECK(child_destroy(&client));
		CHECK(child_withdraw(&server, 'a'));
	}
}

static void restart_under_way(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child server, client;
		CHECK(server_run(&server, core, 0, 0));
		CHECK(client_run(&client, (core + 1) % test_cores, 0, 1000, 0));
		for (unsigned i = 0; i < 12; i++) {
			test_nap(1000 + 137 * i);
			CHECK(child_restore(&server));
			CHECK(child_begin(&server));
		}
		CHECK(child_exits(&client, 0));
		CHECK(child_destroy(&client));
		CHECK(child_withdraw(&server, 'a'));
	}
}

static void complaint_needs_evidence(void)
{
	struct child server;
	CHECK(server_run(&server, test_cores - 1, PARTNER_DEAF, 0));
	struct kernel_result r = own_open(0);
	unsigned slot = (unsigned)r.value[0];
	FAILS(ERR_INVALID, CALL_channel_complain, slot, 0);
	FAILS(ERR_INVALID, CALL_channel_complain, slot, 99);
	FAILS(ERR_INVALID, CALL_channel_complain, slot, COMPLAINT_NO_ANSWER); // nothing was asked
	struct channel_geometry g = {0};
	CHECK(bare_layout(slot, &g));
	struct request *request = (struct request *)(machine_channel(slot) + g.requests);
	request->seq = 1;
	FAILS(ERR_AGAIN, CALL_channel_complain, slot, COMPLAINT_NO_ANSWER); // it has just been asked, for all that we know
	FAILS(ERR_AGAIN, CALL_channel_complain, slot, COMPLAINT_NO_ANSWER);
	test_nap(2 * COMPLAINT_AGE_MS * 1000);
	request->seq = 2; // another one: its age begins with the first complaint about it
	uint64_t since = time_read(), age = COMPLAINT_AGE_MS * test_self.timebase / 1000;
	FAILS(ERR_AGAIN, CALL_channel_complain, slot, COMPLAINT_NO_ANSWER);
	enum error e = ERR_AGAIN;
	for (unsigned i = 0; i < 5000 && e == ERR_AGAIN; i++) {
		test_nap(1000);
		e = kcall(CALL_channel_complain, slot, COMPLAINT_NO_ANSWER).error;
	}
	EQUAL(e, ERR_OK);
	CHECK(time_read() - since >= age);
	bool told = false;
	for (unsigned i = 0; i < 5000 && !told; i++) {
		struct kernel_result event = kcall(CALL_event_next);
		told = event.value[0] == EVENT_COMPLAINT &&
		       event.value[1] == ((uint64_t)server.core << 32 | server.domain) &&
		       event.value[3] == COMPLAINT_NO_ANSWER;
		if (event.value[0] == EVENT_NONE)
			test_nap(200);
	}
	CHECK(told);
	CHECK(child_withdraw(&server, 'a'));
}

// About ourselves: we live on, which our kernel suffers twice. Our next incarnation says that it is not the first.
static void complaints_about_us(bool taken)
{
	struct child client;
	WORKS(CALL_ready);
	WORKS(CALL_domain_publish, test_own, partner_service('a'), 0, SERVICE_UP);
	CHECK(client_run(&client, test_cores - 1, PARTNER_COMPLAINS, 0, 0));
	for (unsigned i = 0, accepted = 0; i < 20000; i++) {
		struct kernel_result event = {.value = {EVENT_NONE}};
		if (taken || !accepted)
			event = kcall(CALL_event_next);
		if (event.value[0] == EVENT_CHANNEL_REQUEST) {
			WORKS(CALL_channel_accept, event.value[1]);
			accepted = 1;
		} else if (event.value[0] == EVENT_COMPLAINT) {
			test_say("a complaint is ignored");
		} else if (event.value[0] == EVENT_NONE) {
			test_nap(200);
		}
	}
	CHECK(false);
}

static void complaints_taken(void)
{
	complaints_about_us(true);
}

// They are all the same complaint, of which one is pending: each counts.
static void complaints_unheard(void)
{
	complaints_about_us(false);
}

const struct kernel_test channel_tests[] = {
	{"channel.pairs", pairs_everywhere},
	{"channel.company.asleep", company_of_sleepers},
	{"channel.company.busy", company_of_spinners},
	{"channel.info", info_of_both_ends},
	{"channel.identities", identities_by_priority},
	{"channel.refuse", refusal},
	{"channel.slots", slots_run_out},
	{"channel.quota", quota_holds_for_channels},
	{"channel.names", names_are_looked_up},
	{"channel.pages", pages_of_the_peer},
	{"channel.trespass", trespass_dies},
	{"channel.ignored", nobody_accepts},
	{"channel.ignored.often", nobody_accepts_often},
	{"channel.late", accept_comes_late},
	{"channel.restart.state", restart_keeps_the_channel},
	{"channel.restart.request", request_waits_for_successor},
	{"channel.restart.register", registration_waits_for_successor},
	{"channel.restart.client", client_restart_keeps_the_channel},
	{"channel.restart.busy", restart_under_way},
	{"channel.complain", complaint_needs_evidence},
	{"alone.complaints", complaints_taken},
	{"alone.unheard", complaints_unheard},
	{0, 0},
};
