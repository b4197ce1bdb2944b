// Checks of block requests, and how they are cut to a device's limits.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "servers/blk/transfer.h"

static const struct transfer_limits plain = {
	.capacity = 1000, .block_size = 512, .segment_bytes = BLOCK_TRANSFER_MAX, .segments = 126, .flush = true};

static void what_is_allowed(void **state)
{
	(void)state;
	assert_int_equal(transfer_check(&plain, BLOCK_OP_READ, 0, 512), ERR_OK);
	assert_int_equal(transfer_check(&plain, BLOCK_OP_READ, 999, 512), ERR_OK);
	assert_int_equal(transfer_check(&plain, BLOCK_OP_READ, 999, 1024), ERR_INVALID);
	assert_int_equal(transfer_check(&plain, BLOCK_OP_READ, 1000, 0), ERR_OK);
	assert_int_equal(transfer_check(&plain, BLOCK_OP_READ, 1001, 0), ERR_INVALID);
	assert_int_equal(transfer_check(&plain, BLOCK_OP_READ, ~0ull, 512), ERR_INVALID);
	assert_int_equal(transfer_check(&plain, BLOCK_OP_WRITE, 0, 511), ERR_INVALID);
	assert_int_equal(transfer_check(&plain, BLOCK_OP_WRITE, 0, BLOCK_TRANSFER_MAX + 512), ERR_TOO_BIG);
	assert_int_equal(transfer_check(&plain, BLOCK_OP_FLUSH, ~0ull, 3), ERR_OK);
}

static void read_only_and_large_blocks(void **state)
{
	struct transfer_limits limits = plain;

	(void)state;
	limits.read_only = true;
	assert_int_equal(transfer_check(&limits, BLOCK_OP_WRITE, 0, 512), ERR_READ_ONLY);
	assert_int_equal(transfer_check(&limits, BLOCK_OP_READ, 0, 512), ERR_OK);
	limits.block_size = 4096;
	assert_int_equal(transfer_check(&limits, BLOCK_OP_READ, 0, 512), ERR_INVALID);
	assert_int_equal(transfer_check(&limits, BLOCK_OP_READ, 4, 4096), ERR_INVALID);
	assert_int_equal(transfer_check(&limits, BLOCK_OP_READ, 8, 4096), ERR_OK);
}

static void impossible_limits(void **state)
{
	struct transfer_limits limits = plain;

	(void)state;
	assert_true(transfer_limits_legal(&limits));
	limits.block_size = 1000;
	assert_false(transfer_limits_legal(&limits));
	limits.block_size = 256;
	assert_false(transfer_limits_legal(&limits));
	limits = plain;
	limits.segments = 0;
	assert_false(transfer_limits_legal(&limits));
	limits.segments = 3;
	limits.segment_bytes = 170;
	assert_false(transfer_limits_legal(&limits));
	limits.segment_bytes = 171;
	assert_true(transfer_limits_legal(&limits));
}

// Every byte is covered once and in order, parts are whole blocks, no limit is passed.
static void cut(const struct transfer_limits *limits, uint32_t bytes, unsigned room)
{
	struct virtqueue_segment segments[VIRTQUEUE_SIZE_MAX];
	struct transfer transfer;
	uint64_t next = 0x10000;

	transfer_begin(&transfer, BLOCK_OP_READ, 8, next, bytes, 0);
	while (!transfer.complete) {
		uint32_t part, sum = 0;
		unsigned count;

		assert_true(room >= transfer_room_least(limits, &transfer));
		count = transfer_part(limits, &transfer, segments, room, &part);
		assert_true(count >= 1 && count <= room && count <= limits->segments);
		assert_int_equal(part % limits->block_size, 0);
		for (unsigned i = 0; i < count; i++) {
			assert_int_equal(segments[i].address, next);
			assert_true(segments[i].length <= limits->segment_bytes && segments[i].device_writes);
			next += segments[i].length;
			sum += segments[i].length;
		}
		assert_int_equal(sum, part);
		transfer_submitted(&transfer, part);
	}
	assert_int_equal(next, 0x10000 + bytes);
}

static void cuts_of_all_kinds(void **state)
{
	static const uint32_t segment_bytes[] = {100, 171, 512, 513, 4096, 65536, BLOCK_TRANSFER_MAX, 0xffffffff};
	struct transfer_limits limits = plain;

	(void)state;
	for (unsigned i = 0; i < sizeof(segment_bytes) / sizeof(segment_bytes[0]); i++) {
		for (limits.segments = 6; limits.segments <= 254; limits.segments += 62) {
			limits.segment_bytes = segment_bytes[i];
			cut(&limits, 512, 6);
			cut(&limits, 9 * 512, 7);
			cut(&limits, BLOCK_TRANSFER_MAX, 126);
			cut(&limits, BLOCK_TRANSFER_MAX, 254);
		}
	}
}

