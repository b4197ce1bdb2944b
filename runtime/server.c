// Server side of channels: accepting, adopting, choosing the next request, completing (server.h says what it gives).
//
// Owns the list of channels that this domain serves, in the order of their priority, and the one counter of serials.
// Never performs a request twice within one incarnation and never believes a client's page but for what server_ring.c
// copied and checked. Right because of the order at the start: every channel is adopted and every slot judged before
// `start` runs; recorded requests are performed again in the order of their serials; only then those that nobody
// performed, then new ones. If this domain dies here, the next incarnation finds the same slots; the supervisor notices.
#include "runtime/endpoint.h"
#include "runtime/server.h"
#include "abi/event.h"
#include "runtime/fiber.h"
#include "runtime/inject.h"
#include "runtime/inject_list.h"
#include "runtime/local.h"
#include "runtime/loop.h"
#include "runtime/notification.h"
#include "runtime/server_channel.h"
#include "runtime/server_quick.h"
#include "runtime/server_ring.h"
#include "runtime/spin.h"
#include "runtime/trace.h"
#include <stdlib.h>
#include <string.h>

_Static_assert(CHANNEL_MAX <= 64, "a word has a bit for each channel");
#define SERVER_BATCH 32u       // requests started between two turns of the loop: pings and timers wait that long

static struct {
	const struct server *server;
	struct server_channel *channels; // by priority, then identity
	struct server_channel *by_slot[CHANNEL_MAX];
	uint32_t special; // operations from this one on are not the program's `request`
	uint64_t once;    // a bit for each operation that is logged
	bool quick_came;  // what came last was a quick operation: more of them are expected
	struct server_order order;
	uint64_t clock;   // time stamp of the request that was started last
	uint64_t now_seen;
	bool serving;
	uint64_t asked;   // slots of clients that asked to be accepted before that; a bit for each
	bool reap_due;    // a channel waits to be released or closed
	struct server_statistics statistics;
	unsigned owned; // requests that the program has, over all channels
	struct spin spin;
	struct server_worker *idle;
	unsigned workers; // that there are: the first at once, the others while those who have waited are served
} this;

struct server_worker {
	struct fiber *fiber;
	struct server_request *request; // to perform, 0: idle
	unsigned performed;
	struct server_worker *next;
};

// --- completing

static __attribute__((noinline, cold)) void reap_soon(void)
{
	this.reap_due = true;
}

static inline void channel_settle(struct server_channel *channel)
{
	if (__builtin_expect(channel->closing, 0))
		reap_soon();
}

static void replay_compare(const struct server_request *request, const struct completion *now)
{
	const struct completion *former = &request->former;
	uint64_t differs = now->status ^ former->status;
	for (unsigned i = 0; i < 5; i++)
		differs |= now->result[i] ^ former->result[i];
	if (!differs)
		return;
	this.statistics.replay_different++;
	log_line("replay of serial %lu (op %u): status %u, was %u", (unsigned long)former->serial,
		 (unsigned)request->copy.op, (unsigned)now->status, (unsigned)former->status);
}

// The program has it no more. Its record is written, or was there before.
static inline void request_finish(struct server_channel *channel, struct server_request *request)
{
	request->owned = false;
	if (this.channels->next)
		request->free_since = this.now_seen = time_now();
	channel->owned--;
	this.owned--;
	channel_settle(channel);
}

static const uint64_t no_result[5];

static inline void completion_fill(struct completion *completion, uint32_t seq, enum error status, const uint64_t result[5])
{
	completion->seq = seq;
	completion->status = status;
	completion->serial = 0;
	completion->request_digest = 0;
	if (!result)
		result = no_result;
#pragma GCC unroll 5
	for (unsigned i = 0; i < 5; i++)
		completion->result[i] = result[i];
}

// INJECT_REPLY: a lie in the record of an idempotent operation, so that it costs time and not the log's truth.
static void wrong_reply(struct server_request *request)
{
	if (request->once)
		return;
	struct completion *record = &request->channel->ring.view.records[request->slot];
	inject_wrong_reply = 0;
	store32(&record->seq, record->seq ^ 0x40000000);
}

// Its record stands already; only the outcome is compared.
static __attribute__((noinline)) uint64_t replay_record(const struct server_request *request, const uint64_t result[5])
{
	struct completion record;
	completion_fill(&record, request->copy.seq, ERR_OK, result);
	replay_compare(request, &record);
	return request->former.serial;
}

// The sum of a payload that was copied by payload_copy, or that server_ring_request_digest has read. Whole units are left out: their sums are those
// of their copies too, which whoever keeps them takes again.
static bool sum_holds(const struct server_request *request)
{
	uint32_t bytes = request->copy.out_length;
	if (bytes < DIGEST_GROUP || (request->sum.bytes == bytes && bytes % PAYLOAD_UNIT == 0))
		return true;
	return digest_holds(request->sum.bytes == bytes);
}

