// Tests of the scheduler: priorities, round robin, sleep, timers, hangs.
#include "apps/kernel_test/test.h"

static uint64_t run_ticks(const struct child *c)
{
	return child_status(c).run_ticks;
}

static uint64_t ms(uint64_t n)
{
	return n * test_self.timebase / 1000;
}

// Until both had two whole slices. We look in naps that are short against a slice: a better one that comes and goes must not
// begin it anew.
static bool both_take_turns(const struct child *a, const struct child *b)
{
	for (unsigned i = 0; i < 50000 && (run_ticks(a) < ms(10) || run_ticks(b) < ms(10)); i++)
		test_nap(100);
	return run_ticks(a) >= ms(10) && run_ticks(b) >= ms(10);
}

static void robin_is_fair(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child a, b;
		CHECK(child_run(&a, core, "spin", 0));
		CHECK(child_run(&b, core, "spin", 0));
		CHECK(both_take_turns(&a, &b));
		CHECK(child_destroy(&a));
		CHECK(child_destroy(&b));
	}
}

// Who calls and who answers hand the core to each other, and leave it to a third one all the same.
static void calls_take_turns(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child server, caller, spinner;
		CHECK(child_serve(&server, core, "door", 0, 'd'));
		CHECK(child_run(&caller, core, "caller", PARTNER_CALLS_LONG));
		CHECK(child_run(&spinner, core, "spin", 0));
		CHECK(both_take_turns(&server, &spinner));
		CHECK(child_withdraw(&server, 'd'));
		CHECK(child_destroy(&caller));
		CHECK(child_destroy(&spinner));
	}
}

// Until the info page says that this one has the core (or we ourselves, on ours).
static void await_running(unsigned core, unsigned domain)
{
	const volatile struct info_page *page = machine_info(core);
	for (unsigned i = 0; i < 20000 && core != test_self.core && page->running_domain != domain; i++)
		test_nap(200);
}

static void priority_comes_first(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child low, high;
		CHECK(child_run_as(&high, core, "spin", 0, 2, 0));
		CHECK(child_run_as(&low, core, "spin", 0, 3, 0));
		test_nap(20000);
		EQUAL(run_ticks(&low), 0);
		WORKS(CALL_domain_stop, high.handle, FAULT_KILLED);
		for (unsigned i = 0; i < 1000 && run_ticks(&low) == 0; i++)
			test_nap(1000);
		CHECK(run_ticks(&low) > 0); // counted when it is switched off: our call did that, on its own core or ours
		CHECK(child_begin(&high));  // a better one takes over at once
		await_running(core, high.domain);
		uint64_t before = run_ticks(&low);
		test_nap(20000);
		EQUAL(run_ticks(&low), before);
		CHECK(child_destroy(&low));
		CHECK(child_destroy(&high));
	}
}

static void timer_in_every_company(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child alone, spinner, beside, file_less;
		CHECK(child_run(&alone, core, "timer", 3));
		CHECK(child_exits(&alone, 0));
		CHECK(child_run(&spinner, core, "spin", 0));
		CHECK(child_run(&beside, core, "timer", 3));
		CHECK(child_run_as(&file_less, core, "timer", 2, 0, DOMAIN_FLAG_NO_FILE));
		CHECK(child_exits(&beside, 0));
		CHECK(child_exits(&file_less, 0));
		CHECK(child_destroy(&spinner));
		CHECK(child_destroy(&alone));
		CHECK(child_destroy(&beside));
		CHECK(child_destroy(&file_less));
	}
}

// With company a wfi gives the core away; the sleeper costs its neighbour nothing.
static void sleeper_gives_way(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child sleeper, worker;
		CHECK(child_run_as(&sleeper, core, "sleep", 0, 0, 0));
		test_nap(1000);
		CHECK(child_run_as(&worker, core, "run", 5, 7, 0));
		CHECK(child_exits(&worker, 0));
		CHECK(child_destroy(&sleeper));
		CHECK(child_destroy(&worker));
	}
}

// A domain alone on its core sleeps by its own wfi: its kernel is not entered.
static void sleep_alone_is_free(void)
{
	struct child c;
	if (test_cores < 2) {
		test_skip("one core");
		return;
	}
	CHECK(child_run(&c, 1, "sleep", 0));
	test_nap(5000);
	const volatile uint64_t *counters = machine_info(1)->counters;
	uint64_t wfi = counters[INFO_TRAP_WFI], beats = machine_info(1)->heartbeat;
	test_nap(30000);
	EQUAL(counters[INFO_TRAP_WFI], wfi);
	CHECK(machine_info(1)->heartbeat - beats < 3);
}

// ---- budgets

#define BUDGET_US 2000
#define PERIOD_US 10000

// Until both together have had the core for a quarter of a second. What is asked about was charged when it was switched off.
static void await_work(const struct child *a, const struct child *b)
{
	uint64_t begun = run_ticks(a) + run_ticks(b);
	for (unsigned i = 0; i < 20000 && run_ticks(a) + run_ticks(b) - begun < ms(250); i++)
		test_nap(2000);
}

