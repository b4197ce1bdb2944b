// Channel ends (channel.h).
#include "kernel/channel.h"
#include "abi/info_read.h"
#include "core-local/info.h"
#include "boot/plan.h"
#include "kernel/grant.h"
#include "kernel/kernel.h"
#include "kernel/mesh.h"
#include "kernel/schedule.h"
#include <string.h>

static uint64_t window(unsigned slot)
{
	return GPA_CHANNEL + slot * CHANNEL_WINDOW;
}

static void event_raise(struct domain *d, uint64_t *bits, unsigned slot)
{
	*bits |= 1ul << slot;
	domain_ring(d, IDENTITY_EVENT);
}

static void notice_mark(struct domain *d, struct channel_end *e)
{
	e->notice = true;
	d->core->notices |= 1u << d->index;
}

// ---- mapping

// Each side maps what the other writes read-only (INV-20).
static enum error end_map(struct domain *d, unsigned slot)
{
	struct channel_end *e = &d->ends[slot];
	struct channel_geometry g;
	if (e->mapped || e->bytes == 0)
		return ERR_OK;
	if (!channel_layout(&g, e->slots, e->out_bytes, e->in_bytes))
		return ERR_INVALID;
	bool client = e->role == CHANNEL_ROLE_CLIENT;
	unsigned mine = PROT_READ | PROT_WRITE, theirs = PROT_READ;
	const struct {
		uint64_t from, to;
		bool of_client;
	} parts[] = {
	    {0, PAGE_SIZE, true},   {PAGE_SIZE, g.requests, false}, {g.requests, g.records, true},
	    {g.records, g.out, false}, {g.out, g.in, true},         {g.in, g.bytes, false},
	};
	enum error error = ERR_OK;
	for (unsigned i = 0; i < 6 && error == ERR_OK; i++) {
		uint64_t from = parts[i].from, bytes = parts[i].to - from;
		if (bytes > 0)
			error = domain_map(d, window(slot) + from, e->memory + from, bytes, parts[i].of_client == client ? mine : theirs);
	}
	e->mapped = error == ERR_OK;
	if (!e->mapped)
		domain_unmap(d, window(slot), g.bytes);
	return error;
}

static void end_unmap(struct domain *d, unsigned slot)
{
	struct channel_end *e = &d->ends[slot];
	if (e->role == CHANNEL_ROLE_SERVER && e->bytes)
		grants_change(d, slot, GRANTS_UNMAP);
	if (!e->mapped)
		return;
	domain_unmap(d, window(slot), e->bytes);
	e->mapped = false;
}

static void doorbell_map(struct domain *d, unsigned slot)
{
	struct channel_end *e = &d->ends[slot];
	const struct plan *plan = d->core->plan;
	if (e->doorbell_mapped || e->peer_file == 0 || e->peer_file > plan->guest_files)
		return;
	paddr_t page = plan->cores[e->peer_core].imsic + e->peer_file * PAGE_SIZE;
	if (domain_map(d, GPA_DOORBELL + slot * PAGE_SIZE, page, PAGE_SIZE, PROT_READ | PROT_WRITE) == ERR_OK)
		e->doorbell_mapped = true; // else the kernel passes the rings on
}

static void doorbell_unmap(struct domain *d, unsigned slot)
{
	if (d->ends[slot].doorbell_mapped)
		domain_unmap(d, GPA_DOORBELL + slot * PAGE_SIZE, PAGE_SIZE);
	d->ends[slot].doorbell_mapped = false;
}

// ---- life of an end

static int end_free_slot(const struct domain *d)
{
	for (unsigned i = 0; i < CHANNEL_MAX; i++)
		if (d->ends[i].state == CHANNEL_FREE)
			return (int)i;
	return -1;
}

struct channel_end *channel_end_of(struct domain *d, uint64_t slot)
{
	return slot < CHANNEL_MAX && d->ends[slot].state != CHANNEL_FREE ? &d->ends[slot] : 0;
}

static uint32_t identity_for(struct domain *d, unsigned priority)
{
	unsigned last = d->core->plan->identities;
	unsigned share = (last + 1 - IDENTITY_CHANNEL) / CHANNEL_PRIORITIES;
	unsigned first = IDENTITY_CHANNEL + priority * share;
	uint32_t identity = domain_identity_take(d, first, first + share - 1);
	return identity ? identity : domain_identity_take(d, IDENTITY_CHANNEL, last);
}

