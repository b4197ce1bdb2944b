// The client's end of a channel (client_ring.h says what it is; include/abi/channel.h has the rules).
//
// Owns page 0 and the requests of its channel. Never believes an index or a record that does not fit what it submitted:
// it notes the offence and goes on waiting, since the supervisor restarts a server that lies. Right because the state of
// every slot is kept here, privately, and the pages only confirm it. If this domain dies, next_seq and the requests stand
// in the channel, and client_ring_start of the next incarnation drains them. If the server dies, the epoch changes, and
// each outstanding record is looked at once.
#include "runtime/client_ring.h"

static bool record_ready(const struct client_ring *ring, unsigned slot)
{
	const struct completion *record = &ring->view.records[slot];
	if (load32(&record->seq) != ring->slots[slot].seq)
		return false;
	fence_take(); // seq before status; partner: fence_publish in server_ring_record
	return load32(&record->status) < ERROR_COUNT;
}

// Nothing was written into the record since the request was submitted.
static bool record_untouched(const struct client_ring *ring, unsigned slot)
{
	return (uint16_t)load32(&ring->view.records[slot].seq) == ring->slots[slot].former_seq;
}

// A request of a former incarnation: perhaps never published, so it is published once more.
static void former_take_over(struct client_ring *ring, unsigned slot, uint32_t seq)
{
	struct client_slot *s = &ring->slots[slot];
	s->former_seq = (uint16_t)s->seq;
	s->seq = seq;
	s->state = CLIENT_SLOT_FORMER;
	s->submitted = load64(&ring->view.requests[slot].time);
	ring->outstanding++;
	ring->former++;
	if (!record_ready(ring, slot))
		client_ring_publish(ring, slot);
}

void client_ring_start(struct client_ring *ring)
{
	struct channel_view view = ring->view;
	*ring = (struct client_ring){.view = view, .large = view.geometry.slots};
	ring->tail = load32(&view.client->submit_tail);
	ring->next_seq = load32(&view.client->next_seq);
	if (ring->next_seq == 0)
		ring->next_seq = 1;
	store32(&view.client->next_seq, ring->next_seq);
	store32(&view.client->want_doorbell, 0);
	ring->epoch = load32(&view.server->epoch);
	fence_take(); // epoch before tail; partner: fence_publish before the epoch in server_ring_adopt
	ring->head = load32(&view.server->complete_tail);
	fence_take(); // tail before records: what was completed earlier is found by its record
	store32(&view.client->complete_head, ring->head);
	for (unsigned slot = view.geometry.slots; slot-- > 0;) {
		uint32_t seq = load32(&view.requests[slot].seq);
		ring->slots[slot].found_by_record = true; // perhaps by our former incarnation
		ring->slots[slot].seq = load32(&view.records[slot].seq);
		if (seq)
			former_take_over(ring, slot, seq);
		else
			client_ring_slot_return(ring, slot);
	}
	ring->rescan = 0;
	if (ring->former)
		channel_view_ring(&ring->view, &view.server->want_doorbell);
}

void client_ring_divide(struct client_ring *ring, unsigned large)
{
	unsigned count = ring->free_count;
	ring->large = large;
	ring->free_count = 0;
	for (unsigned i = 0; i < count; i++)
		client_ring_slot_return(ring, ring->free[i]);
}

// Slots [from, to) of what is committed, into the list of those that are free.
static void held_free(struct client_ring *ring, unsigned from, unsigned to, uint16_t *list, uint32_t *count)
{
	uint64_t committed = ring->committed;
	uint32_t n = *count, held = ring->held;
	for (unsigned slot = from; slot < to && held > 0; slot++) {
		struct client_slot *s = &ring->slots[slot];
		if (s->state != CLIENT_SLOT_HELD || s->serial > committed)
			continue;
		s->state = CLIENT_SLOT_FREE;
		store32(&ring->view.requests[slot].seq, 0);
		list[n++] = (uint16_t)slot;
		held--;
	}
	*count = n;
	ring->held = held;
}

unsigned client_ring_commit_look(struct client_ring *ring)
{
	const struct channel_server_page *page = ring->view.server;
	uint64_t committed = load64(&page->committed);
	if (committed == ring->committed_seen)
		return 0;
	fence_take(); // partner: fence_publish before committed in server_ring_commit
	uint64_t recorded = load64(&page->recorded);
	if (load64(&page->committed_check) != channel_committed_check(committed, recorded, ring->view.key))
		return 0; // torn, or nonsense: looked at again
	ring->committed_seen = committed;
	if (committed > recorded) {
		ring->offence = OFFENCE_INDEX; // nobody can have committed that: nothing is freed
		return 0;
	}
	if (committed <= ring->committed)
		return 0;
	ring->committed = committed;
	ring->want_commit = false;
	uint32_t held = ring->held;
	fence_free(); // as in client_ring_slot_free
	held_free(ring, 0, ring->large, ring->free, &ring->free_count);
	held_free(ring, ring->large, ring->view.geometry.slots, ring->small, &ring->small_count);
	return held - ring->held;
}

