// The client's library over a server that the test steps by hand whenever the client waits.
#include "client_script.h"

static void call_carries_payload(void **state)
{
	(void)state;
	struct client *client = open_fresh(0, 4);
	assert_false(client_resumed(client));
	assert_int_equal(client_out_room(client), 1024);
	for (unsigned i = 0; i < 50; i++) {
		char out[40], in[40] = {0};
		snprintf(out, sizeof(out), "text %u", i);
		struct client_request r = {
			.op = OP_ECHO, .arg = {i}, .out = out, .out_length = sizeof(out), .in = in, .in_length = sizeof(in)};
		assert_int_equal(client_call(client, &r), ERR_OK);
		assert_string_equal(in, out);
		assert_int_equal(r.completion.result[0], i);
	}
	struct client_request big = {.op = OP_ECHO, .out_length = 1025};
	assert_int_equal(client_call(client, &big), ERR_INVALID);
	assert_true(big.done);
	client_close(client);
	assert_int_equal(world.closed_client, 1);
}

// A server of our own core gets the core with the request, and no ring.
static void near_server_is_called(void **state)
{
	(void)state;
	near_next = true;
	struct client *client = open_fresh(0, 4);
	near_next = false;
	world_meet = serve_all;
	turns = 0;
	for (unsigned i = 0; i < 50; i++) {
		struct client_request r = {.op = OP_ECHO, .arg = {i}};
		*machine_doorbell(WORLD_CLIENT) = 0;
		store32(&server.view.server->want_doorbell, 1);
		assert_int_equal(client_call(client, &r), ERR_OK);
		assert_int_equal(r.completion.result[0], i);
		assert_int_equal(world.meetings, i + 1);
		assert_int_equal(*machine_doorbell(WORLD_CLIENT), 0);
	}
	assert_int_equal(turns, 0); // nobody waited
	client_close(client);
	assert_int_equal(world.doors, 0);
}

// It cannot be called: it is rung, as any other.
static void near_server_is_rung_instead(void **state)
{
	static const enum error errors[] = {ERR_RESTARTED, ERR_PEER_LOST, ERR_STATE, ERR_HANDLE};
	(void)state;
	near_next = true;
	struct client *client = open_fresh(0, 4);
	near_next = false;
	for (unsigned i = 0; i < 4; i++) {
		struct client_request r = {.op = OP_ECHO, .arg = {i}};
		world.meet_error = errors[i];
		*machine_doorbell(WORLD_CLIENT) = 0;
		store32(&server.view.server->want_doorbell, 1);
		assert_int_equal(client_call(client, &r), ERR_OK);
		assert_int_not_equal(*machine_doorbell(WORLD_CLIENT), 0);
	}
	client_close(client);
}

// What is only submitted rings as ever: nobody gives the core away for it.
static void near_submission_rings(void **state)
{
	(void)state;
	near_next = true;
	struct client *client = open_fresh(0, 4);
	near_next = false;
	struct client_request r = {.op = OP_ECHO};
	*machine_doorbell(WORLD_CLIENT) = 0;
	store32(&server.view.server->want_doorbell, 1);
	assert_int_equal(client_submit(client, &r), ERR_OK);
	assert_int_not_equal(*machine_doorbell(WORLD_CLIENT), 0);
	assert_int_equal(world.meetings, 0);
	assert_int_equal(client_wait(client, &r), ERR_OK);
	client_close(client);
}

// What a former incarnation left to that service is a notification: it has no pages, and is not for us.
static void notification_is_not_resumed(void **state)
{
	(void)state;
	struct client *client = 0;
	world_make(0, 0, 0);
	world.open_error = ERR_REFUSED;
	assert_int_equal(client_open(&client, "ledger", 0), ERR_REFUSED);
	assert_int_equal(world.opened, 1);
	assert_int_equal(world.closed_client, 0);
}

static unsigned completed_count;
static struct client *completed_client;

static void completed_again(struct client_request *request)
{
	completed_count++;
	if (request->arg[0]-- > 1)
		assert_int_equal(client_submit(completed_client, request), ERR_OK);
}

static void callbacks_submit_again(void **state)
{
	(void)state;
	struct client *client = open_fresh(0, 4);
	struct client_request r[3];
	completed_client = client;
	completed_count = 0;
	for (unsigned i = 0; i < 3; i++) {
		r[i] = (struct client_request){.op = OP_ECHO, .arg = {10}, .completed = completed_again};
		assert_int_equal(client_submit(client, &r[i]), ERR_OK);
	}
	while (completed_count < 30)
		loop_turn(true);
	client_close(client);
}

static void slots_wait_for_commits(void **state)
{
	(void)state;
	struct client *client = open_fresh(0, 8);
	commit_lag = ~0ull;
	for (unsigned i = 0; i < 100; i++) {
		struct client_request r = {.op = OP_LOGGED, .arg = {i}};
		assert_int_equal(client_call(client, &r), ERR_OK);
		assert_int_equal(r.completion.serial, i + 1);
	}
	assert_true(client->ring.view.client->want_commit >= 10);
	client_close(client);
}

