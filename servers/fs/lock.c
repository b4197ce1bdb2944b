// Shared and exclusive lock of fibers.
//
// Owns: the order of waiting. First come first served, so neither readers nor writers starve. Fibers are never
// pre-empted, so the lock's own fields need no protection. If the domain dies, lock and holders are gone together.
#include "servers/fs/lock.h"
#include "runtime/fiber.h"
#include "runtime/runtime.h"

struct lock_waiter {
	struct fiber *fiber;
	bool alone;
	bool granted;
	struct lock_waiter *next;
};

static bool compatible(const struct lock *lock, bool alone)
{
	return !lock->alone && (!alone || lock->shared == 0);
}

static void grant(struct lock *lock, bool alone)
{
	if (alone)
		lock->alone = true;
	else
		lock->shared++;
}

// Out of line: the compiler cannot know that the waiter leaves the queue before its stack frame goes.
static __attribute__((noinline)) void queue_append(struct lock *lock, struct lock_waiter *waiter)
{
	*(lock->first ? &lock->last->next : &lock->first) = waiter;
	lock->last = waiter;
}

void lock_take(struct lock *lock, bool alone)
{
	if (!lock->first && compatible(lock, alone)) {
		grant(lock, alone);
		return;
	}
	struct lock_waiter waiter = {.fiber = fiber_self(), .alone = alone};
	queue_append(lock, &waiter);
	while (!waiter.granted)
		fiber_park();
}

void lock_give(struct lock *lock)
{
	invariant(lock->alone || lock->shared);
	if (lock->alone)
		lock->alone = false;
	else
		lock->shared--;
	while (lock->first && compatible(lock, lock->first->alone)) {
		struct lock_waiter *w = lock->first;
		lock->first = w->next;
		grant(lock, w->alone);
		w->granted = true;
		fiber_wake(w->fiber);
	}
}
