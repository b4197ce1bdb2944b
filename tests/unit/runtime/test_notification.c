// Notifications at both ends, over a kernel and a loop that are not there: what raises them, who is woken, and what is left
// after a death of either side. A server never touches the memory of one: there is none, and the fake kernel would say so.
#include "world.h"
#include "runtime/fiber.h"
#include "runtime/machine.h"
#include "runtime/notification.c"
#include "runtime/server.c"

#define RINGS_CLIENT 10u // identities of the fake kernel
#define RINGS_SERVER 20u

static struct notification *told[8];
static bool told_gone[8];
static unsigned told_count;
static bool replays_done;
static bool closes_gone;
static jmp_buf finished;

static void tell(struct notification *n)
{
	assert_true(loop_running());
	assert_true(told_count < 8);
	told_gone[told_count] = n->gone;
	told[told_count++] = n;
	if (n->gone && closes_gone)
		notification_close(n);
}

static void forget(void)
{
	while (notifications) {
		notifications->gone = true;
		notification_close(notifications);
	}
}

static int fresh(void **state)
{
	(void)state;
	world_make(0, 0, 0);
	told_count = 0;
	replays_done = false;
	closes_gone = true;
	return 0;
}

static int clean(void **state)
{
	(void)state;
	forget();
	world_free();
	return 0;
}

static struct notification *open_new(void)
{
	struct notification *n = 0;
	world.exists = false;
	assert_int_equal(notification_open(&n, "ledger", 1), ERR_OK);
	assert_int_equal(world.opened, 1);
	return n;
}

// --- the client's end

static void begins_raised_and_counts_as_one(void **state)
{
	(void)state;
	struct notification *n = open_new();
	assert_true(notification_take(n));
	assert_false(notification_take(n));
	world_ring(RINGS_CLIENT);
	world_ring(RINGS_CLIENT);
	world_notify(); // seen by the loop
	world_ring(RINGS_CLIENT);
	assert_true(notification_take(n));
	assert_false(notification_take(n));
	world_ring(RINGS_CLIENT); // seen by the take itself
	assert_true(notification_take(n));
	assert_false(notification_take(n));
	notification_close(n);
	assert_int_equal(world.closed_client, 1);
}

static void signal_is_one_store_or_a_call(void **state)
{
	(void)state;
	struct notification *n = open_new();
	assert_int_equal(*machine_doorbell(WORLD_CLIENT), 0); // nothing was signalled yet
	notification_signal(n);
	assert_int_equal(*machine_doorbell(WORLD_CLIENT), RINGS_SERVER);
	assert_int_equal(world.rings_by_kernel, 0);
	world_doorbell_clear();
	world.no_page = true;
	assert_int_equal(channel_view_refresh(&n->view), ERR_OK);
	notification_signal(n);
	assert_int_equal(*machine_doorbell(WORLD_CLIENT), 0);
	assert_int_equal(world.rings_by_kernel, 1);
}

static unsigned turns;

static void turn_that_rings(bool may_sleep)
{
	assert_true(may_sleep);
	if (++turns == 3)
		world_ring(RINGS_CLIENT);
	world_notify();
	assert_true(turns < 100);
}

static void wait_parks_until_rung(void **state)
{
	(void)state;
	struct notification *n = open_new();
	turns = 0;
	world_turn = turn_that_rings;
	assert_int_equal(notification_wait(n), ERR_OK);
	assert_int_equal(turns, 0); // it began raised
	assert_int_equal(notification_wait(n), ERR_OK);
	assert_int_equal(turns, 3);
	assert_null(n->fiber);
}

static void bound_fiber_is_woken_at_each_ring(void **state)
{
	(void)state;
	struct notification *n = open_new();
	world_ring(RINGS_CLIENT);
	world_notify();
	assert_int_equal(world.wakes, 0);
	notification_bind(n, fiber_self());
	for (unsigned i = 1; i <= 3; i++) {
		world_ring(RINGS_CLIENT);
		world_notify();
		assert_int_equal(world.wakes, i);
	}
	world_turn = turn_that_rings;
	assert_int_equal(notification_wait(n), ERR_OK);
	assert_ptr_equal(n->fiber, fiber_self()); // still bound
	notification_bind(n, 0);
	world_ring(RINGS_CLIENT);
	world_notify();
	assert_int_equal(world.wakes, 3);
	assert_true(notification_take(n));
}

