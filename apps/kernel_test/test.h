// The kernel's test: its table of tests, children, and checks.
//
// Runs as the first domain, so it has the supervisor's authority. After each test all children are destroyed and
// every core must have as many free frames as before: each test is a leak check too.
#pragma once
#include "apps/kernel_test/bare.h"
#include "apps/kernel_test/partner.h"

struct child {
	uint64_t handle; // 0: none
	unsigned core;
	unsigned domain;
	uint32_t epoch;
};

struct kernel_test {
	const char *name;
	void (*run)(void);
};

extern struct bare test_self;
extern unsigned test_cores;
extern uint64_t test_thousands; // size of the long tests, from the manifest
extern uint64_t test_own;       // a handle to ourselves

void test_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
// Notes the first failure of the running test. Returns `truth`.
bool test_check(bool truth, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
// The running test has failed: loops over parts of it end.
bool test_failed(void);
// Why the running test could not be made here.
void test_skip(const char *why);

// Each ends the test (a void function) when it fails.
#define CHECK(truth)                                                                                                   \
	do {                                                                                                           \
		if (!test_check((truth), __LINE__, "%s", #truth))                                                      \
			return;                                                                                        \
	} while (0)
#define EQUAL(got, expected)                                                                                           \
	do {                                                                                                           \
		uint64_t got_ = (uint64_t)(got), expected_ = (uint64_t)(expected);                                     \
		if (!test_check(got_ == expected_, __LINE__, "%s is %lx, not %lx", #got, (unsigned long)got_,          \
				(unsigned long)expected_))                                                             \
			return;                                                                                        \
	} while (0)
#define FAILS(error_expected, ...) EQUAL(kcall(__VA_ARGS__).error, error_expected)
#define WORKS(...) FAILS(ERR_OK, __VA_ARGS__)

// child.c. A false result has been noted as a failure.
bool child_create(struct child *c, unsigned core, const char *order, uint64_t argument, unsigned priority, unsigned flags);
bool child_load(const struct child *c);
bool child_begin(struct child *c);
// All three, with priority 1 and no flags.
bool child_run(struct child *c, unsigned core, const char *order, uint64_t argument);
bool child_run_as(struct child *c, unsigned core, const char *order, uint64_t argument, unsigned priority, unsigned flags);
struct domain_status child_status(const struct child *c);
unsigned child_state(const struct child *c); // enum domain_state
// Waits until it has stopped.
bool child_wait(const struct child *c, struct domain_status *status);
// Waits for its exit and checks the code.
bool child_exits(const struct child *c, uint64_t code);
// Waits until it has called CALL_ready.
bool child_wait_ready(const struct child *c);
bool child_destroy(struct child *c);
// stop, unregister, restore; then child_begin.
bool child_restore(const struct child *c);
// Runs a server and publishes it when it is ready; the end takes the name away first, as the supervisor does.
bool child_serve(struct child *c, unsigned core, const char *order, uint64_t argument, char service);
bool child_serve_as(struct child *c, unsigned core, const char *order, uint64_t argument, unsigned priority, unsigned flags, char service);
bool child_withdraw(struct child *c, char service);
bool child_publish(const struct child *c, char service, enum service_state state);
void child_destroy_all(void);

// Runs `pair` on pairs of cores (all of them on up to 4 cores), each with and without a guest file (DOMAIN_FLAG_NO_FILE).
void test_pairs(void (*pair)(unsigned core, unsigned other, unsigned flags, unsigned other_flags));
uint64_t test_argument(const struct partner_argument *argument);
void test_nap(uint64_t us);
uint64_t test_free_frames(unsigned core);
uint64_t test_frames_sum(void); // free on all cores

// image.c: the partner's ELF in the boot image
struct test_segment {
	uint64_t gpa, pages, prot, offset, length;
};
bool test_image_find(void);
extern struct test_segment test_segments[4];
extern unsigned test_segment_count;
extern uint64_t test_entry;

// One table for each file of tests; a row without name ends it.
extern const struct kernel_test call_tests[], domain_tests[], fault_tests[], schedule_tests[], isolation_tests[],
	device_tests[], endpoint_tests[], channel_tests[], endings_tests[], doorbell_tests[], leak_tests[], hostile_tests[],
	notification_tests[], batch_tests[], grant_tests[], class_tests[];
