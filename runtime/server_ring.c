// The server's end of a channel (server_ring.h says what it is; include/abi/channel.h has the rules).
//
// Owns page 1 and the records of its channel. Never trusts tails when it adopts: only records. Right because a slot is
// performed at most once for each seq: `slots[].seq` holds what was taken or found performed, and an index for the same
// seq, or for a slot that is still being worked on, is dropped. If this domain dies between record and publication, the
// record stands, and client and successor both find it there; if it dies in the middle of a record, the seq in it is
// still the old one, and the request counts as never performed.
#include "runtime/server_ring.h"

#define TORN_TRIES 4u // a seq that changes while its slot is copied: the client submits anew, and it comes by the ring

// Counts incarnations that died in the same request. Page 1 is ours, but a former incarnation wrote it: any value may
// be there, so `working` is range-checked.
static void suspect_update(struct server_ring *ring)
{
	struct channel_server_page *page = ring->view.server;
	uint32_t working = load32(&page->working);
	store32(&page->working, 0);
	if (working == 0 || working > ring->view.geometry.slots) {
		store32(&page->suspect_seq, 0);
		return;
	}
	uint32_t seq = load32(&ring->view.requests[working - 1].seq);
	uint32_t deaths = seq == page->suspect_seq ? page->suspect_deaths + 1 : 1;
	store32(&page->suspect_deaths, deaths);
	store32(&page->suspect_seq, seq);
}

void server_ring_adopt(struct server_ring *ring, uint32_t epoch)
{
	struct channel_view view = ring->view;
	*ring = (struct server_ring){.view = view, .rescan = view.geometry.slots};
	ring->head = load32(&view.client->submit_tail);
	ring->tail = load32(&view.client->complete_head);
	ring->want_commit = load32(&view.client->want_commit);
	fence_take(); // tail before the scan: whatever is published later comes by the ring
	store32(&view.server->submit_head, ring->head);
	store32(&view.server->want_doorbell, 0);
	suspect_update(ring);
	store32(&view.server->complete_tail, ring->tail);
	fence_publish(); // partner: fence_take between tail and epoch in client_ring_take
	store32(&view.server->epoch, epoch);
}

static void request_copy(struct request *to, const struct request *from)
{
	const volatile uint64_t *f = (const volatile uint64_t *)from;
	uint64_t *t = (uint64_t *)to;
	for (unsigned i = 0; i < sizeof(*to) / 8; i++)
		t[i] = f[i];
	to->flags &= (uint16_t)~REQUEST_REPLAYED;
}

// A consistent copy; false when the slot is free or being filled.
static bool slot_copy(const struct server_ring *ring, unsigned slot, struct request *copy)
{
	const struct request *request = &ring->view.requests[slot];
	for (unsigned i = 0; i < TORN_TRIES; i++) {
		uint32_t seq = load32(&request->seq);
		if (seq == 0)
			return false;
		fence_take(); // seq before fields; partner: fence_publish in client_ring_submit
		request_copy(copy, request);
		fence_take();
		if (load32(&request->seq) == seq) {
			copy->seq = seq;
			return true;
		}
	}
	return false;
}

static enum adopted slot_judge(const struct server_ring *ring, unsigned slot, const struct protocol *protocol,
			       const struct request *copy, struct completion *former)
{
	const struct channel_server_page *page = ring->view.server;
	*former = ring->view.records[slot];
	bool once = op_is_once(protocol, copy->op);
	if (former->seq == copy->seq) {
		if (!once && former->serial == 0)
			return ADOPTED_DONE;
		if (former->digest == channel_record_digest(former, ring->view.key))
			return former->serial ? ADOPTED_RECORDED : ADOPTED_DONE;
		if (once)
			return ADOPTED_CORRUPT;
	}
	if (page->suspect_seq == copy->seq && page->suspect_deaths >= CHANNEL_POISON_DEATHS)
		return ADOPTED_POISONOUS;
	return ADOPTED_TO_DO;
}