void client_ring_want_commit(struct client_ring *ring)
{
	if (ring->want_commit)
		return;
	ring->want_commit = true;
	struct channel_client_page *page = ring->view.client;
	store32(&page->want_commit, page->want_commit + 1);
	channel_view_ring(&ring->view, &ring->view.server->want_doorbell);
}

static void epoch_changed(struct client_ring *ring, uint32_t epoch)
{
	fence_take(); // epoch before tail; partner: fence_publish before the epoch in server_ring_adopt
	uint32_t tail = load32(&ring->view.server->complete_tail);
	fence_take(); // tail before records: what came before `tail` is found by its record
	ring->head = tail;
	store32(&ring->view.client->complete_head, tail);
	ring->epoch = epoch;
	ring->rescan = 0;
}

static int rescan(struct client_ring *ring)
{
	while (ring->rescan < ring->view.geometry.slots) {
		unsigned slot = ring->rescan++;
		if (!client_slot_waits(&ring->slots[slot]) || !record_ready(ring, slot))
			continue;
		fence_take(); // seq before the rest of the record; partner: fence_publish in server_ring_record
		ring->slots[slot].found_by_record = true;
		return client_ring_complete(ring, slot);
	}
	return -1;
}

// An entry of the ring for a slot that does not wait for it. It may be the late index of what the scan had found, but then
// the record is still that one, or that of a later request which came by this index's elder.
static void entry_unexpected(struct client_ring *ring, unsigned slot)
{
	struct client_slot *s = &ring->slots[slot];
	bool known = client_slot_waits(s) ? record_untouched(ring, slot) : load32(&ring->view.records[slot].seq) == s->seq;
	if (s->found_by_record && known)
		s->found_by_record = false;
	else
		ring->offence = OFFENCE_COMPLETION;
}

static int entry_take(struct client_ring *ring)
{
	struct channel_view *view = &ring->view;
	unsigned slot = load16(&view->server->complete_ring[ring->head % CHANNEL_SLOTS_MAX]);
	store32(&view->client->complete_head, ++ring->head);
	if (slot >= view->geometry.slots) {
		ring->offence = OFFENCE_INDEX;
		return -1;
	}
	if (client_slot_waits(&ring->slots[slot]) && record_ready(ring, slot)) {
		fence_take();
		return client_ring_complete(ring, slot);
	}
	entry_unexpected(ring, slot);
	return -1;
}

// The next entry is for client_gather.c.
static bool entry_is_gathered(const struct client_ring *ring)
{
	unsigned slot = load16(&ring->view.server->complete_ring[ring->head % CHANNEL_SLOTS_MAX]);
	return slot < ring->view.geometry.slots && ring->slots[slot].state == CLIENT_SLOT_GATHERED;
}

int client_ring_take_slowly(struct client_ring *ring)
{
	const struct channel_server_page *page = ring->view.server;
	int slot = rescan(ring);
	for (unsigned i = 0; slot < 0 && i < CHANNEL_SLOTS_MAX; i++) {
		uint32_t tail = load32(&page->complete_tail);
		fence_take(); // tail before epoch and ring; partner: fence_publish in server_ring_publish
		uint32_t epoch = load32(&page->epoch);
		if (epoch != ring->epoch) {
			epoch_changed(ring, epoch);
			return rescan(ring);
		}
		if (tail == ring->head)
			break;
		if (tail - ring->head > CHANNEL_SLOTS_MAX) {
			ring->offence = OFFENCE_TAIL; // or an adoption under way: client.c waits before it complains
			break;
		}
		if (entry_is_gathered(ring))
			break;
		slot = entry_take(ring);
	}
	return slot;
}

uint64_t client_ring_oldest(const struct client_ring *ring)
{
	uint64_t oldest = ~0ull;
	for (unsigned slot = 0; slot < ring->view.geometry.slots; slot++) {
		const struct client_slot *s = &ring->slots[slot];
		if (!client_slot_waits(s) || s->submitted >= oldest)
			continue;
		if (!(ring->view.requests[slot].flags & REQUEST_PATIENT) || !record_untouched(ring, slot))
			oldest = s->submitted;
	}
	return oldest;
}
