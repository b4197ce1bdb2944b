// What every protocol shares: how a table of operations is written, and the operations that the runtime itself answers.
//
// A protocol is one header: a table X(name, attribute, "arguments -> results") and fixed-size structs with static
// asserts. Attributes: ONCE: the server logs it (serial, record before effect), replays it, never performs it twice;
// IDEMPOTENT: performed again after a restart without harm. Dispatch, names, trace decoding and fuzz tables come from
// the table.
#pragma once
#include "abi/channel.h"
#include "abi/error.h"
#include "abi/info.h"
#include <stdint.h>

// 0 only in the build that shows what recoverability costs (`make price`): nothing is logged, marked or replayed.
#ifndef RECOVERABLE
#define RECOVERABLE 1
#endif

enum op_attribute { OP_IDEMPOTENT, OP_ONCE };

struct op_description {
	const char *name;
	const char *text;
	enum op_attribute attribute;
};

struct protocol {
	const char *name;
	const struct op_description *ops;
	unsigned op_count;
};

// What an operation without payload answers that is called by three words (client_quick, struct server's `quick`): an error and a
// word, in two registers. (A struct would be the same, but compilers take it through memory.)
__extension__ typedef unsigned __int128 quick_answer_t;

static inline quick_answer_t quick_answer(enum error error, uint64_t result)
{
	return (quick_answer_t)result << 64 | (uint64_t)error;
}

static inline quick_answer_t quick_answer_of(uint64_t status, uint64_t result)
{
	return (quick_answer_t)result << 64 | status;
}

static inline enum error quick_error(quick_answer_t answer)
{
	return (enum error)(uint64_t)answer;
}

static inline uint64_t quick_result(quick_answer_t answer)
{
	return (uint64_t)(answer >> 64);
}

// Operations of the runtime, in every protocol; answered before the server sees them.
#define OP_RUNTIME 0xff00u
#define RUNTIME_OP_TABLE(X)                                                                                            \
	X(PING, IDEMPOTENT, "word -> word ; through the ring and the main loop")                                       \
	X(INJECT, IDEMPOTENT, "enum inject_action, passage, parameter | epoch << 32; out: point name, empty: any point -> " \
			      "of NONE: 1 if a fault was armed there that has not fired")                        \
	X(POINTS, IDEMPOTENT, "first -> number ; in: struct inject_point_info[]")                                      \
	X(STATISTICS, IDEMPOTENT, "-> requests, completions, adopted, replayed, performed again")

// INJECT with an epoch other than 0: the request waits in the ring, through deaths, for that incarnation, which arms the fault when it
// finds the request and before it looks at anything behind it. Answered with ERR_STATE when that incarnation serves, or has been.

enum runtime_op {
	RUNTIME_OP_BEFORE = OP_RUNTIME - 1,
#define X(name, attribute, text) RUNTIME_OP_##name,
	RUNTIME_OP_TABLE(X)
#undef X
};

// What an injection point does on its N-th passage. Each is a way in which real servers die or lie.
#define INJECT_ACTION_TABLE(X)                                                                                         \
	X(NONE, "none", "disarmed")                                                                                    \
	X(ILLEGAL, "illegal", "illegal instruction")                                                                   \
	X(WILD, "wild", "store to an address that is not mapped")                                                      \
	X(STACK, "stack", "endless recursion into the guard page")                                                     \
	X(ASSERT, "assert", "failed assertion")                                                                        \
	X(HANG, "hang", "endless loop with interrupts off")                                                            \
	X(ERROR, "error", "the function returns ERR_INJECTED, or the given error")                                     \
	X(REPLY, "reply", "the next completion carries a wrong seq")                                                   \
	X(EXIT, "exit", "the domain exits by itself")

enum inject_action {
#define X(name, word, text) INJECT_##name,
	INJECT_ACTION_TABLE(X)
#undef X
	INJECT_ACTIONS
};

#define INJECT_NAME_SIZE 32
struct inject_point_info {
	char name[INJECT_NAME_SIZE];
	uint64_t passages;
	uint32_t action; // armed
	uint32_t at;     // passage
};
_Static_assert(sizeof(struct inject_point_info) == 48, "one injection point is 48 bytes");