// INV-8: both sides have unmapped it (client), or ours is unmapped and the peer needs no more word (server).
static void end_free(struct domain *d, unsigned slot)
{
	struct channel_end *e = &d->ends[slot];
	end_unmap(d, slot);
	doorbell_unmap(d, slot);
	grants_change(d, slot, GRANTS_OVER);
	if (e->role == CHANNEL_ROLE_CLIENT && e->memory && d->core->peers[e->peer_core].fenced) // it may still be written
		frames_quarantine(&d->core->frames, e->memory, e->bytes / PAGE_SIZE, (uint16_t)(d->index + 1));
	else if (e->role == CHANNEL_ROLE_CLIENT && e->memory)
		domain_frames_free(d, e->memory, e->bytes / PAGE_SIZE);
	if (e->identity)
		domain_identity_give(d, e->identity);
	d->event_request &= ~(1ul << slot);
	d->event_closed &= ~(1ul << slot);
	d->event_state &= ~(1ul << slot);
	memset(e, 0, sizeof(*e));
	if (d->state == DOMAIN_DYING)
		domain_bury_if_free(d);
}

// Server: our side is unmapped for good; the end is free when the client's kernel knows.
static void end_release(struct domain *d, unsigned slot)
{
	struct channel_end *e = &d->ends[slot];
	end_unmap(d, slot);
	doorbell_unmap(d, slot);
	e->state = CHANNEL_LOST; // a request that was given up is not accepted any more
	e->released = true;
	notice_mark(d, e);
}

static void end_refuse(struct domain *d, unsigned slot, enum error error)
{
	struct channel_end *e = &d->ends[slot];
	mesh_answer(d->core, (struct origin){e->peer_core, e->request, true}, error, call_nothing);
	end_free(d, slot);
}

// ---- client side

// What is published on a core that is fenced off will not come back: as good as held.
static bool service_find(const struct core *core, const uint64_t name[2], unsigned *on, struct info_service *found)
{
	struct info_page page;
	bool held = false;
	for (unsigned i = 0; i < core->core_count; i++) {
		bool there = info_copy(partition_info(core->plan->cores[i].partition), &page) && page.state == CORE_ONLINE;
		const struct info_service *s = there ? info_service_named(&page, (const char *)name) : 0;
		if (!s)
			continue;
		*on = i;
		*found = *s;
		held = core->peers[i].fenced;
		if (!held)
			return true;
		found->state = SERVICE_HELD;
	}
	return held;
}

static enum error client_end_fill(struct domain *d, unsigned slot, const struct invocation *c, unsigned on,
				  const struct info_service *s, uint64_t bytes)
{
	struct channel_end *e = &d->ends[slot];
	*e = (struct channel_end){
	    .state = CHANNEL_REQUESTED,
	    .role = CHANNEL_ROLE_CLIENT,
	    .priority = (uint8_t)c->arg[2] % CHANNEL_PRIORITIES,
	    .peer_core = (uint16_t)on,
	    .peer_domain = (uint16_t)s->domain,
	    .tag = mesh_number(d->core),
	    .slots = (uint32_t)(c->arg[2] >> 32),
	    .out_bytes = (uint32_t)c->arg[3],
	    .in_bytes = (uint32_t)c->arg[4],
	    .bytes = bytes,
	    .key = channel_mix(time_read(), d->core->call_number ^ (uint64_t)d->core->id << 32),
	    .name = {c->arg[0], c->arg[1]},
	};
	e->identity = (uint16_t)identity_for(d, e->priority);
	enum error error = e->identity ? ERR_OK : ERR_LIMIT;
	if (error == ERR_OK && e->bytes)
		e->memory = domain_frames(d, e->bytes / PAGE_SIZE, &error);
	if (error == ERR_OK)
		error = end_map(d, slot);
	if (error != ERR_OK)
		end_free(d, slot);
	return error;
}

