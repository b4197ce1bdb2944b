// A ring of kernel calls: one page of a domain, shared with the kernel of its core.
//
// ring_open names the page; ring_enter has the kernel take what was submitted, in order of the slots (0, 1, .. 62, 0), a whole
// batch on one entry. The domain fills a slot that is FREE or DONE and writes SUBMITTED last; the kernel copies it once, checks the copy as it
// would check registers, and answers in the same slot: value[0..4] over the arguments, error, DONE last. A call that goes to another core's kernel, or takes long, is
// UNDER_WAY meanwhile, at most CALL_RING_FLIGHTS of them; so calls can be done in another order than that of the slots.
// Links: a call with `after` is performed when the one in that slot is done, and only if it succeeded; one with `from` the same, and its first argument is
// value[0] of that slot (the handle of the domain that domain_create made there). Else it ends with that one's error; with ERR_STATE if nothing is done in that slot. What is linked to
// must not be used again before. While a linked call waits, so do those behind it.
// No fences: the kernel of a domain runs on its hart.
//
// Who dies. The domain: what is under way comes to its end and nobody hears of it; its next incarnation opens a ring anew. The core that a call went to, or its
// deadline passes: ERR_CORE_LOST. The domain's own kernel: if the domain goes on, so does the ring behind the last slot that was taken. What is DONE is never performed again.
#pragma once
#include <stdint.h>

#define CALL_RING_SLOTS 63u
#define CALL_RING_FLIGHTS 8u
#define CALL_SLOT_RINGS 1u        // flag: IDENTITY_CALLS is rung when it is done
#define CALL_LINK(slot) ((uint8_t)((slot) + 1))

enum call_slot_state { CALL_SLOT_FREE, CALL_SLOT_SUBMITTED, CALL_SLOT_UNDER_WAY, CALL_SLOT_DONE };

struct call_slot {
	uint32_t state;  // enum call_slot_state
	uint16_t number; // enum call
	uint8_t after;   // CALL_LINK(slot), 0: none
	uint8_t from;
	uint32_t flags;
	uint32_t error;  // kernel: enum error
	uint64_t word[6]; // arguments, then results
};
_Static_assert(sizeof(struct call_slot) == 64, "a slot is one cache line, and 63 of them less than a page");