// INV-24: the record stands before the caller goes on.
uint64_t server_record(struct server_request *request, const uint64_t result[5])
{
	invariant(request->owned && !request->logged);
	if (!RECOVERABLE)
		return ++request->channel->order->serial;
	request->logged = true;
	if (__builtin_expect(request->replayed, 0))
		return replay_record(request, result);
	const struct server_ring *ring = &request->channel->ring;
	uint32_t digest = server_ring_request_digest(ring, &request->copy, &request->sum);
	invariant(sum_holds(request)); // it dies rather than have a record that no successor believes
	struct completion record;
	completion_fill(&record, request->copy.seq, ERR_OK, result);
	record.request_digest = digest;
	record.serial = ++request->channel->order->serial;
	server_ring_record(ring, request->slot, &record, true);
	return record.serial;
}

// Its record stands already; server_record has compared it, if the operation took effect.
void server_replay_compare(const struct server_request *request, enum error status, const uint64_t result[5])
{
	struct completion record;
	if (request->logged)
		return;
	completion_fill(&record, request->copy.seq, status, result);
	replay_compare(request, &record);
}

// An operation that would have been logged, but took no effect: recorded, so that it is not tried again.
static void once_record(struct server_request *request, enum error status, const uint64_t result[5])
{
	struct completion record;
	completion_fill(&record, request->copy.seq, status, result);
	server_ring_record(&request->channel->ring, request->slot, &record, true);
}

// What the library itself refuses as invalid, it may have copied wrongly: what stands in the ring is looked at.
static bool refusal_concerns(const struct server_request *request)
{
	const struct server_ring *ring = &request->channel->ring;
	return request->copy.op < this.special &&
	       (request->begun || server_ring_validate(ring, this.server->protocol, &ring->view.requests[request->slot]) == ERR_OK);
}

// An error that nobody expected is no answer: the next incarnation performs the request again. What else is none the program knows.
static __attribute__((noinline, cold)) void refusal_look(const struct server_request *request, enum error status)
{
	invariant(status != ERR_INJECTED);
	if (this.server->refusing && refusal_concerns(request))
		this.server->refusing(request, status);
}

void server_complete(struct server_request *request, enum error status, const uint64_t result[5])
{
	struct server_channel *channel = request->channel;
	if (__builtin_expect(channel->local != 0, 0)) {
		local_complete(request, status, result);
		return;
	}
	invariant(request->owned);
	if (__builtin_expect(status != ERR_OK, 0))
		refusal_look(request, status);
	inject_as("runtime.complete", TRACE_COMPLETE, channel->ring.view.slot, request->copy.seq,
		  (uint64_t)request->copy.op << 32 | status, request->copy.time);
	if (__builtin_expect(request->replayed, 0)) {
		server_replay_compare(request, status, result);
		request->replayed = false;
		request_finish(channel, request);
		return;
	}
	if (__builtin_expect(!request->once, 1))
		server_ring_record_plain(&channel->ring, request->slot, request->copy.seq, status,
					 result ? result : no_result);
	else if (!request->logged)
		once_record(request, status, result);
	if (__builtin_expect(inject_wrong_reply, 0))
		wrong_reply(request);
	inject("runtime.publish");
	if (__builtin_expect(request->copy.grant != 0, 0)) // behind the record: who dies here leaves an answer, and its successor ends it
		server_grant_end(channel, request);
	this.statistics.completions++;
	request_finish(channel, request);
	server_ring_publish(&channel->ring, request->slot);
}

static void channels_commit(uint64_t serial)
{
	invariant(serial <= this.order.serial); // RECOVERY rule 8: what was never recorded is not durable
	if (serial > this.order.mark)
		this.order.mark = serial;
	for (struct server_channel *channel = this.channels; channel; channel = channel->next) {
		server_ring_commit(&channel->ring, this.order.mark, this.order.serial);
		channel_view_ring(&channel->ring.view, &channel->ring.view.client->want_doorbell);
	}
}

// Of several components of a domain one has a log: what it says is of that.
void server_committed(uint64_t serial)
{
	if (!local_log_commit(serial))
		channels_commit(serial);
}

void server_never_spins(bool never)
{
	this.spin = (struct spin){.pass = never ? SPIN_PASS_ALL : 0};
}

uint64_t server_serial_last(void)
{
	const struct server_order *log = local_log_order();
	return log ? log->serial : this.order.serial;
}

// --- performing

// A quick operation that came the long way: it is the first, or there are several channels, or it was adopted.
static void request_answer(struct server_request *request)
{
	const struct request *copy = &request->copy;
	quick_answer_t answer = this.server->quick(copy->op, copy->arg[0], copy->arg[1], copy->arg[2]);
	server_complete(request, quick_error(answer), (uint64_t[5]){quick_result(answer)});
	this.quick_came = true;
}

