// Manifest reader: what it takes, and one sentence for each thing that it refuses.
#include "build.h"
#include "supervisor/manifest.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <cmocka.h>

static char manifest_why[256];

static enum error manifest_try(const struct manifest_service *services, unsigned count, struct manifest *manifest)
{
	static struct build kept;
	build_free(&kept);
	kept = build_manifest(services, count);
	memset(manifest_why, 0, sizeof manifest_why);
	return manifest_read(kept.data, kept.bytes, manifest, manifest_why, sizeof manifest_why);
}

static void manifest_sound(struct manifest_service s[3])
{
	s[0] = build_service("supervisor");
	build_serves(&s[0], "supervisor");
	s[1] = build_service("blk");
	build_serves(&s[1], "block0");
	s[2] = build_service("fs");
	build_serves(&s[2], "fs");
	build_uses(&s[2], "block0");
}

static void test_manifest_reads(void **state)
{
	(void)state;
	struct manifest_service s[3];
	struct manifest m;
	unsigned char order[MANIFEST_SERVICE_MAX];
	char name[NAME_SIZE];
	manifest_sound(s);
	assert_int_equal(manifest_try(s, 3, &m), ERR_OK);
	assert_int_equal(m.count, 3);
	assert_true(manifest_name(name, "fs", 2));
	assert_int_equal(manifest_find(&m, name), 2);
	assert_true(manifest_name(name, "block0", 6));
	assert_int_equal(manifest_provider(&m, name), 1);
	assert_int_equal(manifest_find(&m, name), -1);
	assert_int_equal(manifest_order(&m, order, manifest_why, sizeof manifest_why), ERR_OK);
	assert_true(order[0] == 0 && order[1] == 1 && order[2] == 2);
}

static void test_manifest_orders_backwards(void **state)
{
	(void)state;
	struct manifest_service s[4];
	struct manifest m;
	unsigned char order[MANIFEST_SERVICE_MAX];
	s[0] = build_service("supervisor");
	build_serves(&s[0], "supervisor");
	build_uses(&s[0], "c"); // waits for nobody all the same
	s[1] = build_service("a");
	build_uses(&s[1], "b");
	s[2] = build_service("b");
	build_serves(&s[2], "b");
	build_uses(&s[2], "c");
	s[3] = build_service("c");
	build_serves(&s[3], "c");
	build_uses(&s[3], "supervisor");
	assert_int_equal(manifest_try(s, 4, &m), ERR_OK);
	assert_int_equal(manifest_order(&m, order, manifest_why, sizeof manifest_why), ERR_OK);
	assert_true(order[0] == 0 && order[1] == 3 && order[2] == 2 && order[3] == 1);
}

static void test_manifest_names_circles(void **state)
{
	(void)state;
	struct manifest_service s[5];
	struct manifest m;
	unsigned char order[MANIFEST_SERVICE_MAX];
	const char *names[] = {"supervisor", "a", "b", "c", "d"};
	for (unsigned i = 0; i < 5; i++) {
		s[i] = build_service(names[i]);
		build_serves(&s[i], names[i]);
	}
	build_uses(&s[1], "b"); // a waits for the circle b, c and is not of it
	build_uses(&s[2], "d");
	build_uses(&s[2], "c");
	build_uses(&s[3], "b");
	assert_int_equal(manifest_try(s, 5, &m), ERR_OK);
	assert_int_equal(manifest_order(&m, order, manifest_why, sizeof manifest_why), ERR_LOOP);
	if (!strstr(manifest_why, "\"b\" uses \"c\" uses \"b\"") && !strstr(manifest_why, "\"c\" uses \"b\" uses \"c\""))
		fail_msg("%s", manifest_why);
	assert_null(strstr(manifest_why, "\"a\""));
	s[3].uses_count = 0;
	build_uses(&s[4], "d"); // uses itself
	assert_int_equal(manifest_try(s, 5, &m), ERR_OK);
	assert_int_equal(manifest_order(&m, order, manifest_why, sizeof manifest_why), ERR_LOOP);
	assert_string_equal(manifest_why, "services wait for each other in a circle: \"d\" uses \"d\"");
}

struct manifest_bad_case {
	size_t offset; // in record 2
	size_t bytes;
	uint64_t value;
	const char *sentence;
};

#define BAD(field, value, sentence)                                                                                    \
	{offsetof(struct manifest_service, field), sizeof(((struct manifest_service *)0)->field), value, sentence}

