// Policy: a table of cases, event by event.
#include "supervisor/policy.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

struct policy_step { // what happens, and what must come of it
	uint64_t at_ms;
	enum fault_kind kind;
	bool was_ready;
	enum policy_action action;
	uint32_t delay_ms;
};

#define POLICY_STEPS 8

struct policy_case {
	const char *name;
	struct policy_rule rule;
	struct policy_step steps[POLICY_STEPS];
	unsigned count;
};

#define EXC FAULT_EXCEPTION

static const struct policy_case policy_cases[] = {
	{"burst in a window, then hold",
	 {.burst = 3, .window_ms = 1600},
	 {{0, EXC, true, POLICY_RESTART, 0},
	  {10, FAULT_HANG, true, POLICY_RESTART, 0},
	  {20, EXC, true, POLICY_RESTART, 0},
	  {30, EXC, true, POLICY_HOLD, 0}},
	 4},
	{"the window forgets",
	 {.burst = 2, .window_ms = 1600},
	 {{0, EXC, true, POLICY_RESTART, 0},
	  {800, EXC, true, POLICY_RESTART, 0},
	  {1499, EXC, true, POLICY_HOLD, 0},
	  {1600, EXC, true, POLICY_RESTART, 0},
	  {2000, EXC, true, POLICY_HOLD, 0},
	  {2400, EXC, true, POLICY_RESTART, 0}},
	 6},
	{"the delay doubles up to its limit",
	 {.burst = 10, .window_ms = 100000, .delay_ms = 10, .delay_max_ms = 35},
	 {{0, EXC, true, POLICY_RESTART, 0},
	  {1, EXC, true, POLICY_DELAY, 10},
	  {2, EXC, true, POLICY_DELAY, 20},
	  {3, EXC, true, POLICY_DELAY, 35},
	  {4, EXC, true, POLICY_DELAY, 35}},
	 5},
	{"a delay without a limit of its own ends at a minute",
	 {.burst = 100, .window_ms = 100000, .delay_ms = 40000},
	 {{0, EXC, true, POLICY_RESTART, 0}, {1, EXC, true, POLICY_DELAY, 40000}, {2, EXC, true, POLICY_DELAY, 60000}},
	 3},
	{"the alternative image comes once, with a fresh burst",
	 {.burst = 1, .window_ms = 1000, .alternative = true},
	 {{0, EXC, true, POLICY_RESTART, 0},
	  {1, EXC, true, POLICY_ALTERNATIVE, 0},
	  {2, EXC, true, POLICY_RESTART, 0},
	  {3, EXC, true, POLICY_HOLD, 0}},
	 4},
	{"escalation comes once, after the alternative",
	 {.burst = 0, .window_ms = 1000, .alternative = true, .escalate = true},
	 {{0, EXC, true, POLICY_ALTERNATIVE, 0}, {1, EXC, true, POLICY_ESCALATE, 0}, {2, EXC, true, POLICY_HOLD, 0}},
	 3},
	{"no burst: hold at once", {.burst = 0}, {{5, EXC, true, POLICY_HOLD, 0}}, 1},
	{"killed on request: always again, never counted",
	 {.burst = 1, .window_ms = 1000, .delay_ms = 10},
	 {{0, FAULT_KILLED, true, POLICY_RESTART, 0},
	  {0, FAULT_KILLED, false, POLICY_RESTART, 0},
	  {0, FAULT_KILLED, true, POLICY_RESTART, 0},
	  {0, EXC, true, POLICY_RESTART, 0},
	  {0, FAULT_KILLED, true, POLICY_RESTART, 0},
	  {0, EXC, true, POLICY_HOLD, 0}},
	 6},
	{"exit, quota and complaint count like a crash",
	 {.burst = 3, .window_ms = 1000},
	 {{0, FAULT_EXIT, true, POLICY_RESTART, 0},
	  {0, FAULT_QUOTA, true, POLICY_RESTART, 0},
	  {0, FAULT_COMPLAINT, true, POLICY_RESTART, 0},
	  {0, FAULT_COMPLAINT, true, POLICY_HOLD, 0}},
	 4},
	{"a lost core is no fault of the service",
	 {.burst = 0},
	 {{0, FAULT_CORE, true, POLICY_RESTART, 0}, {0, FAULT_CORE, true, POLICY_RESTART, 0}},
	 2},
	{"an app ends, whatever it was",
	 {.app = true, .burst = 5, .window_ms = 1000},
	 {{0, FAULT_EXIT, false, POLICY_END, 0}, {0, EXC, true, POLICY_END, 0}, {0, FAULT_CORE, true, POLICY_END, 0}},
	 3},
	{"a window of less than a bucket per ms still counts",
	 {.burst = 1, .window_ms = 1},
	 {{7, EXC, true, POLICY_RESTART, 0}, {7, EXC, true, POLICY_HOLD, 0}},
	 2},
};

