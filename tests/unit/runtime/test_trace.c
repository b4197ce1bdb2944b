// The trace ring of a domain: what is written when, coming round, what a former incarnation left, and that faults at points
// fire as ever.
#include "world.h"
#include "abi/trace.h"
#include "runtime/client_ring.h"
#include "runtime/inject.h"
#include "runtime/inject_list.h"
#include "runtime/server_ring.h"
#include "runtime/trace.h"

static _Alignas(PAGE_SIZE) uint8_t memory[TRACE_DOMAIN_BYTES];
static struct trace_ring *const ring = (struct trace_ring *)memory;
static const char nobody[NAME_SIZE], somebody[NAME_SIZE] = "ledger";
static struct client_ring client;
static struct server_ring server;

static int setup(void **state)
{
	(void)state;
	memset(memory, 0, sizeof(memory));
	world_make(8, 8192, 8192);
	trace_start(0, 0, nobody);
	return 0;
}

static const struct trace_entry *last(unsigned back)
{
	return &ring->event[(ring->next - 1 - back) % TRACE_DOMAIN_EVENTS];
}

static void off_writes_nothing(void **state)
{
	(void)state;
	trace_here(TRACE_TAKE, 1, 2, 3, 4);
	trace_point("test.off");
	assert_false(trace_is_on());
	assert_int_equal(ring->next, 0);
}

static void goes_on_behind_what_was_there(void **state)
{
	(void)state;
	ring->next = 3 * TRACE_DOMAIN_EVENTS - 1; // a former incarnation's
	trace_start(ring, 7, somebody);
	assert_int_equal(last(0)->kind, TRACE_OPEN);
	assert_int_equal(last(0)->word, 7);
	assert_memory_equal(&last(0)->a, somebody, 16);
	assert_ptr_equal(last(0), &ring->event[TRACE_DOMAIN_EVENTS - 1]);
	trace_here(TRACE_TAKE, 1, 2, 3, 4);
	assert_ptr_equal(last(0), &ring->event[0]);
	assert_int_equal(last(0)->time, world.time);
	assert_int_equal(last(0)->b, 4);
	assert_int_equal(ring->next, 3 * TRACE_DOMAIN_EVENTS + 1);
	ring->next = UINT64_MAX; // any value is good
	trace_here(TRACE_TAKE, 1, 2, 3, 4);
	assert_int_equal(ring->next, 0);
}

static enum error pass(void)
{
	return inject_shown("test.a.long.name.of.a.point");
}

static enum error pass_quietly(void)
{
	return inject("test.quiet");
}

static void points_are_events_and_fire_as_ever(void **state)
{
	(void)state;
	assert_int_equal(pass(), ERR_OK); // registers: before tracing, and winds its counter up
	trace_start(ring, 1, somebody);
	inject_arm("test.a.long.name.of.a.point", INJECT_ERROR, 3, ERR_NO_SPACE);
	uint64_t begin = ring->next;
	struct inject_point_info points[2];
	assert_int_equal(pass(), ERR_OK);
	assert_int_equal(pass(), ERR_OK);
	assert_int_equal(pass(), ERR_NO_SPACE);
	assert_int_equal(pass(), ERR_OK);
	assert_int_equal(ring->next - begin, 4);
	assert_int_equal(last(0)->kind, TRACE_POINT);
	assert_memory_equal(&last(0)->a, "test.a.long.name", 16);
	assert_memory_equal(&last(0)->word, ".of.", 4);
	assert_int_equal(pass_quietly(), ERR_OK);
	assert_int_equal(ring->next - begin, 4);
	assert_int_equal(inject_list(0, points, 2), 2); // passages are counted the same
	assert_string_equal(points[1].name, "test.a.long.name.of.a.point");
	assert_int_equal(points[1].passages, 5);
	inject_arm("", INJECT_ERROR, 2, ERR_NO_SPACE); // any point
	assert_int_equal(pass(), ERR_OK);
	assert_int_equal(pass(), ERR_NO_SPACE);
}

