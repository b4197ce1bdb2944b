// The block driver as a whole against a disk played by the test: start-up refusals, data, order, splitting, errors, a
// hostile device, injection points. Each test runs in a process of its own, as each incarnation of the driver does.
#include "fake_disk.h"
#include "fake_server.h"
#include "in_child.h"
#include "proto/block.h"
#include "servers/blk/virtqueue.h"

#define DEVICE_IDENTITY 2
#define REQUESTS 600

static struct server_channel channel;
static struct server_request requests[REQUESTS];
static uint8_t buffer[2][BLOCK_TRANSFER_MAX];

static void reset(void)
{
	disk_reset();
	fake_server_reset();
}

// CMocka's asserts know no child: say it and leave.
#define check(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "%s:%d: %s (log: %s)\n", __FILE__, __LINE__, #condition, fake_log);             \
			exit(1);                                                                                       \
		}                                                                                                      \
	} while (0)

static struct server_request *ask(unsigned i, uint16_t op, uint64_t sector, uint32_t bytes, void *memory)
{
	struct server_request *request = &requests[i];

	*request = (struct server_request){.channel = &channel, .out = memory, .in = memory};
	request->copy.op = op;
	request->copy.arg[0] = sector;
	request->copy.out_length = op == BLOCK_OP_WRITE ? bytes : 0;
	request->copy.in_length = op == BLOCK_OP_READ ? bytes : 0;
	fake_server.request(request);
	return request;
}

static enum error start(void)
{
	program_main();
	return fake_server_error;
}

// Until nothing is in flight.
static void run(void)
{
	for (unsigned i = 0; i < 10000; i++) {
		fake_turn(0);
		if (disk.held_count == 0)
			return;
		fake_turn(disk_perform(1 + fake_random() % 4) ? DEVICE_IDENTITY : 0);
	}
	check(!"the driver does not come to an end");
}

static struct fake_completion *done(struct server_request *request)
{
	struct fake_completion *completion = fake_completion_of(request);

	check(completion != 0);
	return completion;
}

TEST(starts_and_says_what_it_is)
{
	check(start() == ERR_OK);
	check(disk.status == 15);
	check(disk.vector == 0 && disk.config_vector == 0 && disk.enabled && disk.queue_size == 128);
	check(disk.driver_features == (disk.features & ~(1ull << 28)));
	struct fake_completion *info = done(ask(0, BLOCK_OP_INFO, 0, 0, 0));

	check(info->status == ERR_OK && info->result[0] == DISK_SECTORS && info->result[1] == BLOCK_FLAG_FLUSH);
	check(info->result[2] == 4096 && info->result[3] == 7);
	check(disk.notifications == 0);
}

static void refused(enum error error, const char *sentence)
{
	check(start() == error);
	check(strcmp(fake_log, sentence) == 0);
}

TEST(refuses_a_legacy_device)
{
	disk.features &= ~(1ull << 32);
	refused(ERR_UNSUPPORTED, "blk: the device offers features 0x30000644, without VERSION_1");
	check(disk.status & 128);
}

TEST(refuses_when_features_are_refused)
{
	disk.refuse_features = true;
	refused(ERR_UNSUPPORTED, "blk: the device refuses features 0x120000644 of 0x130000644");
}

TEST(refuses_an_endless_reset)
{
	disk.never_reset = true;
	disk.status = 4;
	refused(ERR_DEVICE, "blk: the device does not end its reset");
}

TEST(refuses_without_vectors)
{
	disk.no_vector = true;
	refused(ERR_UNSUPPORTED, "blk: queue 0 cannot be used: 128 descriptors, notification at 12 of 4096 bytes");
}

TEST(refuses_a_queue_of_two)
{
	disk.queue_max = 2;
	refused(ERR_UNSUPPORTED, "blk: queue 0 cannot be used: 2 descriptors, notification at 12 of 4096 bytes");
}

TEST(refuses_a_notification_outside)
{
	disk.no_notify_room = true;
	disk_configure();
	refused(ERR_UNSUPPORTED, "blk: queue 0 cannot be used: 128 descriptors, notification at 12 of 4 bytes");
}

