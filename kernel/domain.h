// Domain: the unit of isolation and restart. One for each program; pinned to the core that made it.
//
// A domain runs in VS-mode over G-stage tables only. All that the kernel knows of it is in struct domain, in frames
// charged to its quota: registers, memory, channel ends, device windows, watch. Only its own kernel touches it.
// If the program dies, the record stays (DOMAIN_STOPPED) until the supervisor restarts or destroys it. If the kernel
// dies, so does the core; adoption by a reborn kernel reads these records.
#pragma once
#include "abi/call_ring.h"
#include "abi/channel.h"
#include "abi/event.h"
#include "abi/fault.h"
#include "core-local/budget.h"
#include "core-local/core.h"
#include "core-local/door.h"
#include "kernel/riscv/csr.h"
#include "kernel/riscv/frame.h"
#include <stddef.h>

#define SEGMENT_MAX 8
#define HEAP_MAX 64
#define HEAP_PIECES 64 // of a block, and pages of a piece at most: each is mapped by itself, and in small pages
#define WINDOW_MAX 12
#define HANDLE_MAX 72 // 64, and one for each call under way: what is being made was promised one

struct segment { // pristine content in the boot image; restored from there
	uint64_t gpa;
	uint64_t pages;
	paddr_t frames;
	uint64_t prot;
	uint64_t offset;
	uint64_t length;
};

struct heap_block {
	uint64_t gpa; // 0: given up by the domain, kept until nothing of it is lent
	paddr_t frames;
	uint32_t pages;
	uint32_t piece; // so many of its pages lie together, and behind each piece one that is not mapped
	uint32_t span;  // pages of the heap's window, those with them
	uint32_t lent;  // grants that have not ended, and never will if the server's core was fenced off
};

// WITHDRAWN is only told. KEPT: OFFERED or TAKEN by the record of a former life, and not heard of since.
enum grant_state { GRANT_NONE, GRANT_LENT, GRANT_OFFERED, GRANT_TAKEN, GRANT_ENDED, GRANT_RETURNED, GRANT_RECALLED, GRANT_WITHDRAWN, GRANT_KEPT };

struct grant { // grant.h
	uint32_t handle; // generation * GRANT_PLACES + place; 0: there was none yet
	uint8_t state;   // client's side: NONE, LENT, RECALLED, RETURNED; server's: NONE, OFFERED, TAKEN (mapped), RETURNED, ENDED
	uint8_t prot;
	uint8_t block;   // client's side: of its heap; KEPT: its domain goes on and had it TAKEN
	uint32_t pages;
	paddr_t memory;  // server's side, RETURNED: its clear page in their place; 0: taken back, and it has none
};

struct window { // of a device
	uint64_t gpa;
	uint64_t bytes;
	paddr_t address;
	uint32_t identity; // of its interrupt, 0: none
	uint32_t source;   // wired, at the APLIC; 0: MSI or none
	paddr_t msi_address;
	uint32_t msi_data;
};

// One end of a channel. Client ends own the memory.
struct channel_end {
	uint8_t state; // enum channel_state
	uint8_t role;
	uint8_t priority;
	bool mapped;
	bool notice;   // our state must be told to the peer's kernel
	bool ask;      // and it must say whether it has its end
	bool ring;     // a doorbell must be passed to the peer's kernel
	bool released; // we unmapped it for good: free as soon as the peer's kernel has been told
	bool doorbell_mapped;
	uint16_t peer_core;
	uint16_t peer_domain;
	uint16_t identity;      // rings us
	uint16_t peer_identity; // rings the peer
	uint8_t peer_file;      // guest file of the peer, 0: none
	uint32_t peer_epoch;
	uint32_t tag;           // made by the client's kernel; messages that carry another are of an earlier channel
	uint32_t slots;
	uint32_t out_bytes;
	uint32_t in_bytes;
	uint64_t bytes; // in all
	paddr_t memory;
	uint64_t key;
	uint64_t secret; // server end: of its incarnations alone (RECOVERY rule 6)
	uint32_t doubt;       // client end: seq of a request that was complained about, 0: none
	uint64_t doubt_since; // when that was
	uint64_t name[2];
	bool tell_grants; // and of its grants
	uint32_t asked;   // number of our last question about it
	uint32_t request; // server end in CHANNEL_REQUESTED: the call to answer; client end: that it was opened by
	struct grant grants[GRANT_PLACES];
};

