// Kernel calls: validation, dispatch, and those that concern the calling domain itself. abi/call.h is the reference.
// INV-11: each checks everything, then does a phase that cannot fail. If the kernel dies in one, remote callers get ERR_CORE_LOST.
#include "kernel/call.h"
#include "core-local/info.h"
#include "boot/plan.h"
#include "kernel/channel.h"
#include "kernel/kernel.h"
#include "kernel/mesh.h"
#include "kernel/schedule.h"
#include "kernel/trace.h"
#include <string.h>

// Complaints about the supervisor that it lived on, taken or not. By the first sound one it ends itself; who does not cannot any more.
#define SUPERVISOR_COMPLAINTS 3u

const uint64_t call_nothing[6];

// ---- calls of a domain about itself

enum error call_null(struct invocation *c)
{
	call_values(c->value, &c->caller->x[11]);
	return ERR_OK;
}

enum error call_yield(struct invocation *c)
{
	schedule_yield(c->caller);
	return ERR_OK;
}

enum error call_self(struct invocation *c)
{
	const struct domain *d = c->caller;
	uint64_t epoch = d->epoch; // 1 and more: it runs
	return call_results(c, d->core->id, d->index, epoch, epoch != 1, d->file);
}

enum error call_exit(struct invocation *c)
{
	domain_halt(c->caller, FAULT_EXIT, c->arg[0], 0, 0);
	return ERR_OK;
}

enum error call_ready(struct invocation *c)
{
	if (!c->caller->ready) // once: reports without end would hide those of others
		domain_report(c->caller);
	c->caller->ready = true;
	trace(c->core, TRACE_READY, c->caller->index, c->caller->epoch, 0, 0);
	return ERR_OK;
}

// Collected to whole lines, so that those of two domains, or of a domain and the console server, do not mix.
enum error call_log(struct invocation *c)
{
	struct domain *d = c->caller;
	char text[40];
	if (c->arg[0] > sizeof(text))
		return ERR_INVALID;
	memcpy(text, &c->arg[1], sizeof(text));
	for (unsigned i = 0; i < c->arg[0]; i++) {
		d->line[d->line_used++] = text[i];
		if (text[i] != '\n' && d->line_used < sizeof(d->line))
			continue;
		kernel_log_text(c->core, d->line, d->line_used);
		d->line_used = 0;
	}
	return ERR_OK;
}

static bool event_of_slot(uint64_t *bits, unsigned kind, struct invocation *c)
{
	if (!*bits)
		return false;
	c->value[0] = kind;
	c->value[1] = word_lowest_bit(*bits);
	*bits &= *bits - 1;
	return true;
}

static bool event_of_domains(struct domain *d, struct invocation *c)
{
	for (unsigned i = 0; i < d->core->core_count; i++) {
		uint32_t bits = d->event_domain[i];
		if (!bits)
			continue;
		d->event_domain[i] &= bits - 1;
		return call_results(c, EVENT_DOMAIN, i, word_lowest_bit(bits)) == ERR_OK;
	}
	return false;
}

static bool event_of_complaints(struct domain *d, struct invocation *c)
{
	for (unsigned i = 0; d->supervisor && i < COMPLAINT_RECORDS; i++) {
		struct complaint_record *r = &d->core->complaints[i];
		if (!r->pending)
			continue;
		r->pending = false;
		return call_results(c, EVENT_COMPLAINT, r->subject, r->slot, r->reason) == ERR_OK;
	}
	return false;
}

enum error call_event_next(struct invocation *c)
{
	struct domain *d = c->caller;
	if (d->event_ping) {
		d->event_ping = false;
		return call_results(c, EVENT_PING, d->watch.number);
	}
	if (event_of_slot(&d->event_closed, EVENT_CHANNEL_CLOSED, c) ||
	    event_of_slot(&d->event_state, EVENT_CHANNEL_STATE, c) ||
	    event_of_slot(&d->event_request, EVENT_CHANNEL_REQUEST, c) || event_of_domains(d, c) ||
	    event_of_slot(&d->event_core, EVENT_CORE, c) || event_of_complaints(d, c))
		return ERR_OK;
	return call_results(c, EVENT_NONE);
}

enum error call_doorbell_claim(struct invocation *c)
{
	memcpy(c->value, c->caller->sticky, sizeof(c->caller->sticky));
	memset(c->caller->sticky, 0, sizeof(c->caller->sticky));
	schedule_sticky(c->caller);
	return ERR_OK;
}

