// Block protocol: sectors of 512 bytes. Service names: "block0", "block1" ...
//
// All idempotent: a request that was submitted and not completed is submitted again to the device by the next
// incarnation of the driver. The client guarantees RECOVERY rule 13: never two overlapping writes in flight, buffers
// (out, in) frozen until completion, flush submitted only after the writes that it covers have completed.
// WRITE takes its data from out in place: the device reads the channel's memory. Who asks is told what the driver was asked for: a request that
// was put together wrongly, or not at all, is noticed.
#pragma once
#include "proto/protocol.h"

#define SECTOR_SIZE 512u
#define BLOCK_TRANSFER_MAX 0x100000u // bytes of one request

#define BLOCK_OP_TABLE(X)                                                                                              \
	X(INFO, IDEMPOTENT, "-> capacity in sectors, BLOCK_FLAG_*, physical block size, incarnation's epoch")           \
	X(READ, IDEMPOTENT, "sector; in: bytes, a multiple of 512 -> bytes, sector, offset of in")                      \
	X(WRITE, IDEMPOTENT, "sector; out: bytes, a multiple of 512 -> bytes, sector, offset of out")                   \
	X(FLUSH, IDEMPOTENT, "-> ; all completed writes are on the medium")

#define BLOCK_FLAG_READ_ONLY 1u
#define BLOCK_FLAG_FLUSH 2u // the device has a volatile cache and the flush command

enum block_op {
	BLOCK_OP_NONE,
#define X(name, attribute, text) BLOCK_OP_##name,
	BLOCK_OP_TABLE(X)
#undef X
	BLOCK_OPS
};
