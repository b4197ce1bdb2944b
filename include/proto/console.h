// Console protocol. Service name: "console".
//
// WRITE is performed at least once: text that was in the UART when the driver died may appear twice (CAVEATS).
// READ waits: it completes when there is input for this channel. Input goes to the channel that last asked for focus.
#pragma once
#include "proto/protocol.h"

#define CONSOLE_OP_TABLE(X)                                                                                            \
	X(WRITE, IDEMPOTENT, "out: text -> bytes written")                                                             \
	X(READ, IDEMPOTENT, "in: room -> bytes; at least 1, waits for it")                                             \
	X(FOCUS, IDEMPOTENT, "-> ; input goes to this channel from now on")                                            \
	X(DRAIN, IDEMPOTENT, "-> ; all text written before has left the UART")

enum console_op {
	CONSOLE_OP_NONE,
#define X(name, attribute, text) CONSOLE_OP_##name,
	CONSOLE_OP_TABLE(X)
#undef X
	CONSOLE_OPS
};
