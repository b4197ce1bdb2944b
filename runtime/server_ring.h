// The server's end of a channel's shared memory: taking submissions, writing records, publishing, adopting.
//
// Pure: touches the channel's pages and this struct, makes no kernel call but a doorbell, never waits. server.c
// dispatches; unit tests and fuzzers drive it on the host. All that the client wrote is hostile (INV-21): a request is copied once
// and the copy is validated; indices are range-checked.
#pragma once
#include "proto/protocol.h"
#include "runtime/channel_view.h"
#include "runtime/payload.h"
#include <stddef.h>

struct server_slot {
	uint32_t seq; // last one that was taken or found performed
	bool busy;    // taken, not published
	bool logged;  // busy, and its record is written
};

struct server_ring {
	struct channel_view view;
	uint32_t head; // submit_head
	uint32_t tail; // complete_tail
	uint32_t want_commit; // last seen
	uint32_t cancels;     // last seen
	uint32_t first_new;   // seqs from here on were not submitted when the ring was adopted; 0: nobody knows
	uint32_t rescan;      // next slot to scan after an overrun of the ring; geometry.slots: none
	uint64_t ignored;     // entries that were duplicates or nonsense
	struct server_slot slots[CHANNEL_SLOTS_MAX];
};

enum adopted {
	ADOPTED_FREE,      // no request, or one that will come by the ring
	ADOPTED_DONE,      // performed, recorded, not logged or below the mark
	ADOPTED_RECORDED,  // performed and logged: `former` has serial and results
	ADOPTED_DEADLY,    // the same, but too many incarnations died in its replay
	ADOPTED_TO_DO,     // never performed, or idempotent and not recorded
	ADOPTED_CORRUPT,   // recorded once, but the record is spoilt
	ADOPTED_POISONOUS, // too many incarnations died in it
};

// Step 1 of adoption (include/abi/channel.h); a new channel is adopted like any other.
void server_ring_adopt(struct server_ring *ring, uint32_t epoch);
// Step 2 for one slot. `copy` is filled for all but ADOPTED_FREE; the slot is busy after TO_DO, CORRUPT, POISONOUS.
enum adopted server_ring_adopt_slot(struct server_ring *ring, unsigned slot, const struct protocol *protocol,
				    struct request *copy, struct completion *former);
// The slot of the next request, or -1. It was copied to `copies` + slot * stride; its fields are not yet validated.
static inline int server_ring_take(struct server_ring *ring, void *copies, size_t stride);
// As above, for all that is not the plain next entry of the ring.
int server_ring_take_slowly(struct server_ring *ring, void *copies, size_t stride);
void server_ring_commit(struct server_ring *ring, uint64_t committed, uint64_t recorded);
// Of a validated request and its payload, for the record of an operation that is logged. The payload counts as it was `known`,
// with the ring's secret for a seed, if that is the sum of all of it; else as it is now.
uint32_t server_ring_request_digest(const struct server_ring *ring, const struct request *copy, const struct payload_sum *known);
// The highest serial that a former incarnation had given when it last called server_ring_commit; 0: none, or nonsense.
uint64_t server_ring_recorded(const struct server_ring *ring);

// Writes the record of a busy slot, with a digest if it must be provable (OP_ONCE). Its request_digest is the caller's.
static inline void server_ring_record(const struct server_ring *ring, unsigned slot, const struct completion *record, bool digest)
{
	struct completion *to = &ring->view.records[slot];
#pragma GCC unroll 5
	for (unsigned i = 0; i < 5; i++)
		store64(&to->result[i], record->result[i]);
	store64(&to->serial, record->serial);
	store32(&to->status, record->status);
	store32(&to->request_digest, record->request_digest);
	store32(&to->digest, digest ? channel_record_digest(record, ring->view.secret) : 0);
	fence_publish(); // INV-23: all before seq; partner: fence_take in client_ring_take, and the successor's scan
	store32(&to->seq, record->seq);
}

// As above for an idempotent operation: no serial, no digest.
static inline void server_ring_record_plain(struct server_ring *ring, unsigned slot, uint32_t seq, uint32_t status,
					    const uint64_t result[5])
{
	struct completion *to = &ring->view.records[slot];
#pragma GCC unroll 5
	for (unsigned i = 0; i < 5; i++)
		store64(&to->result[i], result[i]);
	store64(&to->serial, 0);
	store32(&to->status, status);
	store32(&to->digest, 0);
	store32(&to->request_digest, 0);
	fence_publish(); // as in server_ring_record
	store32(&to->seq, seq);
}

// The same of a quick operation: one word of results, and nothing else that somebody looks at. `to` is the record of the slot.
static inline void server_ring_record_word(struct completion *to, uint32_t seq, uint32_t status, uint64_t result)
{
	store64(&to->result[0], result);
	store64(&to->serial, 0);
	store32(&to->status, status);
	fence_publish(); // as in server_ring_record
	store32(&to->seq, seq);
}

