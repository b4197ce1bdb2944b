// Split virtqueue against a device played by the test, an honest one and hostile ones.
#include "fake_host.h"
#include "servers/blk/virtqueue.h"

#define CHAINS 70000u // more than an index holds

static struct virtqueue queue;
static struct virtqueue_memory memory;
static uint16_t device_seen; // available index
static int owners[VIRTQUEUE_SIZE_MAX];

static void begin(unsigned size, bool event_index)
{
	fake_reset();
	virtqueue_init(&queue, &memory, size, event_index);
	device_seen = 0;
}

static uint16_t *available_event_word(void)
{
	return (uint16_t *)((uint8_t *)&memory.used + 4 + 8 * queue.size);
}

static uint16_t *used_event_word(void)
{
	return (uint16_t *)((uint8_t *)&memory.available + 4 + 2 * queue.size);
}

static bool device_has(void)
{
	return device_seen != memory.available.index;
}

static uint16_t device_pop(void)
{
	assert_true(device_has());
	return memory.available.ring[device_seen++ % queue.size];
}

static void device_push(uint32_t id, uint32_t length)
{
	memory.used.ring[memory.used.index % queue.size] = (struct virtqueue_used_element){id, length};
	memory.used.index++;
}

static unsigned chain_length(uint16_t head)
{
	unsigned count = 1;

	while (memory.descriptors[head].flags & VIRTQUEUE_DESCRIPTOR_NEXT) {
		head = memory.descriptors[head].next;
		assert_true(head < queue.size);
		assert_true(++count <= queue.size);
	}
	return count;
}

static bool add(unsigned count, void *owner)
{
	struct virtqueue_segment segments[VIRTQUEUE_SIZE_MAX];

	for (unsigned i = 0; i < count; i++)
		segments[i] = (struct virtqueue_segment){0x1000 + i, 512, i != 0};
	return virtqueue_add(&queue, segments, count, owner);
}

// A queue of 8 with one chain that the device has been told of.
static void begin_with(unsigned count)
{
	begin(8, false);
	add(count, &owners[0]);
	virtqueue_publish(&queue);
}

static void take(enum virtqueue_look expected)
{
	void *owner;
	uint32_t length;

	assert_int_equal(virtqueue_take(&queue, &owner, &length), expected);
}

static void a_chain_goes_and_comes_back(void **state)
{
	void *owner = 0;
	uint32_t length = 0;

	(void)state;
	begin(8, false);
	assert_true(add(3, &owners[0]));
	assert_false(device_has()); // not before it is published
	assert_true(virtqueue_publish(&queue));
	assert_false(virtqueue_publish(&queue));
	uint16_t head = device_pop();

	assert_int_equal(chain_length(head), 3);
	assert_int_equal(memory.descriptors[head].address, 0x1000);
	assert_int_equal(memory.descriptors[head].flags, VIRTQUEUE_DESCRIPTOR_NEXT);
	assert_int_equal(queue.size - queue.free_count, 3);
	assert_int_equal(virtqueue_take(&queue, &owner, &length), VIRTQUEUE_NONE);
	device_push(head, 1024);
	assert_int_equal(virtqueue_take(&queue, &owner, &length), VIRTQUEUE_USED);
	assert_ptr_equal(owner, &owners[0]);
	assert_int_equal(length, 1024);
	assert_int_equal(queue.size - queue.free_count, 0);
}

// What was added last is read as the device will read it, wherever in the ring and in the table it lies.
static void the_last_chain_is_read_back(void **state)
{
	struct virtqueue_segment back[8];

	(void)state;
	begin(8, false);
	for (unsigned n = 0; n < 40; n++) {
		unsigned count = 1 + n % 4;
		assert_true(add(count, &owners[0]));
		assert_int_equal(virtqueue_last(&queue, back, 8), count);
		for (unsigned i = 0; i < count; i++)
			assert_true(back[i].address == 0x1000 + i && back[i].length == 512 && back[i].device_writes == (i != 0));
		assert_int_equal(virtqueue_last(&queue, back, count - 1), 0);
		virtqueue_publish(&queue);
		uint16_t head = device_pop();
		memory.descriptors[head].length = 513;
		assert_int_equal(virtqueue_last(&queue, back, 8), count);
		assert_int_equal(back[0].length, 513);
		memory.descriptors[head].flags = VIRTQUEUE_DESCRIPTOR_NEXT;
		memory.descriptors[head].next = n % 2 ? head : 8;
		assert_int_equal(virtqueue_last(&queue, back, 8), 0);
		device_push(head, 0);
		take(VIRTQUEUE_USED);
	}
}

static void a_full_queue_refuses(void **state)
{
	(void)state;
	begin(8, false);
	assert_true(add(5, &owners[0]));
	assert_false(add(4, &owners[1]));
	assert_true(add(3, &owners[1]));
	assert_false(add(1, &owners[2]));
	assert_false(add(0, &owners[2]));
}

