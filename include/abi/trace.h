// Trace: rings of typed events, one of each kernel and one of each place for a domain, in memory behind the core's partition.
//
// There only when the boot arguments hold the word "trace". Each ring has one writer and is never cleared after boot: what a
// kernel or a domain wrote last is still there when it is dead, and its next incarnation goes on behind it. The host reads
// them from the machine's memory (tools/tracing.py); no kernel and no domain ever reads what stands there but for `next`,
// of which any value is good. A writer can die at any store: an event counts when `next` has passed it.
#pragma once
#include "fence.h"
#include "layout.h"
#include "trace_offsets.h"
#include <stddef.h>
#include <stdint.h>

#define TRACE_MAGIC 0x454341525450ul       // "PTRACE"
#define TRACE_ANCHOR 0x80200010ul           // in the kernel image: TRACE_MAGIC, then the address of struct trace_directory
#define TRACE_KERNEL_EVENTS 0x8000ul        // powers of two
#define TRACE_DOMAIN_EVENTS 0x2000ul
#define TRACE_EVENT_BYTES 32
#define TRACE_HEADER_BYTES 64               // of a ring, before its events
#define TRACE_KERNEL_BYTES 0x101000ul       // header and events, on whole pages
#define TRACE_DOMAIN_BYTES 0x41000ul
#define TRACE_REGION_BYTES 0xa00000ul       // of a core: the kernel's ring, then one for each place of a domain

// X(name, subject, word, a, b). Which ring it stands in: K the kernel's, D a domain's.
#define TRACE_TABLE(X)                                                                                                 \
	X(NOTHING, "", "", "", "")                                                                                     \
	X(START, "", "incarnation", "", "")                    /* K: a kernel begins */                                \
	X(ONLINE, "", "incarnation", "", "")                                                                           \
	X(PANIC, "", "incarnation", "", "")                                                                            \
	X(TURN, "domains", "cause", "begin", "call")           /* K: at its end, below */                             \
	X(FAST_CALL, "domains", "-", "-", "-")                 /* K: a turn that is an endpoint's call: who calls, who runs */ \
	X(FAST_ANSWER, "domains", "-", "-", "-")               /* K: and its answer; what is not said is what stood there */   \
	X(CALL, "domain", "call", "slot", "argument")          /* K: takes one from a domain's ring of calls */        \
	X(CALLED, "domain", "error", "slot", "call")           /* K: its answer stands in the slot */                  \
	X(RAISE, "domain", "identity", "", "")                 /* K: rings one of its own domains */                   \
	X(NAME, "domain", "epoch", "name", "name")             /* K: made, or taken over from the last kernel */       \
	X(BEGIN, "domain", "epoch", "", "")                    /* K: an incarnation starts */                          \
	X(READY, "domain", "epoch", "", "")                                                                            \
	X(HALT, "domain", "epoch", "kind", "cause")                                                                    \
	X(RESTORE, "domain", "epoch", "", "")                                                                          \
	X(RESTORED, "domain", "epoch", "", "")                                                                         \
	X(DESTROY, "domain", "epoch", "", "")                                                                          \
	X(SENT, "core", "request", "operation", "reply")       /* K: to another kernel */                              \
	X(TAKEN, "core", "request", "operation", "reply")      /* K: from another kernel */                            \
	X(REBOOT, "core", "incarnation", "", "")               /* K: sees that another kernel is dead */               \
	X(LAUNCH, "core", "incarnation", "", "")               /* K: starts its hart again */                          \
	X(OPEN, "", "epoch", "name", "name")                   /* D: an incarnation of a program begins */             \
	X(CHANNEL, "slot", "role", "channel", "peer")          /* D: what a slot is; word: and own identity << 8; channel: the same at both ends */ \
	X(MATE, "slot", "", "name", "name")                    /* D: a channel to that component of the domain itself */ \
	X(TAKE, "slot", "seq", "operation", "submitted")       /* D: a server has it */                                \
	X(COMPLETE, "slot", "seq", "status", "submitted")      /* D: it is done with it; a: operation << 32 | status */ \
	X(RING, "slot", "identity", "", "")                    /* D: of a notification; others are derived from CLAIM */              \
	X(CLAIM, "", "", "identities", "identities")           /* D: identities 0 to 127 that were pending */          \
	X(POINT, "", "text", "text", "text")                   /* D: passes an injection point: a, b, word */          \
	X(PHASE, "phase", "epoch", "name", "name")             /* D: the supervisor, with a service */

