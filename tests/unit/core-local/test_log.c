// Log ring and the formatter beside it.
#include "check.h"
#include "core-local/format.h"
#include "core-local/log.h"

static struct log l;

static int setup(void **state)
{
	(void)state;
	memset(&l, 0, sizeof(l));
	return 0;
}

static void read_in_pieces(void **state)
{
	char out[8];
	uint64_t next = 0;

	(void)state;
	assert_int_equal(log_read(&l, 0, out, sizeof(out), &next), 0);
	log_append(&l, "hello, world", 12);
	assert_int_equal(log_read(&l, 0, out, 8, &next), 8);
	assert_memory_equal(out, "hello, w", 8);
	assert_int_equal(next, 8);
	assert_int_equal(log_read(&l, next, out, 8, &next), 4);
	assert_memory_equal(out, "orld", 4);
	assert_int_equal(log_read(&l, next, out, 8, &next), 0);
	assert_int_equal(next, 12);
}

static void oldest_is_overwritten(void **state)
{
	static char out[LOG_SIZE + 10];
	char line[32];
	uint64_t next = 0;

	(void)state;
	for (int i = 0; i < 3000; i++)
		log_append(&l, line, format_line(line, sizeof(line), "line %05d.\n", i)); // 12 bytes each
	assert_int_equal(l.end, 36000);
	assert_int_equal(log_read(&l, 0, out, sizeof(out), &next), LOG_SIZE);
	assert_int_equal(next, 36000);
	assert_memory_equal(&out[LOG_SIZE - 12], "line 02999.\n", 12);
	assert_int_equal(log_read(&l, 36000 - 24, out, 12, &next), 12);
	assert_memory_equal(out, "line 02998.\n", 12);
	assert_int_equal(log_read(&l, 99999, out, 12, &next), 0); // from the future
	assert_int_equal(next, 36000);
}

static void format_is_bounded(void **state)
{
	char out[8] = "zzzzzzz";

	(void)state;
	assert_int_equal(format_line(out, 0, "%s", "abc"), 0);
	assert_int_equal(out[0], 'z');
	assert_int_equal(format_line(out, 4, "%s", "abcdef"), 3);
	assert_string_equal(out, "abc");
	assert_int_equal(format_line(out, sizeof(out), "%-4s|%x", "ab", 10u), 6);
	assert_string_equal(out, "ab  |a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(read_in_pieces, setup),
		cmocka_unit_test_setup(oldest_is_overwritten, setup),
		cmocka_unit_test_setup(format_is_bounded, setup),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
