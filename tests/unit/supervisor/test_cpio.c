// cpio reader: archives made here, whole and damaged in every byte.
#include "build.h"
#include "supervisor/cpio.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct build cpio_sample(void)
{
	struct build b = {0};
	build_cpio_entry(&b, "blk", 0100644, "block", 5);
	build_cpio_entry(&b, "fs", 040755, "", 0); // a folder of the same name as a file
	build_cpio_entry(&b, "fs", 0100644, "file system", 11);
	build_cpio_entry(&b, "empty", 0100644, "", 0);
	build_cpio_end(&b);
	return b;
}

static void test_cpio_finds(void **state)
{
	(void)state;
	struct build b = cpio_sample();
	struct cpio cpio = {b.data, b.bytes};
	struct cpio_entry e;
	assert_int_equal(cpio_find(&cpio, "blk", &e), ERR_OK);
	assert_int_equal(e.length, 5);
	assert_memory_equal(b.data + e.offset, "block", 5);
	assert_int_equal(cpio_find(&cpio, "fs", &e), ERR_OK);
	assert_memory_equal(b.data + e.offset, "file system", 11);
	assert_int_equal(cpio_find(&cpio, "empty", &e), ERR_OK);
	assert_int_equal(e.length, 0);
	assert_int_equal(cpio_find(&cpio, "none", &e), ERR_NOT_FOUND);
	assert_int_equal(cpio_find(&cpio, "TRAILER!!!", &e), ERR_NOT_FOUND);
	build_free(&b);
}

static void test_cpio_walks(void **state)
{
	(void)state;
	struct build b = cpio_sample();
	struct cpio cpio = {b.data, b.bytes};
	struct cpio_entry e;
	size_t position = 0;
	unsigned count = 0;
	while (cpio_next(&cpio, &position, &e) == ERR_OK)
		count++;
	assert_int_equal(count, 4);
	build_free(&b);
}

// Cut off at each length: an exact copy, so that the sanitizer sees a read beyond it.
static void test_cpio_cut_off(void **state)
{
	(void)state;
	struct build b = cpio_sample();
	for (size_t bytes = 0; bytes < b.bytes; bytes++) {
		uint8_t *copy = malloc(bytes ? bytes : 1);
		memcpy(copy, b.data, bytes);
		struct cpio cpio = {copy, bytes};
		struct cpio_entry e;
		size_t position = 0;
		enum error error;
		while ((error = cpio_next(&cpio, &position, &e)) == ERR_OK)
			assert_true(e.offset + e.length <= bytes);
		assert_true(error == ERR_CORRUPT || error == ERR_NOT_FOUND);
		free(copy);
	}
	build_free(&b);
}

static void cpio_walk_damaged(const struct build *b)
{
	struct cpio cpio = {b->data, b->bytes};
	struct cpio_entry e;
	size_t position = 0;
	for (unsigned i = 0; i < 100 && cpio_next(&cpio, &position, &e) == ERR_OK; i++) {
		assert_true(e.offset + e.length <= b->bytes);
		assert_true((uint8_t *)e.name + e.name_length < b->data + b->bytes);
	}
}

static void test_cpio_damaged(void **state)
{
	(void)state;
	static const uint8_t values[] = {0, '0', '7', 'F', 'f', 'g', 0xff};
	struct build b = cpio_sample();
	for (size_t at = 0; at < b.bytes; at++) {
		uint8_t former = b.data[at];
		for (size_t i = 0; i < sizeof values; i++) {
			b.data[at] = values[i];
			cpio_walk_damaged(&b);
		}
		b.data[at] = former;
	}
	build_free(&b);
}

static void test_cpio_refuses(void **state)
{
	(void)state;
	struct build b = cpio_sample();
	struct cpio cpio = {b.data, b.bytes};
	struct cpio_entry e;
	b.data[0] = '1';
	assert_int_equal(cpio_find(&cpio, "blk", &e), ERR_CORRUPT);
	b.data[0] = '0';
	b.data[5] = '2'; // with check sums: taken too
	assert_int_equal(cpio_find(&cpio, "blk", &e), ERR_OK);
	memcpy(b.data + 6 + 8 * 6, "FFFFFFFF", 8); // file size
	assert_int_equal(cpio_find(&cpio, "blk", &e), ERR_CORRUPT);
	memcpy(b.data + 6 + 8 * 11, "00000000", 8); // name size
	assert_int_equal(cpio_find(&cpio, "blk", &e), ERR_CORRUPT);
	build_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpio_finds),   cmocka_unit_test(test_cpio_walks),
		cmocka_unit_test(test_cpio_cut_off), cmocka_unit_test(test_cpio_damaged),
		cmocka_unit_test(test_cpio_refuses),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