enum error call_channel_open(struct invocation *c)
{
	struct domain *d = c->caller;
	struct channel_geometry g;
	struct info_service s;
	unsigned on;
	uint64_t name[2] = {c->arg[0], c->arg[1]};
	if (!channel_layout(&g, c->arg[2] >> 32, c->arg[3], c->arg[4]))
		return ERR_INVALID;
	if (!service_find(d->core, name, &on, &s) || s.domain >= DOMAIN_MAX)
		return ERR_NOT_FOUND;
	if (s.state == SERVICE_HELD)
		return ERR_PEER_LOST;
	int slot = end_free_slot(d);
	if (slot < 0)
		return ERR_LIMIT;
	enum error error = client_end_fill(d, (unsigned)slot, c, on, &s, g.bytes);
	if (error != ERR_OK)
		return error;
	d->call_slot = (uint16_t)slot;
	d->job = (struct job){.kind = JOB_OPEN, .base = d->ends[slot].memory, .bytes = g.bytes, .origin = call_defer(c)};
	d->core->jobs |= 1u << d->index;
	return ERR_OK;
}

// The memory is clear: asks the server's kernel.
void channel_open_send(struct domain *d)
{
	struct channel_end *e = &d->ends[d->call_slot];
	uint64_t word[6] = {
	    e->peer_domain | (uint64_t)d->index << 8 | (uint64_t)d->file << 24 |
		(uint64_t)e->identity << 32 | (uint64_t)e->priority << 48,
	    e->memory,
	    e->out_bytes | (uint64_t)e->in_bytes << 32,
	    e->slots | (uint64_t)e->tag << 32,
	    e->key,
	    d->epoch,
	};
	enum error error = mesh_call(d, e->peer_core, CALL_channel_open, word, 0);
	if (error != ERR_OK)
		call_finish(d, error, call_nothing);
	else
		e->request = d->call_request;
}

// What the server's kernel says to the client's.
static void client_end_told(struct domain *d, unsigned slot, unsigned state, bool released, const uint64_t word[6])
{
	struct channel_end *e = &d->ends[slot];
	if (released || state == CHANNEL_LOST) {
		if (e->state == CHANNEL_CLOSED) {
			end_free(d, slot);
			return;
		}
		doorbell_unmap(d, slot);
		grants_change(d, slot, GRANTS_OVER);
		e->state = CHANNEL_LOST;
	} else if (e->state == CHANNEL_OPEN || e->state == CHANNEL_DOWN) {
		e->state = (uint8_t)(state == CHANNEL_OPEN ? CHANNEL_OPEN : CHANNEL_DOWN);
		e->peer_epoch = (uint32_t)word[1];
		e->doubt = 0;
	} else {
		return;
	}
	event_raise(d, &d->event_state, slot);
}

// What the client's kernel says to the server's: CLOSED.
static void server_end_told(struct domain *d, unsigned slot)
{
	struct channel_end *e = &d->ends[slot];
	if (e->released)
		return;
	if (e->state == CHANNEL_REQUESTED) { // given up: the answer frees it there
		end_refuse(d, slot, ERR_TIMEOUT);
		return;
	}
	e->state = CHANNEL_CLOSED;
	event_raise(d, &d->event_closed, slot);
}

// An answer that no call waits for: to an ask, or to an open that was given up. An error says that the peer has no such
// end. After a consent to open our notice of CLOSED has found its end, or will when the domain is restored.
void channel_answered(struct core *core, unsigned from, uint32_t request, enum error error)
{
	for (unsigned i = 0; i < DOMAIN_MAX * CHANNEL_MAX && error != ERR_OK; i++) {
		struct domain *d = core->domains[i / CHANNEL_MAX];
		struct channel_end *e = d ? &d->ends[i % CHANNEL_MAX] : 0;
		if (!e || e->state == CHANNEL_FREE || e->peer_core != from)
			continue;
		bool opening = e->role == CHANNEL_ROLE_CLIENT && e->request == request;
		if (!opening && e->asked != request)
			continue;
		if (e->role == CHANNEL_ROLE_SERVER)
			server_end_told(d, i % CHANNEL_MAX);
		else if (e->state == CHANNEL_REQUESTED)
			end_free(d, i % CHANNEL_MAX);
		else if (e->state == CHANNEL_CLOSED || !opening)
			client_end_told(d, i % CHANNEL_MAX, CHANNEL_LOST, true, 0);
		return;
	}
}

