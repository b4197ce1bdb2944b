// The operations of the protocol over the core. See ops.c.
#pragma once
#include "servers/fs/volume.h"

struct fs_call {
	const struct request *request; // validated copy
	const uint8_t *out;
	uint8_t *in;
	uint64_t now; // seconds since 1970
};

extern const struct protocol fs_protocol;

// True when the operation changes the volume (it runs alone, is recorded, and joins a commit).
bool fsop_changes(uint16_t op);
// Blocks that the operation can make dirty at most.
uint32_t fsop_need(const struct volume *v, const struct request *request);
// Performs it: wholly, or with an error and no effect. SYNC is not here: it is a matter of commits.
enum error fsop_perform(struct volume *v, const struct fs_call *call, uint64_t result[5]);
// A commit of all that is dirty in three steps, of which only the second waits: fsop_commit_begin copies (*count 0:
// there was nothing), commit_write(&v->log) writes, fsop_commit_end cleans. `mark`: highest serial performed.
enum error fsop_commit_begin(struct volume *v, uint64_t mark, uint32_t *count);
void fsop_commit_end(struct volume *v);
