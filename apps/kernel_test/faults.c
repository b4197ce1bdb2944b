// Tests of fault records: each way to die leaves cause, address and pc.
#include "apps/kernel_test/test.h"

#define ANY ~0ul
#define IMAGE_TEXT GPA_IMAGE
#define NOTHING_THERE 0x00200000ul // on QEMU's virt machine

struct death {
	const char *order;
	uint64_t argument;
	uint64_t cause;
	uint64_t address; // ANY: not told
};

// Causes: RISC-V Privileged Architecture, scause, and its table of the hypervisor extension.
static const struct death deaths[] = {
	{"illegal", 0, 2, ANY},
	{"break", 0, 3, ANY},
	{"hyper", 0, 22, ANY},
	{"load", 0, 21, 0},
	{"load", 8, 21, 8},
	{"load", 0x80200000, 21, 0x80200000},
	{"load", 0x88000008, 21, 0x88000008},
	{"load", 0x28000000, 21, 0x28000000},
	{"load", GPA_IMAGE_END - 8, 21, GPA_IMAGE_END - 8},
	{"load", GPA_HEAP, 21, GPA_HEAP},
	{"load", GPA_BOOT_IMAGE, 21, GPA_BOOT_IMAGE},
	{"load", GPA_DOORBELL, 21, GPA_DOORBELL},
	{"load", GPA_CHANNEL, 21, GPA_CHANNEL},
	{"load", (1ul << 41) - 8, 21, (1ul << 41) - 8},
	{"store", 0, 23, 0},
	{"store", IMAGE_TEXT, 23, IMAGE_TEXT},
	{"store", GPA_INFO, 23, GPA_INFO},
	{"store", GPA_STACK_TOP, 23, GPA_STACK_TOP},
	{"fetch", 0, 20, 0},
	{"fetch", 0x80200000, 20, 0x80200000},
	{"fetch", GPA_INFO, 20, GPA_INFO},
	{"fetch", GPA_STACK_TOP - 64, 20, GPA_STACK_TOP - 64},
	{"jump", 0, 20, 0},
};

static void record_is_right(const struct death *how, unsigned core, unsigned flags)
{
	struct child c;
	struct domain_status s;
	uint64_t before = machine_info(core)->counters[INFO_TRAP_FAULT];
	CHECK(child_run_as(&c, core, how->order, how->argument, 1, flags));
	CHECK(child_wait(&c, &s));
	EQUAL(s.state >> 8 & 0x3ff, FAULT_EXCEPTION);
	EQUAL(s.cause, how->cause);
	if (how->address != ANY)
		EQUAL(s.address, how->address);
	if (how->cause == 20)
		EQUAL(s.pc, how->argument);
	else
		CHECK(s.pc >= GPA_IMAGE && s.pc < GPA_IMAGE_END);
	CHECK(s.sp > GPA_STACK_TOP - 5 * PAGE_SIZE && s.sp <= GPA_STACK_TOP);
	CHECK(s.time_stopped <= time_read() && s.time_stopped > 0);
	EQUAL(s.name[0], partner_word(how->order));
	CHECK(machine_info(core)->counters[INFO_TRAP_FAULT] > before);
	EQUAL(machine_info(core)->domains[c.domain].faults, 1);
	CHECK(child_destroy(&c));
}

static void every_death(void)
{
	for (unsigned i = 0; i < sizeof(deaths) / sizeof(deaths[0]) && !test_failed(); i++)
		record_is_right(&deaths[i], i % test_cores, 0);
}

// A library OS without a handler dies as every domain does, and so does a plain one beside one that has a handler.
static void every_death_of_a_class(void)
{
	struct child beside;
	CHECK(child_run_as(&beside, test_cores - 1, "programs", 1ul << 63, 1, DOMAIN_FLAG_LIBRARY_OS));
	for (unsigned i = 0; i < sizeof(deaths) / sizeof(deaths[0]) && !test_failed(); i++) {
		record_is_right(&deaths[i], i % test_cores, DOMAIN_FLAG_LIBRARY_OS);
		record_is_right(&deaths[i], test_cores - 1, 0);
	}
	CHECK(child_state(&beside) != DOMAIN_STOPPED);
	CHECK(child_destroy(&beside));
}

