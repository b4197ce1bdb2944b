// Channels within a domain (local.h): submissions and completions. (Opening and closing: local_open.c.)
//
// Owns, for each such channel, the requests under way and the client's `completed` callbacks that are due. Those run on the loop and
// never inside of a submission or a completion, so neither side is entered again while it runs, and the stack is as deep as components
// use each other. Right because all of this is one thread of control: a server without fibers runs to its end before anything else
// does. Nobody complains about a mate: one that leaves a request unanswered for longer than this domain's patience ends the domain, as
// the supervisor would. If the domain dies, all here is lost but the areas of a raw client and what is logged (local_log.c), which lie in vaults (channel_open.h).
#include "abi/words.h"
#include "runtime/inject.h"
#include "runtime/local_channel.h"
#include "runtime/trace.h"
#include <string.h>

// --- completing

static void slot_give(struct local *local, struct server_request *request)
{
	struct client_request *waiting = local->waiting_first;
	request->next = local->free;
	local->free = request;
	if (!waiting)
		return;
	local->waiting_first = waiting->next;
	fiber_wake(waiting->waiter);
	waiting->waiter = 0; // woken
}

void local_slot_free(struct local *local, struct server_request *request)
{
	slot_give(local, request);
}

static void ended_add(struct local *local, struct client_request *request)
{
	request->next = 0;
	if (local->ended_first)
		local->ended_last->next = request;
	else
		local->ended_first = request;
	local->ended_last = request;
	loop_naps_end(); // the loop has its turn
}

static void client_request_end(struct local *local, struct client_request *request)
{
	if (request->completed) {
		ended_add(local, request);
		return;
	}
	request->done = true;
	if (request->waiter)
		fiber_wake(request->waiter);
}

void local_complete(struct server_request *request, enum error status, const uint64_t result[5])
{
	static const uint64_t nothing[5];
	struct server_channel *channel = request->channel;
	struct local *local = channel->local;
	struct client_request *asked = local->asked[request->slot];
	invariant(request->owned);
	invariant(status != ERR_INJECTED); // as in server_complete
	inject_as("runtime.answer", TRACE_COMPLETE, channel->ring.view.slot, request->copy.seq, (uint64_t)request->copy.op << 32 | status,
		  request->copy.time);
	local->asked[request->slot] = 0;
	bool kept = local->logged && local_log_complete(local, request, status, result);
	request->owned = false;
	channel->owned--;
	if (asked) {
		struct completion *c = &asked->completion;
		c->seq = request->copy.seq;
		c->status = status;
		c->serial = c->digest = c->request_digest = 0;
		words_few(c->result, result ? result : nothing, 5);
		if (!local->raw && asked->in && request->in != asked->in && status == ERR_OK)
			memcpy(asked->in, request->in, request->copy.in_length);
		client_request_end(local, asked);
	}
	if (!kept)
		slot_give(local, request);
	local_end_if_idle(channel);
}

// On the loop. Those that end while these are told wait for the next turn: callbacks that submit again do not keep us here.
bool local_look(struct loop_ring *ring)
{
	struct local *local = (struct local *)((char *)ring - offsetof(struct local, loop));
	struct client_request *request = local->ended_first;
	bool any = local->stirred || request;
	local->stirred = false;
	local->ended_first = 0;
	while (request) {
		struct client_request *next = request->next;
		request->done = true;
		request->completed(request);
		request = next;
	}
	return any;
}

// --- submitting

static bool op_is_known(const struct local *local, uint16_t op)
{
	return op >= OP_RUNTIME || (op != 0 && op < local->server->protocol->op_count);
}

// Areas of the slots, where payload is copied that cannot stay where the client has it.
static uint8_t *slot_out(const struct local *local, unsigned slot)
{
	return local->channel->ring.view.out + slot * local->out_room;
}

static uint8_t *slot_in(const struct local *local, unsigned slot)
{
	return local->channel->ring.view.in + slot * local->in_room;
}

