// One wait for several things: which of them came, what is left for the next wait, and that nobody is woken for it afterwards.
#include "client_script.h"
#include "runtime/await.h"

enum { REQUEST = 1, BELL = 2, FLAG = 4 };
#define PATIENCE_US 5000u

static struct client *client;
static struct notification *bell;
static struct client_request asked;
static struct flag flag;
static struct await all[3];
static unsigned comes;      // in the turn below: what is to be there
static unsigned comes_in;   // so many turns
static struct fiber *jostled; // is woken in each turn, for nothing

static void bring(void)
{
	if (comes & BELL)
		world_ring(bell->view.own_identity);
	if (comes & FLAG)
		flag_raise(&flag);
	silent = !(comes & REQUEST);
	comes = 0;
}

static void turn_that_brings(bool may_sleep)
{
	if (comes_in && --comes_in == 0)
		bring();
	if (jostled)
		fiber_wake(jostled);
	world_notify();
	turn(may_sleep);
}

// The bell is quiet, the request submitted and not answered, the flag lowered.
static void fresh(void)
{
	near_next = false;
	client = open_fresh(0, 8);
	assert_int_equal(notification_open(&bell, "ledger", 1), ERR_OK);
	assert_true(notification_take(bell));
	silent = true;
	flag = (struct flag){0};
	comes = comes_in = 0;
	jostled = 0;
	world_turn = turn_that_brings;
	asked = (struct client_request){.op = OP_ECHO, .arg = {7}};
	assert_int_equal(client_submit(client, &asked), ERR_OK);
	all[0] = (struct await){.request = &asked};
	all[1] = (struct await){.notification = bell};
	all[2] = (struct await){.flag = &flag};
}

static void nobody_is_told(void)
{
	assert_null(asked.waiter);
	assert_null(bell->fiber);
	assert_null(flag.waiter);
}

static void over(void)
{
	nobody_is_told();
	timer_cancel(&client->watch);
	assert_int_equal(timer_next(), ~0ull);
	world.client_state = CHANNEL_LOST;
	notification_close(bell);
	client_close(client);
}

static uint64_t await_all(unsigned what, unsigned in_turns)
{
	comes = what;
	comes_in = in_turns;
	return await_any(all, 3, AWAIT_FOREVER);
}

static void each_is_told_apart(void **state)
{
	(void)state;
	for (unsigned what = 1; what < 8; what++) {
		fresh();
		assert_int_equal(await_all(what, 3), what);
		assert_int_equal(asked.done, (what & REQUEST) != 0);
		over();
	}
}

// A signal is taken, an answer and a flag stay; what comes later is for the next wait, which does not sleep if it is there.
static void nothing_is_lost_between_two_waits(void **state)
{
	(void)state;
	fresh();
	assert_int_equal(await_all(BELL, 1), BELL);
	assert_int_equal(await_all(FLAG, 1), FLAG);
	turns = 0;
	assert_int_equal(await_any(all, 3, AWAIT_FOREVER), FLAG);
	world_ring(bell->view.own_identity);
	assert_int_equal(await_any(all, 3, AWAIT_FOREVER), BELL | FLAG);
	assert_int_equal(turns, 0);
	flag.raised = false;
	assert_int_equal(await_all(REQUEST, 1), REQUEST);
	assert_int_equal(asked.completion.result[0], 7);
	assert_int_equal(await_any(all, 3, AWAIT_FOREVER), REQUEST);
	over();
}

static void it_ends_at_the_deadline(void **state)
{
	(void)state;
	fresh();
	uint64_t end = time_now() + PATIENCE_US;
	assert_int_equal(await_any(all, 3, end), 0);
	assert_true(time_now() >= end);
	nobody_is_told();
	assert_int_equal(await_any(all, 0, time_now()), 0); // a mere look, and a turn
	comes = FLAG;
	comes_in = 1;
	assert_int_equal(await_any(all, 3, time_now() + PATIENCE_US), FLAG);
	over();
}

static void other_wakes_do_not_end_it(void **state)
{
	(void)state;
	fresh();
	jostled = fiber_self();
	assert_int_equal(await_all(BELL, 20), BELL);
	over();
}

static void a_lost_service_ends_it(void **state)
{
	(void)state;
	fresh();
	state_after = CHANNEL_LOST;
	assert_int_equal(await_any(all, 3, AWAIT_FOREVER), REQUEST | BELL);
	assert_int_equal(asked.completion.status, ERR_PEER_LOST);
	assert_true(bell->gone);
	assert_int_equal(await_any(&all[1], 1, AWAIT_FOREVER), 1);
	over();
}

static struct flag turn_of[2];
static char said[16];

static void ping_pong(void *argument)
{
	unsigned own = *(unsigned *)argument;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(await_any(&(struct await){.flag = &turn_of[own]}, 1, AWAIT_FOREVER), 1);
		turn_of[own].raised = false;
		strcat(said, own ? "b" : "a");
		flag_raise(&turn_of[1 - own]);
	}
	if (own)
		flag_raise(&flag);
}

static void fibers_tell_each_other_by_flags(void **state)
{
	static unsigned who[] = {0, 1};
	(void)state;
	fresh();
	assert_non_null(fiber_create(ping_pong, &who[1], "b"));
	assert_non_null(fiber_create(ping_pong, &who[0], "a"));
	flag_raise(&turn_of[0]);
	assert_int_equal(await_any(all, 3, AWAIT_FOREVER), FLAG);
	assert_string_equal(said, "ababab");
	over();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_told_apart),
		cmocka_unit_test(nothing_is_lost_between_two_waits),
		cmocka_unit_test(it_ends_at_the_deadline),
		cmocka_unit_test(other_wakes_do_not_end_it),
		cmocka_unit_test(a_lost_service_ends_it),
		cmocka_unit_test(fibers_tell_each_other_by_flags),
	};
	return cmocka_run_group_tests(tests, 0, world_teardown);
}
