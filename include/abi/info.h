// Info page: one for each core, written by that core's kernel alone, mapped read-only into every domain.
//
// Readers use the sequence count: odd means that a write is under way. Reads are bounded (a writer can die at an odd
// count): after INFO_TRIES the page is as good as that of a dead core. Single aligned words may be read bare.
// Death is never read from here: it is asked for by a ping with a deadline.
#pragma once
#include "layout.h"
#include <stdint.h>

#define INFO_MAGIC 0x4f464e49u // "INFO"
#define INFO_VERSION 2u
#define INFO_TRIES 1000
#define INFO_SERVICE_MAX 24
#define NAME_SIZE 16 // of services and domains, zero-padded, not necessarily terminated

enum core_state { CORE_ABSENT, CORE_STARTING, CORE_ONLINE, CORE_PANICKED, CORE_PARKED, CORE_LOST };

enum service_state { SERVICE_NONE, SERVICE_STARTING, SERVICE_UP, SERVICE_DOWN, SERVICE_HELD };

struct info_service {
	char name[NAME_SIZE];
	uint32_t domain; // index on this core
	uint32_t epoch;
	uint32_t state;  // enum service_state
	uint32_t padding;
};

struct info_domain {
	char name[NAME_SIZE];
	uint32_t state; // enum domain_state
	uint32_t epoch;
	uint32_t priority;
	uint32_t guest_file; // 0: none
	uint64_t run_ticks;  // time base ticks that it ran
	uint32_t frames;
	uint32_t faults;
	uint64_t doorbells_kernel; // rings that went through the kernel
	uint64_t switches;
	uint64_t idle_ticks;       // of run_ticks, as it reports itself with pong: asleep in its own wfi
	uint32_t traps;            // but endpoint calls on the fast path
	uint32_t claimed;          // doorbells that came to it without the kernel, as its incarnation reports with pong
	uint32_t served;           // requests that it took, the same
	uint32_t padding;
};

enum info_counter {
	INFO_TRAP_CALL,     // ecalls from domains
	INFO_TRAP_FAULT,    // exceptions of domains
	INFO_TRAP_WFI,      // wfi with company on the core
	INFO_TRAP_TIMER,
	INFO_TRAP_EXTERNAL, // S-level interrupts: mesh, devices of domains without a file
	INFO_TRAP_GUEST,    // SGEI
	INFO_TRAP_FP,       // first use of floating point
	INFO_SWITCHES,
	INFO_MESH_SENT,
	INFO_MESH_RECEIVED,
	INFO_DOORBELL_KERNEL,
	INFO_PINGS,         // of the supervisor, each of them an S-level interrupt
	INFO_CALLS,         // endpoint calls on the fast path; they are in no other counter
	INFO_COUNTERS
};

struct info_page {
	uint32_t magic;
	uint32_t version;
	uint32_t sequence;
	uint32_t core_id;
	uint32_t hart_id;
	uint32_t core_count;
	uint32_t state;           // enum core_state
	uint32_t incarnation;     // of this core's kernel
	uint32_t running_domain;  // index, ~0 when idle
	uint32_t running_epoch;
	uint32_t guest_files;     // of this hart
	uint32_t identities;
	uint32_t hart_count;      // of the machine; those beyond core_count are parked
	uint32_t traced;          // 1: every domain has a trace ring (trace.h)
	uint64_t timebase;        // ticks per second
	uint64_t heartbeat;       // kernel entries
	uint64_t idle_ticks;
	uint64_t time_booted;
	uint64_t partition_base;  // physical
	uint64_t partition_bytes;
	uint64_t frames_free;
	uint64_t counters[INFO_COUNTERS];
	struct info_service services[INFO_SERVICE_MAX];
	struct info_domain domains[DOMAIN_MAX];
};
_Static_assert(sizeof(struct info_page) <= PAGE_SIZE, "an info page is one page");
