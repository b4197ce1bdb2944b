// A file system in the host's memory, behind the client library's functions: what file.c and path.c talk to.
#pragma once
#include "proto/fs.h"
#include "runtime/client.h"

void fake_fs_reset(void);
extern unsigned fake_fs_in_flight_most; // requests submitted and not waited for
extern uint64_t fake_fs_space;          // bytes that writes may still take
extern uint32_t fake_fs_room;           // of one request
extern struct fs_session fake_fs_session; // full of a former life until the channel is opened
extern uint64_t fake_fs_synced;         // handle << 1 | FS_FSYNC_DATA of the last FSYNC
extern bool fake_fs_unlinked;           // the next STAT or TRUNCATE finds that the name went after the walk
extern unsigned fake_fs_calls;
extern bool fake_fs_shy; // LOOKUP tells no status
extern uint64_t fake_fs_losses, fake_fs_heard; // number of the last loss, and of the last one that anybody has been told
extern unsigned fake_fs_lends; // requests that take memory along from now on; then it cannot be lent any more
extern bool fake_fs_lost; // the channel is; its handles are no good on the next one
extern bool fake_fs_gone; // and it does not come back
