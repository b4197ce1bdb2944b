// Calls from a domain's ring (abi/call_ring.h): each is dispatched as one from registers is, but the domain does not wait.
//
// Owns domain.ring. A slot is copied once and can say what it likes: it hurts nobody but the domain (INV-64). What is under way ends by an answer, at its deadline, or
// when its core is known to be dead. Who unmaps the page ends the ring. If this kernel dies, what was under way was the supervisor's, which begins anew.
#include "boot/plan.h"
#include "kernel/call.h"
#include "kernel/schedule.h"
#include "kernel/trace.h"
#include <string.h>

static struct call_flight *flight_find(struct domain *d, uint32_t request)
{
	for (unsigned i = 0; i < CALL_RING_FLIGHTS; i++)
		if (d->ring.flights[i].request == request)
			return &d->ring.flights[i];
	return 0;
}

static void finish(struct domain *d, const struct call_flight *f, enum error error, const uint64_t value[5])
{
	uint64_t result[5];
	call_values(result, value);
	if (d->supervisor) // nobody else has handles
		error = call_settle(d, f->core, f->number, f->first, error, result);
	trace(d->core, TRACE_CALLED, d->index, error, f->slot, f->number);
	if (!d->ring.slots) // that call has ended the ring
		return;
	struct call_slot *s = &d->ring.slots[f->slot];
	call_values(s->word, result);
	s->error = error;
	*(volatile uint32_t *)&s->state = CALL_SLOT_DONE;
	if (s->flags & CALL_SLOT_RINGS)
		domain_ring(d, IDENTITY_CALLS);
}

static void land(struct domain *d, struct call_flight *f, enum error error, const uint64_t value[5])
{
	f->request = 0;
	if (--d->ring.flying == 0)
		deadline_cancel(&d->core->deadlines, &d->ring.deadline);
	finish(d, f, error, value);
	d->core->rings |= 1u << d->index;
}

bool call_ring_answered(struct domain *d, unsigned from, uint32_t request, enum error error, const uint64_t value[5])
{
	struct call_flight *f = flight_find(d, request);
	bool mine = request && f && f->core == from;
	if (mine)
		land(d, f, error, value);
	return mine;
}

void call_ring_give_up(struct domain *d, unsigned peer, uint64_t now)
{
	uint64_t next = DEADLINE_NEVER;
	for (unsigned i = 0; i < CALL_RING_FLIGHTS; i++) {
		struct call_flight *f = &d->ring.flights[i];
		if (f->request && (f->core == peer || f->end <= now))
			land(d, f, ERR_CORE_LOST, call_nothing);
		else if (f->request && f->end < next)
			next = f->end;
	}
	if (next != DEADLINE_NEVER)
		deadline_arm(&d->core->deadlines, &d->ring.deadline, next);
}

void call_ring_end(struct domain *d)
{
	deadline_cancel(&d->core->deadlines, &d->ring.deadline);
	memset(&d->ring, 0, offsetof(struct call_ring, deadline));
	d->core->rings |= 1u << d->index; // it may wait for what will not end any more
}

void call_ring_await(struct domain *d, struct call_flight *f, unsigned core, uint32_t request, uint64_t end)
{
	*f = (struct call_flight){request, (uint16_t)core, f->number, f->slot, f->first, end};
	d->ring.flying++;
	if (end != DEADLINE_NEVER && (!d->ring.deadline.armed || end < d->ring.deadline.time))
		deadline_arm(&d->core->deadlines, &d->ring.deadline, end);
	*(volatile uint32_t *)&d->ring.slots[f->slot].state = CALL_SLOT_UNDER_WAY;
}

// Is the call that a link names done? Its error, if any, goes on, and *value is its first result.
static bool link_is_settled(const struct domain *d, unsigned link, enum error *error, uint64_t *value)
{
	if (link == 0 || *error != ERR_OK)
		return true;
	const volatile struct call_slot *s = &d->ring.slots[(link - 1) % CALL_RING_SLOTS];
	uint32_t state = s->state, said = s->error;
	*value = s->word[0];
	*error = state != CALL_SLOT_DONE ? ERR_STATE : said < ERROR_COUNT ? said : ERR_PROTOCOL;
	return state != CALL_SLOT_UNDER_WAY;
}

// False: there is nothing that can be taken now.
static bool take(struct domain *d)
{
	struct call_ring *r = &d->ring;
	struct call_flight *f = flight_find(d, 0);
	enum error error = ERR_OK;
	uint64_t ignored;
	if (!r->slots || !f)
		return false;
	struct call_slot s = *(const volatile struct call_slot *)&r->slots[r->next];
	if (s.state != CALL_SLOT_SUBMITTED || !link_is_settled(d, s.after, &error, &ignored) ||
	    !link_is_settled(d, s.from, &error, &s.word[0]))
		return false;
	*f = (struct call_flight){.core = (uint16_t)d->core->id, .number = s.number, .slot = (uint16_t)r->next, .first = s.word[0]};
	r->next = (r->next + 1) % CALL_RING_SLOTS;
	trace(d->core, TRACE_CALL, d->index, s.number, f->slot, s.word[0]);
	struct invocation c;
	enum error found = call_dispatch(&c, d, f, error == ERR_OK ? s.number : CALL_COUNT, s.word); // no such call: nothing is done
	if (!c.deferred)
		finish(d, f, error == ERR_OK ? found : error, c.value);
	return true;
}

// At most once around: whoever else can write to that page might submit without end.
void call_ring_look(struct core *core)
{
	for (uint32_t left = core->rings; left; left &= left - 1) {
		struct domain *d = core->serving = core->domains[word_lowest_bit(left)];
		core->rings &= ~(left & -left);
		for (unsigned n = 0; n < CALL_RING_SLOTS && take(d); n++)
			;
		core->serving = 0;
		if (d->state == DOMAIN_CALLING && !d->callee && d->call_number == CALL_ring_enter && !d->ring.flying)
			call_finish(d, ERR_OK, call_nothing);
	}
}

void call_ring_go_on(struct domain *d)
{
	const struct plan_core *own = &d->core->plan->cores[d->core->id];
	uint64_t gpa = d->ring.gpa;
	unsigned prot;
	paddr_t pa;
	bool may = gpa % PAGE_SIZE == 0 && table_lookup(&d->table, gpa, &pa, &prot) && (prot & PROT_WRITE) &&
		   pa - own->partition < own->partition_bytes;
	d->ring.slots = may ? (struct call_slot *)pa : 0;
	d->core->rings |= (uint32_t)may << d->index;
}

enum error call_ring_open(struct invocation *c)
{
	struct call_ring *r = &c->caller->ring;
	if (r->flying || (r->slots && c->arg[0]))
		return ERR_STATE;
	r->gpa = c->arg[0];
	r->next = 0;
	call_ring_go_on(c->caller);
	return r->slots || !r->gpa ? ERR_OK : ERR_INVALID;
}

enum error call_ring_enter(struct invocation *c)
{
	if (!c->caller->ring.slots)
		return ERR_STATE;
	c->core->rings |= 1u << c->caller->index; // on the way out of the kernel
	if (c->arg[0])
		call_defer(c);
	return ERR_OK;
}
