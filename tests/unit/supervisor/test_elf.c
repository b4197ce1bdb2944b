// ELF reader and symbols: sound files, and one sentence for each thing that is refused.
#include "abi/call.h"
#include "build.h"
#include "supervisor/elf.h"
#include "supervisor/symbols.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void test_elf_reads(void **state)
{
	(void)state;
	struct build b = build_program();
	struct elf_image image;
	char why[256];
	assert_int_equal(elf_read(b.data, b.bytes, &image, why, sizeof why), ERR_OK);
	assert_int_equal(image.entry, GPA_IMAGE);
	assert_int_equal(image.count, 2);
	assert_int_equal(image.segments[0].prot, PROT_READ | PROT_EXEC);
	assert_int_equal(image.segments[0].pages, 1);
	assert_int_equal(image.segments[1].prot, PROT_READ | PROT_WRITE);
	assert_int_equal(image.segments[1].gpa, GPA_IMAGE + PAGE_SIZE);
	assert_int_equal(image.segments[1].pages, 2);
	assert_int_equal(image.segments[1].length, 50);
	build_free(&b);
}

struct elf_bad_case {
	size_t offset; // in the file of build_program: header, two program headers from 64 on
	unsigned bytes;
	uint64_t value;
	const char *sentence;
};

static const struct elf_bad_case elf_bad_cases[] = {
	{0, 1, 0, "the file is no ELF file"},
	{4, 1, 1, "the file is not 64-bit little-endian ELF of version 1"},
	{5, 1, 2, "the file is not 64-bit little-endian ELF of version 1"},
	{16, 2, 3, "the file is of type 3, not an executable (2)"},
	{18, 2, 62, "the file is for machine 62, not RISC-V (243)"},
	{24, 8, GPA_IMAGE + 100, "the entry 0x200064 is not inside an executable segment"},
	{24, 8, GPA_IMAGE + 1, "the entry 0x200001 is not inside an executable segment"},
	{24, 8, GPA_IMAGE + PAGE_SIZE, "the entry 0x201000 is not inside an executable segment"},
	{54, 2, 32, "its program headers have 32 bytes each, not 56"},
	{56, 2, 0, "0 program headers are not between 1 and 32"},
	{56, 2, 33, "33 program headers are not between 1 and 32"},
	{32, 8, ~0ull, 0},
	{64, 4, 2, "it is linked dynamically"},
	{64, 4, 3, "it is linked dynamically"},
	{68, 4, 7, "the segment at 0x200000 is writable and executable"},
	{68, 4, 1, "the segment at 0x200000 is not readable"},
	{72, 8, ~0ull, 0},
	{80, 8, GPA_IMAGE + 8, "the segment at 0x200008 does not begin on a page"},
	{80, 8, GPA_IMAGE - PAGE_SIZE, "the segment at 0x1ff000 is not inside 0x200000 to 0xf000000"},
	{80, 8, GPA_IMAGE_END, "the segment at 0xf000000 is not inside 0x200000 to 0xf000000"},
	{80, 8, GPA_IMAGE + PAGE_SIZE, "the segments at 0x201000 and 0x201000 share a page"},
	{80, 8, GPA_IMAGE + 2 * PAGE_SIZE, "the segments at 0x202000 and 0x201000 share a page"},
	{96, 8, 101, "the segment at 0x200000 has 101 bytes in the file but 100 in memory"},
	{104, 8, GPA_IMAGE_END, "the segment at 0x200000 is not inside 0x200000 to 0xf000000"},
	{104, 8, ~0ull, "the segment at 0x200000 is not inside 0x200000 to 0xf000000"},
};

static void test_elf_refuses(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof elf_bad_cases / sizeof elf_bad_cases[0]; i++) {
		const struct elf_bad_case *c = &elf_bad_cases[i];
		struct build b = build_program();
		struct elf_image image;
		char why[256] = "";
		memcpy(b.data + c->offset, &c->value, c->bytes);
		assert_int_not_equal(elf_read(b.data, b.bytes, &image, why, sizeof why), ERR_OK);
		if (c->sentence)
			assert_string_equal(why, c->sentence);
		else
			assert_non_null(strstr(why, "beyond"));
		build_free(&b);
	}
}

