// Client side of a channel: opening, waiting, complaining (client.h says what it gives; client_ring.c keeps the slots).
//
// Owns the list of this domain's clients and, for each, who waits for which slot. Never believes the server: what does not
// fit is complained about and waited out, since the supervisor restarts a server that lies or does not answer. Waiting is
// right because of this order: look at the ring, then park; the loop looks again after it raised want_doorbell. If this
// domain dies, the requests stand in the channel, and client_open of the next incarnation drains them. If the server dies
// here, nothing happens but time.
#include "runtime/client_gather.h"
#include "runtime/channel_open.h"
#include "runtime/endpoint.h"
#include "runtime/fiber.h"
#include "runtime/inject.h"
#include "runtime/local.h"
#include "runtime/loop.h"
#include <stdlib.h>
#include <string.h>

#define CLIENT_SLOTS 64u              // when the options say 0
#define CLIENT_SLOT_BYTES 4096u       // of out and in for each slot, when the options say 0
#define CLIENT_WAITS_PER_POLL 64u     // answers found without a turn of the loop until pings are looked at
#define CLIENT_OFFENCE_US 100000u     // a reset tail lasts microseconds, unless the adopting server is stopped too
#define CLIENT_DISTRUST_US (COMPLAINT_AGE_MS * 1000u + 10000u) // between complaints about a liar: the kernel's evidence needs two
#define CLIENT_SHORT 4u               // with less than this part of the slots free, a commit is asked for,
#define CLIENT_RESERVE 16u            // or with fewer than this: as many operations as a commit takes time for
#define TAKE_BACK_US 200u             // between questions whether a share is back: its server's kernel needs some 20
#define CLIENT_REFUSALS 8u            // of a request whose grant the server's kernel does not know; its next message should name it
#define CLIENT_PAYLOAD_ALIGN 64u      // slots' payloads never share a cache line

static struct client *clients;

static struct client *client_of_watch(struct timer *timer)
{
	return (struct client *)((char *)timer - offsetof(struct client, watch));
}

static struct client *client_of_loop(struct loop_ring *ring)
{
	return (struct client *)((char *)ring - offsetof(struct client, loop));
}

// --- completions

static void slot_waiter_wake(struct client *client)
{
	struct client_request *request = client->waiting_first;
	if (!request)
		return;
	client->waiting_first = request->next;
	fiber_wake(request->waiter);
	request->waiter = 0; // woken
}

// For a slot that is free: the next in turn; where it may be too small for him, all of them look.
static void slot_waiters_wake(struct client *client)
{
	do
		slot_waiter_wake(client);
	while (client->waiting_first && client->ring.large < client->ring.view.geometry.slots);
}

static void request_end(struct client_request *request)
{
	request->done = true;
	if (request->completed) {
		bool outside = !loop_running();
		if (outside)
			loop_enter();
		request->completed(request);
		if (outside)
			loop_leave();
	} else if (request->waiter) {
		fiber_wake(request->waiter);
	}
}

// Where a slot's part of an area begins, in which those for any payload have so much room.
static uint32_t slot_place(const struct client *client, unsigned slot, uint32_t room)
{
	uint32_t large = client->ring.large;
	return slot < large ? slot * room : large * room + (slot - large) * CLIENT_SMALL_BYTES;
}

static void payload_fetch(const struct client *client, const struct client_request *request)
{
	if (client->raw || !request->in || request->in_length == 0 || request->completion.status != ERR_OK)
		return;
	memcpy(request->in, client->ring.view.in + slot_place(client, request->slot, client->in_room), request->in_length);
}

static void offence_report(struct client *client);

// The request whose record goes to that place; 0: nobody's.
static struct client_request *request_of(struct completion *result)
{
	return result ? (struct client_request *)((char *)result - offsetof(struct client_request, completion)) : 0;
}

// Requests of a dead incarnation of ours that wait by their nature (console input) are to end: a wish for a commit says so.
static void former_hurry(struct client_ring *ring)
{
	ring->want_commit = false;
	client_ring_want_commit(ring);
}

// Slots run short that a commit would free, and nobody has asked for one.
static bool commit_is_due(const struct client_ring *ring)
{
	uint32_t few = ring->view.geometry.slots / CLIENT_SHORT;
	return !ring->want_commit && ring->held > 0 && ring->free_count < (few < CLIENT_RESERVE ? few : CLIENT_RESERVE);
}

