// Opening a channel end as a client, for client.c and notification.c: what the manifest allows, what a former incarnation of
// this domain left, and the wait until the service is published and has accepted. Owns nothing.
#pragma once
#include "abi/error.h"
#include <stdbool.h>
#include <stdint.h>

struct channel_wish {
	uint64_t slots; // all 0: a notification
	uint64_t out_bytes;
	uint64_t in_bytes;
	unsigned priority;
	bool (*taken)(unsigned slot); // has this incarnation that end already?
};

// Resumes the end that a former incarnation opened to that service, if it is of the same kind (notification or not), or
// opens one; waits until that is possible. ERR_NOT_FOUND: our manifest does not name it in `uses`; ERR_REFUSED; ERR_PEER_LOST.
enum error channel_end_open(const char *service, const struct channel_wish *wish, unsigned *slot, bool *resumed);