static const struct manifest_bad_case manifest_bad_cases[] = {
	BAD(name[0], '/', "the name of service 2 is malformed"),
	BAD(name[0], 0, "the name of service 2 is malformed"),
	BAD(name[5], 'x', "the name of service 2 is malformed"),
	BAD(image[0], 0, "service \"fs\": the name of its image is malformed"),
	BAD(alternative[0], ' ', "service \"fs\": the name of its alternative image is malformed"),
	BAD(core, 64, "service \"fs\": core 64 is not below 64"),
	BAD(priority, 8, "service \"fs\": priority 8 is above 7"),
	BAD(device, 5, "service \"fs\": there is no device class 5"),
	BAD(then, 2, "service \"fs\": there is no end 2 of a restart rule"),
	BAD(serves_count, 5, "service \"fs\": serves 5 names, at most 4 are possible"),
	BAD(uses_count, 9, "service \"fs\": uses 9 names, at most 8 are possible"),
	BAD(serves_count, 2, "service \"fs\": name 1 that it serves is malformed"),
	BAD(uses_count, 2, "service \"fs\": name 1 that it uses is malformed"),
	BAD(flags, 0x40, "service \"fs\": flags 0x40 hold an unknown one"),
	BAD(flags, SERVICE_FLAG_LIBRARY_OS, 0),
	BAD(flags, SERVICE_FLAG_LIBRARY_OS | SERVICE_FLAG_DMA, "service \"fs\": a library OS is not the first domain, and has no device and no DMA"),
	BAD(flags, 2, "2 services are marked as the first domain, not one"),
	BAD(memory_pages, 0, "service \"fs\": a quota of 0 pages is not between 1 and 1048576"),
	BAD(memory_pages, 0x100001, "service \"fs\": a quota of 1048577 pages is not between 1 and 1048576"),
	BAD(stack_pages, 0, "service \"fs\": a stack of 0 pages does not fit (quota 1024, at most 4096)"),
	BAD(stack_pages, 1024, "service \"fs\": a stack of 1024 pages does not fit (quota 1024, at most 4096)"),
	BAD(window_ms, 0, "service \"fs\": 3 restarts are allowed within a window of 0 ms"),
	BAD(delay_ms, 86400001, "service \"fs\": its delay of 86400001 ms is longer than a day"),
	BAD(hang_ms, 86400001, "service \"fs\": its hang deadline of 86400001 ms is longer than a day"),
	BAD(beside, 200, "service \"fs\": it is placed beside service 200, and there are 3"),
	BAD(beside, 3, "service \"fs\": it is placed beside itself, by way of others or at once"),
	BAD(budget_us, 5, "service \"fs\": a budget of 5 us in each 0 us is not between 100 us and the whole of a period of at most 10000000 us"),
	BAD(serves[0][0], 'F', 0),
	BAD(uses[0][0], 'x', "service \"fs\": uses \"xlock0\", which nobody serves"),
	BAD(uses[0][0], '*', "service \"fs\": name 0 that it uses is malformed"),
};

static void test_manifest_refuses(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof manifest_bad_cases / sizeof manifest_bad_cases[0]; i++) {
		const struct manifest_bad_case *c = &manifest_bad_cases[i];
		struct manifest_service s[3];
		struct manifest m;
		manifest_sound(s);
		memcpy((char *)&s[2] + c->offset, &c->value, c->bytes);
		enum error error = manifest_try(s, 3, &m);
		assert_int_equal(error, c->sentence ? ERR_CORRUPT : ERR_OK);
		if (c->sentence)
			assert_string_equal(manifest_why, c->sentence);
	}
}

static void test_manifest_refuses_relations(void **state)
{
	(void)state;
	struct manifest_service s[3];
	struct manifest m;
	manifest_sound(s);
	strcpy(s[2].name, "blk");
	assert_int_equal(manifest_try(s, 3, &m), ERR_CORRUPT);
	assert_string_equal(manifest_why, "service \"blk\": that name is given twice");
	manifest_sound(s);
	strcpy(s[2].serves[0], "block0");
	assert_int_equal(manifest_try(s, 3, &m), ERR_CORRUPT);
	assert_string_equal(manifest_why, "service \"fs\": \"block0\" is served by \"blk\" already");
	manifest_sound(s);
	memset(s[2].argument, 'a', sizeof s[2].argument);
	assert_int_equal(manifest_try(s, 3, &m), ERR_CORRUPT);
	assert_string_equal(manifest_why, "service \"fs\": its argument does not end within 128 bytes");
}

