// The log of a component whose operations are logged and whose clients are of its own domain (local.h).
//
// Owns, for each such channel, what a client's ring is elsewhere: requests, their payload and their records, in the layout of
// include/abi/channel.h, but in a vault (channel_open.h), for client and server die together and the log has to outlive both. It is kept by the same
// code as every ring (server_ring.h). It must never forget a record above the mark, nor perform what has none: whoever asked for that
// died before he was told, and whoever asked him asks again. Right because an operation that is logged is laid here before its server
// sees it, recorded before its effect (server_record), and its slot is free no sooner than its serial is committed. If the domain dies,
// its next incarnation adopts all logs of a component before it starts that, and performs again what is above its mark. The supervisor
// notices the death; clients of the domain see time.
#include "runtime/channel_open.h"
#include "runtime/inject.h"
#include "runtime/local_channel.h"
#include "runtime/trace.h"
#include <stdlib.h>
#include <string.h>

#define LOG_SHORT 4u    // with less than this part of the slots free a commit is asked for,
#define LOG_RESERVE 16u // or with fewer than this, as in client.c

struct log_geometry { // in the vault, behind its label; all 0 at first
	uint64_t slots;
	uint64_t out_bytes;
	uint64_t in_bytes;
};

static struct mate *log_mate; // a domain has one log

// --- the vault

static bool log_layout(struct channel_geometry *g, const struct log_geometry *saved)
{
	return saved->slots && channel_layout(g, saved->slots, saved->out_bytes, saved->in_bytes);
}

// The view of the log as its server has it: all but `in`, which the client has in its own memory, lies in the vault. False: no room for it.
static bool log_view(struct local *local, unsigned slot, const struct channel_geometry *g)
{
	struct channel_view *view = &local->channel->ring.view;
	if (channel_view_load(view, slot) != ERR_OK || view->geometry.out_bytes < g->in)
		return false;
	uint8_t *base = view->out;
	view->geometry = *g;
	view->client = (struct channel_client_page *)(void *)base;
	view->server = (struct channel_server_page *)(void *)(base + PAGE_SIZE);
	view->requests = (struct request *)(void *)(base + g->requests);
	view->records = (struct completion *)(void *)(base + g->records);
	view->out = base + g->out;
	view->in = 0;
	view->physical = 0;
	view->secret = view->key; // nobody here has another
	view->peer = CHANNEL_PEER(self_core(), self_domain(), self_epoch());
	trace_mate(slot, local->mate->component->name); // before it is replayed
	return true;
}

// The next incarnation tells by the geometry that there is a log: it comes last.
enum error local_log_make(struct local *local, const char *name, const struct channel_geometry *g)
{
	unsigned slot;
	bool resumed;
	enum error e = channel_vault_open(name, g->in, &slot, &resumed);
	if (e != ERR_OK)
		return e;
	if (!log_view(local, slot, g))
		return ERR_PROTOCOL;
	struct log_geometry *saved = channel_vault_notes(slot);
	store64(&saved->slots, 0); // of an earlier log, which has ended
	memset(local->channel->ring.view.client, 0, g->out);
	server_ring_adopt(&local->channel->ring, self_epoch());
	server_ring_commit(&local->channel->ring, local->mate->order.mark, local->mate->order.serial);
	saved->out_bytes = g->out_bytes;
	saved->in_bytes = g->in_bytes;
	store64(&saved->slots, g->slots);
	return ERR_OK;
}

// --- adoption

static void log_slot_adopt(struct local *local, unsigned slot, struct server_replays *replays)
{
	struct server_ring *ring = &local->channel->ring;
	struct server_request *request = &local->channel->requests[slot];
	enum adopted found = server_ring_adopt_slot(ring, slot, local->server->protocol, &request->copy, &request->former);
	if (found == ADOPTED_RECORDED || found == ADOPTED_DEADLY) {
		if (request->former.serial > local->mate->order.serial) // INV-27
			local->mate->order.serial = request->former.serial;
		request->once = true;
		request->deadly = found == ADOPTED_DEADLY;
		local->held++;
		server_replays_add(replays, request);
		return;
	}
	if (found == ADOPTED_TO_DO && server_ring_validate(ring, local->server->protocol, &request->copy) == ERR_OK &&
	    server_runtime_adopted(&request->copy, ring->view.out + request->copy.out_offset)) {
		request->owned = true; // it is for a later one
		local->channel->owned++;
		return;
	}
	if (found == ADOPTED_CORRUPT)
		log_line("%s: slot %u of its log: the record is spoilt, it is left out", local->mate->component->name, slot);
	store32(&ring->view.requests[slot].seq, 0);
	local_slot_free(local, request);
}

