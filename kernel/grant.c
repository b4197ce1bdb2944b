// Grants (grant.h).
#include "kernel/grant.h"
#include "kernel/channel.h"
#include "kernel/mesh.h"
#include "kernel/riscv/imsic.h"
#include <string.h>

static uint64_t place_gpa(unsigned slot, const struct grant *g)
{
	return GPA_GRANT + slot * GRANT_WINDOW + g->handle % GRANT_PLACES * MEGAPAGE_SIZE;
}

// By the client's end: its block must stay.
static bool is_held(const struct grant *g)
{
	return g->state == GRANT_LENT || g->state == GRANT_RECALLED;
}

static void tell_later(struct domain *d, struct channel_end *e)
{
	e->tell_grants = true;
	d->core->notices |= 1u << d->index;
}

// Rings nobody while there is room: who needs to know looks first (hear).
static void tell(struct domain *d, struct channel_end *e, const struct grant *g)
{
	uint64_t by_client = e->role == CHANNEL_ROLE_CLIENT;
	uint64_t state = g->state == GRANT_LENT && d->heap[g->block].gpa == 0 ? GRANT_WITHDRAWN : g->state;
	const uint64_t word[6] = {e->tag | (uint64_t)e->peer_domain << 32 | by_client << 49,
				  g->handle | state << 32 | (uint64_t)g->prot << 40, g->memory, g->pages * PAGE_SIZE};
	if (!mesh_notice(d->core, e->peer_core, NOTICE_GRANT, word))
		tell_later(d, e);
}

// Takes what the peer's kernel has said without a ring. False: the caller did not survive it, and gets no result.
static bool hear(struct invocation *c, const struct channel_end *e)
{
	struct domain *d = c->caller;
	unsigned index = d->index;
	mesh_take_from(c->core, e->peer_core);
	c->deferred = c->core->domains[index] != d || (d->state != DOMAIN_RUNNING && d->state != DOMAIN_READY); // READY: unloaded
	c->core->serving = c->deferred ? 0 : d;
	return !c->deferred;
}

enum error call_grant_lend(struct invocation *c)
{
	struct domain *d = c->caller;
	struct channel_end *e = channel_end_of(d, (uint32_t)c->arg[0]);
	uint64_t place = (c->arg[0] >> 32) % GRANT_PLACES, gpa = c->arg[1], pages = c->arg[2] >> 8, prot = c->arg[2] & 0xff;
	struct grant *g = e ? &e->grants[place] : 0;
	struct heap_block *b = d->heap;
	if (!e || e->role != CHANNEL_ROLE_CLIENT)
		return ERR_HANDLE;
	if (g->state != GRANT_NONE && !hear(c, e))
		return ERR_OK;
	if (g->state != GRANT_NONE || (e->state != CHANNEL_OPEN && e->state != CHANNEL_DOWN))
		return ERR_STATE;
	while (b < d->heap + HEAP_MAX && (b->gpa == 0 || gpa - b->gpa >= b->pages * PAGE_SIZE))
		b++;
	if (b == d->heap + HEAP_MAX || b->piece != b->pages || gpa % PAGE_SIZE || pages == 0 || pages > GRANT_BYTES / PAGE_SIZE ||
	    pages > b->pages - (gpa - b->gpa) / PAGE_SIZE || (prot | PROT_WRITE) != (PROT_READ | PROT_WRITE))
		return ERR_INVALID;
	// A number that this end has not had: a server that comes with an old one gets HANDLE.
	*g = (struct grant){.handle = (g->handle / GRANT_PLACES + 1) % (1u << 29) * GRANT_PLACES + (uint32_t)place,
			    .state = GRANT_LENT, .prot = (uint8_t)prot, .block = (uint8_t)(b - d->heap),
			    .pages = (uint32_t)pages, .memory = b->frames + (gpa - b->gpa)};
	b->lent++;
	c->value[0] = g->handle;
	tell(d, e, g);
	return ERR_OK;
}

enum error call_grant_recall(struct invocation *c)
{
	struct channel_end *e = channel_end_of(c->caller, c->arg[0]);
	struct grant *g = e ? &e->grants[c->arg[1] % GRANT_PLACES] : 0;
	if (!e || e->role != CHANNEL_ROLE_CLIENT || g->handle != c->arg[1])
		return ERR_HANDLE;
	if (!is_held(g) || !hear(c, e) || !is_held(g))
		return ERR_OK;
	g->state = GRANT_RECALLED;
	tell_later(c->caller, e);
	return e->state == CHANNEL_LOST ? ERR_PEER_LOST : ERR_AGAIN;
}

