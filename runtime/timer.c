// Timers: owns the list of armed timers, earliest first.
//
// Never waits, never allocates: the structs are the callers'. Right because only the loop and its callers touch the
// list, and a timer is unlinked before its callback runs, so the callback may arm it again. If the domain dies, the list
// dies; nobody outside knew of it.
#include "runtime/fiber.h"
#include "runtime/loop.h"

static struct timer *timer_first;

void timer_arm(struct timer *timer, uint64_t deadline)
{
	if (timer->armed)
		timer_cancel(timer);
	timer->deadline = deadline;
	timer->armed = true;
	struct timer **at = &timer_first;
	while (*at && (*at)->deadline <= deadline)
		at = &(*at)->next;
	timer->next = *at;
	*at = timer;
	if (timer_first == timer)
		loop_naps_end(); // the alarm is set for a later one
}

void timer_cancel(struct timer *timer)
{
	if (!timer->armed)
		return;
	timer->armed = false;
	struct timer **at = &timer_first;
	while (*at && *at != timer)
		at = &(*at)->next;
	invariant(*at == timer);
	*at = timer->next;
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
		timer_first = timer->next;
		timer->armed = false;
		timer->expired(timer);
	}
	return true;
}