void channel_ask_all(struct core *core, unsigned peer)
{
	for (unsigned i = 0; i < DOMAIN_MAX * CHANNEL_MAX; i++) {
		struct domain *d = core->domains[i / CHANNEL_MAX];
		struct channel_end *e = d ? &d->ends[i % CHANNEL_MAX] : 0;
		bool opens = e && e->role == CHANNEL_ROLE_CLIENT && e->state == CHANNEL_REQUESTED; // it will be asked then
		if (!e || e->state == CHANNEL_FREE || e->peer_core != peer || opens)
			continue;
		notice_mark(d, e);
		e->ask = !e->released;
		e->tell_grants = true;
	}
}

void channel_fence_all(struct core *core, unsigned peer)
{
	for (unsigned i = 0; i < DOMAIN_MAX * CHANNEL_MAX; i++) {
		struct domain *d = core->domains[i / CHANNEL_MAX];
		struct channel_end *e = d ? &d->ends[i % CHANNEL_MAX] : 0;
		if (e && e->state != CHANNEL_FREE && e->role == CHANNEL_ROLE_CLIENT && e->peer_core == peer)
			client_end_told(d, i % CHANNEL_MAX, CHANNEL_LOST, true, 0);
	}
}

enum error channel_connected(struct domain *d, enum error error, const uint64_t value[5], uint64_t result[5])
{
	unsigned slot = d->call_slot;
	struct channel_end *e = &d->ends[slot];
	memset(result, 0, 5 * sizeof(result[0]));
	if (error == ERR_CORE_LOST) { // nobody answered in time: the peer may still map it when it accepts late
		e->state = CHANNEL_CLOSED;
		end_unmap(d, slot);
		notice_mark(d, e);
		return ERR_AGAIN;
	}
	if (error != ERR_OK) {
		end_free(d, slot);
		return error;
	}
	e->peer_identity = (uint16_t)value[0];
	e->peer_file = (uint8_t)(value[0] >> 16);
	e->peer_epoch = (uint32_t)value[1];
	e->state = CHANNEL_OPEN;
	doorbell_map(d, slot);
	result[0] = slot;
	return ERR_OK;
}

// ---- server side

bool channel_memory_is_of(const struct core *core, unsigned peer, paddr_t base, uint64_t bytes)
{
	const struct plan_core *p = &core->plan->cores[peer];
	if (bytes == 0) // a notification
		return base == 0;
	return base % PAGE_SIZE == 0 && base >= p->partition && base - p->partition <= p->partition_bytes &&
	       bytes <= p->partition_bytes - (base - p->partition);
}

enum error channel_connect(struct invocation *c)
{
	unsigned index = (uint8_t)c->arg[0], peer = c->origin.core;
	struct channel_geometry g;
	struct domain *d = index < DOMAIN_MAX ? c->core->domains[index] : 0;
	if (!d || d->state == DOMAIN_DYING)
		return ERR_NOT_FOUND;
	if (!channel_layout(&g, (uint32_t)c->arg[3], (uint32_t)c->arg[2], c->arg[2] >> 32) ||
	    !channel_memory_is_of(c->core, peer, c->arg[1], g.bytes))
		return ERR_INVALID;
	int slot = end_free_slot(d);
	if (slot < 0)
		return ERR_LIMIT;
	d->ends[slot] = (struct channel_end){
	    .state = CHANNEL_REQUESTED,
	    .role = CHANNEL_ROLE_SERVER,
	    .priority = (uint8_t)(c->arg[0] >> 48) % CHANNEL_PRIORITIES,
	    .peer_core = (uint16_t)peer,
	    .peer_domain = (uint8_t)(c->arg[0] >> 8),
	    .peer_file = (uint8_t)(c->arg[0] >> 24),
	    .peer_identity = (uint16_t)(c->arg[0] >> 32),
	    .peer_epoch = (uint32_t)c->arg[5],
	    .tag = (uint32_t)(c->arg[3] >> 32),
	    .slots = g.slots,
	    .out_bytes = (uint32_t)c->arg[2],
	    .in_bytes = (uint32_t)(c->arg[2] >> 32),
	    .bytes = g.bytes,
	    .memory = c->arg[1],
	    .key = c->arg[4],
	    .secret = channel_mix(channel_mix(c->core->plan->seed, time_read()), c->arg[4]),
	    .request = c->origin.request,
	};
	const struct info_page *page = partition_info(c->core->plan->cores[peer].partition);
	memcpy(d->ends[slot].name, page->domains[d->ends[slot].peer_domain % DOMAIN_MAX].name, NAME_SIZE);
	c->deferred = true;
	event_raise(d, &d->event_request, (unsigned)slot);
	return ERR_OK;
}

