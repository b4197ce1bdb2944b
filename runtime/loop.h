// The event loop, as the other parts of the runtime see it (programs use runtime.h).
//
// A ring is one end of a channel that the loop looks at on each turn, since peers do not ring a domain that is awake.
// `look` takes what is there and says whether there was something; it runs on the loop and must not wait. Before the
// domain sleeps, *want is raised, then `look` is asked once more.
#pragma once
#include "runtime/runtime.h"

struct loop_ring {
	bool (*look)(struct loop_ring *ring);
	volatile uint32_t *want; // on our page of the channel: ring me
	unsigned identity;       // order: lower first
	struct loop_ring *next;
};

void loop_start(unsigned guest_file);
void loop_ring_add(struct loop_ring *ring);
void loop_ring_remove(struct loop_ring *ring);
bool loop_poll(void);  // claims, events, rings, sources, timers; true when anything happened
void loop_sleep(void); // until something may have happened
// `wait` in place of wfi: it comes back at once when an interrupt is pending, and may serve others meanwhile.
void loop_wait_by(void (*wait)(void));
// Callbacks run between these two: whoever waits there panics.
void loop_enter(void);
void loop_leave(void);
bool loop_running(void);

// Claims now, outside of a turn: has that identity been rung since it was taken or notified last? No trap where there is an
// interrupt file. What else was claimed waits for the next turn, which comes before any sleep.
bool loop_take(unsigned identity);

// EVENT_CHANNEL_STATE, of any slot: a listener ignores those that are not its own. Adding one twice adds it once.
struct loop_listener {
	void (*state_changed)(unsigned slot);
	struct loop_listener *next;
};
void loop_listener_add(struct loop_listener *listener);
// Other kernel events of channels: kind, slot.
extern void (*loop_server_event)(unsigned kind, unsigned slot);
extern uint64_t (*loop_served)(void); // requests so far

// Timers (timer.c): calls those that are due; the earliest deadline, ~0 when there is none.
bool timer_run_due(void);
uint64_t timer_next(void);

// Fibers (fiber.c)
bool fiber_any_ready(void);

// Standard output (stdio.c)
void stdio_flush(void);
