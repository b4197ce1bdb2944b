// Tests of device windows and interrupts. Addresses are those of QEMU's virt machine, as the fault tests' are.
#include "apps/kernel_test/test.h"

#define UART 0x10000000ul
#define UART_SOURCE 10
#define APLIC 0x0d000000ul
#define IMSIC 0x28000000ul
#define RAM 0x80000000ul

static void memory_is_no_device(void)
{
	struct child c;
	CHECK(child_create(&c, test_cores - 1, "exit", 0, 1, 0));
	const uint64_t places[][2] = {
		{RAM, PAGE_SIZE},
		{RAM + 0x200000, 8},
		{RAM - PAGE_SIZE, 2 * PAGE_SIZE},
		{IMSIC, PAGE_SIZE},
		{IMSIC + 8, 4},
		{IMSIC - 4, 8},
		{APLIC, PAGE_SIZE},
		{APLIC + 0x3000, 4},
		{UART, 0},
		{UART, 0x80000000},
		{~0ul, 1},
		{~0xffful, 2 * PAGE_SIZE},
		{0, ~0ul},
	};
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		FAILS(ERR_INVALID, CALL_device_map, c.handle, places[i][0], places[i][1]);
		FAILS(ERR_INVALID, CALL_device_map, 0, places[i][0], places[i][1]);
	}
}

static void windows_are_limited(void)
{
	struct child c;
	CHECK(child_create(&c, test_cores - 1, "exit", 0, 1, 0));
	struct kernel_result r = kcall(CALL_device_map, c.handle, UART + 5, 3);
	EQUAL(r.error, ERR_OK);
	EQUAL(r.value[0], GPA_DEVICE + 5);
	EQUAL(kcall(CALL_device_map, c.handle, UART + 5, 3).value[0], GPA_DEVICE + 5); // again: the same window
	FAILS(ERR_LIMIT, CALL_device_map, c.handle, 0x30000000, GPA_DEVICE_END - GPA_DEVICE);
	unsigned n = 1;
	for (; n < 100 && r.error == ERR_OK; n++)
		r = kcall(CALL_device_map, c.handle, UART + n * PAGE_SIZE, 8);
	EQUAL(r.error, ERR_LIMIT);
	FAILS(ERR_INVALID, CALL_interrupt_bind, c.handle, n, 0);
	FAILS(ERR_INVALID, CALL_interrupt_bind, c.handle, ~0ul, 0);
	FAILS(ERR_INVALID, CALL_interrupt_bind, c.handle, 0, 5000);
	FAILS(ERR_INVALID, CALL_interrupt_bind, c.handle, 0, 1ul << 32);
	unsigned bound = 0;
	for (; bound < n && r.error != ERR_OK + 99; bound++)
		if (kcall(CALL_interrupt_bind, c.handle, bound, 0).error)
			break;
	EQUAL(bound, IDENTITY_CALLS - IDENTITY_DEVICE);
	FAILS(ERR_LIMIT, CALL_interrupt_bind, c.handle, bound, 0);
	WORKS(CALL_interrupt_bind, c.handle, 0, 0);
	FAILS(ERR_EXISTS, CALL_interrupt_bind, c.handle, 0, 3);
}

static void line_reaches_driver(unsigned flags)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child c;
		CHECK(child_create(&c, core, "uart", 0, 1, flags));
		CHECK(child_load(&c));
		WORKS(CALL_device_map, c.handle, UART, 0x100);
		struct kernel_result r = kcall(CALL_interrupt_bind, c.handle, 0, UART_SOURCE);
		EQUAL(r.error, ERR_OK);
		CHECK(r.value[0] >= IDENTITY_DEVICE && r.value[0] < IDENTITY_CALLS);
		CHECK(child_begin(&c));
		CHECK(child_exits(&c, 0));
		CHECK(child_restore(&c)); // the windows stay over a restart
		CHECK(child_begin(&c));
		CHECK(child_exits(&c, 0));
		CHECK(child_destroy(&c));
	}
}

static void line_to_file(void)
{
	line_reaches_driver(0);
}

static void line_through_kernel(void)
{
	line_reaches_driver(DOMAIN_FLAG_NO_FILE);
}

static void physical_needs_the_right(void)
{
	struct child c;
	FAILS(ERR_DENIED, CALL_memory_physical, GPA_IMAGE); // the first domain has no DMA right either
	unsigned core = test_cores - 1;
	CHECK(child_run_as(&c, core, "physical", machine_info(core)->partition_base, 1, DOMAIN_FLAG_DMA));
	CHECK(child_exits(&c, 0));
}

const struct kernel_test device_tests[] = {
	{"device.memory", memory_is_no_device},
	{"device.windows", windows_are_limited},
	{"device.line.file", line_to_file},
	{"device.line.kernel", line_through_kernel},
	{"device.physical", physical_needs_the_right},
	{0, 0},
};
