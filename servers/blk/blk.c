// Block driver: the service between channels of clients and a virtio disk.
//
// Owns the queue of one device and the requests in flight. Data goes straight between the device and the clients' channel
// memory. Runs without fibers: requests that came in one turn of the loop are submitted at its end
// with one notification, the interrupt completes. All operations are
// idempotent, so nothing is kept: if the driver dies, the supervisor resets the device (no DMA is under way then), and the
// next incarnation finds in the channels what was not completed and submits it again. A device that breaks the
// rules of the ring ends the driver by exit, which is the same road. The supervisor notices; clients see time.
#include "proto/block.h"
#include "runtime/component.h"
#include "runtime/device.h"
#include "runtime/inject.h"
#include "runtime/runtime.h"
#include "servers/blk/transfer.h"
#include "servers/blk/virtio_blk.h"
#include "servers/blk/virtqueue.h"
#include <string.h>

#define SLOTS (VIRTQUEUE_SIZE_MAX / 2) // a device request has at least two descriptors
#define TRANSFERS SLOTS

struct slot { // what the device reads and writes beside data: struct virtio_blk_req without its data
	struct transfer_header header;
	uint8_t status;
	uint8_t padding[15];
};
_Static_assert(sizeof(struct slot) == 32 && SLOTS * sizeof(struct slot) <= PAGE_SIZE, "slots fill one page");

static struct {
	struct virtio_blk device;
	struct virtqueue queue;
	uint64_t slots_physical;
	struct transfer *slot_transfer[SLOTS]; // 0: the slot is free
	unsigned slots_free[SLOTS];
	unsigned slots_free_count;
	struct transfer transfers[TRANSFERS];
	struct transfer *transfers_free;
	struct transfer *first; // begun, not all submitted, in order of arrival
	struct transfer *last;
	struct server_request *waiting_first; // no transfer was free
	struct server_request *waiting_last;
	struct loop_source interrupt;
	struct loop_source turn;
} blk;

static struct virtqueue_memory queue_memory __attribute__((aligned(PAGE_SIZE)));
static struct slot slots[SLOTS] __attribute__((aligned(PAGE_SIZE)));

static const struct op_description operations[] = {
	{0},
#define X(name, attribute, text) {#name, text, OP_##attribute},
	BLOCK_OP_TABLE(X)
#undef X
};

static const struct protocol block_protocol = {.name = "block", .ops = operations, .op_count = BLOCK_OPS};

static _Noreturn void device_disbelieved(const char *why)
{
	log_line("blk: the device %s: giving up, so that it is reset", why);
	domain_exit(ERR_DEVICE);
}

// By other code than that which begins a transfer, and from the copy of the request that was checked.
static struct transfer_asked asked_of(const struct server_request *request)
{
	const struct request *copy = &request->copy;
	bool out = copy->op == BLOCK_OP_WRITE;
	return (struct transfer_asked){copy->op, copy->arg[0], out ? copy->out_length : copy->in_length, server_physical_named(request, out)};
}

// What the device finds in its memory is what was asked for: a wrong place on the disk, or in memory, would be told to nobody.
static bool part_is_asked(const struct transfer *transfer, uint32_t part, unsigned slot)
{
	static struct virtqueue_segment chain[VIRTQUEUE_SIZE_MAX];
	struct transfer_asked asked = asked_of(transfer->owner);
	unsigned count = virtqueue_last(&blk.queue, chain, VIRTQUEUE_SIZE_MAX);
	return transfer_fits(&asked, part, &slots[slot].header, blk.slots_physical + slot * sizeof(struct slot), chain, count);
}

