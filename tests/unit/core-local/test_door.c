// Doors: handles to endpoints, and what the fast path may take.
#include "check.h"
#include "core-local/door.h"

static struct door doors[ENDPOINT_DOORS];
static struct domain *const server = (struct domain *)0x1000, *const other = (struct domain *)0x2000;

static int setup(void **state)
{
	(void)state;
	memset(doors, 0, sizeof(doors));
	doors_clear(doors);
	return 0;
}

// What the fast path does with a handle: it looks at the place of its low bits, and compares.
static struct domain *fast(uint64_t handle)
{
	const struct door *door = &doors[DOOR_PLACE(handle)];
	return door->match == handle ? door->server : 0;
}

static bool nothing_matches_without_a_server(void)
{
	for (unsigned i = 0; i < ENDPOINT_DOORS; i++)
		if (DOOR_PLACE(doors[i].match) == i && !doors[i].server)
			return false;
	return true;
}

static void a_handle_finds_its_door(void **state)
{
	(void)state;
	uint64_t a = door_open(doors, server, 7), b = door_open(doors, other, 8);
	assert_true(a != 0 && b != 0 && a != b);
	assert_ptr_equal(door_find(doors, a)->server, server);
	assert_int_equal(door_find(doors, b)->badge, 8);
	assert_ptr_equal(fast(a), server);
	assert_ptr_equal(fast(b), other);
	assert_true(nothing_matches_without_a_server());
}

static void a_closed_handle_names_nothing(void **state)
{
	(void)state;
	uint64_t first = door_open(doors, server, 0), last = first;
	for (unsigned i = 0; i < 1000; i++) {
		door_close(door_find(doors, last), DOOR_PLACE(last));
		assert_null(door_find(doors, last));
		assert_null(fast(last));
		last = door_open(doors, server, i);
		assert_true(last != first && door_find(doors, first) == 0);
	}
	doors_clear(doors);
	assert_null(door_find(doors, last));
	assert_true(door_open(doors, server, 0) != last);
}

static void no_place_is_left(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ENDPOINT_DOORS; i++)
		assert_true(door_open(doors, server, i) != 0);
	assert_int_equal(door_open(doors, server, 0), 0);
}

static void a_limit_or_a_loss_is_for_the_slow_path(void **state)
{
	(void)state;
	uint64_t a = door_open(doors, server, 1), b = door_open(doors, other, 2);
	door_limit(door_find(doors, a), DOOR_PLACE(a), 5);
	assert_null(fast(a));
	assert_ptr_equal(door_find(doors, a)->server, server);
	door_limit(door_find(doors, a), DOOR_PLACE(a), 0);
	assert_ptr_equal(fast(a), server);
	door_lose(doors, server);
	assert_null(fast(a));
	assert_null(door_find(doors, a)->server);
	assert_ptr_equal(fast(b), other);
	assert_true(nothing_matches_without_a_server());
}

static void wild_values_find_nothing(void **state)
{
	(void)state;
	uint64_t a = door_open(doors, server, 1);
	for (unsigned bit = 0; bit < 64; bit++) {
		assert_null(door_find(doors, a ^ 1ull << bit));
		assert_null(fast(a ^ 1ull << bit));
		assert_true(1ull << bit == a || !fast(1ull << bit));
	}
	assert_null(fast(0));
	assert_null(fast(~0ull));
}

static void a_former_record_is_checked(void **state)
{
	(void)state;
	uint64_t a = door_open(doors, server, 1);
	unsigned place = DOOR_PLACE(a);
	for (unsigned i = 0; i < ENDPOINT_DOORS; i++)
		assert_true(door_check(&doors[i], i));
	doors[place].match ^= 1;
	assert_false(door_check(&doors[place], place));
	doors[place].match ^= 1;
	doors[place].serial = 0;
	assert_false(door_check(&doors[place], place));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_handle_finds_its_door, setup),
		cmocka_unit_test_setup(a_closed_handle_names_nothing, setup),
		cmocka_unit_test_setup(no_place_is_left, setup),
		cmocka_unit_test_setup(a_limit_or_a_loss_is_for_the_slow_path, setup),
		cmocka_unit_test_setup(wild_values_find_nothing, setup),
		cmocka_unit_test_setup(a_former_record_is_checked, setup),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
