// Run queue: priorities, first come first served, removal, breaches.
#include "check.h"
#include "core-local/run_queue.h"

#define DOMAINS 32

static struct run_link links[DOMAINS];
static struct run_queue q;

static int setup(void **state)
{
	(void)state;
	run_queue_init(&q, links, DOMAINS);
	return 0;
}

static void empty(void **state)
{
	(void)state;
	assert_int_equal(run_queue_pop(&q), -1);
	assert_int_equal(run_queue_peek_priority(&q), RUN_PRIORITIES);
	run_queue_remove(&q, 3);
	assert_int_equal(run_queue_count(&q), 0);
}

static void best_priority_first_then_order(void **state)
{
	const int expected[] = { 9, 5, 0, 1, 2 };

	(void)state;
	run_queue_push(&q, 1, 4);
	run_queue_push(&q, 2, 7);
	run_queue_push(&q, 5, 1);
	run_queue_push_front(&q, 0, 4);
	run_queue_push_front(&q, 9, 1);
	assert_int_equal(run_queue_count(&q), 5);
	assert_int_equal(run_queue_peek_priority(&q), 1);
	for (int i = 0; i < 5; i++)
		assert_int_equal(run_queue_pop(&q), expected[i]);
	assert_int_equal(run_queue_pop(&q), -1);
	assert_int_equal(run_queue_count(&q), 0);
}

static void removal_at_each_place(void **state)
{
	(void)state;
	for (int gone = 0; gone < 3; gone++) {
		for (int i = 0; i < 3; i++)
			run_queue_push(&q, i, 2);
		run_queue_remove(&q, gone);
		run_queue_remove(&q, gone);
		run_queue_push(&q, gone, 2);
		assert_int_equal(run_queue_pop(&q), gone == 0 ? 1 : 0);
		assert_int_equal(run_queue_pop(&q), gone == 2 ? 1 : 2);
		assert_int_equal(run_queue_pop(&q), gone);
	}
}

static void random_history_against_arrays(void **state)
{
	uint64_t seed = 3, stamp = 0, stamps[DOMAINS] = { 0 };
	unsigned priorities[DOMAINS];

	(void)state;
	for (int step = 0; step < 20000; step++) {
		int i = (int)(check_random(&seed) % DOMAINS), best = -1;
		if (check_random(&seed) % 4) {
			if (stamps[i]) {
				run_queue_remove(&q, i);
				stamps[i] = 0;
			} else {
				priorities[i] = check_random(&seed) % RUN_PRIORITIES;
				stamps[i] = ++stamp;
				run_queue_push(&q, i, priorities[i]);
			}
			continue;
		}
		for (int k = 0; k < DOMAINS; k++)
			if (stamps[k] && (best < 0 || priorities[k] < priorities[best] ||
			                  (priorities[k] == priorities[best] && stamps[k] < stamps[best])))
				best = k;
		assert_int_equal(run_queue_peek_priority(&q), best < 0 ? RUN_PRIORITIES : priorities[best]);
		assert_int_equal(run_queue_pop(&q), best);
		if (best >= 0)
			stamps[best] = 0;
	}
}

static void push_twice(void *context)
{
	(void)context;
	run_queue_push(&q, 1, 1);
	run_queue_push(&q, 1, 2);
}

static void push_of_no_priority(void *context)
{
	(void)context;
	run_queue_push(&q, 1, RUN_PRIORITIES);
}

static void breaches_are_asserts(void **state)
{
	(void)state;
	assert_true(check_dies(push_twice, 0));
	assert_true(check_dies(push_of_no_priority, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(empty, setup),
		cmocka_unit_test_setup(best_priority_first_then_order, setup),
		cmocka_unit_test_setup(removal_at_each_place, setup),
		cmocka_unit_test_setup(random_history_against_arrays, setup),
		cmocka_unit_test_setup(breaches_are_asserts, setup),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
