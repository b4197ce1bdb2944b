// Opening and closing of channels within a domain (local.h).
//
// Owns nothing between calls. A raw client's areas lie in a vault, so that what it keeps there is found by its next incarnation; all
// else goes with the domain. If the domain dies in here, a vault without a label is taken by whoever opens the next one.
#include "runtime/channel_open.h"
#include "runtime/local_channel.h"
#include <stdlib.h>
#include <string.h>

#define LOCAL_SLOTS 64u        // when the options say 0
#define LOCAL_SLOT_BYTES 4096u // of out and in for each slot, when the options say 0

static bool protocol_is_logged(const struct protocol *protocol)
{
	for (unsigned op = 0; op < protocol->op_count; op++)
		if (protocol->ops[op].attribute == OP_ONCE)
			return true;
	return false;
}

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
	enum error e = ERR_OK;
	view->geometry = *wish;
	if (local->raw)
		e = vault_take(local, client, wish);
	else if (!(view->client = page_make())) // for its session
		e = ERR_NO_MEMORY;
	else if (self_manifest()->flags & SERVICE_FLAG_DMA)
		e = local_areas_make(local); // later there is nobody to whom an error could be told
	local->out_room = (uint32_t)(view->geometry.out_bytes / (local->raw ? 1 : local->slots));
	local->in_room = (uint32_t)(view->geometry.in_bytes / (local->raw ? 1 : local->slots));
	return e;
}

static enum error local_make(struct local *local, struct client *client, const struct client_options *options)
{
	struct channel_geometry g;
	local->raw = options->raw;
	local->slots = options->slots ? options->slots : LOCAL_SLOTS;
	uint64_t otherwise = (uint64_t)local->slots * LOCAL_SLOT_BYTES;
	if (!channel_layout(&g, local->slots, options->out_bytes ? options->out_bytes : otherwise,
			    options->in_bytes ? options->in_bytes : otherwise))
		return ERR_INVALID;
	local->asked = calloc(local->slots, sizeof(struct client_request *));
	local->channel = calloc(1, sizeof(*local->channel) + local->slots * sizeof(struct server_request));
	if (!local->asked || !local->channel)
		return ERR_NO_MEMORY;
	local->channel->local = local;
	for (unsigned i = local->slots; i-- > 0;) {
		struct server_request *request = &local->channel->requests[i];
		*request = (struct server_request){.channel = local->channel, .slot = i, .next = local->free};
		local->free = request;
	}
	enum error e = local_areas(local, client, &g);
	local->channel->ring.view.peer = CHANNEL_PEER(self_core(), self_domain(), self_epoch());
	if (e == ERR_OK && local->server->accept && !local->server->accept(local->channel))
		e = ERR_REFUSED;
	return e;
}

// A vault stays: it is the next incarnation's, or the next opener's.
static void local_free(struct local *local)
{
	struct server_channel *channel = local->channel;
	if (channel && !local->raw) {
		if (channel->ring.view.out)
			kcall(CALL_memory_free, channel->ring.view.out);
		free(channel->ring.view.client);
	} else if (channel && channel->ring.view.client) {
		channel_vault_leave(channel->ring.view.slot);
	}
	free(channel);
	free(local->asked);
	free(local);
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

enum error local_open(struct client *client, const struct component *component, const struct client_options *options)
{
	if (protocol_is_logged(component->server->protocol)) {
		log_line("%s cannot be in its client's domain: its log would die with its client", component->name);
		return ERR_UNSUPPORTED;
	}
	struct local *local = calloc(1, sizeof(*local));
	if (!local)
		return ERR_NO_MEMORY;
	local->server = component->server;
	local->mate = mate_of(component);
	enum error e = local->mate ? local_make(local, client, options) : ERR_NO_MEMORY;
	if (e != ERR_OK) {
		local_free(local);
		return e;
	}
	client_fill(client, local);
	local->watch.expired = local_watch_expired;
	local->loop = (struct loop_ring){.look = local_look, .want = &local->wants_doorbell, .identity = IDENTITY_MAX};
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
	if (channel->owned && local->server->closing)
		local->server->closing(channel);
	channel->closing_told = true;
	if (channel->released)
		local_free(local);
	else
		local_end_if_idle(channel);
}

void local_release(struct server_channel *channel)
{
	channel->released = true;
	if (channel->closing_told)
		local_free(channel->local);
}