static enum error pass_as(unsigned word)
{
	return inject_as("test.b", TRACE_TAKE, 5, word, 7, 8);
}

// Once it is clear that nothing else is to be done there, the counter runs on below 0: passages stay right, and an order ends that.
static void points_of_requests_count_and_fire_as_ever(void **state)
{
	struct inject_point_info points[1];
	(void)state;
	assert_int_equal(pass_as(0), ERR_OK);
	trace_start(ring, 1, somebody);
	inject_arm("test.b", INJECT_NONE, 1, 0);
	uint64_t begin = ring->next;
	for (unsigned i = 1; i <= 5; i++)
		assert_int_equal(pass_as(i), ERR_OK);
	assert_int_equal(ring->next - begin, 5);
	assert_int_equal(last(0)->kind, TRACE_TAKE);
	assert_int_equal(last(0)->subject, 5);
	assert_int_equal(last(0)->word, 5);
	assert_int_equal(last(0)->a, 7);
	assert_int_equal(last(0)->b, 8);
	assert_int_equal(inject_list(0, points, 1), 1);
	assert_int_equal(points[0].passages, 6);
	inject_arm("test.b", INJECT_ERROR, 2, ERR_NO_SPACE);
	assert_int_equal(pass_as(6), ERR_OK);
	assert_int_equal(pass_as(7), ERR_NO_SPACE);
	assert_int_equal(pass_as(8), ERR_OK);
	assert_int_equal(ring->next - begin, 8);
	inject_arm("", INJECT_ERROR, 1, ERR_NO_SPACE); // any point
	assert_int_equal(pass_as(9), ERR_NO_SPACE);
	assert_int_equal(pass_as(10), ERR_OK);
	assert_int_equal(last(0)->word, 10);
	assert_int_equal(inject_list(0, points, 1), 1);
	assert_int_equal(points[0].passages, 11);
}

static void ends_make(void)
{
	assert_int_equal(channel_view_load(&client.view, WORLD_CLIENT), ERR_OK);
	client_ring_start(&client);
	assert_int_equal(channel_view_load(&server.view, WORLD_SERVER), ERR_OK);
	server_ring_adopt(&server, ++world.epoch);
}

// What a ring of a channel with requests was for stands in these: it goes its way. One of a notification is an event.
static void rings_of_notifications_are_events(void **state)
{
	(void)state;
	trace_start(ring, 1, somebody);
	ends_make();
	assert_int_equal(last(0)->kind, TRACE_CHANNEL);
	assert_int_equal(last(0)->word & 0xff, CHANNEL_ROLE_SERVER);
	assert_int_equal(last(0)->word >> 8, server.view.own_identity);
	uint64_t begin = ring->next;
	*client.view.doorbell_page = 0;
	client.view.server->want_doorbell = 1;
	channel_view_ring(&client.view, &client.view.server->want_doorbell);
	assert_int_equal(*client.view.doorbell_page, client.view.peer_identity);
	assert_int_equal(ring->next, begin);
	client.view.geometry.bytes = 0; // as a notification
	assert_int_equal(channel_view_refresh(&client.view), ERR_OK);
	assert_ptr_equal(client.view.doorbell, 0); // so that each comes to channel_view_ring_slowly
	*client.view.doorbell_page = 0;
	channel_view_ring(&client.view, &client.view.server->want_doorbell);
	assert_int_equal(last(0)->kind, TRACE_RING);
	assert_int_equal(*client.view.doorbell_page, client.view.peer_identity);
	trace_start(0, 0, nobody);
	assert_int_equal(channel_view_refresh(&client.view), ERR_OK);
	assert_ptr_equal(client.view.doorbell, client.view.doorbell_page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(off_writes_nothing, setup),
		cmocka_unit_test_setup(goes_on_behind_what_was_there, setup),
		cmocka_unit_test_setup(points_are_events_and_fire_as_ever, setup),
		cmocka_unit_test_setup(points_of_requests_count_and_fire_as_ever, setup),
		cmocka_unit_test_setup(rings_of_notifications_are_events, setup),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