enum error call_channel_accept(struct invocation *c)
{
	struct domain *d = c->caller;
	struct channel_end *e = channel_end_of(d, c->arg[0]);
	unsigned slot = (unsigned)c->arg[0];
	if (!e)
		return ERR_HANDLE;
	if (e->role != CHANNEL_ROLE_SERVER || e->state != CHANNEL_REQUESTED)
		return ERR_STATE;
	e->identity = (uint16_t)identity_for(d, e->priority);
	enum error error = e->identity ? end_map(d, slot) : ERR_LIMIT;
	if (error != ERR_OK) {
		end_refuse(d, slot, error);
		return error;
	}
	doorbell_map(d, slot);
	e->state = CHANNEL_OPEN;
	uint64_t value[5] = {e->identity | (uint64_t)d->file << 16, d->epoch};
	mesh_answer(d->core, (struct origin){e->peer_core, e->request, true}, ERR_OK, value);
	return ERR_OK;
}

enum error call_channel_refuse(struct invocation *c)
{
	struct channel_end *e = channel_end_of(c->caller, c->arg[0]);
	if (!e)
		return ERR_HANDLE;
	if (e->role != CHANNEL_ROLE_SERVER || e->state != CHANNEL_REQUESTED)
		return ERR_STATE;
	end_refuse(c->caller, (unsigned)c->arg[0], ERR_REFUSED);
	return ERR_OK;
}

// INV-9: the server keeps its mapping, and the frames stay, until it has let go.
static void client_end_close(struct domain *d, unsigned slot)
{
	struct channel_end *e = &d->ends[slot];
	end_unmap(d, slot);
	doorbell_unmap(d, slot);
	bool unknown = e->state == CHANNEL_REQUESTED && e->request == 0; // its server was not asked yet
	if (e->state == CHANNEL_LOST || unknown) { // or it has let go before
		end_free(d, slot);
		return;
	}
	if (e->state != CHANNEL_CLOSED)
		notice_mark(d, e);
	e->state = CHANNEL_CLOSED;
}

enum error call_channel_close(struct invocation *c)
{
	struct domain *d = c->caller;
	struct channel_end *e = channel_end_of(d, c->arg[0]);
	unsigned slot = (unsigned)c->arg[0];
	if (!e)
		return ERR_HANDLE;
	if (e->role == CHANNEL_ROLE_CLIENT) {
		if (e->state == CHANNEL_REQUESTED || e->state == CHANNEL_CLOSED)
			return ERR_STATE;
		client_end_close(d, slot);
		return ERR_OK;
	}
	if (e->state != CHANNEL_CLOSED || e->released)
		return ERR_STATE;
	end_release(d, slot);
	return ERR_OK;
}

enum error call_channel_info(struct invocation *c)
{
	const struct channel_end *e = channel_end_of(c->caller, c->arg[0]);
	if (!e)
		return c->arg[0] < CHANNEL_MAX ? ERR_NOT_FOUND : ERR_HANDLE;
	bool hidden = e->role == CHANNEL_ROLE_CLIENT && e->state == CHANNEL_CLOSED;
	if (hidden || e->released)
		return ERR_NOT_FOUND;
	uint64_t shape = e->role | (uint64_t)e->state << 1 | (uint64_t)e->priority << 8 | (e->doorbell_mapped ? CHANNEL_HAS_DOORBELL_PAGE : 0);
	uint64_t identities = (uint64_t)e->slots << 32 | (uint64_t)e->peer_identity << 16 | e->identity;
	return call_results(c, shape, identities, e->out_bytes, e->in_bytes, CHANNEL_PEER(e->peer_core, e->peer_domain, e->peer_epoch));
}

enum error call_channel_name(struct invocation *c)
{
	const struct channel_end *e = channel_end_of(c->caller, c->arg[0]);
	if (!e)
		return ERR_HANDLE;
	return call_results(c, e->name[0], e->name[1], c->caller->flags & DOMAIN_FLAG_DMA ? e->memory : 0, e->key, e->secret);
}