// Before it is begun. A replay is of what stands.
static inline bool request_is_cancelled(const struct server_request *request)
{
	return server_ring_cancelled(&request->channel->ring, request->slot, request->copy.seq) && !request->replayed;
}

void server_runtime_answer(struct server_request *request)
{
	server_runtime_request(request, &this.statistics);
}

static __attribute__((noinline)) void request_special(struct server_request *request)
{
	if (request_is_cancelled(request))
		server_complete(request, ERR_CANCELLED, 0);
	else if (request->copy.op >= OP_RUNTIME)
		server_runtime_answer(request);
	else
		request_answer(request);
}

static void request_perform(struct server_request *request)
{
	struct server_channel *channel = request->channel;
	struct channel_server_page *page = channel->ring.view.server;
	uint32_t working = request->slot + 1;
	if (RECOVERABLE)
		store32(&page->working, working);
	if (__builtin_expect(request->copy.op >= this.special || request_is_cancelled(request), 0)) {
		request_special(request);
	} else {
		request->begun = true;
		this.server->request(request);
	}
	bool alone = --channel->performing == 0;
	page = channel->ring.view.server;
	if (RECOVERABLE && (__builtin_expect(alone, 1) || load32(&page->working) == working))
		store32(&page->working, 0); // done, or it waits for something; a death from now on is not its fault
	channel_settle(channel);
}

// A request that was taken from the ring or the adopted list becomes the program's.
static inline void request_own(struct server_request *request)
{
	struct server_channel *channel = request->channel;
	const struct channel_view *view = &channel->ring.view;
	request->out = view->out + request->copy.out_offset;
	request->in = view->in + request->copy.in_offset;
	request->logged = false;
	request->begun = false;
	request->owned = true;
	request->once = request->copy.op < 64 && this.once >> request->copy.op & 1;
	if (request->once)
		payload_begin(&request->sum, view->secret);
	channel->owned++;
	this.owned++;
	this.statistics.requests++;
}

// It will be performed, now or when a worker gets to it: until then its channel stays.
static inline void request_take(struct server_request *request)
{
	request_own(request);
	request->channel->performing++;
}

static void request_reject(struct server_request *request, enum error e)
{
	request->replayed = false;
	request_own(request);
	server_complete(request, e, 0);
}

// --- choosing

// The client's time stamp, not later than now, and not earlier than its slot has been free or the channel was seen empty: forging gains
// nothing.
static uint64_t time_clamped(const struct server_channel *channel, const struct server_request *request)
{
	uint64_t stamp = request->copy.time < request->free_since ? request->free_since : request->copy.time;
	if (stamp > this.now_seen) {
		this.now_seen = time_now();
		if (stamp > this.now_seen)
			stamp = this.now_seen;
	}
	return stamp < channel->floor ? channel->floor : stamp;
}

static __attribute__((noinline)) bool adopted_fetch(struct server_channel *channel)
{
	struct server_request *request = channel->adopted;
	channel->adopted = request->next;
	channel->head = request;
	channel->head_time = channel->floor;
	return true;
}

static struct inject_point take_point = inject_point_traced("runtime.take");

static inline void request_show(const struct server_request *request)
{
	inject_at(take_point, TRACE_TAKE, request->channel->ring.view.slot, request->copy.seq, request->copy.op, request->copy.time);
}

// Finds the next request of a channel that is fit to be performed; the others are answered here.
static bool channel_fetch(struct server_channel *channel)
{
	if (__builtin_expect(channel->adopted != 0, 0))
		return adopted_fetch(channel);
	if (__builtin_expect(channel->closing, 0))
		return false;
	for (unsigned i = 0; i < SERVER_BATCH; i++) {
		int slot = server_ring_take(&channel->ring, &channel->requests[0].copy, sizeof(channel->requests[0]));
		if (slot < 0) {
			channel->floor = this.clock;
			return false;
		}
		struct server_request *request = &channel->requests[slot];
		request->replayed = false;
		request_show(request);
		enum error e = server_ring_validate(&channel->ring, this.server->protocol, &request->copy);
		if (__builtin_expect(e == ERR_OK, 1)) {
			channel->head = request;
			channel->head_time = this.channels->next ? time_clamped(channel, request) : 0;
			return true;
		}
		request_reject(request, e);
	}
	return false;
}

// Nothing of it waits, which is so of most channels of a server with many: its next request comes after what is served now.
static inline bool channel_is_empty(const struct server_channel *channel)
{
	return !channel->head && !channel->adopted && !server_ring_pending(&channel->ring);
}