enum error local_areas_make(struct local *local)
{
	struct channel_view *view = &local->channel->ring.view;
	const struct channel_geometry *g = &view->geometry;
	if (view->out)
		return ERR_OK;
	struct kernel_result r = kcall(CALL_memory_alloc, (g->out_bytes + g->in_bytes) / PAGE_SIZE);
	if (r.error != ERR_OK)
		return r.error;
	view->out = (uint8_t *)(uintptr_t)r.value[0];
	view->in = view->out + g->out_bytes;
	local->physical_base = view->out;
	if (self_manifest()->flags & SERVICE_FLAG_DMA)
		view->physical = kcall(CALL_memory_physical, r.value[0]).value[0];
	return ERR_OK;
}

// Where the server finds the payload. Of a client that does not wait, `out` is its own again when we return.
static enum error payload_lay(struct local *local, const struct client_request *from, struct server_request *request, bool waits)
{
	if (local->raw) {
		request->copy.out_offset = from->out_offset;
		request->copy.in_offset = from->in_offset;
		request->out = local->channel->ring.view.out + from->out_offset;
		request->in = local->channel->ring.view.in + from->in_offset;
		return ERR_OK;
	}
	uint8_t *nothing = local->channel->ring.view.client->session; // where it has none: not to be used, and not 0
	request->out = from->out ? from->out : nothing;
	request->in = from->in ? from->in : nothing;
	if (!from->in)
		request->copy.in_length = 0;
	if (local->logged && (request->once || request->copy.op == RUNTIME_OP_INJECT)) { // which may be for a later incarnation
		local_log_lay(local, from, request);
		return ERR_OK;
	}
	if (waits || !from->out_length)
		return ERR_OK;
	enum error e = local_areas_make(local);
	if (e == ERR_OK)
		request->out = memcpy(slot_out(local, request->slot), from->out, from->out_length);
	return e;
}

static enum error slot_await(struct local *local, struct client_request *request)
{
	while (!local->free) {
		if (local->logged)
			local_log_hurry(local);
		if (loop_running())
			return ERR_AGAIN;
		request->waiter = fiber_self();
		request->next = 0;
		if (local->waiting_first)
			local->waiting_last->next = request;
		else
			local->waiting_first = request;
		local->waiting_last = request;
		while (request->waiter)
			fiber_park();
	}
	return ERR_OK;
}

static enum error local_refuse(struct client_request *request, enum error e)
{
	request->completion = (struct completion){.status = e};
	request->done = true;
	return e;
}

static enum error request_prepare(struct local *local, struct client_request *from, bool waits)
{
	if (!op_is_known(local, from->op))
		return ERR_UNKNOWN_CALL;
	if (from->lend && (from->lend_bytes == 0 || from->lend_bytes % PAGE_SIZE))
		return ERR_INVALID;
	enum error e = slot_await(local, from);
	if (e != ERR_OK)
		return e;
	struct server_request *request = local->free;
	if (__builtin_expect(++local->seq == 0, 0))
		local->seq = 1; // 0: a free slot
	request->once = local->logged && op_is_once(local->server->protocol, from->op);
	request->copy = (struct request){.seq = local->seq,
					 .op = from->op,
					 .flags = from->patient ? REQUEST_PATIENT : 0,
					 .time = time_now(),
					 .arg = {from->arg[0], from->arg[1], from->arg[2]},
					 .out_length = from->out_length,
					 .in_length = from->in_length};
	return payload_lay(local, from, request, waits);
}

static void local_watch_arm(struct local *local)
{
	uint64_t period = time_ticks_from_us((uint64_t)self_manifest()->request_ms * 1000);
	if (period)
		timer_arm(&local->watch, time_now() + period);
}

enum error local_submit(struct client *client, struct client_request *from, bool waits)
{
	struct local *local = client->local;
	enum error e = request_prepare(local, from, waits);
	if (e != ERR_OK)
		return local_refuse(from, e);
	struct server_request *request = local->free;
	local->free = request->next;
	local->asked[request->slot] = from;
	from->slot = request->slot;
	request->owned = true;
	request->begun = local->server->fibers == 0;
	local->channel->owned++;
	if (loop_running())
		local->stirred = true;
	loop_naps_end(); // what the server polls is to be looked at
	if (__builtin_expect(!local->watch.armed, 0))
		local_watch_arm(local);
	if (local->logged)
		local_log_hurry(local);
	inject_as("runtime.submit", TRACE_TAKE, local->channel->ring.view.slot, request->copy.seq, request->copy.op, request->copy.time);
	mate_begin(local->mate, request, waits);
	return ERR_OK;
}