static void server_dies_while_called(void **state)
{
	(void)state;
	struct client *client = open_fresh(0, 4);
	silent = true;
	for (unsigned i = 0; i < 20; i++) {
		die_in_turns = 3;
		struct client_request r = {.op = OP_ECHO, .arg = {i}};
		assert_int_equal(client_call(client, &r), ERR_OK);
		assert_int_equal(r.completion.result[0], i);
	}
	assert_int_equal(client_server_epoch(client), world.epoch);
	assert_int_equal(world.complaints[COMPLAINT_BAD_COMPLETION] + world.complaints[COMPLAINT_BAD_INDEX], 0);
	client_close(client);
}

static void lost_service_fails_all(void **state)
{
	(void)state;
	struct client *client = open_fresh(0, 4);
	silent = true;
	struct client_request first = {.op = OP_ECHO};
	assert_int_equal(client_submit(client, &first), ERR_OK);
	state_after = CHANNEL_LOST;
	struct client_request r = {.op = OP_ECHO};
	assert_int_equal(client_call(client, &r), ERR_PEER_LOST);
	assert_int_equal(client_wait(client, &first), ERR_PEER_LOST);
	assert_int_equal(client_call(client, &r), ERR_PEER_LOST);
	client_close(client);
}

static void unanswered_requests_are_complained_about(void **state)
{
	(void)state;
	struct client *client = open_fresh(0, 4);
	world.manifest.request_ms = 1;
	silent = true;
	struct client_request patient = {.op = OP_ECHO, .patient = true};
	client_submit(client, &patient);
	world.time += 5000;
	loop_turn(true);
	world.time += 5000;
	loop_turn(true);
	assert_int_equal(world.complaints[COMPLAINT_NO_ANSWER], 0);
	struct client_request r = {.op = OP_ECHO};
	client_submit(client, &r);
	for (unsigned i = 0; i < 3; i++) {
		world.time += 1500;
		loop_turn(true);
	}
	assert_in_range(world.complaints[COMPLAINT_NO_ANSWER], 2, 3);
	assert_int_equal(world.complaints[COMPLAINT_BAD_COMPLETION], 0);
	world.no_evidence = true; // recorded, and never published
	for (unsigned i = 0; i < 3; i++) {
		world.time += 1500;
		loop_turn(true);
	}
	assert_in_range(world.complaints[COMPLAINT_BAD_COMPLETION], 2, 3);
	unsigned before = world.complaints[COMPLAINT_NO_ANSWER];
	state_after = CHANNEL_DOWN;
	loop_turn(true);
	for (unsigned i = 0; i < 3; i++) {
		world.time += 1500;
		loop_turn(true);
	}
	assert_int_equal(world.complaints[COMPLAINT_NO_ANSWER], before); // nobody is there to answer
	silent = false;
	assert_int_equal(client_wait(client, &r), ERR_OK);
	client_close(client);
}

static void lies_are_reported_and_waited_out(void **state)
{
	(void)state;
	struct client *client = open_fresh(0, 4);
	struct client_request r = {.op = OP_ECHO};
	assert_int_equal(client_call(client, &r), ERR_OK);
	silent = true;
	client_submit(client, &r);
	server.view.server->complete_tail += 2 * CHANNEL_SLOTS_MAX;
	loop_turn(true);
	assert_int_equal(world.complaints[COMPLAINT_BAD_INDEX], 0); // perhaps an adoption
	world.time += 200000;
	loop_turn(true);
	assert_int_equal(world.complaints[COMPLAINT_BAD_INDEX], 1);
	die_in_turns = 2;
	assert_int_equal(client_wait(client, &r), ERR_OK);
	client_close(client);
}

static unsigned turns_until_no_answer(unsigned turns_max)
{
	unsigned n = 0;
	while (n < turns_max && world.complaints[COMPLAINT_NO_ANSWER] < 2) {
		world.time += 120000;
		loop_turn(true);
		n++;
	}
	return n;
}

// A program's own complaints: as many as are believed, of each incarnation.
static void nonsense_is_complained_of_three_times(void **state)
{
	(void)state;
	struct client *client = open_fresh(0, 4);
	struct client_request r = {.op = OP_ECHO};
	for (unsigned incarnation = 1; incarnation <= 2; incarnation++) {
		assert_int_equal(client_call(client, &r), ERR_OK);
		world.deaf = true; // the kernel takes none while the channel is not open: those do not count
		for (unsigned i = 0; i < 10; i++)
			client_complain(client);
		world.deaf = false;
		for (unsigned i = 0; i < 10; i++)
			client_complain(client);
		assert_int_equal(world.complaints[COMPLAINT_BAD_COMPLETION], 3 * incarnation);
		die_in_turns = 2;
		assert_int_equal(client_call(client, &r), ERR_OK);
	}
	client_close(client);
}