enum trace_kind {
#define X(name, ...) TRACE_##name,
	TRACE_TABLE(X)
#undef X
	    TRACE_KINDS
};

// Of TRACE_PHASE: what the supervisor begins with a service; in between are the steps of a restart (supervisor/restart.h).
#define TRACE_PHASE_DETECT 100
#define TRACE_PHASE_READY 101

struct trace_entry {
	uint64_t time; // ticks of the time base
	uint16_t kind; // enum trace_kind
	uint16_t subject;
	uint32_t word;
	uint64_t a;
	uint64_t b;
};
_Static_assert(sizeof(struct trace_entry) == TRACE_EVENT_BYTES, "an event has 32 bytes");

// Of TRACE_TURN, a kernel's work from a trap, or a sleep, to a domain's run or the next sleep. Subject: who trapped, and who runs next << 8;
// word: scause, state of who trapped << 8, bit 31: an interrupt; a: when it trapped, 0: the core slept; b: call << 32 | bit i: domain i is blocked no more.
#define TRACE_NOBODY 0xffu

// Slots from here on, twice as many as the kernel has, are numbers of TRACE_MATE alone.
#define TRACE_MATES 0x8000u

struct trace_ring {
	uint64_t magic;
	uint64_t next; // events ever written
	uint64_t padding[6];
	struct trace_entry event[];
};
_Static_assert(sizeof(struct trace_ring) == TRACE_HEADER_BYTES, "events begin behind a line of the header's own");
#define TRACE_LIES(field, offset) _Static_assert(offsetof(struct trace_ring, field) == (offset), "trace_offsets.h: " #offset)
TRACE_LIES(next, TRACE_NEXT);
TRACE_LIES(event[0].time, TRACE_EVENT_TIME);
TRACE_LIES(event[0].kind, TRACE_EVENT_KIND);
TRACE_LIES(event[0].subject, TRACE_EVENT_SUBJECT);
_Static_assert(1ul << TRACE_PLACE_BITS == TRACE_KERNEL_EVENTS && 1 << TRACE_EVENT_SHIFT == TRACE_EVENT_BYTES &&
	       TRACE_FAST_CALL_KIND == TRACE_FAST_CALL && TRACE_FAST_ANSWER_KIND == TRACE_FAST_ANSWER, "trace_offsets.h: places, sizes, kinds");
_Static_assert(TRACE_KERNEL_BYTES == PAGE_SIZE + TRACE_KERNEL_EVENTS * TRACE_EVENT_BYTES, "size of a kernel's ring");
_Static_assert(TRACE_DOMAIN_BYTES == PAGE_SIZE + TRACE_DOMAIN_EVENTS * TRACE_EVENT_BYTES, "size of a domain's ring");
_Static_assert(TRACE_KERNEL_BYTES + DOMAIN_MAX * TRACE_DOMAIN_BYTES <= TRACE_REGION_BYTES, "all rings of a core fit");

struct trace_core {
	uint64_t region; // physical; 0: tracing is off
	uint64_t info;   // its info page
};

struct trace_directory { // in the boot plan, where TRACE_ANCHOR points
	uint64_t magic;
	uint64_t timebase;
	uint64_t core_count;
	struct trace_core cores[CORE_MAX];
};

static inline struct trace_ring *trace_domain_ring(uint64_t region, unsigned domain)
{
	return (struct trace_ring *)(region + TRACE_KERNEL_BYTES + domain * TRACE_DOMAIN_BYTES);
}

// Some twenty instructions: what is seldom one has the ring's address at hand, and no call.
static inline void trace_append(struct trace_ring *ring, uint64_t events, uint64_t time, enum trace_kind kind, unsigned subject,
				uint64_t word, uint64_t a, uint64_t b)
{
	uint64_t next = ring->next;
	struct trace_ring *at = (struct trace_ring *)((uint8_t *)ring + next % events * TRACE_EVENT_BYTES); // so that its offset is in the stores
	at->event[0].time = time;
	at->event[0].kind = (uint16_t)kind;
	at->event[0].subject = (uint16_t)subject;
	at->event[0].word = (uint32_t)word;
	at->event[0].a = a;
	at->event[0].b = b;
	fence_w_w(); // partner: the host, which reads `next`, then events, then `next` again
	*(volatile uint64_t *)&ring->next = next + 1;
}
