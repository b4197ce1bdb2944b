// Who performs the requests of a component that has fibers: the caller, while he waits and there is room, else its workers.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "runtime/local_channel.h"

struct loop_nap loop_naps;
static char trace[100];
static unsigned stacks_used;

struct kernel_result kernel_call(enum call number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
				 uint64_t a5)
{
	static uint8_t stacks[8][32 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
	(void)a2, (void)a3, (void)a4, (void)a5;
	assert_int_equal(number, CALL_memory_alloc);
	assert_true(stacks_used < 8 && a0 + a0 / a1 <= 32);
	return (struct kernel_result){.error = ERR_OK, .value = {(uintptr_t)stacks[stacks_used++]}};
}

uint64_t time_now(void)
{
	static uint64_t now;
	return now += 100;
}

uint64_t time_ticks_from_us(uint64_t us)
{
	return us;
}

bool loop_running(void)
{
	return false;
}

void loop_enter(void)
{
}

void loop_leave(void)
{
}

bool loop_poll(void)
{
	return timer_run_due();
}

void loop_sleep(void)
{
	static unsigned sleeps; // time goes on by itself
	assert_true(++sleeps < 100);
}

void loop_sleep_first(void)
{
	loop_sleep();
}

void log_line(const char *format, ...)
{
	(void)format;
}

_Noreturn void domain_exit(int code)
{
	fail_msg("exit %d", code);
	abort();
}

_Noreturn void domain_panic(const char *file, int line, const char *what)
{
	fail_msg("%s:%d: %s", file, line, what);
	abort();
}

void local_complete(struct server_request *request, enum error status, const uint64_t result[5])
{
	(void)request, (void)status, (void)result;
	strcat(trace, "q");
}

void server_runtime_answer(struct server_request *request)
{
	(void)request;
	strcat(trace, "i");
}

void local_log_adopt(struct mate *mate, struct server_replays *replays)
{
	(void)mate, (void)replays;
	strcat(trace, "a");
}

void local_log_replay(struct mate *mate, uint64_t mark, struct server_replays *replays)
{
	(void)mate, (void)mark, (void)replays;
	strcat(trace, "r");
}

// Waits in the middle: capital letter at the begin, small one at the end.
static void waits_in_it(struct server_request *request)
{
	char letter[2] = {(char)request->copy.arg[0]};
	strcat(trace, letter);
	fiber_yield();
	letter[0] += 'a' - 'A';
	strcat(trace, letter);
}

static enum error begins_late(uint64_t *mark)
{
	*mark = 0;
	strcat(trace, "(");
	fiber_sleep_us(300);
	strcat(trace, ")");
	return ERR_OK;
}

static quick_answer_t quick(uint64_t op, uint64_t a, uint64_t b, uint64_t c)
{
	(void)op, (void)b, (void)c;
	return quick_answer(ERR_OK, a);
}

static const struct server server = {.start = begins_late, .request = waits_in_it, .fibers = 2, .quick_from = 9, .quick = quick};
static const struct component component = {.name = "mate", .server = &server};
static struct mate *found[2];

static void opens(void *argument)
{
	found[1] = mate_of(argument);
}

static void started_once(void **state)
{
	(void)state;
	fiber_create(opens, (void *)(uintptr_t)&component, "other");
	found[0] = mate_of(&component);
	while (!found[1])
		fiber_yield();
	assert_ptr_equal(found[0], found[1]);
	assert_string_equal(trace, "a()r"); // as server_run does
}

static void yield_often(void)
{
	for (unsigned i = 0; i < 20; i++)
		fiber_yield();
}

static struct server_request request[4] = {{.copy.arg = {'A'}}, {.copy.arg = {'B'}}, {.copy.arg = {'C'}}, {.copy.arg = {'D'}}};

static void callers_fiber_or_a_workers(void **state)
{
	(void)state;
	trace[0] = 0;
	mate_begin(found[0], &request[0], true); // ours
	assert_string_equal(trace, "Aa");
	mate_begin(found[0], &request[0], false);
	assert_string_equal(trace, "Aa"); // a worker's, later
	yield_often();
	assert_string_equal(trace, "AaAa");
}

static void no_more_than_fibers(void **state)
{
	(void)state;
	trace[0] = 0;
	for (unsigned i = 0; i < 3; i++)
		mate_begin(found[0], &request[i], false);
	mate_begin(found[0], &request[3], true); // behind those that came first
	yield_often();
	assert_string_equal(trace, "ABaCbDcd");
	trace[0] = 0;
	mate_begin(found[0], &request[0], false);
	fiber_yield(); // A is under way
	assert_string_equal(trace, "A");
	mate_begin(found[0], &request[1], true);
	assert_string_equal(trace, "ABab");
	struct server_request fast = {.copy.op = 9};
	mate_begin(found[0], &fast, false);
	fast.copy.op = OP_RUNTIME;
	mate_begin(found[0], &fast, false);
	assert_string_equal(trace, "ABabqi");
}

static void caller_makes_room_for_a_worker(void **state)
{
	(void)state;
	trace[0] = 0;
	mate_begin(found[0], &request[0], false);
	fiber_yield(); // A has one of the two places
	fiber_create(opens, (void *)(uintptr_t)&component, "ready"); // so that our own yield below lets others run
	mate_begin(found[0], &request[1], true); // B the other, in our fiber
	mate_begin(found[0], &request[2], false);
	yield_often();
	assert_string_equal(trace, "ABabCc");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(started_once),
		cmocka_unit_test(callers_fiber_or_a_workers),
		cmocka_unit_test(no_more_than_fibers),
		cmocka_unit_test(caller_makes_room_for_a_worker),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
