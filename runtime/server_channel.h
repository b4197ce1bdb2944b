// One client as the server's library keeps it. Private to server*.c.
#pragma once
#include "runtime/fiber.h"
#include "runtime/loop.h"
#include "runtime/server.h"
#include "runtime/server_ring.h"

struct server_statistics {
	uint64_t requests;
	uint64_t completions;
	uint64_t quick;           // counted in neither of these
	uint64_t adopted;         // channels
	uint64_t replayed;        // recorded, above the mark
	uint64_t performed_again; // not recorded by the dead incarnation
	uint64_t recorded;
	uint64_t replay_different; // replays whose outcome was not the recorded one
	uint64_t lost;
};

// In which the operations of one server that are logged took effect, over all its channels.
struct server_order {
	uint64_t serial; // last one given
	uint64_t mark;   // committed
};

struct server_channel {
	struct server_order *order; // that its requests are of
	struct server_request *head;    // fetched and fit, waits for its turn
	struct server_request *adopted; // taken by the scan, in order of seq
	uint64_t head_time;
	uint64_t floor;      // earliest time that a request can claim
	unsigned owned;      // requests that the program has
	unsigned performing; // of them, not yet returned from request_perform: a worker may still have to begin
	bool closing;        // the client is gone
	bool closing_told;
	bool closed_told;
	bool released;
	struct server_channel *next;
	void *context;
	struct local *local; // of a client in our own domain (local.h): what follows is not used then, but for the view; else 0
	struct loop_ring loop;
	struct server_request *taker[GRANT_PLACES]; // who has taken the grant of that place
	struct server_ring ring;
	struct server_request requests[]; // one for each slot
};

// What is to be performed again, of all channels of one server.
struct server_replays {
	struct replay *list;
	unsigned count;
	unsigned room;
};
void server_replays_add(struct server_replays *replays, struct server_request *request);
// Those above the mark, in the order of their serials, by `perform`, which comes back when the request is completed. The server is told
// of each one that cannot be performed again. Forgets all.
void server_replays_perform(struct server_replays *replays, uint64_t mark, const struct server *server,
			    void (*perform)(struct server_request *request));
// A replay is completed: its record stands, and the outcome is compared.
void server_replay_compare(const struct server_request *request, enum error status, const uint64_t result[5]);
// Has the program of this domain, which server_run serves, operations that are logged?
bool server_is_logged(void);

// Its request's record stands: what was lent with it is given back, taken or not.
void server_grant_end(struct server_channel *channel, const struct server_request *request);
// Something may have been taken back of what requests of it have: `recalled` is told of each one.
void server_grants_look(struct server_channel *channel, void (*recalled)(struct server_request *request));
// Answers an operation of the runtime's own (proto/protocol.h).
void server_runtime_request(struct server_request *request, const struct server_statistics *statistics);
// The same, with the statistics of this domain.
void server_runtime_answer(struct server_request *request);
// A valid request that no incarnation has performed, at its adoption: faults that were meant for this one are armed. True: they are for a
// later one.
bool server_runtime_adopted(const struct request *copy, const uint8_t *out);
// The client has gone: its faults for later incarnations are answered.
void server_runtime_closing(struct server_channel *channel);

// One of the fibers that perform its requests, on a stack as it wants them; 0 as fiber_create.
static inline struct fiber *server_fiber(const struct server *server, void (*run)(void *worker), void *worker, const char *name)
{
	return (server->small_stacks ? fiber_create_small : fiber_create)(run, worker, name);
}
