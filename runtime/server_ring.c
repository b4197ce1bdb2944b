// The server's end of a channel (server_ring.h says what it is; include/abi/channel.h has the rules).
//
// Owns page 1 and the records of its channel. Never trusts tails when it adopts: only records (INV-29). Right because a slot is
// performed at most once for each seq (INV-26): `slots[].seq` holds what was taken or found performed, and an index for the same
// seq, or for a slot that is still being worked on, is dropped. If this domain dies between record and publication, the
// record stands, and client and successor both find it there; if it dies in the middle of a record, the seq in it is
// still the old one, and the request counts as never performed.
#include "runtime/server_ring.h"
#include <string.h>

#define DIGEST_PIECE (4 * DIGEST_GROUP) // bytes of a payload that is not aligned
#define NEW_SEQS 0x10000u // more than a client can use during a scan. A request that has waited for 2^31 others is not new, though it seems to lie ahead
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
	ring->cancels = load32(&view.client->cancels);
	fence_take(); // tail before the scan: whatever is published later comes by the ring; tail before next_seq: what has that number or a later one does
	ring->first_new = load32(&view.client->next_seq);
	store32(&view.server->submit_head, ring->head);
	store32(&view.server->want_doorbell, 0);
	suspect_update(ring);
	store32(&view.server->complete_tail, ring->tail);
	fence_publish(); // INV-29; partner: fence_take between tail and epoch in client_ring_take
	store32(&view.server->epoch, epoch);
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
		copy->flags &= (uint16_t)~REQUEST_REPLAYED;
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
	bool deadly = page->suspect_seq == copy->seq && page->suspect_deaths >= CHANNEL_POISON_DEATHS;
	bool once = op_is_once(protocol, copy->op);
	if (former->seq == copy->seq) {
		bool known = former->status < ERROR_COUNT; // clients take no other for an answer
		if (known && !once && former->serial == 0)
			return ADOPTED_DONE;
		if (known && former->digest == channel_record_digest(former, ring->view.secret))
			return former->serial == 0 ? ADOPTED_DONE : deadly ? ADOPTED_DEADLY : ADOPTED_RECORDED;
		if (once)
			return ADOPTED_CORRUPT;
	}
	return deadly ? ADOPTED_POISONOUS : ADOPTED_TO_DO;
}

enum adopted server_ring_adopt_slot(struct server_ring *ring, unsigned slot, const struct protocol *protocol,
				    struct request *copy, struct completion *former)
{
	struct server_slot *s = &ring->slots[slot];
	if (s->busy || !slot_copy(ring, slot, copy) || copy->seq == s->seq)
		return ADOPTED_FREE;
	enum adopted found = slot_judge(ring, slot, protocol, copy, former);
	if (found == ADOPTED_TO_DO && ring->first_new && copy->seq - ring->first_new < NEW_SEQS)
		return ADOPTED_FREE; // it comes by the ring, behind one submitted before it whose slot the scan had passed
	s->seq = copy->seq;
	s->busy = found >= ADOPTED_TO_DO;
	s->logged = false;
	return found;
}

static void slot_begin(struct server_slot *s, uint32_t seq)
{
	s->seq = seq;
	s->busy = true;
	s->logged = false;
}

static struct request *copy_of(void *copies, size_t stride, unsigned slot)
{
	return (struct request *)((uint8_t *)copies + slot * stride);
}

// Takes the slot if its request is new. Tail or scan came before: the seq is whole, or it will come by the ring.
static bool slot_take(struct server_ring *ring, unsigned slot, void *copies, size_t stride)
{
	struct server_slot *s = &ring->slots[slot];
	struct request *copy = copy_of(copies, stride, slot);
	if (s->busy || !slot_copy(ring, slot, copy) || copy->seq == s->seq)
		return false;
	slot_begin(s, copy->seq);
	return true;
}

