// A channel between two components of one domain, behind the functions of client.h and server.h. Private to client.c and server.c.
//
// A call is a call: the server's `request` runs on the caller's stack, payload is where the client has it. No ring, no doorbell, and of
// what is idempotent no record: the restart of the domain takes both sides, so nobody is left who could ask again.
//
// Operations that are ONCE are logged here too, for their effect outlives the domain (on the disk, say), and what stands on an
// acknowledgement may as well: the answer that a client of the domain got. So what was acknowledged here stays done, once, whatever
// dies; and what was not recorded is not performed by the next incarnation, since whoever asked for it is performed anew, and asks
// again. A request of the domain's client that was not answered is performed again as a whole, like in every placement: then what it asked of
// others before is asked twice, so it has to be idempotent in that. A domain has one log, and an app has none: nobody starts it again.
#pragma once
#include "runtime/client.h"
#include "runtime/component.h"

struct local;
struct server_order;

// Fills in a client that is empty but for its name; starts the server, if nobody has yet. ERR_UNSUPPORTED: its operations are logged, and
// cannot be here (a line in the log says why); ERR_INVALID; ERR_REFUSED; ERR_NO_MEMORY, ERR_QUOTA; for a raw client, and where operations are logged, those of channel_vault_open.
enum error local_open(struct client *client, const struct component *component, const struct client_options *options);
// The client is gone; requests that its server still has end unseen. Frees all but the struct client.
void local_close(struct client *client);
// The request fits. `waits`: the caller does nothing else until it is done, so `out` stays. An error is the request's status too.
enum error local_submit(struct client *client, struct client_request *request, bool waits);
// client_take_back: the server is told, and waited for; nothing is taken from it by force.
enum error local_take_back(struct client *client, struct client_request *request);
// client_cancel: a server without fibers has begun all that it has.
void local_cancel(struct client *client, struct client_request *request);
// client_quick: the server's own function, when it has one.
quick_answer_t local_quick(struct client *client, unsigned op, uint64_t a, uint64_t b, uint64_t c);

// Of the component whose operations are logged: 0 (false), if there is none. As server_committed and server_session_any.
const struct server_order *local_log_order(void);
bool local_log_commit(uint64_t serial);
bool local_log_session_any(bool (*has)(const struct server_channel *channel, const void *session, uint64_t word), uint64_t word);

// The server's side, of a channel whose `local` is not 0.
void local_complete(struct server_request *request, enum error status, const uint64_t result[5]);
enum error local_lent(const struct server_request *request, unsigned prot, void **at, uint64_t *bytes);
void local_release(struct server_channel *channel);
// As server_out_physical and server_in_physical: afterwards the request's `out` or `in` is there.
uint64_t local_out_physical(const struct server_request *request);
uint64_t local_in_physical(const struct server_request *request);