bool channel_ring_mark(struct domain *d, uint64_t slot)
{
	struct channel_end *e = channel_end_of(d, slot);
	if (!e)
		return false;
	e->ring = true;
	d->core->notices |= 1u << d->index;
	info_count(d->core->info, INFO_DOORBELL_KERNEL);
	d->core->info->domains[d->index].doorbells_kernel++;
	return true;
}

enum error call_doorbell(struct invocation *c)
{
	return channel_ring_mark(c->caller, c->arg[0]) ? ERR_OK : ERR_HANDLE;
}

// Evidence for NO_ANSWER: a request that has no sound record, at two complaints. The rest is claimed, and counted.
static enum error complaint_judge(struct channel_end *e, uint64_t reason, uint64_t age)
{
	struct channel_geometry g;
	uint32_t oldest = 0;
	if (e->state != CHANNEL_OPEN || e->bytes == 0 || !channel_layout(&g, e->slots, e->out_bytes, e->in_bytes))
		return ERR_INVALID;
	if (reason != COMPLAINT_NO_ANSWER)
		return reason == COMPLAINT_BAD_INDEX || reason == COMPLAINT_BAD_COMPLETION ? ERR_OK : ERR_INVALID;
	const volatile struct request *request = (const volatile struct request *)(e->memory + g.requests);
	const volatile struct completion *record = (const volatile struct completion *)(e->memory + g.records);
	for (unsigned i = 0; i < g.slots; i++) {
		uint32_t seq = request[i].seq;
		if (seq == 0 || (record[i].seq == seq && record[i].status < ERROR_COUNT))
			continue;
		if (seq == e->doubt)
			return time_read() - e->doubt_since >= age ? ERR_OK : ERR_AGAIN;
		oldest = oldest == 0 || (int32_t)(seq - oldest) < 0 ? seq : oldest;
	}
	e->doubt = oldest;
	e->doubt_since = time_read();
	return oldest ? ERR_AGAIN : ERR_INVALID;
}

enum error call_channel_complain(struct invocation *c)
{
	struct domain *d = c->caller;
	struct channel_end *e = channel_end_of(d, c->arg[0]);
	if (!e || e->role != CHANNEL_ROLE_CLIENT)
		return ERR_HANDLE;
	enum error error = complaint_judge(e, c->arg[1], COMPLAINT_AGE_MS * d->core->plan->timebase / 1000);
	if (error != ERR_OK)
		return error;
	uint64_t word[6] = {(uint64_t)e->peer_core << 32 | e->peer_domain, c->arg[0], c->arg[1]};
	return mesh_notice(d->core, chief_core(d->core->chief), NOTICE_COMPLAINT, word) ? ERR_OK : ERR_AGAIN;
}

// ---- between the kernels

struct channel_end *channel_end_by_tag(struct core *core, unsigned from, uint32_t tag, unsigned role, unsigned index, unsigned *slot)
{
	struct domain *d = index < DOMAIN_MAX ? core->domains[index] : 0;
	for (unsigned i = 0; d && i < CHANNEL_MAX; i++) {
		struct channel_end *e = &d->ends[i];
		if (e->state != CHANNEL_FREE && e->tag == tag && e->peer_core == from && e->role == role) {
			*slot = i;
			return e;
		}
	}
	return 0;
}

// A kernel that begins anew hears of memory that none of its records account for: out of use for ever, also a domain's that it is lent of.
void channel_memory_hold(struct core *core, paddr_t base, uint64_t bytes)
{
	if (core->info->state != CORE_STARTING)
		return;
	for (unsigned i = 0; i < DOMAIN_MAX * HEAP_MAX; i++) {
		struct heap_block *b = core->domains[i / HEAP_MAX] ? &core->domains[i / HEAP_MAX]->heap[i % HEAP_MAX] : 0;
		if (b && base < b->frames + b->pages * PAGE_SIZE && b->frames < base + bytes)
			b->lent++;
	}
	if (frames_claim(&core->frames, base, bytes / PAGE_SIZE, OWNER_KERNEL))
		frames_quarantine(&core->frames, base, bytes / PAGE_SIZE, OWNER_KERNEL);
}

