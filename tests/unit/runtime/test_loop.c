// The event loop over registers, a kernel and a peer that are not there: claims, order, events, and that no wake-up is
// lost whenever the peer acts.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "abi/event.h"
#include "runtime/csr.h"
#include "runtime/fence.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

static uint64_t csr[0x1000];
static uint64_t now;
static uint64_t file[4]; // pending identities
static unsigned claims;
static unsigned sleeps;
static uint64_t events[80][4];
static unsigned event_count, event_taken;
static uint64_t ponged;
static uint64_t sticky[4];
static unsigned claim_calls;
static bool ready;
static unsigned yields;
static void (*in_sleep)(void); // what happens while it sleeps

static void file_ring(unsigned identity)
{
	file[identity / 64] |= 1ull << identity % 64;
}

uint64_t csr_host(unsigned number, enum csr_access access, uint64_t bits)
{
	uint64_t before = csr[number];
	if (access == CSR_ACCESS_WRITE)
		csr[number] = bits;
	else if (access == CSR_ACCESS_SET)
		csr[number] |= bits;
	else if (access == CSR_ACCESS_CLEAR)
		csr[number] &= ~bits;
	return before;
}

unsigned interrupt_claim(void)
{
	claims++;
	for (unsigned i = 0; i < 4; i++) {
		if (!file[i])
			continue;
		unsigned bit = (unsigned)__builtin_ctzll(file[i]);
		file[i] &= file[i] - 1;
		return i * 64 + bit;
	}
	return 0;
}

void wait_for_interrupt(void)
{
	sleeps++;
	if (in_sleep)
		in_sleep();
}

uint64_t time_read(void)
{
	return ++now;
}

uint64_t time_now(void)
{
	return ++now;
}

struct kernel_result kernel_call(enum call number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
				 uint64_t a5)
{
	struct kernel_result r = {.error = ERR_OK};
	(void)a1, (void)a2, (void)a3, (void)a4, (void)a5;
	switch (number) {
	case CALL_event_next:
		if (event_taken < event_count)
			memcpy(r.value, events[event_taken++], sizeof(events[0]));
		break;
	case CALL_pong:
		ponged = a0;
		break;
	case CALL_doorbell_claim:
		claim_calls++;
		memcpy(r.value, sticky, sizeof(sticky));
		memset(sticky, 0, sizeof(sticky));
		break;
	default:
		fail_msg("kernel call %d is not faked", (int)number);
	}
	return r;
}

bool fiber_any_ready(void)
{
	return ready;
}

void fiber_yield(void)
{
	yields++;
	ready = false;
}

void log_line(const char *format, ...)
{
	(void)format;
}

_Noreturn void domain_panic(const char *source, int line, const char *what)
{
	fail_msg("%s:%d: %s", source, line, what);
	abort();
}

_Noreturn void domain_exit(int code)
{
	(void)code;
	abort();
}

static unsigned order[200];
static unsigned noticed;

static void notice(struct loop_source *source)
{
	order[noticed++] = source->identity;
}

static struct loop_source source_a = {.notify = notice, .identity = 200};
static struct loop_source source_b = {.notify = notice, .identity = 3};
static struct loop_source polled = {.notify = notice, .identity = 0};

static int fresh(void **state)
{
	(void)state;
	memset(file, 0, sizeof(file));
	memset(sticky, 0, sizeof(sticky));
	loop_start(4);
	loop_poll(); // what happened before
	loop_poll();
	claims = sleeps = noticed = event_count = event_taken = claim_calls = yields = 0;
	in_sleep = 0;
	ready = false;
	return 0;
}

static void registers_at_the_start(void **state)
{
	(void)state;
	csr[CSR_SSTATUS] = SSTATUS_SIE;
	loop_start(1);
	assert_int_equal(csr[CSR_SSTATUS] & SSTATUS_SIE, 0);
	assert_int_equal(csr[CSR_SIE], INTERRUPT_EXTERNAL | INTERRUPT_TIMER);
	assert_true(csr[CSR_STIMECMP] == ~0ull);
	assert_int_equal(csr[CSR_SISELECT], IMSIC_EIDELIVERY);
	assert_int_equal(csr[CSR_SIREG], 1);
}

static void lower_identities_first(void **state)
{
	(void)state;
	loop_source_add(&source_a);
	loop_source_add(&source_b);
	loop_poll(); // a new source is looked at once
	assert_int_equal(noticed, 2);
	file_ring(200);
	file_ring(3);
	file_ring(77); // nobody's
	assert_true(loop_poll());
	assert_int_equal(noticed, 4);
	assert_int_equal(order[2], 3);
	assert_int_equal(order[3], 200);
	assert_false(loop_poll());
	loop_source_remove(&source_a);
	file_ring(200);
	loop_poll();
	assert_int_equal(noticed, 4);
	loop_source_remove(&source_b);
}

