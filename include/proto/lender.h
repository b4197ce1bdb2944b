// Protocol of the tests of grants. Service name: "lender". The server sums words that its client has lent.
//
// What is lent begins with a count, which the server must read once: its client may change it at any time, and does.
#pragma once
#include "proto/protocol.h"

#define LENDER_OP_TABLE(X)                                                                                             \
	X(SUM, IDEMPOTENT, "lent: count, that many words -> their sum, the count, epoch of the server; INVALID: so many are not there") \
	X(SHARE, IDEMPOTENT, "whether it stays when it is taken back; lent, writable; patient: answered then, or with RELEASE -> epoch of the server") \
	X(SET, IDEMPOTENT, "word -> shares of this client: the second word of each is that")                             \
	X(RELEASE, IDEMPOTENT, "-> ; ends the client's shares")                                                        \
	X(GIVE, IDEMPOTENT, "lent: count, that many words, given away -> epoch of the server")                         \
	X(GIVEN, IDEMPOTENT, "-> sum of what was given last to this incarnation, its epoch")                            \
	X(FILL, IDEMPOTENT, "word; lent, writable -> bytes, all of them that word")

enum lender_op {
	LENDER_OP_NONE,
#define X(name, attribute, text) LENDER_OP_##name,
	LENDER_OP_TABLE(X)
#undef X
	LENDER_OPS
};
