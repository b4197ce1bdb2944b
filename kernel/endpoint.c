// Endpoints: all but the fast path (endpoint.h).
#include "kernel/endpoint.h"
#include "abi/info_read.h"
#include "boot/plan.h"
#include "core-local/info.h"
#include "kernel/call.h"
#include "kernel/kernel.h"
#include "kernel/schedule.h"
#include <string.h>

#define WORD_OF_HANDLE 5 // of a message: a6
#define TOKEN_SHIFT 8    // keep: serial << 16 | index << 8, above every other value of a0

static const uint8_t word_register[ENDPOINT_WORDS] = {11, 12, 13, 14, 15, 16, 30, 31};

static void message_copy(struct domain *to, const struct domain *from)
{
	for (unsigned i = 0; i < ENDPOINT_WORDS; i++)
		to->x[word_register[i]] = from->x[word_register[i]];
}

// ---- priorities

static unsigned best_waiting(const struct domain *d, unsigned best)
{
	for (uint32_t left = d->waiting; left; left &= left - 1) {
		const struct domain *w = d->core->domains[word_lowest_bit(left)];
		if (w->priority < best)
			best = w->priority;
	}
	return best;
}

static void priority_set(struct domain *d, unsigned priority)
{
	if (d->priority == priority)
		return;
	bool queued = d->state == DOMAIN_READY;
	if (queued)
		run_queue_remove(&d->core->run, d->index);
	d->priority = (uint8_t)priority;
	if (queued)
		run_queue_push(&d->core->run, d->index, priority);
}

// Along the chain of calls; would_close_circle has made sure that it ends.
static void priority_donate(struct domain *server, unsigned priority)
{
	for (; server; server = server->callee)
		if (priority < server->priority)
			priority_set(server, priority);
}

static unsigned own_priority(const struct domain *d)
{
	return d->budget.spent ? PRIORITY_SPENT : d->base_priority;
}

static void priority_settle(struct domain *d)
{
	const struct domain *client = endpoint_client(d);
	priority_set(d, best_waiting(d, client ? client->priority : own_priority(d)));
}

void endpoint_reprice(struct domain *d)
{
	for (; d; d = d->callee)
		priority_settle(d);
}

// ---- the ends of a call

// The caller goes on, before its equals: the core was its own until it called.
static void call_end(struct domain *caller, enum error error, uint64_t first, uint64_t second)
{
	deadline_cancel(&caller->core->deadlines, &caller->deadline);
	caller->callee = 0;
	caller->received = caller->kept = false;
	caller->x[10] = error;
	if (error != ERR_OK) {
		caller->x[11] = first;
		caller->x[12] = second;
	}
	schedule_ready_first(caller);
}

// The server knows it no more: neither waiting, nor served.
static void caller_forget(struct domain *caller)
{
	struct domain *server = caller->callee;
	server->waiting &= ~(1u << caller->index);
	if (server->reply_to == caller)
		server->reply_to = 0;
	if (server->client == caller)
		server->client = 0;
	caller->callee = 0;
	priority_settle(server);
}

void endpoint_timed_out(struct domain *d)
{
	struct domain *server = d->callee;
	caller_forget(d);
	call_end(d, ERR_TIMEOUT, server->epoch, 0);
}

static void callers_end(struct domain *server, enum error error)
{
	for (unsigned i = 0; i < DOMAIN_MAX; i++) {
		struct domain *caller = server->core->domains[i];
		if (caller && caller->callee == server)
			call_end(caller, error, server->epoch, caller->received);
	}
	server->waiting = 0;
	server->reply_to = server->client = 0;
}

void endpoint_halted(struct domain *d)
{
	if (d->callee)
		caller_forget(d);
	d->received = d->kept = d->receiving = d->open = false;
	if (endpoint_client(d))
		endpoint_client(d)->received = true;
	d->reply_to = d->client = 0;
	priority_set(d, own_priority(d));
}

void endpoint_begun(struct domain *d)
{
	doors_clear(d->doors);
	d->lost = false;
	callers_end(d, ERR_RESTARTED);
}

void endpoint_lost(struct domain *d)
{
	d->lost = true;
	callers_end(d, ERR_PEER_LOST);
}

void endpoint_destroyed(struct domain *d)
{
	endpoint_lost(d);
	for (unsigned i = 0; i < DOMAIN_MAX; i++)
		if (d->core->domains[i])
			door_lose(d->core->domains[i]->doors, d);
}

