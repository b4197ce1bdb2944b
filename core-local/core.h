// struct core: all mutable state of one kernel instance, in its own partition, written by it alone (INV-1).
//
// It must never hold a pointer into another partition but to what the peer shares with everybody (info page, mesh ring,
// heads page, interrupt files). If this kernel dies, the struct stays in its slot for the next one to read.
#pragma once
#include "abi/info.h"
#include "abi/trace.h"
#include "core-local/deadline.h"
#include "core-local/frames.h"
#include "core-local/gstage.h"
#include "core-local/log.h"
#include "core-local/mesh_ring.h"
#include "core-local/partition.h"
#include "core-local/run_queue.h"
#include "core-local/types.h"

struct plan;
struct domain;

#define GUEST_FILE_MAX 63
#define DEVICE_IDENTITY_FIRST 2 // of the S-level file; 1 is the mesh
#define DEVICE_IDENTITY_MAX 32
#define MESH_IDENTITY 1
#define MESH_REQUESTS_MAX 24   // outstanding to one peer: 16, and CALL_RING_FLIGHTS of the supervisor
#define MESH_CLIENT_REQUESTS 15 // of them, by channel_open
#define MESH_NOTICE_ROOM 48    // a notice is sent only while fewer slots are used: calls and replies keep the rest
#define COMPLAINT_RECORDS 16

struct mesh_peer {
	struct mesh_message *out;      // our ring in the peer's partition
	const uint32_t *out_head;      // how far the peer has read it
	const struct mesh_message *in; // the peer's ring in our partition
	uint32_t *in_head;             // on our heads page
	uint32_t out_tail;
	uint32_t head;                 // private copy of in_head
	uint32_t outstanding;          // requests without reply
	paddr_t doorbell;              // S-level file of the peer's hart
	const volatile struct info_page *info;
	uint32_t incarnation;          // of the peer, for which our side of both rings was begun
	uint32_t *seen;                // on our heads page: the same, for the peer to see
	const volatile uint32_t *seen_by; // on the peer's: which of our incarnations it has seen
	uint32_t futile;               // starts of its kernel in a row that did not get online
	uint8_t smothered;             // how often its text was emptied, so that it stops
	bool listed;                   // has asked for all that it shares with us
	bool heard;                    // has sent something since it was asked whether it lives (reboot.c)
	bool asked;                    // the question is under way
	uint32_t asker;                // call of the supervisor, which takes it for silent and waits for what it says; 0: none
	uint32_t looks;                // until no answer is one
	bool rebooting;                // we see to it that its hart starts again: incarnation `dying` is no more
	uint32_t dying;
	bool fenced;                   // cannot be stopped: never used again what it may still write
	uint64_t patience;             // end of the wait for its hart to stop, or to be online again
};

struct device_identity { // an interrupt of a domain that has no guest file
	uint8_t domain;
	uint8_t identity;
	uint8_t used;
};

struct complaint_record {
	uint64_t subject; // core << 32 | domain, of the server
	uint32_t slot;    // of the client that complained
	uint32_t reason;
	bool pending;
};

