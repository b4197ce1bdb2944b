// kernel_test: runs the tables of tests, prints PASS or FAIL for each, the sums, and switches off.
//
// Owns the verdict of the running test. As the first domain it has no supervisor above it: if it dies, the kernel
// starts it again, and it says that this is a failure.
#include "apps/kernel_test/test.h"
#include "abi/manifest.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETTLE_SECONDS 10 // failsafe; peers let go within microseconds

struct bare test_self;
unsigned test_cores;
uint64_t test_thousands;
uint64_t test_own;

static char failure[200];
static const char *skipped;

int program_main(void);

static void say_list(const char *format, va_list arguments)
{
	char line[240];
	int n = vsnprintf(line, sizeof(line) - 1, format, arguments);
	if (n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	for (int i = 0; i < n; i += 40) {
		uint64_t word[5] = {0};
		int part = n - i < 40 ? n - i : 40;
		memcpy(word, line + i, (size_t)part);
		kcall(CALL_log, part, word[0], word[1], word[2], word[3], word[4]);
	}
}

void test_say(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	say_list(format, arguments);
	va_end(arguments);
}

bool test_check(bool truth, int line, const char *format, ...)
{
	if (truth || failure[0])
		return truth;
	int n = snprintf(failure, sizeof(failure), "line %d: ", line);
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(failure + n, sizeof(failure) - (size_t)n, format, arguments);
	va_end(arguments);
	return false;
}

bool test_failed(void)
{
	return failure[0] != 0;
}

void test_skip(const char *why)
{
	skipped = why;
}

uint64_t test_free_frames(unsigned core)
{
	return kcall(CALL_memory_count, core).value[0];
}

uint64_t test_frames_sum(void)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < test_cores; i++)
		sum += test_free_frames(i);
	return sum;
}

// Our own ends and services of a test are taken back; what kernels still owe each other settles by itself.
static void own_ends_close(void)
{
	for (unsigned slot = 0; slot < CHANNEL_MAX; slot++) {
		uint64_t info = kcall(CALL_channel_info, slot).value[0];
		if (CHANNEL_INFO_ROLE(info) == CHANNEL_ROLE_SERVER && CHANNEL_INFO_STATE(info) == CHANNEL_REQUESTED)
			kcall(CALL_channel_refuse, slot);
		else
			kcall(CALL_channel_close, slot);
	}
	for (char letter = 'a'; letter <= 'z'; letter++)
		kcall(CALL_domain_publish, test_own, partner_service(letter), 0, SERVICE_NONE);
	while (kcall(CALL_event_next).value[0] != EVENT_NONE)
		;
	bare_claim(&test_self);
}

static void frames_check(const uint64_t before[CORE_MAX])
{
	uint64_t end = time_read() + SETTLE_SECONDS * test_self.timebase;
	for (unsigned i = 0; i < test_cores; i++) {
		while (test_free_frames(i) != before[i] && time_read() < end) {
			own_ends_close();
			test_nap(200);
		}
		uint64_t after = test_free_frames(i);
		test_check(after == before[i], __LINE__, "core %u has %ld frames more than before", i,
			   (long)(after - before[i]));
	}
}

static bool run_one(const struct kernel_test *test)
{
	uint64_t before[CORE_MAX];
	for (unsigned i = 0; i < test_cores; i++)
		before[i] = test_free_frames(i);
	failure[0] = 0;
	skipped = 0;
	test->run();
	child_destroy_all();
	own_ends_close();
	frames_check(before);
	if (failure[0])
		test_say("FAIL %s: %s", test->name, failure);
	else if (skipped)
		test_say("PASS %s (skipped: %s)", test->name, skipped);
	else
		test_say("PASS %s", test->name);
	return failure[0] == 0;
}

static const struct kernel_test *const tables[] = {
	call_tests,   domain_tests,  fault_tests,   schedule_tests, isolation_tests,
	device_tests, channel_tests, endings_tests, doorbell_tests, leak_tests,
	hostile_tests, endpoint_tests, notification_tests, batch_tests, grant_tests, class_tests,
};

// The manifest's argument: a number, then perhaps a word that chooses tests.
static const char *argument_read(void)
{
	const struct manifest_service *record = (const struct manifest_service *)GPA_STARTUP;
	char *end;
	test_thousands = strtoul(record->argument, &end, 10);
	while (*end == ' ')
		end++;
	return end;
}

static void prepare(void)
{
	test_self = bare_start();
	test_cores = machine_info(test_self.core)->core_count;
	test_own = kcall(CALL_domain_open, test_self.core, test_self.domain).value[0];
	kcall(CALL_device_tree_map);
}

int program_main(void)
{
	unsigned passed = 0, failed = 0;
	prepare();
	const char *chosen = argument_read();
	test_say("kernel test: %u cores, %u guest files, sizes %lu thousand", test_cores,
		 machine_info(0)->guest_files, (unsigned long)test_thousands);
	if (!test_image_find() || test_self.epoch != 1) {
		unsigned heard = 0; // of what was said about us before us
		struct kernel_result event;
		while ((event = kcall(CALL_event_next)).error == ERR_OK && event.value[0] != EVENT_NONE)
			heard += event.value[0] == EVENT_COMPLAINT;
		test_say("FAIL start: epoch %u, %u segments of kernel_partner, %u complaints", test_self.epoch, test_segment_count, heard);
		test_say("kernel: 0 passed, 1 failed");
		kcall(CALL_power, 0, 1, CALL_EARNEST);
	}
	for (unsigned t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
		for (const struct kernel_test *test = tables[t]; test->name; test++) {
			bool alone = strncmp(test->name, "alone.", 6) == 0; // ends with our death
			if (!strstr(test->name, chosen) || (alone && !*chosen))
				continue;
			if (run_one(test))
				passed++;
			else
				failed++;
		}
	test_say("kernel: %u passed, %u failed", passed, failed);
	kcall(CALL_power, 0, failed != 0, CALL_EARNEST);
	return 0;
}
