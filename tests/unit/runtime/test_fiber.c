// Fibers: order, wakes that come first, mutexes, sleeping, stacks that are used again, the loop's share.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "abi/layout.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

struct loop_nap loop_naps;

static char trace[400];
static uint64_t now;
static unsigned polls, sleeps, allocations;
static void (*on_poll)(void);
static void (*on_sleep)(void);
static bool no_memory;

static void put(char c)
{
	size_t n = strlen(trace);
	assert_true(n + 1 < sizeof(trace));
	trace[n] = c;
	trace[n + 1] = 0;
}

struct kernel_result kernel_call(enum call number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
				 uint64_t a5)
{
	struct kernel_result r = {.error = no_memory ? ERR_QUOTA : ERR_OK};
	(void)a1, (void)a2, (void)a3, (void)a4, (void)a5;
	assert_int_equal(number, CALL_memory_alloc);
	if (no_memory)
		return r;
	allocations++;
	static uint8_t stacks[8][16 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
	assert_true(allocations <= 8 && a0 <= 16);
	r.value[0] = (uint64_t)stacks[allocations - 1];
	return r;
}

uint64_t time_now(void)
{
	return now;
}

uint64_t time_ticks_from_us(uint64_t us)
{
	return us;
}

bool loop_running(void)
{
	return false;
}

bool loop_poll(void)
{
	polls++;
	if (on_poll)
		on_poll();
	return timer_run_due();
}

void loop_sleep(void)
{
	sleeps++;
	assert_true(sleeps < 100);
	if (on_sleep)
		on_sleep();
	else
		now = timer_next();
}

_Noreturn void domain_panic(const char *source, int line, const char *what)
{
	fail_msg("%s:%d: %s", source, line, what);
	abort();
}

static int fresh(void **state)
{
	(void)state;
	trace[0] = 0;
	polls = sleeps = 0;
	on_poll = on_sleep = 0;
	no_memory = false;
	return 0;
}

static void letters(void *argument)
{
	for (unsigned i = 0; i < 3; i++) {
		put(*(char *)argument);
		fiber_yield();
	}
}

static void first_come_first_served(void **state)
{
	(void)state;
	assert_non_null(fiber_create(letters, "a", "a"));
	assert_non_null(fiber_create(letters, "b", "b"));
	for (unsigned i = 0; i < 4; i++) {
		put('m');
		fiber_yield();
	}
	assert_string_equal(trace, "mabmabmabm");
	assert_int_equal(allocations, 2);
	assert_false(fiber_any_ready());
}

static void stacks_are_used_again(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		assert_non_null(fiber_create(letters, "c", "c"));
		while (fiber_any_ready())
			fiber_yield();
	}
	assert_int_equal(allocations, 2);
	no_memory = true;
	assert_non_null(fiber_create(letters, "d", "d"));
	assert_non_null(fiber_create(letters, "d", "d"));
	assert_null(fiber_create(letters, "d", "d"));
	while (fiber_any_ready())
		fiber_yield();
}

static struct fiber *parked;

static void park_twice(void *argument)
{
	(void)argument;
	parked = fiber_self();
	put('1');
	fiber_park();
	put('2');
	fiber_park();
	put('3');
	parked = 0;
}

static void wakes_are_remembered(void **state)
{
	(void)state;
	fiber_create(park_twice, 0, "park");
	fiber_yield();
	assert_string_equal(trace, "1");
	fiber_wake(parked);
	fiber_wake(parked); // it has not run yet: one more is remembered
	fiber_yield();
	assert_string_equal(trace, "123");
	fiber_wake(fiber_self());
	fiber_park(); // returns at once
	assert_int_equal(sleeps, 0);
}

static void wake_parked(void)
{
	if (parked)
		fiber_wake(parked);
}

static void the_loop_runs_on_the_waiters_stack(void **state)
{
	(void)state;
	parked = fiber_self();
	on_sleep = wake_parked;
	fiber_park();
	assert_int_equal(sleeps, 1);
	assert_true(polls >= 1);
	parked = 0;
}

static void sleeping_takes_its_time(void **state)
{
	(void)state;
	uint64_t before = now;
	fiber_sleep_us(500);
	assert_true(now >= before + 500);
	assert_int_equal(sleeps, 1);
	fiber_wake(fiber_self()); // meant for something else: kept for it
	before = now;
	fiber_sleep_us(500);
	assert_true(now >= before + 500);
	fiber_park();
	assert_int_equal(sleeps, 2);
}

static struct fiber_mutex mutex;

static void locker(void *argument)
{
	fiber_mutex_lock(&mutex);
	put(*(char *)argument);
	fiber_yield();
	put(*(char *)argument);
	fiber_mutex_unlock(&mutex);
}

static void mutex_is_fair(void **state)
{
	(void)state;
	fiber_mutex_lock(&mutex);
	fiber_create(locker, "x", "x");
	fiber_create(locker, "y", "y");
	fiber_yield();
	assert_string_equal(trace, "");
	fiber_mutex_unlock(&mutex);
	while (mutex.owner)
		fiber_yield();
	assert_string_equal(trace, "xxyy");
}

static unsigned spins;

static void spinner(void *argument)
{
	struct fiber **other = argument;
	while (spins++ < 200)
		if (*other) {
			fiber_wake(*other);
			fiber_park();
		} else {
			fiber_yield();
		}
	if (*other)
		fiber_wake(*other);
}

static void busy_fibers_leave_the_loop_its_share(void **state)
{
	(void)state;
	static struct fiber *a, *b;
	a = fiber_create(spinner, &b, "a");
	b = fiber_create(spinner, &a, "b");
	polls = 0;
	while (fiber_any_ready())
		fiber_yield();
	assert_true(polls >= 4);
}

static struct fiber *waiting_main;
static unsigned made;

static void wake_main(void *argument)
{
	(void)argument;
	fiber_wake(waiting_main);
}

// Runs on the stack of a fiber that has ended.
static void create_on_dead_stack(void)
{
	if (made++ == 0)
		assert_non_null(fiber_create(wake_main, 0, "new"));
}

static void an_ended_fiber_keeps_its_stack_until_it_has_left_it(void **state)
{
	(void)state;
	waiting_main = fiber_self();
	fiber_create(letters, "e", "e");
	on_sleep = create_on_dead_stack;
	fiber_park();
	assert_string_equal(trace, "eee");
	assert_int_equal(made, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(first_come_first_served, fresh),
		cmocka_unit_test_setup(stacks_are_used_again, fresh),
		cmocka_unit_test_setup(wakes_are_remembered, fresh),
		cmocka_unit_test_setup(the_loop_runs_on_the_waiters_stack, fresh),
		cmocka_unit_test_setup(sleeping_takes_its_time, fresh),
		cmocka_unit_test_setup(mutex_is_fair, fresh),
		cmocka_unit_test_setup(an_ended_fiber_keeps_its_stack_until_it_has_left_it, fresh),
		cmocka_unit_test_setup(busy_fibers_leave_the_loop_its_share, fresh),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
