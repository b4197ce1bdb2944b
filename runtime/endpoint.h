// Endpoints for programs: call a server of the same core, or be one (docs/endpoints.md).
//
// A call blocks the whole domain, its other fibers too, until the server answers: what shall go on meanwhile uses a channel.
// If the server dies, a call that it had not taken, or that may be performed twice, is made again to its next incarnation;
// the caller does not notice. If this domain dies, its doors are closed, and the next incarnation opens them anew.
// The server's side runs in the event loop, in place of its sleep. Calls are answered one after another; every
// ENDPOINT_TURNS of them the loop looks at its channels, so that neither starves the other.
#pragma once
#include "proto/protocol.h"
#include "runtime/endpoint_trap.h"

#define ENDPOINT_TURNS 64u
#define ENDPOINT_RING_TURNS 4u

struct endpoint {
	uint64_t door;
	uint32_t epoch;    // of the server that answered last
	uint32_t restarts; // that calls have met
};

// A door to the endpoint of a service published on this core. ERR_NOT_FOUND: not on this core; ERR_REFUSED: it takes no
// calls; ERR_PEER_LOST; ERR_LIMIT: ENDPOINT_DOORS are open; ERR_NAME_TOO_LONG.
enum error endpoint_open(struct endpoint *endpoint, const char *service);
void endpoint_close(struct endpoint *endpoint);
// The words go over and come back. What ERR_OK means is the protocol's: its own errors are in the words.
// ERR_RESTARTED: an operation that counts once was taken by an incarnation that died, and may have been performed.
// ERR_PEER_LOST, ERR_TIMEOUT; ERR_STATE: the server waits for us.
enum error endpoint_call(struct endpoint *endpoint, enum op_attribute attribute, struct endpoint_words *words);

// Calls say no more than that there is something in a channel: the loop answers each when it has nothing more to do. Idempotent.
void endpoint_serve_rings(void);
// A turn of a loop that has not come to its wait: others keep it busy. After ENDPOINT_RING_TURNS of them such a caller goes on.
void endpoint_loop_turned(void);
// From now on calls come to `handler`, which leaves its answer in `words`. The badge is that of the caller's door.
void endpoint_serve(void (*handler)(uint64_t badge, struct endpoint_words *words));
