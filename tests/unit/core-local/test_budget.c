// Budgets: what is charged, when it is spent, when it is full again.
#include "check.h"
#include "core-local/budget.h"

static struct budget b;

static int setup(void **state)
{
	(void)state;
	budget_set(&b, 100, 1000, 5000);
	return 0;
}

static void without_a_limit_nothing_is_spent(void **state)
{
	(void)state;
	budget_set(&b, 0, 0, 0);
	assert_false(budget_charge(&b, UINT64_MAX, 10));
	assert_false(b.spent);
}

static void the_last_tick_is_said_once(void **state)
{
	(void)state;
	assert_false(budget_charge(&b, 60, 5060));
	assert_int_equal(b.left, 40);
	assert_false(budget_charge(&b, 39, 5200));
	assert_true(budget_charge(&b, 1, 5300));
	assert_true(b.spent);
	assert_false(budget_charge(&b, 50, 5400)); // it went on, since nobody else wanted the core
	assert_true(b.spent);
}

static void more_than_is_left_leaves_nothing(void **state)
{
	(void)state;
	assert_true(budget_charge(&b, UINT64_MAX, 5001));
	assert_int_equal(b.left, 0);
}

static void filling_begins_a_period(void **state)
{
	(void)state;
	assert_true(budget_charge(&b, 100, 5100));
	budget_fill(&b, 6000);
	assert_false(b.spent);
	assert_int_equal(b.left, 100);
	assert_int_equal(b.begun, 6000);
}

// Alone on its core nobody charges it; when company comes it has what a period gives.
static void a_new_period_is_full(void **state)
{
	(void)state;
	assert_false(budget_charge(&b, 99, 5100));
	budget_renew(&b, 5999);
	assert_int_equal(b.left, 1);
	budget_renew(&b, 6000);
	assert_int_equal(b.left, 100);
	assert_int_equal(b.begun, 6000);
	assert_true(budget_charge(&b, 100, 6100));
	budget_renew(&b, 9000); // spent: only its time fills it
	assert_true(b.spent);
}

// Whatever the order of charges, and however late they are: behind each budget the others have the rest of a period.
static void others_have_the_rest(void **state)
{
	uint64_t seed = 1, now = 5000, full = 0;
	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t used = check_random(&seed) % 30 * (check_random(&seed) % 50 ? 1 : 100);
		now += used + check_random(&seed) % 5;
		if (b.spent && now >= full)
			budget_fill(&b, now);
		if (!b.spent && budget_charge(&b, used, now)) {
			full = budget_full_at(&b, now);
			assert_int_equal(full - now, 900);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(without_a_limit_nothing_is_spent, setup),
		cmocka_unit_test_setup(the_last_tick_is_said_once, setup),
		cmocka_unit_test_setup(more_than_is_left_leaves_nothing, setup),
		cmocka_unit_test_setup(filling_begins_a_period, setup),
		cmocka_unit_test_setup(a_new_period_is_full, setup),
		cmocka_unit_test_setup(others_have_the_rest, setup),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
