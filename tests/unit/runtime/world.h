// What lies below the runtime, on the host: a kernel with one channel, whose two ends are both ours, and a clock.
//
// The same memory is mapped at slot WORLD_CLIENT (role client) and WORLD_SERVER (role server).
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "abi/channel.h"
#include "abi/info.h"
#include "abi/manifest.h"
#include "runtime/kernel_call.h"
#include "runtime/loop.h"

#define WORLD_CLIENT 5u
#define WORLD_SERVER 3u
#define WORLD_KEY 0x1234567890abcdefull
#define WORLD_SECRET 0xfedcba0987654321ull
#define WORLD_MEMORY 0x80000000ull // physical address of the channel
#define WORLD_PHYSICAL (1ull << 56) // and of a page of the heap, above its own

enum world_grant_state { WORLD_GRANT_NONE, WORLD_GRANT_LENT, WORLD_GRANT_TAKEN, WORLD_GRANT_RETURNED };
struct world_grant { // as both kernels know it
	uint32_t handle;
	enum world_grant_state state;
	void *at;
	uint64_t bytes;
	unsigned prot;
};

struct world {
	uint8_t *memory;
	struct channel_geometry geometry;
	enum channel_state client_state;
	enum channel_state server_state;
	unsigned priority;
	bool exists;       // the channel is there: channel_open makes it
	uint64_t time;     // ticks of 1 us; goes on by itself
	uint32_t epoch;    // of the server
	unsigned complaints[4]; // by reason
	bool no_evidence;       // the kernel finds a record for each request
	bool deaf;              // the kernel takes no complaint
	bool no_page;           // no doorbell page: rings go through the kernel
	unsigned rings_by_kernel;
	unsigned wakes;         // of the fiber
	unsigned claim;     // what a nap claims
	unsigned nap_ended; // what one claimed that was not awaited
	unsigned heap_blocks; // of CALL_memory_alloc
	unsigned opened, accepted, refused, closed_client, closed_server, ready;
	enum error open_error;
	bool near;             // the peer is on our core
	enum error door_error; // of opening its endpoint
	enum error meet_error; // of calling it
	unsigned doors, meetings, serves_rings;
	struct world_grant grants[GRANT_PLACES];
	unsigned grants_ended;
	unsigned unheard; // calls of the server until its kernel has heard of a grant
	unsigned recalls, recalls_late; // so many more say AGAIN
	bool fenced;                    // the server's core is: nothing comes back
	void *block;     // the last of memory_alloc
	unsigned blocks_freed;
	bool unlendable; // no memory of ours can be
	struct manifest_service manifest;
	struct info_page info[2];
	char name[NAME_SIZE];
};
extern struct world world;

// Fresh memory of that geometry, both ends open.
void world_make(unsigned slots, uint64_t out_bytes, uint64_t in_bytes);
void world_free(void);
int world_teardown(void **state); // of a group of tests: world_free
uint32_t world_random(void); // repeatable; world_seed sets where it starts
void world_seed(uint32_t seed);

extern void (*world_meet)(void);           // the server's turn in a call through its endpoint

// The loop: a ring of ours, what is pending is told to the sources, EVENT_CHANNEL_STATE to the listeners.
void world_ring(unsigned identity);
void world_notify(void);
void world_state_changed(unsigned slot);
void world_doorbell_clear(void); // what the last store to a doorbell was is seen in machine_doorbell(slot)

extern void (*world_turn)(bool may_sleep); // what loop_turn and fiber_park do
extern void (*world_nap)(bool may_sleep);  // what a nap does; 0: the same
extern jmp_buf world_exit;                 // domain_exit and domain_panic come back here when world_exit_armed
extern bool world_exit_armed;
extern int world_exit_code; // -1: panic
extern char world_log[256];
