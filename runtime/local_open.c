// Opening and closing of channels within a domain (local.h).
//
// Owns nothing between calls. A raw client's areas lie in a vault, so that what it keeps there is found by its next incarnation, and so
// does a log (local_log.c); all else goes with the domain. If the domain dies in here, a vault without a label is taken by whoever opens the next one.
#include "runtime/channel_open.h"
#include "runtime/local_channel.h"
#include "runtime/trace.h"
#include <stdlib.h>
#include <string.h>

#define LOCAL_SLOTS 64u        // when the options say 0
#define LOCAL_PAYLOAD_ALIGN 64u // as in client.c
#define LOCAL_SLOT_BYTES 4096u // of out and in for each slot, when the options say 0

// Both areas are the writable one of a vault, for what stands for the peer is not there to write.
static enum error vault_take(struct local *local, struct client *client, const struct channel_geometry *wish)
{
	unsigned slot;
	struct channel_view *view = &local->channel->ring.view;
	enum error e = channel_vault_open(client->name, wish->out_bytes + wish->in_bytes, &slot, &client->resumed);
	if (e == ERR_OK)
		e = channel_view_load(view, slot);
	if (e != ERR_OK)
		return e;
	if (view->geometry.out_bytes <= wish->in_bytes)
		return ERR_PROTOCOL;
	view->geometry.in_bytes = wish->in_bytes;
	view->geometry.out_bytes -= wish->in_bytes;
	view->in = view->out + view->geometry.out_bytes;
	local->physical_base = (const uint8_t *)view->client;
	return ERR_OK;
}

static struct channel_client_page *page_make(void)
{
	void *page = aligned_alloc(_Alignof(struct channel_client_page), sizeof(struct channel_client_page));
	return page ? memset(page, 0, sizeof(struct channel_client_page)) : 0;
}

static enum error local_areas(struct local *local, struct client *client, const struct channel_geometry *wish)
{
	struct channel_view *view = &local->channel->ring.view;
	static unsigned opened;
	view->geometry = *wish;
	view->slot = TRACE_MATES + opened++ % TRACE_MATES; // one in a vault has the vault's
	if (local->raw)
		return vault_take(local, client, wish);
	if (local->logged)
		return local_log_make(local, client->name, wish);
	if (!(view->client = page_make())) // for its session
		return ERR_NO_MEMORY;
	if (self_manifest()->flags & SERVICE_FLAG_DMA)
		return local_areas_make(local); // later there is nobody to whom an error could be told
	return ERR_OK;
}

// Areas and slots as wished for. Small slots are left out: what they would have room for stays where the client has it.
static bool geometry_wished(struct channel_geometry *g, const struct client_options *options)
{
	uint64_t slots = options->slots ? options->slots : LOCAL_SLOTS, otherwise = slots * LOCAL_SLOT_BYTES;
	uint64_t out = options->out_bytes ? options->out_bytes : otherwise, in = options->in_bytes ? options->in_bytes : otherwise;
	uint64_t small = (uint64_t)options->small * CLIENT_SMALL_BYTES;
	if (options->small && options->small < slots && small < out && small < in &&
	    channel_layout(g, slots - options->small, out - small, in - small))
		return true;
	return channel_layout(g, slots, out, in);
}

struct local *local_make(struct mate *mate, unsigned slots)
{
	struct local *local = calloc(1, sizeof(*local));
	struct client_request **asked = calloc(slots, sizeof(*asked));
	struct server_channel *channel = calloc(1, sizeof(*channel) + slots * sizeof(struct server_request));
	if (!local || !asked || !channel) {
		free(local);
		free(asked);
		free(channel);
		return 0;
	}
	*local = (struct local){.mate = mate, .server = mate->component->server, .channel = channel, .asked = asked, .slots = slots};
	local->logged = protocol_is_logged(local->server->protocol);
	channel->local = local;
	channel->order = &mate->order;
	for (unsigned i = 0; i < slots; i++) {
		channel->requests[i].channel = channel;
		channel->requests[i].slot = i;
	}
	return local;
}

static enum error local_furnish(struct local *local, struct client *client, const struct channel_geometry *wish)
{
	for (unsigned i = local->slots; i-- > 0;)
		local_slot_free(local, &local->channel->requests[i]);
	enum error e = local_areas(local, client, wish);
	local->channel->ring.view.peer = CHANNEL_PEER(self_core(), self_domain(), self_epoch());
	return e;
}

