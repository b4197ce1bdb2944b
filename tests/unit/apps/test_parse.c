// Command lines into words.
#include "apps/shell/parse.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct parsed parsed;
static const char *rest;

static void expect_words(int count, ...)
{
	va_list words;
	assert_int_equal(parse_command(&rest, 7, &parsed), PARSE_COMMAND);
	assert_int_equal(parsed.count, count);
	va_start(words, count);
	for (int i = 0; i < count; i++)
		assert_string_equal(parsed.words[i], va_arg(words, const char *));
	va_end(words);
	assert_null(parsed.words[count]);
}

static void expect_end(void)
{
	assert_int_equal(parse_command(&rest, 7, &parsed), PARSE_END);
}

static void test_words(void **state)
{
	(void)state;
	rest = "  ls   -l\t/a ";
	expect_words(3, "ls", "-l", "/a");
	expect_end();
	rest = "";
	expect_end();
	rest = "   ";
	expect_end();
}

static void test_semicolons(void **state)
{
	(void)state;
	rest = "a b;c ; ;d;";
	expect_words(2, "a", "b");
	expect_words(1, "c");
	expect_words(0);
	expect_words(1, "d");
	expect_end();
}

static void test_quotes(void **state)
{
	(void)state;
	rest = "write f 'it is; $? \"so\"' \"a \\\"b\\\" \\\\ $?\" x'y'z ''";
	expect_words(6, "write", "f", "it is; $? \"so\"", "a \"b\" \\ 7", "xyz", "");
	expect_end();
	rest = "a\\ b \\; \\$?";
	expect_words(3, "a b", ";", "$?");
}

static void test_status(void **state)
{
	(void)state;
	rest = "poweroff $?; echo a$?b $x";
	expect_words(2, "poweroff", "7");
	expect_words(3, "echo", "a7b", "$x");
}

static void test_comment(void **state)
{
	(void)state;
	rest = "a b#c # d ; e";
	expect_words(2, "a", "b#c");
	expect_end();
}

static void test_errors(void **state)
{
	(void)state;
	static char text[PARSE_TEXT_SIZE + 100];
	rest = "echo 'abc";
	assert_int_equal(parse_command(&rest, 0, &parsed), PARSE_QUOTE);
	rest = "echo \"abc";
	assert_int_equal(parse_command(&rest, 0, &parsed), PARSE_QUOTE);
	memset(text, 'x', sizeof(text) - 1);
	rest = text;
	assert_int_equal(parse_command(&rest, 0, &parsed), PARSE_TOO_LONG);
	for (unsigned i = 0; i < 2 * PARSE_WORDS_MAX + 2; i++)
		text[i] = i % 2 ? ' ' : 'x';
	text[2 * PARSE_WORDS_MAX + 2] = 0;
	rest = text;
	assert_int_equal(parse_command(&rest, 0, &parsed), PARSE_TOO_LONG);
	text[2 * PARSE_WORDS_MAX] = 0;
	rest = text;
	assert_int_equal(parse_command(&rest, 0, &parsed), PARSE_COMMAND);
	assert_int_equal(parsed.count, PARSE_WORDS_MAX);
	assert_non_null(parse_sentence(PARSE_QUOTE));
	assert_non_null(parse_sentence(PARSE_TOO_LONG));
}

// Any text ends, in bounds.
static void test_noise(void **state)
{
	(void)state;
	static const char letters[] = "ab '\"\\;$?# \t";
	uint32_t x = 1;
	for (unsigned i = 0; i < 20000; i++) {
		char text[64];
		for (unsigned j = 0; j < sizeof(text) - 1; j++) {
			x = x * 1664525 + 1013904223;
			text[j] = letters[(x >> 24) % (sizeof(letters) - 1)];
		}
		text[sizeof(text) - 1] = 0;
		rest = text;
		unsigned commands = 0;
		while (parse_command(&rest, 0, &parsed) == PARSE_COMMAND)
			assert_true(++commands <= sizeof(text));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),   cmocka_unit_test(test_semicolons), cmocka_unit_test(test_quotes),
		cmocka_unit_test(test_status),  cmocka_unit_test(test_comment),    cmocka_unit_test(test_errors),
		cmocka_unit_test(test_noise),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