// There is something that is not a completion: a commit, an offence, a new epoch.
static inline bool client_has_beside(const struct client *client)
{
	const struct client_ring *ring = &client->ring;
	return load64(&ring->view.server->committed) != ring->committed_seen || commit_is_due(ring) || ring->offence ||
	       client->offence_time || ring->epoch != client->epoch_seen;
}

static __attribute__((noinline)) bool client_look_beside(struct client *client)
{
	struct client_ring *ring = &client->ring;
	bool any = false;
	for (unsigned freed = client_ring_commit_look(ring); freed > 0; freed--, any = true)
		slot_waiters_wake(client);
	if (commit_is_due(ring))
		client_ring_want_commit(ring);
	if (ring->epoch != client->epoch_seen) {
		client->epoch_seen = ring->epoch;
		client->epoch_time = time_now();
		client->distrusted = false;
		if (ring->former > 0) // the new server has not heard it
			former_hurry(ring);
	}
	if (ring->offence || client->offence_time)
		offence_report(client);
	return any;
}

// It was answered, and its server's kernel has not ended it.
static bool grant_is_open(struct client *client, uint32_t grant)
{
	uint64_t place = grant % GRANT_PLACES;
	struct client_refusals *refusals = &client->refusals[place];
	if (refusals->grant != grant)
		*refusals = (struct client_refusals){.grant = grant};
	return client->grants[place] == grant && refusals->count++ < CLIENT_REFUSALS &&
	       kernel_call_short(CALL_grant_lend, client->ring.view.slot | place << 32, 0, 0).error == ERR_STATE;
}

// Its grant was not known to the server's kernel: ours died with the word of it, or had no room for that yet. It is on its way now, so the
// request is submitted once more as it stands there, in the slot that has just become free. False: then this is the answer.
static __attribute__((noinline, cold)) bool request_repeat(struct client *client, const struct client_request *request)
{
	struct client_ring *ring = &client->ring;
	unsigned slot = request->slot;
	const struct request *asked = client_ring_request(ring, slot);
	bool cancelled = load32(&asked->cancelled) == ring->slots[slot].seq;
	if (ring->slots[slot].state != CLIENT_SLOT_FREE || cancelled || !grant_is_open(client, asked->grant))
		return false;
	int again = slot < ring->large ? client_ring_slot(ring) : client_ring_slot_small(ring);
	invariant(again == (int)slot);
	client_ring_submit(ring, slot, time_read());
	return true;
}

// Takes what has come, up to a ring full: callbacks that submit again must not keep us here. The payload is fetched
// before the slot can be used again: nobody submits between.
static __attribute__((noinline)) bool client_take_all(struct client *client)
{
	struct client_ring *ring = &client->ring;
	unsigned n = __builtin_expect(client->gather != 0, 0) && client_gather_look(client);
	int slot;
	while (n < CHANNEL_SLOTS_MAX && (slot = client_ring_take(ring)) >= 0) {
		struct client_request *request = request_of(ring->slots[slot].result);
		n++;
		if (request && __builtin_expect(request->lend != 0, 0) && request->completion.status == ERR_HANDLE && request_repeat(client, request))
			continue;
		if (request)
			payload_fetch(client, request);
		if (client->waiting_first)
			slot_waiters_wake(client);
		if (request)
			request_end(request);
		else if (ring->former == 0 && client->drainer)
			fiber_wake(client->drainer);
	}
	if (client_has_beside(client))
		return client_look_beside(client) || n > 0;
	return n > 0;
}

static inline bool client_is_quiet(const struct client *client)
{
	const struct client_ring *ring = &client->ring;
	return !client_ring_pending(ring) && !client_has_beside(client) && !client->gather;
}

// Most looks find nothing: the loop's are at all rings of a domain in each turn. Whoever publishes later finds the flag up, or rings,
// so this needs no fence.
bool client_look(struct client *client)
{
	return !client_is_quiet(client) && client_take_all(client);
}

static bool client_loop_look(struct loop_ring *ring)
{
	return client_look(client_of_loop(ring));
}

// --- complaints

static enum error complain(struct client *client, enum complaint reason)
{
	return kcall(CALL_channel_complain, client->ring.view.slot, reason).error;
}

