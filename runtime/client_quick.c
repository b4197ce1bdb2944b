// Quick calls: one request and its answer in as few instructions as the protocol allows. (Many at a time: client_burst.c.)
//
// Owns one slot of its client, the lane, from one call to the next. Never runs the loop while only this file knows of the
// request: before anybody else looks at the ring, the slot becomes an outstanding one like others (`client_lane_give_up`), and
// client.c ends the call. Right because nothing else runs between the submission and a nap, because what is taken here is
// checked as in client_ring_take (whatever is odd is left to it), and because each nap is given up when it was not this
// channel that rang. If the server dies, its kernel's event ends the nap; if this domain dies, the request stands in the channel like any.
#include "runtime/client_gather.h"
#include "runtime/local.h"
#include "runtime/trace.h"

#define LANE_CALLS 512u // until the loop has a turn at the latest: pings and timers wait that long

bool client_lane_possible(const struct client *client)
{
	const struct client_ring *ring = &client->ring;
	return !client->local && !client->lost && !client->near.door && !trace_is_on() && ring->view.doorbell && !ring->held &&
	       ring->rescan >= ring->view.geometry.slots;
}

// One slot, and what is decided beforehand for the next LANE_CALLS calls at most.
static bool lane_make(struct client *client)
{
	struct client_ring *ring = &client->ring;
	uint32_t until_wrap = ~ring->next_seq; // seq is never 0
	int slot = !client_lane_possible(client) || !until_wrap ? -1 : client_ring_slot(ring);
	if (slot < 0)
		return false;
	struct request *request = client_ring_request(ring, (unsigned)slot);
	client_lane_blank(request);
	ring->lane = (struct client_lane){.left = until_wrap < LANE_CALLS ? until_wrap : LANE_CALLS,
					  .slot = (uint16_t)slot,
					  .submit_ring = ring->view.client->submit_ring,
					  .request = request,
					  .record = &ring->view.records[slot],
					  .state = &ring->slots[slot],
					  .doorbell = ring->view.doorbell,
					  .claim = INTERRUPT_CLAIM((uint64_t)ring->view.own_identity),
					  .peer_identity = ring->view.peer_identity};
	if (!client->watched)
		client_watch_arm(client);
	return true;
}

static void lane_drop(struct client_ring *ring)
{
	unsigned slot = ring->lane.slot;
	bool kept = ring->lane.request != 0;
	ring->lane = (struct client_lane){0};
	if (kept)
		client_ring_slot_return(ring, slot);
}

// There is no lane, or it is used up, and the loop is due.
static __attribute__((noinline)) quick_answer_t quick_begin(struct client *client, unsigned op, uint64_t a, uint64_t b,
								 uint64_t c)
{
	if (client->ring.lane.request)
		loop_poll();
	lane_drop(&client->ring);
	if (fiber_any_ready() && client_gather_begin(client))
		return client_gather_call(client, op, a, b, c);
	if (lane_make(client))
		return client_quick(client, op, a, b, c);
	struct client_request request = {.op = (uint16_t)op, .arg = {a, b, c}};
	enum error e = client_call(client, &request);
	return quick_answer(e, request.completion.result[0]);
}

// By no lane that is there. It keeps no register: with fibers each call comes by here.
static __attribute__((noinline)) quick_answer_t quick_otherwise(struct client *client, unsigned op, uint64_t a, uint64_t b, uint64_t c)
{
	if (__builtin_expect(client->gather != 0, 1))
		return client_gather_call(client, op, a, b, c);
	if (client->local)
		return local_quick(client, op, a, b, c);
	return quick_begin(client, op, a, b, c);
}

void client_lane_give_up(struct client_ring *ring, struct client_request *request, unsigned slot, uint32_t seq)
{
	struct client_slot *s = &ring->slots[slot];
	request->slot = slot;
	s->former_seq = (uint16_t)s->seq;
	s->seq = seq;
	s->submitted = ring->view.requests[slot].time;
	s->result = &request->completion;
	s->state = CLIENT_SLOT_OUTSTANDING;
	ring->outstanding++;
}

