// Whose uncommitted changes stand where, so that nobody builds on what another client can still lose. See share.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define SHARE_CLAIMS 4u

struct share_change { // a change under way, on its fiber's stack
	uint64_t client;
	uint64_t wanted; // serial that must be durable before it is tried again; 0: nothing is in its way
	unsigned count;  // claims
	uint32_t claimed[SHARE_CLAIMS];
	struct share_change *next;
};

// The client has changed that inode (0: nobody knows which), in the operation of that serial, the highest so far.
void share_note(uint64_t client, uint32_t inode, uint64_t serial, uint64_t committed);
// The highest serial above `committed` by which another client has changed the inode; 0: none.
uint64_t share_foreign(uint64_t client, uint32_t inode, uint64_t committed);
// Nothing that is uncommitted is another's, and nobody waits: no need to ask for inodes.
bool share_alone(uint64_t client, uint64_t committed);
// Whether the change may go on with that inode. False: when the serial `wanted` is durable it is to be tried again, and until
// share_done nobody else may change the inode, so that it is this change's turn then.
bool share_enter(struct share_change *change, uint32_t inode, uint64_t committed);
void share_done(struct share_change *change);