// Of the server. 0: *error says why; OK: the caller is gone.
static inline __attribute__((always_inline)) struct grant *grant_find(struct invocation *c, struct channel_end **end, enum error *error)
{
	struct channel_end *e = *end = channel_end_of(c->caller, c->arg[0]);
	struct grant *g = e ? &e->grants[c->arg[1] % GRANT_PLACES] : 0;
	bool here = g && (g->handle == c->arg[1] || hear(c, e));
	*error = c->deferred ? ERR_OK : ERR_HANDLE;
	bool its = here && (g->state == GRANT_OFFERED || g->state == GRANT_TAKEN || g->state == GRANT_RETURNED);
	return its && g->handle == c->arg[1] ? g : 0;
}

// What it is, its client's kernel has said, after all deaths.
static inline __attribute__((always_inline)) enum error map_taken(struct domain *d, const struct channel_end *e, struct grant *g, uint64_t gpa, uint64_t bytes)
{
	if (bytes > GRANT_BYTES || !channel_memory_is_of(d->core, e->peer_core, g->memory, bytes))
		return ERR_INVALID;
	enum error error = domain_map(d, gpa, g->memory, bytes, g->prot);
	g->state = error == ERR_OK ? GRANT_TAKEN : GRANT_OFFERED;
	return error;
}

enum error call_grant_take(struct invocation *c)
{
	enum error error;
	struct channel_end *e;
	struct grant *g = grant_find(c, &e, &error);
	if (!g)
		return error;
	uint64_t gpa = place_gpa((unsigned)c->arg[0], g), bytes = g->pages * PAGE_SIZE;
	if (g->state != GRANT_OFFERED || e->state != CHANNEL_OPEN)
		return g->state == GRANT_RETURNED ? ERR_LOST : ERR_STATE;
	c->value[0] = gpa, c->value[1] = bytes, c->value[2] = g->prot;
	return map_taken(c->caller, e, g, gpa, bytes);
}

// INV-6: fenced before the client's kernel hears of it.
static void unmap(struct domain *d, unsigned slot, struct grant *g)
{
	d->table.keep = true; // the next one needs the same tables
	domain_unmap(d, place_gpa(slot, g), g->pages * PAGE_SIZE);
	d->table.keep = false;
	if (g->state == GRANT_RETURNED)
		domain_frames_free(d, g->memory, 1);
}

// INV-73. Without a frame for that it stays as it is, until the server, which is told, has ended it.
static __attribute__((noinline)) void take_back(struct domain *d, unsigned slot, struct grant *g)
{
	enum error error;
	paddr_t page = domain_frames(d, 1, &error);
	g->memory = d->table.root ? g->memory : 0; // a reborn kernel has no frames yet: GRANTS_REBORN
	d->event_state |= 1ul << slot;
	domain_ring(d, IDENTITY_EVENT);
	if (!page)
		return;
	memset((void *)page, 0, PAGE_SIZE);
	unmap(d, slot, g);
	for (uint64_t i = 0; i < g->pages; i++) // the tables are there
		domain_map(d, place_gpa(slot, g) + i * PAGE_SIZE, page, PAGE_SIZE, g->prot);
	g->memory = page;
	g->state = GRANT_RETURNED;
}

enum error call_grant_end(struct invocation *c)
{
	enum error error;
	struct channel_end *e;
	struct grant *g = grant_find(c, &e, &error);
	if (!g)
		return error;
	if (g->state != GRANT_OFFERED)
		unmap(c->caller, (unsigned)c->arg[0], g);
	g->state = GRANT_ENDED;
	tell(c->caller, e, g);
	return ERR_OK;
}

// INV-71
static void over(struct domain *d, struct grant *g)
{
	struct heap_block *b = &d->heap[g->block];
	g->state = GRANT_NONE;
	if (--b->lent == 0 && b->gpa == 0)
		domain_heap_free(d, b);
}

// What the record of a kernel that died says, which may be anything. Who has lost it hears of it again. Nothing of it is mapped any more.
static void claim(struct domain *d, const struct channel_end *e, struct grant *g)
{
	struct heap_block *b = &d->heap[g->block %= HEAP_MAX];
	uint64_t offset = g->memory - b->frames, whole = b->pages * PAGE_SIZE;
	bool client = e->role == CHANNEL_ROLE_CLIENT, in_place = g->handle % GRANT_PLACES == (unsigned)(g - e->grants);
	bool inside = offset % PAGE_SIZE == 0 && offset < whole && g->pages <= (whole - offset) / PAGE_SIZE;
	bool returned = g->state == GRANT_RETURNED, used = d->state == DOMAIN_CREATED && (returned || g->state == GRANT_TAKEN);
	bool open = used || g->state == GRANT_TAKEN || g->state == GRANT_OFFERED || g->state == GRANT_KEPT;
	bool its = returned || (client ? is_held(g) && inside : open || g->state == GRANT_ENDED);
	if (!in_place || g->pages - 1 >= GRANT_BYTES / PAGE_SIZE || !its)
		*g = (struct grant){.handle = client && in_place ? g->handle : 0}; // no number twice
	b->lent += client && is_held(g);
	g->block = client ? g->block : used, g->memory = returned ? 0 : g->memory;
	if (!client && g->state != GRANT_NONE)
		g->state = open ? GRANT_KEPT : GRANT_ENDED;
}