// A vault stays: it is the next incarnation's, or the next opener's.
void local_free(struct local *local)
{
	struct server_channel *channel = local->channel;
	const struct channel_view *view = &channel->ring.view;
	if (local->raw || local->logged) {
		if (view->client)
			channel_vault_leave(view->slot);
	} else {
		if (view->out)
			kcall(CALL_memory_free, view->out);
		free(view->client);
	}
	free(channel);
	free(local->asked);
	free(local);
}

static void local_let_go(struct local *local)
{
	if (local->logged)
		local_log_end(local);
	else
		local_free(local);
}

static void client_fill(struct client *client, struct local *local)
{
	client->local = local;
	client->raw = local->raw;
	client->out_room = local->out_room;
	client->in_room = local->in_room;
	client->ring.view = local->channel->ring.view;
	client->ring.epoch = self_epoch();
}

// A log that was adopted is taken as it is.
static enum error local_get(struct local **result, struct client *client, struct mate *mate, const struct client_options *options)
{
	struct channel_geometry g;
	if (!geometry_wished(&g, options))
		return ERR_INVALID;
	struct local *local = *result = local_log_former(mate, client->name, g.slots);
	client->resumed = local != 0;
	if (local)
		return ERR_OK;
	if (!(local = local_make(mate, g.slots)))
		return ERR_NO_MEMORY;
	local->raw = options->raw;
	enum error e = local_furnish(local, client, &g);
	if (e != ERR_OK) {
		local_free(local);
		return e;
	}
	if (local->logged)
		local_log_add(local);
	*result = local;
	return ERR_OK;
}

static void local_begin(struct local *local)
{
	const struct channel_geometry *g = &local->channel->ring.view.geometry;
	local->out_room = (uint32_t)(g->out_bytes / (local->raw ? 1 : local->slots)) & ~(LOCAL_PAYLOAD_ALIGN - 1);
	local->in_room = (uint32_t)(g->in_bytes / (local->raw ? 1 : local->slots)) & ~(LOCAL_PAYLOAD_ALIGN - 1);
	trace_mate(local->channel->ring.view.slot, local->mate->component->name);
	local->quick_from = local->server->quick_from && !trace_is_on() ? local->server->quick_from : ~0u;
	local->watch.expired = local_watch_expired;
	local->loop = (struct loop_ring){.look = local_look, .want = &local->wants_doorbell, .identity = IDENTITY_MAX};
}

enum error local_open(struct client *client, const struct component *component, const struct client_options *options)
{
	struct local *local;
	enum error e = local_log_refuses(component, options->raw);
	if (e != ERR_OK)
		return e;
	struct mate *mate = mate_of(component);
	e = mate ? local_get(&local, client, mate, options) : ERR_NO_MEMORY;
	if (e != ERR_OK)
		return e;
	local_begin(local);
	if (local->server->accept && !local->server->accept(local->channel)) {
		local_let_go(local);
		return ERR_REFUSED;
	}
	client_fill(client, local);
	loop_ring_add(&local->loop);
	return ERR_OK;
}

// --- closing

static void client_request_lose(struct client_request *request)
{
	bool outside = !loop_running();
	request->completion = (struct completion){.status = ERR_PEER_LOST};
	request->done = true;
	if (outside)
		loop_enter();
	if (request->completed)
		request->completed(request);
	else if (request->waiter)
		fiber_wake(request->waiter);
	if (outside)
		loop_leave();
}

// The server has nothing of a client that is gone: it is told, and lets go.
void local_end_if_idle(struct server_channel *channel)
{
	if (!channel->closing_told || channel->owned || channel->closed_told)
		return;
	channel->closed_told = true;
	if (channel->local->server->closed)
		channel->local->server->closed(channel);
	else
		local_release(channel);
}

void local_close(struct client *client)
{
	struct local *local = client->local;
	struct server_channel *channel = local->channel;
	invariant(!local->waiting_first); // or they would wait in memory that is gone
	client->lost = true;
	loop_ring_remove(&local->loop);
	timer_cancel(&local->watch);
	for (struct client_request *ended = local->ended_first, *next; ended; ended = next) {
		next = ended->next;
		client_request_lose(ended);
	}
	for (unsigned i = 0; i < local->slots; i++) {
		struct client_request *asked = local->asked[i];
		local->asked[i] = 0;
		if (asked)
			client_request_lose(asked);
	}
	channel->closing = true;
	server_runtime_closing(channel);
	if (channel->owned && local->server->closing)
		local->server->closing(channel);
	channel->closing_told = true;
	if (channel->released)
		local_let_go(local);
	else
		local_end_if_idle(channel);
}

void local_release(struct server_channel *channel)
{
	channel->released = true;
	if (channel->closing_told)
		local_let_go(channel->local);
}
