// One client as the server's library keeps it. Private to server*.c.
#pragma once
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

struct server_channel {
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

// Its request's record stands: what was lent with it is given back, taken or not.
void server_grant_end(struct server_channel *channel, const struct server_request *request);
// Something may have been taken back of what requests of it have: `recalled` is told of each one.
void server_grants_look(struct server_channel *channel, void (*recalled)(struct server_request *request));
// Answers an operation of the runtime's own (proto/protocol.h).
void server_runtime_request(struct server_request *request, const struct server_statistics *statistics);
// A valid request that no incarnation has performed, at its adoption: faults that were meant for this one are armed.
void server_runtime_adopted(const struct request *copy, const uint8_t *out);
// The client has gone: its faults for later incarnations are answered.
void server_runtime_closing(struct server_channel *channel);
