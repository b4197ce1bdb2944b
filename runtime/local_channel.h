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
	struct server_order order; // if it has operations that are logged
	struct local *logs;        // then: the channels to it, those of the former incarnation too
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
	unsigned quick_from; // operations that client_quick has performed at once: none while they are to be seen in a trace
	uint32_t seq;
	uint32_t wants_doorbell; // of nobody: the loop raises it
	bool stirred;            // there was a submission on the loop: what is polled on each turn is to have another one
	struct loop_ring loop;
	struct timer watch;
	// of one whose operations are logged (local_log.c):
	bool logged;
	unsigned held;    // slots that wait for a commit
	bool hurried;     // it asked for a commit, and there was none since
	bool ended;       // let go by its client and its server
	const char *name; // adopted, and nobody has it: of which service
	struct local *next; // of the mate's
};

// --- mate.c
// The component, started; waits while another fiber starts it. 0: no memory.
struct mate *mate_of(const struct component *component);
// Performs the request, or has it performed by a fiber. `waits`: the caller's own may do it.
void mate_begin(struct mate *mate, struct server_request *request, bool waits);

// --- local_log.c
enum error local_log_refuses(const struct component *component, bool raw);
// Before the component starts: what former incarnations left. Nothing, of one without a log.
void local_log_adopt(struct mate *mate, struct server_replays *replays);
// After it has started: all serials up to `mark` are durable.
void local_log_replay(struct mate *mate, uint64_t mark, struct server_replays *replays);
struct local *local_log_former(const struct mate *mate, const char *name, unsigned slots);
// A new one, of that geometry, in a vault; it is the mate's from local_log_add on.
enum error local_log_make(struct local *local, const char *name, const struct channel_geometry *g);
void local_log_add(struct local *local);
void local_log_lay(struct local *local, const struct client_request *from, struct server_request *request);
// True: its slot is not free before a commit.
bool local_log_complete(struct local *local, struct server_request *request, enum error status, const uint64_t result[5]);
void local_log_hurry(struct local *local);
// Its client is gone, and its server has let go of it: freed at once, or by the commit that it waits for.
void local_log_end(struct local *local);

// --- local.c
void local_slot_free(struct local *local, struct server_request *request);
bool local_look(struct loop_ring *ring);
void local_watch_expired(struct timer *timer);
// Memory for payload that cannot stay where the client has it, unless it is there.
enum error local_areas_make(struct local *local);

// --- local_open.c
// Without areas, and with no slot free yet; 0: no memory.
struct local *local_make(struct mate *mate, unsigned slots);
void local_free(struct local *local);
// Its client is gone: when the server has nothing of it any more, it is told, and lets go.
void local_end_if_idle(struct server_channel *channel);