static void instruction_is_told(void)
{
	struct child c;
	struct domain_status s;
	CHECK(child_run(&c, test_cores - 1, "illegal", 0));
	CHECK(child_wait(&c, &s));
	EQUAL(s.instruction, 0); // c.unimp, which `unimp` is with compressed instructions
	CHECK(child_run(&c, test_cores - 1, "hyper", 0));
	CHECK(child_wait(&c, &s));
	EQUAL(s.instruction & 0xfff0707f, 0x60002073); // csrr, hstatus
}

// A plain domain with a handler gets what its kernel would have; nobody but itself is deceived by what it makes of it.
static void a_handler_gives_back(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child c;
		struct domain_status s;
		CHECK(child_run(&c, core, "returned", 0));
		CHECK(child_wait(&c, &s));
		EQUAL(s.cause, 2);
		EQUAL(s.ra, 0); // which it says by
		CHECK(s.pc >= GPA_IMAGE && s.pc < GPA_IMAGE_END);
		CHECK(child_destroy(&c));
	}
}

// Nothing answers in the window of a device: the firmware hears of it first, as of illegal instructions.
static void nobody_answers(void)
{
	struct child c;
	struct domain_status s;
	CHECK(child_create(&c, test_cores - 1, "load", GPA_DEVICE, 1, 0));
	CHECK(child_load(&c));
	WORKS(CALL_device_map, c.handle, NOTHING_THERE, 8);
	CHECK(child_begin(&c));
	CHECK(child_wait(&c, &s));
	EQUAL(s.cause, 5);
	EQUAL(s.address, GPA_DEVICE);
	CHECK(s.pc >= GPA_IMAGE && s.pc < GPA_IMAGE_END);
	CHECK(child_destroy(&c));
}

static void stack_has_a_guard(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child c;
		struct domain_status s;
		CHECK(child_run(&c, core, "stack", 0));
		CHECK(child_wait(&c, &s));
		EQUAL(s.cause, 23);
		CHECK(s.address < GPA_STACK_TOP - 4 * PAGE_SIZE && s.address >= GPA_STACK_TOP - 5 * PAGE_SIZE);
		CHECK(child_destroy(&c));
	}
}

// Firmware's calls are not to be had: the number goes to the kernel, which has none like it.
static void firmware_is_out_of_reach(void)
{
	struct child c;
	CHECK(child_run(&c, test_cores - 1, "firmware", 0));
	CHECK(child_exits(&c, ERR_UNKNOWN_CALL));
}

// A fault stops the one who made it and nobody else.
static void neighbours_go_on(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child good, bad;
		struct domain_status s;
		CHECK(child_run(&good, core, "regs", 0x123));
		for (unsigned i = 0; i < 5; i++) {
			CHECK(child_run(&bad, core, "store", 0));
			CHECK(child_wait(&bad, &s));
			CHECK(child_destroy(&bad));
		}
		CHECK(child_exits(&good, 0));
		CHECK(child_destroy(&good));
	}
}

// A translation that a domain gives itself ends it, and not the one that has the core next (KERNEL rule 1).
static void translation_is_ones_own(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child neighbour, bad;
		struct domain_status s;
		CHECK(child_run(&neighbour, core, "regs", 0x321));
		CHECK(child_run(&bad, core, "satp", 0));
		CHECK(child_wait(&bad, &s));
		EQUAL(s.state >> 8 & 0xff, FAULT_EXCEPTION);
		CHECK(s.cause == 22 || s.cause == 20 || s.cause == 21); // refused (hstatus.VTVM), or used once: QEMU 7.2 does not look at that bit, and tells the walk's load, not the fetch that wanted it
		CHECK(child_exits(&neighbour, 0));
		CHECK(child_restore(&bad));
		CHECK(child_begin(&bad)); // and again: it starts without one
		CHECK(child_wait(&bad, &s));
		CHECK(s.cause == 22 || s.cause == 20 || s.cause == 21);
		CHECK(child_destroy(&bad));
		CHECK(child_destroy(&neighbour));
	}
}

const struct kernel_test fault_tests[] = {
	{"fault.every", every_death},
	{"fault.class", every_death_of_a_class},
	{"fault.instruction", instruction_is_told},
	{"fault.handler", a_handler_gives_back},
	{"fault.access", nobody_answers},
	{"fault.stack", stack_has_a_guard},
	{"fault.firmware", firmware_is_out_of_reach},
	{"fault.satp", translation_is_ones_own},
	{"fault.neighbours", neighbours_go_on},
	{0, 0},
};