static void what_a_liar_owes_is_claimed_soon(void **state)
{
	(void)state;
	struct client *client = open_fresh(0, 4);
	struct client_request r = {.op = OP_ECHO}, patient = {.op = OP_ECHO, .patient = true};
	world.manifest.request_ms = 60000;
	assert_int_equal(client_call(client, &r), ERR_OK);
	silent = true;
	client_submit(client, &patient);
	struct channel_server_page *page = server.view.server;
	assert_int_equal(turns_until_no_answer(10), 10); // nothing is wrong yet
	assert_int_equal(world.complaints[COMPLAINT_NO_ANSWER], 0);
	page->complete_ring[page->complete_tail % CHANNEL_SLOTS_MAX] = 3; // nobody waits there, twice: one may be late
	page->complete_tail++;
	page->complete_ring[page->complete_tail % CHANNEL_SLOTS_MAX] = 3;
	page->complete_tail++;
	loop_turn(true);
	assert_int_equal(world.complaints[COMPLAINT_BAD_COMPLETION], 1);
	assert_int_equal(world.complaints[COMPLAINT_NO_ANSWER], 1); // the kernel's first look; the second is the evidence
	assert_in_range(turns_until_no_answer(10), 1, 2);
	die_in_turns = 2;
	assert_int_equal(client_wait(client, &patient), ERR_OK);
	client_close(client);
}

static void open_waits_and_refuses(void **state)
{
	(void)state;
	struct client *client;
	world_make(4, 4096, 4096);
	world.exists = false;
	world_turn = turn;
	turns = 0;
	silent = true;
	assert_int_equal(client_open(&client, "other", 0), ERR_NOT_FOUND);
	world.open_error = ERR_REFUSED;
	assert_int_equal(client_open(&client, "ledger", 0), ERR_REFUSED);
	world.info[1].services[2].state = SERVICE_HELD;
	assert_int_equal(client_open(&client, "ledger", 0), ERR_PEER_LOST);
	const struct client_options bad = {.slots = 3};
	world.info[1].services[2].state = SERVICE_UP;
	assert_int_equal(client_open(&client, "ledger", &bad), ERR_INVALID);
}

static void next_incarnation_resumes(void **state)
{
	(void)state;
	struct client *client = open_fresh(0, 4);
	silent = true;
	static struct client_request r = {.op = OP_ECHO};
	client_submit(client, &r);
	unsigned opened = world.opened;
	timer_cancel(&client->watch);
	free(client); // dies
	clients = 0;
	silent = false;
	assert_int_equal(client_open(&client, "ledger", 0), ERR_OK);
	assert_true(client_resumed(client));
	assert_int_equal(world.opened, opened);
	assert_int_equal(client->ring.free_count, 4);
	client_close(client);
}

static void raw_areas_are_the_callers(void **state)
{
	(void)state;
	const struct client_options raw = {.slots = 4, .out_bytes = 8192, .in_bytes = 4096, .raw = true};
	struct client *client = open_fresh(&raw, 4);
	assert_int_equal(client_out_room(client), 4096);
	memcpy((char *)client_out(client) + 100, "raw", 4);
	struct client_request r = {.op = OP_ECHO, .out_offset = 100, .out_length = 4, .in_offset = 200, .in_length = 4};
	assert_int_equal(client_call(client, &r), ERR_OK);
	assert_string_equal((const char *)client_in(client) + 200, "raw");
	r.in_offset = 4095;
	assert_int_equal(client_call(client, &r), ERR_INVALID);
	client_close(client);
}

// Small slots have their places behind the large ones, in both areas.
static void small_slots_carry_payload(void **state)
{
	(void)state;
	const struct client_options options = {.slots = 4, .small = 2};
	struct client *client = open_fresh(&options, 4);
	assert_int_equal(client_out_room(client), 4096 / 2 - CLIENT_SMALL_BYTES);
	for (unsigned i = 0; i < 20; i++) {
		char out[4096 / 2 - CLIENT_SMALL_BYTES], in[sizeof(out)];
		uint32_t length = i % 2 ? sizeof(out) : CLIENT_SMALL_BYTES;
		memset(out, (int)i + 1, sizeof(out));
		struct client_request r = {.op = OP_ECHO, .out = out, .out_length = length, .in = in, .in_length = length};
		assert_int_equal(client_call(client, &r), ERR_OK);
		assert_memory_equal(in, out, length);
		assert_int_equal(r.slot >= 2, length == CLIENT_SMALL_BYTES);
		uint32_t at = client->ring.view.requests[r.slot].out_offset;
		assert_int_equal(at, r.slot < 2 ? r.slot * sizeof(out) : 4096 - (4 - r.slot) * CLIENT_SMALL_BYTES);
	}
	client_close(client);
}

// --- quick calls

static void nap_serve(bool may_sleep)
{
	(void)may_sleep;
	serve_all();
}

static void quick_call_once(struct client *client, uint64_t word)
{
	quick_answer_t answer = client_quick(client, OP_ECHO, word, 0, 0);
	assert_int_equal(quick_error(answer), ERR_OK);
	assert_int_equal(quick_result(answer), word);
	assert_int_equal(client->ring.outstanding, 0);
}

