// A virtio block device on PCI, modern interface: found in the domain's windows, brought up, notified.
#pragma once
#include "servers/blk/transfer.h"
#include "servers/blk/virtqueue.h"

struct virtio_blk {
	uint64_t common; // guest-physical addresses of its structures
	uint64_t device;
	uint32_t device_bytes;
	uint64_t notify; // of queue 0
	uint64_t features; // negotiated
	struct transfer_limits limits;
};

// Resets the device, negotiates, sets up queue 0 over `memory` (any page of it may lie anywhere) and lets it run.
// Says in the log why not. ERR_NOT_FOUND, ERR_UNSUPPORTED, ERR_DEVICE, ERR_DENIED (no DMA right).
enum error virtio_blk_start(struct virtio_blk *blk, struct virtqueue *queue, struct virtqueue_memory *memory);
void virtio_blk_notify(const struct virtio_blk *blk);
// After an interrupt that brought nothing: a changed capacity is read again. False: the device asks to be reset.
bool virtio_blk_check(struct virtio_blk *blk);
