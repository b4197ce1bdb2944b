// Protocol of the test of many requests in flight. Service name: "crowd". What waits there waits until somebody lets all of it go.
#pragma once
#include "proto/protocol.h"

#define CROWD_OP_TABLE(X)                                                                                              \
	X(WAIT, IDEMPOTENT, "-> ; when LET_GO is asked for, by whomever")                                              \
	X(COUNT, IDEMPOTENT, "-> how many wait, epoch of the server")                                                  \
	X(LET_GO, IDEMPOTENT, "-> how many waited")

enum crowd_op {
	CROWD_OP_NONE,
#define X(name, attribute, text) CROWD_OP_##name,
	CROWD_OP_TABLE(X)
#undef X
	CROWD_OPS
};