void client_complain(struct client *client)
{
	uint32_t epoch = client->ring.epoch;
	if (client->local || client->lost)
		return;
	if (client->epoch_blamed != epoch)
		client->claims = 0;
	client->epoch_blamed = epoch;
	if (client->claims < CLIENT_CLAIMS && complain(client, COMPLAINT_BAD_COMPLETION) == ERR_OK)
		client->claims++;
}

// A wrong tail is an offence only when it lasts: an adopting server resets it before it says its epoch.
static void tail_report(struct client *client, uint64_t now)
{
	if (client->offence_time == 0) {
		client->offence_time = now;
		return;
	}
	if (now - client->offence_time < time_ticks_from_us(CLIENT_OFFENCE_US))
		return;
	client->offence_time = now;
	if (channel_view_refresh(&client->ring.view) == ERR_OK && client->ring.view.state == CHANNEL_OPEN)
		complain(client, COMPLAINT_BAD_INDEX);
}

static uint64_t watch_ticks(const struct client *client)
{
	return time_ticks_from_us(client->distrusted ? CLIENT_DISTRUST_US : (uint64_t)self_manifest()->request_ms * 1000);
}

void client_watch_arm(struct client *client)
{
	uint64_t period = watch_ticks(client);
	client->watched = true;
	if (period)
		timer_arm(&client->watch, time_now() + period);
}

// One claim is not believed, and nobody waits longer than need be for an answer that went elsewhere: the kernel takes note of what is
// unanswered now, and finds it so again after CLIENT_DISTRUST_US.
static void lie_report(struct client *client, enum complaint reason)
{
	complain(client, reason);
	if (client->ring.outstanding > 0)
		complain(client, COMPLAINT_NO_ANSWER);
	client->distrusted = true;
	client_watch_arm(client);
}

static void offence_report(struct client *client)
{
	enum client_offence offence = client->ring.offence;
	client->ring.offence = OFFENCE_NONE;
	if (offence == OFFENCE_TAIL)
		tail_report(client, time_now());
	else
		client->offence_time = 0;
	if (offence == OFFENCE_INDEX)
		lie_report(client, COMPLAINT_BAD_INDEX);
	if (offence == OFFENCE_COMPLETION)
		lie_report(client, COMPLAINT_BAD_COMPLETION);
}

// Is the oldest request older than the manifest's patience?
static bool oldest_late(const struct client *client)
{
	uint64_t now = time_now();
	uint64_t since = client_ring_oldest(&client->ring);
	if (since < client->epoch_time)
		since = client->epoch_time;
	return since < now && now - since > watch_ticks(client);
}

// Is there a request that is late, or that waits for a liar, and the server the same and open?
static bool overdue(struct client *client)
{
	client_look(client);
	if (client->ring.outstanding == 0 || !(client->distrusted || oldest_late(client)))
		return false;
	return channel_view_refresh(&client->ring.view) == ERR_OK && client->ring.view.state == CHANNEL_OPEN;
}

// Each period while something is outstanding. If the kernel finds a record for each request, the one that is overdue was
// recorded and never published: the kernel cannot see that. A liar that has answered all after all is trusted again.
static void watch_expired(struct timer *timer)
{
	struct client *client = client_of_watch(timer);
	client->watched = false;
	client->ring.lane.left = 0; // it is armed anew by the next call
	client_gather_end(client);
	bool late = overdue(client);
	client->distrusted &= client->ring.outstanding > 0;
	if (client->ring.outstanding == 0 || client->lost)
		return;
	if (late && complain(client, COMPLAINT_NO_ANSWER) == ERR_INVALID && overdue(client))
		complain(client, COMPLAINT_BAD_COMPLETION);
	client_watch_arm(client);
}

// --- state changes

static void client_lose(struct client *client)
{
	client->lost = true;
	client->ring.lane.left = 0;
	client_gather_end(client);
	for (unsigned slot = 0; slot < client->ring.view.geometry.slots; slot++) {
		struct client_slot *s = &client->ring.slots[slot];
		if (!client_slot_waits(s) || !s->result)
			continue;
		struct client_request *request = request_of(s->result);
		s->result = 0;
		request->completion = (struct completion){.status = ERR_PEER_LOST};
		request_end(request);
	}
	while (client->waiting_first)
		slot_waiters_wake(client);
	if (client->drainer)
		fiber_wake(client->drainer);
}

