// One wait for several things (await.h).
//
// Owns nothing: the fiber that waits tells each thing whom to wake, and takes that back before it goes on. Must never be called on the loop:
// it waits. Right because fibers are never pre-empted: between the last look and the park nothing can come but
// what the loop brings, and that wakes the fiber. If the domain dies, nobody waits any more.
#include "runtime/await.h"
#include "runtime/runtime.h"

void flag_raise(struct flag *flag)
{
	flag->raised = true;
	if (flag->waiter)
		fiber_wake(flag->waiter);
}

static bool await_is_there(const struct await *awaited)
{
	if (awaited->request)
		return awaited->request->done;
	if (awaited->flag)
		return awaited->flag->raised;
	return notification_take(awaited->notification) || awaited->notification->gone;
}

static uint64_t await_look(const struct await *awaited, unsigned count)
{
	uint64_t there = 0;
	for (unsigned i = 0; i < count; i++)
		there |= (uint64_t)await_is_there(&awaited[i]) << i;
	return there;
}

// 0: nobody is to be woken any more.
static void await_tell(const struct await *awaited, unsigned count, struct fiber *fiber)
{
	for (unsigned i = 0; i < count; i++)
		if (awaited[i].request)
			awaited[i].request->waiter = fiber;
		else if (awaited[i].flag)
			awaited[i].flag->waiter = fiber;
		else
			notification_bind(awaited[i].notification, fiber);
}

uint64_t await_any(const struct await *awaited, unsigned count, uint64_t deadline)
{
	struct fiber_alarm alarm;
	invariant(count <= AWAIT_MAX);
	uint64_t there = await_look(awaited, count);
	if (there)
		return there;
	await_tell(awaited, count, fiber_self());
	fiber_alarm_set(&alarm, deadline);
	while (!there && alarm.timer.armed) {
		fiber_park();
		there = await_look(awaited, count);
	}
	timer_cancel(&alarm.timer);
	await_tell(awaited, count, 0);
	return there;
}