struct core {
	struct domain *current;      // whose CSRs are loaded; may be gone: 0
	uint64_t file_owner_blocked; // bit g: hgeie is set for it
	uint64_t company;            // HSTATUS_VTW while others want the core
	struct info_page *info;
	struct trace_ring *trace; // 0: nothing is traced
	struct trace_turn { // until it is an event: when who trapped (0: the core slept); bit i: domain i was woken, above them the call
		uint64_t since, woken;
		const struct domain *who;
	} turn;
	const struct plan *plan;
	core_id_t id;
	uint32_t core_count;
	uint32_t incarnation;
	struct core *former; // struct of the last incarnation, 0: none that checks out
	paddr_t partition;
	paddr_t memory; // from here on frames are for domains; before it lies what the kernel itself needs
	paddr_t imsic;
	uint64_t image_copy; // physical
	struct page_table table;
	struct frames frames;
	struct deadlines deadlines;
	struct deadline slice;      // the running domain's share of time
	struct deadline budget;     // and of its budget
	struct domain *payer;       // whose budget time is taken from, 0: nobody's. Who serves a call does not pay: its caller does
	uint64_t paid_since;
	uint8_t slice_priority; // of those who take turns: their slice goes on while a better one has the core
	bool handed; // by a call or its answer: the next one goes on with the slice of the last
	bool pays; // others want the core: its time counts
	struct deadline mesh_retry; // notices that did not fit into a ring
	struct deadline reboot;     // of other cores' kernels
	struct deadline guard;      // a look at the supervisor's core
	struct run_queue run;
	struct run_link run_links[DOMAIN_MAX];
	struct domain *domains[DOMAIN_MAX];
	uint32_t generations[DOMAIN_MAX]; // of each place, so that an old handle is told from a new one
	uint64_t files_free;              // bit g: guest file g has no domain
	uint64_t tickets;                 // calls of endpoints so far that had to wait
	struct domain *file_owner[GUEST_FILE_MAX + 1];
	uint32_t jobs;     // bit i: domain i has chunked work
	uint32_t notices;  // bit i: domain i has something to tell another kernel
	uint32_t rings;    // bit i: domain i's ring of calls is to be looked at
	uint64_t listing;  // bit i: core i waits for our NOTICE_LISTED
	uint64_t chief;    // where the supervisor is: times that it moved << 32 | core << 16 | domain; the greatest is right
	uint32_t silence;  // looks in a row at which the supervisor's core had not been heard
	uint32_t doom;     // of its next incarnations, for tests: how many << 3 | step at which they die
	bool vmid_usable;
	bool born;         // all records are its own: the next incarnation may read them
	uint64_t since;    // when it came online
	uint64_t died;     // when it panicked, 0: it has not
	uint32_t young;    // short lives in a row before this one (adopt.c)
	struct domain *serving; // in whose call, or on whose record, the kernel works: if it dies of that, the next one does not trust it
	uint32_t call_number; // of requests to other kernels
	struct mesh_peer peers[CORE_MAX];
	struct device_identity device_identity[DEVICE_IDENTITY_MAX];
	struct complaint_record complaints[COMPLAINT_RECORDS];
	uint64_t log_shown; // end of what went to the firmware's console
	struct log log;
};
_Static_assert(sizeof(struct core) <= PARTITION_CORE_SLOT, "struct core fits its slot");

static inline unsigned chief_core(uint64_t chief)
{
	return chief >> 16 & 0xffff;
}

// Requests to other kernels are numbered anew by each incarnation, above all numbers of the one before.
static inline uint32_t core_first_number(const struct core *core)
{
	return core->incarnation << 24;
}

// False: a former life has asked, and nobody waits.
static inline bool core_has_asked(const struct core *core, uint32_t request)
{
	return request - core_first_number(core) <= core->call_number - core_first_number(core);
}

// Where the supervisor is said to be. What a dead kernel left can be anything, so a core that does not exist is not believed.
static inline void chief_hear(struct core *core, uint64_t chief)
{
	if (chief > core->chief && chief_core(chief) < core->core_count)
		core->chief = chief;
}

static inline struct info_page *partition_info(paddr_t partition)
{
	return (struct info_page *)(partition + PARTITION_INFO);
}

static inline uint32_t *partition_heads(paddr_t partition)
{
	return (uint32_t *)(partition + PARTITION_HEADS);
}

static inline uint32_t *partition_seen(paddr_t partition)
{
	return partition_heads(partition) + CORE_MAX;
}

static inline struct mesh_message *partition_ring(paddr_t partition, unsigned sender)
{
	return (struct mesh_message *)(partition + PARTITION_RINGS + sender * PAGE_SIZE);
}
