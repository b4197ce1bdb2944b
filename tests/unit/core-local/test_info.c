// Info page: table of services, sequence count, bounded reading.
#include "check.h"
#include "abi/info_read.h"
#include "core-local/info.h"

static struct info_page page;

static int setup(void **state)
{
	(void)state;
	page = (struct info_page){ .magic = INFO_MAGIC, .version = INFO_VERSION };
	return 0;
}

static const char *name_of(int i)
{
	static char name[NAME_SIZE];

	memset(name, 0, sizeof(name));
	snprintf(name, sizeof(name), "service%d", i);
	return name;
}

static void services(void **state)
{
	struct info_page copy;

	(void)state;
	assert_int_equal(info_service_set(&page, name_of(0), 1, 1, SERVICE_NONE), ERR_NOT_FOUND);
	for (int i = 0; i < INFO_SERVICE_MAX; i++)
		assert_int_equal(info_service_set(&page, name_of(i), 100 + i, 1, SERVICE_STARTING), ERR_OK);
	assert_int_equal(info_service_set(&page, "one too many\0\0\0", 1, 1, SERVICE_UP), ERR_LIMIT);
	assert_int_equal(info_service_set(&page, name_of(5), 7, 2, SERVICE_UP), ERR_OK);
	assert_int_equal(info_service_set(&page, name_of(3), 0, 0, SERVICE_NONE), ERR_OK);
	assert_int_equal(info_service_set(&page, name_of(3), 0, 0, SERVICE_NONE), ERR_NOT_FOUND);
	assert_int_equal(info_service_set(&page, name_of(5), 7, 3, SERVICE_DOWN), ERR_OK); // not the free line before it
	assert_true(info_copy(&page, &copy));
	assert_int_equal(copy.services[3].state, SERVICE_NONE);
	assert_int_equal(copy.services[3].name[0], 0);
	assert_int_equal(copy.services[5].epoch, 3);
	assert_int_equal(copy.services[5].domain, 7);
	assert_int_equal(copy.services[5].state, SERVICE_DOWN);
	assert_string_equal(copy.services[23].name, "service23");
	assert_int_equal(copy.sequence % 2, 0);
	assert_int_equal(info_service_set(&page, "full length name", 1, 1, SERVICE_UP), ERR_OK);
	assert_memory_equal(page.services[3].name, "full length name", NAME_SIZE);
}

static void found_by_name(void **state)
{
	(void)state;
	assert_null(info_service_named(&page, "")); // no line is nobody's
	assert_int_equal(info_service_set(&page, name_of(1), 1, 1, SERVICE_UP), ERR_OK);
	assert_int_equal(info_service_set(&page, name_of(12), 2, 1, SERVICE_HELD), ERR_OK);
	assert_int_equal(info_service_set(&page, "full length name", 3, 1, SERVICE_UP), ERR_OK);
	assert_ptr_equal(info_service_named(&page, "service1"), &page.services[0]);
	assert_ptr_equal(info_service_named(&page, name_of(12)), &page.services[1]);
	assert_ptr_equal(info_service_named(&page, "full length name and more"), &page.services[2]);
	assert_null(info_service_named(&page, "service"));
	assert_int_equal(info_service_set(&page, name_of(1), 0, 0, SERVICE_NONE), ERR_OK);
	assert_null(info_service_named(&page, "service1"));
}

static void counters(void **state)
{
	(void)state;
	info_count(&page, INFO_SWITCHES);
	info_count(&page, INFO_SWITCHES);
	info_count(&page, INFO_PINGS);
	assert_int_equal(page.counters[INFO_SWITCHES], 2);
	assert_int_equal(page.counters[INFO_PINGS], 1);
	assert_int_equal(page.sequence, 0);
}

static void writer_died_in_the_middle(void **state)
{
	struct info_page copy;

	(void)state;
	info_begin(&page);
	assert_false(info_copy(&page, &copy));
	info_end(&page);
	assert_true(info_copy(&page, &copy));
	page.sequence = UINT32_MAX - 1;
	info_begin(&page);
	info_end(&page);
	assert_int_equal(page.sequence, 0);
	assert_true(info_copy(&page, &copy));
}

static void no_info_page(void **state)
{
	struct info_page copy;

	(void)state;
	page.magic++;
	assert_false(info_copy(&page, &copy));
	page.magic--;
	page.version++;
	assert_false(info_copy(&page, &copy));
}

static void nested(void *context)
{
	(void)context;
	info_begin(&page);
	info_begin(&page);
}

static void nesting_is_an_assert(void **state)
{
	(void)state;
	assert_true(check_dies(nested, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(services, setup),
		cmocka_unit_test_setup(found_by_name, setup),
		cmocka_unit_test_setup(counters, setup),
		cmocka_unit_test_setup(writer_died_in_the_middle, setup),
		cmocka_unit_test_setup(no_info_page, setup),
		cmocka_unit_test_setup(nesting_is_an_assert, setup),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