static void claims_are_bounded(void **state)
{
	(void)state;
	memset(file, 0xff, sizeof(file));
	file[0] &= ~1ull;
	loop_poll();
	assert_int_equal(claims, 64);
	loop_poll();
	assert_int_equal(claims, 128);
}

static void polled_sources_are_asked_each_turn(void **state)
{
	(void)state;
	loop_source_add(&polled);
	loop_poll();
	loop_poll();
	assert_int_equal(noticed, 2);
	loop_source_remove(&polled);
}

// A take claims without a turn; what else it claims is told in the next turn, and nobody sleeps before that.
static void take_claims_without_a_turn(void **state)
{
	(void)state;
	while (loop_poll())
		;
	static struct loop_source beside = {.notify = notice, .identity = 61};
	loop_source_add(&beside);
	loop_poll();
	noticed = 0;
	file_ring(60);
	file_ring(60);
	file_ring(61);
	assert_true(loop_take(60));
	assert_false(loop_take(60));
	assert_int_equal(noticed, 0);
	sleeps = 0;
	loop_sleep();
	loop_sleep_first();
	assert_int_equal(sleeps, 0);
	assert_true(loop_poll());
	assert_int_equal(noticed, 1);
	loop_sleep();
	assert_int_equal(sleeps, 1);
	loop_source_remove(&beside);
}

static uint64_t handled[4];

static void handler(unsigned kind, uint64_t a, uint64_t b, uint64_t c)
{
	handled[0] = kind;
	handled[1] = a;
	handled[2] = b;
	handled[3] = c;
}

static unsigned client_slot_told, other_slot_told, server_state_told, server_kind_told, server_slot_told;

static void client_event(unsigned slot)
{
	client_slot_told = slot;
}

static void other_event(unsigned slot)
{
	other_slot_told += slot;
}

static void server_event(unsigned kind, unsigned slot)
{
	server_state_told += kind == EVENT_CHANNEL_STATE ? slot : 0;
	server_kind_told = kind;
	server_slot_told = slot;
}

static void events_go_where_they_belong(void **state)
{
	(void)state;
	loop_on_event(handler);
	static struct loop_listener other = {.state_changed = other_event}, client = {.state_changed = client_event};
	loop_listener_add(&other);
	loop_listener_add(&client);
	loop_listener_add(&client); // once
	loop_server_event = server_event;
	const uint64_t what[][4] = {{EVENT_PING, 55}, {EVENT_CHANNEL_STATE, 7}, {EVENT_CHANNEL_CLOSED, 9}, {EVENT_DOMAIN, 1, 2, 3}};
	memcpy(events, what, sizeof(what));
	event_count = 4;
	file_ring(IDENTITY_EVENT);
	assert_true(loop_poll());
	assert_int_equal(ponged, 55);
	assert_int_equal(client_slot_told, 7);
	assert_int_equal(other_slot_told, 7);
	assert_int_equal(server_state_told, 7); // the slot may be a server's, of which a grant was taken back
	assert_int_equal(server_kind_told, EVENT_CHANNEL_CLOSED);
	assert_int_equal(server_slot_told, 9);
	assert_int_equal(handled[0], EVENT_DOMAIN);
	assert_int_equal(handled[3], 3);
	loop_server_event = 0;
	loop_on_event(0);
}

static void many_events_take_several_turns(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 80; i++)
		events[i][0] = EVENT_PING, events[i][1] = i;
	event_count = 80;
	file_ring(IDENTITY_EVENT);
	loop_poll();
	assert_int_equal(event_taken, 64);
	loop_poll();
	assert_int_equal(event_taken, 80);
	assert_int_equal(ponged, 79);
}

// --- a peer that publishes at every moment of the way to sleep

static struct loop_ring ring;
static uint32_t want;
static unsigned tail, head;
static unsigned moment, publish_at;
static bool rang;

// The peer's step: tail, then the flag decides about the ring.
static void peer_moment(void)
{
	if (++moment != publish_at)
		return;
	tail++;
	if (want) {
		rang = true;
		file_ring(30);
	}
}

void fence_observe_store(void)
{
	peer_moment();
}

static bool ring_look(struct loop_ring *r)
{
	(void)r;
	peer_moment();
	bool found = tail != head;
	head = tail;
	peer_moment();
	return found;
}

static void sleep_is_interrupted_by_what_is_pending(void)
{
	peer_moment();
	assert_true(moment < publish_at || file[0] & 1ull << 30); // else it would sleep on what was published
}

static void turn(void)
{
	loop_turn(true);
}

