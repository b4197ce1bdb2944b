// Many quick calls in flight at a time (client_quick_all), each side looking, copying and ringing once for a burst of them.
//
// Owns up to BURST slots of its client while it runs, each used every window-th call, and as many seqs in a row. Never runs the
// loop while only this file knows of requests: what is open then becomes outstanding like any other, and client.c ends it
// (`burst_leave`). Right for the reasons of client_quick.c; answers are taken here only in the order of their calls, which is how a
// server gives them that answers at once. If the server dies, its epoch or its kernel's event ends the burst; if this domain dies,
// the requests stand in the channel like any, also one that is half written: its slot has the seq of an answered request until
// it is whole, and the record of that one.
#include "runtime/client_gather.h"
#include "runtime/csr.h"

#define BURST 32u        // in flight
#define BURST_TURN 512u  // calls until the loop has a turn

struct burst {
	struct client *client;
	struct quick_call *calls;
	unsigned count, sent, done; // of them
	unsigned window;            // slots: a power of two
	uint32_t first_seq;         // of the first; the others follow
	bool odd;                   // something does not fit
	uint16_t slot[BURST];
};

static inline unsigned smaller(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

// How many of `wanted` calls have their slots, and their places in a ring, one behind the other from here on.
static inline unsigned burst_run_length(const struct burst *b, unsigned call, uint32_t at, unsigned wanted)
{
	wanted = smaller(wanted, b->window - call % b->window);
	return smaller(wanted, CHANNEL_SLOTS_MAX - at % CHANNEL_SLOTS_MAX);
}

static bool burst_begin(struct burst *b)
{
	struct client_ring *ring = &b->client->ring;
	client_gather_end(b->client);
	if (!client_lane_possible(b->client) || ~ring->next_seq < b->count)
		return false;
	for (b->window = BURST; b->window > ring->free_count || b->window / 2 >= b->count; b->window /= 2)
		;
	if (b->window == 0)
		return false;
	for (unsigned i = 0; i < b->window; i++) {
		b->slot[i] = (uint16_t)client_ring_slot(ring);
		client_lane_blank(client_ring_request(ring, b->slot[i]));
	}
	b->first_seq = ring->next_seq;
	ring->next_seq += b->count;
	store32(&ring->view.client->next_seq, ring->next_seq); // before they are used: never used twice (INV-22)
	if (!b->client->watched)
		client_watch_arm(b->client);
	return true;
}

// The next `n` requests and their indices.
static void burst_write(struct burst *b, unsigned n, uint64_t now)
{
	struct client_ring *ring = &b->client->ring;
	struct request *requests = ring->view.requests;
	const uint16_t *slot = &b->slot[b->sent % b->window];
	uint16_t *to = &ring->view.client->submit_ring[ring->tail % CHANNEL_SLOTS_MAX];
	const uint16_t *end = to + n;
	uint32_t seq = b->first_seq + b->sent;
	for (const struct quick_call *call = &b->calls[b->sent]; to != end; call++, slot++, to++, seq++) {
		struct request *request = &requests[*slot];
		request->op = (uint16_t)call->op;
		request->time = now;
		request->arg[0] = call->arg[0];
		request->arg[1] = call->arg[1];
		request->arg[2] = call->arg[2];
		fence_free(); // as in client_ring_submit
		store32(&request->seq, seq);
		store16_wide(to, *slot);
	}
	ring->tail += n;
	b->sent += n;
}

static void burst_submit(struct burst *b)
{
	struct client_ring *ring = &b->client->ring;
	uint64_t now = time_read();
	unsigned room;
	while ((room = smaller(b->count - b->sent, b->window - (b->sent - b->done))) > 0)
		burst_write(b, burst_run_length(b, b->sent, ring->tail, room), now);
	fence_publish(); // as in client_ring_publish
	store32(&ring->view.client->submit_tail, ring->tail);
	channel_view_ring(&ring->view, &ring->view.server->want_doorbell);
}

// Up to `n` answers. Returns how many there were that fit.
static unsigned burst_read(struct burst *b, unsigned n)
{
	struct client_ring *ring = &b->client->ring;
	struct request *requests = ring->view.requests;
	const struct completion *records = ring->view.records;
	const uint16_t *slot = &b->slot[b->done % b->window];
	const uint16_t *from = &ring->view.server->complete_ring[ring->head % CHANNEL_SLOTS_MAX];
	const uint16_t *end = from + n;
	int64_t seq = (int32_t)(b->first_seq + b->done);
	for (struct quick_call *call = &b->calls[b->done]; from != end; call++, slot++, from++, seq = (int32_t)(seq + 1)) {
		uint64_t index = *slot;
		const struct completion *record = &records[index];
		if (__builtin_expect(load16_wide(from) != index || load32_wide(&record->seq) != seq, 0))
			break;
		fence_take(); // seq before the rest of the record, as in client_ring_take
		int64_t status = load32_wide(&record->status);
		if (__builtin_expect((uint64_t)status >= ERROR_COUNT || load64(&record->serial) != 0, 0))
			break;
		call->error = (uint32_t)status;
		call->result = load64(&record->result[0]);
		fence_free(); // our reads of the record before the slot is free
		store32(&requests[index].seq, 0);
	}
	return n - (unsigned)(end - from);
}

// True: there was something. Less than all that is there fits: the burst is odd.
static bool burst_take(struct burst *b)
{
	struct client_ring *ring = &b->client->ring;
	uint32_t tail = load32(&ring->view.server->complete_tail);
	fence_take(); // tail before epoch, ring and record; partner: fence_publish in server_ring_publish
	uint32_t waiting = tail - ring->head;
	b->odd = load32(&ring->view.server->epoch) != ring->epoch || waiting > b->sent - b->done;
	if (b->odd || waiting == 0)
		return false;
	while (ring->head != tail && !b->odd) {
		unsigned run = burst_run_length(b, b->done, ring->head, tail - ring->head);
		unsigned n = burst_read(b, run);
		b->odd = n < run;
		b->done += n;
		ring->head += n;
	}
	store32(&ring->view.client->complete_head, ring->head);
	return true;
}

// A nap, or a short look. False: neither is possible, or something else rang.
static bool burst_wait(struct burst *b)
{
	if (loop_naps.left == 0)
		return client_spin(b->client);
	uint64_t claimed = loop_nap_claim(time_read());
	if (claimed != INTERRUPT_CLAIM((uint64_t)b->client->ring.view.own_identity)) {
		loop_nap_ended(INTERRUPT_CLAIMED(claimed));
		return false;
	}
	fence_claimed(); // partner: fence_doorbell in channel_view_ring
	return true;
}

// The slots' last seqs, as others want to know them; those without an open request are free.
static void burst_slots_return(struct burst *b)
{
	struct client_ring *ring = &b->client->ring;
	for (unsigned i = b->done > b->window ? b->done - b->window : 0; i < b->done; i++)
		ring->slots[b->slot[i % b->window]].seq = b->first_seq + i;
	for (unsigned i = b->sent; i < b->done + b->window; i++)
		client_ring_slot_return(ring, b->slot[i % b->window]);
}

// What is open is ended like any other call. (More of them may nap then.)
static __attribute__((noinline)) void burst_leave(struct burst *b)
{
	struct client_request open[BURST] = {0};
	for (unsigned i = b->done; i < b->sent; i++)
		client_lane_give_up(&b->client->ring, &open[i - b->done], b->slot[i % b->window], b->first_seq + i);
	client_doze(b->client);
	for (unsigned i = b->done; i < b->sent; i++) {
		struct client_request *request = &open[i - b->done];
		b->calls[i].error = client_wait(b->client, request);
		b->calls[i].result = request->completion.result[0];
	}
}

// Returns how many calls were answered, at least one.
static unsigned burst_run(struct burst *b)
{
	do {
		if (b->sent < b->count && b->sent - b->done < b->window)
			burst_submit(b);
	} while ((burst_take(b) || (!b->odd && burst_wait(b))) && !b->odd && b->done < b->count);
	burst_slots_return(b);
	if (b->done < b->sent)
		burst_leave(b);
	return b->sent;
}

// Where there is no short way.
static unsigned burst_one(struct burst *b)
{
	struct quick_call *call = b->calls;
	struct client_request request = {.op = (uint16_t)call->op, .arg = {call->arg[0], call->arg[1], call->arg[2]}};
	call->error = client_call(b->client, &request);
	call->result = request.completion.result[0];
	return 1;
}

void client_quick_all(struct client *client, struct quick_call *calls, unsigned count)
{
	while (count > 0) {
		if (client->burst_left == 0) {
			loop_poll();
			client->burst_left = BURST_TURN;
		}
		struct burst b = {.client = client, .calls = calls, .count = smaller(count, client->burst_left)};
		unsigned n = burst_begin(&b) ? burst_run(&b) : burst_one(&b);
		client->burst_left -= n;
		calls += n;
		count -= n;
	}
}