// With the loop in between, and in naps; other calls use the channel too.
static void quick_calls_are_answered(void **state)
{
	(void)state;
	struct client *client = open_fresh(0, 4);
	for (unsigned i = 0; i < 4; i++)
		client->ring.view.requests[i].grant = 77; // of whoever had the slot before
	for (unsigned i = 0; i < 50; i++)
		quick_call_once(client, i);
	for (unsigned i = 0; i < 4; i++) // in the slots that were used
		assert_int_equal(client->ring.view.requests[i].grant, client->ring.view.records[i].seq ? 0 : 77);
	world_turn = nap_serve;
	world.claim = client->ring.view.own_identity;
	for (unsigned i = 0; i < 2000; i++) {
		loop_naps.left = 100;
		quick_call_once(client, i);
		world_turn = i % 7 ? nap_serve : turn;
		if (world_turn == turn) {
			struct client_request r = {.op = OP_LOGGED, .arg = {i}};
			assert_int_equal(client_call(client, &r), ERR_OK);
		}
		world_turn = nap_serve;
	}
	world_turn = turn;
	assert_int_equal(world.complaints[COMPLAINT_BAD_COMPLETION] + world.complaints[COMPLAINT_BAD_INDEX], 0);
	client_close(client);
}

// Where a ring is a kernel call, or traced, there is no short way.
static void quick_call_without_a_doorbell_page(void **state)
{
	(void)state;
	struct client *client = open_fresh(0, 4);
	world.no_page = true;
	assert_int_equal(channel_view_refresh(&client->ring.view), ERR_OK);
	for (unsigned i = 1; i <= 5; i++) {
		store32(&server.view.server->want_doorbell, 1);
		quick_call_once(client, i);
		assert_int_equal(world.rings_by_kernel, i);
	}
	client_close(client);
}

static void nap_die(bool may_sleep)
{
	(void)may_sleep;
	world_turn = turn;
	server_new();
}

static void quick_call_outlives_its_server(void **state)
{
	(void)state;
	struct client *client = open_fresh(0, 4);
	for (unsigned i = 0; i < 20; i++) {
		quick_call_once(client, 1000 + i); // there is a lane
		world.claim = i % 2 ? client->ring.view.own_identity : 1;
		loop_naps.left = 2;
		world_turn = nap_die;
		quick_call_once(client, i);
		assert_int_equal(client_server_epoch(client), world.epoch);
	}
	assert_int_equal(world.complaints[COMPLAINT_BAD_COMPLETION], 0);
	client_close(client);
}

// An answer for another slot, and one whose seq is wrong.
static unsigned lie;

static void nap_lie(bool may_sleep)
{
	(void)may_sleep;
	struct request copy;
	int slot = server_ring_take(&server, &copy, 0);
	assert_true(slot >= 0);
	struct completion c = {.seq = copy.seq + lie, .result = {77}};
	server_ring_record(&server, (unsigned)slot, &c, false);
	server_ring_publish(&server, lie ? (unsigned)slot : (unsigned)slot ^ 1);
	die_in_turns = 3;
	world_turn = turn;
}

static void quick_call_does_not_believe(void **state)
{
	(void)state;
	for (lie = 0; lie < 2; lie++) {
		struct client *client = open_fresh(0, 4);
		quick_call_once(client, 1);
		world.claim = client->ring.view.own_identity;
		loop_naps.left = 2;
		world_turn = nap_lie;
		quick_answer_t answer = client_quick(client, OP_ECHO, 5, 0, 0);
		assert_int_equal(quick_error(answer), ERR_OK);
		assert_int_equal(quick_result(answer), lie ? 5 : 77); // a record with its seq is the answer, whatever the ring says
		assert_int_equal(world.complaints[COMPLAINT_BAD_COMPLETION], lie); // one index for another slot is tolerated
		client_close(client);
	}
}

static void quick_call_of_a_lost_service(void **state)
{
	(void)state;
	struct client *client = open_fresh(0, 4);
	quick_call_once(client, 1);
	silent = true;
	state_after = CHANNEL_LOST;
	assert_int_equal(quick_error(client_quick(client, OP_ECHO, 2, 0, 0)), ERR_PEER_LOST);
	assert_int_equal(quick_error(client_quick(client, OP_ECHO, 3, 0, 0)), ERR_PEER_LOST);
	client_close(client);
}

// --- many quick calls

#define MANY 700u
static struct quick_call many[MANY];

static void many_ask(struct client *client, unsigned count)
{
	memset(many, 0x55, sizeof(many));
	for (unsigned i = 0; i < count; i++)
		many[i] = (struct quick_call){.op = OP_ECHO, .arg = {1000 + i}, .error = 99};
	client_quick_all(client, many, count);
}

static void many_answered(struct client *client, unsigned count)
{
	unsigned free = client->ring.free_count;
	many_ask(client, count);
	assert_int_equal(client->ring.outstanding, 0);
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(many[i].error, ERR_OK);
		assert_int_equal(many[i].result, 1000 + i);
	}
	if (count < MANY)
		assert_int_equal(many[count].error, 0x55555555);
	assert_int_equal(client->ring.free_count, free);
	for (unsigned i = 0; i < client->ring.view.geometry.slots; i++)
		assert_true(client->ring.view.requests[i].seq == 0 || client->ring.slots[i].state != CLIENT_SLOT_FREE);
}

