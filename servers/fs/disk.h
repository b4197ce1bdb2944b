// The disk as the file system core sees it: bytes that can be read asynchronously, and a log area from which, and only
// from which, it can be written.
//
// Owns: the interface. Implemented over the block channel (block.c), over memory (memory_disk.c), and over a file by the
// host tests. The core never sees fibers: `wait` and `breathe` are where other work may run.
#pragma once
#include "abi/channel.h"
#include "abi/error.h"
#include <stdbool.h>
#include <stdint.h>

#define DISK_READ_BYTES 0x10000u   // one read is at most this long
#define DISK_WRITE_BYTES 0x100000u // one write is at most this long

// One read under way. Belongs to the disk from read_start until `done` was called.
struct disk_read {
	uint64_t offset; // bytes
	uint32_t bytes;
	// `data` is valid only during the call, and 0 when `error` is not ERR_OK. May be called inside read_start.
	void (*done)(struct disk_read *read, enum error error, const uint8_t *data);
	void *context; // of the implementation
};

struct disk {
	uint64_t bytes;
	bool read_only;
	uint8_t *log;       // survives the death of the server where the implementation can do that
	uint64_t log_bytes; // 0: nothing can be written
	// What the device has acknowledged: the disk_write_sum of all writes, as the driver says what it was asked for; and the flushes. Who owes
	// writes knows what is added by them (INV-72).
	uint64_t written;
	uint64_t flushed;
	// Starts a read. With `must` it waits for a free place, without it ERR_AGAIN says that there is none.
	enum error (*read_start)(struct disk *disk, struct disk_read *read, bool must);
	// Waits until some read has ended. Never called when none is under way.
	void (*wait)(struct disk *disk);
	// Starts a write of bytes that lie inside the log area; they must not change until write_wait returned.
	enum error (*write)(struct disk *disk, uint64_t offset, const uint8_t *from, uint32_t bytes);
	// Waits for all writes started; the first error of them.
	enum error (*write_wait)(struct disk *disk);
	// All writes that were waited for are on the medium afterwards.
	enum error (*flush)(struct disk *disk);
	// Puts over bytes that were read from there what is newer than the disk's. 0: nothing is.
	void (*amend)(const struct disk *disk, uint64_t offset, uint32_t bytes, uint8_t *data);
	// Called in long loops: lets the event loop answer pings. 0: not needed.
	void (*breathe)(struct disk *disk);
};

#define DISK_SUM_UNIT 512u
#define DISK_SUM_WAY 0x6469736b77617973ull
#define DISK_SUM_PLACE 0xd6e8feb86659fd93ull

// Which bytes of the log area, and where to: so many bytes (whole sectors) from `place` on to the disk's `offset`. A long write has the sum of
// its parts, and two that went to each other's places another one.
static inline uint64_t disk_write_sum(uint64_t offset, uint64_t place, uint64_t bytes)
{
	uint64_t n = bytes / DISK_SUM_UNIT;
	uint64_t places = n * place + DISK_SUM_UNIT * (n * (n - 1) / 2);
	return n * channel_mix(DISK_SUM_WAY, offset - place) + DISK_SUM_PLACE * places;
}