// A better domain that spins gets its budget in each period, and a worse one the rest; without it, nothing. A busy host tells the
// kernel of the end of a budget late, so that the shares are no more than of one order.
static void budget_leaves_the_rest(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child high, low;
		CHECK(child_run_as(&high, core, "spin", 0, 1, 0));
		WORKS(CALL_domain_budget, high.handle, BUDGET_US, PERIOD_US);
		CHECK(child_run_as(&low, core, "spin", 0, 3, 0));
		await_work(&high, &low);
		uint64_t had = run_ticks(&high), left = run_ticks(&low);
		test_check(had > 0 && left > had / 8, __LINE__, "it had %lu ticks, the other %lu", (unsigned long)had, (unsigned long)left);
		WORKS(CALL_domain_budget, high.handle, 0, 0);
		await_running(core, high.domain);
		left = run_ticks(&low);
		test_nap(20000);
		EQUAL(run_ticks(&low), left);
		CHECK(child_destroy(&high));
		CHECK(child_destroy(&low));
	}
}

// The server of a call uses the caller's budget: who lets others work gets no more than who works himself.
static void budget_is_donated(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child server, caller, low;
		CHECK(child_serve_as(&server, core, "door", 0, 0, 0, 'd'));
		CHECK(child_run_as(&caller, core, "caller", PARTNER_CALLS_LONG, 1, 0));
		WORKS(CALL_domain_budget, caller.handle, BUDGET_US, PERIOD_US);
		CHECK(child_run_as(&low, core, "spin", 0, 3, 0));
		await_work(&server, &low);
		uint64_t had = run_ticks(&server), left = run_ticks(&low);
		test_check(had > 0 && left > had / 8, __LINE__, "the server had %lu ticks, the other %lu", (unsigned long)had, (unsigned long)left);
		CHECK(child_withdraw(&server, 'd'));
		CHECK(child_destroy(&caller));
		CHECK(child_destroy(&low));
	}
}

// Nobody else wants the core: a budget costs no interrupt.
static void budget_alone_is_free(void)
{
	struct child c;
	if (test_cores < 2) {
		test_skip("one core");
		return;
	}
	CHECK(child_run(&c, 1, "spin", 0));
	WORKS(CALL_domain_budget, c.handle, BUDGET_US, PERIOD_US);
	test_nap(5000);
	uint64_t timer = machine_info(1)->counters[INFO_TRAP_TIMER];
	test_nap(50000);
	EQUAL(machine_info(1)->counters[INFO_TRAP_TIMER], timer);
}

static void budgets_are_checked(void)
{
	struct child c;
	CHECK(child_run(&c, test_cores - 1, "spin", 0));
	FAILS(ERR_INVALID, CALL_domain_budget, c.handle, 2000, 1999);
	FAILS(ERR_INVALID, CALL_domain_budget, c.handle, BUDGET_LEAST_US - 1, 1000);
	FAILS(ERR_INVALID, CALL_domain_budget, c.handle, 1000, BUDGET_PERIOD_US + 1);
	FAILS(ERR_INVALID, CALL_domain_budget, c.handle, ~0ul, ~0ul);
	FAILS(ERR_HANDLE, CALL_domain_budget, 0, 1000, 1000);
	WORKS(CALL_domain_budget, c.handle, BUDGET_PERIOD_US, BUDGET_PERIOD_US);
	WORKS(CALL_domain_budget, c.handle, 0, 0);
}

// ---- hangs

#define TICK_US 10000
#define TICKS 4

static bool watched(struct child *c, unsigned core, const char *order, unsigned flags)
{
	return child_run_as(c, core, order, 0, 1, flags) && child_wait_ready(c) &&
	       test_check(kcall(CALL_domain_watch, c->handle, TICK_US, TICKS).error == ERR_OK, __LINE__, "domain_watch");
}

static void hang_is_found(void)
{
	for (unsigned core = 0; core < test_cores; core++)
		for (unsigned flags = 0; flags <= DOMAIN_FLAG_NO_FILE; flags += DOMAIN_FLAG_NO_FILE) {
			struct child c;
			struct domain_status s;
			CHECK(watched(&c, core, "mute", flags));
			CHECK(child_wait(&c, &s));
			EQUAL(s.state >> 8 & 0xff, FAULT_HANG);
			CHECK(s.pc >= GPA_IMAGE && s.pc < GPA_IMAGE_END);
			CHECK(s.time_detected <= s.time_stopped);
			CHECK(child_restore(&c)); // the watch goes on over a restart
			CHECK(child_begin(&c));
			CHECK(child_wait(&c, &s));
			EQUAL(s.state >> 8 & 0xff, FAULT_HANG);
			CHECK(child_destroy(&c));
		}
}