static void test_policy_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof policy_cases / sizeof policy_cases[0]; i++) {
		const struct policy_case *c = &policy_cases[i];
		struct policy_history history = {0};
		for (unsigned j = 0; j < c->count; j++) {
			const struct policy_step *step = &c->steps[j];
			struct policy_event event = {step->kind, step->at_ms, step->was_ready};
			struct policy_decision d = policy_decide(&event, &history, &c->rule);
			if (d.action != step->action || d.delay_ms != step->delay_ms)
				fail_msg("%s: step %u gives action %d delay %u", c->name, j, d.action, d.delay_ms);
			policy_remember(&history, &event, &d, &c->rule);
		}
	}
}

static void test_policy_is_pure(void **state)
{
	(void)state;
	struct policy_rule rule = {.burst = 2, .window_ms = 1000};
	struct policy_history history = {0}, before;
	struct policy_event event = {EXC, 17, true};
	memcpy(&before, &history, sizeof before);
	struct policy_decision a = policy_decide(&event, &history, &rule);
	struct policy_decision b = policy_decide(&event, &history, &rule);
	assert_int_equal(a.action, b.action);
	assert_memory_equal(&before, &history, sizeof before);
}

// A wide burst does not keep a service alive that dies at every start.
static void test_policy_futile_starts_end(void **state)
{
	(void)state;
	struct policy_rule rule = {.burst = 1000, .window_ms = 1000};
	struct policy_history history = {0};
	unsigned restarts = 0;
	for (uint64_t now = 0; restarts < 1000; now += 5, restarts++) {
		struct policy_event event = {EXC, now, false};
		struct policy_decision d = policy_decide(&event, &history, &rule);
		policy_remember(&history, &event, &d, &rule);
		if (d.action == POLICY_HOLD)
			break;
	}
	assert_int_equal(restarts, POLICY_FUTILE - 1);
	struct policy_event served = {EXC, 0, true};
	history = (struct policy_history){.futile = POLICY_FUTILE - 1};
	struct policy_decision d = policy_decide(&served, &history, &rule);
	assert_int_equal(d.action, POLICY_RESTART);
	policy_remember(&history, &served, &d, &rule);
	assert_int_equal(history.futile, 0);
	struct policy_event core = {FAULT_CORE, 0, false}; // its kernel died: no sign of a fault in the service
	history.futile = POLICY_FUTILE - 1;
	d = policy_decide(&core, &history, &rule);
	policy_remember(&history, &core, &d, &rule);
	assert_int_equal(d.action, POLICY_RESTART);
	assert_int_equal(history.futile, POLICY_FUTILE - 1);
}

// Against a plain list of times: never more than `burst` restarts in any window, never held below 15/16 of the burst.
static void test_policy_window_against_list(void **state)
{
	(void)state;
	struct policy_rule rule = {.burst = 20, .window_ms = 1600};
	struct policy_history history = {0};
	uint64_t times[4000], now = 0, seed = 1;
	unsigned count = 0;
	for (unsigned i = 0; i < 4000; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		now += seed >> 57;
		struct policy_event event = {EXC, now, true};
		struct policy_decision d = policy_decide(&event, &history, &rule);
		unsigned sure = 0, most = 0;
		for (unsigned j = 0; j < count; j++) {
			sure += now - times[j] <= 1500;
			most += now - times[j] < 1600;
		}
		if (d.action == POLICY_RESTART)
			assert_true(sure < rule.burst);
		else
			assert_true(most >= rule.burst);
		if (d.action == POLICY_RESTART)
			times[count++] = now;
		policy_remember(&history, &event, &d, &rule);
	}
	assert_true(count > 100 && count < 4000);
}

static void test_policy_complaints(void **state)
{
	(void)state;
	assert_true(policy_complaint_stops(COMPLAINT_NO_ANSWER, 0));
	assert_true(policy_complaint_stops(COMPLAINT_BAD_INDEX, 0));
	assert_false(policy_complaint_stops(COMPLAINT_BAD_COMPLETION, 0));
	assert_false(policy_complaint_stops(COMPLAINT_BAD_COMPLETION, 1));
	assert_true(policy_complaint_stops(COMPLAINT_BAD_COMPLETION, 2));
	assert_false(policy_complaint_stops((enum complaint)99, 9));
}

static void test_policy_rule_from_record(void **state)
{
	(void)state;
	struct manifest_service record = {.burst = 1, .window_ms = 2, .delay_ms = 3, .delay_max_ms = 4,
					  .alternative = "b", .then = THEN_ESCALATE, .flags = SERVICE_FLAG_APP};
	struct policy_rule rule = policy_rule_from(&record);
	assert_true(rule.burst == 1 && rule.window_ms == 2 && rule.delay_ms == 3 && rule.delay_max_ms == 4);
	assert_true(rule.alternative && rule.escalate && rule.app);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policy_cases),          cmocka_unit_test(test_policy_is_pure),
		cmocka_unit_test(test_policy_futile_starts_end), cmocka_unit_test(test_policy_window_against_list),
		cmocka_unit_test(test_policy_complaints),     cmocka_unit_test(test_policy_rule_from_record),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
