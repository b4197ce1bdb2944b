// One client request on its way through the device: what is allowed, and how it is cut into requests that the
// device takes. Pure; host-tested.
#pragma once
#include "abi/error.h"
#include "proto/block.h"
#include "servers/blk/virtqueue.h"
#include <stdbool.h>
#include <stdint.h>

// struct virtio_blk_req's type and status (VIRTIO 1.2, 5.2.6)
enum transfer_type { TRANSFER_IN = 0, TRANSFER_OUT = 1, TRANSFER_FLUSH = 4 };
enum transfer_status { TRANSFER_OK = 0, TRANSFER_IOERR = 1, TRANSFER_UNSUPPORTED = 2, TRANSFER_UNTOUCHED = 0xff };

struct transfer_header { // struct virtio_blk_req's, which the device reads
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
};

#define TRANSFER_HEADER_BYTES 16u // as the device reads it; the byte for its status lies behind it
_Static_assert(sizeof(struct transfer_header) == TRANSFER_HEADER_BYTES, "a header is 16 bytes");

struct transfer_limits { // of the device
	uint64_t capacity;      // sectors
	uint32_t block_size;    // bytes, a power of two of at least SECTOR_SIZE: unit of every request
	uint32_t physical_size; // bytes, what INFO says
	uint32_t segment_bytes; // of one data segment
	uint32_t segments;      // data segments of one device request
	bool read_only;
	bool flush;
};

struct transfer {
	enum transfer_type type;
	uint64_t sector;
	uint64_t physical; // of the data, contiguous
	uint32_t bytes;
	uint32_t submitted; // bytes given to the device so far
	unsigned parts;     // device requests in flight
	bool complete;      // nothing is left to submit
	enum error worst;   // of the parts that came back
	void *owner;
	struct transfer *next;
};

struct transfer_asked { // by a request
	uint16_t op;
	uint64_t sector;
	uint64_t bytes;
	uint64_t data; // physical, of its payload
};

// Can the device be used at all within these limits?
bool transfer_limits_legal(const struct transfer_limits *limits);
// Is this operation (enum block_op: READ, WRITE, FLUSH) allowed? ERR_INVALID: out of the disk, or not whole blocks;
// ERR_TOO_BIG, ERR_READ_ONLY.
enum error transfer_check(const struct transfer_limits *limits, uint16_t op, uint64_t sector, uint64_t bytes);
void transfer_begin(struct transfer *transfer, uint16_t op, uint64_t sector, uint64_t physical, uint32_t bytes, void *owner);
// Data segments of the next device request, at most `room`; returns their number (0 with *bytes == 0: a flush, or
// `room` is too small for one block, which transfer_room_least excludes).
unsigned transfer_part(const struct transfer_limits *limits, const struct transfer *transfer,
		       struct virtqueue_segment *segments, unsigned room, uint32_t *bytes);
// Whether what the device will read is that request, or a part of so many bytes of it: nobody else would notice where it goes. `header`, and
// behind it the byte for the status, lie at `place`.
bool transfer_fits(const struct transfer_asked *asked, uint64_t part, const struct transfer_header *header, uint64_t place,
		   const struct virtqueue_segment *chain, unsigned count);
// Of that the header alone.
bool transfer_header_fits(const struct transfer_asked *asked, const struct transfer_header *header, uint64_t part);
// Segments that one block needs at least.
unsigned transfer_room_least(const struct transfer_limits *limits, const struct transfer *transfer);
void transfer_submitted(struct transfer *transfer, uint32_t bytes);
// A part came back. ERR_PROTOCOL: no such status exists, the device is not to be believed.
enum error transfer_returned(struct transfer *transfer, uint8_t status);
static inline bool transfer_done(const struct transfer *transfer)
{
	return transfer->complete && transfer->parts == 0;
}