bool channel_notice(struct core *core, unsigned from, const uint64_t word[6])
{
	uint32_t tag = (uint32_t)word[0];
	unsigned index = (uint8_t)(word[0] >> 32), state = (uint8_t)(word[0] >> 40);
	bool released = word[0] >> 48 & 1, by_client = word[0] >> 49 & 1;
	unsigned slot;
	unsigned role = by_client ? CHANNEL_ROLE_SERVER : CHANNEL_ROLE_CLIENT;
	if (!channel_end_by_tag(core, from, tag, role, index, &slot)) { // what we said when we let go is on its way, or has been there
		if (!by_client)
			channel_memory_hold(core, word[3], word[4]);
		return false;
	}
	if (!by_client)
		client_end_told(core->domains[index], slot, state, released, word);
	else if (state == CHANNEL_CLOSED)
		server_end_told(core->domains[index], slot);
	return channel_end_by_tag(core, from, tag, role, index, &slot) != 0; // telling can free it
}

void channel_notice_ring(struct core *core, unsigned from, uint64_t word)
{
	unsigned slot, role = word >> 49 & 1 ? CHANNEL_ROLE_SERVER : CHANNEL_ROLE_CLIENT;
	unsigned index = (uint8_t)(word >> 32);
	struct channel_end *e = channel_end_by_tag(core, from, (uint32_t)word, role, index, &slot);
	if (e && e->identity)
		domain_ring(core->domains[index], e->identity);
}

static bool end_notices_send(struct domain *d, unsigned slot)
{
	struct channel_end *e = &d->ends[slot];
	bool by_client = e->role == CHANNEL_ROLE_CLIENT;
	uint64_t word[6] = {e->tag | (uint64_t)e->peer_domain << 32 | (uint64_t)e->state << 40 |
				(uint64_t)e->released << 48 | (uint64_t)by_client << 49,
			    d->epoch, d->index, e->memory, e->bytes};
	if (e->ring) {
		if (!mesh_notice(d->core, e->peer_core, NOTICE_DOORBELL, word))
			return false;
		e->ring = false;
	}
	if (e->tell_grants && !grants_change(d, slot, GRANTS_TELL))
		return false;
	if (e->notice) {
		if (!(e->ask ? mesh_ask(d->core, e->peer_core, word, &e->asked)
			     : mesh_notice(d->core, e->peer_core, NOTICE_CHANNEL, word)))
			return false;
		e->notice = e->ask = false;
		if (e->released)
			end_free(d, slot);
	}
	return true;
}

bool channel_notices_send(struct domain *d)
{
	struct core *core = d->core;
	unsigned index = d->index;
	bool all = true;
	for (unsigned i = 0; i < CHANNEL_MAX && core->domains[index] == d; i++)
		if (d->ends[i].state != CHANNEL_FREE && (d->ends[i].ring || d->ends[i].notice || d->ends[i].tell_grants))
			all &= end_notices_send(d, i);
	if (core->domains[index] != d) // it was dying, and that was the last one
		return true;
	if (d->report) {
		const uint64_t word[6] = {d->index};
		d->report = !mesh_notice(core, chief_core(core->chief), NOTICE_DOMAIN, word);
		all &= !d->report;
	}
	return all;
}

// ---- incarnations

void channel_unregister_all(struct domain *d, bool final)
{
	for (unsigned i = 0; i < CHANNEL_MAX; i++) {
		struct channel_end *e = &d->ends[i];
		if (e->state == CHANNEL_FREE || e->role != CHANNEL_ROLE_SERVER || e->released)
			continue;
		end_unmap(d, i);
		if (final && e->state == CHANNEL_REQUESTED) {
			end_refuse(d, i, ERR_PEER_LOST);
		} else if (final) {
			end_release(d, i);
		} else if (e->state == CHANNEL_OPEN) {
			e->state = CHANNEL_DOWN;
			notice_mark(d, e);
		}
	}
}

void channel_adopt_all(struct domain *d)
{
	for (unsigned i = 0; i < CHANNEL_MAX; i++) {
		struct channel_end *e = &d->ends[i];
		if (e->state == CHANNEL_FREE || e->role != CHANNEL_ROLE_SERVER || e->released)
			continue;
		if (e->state == CHANNEL_REQUESTED) {
			event_raise(d, &d->event_request, i);
			continue;
		}
		if (end_map(d, i) != ERR_OK) { // its page tables were freed in between and are gone: give the client up
			end_release(d, i);
			continue;
		}
		if (e->state == CHANNEL_CLOSED) {
			event_raise(d, &d->event_closed, i);
			continue;
		}
		e->state = CHANNEL_OPEN;
		notice_mark(d, e);
	}
}

