// Split virtqueue, driver's side: see virtqueue.h. If the driver dies here: the supervisor resets the device before
// this memory is used again, so a half-written chain is never followed.
#include "servers/blk/virtqueue.h"
#include "runtime/device.h"
#include <string.h>

// Flags of the rings (VIRTIO 1.2, 2.7.6, 2.7.8)
#define USED_NO_NOTIFY 1u

void virtqueue_init(struct virtqueue *queue, struct virtqueue_memory *memory, unsigned size, bool event_index)
{
	memset(memory, 0, sizeof(*memory));
	memset(queue, 0, sizeof(*queue));
	queue->memory = memory;
	queue->size = (uint16_t)size;
	queue->free_count = (uint16_t)size;
	queue->event_index = event_index;
	for (unsigned i = 0; i < size; i++)
		queue->next[i] = (uint16_t)(i + 1 < size ? i + 1 : VIRTQUEUE_END);
}

// 2.7.10: the event index follows the ring, wherever the queue's size puts its end.
static volatile uint16_t *used_event(struct virtqueue *queue)
{
	return (volatile uint16_t *)((uint8_t *)&queue->memory->available + 4 + 2 * queue->size);
}

static const volatile uint16_t *available_event(const struct virtqueue *queue)
{
	return (const volatile uint16_t *)((const uint8_t *)&queue->memory->used + 4 + 8 * queue->size);
}

static void descriptor_write(struct virtqueue *queue, uint16_t at, const struct virtqueue_segment *segment, bool last)
{
	struct virtqueue_descriptor *descriptor = &queue->memory->descriptors[at];

	descriptor->address = segment->address;
	descriptor->length = segment->length;
	descriptor->flags = (uint16_t)((segment->device_writes ? VIRTQUEUE_DESCRIPTOR_WRITE : 0) |
				       (last ? 0 : VIRTQUEUE_DESCRIPTOR_NEXT));
	descriptor->next = last ? 0 : queue->next[at];
}

bool virtqueue_add(struct virtqueue *queue, const struct virtqueue_segment *segments, unsigned count, void *owner)
{
	uint16_t head = queue->free_first, at = head;

	if (count == 0 || count > queue->free_count)
		return false;
	queue->room[head] = 0;
	for (unsigned i = 0; i < count; i++) {
		descriptor_write(queue, at, &segments[i], i + 1 == count);
		queue->room[head] += segments[i].device_writes ? segments[i].length : 0;
		at = queue->next[at];
	}
	queue->free_first = at;
	queue->free_count -= (uint16_t)count;
	queue->length[head] = (uint16_t)count;
	queue->owner[head] = owner;
	queue->memory->available.ring[queue->available++ & (queue->size - 1)] = head;
	return true;
}

unsigned virtqueue_last(const struct virtqueue *queue, struct virtqueue_segment *segments, unsigned room)
{
	const struct virtqueue_memory *memory = queue->memory;
	uint16_t at = memory->available.ring[(uint16_t)(queue->available - 1) & (queue->size - 1)];

	for (unsigned n = 0; n < room && at < queue->size;) {
		const struct virtqueue_descriptor *d = &memory->descriptors[at];
		segments[n++] = (struct virtqueue_segment){d->address, d->length, d->flags & VIRTQUEUE_DESCRIPTOR_WRITE};
		if (!(d->flags & VIRTQUEUE_DESCRIPTOR_NEXT))
			return n;
		at = d->next;
	}
	return 0;
}

static bool notify_wanted(const struct virtqueue *queue, uint16_t before)
{
	uint16_t now = queue->published;

	if (!queue->event_index)
		return !(*(const volatile uint16_t *)&queue->memory->used.flags & USED_NO_NOTIFY);
	// 2.7.7.2: has the index just passed the event?
	return (uint16_t)(now - *available_event(queue) - 1) < (uint16_t)(now - before);
}

bool virtqueue_publish(struct virtqueue *queue)
{
	uint16_t before = queue->published;

	if (queue->available == before)
		return false;
	device_fence_publish();
	*(volatile uint16_t *)&queue->memory->available.index = queue->available;
	queue->published = queue->available;
	device_fence_full();
	return notify_wanted(queue, before);
}

static void chain_free(struct virtqueue *queue, uint16_t head)
{
	uint16_t last = head;

	for (unsigned i = 1; i < queue->length[head]; i++)
		last = queue->next[last];
	queue->next[last] = queue->free_first;
	queue->free_first = head;
	queue->free_count += queue->length[head];
	queue->length[head] = 0;
	queue->owner[head] = 0;
}

enum virtqueue_look virtqueue_take(struct virtqueue *queue, void **owner, uint32_t *length)
{
	uint16_t index = *(const volatile uint16_t *)&queue->memory->used.index;
	const volatile struct virtqueue_used_element *element =
		&queue->memory->used.ring[queue->used & (queue->size - 1)];
	uint32_t id;

	if (index == queue->used)
		return VIRTQUEUE_NONE;
	if ((uint16_t)(index - queue->used) > queue->size)
		return VIRTQUEUE_HOSTILE;
	device_fence_claimed();
	id = element->id;
	*length = element->length;
	if (id >= queue->size || queue->length[id] == 0 || *length > queue->room[id])
		return VIRTQUEUE_HOSTILE;
	*owner = queue->owner[id];
	chain_free(queue, (uint16_t)id);
	queue->used++;
	return VIRTQUEUE_USED;
}

bool virtqueue_wait(struct virtqueue *queue)
{
	if (queue->event_index)
		*used_event(queue) = queue->used;
	else
		*(volatile uint16_t *)&queue->memory->available.flags = 0;
	device_fence_full();
	return *(const volatile uint16_t *)&queue->memory->used.index != queue->used;
}