enum error call_pong(struct invocation *c)
{
	struct watch *w = &c->caller->watch;
	if (!w->outstanding || c->arg[0] != w->number)
		return ERR_STATE;
	w->outstanding = false;
	w->answered = time_read();
	domain_slept(c->caller, c->arg[1]);
	struct info_domain *line = &c->core->info->domains[c->caller->index];
	line->claimed = (uint32_t)c->arg[2];
	line->served = (uint32_t)c->arg[3];
	return ERR_OK;
}

// The first place in the heap's window with room for so many bytes. 0: none.
static uint64_t heap_place(const struct domain *d, uint64_t bytes)
{
	uint64_t align = bytes > MEGAPAGE_SIZE ? MEGAPAGE_SIZE : PAGE_SIZE; // so that large ones get large pages
	uint64_t gpa = GPA_HEAP, end;
	for (unsigned i = 0; i < HEAP_MAX; i++) {
		const struct heap_block *b = &d->heap[i];
		end = b->gpa + b->span * PAGE_SIZE;
		if (!b->gpa || gpa >= end || gpa + bytes <= b->gpa)
			continue;
		gpa = (end + align - 1) & ~(align - 1);
		i = ~0u; // it may now lie on one that was passed
	}
	return bytes > 0 && gpa + bytes <= GPA_HEAP_END ? gpa : 0;
}

enum error call_memory_alloc(struct invocation *c)
{
	struct domain *d = c->caller;
	uint64_t pages = c->arg[0], piece = c->arg[1] ? c->arg[1] : pages;
	enum error error = ERR_INVALID;
	struct heap_block *b = d->heap;
	while (b < d->heap + HEAP_MAX && b->pages)
		b++;
	if (b == d->heap + HEAP_MAX)
		return ERR_LIMIT;
	uint64_t span = domain_heap_span(pages, piece), gpa = heap_place(d, span * PAGE_SIZE);
	paddr_t frames = gpa ? domain_frames(d, pages, &error) : 0;
	if (!frames)
		return error;
	*b = (struct heap_block){gpa, frames, (uint32_t)pages, (uint32_t)piece, (uint32_t)span, 0};
	error = domain_heap_map(d, b);
	if (error != ERR_OK) {
		domain_heap_free(d, b);
		return error;
	}
	d->job = (struct job){
	    .kind = JOB_CLEAR, .base = frames, .bytes = pages * PAGE_SIZE, .value = gpa, .origin = call_defer(c)};
	d->core->jobs |= 1u << d->index;
	return ERR_OK;
}

enum error call_memory_free(struct invocation *c)
{
	struct domain *d = c->caller;
	struct heap_block *b = d->heap;
	while (b < d->heap + HEAP_MAX && (b->gpa == 0 || b->gpa != c->arg[0]))
		b++;
	if (b == d->heap + HEAP_MAX)
		return ERR_INVALID;
	domain_heap_free(d, b);
	return ERR_OK;
}

enum error call_memory_physical(struct invocation *c)
{
	paddr_t pa;
	if (!(c->caller->flags & DOMAIN_FLAG_DMA))
		return ERR_DENIED;
	if (!table_lookup(&c->caller->table, c->arg[0], &pa, 0))
		return ERR_INVALID;
	return call_results(c, pa);
}

enum error call_device_info(struct invocation *c)
{
	const struct domain *d = c->caller;
	if (c->arg[0] >= d->window_count)
		return ERR_NOT_FOUND;
	const struct window *w = &d->windows[c->arg[0]];
	return call_results(c, w->gpa + (w->address & (PAGE_SIZE - 1)), w->bytes, w->identity, w->msi_address, w->msi_data);
}

// ---- dispatch

struct call_entry {
	enum error (*handler)(struct invocation *c);
	enum call_right right;
};

static const struct call_entry calls[CALL_COUNT] = {
#define X(name, right, text) [CALL_##name] = {call_##name, CALL_RIGHT_##right},
    CALL_TABLE(X)
#undef X
};

// ---- handles: (place + 1) | generation << 16; the place holds core << 48 | index << 32 | generation

// First place with that object, 0: a free one. Negative: none.
static int handle_place(const struct domain *d, uint64_t object)
{
	for (int i = 0; i < HANDLE_MAX; i++)
		if (d->handles[i] == object)
			return i;
	return -1;
}

static uint64_t handle_add(struct domain *d, unsigned core, unsigned index, uint32_t generation)
{
	uint64_t object = (uint64_t)core << 48 | (uint64_t)index << 32 | generation;
	int known = handle_place(d, object), place = known < 0 ? handle_place(d, 0) : known;
	if (place < 0)
		return 0;
	d->handles[place] = object;
	return (uint64_t)(place + 1) | (uint64_t)generation << 16;
}