static void callback_is_told_each_time(void **state)
{
	(void)state;
	struct notification *n = open_new();
	n->notified = tell;
	world_ring(RINGS_CLIENT);
	world_notify();
	world_ring(RINGS_CLIENT);
	world_notify();
	assert_int_equal(told_count, 2);
	assert_true(notification_take(n));
	assert_false(notification_take(n));
}

static void death_of_the_server_raises_both(void **state)
{
	(void)state;
	struct notification *n = open_new();
	notification_take(n);
	world.client_state = CHANNEL_DOWN;
	world_state_changed(WORLD_CLIENT);
	assert_false(notification_take(n));
	assert_int_equal(*machine_doorbell(WORLD_CLIENT), 0);
	world.client_state = CHANNEL_OPEN;
	world_state_changed(WORLD_CLIENT + 1); // another channel's
	assert_false(notification_take(n));
	world_state_changed(WORLD_CLIENT);
	assert_true(notification_take(n));
	assert_int_equal(*machine_doorbell(WORLD_CLIENT), RINGS_SERVER);
}

static void turn_that_loses(bool may_sleep)
{
	(void)may_sleep;
	world.client_state = CHANNEL_LOST;
	world_state_changed(WORLD_CLIENT);
}

static void lost_service_ends_a_wait(void **state)
{
	(void)state;
	struct notification *n = open_new();
	notification_take(n);
	world_turn = turn_that_loses;
	assert_int_equal(notification_wait(n), ERR_PEER_LOST);
	assert_true(n->gone);
	assert_int_equal(notification_wait(n), ERR_PEER_LOST);
}

// The next incarnation of a client resumes it, raised, and signals; what is no notification is none of its business.
static void former_one_is_resumed(void **state)
{
	(void)state;
	struct notification *n = 0, *second = 0;
	assert_int_equal(notification_open(&n, "ledger", 0), ERR_OK);
	assert_int_equal(world.opened, 0);
	assert_true(notification_take(n));
	assert_int_equal(*machine_doorbell(WORLD_CLIENT), RINGS_SERVER);
	world.open_error = ERR_REFUSED; // this one is taken: another would be new
	assert_int_equal(notification_open(&second, "ledger", 0), ERR_REFUSED);
	forget();
	world_make(8, 8192, 8192);
	world.open_error = ERR_REFUSED;
	assert_int_equal(notification_open(&second, "ledger", 0), ERR_REFUSED);
	assert_int_equal(world.opened, 1);
	assert_int_equal(world.closed_client, 0);
}

static void wrong_wishes_are_refused(void **state)
{
	(void)state;
	struct notification *n = 0;
	world.exists = false;
	assert_int_equal(notification_open(&n, "other", 0), ERR_NOT_FOUND);
	assert_int_equal(notification_open(&n, "ledger", CHANNEL_PRIORITIES), ERR_INVALID);
	assert_null(n);
}

// --- the server's end

static enum error start(uint64_t *mark)
{
	*mark = 0;
	assert_int_equal(told_count, 0);
	return ERR_OK;
}

static void replayed(void)
{
	assert_int_equal(told_count, 0);
	replays_done = true;
}

static struct server server_with(void (*notified)(struct notification *))
{
	static const struct protocol protocol = {"test", 0, 0};
	return (struct server){.protocol = &protocol, .start = start, .replayed = replayed, .notified = notified};
}

static void (*script)(void);

static void turn_of_server(bool may_sleep)
{
	(void)may_sleep;
	world_notify();
	script();
	longjmp(finished, 1);
}

static void serve(const struct server *server, void (*what)(void))
{
	script = what;
	world_turn = turn_of_server;
	if (!setjmp(finished))
		server_run(server);
	memset(&this, 0, sizeof(this));
}

static void client_rings_and_goes(void)
{
	assert_int_equal(world.accepted, 1);
	assert_int_equal(told_count, 1); // at once, so that the program knows it
	world_ring(RINGS_SERVER);
	world_notify();
	assert_int_equal(told_count, 2);
	notification_signal(told[0]); // it goes both ways
	assert_int_equal(*machine_doorbell(WORLD_SERVER), RINGS_CLIENT);
	world.server_state = CHANNEL_CLOSED;
	loop_server_event(EVENT_CHANNEL_CLOSED, WORLD_SERVER);
	assert_int_equal(told_count, 3);
	assert_true(told_gone[2] && !told_gone[1]);
	assert_int_equal(world.closed_server, 1);
	assert_null(notifications);
}