enum adopted server_ring_adopt_slot(struct server_ring *ring, unsigned slot, const struct protocol *protocol,
				    struct request *copy, struct completion *former)
{
	struct server_slot *s = &ring->slots[slot];
	if (s->busy || !slot_copy(ring, slot, copy) || copy->seq == s->seq)
		return ADOPTED_FREE;
	enum adopted found = slot_judge(ring, slot, protocol, copy, former);
	s->seq = copy->seq;
	s->busy = found >= ADOPTED_TO_DO;
	s->logged = false;
	return found;
}

// Takes the slot if its request is new.
static bool slot_take(struct server_ring *ring, unsigned slot, struct request *copy)
{
	struct server_slot *s = &ring->slots[slot];
	if (s->busy)
		return false;
	request_copy(copy, &ring->view.requests[slot]);
	if (copy->seq == 0 || copy->seq == s->seq)
		return false;
	s->seq = copy->seq;
	s->busy = true;
	s->logged = false;
	return true;
}

static int rescan(struct server_ring *ring, struct request *copy)
{
	while (ring->rescan < ring->view.geometry.slots) {
		unsigned slot = ring->rescan++;
		struct server_slot *s = &ring->slots[slot];
		if (s->busy || !slot_copy(ring, slot, copy) || copy->seq == s->seq)
			continue;
		s->seq = copy->seq;
		s->busy = true;
		s->logged = false;
		return (int)slot;
	}
	return -1;
}

// The ring holds less than what was put into it: all slots are looked at instead.
static int overrun(struct server_ring *ring, uint32_t tail, struct request *copy)
{
	ring->head = tail;
	store32(&ring->view.server->submit_head, tail);
	ring->rescan = 0;
	ring->ignored++;
	return rescan(ring, copy);
}

int server_ring_take(struct server_ring *ring, struct request *copy)
{
	const struct channel_client_page *page = ring->view.client;
	if (__builtin_expect(ring->rescan < ring->view.geometry.slots, 0)) {
		int slot = rescan(ring, copy);
		if (slot >= 0)
			return slot;
	}
	uint32_t tail = load32(&page->submit_tail);
	uint32_t waiting = tail - ring->head;
	if (waiting == 0)
		return -1;
	fence_take(); // tail before ring and request; partner: fence_publish in client_ring_publish
	if (__builtin_expect(waiting > CHANNEL_SLOTS_MAX, 0))
		return overrun(ring, tail, copy);
	while (waiting-- > 0) {
		unsigned slot = load16(&page->submit_ring[ring->head % CHANNEL_SLOTS_MAX]);
		store32(&ring->view.server->submit_head, ++ring->head);
		if (slot < ring->view.geometry.slots && slot_take(ring, slot, copy))
			return (int)slot;
		ring->ignored++;
	}
	return -1;
}

static inline bool range_inside(uint64_t offset, uint64_t length, uint64_t size)
{
	return offset + length <= size; // 32-bit values in 64 bits: no overflow
}

enum error server_ring_validate(const struct server_ring *ring, const struct protocol *protocol,
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

void server_ring_record(struct server_ring *ring, unsigned slot, const struct completion *record, bool digest)
{
	struct completion *to = &ring->view.records[slot];
	for (unsigned i = 0; i < 5; i++)
		store64(&to->result[i], record->result[i]);
	store64(&to->serial, record->serial);
	store32(&to->status, record->status);
	store64(&to->digest, digest ? channel_record_digest(record, ring->view.key) : 0);
	fence_publish(); // all before seq; partner: fence_take after record_ready, and the successor's scan
	store32(&to->seq, record->seq);
}

void server_ring_publish(struct server_ring *ring, unsigned slot)
{
	struct channel_server_page *page = ring->view.server;
	ring->slots[slot].busy = false;
	store16(&page->complete_ring[ring->tail % CHANNEL_SLOTS_MAX], (uint16_t)slot);
	fence_publish(); // record and index before tail; partner: fence_take in client_ring_take
	store32(&page->complete_tail, ++ring->tail);
	channel_view_ring(&ring->view, &ring->view.client->want_doorbell);
}

void server_ring_commit(struct server_ring *ring, uint64_t committed)
{
	struct channel_server_page *page = ring->view.server;
	store64(&page->committed_check, channel_committed_check(committed));
	fence_publish(); // partner: fence_take in client_ring_commit_look
	store64(&page->committed, committed);
}
