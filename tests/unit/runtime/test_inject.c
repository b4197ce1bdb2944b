// Injection points: the n-th passage from the order on, names not yet passed, any point, once for each order.
#include "world.h"
#include "runtime/inject.h"
#include "runtime/inject_list.h"

static enum error pass(void)
{
	return inject("test.a");
}

static enum error pass_other(void)
{
	return inject("test.b");
}

static void nth_passage_once(void **state)
{
	(void)state;
	assert_int_equal(inject_arm("test.a", INJECT_ERROR, 3, ERR_NO_SPACE), ERR_OK); // before its first passage
	assert_int_equal(pass(), ERR_OK);
	assert_int_equal(pass(), ERR_OK);
	assert_int_equal(pass(), ERR_NO_SPACE);
	assert_int_equal(pass(), ERR_OK);
	assert_int_equal(inject_arm("test.a", INJECT_ERROR, 2, 0), ERR_OK);
	assert_int_equal(pass(), ERR_OK);
	assert_int_equal(pass(), ERR_INJECTED);
	assert_int_equal(inject_arm("test.a", INJECT_ERROR, 1, 0), ERR_OK);
	assert_int_equal(inject_arm("test.a", INJECT_NONE, 1, 0), ERR_OK);
	assert_int_equal(pass(), ERR_OK);
	assert_int_equal(inject_arm("test.a", INJECT_ACTIONS, 1, 0), ERR_INVALID);
}

static void any_point(void **state)
{
	(void)state;
	assert_int_equal(inject_arm("", INJECT_ERROR, 3, 0), ERR_OK);
	assert_int_equal(pass_other(), ERR_OK);
	assert_int_equal(pass(), ERR_OK);
	assert_int_equal(pass_other(), ERR_INJECTED);
	assert_int_equal(pass_other(), ERR_OK);
}

static void actions(void **state)
{
	(void)state;
	inject_arm("test.a", INJECT_REPLY, 1, 0);
	assert_int_equal(pass(), ERR_OK);
	assert_int_equal(inject_wrong_reply, 1);
	world_exit_armed = true;
	inject_arm("test.a", INJECT_EXIT, 1, 0);
	if (!setjmp(world_exit))
		pass();
	assert_int_equal(world_exit_code, INJECT_EXIT_CODE);
	inject_arm("test.a", INJECT_ASSERT, 1, 0);
	if (!setjmp(world_exit))
		pass();
	assert_int_equal(world_exit_code, -1);
}

static void listed(void **state)
{
	struct inject_point_info info[4];
	(void)state;
	inject_arm("test.b", INJECT_HANG, 10, 0);
	assert_int_equal(inject_list(0, info, 4), 2);
	assert_int_equal(inject_list(1, info, 4), 1);
	assert_int_equal(inject_list(0, info, 1), 1);
	assert_string_equal(info[0].name, "test.b");
	assert_int_equal(info[0].action, INJECT_HANG);
}

static void disarming_says_what_was_armed(void **state)
{
	(void)state;
	assert_int_equal(inject_arm("test.a", INJECT_ERROR, 1, 0), ERR_OK);
	assert_int_equal(pass(), ERR_INJECTED);
	assert_false(inject_disarm("test.a")); // it has fired
	assert_int_equal(inject_arm("test.a", INJECT_ERROR, 1, 0), ERR_OK);
	assert_true(inject_disarm("test.a"));
	assert_false(inject_disarm("test.a"));
	assert_int_equal(pass(), ERR_OK);
	assert_false(inject_disarm(""));
	assert_int_equal(inject_arm("", INJECT_ERROR, 1, 0), ERR_OK);
	assert_true(inject_disarm(""));
	assert_int_equal(pass(), ERR_OK);
	assert_int_equal(inject_arm("never.1", INJECT_ERROR, 1, 0), ERR_OK); // names that were not passed yet
	assert_int_equal(inject_arm("never.2", INJECT_ERROR, 1, 0), ERR_OK);
	assert_true(inject_disarm("never.1"));
	assert_false(inject_disarm("never.1"));
	assert_true(inject_disarm("never.2")); // a free place before it hides it from nobody
}

static void orders_run_out(void **state)
{
	char name[16];
	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "never.%u", i);
		assert_int_equal(inject_arm(name, INJECT_ILLEGAL, 1, 0), ERR_OK);
	}
	assert_int_equal(inject_arm("never.9", INJECT_ILLEGAL, 1, 0), ERR_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nth_passage_once), cmocka_unit_test(any_point), cmocka_unit_test(actions),
		cmocka_unit_test(listed),           cmocka_unit_test(disarming_says_what_was_armed),
		cmocka_unit_test(orders_run_out),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
