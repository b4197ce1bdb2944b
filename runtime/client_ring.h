// The client's end of a channel's shared memory: slots, submissions, completions, the log that waits for commits.
//
// Pure: touches the channel's pages and this struct, makes no kernel call but a doorbell, never waits. client.c waits;
// unit tests and fuzzers drive it on the host. All that the server wrote is hostile (INV-21): indices are range-checked, a record is
// taken only for a slot that waits for it.
#pragma once
#include "runtime/channel_view.h"

enum client_slot_state {
	CLIENT_SLOT_FREE,
	CLIENT_SLOT_TAKEN,       // given out, not submitted yet
	CLIENT_SLOT_OUTSTANDING, // submitted, no completion yet
	CLIENT_SLOT_FORMER,      // as outstanding, but of a former incarnation: nobody waits for the result
	CLIENT_SLOT_GATHERED,    // client_gather.c knows what it is used for
	CLIENT_SLOT_HELD,        // completed and logged: stays until its serial is committed
};

enum client_offence { OFFENCE_NONE, OFFENCE_TAIL, OFFENCE_INDEX, OFFENCE_COMPLETION };

struct client_slot {
	uint32_t seq;
	uint8_t state;         // enum client_slot_state
	bool found_by_record;  // its index may still come by the ring: tolerated once
	uint16_t former_seq;   // lower half of the record's seq until this request is answered
	uint64_t submitted;    // time stamp of the request
	uint64_t serial;       // HELD
	struct completion *result; // where the record goes, 0: nowhere
};
_Static_assert(sizeof(struct client_slot) == 32, "a slot is found by a shift");

// What quick calls (client_quick.c) have decided beforehand: a slot that they use one after the other. For all others it is one that
// was given out and not submitted.
struct client_lane {
	unsigned left; // calls until all is decided anew; 0: at once
	uint16_t slot;
	uint16_t *submit_ring;
	struct request *request; // 0: no slot is kept
	const struct completion *record;
	struct client_slot *state;
	volatile uint32_t *doorbell;
	uint64_t claim; // what a claim gives when the server has rung
	uint32_t peer_identity;
};

struct client_ring {
	struct channel_view view;
	struct client_lane lane;
	uint32_t tail; // submit_tail
	uint32_t head; // complete_head
	uint32_t epoch;
	uint32_t next_seq;
	uint32_t free_count;
	uint32_t outstanding; // FORMER ones too
	uint32_t former;
	uint32_t held;
	uint32_t rescan; // next slot whose record is looked at after a change of epoch; geometry.slots: none
	enum client_offence offence; // noticed, for client.c to report and clear
	uint64_t committed;
	uint64_t committed_seen; // last word that was looked at, valid or not
	bool want_commit;        // asked for; nothing was committed since
	uint32_t large; // slots below it have room for any payload, the others (small) for little
	uint32_t small_count;
	uint16_t free[CHANNEL_SLOTS_MAX / 2];
	uint16_t small[CHANNEL_SLOTS_MAX / 2];
	struct client_slot slots[CHANNEL_SLOTS_MAX];
	bool hushed; // whoever submits tells the server by himself
};

// Takes over the memory as it is: new, or of a former incarnation, whose requests it publishes once more.
void client_ring_start(struct client_ring *ring);
// Slots from there on are small; none are before.
void client_ring_divide(struct client_ring *ring, unsigned large);
// Looks at `committed`; returns how many slots became free.
unsigned client_ring_commit_look(struct client_ring *ring);
// Asks the server for a commit, once until the next one.
void client_ring_want_commit(struct client_ring *ring);
// There may be something to take.
static inline bool client_ring_pending(const struct client_ring *ring)
{
	const struct channel_server_page *page = ring->view.server;
	return load32(&page->complete_tail) != ring->head || load32(&page->epoch) != ring->epoch ||
	       ring->rescan < ring->view.geometry.slots;
}

// The slot of a completion that came, or -1. Its record was copied to the slot's `result`; the slot is free (or held)
// afterwards, its `result` untouched until it is given out again.
int client_ring_take_slowly(struct client_ring *ring);

static inline bool client_slot_waits(const struct client_slot *s)
{
	return s->state == CLIENT_SLOT_OUTSTANDING || s->state == CLIENT_SLOT_FORMER;
}

static inline void client_ring_slot_return(struct client_ring *ring, uint64_t slot)
{
	ring->slots[slot].state = CLIENT_SLOT_FREE;
	if (slot < ring->large)
		ring->free[ring->free_count++] = (uint16_t)slot;
	else
		ring->small[ring->small_count++] = (uint16_t)slot;
}

static inline void client_ring_slot_free(struct client_ring *ring, uint64_t slot)
{
	fence_free(); // our reads of the record before the slot is free; partner: the server's next use of it
	store32(&ring->view.requests[slot].seq, 0);
	client_ring_slot_return(ring, slot);
}

