// One channel within a domain, as local*.c and mate.c keep it. Private to them.
#pragma once
#include "runtime/client_channel.h"
#include "runtime/local.h"
#include "runtime/server_channel.h"

struct mate { // a component that is called, by however many
	const struct component *component;
	struct server_request *first, *last; // for its workers
	unsigned performing;                 // of `fibers`
	struct mate_worker *idle;
	bool started;
	struct mate *next;
};

struct local {
	struct mate *mate;
	const struct server *server;
	struct server_channel *channel;
	bool raw;
	uint32_t out_room, in_room; // of a slot; raw: of all
	const uint8_t *physical_base; // what of the areas is at the physical address in the channel's view
	struct server_request *free;
	struct client_request **asked; // of each slot; 0: nobody's
	struct client_request *ended_first, *ended_last; // their callbacks are due
	struct client_request *waiting_first, *waiting_last; // for a slot
	unsigned slots;
	uint32_t seq;
	uint32_t wants_doorbell; // of nobody: the loop raises it
	bool stirred;            // there was a submission on the loop: what is polled on each turn is to have another one
	struct loop_ring loop;
	struct timer watch;
};


// --- mate.c
// The component, started; waits while another fiber starts it. 0: no memory.
struct mate *mate_of(const struct component *component);
// Performs the request, or has it performed by a fiber. `waits`: the caller's own may do it.
void mate_begin(struct mate *mate, struct server_request *request, bool waits);

// --- local.c
bool local_look(struct loop_ring *ring);
void local_watch_expired(struct timer *timer);
// Memory for payload that cannot stay where the client has it, unless it is there.
enum error local_areas_make(struct local *local);

// --- local_open.c
// Its client is gone: when the server has nothing of it any more, it is told, and lets go.
void local_end_if_idle(struct server_channel *channel);
