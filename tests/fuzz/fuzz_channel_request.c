// Hostile peers of a channel. The input is what the client has in its memory (first half of it: the server must take each
// slot at most once and stay inside the channel), then what the server has in its (the client must stay inside too).
//
// Geometry: 16 slots, one page each of out and in; memory is allocated to the byte, so that the sanitizer sees every step
// outside.
#include "proto/fs.h"
#include "runtime/client_ring.h"
#include "runtime/server_ring.h"
#include <stdlib.h>
#include <string.h>

static const struct op_description fs_ops[FS_OPS] = {
	[0] = {0},
#define X(name, attribute, text) [FS_OP_##name] = {#name, text, OP_##attribute},
	FS_OP_TABLE(X)
#undef X
};
static const struct protocol fs_protocol = {"fs", fs_ops, FS_OPS};

void channel_view_ring_slowly(const struct channel_view *view)
{
	(void)view;
}

static void fill(void *to, size_t room, const uint8_t **data, size_t *size)
{
	size_t n = *size < room ? *size : room;
	memcpy(to, *data, n);
	*data += n;
	*size -= n;
}

static void touch(const struct channel_view *view, const struct request *copy)
{
	volatile uint8_t sum = 0;
	for (uint32_t i = 0; i < copy->out_length; i++)
		sum += view->out[copy->out_offset + i];
	for (uint32_t i = 0; i < copy->in_length; i++)
		view->in[copy->in_offset + i] = sum;
}

static void perform(struct server_ring *ring, unsigned slot, const struct request *copy, unsigned *taken)
{
	if ((*taken)++ >= ring->view.geometry.slots * 2)
		abort(); // each slot by the scan and by the ring, no more
	if (server_ring_validate(ring, &fs_protocol, copy) == ERR_OK)
		touch(&ring->view, copy);
	struct completion record = {.seq = copy->seq, .serial = copy->arg[0]};
	server_ring_record(ring, slot, &record, op_is_once(&fs_protocol, copy->op));
	if (copy->flags & REQUEST_PATIENT)
		server_ring_publish(ring, slot);
}

static void server_side(const struct channel_view *view)
{
	static struct server_ring ring;
	ring.view = *view;
	server_ring_adopt(&ring, 5);
	struct request copy;
	struct completion former;
	unsigned taken = 0;
	for (unsigned slot = 0; slot < view->geometry.slots; slot++)
		if (server_ring_adopt_slot(&ring, slot, &fs_protocol, &copy, &former) >= ADOPTED_TO_DO)
			perform(&ring, slot, &copy, &taken);
	for (unsigned i = 0; i < 40; i++) {
		int slot = server_ring_take(&ring, &copy, 0);
		if (slot >= 0)
			perform(&ring, (unsigned)slot, &copy, &taken);
	}
}

static void client_side(const struct channel_view *view)
{
	static struct client_ring ring;
	ring.view = *view;
	client_ring_start(&ring);
	for (unsigned i = 0; i < 40; i++) {
		int slot = client_ring_take(&ring);
		if (slot >= (int)view->geometry.slots)
			abort();
		slot = client_ring_slot(&ring);
		if (slot >= 0)
			client_ring_submit(&ring, (unsigned)slot, i);
		client_ring_commit_look(&ring);
	}
	client_ring_oldest(&ring);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct channel_view view = {.key = 42};
	channel_layout(&view.geometry, 16, PAGE_SIZE, PAGE_SIZE);
	uint8_t *memory = aligned_alloc(PAGE_SIZE, view.geometry.bytes);
	memset(memory, 0, view.geometry.bytes);
	view.client = (struct channel_client_page *)memory;
	view.server = (struct channel_server_page *)(memory + PAGE_SIZE);
	view.requests = (struct request *)(memory + view.geometry.requests);
	view.records = (struct completion *)(memory + view.geometry.records);
	view.out = memory + view.geometry.out;
	view.in = memory + view.geometry.in;
	fill(memory, 64, &data, &size);
	fill(view.client->submit_ring, 64, &data, &size);
	fill(view.requests, 16 * sizeof(struct request), &data, &size);
	server_side(&view);
	fill(view.server, 64, &data, &size);
	fill(view.server->complete_ring, 64, &data, &size);
	fill(view.records, 16 * sizeof(struct completion), &data, &size);
	client_side(&view);
	free(memory);
	return 0;
}