// Puts header, data and status of the next part into the queue. False: no room now.
static bool part_submit(struct transfer *transfer)
{
	static struct virtqueue_segment segments[VIRTQUEUE_SIZE_MAX];
	const struct transfer_limits *limits = &blk.device.limits;
	uint64_t physical;
	uint32_t bytes;
	unsigned count, slot;

	if (blk.slots_free_count == 0 || blk.queue.free_count < 2 + transfer_room_least(limits, transfer))
		return false;
	slot = blk.slots_free[blk.slots_free_count - 1];
	physical = blk.slots_physical + slot * sizeof(struct slot);
	count = transfer_part(limits, transfer, &segments[1], blk.queue.free_count - 2u, &bytes);
	slots[slot] = (struct slot){
		.header.type = transfer->type,
		.header.sector = transfer->type == TRANSFER_FLUSH ? 0 : transfer->sector + transfer->submitted / SECTOR_SIZE,
		.status = TRANSFER_UNTOUCHED,
	};
	segments[0] = (struct virtqueue_segment){physical, TRANSFER_HEADER_BYTES, false};
	segments[1 + count] = (struct virtqueue_segment){physical + TRANSFER_HEADER_BYTES, 1, true};
	invariant(virtqueue_add(&blk.queue, segments, count + 2, &slots[slot]));
	invariant(part_is_asked(transfer, bytes, slot));
	blk.slots_free_count--;
	blk.slot_transfer[slot] = transfer;
	transfer_submitted(transfer, bytes);
	return true;
}

// Gives a waiting request a transfer. False: none is waiting or none is free.
static bool waiting_begin(void)
{
	struct server_request *request = blk.waiting_first;
	struct transfer *transfer = blk.transfers_free;
	const struct request *copy;

	if (request == 0 || transfer == 0)
		return false;
	copy = &request->copy;
	blk.waiting_first = request->next;
	blk.transfers_free = transfer->next;
	if (copy->op == BLOCK_OP_WRITE)
		transfer_begin(transfer, copy->op, copy->arg[0], server_out_physical(request), copy->out_length, request);
	else
		transfer_begin(transfer, copy->op, copy->arg[0], server_in_physical(request), copy->in_length, request);
	if (blk.first == 0)
		blk.first = transfer;
	else
		blk.last->next = transfer;
	blk.last = transfer;
	return true;
}

// Submits what there is room for, in order of arrival, and notifies the device once.
static void queue_fill(void)
{
	while (blk.first != 0 || waiting_begin()) {
		while (!blk.first->complete)
			if (!part_submit(blk.first))
				goto full;
		blk.first = blk.first->next;
	}
full:
	if (virtqueue_publish(&blk.queue))
		virtio_blk_notify(&blk.device);
}

static void transfer_end(struct transfer *transfer)
{
	struct server_request *request = transfer->owner;
	const struct request *copy = &request->copy;
	uint64_t result[5] = {transfer->bytes, transfer->sector, copy->op == BLOCK_OP_WRITE ? copy->out_offset : copy->in_offset};
	enum error error = transfer->worst;
	enum error injected = inject("blk.complete");

	transfer->next = blk.transfers_free;
	blk.transfers_free = transfer;
	if (injected != ERR_OK)
		error = injected;
	if (error != ERR_OK)
		result[0] = 0;
	server_complete(request, error, result);
}

// A chain came back from the device.
static void slot_returned(struct slot *returned)
{
	unsigned slot = (unsigned)(returned - slots);
	struct transfer *transfer = blk.slot_transfer[slot];
	uint8_t status = *(volatile uint8_t *)&returned->status;
	struct transfer_asked asked = asked_of(transfer->owner);

	invariant(transfer_header_fits(&asked, &returned->header, asked.op == BLOCK_OP_FLUSH ? 0 : SECTOR_SIZE)); // not another one's
	blk.slot_transfer[slot] = 0;
	blk.slots_free[blk.slots_free_count++] = slot;
	if (transfer_returned(transfer, status) != ERR_OK)
		device_disbelieved("gave a status that does not exist");
	if (transfer_done(transfer))
		transfer_end(transfer);
}

// Takes all that the device has used. True: there was something.
static bool queue_drain(void)
{
	void *owner = 0;
	uint32_t length;
	bool some = false;

	for (;;) {
		switch (virtqueue_take(&blk.queue, &owner, &length)) {
		case VIRTQUEUE_USED:
			slot_returned(owner);
			some = true;
			break;
		case VIRTQUEUE_HOSTILE:
			device_disbelieved("wrote what cannot be into the used ring");
		case VIRTQUEUE_NONE:
			if (!virtqueue_wait(&blk.queue))
				return some;
			break;
		}
	}
}

