// Server side: accepts clients, copies requests once, hands them to the program, writes completions, adopts.
//
// Three callbacks and server_run: that is a server.
//
// If this domain dies: the channels stay in the clients' memory. The next incarnation adopts all before server_run
// calls `start`; the ones that were performed and logged (serial above the mark that `start` returned) come first, in the
// order of their serials over all channels, with REQUEST_REPLAYED; then what was not performed, per channel in order
// of seq; then new ones. The supervisor notices a death; the clients see time.
#pragma once
#include "abi/channel.h"
#include "proto/protocol.h"
#include "runtime/payload.h"
#include <stdbool.h>

#define SERVER_CLIENT_ENDS 16u // channels and notifications of one life of one client: a server has CHANNEL_MAX for all

struct server_channel; // one client
struct fiber;
struct notification;

struct server_request {
	struct request copy;  // validated: op in the table, offsets and lengths inside the channel
	const uint8_t *out;   // payload, in the client's memory: it may change under you; copy what you check
	uint8_t *in;          // where the answer's payload goes
	struct server_channel *channel;
	bool replayed;        // recorded by a former incarnation: perform again, forcing `former`
	struct completion former;
	// for the server's use while it owns the request:
	void *context;
	struct server_request *next;
	struct payload_sum sum; // of `out`, for who copies it by payload_copy
	// private to the library:
	unsigned slot;
	uint64_t free_since; // the last answer in this slot
	bool owned; // by the program, until server_complete
	bool once;  // OP_ONCE
	bool logged;
	bool begun; // the program has seen it, and was not told that it is cancelled
	bool deadly; // recorded, but too many incarnations died in its replay
};

struct server {
	const struct protocol *protocol;
	// Once, before any request: fresh start and restart alike (self_restarted tells). `mark`: all serials up to it are
	// durable. An error here is logged and ends the domain (exit code = error), and the restart rule decides. 0: there is
	// nothing to restore, and no serials.
	enum error (*start)(uint64_t *mark);
	// A request. Runs in a fiber if `fibers` > 0 (that many at once, more wait in the ring, oldest time stamp of the
	// best priority first), else on the loop. It ends by server_complete, then or later (console input).
	void (*request)(struct server_request *request);
	// Among the replays, in its place: one that cannot be performed again, since the client has changed its request or
	// payload since then, or since it killed too many incarnations. `former` is what was recorded, and true; the copy may be
	// anything. Whoever uses what it had changed is to hear of it. Counted and logged already. May be 0.
	void (*lost)(const struct server_request *request);
	// All replays are done, before requests that were never performed. May be 0.
	void (*replayed)(void);
	// A client has gone, and requests of it are still being performed: complete those that wait for something (input).
	// May be 0.
	void (*closing)(struct server_channel *channel);
	// A client has gone. All its requests are completed. When the server has nothing of it in flight and has
	// committed its serials it calls server_release. 0: released at once.
	void (*closed)(struct server_channel *channel);
	// The client has taken back what `request` has of it by server_lent: there are clear pages of ours in its place, until it is
	// completed, as it is to be now. Perhaps told twice. 0: whatever the program has of a client it completes by itself, and soon.
	void (*recalled)(struct server_request *request);
	// The client does without that request, which the program has, and which is not recorded: complete it now (ERR_CANCELLED, when
	// nothing was done), or later as if nothing had been said. On the loop: it must not wait. 0: all go on.
	void (*cancelled)(struct server_request *request);
	// Before a valid request is answered with an error, in a replay too, and perhaps before `start`: if it is one that a sane program does not
	// give, and the reason may be memory of its own that was changed, it can die here, and its next incarnation is asked again. May be 0.
	void (*refusing)(const struct server_request *request, enum error status);
	// A client's want_commit changed. May be 0.
	void (*commit_wanted)(void);
	// Decide about a new client. 0: accept all. Who has SERVER_CLIENT_ENDS already is refused without asking.
	bool (*accept)(struct server_channel *channel);
	// A notification was rung: `gone` says that its client is no more, and then it is to be closed, now or later. Each one is told
	// at once when its client opens it, and after `replayed` those of the former incarnation. 0: such clients are refused.
	void (*notified)(struct notification *notification);
	unsigned fibers;
	bool small_stacks; // of those (fiber_create_small): neither `request` nor what is called on the loop has buffers
	// From this operation of the protocol on (0: none) they are answered at once from the three words of their request: idempotent, without
	// payload, and never waiting. `request` does not see them. Only the first result is written.
	unsigned quick_from;
	quick_answer_t (*quick)(uint64_t op, uint64_t a, uint64_t b, uint64_t c);
};

// Never returns but with an error of start.
enum error server_run(const struct server *server);

// Serial for an operation that takes effect now (RECOVERY rule 1: record before effect): call it when the operation
// is certain to succeed, before its effect can be seen or join a commit. Writes the record in place, unpublished.
// A replayed request gets its former serial. Results must be final.
uint64_t server_record(struct server_request *request, const uint64_t result[5]);
// Publishes. After server_record, status and results are those of the record. Frees the request.
void server_complete(struct server_request *request, enum error status, const uint64_t result[5]);
// All serials up to this are durable: written to every channel's page, which frees the clients' slots.
void server_committed(uint64_t serial);
uint64_t server_serial_last(void);
// This domain does not look for a while before it sleeps (runtime/spin.h): it leaves its core at once. For measurements, and where
// others need the core more.
void server_never_spins(bool never);
// What the client has lent with this request, of an idempotent operation: mapped from here until server_complete, which takes it away.
// It can change under you at any time: read what you check once, into memory of your own. ERR_NOT_FOUND: nothing was lent;
// ERR_DENIED: not with all of `prot`; ERR_HANDLE, ERR_STATE, ERR_QUOTA, ERR_NO_MEMORY: the client had better send it otherwise.
enum error server_lent(struct server_request *request, unsigned prot, void **at, uint64_t *bytes);
// What the client gives away with this request: a block of CALL_memory_alloc of our own with that content, which its client cannot
// change any more, to be freed by who has it. The client's is gone when it sees ERR_OK; after another answer it keeps it.
enum error server_given(struct server_request *request, void **at, uint64_t *bytes);
// Requests of it that the program still has are dropped: it must not touch them any more. From `closing` too.
void server_release(struct server_channel *channel);

// Physical address of a byte in the channel's memory, for DMA (0: the domain has no DMA right).
uint64_t server_out_physical(const struct server_request *request);
uint64_t server_in_physical(const struct server_request *request);
// The same of `out` or in, worked out from what the request names (within a domain by the same code as above): for who would rather compare
// than write over other memory.
uint64_t server_physical_named(const struct server_request *request, bool out);
// Asks for the session table of each client that is there, until one `has` the word. It is the client's memory.
bool server_session_any(bool (*has)(const struct server_channel *channel, const void *session, uint64_t word), uint64_t word);
// A secret of the channel: the same for each incarnation, unknown to the client, and no digest is made with it.
uint64_t server_channel_key(const struct server_channel *channel);
unsigned server_channel_slot(const struct server_channel *channel);
void *server_channel_context(const struct server_channel *channel);
void server_channel_set_context(struct server_channel *channel, void *context);
// Core and domain index of the client, as the kernels know it.
uint64_t server_channel_peer(const struct server_channel *channel);
