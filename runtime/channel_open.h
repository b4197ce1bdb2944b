// Opening a channel end as a client, for client.c and notification.c: what the manifest allows, what a former incarnation of
// this domain left, and the wait until the service is published and has accepted. Owns nothing.
#pragma once
#include "abi/error.h"
#include <stdbool.h>
#include <stdint.h>

struct channel_wish {
	uint64_t slots; // all 0: a notification
	uint64_t out_bytes;
	uint64_t in_bytes; // 0 with slots: a vault
	unsigned priority;
	bool (*taken)(unsigned slot); // has this incarnation that end already?
};

// Memory of ours that outlives a restart of this domain: an end of a channel to the supervisor through which nothing is ever
// asked. Resumes the one of that label, in whatever state its channel is, or opens one. Errors as below.
enum error channel_vault_open(const char *label, uint64_t bytes, unsigned *slot, bool *resumed);

// The next one of that label from `slot` on that a former incarnation left, which is ours now; -1: none.
int channel_vault_next(const char *label, unsigned slot);

// What its owner has noted in it, for whoever finds it: VAULT_NOTES_BYTES, 0 at first.
void *channel_vault_notes(unsigned slot);
#define VAULT_NOTES_BYTES 64u

// This incarnation uses it no more; it stays, for the next opener.
void channel_vault_leave(unsigned slot);

// Resumes the end that a former incarnation opened to that service, if it is of the same kind (notification or not), or
// opens one; waits until that is possible. ERR_NOT_FOUND: our manifest does not name it in `uses`; ERR_REFUSED; ERR_PEER_LOST.
enum error channel_end_open(const char *service, const struct channel_wish *wish, unsigned *slot, bool *resumed);
