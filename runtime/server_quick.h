// Quick operations of a server whose only client has nothing but them (server_quick.c). Private to server*.c.
#pragma once
#include "runtime/server.h"
#include "runtime/server_ring.h"

// Performs and answers what is at the head of the ring, and naps between two requests while the loop allows it. Returns how many
// were performed, when the next one is not quick, the loop is to have a turn, or there is none and no nap is allowed.
unsigned server_quick_serve(struct server_ring *ring, const struct server *server);