// INV-13: a handle of an earlier generation names nothing.
static bool handle_resolve(const struct domain *d, uint64_t handle, unsigned *core, uint64_t *object)
{
	uint64_t place = (handle & 0xffff) - 1;
	if (place >= HANDLE_MAX || d->handles[place] == 0 || (uint32_t)d->handles[place] != (uint32_t)(handle >> 16))
		return false;
	*core = (unsigned)(d->handles[place] >> 48);
	*object = d->handles[place] & 0xffffffffffff;
	return true;
}

static struct domain *object_domain(struct core *core, uint64_t object)
{
	unsigned index = (unsigned)(object >> 32) & 0xffff;
	struct domain *d = index < DOMAIN_MAX ? core->domains[index] : 0;
	return d && d->generation == (uint32_t)object && d->state != DOMAIN_DYING ? d : 0;
}

// ---- the way back

// What was made gets a handle, and what was destroyed loses its own, which the call named. create and open answer {generation,
// index, epoch}; the caller sees {handle, index} or {handle, epoch}.
enum error call_settle(struct domain *d, unsigned core, unsigned number, uint64_t first, enum error error, uint64_t value[5])
{
	if (error == ERR_OK && number == CALL_domain_destroy)
		d->handles[(first & 0xffff) - 1] = 0;
	if (error == ERR_OK && number == CALL_core_ping)
		value[1] = time_read() - value[1];
	if (error != ERR_OK || (number != CALL_domain_create && number != CALL_domain_open))
		return error;
	value[0] = handle_add(d, core, (unsigned)value[1], (uint32_t)value[0]);
	value[1] = number == CALL_domain_open ? value[2] : value[1];
	value[2] = 0;
	return value[0] ? ERR_OK : ERR_LIMIT;
}

static void results_write(struct domain *d, enum error error, const uint64_t value[5])
{
	d->x[10] = error;
	call_values(&d->x[11], value);
}

void call_wait(struct domain *d, struct call_flight *flight, unsigned core, unsigned number, uint32_t request, uint64_t end)
{
	if (flight) {
		call_ring_await(d, flight, core, request, end);
		return;
	}
	if (end != DEADLINE_NEVER)
		deadline_arm(&d->core->deadlines, &d->deadline, end);
	if (d->state == DOMAIN_READY) // the handler needed its registers unloaded
		run_queue_remove(&d->core->run, d->index);
	d->state = DOMAIN_CALLING;
	d->call_core = (uint16_t)core;
	d->call_number = (uint16_t)number;
	d->call_request = request;
}

void call_finish(struct domain *d, enum error error, const uint64_t value[5])
{
	uint64_t result[5];
	memcpy(result, value, sizeof(result));
	deadline_cancel(&d->core->deadlines, &d->deadline);
	d->call_request = 0;
	if (d->call_number == CALL_channel_open)
		error = channel_connected(d, error, value, result);
	else
		error = call_settle(d, d->call_core, d->call_number, d->x[10], error, result);
	results_write(d, error, result);
	schedule_ready(d);
}

struct origin call_defer(struct invocation *c)
{
	c->deferred = true;
	if (c->caller) {
		c->origin = (struct origin){c->core->id, mesh_number(c->core), true};
		call_wait(c->caller, c->flight, c->core->id, c->caller->call_number, c->origin.request, DEADLINE_NEVER);
	}
	return c->origin;
}

// ---- the way in

static enum error forward(struct invocation *c, unsigned core, unsigned number, uint64_t first)
{
	uint64_t word[6];
	memcpy(word, c->arg, sizeof(word));
	word[0] = first;
	c->deferred = mesh_core_online(c->core, core) && mesh_call(c->caller, core, number, word, c->flight) == ERR_OK;
	return c->deferred ? ERR_OK : ERR_CORE_LOST; // or earlier calls have found no answer
}

static __attribute__((noinline)) enum error perform_on_core(struct invocation *c, unsigned number)
{
	bool ping = number == CALL_core_ping;
	uint64_t core = c->arg[0];
	const uint64_t *own = c->arg, pinged[6] = {core, own[1], ping ? time_read() : 0}; // call_settle
	if (core >= c->core->core_count)
		return ERR_INVALID;
	if (number == CALL_domain_create && (unsigned)handle_place(c->caller, 0) >= HANDLE_MAX - CALL_RING_FLIGHTS) // nobody could ever name what it made
		return ERR_LIMIT;
	c->arg = ping ? pinged : own;
	enum error error = core == c->core->id ? calls[number].handler(c) : forward(c, (unsigned)core, number, core);
	c->arg = own;
	return error;
}

