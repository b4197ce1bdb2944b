// Split virtqueue, driver's side: descriptor management and checks of what the device writes (VIRTIO 1.2, 2.7).
//
// Owns its descriptor free list and what is in flight; the rings are shared with the device, which may be hostile: nothing
// in them that the device can write is ever used as an index or believed before it is checked, and descriptors are
// read back only to be compared. Pure: no device access, no allocation; host-tested against a fake device.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define VIRTQUEUE_SIZE_MAX 256u
#define VIRTQUEUE_END 0xffffu

#define VIRTQUEUE_DESCRIPTOR_NEXT 1u
#define VIRTQUEUE_DESCRIPTOR_WRITE 2u // by the device

struct virtqueue_descriptor {
	uint64_t address; // physical
	uint32_t length;
	uint16_t flags;
	uint16_t next;
};
_Static_assert(sizeof(struct virtqueue_descriptor) == 16, "a descriptor is 16 bytes");

struct virtqueue_available { // driver writes
	uint16_t flags;
	uint16_t index;
	uint16_t ring[VIRTQUEUE_SIZE_MAX];
};

struct virtqueue_used_element {
	uint32_t id;
	uint32_t length;
};

struct virtqueue_used { // device writes
	uint16_t flags;
	uint16_t index;
	struct virtqueue_used_element ring[VIRTQUEUE_SIZE_MAX];
};

// Memory that the device sees, in one physically contiguous piece. With EVENT_IDX the word behind ring[size] of each
// ring is an event index; arrays of the maximum size keep these words inside for smaller sizes, not for the largest.
struct virtqueue_memory {
	struct virtqueue_descriptor descriptors[VIRTQUEUE_SIZE_MAX];
	struct virtqueue_available available;
	uint16_t used_event;
	struct virtqueue_used used __attribute__((aligned(4096))); // on a page that the driver never writes
	uint16_t available_event;
};
_Static_assert(sizeof(struct virtqueue_memory) <= 3 * 4096, "a queue's memory is three pages");

struct virtqueue_segment {
	uint64_t address; // physical
	uint32_t length;
	bool device_writes;
};

struct virtqueue {
	struct virtqueue_memory *memory;
	uint16_t size;        // a power of two
	uint16_t free_first;
	uint16_t free_count;
	uint16_t available;   // index, as it will be published
	uint16_t published;   // index that the device was shown
	uint16_t used;        // next used element to look at
	bool event_index;     // VIRTIO_F_EVENT_IDX was negotiated
	uint16_t next[VIRTQUEUE_SIZE_MAX];   // own copy of the chains, which nothing follows but this
	uint16_t length[VIRTQUEUE_SIZE_MAX]; // descriptors of the chain in flight that starts here, 0: none
	uint32_t room[VIRTQUEUE_SIZE_MAX];   // bytes that the device may write into that chain
	void *owner[VIRTQUEUE_SIZE_MAX];
};

enum virtqueue_look {
	VIRTQUEUE_NONE,    // nothing new
	VIRTQUEUE_USED,    // a chain came back
	VIRTQUEUE_HOSTILE, // the used ring says what cannot be
};

// `memory` is zeroed by this. `size`: a power of two from 2 to VIRTQUEUE_SIZE_MAX.
void virtqueue_init(struct virtqueue *queue, struct virtqueue_memory *memory, unsigned size, bool event_index);
// Adds a chain of segments (count >= 1); `owner` (not 0) comes back with it. False: not enough free descriptors. The
// device does not see it before virtqueue_publish.
bool virtqueue_add(struct virtqueue *queue, const struct virtqueue_segment *segments, unsigned count, void *owner);
// The chain that was added last, as the device will read it. Its segments, or 0 when they are more than `room`.
unsigned virtqueue_last(const struct virtqueue *queue, struct virtqueue_segment *segments, unsigned room);
// Shows the device all that was added. True: it must be notified.
bool virtqueue_publish(struct virtqueue *queue);
// Takes the next chain that the device has used. VIRTQUEUE_HOSTILE: an id out of range or not in flight, more used
// than in flight, or a length beyond the chain's room; the queue must then be reset.
enum virtqueue_look virtqueue_take(struct virtqueue *queue, void **owner, uint32_t *length);
// Asks for an interrupt at the next used element. True: one is there already, take again.
bool virtqueue_wait(struct virtqueue *queue);
