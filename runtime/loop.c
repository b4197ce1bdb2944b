// The event loop: owns the pending identities, the sources, the rings and the way into sleep.
//
// Never takes an interrupt: sstatus.SIE stays 0 and identities are claimed from the interrupt file. Never waits but in
// loop_sleep. Right because of the order there: flags up, fence, look again, wfi; a peer that publishes after our second
// look sees the flag and rings, and a ring that came before stays pending in the file until it is claimed, so wfi falls
// through. An identity is only a hint where to look; what happened stands in rings and in the kernel's event bits.
// A domain without a guest file claims by a kernel call. If the domain dies here, nothing is lost: the bits of the next
// incarnation's file start clear, and it looks at everything once.
#include "runtime/loop.h"
#include "abi/event.h"
#include "abi/words.h"
#include "runtime/csr.h"
#include "runtime/fence.h"
#include "runtime/fiber.h"
#include "runtime/inject.h"
#include "runtime/trace.h"

#define LOOP_CLAIMS 64u // identities claimed in one turn: a peer that rings without end must not keep us from the rings
#define LOOP_EVENTS 64u // kernel events taken in one turn
#define IDENTITY_WORDS ((IDENTITY_MAX + 64) / 64)

static struct loop_source *sources[IDENTITY_MAX + 1]; // [0]: polled
static struct loop_ring *rings;
static struct loop_listener *listeners;
static uint64_t pending[IDENTITY_WORDS];
static bool claimed; // outside of a turn: there may be something in `pending`
static bool guest_file;
static bool events_due = true; // what happened before we started has no ring left
static bool claim_due = true;  // no guest file: ask the kernel
static unsigned depth;         // callbacks under way
static uint64_t alarm_set;     // what stimecmp holds
static void (*wait_otherwise)(void); // 0: by wfi
static bool flags_up;          // on all rings: somebody naps
struct loop_nap loop_naps;
static void (*event_handler)(unsigned kind, uint64_t a, uint64_t b, uint64_t c);
static uint64_t doorbells;     // claims so far
uint64_t (*loop_served)(void);
void (*loop_pinged)(void);
void (*loop_server_event)(unsigned kind, unsigned slot);

void loop_enter(void)
{
	depth++;
}

void loop_leave(void)
{
	depth--;
}

bool loop_running(void)
{
	return depth != 0;
}

static void imsic_write(uint64_t select, uint64_t value)
{
	csr_write(CSR_SISELECT, select);
	csr_write(CSR_SIREG, value);
}

// AIA 3.8: interrupt delivery on, no threshold, all identities enabled (even selects hold 64 each).
void loop_start(unsigned file)
{
	guest_file = file != 0;
	csr_clear(CSR_SSTATUS, SSTATUS_SIE);
	csr_write(CSR_STIMECMP, ~0ull);
	alarm_set = ~0ull;
	if (guest_file) {
		for (unsigned i = 0; i < IDENTITY_WORDS; i++)
			imsic_write(IMSIC_EIE + 2 * i, ~0ull);
		imsic_write(IMSIC_EITHRESHOLD, 0);
		imsic_write(IMSIC_EIDELIVERY, 1);
	}
	csr_write(CSR_SIE, INTERRUPT_EXTERNAL | INTERRUPT_TIMER);
}

void loop_source_add(struct loop_source *source)
{
	invariant(source->identity <= IDENTITY_MAX);
	source->next = sources[source->identity];
	sources[source->identity] = source;
	loop_naps_end();
	if (source->identity) { // it may have rung before
		pending[source->identity / 64] |= 1ull << source->identity % 64;
		claimed = true;
	}
}

void loop_source_remove(struct loop_source *source)
{
	struct loop_source **at = &sources[source->identity];
	while (*at && *at != source)
		at = &(*at)->next;
	if (*at)
		*at = source->next;
}

void loop_ring_add(struct loop_ring *ring)
{
	struct loop_ring **at = &rings;
	while (*at && (*at)->identity <= ring->identity)
		at = &(*at)->next;
	ring->next = *at;
	*at = ring;
	loop_naps_end(); // its flag is not up
}