void endpoint_interrupted(struct domain *d)
{
	if (!d->receiving)
		return;
	d->receiving = d->open = false;
	d->x[10] = ERR_AGAIN;
	priority_set(d, own_priority(d));
}

void endpoint_slow(struct domain *d)
{
	d->client = endpoint_client(d);
	d->reply_to = 0;
}

void endpoint_check_doors(struct domain *d)
{
	for (unsigned i = 0; i < ENDPOINT_DOORS; i++) {
		struct door *door = &d->doors[i];
		bool leads = false;
		if (!door_check(door, i))
			door_close(door, i);
		for (unsigned j = 0; j < DOMAIN_MAX; j++)
			leads |= door->server && d->core->domains[j] == door->server;
		if (door->server && !leads)
			door_lose(d->doors, door->server);
	}
}

// ---- handles

enum error call_endpoint_open(struct invocation *c)
{
	const struct info_service *s = info_service_named(c->core->info, (const char *)c->arg);
	struct domain *server = s && s->domain < DOMAIN_MAX ? c->core->domains[s->domain] : 0;
	if (!server)
		return ERR_NOT_FOUND;
	if (s->state == SERVICE_HELD || server->lost)
		return ERR_PEER_LOST;
	if (!server->serves)
		return ERR_REFUSED;
	c->value[0] = door_open(c->caller->doors, server, ENDPOINT_BADGE(c->caller->index, c->caller->generation));
	c->value[1] = server->epoch;
	return c->value[0] ? ERR_OK : ERR_LIMIT;
}

enum error call_endpoint_serve(struct invocation *c)
{
	c->caller->serves = true;
	return ERR_OK;
}

enum error call_endpoint_mint(struct invocation *c)
{
	if (c->arg[0] & ENDPOINT_BADGE_OPENED)
		return ERR_INVALID;
	c->value[0] = door_open(c->caller->doors, c->caller, c->arg[0]);
	return c->value[0] ? ERR_OK : ERR_LIMIT;
}

enum error call_endpoint_close(struct invocation *c)
{
	struct door *door = door_find(c->caller->doors, c->arg[0]);
	if (!door)
		return ERR_HANDLE;
	door_close(door, (unsigned)(door - c->caller->doors));
	return ERR_OK;
}

enum error call_endpoint_limit(struct invocation *c)
{
	struct door *door = door_find(c->caller->doors, c->arg[0]);
	if (!door)
		return ERR_HANDLE;
	if (c->arg[1] > ENDPOINT_LIMIT_US)
		return ERR_INVALID;
	door_limit(door, (unsigned)(door - c->caller->doors), (uint32_t)c->arg[1]);
	return ERR_OK;
}

// What arrives in a6 names a door of the receiver; 0: it has no place for it.
static void door_pass(struct domain *to, struct domain *from)
{
	const struct door *door = door_find(from->doors, from->x[word_register[WORD_OF_HANDLE]]);
	to->x[word_register[WORD_OF_HANDLE]] = door ? door_open(to->doors, door->server, door->badge) : 0;
}

// ---- calls

// Whose call is the next to be received: there is one.
static struct domain *next_waiting(struct domain *d)
{
	struct domain *next = 0;
	for (uint32_t left = d->waiting; left; left &= left - 1) {
		struct domain *w = d->core->domains[word_lowest_bit(left)];
		if (!next || w->priority < next->priority || (w->priority == next->priority && w->ticket < next->ticket))
			next = w;
	}
	return next;
}

// The server gets the words of the first caller, in its registers: it stands in CALL_endpoint_receive.
static void admit(struct domain *server)
{
	struct domain *caller = next_waiting(server);
	server->waiting &= ~(1u << caller->index);
	server->client = caller;
	caller->received = true;
	server->x[10] = ERR_OK;
	server->x[17] = caller->call_badge;
	message_copy(server, caller);
	if (caller->call_number == CALL_endpoint_call_give)
		door_pass(server, caller);
	priority_settle(server);
}

static bool would_close_circle(const struct domain *caller, const struct domain *server)
{
	while (server && server != caller)
		server = server->callee;
	return server == caller;
}

