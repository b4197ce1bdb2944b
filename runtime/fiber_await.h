// What a fiber is, for those whom a call costs too much: switching to the next one, and being given two words by whoever wakes it.
// Private to the runtime; programs use fiber.h.
//
// A fiber that awaits stands in no queue and counts as running: a fiber_wake that comes meanwhile is for something else, and is
// remembered for its next park. Only fiber_answer makes it go on. Whoever is to give the answer has to know of the fiber.
#pragma once
#include "proto/protocol.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

struct fiber {
	uint64_t *sp; // while it does not run
	uint64_t word[2]; // what fiber_switch gives it when it goes on
	struct fiber *next; // in the ready queue, a mutex's queue or a list of ended ones
	const char *name;
	uint8_t state;
	bool woken; // a wake came before the park
	uint8_t priority;
	uint8_t stack; // which size it has
};

struct fiber_queue {
	struct fiber *first;
	struct fiber *last;
};

// One queue is served, and those of lower priorities wait: so who has no use for priorities pays a comparison. It is empty when nobody
// is ready.
struct fibers {
	struct fiber *current;
	struct fiber *first; // that are ready and served
	struct fiber *last;
	unsigned priority; // of those that are served
	unsigned waiting;  // a bit for each priority below it of which some are ready
	bool mixed;        // there has been another priority than the best
	struct fiber_queue lower[FIBER_PRIORITIES];
};
extern struct fibers fibers;

// switch.S. Returns, in the fiber that goes on, its `word`.
quick_answer_t fiber_switch(struct fiber *from, struct fiber *to);
_Static_assert(offsetof(struct fiber, sp) == 0 && offsetof(struct fiber, word) == 8, "switch.S knows where they are");

// To the last one that was served: the best of those that wait are from now on.
quick_answer_t fiber_switch_last(struct fiber *from, struct fiber *to);

// Goes on with the next one that is ready; there is one.
static inline quick_answer_t fiber_await(struct fiber *self)
{
	struct fiber *next = fibers.first, *then = next->next;
	fibers.first = then;
	fibers.current = next;
	if (__builtin_expect(!then && fibers.waiting, 0))
		return fiber_switch_last(self, next);
	return fiber_switch(self, next);
}

// The same when it may be oneself, or nobody: then the loop turns until there is somebody.
quick_answer_t fiber_await_any(void);

// All from `first` to `last`, in that order, behind those that are served: they have that priority.
static inline void fiber_queue_served(struct fiber *first, struct fiber *last)
{
	last->next = 0;
	if (fibers.first)
		fibers.last->next = first;
	else
		fibers.first = first;
	fibers.last = last;
}

void fiber_queue_apart(struct fiber *fiber); // of another priority
void fiber_queue_each(struct fiber *first, struct fiber *last);

static inline void fiber_queue(struct fiber *fiber)
{
	if (__builtin_expect(fiber->priority == fibers.priority, 1))
		fiber_queue_served(fiber, fiber);
	else
		fiber_queue_apart(fiber);
}

// All from `first` to `last`, in that order, each behind those of its priority that are ready.
static inline void fiber_queue_all(struct fiber *first, struct fiber *last)
{
	if (__builtin_expect(fibers.mixed, 0))
		fiber_queue_each(first, last);
	else
		fiber_queue_served(first, last);
}

// Ends the await of a fiber. The caller sees to it that nobody naps (loop_naps_hold), once for several.
static inline void fiber_answer(struct fiber *fiber, uint64_t word0, uint64_t word1)
{
	fiber->word[0] = word0;
	fiber->word[1] = word1;
	fiber_queue(fiber);
}
