// Timers: order, cancelling, arming again from the callback.
#include "world.h"
#include "runtime/fiber.h"

static unsigned order[8];
static unsigned fired;
static struct timer timers[4];

static void expired(struct timer *timer)
{
	order[fired++] = (unsigned)(timer - timers);
	if (timer == &timers[3] && fired < 6)
		timer_arm(timer, world.time + 100);
}

static void earliest_first(void **state)
{
	(void)state;
	world.time = 0;
	for (unsigned i = 0; i < 4; i++)
		timers[i] = (struct timer){.expired = expired};
	assert_true(timer_next() == ~0ull);
	timer_arm(&timers[0], 300);
	timer_arm(&timers[1], 100);
	timer_arm(&timers[2], 200);
	timer_arm(&timers[2], 250); // moved
	assert_int_equal(timer_next(), 100);
	assert_false(timer_run_due());
	timer_cancel(&timers[0]);
	timer_cancel(&timers[0]);
	timer_arm(&timers[3], 260);
	world.time = 1000;
	assert_true(timer_run_due());
	assert_int_equal(fired, 3);
	assert_int_equal(order[0], 1);
	assert_int_equal(order[1], 2);
	assert_int_equal(order[2], 3);
	assert_true(timers[3].armed);
	world.time = 2000;
	timer_run_due();
	assert_int_equal(fired, 4); // once for each turn, even if it arms for the past
	timer_cancel(&timers[3]);
}

// --- many, against a list of what is armed

#define MANY 500u
static struct timer crowd[MANY];
static uint64_t armed_for[MANY]; // 0: it is not
static uint64_t last;

static void crowd_expired(struct timer *timer)
{
	unsigned i = (unsigned)(timer - crowd);
	assert_false(timer->armed);
	assert_int_equal(timer->deadline, armed_for[i]);
	assert_in_range(timer->deadline, last, world.time); // the earliest first
	last = timer->deadline;
	armed_for[i] = 0;
}

static uint64_t crowd_next(void)
{
	uint64_t next = ~0ull;
	for (unsigned i = 0; i < MANY; i++)
		next = armed_for[i] && armed_for[i] < next ? armed_for[i] : next;
	return next;
}

static void many_in_any_order(void **state)
{
	(void)state;
	world.time = 1000000;
	assert_true(timer_next() == ~0ull);
	for (unsigned i = 0; i < MANY; i++)
		crowd[i] = (struct timer){.expired = crowd_expired};
	for (unsigned step = 0; step < 40000; step++) {
		unsigned i = world_random() % MANY;
		if (world_random() % 4 == 0) {
			timer_cancel(&crowd[i]);
			armed_for[i] = 0;
		} else {
			armed_for[i] = world.time + 1 + world_random() % 3000;
			timer_arm(&crowd[i], armed_for[i]);
		}
		world.time += world_random() % 8;
		last = 0;
		bool due = crowd_next() <= world.time + 1; // each look at the clock is a tick
		assert_int_equal(timer_run_due(), due);
		assert_true(timer_next() == crowd_next() && timer_next() > world.time);
	}
	for (unsigned i = 0; i < MANY; i++)
		timer_cancel(&crowd[i]);
	assert_true(timer_next() == ~0ull);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(earliest_first), cmocka_unit_test(many_in_any_order)};
	return cmocka_run_group_tests(tests, 0, 0);
}