static void nap_serve_one(bool may_sleep)
{
	struct request copy;
	int slot = server_ring_take(&server, &copy, 0);
	(void)may_sleep;
	if (slot < 0)
		return;
	struct completion c = {.seq = copy.seq, .result = {copy.arg[0]}};
	server_ring_record(&server, (unsigned)slot, &c, false);
	server_ring_publish(&server, (unsigned)slot);
}

static void many_calls_are_answered(void **state)
{
	static const unsigned counts[] = {1, 2, 3, 4, 5, 31, 64, 257, MANY};
	static void (*const naps[])(bool may_sleep) = {nap_serve, nap_serve_one};
	(void)state;
	for (unsigned slots = 2; slots <= 64; slots *= 2) {
		struct client *client = open_fresh(0, slots);
		world.claim = client->ring.view.own_identity;
		for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
			many_answered(client, counts[i]); // by the loop
			for (unsigned j = 0; j < 2; j++) {
				world_turn = naps[j];
				loop_naps.left = 100000;
				many_answered(client, counts[i]);
				quick_call_once(client, i);
				world_turn = turn;
				loop_naps.left = 0;
			}
		}
		assert_int_equal(world.complaints[COMPLAINT_BAD_COMPLETION] + world.complaints[COMPLAINT_BAD_INDEX], 0);
		client_close(client);
	}
}

// Another request is under way, and its answer comes between.
static void many_calls_beside_others(void **state)
{
	(void)state;
	struct client *client = open_fresh(0, 8);
	world.claim = client->ring.view.own_identity;
	for (unsigned i = 0; i < 20; i++) {
		struct client_request r = {.op = OP_ECHO, .arg = {5}}, logged = {.op = OP_LOGGED};
		assert_int_equal(client_submit(client, &r), ERR_OK);
		loop_naps.left = i % 3 ? 100 : 0;
		if (loop_naps.left)
			world_turn = nap_serve;
		for (unsigned j = 0; j < 20; j++)
			many[j] = (struct quick_call){.op = OP_ECHO, .arg = {j}};
		client_quick_all(client, many, 20);
		world_turn = turn;
		for (unsigned j = 0; j < 20; j++)
			assert_int_equal(many[j].result, j);
		assert_int_equal(client_wait(client, &r), ERR_OK);
		assert_int_equal(r.completion.result[0], 5);
		assert_int_equal(client_call(client, &logged), ERR_OK);
	}
	assert_int_equal(world.complaints[COMPLAINT_BAD_COMPLETION] + world.complaints[COMPLAINT_BAD_INDEX], 0);
	client_close(client);
}

// It dies with answers given and not published, and with requests that it has not taken.
static unsigned die_after;

static void nap_serve_and_die(bool may_sleep)
{
	if (die_after-- > 0) {
		nap_serve_one(may_sleep);
		return;
	}
	world_turn = turn;
	server_new();
}

static void many_calls_outlive_their_server(void **state)
{
	(void)state;
	struct client *client = open_fresh(0, 8);
	for (unsigned i = 0; i < 40; i++) {
		world.claim = i % 2 ? client->ring.view.own_identity : 1;
		die_after = i / 2;
		loop_naps.left = 1000;
		world_turn = nap_serve_and_die;
		many_answered(client, 50);
		loop_naps.left = 0;
		world_turn = turn;
	}
	assert_int_equal(world.complaints[COMPLAINT_BAD_COMPLETION] + world.complaints[COMPLAINT_BAD_INDEX], 0);
	client_close(client);
}

static void many_calls_do_not_believe(void **state)
{
	(void)state;
	for (lie = 0; lie < 2; lie++) {
		struct client *client = open_fresh(0, 4);
		many_answered(client, 3);
		world.claim = client->ring.view.own_identity;
		loop_naps.left = 2;
		world_turn = nap_lie;
		many_ask(client, 9);
		for (unsigned i = 0; i < 9; i++)
			assert_int_equal(many[i].result, i == 0 && !lie ? 77 : 1000 + i);
		assert_int_equal(world.complaints[COMPLAINT_BAD_COMPLETION] > 0, lie);
		client_close(client);
	}
}

static void many_calls_of_a_lost_service(void **state)
{
	(void)state;
	struct client *client = open_fresh(0, 4);
	many_answered(client, 3);
	silent = true;
	state_after = CHANNEL_LOST;
	many_ask(client, 9);
	for (unsigned i = 0; i < 9; i++)
		assert_int_equal(many[i].error, ERR_PEER_LOST);
	client_close(client);
}

static uint64_t lendable[4 * PAGE_SIZE / 8] __attribute__((aligned(4096)));