static enum error perform_on_domain(struct invocation *c, unsigned number)
{
	unsigned core;
	uint64_t object;
	if (!handle_resolve(c->caller, c->arg[0], &core, &object))
		return ERR_HANDLE;
	if (core != c->core->id)
		return forward(c, core, number, object);
	c->target = object_domain(c->core, object);
	return c->target ? calls[number].handler(c) : ERR_HANDLE;
}

enum error call_dispatch(struct invocation *c, struct domain *d, struct call_flight *flight, uint64_t number, const uint64_t arg[6])
{
	c->core = d->core, c->caller = c->target = d, c->flight = flight, c->arg = arg, c->deferred = false;
	call_values(c->value, call_nothing);
	if (number >= CALL_COUNT)
		return ERR_UNKNOWN_CALL;
	enum call_right right = calls[number].right;
	if (right > CALL_RIGHT_P && !d->supervisor)
		return ERR_DENIED;
	if (flight && right == CALL_RIGHT_W)
		return ERR_UNSUPPORTED;
	if (right == CALL_RIGHT_C)
		return perform_on_core(c, (unsigned)number);
	if (right == CALL_RIGHT_D || (right == CALL_RIGHT_E && c->arg[0] != 0))
		return perform_on_domain(c, (unsigned)number);
	return calls[number].handler(c);
}

void call_of_domain(struct domain *d)
{
	struct invocation c;
	d->x[0] += 4;
	d->call_number = (uint16_t)d->x[17];
	enum error error = call_dispatch(&c, d, 0, d->x[17], &d->x[10]);
	if (c.deferred && error == ERR_OK)
		return;
	if (d->supervisor) // nobody else has handles
		error = call_settle(d, d->core->id, d->call_number, c.arg[0], error, c.value);
	results_write(d, error, c.value);
}

void call_of_kernel(struct core *core, unsigned from, const struct mesh_message *m)
{
	struct invocation c = {.core = core, .origin = {(uint16_t)from, m->request, true}, .arg = m->word};
	enum error error = ERR_UNKNOWN_CALL;
	if (m->op == CALL_channel_open) {
		error = channel_connect(&c);
	} else if (m->op < CALL_COUNT && calls[m->op].right >= CALL_RIGHT_C) {
		bool on_core = calls[m->op].right == CALL_RIGHT_C;
		if (!on_core)
			c.target = object_domain(core, m->word[0]);
		core->serving = c.target;
		error = on_core || c.target ? calls[m->op].handler(&c) : ERR_HANDLE;
		core->serving = 0;
	}
	if (!c.deferred || error != ERR_OK)
		mesh_answer(core, c.origin, error, c.value);
}

// ---- notices

struct domain *call_supervisor(const struct core *core)
{
	for (unsigned i = 0; i < DOMAIN_MAX; i++)
		if (core->domains[i] && core->domains[i]->supervisor)
			return core->domains[i];
	return 0;
}

void call_notice_domain(struct core *core, unsigned from, const uint64_t word[6])
{
	struct domain *d = call_supervisor(core);
	if (!d || word[0] >= DOMAIN_MAX)
		return;
	d->event_domain[from] |= 1u << word[0];
	domain_ring(d, IDENTITY_EVENT);
}

void call_notice_complaint(struct core *core, const uint64_t word[6])
{
	struct domain *d = call_supervisor(core);
	struct complaint_record *place = 0;
	bool itself = d && word[0] == ((uint64_t)core->id << 32 | d->index);
	if (itself && d->ready && ++d->complaints == SUPERVISOR_COMPLAINTS) { // its next incarnation need not hear of it
		domain_halt(d, FAULT_COMPLAINT, word[2], 0, 0);
		return;
	}
	for (unsigned i = 0; i < COMPLAINT_RECORDS; i++) {
		struct complaint_record *r = &core->complaints[i];
		if (r->pending && r->subject == word[0] && r->reason == word[2])
			return;
		if (!r->pending)
			place = r;
	}
	if (!d || !place) // the client complains again after its next deadline
		return;
	*place = (struct complaint_record){word[0], (uint32_t)word[1], (uint32_t)word[2], true};
	domain_ring(d, IDENTITY_EVENT);
}

void call_notice_core(struct core *core, unsigned subject)
{
	struct domain *d = call_supervisor(core);
	if (!d)
		return;
	d->event_core |= 1ul << subject;
	domain_ring(d, IDENTITY_EVENT);
}