// The next request: best priority, then oldest time. 0: nothing to do.
static __attribute__((noinline)) struct server_request *pick_best(void)
{
	struct server_channel *best = 0;
	for (struct server_channel *channel = this.channels; channel; channel = channel->next) {
		if (best && channel->ring.view.priority > best->ring.view.priority)
			break;
		if (channel_is_empty(channel)) {
			channel->floor = this.clock;
			continue;
		}
		if (!channel->head && !channel_fetch(channel))
			continue;
		if (!best || channel->head_time < best->head_time)
			best = channel;
	}
	if (!best)
		return 0;
	struct server_request *request = best->head;
	best->head = 0;
	if (best->head_time > this.clock)
		this.clock = best->head_time;
	request_take(request);
	return request;
}

static __attribute__((noinline)) struct server_request *pick_rejected(struct server_request *request, enum error e)
{
	request_reject(request, e);
	return pick_best();
}

// What server_pick does with a request whose taking is an event, or a fault.
static __attribute__((noinline)) struct server_request *pick_shown(struct server_request *request)
{
	request_show(request);
	enum error e = server_ring_validate(&request->channel->ring, this.server->protocol, &request->copy);
	if (__builtin_expect(e != ERR_OK, 0))
		return pick_rejected(request, e);
	request_take(request);
	return request;
}

// The same. With one channel and a plain next entry in its ring, which is the usual case, nothing is called, and no register kept.
static struct server_request *server_pick(void)
{
	struct server_channel *channel = this.channels;
	if (__builtin_expect(!channel || channel->next || channel->head || channel->adopted || channel->closing, 0))
		return pick_best();
	int slot = server_ring_take_next(&channel->ring, &channel->requests[0].copy, sizeof(channel->requests[0]));
	if (__builtin_expect(slot < 0, 0)) {
		channel->floor = this.clock;
		return slot == SERVER_RING_EMPTY ? 0 : pick_best();
	}
	struct server_request *request = &channel->requests[slot];
	request->replayed = false;
	if (__builtin_expect(take_point.left <= 1, 0))
		return pick_shown(request);
	take_point.left--;
	enum error e = server_ring_validate(&channel->ring, this.server->protocol, &request->copy);
	if (__builtin_expect(e != ERR_OK, 0))
		return pick_rejected(request, e);
	request_take(request);
	return request;
}

// --- fibers

// From now on it goes by the priority of its client.
static inline void worker_take(struct server_worker *worker, struct server_request *request)
{
	worker->request = request;
	fiber_set_priority(worker->fiber, request->channel->ring.view.priority);
}

static void worker_run(void *argument)
{
	struct server_worker *worker = argument;
	for (;;) {
		struct server_request *request = worker->request;
		if (!request && (request = server_pick()))
			worker_take(worker, request);
		if (request) {
			worker->request = 0;
			request_perform(request);
			if (++worker->performed % SERVER_BATCH == 0)
				fiber_yield(); // the loop has its turn: pings, timers
			continue;
		}
		worker->next = this.idle;
		this.idle = worker;
		while (!worker->request)
			fiber_park();
	}
}

static void worker_create(void)
{
	struct server_worker *worker = calloc(1, sizeof(*worker));
	invariant(worker != 0);
	worker->fiber = server_fiber(this.server, worker_run, worker, "worker");
	invariant(worker->fiber != 0);
	this.workers++;
}

static bool worker_free(void)
{
	return this.server->fibers == 0 || this.idle;
}

static void request_start(struct server_request *request)
{
	struct server_worker *worker = this.idle;
	if (this.server->fibers == 0) {
		request_perform(request);
		return;
	}
	this.idle = worker->next;
	worker_take(worker, request);
	fiber_wake(worker->fiber);
}

// --- channels

// The program hears once of each request that it has, and that has no record yet.
static __attribute__((noinline)) void cancelled_tell(struct server_channel *channel)
{
	fence_take(); // `cancels` before the slots; partner: fence_publish in client_ring_cancel
	for (unsigned slot = 0; slot < channel->ring.view.geometry.slots; slot++) {
		struct server_request *request = &channel->requests[slot];
		if (!request->owned || !request->begun || request->logged || !request_is_cancelled(request))
			continue;
		request->begun = false; // told
		this.server->cancelled(request);
	}
}

// On the loop: is there something for server_serve? It takes nothing.
static bool channel_loop_look(struct loop_ring *loop)
{
	struct server_channel *channel = (struct server_channel *)((char *)loop - offsetof(struct server_channel, loop));
	if (!this.serving)
		return false;
	if (server_ring_commit_wanted(&channel->ring) && this.server->commit_wanted)
		this.server->commit_wanted();
	if (server_ring_cancels(&channel->ring) && this.server->cancelled)
		cancelled_tell(channel);
	if (channel->closing)
		return this.reap_due;
	return worker_free() && (channel->head || channel->adopted || server_ring_pending(&channel->ring));
}