static void client_state_changed(unsigned slot)
{
	for (struct client *client = clients; client; client = client->next) {
		if (client->ring.view.slot != slot)
			continue;
		client->ring.lane.left = 0; // another doorbell
		if (channel_view_refresh(&client->ring.view) != ERR_OK)
			return;
		client_look(client);
		client->epoch_time = time_now();
		if (client->ring.view.state == CHANNEL_LOST && !client->lost)
			client_lose(client);
		// Rings that were meant for the dead incarnation went nowhere.
		if (client->ring.view.state == CHANNEL_OPEN)
			channel_view_ring(&client->ring.view, &client->ring.view.server->want_doorbell);
		return;
	}
}

static struct loop_listener listener = {.state_changed = client_state_changed};

// --- open and close

static struct client *client_of_slot(unsigned slot)
{
	struct client *client = clients;
	while (client && client->ring.view.slot != slot)
		client = client->next;
	return client;
}

static bool slot_is_taken(unsigned slot)
{
	return client_of_slot(slot) != 0;
}

static enum error client_slot_open(struct client *client, const char *service, const struct client_options *options,
				   unsigned *slot)
{
	uint64_t slots = options->slots ? options->slots : CLIENT_SLOTS;
	const struct channel_wish wish = {.slots = slots,
					  .out_bytes = options->out_bytes ? options->out_bytes : slots * CLIENT_SLOT_BYTES,
					  .in_bytes = options->in_bytes ? options->in_bytes : slots * CLIENT_SLOT_BYTES,
					  .priority = options->priority,
					  .taken = slot_is_taken};
	return channel_end_open(service, &wish, slot, &client->resumed);
}

static uint32_t slot_room(uint64_t bytes, uint32_t slots, uint32_t small)
{
	return (uint32_t)((bytes - (uint64_t)small * CLIENT_SMALL_BYTES) / (slots - small)) & ~(CLIENT_PAYLOAD_ALIGN - 1);
}

// Divides the areas among the slots. A channel of a former incarnation may be another one than is wished for.
static void rooms_make(struct client *client, unsigned small, bool raw)
{
	const struct channel_geometry *g = &client->ring.view.geometry;
	uint64_t least = g->out_bytes < g->in_bytes ? g->out_bytes : g->in_bytes;
	if (raw || small >= g->slots || least / g->slots < CLIENT_SMALL_BYTES)
		small = 0;
	client->raw = raw;
	client_ring_divide(&client->ring, g->slots - small);
	client->out_room = raw ? (uint32_t)g->out_bytes : slot_room(g->out_bytes, g->slots, small);
	client->in_room = raw ? (uint32_t)g->in_bytes : slot_room(g->in_bytes, g->slots, small);
}

static void client_attach(struct client *client, const struct client_options *options)
{
	client->watch.expired = watch_expired;
	client->epoch_time = time_now();
	client->loop = (struct loop_ring){.look = client_loop_look,
					  .want = &client->ring.view.client->want_doorbell,
					  .identity = client->ring.view.own_identity};
	client->next = clients;
	clients = client;
	loop_listener_add(&listener);
	client_ring_start(&client->ring);
	rooms_make(client, options->small, options->raw);
	if (CHANNEL_PEER_CORE(client->ring.view.peer) == self_core() && endpoint_open(&client->near, client->name) != ERR_OK)
		client->near.door = 0;
	loop_ring_add(&client->loop);
}

static void client_detach(struct client *client)
{
	struct client **at = &clients;
	while (*at != client)
		at = &(*at)->next;
	*at = client->next;
	loop_ring_remove(&client->loop);
	timer_cancel(&client->watch);
	if (client->near.door)
		endpoint_close(&client->near);
	free(client->gather_memory);
	free(client);
}

// Shares of a dead incarnation of ours: who has them is told, and answers.
static void former_take_back(const struct client_ring *ring)
{
	for (unsigned slot = 0; slot < ring->view.geometry.slots; slot++)
		if (ring->slots[slot].state == CLIENT_SLOT_FORMER && ring->view.requests[slot].grant)
			kcall(CALL_grant_recall, ring->view.slot, ring->view.requests[slot].grant);
}

// INV-32: waits until nothing of the former incarnation is in flight.
static enum error client_drain(struct client *client)
{
	client->drainer = fiber_self();
	if (client->ring.former) {
		former_take_back(&client->ring);
		former_hurry(&client->ring);
		client_watch_arm(client);
	}
	while (!client->lost && (client_look(client), client->ring.former > 0))
		fiber_park();
	client->drainer = 0;
	return client->lost ? ERR_PEER_LOST : ERR_OK;
}

