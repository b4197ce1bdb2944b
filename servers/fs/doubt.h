// Answers that a sane server does not give, or hardly ever. See doubt.c.
#pragma once
#include "abi/channel.h"
#include "abi/error.h"
#include "abi/layout.h"
#include <stdbool.h>

struct doubt { // about an answer to one client
	uint32_t seq; // of the request for which an incarnation died instead of giving it; 0: none
	uint16_t op;
	uint16_t status;
	uint64_t until; // time, in ticks, before which this client is answered at once
};

struct doubts { // in the log area (commit.h), so they outlive the server
	uint64_t spent; // time, in ticks, at which all deaths are there again
	struct doubt of[CHANNEL_MAX];
};

struct volume;

// Whether the error says something that the request and what the volume knows do not bear out. `request` is validated; `out`: its payload.
bool doubt_concerns(const struct volume *v, const struct request *request, const uint8_t *out, enum error status);
// The same for ERR_HANDLE or ERR_STALE, of a handle that the request has (its inode and generation): it is good. The lock is shared.
bool doubt_concerns_handle(struct volume *v, uint64_t handle, enum error status);
// Whether this server is to die of that answer to the client in that slot, and not to give it: once for each, and not at will.
bool doubt_is_due(struct doubts *doubts, unsigned slot, const struct request *request, enum error status, uint64_t now);
// The client is gone; the next one in its slot is asked about nothing.
void doubt_forget(struct doubts *doubts, unsigned slot);
