// Fibers: order, priorities, wakes that come first, mutexes, sleeping, stacks that are used again, the loop's share.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "abi/layout.h"
#include "runtime/fiber_await.h"
#include <sanitizer/asan_interface.h>

#define HEAP_PAGES 10000u

struct loop_nap loop_naps;

static char trace[800];
static uint64_t now;
static unsigned polls, sleeps, allocations;
static void (*on_poll)(void);
static void (*on_sleep)(void);
static bool no_memory;
static uint64_t most_pages; // of one block

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
	static uint8_t heap[HEAP_PAGES * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
	static uint64_t used;
	struct kernel_result r = {.error = no_memory || a0 > most_pages ? ERR_QUOTA : ERR_OK};
	(void)a2, (void)a3, (void)a4, (void)a5;
	assert_int_equal(number, CALL_memory_alloc);
	assert_true(a1 > 0 && a0 > 0 && a0 % a1 == 0 && a0 / a1 <= 64);
	if (r.error)
		return r;
	allocations++;
	r.value[0] = (uint64_t)(heap + used * PAGE_SIZE);
	used += a0 + a0 / a1;
	assert_true(used <= HEAP_PAGES);
	for (uint64_t gap = r.value[0] + a1 * PAGE_SIZE; gap < (uint64_t)heap + used * PAGE_SIZE; gap += (a1 + 1) * PAGE_SIZE)
		ASAN_POISON_MEMORY_REGION((void *)gap, PAGE_SIZE); // who touches a page that is not mapped is found
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

static bool turn_due;

void loop_sleep_first(void)
{
	if (!turn_due)
		loop_sleep();
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
	no_memory = turn_due = false;
	most_pages = HEAP_PAGES;
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
	assert_int_equal(polls, 0); // who parks has looked
	turn_due = true;
	fiber_park();
	assert_int_equal(sleeps, 2);
	assert_int_equal(polls, 1);
	parked = 0;
}

static void wake_parked_at_the_second(void)
{
	if (polls == 2)
		fiber_wake(parked);
}

static void wake_nobody(void)
{
}

// A sleep that brought nobody is followed by turns, and by a sleep after each.
static void the_loop_has_its_turn_after_the_sleep(void **state)
{
	(void)state;
	parked = fiber_self();
	on_sleep = wake_nobody;
	on_poll = wake_parked_at_the_second;
	fiber_park();
	assert_int_equal(sleeps, 2);
	assert_int_equal(polls, 2);
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

// --- many

#define MANY 600u
#define MANY_MAX 800u
static struct fiber *many[MANY_MAX];
static unsigned parking, gone;

static void park_once(void *argument)
{
	volatile uint8_t deep[3000];
	memset((uint8_t *)deep, (int)(uintptr_t)argument, sizeof(deep));
	parking++;
	fiber_park();
	for (unsigned i = 0; i < sizeof(deep); i++)
		assert_int_equal(deep[i], (uint8_t)(uintptr_t)argument);
	gone++;
}

static unsigned create_many(struct fiber *(*create)(void (*)(void *), void *, const char *), unsigned wanted)
{
	unsigned n = 0;
	parking = gone = 0;
	assert_true(wanted <= MANY_MAX);
	while (n < wanted && (many[n] = create(park_once, (void *)(uintptr_t)n, "many")))
		n++;
	while (fiber_any_ready())
		fiber_yield();
	assert_int_equal(parking, n);
	return n;
}

static void end_many(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		fiber_wake(many[i]);
	while (fiber_any_ready())
		fiber_yield();
	assert_int_equal(gone, n);
}

// Blocks grow up to 64 stacks, so that there are few of them, and between two stacks lies what is not mapped.
static void many_stacks_lie_in_few_blocks(void **state)
{
	struct fiber *(*const creates[])(void (*)(void *), void *, const char *) = {fiber_create, fiber_create_small};
	(void)state;
	for (unsigned size = 0; size < 2; size++)
		for (unsigned turn = 0; turn < 2; turn++) {
			unsigned before = allocations;
			assert_int_equal(create_many(creates[size], MANY), MANY);
			assert_in_range(allocations - before, turn ? 0 : 10, turn ? 0 : 20);
			end_many(MANY);
		}
}

// Where there is no memory for as many as are wanted, there may be for fewer.
static void a_short_quota_gives_what_it_has(void **state)
{
	(void)state;
	most_pages = 0;
	unsigned n = create_many(fiber_create, MANY_MAX), before = allocations;
	assert_in_range(n, MANY, MANY_MAX - 4);
	end_many(n);
	most_pages = 3 * 8;
	assert_int_equal(create_many(fiber_create, n + 4), n + 4);
	assert_int_equal(allocations, before + 2); // two stacks each
	end_many(n + 4);
}

// --- priorities

#define MEMBERS 6u
static struct fiber *members[MEMBERS];
static unsigned member_turns[MEMBERS];
static unsigned turns_left;
static bool members_park, one_wakes_the_first;

// Says its priority at each turn. Those of the best priority park.
static void member(void *argument)
{
	unsigned i = (unsigned)(uintptr_t)argument;
	while (turns_left > 0) {
		turns_left--;
		member_turns[i]++;
		put((char)('0' + members[i]->priority));
		if (one_wakes_the_first && i == 1)
			fiber_wake(members[0]);
		if (members_park || members[i]->priority == 0)
			fiber_park();
		else
			fiber_yield();
	}
	members[i] = 0;
}

static void idle(void *argument)
{
	while (*(bool *)argument)
		fiber_yield();
}

// The loop has just had its share of switches, and so have those of lower priorities.
static void shares_are_given(void)
{
	bool on = true;
	assert_non_null(fiber_create(idle, &on, "idle"));
	for (polls = 0; polls == 0;)
		fiber_yield();
	on = false;
	fiber_yield();
	parked = fiber_self();
	on_sleep = wake_parked;
}

// A digit for each, in that order; they are ready, and have not run.
static void members_make(const char *priorities, unsigned all_turns)
{
	shares_are_given();
	turns_left = all_turns;
	memset(member_turns, 0, sizeof(member_turns));
	for (unsigned i = 0; priorities[i]; i++) {
		fiber_set_priority(fiber_self(), (unsigned)(priorities[i] - '0'));
		members[i] = fiber_create(member, (void *)(uintptr_t)i, "member");
		assert_non_null(members[i]);
	}
	fiber_set_priority(fiber_self(), 0);
}

static void members_end(void)
{
	turns_left = 0;
	for (unsigned i = 0; i < MEMBERS; i++)
		if (members[i])
			fiber_wake(members[i]);
	fiber_park(); // until nobody is ready
	for (unsigned i = 0; i < MEMBERS; i++)
		assert_null(members[i]);
	members_park = one_wakes_the_first = false;
	parked = 0;
}

static void the_best_priority_is_next(void **state)
{
	static const unsigned order[MEMBERS] = {5, 0, 3, 4, 2, 1};
	(void)state;
	members_park = true;
	members_make("312031", 100);
	fiber_park();
	assert_string_equal(trace, "011233");
	for (unsigned i = 0; i < MEMBERS; i++)
		fiber_wake(members[order[i]]);
	fiber_park();
	assert_string_equal(trace, "011233011233");
	members_end();
}

// Five low ones are ready; the first of them wakes a high one, which runs before the others.
static void a_high_one_passes_a_crowd(void **state)
{
	(void)state;
	members_park = true;
	members_make("033333", 100);
	fiber_park();
	one_wakes_the_first = true;
	for (unsigned i = 1; i < MEMBERS; i++)
		fiber_wake(members[i]);
	fiber_park();
	assert_string_equal(trace, "033333303333");
	members_end();
}

// Who yields lets one run that is not as good, and is the next again.
static void yielding_lets_a_lower_one_run(void **state)
{
	(void)state;
	members_make("22", 100);
	for (unsigned i = 0; i < 4; i++) {
		put('m');
		fiber_yield();
	}
	assert_string_equal(trace, "m2m2m2m2");
	assert_int_equal(member_turns[0], 2);
	assert_int_equal(member_turns[1], 2);
	members_end();
}

// Better ones that never stop leave one of FIBER_SWITCHES switches to others, of each priority in turn.
static void low_ones_are_not_starved(void **state)
{
	(void)state;
	members_make("113223", 390);
	fiber_park();
	assert_in_range(member_turns[0] + member_turns[1], 376, 380);
	assert_in_range(member_turns[0], 187, 191);
	for (unsigned i = 2; i < MEMBERS; i++)
		assert_in_range(member_turns[i], 2, 4);
	members_end();
}

static void third_poll_wakes_the_first(void)
{
	if (polls == 3)
		fiber_wake(members[0]);
}

// While low ones run, what the loop wakes is seen before the next of them.
static void the_loop_has_a_turn_before_each_low_one(void **state)
{
	(void)state;
	members_make("0222", 10);
	polls = 0;
	on_poll = third_poll_wakes_the_first;
	fiber_park();
	assert_string_equal(trace, "0220222222");
	on_poll = 0;
	members_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(first_come_first_served, fresh),
		cmocka_unit_test_setup(stacks_are_used_again, fresh),
		cmocka_unit_test_setup(wakes_are_remembered, fresh),
		cmocka_unit_test_setup(the_loop_runs_on_the_waiters_stack, fresh),
		cmocka_unit_test_setup(the_loop_has_its_turn_after_the_sleep, fresh),
		cmocka_unit_test_setup(sleeping_takes_its_time, fresh),
		cmocka_unit_test_setup(mutex_is_fair, fresh),
		cmocka_unit_test_setup(an_ended_fiber_keeps_its_stack_until_it_has_left_it, fresh),
		cmocka_unit_test_setup(busy_fibers_leave_the_loop_its_share, fresh),
		cmocka_unit_test_setup(many_stacks_lie_in_few_blocks, fresh),
		cmocka_unit_test_setup(a_short_quota_gives_what_it_has, fresh),
		cmocka_unit_test_setup(the_best_priority_is_next, fresh),
		cmocka_unit_test_setup(a_high_one_passes_a_crowd, fresh),
		cmocka_unit_test_setup(yielding_lets_a_lower_one_run, fresh),
		cmocka_unit_test_setup(low_ones_are_not_starved, fresh),
		cmocka_unit_test_setup(the_loop_has_a_turn_before_each_low_one, fresh),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