enum error client_open(struct client **result, const char *service, const struct client_options *options)
{
	static const struct client_options defaults;
	unsigned slot;
	if (!options)
		options = &defaults;
	struct client *client = calloc(1, sizeof(*client));
	if (!client)
		return ERR_NO_MEMORY;
	strncpy(client->name, service, NAME_SIZE - 1);
	const struct component *mate = component_serving(service);
	enum error e = component_absent(service) ? ERR_PEER_LOST
		       : mate			 ? local_open(client, mate, options)
						 : client_slot_open(client, service, options, &slot);
	if (e == ERR_OK && !mate)
		e = channel_view_load(&client->ring.view, slot);
	if (e != ERR_OK) {
		free(client);
		return e;
	}
	if (mate) {
		*result = client;
		return ERR_OK;
	}
	client_attach(client, options);
	e = client_drain(client);
	if (e == ERR_OK)
		*result = client;
	else
		client_close(client);
	return e;
}

bool client_lost(const struct client *client)
{
	return client->lost;
}

void client_close(struct client *client)
{
	unsigned slot = client->ring.view.slot;
	if (client->local) {
		local_close(client);
		free(client);
		return;
	}
	client_lose(client);
	client_detach(client);
	kcall(CALL_channel_close, slot);
}

// --- requests

static inline int slot_take(struct client *client, const struct client_request *request)
{
	bool small = request->out_length <= CLIENT_SMALL_BYTES && request->in_length <= CLIENT_SMALL_BYTES;
	return small ? client_ring_slot_small(&client->ring) : client_ring_slot(&client->ring);
}

static enum error slot_wait(struct client *client, struct client_request *request, int *slot)
{
	while ((*slot = slot_take(client, request)) < 0) {
		if (client->lost)
			return ERR_PEER_LOST;
		if (loop_running())
			return ERR_AGAIN;
		if (client_look(client))
			continue;
		if (client->gather) { // it keeps slots
			client_gather_end(client);
			continue;
		}
		if (client->ring.held > 0)
			client_ring_want_commit(&client->ring);
		request->waiter = fiber_self();
		request->next = 0;
		if (client->waiting_first)
			client->waiting_last->next = request;
		else
			client->waiting_first = request;
		client->waiting_last = request;
		while (request->waiter)
			fiber_park();
	}
	return ERR_OK;
}

static bool request_fits(const struct client *client, const struct client_request *request)
{
	if (client->raw)
		return (uint64_t)request->out_offset + request->out_length <= client->out_room &&
		       (uint64_t)request->in_offset + request->in_length <= client->in_room;
	return request->out_length <= client->out_room && request->in_length <= client->in_room;
}

static enum error request_refuse(struct client_request *request, enum error e)
{
	request->completion = (struct completion){.status = e};
	request->done = true;
	return e;
}

static bool grant_is_used(const struct client_ring *ring, uint32_t grant)
{
	bool used = false;
	for (unsigned slot = 0; slot < ring->view.geometry.slots && !used; slot++)
		used = client_slot_waits(&ring->slots[slot]) && ring->view.requests[slot].grant == grant;
	return used;
}

// All places have one. One that belongs to an answer was not known when its server ended it: it ends when it is taken back.
static __attribute__((noinline, cold)) void places_recover(const struct client *client)
{
	for (unsigned i = 0; i < GRANT_PLACES; i++)
		if (!grant_is_used(&client->ring, client->grants[i]))
			kcall(CALL_grant_recall, client->ring.view.slot, client->grants[i]);
}

// In the next place. After another error than STATE it is free.
static inline __attribute__((always_inline)) struct kernel_short place_lend(struct client *client, const struct client_request *request)
{
	uint64_t how = (uint64_t)(request->lend_bytes / PAGE_SIZE) << 8 | PROT_READ | (request->lend_writable ? PROT_WRITE : 0);
	uint64_t place = client->lent++ % GRANT_PLACES;
	struct kernel_short r = kernel_call_short(CALL_grant_lend, client->ring.view.slot | place << 32, (uintptr_t)request->lend, how);
	if (r.error != ERR_STATE)
		client->grants[place] = (uint32_t)r.value;
	return r;
}