// Tells the client about the record; the slot is no longer busy.
static inline void server_ring_publish(struct server_ring *ring, unsigned slot)
{
	struct channel_server_page *page = ring->view.server;
	ring->slots[slot].busy = false;
	store16(&page->complete_ring[ring->tail % CHANNEL_SLOTS_MAX], (uint16_t)slot);
	fence_publish(); // record and index before tail; partner: fence_take in client_ring_take
	store32(&page->complete_tail, ++ring->tail);
	channel_view_ring(&ring->view, &ring->view.client->want_doorbell);
}

static inline void request_copy(struct request *to, const struct request *from)
{
	const volatile uint64_t *f = (const volatile uint64_t *)from;
	__asm__("" : "+r"(f)); // one base for all, not eight sums
	uint64_t *t = (uint64_t *)to;
#pragma GCC unroll 8
	for (unsigned i = 0; i < sizeof(*to) / 8; i++)
		t[i] = f[i];
}

#define SERVER_RING_EMPTY (-1)
#define SERVER_RING_ODD (-2)

// The plain next entry: its slot, as server_ring_take; EMPTY; or ODD: nothing was done, server_ring_take_slowly is to look.
static inline int server_ring_take_next(struct server_ring *ring, void *copies, size_t stride)
{
	const struct channel_client_page *page = ring->view.client;
	uint32_t head = ring->head, waiting = load32(&page->submit_tail) - head;
	uint64_t slots = ring->view.geometry.slots;
	if (waiting == 0 && ring->rescan >= slots)
		return SERVER_RING_EMPTY;
	fence_take(); // tail before ring and request; partner: fence_publish in client_ring_publish
	uint64_t slot = load16_wide(&page->submit_ring[head % CHANNEL_SLOTS_MAX]);
	if (__builtin_expect(waiting > CHANNEL_SLOTS_MAX || ring->rescan < slots || slot >= slots, 0))
		return SERVER_RING_ODD;
	struct server_slot *s = &ring->slots[slot];
	struct request *copy = (struct request *)((uint8_t *)copies + slot * stride);
	const struct request *from = &ring->view.requests[slot];
	uint32_t seq = load32(&from->seq);
	if (__builtin_expect(s->busy || seq == 0 || seq == s->seq, 0))
		return SERVER_RING_ODD;
	fence_take(); // seq before fields: an index of an earlier use may meet a slot that is just being filled
	request_copy(copy, from);
	copy->seq = seq;
	ring->head = head + 1;
	store32(&ring->view.server->submit_head, head + 1);
	copy->flags &= (uint16_t)~REQUEST_REPLAYED;
	s->seq = seq;
	s->busy = true;
	s->logged = false;
	return (int)slot;
}

static inline int server_ring_take(struct server_ring *ring, void *copies, size_t stride)
{
	int slot = server_ring_take_next(ring, copies, stride);
	return __builtin_expect(slot == SERVER_RING_ODD, 0) ? server_ring_take_slowly(ring, copies, stride) : slot;
}

static inline bool range_inside(uint64_t offset, uint64_t length, uint64_t size)
{
	return offset + length <= size; // 32-bit values in 64 bits: no overflow
}

// ERR_UNKNOWN_CALL, ERR_INVALID (payload outside the channel), or ERR_OK.
static inline enum error server_ring_validate(const struct server_ring *ring, const struct protocol *protocol,
					      const struct request *copy)
{
	const struct channel_geometry *g = &ring->view.geometry;
	if (!range_inside(copy->out_offset, copy->out_length, g->out_bytes) ||
	    !range_inside(copy->in_offset, copy->in_length, g->in_bytes))
		return ERR_INVALID;
	if (copy->op == 0 || (copy->op >= protocol->op_count && copy->op < OP_RUNTIME))
		return ERR_UNKNOWN_CALL;
	return ERR_OK;
}

// There may be something to take.
static inline bool server_ring_pending(const struct server_ring *ring)
{
	return load32(&ring->view.client->submit_tail) != ring->head || ring->rescan < ring->view.geometry.slots;
}

// The client asked for a commit since the last look.
static inline bool server_ring_commit_wanted(struct server_ring *ring)
{
	uint32_t want = load32(&ring->view.client->want_commit);
	bool changed = want != ring->want_commit;
	ring->want_commit = want;
	return changed;
}

// The client has cancelled something since the last look.
static inline bool server_ring_cancels(struct server_ring *ring)
{
	uint32_t cancels = load32(&ring->view.client->cancels);
	bool changed = cancels != ring->cancels;
	ring->cancels = cancels;
	return changed;
}

// The request that has that seq is one.
static inline bool server_ring_cancelled(const struct server_ring *ring, unsigned slot, uint32_t seq)
{
	return load32(&ring->view.requests[slot].cancelled) == seq;
}

// Its server has a log then.
static inline bool protocol_is_logged(const struct protocol *protocol)
{
	for (unsigned op = 0; op < protocol->op_count; op++)
		if (protocol->ops[op].attribute == OP_ONCE)
			return true;
	return false;
}

static inline bool op_is_once(const struct protocol *protocol, unsigned op)
{
	return RECOVERABLE && op < protocol->op_count && protocol->ops[op].attribute == OP_ONCE;
}
