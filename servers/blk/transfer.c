// Client requests, checked and cut to the device's limits. Owns no state: a transfer is its caller's, and if the driver
// dies the client's ring still holds the request, which the next incarnation begins anew (all of them are idempotent).
#include "servers/blk/transfer.h"

static bool power_of_two(uint32_t n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

bool transfer_limits_legal(const struct transfer_limits *limits)
{
	return power_of_two(limits->block_size) && limits->block_size >= SECTOR_SIZE && limits->segment_bytes != 0 &&
	       limits->segments != 0 && (uint64_t)limits->segment_bytes * limits->segments >= limits->block_size;
}

enum error transfer_check(const struct transfer_limits *limits, uint16_t op, uint64_t sector, uint64_t bytes)
{
	uint64_t mask = limits->block_size - 1;

	if (op == BLOCK_OP_FLUSH)
		return ERR_OK;
	if (bytes > BLOCK_TRANSFER_MAX)
		return ERR_TOO_BIG;
	if ((bytes & mask) != 0 || (sector & (mask / SECTOR_SIZE)) != 0)
		return ERR_INVALID;
	if (sector > limits->capacity || bytes / SECTOR_SIZE > limits->capacity - sector)
		return ERR_INVALID;
	return op == BLOCK_OP_WRITE && limits->read_only ? ERR_READ_ONLY : ERR_OK;
}

void transfer_begin(struct transfer *transfer, uint16_t op, uint64_t sector, uint64_t physical, uint32_t bytes, void *owner)
{
	*transfer = (struct transfer){
		.type = op == BLOCK_OP_READ ? TRANSFER_IN : op == BLOCK_OP_WRITE ? TRANSFER_OUT : TRANSFER_FLUSH,
		.sector = op == BLOCK_OP_FLUSH ? 0 : sector,
		.physical = physical,
		.bytes = op == BLOCK_OP_FLUSH ? 0 : bytes,
		.owner = owner,
	};
}

unsigned transfer_room_least(const struct transfer_limits *limits, const struct transfer *transfer)
{
	if (transfer->type == TRANSFER_FLUSH)
		return 0;
	return (limits->block_size + limits->segment_bytes - 1) / limits->segment_bytes;
}

unsigned transfer_part(const struct transfer_limits *limits, const struct transfer *transfer,
		       struct virtqueue_segment *segments, unsigned room, uint32_t *bytes)
{
	uint64_t at = transfer->physical + transfer->submitted;
	uint64_t most = (uint64_t)limits->segment_bytes * (room < limits->segments ? room : limits->segments);
	uint32_t left = transfer->bytes - transfer->submitted;
	unsigned count = 0;

	if (left > most)
		left = (uint32_t)most & ~(limits->block_size - 1);
	*bytes = left;
	while (left > 0) {
		uint32_t length = left < limits->segment_bytes ? left : limits->segment_bytes;

		segments[count++] = (struct virtqueue_segment){at, length, transfer->type == TRANSFER_IN};
		at += length;
		left -= length;
	}
	return count;
}

bool transfer_header_fits(const struct transfer_asked *asked, const struct transfer_header *header, uint64_t part)
{
	uint64_t into = (header->sector - asked->sector) * SECTOR_SIZE;
	if (asked->op == BLOCK_OP_FLUSH)
		return header->type == TRANSFER_FLUSH && part == 0;
	return header->type == (asked->op == BLOCK_OP_WRITE ? TRANSFER_OUT : TRANSFER_IN) &&
	       header->sector - asked->sector < asked->bytes / SECTOR_SIZE && part && part <= asked->bytes - into;
}

// One piece behind the other, and which way. Their bytes; 0: something else is in between.
static uint64_t data_bytes(const struct virtqueue_segment *data, unsigned count, uint64_t at, bool device_writes)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < count; i++) {
		if (data[i].address != at + sum || data[i].device_writes != device_writes)
			return 0;
		sum += data[i].length;
	}
	return sum;
}

bool transfer_fits(const struct transfer_asked *asked, uint64_t part, const struct transfer_header *header, uint64_t place,
		   const struct virtqueue_segment *chain, unsigned count)
{
	if (count < 2 || (part == 0 && count != 2))
		return false;
	const struct virtqueue_segment *status = &chain[count - 1];
	uint64_t at = asked->data + (header->sector - asked->sector) * SECTOR_SIZE;
	return chain->address == place && chain->length == TRANSFER_HEADER_BYTES && !chain->device_writes &&
	       status->address == place + TRANSFER_HEADER_BYTES && status->length == 1 && status->device_writes &&
	       data_bytes(chain + 1, count - 2, at, asked->op == BLOCK_OP_READ) == part && transfer_header_fits(asked, header, part);
}

void transfer_submitted(struct transfer *transfer, uint32_t bytes)
{
	transfer->submitted += bytes;
	transfer->parts++;
	transfer->complete = transfer->submitted == transfer->bytes;
}

enum error transfer_returned(struct transfer *transfer, uint8_t status)
{
	enum error error;

	switch (status) {
	case TRANSFER_OK:
		error = ERR_OK;
		break;
	case TRANSFER_IOERR:
		error = ERR_DEVICE;
		break;
	case TRANSFER_UNSUPPORTED:
		error = ERR_UNSUPPORTED;
		break;
	default:
		return ERR_PROTOCOL;
	}
	if (transfer->worst == ERR_OK)
		transfer->worst = error;
	transfer->parts--;
	return ERR_OK;
}