static void test_manifest_refuses_mates(void **state)
{
	(void)state;
	struct manifest_service s[3];
	struct manifest m;
	manifest_sound(s);
	memcpy(s[2].image, "fs.blk", 7);
	memcpy(s[2].mates[0], "block1", 7);
	s[2].mate_component[0] = s[2].mates_count = 1;
	assert_int_equal(manifest_try(s, 3, &m), ERR_OK);
	s[2].device_component = 1;
	assert_int_equal(manifest_try(s, 3, &m), ERR_CORRUPT);
	assert_string_equal(manifest_why, "service \"fs\": component 2 of 2 has a device, and it is of class 0");
	s[2].device = DEVICE_BLOCK;
	assert_int_equal(manifest_try(s, 3, &m), ERR_OK);
	s[2].device_component = 2;
	assert_int_equal(manifest_try(s, 3, &m), ERR_CORRUPT);
	assert_string_equal(manifest_why, "service \"fs\": component 3 of 2 has a device, and it is of class 2");
	s[2].device_component = 0;
	s[2].mate_component[0] = 2;
	assert_int_equal(manifest_try(s, 3, &m), ERR_CORRUPT);
	assert_string_equal(manifest_why, "service \"fs\": \"block1\" is served by component 3 of 2");
	s[2].mates_count = 2;
	s[2].mate_component[0] = 1;
	assert_int_equal(manifest_try(s, 3, &m), ERR_CORRUPT);
	assert_string_equal(manifest_why, "service \"fs\": name 1 that a component serves it is malformed");
	s[2].mates_count = 5;
	assert_int_equal(manifest_try(s, 3, &m), ERR_CORRUPT);
	assert_string_equal(manifest_why, "service \"fs\": its components serve it 5 names, at most 4 are possible");
}

static void test_manifest_app_uses_anything(void **state)
{
	(void)state;
	struct manifest_service s[3];
	struct manifest m;
	unsigned char order[MANIFEST_SERVICE_MAX];
	manifest_sound(s);
	memset(s[2].uses[0], 0, NAME_SIZE);
	s[2].uses[0][0] = '*';
	s[2].flags = SERVICE_FLAG_APP;
	assert_int_equal(manifest_try(s, 3, &m), ERR_OK);
	assert_int_equal(manifest_order(&m, order, manifest_why, sizeof manifest_why), ERR_OK);
}

struct manifest_header_case {
	size_t offset;
	uint32_t value;
	enum error error;
	const char *sentence;
};

static void test_manifest_refuses_headers(void **state)
{
	(void)state;
	static const struct manifest_header_case cases[] = {
		{0, 1, ERR_CORRUPT, "the manifest's magic number is 0x00000001, not 0x46494e4d"},
		{4, 1, ERR_UNSUPPORTED, "the manifest is of version 1, this supervisor reads version 2"},
		{8, 1, ERR_CORRUPT, "the manifest says 1 bytes and has 1600, 3 services need 1600"},
		{12, 0, ERR_CORRUPT, "the manifest names 0 services, 1 to 48 are possible"},
		{12, 49, ERR_CORRUPT, "the manifest names 49 services, 1 to 48 are possible"},
		{12, 4, ERR_CORRUPT, "the manifest says 1600 bytes and has 1600, 4 services need 2112"},
		{16, 0x21212121, ERR_CORRUPT, "the name of the system is malformed"},
	};
	struct manifest_service s[3];
	struct manifest m;
	manifest_sound(s);
	struct build b = build_manifest(s, 3);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		uint32_t former;
		memcpy(&former, b.data + cases[i].offset, 4);
		memcpy(b.data + cases[i].offset, &cases[i].value, 4);
		assert_int_equal(manifest_read(b.data, b.bytes, &m, manifest_why, sizeof manifest_why), cases[i].error);
		assert_string_equal(manifest_why, cases[i].sentence);
		memcpy(b.data + cases[i].offset, &former, 4);
	}
	assert_int_equal(manifest_read(b.data, 63, &m, manifest_why, sizeof manifest_why), ERR_CORRUPT);
	assert_string_equal(manifest_why, "the manifest has 63 bytes, its header alone has 64");
	assert_int_equal(manifest_read(b.data + 1, 1599, &m, manifest_why, sizeof manifest_why), ERR_CORRUPT);
	assert_string_equal(manifest_why, "the manifest is not aligned to 8 bytes");
	assert_int_equal(manifest_read(b.data, b.bytes, &m, manifest_why, sizeof manifest_why), ERR_OK);
	build_free(&b);
}

static void test_manifest_name(void **state)
{
	(void)state;
	char name[NAME_SIZE];
	assert_false(manifest_name(name, "", 0));
	assert_false(manifest_name(name, "a/b", 3));
	assert_true(manifest_name(name, "sixteen-letters-", 16));
	assert_false(manifest_name(name, "seventeen-letters", 17));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_manifest_reads),          cmocka_unit_test(test_manifest_orders_backwards),
		cmocka_unit_test(test_manifest_names_circles),  cmocka_unit_test(test_manifest_refuses),
		cmocka_unit_test(test_manifest_refuses_relations), cmocka_unit_test(test_manifest_refuses_mates), cmocka_unit_test(test_manifest_app_uses_anything),
		cmocka_unit_test(test_manifest_refuses_headers), cmocka_unit_test(test_manifest_name),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
