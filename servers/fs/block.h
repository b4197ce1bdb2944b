// The disk over the block channel. See block.c.
#pragma once
#include "servers/fs/disk.h"

// Opens or resumes the channel to that service. `log_bytes`: wanted size of the log area (its out area); less when memory
// is short. *resumed: it is the channel of a former incarnation, drained. Errors are those of client_open, and ERR_DEVICE.
enum error block_disk_open(struct disk *disk, const char *service, uint64_t log_bytes, bool *resumed);
// What was read makes no sense, although it did before: the driver may be what is wrong, and is restarted.
void block_disk_disbelieve(void);
