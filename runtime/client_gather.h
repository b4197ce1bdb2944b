// Quick calls of several fibers, gathered (client_gather.c). Private to client*.c.
#pragma once
#include "runtime/client_channel.h"
#include "runtime/fiber_await.h"

// From here on client_quick comes to client_gather_call. False: there is no short way, or no memory or slot for it.
bool client_gather_begin(struct client *client);
// While it is open (client->gather): other fibers run until the answer is there.
quick_answer_t client_gather_call(struct client *client, unsigned op, uint64_t a, uint64_t b, uint64_t c);
// Submits what is to be submitted, takes what has come. True: some fiber has its answer.
bool client_gather_look(struct client *client);
// What is open is from here on as any other request, and its fiber gets the answer, or ERR_PEER_LOST, all the same.
void client_gather_end(struct client *client);
