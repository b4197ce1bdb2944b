// Rounds: one word there, one word back, with every way of waiting. Both sides use this code.
//
// Owns the interrupt file of its domain while it runs: the event loop does not, so kernel events that are claimed here
// are handed back by making the loop look (loop_on_event). Right because a ring only says "look": the word in shared
// memory tells the truth, there is one round under way, and each wait looks before it sleeps. If the peer dies in the
// middle, this side waits for ever; the user ends it (^C stops the job).
#include "apps/bench/bench.h"
#include "runtime/client.h"
#include "runtime/csr.h"
#include "runtime/fence.h"
#include "runtime/fiber.h"
#include "runtime/machine.h"
#include "runtime/runtime.h"

enum error rounds_prepare(struct rounds *rounds, unsigned slot)
{
	struct kernel_result info = kcall(CALL_channel_info, slot);
	struct kernel_result self = kcall(CALL_self);
	if (info.error != ERR_OK)
		return info.error;
	rounds->slot = slot;
	rounds->own_identity = CHANNEL_OWN_IDENTITY(info.value[1]);
	rounds->peer_identity = CHANNEL_PEER_IDENTITY(info.value[1]);
	rounds->doorbell = info.value[0] & CHANNEL_HAS_DOORBELL_PAGE ? machine_doorbell(slot) : 0;
	rounds->has_file = self.value[4] != 0;
	csr_clear(CSR_SIE, INTERRUPT_TIMER); // the loop's alarm, once due, would end every wfi
	bool direct = rounds->mode == PARTNER_SPIN || rounds->mode == PARTNER_SLEEP || rounds->mode == PARTNER_BARE ||
		      rounds->mode == PARTNER_NOTIFY || rounds->mode == PARTNER_NOTIFY_HANDLER || rounds->mode == PARTNER_LATENCY;
	return direct && (!rounds->doorbell || !rounds->has_file) ? ERR_UNSUPPORTED : ERR_OK;
}

void rounds_finish(void)
{
	csr_set(CSR_SIE, INTERRUPT_TIMER);
	loop_on_event(0); // kernel events that were claimed meanwhile are still in the kernel: look
}

static void await_word(const struct rounds *rounds, uint64_t word)
{
	while (load64(rounds->theirs) < word)
		kcall(CALL_yield);
}

// The ring of the request may come after the request was seen: both sides are in their rounds before they drop what is
// pending, else a stale ring would be taken for the first one (and a lost one be waited for) where nothing else counts.
static void drop_pending(const struct rounds *rounds)
{
	while (rounds->has_file && interrupt_claim() != 0)
		;
	if (!rounds->has_file)
		kcall(CALL_doorbell_claim);
}

void rounds_meet_as_partner(struct rounds *rounds)
{
	store64(rounds->mine, 1);
	await_word(rounds, 1);
	drop_pending(rounds);
	FENCE(i, w); // claims before the word that lets the other side ring
	store64(rounds->mine, 2);
}

void rounds_meet(struct rounds *rounds)
{
	FENCE(o, w); // the request's ring before the word
	store64(rounds->mine, 1);
	await_word(rounds, 2);
	drop_pending(rounds);
}

enum error rounds_ask(struct client *client, struct client_request *request, const volatile uint64_t *word)
{
	enum error e = client_submit(client, request);
	while (e == ERR_OK && load64(word) != 1) {
		if (request->done)
			return request->completion.status ? (enum error)request->completion.status : ERR_PROTOCOL;
		fiber_yield();
		kcall(CALL_yield);
	}
	return e;
}

enum error rounds_begin(struct rounds *rounds, struct client *client, struct client_request *request)
{
	enum error e = rounds_ask(client, request, rounds->theirs);
	if (e == ERR_OK)
		rounds_meet(rounds);
	return e;
}

void rounds_send(struct rounds *rounds, uint64_t round)
{
	if (rounds->mode == PARTNER_BARE) {
		*rounds->doorbell = rounds->peer_identity;
		return;
	}
	store64(rounds->mine, round);
	if (rounds->mode == PARTNER_POLL || rounds->mode == PARTNER_YIELD)
		return;
	fence_doorbell(); // partner: fence_claimed of the other side
	if (rounds->mode == PARTNER_SPIN || rounds->mode == PARTNER_SLEEP || rounds->mode == PARTNER_LATENCY)
		store32(rounds->doorbell, rounds->peer_identity);
	else
		kcall(CALL_doorbell, rounds->slot);
}

static bool arrived(const struct rounds *rounds, uint64_t round)
{
	return load64(rounds->theirs) >= round;
}

// Takes what is pending; true when something was. Without an interrupt file that is a kernel call.
static bool claim(const struct rounds *rounds)
{
	if (rounds->has_file)
		return interrupt_claim() != 0;
	struct kernel_result r = kcall(CALL_doorbell_claim);
	return (r.value[0] | r.value[1] | r.value[2] | r.value[3]) != 0;
}

static void await_ring(const struct rounds *rounds, uint64_t round, bool sleep)
{
	for (;;) {
		if (claim(rounds)) {
			fence_claimed(); // partner: fence_doorbell of the other side
			if (arrived(rounds, round))
				return;
		} else if (sleep) {
			wait_for_interrupt();
		}
	}
}

void rounds_await(struct rounds *rounds, uint64_t round)
{
	switch (rounds->mode) {
	case PARTNER_POLL:
		while (!arrived(rounds, round))
			;
		return;
	case PARTNER_BARE:
		while (interrupt_claim() != rounds->own_identity)
			;
		return;
	case PARTNER_YIELD:
		while (!arrived(rounds, round))
			kcall(CALL_yield);
		return;
	case PARTNER_SLEEP:
	case PARTNER_KERNEL_SLEEP:
	case PARTNER_LATENCY:
		await_ring(rounds, round, true);
		return;
	default:
		await_ring(rounds, round, false);
	}
}