TEST(refuses_a_missing_structure)
{
	disk.no_modern = true;
	disk_configure();
	refused(ERR_UNSUPPORTED, "blk: PCI function 1af4:1001 lacks a structure of the modern virtio interface");
}

TEST(refuses_restless_configuration)
{
	disk.restless = true;
	refused(ERR_DEVICE, "blk: the device's configuration does not hold still");
}

TEST(refuses_impossible_limits)
{
	disk.block_size = 300;
	refused(ERR_UNSUPPORTED, "blk: 126 segments of 1048576 bytes with blocks of 300 bytes cannot be used");
}

TEST(refuses_without_dma)
{
	disk.no_dma = true;
	check(start() == ERR_DENIED);
}

TEST(refuses_without_interrupt)
{
	disk.no_interrupt = true;
	refused(ERR_NOT_FOUND, "blk: the device has no interrupt");
}

TEST(reads_what_the_disk_has)
{
	check(start() == ERR_OK);
	struct server_request *request = ask(0, BLOCK_OP_READ, 17, 8192, buffer[0]);

	run();
	check(done(request)->status == ERR_OK && done(request)->result[0] == 8192);
	check(done(request)->result[1] == 17 && done(request)->result[2] == request->copy.in_offset);
	check(memcmp(buffer[0], &disk.data[17 * 512], 8192) == 0);
}

TEST(writes_and_flushes)
{
	check(start() == ERR_OK);
	memset(buffer[0], 0x5a, 4096);
	struct server_request *request = ask(0, BLOCK_OP_WRITE, 100, 4096, buffer[0]);

	request->copy.out_offset = 0x3000;
	run();
	check(done(request)->status == ERR_OK && done(request)->result[0] == 4096);
	check(done(request)->result[1] == 100 && done(request)->result[2] == 0x3000); // what was asked for
	check(disk.data[100 * 512] == 0x5a && disk.data[108 * 512 - 1] == 0x5a);
	request = ask(1, BLOCK_OP_FLUSH, 0, 0, 0);
	run();
	check(done(request)->status == ERR_OK && disk.flushes == 1);
}

TEST(a_flush_needs_no_device_that_has_no_cache)
{
	disk.features &= ~(1ull << 9);
	check(start() == ERR_OK);
	check(done(ask(0, BLOCK_OP_FLUSH, 0, 0, 0))->status == ERR_OK);
	check(done(ask(1, BLOCK_OP_INFO, 0, 0, 0))->result[1] == 0);
	run();
	check(disk.flushes == 0);
}

TEST(one_notification_for_a_turn)
{
	check(start() == ERR_OK);
	for (unsigned i = 0; i < 10; i++)
		ask(i, BLOCK_OP_READ, i, 512, buffer[0] + 512 * i);
	check(disk.notifications == 0);
	fake_turn(0);
	check(disk.notifications == 1 && disk.held_count == 10);
	fake_turn(0);
	check(disk.notifications == 1);
}

TEST(one_interrupt_for_several)
{
	check(start() == ERR_OK);
	for (unsigned i = 0; i < 10; i++)
		ask(i, BLOCK_OP_READ, i, 512, buffer[0] + 512 * i);
	fake_turn(0);
	check(disk_perform(1));  // the first is told
	check(!disk_perform(8)); // the next are not, before it was taken
	fake_turn(DEVICE_IDENTITY);
	check(fake_completion_count == 9);
	check(disk_perform(1));
	fake_turn(DEVICE_IDENTITY);
	check(fake_completion_count == 10);
}

TEST(short_ends)
{
	check(start() == ERR_OK);
	check(done(ask(0, BLOCK_OP_READ, 0, 0, 0))->status == ERR_OK);
	check(done(ask(1, BLOCK_OP_READ, DISK_SECTORS, 512, 0))->status == ERR_INVALID);
	check(done(ask(2, BLOCK_OP_WRITE, 0, 100, 0))->status == ERR_INVALID);
	check(done(ask(3, BLOCK_OP_READ, 0, BLOCK_TRANSFER_MAX + 512, 0))->status == ERR_TOO_BIG);
	run();
	check(disk.notifications == 0);
}

