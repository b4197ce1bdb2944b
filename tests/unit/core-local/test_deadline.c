// Deadlines: order, equal times, arming again, cancelling.
#include "check.h"
#include "core-local/deadline.h"

static void ordered_by_time_then_arming(void **state)
{
	struct deadlines q = { 0 };
	struct deadline d[4] = { 0 };

	(void)state;
	assert_true(deadline_next(&q) == DEADLINE_NEVER);
	assert_null(deadline_expired(&q, DEADLINE_NEVER));
	deadline_arm(&q, &d[0], 30);
	deadline_arm(&q, &d[1], 10);
	deadline_arm(&q, &d[2], 20);
	deadline_arm(&q, &d[3], 10);
	assert_int_equal(deadline_next(&q), 10);
	assert_null(deadline_expired(&q, 9));
	assert_ptr_equal(deadline_expired(&q, 10), &d[1]);
	assert_false(d[1].armed);
	assert_ptr_equal(deadline_expired(&q, 25), &d[3]);
	assert_ptr_equal(deadline_expired(&q, 25), &d[2]);
	assert_null(deadline_expired(&q, 25));
	assert_ptr_equal(deadline_expired(&q, 30), &d[0]);
	assert_null(q.first);
}

static void armed_again_moves(void **state)
{
	struct deadlines q = { 0 };
	struct deadline a = { 0 }, b = { 0 };

	(void)state;
	deadline_arm(&q, &a, 10);
	deadline_arm(&q, &b, 20);
	deadline_arm(&q, &a, 30);
	assert_int_equal(deadline_next(&q), 20);
	assert_ptr_equal(deadline_expired(&q, 40), &b);
	assert_ptr_equal(deadline_expired(&q, 40), &a);
	assert_null(deadline_expired(&q, 40));
}

static void random_history_keeps_order(void **state)
{
	struct deadlines q = { 0 };
	struct deadline d[16] = { 0 };
	uint64_t seed = 7;

	(void)state;
	for (int step = 0; step < 5000; step++) {
		struct deadline *one = &d[check_random(&seed) % 16];
		if (check_random(&seed) % 3 == 0)
			deadline_cancel(&q, one);
		else
			deadline_arm(&q, one, check_random(&seed) % 50);
		unsigned armed = 0, listed = 0;
		for (int i = 0; i < 16; i++)
			armed += d[i].armed;
		for (struct deadline *p = q.first, *before = 0; p; before = p, p = p->next, listed++) {
			assert_true(!before || before->time <= p->time);
		}
		assert_int_equal(armed, listed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ordered_by_time_then_arming),
		cmocka_unit_test(armed_again_moves),
		cmocka_unit_test(random_history_keeps_order),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
