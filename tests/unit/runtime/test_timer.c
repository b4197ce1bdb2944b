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
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(earliest_first)};
	return cmocka_run_group_tests(tests, 0, 0);
}
