// Timers: owns the heap of armed timers, a pairing heap: no timer is earlier than the one above it.
//
// Never waits, never allocates: the structs are the callers'. Thousands of fibers may each have one, so no operation walks through
// all of them: to arm is a comparison, and to leave costs, over all that leave, about the logarithm of their number. Right because only the loop
// and its callers touch the heap, and a timer is out of it before its callback runs, so the callback may arm it again. If the domain
// dies, the heap dies; nobody outside knew of it.
#include "runtime/fiber.h"
#include "runtime/loop.h"

static struct timer *timer_first;

// The earlier one, with the other one below it. Neither has siblings; each may be 0.
static struct timer *timers_join(struct timer *a, struct timer *b)
{
	if (!a || !b)
		return a ? a : b;
	struct timer *top = b->deadline < a->deadline ? b : a, *low = top == a ? b : a;
	low->before = top;
	low->next = top->below;
	if (low->next)
		low->next->before = low;
	top->below = low;
	return top;
}

// One heap of all that stand side by side: in pairs first, then the pairs together. (One after the other would be as cheap now, and leave a
// list to whoever comes next.)
static struct timer *timers_gather(struct timer *first)
{
	struct timer *pairs = 0, *all = 0;
	while (first) {
		struct timer *a = first, *b = a->next;
		first = b ? b->next : 0;
		a->next = 0;
		if (b)
			b->next = 0;
		a = timers_join(a, b);
		a->next = pairs;
		pairs = a;
	}
	while (pairs) {
		struct timer *next = pairs->next;
		pairs->next = 0;
		all = timers_join(all, pairs);
		pairs = next;
	}
	return all;
}

static void timer_remove(struct timer *timer)
{
	struct timer *below = timers_gather(timer->below);
	if (timer == timer_first) {
		timer_first = below;
	} else {
		if (timer->before->below == timer)
			timer->before->below = timer->next;
		else
			timer->before->next = timer->next;
		if (timer->next)
			timer->next->before = timer->before;
		timer_first = timers_join(timer_first, below);
	}
	timer->armed = false;
}

void timer_arm(struct timer *timer, uint64_t deadline)
{
	if (timer->armed)
		timer_remove(timer);
	timer->deadline = deadline;
	timer->armed = true;
	timer->next = timer->below = 0;
	timer_first = timers_join(timer_first, timer);
	if (timer_first == timer)
		loop_naps_end(); // the alarm is set for a later one
}

void timer_cancel(struct timer *timer)
{
	if (timer->armed)
		timer_remove(timer);
}

uint64_t timer_next(void)
{
	return timer_first ? timer_first->deadline : ~0ull;
}

bool timer_run_due(void)
{
	if (!timer_first || timer_first->deadline > time_now())
		return false;
	uint64_t now = time_now(); // a callback that arms for the past runs on the next turn
	while (timer_first && timer_first->deadline <= now) {
		struct timer *timer = timer_first;
		timer_remove(timer);
		timer->expired(timer);
	}
	return true;
}
