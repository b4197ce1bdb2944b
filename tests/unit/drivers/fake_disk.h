// A virtio block device on PCI, played on the host: configuration space, common configuration, one queue, a disk in memory.
// Its window addresses are fake; its queue is in the driver's real memory (a physical address is a pointer).
#pragma once
#include "fake_host.h"

#define DISK_SECTORS 4096u

struct fake_disk {
	// what the test decides before the driver starts
	uint64_t features;
	uint64_t capacity;
	uint32_t size_max, seg_max, block_size;
	uint16_t queue_max;
	bool refuse_features, never_reset, no_vector, no_notify_room, no_modern, no_interrupt, no_dma, restless;
	uint8_t next_status;  // of requests, 0: as they deserve
	bool shuffle;         // complete in random order
	// what the test looks at
	uint8_t status;
	uint64_t driver_features;
	unsigned notifications;
	unsigned flushes, reads, writes, segments_most;
	uint32_t segment_bytes_most;
	uint8_t data[DISK_SECTORS * 512];
	// registers
	uint32_t feature_select, driver_select;
	uint16_t queue_size, vector, config_vector;
	bool enabled;
	uint64_t address[3];
	uint16_t seen;
	uint16_t held[256];
	unsigned held_count;
	uint8_t generation;
};

extern struct fake_disk disk;

void disk_reset(void);              // a plain good disk, hooks set
void disk_configure(void);          // fills configuration space by the flags
void disk_take(void);               // the device looks at the available ring
bool disk_perform(unsigned count);  // performs up to that many; true: it would raise its interrupt
void disk_used(uint32_t id, uint32_t length); // writes a used element
struct virtqueue_used *disk_used_ring(void);