// The record of this slot is there and belongs to its request.
static inline int client_ring_complete(struct client_ring *ring, uint64_t slot)
{
	struct client_slot *s = &ring->slots[slot];
	const struct completion *record = &ring->view.records[slot];
	uint64_t serial = record->serial;
	if (s->result)
		*s->result = *record;
	ring->outstanding--;
	if (__builtin_expect(s->state == CLIENT_SLOT_FORMER, 0))
		ring->former--;
	if (serial <= ring->committed) { // INV-25
		client_ring_slot_free(ring, slot);
		return (int)slot;
	}
	s->state = CLIENT_SLOT_HELD;
	s->serial = serial;
	ring->held++;
	ring->lane.left = 0; // commits are to be looked at
	return (int)slot;
}

static inline int client_ring_take(struct client_ring *ring)
{
	const struct channel_server_page *page = ring->view.server;
	const struct completion *records = ring->view.records;
	uint32_t head = ring->head, tail = load32(&page->complete_tail);
	fence_take(); // tail before epoch and ring; partner: fence_publish in server_ring_publish
	uint64_t slots = ring->view.geometry.slots;
	if (__builtin_expect(load32(&page->epoch) != ring->epoch || ring->rescan < slots, 0))
		return client_ring_take_slowly(ring);
	if (tail == head)
		return -1;
	uint64_t slot = load16_wide(&page->complete_ring[head % CHANNEL_SLOTS_MAX]);
	if (__builtin_expect(tail - head > CHANNEL_SLOTS_MAX || slot >= slots, 0))
		return client_ring_take_slowly(ring);
	struct client_slot *s = &ring->slots[slot];
	const struct completion *record = &records[slot];
	if (__builtin_expect(!client_slot_waits(s) || load32(&record->seq) != s->seq, 0))
		return client_ring_take_slowly(ring);
	fence_take(); // seq before the rest of the record; partner: fence_publish in server_ring_record
	if (__builtin_expect(load32(&record->status) >= ERROR_COUNT, 0))
		return client_ring_take_slowly(ring);
	ring->head = head + 1;
	store32(&ring->view.client->complete_head, head + 1);
	return client_ring_complete(ring, slot);
}

// Time stamp of the oldest outstanding request that the server should have answered; ~0 when there is none. A patient one
// counts as soon as there is a new record in its slot: a right one was taken, so this is wrong, or was never published.
uint64_t client_ring_oldest(const struct client_ring *ring);

// A slot, or -1 when none is free. Its `result` is the caller's to set.
static inline int client_ring_slot(struct client_ring *ring)
{
	if (ring->free_count == 0)
		return -1;
	unsigned slot = ring->free[--ring->free_count];
	ring->slots[slot].state = CLIENT_SLOT_TAKEN;
	return (int)slot;
}

// The same for a request with a small payload, or none: a small one, as long as there are any.
static inline int client_ring_slot_small(struct client_ring *ring)
{
	if (ring->small_count == 0)
		return client_ring_slot(ring);
	unsigned slot = ring->small[--ring->small_count];
	ring->slots[slot].state = CLIENT_SLOT_TAKEN;
	return (int)slot;
}

// Where to write the request (all but seq) before client_ring_submit.
static inline struct request *client_ring_request(struct client_ring *ring, unsigned slot)
{
	return &ring->view.requests[slot];
}

// The server is asked to do without a request that waits in that slot.
static inline void client_ring_cancel(struct client_ring *ring, unsigned slot)
{
	struct channel_client_page *page = ring->view.client;
	store32(&ring->view.requests[slot].cancelled, ring->slots[slot].seq);
	fence_publish(); // partner: fence_take in cancelled_tell (server.c)
	store32(&page->cancels, page->cancels + 1);
	channel_view_ring(&ring->view, &ring->view.server->want_doorbell);
}

// Puts the slot's index into the ring; `tail` only becomes visible with it.
static inline void client_ring_publish(struct client_ring *ring, unsigned slot)
{
	struct channel_client_page *page = ring->view.client;
	store16(&page->submit_ring[ring->tail % CHANNEL_SLOTS_MAX], (uint16_t)slot);
	fence_publish(); // INV-23: request, seq and index before tail; partner: fence_take in server_ring_take
	store32(&page->submit_tail, ++ring->tail);
}

static inline uint32_t client_ring_next_seq(struct client_ring *ring)
{
	uint32_t seq = ring->next_seq;
	ring->next_seq = seq + 1 ? seq + 1 : 1;
	store32(&ring->view.client->next_seq, ring->next_seq); // before seq is used: never used twice (INV-22)
	return seq;
}

// Publishes the request that was written into the slot.
static inline void client_ring_submit(struct client_ring *ring, unsigned slot, uint64_t now)
{
	struct client_slot *s = &ring->slots[slot];
	uint32_t seq = client_ring_next_seq(ring);
	s->former_seq = (uint16_t)s->seq;
	s->seq = seq;
	s->submitted = now;
	s->state = CLIENT_SLOT_OUTSTANDING;
	ring->outstanding++;
	fence_free(); // fields, and our reads of the slot's last payload, before seq; partner: fence_take in the server's scan
	store32(&ring->view.requests[slot].seq, seq);
	client_ring_publish(ring, slot);
	if (!ring->hushed)
		channel_view_ring(&ring->view, &ring->view.server->want_doorbell);
}