static uint64_t requests_served(void)
{
	return this.statistics.requests;
}

static void channel_insert(struct server_channel *channel)
{
	struct server_channel **at = &this.channels;
	while (*at && (*at)->ring.view.priority <= channel->ring.view.priority)
		at = &(*at)->next;
	channel->next = *at;
	*at = channel;
	this.by_slot[channel->ring.view.slot] = channel;
	channel->loop = (struct loop_ring){.look = channel_loop_look,
					   .want = &channel->ring.view.server->want_doorbell,
					   .identity = channel->ring.view.own_identity};
	loop_ring_add(&channel->loop);
}

static void channel_remove(struct server_channel *channel)
{
	struct server_channel **at = &this.channels;
	while (*at != channel)
		at = &(*at)->next;
	*at = channel->next;
	this.by_slot[channel->ring.view.slot] = 0;
	loop_ring_remove(&channel->loop);
}

// Memory for a channel that the kernel has mapped. 0: none left, or its numbers are out of range.
static struct server_channel *channel_make(unsigned slot)
{
	struct channel_view view;
	if (channel_view_load(&view, slot) != ERR_OK)
		return 0;
	size_t requests = view.geometry.slots * sizeof(struct server_request);
	struct server_channel *channel = calloc(1, sizeof(*channel) + requests);
	if (!channel)
		return 0;
	if (CHANNEL_PEER_CORE(view.peer) == self_core())
		endpoint_serve_rings(); // before it is accepted: then the client looks for our endpoint
	channel->ring.view = view;
	channel->order = &this.order;
	channel->closing = view.state == CHANNEL_CLOSED;
	for (unsigned i = 0; i < view.geometry.slots; i++) {
		channel->requests[i].channel = channel;
		channel->requests[i].slot = i;
	}
	return channel;
}

static void channel_free(struct server_channel *channel)
{
	unsigned slot = channel->ring.view.slot;
	this.owned -= channel->owned; // dropped
	channel_remove(channel);
	free(channel);
	kcall(CALL_channel_close, slot);
}

void server_release(struct server_channel *channel)
{
	if (channel->local) {
		local_release(channel);
		return;
	}
	channel->released = true;
	this.reap_due = true;
}

// Closing channels: nothing new is taken; when nothing is owned any more the program is told, then it releases.
static void channel_reap(struct server_channel *channel)
{
	if (!channel->closing || channel->performing)
		return;
	if (!channel->closing_told) {
		channel->closing_told = true;
		channel->head = 0;
		channel->adopted = 0;
		server_runtime_closing(channel);
		if (channel->owned && this.server->closing)
			this.server->closing(channel);
	}
	if (channel->owned == 0 && !channel->closed_told) {
		channel->closed_told = true;
		if (this.server->closed)
			this.server->closed(channel);
		else
			channel->released = true;
	}
	if (channel->released)
		channel_free(channel);
}

static void server_reap(void)
{
	this.reap_due = false;
	for (struct server_channel *channel = this.channels; channel;) {
		struct server_channel *next = channel->next;
		channel_reap(channel);
		channel = next;
	}
}

// A notification has no memory: nothing of what follows holds for it.
static bool slot_notifies(unsigned slot)
{
	struct kernel_result info = kcall(CALL_channel_info, slot);
	return info.error == ERR_OK && CHANNEL_INFO_SLOTS(info.value[1]) == 0;
}

// Of one life of one client: who takes more would leave none to others. Those that it has closed count until they are released.
static bool peer_has_its_share(uint64_t peer)
{
	unsigned ends = notification_ends(peer);
	for (const struct server_channel *channel = this.channels; channel; channel = channel->next)
		ends += channel->ring.view.peer == peer;
	return ends >= SERVER_CLIENT_ENDS;
}

static void channel_admit(unsigned slot)
{
	struct server_channel *channel = channel_make(slot);
	if (!channel || peer_has_its_share(channel->ring.view.peer) || (this.server->accept && !this.server->accept(channel))) {
		free(channel);
		kcall(CALL_channel_refuse, slot);
		return;
	}
	if (kcall(CALL_channel_accept, slot).error != ERR_OK || channel_view_refresh(&channel->ring.view) != ERR_OK) {
		free(channel);
		return;
	}
	server_ring_adopt(&channel->ring, self_epoch());
	channel->ring.rescan = 0; // the client runs since CALL_channel_accept: its first request may be before our head
	server_ring_commit(&channel->ring, this.order.mark, this.order.serial);
	channel->floor = this.clock;
	channel_insert(channel);
}

