// Protocol of the misbehaving server of the tests. Service name: "liar".
//
// Each lie breaks one rule of the channel once: the next incarnation answers the same request with the truth, so a client
// sees time and nothing else.
#pragma once
#include "proto/protocol.h"

#define LIAR_OP_TABLE(X)                                                                                               \
	X(TRUTH, IDEMPOTENT, "word -> word")                                                                           \
	X(LIE, IDEMPOTENT, "word, enum liar_lie, epoch that shall lie -> word, epoch of the incarnation that answered")

enum liar_op {
	LIAR_OP_NONE,
#define X(name, attribute, text) LIAR_OP_##name,
	LIAR_OP_TABLE(X)
#undef X
	LIAR_OPS
};

// X(name, word, what it does). `late` and `early` are no crimes: the answer comes, and that is all.
#define LIAR_LIE_TABLE(X)                                                                                              \
	X(SEQUENCE, "sequence", "a record with another request's number")                                              \
	X(INDEX, "index", "a completion for a slot that does not exist")                                               \
	X(FREE_SLOT, "free-slot", "a completion for a slot without a request")                                         \
	X(TAIL_JUMP, "tail-jump", "a tail far ahead of anything submitted")                                            \
	X(TAIL_BACK, "tail-back", "a tail behind what was completed")                                                  \
	X(STATUS, "status", "a status that is no error number")                                                        \
	X(COMMITTED, "committed", "a committed serial without its check word")                                         \
	X(GARBAGE, "garbage", "every byte of the server's pages overwritten")                                          \
	X(NO_ANSWER, "no-answer", "no completion at all")                                                              \
	X(LATE, "late", "the answer comes after 300 ms")                                                               \
	X(CRASH, "crash", "an illegal instruction in the middle")

enum liar_lie {
	LIE_NONE,
#define X(name, word, text) LIE_##name,
	LIAR_LIE_TABLE(X)
#undef X
	LIE_COUNT
};