// The request names what the kernel gave for it; a place that is still lent is passed over, and with none left, or with memory that
// cannot be lent, the request is refused and its slot free again.
static void memory_is_lent(void **state)
{
	(void)state;
	struct client *client = open_fresh(0, 8);
	struct client_request r[GRANT_PLACES + 1];
	world.grants[1].state = WORLD_GRANT_TAKEN;
	silent = true;
	for (unsigned i = 0; i <= GRANT_PLACES; i++) {
		r[i] = (struct client_request){.op = OP_ECHO, .lend = lendable, .lend_bytes = 2 * PAGE_SIZE, .lend_writable = i == 2};
		enum error e = client_submit(client, &r[i]);
		assert_int_equal(e, i < GRANT_PLACES - 1 ? ERR_OK : ERR_STATE);
		assert_int_equal(r[i].done, i >= GRANT_PLACES - 1);
	}
	assert_int_equal(client->ring.view.requests[r[0].slot].grant, world.grants[0].handle);
	assert_int_equal(client->ring.view.requests[r[2].slot].grant, world.grants[3].handle);
	assert_int_equal(world.grants[0].prot, PROT_READ);
	assert_int_equal(world.grants[3].prot, PROT_READ | PROT_WRITE);
	assert_int_equal(world.grants[3].bytes, 2 * PAGE_SIZE);
	assert_ptr_equal(world.grants[3].at, lendable);
	assert_int_equal(client->ring.free_count, 8 - (GRANT_PLACES - 1));
	silent = false;
	for (unsigned i = 0; i < GRANT_PLACES - 1; i++)
		assert_int_equal(client_wait(client, &r[i]), ERR_OK);
	struct client_request plain = {.op = OP_ECHO}, odd = {.op = OP_ECHO, .lend = lendable, .lend_bytes = 100};
	for (unsigned i = 0; i < 8; i++) { // every slot
		assert_int_equal(client_submit(client, &plain), ERR_OK);
		assert_int_equal(client->ring.view.requests[plain.slot].grant, 0);
		assert_int_equal(client_wait(client, &plain), ERR_OK);
	}
	assert_int_equal(client_call(client, &odd), ERR_INVALID);
	memset(world.grants, 0, sizeof(world.grants));
	world.unlendable = true;
	assert_int_equal(client_call(client, &r[0]), ERR_INVALID);
	assert_int_equal(client->ring.free_count, 8);
	client_close(client);
}

// A share: a patient request that lends. It is asked for until its server's kernel has said so; from then on an answer is owed.
static void shares_are_taken_back(void **state)
{
	(void)state;
	struct client *client = open_fresh(0, 4);
	struct client_request share = {.op = OP_ECHO, .patient = true, .lend = lendable, .lend_bytes = 2 * PAGE_SIZE}, plain = {.op = OP_ECHO};
	silent = true;
	assert_int_equal(client_submit(client, &share), ERR_OK);
	uint32_t grant = client->ring.view.requests[share.slot].grant;
	world.grants[grant % GRANT_PLACES].state = WORLD_GRANT_TAKEN;
	world.time += 1000000;
	assert_true(client_ring_oldest(&client->ring) == ~0ull);
	world.recalls_late = 3;
	assert_int_equal(client_take_back(client, &share), ERR_OK);
	assert_int_equal(world.recalls, 4);
	assert_int_equal(world.grants[grant % GRANT_PLACES].state, WORLD_GRANT_RETURNED);
	assert_false(share.done);
	assert_true(client_ring_oldest(&client->ring) > 1000000 && client_ring_oldest(&client->ring) <= world.time);
	silent = false;
	assert_int_equal(client_wait(client, &share), ERR_OK);
	assert_int_equal(client_take_back(client, &share), ERR_OK); // it was given back
	assert_int_equal(world.recalls, 4);
	silent = true;
	assert_int_equal(client_submit(client, &plain), ERR_OK);
	client->ring.view.requests[plain.slot].grant = 4711;
	assert_int_equal(client_take_back(client, &plain), ERR_HANDLE);
	client_close(client);
}

// The service is given up: what was shared is ours again, but for what a core that nobody can stop may still write.
static void shares_with_the_lost(void **state)
{
	(void)state;
	for (unsigned fenced = 0; fenced < 2; fenced++) {
		struct client *client = open_fresh(0, 4);
		struct client_request share = {.op = OP_ECHO, .patient = true, .lend = lendable, .lend_bytes = 2 * PAGE_SIZE};
		silent = true;
		assert_int_equal(client_submit(client, &share), ERR_OK);
		world.fenced = fenced;
		state_after = CHANNEL_LOST;
		assert_int_equal(client_wait(client, &share), ERR_PEER_LOST);
		assert_int_equal(client_take_back(client, &share), fenced ? ERR_PEER_LOST : ERR_OK);
		assert_int_equal(world.recalls, 1);
		client_close(client);
	}
}

static struct client_request lending(void)
{
	return (struct client_request){.op = OP_ECHO, .arg = {7}, .lend = lendable, .lend_bytes = 2 * PAGE_SIZE};
}

