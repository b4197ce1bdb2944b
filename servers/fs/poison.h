// Objects of which somebody's acknowledged change is lost: each client that meets one gets ERR_LOST, once, and so does the fsync of
// each file that was open. See poison.c. A client is the slot of its channel.
#pragma once
#include "runtime/server.h"
#include "servers/fs/commit.h"

#define POISON_ALL (~0ull) // every object of the volume

void poison_open(struct loss *table); // of LOSSES; 0: there is no place that outlives the server
// The operation of that serial is lost; told again by a later incarnation, it is the same loss. Handle 0: none.
void poison_add(uint64_t handle, uint64_t serial);
// The request is about such an object, and its client has not heard of it.
bool poison_meets(const struct request *request, unsigned client);
// A whole entry of the table says that there is such an object, whoever has heard of it.
bool poison_proves(const struct request *request);
void poison_told(const struct request *request, unsigned client); // now it has
void poison_forget(unsigned client); // it is gone: the next one in its slot has heard nothing
// Number of the last loss of that object; `heard`: of the last one that anybody has been told. 0: none.
uint64_t poison_newest(uint64_t handle, bool heard);
