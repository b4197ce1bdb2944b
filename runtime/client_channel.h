// One service as the client's library keeps it. Private to client*.c.
#pragma once
#include "runtime/client.h"
#include "runtime/client_ring.h"
#include "runtime/endpoint.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"
#include "runtime/spin.h"

struct client {
	struct local *local; // the server is a component of our own domain (local.h), and the ring is nothing but a view; else 0
	bool raw;
	bool resumed;
	bool lost; // the service will not come back
	bool watched; // somebody looks at the server's age of silence, or nobody is to
	bool distrusted; // this incarnation of the server has lied: what is outstanding may be what it gave away
	uint32_t out_room;
	uint32_t in_room;
	unsigned waits;
	unsigned burst_left; // calls of client_quick_all until the loop has a turn
	unsigned lent; // grants so far: says which place comes next
	uint32_t grants[GRANT_PLACES]; // the last one of each place,
	struct client_refusals {       // and how often its server's kernel did not know of one
		uint32_t grant;
		unsigned count;
	} refusals[GRANT_PLACES];
	struct spin spin;
	struct timer watch;
	struct client_request *waiting_first; // for a free slot
	struct client_request *waiting_last;
	uint32_t epoch_seen;
	uint32_t epoch_blamed; // the server's epoch in which nonsense was complained of last
	unsigned claims;       // complaints of it
	uint64_t epoch_time;   // when the server's epoch was seen to change
	uint64_t offence_time; // since when the tail is wrong, 0: it is right
	struct fiber *drainer; // waits for former requests
	struct client *next;
	struct loop_ring loop;
	struct client_gather *gather; // quick calls of several fibers, 0: there are none (client_gather.c)
	struct client_gather *gather_memory; // once there were
	struct endpoint near; // of a server on our own core; door 0: it is elsewhere, or takes no calls
	char name[NAME_SIZE];
	struct client_ring ring; // last: its arrays are long
};

// Takes what has come. True: there was something.
bool client_look(struct client *client);
// Looks for a short while, if that is worth it. True: something came meanwhile.
bool client_spin(struct client *client);
// While something is outstanding, somebody looks at the server's age of silence.
void client_watch_arm(struct client *client);

// --- quick calls
// The short way is open: a doorbell page, nothing that waits for a commit, a server elsewhere, nothing traced.
bool client_lane_possible(const struct client *client);
// From here on the request is as any other: whoever looks at the ring knows of it.
void client_lane_give_up(struct client_ring *ring, struct client_request *request, unsigned slot, uint32_t seq);
// Sleeps once, if there is nothing; the next calls may nap.
void client_doze(struct client *client);

// What is the same in all quick requests of a slot.
static inline void client_lane_blank(struct request *request)
{
	request->flags = 0;
	request->grant = 0; // whoever had the slot before may have lent something
	request->out_offset = request->out_length = request->in_offset = request->in_length = 0;
}