// Its server's kernel has not heard of a grant, since ours has just died: who asked does not notice, and waits in none of the ways.
static void unheard_grant_is_asked_for_again(void **state)
{
	(void)state;
	for (unsigned small = 0; small < 2; small++) {
		struct client *client = open_fresh(&(struct client_options){.small = small ? 3 : 0}, 8);
		struct client_request r = lending(), other = lending(), plain = {.op = OP_ECHO};
		takes = true;
		world.unheard = 2; // to take it, and to end it
		assert_int_equal(client_call(client, &r), ERR_OK);
		assert_int_equal(r.completion.result[0], 7);
		assert_int_equal(attempts, 2);
		world.unheard = 4;
		assert_int_equal(client_submit(client, &r), ERR_OK);
		assert_int_equal(client_submit(client, &other), ERR_OK);
		assert_int_equal(client_call(client, &plain), ERR_OK);
		assert_int_equal(client_wait(client, &other), ERR_OK);
		assert_int_equal(client_wait(client, &r), ERR_OK);
		assert_int_equal(attempts, 2 + 5);
		assert_int_equal(world.grants_ended, 3);
		for (unsigned i = 0; i < GRANT_PLACES; i++)
			assert_int_equal(world.grants[i].state, WORLD_GRANT_NONE);
		assert_int_equal(client->ring.free_count + client->ring.small_count, 8);
		assert_int_equal(world.recalls, 0);
		client_close(client);
	}
}

// A server that knows the grant and answers so means something else; and who never knows one is not asked for ever.
static void refused_is_refused(void **state)
{
	(void)state;
	struct client *client = open_fresh(0, 8);
	struct client_request r = lending(), others[GRANT_PLACES], plain = {.op = OP_ECHO};
	takes = true;
	answer_of = ERR_HANDLE;
	assert_int_equal(client_call(client, &r), ERR_HANDLE);
	assert_int_equal(client_submit(client, &r), ERR_OK);
	serve_all();
	answer_of = ERR_OK;
	for (unsigned i = 0; i < GRANT_PLACES; i++) { // its place has another's grant when it looks
		others[i] = lending();
		assert_int_equal(client_submit(client, &others[i]), ERR_OK);
	}
	assert_int_equal(client_wait(client, &r), ERR_HANDLE);
	for (unsigned i = 0; i < GRANT_PLACES; i++)
		assert_int_equal(client_wait(client, &others[i]), ERR_OK);
	assert_int_equal(attempts, 2 + GRANT_PLACES);
	attempts = 0;
	world.unheard = ~0u;
	for (unsigned i = 1; i <= GRANT_PLACES; i++) { // each time anew
		assert_int_equal(client_call(client, &r), ERR_HANDLE);
		assert_int_equal(attempts, i * (1 + CLIENT_REFUSALS));
	}
	assert_int_equal(client_call(client, &r), ERR_STATE);
	assert_int_equal(client_call(client, &r), ERR_HANDLE); // in a place that is used again
	assert_int_equal(attempts, (GRANT_PLACES + 1) * (1 + CLIENT_REFUSALS));
	assert_int_equal(client_call(client, &plain), ERR_OK);
	assert_int_equal(client->ring.free_count, 8);
	refusal = 1000; // as if that were logged: its slot is not free
	attempts = 0;
	assert_int_equal(client_call(client, &r), ERR_HANDLE);
	assert_int_equal(attempts, 1);
	client_close(client);
}

// Who does not want it any more is not asked for again.
static void unheard_and_cancelled_is_refused(void **state)
{
	(void)state;
	struct client *client = open_fresh(0, 8);
	struct client_request r = lending();
	takes = silent = true;
	world.unheard = 2;
	assert_int_equal(client_submit(client, &r), ERR_OK);
	client_cancel(client, &r);
	silent = false;
	assert_int_equal(client_wait(client, &r), ERR_HANDLE);
	assert_int_equal(attempts, 1);
	client_close(client);
}

// Answered by a server whose kernel did not know of what it was to end: its place comes back when it is needed, and none that is in use does.
static void places_come_back(void **state)
{
	(void)state;
	struct client *client = open_fresh(0, 8);
	struct client_request share = lending(), r = lending();
	silent = true;
	share.patient = true;
	assert_int_equal(client_submit(client, &share), ERR_OK);
	uint32_t grant = client->ring.view.requests[share.slot].grant;
	world.grants[grant % GRANT_PLACES].state = WORLD_GRANT_TAKEN;
	struct request copy;
	assert_true(server_ring_take(&server, &copy, 0) >= 0);
	silent = false;
	for (unsigned i = 1; i < GRANT_PLACES; i++)
		assert_int_equal(client_call(client, &r), ERR_OK); // nobody ends what it lends
	assert_int_equal(world.recalls, 0);
	assert_int_equal(client_call(client, &r), ERR_STATE);
	assert_int_equal(world.recalls, GRANT_PLACES - 1);
	assert_int_equal(client_call(client, &r), ERR_OK);
	assert_int_equal(world.grants[grant % GRANT_PLACES].state, WORLD_GRANT_TAKEN);
	assert_false(share.done);
	client_close(client);
}