enum error local_take_back(struct client *client, struct client_request *request)
{
	struct local *local = client->local;
	struct server_request *shared = &local->channel->requests[request->slot];
	if (!request->lend)
		return ERR_HANDLE;
	shared->copy.flags = 0;
	shared->copy.time = time_now(); // from now on it is owed an answer
	if (local->server->recalled) {
		loop_enter();
		local->server->recalled(shared);
		loop_leave();
	}
	(void)client_wait(client, request);
	return ERR_OK;
}

void local_cancel(struct client *client, struct client_request *from)
{
	struct local *local = client->local;
	struct server_request *request = &local->channel->requests[from->slot];
	if (from->done || local->asked[from->slot] != from || !request->begun || !local->server->cancelled)
		return;
	request->begun = false; // told
	loop_enter();
	local->server->cancelled(request);
	loop_leave();
}

quick_answer_t local_quick(struct client *client, unsigned op, uint64_t a, uint64_t b, uint64_t c)
{
	const struct server *server = client->local->server;
	if (op >= client->local->quick_from && op < server->protocol->op_count)
		return server->quick(op, a, b, c);
	struct client_request request = {.op = (uint16_t)op, .arg = {a, b, c}};
	enum error e = client_call(client, &request);
	return quick_answer(e, request.completion.result[0]);
}

// --- patience

static bool request_is_late(const struct local *local, unsigned slot, uint64_t since)
{
	const struct server_request *request = &local->channel->requests[slot];
	return request->owned && !(request->copy.flags & REQUEST_PATIENT) && request->copy.time < since;
}

void local_watch_expired(struct timer *timer)
{
	struct local *local = (struct local *)((char *)timer - offsetof(struct local, watch));
	uint64_t patience = time_ticks_from_us((uint64_t)self_manifest()->request_ms * 1000);
	if (!local->channel->owned)
		return;
	for (unsigned i = 0; i < local->slots; i++) {
		if (!request_is_late(local, i, time_now() - patience))
			continue;
		log_line("%s leaves a request (op %u) unanswered: giving up, so that both begin anew", local->mate->component->name,
			 local->channel->requests[i].copy.op);
		domain_exit(ERR_TIMEOUT);
	}
	local_watch_arm(local);
}

// --- what the server asks about a request

enum error local_lent(const struct server_request *request, unsigned prot, void **at, uint64_t *bytes)
{
	const struct client_request *asked = request->channel->local->asked[request->slot];
	if (!asked || !asked->lend)
		return ERR_NOT_FOUND;
	*at = asked->lend;
	*bytes = asked->lend_bytes;
	return prot & PROT_WRITE && !asked->lend_writable ? ERR_DENIED : ERR_OK;
}

static bool inside(const uint8_t *at, const uint8_t *area, uint64_t bytes)
{
	return at >= area && at < area + bytes;
}

// Payload that lies in memory of the client's own, whose frames may be anywhere, is brought to the slot's place first.
uint64_t local_out_physical(const struct server_request *request)
{
	const struct local *local = request->channel->local;
	const struct channel_view *view = &request->channel->ring.view;
	struct server_request *mine = &request->channel->requests[request->slot];
	if (!view->physical)
		return 0;
	if (!local->raw && !inside(mine->out, view->out, view->geometry.out_bytes))
		mine->out = mine->copy.out_length ? memcpy(slot_out(local, mine->slot), mine->out, mine->copy.out_length) : view->out;
	return view->physical + (uint64_t)(mine->out - local->physical_base);
}

uint64_t local_in_physical(const struct server_request *request)
{
	const struct local *local = request->channel->local;
	const struct channel_view *view = &request->channel->ring.view;
	struct server_request *mine = &request->channel->requests[request->slot];
	if (!view->physical)
		return 0;
	if (!local->raw && !inside(mine->in, view->in, view->geometry.in_bytes))
		mine->in = slot_in(local, mine->slot);
	return view->physical + (uint64_t)(mine->in - local->physical_base);
}
