// Quick calls of many fibers at a time: each waits for its own answer, and what they ask is submitted together.
//
// Owns, from its begin to its end, `window` slots of its client, used one after the other, and a run of seqs. Never lets the general
// way meet one of them: such a slot is CLIENT_SLOT_GATHERED, client_ring_take leaves it alone, and client_look comes here first.
// Answers are taken in the order of their calls, as a server gives them that answers at once; when something else comes, all that is
// open becomes outstanding like any other request (`gather_end`), and client.c ends it. Right because a fiber that awaits is known here
// alone, by the place of its request, until it is given its answer. If the server dies, its epoch ends the gathering; if this
// domain dies, the requests stand in the channel like any, also one that is half written (client_burst.c).
#include "runtime/client_gather.h"
#include "runtime/csr.h"
#include <stdlib.h>

#define WINDOW_FIRST 32u
#define WINDOW_MAX 128u
#define PUBLISH 32u    // calls until the server is told, though fibers still run,
#define PUBLISH_US 20u // or time: at the next call after that
#define SEQS 512u      // taken at a time
#define LONELY 16u     // in a row, that no other fiber asked meanwhile: then client_quick's own way is the shorter one

struct gather_place {
	struct fiber *fiber; // that awaits the answer
	struct request *request;
	const struct completion *record;
	uint32_t seq;
	uint16_t slot;
};
_Static_assert(sizeof(struct gather_place) == 32, "a place is found by a shift");

// A call whose answer comes the general way.
struct gather_late {
	struct client_request request;
	struct fiber *fiber;
};

// `sent`, `done`, `published` and `limit` count calls.
struct client_gather {
	uint64_t sent, limit; // those below the limit need no thought
	uint64_t due;         // when calls that the server has not been told of are old
	uint64_t patience;    // how old they become
	uint64_t mask;        // window - 1
	uint64_t done, published;
	uint32_t seq_base, seq_end; // call n has seq_base + n
	unsigned lonely;
	uint16_t *submit_ring;
	struct fiber *waiting_first, *waiting_last; // for a place
	struct gather_place places[WINDOW_MAX];
	unsigned late; // of them
	struct gather_late lates[WINDOW_MAX];
};

static inline uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static unsigned gathers; // that are open

static inline uint32_t seq_next(const struct client_gather *g)
{
	return g->seq_base + (uint32_t)g->sent;
}

static void limit_set(struct client_gather *g)
{
	uint64_t room = smaller(g->mask + 1 - (g->sent - g->done), PUBLISH - (g->sent - g->published));
	g->limit = g->sent + smaller(room, g->seq_end - seq_next(g));
}

static void waiters_wake(struct client_gather *g, uint64_t n)
{
	for (struct fiber *fiber; n > 0 && (fiber = g->waiting_first); n--) {
		g->waiting_first = fiber->next;
		fiber_answer(fiber, 0, 0);
	}
}

// --- begin, growth and end

static bool place_make(struct client *client, struct gather_place *place)
{
	struct client_ring *ring = &client->ring;
	int slot = client_ring_slot_small(ring);
	if (slot < 0)
		return false;
	ring->slots[slot].state = CLIENT_SLOT_GATHERED;
	*place = (struct gather_place){.request = client_ring_request(ring, (unsigned)slot),
				       .record = &ring->view.records[slot],
				       .seq = ring->slots[slot].seq,
				       .slot = (uint16_t)slot};
	client_lane_blank(place->request);
	return true;
}

static void place_return(struct client_ring *ring, const struct gather_place *place)
{
	ring->slots[place->slot].seq = place->seq; // the last one, as others want to know it
	client_ring_slot_return(ring, place->slot);
}

static bool window_drop(struct client *client, const struct client_gather *g, unsigned from, unsigned to)
{
	while (to-- > from)
		place_return(&client->ring, &g->places[to]);
	return false;
}

// Places up to a window of that size, at most half of the slots. What cannot be made is given back.
static bool window_make(struct client *client, struct client_gather *g, unsigned have, unsigned window)
{
	unsigned made = have;
	if (window > client->ring.view.geometry.slots / 2)
		return false;
	while (made < window && place_make(client, &g->places[made]))
		made++;
	if (made == window)
		return true;
	return window_drop(client, g, have, made);
}

static bool seqs_take(struct client_ring *ring, struct client_gather *g)
{
	if (~ring->next_seq < SEQS)
		return false;
	g->seq_base = ring->next_seq - (uint32_t)g->sent;
	g->seq_end = ring->next_seq += SEQS;
	store32(&ring->view.client->next_seq, ring->next_seq); // before they are used: never used twice (INV-22)
	return true;
}

bool client_gather_begin(struct client *client)
{
	struct client_gather *g = client->gather_memory;
	if (!client_lane_possible(client) || (g && g->late > 0))
		return false;
	if (!g && !(g = client->gather_memory = calloc(1, sizeof(*g))))
		return false;
	unsigned window = WINDOW_FIRST;
	g->sent = g->done = g->published = g->lonely = 0;
	while (window > 1 && !window_make(client, g, 0, window))
		window /= 2;
	if (window == 1 || !seqs_take(&client->ring, g))
		return window_drop(client, g, 0, window == 1 ? 0 : window);
	g->mask = window - 1;
	limit_set(g);
	g->patience = time_ticks_from_us(PUBLISH_US);
	g->due = 0;
	gathers++;
	g->submit_ring = client->ring.view.client->submit_ring;
	client->gather = g;
	client_watch_arm(client);
	return true;
}