static void channel_accept(unsigned slot)
{
	uint64_t peer = kcall(CALL_channel_info, slot).value[4];
	if (!slot_notifies(slot))
		channel_admit(slot);
	else
		notification_accept(slot, peer_has_its_share(peer) ? 0 : this.server->notified);
}

static void server_event(unsigned kind, unsigned slot)
{
	if (slot >= CHANNEL_MAX)
		return;
	struct server_channel *channel = this.by_slot[slot];
	if (kind == EVENT_CHANNEL_CLOSED && notification_closed(slot))
		return;
	if (kind == EVENT_CHANNEL_STATE && channel && this.server->recalled)
		server_grants_look(channel, this.server->recalled);
	if (kind == EVENT_CHANNEL_CLOSED && channel) {
		channel->closing = true;
		this.reap_due = true;
	}
	if (kind == EVENT_CHANNEL_REQUEST && !this.serving)
		this.asked |= 1ull << slot;
	else if (kind == EVENT_CHANNEL_REQUEST && !channel)
		channel_accept(slot);
}

// --- adoption

struct replay {
	uint64_t serial;
	struct server_request *request;
};

static struct server_replays replays; // recorded requests of all channels

void server_replays_add(struct server_replays *all, struct server_request *request)
{
	if (all->count == all->room) {
		all->room = all->room ? all->room * 2 : 256;
		all->list = realloc(all->list, all->room * sizeof(*all->list));
		invariant(all->list != 0);
	}
	all->list[all->count++] = (struct replay){request->former.serial, request};
}

static void adopted_insert(struct server_channel *channel, struct server_request *request)
{
	struct server_request **at = &channel->adopted;
	while (*at && (int32_t)((*at)->copy.seq - request->copy.seq) < 0)
		at = &(*at)->next;
	request->next = *at;
	*at = request;
}

static void slot_adopt_recorded(struct server_request *request, bool deadly)
{
	uint64_t serial = request->former.serial;
	this.statistics.recorded++;
	if (serial > this.order.serial) // INV-27
		this.order.serial = serial;
	request->deadly = deadly;
	server_replays_add(&replays, request);
}

static void slot_adopt(struct server_channel *channel, unsigned slot)
{
	struct server_request *request = &channel->requests[slot];
	const struct protocol *protocol = this.server->protocol;
	enum adopted found =
		server_ring_adopt_slot(&channel->ring, slot, protocol, &request->copy, &request->former);
	if (found == ADOPTED_DONE && request->copy.grant)
		server_grant_end(channel, request);
	if (found == ADOPTED_FREE || found == ADOPTED_DONE)
		return;
	if (found == ADOPTED_RECORDED || found == ADOPTED_DEADLY) {
		slot_adopt_recorded(request, found == ADOPTED_DEADLY);
		return;
	}
	if (channel->closing)
		return; // what was not performed is dropped (INV-33)
	enum error e = server_ring_validate(&channel->ring, protocol, &request->copy);
	if (found == ADOPTED_CORRUPT || found == ADOPTED_POISONOUS) {
		this.statistics.lost++;
		log_line("channel %u slot %u: %s", channel->ring.view.slot, slot,
			 found == ADOPTED_CORRUPT ? "its record is spoilt" : "its request is poisonous");
		e = ERR_LOST;
	}
	if (e != ERR_OK) {
		request_reject(request, e);
		return;
	}
	this.statistics.performed_again++;
	(void)server_runtime_adopted(&request->copy, channel->ring.view.out + request->copy.out_offset);
	adopted_insert(channel, request);
}

static void channel_adopt(unsigned slot)
{
	if (slot_notifies(slot)) {
		notification_adopt(slot, this.server->notified);
		return;
	}
	struct server_channel *channel = channel_make(slot);
	invariant(channel != 0); // without it requests would be lost; the restart rule decides
	inject_shown("runtime.adopt");
	server_ring_adopt(&channel->ring, self_epoch());
	if (server_ring_recorded(&channel->ring) > this.order.serial)
		this.order.serial = server_ring_recorded(&channel->ring); // serials never restart (INV-27)
	channel_insert(channel);
	this.statistics.adopted++;
	for (unsigned i = 0; i < channel->ring.view.geometry.slots; i++)
		slot_adopt(channel, i);
}

static bool slot_serves(unsigned slot, unsigned *state)
{
	struct kernel_result info = kcall(CALL_channel_info, slot);
	*state = CHANNEL_INFO_STATE(info.value[0]);
	return info.error == ERR_OK && CHANNEL_INFO_ROLE(info.value[0]) == CHANNEL_ROLE_SERVER;
}

static void server_adopt_all(void)
{
	unsigned state;
	for (unsigned slot = 0; slot < CHANNEL_MAX; slot++) {
		if (!slot_serves(slot, &state))
			continue;
		if (state == CHANNEL_OPEN || state == CHANNEL_CLOSED)
			channel_adopt(slot);
		else if (state == CHANNEL_REQUESTED)
			this.asked |= 1ull << slot;
	}
}