static void what_is_given_goes_with_the_answer(void **state)
{
	(void)state;
	struct client *client = open_fresh(0, 4);
	struct client_request give = {.op = OP_ECHO, .lend = lendable, .lend_bytes = 2 * PAGE_SIZE};
	assert_int_equal(client_give(client, &give), ERR_OK);
	assert_int_equal(world.blocks_freed, 1);
	world.unlendable = true;
	assert_int_equal(client_give(client, &give), ERR_INVALID);
	assert_int_equal(world.blocks_freed, 1); // it is still ours
	client_close(client);
}

// What a dead incarnation of ours had shared is taken back, for else its request would never end.
static void shares_of_the_dead_are_taken_back(void **state)
{
	(void)state;
	struct client *client = open_fresh(0, 4), *next = 0;
	struct client_request share = {.op = OP_ECHO, .patient = true, .lend = lendable, .lend_bytes = 2 * PAGE_SIZE}, plain = {.op = OP_ECHO};
	silent = true;
	assert_int_equal(client_submit(client, &plain), ERR_OK);
	assert_int_equal(client_submit(client, &share), ERR_OK);
	client_detach(client);
	silent = false;
	assert_int_equal(client_open(&next, "ledger", 0), ERR_OK);
	assert_true(client_resumed(next));
	assert_int_equal(world.recalls, 1);
	client_close(next);
}

// It says so in its slot, once the request is there, and rings who sleeps; the answer is waited for as ever.
static void cancelled_request_is_answered(void **state)
{
	(void)state;
	struct client *client = open_fresh(0, 4);
	struct client_request r = {.op = OP_ECHO, .arg = {7}}, other = {.op = OP_ECHO};
	silent = true;
	assert_int_equal(client_submit(client, &other), ERR_OK);
	assert_int_equal(client_submit(client, &r), ERR_OK);
	store32(&server.view.server->want_doorbell, 1);
	*machine_doorbell(WORLD_CLIENT) = 0;
	uint32_t before = client->ring.view.client->cancels;
	client_cancel(client, &r);
	assert_int_equal(client->ring.view.client->cancels, before + 1);
	assert_int_not_equal(*machine_doorbell(WORLD_CLIENT), 0);
	assert_true(server_ring_cancelled(&server, r.slot, client->ring.slots[r.slot].seq));
	assert_false(server_ring_cancelled(&server, other.slot, client->ring.slots[other.slot].seq));
	assert_true(server_ring_cancels(&server));
	assert_false(server_ring_cancels(&server));
	silent = false;
	assert_int_equal(client_wait(client, &r), ERR_OK);
	client_cancel(client, &r); // too late
	assert_false(server_ring_cancels(&server));
	assert_int_equal(client_call(client, &r), ERR_OK); // in the same slot
	assert_false(server_ring_cancelled(&server, r.slot, client->ring.slots[r.slot].seq));
	client_close(client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_with_the_lost),
		cmocka_unit_test(what_is_given_goes_with_the_answer),
		cmocka_unit_test(shares_are_taken_back),
		cmocka_unit_test(shares_of_the_dead_are_taken_back),
		cmocka_unit_test(near_server_is_called),
		cmocka_unit_test(near_server_is_rung_instead),
		cmocka_unit_test(near_submission_rings),
		cmocka_unit_test(call_carries_payload),
		cmocka_unit_test(small_slots_carry_payload),
		cmocka_unit_test(notification_is_not_resumed),
		cmocka_unit_test(callbacks_submit_again),
		cmocka_unit_test(slots_wait_for_commits),
		cmocka_unit_test(server_dies_while_called),
		cmocka_unit_test(lost_service_fails_all),
		cmocka_unit_test(unanswered_requests_are_complained_about),
		cmocka_unit_test(lies_are_reported_and_waited_out),
		cmocka_unit_test(nonsense_is_complained_of_three_times),
		cmocka_unit_test(what_a_liar_owes_is_claimed_soon),
		cmocka_unit_test(open_waits_and_refuses),
		cmocka_unit_test(next_incarnation_resumes),
		cmocka_unit_test(quick_calls_are_answered),
		cmocka_unit_test(quick_call_without_a_doorbell_page),
		cmocka_unit_test(quick_call_outlives_its_server),
		cmocka_unit_test(quick_call_does_not_believe),
		cmocka_unit_test(quick_call_of_a_lost_service),
		cmocka_unit_test(many_calls_are_answered),
		cmocka_unit_test(many_calls_beside_others),
		cmocka_unit_test(many_calls_outlive_their_server),
		cmocka_unit_test(many_calls_do_not_believe),
		cmocka_unit_test(many_calls_of_a_lost_service),
		cmocka_unit_test(raw_areas_are_the_callers),
		cmocka_unit_test(memory_is_lent),
		cmocka_unit_test(unheard_grant_is_asked_for_again),
		cmocka_unit_test(refused_is_refused),
		cmocka_unit_test(unheard_and_cancelled_is_refused),
		cmocka_unit_test(places_come_back),
		cmocka_unit_test(cancelled_request_is_answered),
	};
	return cmocka_run_group_tests(tests, 0, world_teardown);
}
