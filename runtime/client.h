// Client side of a channel.
//
// client_call waits (spins while the server's core runs the server and it does not sleep, else parks the fiber);
// client_submit returns at once, and the completion wakes or calls back. Both use one slot of the ring; when none is
// free they wait for one (and raise want_commit when the slots are held by uncommitted serials).
//
// If the server dies: nothing to do here: the requests wait in the ring, the next incarnation performs them. A call
// fails with ERR_PEER_LOST only when the restart rule is exhausted. If this domain dies and is restarted, its next
// incarnation gets the same channel by client_open (same service), drained: every request of the dead incarnation has
// been performed before client_open returns, so that nothing of it is in flight.
#pragma once
#include "abi/channel.h"
#include "abi/error.h"
#include "proto/protocol.h"
#include <stdbool.h>

struct client;

#define CLIENT_SMALL_BYTES 512u

struct client_options {
	unsigned slots;     // 0: 64
	unsigned small;     // of them, those with room for CLIENT_SMALL_BYTES out and in only: requests that need no more take them first
	uint64_t out_bytes; // 0: 4096 for each slot
	uint64_t in_bytes;  // 0: 4096 for each slot
	unsigned priority;  // 0 first .. CHANNEL_PRIORITIES - 1
	bool raw;           // the caller manages out and in itself (client_submit's offsets)
};

// Opens or resumes the channel to the service of that name; waits until it is published and has accepted.
// ERR_NOT_FOUND: our manifest does not name it in `uses`; ERR_REFUSED; ERR_PEER_LOST.
enum error client_open(struct client **client, const char *service, const struct client_options *options);
void client_close(struct client *client);
bool client_lost(const struct client *client); // the service was given up: only client_close is left
bool client_resumed(const struct client *client); // the channel is of a former incarnation of this domain

struct client_request {
	uint16_t op;
	uint64_t arg[3];
	const void *out;     // copied into the slot's part of out (not raw); raw: 0
	uint32_t out_length; // at most client_out_room
	void *in;            // answer's payload is copied to here (not raw); may be 0
	uint32_t in_length;  // room; the server may fill less: results say how much
	uint32_t out_offset; // raw only
	uint32_t in_offset;  // raw only
	bool patient;        // waits by its nature (console input, a job's end): no complaint about its age
	// Whole pages of ours that the server may use until it has answered (docs/grants.md): of malloc or CALL_memory_alloc. For
	// idempotent operations. Not lent: ERR_STATE, GRANT_PLACES are lent already; ERR_INVALID, not such pages.
	void *lend;          // 0: none
	uint32_t lend_bytes; // at most GRANT_BYTES
	bool lend_writable;  // else the server can only read them
	// filled at completion:
	struct completion completion;
	bool done;
	void (*completed)(struct client_request *request); // on the loop; may submit; 0: none
	void *context;
	// private to the library:
	unsigned slot;
	struct fiber *waiter;
	struct client_request *next;
};

// `request` belongs to the library until done, `out` until return. Waits only when no slot is free; on the loop (in a
// `completed`), where nothing may wait, it gives ERR_AGAIN instead. After an error the request is done, with that status.
enum error client_submit(struct client *client, struct client_request *request);
// Returns the completion's status, or ERR_PEER_LOST, ERR_TIMEOUT never: recovery ends in one or the other.
enum error client_wait(struct client *client, struct client_request *request);
// Asks the server to do without a request that was submitted. It ends as ever, by its completion, and its slot and what it lent are in use
// until then: with ERR_CANCELLED if it was not begun, or if the server gave it up, else with its answer. What is logged is never undone.
void client_cancel(struct client *client, struct client_request *request);
// client_submit and client_wait.
enum error client_call(struct client *client, struct client_request *request);
// A call in fewer instructions, of an idempotent operation without payload that is asked by three words and answered by one.
quick_answer_t client_quick(struct client *client, unsigned op, uint64_t a, uint64_t b, uint64_t c);
// Many such calls, up to 32 of them in flight. Answered is the result and the error of each; one that got no answer has ERR_PEER_LOST.
struct quick_call {
	uint64_t arg[3];
	uint64_t result;
	uint32_t op;
	uint32_t error; // enum error
};
void client_quick_all(struct client *client, struct quick_call *calls, unsigned count);
// Waits for this server do not look for a while before they sleep (runtime/spin.h): they leave the core at once.
void client_never_spins(struct client *client, bool never);

// A share is a patient request that lends: the server has the pages until it completes it, or until this: when it gives OK, they
// are ours alone, whatever the server does. The request ends too, soon: client_wait. ERR_PEER_LOST: never, the server's core is
// fenced off; ERR_HANDLE: it lends nothing. It may wait, so not on the loop.
enum error client_take_back(struct client *client, struct client_request *request);
// client_call of a request that gives away what it lends, a whole block of CALL_memory_alloc: after ERR_OK, and after nothing else, it
// is the server's (server_given), and ours no more.
enum error client_give(struct client *client, struct client_request *request);
// Not raw: room for one request's payload. Raw: all.
uint32_t client_out_room(const struct client *client);
uint32_t client_in_room(const struct client *client);
// Raw access for those that manage the areas (the file system's write-back log).
void *client_out(struct client *client);
const void *client_in(const struct client *client);
void *client_session(struct client *client); // CHANNEL_SESSION_SIZE bytes, for what the protocol says
unsigned client_slot(const struct client *client); // channel slot, for kernel calls
// An answer was nonsense, as far as the program can tell. One claim is not believed; of CLIENT_CLAIMS the supervisor restarts the
// server. No more than these are heard of one incarnation, so that none meets the next one. May be called on the loop.
#define CLIENT_CLAIMS 3u
void client_complain(struct client *client);
uint32_t client_server_epoch(const struct client *client); // last seen