enum job_kind { JOB_NONE, JOB_LOAD, JOB_RESTORE, JOB_CLEAR, JOB_OPEN };

struct origin { // who waits for an operation's result
	uint16_t core;
	uint32_t request;
	bool waits;
};

struct job { // work in bounded chunks
	enum job_kind kind;
	unsigned segment;
	uint64_t done; // bytes of the segment or range
	paddr_t base;  // JOB_CLEAR
	uint64_t bytes;
	struct origin origin;
	uint64_t value; // result to give
};

struct call_flight { // a call of the ring that is under way
	uint32_t request;    // 0: none
	uint16_t core, number, slot;
	uint64_t first, end; // argument; DEADLINE_NEVER: its own core answers for certain
};

struct call_ring {
	uint64_t gpa;
	struct call_slot *slots; // where gpa leads, 0: there is no ring
	unsigned next, flying;   // slot to be taken, calls under way
	struct call_flight flights[CALL_RING_FLIGHTS];
	struct deadline deadline; // the earliest end
};

struct watch {
	uint64_t tick; // ticks of the time base, 0: not watched
	uint32_t ticks;
	uint32_t left;
	uint32_t number;   // of the last ping
	bool outstanding;  // no pong yet
	uint64_t answered; // time of the last pong
	uint64_t ran;      // its run time at the last tick
	uint64_t ran_at_pong;
	uint64_t asleep;   // what it said at the last pong
	uint64_t places;   // where ticks have found it since the ping
};

struct domain {
	uint64_t x[32];     // frame.h: x[0] is the pc
	uint64_t kernel_sp; // frame.h
	uint64_t f[33];     // frame.h
	// From here to `doors`: what the fast path of endpoint calls uses (frame.h has the offsets).
	struct core *core;
	struct domain *reply_to; // whom the fast path may answer: its caller, while there is nothing else to do
	struct domain *callee;   // in whose call it waits
	uint64_t file_bit;       // of its guest file in hgeie, 0: none
	uint64_t *ran;           // its run_ticks in the info page
	uint64_t run_since;
	uint64_t running_as;     // running_domain and running_epoch of the info page
	uint64_t hgatp;
	uint64_t hstatus; // without VTW
	uint64_t vsstatus, vsie, vstvec, vsscratch, vstimecmp;
	struct deadline timer;   // vstimecmp while not running; time is DEADLINE_NEVER when it is not armed
	uint8_t state;           // enum domain_state
	bool open;               // waits for calls, and the fast path may bring one
	bool receiving;          // waits for calls
	bool received;           // its own call has reached the server
	uint8_t priority;        // at which it runs: its own, or donated
	bool plain;              // no library OS, no floating point, no sticky identities: the fast path may switch it
	uint8_t index;
	uint8_t file; // guest file, 0: none
	struct door doors[ENDPOINT_DOORS];

	uint8_t base_priority;
	struct domain *client; // whom it serves, when only the slow path may answer
	uint32_t waiting;      // bit: caller on this core that was not received yet
	uint64_t ticket;       // of its own call: their order, and what names a kept one
	uint64_t call_badge;
	bool kept;     // it was received, and the server answers later
	bool serves;   // its program takes calls: over restarts
	bool lost;     // will not come back
	bool fp;       // has used floating point since it started

	uint32_t flags;
	uint32_t generation;
	epoch_t epoch;
	uint64_t name[2];
	bool supervisor;
	unsigned futile; // supervisor: deaths in a row before it was ready
	unsigned complaints; // supervisor: about this incarnation
	bool ready;

	uint64_t hvip; // VSSIP, which the domain sets and clears by sip; VSEIP is made of `sticky`
	uint64_t vsepc, vscause, vstval, vsiselect;
	uint64_t scounteren, senvcfg; // no VS copies: the domain writes the hart's
	uint64_t vsatp; // of a library OS
	uint64_t sticky[4]; // identities rung while there is no guest file

	struct page_table table;
	enum error table_error; // why there was no frame for a table
	uint64_t frames_used;
	uint64_t frames_quota;
	struct segment segments[SEGMENT_MAX];
	unsigned segment_count;
	struct heap_block heap[HEAP_MAX];
	struct window windows[WINDOW_MAX];
	unsigned window_count;
	uint64_t window_top;