void loop_ring_remove(struct loop_ring *ring)
{
	struct loop_ring **at = &rings;
	while (*at && *at != ring)
		at = &(*at)->next;
	if (*at)
		*at = ring->next;
}

void loop_listener_add(struct loop_listener *listener)
{
	struct loop_listener **at = &listeners;
	while (*at && *at != listener)
		at = &(*at)->next;
	*at = listener;
}

void loop_on_event(void (*handler)(unsigned kind, uint64_t a, uint64_t b, uint64_t c))
{
	event_handler = handler;
	events_due = true;
	loop_naps_end();
}

// --- claims

static bool claim_from_file(void)
{
	unsigned n = 0;
	unsigned identity;
	while (n < LOOP_CLAIMS && (identity = interrupt_claim()) != 0) {
		if (identity <= IDENTITY_MAX)
			pending[identity / 64] |= 1ull << identity % 64;
		n++;
	}
	return n != 0;
}

static bool claim_by_call(void)
{
	if (!claim_due && !(csr_read(CSR_SIP) & INTERRUPT_EXTERNAL))
		return false;
	claim_due = false;
	struct kernel_result r = kcall(CALL_doorbell_claim);
	uint64_t any = 0;
	for (unsigned i = 0; r.error == ERR_OK && i < IDENTITY_WORDS && i < 4; i++) {
		pending[i] |= r.value[i];
		any |= r.value[i];
	}
	return any != 0;
}

static bool loop_claim(void)
{
	bool any = guest_file ? claim_from_file() : claim_by_call();
	if (any) {
		fence_claimed(); // partner: the ringer's fence_doorbell
		doorbells++;
		trace_here(TRACE_CLAIM, 0, 0, pending[0], pending[1]);
	}
	return any;
}

bool loop_take(unsigned identity)
{
	loop_naps_end(); // a nap would wait for what is claimed here
	uint64_t *word = &pending[identity / 64], bit = 1ull << identity % 64;
	claimed |= loop_claim();
	bool rung = (*word & bit) != 0;
	*word &= ~bit;
	return rung;
}

// --- kernel events

static void state_changed(unsigned slot)
{
	for (struct loop_listener *listener = listeners; listener; listener = listener->next)
		listener->state_changed(slot);
}

static void event_dispatch(unsigned kind, const uint64_t argument[3])
{
	switch (kind) {
	case EVENT_PING:
		if (loop_pinged)
			loop_pinged();
		kcall(CALL_pong, argument[0], loop_naps.asleep, doorbells, loop_served ? loop_served() : 0);
		break;
	case EVENT_CHANNEL_REQUEST:
	case EVENT_CHANNEL_CLOSED:
		if (loop_server_event)
			loop_server_event(kind, (unsigned)argument[0]);
		break;
	case EVENT_CHANNEL_STATE:
		state_changed((unsigned)argument[0]);
		if (loop_server_event)
			loop_server_event(kind, (unsigned)argument[0]);
		break;
	default:
		if (event_handler)
			event_handler(kind, argument[0], argument[1], argument[2]);
	}
}

static void loop_events(void)
{
	events_due = false;
	for (unsigned n = 0; n < LOOP_EVENTS; n++) {
		struct kernel_result r = kcall(CALL_event_next);
		if (r.error != ERR_OK || r.value[0] == EVENT_NONE)
			return;
		event_dispatch((unsigned)r.value[0], &r.value[1]);
	}
	events_due = true; // there may be more
}

// --- one turn

static void sources_notify(struct loop_source *source)
{
	while (source) {
		struct loop_source *next = source->next;
		source->notify(source);
		source = next;
	}
}

static void sources_notify_pending(void)
{
	for (unsigned i = 0; i < IDENTITY_WORDS; i++) {
		uint64_t bits = pending[i];
		pending[i] = 0;
		for (; bits; bits &= bits - 1) {
			unsigned identity = i * 64 + word_lowest_bit(bits);
			if (identity == IDENTITY_EVENT)
				events_due = true;
			else if (identity != 0)
				sources_notify(sources[identity]);
		}
	}
}