void client_doze(struct client *client)
{
	if (!fiber_any_ready() && !loop_poll() && !fiber_any_ready())
		loop_doze(INTERRUPT_CLAIM((uint64_t)client->ring.view.own_identity));
}

// Whatever is in the way: no flag up, a fiber that is ready, an event, an answer that does not fit.
static __attribute__((noinline)) quick_answer_t quick_end(struct client *client, uint32_t seq)
{
	struct client_request request = {.done = false};
	bool spun = client_spin(client); // flags are down then
	client_lane_give_up(&client->ring, &request, client->ring.lane.slot, seq);
	client->ring.lane = (struct client_lane){0};
	if (!spun)
		client_doze(client);
	enum error e = client_wait(client, &request);
	return quick_answer(e, request.completion.result[0]);
}

static __attribute__((noinline)) quick_answer_t quick_end_claimed(struct client *client, uint32_t seq, unsigned claimed)
{
	loop_nap_ended(claimed);
	return quick_end(client, seq);
}

// No call but those that end it, so that it keeps no register. While flags are up there is no first look either: an answer that
// came already has rung.
quick_answer_t client_quick(struct client *client, unsigned op, uint64_t a, uint64_t b, uint64_t c)
{
	struct client_ring *ring = &client->ring;
	struct client_lane *lane = &ring->lane;
	if (__builtin_expect(lane->left == 0, 0))
		return quick_otherwise(client, op, a, b, c);
	lane->left--;
	struct request *request = lane->request;
	struct channel_client_page *own = ring->view.client;
	const struct channel_server_page *page = ring->view.server;
	request->op = (uint16_t)op;
	uint64_t now = time_read();
	request->time = now;
	request->arg[0] = a;
	request->arg[1] = b;
	request->arg[2] = c;
	uint32_t seq = ring->next_seq++; // does not wrap: lane_make
	store32(&own->next_seq, seq + 1);
	fence_free(); // as in client_ring_submit
	store32(&request->seq, seq);
	uint32_t at = ring->tail;
	store16_wide(&lane->submit_ring[at % CHANNEL_SLOTS_MAX], lane->slot);
	ring->tail = at + 1;
	fence_publish(); // as in client_ring_publish
	store32(&own->submit_tail, at + 1);
	fence_doorbell(); // as in channel_view_ring
	if (load32(&page->want_doorbell))
		store32(lane->doorbell, lane->peer_identity);
	if (__builtin_expect(loop_naps.left == 0, 0))
		return quick_end(client, seq);
	uint64_t claimed = loop_nap_claim(now);
	if (__builtin_expect(claimed != lane->claim, 0))
		return quick_end_claimed(client, seq, INTERRUPT_CLAIMED(claimed));
	fence_claimed(); // partner: fence_doorbell in channel_view_ring
	const struct completion *record = lane->record;
	uint32_t head = ring->head;
	int64_t tail = load32_wide(&page->complete_tail);
	fence_take(); // tail before epoch, ring and record; partner: fence_publish in server_ring_publish
	if (__builtin_expect(tail != (int32_t)(head + 1) || load32(&page->epoch) != ring->epoch ||
			     load16_wide(&page->complete_ring[head % CHANNEL_SLOTS_MAX]) != lane->slot || load32(&record->seq) != seq, 0))
		return quick_end(client, seq);
	fence_take(); // seq before the rest of the record, as in client_ring_take
	int64_t status = load32_wide(&record->status);
	if (__builtin_expect((uint64_t)status >= ERROR_COUNT || load64(&record->serial) != 0, 0))
		return quick_end(client, seq);
	uint64_t result = load64(&record->result[0]);
	ring->head = (uint32_t)tail;
	store32(&own->complete_head, (uint32_t)tail);
	lane->state->seq = seq;
	fence_free(); // our reads of the record before the slot is free
	store32(&request->seq, 0);
	return quick_answer_of((uint64_t)status, result);
}