static void results_of_parts(void **state)
{
	struct transfer transfer;

	(void)state;
	transfer_begin(&transfer, BLOCK_OP_WRITE, 0, 0, 1024, 0);
	transfer_submitted(&transfer, 512);
	assert_int_equal(transfer_returned(&transfer, TRANSFER_IOERR), ERR_OK);
	assert_false(transfer_done(&transfer));
	transfer_submitted(&transfer, 512);
	assert_int_equal(transfer_returned(&transfer, TRANSFER_UNTOUCHED), ERR_PROTOCOL);
	assert_int_equal(transfer_returned(&transfer, TRANSFER_UNSUPPORTED), ERR_OK);
	assert_true(transfer_done(&transfer));
	assert_int_equal(transfer.worst, ERR_DEVICE); // the first one
	transfer_begin(&transfer, BLOCK_OP_FLUSH, 5, 6, 7, 0);
	assert_int_equal(transfer.type, TRANSFER_FLUSH);
	assert_false(transfer_done(&transfer));
	transfer_submitted(&transfer, 0);
	assert_int_equal(transfer_returned(&transfer, TRANSFER_OK), ERR_OK);
	assert_true(transfer_done(&transfer));
	assert_int_equal(transfer.worst, ERR_OK);
}

// A request of four sectors from 100 on, in parts or as a whole.
static void header_is_what_was_asked(void **state)
{
	struct transfer_asked asked = {BLOCK_OP_WRITE, 100, 2048, 0x10000};
	struct transfer_header h = {.type = TRANSFER_OUT, .sector = 100};

	(void)state;
	assert_true(transfer_header_fits(&asked, &h, 2048));
	assert_false(transfer_header_fits(&asked, &h, 2049));
	assert_false(transfer_header_fits(&asked, &h, 0));
	h.sector = 103;
	assert_true(transfer_header_fits(&asked, &h, 512));
	assert_false(transfer_header_fits(&asked, &h, 1024));
	for (unsigned bit = 2; bit < 64; bit++) {
		h.sector = 100 ^ 1ull << bit;
		assert_false(transfer_header_fits(&asked, &h, 512));
	}
	h = (struct transfer_header){.type = TRANSFER_IN, .sector = 100};
	assert_false(transfer_header_fits(&asked, &h, 2048));
	asked.op = BLOCK_OP_READ;
	assert_true(transfer_header_fits(&asked, &h, 2048));
	h.sector = 99;
	assert_false(transfer_header_fits(&asked, &h, 512));
	asked = (struct transfer_asked){.op = BLOCK_OP_FLUSH, .sector = 77};
	assert_false(transfer_header_fits(&asked, &h, 0));
	h = (struct transfer_header){.type = TRANSFER_FLUSH};
	assert_true(transfer_header_fits(&asked, &h, 0));
	assert_false(transfer_header_fits(&asked, &h, 512));
}

#define PLACE 0x5000u // of the header

static bool chain_fits(enum block_op op, uint32_t part, const struct virtqueue_segment *chain, unsigned count)
{
	const struct transfer_asked asked = {op, 100, op == BLOCK_OP_FLUSH ? 0 : 2048, 0x10000};
	const struct transfer_header h = {.type = op == BLOCK_OP_WRITE ? TRANSFER_OUT : op == BLOCK_OP_READ ? TRANSFER_IN : TRANSFER_FLUSH,
					  .sector = op == BLOCK_OP_FLUSH ? 0 : 101};
	return transfer_fits(&asked, part, &h, PLACE, chain, count);
}

// Two sectors of them from the second one on, as two segments: no bit of the chain can be another one.
static void chain_is_what_was_asked(void **state)
{
	struct virtqueue_segment chain[4] = {{PLACE, 16, false}, {0x10200, 512, false}, {0x10400, 512, false}, {PLACE + 16, 1, true}};

	(void)state;
	assert_true(chain_fits(BLOCK_OP_WRITE, 1024, chain, 4));
	assert_false(chain_fits(BLOCK_OP_READ, 1024, chain, 4));
	assert_false(chain_fits(BLOCK_OP_FLUSH, 1024, chain, 4));
	for (unsigned count = 0; count < 4; count++)
		assert_false(chain_fits(BLOCK_OP_WRITE, 1024, chain, count));
	for (unsigned i = 0; i < 4; i++) {
		struct virtqueue_segment was = chain[i];
		for (unsigned bit = 0; bit < 64; bit++) {
			chain[i].address = was.address ^ 1ull << bit;
			assert_false(chain_fits(BLOCK_OP_WRITE, 1024, chain, 4));
			chain[i].address = was.address;
			chain[i].length = was.length ^ 1u << bit % 32;
			assert_false(chain_fits(BLOCK_OP_WRITE, 1024, chain, 4));
			chain[i].length = was.length;
		}
		chain[i].device_writes = !was.device_writes;
		assert_false(chain_fits(BLOCK_OP_WRITE, 1024, chain, 4));
		chain[i] = was;
	}
	struct virtqueue_segment in[3] = {chain[0], {0x10200, 1536, true}, chain[3]}, flush[2] = {chain[0], chain[3]};
	assert_true(chain_fits(BLOCK_OP_READ, in[1].length, in, 3));
	in[1].length = 2048;
	assert_false(chain_fits(BLOCK_OP_READ, in[1].length, in, 3));
	assert_true(chain_fits(BLOCK_OP_FLUSH, 0, flush, 2));
	assert_false(chain_fits(BLOCK_OP_WRITE, 1024, flush, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_allowed),	 cmocka_unit_test(read_only_and_large_blocks),
		cmocka_unit_test(impossible_limits), cmocka_unit_test(cuts_of_all_kinds),
		cmocka_unit_test(results_of_parts), cmocka_unit_test(chain_is_what_was_asked),
		cmocka_unit_test(header_is_what_was_asked),
	};

	return cmocka_run_group_tests(tests, 0, 0);
}