static void server_accepts_and_is_told(void **state)
{
	(void)state;
	struct server server = server_with(tell);
	world.server_state = CHANNEL_REQUESTED;
	serve(&server, client_rings_and_goes);
}

static void client_comes_later(void)
{
	world.exists = true;
	world.server_state = CHANNEL_REQUESTED;
	loop_server_event(EVENT_CHANNEL_REQUEST, WORLD_SERVER);
	client_rings_and_goes();
}

static void server_accepts_while_serving(void **state)
{
	(void)state;
	struct server server = server_with(tell);
	world.exists = false;
	serve(&server, client_comes_later);
}

static void nobody_is_told(void)
{
	assert_int_equal(told_count, 0);
}

static void server_without_use_for_them_refuses(void **state)
{
	(void)state;
	struct server server = server_with(0);
	world.server_state = CHANNEL_REQUESTED;
	serve(&server, nobody_is_told);
	assert_int_equal(world.refused, 1);
	assert_int_equal(world.accepted, 0);
}

static void adopted_is_raised(void)
{
	assert_true(replays_done);
	assert_int_equal(told_count, 1);
	assert_false(told_gone[0]);
	client_rings_and_goes();
}

static void next_incarnation_is_told_of_each(void **state)
{
	(void)state;
	struct server server = server_with(tell);
	world.accepted = 1; // in the former life
	serve(&server, adopted_is_raised);
}

static void was_told_of_the_end(void)
{
	assert_int_equal(told_count, 1);
	assert_true(told_gone[0]);
	assert_int_equal(world.closed_server, 1);
}

static void client_went_while_server_was_dead(void **state)
{
	(void)state;
	struct server server = server_with(tell);
	world.server_state = CHANNEL_CLOSED;
	serve(&server, was_told_of_the_end);
}

static void is_closed_without_a_word(void)
{
	assert_int_equal(told_count, 0);
	assert_int_equal(world.closed_server, 0);
	world.server_state = CHANNEL_CLOSED;
	loop_server_event(EVENT_CHANNEL_CLOSED, WORLD_SERVER);
	assert_int_equal(world.closed_server, 1);
}

// Another image may follow, which has no use for what its predecessor accepted.
static void successor_without_use_for_them(void **state)
{
	(void)state;
	struct server server = server_with(0);
	serve(&server, is_closed_without_a_word);
}

static void is_still_there(void)
{
	assert_int_equal(told_count, 1);
	assert_int_equal(world.closed_server, 0);
	notification_close(told[0]);
	assert_int_equal(world.closed_server, 1);
}

static void program_closes_it_later(void **state)
{
	(void)state;
	struct server server = server_with(tell);
	closes_gone = false;
	world.server_state = CHANNEL_CLOSED;
	serve(&server, is_still_there);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(begins_raised_and_counts_as_one, fresh, clean),
		cmocka_unit_test_setup_teardown(signal_is_one_store_or_a_call, fresh, clean),
		cmocka_unit_test_setup_teardown(wait_parks_until_rung, fresh, clean),
		cmocka_unit_test_setup_teardown(bound_fiber_is_woken_at_each_ring, fresh, clean),
		cmocka_unit_test_setup_teardown(callback_is_told_each_time, fresh, clean),
		cmocka_unit_test_setup_teardown(death_of_the_server_raises_both, fresh, clean),
		cmocka_unit_test_setup_teardown(lost_service_ends_a_wait, fresh, clean),
		cmocka_unit_test_setup_teardown(former_one_is_resumed, fresh, clean),
		cmocka_unit_test_setup_teardown(wrong_wishes_are_refused, fresh, clean),
		cmocka_unit_test_setup_teardown(server_accepts_and_is_told, fresh, clean),
		cmocka_unit_test_setup_teardown(server_accepts_while_serving, fresh, clean),
		cmocka_unit_test_setup_teardown(server_without_use_for_them_refuses, fresh, clean),
		cmocka_unit_test_setup_teardown(next_incarnation_is_told_of_each, fresh, clean),
		cmocka_unit_test_setup_teardown(client_went_while_server_was_dead, fresh, clean),
		cmocka_unit_test_setup_teardown(successor_without_use_for_them, fresh, clean),
		cmocka_unit_test_setup_teardown(program_closes_it_later, fresh, clean),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