static void late_answer(struct client_request *request)
{
	struct gather_late *late = (struct gather_late *)request;
	struct client_gather *g = request->context;
	g->late--;
	loop_naps_hold();
	fiber_answer(late->fiber, request->completion.status, request->completion.result[0]);
}

// From here on whoever looks at the ring knows of the request.
static void place_give_up(struct client_ring *ring, struct client_gather *g, struct gather_place *place)
{
	struct gather_late *late = &g->lates[g->late++];
	uint32_t recorded = load32(&place->record->seq);
	ring->slots[place->slot].seq = recorded == place->seq ? place->seq - 1 : recorded; // of the request before
	*late = (struct gather_late){.request = {.completed = late_answer, .context = g}, .fiber = place->fiber};
	client_lane_give_up(ring, &late->request, place->slot, place->seq);
}

static void gather_publish(struct client *client, struct client_gather *g)
{
	struct client_ring *ring = &client->ring;
	g->due = time_read() + g->patience;
	if (g->sent == g->published)
		return;
	fence_publish(); // as in client_ring_publish
	store32(&ring->view.client->submit_tail, ring->tail);
	channel_view_ring(&ring->view, &ring->view.server->want_doorbell);
	g->published = g->sent;
}

void client_gather_end(struct client *client)
{
	struct client_gather *g = client->gather;
	if (!g)
		return;
	gather_publish(client, g);
	client->gather = 0;
	gathers--;
	if (client->ring.next_seq == g->seq_end) {
		client->ring.next_seq = seq_next(g); // the rest was not used
		store32(&client->ring.view.client->next_seq, client->ring.next_seq); // and a server that adopts is to know (server_ring_adopt)
	}
	for (; g->done != g->sent; g->done++)
		place_give_up(&client->ring, g, &g->places[g->done & g->mask]);
	for (unsigned i = 0; i <= g->mask; i++)
		if (client->ring.slots[g->places[i].slot].state == CLIENT_SLOT_GATHERED)
			place_return(&client->ring, &g->places[i]);
	waiters_wake(g, ~0ull);
	loop_naps_hold();
}

// --- answers

// Up to `n` answers, the next of the ring, as far as they follow each other in memory. Returns how many there were that fit.
static unsigned answers_take(struct client_ring *ring, struct client_gather *g, unsigned n)
{
	struct fiber first, *last = &first;
	const uint64_t mask = g->mask;
	uint64_t at = g->done;
	n = (unsigned)smaller(n, CHANNEL_SLOTS_MAX - ring->head % CHANNEL_SLOTS_MAX);
	const uint16_t *from = &ring->view.server->complete_ring[ring->head % CHANNEL_SLOTS_MAX];
	const uint16_t *end = from + n;
	for (; from != end; from++, at++) {
		const struct gather_place *place = &g->places[at & mask];
		const struct completion *record = place->record;
		if (__builtin_expect(load16_wide(from) != place->slot || load32(&record->seq) != place->seq, 0))
			break;
		fence_take(); // seq before the rest of the record, as in client_ring_take
		uint64_t status = (uint64_t)load32_wide(&record->status);
		if (__builtin_expect(status >= ERROR_COUNT || load64(&record->serial) != 0, 0))
			break;
		struct fiber *fiber = place->fiber;
		fiber->word[0] = status;
		fiber->word[1] = load64(&record->result[0]);
		last = last->next = fiber;
		fence_free(); // our reads of the record before the slot is free
		store32(&place->request->seq, 0);
	}
	n -= (unsigned)(end - from);
	ring->head += n;
	g->done = at;
	if (n > 0)
		fiber_queue_all(first.next, last);
	return n;
}

// There is an answer that is not ours: another request's, or a lie.
static bool answer_is_others(const struct client_ring *ring)
{
	uint32_t slot = load16(&ring->view.server->complete_ring[ring->head % CHANNEL_SLOTS_MAX]);
	return slot < ring->view.geometry.slots && client_slot_waits(&ring->slots[slot]);
}

// So many fibers have their answers.
static void answers_taken(struct client *client, struct client_gather *g, unsigned n)
{
	store32(&client->ring.view.client->complete_head, client->ring.head);
	if (g->waiting_first && g->done == g->sent && g->mask + 1 < WINDOW_MAX &&
	    window_make(client, g, (unsigned)g->mask + 1, 2 * (unsigned)g->mask + 2)) {
		g->mask = 2 * g->mask + 1;
		g->seq_base = seq_next(g);
		g->sent = g->done = g->published = 0;
	}
	waiters_wake(g, g->mask + 1 - (g->sent - g->done));
	limit_set(g);
	loop_naps.left = loop_naps.left > n ? loop_naps.left - n : 0; // the loop is due after so many calls
	loop_naps_hold();
}