// In one of the others.
static __attribute__((noinline, cold)) struct kernel_short place_find(struct client *client, const struct client_request *request)
{
	struct kernel_short r = {.error = ERR_STATE};
	for (unsigned i = 1; i < GRANT_PLACES && r.error == ERR_STATE; i++)
		r = place_lend(client, request);
	if (r.error == ERR_STATE)
		places_recover(client);
	return r;
}

// Before anything can be seen of the request: it names the grant. A place whose grant was ended is free as soon as the answer is here.
static __attribute__((noinline)) enum error request_lend(struct client *client, const struct client_request *request, unsigned slot)
{
	if (request->lend_bytes % PAGE_SIZE)
		return ERR_INVALID;
	struct kernel_short r = place_lend(client, request);
	if (__builtin_expect(r.error == ERR_STATE, 0))
		r = place_find(client, request);
	client_ring_request(&client->ring, slot)->grant = (uint32_t)r.value;
	return (enum error)r.error;
}

// With `plain` nothing is to be copied, and nothing is lent.
static inline __attribute__((always_inline)) void request_write(struct client *client, const struct client_request *request,
								 unsigned slot, uint64_t now, bool plain)
{
	struct request *to = client_ring_request(&client->ring, slot);
	uint32_t out_offset = request->out_offset;
	uint32_t in_offset = request->in_offset;
	if (!client->raw) {
		out_offset = slot_place(client, slot, client->out_room);
		in_offset = slot_place(client, slot, client->in_room);
		if (!plain && request->out_length)
			memcpy(client->ring.view.out + out_offset, request->out, request->out_length);
	}
	to->op = request->op;
	to->flags = request->patient ? REQUEST_PATIENT : 0;
	to->time = now;
	to->arg[0] = request->arg[0];
	to->arg[1] = request->arg[1];
	to->arg[2] = request->arg[2];
	to->out_offset = out_offset;
	to->out_length = request->out_length;
	to->in_offset = in_offset;
	to->in_length = request->in_length;
	if (plain || !request->lend)
		to->grant = 0;
}

// Into the slot, and out.
static inline __attribute__((always_inline)) void request_put(struct client *client, struct client_request *request, unsigned slot,
							       bool plain)
{
	uint64_t now = time_read();
	request->slot = slot;
	client->ring.slots[slot].result = &request->completion;
	request_write(client, request, slot, now, plain);
	client_ring_submit(&client->ring, slot, now);
}

static struct inject_point submit_point = inject_point("runtime.submit");

static enum error request_submit(struct client *client, struct client_request *request, unsigned slot)
{
	if (submit_point.left <= 0)
		inject_fire(&submit_point);
	enum error e = request->lend ? request_lend(client, request, slot) : ERR_OK;
	if (e != ERR_OK) {
		client_ring_slot_return(&client->ring, slot);
		if (client->waiting_first)
			slot_waiter_wake(client);
		return request_refuse(request, e);
	}
	request_put(client, request, slot, false);
	if (!client->watched)
		client_watch_arm(client);
	return ERR_OK;
}

static __attribute__((noinline)) enum error submit_slowly(struct client *client, struct client_request *request)
{
	int slot = -1;
	if (!request_fits(client, request))
		return request_refuse(request, ERR_INVALID);
	if (client->local && !client->lost)
		return local_submit(client, request, false);
	enum error e = client->lost ? ERR_PEER_LOST : slot_wait(client, request, &slot);
	return e == ERR_OK ? request_submit(client, request, (unsigned)slot) : request_refuse(request, e);
}

// Nothing is to be called for it, so that the usual case keeps no register.
static inline bool submit_is_plain(const struct client *client, const struct client_request *request)
{
	return client->ring.free_count != 0 && !client->lost && client->watched && !request->lend &&
	       (client->raw || request->out_length == 0) && request_fits(client, request);
}

enum error client_submit(struct client *client, struct client_request *request)
{
	request->done = false;
	request->waiter = 0;
	if (__builtin_expect(--submit_point.left <= 0 || !submit_is_plain(client, request), 0))
		return submit_slowly(client, request);
	request_put(client, request, (unsigned)slot_take(client, request), true);
	return ERR_OK;
}

// True: something came meanwhile. A server that sleeps has been rung by our submission: it is on its way, and looks for
// our next request when it is done, so we are as likely to meet it as one that was awake.
bool client_spin(struct client *client)
{
	const struct channel_view *view = &client->ring.view;
	if (client->offence_time || fiber_any_ready() || !channel_view_peer_runs(view) || !spin_try(&client->spin))
		return false;
	loop_lower();
	bool found = false;
	for (unsigned i = 0; i < SPIN_LOOKS && !found; i++)
		found = client_ring_pending(&client->ring);
	spin_learn(&client->spin, found);
	return found;
}

