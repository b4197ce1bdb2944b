// Crash log: the sentences, and the ring.
#include "supervisor/crash_log.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static struct crash crash_sample(enum fault_kind kind)
{
	return (struct crash){.name = "fs", .core = 2, .domain = 1, .epoch = 7, .kind = kind, .cause = 23,
			      .address = 0xdead0000, .pc = 0x201234, .ra = 0x200010, .stack_bottom = 0x2ffe0000,
			      .silent_us = 12345, .complaint = COMPLAINT_NO_ANSWER, .where = "write_block+0x1c",
			      .caller = "main+0x4"};
}

static void crash_expect(const struct crash *crash, const char *text)
{
	char line[512];
	crash_describe(crash, line, sizeof line);
	assert_string_equal(line, text);
}

static void test_crash_sentences(void **state)
{
	(void)state;
	struct crash c = crash_sample(FAULT_EXCEPTION);
	crash_expect(&c, "fs (core 2, domain 1, epoch 7) died: store to unmapped 0xdead0000 at pc 0x201234 "
			 "write_block+0x1c, called from main+0x4");
	c.address = 0x2ffdfff8;
	c.caller[0] = 0;
	crash_expect(&c, "fs (core 2, domain 1, epoch 7) died: stack overflow, 0x2ffdfff8 is below its stack at pc 0x201234 "
			 "write_block+0x1c");
	c.cause = 2;
	c.where[0] = 0;
	crash_expect(&c, "fs (core 2, domain 1, epoch 7) died: illegal instruction (cause 2) at pc 0x201234 ");
	c = crash_sample(FAULT_EXCEPTION);
	c.caller[0] = 0;
	c.sp = 0x100109f60; // of a fiber, whose stack the heap holds
	c.address = 0x100109f90;
	crash_expect(&c, "fs (core 2, domain 1, epoch 7) died: stack overflow, 0x100109f90 is below its stack at pc 0x201234 "
			 "write_block+0x1c");
	c.sp = 0x10010af60; // a page that is there: its variables are not, but that is not the stack's fault
	crash_expect(&c, "fs (core 2, domain 1, epoch 7) died: store to unmapped 0x100109f90 at pc 0x201234 write_block+0x1c");
	c.assertion = true;
	c.line = 101;
	memcpy(c.file, "runtime/inject.c", 17);
	memcpy(c.claim, "runtime.loop", 13);
	crash_expect(&c, "fs (core 2, domain 1, epoch 7) died: assertion failed at runtime/inject.c:101 (runtime.loop), pc 0x201234 "
			 "write_block+0x1c");
	c = crash_sample(FAULT_EXCEPTION);
	c.in_program = true;
	crash_expect(&c, "fs (core 2, domain 1, epoch 7) died: store to unmapped 0xdead0000, in a program of its own at pc 0x201234");
	c = crash_sample(FAULT_HANG);
	c.caller[0] = 0;
	crash_expect(&c, "fs (core 2, domain 1, epoch 7) died: hang, no answer for 12.345 ms at pc 0x201234 "
			 "write_block+0x1c");
	c = crash_sample(FAULT_EXIT);
	crash_expect(&c, "fs (core 2, domain 1, epoch 7) died: exit with code 23");
	c = crash_sample(FAULT_COMPLAINT);
	crash_expect(&c, "fs (core 2, domain 1, epoch 7) died: complaint of a client, a request got no answer in time");
	c = crash_sample(FAULT_KILLED);
	crash_expect(&c, "fs (core 2, domain 1, epoch 7) died: killed on request");
	struct crash_return back = {"fs", 8, 3, 100, 2345, 6789};
	char line[256];
	crash_describe_return(&back, line, sizeof line);
	assert_string_equal(line, "fs is back as epoch 8 after 6.789 ms (noticed at 0.100, started at 2.345), restart 3");
}

static void test_crash_causes_have_words(void **state)
{
	(void)state;
	for (uint64_t cause = 0; cause < 26; cause++) {
		struct crash c = crash_sample(FAULT_EXCEPTION);
		char line[512];
		c.cause = cause;
		crash_describe(&c, line, sizeof line);
		bool known = cause <= 8 || cause == 12 || cause == 13 || cause == 15 || (cause >= 20 && cause <= 23);
		assert_int_equal(strstr(line, "exception") == 0, known);
	}
}

static void test_crash_log_ring(void **state)
{
	(void)state;
	char text[64];
	uint64_t offset = crash_log_end(), lost;
	crash_log_line("one\ttwo");
	assert_int_equal(crash_log_read(&offset, text, sizeof text, &lost), 8);
	assert_memory_equal(text, "one two\n", 8);
	assert_int_equal(crash_log_read(&offset, text, sizeof text, &lost), 0);
	uint64_t before = offset;
	for (unsigned i = 0; i < CRASH_LOG_BYTES / 8 + 10; i++)
		crash_log_line("1234567");
	assert_int_equal(crash_log_read(&offset, text, 8, &lost), 8);
	assert_int_equal(lost, 80);
	assert_int_equal(offset, before + 88);
	offset = ~0ull;
	assert_int_equal(crash_log_read(&offset, text, 8, &lost), 0);
	assert_int_equal(offset, crash_log_end());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crash_sentences),
		cmocka_unit_test(test_crash_causes_have_words),
		cmocka_unit_test(test_crash_log_ring),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