static void hang_before_ready_is_none(void)
{
	struct child c;
	CHECK(child_run(&c, test_cores - 1, "spin", 0)); // it never says that it is ready, so it owes nothing yet
	WORKS(CALL_domain_watch, c.handle, TICK_US, TICKS);
	test_nap(10 * TICK_US);
	CHECK(child_state(&c) != DOMAIN_STOPPED);
	WORKS(CALL_domain_watch, c.handle, 0, 0);
	FAILS(ERR_STATE, CALL_domain_ping, c.handle);
}

static void who_answers_lives(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child pongs, busy;
		CHECK(watched(&pongs, core, "pongs", 0));
		CHECK(watched(&busy, core, "busy", 0));
		for (unsigned i = 0; i < 12 * TICKS; i++) {
			test_nap(TICK_US / 2);
			WORKS(CALL_domain_ping, pongs.handle);
		}
		CHECK(child_state(&pongs) != DOMAIN_STOPPED);
		CHECK(child_state(&busy) != DOMAIN_STOPPED);
		CHECK(child_destroy(&pongs));
		CHECK(child_destroy(&busy));
	}
}

static void starved_is_no_hang(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child starved, hog;
		CHECK(child_run_as(&starved, core, "pongs", 0, 5, 0));
		CHECK(child_wait_ready(&starved));
		CHECK(child_run_as(&hog, core, "spin", 0, 2, 0));
		WORKS(CALL_domain_watch, starved.handle, TICK_US, TICKS);
		test_nap(4 * TICKS * TICK_US);
		CHECK(child_state(&starved) != DOMAIN_STOPPED);
		CHECK(child_destroy(&hog));
		test_nap(4 * TICKS * TICK_US);
		CHECK(child_state(&starved) != DOMAIN_STOPPED);
		CHECK(child_destroy(&starved));
	}
}

// ms from the last sign of life to the verdict, for who is `stay` ms at each place. 0: it could not be had.
static uint64_t silence_of(unsigned core, uint64_t stay)
{
	struct child c;
	struct domain_status s;
	bool had = child_run_as(&c, core, "places", stay, 1, 0) && child_wait_ready(&c) &&
		   kcall(CALL_domain_watch, c.handle, TICK_US, TICKS).error == ERR_OK && child_wait(&c, &s) &&
		   (s.state >> 8 & 0xff) == FAULT_HANG;
	return child_destroy(&c) && had ? (s.time_stopped - s.time_detected) / ms(1) : 0;
}

// A loop is found after TICKS ticks, unless the host held up each of them; who is found somewhere else at each tick has more time, and not for ever.
static void who_gets_on_has_time(void)
{
	const uint64_t tick = TICK_US / 1000;
	for (unsigned core = 0; core < test_cores; core++) {
		uint64_t slow = silence_of(core, tick - 2), stuck = 0;
		test_check(slow > 2 * TICKS * tick, __LINE__, "who gets on had %lu ms", (unsigned long)slow);
		for (unsigned i = 0; i < 20 && (stuck == 0 || stuck > 2 * TICKS * tick); i++)
			stuck = silence_of(core, 0);
		test_check(stuck > TICKS * tick && stuck <= 2 * TICKS * tick, __LINE__, "a loop had %lu ms", (unsigned long)stuck);
	}
}

// Whoever takes the watch over, a supervisor after its own restart, gives everybody full time, whatever ping was not answered yet.
static void watched_anew_has_full_time(void)
{
	struct child c;
	struct domain_status s;
	CHECK(child_run_as(&c, test_cores - 1, "mute", 0, 1, 0) && child_wait_ready(&c));
	for (unsigned i = 0; i < 20; i++) { // in all twice the patience, and each time a tenth of it
		WORKS(CALL_domain_watch, c.handle, TICK_US, 25 * TICKS);
		test_nap(10 * TICK_US);
		CHECK(child_state(&c) != DOMAIN_STOPPED);
	}
	CHECK(child_wait(&c, &s));
	EQUAL(s.state >> 8 & 0xff, FAULT_HANG);
	CHECK(child_destroy(&c));
}

const struct kernel_test schedule_tests[] = {
	{"schedule.robin", robin_is_fair},
	{"schedule.calls", calls_take_turns},
	{"schedule.priority", priority_comes_first},
	{"schedule.timer", timer_in_every_company},
	{"schedule.sleeper", sleeper_gives_way},
	{"schedule.alone", sleep_alone_is_free},
	{"budget.rest", budget_leaves_the_rest},
	{"budget.donated", budget_is_donated},
	{"budget.alone", budget_alone_is_free},
	{"budget.checked", budgets_are_checked},
	{"hang.found", hang_is_found},
	{"hang.early", hang_before_ready_is_none},
	{"hang.alive", who_answers_lives},
	{"hang.starved", starved_is_no_hang},
	{"hang.places", who_gets_on_has_time},
	{"hang.anew", watched_anew_has_full_time},
	{0, 0},
};