// INV-31: ends by the completion, or by client_lose.
enum error client_wait(struct client *client, struct client_request *request)
{
	if (++client->waits % CLIENT_WAITS_PER_POLL == 0)
		loop_poll();
	while (!request->done) {
		if (!client->local && (client_look(client) || client_spin(client)))
			continue;
		request->waiter = fiber_self();
		fiber_park();
		request->waiter = 0;
	}
	return (enum error)request->completion.status;
}

void client_cancel(struct client *client, struct client_request *request)
{
	if (client->local) {
		local_cancel(client, request);
		return;
	}
	const struct client_slot *s = &client->ring.slots[request->slot];
	if (!request->done && s->result == &request->completion && client_slot_waits(s))
		client_ring_cancel(&client->ring, request->slot);
}

// A server of our own core cannot run while we do: the call gives it the core, and comes back when it has nothing more to do. It
// says no more than a ring would, so an error is none: then we ring.
static void client_meet(struct client *client)
{
	if (endpoint_trap_0(CALL_endpoint_call, client->near.door).error != ERR_OK)
		channel_view_ring(&client->ring.view, &client->ring.view.server->want_doorbell);
}

static enum error call_near(struct client *client, struct client_request *request)
{
	client->ring.hushed = true;
	enum error e = client_submit(client, request);
	client->ring.hushed = false;
	if (e != ERR_OK)
		return e;
	client_meet(client);
	return client_wait(client, request);
}

static __attribute__((noinline)) enum error call_mate(struct client *client, struct client_request *request)
{
	request->done = false;
	request->waiter = 0;
	if (!request_fits(client, request))
		return request_refuse(request, ERR_INVALID);
	enum error e = local_submit(client, request, true);
	return e == ERR_OK ? client_wait(client, request) : e;
}

enum error client_call(struct client *client, struct client_request *request)
{
	if (__builtin_expect(client->local != 0, 0))
		return call_mate(client, request);
	if (client->near.door && client->ring.free_count > 0 && !fiber_any_ready())
		return call_near(client, request);
	enum error e = client_submit(client, request);
	return e == ERR_OK ? client_wait(client, request) : e;
}

// Its server has answered: then nothing of it is lent any more.
static bool request_is_answered(const struct client_request *request)
{
	return request->done && request->completion.status != ERR_PEER_LOST;
}

// From now on it is owed an answer. Its kernel is asked until it has said so: it is on its way, or is started again.
enum error client_take_back(struct client *client, struct client_request *request)
{
	struct request *shared = client_ring_request(&client->ring, request->slot);
	enum error e = ERR_AGAIN;
	if (request_is_answered(request))
		return ERR_OK;
	if (client->local)
		return local_take_back(client, request);
	shared->flags = 0;
	client->ring.slots[request->slot].submitted = time_now();
	while (!request_is_answered(request) && (e = kcall(CALL_grant_recall, client->ring.view.slot, shared->grant).error) == ERR_AGAIN)
		fiber_sleep_us(TAKE_BACK_US);
	return request_is_answered(request) ? ERR_OK : e;
}

// Ours until the answer is here: who dies before that has lost nothing.
enum error client_give(struct client *client, struct client_request *request)
{
	enum error e = client_call(client, request);
	if (e == ERR_OK)
		kcall(CALL_memory_free, (uintptr_t)request->lend);
	return e;
}

void client_never_spins(struct client *client, bool never)
{
	client->spin = (struct spin){.pass = never ? SPIN_PASS_ALL : 0};
}

bool client_resumed(const struct client *client)
{
	return client->resumed;
}

uint32_t client_out_room(const struct client *client)
{
	return client->out_room;
}

uint32_t client_in_room(const struct client *client)
{
	return client->in_room;
}

void *client_out(struct client *client)
{
	return client->ring.view.out;
}

const void *client_in(const struct client *client)
{
	return client->ring.view.in;
}

void *client_session(struct client *client)
{
	return client->ring.view.client->session;
}

unsigned client_slot(const struct client *client)
{
	return client->ring.view.slot;
}

uint32_t client_server_epoch(const struct client *client)
{
	return client->ring.epoch;
}