static void log_adopt(struct mate *mate, const char *name, unsigned vault, struct server_replays *replays)
{
	struct channel_geometry g;
	if (!log_layout(&g, channel_vault_notes(vault))) { // its maker died in between: there is nothing in it
		channel_vault_leave(vault);
		return;
	}
	struct local *local = local_make(mate, g.slots);
	invariant(local && log_view(local, vault, &g)); // else operations would be lost; the restart rule decides
	inject_shown("runtime.adopt");
	struct server_ring *ring = &local->channel->ring;
	server_ring_adopt(ring, self_epoch());
	ring->first_new = 0; // its clients have died with us: nothing comes by the ring
	if (server_ring_recorded(ring) > mate->order.serial)
		mate->order.serial = server_ring_recorded(ring); // serials never restart (INV-27)
	local->seq = load32(&ring->view.client->next_seq);
	local->name = name;
	for (unsigned slot = g.slots; slot-- > 0;)
		log_slot_adopt(local, slot, replays);
	local_log_add(local);
}

void local_log_adopt(struct mate *mate, struct server_replays *replays)
{
	const struct manifest_service *self = self_manifest();
	if (!protocol_is_logged(mate->component->server->protocol))
		return;
	log_mate = mate;
	for (unsigned i = 0; i < self->mates_count && i < MANIFEST_MATES_MAX; i++) {
		if (component_serving(self->mates[i]) != mate->component)
			continue;
		for (int slot = channel_vault_next(self->mates[i], 0); slot >= 0; slot = channel_vault_next(self->mates[i], (unsigned)slot + 1))
			log_adopt(mate, self->mates[i], (unsigned)slot, replays);
	}
}

// As the caller of the first time did, of whom nothing is left: nobody looks at the answer's payload.
static void log_perform(struct server_request *request)
{
	struct server_channel *channel = request->channel;
	struct channel_server_page *page = channel->ring.view.server;
	void *in = malloc(request->copy.in_length + 1);
	invariant(in != 0);
	request->out = channel->ring.view.out + request->copy.out_offset;
	request->in = in;
	request->owned = true;
	request->logged = false;
	payload_begin(&request->sum, channel->ring.view.secret);
	channel->owned++;
	channel->local->held--;
	store32(&page->working, request->slot + 1);
	mate_begin(channel->local->mate, request, true);
	while (request->owned)
		fiber_yield();
	store32(&page->working, 0);
	free(in);
}

void local_log_replay(struct mate *mate, uint64_t mark, struct server_replays *replays)
{
	if (mate->order.serial < mark)
		mate->order.serial = mark;
	server_replays_perform(replays, mark, mate->component->server, log_perform);
	if (mate == log_mate)
		local_log_commit(mark);
}

// One of the former incarnation that nobody has, of so many slots if there is such a one; 0: none.
struct local *local_log_former(const struct mate *mate, const char *name, unsigned slots)
{
	struct local *found = 0;
	for (struct local *local = mate->logs; local; local = local->next)
		if (local->name && !strncmp(local->name, name, NAME_SIZE) && (!found || local->slots == slots))
			found = local;
	if (found)
		found->name = 0;
	return found;
}

void local_log_add(struct local *local)
{
	local->next = local->mate->logs;
	local->mate->logs = local;
}

// --- operations

// Into the log, before the server sees it: seq last.
void local_log_lay(struct local *local, const struct client_request *from, struct server_request *request)
{
	struct channel_view *view = &local->channel->ring.view;
	struct request *to = &view->requests[request->slot], whole;
	request->copy.out_offset = request->slot * local->out_room;
	request->out = view->out + request->copy.out_offset;
	if (from->out_length)
		memcpy(view->out + request->copy.out_offset, from->out, from->out_length);
	request->logged = false;
	payload_begin(&request->sum, view->secret);
	whole = request->copy;
	whole.seq = 0;
	store32(&view->client->next_seq, request->copy.seq);
	request_copy(to, &whole);
	fence_publish(); // all before seq; partner: the scan of the next incarnation
	store32(&to->seq, request->copy.seq);
}

