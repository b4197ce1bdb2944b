// Fibers: user-level threads of one domain, switched by the runtime, never pre-empted.
//
// If the domain dies, all its fibers are gone; what they had to say stands in the channels. Each stack has a guard page. There
// can be some 3,000; the stack of each is memory of the quota at once, 32 KiB or 8 (fiber_create_small), and kept for the next one.
#pragma once
#include "abi/channel.h"
#include <stdbool.h>
#include <stdint.h>

struct fiber;

#define FIBER_PRIORITIES CHANNEL_PRIORITIES // 0 first

// Starts `entry(argument)` on a stack of its own (32 KiB), ready to run, with the priority of the caller; 0 when memory or quota is short. It
// ends by returning.
struct fiber *fiber_create(void (*entry)(void *argument), void *argument, const char *name);
// The same with a stack of 8 KiB: for who has many, each of which waits for something and has no buffers of its own: printf and client_call
// fit, file.h and client_quick_all may not. Nor may what the loop calls back go deep then: it runs on the stack of whoever finds nobody ready.
struct fiber *fiber_create_small(void (*entry)(void *argument), void *argument, const char *name);
struct fiber *fiber_self(void);
// Among those that are ready the best priority runs, in turn within one. One that stands in the queue already goes on from there. A
// fiber that serves a request has the priority of its channel; the first fiber of a program has the best.
void fiber_set_priority(struct fiber *fiber, unsigned priority);
// Another fiber runs, if one is ready, be it of a lower priority; then it goes by priority again.
void fiber_yield(void);
// Parks the calling fiber until fiber_wake. A wake that came first is not lost (one is remembered).
void fiber_park(void);
void fiber_wake(struct fiber *fiber);
void fiber_sleep_us(uint64_t us);

// A mutex among fibers, first come first served. Zero-initialised.
struct fiber_mutex {
	struct fiber *owner;
	struct fiber *first; // waiting
	struct fiber *last;
};
void fiber_mutex_lock(struct fiber_mutex *mutex);
void fiber_mutex_unlock(struct fiber_mutex *mutex);

// Calls `expired` on the loop at `deadline` (rdtime). Cancel by timer_cancel. The struct belongs to the caller.
struct timer {
	uint64_t deadline;
	void (*expired)(struct timer *timer);
	struct timer *next, *before, *below; // timer.c
	bool armed;
};
void timer_arm(struct timer *timer, uint64_t deadline);
void timer_cancel(struct timer *timer);

// Wakes the calling fiber at `deadline`, whatever it is parked for; until then `timer` is armed.
struct fiber_alarm {
	struct timer timer; // first
	struct fiber *fiber;
};
void fiber_alarm_set(struct fiber_alarm *alarm, uint64_t deadline);