static int rescan(struct server_ring *ring, void *copies, size_t stride)
{
	while (ring->rescan < ring->view.geometry.slots) {
		unsigned slot = ring->rescan++;
		if (slot_take(ring, slot, copies, stride))
			return (int)slot;
	}
	return -1;
}

// The ring holds less than what was put into it: all slots are looked at instead.
static int overrun(struct server_ring *ring, uint32_t tail, void *copies, size_t stride)
{
	ring->head = tail;
	store32(&ring->view.server->submit_head, tail);
	ring->rescan = 0;
	ring->ignored++;
	return rescan(ring, copies, stride);
}

int server_ring_take_slowly(struct server_ring *ring, void *copies, size_t stride)
{
	const struct channel_client_page *page = ring->view.client;
	int found = rescan(ring, copies, stride);
	if (found >= 0)
		return found;
	uint32_t tail = load32(&page->submit_tail);
	uint32_t waiting = tail - ring->head;
	fence_take(); // tail before ring and request; partner: fence_publish in client_ring_publish
	if (waiting > CHANNEL_SLOTS_MAX)
		return overrun(ring, tail, copies, stride);
	while (waiting-- > 0) {
		unsigned slot = load16(&page->submit_ring[ring->head % CHANNEL_SLOTS_MAX]);
		store32(&ring->view.server->submit_head, ++ring->head);
		if (slot < ring->view.geometry.slots && slot_take(ring, slot, copies, stride))
			return (int)slot;
		ring->ignored++;
	}
	return -1;
}

uint64_t server_ring_recorded(const struct server_ring *ring)
{
	const struct channel_server_page *page = ring->view.server;
	uint64_t committed = load64(&page->committed), recorded = load64(&page->recorded);
	return load64(&page->committed_check) == channel_committed_check(committed, recorded, ring->view.key) ? recorded : 0;
}

void server_ring_commit(struct server_ring *ring, uint64_t committed, uint64_t recorded)
{
	struct channel_server_page *page = ring->view.server;
	store64(&page->recorded, recorded);
	store64(&page->committed_check, channel_committed_check(committed, recorded, ring->view.key));
	fence_publish(); // partner: fence_take in client_ring_commit_look
	store64(&page->committed, committed);
}

// A payload that is not aligned to words is summed from a place that is: its client pays for it.
static void payload_sum_slowly(struct payload_sum *sum, const uint8_t *bytes, uint32_t length)
{
	uint8_t piece[DIGEST_PIECE] __attribute__((aligned(8)));
	for (uint32_t at = 0, n; at < length; at += n) {
		n = length - at < DIGEST_PIECE ? length - at : DIGEST_PIECE;
		memcpy(piece, bytes + at, n);
		payload_copy(sum, 0, piece, n);
	}
}

static __attribute__((noinline)) void payload_sum_all(struct payload_sum *sum, const uint8_t *bytes, uint32_t length)
{
	if ((uintptr_t)bytes % WORD_BYTES == 0)
		payload_copy(sum, 0, bytes, length);
	else
		payload_sum_slowly(sum, bytes, length);
}

// `h`: of the request, without its payload.
static __attribute__((noinline)) uint32_t request_digest_slowly(const struct server_ring *ring, const struct request *copy, uint64_t h)
{
	struct payload_sum sum;
	payload_begin(&sum, ring->view.secret);
	payload_sum_all(&sum, ring->view.out + copy->out_offset, copy->out_length);
	return channel_digest_end(payload_mix(&sum, h), ring->view.secret);
}

uint32_t server_ring_request_digest(const struct server_ring *ring, const struct request *copy, const struct payload_sum *known)
{
	uint64_t secret = ring->view.secret, h = channel_request_mix(copy, secret);
	if (known && known->bytes == copy->out_length)
		h = payload_mix(known, h);
	else if (copy->out_length < DIGEST_GROUP && copy->out_offset % WORD_BYTES == 0)
		h = payload_mix_brief(ring->view.out + copy->out_offset, copy->out_length, h);
	else
		return request_digest_slowly(ring, copy, h);
	return channel_digest_end(h, secret);
}
