// Line editor: keys in, text out. The terminal's picture is checked by a tiny terminal of one row.
#include "apps/shell/line.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct line line;
static char row[256]; // what the terminal shows
static unsigned column;

// Understands what the editor sends: characters, CR, LF, ESC [ n D, ESC [ K.
static void terminal(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '\n') {
			memset(row, 0, sizeof(row));
			column = 0;
		} else if (text[i] == '\r') {
			column = 0;
		} else if (text[i] == '\033') {
			char *end;
			unsigned long n = strtoul(text + i + 2, &end, 10);
			if (*end == 'D')
				column -= (unsigned)n;
			else
				memset(row + column, 0, sizeof(row) - column);
			i = (size_t)(end - text);
		} else {
			row[column++] = text[i];
		}
	}
}

static enum line_result type(const char *keys)
{
	enum line_result result = LINE_MORE;
	for (; *keys; keys++)
		result = line_feed(&line, (uint8_t)*keys);
	return result;
}

static int begin(void **state)
{
	(void)state;
	memset(&line, 0, sizeof(line));
	memset(row, 0, sizeof(row));
	column = 0;
	line.output = terminal;
	line.prompt = "> ";
	line_begin(&line);
	return 0;
}

static void expect_row(const char *text, unsigned at)
{
	assert_string_equal(row, text);
	assert_int_equal(column, at);
}

static void expect_line(const char *keys, const char *text)
{
	assert_int_equal(type(keys), LINE_DONE);
	assert_string_equal(line.text, text);
	line_begin(&line);
}

static void test_plain(void **state)
{
	(void)state;
	assert_int_equal(type("ls -l"), LINE_MORE);
	expect_row("> ls -l", 7);
	expect_line("\r", "ls -l");
}

static void test_carriage_return_line_feed(void **state)
{
	(void)state;
	assert_int_equal(type("a\r"), LINE_DONE);
	line_begin(&line);
	assert_int_equal(type("\n"), LINE_MORE);
	expect_line("b\r", "b");
}

static void test_cursor_keys(void **state)
{
	(void)state;
	type("ac\033[Db");
	expect_row("> abc", 4);
	type("\033[Hx\033[Fy\033[1~z\033[4~!");
	expect_row("> zxabcy!", 9);
	type("\033OH\033[C\033[3~");
	expect_row("> zabcy!", 3);
	expect_line("\r", "zabcy!");
}

static void test_control_keys(void **state)
{
	(void)state;
	type("one two three\x17");
	expect_row("> one two ", 10);
	type("\x01\x06\x06\x0b");
	expect_row("> on", 4);
	type("\x08\x7fxyz\x02\x02\x15");
	expect_row("> yz", 2);
	type("\x04");
	expect_row("> z", 2);
	expect_line("\x05!\r", "z!");
}

static void test_interrupt_and_end(void **state)
{
	(void)state;
	assert_int_equal(type("abc\x03"), LINE_INTERRUPTED);
	line_begin(&line);
	assert_int_equal(type("\x04"), LINE_END);
	line_begin(&line);
	assert_int_equal(type("a\x04"), LINE_MORE);
}

static void test_history(void **state)
{
	(void)state;
	expect_line("first\r", "first");
	expect_line("second\r", "second");
	expect_line("second\r", "second"); // not twice
	type("draft\033[A");
	expect_row("> second", 8);
	type("\033[A");
	expect_row("> first", 7);
	type("\033[A"); // none before
	expect_row("> first", 7);
	type("\033[B\033[B");
	expect_row("> draft", 7);
	type("\033[B");
	expect_row("> draft", 7);
	type("\x10\x10");
	expect_line("\r", "first");
	assert_string_equal(line_history(&line, 1), "first");
	assert_string_equal(line_history(&line, 2), "second");
	assert_string_equal(line_history(&line, 3), "first");
	assert_null(line_history(&line, 4));
}

static void test_history_wraps(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3 * LINE_HISTORY; i++) {
		char keys[16], text[16];
		snprintf(text, sizeof(text), "n%u", i);
		snprintf(keys, sizeof(keys), "n%u\r", i);
		expect_line(keys, text);
	}
	for (unsigned i = 0; i < LINE_HISTORY + 5; i++)
		type("\033[A");
	expect_row("> n64", 5);
}

static void test_full(void **state)
{
	(void)state;
	static uint8_t big[LINE_SIZE + 100];
	begin(0);
	memset(big, 'x', sizeof(big));
	for (unsigned i = 0; i < LINE_SIZE + 100; i++) {
		column = 0; // the tiny terminal has one row
		line_feed(&line, big[i]);
	}
	assert_int_equal(line.length, LINE_SIZE - 1);
	column = 0;
	assert_int_equal(line_feed(&line, '\r'), LINE_DONE);
	assert_int_equal(strlen(line.text), LINE_SIZE - 1);
}

static void ignore_output(const char *text, size_t length)
{
	(void)text;
	(void)length;
}

// Any bytes: the invariants hold, nothing is written out of bounds (the sanitizers look).
static void test_noise(void **state)
{
	(void)state;
	line.output = ignore_output;
	uint32_t x = 1;
	for (unsigned i = 0; i < 200000; i++) {
		x = x * 1664525 + 1013904223;
		if (line_feed(&line, (uint8_t)(x >> 24)) != LINE_MORE)
			line_begin(&line);
		assert_true(line.cursor <= line.length && line.length < LINE_SIZE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_plain, begin),
		cmocka_unit_test_setup(test_carriage_return_line_feed, begin),
		cmocka_unit_test_setup(test_cursor_keys, begin),
		cmocka_unit_test_setup(test_control_keys, begin),
		cmocka_unit_test_setup(test_interrupt_and_end, begin),
		cmocka_unit_test_setup(test_history, begin),
		cmocka_unit_test_setup(test_history_wraps, begin),
		cmocka_unit_test_setup(test_full, begin),
		cmocka_unit_test_setup(test_noise, begin),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
