// The event loop, as the other parts of the runtime see it (programs use runtime.h).
//
// A ring is one end of a channel that the loop looks at on each turn, since peers do not ring a domain that is awake.
// `look` takes what is there and says whether there was something; it runs on the loop and must not wait. Before the
// domain sleeps, *want is raised, then `look` is asked once more.
#pragma once
#include "runtime/csr.h"
#include "runtime/fence.h"
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
void loop_sleep(void); // until something may have happened; a turn comes before it
void loop_sleep_first(void); // the same without a turn before it, for who has just looked; not at all where the turn is due
// `wait` in place of wfi: it comes back at once when an interrupt is pending, and may serve others meanwhile.
void loop_wait_by(void (*wait)(void));
void loop_lower(void); // takes the flags down after naps: peers need not ring, for we look

// The short way into sleep, for who waits for one ring again and again: loop_doze, then naps. The flags of all rings stay up
// until the next loop_poll, so whoever publishes rings, and what is claimed says where to look. `awaited` is INTERRUPT_CLAIM of the
// ring's identity. Where a nap is not possible it is loop_sleep.
void loop_doze(uint64_t awaited);
void loop_turn_to_doze(uint64_t awaited); // loop_turn(true), with loop_doze
#define LOOP_NAPS 512u // in a row without a turn of the loop: a timer that is due can be hidden by rings that come without end
extern struct loop_nap {
	unsigned left;   // how many are left; 0: no flag is up, a fiber is ready, an event or a timer is to be looked at
	unsigned kept;   // how many are left when no fiber is ready any more, for who knows that: nothing else is in the way
	uint64_t asleep; // ticks in wfi so far, naps or not: the kernel does not see a sleep without a trap
} loop_naps;
void loop_nap_ended(unsigned identity); // by something else: the loop has its turn

// No more of them until the loop has had its turn.
static inline void loop_naps_end(void)
{
	loop_naps.left = loop_naps.kept = 0;
}

// A fiber is ready: none until it has run.
static inline void loop_naps_hold(void)
{
	if (loop_naps.left == 0)
		return;
	loop_naps.kept = loop_naps.left;
	loop_naps.left = 0;
}

// While loop_naps.left is not 0. What rang, as interrupt_claim_word gives it; if it is not the awaited one, loop_nap_ended is to hear of
// it. Not to be asked what time it is, who did so just before gives the answer as `since`.
static inline uint64_t loop_nap_claim(uint64_t since)
{
	loop_naps.left--;
	wait_for_interrupt();
	loop_naps.asleep += time_read() - since;
	return interrupt_claim_word();
}

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
extern void (*loop_pinged)(void); // before a ping is answered, for who wants to earn that; 0: nobody

// Timers (timer.c): calls those that are due; the earliest deadline, ~0 when there is none.
void loop_alarm(uint64_t latest); // the domain hears the alarm (stimecmp) then, or for the first timer
bool timer_run_due(void);
uint64_t timer_next(void);

// Fibers (fiber.c)
bool fiber_any_ready(void);

// Standard output (stdio.c)
void stdio_flush(void);