// True: the server is the same, and its tail is one. `waiting`: answers there.
static bool tail_fits(const struct client_ring *ring, uint32_t *waiting)
{
	const struct channel_server_page *page = ring->view.server;
	uint32_t tail = load32(&page->complete_tail);
	fence_take(); // tail before epoch, ring and record; partner: fence_publish in server_ring_publish
	*waiting = tail - ring->head;
	return load32(&page->epoch) == ring->epoch && ring->rescan >= ring->view.geometry.slots && *waiting <= CHANNEL_SLOTS_MAX;
}

bool client_gather_look(struct client *client)
{
	struct client_gather *g = client->gather;
	struct client_ring *ring = &client->ring;
	uint32_t waiting = 0;
	gather_publish(client, g);
	if (!tail_fits(ring, &waiting)) {
		client_gather_end(client);
		return false;
	}
	if (waiting == 0)
		return false;
	unsigned n, wanted, all = 0;
	while ((wanted = (unsigned)smaller(waiting - all, g->sent - g->done)) > 0 && (n = answers_take(ring, g, wanted)) > 0)
		all += n;
	if (all > 0)
		answers_taken(client, g, all);
	if (all < waiting && !answer_is_others(ring))
		client_gather_end(client);
	return all > 0;
}

// --- calls

// True: naps are possible, and whatever came since the last look has rung. What other clients gathered is submitted by the
// loop alone.
static bool naps_go_on(void)
{
	if (loop_naps.left == 0) {
		loop_naps.left = loop_naps.kept; // no fiber is ready any more
		loop_naps.kept = 0;
	}
	return loop_naps.left > 0 && gathers == 1;
}

static void gather_nap(struct client *client)
{
	gather_publish(client, client->gather);
	uint64_t claimed = loop_nap_claim(time_read());
	if (claimed == INTERRUPT_CLAIM((uint64_t)client->ring.view.own_identity))
		fence_claimed(); // partner: fence_doorbell in channel_view_ring
	else
		loop_nap_ended(INTERRUPT_CLAIMED(claimed));
	(void)client_look(client);
}

// Until some fiber is ready, or the gathering is over.
static void gather_wait(struct client *client)
{
	while (!fibers.first && client->gather)
		if (naps_go_on())
			gather_nap(client);
		else if (!client_look(client) && !client_spin(client)) {
			client_doze(client); // a ring that it claimed is not claimed again
			(void)client_look(client);
		}
}

static __attribute__((noinline)) quick_answer_t await_idle(struct client *client)
{
	struct client_gather *g = client->gather;
	g->lonely = g->sent - g->done == 1 ? g->lonely + 1 : 0;
	gather_wait(client);
	if (g->lonely >= LONELY && g == client->gather && g->sent == g->done)
		client_gather_end(client);
	return fiber_await_any();
}

// For a place: nobody is sure to have one afterwards.
static void place_await(struct client *client, struct client_gather *g)
{
	struct fiber *self = fibers.current;
	self->next = 0;
	if (g->waiting_first)
		g->waiting_last->next = self;
	else
		g->waiting_first = self;
	g->waiting_last = self;
	if (!fibers.first)
		gather_wait(client);
	(void)fiber_await_any();
}

static bool call_is_due(const struct client *client)
{
	const struct client_gather *g = client->gather;
	return g && (g->sent == g->limit || time_read() >= g->due);
}

// The limit was reached, or the server is to hear of the calls before: neither, or no gathering, when this is over.
static __attribute__((noinline)) quick_answer_t call_slowly(struct client *client, unsigned op, uint64_t a, uint64_t b, uint64_t c)
{
	while (call_is_due(client)) {
		struct client_gather *g = client->gather;
		gather_publish(client, g);
		if (seq_next(g) == g->seq_end && (!client_lane_possible(client) || !seqs_take(&client->ring, g)))
			client_gather_end(client);
		else if (g->sent - g->done > g->mask)
			place_await(client, g);
		else
			limit_set(g);
	}
	return client_quick(client, op, a, b, c);
}

quick_answer_t client_gather_call(struct client *client, unsigned op, uint64_t a, uint64_t b, uint64_t c)
{
	struct client_gather *g = client->gather;
	uint64_t sent = g->sent, now = time_read();
	if (__builtin_expect(sent == g->limit || now >= g->due, 0))
		return call_slowly(client, op, a, b, c);
	struct gather_place *place = &g->places[sent & g->mask];
	struct request *request = place->request;
	request->op = (uint16_t)op;
	request->time = now;
	request->arg[0] = a;
	request->arg[1] = b;
	request->arg[2] = c;
	uint32_t seq = g->seq_base + (uint32_t)sent, at = client->ring.tail;
	struct fiber *self = fibers.current;
	place->fiber = self;
	place->seq = seq;
	fence_free(); // as in client_ring_submit
	store32(&request->seq, seq);
	store16_wide(&g->submit_ring[at % CHANNEL_SLOTS_MAX], place->slot);
	g->sent = sent + 1;
	client->ring.tail = at + 1;
	if (__builtin_expect(!fibers.first, 0))
		return await_idle(client);
	return fiber_await(self);
}
