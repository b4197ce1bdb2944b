// struct core: what a kernel believes of the supervisor's place, and which answers are its own.
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

static void answers_to_a_former_life(void **state)
{
	static struct core former = {.incarnation = 255}, core = {.incarnation = 256}; // the numbers go round
	(void)state;
	former.call_number = core_first_number(&former) + 5000;
	core.call_number = core_first_number(&core);
	assert_false(core_has_asked(&core, former.call_number));
	assert_false(core_has_asked(&core, core_first_number(&core) + 1)); // not yet
	core.call_number += 3;
	for (uint32_t n = 1; n <= 3; n++)
		assert_true(core_has_asked(&core, core_first_number(&core) + n));
	assert_false(core_has_asked(&core, former.call_number));
	core.call_number = core_first_number(&core) + (1u << 30); // a long life, beyond the first numbers of later ones
	assert_true(core_has_asked(&core, core.call_number));
	assert_true(core_has_asked(&core, 1u << 29));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(place_of_the_supervisor),
		cmocka_unit_test(answers_to_a_former_life),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