static int replay_order(const void *a, const void *b)
{
	uint64_t x = ((const struct replay *)a)->serial;
	uint64_t y = ((const struct replay *)b)->serial;
	return x < y ? -1 : x > y;
}

// One operation is lost, not the service, and not silently.
static void replay_lose(const struct server *server, const struct server_request *request, const char *why)
{
	this.statistics.lost++;
	log_line("serial %lu of channel %u: %s", (unsigned long)request->former.serial,
		 request->channel->ring.view.slot, why);
	if (server->lost)
		server->lost(request);
}

// INV-34: the request and its payload are those that were performed. Only valid ones have a digest, so offsets are in range. `copied`: the
// sum of what was copied meanwhile, 0: nothing was.
static bool replay_is_true(const struct server *server, const struct server_request *request, const struct payload_sum *copied)
{
	const struct server_ring *ring = &request->channel->ring;
	return server_ring_validate(ring, server->protocol, &request->copy) == ERR_OK &&
	       server_ring_request_digest(ring, &request->copy, copied) == request->former.request_digest;
}

static void replay_one(const struct server *server, struct server_request *request,
		       void (*perform)(struct server_request *request))
{
	if (request->deadly) { // given up like a request that kills (RECOVERY rule 14)
		replay_lose(server, request, "its replay is poisonous, it is left out");
		return;
	}
	if (!replay_is_true(server, request, 0)) {
		replay_lose(server, request, "its client has changed it since, it is left out");
		return;
	}
	inject_shown("runtime.replay");
	request->replayed = true;
	request->copy.flags |= REQUEST_REPLAYED;
	this.statistics.replayed++;
	perform(request);
	// Changed while it was performed: it did something else than what others saw. (Once committed, the slot is free.)
	if (request->former.serial > request->channel->order->mark && !replay_is_true(server, request, &request->sum))
		replay_lose(server, request, "its client has changed it during the replay");
}

void server_replays_perform(struct server_replays *all, uint64_t mark, const struct server *server,
			    void (*perform)(struct server_request *request))
{
	if (all->count)
		qsort(all->list, all->count, sizeof(*all->list), replay_order);
	for (unsigned i = 0; i < all->count; i++)
		if (all->list[i].serial > mark)
			replay_one(server, all->list[i].request, perform);
	free(all->list);
	*all = (struct server_replays){0};
}

static void replay_perform(struct server_request *request)
{
	request_take(request);
	request_perform(request);
	while (request->owned)
		loop_turn(true);
}

// --- serving

// The client is awake, or was rung when its request was completed, and runs on another core: its next request is near.
static bool spin_worth(const struct server_channel *channel)
{
	return !channel->closing && channel_view_peer_runs(&channel->ring.view);
}

static bool any_pending(void)
{
	for (const struct server_channel *channel = this.channels; channel; channel = channel->next)
		if (server_ring_pending(&channel->ring))
			return true;
	return false;
}

// True: there is something to take. While requests are under way there is something else to wait for, so no spin.
static bool server_spin(void)
{
	struct server_channel *channel = this.channels;
	if (!spin_try(&this.spin))
		return false;
	while (channel && !spin_worth(channel))
		channel = channel->next;
	if (!channel || this.owned || fiber_any_ready())
		return false;
	loop_lower();
	bool found = false;
	for (unsigned i = 0; i < SPIN_LOOKS && !found; i++)
		found = any_pending();
	spin_learn(&this.spin, found);
	return found;
}

// One request, or a short wait for one. False: nothing to do now.
static bool server_step(void)
{
	struct server_request *request = worker_free() ? server_pick() : 0;
	if (!request)
		return server_spin();
	request_start(request);
	return true;
}

// Whom quick operations are taken from: the only channel, with nothing of it outside its ring, in a server without commits,
// whose client would otherwise ring for two reasons. One on our own core wants the core, not a nap; and what is traced goes the long way.
static struct server_channel *channel_alone(void)
{
	struct server_channel *channel = this.channels;
	if (!channel || channel->next || channel->head || channel->adopted || channel->closing || this.server->commit_wanted ||
	    inject_wrong_reply || trace_is_on() || CHANNEL_PEER_CORE(channel->ring.view.peer) == self_core())
		return 0;
	return channel->ring.rescan < channel->ring.view.geometry.slots ? 0 : channel;
}

// Quick ones in one go; `quick_came` says whether it was worth it.
static __attribute__((noinline)) unsigned serve_alone(struct server_channel *channel)
{
	unsigned n = server_quick_serve(&channel->ring, this.server);
	this.quick_came = n > 0 || !server_ring_pending(&channel->ring);
	this.statistics.quick += n;
	return n;
}

