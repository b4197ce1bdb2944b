// Doors of one domain: its handles to endpoints of its core, each with the badge that the server sees.
//
// Never: looks into a server, which is a pointer that the kernel gave. Why right: a handle holds place and serial, and a
// place's serial changes with each use, so that an old handle names nothing (INV-13). A door with a limit, or without a
// server, never matches on the fast path (riscv/endpoint.S), whose only test of a handle is `match`. State: in the
// domain's record; a reborn kernel checks it by door_check.
#pragma once
#include "abi/endpoint.h"
#include <stdbool.h>
#include <stdint.h>

struct domain;

struct door { // offsets: kernel/riscv/frame.h
	uint64_t match;        // the handle, if the fast path may take it; else one that belongs to another place
	struct domain *server; // 0: gone for good
	uint64_t badge;
	uint32_t serial;       // 0: free
	uint32_t limit_us;     // patience of a call, 0: none
};

// A handle: serial, place, and zeros, so that its place is the offset of the door (riscv/endpoint.S).
#define DOOR_HANDLE(place) ((uint64_t)(place) * sizeof(struct door))
#define DOOR_PLACE(handle) ((unsigned)((handle) / sizeof(struct door)) % ENDPOINT_DOORS)

// All places free; handles of before name nothing.
void doors_clear(struct door doors[ENDPOINT_DOORS]);
// A handle to `server`, 0: all places are taken.
uint64_t door_open(struct door doors[ENDPOINT_DOORS], struct domain *server, uint64_t badge);
// 0: it names nothing.
struct door *door_find(struct door doors[ENDPOINT_DOORS], uint64_t handle);
void door_close(struct door *door, unsigned place);
void door_limit(struct door *door, unsigned place, uint32_t us);
// The server is gone for good: its handles stay, and lead nowhere.
void door_lose(struct door doors[ENDPOINT_DOORS], const struct domain *server);
// Of what a former kernel left: false: no door can be like this.
bool door_check(const struct door *door, unsigned place);