static void blk_interrupt(struct loop_source *source)
{
	(void)source;
	if (inject_shown("blk.interrupt") != ERR_OK)
		domain_exit(ERR_INJECTED);
	if (!queue_drain() && !virtio_blk_check(&blk.device))
		device_disbelieved("asks for a reset");
}

static void blk_turn(struct loop_source *source)
{
	(void)source;
	queue_fill();
}

static void info_answer(struct server_request *request)
{
	const struct transfer_limits *limits = &blk.device.limits;
	uint64_t result[5] = {limits->capacity};

	result[1] = (limits->read_only ? BLOCK_FLAG_READ_ONLY : 0) | (limits->flush ? BLOCK_FLAG_FLUSH : 0);
	result[2] = limits->physical_size;
	result[3] = self_epoch();
	server_complete(request, ERR_OK, result);
}

// Ends what the device need not see. False: submit it.
static bool request_short(struct server_request *request)
{
	const struct request *copy = &request->copy;
	uint64_t bytes = copy->op == BLOCK_OP_WRITE ? copy->out_length : copy->in_length;
	uint64_t result[5] = {0};
	enum error error = inject("blk.submit");

	if (error == ERR_OK)
		error = transfer_check(&blk.device.limits, copy->op, copy->arg[0], bytes);
	if (error == ERR_OK && (copy->op == BLOCK_OP_FLUSH ? blk.device.limits.flush : bytes != 0))
		return false;
	server_complete(request, error, result);
	return true;
}

static void blk_request(struct server_request *request)
{
	if (request->copy.op == BLOCK_OP_INFO) {
		info_answer(request);
		return;
	}
	if (request_short(request))
		return;
	request->next = 0;
	if (blk.waiting_first == 0)
		blk.waiting_first = request;
	else
		blk.waiting_last->next = request;
	blk.waiting_last = request;
}

static void pools_init(void)
{
	for (unsigned i = 0; i < SLOTS; i++)
		blk.slots_free[blk.slots_free_count++] = i;
	for (unsigned i = 0; i < TRANSFERS; i++) {
		blk.transfers[i].next = blk.transfers_free;
		blk.transfers_free = &blk.transfers[i];
	}
}

static enum error interrupt_listen(void)
{
	struct kernel_result info = kcall(CALL_device_info, 0);

	if (info.error != ERR_OK)
		return info.error;
	if (info.value[2] == 0) {
		log_line("blk: the device has no interrupt");
		return ERR_NOT_FOUND;
	}
	blk.interrupt = (struct loop_source){.notify = blk_interrupt, .identity = (unsigned)info.value[2]};
	loop_source_add(&blk.interrupt);
	blk.turn.notify = blk_turn;
	loop_source_add(&blk.turn);
	return ERR_OK;
}

static enum error blk_start(uint64_t *mark)
{
	struct kernel_result physical = kcall(CALL_memory_physical, (uintptr_t)slots);
	enum error error = inject_shown("blk.start");

	*mark = 0;
	if (error == ERR_OK)
		error = physical.error;
	if (error != ERR_OK)
		return error;
	blk.slots_physical = physical.value[0];
	pools_init();
	error = virtio_blk_start(&blk.device, &blk.queue, &queue_memory);
	if (error != ERR_OK)
		return error;
	virtqueue_wait(&blk.queue);
	if (!self_restarted())
		log_line("blk: disk of %llu sectors%s, queue of %u", (unsigned long long)blk.device.limits.capacity,
			 blk.device.limits.read_only ? ", read-only" : "", blk.queue.size);
	return interrupt_listen();
}

static const struct server blk_server = {
	.protocol = &block_protocol,
	.start = blk_start,
	.request = blk_request,
};

COMPONENT(blk, &blk_server);
