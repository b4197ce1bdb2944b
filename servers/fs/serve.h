// Requests, lock and commits of the one volume that this domain serves. See serve.c.
#pragma once
#include "runtime/server.h"
#include "servers/fs/volume.h"

// `time_base`: seconds since 1970 at time stamp 0; `mark`: highest serial that is on the disk; if the device refuses writes, the
// highest that there is, on return. Starts the committer. An acknowledged change that nobody syncs is on the disk after commit_ms.
enum error serve_start(struct volume *v, uint64_t time_base, uint64_t *mark, uint32_t commit_ms);
void serve_request(struct server_request *request);
void serve_lost(const struct server_request *request);
void serve_replayed(void);
void serve_commit_wanted(void);
void serve_closed(struct server_channel *channel);
void serve_refusing(const struct server_request *request, enum error status);