// As in fiber_await_any.
static void sleep_then_turn(void)
{
	loop_sleep_first();
	loop_poll();
}

static void publishes_at_every_moment(void (*wait)(void))
{
	ring = (struct loop_ring){.look = ring_look, .want = &want, .identity = 30};
	in_sleep = sleep_is_interrupted_by_what_is_pending;
	for (publish_at = 1; publish_at < 12; publish_at++) {
		memset(file, 0, sizeof(file));
		head = tail = moment = 0;
		rang = false;
		want = 0;
		loop_ring_add(&ring);
		unsigned turns = 0;
		while (head == 0 && ++turns < 10)
			wait();
		loop_ring_remove(&ring);
		assert_int_equal(head, 1);
		assert_int_equal(want, 0);
	}
	assert_true(sleeps > 0);
	in_sleep = 0;
	publish_at = 0;
}

static void no_wake_up_is_lost(void **state)
{
	(void)state;
	publishes_at_every_moment(turn);
	sleeps = 0;
	publishes_at_every_moment(sleep_then_turn);
}

static unsigned ring_order[4], ring_looks;

static bool ring_look_order(struct loop_ring *r)
{
	ring_order[ring_looks++ % 4] = r->identity;
	return false;
}

static void rings_by_identity(void **state)
{
	(void)state;
	uint32_t wants[3];
	struct loop_ring r[3];
	const unsigned identity[3] = {90, 10, 50};
	for (unsigned i = 0; i < 3; i++) {
		r[i] = (struct loop_ring){.look = ring_look_order, .want = &wants[i], .identity = identity[i]};
		loop_ring_add(&r[i]);
	}
	loop_poll();
	assert_int_equal(ring_order[0], 10);
	assert_int_equal(ring_order[1], 50);
	assert_int_equal(ring_order[2], 90);
	for (unsigned i = 0; i < 3; i++)
		loop_ring_remove(&r[i]);
}

static void ready_fibers_keep_it_awake(void **state)
{
	(void)state;
	ready = true;
	loop_turn(true);
	assert_int_equal(yields, 1);
	assert_int_equal(sleeps, 0);
	loop_turn(true);
	assert_int_equal(sleeps, 1);
	loop_turn(false);
	assert_int_equal(sleeps, 1);
}

static void timer_fired(struct timer *timer)
{
	(void)timer;
	noticed++;
}

static void alarm_is_set_before_sleep(void **state)
{
	(void)state;
	struct timer timer = {.expired = timer_fired};
	timer_arm(&timer, now + 1000);
	loop_turn(true);
	assert_int_equal(sleeps, 1);
	assert_true(csr[CSR_STIMECMP] == timer.deadline);
	now += 2000;
	loop_turn(true);
	assert_int_equal(noticed, 1);
	assert_int_equal(sleeps, 1);
	loop_turn(true);
	assert_true(csr[CSR_STIMECMP] == ~0ull);
}

static void ring_30(void)
{
	file_ring(30);
}

static void ring_the_loop(void)
{
	file_ring(IDENTITY_EVENT);
}

static bool dozed(void (*meanwhile)(void))
{
	in_sleep = meanwhile;
	loop_turn_to_doze(INTERRUPT_CLAIM(30));
	in_sleep = 0;
	return loop_naps.left == LOOP_NAPS - 1 && want == 1 && file[0] == 0;
}

// After a doze flags stay up, for naps, until the loop has a turn; whatever the loop is to look at ends the naps.
static void naps_end_when_the_loop_is_due(void **state)
{
	(void)state;
	ring = (struct loop_ring){.look = ring_look_order, .want = &want, .identity = 30};
	struct timer timer = {.expired = timer_fired};
	loop_ring_add(&ring);
	loop_poll(); // events that were due at the start
	assert_true(dozed(ring_30));
	file_ring(30);
	assert_true(loop_nap_claim(time_read()) == INTERRUPT_CLAIM(30));
	assert_int_equal(loop_naps.left, LOOP_NAPS - 2);
	timer_arm(&timer, now + 1000000); // the alarm is not set for it
	assert_int_equal(loop_naps.left, 0);
	assert_true(dozed(ring_30));
	timer_cancel(&timer);
	loop_source_add(&source_b);
	assert_int_equal(loop_naps.left, 0);
	loop_poll();
	assert_int_equal(want, 0);
	assert_true(dozed(ring_30));
	noticed = 0;
	loop_nap_ended(3); // not awaited: kept for the loop
	assert_int_equal(loop_naps.left, 0);
	loop_poll();
	assert_int_equal(noticed, 1);
	assert_int_equal(want, 0);
	loop_source_remove(&source_b);
	loop_ring_remove(&ring);
}

