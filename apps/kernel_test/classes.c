// Tests of the two classes of domain: library OSes and plain ones that take turns on a core, and what reaches the kernel of each.
#include "apps/kernel_test/test.h"

#define FOR_EVER (1ul << 63)

// Two library OSes with two programs each, in spaces of their own, and plain ones between them; all are interrupted by questions.
static void classes_take_turns(void)
{
	static const struct {
		const char *order;
		uint64_t argument;
		unsigned flags;
	} company[] = {
		{"programs", 0x5d, DOMAIN_FLAG_LIBRARY_OS},
		{"regs", 0x1111, 0},
		{"programs", 0x22, DOMAIN_FLAG_LIBRARY_OS | DOMAIN_FLAG_NO_FILE},
		{"floats", 0x2222, 0},
		{"controls", 5, 0},
	};
	enum { COMPANY = sizeof(company) / sizeof(company[0]) };
	for (unsigned core = 0; core < test_cores; core++) {
		struct child c[COMPANY];
		for (unsigned i = 0; i < COMPANY; i++)
			CHECK(child_run_as(&c[i], core, company[i].order, company[i].argument, 1, company[i].flags));
		for (unsigned i = 0; child_state(&c[0]) != DOMAIN_STOPPED && i < 20000; i++)
			test_nap(i * 37 % 400);
		for (unsigned i = 0; i < COMPANY; i++)
			CHECK(child_exits(&c[i], 0));
		CHECK(child_restore(&c[0])); // and again: it finds no translation
		CHECK(child_begin(&c[0]));
		CHECK(child_exits(&c[0], 0));
		for (unsigned i = 0; i < COMPANY; i++)
			CHECK(child_destroy(&c[i]));
	}
}

static void programs_do_wrong(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child c;
		CHECK(child_run_as(&c, core, "wrong", core % 2, 1, DOMAIN_FLAG_LIBRARY_OS));
		CHECK(child_exits(&c, 0));
		CHECK(child_destroy(&c));
	}
}

struct own_fault {
	const char *order;
	uint64_t argument, cause, address;
	bool in_program;
};

static const struct own_fault own_faults[] = {
	{"nowhere", 0x80200000, 21, 0x80200000, true}, // the kernel
	{"nowhere", GPA_DEVICE, 21, GPA_DEVICE, true},
	{"nowhere", 1ul << 40, 21, 1ul << 40, true},
	{"handler", GPA_HEAP_END - 8, 21, GPA_HEAP_END - 8, false},
	{"handler", 0x80200000, 21, 0x80200000, false},
	{"handler", 0x8000, 13, 0x8000, false},               // its program's, and nothing is there
	{"handler", GPA_END + 0x12345000, 13, GPA_END + 0x12345000, false}, // and text is, which it may not read so
	{"handler", 1, 2, 0, false},
};

// A library OS that faults itself stops like any domain: with the cause, and its registers as they were.
static void own_faults_reach_the_kernel(void)
{
	for (unsigned i = 0; i < sizeof(own_faults) / sizeof(own_faults[0]); i++) {
		const struct own_fault *f = &own_faults[i];
		struct child c;
		struct domain_status s;
		CHECK(child_run_as(&c, i % test_cores, f->order, f->argument, 1, DOMAIN_FLAG_LIBRARY_OS));
		CHECK(child_wait(&c, &s));
		EQUAL(s.state >> 8 & 0xff, FAULT_EXCEPTION);
		EQUAL(s.cause, f->cause);
		EQUAL(s.address, f->address);
		EQUAL((s.state & DOMAIN_STATUS_IN_PROGRAM) != 0, f->in_program);
		EQUAL(s.pc >= GPA_IMAGE && s.pc < GPA_IMAGE_END, !f->in_program);
		CHECK(child_destroy(&c));
	}
}

static void ends_by(const char *order, unsigned flags, uint64_t cause, uint64_t address)
{
	struct child c;
	struct domain_status s;
	CHECK(child_run_as(&c, test_cores - 1, order, 0, 1, flags));
	CHECK(child_wait(&c, &s));
	EQUAL(s.state >> 8 & 0xff, FAULT_EXCEPTION);
	EQUAL(s.cause, cause);
	EQUAL(s.address & ~0xful, address);
	CHECK(child_destroy(&c));
}

// What the class gives, a plain domain has not.
static void rights_are_of_the_class(void)
{
	struct child c;
	CHECK(child_run_as(&c, test_cores - 1, "heap", 0, 1, DOMAIN_FLAG_LIBRARY_OS));
	CHECK(child_exits(&c, 42));
	CHECK(child_run_as(&c, test_cores - 1, "fence", 0, 1, DOMAIN_FLAG_LIBRARY_OS));
	CHECK(child_exits(&c, 0));
	ends_by("heap", 0, 20, GPA_HEAP);
	ends_by("fence", 0, 22, 0x12000070);
}

const struct kernel_test class_tests[] = {
	{"class.turns", classes_take_turns},
	{"class.wrong", programs_do_wrong},
	{"class.own", own_faults_reach_the_kernel},
	{"class.rights", rights_are_of_the_class},
	{0, 0},
};