static _Noreturn void server_serve(void)
{
	for (;;) {
		unsigned n = 0;
		struct server_channel *alone = this.quick_came ? channel_alone() : 0;
		uint64_t awaited = alone ? INTERRUPT_CLAIM((uint64_t)alone->ring.view.own_identity) : 0;
		do
			n += alone ? serve_alone(alone) : 0;
		while (server_step() && ++n < SERVER_BATCH);
		if (__builtin_expect(this.workers < this.server->fibers, 0))
			worker_create();
		endpoint_loop_turned();
		if (this.reap_due)
			server_reap();
		if (alone && n < SERVER_BATCH)
			loop_turn_to_doze(awaited);
		else
			loop_turn(n < SERVER_BATCH);
	}
}

static void requests_accept_waiting(void)
{
	unsigned state;
	for (unsigned slot = 0; this.asked; slot++, this.asked >>= 1)
		if (this.asked & 1 && !this.by_slot[slot] && slot_serves(slot, &state) && state == CHANNEL_REQUESTED)
			channel_accept(slot);
}

static uint64_t once_bits(const struct protocol *protocol)
{
	uint64_t bits = 0;
	for (unsigned op = 0; op < protocol->op_count; op++) {
		invariant(op < 64 || !op_is_once(protocol, op));
		bits |= (uint64_t)op_is_once(protocol, op) << op % 64;
	}
	return bits;
}

// Quick operations are performed again whenever there is a doubt.
static unsigned special_first(const struct server *server)
{
	for (unsigned op = server->quick_from; op && op < server->protocol->op_count; op++)
		invariant(server->protocol->ops[op].attribute == OP_IDEMPOTENT);
	return server->quick_from ? server->quick_from : OP_RUNTIME;
}

enum error server_run(const struct server *server)
{
	this.server = server;
	this.special = special_first(server);
	this.once = once_bits(server->protocol);
	loop_server_event = server_event;
	loop_served = requests_served;
	server_adopt_all();
	uint64_t mark = 0;
	enum error e = server->start ? server->start(&mark) : ERR_OK;
	if (e != ERR_OK) {
		log_line("start failed: error %u", (unsigned)e);
		return e;
	}
	if (this.order.serial < mark)
		this.order.serial = mark;
	server_replays_perform(&replays, mark, server, replay_perform); // the program's mark alone decides: what clients were told may be a dying server's last lie
	channels_commit(mark);
	if (server->replayed)
		server->replayed();
	this.serving = true;
	this.reap_due = true;
	if (server->fibers)
		worker_create();
	kcall(CALL_ready);
	notification_serve();
	requests_accept_waiting();
	server_serve();
}

// --- facts about requests and channels

uint64_t server_out_physical(const struct server_request *request)
{
	const struct server_channel *channel = request->channel;
	if (channel->local)
		return local_out_physical(request);
	if (!channel->ring.view.physical)
		return 0;
	return channel->ring.view.physical + (uint64_t)(request->out - (const uint8_t *)channel->ring.view.client);
}

uint64_t server_in_physical(const struct server_request *request)
{
	const struct server_channel *channel = request->channel;
	if (channel->local)
		return local_in_physical(request);
	if (!channel->ring.view.physical)
		return 0;
	return channel->ring.view.physical + (uint64_t)(request->in - (const uint8_t *)channel->ring.view.client);
}

uint64_t server_physical_named(const struct server_request *request, bool out)
{
	const struct channel_view *view = &request->channel->ring.view;
	const struct request *copy = &request->copy;
	if (request->channel->local)
		return out ? local_out_physical(request) : local_in_physical(request);
	return view->physical ? view->physical + (out ? view->geometry.out + copy->out_offset : view->geometry.in + copy->in_offset) : 0;
}

bool server_is_logged(void)
{
	return this.once != 0;
}

bool server_session_any(bool (*has)(const struct server_channel *channel, const void *session, uint64_t word), uint64_t word)
{
	if (local_log_order())
		return local_log_session_any(has, word);
	for (const struct server_channel *channel = this.channels; channel; channel = channel->next)
		if (!channel->closing && has(channel, channel->ring.view.client->session, word))
			return true;
	return false;
}

uint64_t server_channel_key(const struct server_channel *channel)
{
	return channel_mix(~channel->ring.view.secret, 0x68616e646c65ull);
}

unsigned server_channel_slot(const struct server_channel *channel)
{
	return channel->ring.view.slot;
}

void *server_channel_context(const struct server_channel *channel)
{
	return channel->context;
}

void server_channel_set_context(struct server_channel *channel, void *context)
{
	channel->context = context;
}

uint64_t server_channel_peer(const struct server_channel *channel)
{
	return channel->ring.view.peer;
}