// Also the ring that the kernel gives for a ping; a sleep of the usual kind takes the flags down itself.
static void a_ping_ends_the_naps(void **state)
{
	(void)state;
	ring = (struct loop_ring){.look = ring_look_order, .want = &want, .identity = 30};
	loop_ring_add(&ring);
	loop_poll();
	ponged = 0;
	events[0][0] = EVENT_PING;
	events[0][1] = 77;
	event_taken = 0;
	event_count = 1;
	assert_false(dozed(ring_the_loop));
	assert_int_equal(loop_naps.left, 0);
	loop_turn(true);
	assert_int_equal(ponged, 77);
	assert_int_equal(want, 0);
	loop_turn(true);
	assert_int_equal(want, 0);
	assert_int_equal(loop_naps.left, 0);
	loop_ring_remove(&ring);
}

// What nothing announces has its turn before a sleep without one: events that are due, and polled sources. Those stay for ever, and
// whoever sleeps after a turn sleeps all the same.
static void sleep_comes_first_where_no_turn_is_due(void **state)
{
	(void)state;
	loop_sleep_first();
	assert_int_equal(sleeps, 1);
	loop_source_add(&polled);
	loop_sleep_first();
	assert_int_equal(sleeps, 1);
	loop_turn(true);
	assert_int_equal(sleeps, 2);
	loop_source_remove(&polled);
	loop_on_event(handler);
	loop_sleep_first();
	assert_int_equal(sleeps, 2);
	loop_poll();
	loop_sleep_first();
	assert_int_equal(sleeps, 3);
	loop_on_event(0);
}

// It takes the flags down, so nobody rings a nap any more.
static void sleep_first_ends_the_naps(void **state)
{
	(void)state;
	ring = (struct loop_ring){.look = ring_look_order, .want = &want, .identity = 30};
	loop_ring_add(&ring);
	loop_poll();
	assert_true(dozed(ring_30));
	loop_sleep_first();
	assert_int_equal(want, 0);
	assert_int_equal(loop_naps.left, 0);
	loop_poll();
	assert_true(dozed(ring_30));
	loop_naps_hold();
	loop_sleep_first();
	assert_int_equal(loop_naps.kept, 0);
	loop_ring_remove(&ring);
}

// No naps where a claim is a kernel call.
static void no_naps_without_a_file(void **state)
{
	(void)state;
	loop_start(0);
	loop_poll();
	loop_doze(INTERRUPT_CLAIM(30));
	assert_int_equal(sleeps, 1);
	assert_int_equal(loop_naps.left, 0);
	loop_poll();
}

static void without_a_file_it_claims_by_call(void **state)
{
	(void)state;
	loop_start(0);
	loop_source_add(&source_a);
	loop_poll();
	claim_calls = noticed = claims = 0;
	loop_poll();
	assert_int_equal(claim_calls, 0); // no sign of anything
	csr[CSR_SIP] = INTERRUPT_EXTERNAL;
	sticky[3] = 1ull << (200 - 192);
	assert_true(loop_poll());
	assert_int_equal(noticed, 1);
	csr[CSR_SIP] = 0;
	sticky[3] = 1ull << (200 - 192);
	loop_turn(true); // before it sleeps, it asks
	assert_int_equal(sleeps, 0);
	loop_turn(true);
	assert_int_equal(noticed, 2);
	assert_int_equal(claims, 0);
	loop_source_remove(&source_a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(registers_at_the_start, fresh),
		cmocka_unit_test_setup(lower_identities_first, fresh),
		cmocka_unit_test_setup(claims_are_bounded, fresh),
		cmocka_unit_test_setup(polled_sources_are_asked_each_turn, fresh),
		cmocka_unit_test_setup(take_claims_without_a_turn, fresh),
		cmocka_unit_test_setup(events_go_where_they_belong, fresh),
		cmocka_unit_test_setup(many_events_take_several_turns, fresh),
		cmocka_unit_test_setup(no_wake_up_is_lost, fresh),
		cmocka_unit_test_setup(rings_by_identity, fresh),
		cmocka_unit_test_setup(ready_fibers_keep_it_awake, fresh),
		cmocka_unit_test_setup(alarm_is_set_before_sleep, fresh),
		cmocka_unit_test_setup(naps_end_when_the_loop_is_due, fresh),
		cmocka_unit_test_setup(a_ping_ends_the_naps, fresh),
		cmocka_unit_test_setup(sleep_comes_first_where_no_turn_is_due, fresh),
		cmocka_unit_test_setup(sleep_first_ends_the_naps, fresh),
		cmocka_unit_test_setup(no_naps_without_a_file, fresh),
		cmocka_unit_test_setup(without_a_file_it_claims_by_call, fresh),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
