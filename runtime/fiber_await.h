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
	struct fiber *next; // in the ready queue, a mutex's queue or the list of ended ones
	const char *name;
	uint8_t state;
	bool woken; // a wake came before the park
};

struct fibers {
	struct fiber *current;
	struct fiber *first; // that are ready
	struct fiber *last;
	struct fiber *ended;
};
extern struct fibers fibers;

// switch.S. Returns, in the fiber that goes on, its `word`.
quick_answer_t fiber_switch(struct fiber *from, struct fiber *to);
_Static_assert(offsetof(struct fiber, sp) == 0 && offsetof(struct fiber, word) == 8, "switch.S knows where they are");

// Goes on with the next one that is ready; there is one.
static inline quick_answer_t fiber_await(void)
{
	struct fiber *self = fibers.current, *next = fibers.first;
	fibers.first = next->next;
	fibers.current = next;
	return fiber_switch(self, next);
}

// The same when it may be oneself, or nobody: then the loop turns until there is somebody.
quick_answer_t fiber_await_any(void);

// All from `first` to `last`, in that order, behind those that are ready.
static inline void fiber_queue_all(struct fiber *first, struct fiber *last)
{
	last->next = 0;
	if (fibers.first)
		fibers.last->next = first;
	else
		fibers.first = first;
	fibers.last = last;
}

// Ends the await of a fiber. The caller sees to it that nobody naps (loop_naps_hold), once for several.
static inline void fiber_answer(struct fiber *fiber, uint64_t word0, uint64_t word1)
{
	fiber->word[0] = word0;
	fiber->word[1] = word1;
	fiber_queue_all(fiber, fiber);
}
