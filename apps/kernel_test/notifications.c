// Tests of notifications: channels without memory, on all cores, with and without guest files, and whoever dies.
#include "apps/kernel_test/test.h"

static bool sound_run(struct child *c, unsigned core, unsigned domain_flags)
{
	return child_serve_as(c, core, "sound", 0, 1, domain_flags, 'n');
}

static bool notify_run(struct child *c, unsigned core, uint16_t flags, uint16_t rounds, unsigned domain_flags)
{
	struct partner_argument how = {.service = 'n', .flags = flags, .rounds = rounds};
	return child_run_as(c, core, "notify", test_argument(&how), 1, domain_flags);
}

static struct kernel_result open_own(void)
{
	return kcall(CALL_channel_open, partner_service('n'), 0, 1, 0, 0);
}

static bool own_becomes_state(unsigned slot, unsigned state)
{
	for (unsigned i = 0; i < 20000; i++) {
		if (CHANNEL_INFO_STATE(kcall(CALL_channel_info, slot).value[0]) == state)
			return true;
		test_nap(200);
	}
	return false;
}

// Nothing but rings wakes either of them.
static void pair_rings(unsigned sound_core, unsigned notify_core, unsigned sound_flags, unsigned notify_flags)
{
	struct child sound, notify;
	CHECK(sound_run(&sound, sound_core, sound_flags));
	CHECK(notify_run(&notify, notify_core, PARTNER_TRUSTS | PARTNER_CLOSES, 30, notify_flags));
	CHECK(child_exits(&notify, 0));
	CHECK(child_destroy(&notify));
	CHECK(child_withdraw(&sound, 'n'));
}

static void pairs_ring_everywhere(void)
{
	test_pairs(pair_rings);
}

// What both ends have, and that there is no memory: no frame is taken, and nobody can be complained about.
static void info_without_memory(void)
{
	struct child sound;
	for (unsigned core = 0; core < test_cores; core++) {
		CHECK(sound_run(&sound, core, 0));
		struct kernel_result opened = open_own(); // the tables of the doorbell window are there from now on
		EQUAL(opened.error, ERR_OK);
		uint64_t free = test_free_frames(0), more[8];
		for (unsigned i = 0; i < 8; i++)
			more[i] = open_own().value[0];
		EQUAL(test_free_frames(0), free);
		struct kernel_result info = kcall(CALL_channel_info, opened.value[0]);
		EQUAL(CHANNEL_INFO_STATE(info.value[0]), CHANNEL_OPEN);
		EQUAL(CHANNEL_INFO_SLOTS(info.value[1]), 0);
		EQUAL(info.value[2] | info.value[3], 0);
		CHECK(CHANNEL_OWN_IDENTITY(info.value[1]) >= IDENTITY_CHANNEL);
		CHECK(CHANNEL_PEER_IDENTITY(info.value[1]) >= IDENTITY_CHANNEL);
		for (unsigned reason = 0; reason < 5; reason++)
			FAILS(ERR_INVALID, CALL_channel_complain, opened.value[0], reason);
		for (unsigned i = 0; i < 8; i++)
			WORKS(CALL_channel_close, more[i]);
		WORKS(CALL_channel_close, opened.value[0]);
		CHECK(child_withdraw(&sound, 'n'));
	}
}

static void half_a_notification_is_refused(void)
{
	struct child sound;
	CHECK(sound_run(&sound, test_cores - 1, 0));
	FAILS(ERR_INVALID, CALL_channel_open, partner_service('n'), 0, 0, 1, 0);
	FAILS(ERR_INVALID, CALL_channel_open, partner_service('n'), 0, 0, 0, PAGE_SIZE);
	FAILS(ERR_INVALID, CALL_channel_open, partner_service('n'), 0, 1ul << 32, 0, 0);
	CHECK(child_withdraw(&sound, 'n'));
}