enum error call_endpoint_call(struct invocation *c)
{
	struct domain *d = c->caller;
	const struct door *door = door_find(d->doors, c->arg[0]);
	if (!door)
		return ERR_HANDLE;
	struct domain *server = door->server;
	if (!server || server->lost)
		return ERR_PEER_LOST;
	if (would_close_circle(d, server))
		return ERR_STATE;
	c->deferred = true;
	d->call_badge = door->badge;
	d->ticket = ++c->core->tickets;
	d->callee = server;
	uint64_t limit = door->limit_us * c->core->plan->timebase / 1000000;
	call_wait(d, 0, c->core->id, d->call_number, 0, limit ? time_read() + limit : DEADLINE_NEVER);
	endpoint_slow(server);
	server->waiting |= 1u << d->index;
	priority_donate(server, d->priority);
	if (!server->receiving)
		return ERR_OK;
	server->receiving = server->open = false;
	admit(server);
	schedule_wake_first(server);
	return ERR_OK;
}

enum error call_endpoint_call_give(struct invocation *c)
{
	const struct door *given = door_find(c->caller->doors, c->caller->x[word_register[WORD_OF_HANDLE]]);
	return given && given->server ? call_endpoint_call(c) : ERR_HANDLE;
}

// ---- answers

// Who is meant by a0 of a receive: 0 in *whom: nobody, or one that is no more.
static enum error whom_find(struct domain *d, uint64_t a0, struct domain **whom)
{
	*whom = 0;
	if (a0 == ENDPOINT_NOBODY)
		return ERR_OK;
	if (a0 == 0) {
		*whom = endpoint_client(d);
		return ERR_OK;
	}
	uint64_t index = a0 >> TOKEN_SHIFT & 0xff;
	struct domain *kept = index < DOMAIN_MAX ? d->core->domains[index] : 0;
	if (kept && kept->callee == d && kept->kept && kept->ticket == a0 >> 2 * TOKEN_SHIFT)
		*whom = kept;
	return (a0 & 0xff) == 0 && index < DOMAIN_MAX ? ERR_OK : ERR_INVALID;
}

static void answer(struct domain *server, struct domain *caller, bool give)
{
	if (!caller)
		return;
	message_copy(caller, server);
	if (give)
		door_pass(caller, server);
	caller->x[17] = server->epoch;
	if (caller == endpoint_client(server))
		server->reply_to = server->client = 0;
	call_end(caller, ERR_OK, 0, 0);
}

enum error call_endpoint_receive(struct invocation *c)
{
	struct domain *d = c->caller, *whom;
	enum error error = whom_find(d, c->arg[0], &whom);
	if (error != ERR_OK)
		return error;
	c->deferred = true;
	answer(d, whom, false);
	if (c->arg[0] != 0 && endpoint_client(d)) { // it was neither answered nor kept
		d->x[10] = ERR_STATE;
		return ERR_OK;
	}
	if (d->waiting) {
		admit(d);
		return ERR_OK;
	}
	priority_settle(d);
	d->x[10] = ERR_AGAIN;
	schedule_wait(d);
	d->receiving = d->state == DOMAIN_BLOCKED;
	d->open = d->receiving && d->plain && (csr_read(CSR_VSIE) & 1ul << INTERRUPT_EXTERNAL) && !csr_read(CSR_HVIP);
	return ERR_OK;
}

enum error call_endpoint_reply(struct invocation *c)
{
	struct domain *whom;
	enum error error = whom_find(c->caller, c->arg[0], &whom);
	if (error != ERR_OK)
		return error;
	if (!whom)
		return ERR_NOT_FOUND;
	answer(c->caller, whom, c->caller->call_number == CALL_endpoint_reply_give);
	priority_settle(c->caller);
	return ERR_OK;
}

enum error call_endpoint_reply_give(struct invocation *c)
{
	const struct door *given = door_find(c->caller->doors, c->caller->x[word_register[WORD_OF_HANDLE]]);
	return given && given->server ? call_endpoint_reply(c) : ERR_HANDLE;
}

enum error call_endpoint_keep(struct invocation *c)
{
	struct domain *d = c->caller, *client = endpoint_client(d);
	if (!client)
		return ERR_NOT_FOUND;
	client->kept = client->received = true;
	client->ticket = ++c->core->tickets;
	d->reply_to = d->client = 0;
	priority_settle(d);
	return call_results(c, client->ticket << 2 * TOKEN_SHIFT | (uint64_t)client->index << TOKEN_SHIFT);
}