	struct channel_end ends[CHANNEL_MAX];
	uint64_t event_request; // bit: slot
	uint64_t event_closed;
	uint64_t event_state;
	uint32_t event_domain[CORE_MAX]; // supervisor: bit: domain of that core
	uint64_t event_core;
	bool event_ping;
	bool report; // the supervisor must be told
	uint64_t identities[4]; // in use

	struct deadline deadline; // of a call to another kernel
	struct deadline tick;     // of the watch
	struct deadline refill;   // when its budget is full again
	struct budget budget;
	struct watch watch;
	struct job job;
	bool unclean; // a job was dropped: memory may hold what another domain left, until it is restored
	uint32_t call_request; // awaited reply, 0: none
	uint16_t call_number;  // enum call, which it answers
	uint16_t call_core;
	uint16_t call_slot;    // channel_open: the end
	struct call_ring ring;

	char line[168]; // of its log, not yet whole; a runtime's line is at most 161
	unsigned line_used;
	struct domain_status status;
	uint32_t faults;
	uint32_t traps;
	uint64_t handles[HANDLE_MAX]; // supervisor: core << 48 | index << 32 | generation, 0: free
};
_Static_assert(offsetof(struct domain, kernel_sp) == FRAME_KERNEL_SP, "frame.h: kernel stack pointer");
_Static_assert(offsetof(struct domain, f) == FRAME_FP, "frame.h: floating-point registers");
#define FRAME_SAYS(type, field, offset) _Static_assert(offsetof(struct type, field) == (offset), "frame.h: " #offset)
FRAME_SAYS(domain, core, DOMAIN_CORE);
FRAME_SAYS(domain, reply_to, DOMAIN_REPLY_TO);
FRAME_SAYS(domain, callee, DOMAIN_CALLEE);
FRAME_SAYS(domain, file_bit, DOMAIN_FILE_BIT);
FRAME_SAYS(domain, ran, DOMAIN_RAN);
FRAME_SAYS(domain, run_since, DOMAIN_RUN_SINCE);
FRAME_SAYS(domain, running_as, DOMAIN_RUNNING_AS);
FRAME_SAYS(domain, hgatp, DOMAIN_HGATP);
FRAME_SAYS(domain, hstatus, DOMAIN_HSTATUS);
FRAME_SAYS(domain, vsstatus, DOMAIN_VSSTATUS);
FRAME_SAYS(domain, vsie, DOMAIN_VSIE);
FRAME_SAYS(domain, vstvec, DOMAIN_VSTVEC);
FRAME_SAYS(domain, vsscratch, DOMAIN_VSSCRATCH);
FRAME_SAYS(domain, vstimecmp, DOMAIN_VSTIMECMP);
FRAME_SAYS(domain, timer.time, DOMAIN_TIMER_TIME);
FRAME_SAYS(domain, state, DOMAIN_STATE);
FRAME_SAYS(domain, open, DOMAIN_OPEN);
FRAME_SAYS(domain, receiving, DOMAIN_RECEIVING);
FRAME_SAYS(domain, received, DOMAIN_RECEIVING + 1);
FRAME_SAYS(domain, plain, DOMAIN_PLAIN);
FRAME_SAYS(domain, index, DOMAIN_INDEX);
FRAME_SAYS(domain, priority, DOMAIN_PRIORITY);
FRAME_SAYS(domain, doors, DOMAIN_DOORS);
FRAME_SAYS(door, match, DOOR_MATCH);
FRAME_SAYS(door, server, DOOR_SERVER);
FRAME_SAYS(door, badge, DOOR_BADGE);
_Static_assert(ENDPOINT_DOORS == 1 << DOOR_PLACE_BITS && DOMAIN_RUNNING == DOMAIN_STATE_RUNNING &&
	       DOMAIN_BLOCKED == DOMAIN_STATE_BLOCKED && DOMAIN_CALLING == DOMAIN_STATE_CALLING, "frame.h: states, doors");