static void change_one(struct domain *d, unsigned slot, struct grant *g, enum grants_change change)
{
	if (change == GRANTS_REBORN && g->state == GRANT_KEPT) // there is no such grant; or its owner's kernel is dead, and says it later
		g->state = d->core->peers[d->ends[slot].peer_core].listed ? GRANT_NONE : g->memory ? GRANT_OFFERED : g->block ? GRANT_TAKEN : GRANT_ENDED;
	if (change == GRANTS_TELL && g->state != GRANT_NONE) {
		tell(d, &d->ends[slot], g);
	} else if (change == GRANTS_UNMAP && (g->state == GRANT_TAKEN || g->state == GRANT_RETURNED)) {
		unmap(d, slot, g);
		g->state = g->state == GRANT_RETURNED || !g->memory ? GRANT_ENDED : GRANT_OFFERED;
		tell_later(d, &d->ends[slot]);
	} else if (change == GRANTS_OVER && is_held(g) && !d->core->peers[d->ends[slot].peer_core].fenced) {
		over(d, g);
	} else if (change == GRANTS_CLAIM) {
		claim(d, &d->ends[slot], g);
	} else if (change == GRANTS_REBORN && g->state == GRANT_TAKEN && g->memory) {
		map_taken(d, &d->ends[slot], g, place_gpa(slot, g), g->pages * PAGE_SIZE);
	} else if (change == GRANTS_REBORN && g->state == GRANT_TAKEN) { // it was taken back
		take_back(d, slot, g);
	}
}

bool grants_change(struct domain *d, unsigned slot, enum grants_change change)
{
	struct channel_end *e = &d->ends[slot];
	e->tell_grants &= change != GRANTS_TELL;
	for (unsigned i = 0; i < GRANT_PLACES; i++)
		change_one(d, slot, &e->grants[i], change);
	if (change == GRANTS_UNMAP && d->table.root)
		domain_unmap(d, GPA_GRANT + slot * GRANT_WINDOW, GRANT_WINDOW); // the tables, which stay until now
	else if (change == GRANTS_TELL)
		imsic_ring(d->core->peers[e->peer_core].doorbell, MESH_IDENTITY);
	return !e->tell_grants;
}

// `g`: the grant that is meant, 0: this kernel knows of none.
static void client_hears(struct core *core, struct domain *d, struct grant *g, const struct grant *told)
{
	bool held = g && is_held(g), back = told->state == GRANT_ENDED || told->state == GRANT_RETURNED;
	if (held && back)
		over(d, g);
	else if (!held && !back)
		channel_memory_hold(core, told->memory, told->pages * PAGE_SIZE);
	if (g && back)
		g->state = told->state == GRANT_RETURNED ? GRANT_RETURNED : GRANT_NONE;
}

// To hear it twice is no other than once. What has ended is said again: the first word may be lost.
void grant_notice(struct core *core, unsigned from, const uint64_t word[6])
{
	unsigned slot, index = (uint8_t)(word[0] >> 32), role = word[0] >> 49 & 1 ? CHANNEL_ROLE_SERVER : CHANNEL_ROLE_CLIENT;
	struct grant told; // all of it is used, its padding is not
	told.handle = (uint32_t)word[1], told.state = (uint8_t)(word[1] >> 32), told.prot = (uint8_t)(word[1] >> 40), told.block = 0;
	told.pages = (uint32_t)(word[3] / PAGE_SIZE), told.memory = word[2];
	struct channel_end *e = channel_end_by_tag(core, from, (uint32_t)word[0], role, index, &slot);
	struct grant *g = e ? &e->grants[told.handle % GRANT_PLACES] : 0;
	bool same = g && g->handle == told.handle;
	if (role == CHANNEL_ROLE_CLIENT)
		client_hears(core, core->domains[index], same ? g : 0, &told);
	if (role == CHANNEL_ROLE_CLIENT || !e || e->released)
		return;
	if (!same && g->state != GRANT_TAKEN && g->state != GRANT_RETURNED) {
		*g = told;
		g->state = GRANT_OFFERED;
		same = true;
	} else if (same && (g->state == GRANT_KEPT || g->state == GRANT_OFFERED)) { // where it lies is what its owner's kernel says
		told.block = g->state == GRANT_KEPT && g->block;
		told.memory = told.state == GRANT_RETURNED ? 0 : told.memory;
		*g = told;
		g->state = told.block ? GRANT_TAKEN : GRANT_OFFERED;
	}
	if (same && told.state != GRANT_LENT && g->state == GRANT_OFFERED)
		g->state = GRANT_ENDED;
	if (same && told.state == GRANT_RECALLED && g->state == GRANT_TAKEN)
		take_back(core->domains[index], slot, g);
	if (g->state == GRANT_ENDED || g->state == GRANT_RETURNED)
		tell_later(core->domains[index], e);
}
