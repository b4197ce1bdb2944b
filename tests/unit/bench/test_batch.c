// The counter's marks: a text and two marks make a line; whatever else a guest may execute makes none.
#include "bench/count/count.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct batch batch;
static char line[MARK_TEXT_MAX + 64];

static int setup(void **state)
{
	(void)state;
	batch = (struct batch){0};
	memset(line, 0, sizeof(line));
	return 0;
}

static bool mark(unsigned number, uint64_t instructions)
{
	return batch_mark(&batch, number, instructions, instructions + 7, line, sizeof(line));
}

static void spell(const char *text)
{
	for (; *text; text++)
		for (unsigned bit = 0; bit < 8; bit++)
			assert_false(mark(*text >> bit & 1 ? MARK_ONE : MARK_ZERO, 0));
}

static void a_batch_makes_a_line(void **state)
{
	(void)state;
	spell("doorbell.sleep 100");
	assert_false(batch_mark(&batch, MARK_BEGIN, 1000, 90, line, sizeof(line)));
	assert_false(mark(9, 1500)); // no mark of ours
	assert_true(batch_mark(&batch, MARK_END, 2001, 101, line, sizeof(line))); // neither mark counts
	assert_string_equal(line, "doorbell.sleep 100 1000 10\n");
	spell("null 7");
	assert_false(mark(MARK_BEGIN, 5000));
	assert_true(mark(MARK_END, 5001));
	assert_string_equal(line, "null 7 0 0\n");
}

static void marks_out_of_order_make_none(void **state)
{
	(void)state;
	assert_false(mark(MARK_END, 1));
	assert_false(mark(MARK_BEGIN, 2)); // without a text
	assert_false(mark(MARK_END, 3));
	spell("a 1");
	assert_false(mark(MARK_END, 4)); // without a begin
	spell("b 1");
	assert_false(mark(MARK_BEGIN, 5));
	spell("c 2"); // b never ended
	assert_false(mark(MARK_BEGIN, 10));
	assert_true(mark(MARK_END, 16));
	assert_string_equal(line, "c 2 5 5\n");
	spell("d 3");
	assert_false(mark(MARK_BEGIN, 20));
	assert_false(mark(MARK_BEGIN, 30)); // twice: whose is the end?
	assert_false(mark(MARK_END, 40));
}

static void texts_that_are_none_make_none(void **state)
{
	static const char *const bad[] = {"", "noname", " 5", "name ", "name 5 5", "na/me 5", "name 5x", "NAME 5"};
	char length[MARK_TEXT_MAX + 3];
	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		spell(bad[i]);
		assert_false(mark(MARK_BEGIN, 1));
		assert_false(mark(MARK_END, 2));
	}
	spell("name 5");
	assert_false(mark(MARK_ONE, 0)); // a bit too many
	assert_false(mark(MARK_BEGIN, 1));
	assert_false(mark(MARK_END, 2));
	memset(length, '1', sizeof(length));
	length[1] = ' ';
	length[MARK_TEXT_MAX - 1] = 0; // as long as there is room
	spell(length);
	assert_false(mark(MARK_BEGIN, 1));
	assert_true(mark(MARK_END, 3));
	length[MARK_TEXT_MAX - 1] = '1';
	length[MARK_TEXT_MAX] = 0; // one more
	spell(length);
	assert_false(mark(MARK_BEGIN, 1));
	assert_false(mark(MARK_END, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_batch_makes_a_line, setup),
		cmocka_unit_test_setup(marks_out_of_order_make_none, setup),
		cmocka_unit_test_setup(texts_that_are_none_make_none, setup),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
