// Echo protocol: the worked example of docs/write-a-server.md. Service name: "echo".
//
// Nothing is remembered between requests, so every operation may be performed again.
#pragma once
#include "proto/protocol.h"

#define ECHO_OP_TABLE(X)                                                                                               \
	X(SAY, IDEMPOTENT, "out: text; in: room -> bytes, epoch of the server that answered")

enum echo_op {
	ECHO_OP_NONE,
#define X(name, attribute, text) ECHO_OP_##name,
	ECHO_OP_TABLE(X)
#undef X
	ECHO_OPS
};
