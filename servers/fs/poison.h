// Objects of which somebody's acknowledged change is lost: each client that meets one gets ERR_LOST, once. See poison.c.
#pragma once
#include "runtime/server.h"

#define POISON_ALL (~0ull) // every object of the volume

void poison_add(uint64_t handle); // 0: none
// The request, with its handles unsealed, is about such an object, and its client has not heard of it.
bool poison_meets(const struct request *request, const struct server_channel *client);