TEST(read_only_disk)
{
	disk.features |= 1 << 5;
	check(start() == ERR_OK);
	check(done(ask(0, BLOCK_OP_WRITE, 0, 512, buffer[0]))->status == ERR_READ_ONLY);
	check(done(ask(1, BLOCK_OP_INFO, 0, 0, 0))->result[1] == (BLOCK_FLAG_FLUSH | BLOCK_FLAG_READ_ONLY));
}

TEST(splits_by_size_and_count)
{
	disk.features |= 1 << 1;
	disk.size_max = 4096;
	disk.seg_max = 5;
	check(start() == ERR_OK);
	struct server_request *request = ask(0, BLOCK_OP_READ, 0, BLOCK_TRANSFER_MAX, buffer[0]);

	run();
	check(done(request)->status == ERR_OK && done(request)->result[0] == BLOCK_TRANSFER_MAX);
	check(memcmp(buffer[0], disk.data, BLOCK_TRANSFER_MAX) == 0);
	check(disk.segments_most == 5 && disk.segment_bytes_most == 4096 && disk.reads == 52);
}

TEST(one_error_in_many_parts)
{
	disk.features |= 1 << 1;
	disk.size_max = 4096;
	disk.seg_max = 1;
	check(start() == ERR_OK);
	struct server_request *request = ask(0, BLOCK_OP_WRITE, 0, 16384, buffer[0]);

	fake_turn(0);
	disk_perform(1);
	disk.next_status = 1;
	disk_perform(1);
	disk.next_status = 0;
	fake_turn(DEVICE_IDENTITY);
	check(fake_completion_count == 0);
	run();
	check(done(request)->status == ERR_DEVICE && done(request)->result[0] == 0 && fake_completion_count == 1);
}

TEST(errors_of_the_device)
{
	check(start() == ERR_OK);
	disk.next_status = 1;
	struct server_request *request = ask(0, BLOCK_OP_READ, 0, 512, buffer[0]);

	run();
	check(done(request)->status == ERR_DEVICE);
	disk.next_status = 2;
	request = ask(1, BLOCK_OP_FLUSH, 0, 0, 0);
	run();
	check(done(request)->status == ERR_UNSUPPORTED);
}

// Far more requests than descriptors, completed in random order: all come back, with the right data.
static void many(void)
{
	disk.shuffle = true;
	check(start() == ERR_OK);
	for (unsigned i = 0; i < REQUESTS; i++)
		ask(i, BLOCK_OP_READ, i * 5, 1024, buffer[0] + 1024 * i);
	run();
	check(fake_completion_count == REQUESTS);
	for (unsigned i = 0; i < REQUESTS; i++) {
		check(done(&requests[i])->status == ERR_OK);
		check(memcmp(buffer[0] + 1024 * i, &disk.data[i * 5 * 512], 1024) == 0);
	}
}

TEST(more_requests_than_descriptors)
{
	many();
}

TEST(more_requests_than_descriptors_without_event_index)
{
	disk.features &= ~(1ull << 29);
	many();
}

TEST(the_smallest_and_the_largest_queue)
{
	disk.queue_max = 4;
	disk.queue_size = 4;
	disk.seg_max = 1000;
	many();
}

TEST(a_queue_larger_than_ours)
{
	disk.queue_max = 1024;
	disk.queue_size = 1024;
	many();
	check(disk.queue_size == 256);
}

// The order in which the device sees requests is that of their arrival.
TEST(order_is_kept)
{
	struct virtqueue_descriptor *descriptors;

	check(start() == ERR_OK);
	for (unsigned i = 0; i < 30; i++)
		ask(i, BLOCK_OP_WRITE, i, 512, buffer[0]);
	fake_turn(0);
	descriptors = (struct virtqueue_descriptor *)disk.address[0];
	check(disk.held_count == 30);
	for (unsigned i = 0; i < 30; i++)
		check(((uint32_t *)descriptors[disk.held[i]].address)[2] == i);
}

static void interrupt(void)
{
	fake_turn(DEVICE_IDENTITY);
}

static void hostile(const char *sentence)
{
	check(fake_exits(interrupt));
	check(fake_exit_code == ERR_DEVICE);
	check(strcmp(fake_log, sentence) == 0);
}