// What stands in that slot is recorded, and not durable yet.
static bool log_holds(const struct local *local, unsigned slot)
{
	const struct channel_view *view = &local->channel->ring.view;
	uint32_t seq = view->requests[slot].seq;
	return seq && view->records[slot].seq == seq && view->records[slot].serial > local->mate->order.mark;
}

static bool log_keeps(struct local *local, unsigned slot)
{
	if (log_holds(local, slot))
		return true;
	store32(&local->channel->ring.view.requests[slot].seq, 0);
	return false;
}

bool local_log_complete(struct local *local, struct server_request *request, enum error status, const uint64_t result[5])
{
	if (request->once)
		inject("runtime.complete");
	if (request->replayed)
		server_replay_compare(request, status, result);
	request->replayed = false;
	bool kept = log_keeps(local, request->slot);
	local->held += kept;
	return kept;
}

// Slots run short that a commit would free.
void local_log_hurry(struct local *local)
{
	unsigned few = local->slots / LOG_SHORT < LOG_RESERVE ? local->slots / LOG_SHORT : LOG_RESERVE;
	unsigned left = local->slots - local->channel->owned - local->held;
	if (local->hurried || left >= few || !local->held || !local->server->commit_wanted)
		return;
	local->hurried = true;
	loop_enter();
	local->server->commit_wanted();
	loop_leave();
}

static void log_commit(struct local *local)
{
	struct server_channel *channel = local->channel;
	const struct channel_view *view = &channel->ring.view;
	server_ring_commit(&channel->ring, local->mate->order.mark, local->mate->order.serial);
	for (unsigned slot = 0; slot < local->slots; slot++) {
		struct server_request *request = &channel->requests[slot];
		if (request->owned || !view->requests[slot].seq)
			continue;
		if (log_keeps(local, slot))
			continue;
		local->held--;
		local_slot_free(local, request);
	}
	local->hurried = false;
}

bool local_log_commit(uint64_t serial)
{
	if (!log_mate)
		return false;
	invariant(serial <= log_mate->order.serial); // RECOVERY rule 8
	if (serial > log_mate->order.mark)
		log_mate->order.mark = serial;
	for (struct local *local = log_mate->logs, *next; local; local = next) {
		next = local->next;
		log_commit(local);
		if (local->ended)
			local_log_end(local);
	}
	return true;
}

// Its client is gone, and its server has let go of it. What is not durable stays adoptable.
void local_log_end(struct local *local)
{
	struct local **at = &local->mate->logs;
	local->ended = true;
	if (local->held)
		return;
	while (*at != local)
		at = &(*at)->next;
	*at = local->next;
	local_free(local);
}

// --- facts

const struct server_order *local_log_order(void)
{
	return log_mate ? &log_mate->order : 0;
}

bool local_log_session_any(bool (*has)(const struct server_channel *channel, const void *session, uint64_t word), uint64_t word)
{
	for (const struct local *local = log_mate->logs; local; local = local->next)
		if (!local->channel->closing && has(local->channel, local->channel->ring.view.client->session, word))
			return true;
	return false;
}

enum error local_log_refuses(const struct component *component, bool raw)
{
	const char *name = component->name;
	if (!protocol_is_logged(component->server->protocol))
		return ERR_OK;
	if (self_manifest()->flags & SERVICE_FLAG_APP)
		log_line("%s cannot be in the domain of an app: its operations are logged, and nobody starts an app again to perform them",
			 name);
	else if (raw)
		log_line("%s cannot take payload from where its client has it: its operations are logged", name);
	else if (server_is_logged() || (log_mate && log_mate->component != component))
		log_line("%s cannot be in this domain beside %s: both have operations that are logged, and a domain has one log", name,
			 log_mate ? log_mate->component->name : component_own()->name);
	else
		return ERR_OK;
	return ERR_UNSUPPORTED;
}