// Thousands of chains of random length, returned in random order, on every size; indices wrap.
static void random_order(unsigned size, bool event_index)
{
	uint16_t held[VIRTQUEUE_SIZE_MAX];
	unsigned held_count = 0, added = 0, returned = 0;
	void *owner;
	uint32_t length;

	begin(size, event_index);
	while (added < CHAINS || returned < added) {
		if (added < CHAINS && fake_random() % 2 && add(1 + fake_random() % size, &owners[added % 200]))
			added++;
		if (fake_random() % 3 == 0)
			virtqueue_publish(&queue);
		while (device_has())
			held[held_count++] = device_pop();
		if (held_count != 0 && fake_random() % 2) {
			unsigned at = fake_random() % held_count;

			device_push(held[at], 0);
			held[at] = held[--held_count];
		}
		while (virtqueue_take(&queue, &owner, &length) == VIRTQUEUE_USED)
			returned++;
	}
	assert_int_equal(queue.size - queue.free_count, 0);
	assert_int_equal(queue.free_count, size);
}

static void random_order_all_sizes(void **state)
{
	(void)state;
	random_order(2, false);
	random_order(8, true);
	random_order(128, false);
	random_order(256, true);
}

static void used_id_out_of_range(void **state)
{
	(void)state;
	begin_with(2);
	device_push(8, 0);
	take(VIRTQUEUE_HOSTILE);
	begin_with(2);
	device_push(0xffffffff, 0);
	take(VIRTQUEUE_HOSTILE);
}

static void used_id_not_in_flight(void **state)
{
	(void)state;
	begin_with(2);
	device_push(1, 0); // the middle of a chain
	take(VIRTQUEUE_HOSTILE);
	begin_with(2);
	uint16_t head = device_pop();

	device_push(head, 0);
	device_push(head, 0); // twice
	take(VIRTQUEUE_USED);
	take(VIRTQUEUE_HOSTILE);
}

static void used_length_beyond_the_buffers(void **state)
{
	(void)state;
	begin_with(3);
	device_push(device_pop(), 1025);
	take(VIRTQUEUE_HOSTILE);
}

static void used_index_jumps(void **state)
{
	(void)state;
	begin_with(3);
	memory.used.index = 9;
	take(VIRTQUEUE_HOSTILE);
	memory.used.index = 0xffff;
	take(VIRTQUEUE_HOSTILE);
}

// The device may write over descriptors and available ring: our own copy of the chains is what counts.
static void scribbled_descriptors_do_no_harm(void **state)
{
	void *owner;
	uint32_t length;
	uint16_t head;

	(void)state;
	begin_with(3);
	head = device_pop();
	memset(memory.descriptors, 0xff, sizeof(memory.descriptors));
	device_push(head, 0);
	assert_int_equal(virtqueue_take(&queue, &owner, &length), VIRTQUEUE_USED);
	for (unsigned i = 0; i < 8; i++)
		assert_true(add(1, &owners[i]));
	assert_false(add(1, &owners[0]));
}

static void notifications_are_suppressed(void **state)
{
	(void)state;
	begin(8, false);
	memory.used.flags = 1;
	add(1, &owners[0]);
	assert_false(virtqueue_publish(&queue));
	begin(8, true);
	*available_event_word() = 0;
	add(1, &owners[0]);
	assert_true(virtqueue_publish(&queue)); // index went from 0 to 1, past event 0
	add(1, &owners[0]);
	assert_false(virtqueue_publish(&queue)); // event 0 is long past
	*available_event_word() = 3;
	add(1, &owners[0]);
	add(1, &owners[0]);
	assert_true(virtqueue_publish(&queue)); // 2 to 4, past 3
}

static void waiting_looks_again(void **state)
{
	void *owner;
	uint32_t length;

	(void)state;
	begin(8, true);
	add(2, &owners[0]);
	virtqueue_publish(&queue);
	assert_false(virtqueue_wait(&queue));
	assert_int_equal(*used_event_word(), 0);
	device_push(device_pop(), 0);
	assert_true(virtqueue_wait(&queue));
	assert_int_equal(virtqueue_take(&queue, &owner, &length), VIRTQUEUE_USED);
	assert_false(virtqueue_wait(&queue));
	assert_int_equal(*used_event_word(), 1);
}

// Event words of every size lie inside the memory, and not in the other's page.
static void event_words_are_inside(void **state)
{
	(void)state;
	for (unsigned size = 2; size <= VIRTQUEUE_SIZE_MAX; size *= 2) {
		begin(size, true);
		assert_true((uint8_t *)(available_event_word() + 1) <= (uint8_t *)(&memory + 1));
		assert_true((uint8_t *)(used_event_word() + 1) <= (uint8_t *)&memory.used);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_chain_goes_and_comes_back),
		cmocka_unit_test(the_last_chain_is_read_back),
		cmocka_unit_test(a_full_queue_refuses),
		cmocka_unit_test(random_order_all_sizes),
		cmocka_unit_test(used_id_out_of_range),
		cmocka_unit_test(used_id_not_in_flight),
		cmocka_unit_test(used_length_beyond_the_buffers),
		cmocka_unit_test(used_index_jumps),
		cmocka_unit_test(scribbled_descriptors_do_no_harm),
		cmocka_unit_test(notifications_are_suppressed),
		cmocka_unit_test(waiting_looks_again),
		cmocka_unit_test(event_words_are_inside),
	};

	return cmocka_run_group_tests(tests, 0, 0);
}