static bool rings_look(void)
{
	bool any = false;
	for (struct loop_ring *ring = rings; ring;) {
		struct loop_ring *next = ring->next; // it may remove itself
		any |= ring->look(ring);
		ring = next;
	}
	return any;
}

static void rings_want(uint32_t want)
{
	for (struct loop_ring *ring = rings; ring; ring = ring->next)
		store32(ring->want, want);
	flags_up = want != 0;
}

void loop_lower(void)
{
	loop_naps_end();
	if (flags_up)
		rings_want(0);
}

bool loop_poll(void)
{
	invariant(depth == 0);
	inject("runtime.loop");
	if (__builtin_expect(flags_up, 0))
		loop_lower();
	loop_enter();
	bool any = loop_claim() || claimed;
	claimed = false;
	if (any)
		sources_notify_pending();
	if (events_due) {
		loop_events();
		any = true;
	}
	any |= rings_look();
	if (sources[0])
		sources_notify(sources[0]);
	any |= timer_run_due();
	loop_leave();
	return any;
}

// --- sleep

void loop_alarm(uint64_t latest)
{
	uint64_t next = timer_next();
	next = next < latest ? next : latest;
	if (next == alarm_set)
		return;
	csr_write(CSR_STIMECMP, next);
	alarm_set = next;
}

void loop_wait_by(void (*wait)(void))
{
	wait_otherwise = wait;
	loop_naps_end();
}

static void loop_wait(void)
{
	uint64_t since = time_now();
	if (wait_otherwise) { // the kernel knows that it does not run
		wait_otherwise();
		return;
	}
	wait_for_interrupt();
	loop_naps.asleep += time_now() - since;
}

// Flags up, fence, look again. False: there is something, or somebody is ready.
static inline __attribute__((always_inline)) bool sleep_prepare(void)
{
	loop_enter();
	rings_want(1);
	loop_alarm(~0ull);
	fence_sleep(); // INV-30; partner: fence_doorbell of whoever publishes
	bool any = rings_look();
	if (!guest_file) {
		claim_due = true;
		claimed |= loop_claim();
	}
	loop_leave();
	return !any && !claimed && !fiber_any_ready(); // a callback may have claimed what it did not look for
}

void loop_sleep(void)
{
	if (sleep_prepare()) {
		loop_wait();
		claim_due = true;
	}
	rings_want(0);
}

// Of what a turn looks at, sleep_prepare looks at rings and claims, and interrupts and timers that are due end the wait at once. That leaves
// kernel events, and polled sources, which nothing announces. (Those never leave, so loop_sleep itself must not mind them: the disk
// driver would not sleep any more.)
void loop_sleep_first(void)
{
	if (events_due || sources[0])
		return;
	loop_naps_end(); // flags are down afterwards
	loop_sleep();
}

// A ring that woke us is claimed, or the first nap would find it once more.
void loop_doze(uint64_t awaited)
{
	if (!guest_file || wait_otherwise || events_due || sources[0]) {
		loop_sleep();
		return;
	}
	if (!sleep_prepare()) {
		rings_want(0);
		return;
	}
	loop_naps.left = LOOP_NAPS;
	uint64_t woken = loop_nap_claim(time_now());
	if (woken == awaited)
		fence_claimed(); // partner: the ringer's fence_doorbell
	else
		loop_nap_ended(INTERRUPT_CLAIMED(woken));
}

void loop_nap_ended(unsigned identity)
{
	loop_naps_end();
	if (identity == 0 || identity > IDENTITY_MAX)
		return; // an alarm, or nothing
	pending[identity / 64] |= 1ull << identity % 64;
	claimed = true;
	fence_claimed(); // partner: the ringer's fence_doorbell
}

void loop_turn(bool may_sleep)
{
	bool any = loop_poll();
	if (fiber_any_ready())
		fiber_yield();
	else if (may_sleep && !any)
		loop_sleep();
}

void loop_turn_to_doze(uint64_t awaited)
{
	bool any = loop_poll();
	if (fiber_any_ready())
		fiber_yield();
	else if (!any)
		loop_doze(awaited);
}
