// Quick operations: answered at once from three words, in one step with taking them, a ring's worth in one go, and the sleep
// between two of them.
//
// Owns nothing: works on the server's end of one channel (server_ring.h), the only one. Never takes an entry that is not the
// plain next one: it stops there, and server_ring_take goes on. Right because an operation is quick only if it may be
// performed again (OP_IDEMPOTENT) and waits for nothing: between taking and recording nobody else runs, so the slot need not
// be marked busy, its request not be copied as a whole, and its record has neither serial nor digest. What is used of a
// request is read once; offsets and lengths of payload are not used. If this domain dies here, the successor finds records, or
// requests without one, as after any other death.
#include "runtime/server_quick.h"
#include "runtime/loop.h"

#define QUICK_BATCH 32u  // performed before their answers are published
#define QUICK_TURN 512  // performed before the loop has a turn: pings and timers wait that long

// What does not change while we serve, where the compiler can keep it in registers across fences.
struct quick_view {
	const struct channel_client_page *client;
	struct channel_server_page *page;
	const struct request *requests;
	struct completion *records;
	uint64_t slot_count;
	quick_answer_t (*perform)(uint64_t op, uint64_t a, uint64_t b, uint64_t c);
	uint64_t first; // of the quick operations
	uint64_t ops;   // how many there are
	uint64_t claim; // what a claim gives when the client has rung
};

// The request whose index is there in its ring, its answer's index to the other: taken, performed and recorded, not published. False:
// it is not plain, or not quick; nothing was done.
static inline __attribute__((always_inline)) bool quick_one(struct server_ring *ring, const struct quick_view *v, const uint16_t *from,
							    uint16_t *to)
{
	uint64_t slot = load16_wide(from);
	if (__builtin_expect(slot >= v->slot_count, 0))
		return false;
	struct server_slot *s = &ring->slots[slot];
	const struct request *request = &v->requests[slot];
	int64_t seq = load32_wide(&request->seq);
	if (__builtin_expect(s->busy || seq == 0 || seq == (int32_t)s->seq, 0))
		return false;
	fence_take(); // seq before fields, as in server_ring_take
	uint64_t op = load16_wide(&request->op);
	if (__builtin_expect(op - v->first >= v->ops, 0))
		return false;
	s->seq = (uint32_t)seq;
	if (RECOVERABLE)
		store32(&v->page->working, (uint32_t)slot + 1);
	quick_answer_t answer =
		v->perform(op, load64(&request->arg[0]), load64(&request->arg[1]), load64(&request->arg[2]));
	if (RECOVERABLE)
		store32(&v->page->working, 0);
	server_ring_record_word(&v->records[slot], (uint32_t)seq, (uint32_t)answer, quick_result(answer));
	store16_wide(to, slot);
	return true;
}

// How many of `wanted` places follow each other in memory from there on.
static inline unsigned ring_run(uint32_t at, unsigned wanted)
{
	unsigned left = CHANNEL_SLOTS_MAX - at % CHANNEL_SLOTS_MAX;
	return wanted < left ? wanted : left;
}

static inline __attribute__((always_inline)) struct quick_view quick_view_of(struct server_ring *ring, const struct server *server)
{
	return (struct quick_view){.client = ring->view.client,
				   .page = ring->view.server,
				   .requests = ring->view.requests,
				   .records = ring->view.records,
				   .slot_count = ring->view.geometry.slots,
				   .perform = server->quick,
				   .first = server->quick_from,
				   .ops = server->protocol->op_count - server->quick_from,
				   .claim = INTERRUPT_CLAIM((uint64_t)ring->view.own_identity)};
}

// Several at once: `waiting` were submitted. Returns how many were taken.
static __attribute__((noinline)) unsigned quick_burst(struct server_ring *ring, const struct server *server, uint32_t head, uint32_t tail,
						      unsigned waiting)
{
	const struct quick_view v = quick_view_of(ring, server);
	unsigned count = ring_run(tail, ring_run(head, waiting < QUICK_BATCH ? waiting : QUICK_BATCH));
	const uint16_t *from = &v.client->submit_ring[head % CHANNEL_SLOTS_MAX];
	const uint16_t *end = from + count;
	uint16_t *to = &v.page->complete_ring[tail % CHANNEL_SLOTS_MAX];
	for (; from != end; from++, to++)
		if (__builtin_expect(!quick_one(ring, &v, from, to), 0))
			break;
	return count - (unsigned)(end - from);
}

// All that was recorded.
static inline __attribute__((always_inline)) void quick_publish(const struct quick_view *v, struct server_ring *ring, uint32_t head,
								uint32_t tail)
{
	ring->head = head;
	store32(&v->page->submit_head, head);
	fence_publish(); // records and indices before tail; partner: fence_take in client_ring_take
	ring->tail = tail;
	store32(&v->page->complete_tail, tail);
	channel_view_ring(&ring->view, &v->client->want_doorbell);
}

// Nothing is waiting. True: the client has rung.
static inline __attribute__((always_inline)) bool quick_nap(const struct quick_view *v)
{
	if (loop_naps.left == 0)
		return false;
	uint64_t claimed = loop_nap_claim(time_read());
	if (__builtin_expect(claimed != v->claim, 0)) {
		loop_nap_ended(INTERRUPT_CLAIMED(claimed));
		return false;
	}
	fence_claimed(); // partner: fence_doorbell in channel_view_ring
	return true;
}

// What is at the head of the ring, `waiting` at least one: how many were taken.
static inline __attribute__((always_inline)) unsigned quick_take(struct server_ring *ring, const struct server *server,
								 struct quick_view *v, uint32_t head, uint32_t waiting)
{
	uint32_t tail = ring->tail;
	if (__builtin_expect(waiting > 1, 0))
		return waiting > CHANNEL_SLOTS_MAX ? 0 : quick_burst(ring, server, head, tail, waiting);
	v->slot_count = ring->view.geometry.slots; // in a register for this one: there are not enough for all that does not change
	v->requests = ring->view.requests;
	return quick_one(ring, v, &v->client->submit_ring[head % CHANNEL_SLOTS_MAX], &v->page->complete_ring[tail % CHANNEL_SLOTS_MAX]);
}

unsigned server_quick_serve(struct server_ring *ring, const struct server *server)
{
	struct quick_view v = quick_view_of(ring, server);
	uint32_t head = ring->head;
	int left = QUICK_TURN;
	while (left > 0) {
		uint32_t waiting = load32(&v.client->submit_tail) - head;
		if (waiting == 0) {
			if (!quick_nap(&v))
				break;
			continue;
		}
		fence_take(); // tail before ring and request; partner: fence_publish in client_ring_publish
		unsigned n = quick_take(ring, server, &v, head, waiting);
		if (__builtin_expect(n == 0, 0))
			break;
		head += n;
		left -= (int)n;
		quick_publish(&v, ring, head, ring->tail + n);
	}
	return (unsigned)(QUICK_TURN - left);
}
