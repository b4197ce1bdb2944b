// Protocol of the partner of measurements and tests. Service names: "partner", "partner-near", "partner-plain", "partner-noise", "partner-user".
//
// All idempotent: nothing that a partner does is remembered.
#pragma once
#include "proto/protocol.h"

#define PARTNER_OP_TABLE(X)                                                                                            \
	X(NULL, IDEMPOTENT, "-> ")                                                                                     \
	X(SINK, IDEMPOTENT, "out, or lent: bytes -> sum of its 64-bit words")                                          \
	X(SOURCE, IDEMPOTENT, "byte; in: room, or lent -> bytes, filled")                                              \
	X(TAKE, IDEMPOTENT, "lent: bytes -> bytes; they are mapped and not looked at")                                 \
	X(NOISE, IDEMPOTENT, "enum partner_noise; in: 1 when it has begun -> never: until the partner's job is stopped") \
	X(SPIN, IDEMPOTENT, "1: look for a while before a sleep, 0: never -> ")                                           \
	X(ROUNDS, IDEMPOTENT, "enum partner_mode, rounds; out: struct partner_word; in: struct partner_word: 1 when it is in its rounds -> ") \
	X(PROGRAM, IDEMPOTENT, "enum partner_program, times -> ticks, instructions; DENIED: it is no library OS")             \
	X(QUICK, IDEMPOTENT, "word -> word + 1 ; a quick operation, the last ones of their protocol")

enum partner_op {
	PARTNER_OP_NONE,
#define X(name, attribute, text) PARTNER_OP_##name,
	PARTNER_OP_TABLE(X)
#undef X
	PARTNER_OPS
};

// How the two sides wait for each other in ROUNDS.
enum partner_mode {
	PARTNER_POLL,         // shared memory alone
	PARTNER_SPIN,         // one store rings; the receiver spins on its interrupt file
	PARTNER_SLEEP,        // one store rings; the receiver is in wfi
	PARTNER_KERNEL_SPIN,  // ring and claim by kernel calls
	PARTNER_KERNEL_SLEEP,
	PARTNER_YIELD,        // same core: yield until the other has written
	PARTNER_ENDPOINT,     // same core: calls of the partner's endpoint
	PARTNER_BARE,         // a store and a spinning claim alone, no word and no fence: what the hardware costs
	PARTNER_NOTIFY,       // a notification alone, the receiver is in wfi and claims
	PARTNER_NOTIFY_HANDLER, // the same, and a handler claims
	PARTNER_LATENCY,      // as PARTNER_SLEEP, and the partner says when it had claimed
	PARTNER_MODES
};

// What a partner does with its core in NOISE.
enum partner_noise { PARTNER_COMPUTES, PARTNER_CALLS, PARTNER_CLEARS, PARTNER_NOISES };

// What a program in VU-mode does to its library OS in PROGRAM, so often.
enum partner_program {
	PARTNER_SKIPS,      // a load from what is not mapped, which is skipped
	PARTNER_MAPS,       // a store to a page that is mapped then, of those that are clear
	PARTNER_MAPS_CLEAR, // and that is cleared then
	PARTNER_IS_CALLED,  // a call that does nothing
	PARTNER_PROGRAMS
};

// Each side counts its rounds in its own word; a ring says only that one should look.
struct partner_word {
	uint64_t round;
	uint64_t claimed, instructions; // PARTNER_LATENCY: when the last ring was claimed
	uint64_t padding[5];
};
_Static_assert(sizeof(struct partner_word) == 64, "a partner's word has a cache line");
