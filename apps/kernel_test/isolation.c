// Tests of isolation: registers and floating point of domains that take turns on a core.
#include "apps/kernel_test/test.h"

static void patterns(const char *order)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child c[3];
		for (unsigned i = 0; i < 3; i++)
			CHECK(child_run(&c[i], core, order, 0x1111 * (i + 1)));
		for (unsigned i = 0; i < 3; i++)
			CHECK(child_exits(&c[i], 0));
		for (unsigned i = 0; i < 3; i++)
			CHECK(child_destroy(&c[i]));
	}
}

static void registers_are_kept(void)
{
	patterns("regs");
}

static void floats_are_kept(void)
{
	uint64_t before = machine_info(test_cores - 1)->counters[INFO_TRAP_FP];
	patterns("floats");
	CHECK(machine_info(test_cores - 1)->counters[INFO_TRAP_FP] >= before + 3);
}

static void rounding_is_kept(void)
{
	patterns("rounding");
}

// After one that used floating point, the next finds its registers clear: also in the same place after a restart.
static void floats_do_not_leak(void)
{
	struct child c;
	unsigned core = test_cores - 1;
	CHECK(child_run(&c, core, "floats", 0x77));
	CHECK(child_exits(&c, 0));
	CHECK(child_restore(&c));
	CHECK(child_begin(&c));
	CHECK(child_exits(&c, 0));
}

const struct kernel_test isolation_tests[] = {
	{"isolation.registers", registers_are_kept},
	{"isolation.floats", floats_are_kept},
	{"isolation.rounding", rounding_is_kept},
	{"isolation.floats.fresh", floats_do_not_leak},
	{0, 0},
};