_Static_assert(sizeof(struct door) == 1 << DOOR_SHIFT && DOOR_HANDLE(15) == DOOR_PLACES, "frame.h: size of a door, handles");
FRAME_SAYS(core, current, CORE_CURRENT);
FRAME_SAYS(core, file_owner_blocked, CORE_FILES_BLOCKED);
FRAME_SAYS(core, company, CORE_COMPANY);
FRAME_SAYS(core, info, CORE_INFO);
FRAME_SAYS(core, trace, CORE_TRACE);
FRAME_SAYS(info_page, running_domain, INFO_RUNNING);
FRAME_SAYS(info_page, counters[INFO_CALLS], INFO_CALLS_FAST);

#define DOMAIN_PAGES ((sizeof(struct domain) + PAGE_SIZE - 1) / PAGE_SIZE)

enum deadline_kind { DEADLINE_SLICE, DEADLINE_MESH, DEADLINE_DOMAIN_TIMER, DEADLINE_CALL, DEADLINE_WATCH, DEADLINE_REBOOT,
		     DEADLINE_GUARD, DEADLINE_BUDGET, DEADLINE_REFILL, DEADLINE_CALLS };

// Creates a domain on this core, charged `quota` pages. ERR_LIMIT, ERR_NO_MEMORY, ERR_QUOTA.
enum error domain_make(struct core *core, const uint64_t name[2], uint64_t quota, unsigned priority, uint32_t flags,
		       struct domain **made);
// The parts of domain_make that a record of a former life goes through too. domain_root: tables, and what is mapped for
// every domain; ERR_NO_MEMORY, ERR_QUOTA.
void domain_fill(struct domain *d, struct core *core, unsigned index);
enum error domain_root(struct domain *d);
// Its guest file as it is before the first instruction.
void domain_file_clear(struct domain *d);
uint64_t domain_hstatus(const struct domain *d); // with which every domain starts
// Pages that a block takes of the heap's window, its unmapped ones with them. 0: no block is like that.
uint64_t domain_heap_span(uint64_t pages, uint64_t piece);
enum error domain_heap_map(struct domain *d, const struct heap_block *b); // what fails may have mapped some of it
// Frames that it had in a former life of this kernel. False: not free to be claimed.
bool domain_frames_claim(struct domain *d, paddr_t base, uint64_t pages);
// Takes `pages` contiguous frames into the domain's charge. 0: none, *error says whether quota or memory.
paddr_t domain_frames(struct domain *d, uint64_t pages, enum error *error);
void domain_frames_free(struct domain *d, paddr_t base, uint64_t pages);
// Unmaps a block of its heap; the frames are free when nothing of it is lent.
void domain_heap_free(struct domain *d, struct heap_block *b);
// Maps into the domain's G-stage, or removes; both fence this hart (KERNEL.md rule 12).
enum error domain_map(struct domain *d, uint64_t gpa, paddr_t pa, uint64_t bytes, unsigned prot);
void domain_unmap(struct domain *d, uint64_t gpa, uint64_t bytes);
// Segment from the boot image: frames, mapping, and the job that fills it. Who is to be told of its end sets job.origin.
enum error domain_segment_add(struct domain *d, const struct segment *s);
// Unmaps and frees all segments: another image follows, or the end.
void domain_segments_forget(struct domain *d);
void domain_begin(struct domain *d, uint64_t entry, uint64_t sp);
// Takes it off the processor for good and records why. Idempotent: the first reason stands.
void domain_halt(struct domain *d, enum fault_kind kind, uint64_t cause, uint64_t address, uint64_t instruction);
void domain_restore_begin(struct domain *d); // the same
// Frees all but what peers still hold; DOMAIN_DYING until they have let go, then domain_bury.
void domain_destroy_begin(struct domain *d);
void domain_bury_if_free(struct domain *d);
// One chunk of its job.
void domain_job_step(struct domain *d);
// Raises an identity: by the guest file, or the sticky word; wakes the domain if it waits.
void domain_ring(struct domain *d, uint32_t identity);
void domain_report(struct domain *d);
void domain_watch_tick(struct domain *d);
// Ticks that it had the core, until now; brings the info page up to date.
uint64_t domain_run_ticks(struct domain *d);
// Books the ticks that it says it slept in its own wfi.
void domain_slept(struct domain *d, uint64_t asleep);
uint32_t domain_identity_take(struct domain *d, unsigned first, unsigned last);
void domain_identity_give(struct domain *d, unsigned identity);
void domain_info_update(struct domain *d);
