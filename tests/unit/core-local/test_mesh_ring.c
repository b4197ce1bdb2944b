// Mesh ring: order, full and empty, the wrap of the 32-bit index, hostile heads and slots.
#include "check.h"
#include "core-local/mesh_ring.h"

static struct mesh_message slots[MESH_SLOTS];

static int setup(void **state)
{
	(void)state;
	memset(slots, 0, sizeof(slots));
	return 0;
}

static struct mesh_message numbered(uint32_t n)
{
	struct mesh_message m = { .op = (uint16_t)n, .is_reply = n & 1, .error = 7, .request = n, .incarnation = 5 };

	for (unsigned i = 0; i < 6; i++)
		m.word[i] = (uint64_t)n << 32 | i;
	return m;
}

static void expect(uint32_t *head, uint32_t n)
{
	struct mesh_message copy, m = numbered(n);

	assert_true(mesh_ring_pop_consumer(slots, head, &copy));
	m.seq = copy.seq;
	assert_memory_equal(&copy, &m, sizeof(m));
}

static void empty_and_full(void **state)
{
	uint32_t head = 0, tail = 0;
	struct mesh_message m, copy;

	(void)state;
	assert_false(mesh_ring_pop_consumer(slots, &head, &copy));
	for (uint32_t n = 0; n < MESH_SLOTS; n++) {
		m = numbered(n);
		assert_true(mesh_ring_push_producer(slots, &tail, head, &m));
	}
	assert_false(mesh_ring_push_producer(slots, &tail, head, &m));
	assert_int_equal(tail, MESH_SLOTS);
	for (uint32_t n = 0; n < MESH_SLOTS; n++)
		expect(&head, n);
	assert_false(mesh_ring_pop_consumer(slots, &head, &copy));
	assert_int_equal(head, MESH_SLOTS);
}

// From shortly before the wrap, where UINT32_MAX + 1 would be the seq of a cleared slot.
static void index_wraps(void **state)
{
	uint32_t start = UINT32_MAX - 100, head = start, tail = start;
	uint64_t seed = 1;
	struct mesh_message m, copy;

	(void)state;
	assert_false(mesh_ring_pop_consumer(slots, &head, &copy));
	while (head - start < 400) {
		if (check_random(&seed) % 2) {
			m = numbered(tail);
			bool room = tail - head < MESH_SLOTS;
			assert_int_equal(mesh_ring_push_producer(slots, &tail, head, &m), room);
		} else if (head != tail) {
			expect(&head, head);
		} else {
			assert_false(mesh_ring_pop_consumer(slots, &head, &copy));
		}
	}
}

static void cleared_page_is_empty_at_any_index(void **state)
{
	struct mesh_message copy;

	(void)state;
	for (uint32_t i = 0; i < 300; i++) {
		uint32_t head = UINT32_MAX - 150 + i;
		assert_false(mesh_ring_pop_consumer(slots, &head, &copy));
	}
}

static void hostile_head_stops_the_sender(void **state)
{
	uint32_t tail = 10;
	struct mesh_message m = numbered(1);

	(void)state;
	assert_false(mesh_ring_push_producer(slots, &tail, 11, &m)); // ahead of the tail
	assert_false(mesh_ring_push_producer(slots, &tail, 10 - MESH_SLOTS, &m));
	assert_false(mesh_ring_push_producer(slots, &tail, 0x80000000, &m));
	assert_int_equal(tail, 10);
	assert_true(mesh_ring_push_producer(slots, &tail, 11 - MESH_SLOTS, &m));
}

static void old_and_wild_slots_are_not_taken(void **state)
{
	uint32_t head = 5;
	struct mesh_message copy;

	(void)state;
	slots[5].seq = 5; // neighbour's
	assert_false(mesh_ring_pop_consumer(slots, &head, &copy));
	slots[5].seq = 6 + MESH_SLOTS; // next round's
	assert_false(mesh_ring_pop_consumer(slots, &head, &copy));
	slots[5].seq = 6;
	assert_true(mesh_ring_pop_consumer(slots, &head, &copy));
	assert_int_equal(head, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(empty_and_full, setup),
		cmocka_unit_test_setup(index_wraps, setup),
		cmocka_unit_test_setup(cleared_page_is_empty_at_any_index, setup),
		cmocka_unit_test_setup(hostile_head_stops_the_sender, setup),
		cmocka_unit_test_setup(old_and_wild_slots_are_not_taken, setup),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