// Its request was not answered in the former life of this kernel, and nobody waits: the client asks again.
static bool end_is_usable(struct channel_end *e, const struct core *core)
{
	struct channel_geometry g;
	bool server = e->role == CHANNEL_ROLE_SERVER;
	if (e->state == CHANNEL_FREE || e->state > CHANNEL_LOST || e->role > CHANNEL_ROLE_SERVER ||
	    e->peer_core >= core->core_count || e->identity > core->plan->identities || (server && e->state == CHANNEL_REQUESTED))
		return false;
	return channel_layout(&g, e->slots, e->out_bytes, e->in_bytes) && g.bytes == e->bytes &&
	       channel_memory_is_of(core, server ? e->peer_core : core->id, e->memory, e->bytes);
}

void channel_claim_all(struct domain *d)
{
	for (unsigned i = 0; i < CHANNEL_MAX; i++) {
		struct channel_end *e = &d->ends[i];
		bool client = e->role == CHANNEL_ROLE_CLIENT;
		if (!end_is_usable(e, d->core) || (client && e->bytes && !domain_frames_claim(d, e->memory, e->bytes / PAGE_SIZE))) {
			memset(e, 0, sizeof(*e));
			continue;
		}
		e->mapped = e->doorbell_mapped = e->notice = e->ring = e->ask = false;
		grants_change(d, i, GRANTS_CLAIM);
		e->asked = e->request = 0; // numbers begin anew with this kernel: an answer to a new one would be taken for theirs
		e->priority %= CHANNEL_PRIORITIES;
		d->identities[e->identity / 64] |= 1ul << e->identity % 64;
		if (client && e->state == CHANNEL_REQUESTED)
			e->state = CHANNEL_CLOSED;
		else if (e->state == CHANNEL_OPEN && !client && d->state != DOMAIN_CREATED)
			e->state = CHANNEL_DOWN;
	}
}

void channel_reborn_all(struct domain *d)
{
	for (unsigned i = 0; i < CHANNEL_MAX; i++) {
		struct channel_end *e = &d->ends[i];
		grants_change(d, i, GRANTS_REBORN);
		if (e->state == CHANNEL_FREE || e->state == CHANNEL_CLOSED || e->released)
			continue;
		if (e->role == CHANNEL_ROLE_CLIENT && end_map(d, i) != ERR_OK)
			client_end_close(d, i);
		else
			doorbell_map(d, i);
	}
}

bool channel_go_on_all(struct domain *d)
{
	for (unsigned i = 0; i < CHANNEL_MAX; i++) {
		struct channel_end *e = &d->ends[i];
		bool closed = e->role == CHANNEL_ROLE_SERVER && e->state == CHANNEL_CLOSED && !e->released; // it has not let go (INV-9)
		if (e->state != CHANNEL_OPEN && !closed)
			continue;
		if (end_map(d, i) != ERR_OK)
			return false;
		if (closed) {
			event_raise(d, &d->event_closed, i);
			continue;
		}
		channel_ring_mark(d, i); // both look once more: a ring through the kernels may be lost
		domain_ring(d, e->identity);
	}
	return true;
}

void channel_restart_all(struct domain *d)
{
	for (unsigned i = 0; i < CHANNEL_MAX; i++)
		if (d->ends[i].state == CHANNEL_REQUESTED && d->ends[i].role == CHANNEL_ROLE_CLIENT)
			client_end_close(d, i);
}

void channel_close_all(struct domain *d)
{
	channel_unregister_all(d, true);
	for (unsigned i = 0; i < CHANNEL_MAX; i++)
		if (d->ends[i].state != CHANNEL_FREE && d->ends[i].role == CHANNEL_ROLE_CLIENT)
			client_end_close(d, i);
}

bool channel_none_left(const struct domain *d)
{
	for (unsigned i = 0; i < CHANNEL_MAX; i++)
		if (d->ends[i].state != CHANNEL_FREE)
			return false;
	return true;
}