TEST(hostile_used_id)
{
	check(start() == ERR_OK);
	disk_used(77, 0);
	hostile("blk: the device wrote what cannot be into the used ring: giving up, so that it is reset");
}

TEST(hostile_used_index)
{
	check(start() == ERR_OK);
	disk_used_ring()->index = 300;
	hostile("blk: the device wrote what cannot be into the used ring: giving up, so that it is reset");
}

TEST(hostile_status)
{
	check(start() == ERR_OK);
	disk.next_status = 9;
	ask(0, BLOCK_OP_READ, 0, 512, buffer[0]);
	fake_turn(0);
	disk_perform(1);
	hostile("blk: the device gave a status that does not exist: giving up, so that it is reset");
}

TEST(used_without_touching_the_status)
{
	check(start() == ERR_OK);
	ask(0, BLOCK_OP_READ, 0, 512, buffer[0]);
	fake_turn(0);
	disk_used(disk.held[0], 0);
	hostile("blk: the device gave a status that does not exist: giving up, so that it is reset");
}

TEST(device_needs_reset)
{
	check(start() == ERR_OK);
	disk.status |= 64;
	hostile("blk: the device asks for a reset: giving up, so that it is reset");
}

TEST(the_disk_grows)
{
	check(start() == ERR_OK);
	disk.capacity = DISK_SECTORS * 2;
	interrupt();
	check(done(ask(0, BLOCK_OP_INFO, 0, 0, 0))->result[0] == DISK_SECTORS * 2);
}

TEST(injected_errors)
{
	fake_inject_error = ERR_INJECTED;
	fake_inject_name = "blk.start";
	check(start() == ERR_INJECTED);
	check(start() == ERR_OK);
	fake_inject_name = "blk.submit";
	check(done(ask(0, BLOCK_OP_READ, 0, 512, buffer[0]))->status == ERR_INJECTED);
	fake_inject_name = "blk.complete";
	struct server_request *request = ask(1, BLOCK_OP_READ, 0, 512, buffer[0]);

	run();
	check(done(request)->status == ERR_INJECTED);
	fake_inject_name = "blk.interrupt";
	check(fake_exits(interrupt) && fake_exit_code == ERR_INJECTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_and_says_what_it_is),
		cmocka_unit_test(refuses_a_legacy_device),
		cmocka_unit_test(refuses_when_features_are_refused),
		cmocka_unit_test(refuses_an_endless_reset),
		cmocka_unit_test(refuses_without_vectors),
		cmocka_unit_test(refuses_a_queue_of_two),
		cmocka_unit_test(refuses_a_notification_outside),
		cmocka_unit_test(refuses_a_missing_structure),
		cmocka_unit_test(refuses_restless_configuration),
		cmocka_unit_test(refuses_impossible_limits),
		cmocka_unit_test(refuses_without_dma),
		cmocka_unit_test(refuses_without_interrupt),
		cmocka_unit_test(reads_what_the_disk_has),
		cmocka_unit_test(writes_and_flushes),
		cmocka_unit_test(a_flush_needs_no_device_that_has_no_cache),
		cmocka_unit_test(one_notification_for_a_turn),
		cmocka_unit_test(one_interrupt_for_several),
		cmocka_unit_test(short_ends),
		cmocka_unit_test(read_only_disk),
		cmocka_unit_test(splits_by_size_and_count),
		cmocka_unit_test(one_error_in_many_parts),
		cmocka_unit_test(errors_of_the_device),
		cmocka_unit_test(more_requests_than_descriptors),
		cmocka_unit_test(more_requests_than_descriptors_without_event_index),
		cmocka_unit_test(the_smallest_and_the_largest_queue),
		cmocka_unit_test(a_queue_larger_than_ours),
		cmocka_unit_test(order_is_kept),
		cmocka_unit_test(hostile_used_id),
		cmocka_unit_test(hostile_used_index),
		cmocka_unit_test(hostile_status),
		cmocka_unit_test(used_without_touching_the_status),
		cmocka_unit_test(device_needs_reset),
		cmocka_unit_test(the_disk_grows),
		cmocka_unit_test(injected_errors),
	};

	return cmocka_run_group_tests(tests, 0, 0);
}
