// struct core: what a kernel believes of the supervisor's place.
#include "check.h"
#include "core-local/core.h"

static void place_of_the_supervisor(void **state)
{
	static struct core core = {.core_count = 4};
	const uint64_t first = 2ul << 16 | 5, moved = 1ul << 32 | 3ul << 16, wild = 0x7e57ul << 48;

	(void)state;
	chief_hear(&core, first);
	assert_int_equal(core.chief, first);
	chief_hear(&core, moved);
	assert_int_equal(core.chief, moved);
	assert_int_equal(chief_core(core.chief), 3);
	chief_hear(&core, first); // older
	assert_int_equal(core.chief, moved);
	chief_hear(&core, wild | 4ul << 16); // no such core: an index of peers[] beyond its end
	chief_hear(&core, ~0ul);
	assert_int_equal(core.chief, moved);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(place_of_the_supervisor),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