static void test_elf_too_many_segments(void **state)
{
	(void)state;
	struct build_segment segments[ELF_SEGMENT_MAX + 1];
	struct elf_image image;
	char why[256];
	for (unsigned i = 0; i <= ELF_SEGMENT_MAX; i++)
		segments[i] = (struct build_segment){5, GPA_IMAGE + i * PAGE_SIZE, 8, 8};
	struct build b = build_elf(segments, ELF_SEGMENT_MAX);
	assert_int_equal(elf_read(b.data, b.bytes, &image, why, sizeof why), ERR_OK);
	build_free(&b);
	b = build_elf(segments, ELF_SEGMENT_MAX + 1);
	assert_int_equal(elf_read(b.data, b.bytes, &image, why, sizeof why), ERR_UNSUPPORTED);
	assert_string_equal(why, "it has more than 8 segments");
	build_free(&b);
}

static void test_elf_cut_off(void **state)
{
	(void)state;
	struct build b = build_program();
	for (size_t bytes = 0; bytes < b.bytes; bytes++) {
		uint8_t *copy = malloc(bytes ? bytes : 1);
		struct elf_image image;
		char why[64], where[16];
		memcpy(copy, b.data, bytes);
		if (elf_read(copy, bytes, &image, why, sizeof why) == ERR_OK)
			assert_true(bytes >= 64 + 112 + 150);
		symbols_describe(copy, bytes, GPA_IMAGE, where, sizeof where);
		free(copy);
	}
	build_free(&b);
}

static void test_elf_text(void **state)
{
	(void)state;
	struct build b = build_program();
	struct elf_image image;
	char why[256], text[13];
	assert_int_equal(elf_read(b.data, b.bytes, &image, why, sizeof why), ERR_OK);
	assert_true(elf_text(b.data, &image, BUILD_FILE_AT, text, sizeof text));
	assert_string_equal(text, "tests/unit.c");
	assert_true(elf_text(b.data, &image, BUILD_FILE_AT + 6, text, sizeof text));
	assert_string_equal(text, "unit.c");
	assert_true(elf_text(b.data, &image, BUILD_FILE_AT, text, 6)); // cut
	assert_string_equal(text, "tests");
	const uint64_t none[] = {BUILD_FILE_AT + 12, BUILD_ENDLESS_AT, GPA_IMAGE - 1, GPA_IMAGE + 100, GPA_IMAGE + PAGE_SIZE, 0, ~0ull};
	for (unsigned i = 0; i < sizeof none / sizeof none[0]; i++) {
		assert_false(elf_text(b.data, &image, none[i], text, sizeof text));
		assert_string_equal(text, "");
	}
	b.data[image.segments[0].offset + BUILD_CLAIM_AT - GPA_IMAGE + 1] = 0x1b; // no escape reaches a terminal
	assert_false(elf_text(b.data, &image, BUILD_CLAIM_AT, text, sizeof text));
	build_free(&b);
}

static void test_symbols(void **state)
{
	(void)state;
	struct build b = build_program();
	char where[40];
	symbols_describe(b.data, b.bytes, GPA_IMAGE, where, sizeof where);
	assert_string_equal(where, "main+0x0");
	symbols_describe(b.data, b.bytes, GPA_IMAGE + 31, where, sizeof where);
	assert_string_equal(where, "main+0x1f");
	symbols_describe(b.data, b.bytes, GPA_IMAGE + 36, where, sizeof where);
	assert_string_equal(where, "helper+0x4");
	symbols_describe(b.data, b.bytes, GPA_IMAGE - 1, where, sizeof where);
	assert_string_equal(where, "");
	symbols_describe(b.data, b.bytes, 0x40000000, where, sizeof where);
	assert_string_equal(where, "");
	symbols_describe(b.data, b.bytes, GPA_IMAGE + 36, where, 4);
	assert_string_equal(where, "hel");
	symbols_describe(b.data, 0, GPA_IMAGE + 36, where, sizeof where);
	assert_string_equal(where, "");
	build_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_elf_reads),   cmocka_unit_test(test_elf_refuses),
		cmocka_unit_test(test_elf_too_many_segments), cmocka_unit_test(test_elf_cut_off),
		cmocka_unit_test(test_elf_text), cmocka_unit_test(test_symbols),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