static void window_is_empty(void)
{
	struct partner_argument how = {.service = 'n', .rounds = 1, .trespass = 1};
	struct child sound, notify;
	struct domain_status s;
	CHECK(sound_run(&sound, test_cores - 1, 0));
	CHECK(child_run(&notify, 0, "notify", test_argument(&how)));
	CHECK(child_wait(&notify, &s));
	EQUAL(s.state >> 8 & 0xff, FAULT_EXCEPTION);
	EQUAL(s.address, GPA_CHANNEL);
	CHECK(child_destroy(&notify));
	CHECK(child_withdraw(&sound, 'n'));
}

static void server_dies_under_way(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child sound, notify;
		CHECK(sound_run(&sound, core, core % 2 ? DOMAIN_FLAG_NO_FILE : 0));
		CHECK(notify_run(&notify, (core + 1) % test_cores, PARTNER_CLOSES, 1000, 0));
		for (unsigned i = 0; i < 8; i++) {
			test_nap(1000 + 137 * i);
			CHECK(child_restore(&sound));
			CHECK(child_begin(&sound));
		}
		CHECK(child_exits(&notify, 0));
		CHECK(child_destroy(&notify));
		CHECK(child_withdraw(&sound, 'n'));
	}
}

// Our own end, while its server dies and comes back; then the server is given up.
static void server_dies_and_is_given_up(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child sound;
		CHECK(sound_run(&sound, core, 0));
		unsigned slot = (unsigned)open_own().value[0];
		for (uint32_t epoch = 2; epoch < 4; epoch++) {
			CHECK(child_restore(&sound));
			CHECK(own_becomes_state(slot, CHANNEL_DOWN));
			CHECK(child_begin(&sound));
			CHECK(own_becomes_state(slot, CHANNEL_OPEN));
			EQUAL(CHANNEL_PEER_EPOCH(kcall(CALL_channel_info, slot).value[4]), epoch);
		}
		WORKS(CALL_domain_stop, sound.handle, FAULT_KILLED);
		WORKS(CALL_domain_unregister, sound.handle, 1);
		CHECK(own_becomes_state(slot, CHANNEL_LOST));
		bare_ring(slot); // goes nowhere
		WORKS(CALL_channel_close, slot);
		CHECK(child_withdraw(&sound, 'n'));
	}
}

static void client_dies(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child sound, notify, last;
		unsigned other = (core + 1) % test_cores;
		CHECK(sound_run(&sound, core, 0));
		CHECK(notify_run(&notify, other, PARTNER_STAYS, 20, core % 2 ? DOMAIN_FLAG_NO_FILE : 0));
		CHECK(child_wait_ready(&notify));
		CHECK(child_restore(&notify));
		CHECK(child_destroy(&notify)); // it never began again: the server is told
		CHECK(notify_run(&notify, other, 0, 60000, 0));
		test_nap(3000);
		CHECK(child_destroy(&notify)); // in the middle
		CHECK(notify_run(&last, other, PARTNER_TRUSTS, 20, 0)); // and the server lives
		CHECK(child_exits(&last, 0));
		CHECK(child_destroy(&last));
		CHECK(child_withdraw(&sound, 'n'));
	}
}

static void notifications_do_not_leak(void)
{
	struct child sound, notify;
	CHECK(sound_run(&sound, test_cores - 1, 0));
	CHECK(notify_run(&notify, 0, PARTNER_TRUSTS | PARTNER_MANY, 200, 0));
	CHECK(child_exits(&notify, 0));
	CHECK(child_destroy(&notify));
	CHECK(child_withdraw(&sound, 'n'));
}

const struct kernel_test notification_tests[] = {
	{"notify.pairs", pairs_ring_everywhere},
	{"notify.info", info_without_memory},
	{"notify.invalid", half_a_notification_is_refused},
	{"notify.window", window_is_empty},
	{"notify.restart", server_dies_under_way},
	{"notify.lost", server_dies_and_is_given_up},
	{"notify.client", client_dies},
	{"notify.leaks", notifications_do_not_leak},
	{0, 0},
};
