// Deadlines of one core: owns their order. The kernel arms its timer for the first one.
//
// Never: allocates; the nodes lie in the objects that they belong to. Why right: a list sorted by time, equal times in
// the order of arming. State: in struct core; dies with it. Arming and disarming are linear, which is fine for the few deadlines
// that a core has (one for each domain and call outstanding).
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define DEADLINE_NEVER UINT64_MAX

struct deadline {
	uint64_t time; // ticks of the time base
	struct deadline *next;
	bool armed;
	uint32_t kind;  // both for the kernel, which
	uint32_t index; // dispatches on them
};

struct deadlines {
	struct deadline *first;
};

// Arms `d` for `time`, again if it is armed already.
void deadline_arm(struct deadlines *q, struct deadline *d, uint64_t time);

// Disarms `d`; nothing happens if it is not armed.
void deadline_cancel(struct deadlines *q, struct deadline *d);

// Time of the first one, DEADLINE_NEVER when there is none.
static inline uint64_t deadline_next(const struct deadlines *q)
{
	return q->first ? q->first->time : DEADLINE_NEVER;
}

// Disarms and returns the first one with time <= now, or 0.
struct deadline *deadline_expired(struct deadlines *q, uint64_t now);
