// The server's library: who is served first, new clients, closing ones, the runtime's own operations, start that fails.
#include "server_script.h"
#include "runtime/client_ring.h"
#include "runtime/fiber_await.h"

enum { OP_NONE, OP_ECHO, OP_PARK, OP_QUICK, OPS };
static const struct op_description ops[OPS] = {[OP_ECHO] = {"ECHO", "", OP_IDEMPOTENT}, [OP_PARK] = {"PARK", "", OP_IDEMPOTENT},
						    [OP_QUICK] = {"QUICK", "", OP_IDEMPOTENT}};
static const struct protocol protocol = {"test", ops, OPS};

static struct client_ring client;
static struct server_request *parked;
static unsigned closings, closes, accepts;
static enum error start_error;
static bool accept_answer;

static enum error start(uint64_t *mark)
{
	*mark = 0;
	return start_error;
}

static void perform(struct server_request *request)
{
	uint64_t result[5] = {request->copy.arg[0], request->copy.out_length};
	if (request->copy.op == OP_PARK)
		parked = request;
	else
		server_complete(request, ERR_OK, result);
}

static void closing(struct server_channel *channel)
{
	(void)channel;
	closings++;
	server_complete(parked, ERR_PEER_LOST, 0);
}

static void closed(struct server_channel *channel)
{
	closes++;
	server_release(channel);
}

static bool accept(struct server_channel *channel)
{
	accepts++;
	server_channel_set_context(channel, &accepts);
	assert_ptr_equal(server_channel_context(channel), &accepts);
	assert_int_equal(server_channel_slot(channel), WORLD_SERVER);
	return accept_answer;
}

static unsigned cancellations;
static bool cancelled_ends; // a parked request that its client does without

static void cancelled(struct server_request *request)
{
	cancellations++;
	assert_ptr_equal(request, parked);
	if (cancelled_ends)
		server_complete(request, ERR_CANCELLED, 0);
}

static unsigned quick_calls;

static quick_answer_t quick(uint64_t op, uint64_t a, uint64_t b, uint64_t c)
{
	assert_int_equal(op, OP_QUICK);
	quick_calls++;
	return quick_answer(ERR_OK, a + b + c);
}

static enum error refused; // of which the program has heard; OK: of none
static bool refusal_kills;

static void refusing(const struct server_request *request, enum error status)
{
	assert_true(request->owned);
	refused = status;
	if (refusal_kills)
		domain_panic(__FILE__, __LINE__, "it would not say that");
}

static const struct server server = {.protocol = &protocol,
				     .start = start,
				     .request = perform,
				     .cancelled = cancelled,
				     .closing = closing,
				     .refusing = refusing,
				     .closed = closed,
				     .accept = accept,
				     .quick_from = OP_QUICK,
				     .quick = quick};

static int fresh(void **state)
{
	(void)state;
	world_make(8, 8192, 8192);
	start_error = ERR_OK;
	accept_answer = true;
	parked = 0;
	refused = ERR_OK;
	refusal_kills = false;
	cancellations = 0;
	cancelled_ends = true;
	closings = closes = accepts = 0;
	assert_int_equal(channel_view_load(&client.view, WORLD_CLIENT), ERR_OK);
	client_ring_start(&client);
	return 0;
}

static struct completion results[CHANNEL_SLOTS_MAX];

static unsigned submit(unsigned op, uint64_t argument, uint32_t out_length)
{
	int slot = client_ring_slot(&client);
	assert_true(slot >= 0);
	struct request *r = client_ring_request(&client, (unsigned)slot);
	*r = (struct request){
		.op = (uint16_t)op, .time = time_now(), .arg = {argument}, .out_length = out_length, .in_length = 4096};
	client.slots[slot].result = &results[slot];
	client_ring_submit(&client, (unsigned)slot, r->time);
	return (unsigned)slot;
}

static bool take(struct completion *c)
{
	int slot = client_ring_take(&client);
	if (slot >= 0)
		*c = results[slot];
	return slot >= 0;
}

static void script_start_fails(unsigned n)
{
	(void)n;
	fail_msg("it must not serve");
}

static void failed_start_ends(void **state)
{
	fresh(state);
	start_error = ERR_DEVICE;
	script = script_start_fails;
	world_turn = turn;
	assert_int_equal(server_run(&server), ERR_DEVICE);
	assert_int_equal(world.ready, 0);
	free(this.channels);
	memset(&this, 0, sizeof(this));
}

static void script_bad_requests(unsigned n)
{
	struct completion c;
	if (n == 0) {
		submit(OPS, 0, 0);
		submit(OP_ECHO, 0, 8193);
		submit(0, 0, 0);
		submit(OP_ECHO, 9, 100);
		return;
	}
	const uint32_t expected[] = {ERR_UNKNOWN_CALL, ERR_INVALID, ERR_UNKNOWN_CALL, ERR_OK};
	for (unsigned i = 0; i < 4; i++) {
		assert_true(take(&c));
		assert_int_equal(c.status, expected[i]);
	}
	assert_int_equal(c.result[0], 9);
	longjmp(finished, 1);
}

static void bad_requests_are_answered(void **state)
{
	(void)state;
	serve(script_bad_requests);
	assert_int_equal(refused, ERR_OK); // by the library alone
	assert_int_equal(world.ready, 1);
}

static void script_runtime(unsigned n)
{
	struct completion c;
	switch (n) {
	case 0:
		submit(RUNTIME_OP_PING, 77, 0);
		submit(RUNTIME_OP_POINTS, 0, 0);
		submit(RUNTIME_OP_STATISTICS, 0, 0);
		submit(RUNTIME_OP_STATISTICS + 1, 0, 0);
		strcpy((char *)client.view.out, "runtime.take");
		assert_int_equal(inject_arm("runtime.take", INJECT_ERROR, 1000, 0), ERR_OK);
		submit(RUNTIME_OP_INJECT, INJECT_NONE, 12);
		submit(RUNTIME_OP_INJECT, INJECT_NONE, 12);
		submit(RUNTIME_OP_INJECT, INJECT_ACTIONS, 12);
		submit(RUNTIME_OP_INJECT, INJECT_NONE, 4000);
		return;
	default:
		assert_true(take(&c) && c.status == ERR_OK && c.result[0] == 77);
		assert_true(take(&c) && c.status == ERR_OK && c.result[0] >= 2);
		assert_true(((struct inject_point_info *)client.view.in)->name[0] != 0);
		assert_true(take(&c) && c.status == ERR_OK && c.result[0] >= 2);
		assert_true(take(&c) && c.status == ERR_UNKNOWN_CALL);
		assert_true(take(&c) && c.status == ERR_OK && c.result[0] == 1); // it was armed
		assert_true(take(&c) && c.status == ERR_OK && c.result[0] == 0);
		assert_true(take(&c) && c.status == ERR_INVALID);
		assert_true(take(&c) && c.status == ERR_NAME_TOO_LONG);
		longjmp(finished, 1);
	}
}

static void runtime_operations(void **state)
{
	(void)state;
	serve(script_runtime);
}

// A fault for the next incarnation waits in the ring, and is armed by that one when it adopts, not by this one.
static unsigned order_later(uint32_t epoch)
{
	strcpy((char *)client.view.out, "runtime.take");
	int slot = client_ring_slot(&client);
	struct request *r = client_ring_request(&client, (unsigned)slot);
	*r = (struct request){.op = RUNTIME_OP_INJECT, .arg = {INJECT_ERROR, 1000, (uint64_t)epoch << 32}, .out_length = 12};
	client.slots[slot].result = &results[slot];
	client_ring_submit(&client, (unsigned)slot, time_now());
	return (unsigned)slot;
}

static bool take_is_armed(void)
{
	struct inject_point_info info;
	for (unsigned i = 0; inject_list(i, &info, 1) == 1; i++)
		if (strcmp(info.name, "runtime.take") == 0)
			return info.action == INJECT_ERROR;
	return false;
}

static void script_wish(unsigned n)
{
	struct completion c;
	if (n == 0)
		order_later(world.epoch + 1);
	assert_false(take(&c));
	assert_false(take_is_armed());
	if (n == 3) {
		assert_int_equal(this.owned, 1);
		longjmp(finished, 1);
	}
}

static void script_granted(unsigned n)
{
	struct completion c;
	assert_true(take_is_armed());
	if (n == 0)
		return;
	assert_true(take(&c) && c.status == ERR_STATE);
	assert_int_equal(this.owned, 0);
	longjmp(finished, 1);
}

static void script_never_granted(unsigned n)
{
	if (n == 0)
		order_later(world.epoch + 2);
	if (n == 2) {
		assert_int_equal(this.owned, 1);
		world.server_state = CHANNEL_CLOSED;
		server_event(EVENT_CHANNEL_CLOSED, WORLD_SERVER);
	}
	if (n == 5) {
		assert_int_equal(closings, 0); // the program had nothing of it
		assert_int_equal(closes, 1);
		assert_int_equal(world.closed_server, 1);
		longjmp(finished, 1);
	}
}

// A worker has got the request and has not begun: the client's going leaves it to that one.
static void close_before_begin(uint32_t epoch)
{
	order_later(epoch);
	struct server_request *request = server_pick();
	assert_non_null(request);
	world.server_state = CHANNEL_CLOSED;
	server_event(EVENT_CHANNEL_CLOSED, WORLD_SERVER);
	server_reap();
	assert_true(request->owned);
	assert_int_equal(closes, 0);
	request_perform(request);
}

static void script_close_before_begin(unsigned n)
{
	if (n == 0)
		close_before_begin(0);
	if (n == 3) {
		assert_int_equal(closes, 1);
		longjmp(finished, 1);
	}
}

static void script_close_before_waiting(unsigned n)
{
	if (n == 0)
		close_before_begin(world.epoch + 2);
	if (n == 3) {
		assert_int_equal(closes, 1);
		longjmp(finished, 1);
	}
}

static void going_waits_for_what_is_begun(void **state)
{
	(void)state;
	serve(script_close_before_begin);
	fresh(state);
	serve(script_close_before_waiting);
}

static void faults_for_later_wait(void **state)
{
	(void)state;
	serve(script_wish);
	world.epoch++;
	serve(script_granted);
	assert_int_equal(inject_arm("runtime.take", INJECT_NONE, 1, 0), ERR_OK);
	serve(script_never_granted);
}

static void script_close(unsigned n)
{
	switch (n) {
	case 0:
		submit(OP_PARK, 0, 0);
		return;
	case 1:
		assert_non_null(parked);
		assert_int_equal(client.view.server->working, 0); // it waits, it is not at work
		world.server_state = CHANNEL_CLOSED;
		loop_server_event(EVENT_CHANNEL_CLOSED, WORLD_SERVER);
		return;
	default:
		if (world.closed_server == 0)
			return;
		assert_int_equal(closings, 1);
		assert_int_equal(closes, 1);
		assert_null(this.channels);
		longjmp(finished, 1);
	}
}

static void closed_channels_are_released(void **state)
{
	(void)state;
	serve(script_close);
}

static void script_accept(unsigned n)
{
	struct completion c;
	switch (n) {
	case 0:
		assert_int_equal(accepts, 1); // asked before we served
		assert_int_equal(world.accepted, 1);
		submit(OP_ECHO, 5, 0);
		return;
	default:
		assert_true(take(&c));
		assert_int_equal(c.result[0], 5);
		longjmp(finished, 1);
	}
}

static void waiting_clients_are_accepted(void **state)
{
	(void)state;
	world.server_state = CHANNEL_REQUESTED;
	serve(script_accept);
}

static void script_told(unsigned n)
{
	(void)n;
	assert_int_equal(server_serial_last(), 100);
	assert_int_equal(client.view.server->committed, 0); // and nothing is called durable that is not
	longjmp(finished, 1);
}

// The log with the mark is gone (start says 0), but a client was told that all up to 100 is committed.
static void serials_stay_above_what_was_told(void **state)
{
	(void)state;
	struct channel_server_page *page = (struct channel_server_page *)(world.memory + PAGE_SIZE);
	page->committed = 100;
	page->recorded = 100;
	page->committed_check = channel_committed_check(100, 100, WORLD_KEY);
	serve(script_told);
}

static void script_nonsense(unsigned n)
{
	(void)n;
	assert_int_equal(server_serial_last(), 0);
	longjmp(finished, 1);
}

static void nonsense_is_not_believed(void **state)
{
	(void)state;
	struct channel_server_page *page = (struct channel_server_page *)(world.memory + PAGE_SIZE);
	page->committed = 100;
	page->committed_check = 100;
	serve(script_nonsense);
}

// Five incarnations died in the replay of this one: it is lost, its serial stays taken, and we serve.
static void script_deadly(unsigned n)
{
	(void)n;
	assert_int_equal(server_serial_last(), 7);
	assert_int_equal(this.statistics.lost, 1);
	assert_int_equal(this.statistics.replayed, 0);
	longjmp(finished, 1);
}

static void deadly_replay_is_left_out(void **state)
{
	(void)state;
	unsigned slot = submit(OP_ECHO, 5, 0);
	struct completion record = {.seq = client.slots[slot].seq, .serial = 7};
	record.digest = channel_record_digest(&record, WORLD_SECRET);
	client.view.server->working = slot + 1;
	client.view.server->suspect_seq = record.seq;
	client.view.server->suspect_deaths = CHANNEL_POISON_DEATHS - 1;
	client.view.records[slot] = record;
	serve(script_deadly);
}

static void script_refuse(unsigned n)
{
	if (n == 0) {
		assert_int_equal(world.refused, 1);
		loop_server_event(EVENT_CHANNEL_REQUEST, WORLD_SERVER);
		return;
	}
	assert_int_equal(world.refused, 2);
	assert_null(this.channels);
	longjmp(finished, 1);
}

static void clients_can_be_refused(void **state)
{
	(void)state;
	world.server_state = CHANNEL_REQUESTED;
	accept_answer = false;
	serve(script_refuse);
}

// It is refused until one of its other ends is another life's.
static void script_share(unsigned n)
{
	static struct server_channel others[SERVER_CLIENT_ENDS];
	assert_int_equal(n, 0);
	assert_int_equal(world.refused, 1);
	accept_answer = true;
	for (unsigned i = 0; i < SERVER_CLIENT_ENDS; i++) {
		others[i].ring.view.peer = CHANNEL_PEER(1, 7, world.epoch);
		others[i].next = i + 1 < SERVER_CLIENT_ENDS ? &others[i + 1] : 0;
	}
	this.channels = others;
	loop_server_event(EVENT_CHANNEL_REQUEST, WORLD_SERVER);
	assert_int_equal(world.refused, 2);
	others[3].ring.view.peer = CHANNEL_PEER(1, 7, world.epoch + 1);
	loop_server_event(EVENT_CHANNEL_REQUEST, WORLD_SERVER);
	assert_int_equal(world.accepted, 1);
	this.channels = this.by_slot[WORLD_SERVER];
	this.channels->next = 0;
	longjmp(finished, 1);
}

static void one_client_gets_its_share_of_ends(void **state)
{
	(void)state;
	world.server_state = CHANNEL_REQUESTED;
	accept_answer = false;
	serve(script_share);
}

// --- the choice among several channels: memory by hand, no kernel

#define CHANNELS 3u
static struct client_ring many[CHANNELS];

static void channel_by_hand(unsigned i, unsigned priority)
{
	size_t requests = world.geometry.slots * sizeof(struct server_request);
	struct server_channel *channel = calloc(1, sizeof(*channel) + requests);
	uint8_t *memory = memset(aligned_alloc(PAGE_SIZE, world.geometry.bytes), 0, world.geometry.bytes);
	struct channel_view *view = &many[i].view;
	*view = client.view;
	view->client = (struct channel_client_page *)memory;
	view->server = (struct channel_server_page *)(memory + PAGE_SIZE);
	view->requests = (struct request *)(memory + world.geometry.requests);
	view->records = (struct completion *)(memory + world.geometry.records);
	view->out = memory + world.geometry.out;
	view->in = memory + world.geometry.in;
	view->priority = priority;
	view->slot = i;
	client_ring_start(&many[i]);
	channel->ring.view = *view;
	for (unsigned s = 0; s < world.geometry.slots; s++) {
		channel->requests[s].channel = channel;
		channel->requests[s].slot = s;
	}
	server_ring_adopt(&channel->ring, 1);
	channel_insert(channel);
}

static void submit_to(unsigned i, uint64_t stamp)
{
	int slot = client_ring_slot(&many[i]);
	struct request *r = client_ring_request(&many[i], (unsigned)slot);
	*r = (struct request){.op = OP_ECHO, .time = stamp};
	client_ring_submit(&many[i], (unsigned)slot, stamp);
}

static unsigned picked(void)
{
	struct server_request *request = server_pick();
	if (!request)
		return 99;
	unsigned slot = server_channel_slot(request->channel);
	server_complete(request, ERR_OK, 0);
	return slot;
}

static void many_free(void)
{
	while (this.channels) {
		struct server_channel *channel = this.channels;
		this.channels = channel->next;
		free(channel->ring.view.client);
		free(channel);
	}
	memset(&this, 0, sizeof(this));
}

static void priority_then_age(void **state)
{
	(void)state;
	this.server = &server;
	channel_by_hand(0, 2);
	channel_by_hand(1, 1);
	channel_by_hand(2, 1);
	world.time = 1000000;
	submit_to(0, 10);
	submit_to(1, 50);
	submit_to(2, 40);
	submit_to(2, 60);
	assert_int_equal(picked(), 2);
	assert_int_equal(picked(), 1);
	assert_int_equal(picked(), 2);
	assert_int_equal(picked(), 0);
	assert_int_equal(picked(), 99);
	many_free();
}

static void a_worker_goes_by_its_clients_priority(void **state)
{
	struct server with_fibers = server;
	struct server_worker worker = {.fiber = fiber_self()};
	(void)state;
	with_fibers.fibers = 1;
	this.server = &with_fibers;
	channel_by_hand(0, 3);
	channel_by_hand(1, 1);
	submit_to(0, 10);
	submit_to(1, 50);
	for (unsigned priority = 1; priority <= 3; priority += 2) {
		this.idle = &worker;
		assert_true(server_step());
		assert_int_equal(fiber_self()->priority, priority);
		server_complete(worker.request, ERR_OK, 0);
	}
	fiber_set_priority(fiber_self(), 0);
	many_free();
}

static void forged_stamps_gain_nothing(void **state)
{
	(void)state;
	this.server = &server;
	channel_by_hand(0, 1);
	channel_by_hand(1, 1);
	world.time = 1000;
	unsigned honest = 0;
	for (unsigned i = 0; i < 100; i++) {
		submit_to(0, 0); // always claims to be oldest
		submit_to(1, time_now());
		if (i < 2)
			continue;
		honest += picked() == 1;
		honest += picked() == 1;
		while (many[0].free_count < 4 || many[1].free_count < 4) {
			if (client_ring_take(&many[0]) < 0 && client_ring_take(&many[1]) < 0)
				break;
		}
	}
	assert_in_range(honest, 60, 140);
	submit_to(0, ~0ull); // from the future: clamped to now
	while (picked() != 99)
		;
	assert_true(this.clock <= world.time);
	many_free();
}

// The ring of one who claims to be oldest is never empty, so that it is never seen empty either.
static void forged_stamps_gain_nothing_with_a_full_ring(void **state)
{
	(void)state;
	this.server = &server;
	channel_by_hand(0, 1);
	channel_by_hand(1, 1);
	unsigned honest = 0;
	for (unsigned i = 0; i < 1000; i++) {
		world.time += 10;
		for (unsigned c = 0; c < 2; c++)
			while (many[c].free_count > 0 || client_ring_take(&many[c]) >= 0)
				submit_to(c, c == 0 ? 0 : time_now());
		honest += picked() == 1;
	}
	assert_in_range(honest, 450, 650);
	many_free();
}

static enum error doubtful; // the answer

static void script_unexpected(unsigned n)
{
	if (n == 0)
		submit(OP_PARK, 0, 0);
	if (!parked)
		return;
	world_exit_armed = true;
	parked->begun = doubtful != ERR_INVALID; // that one as if the library had refused it
	if (!setjmp(world_exit)) {
		server_complete(parked, doubtful, 0);
		fail_msg("it was answered");
	}
	world_exit_armed = false;
	longjmp(finished, 1);
}

// It dies instead, and the request, which has no record, is performed again.
static void unexpected_errors_are_no_answers(void **state)
{
	(void)state;
	struct completion c;
	doubtful = ERR_INJECTED;
	serve(script_unexpected);
	assert_int_equal(world_exit_code, -1);
	assert_false(take(&c));
}

// Nor is what the program would never say; nor what the library calls invalid, when it is right in the ring.
static void refusals_are_asked_about(void **state)
{
	struct completion c;
	for (doubtful = ERR_STALE; doubtful; doubtful = doubtful == ERR_STALE ? ERR_INVALID : ERR_OK) {
		fresh(state);
		refusal_kills = true;
		serve(script_unexpected);
		assert_int_equal(world_exit_code, -1);
		assert_int_equal(refused, doubtful);
		assert_false(take(&c));
	}
}

// Quick ones and others through one ring, each once and in its order; indices that are nonsense, or come twice. The first one goes the
// long way, since nobody expected it.
static unsigned quick_expected; // so many that were answered the short way

static void script_quick(unsigned turn_now)
{
	static unsigned slot[6];
	struct channel_client_page *page = client.view.client;
	if (turn_now == 0) {
		quick_calls = 0;
		slot[0] = submit(OP_QUICK, 5, 0);
	} else if (turn_now == 1) {
		slot[1] = submit(OP_QUICK, 6, 0);
		slot[2] = submit(OP_QUICK, 7, 0);
		page->submit_ring[client.tail++ % CHANNEL_SLOTS_MAX] = (uint16_t)slot[1];
		page->submit_ring[client.tail++ % CHANNEL_SLOTS_MAX] = 200;
		page->submit_tail = client.tail;
		slot[3] = submit(OP_ECHO, 8, 0);
		slot[4] = submit(OP_QUICK, 9, 0);
		slot[5] = submit(OP_QUICK, 10, 0);
	} else if (turn_now == 4) {
		for (unsigned i = 0; i < 6; i++) {
			assert_int_equal(client_ring_take(&client), slot[i]);
			assert_int_equal(results[slot[i]].status, ERR_OK);
			assert_int_equal(results[slot[i]].result[0], 5 + i);
		}
		assert_int_equal(client_ring_take(&client), -1);
		assert_int_equal(client.offence, OFFENCE_NONE);
		assert_int_equal(quick_calls, 5);
		assert_int_equal(this.statistics.quick, quick_expected);
		assert_int_equal(this.channels->ring.ignored, 2);
		longjmp(finished, 1);
	}
}

static void quick_operations_take_their_turn(void **state)
{
	(void)state;
	quick_expected = 4;
	serve(script_quick);
}

// Events come from the long way.
static void traced_operations_go_the_long_way(void **state)
{
	static const char name[NAME_SIZE] = "test";
	static _Alignas(PAGE_SIZE) uint8_t memory[TRACE_DOMAIN_BYTES];
	(void)state;
	quick_expected = 0;
	trace_start((struct trace_ring *)memory, 1, name);
	serve(script_quick);
	trace_start(0, 0, name);
}

// More than the loop may be kept from, in naps: the client submits the next one whenever the server sleeps.
static unsigned quick_submitted;

static void script_naps(unsigned turn_now)
{
	if (quick_submitted)
		assert_int_equal(client_ring_take(&client) >= 0, 1);
	if (turn_now == 900 || (loop_naps.left == 0 && quick_submitted > 100)) {
		assert_true(quick_calls >= 100);
		longjmp(finished, 1);
	}
	world.claim = this.channels ? this.channels->ring.view.own_identity : 0;
	if (quick_submitted == 0)
		loop_naps.left = 100;
	submit(OP_QUICK, quick_submitted++, 0);
}

static void quick_operations_between_naps(void **state)
{
	(void)state;
	quick_calls = quick_submitted = 0;
	server_never_spins(true);
	serve(script_naps);
}

// --- requests that their client takes back

static void statuses_are(const uint32_t *expected, unsigned count)
{
	struct completion c;
	for (unsigned i = 0; i < count; i++) {
		assert_true(take(&c));
		assert_int_equal(c.status, expected[i]);
	}
	assert_false(take(&c));
}

static void script_cancel_before(unsigned n)
{
	if (n > 0) {
		statuses_are((const uint32_t[]){ERR_OK, ERR_CANCELLED, ERR_OK, ERR_CANCELLED}, 4);
		longjmp(finished, 1);
	}
	submit(OP_ECHO, 1, 0);
	client_ring_cancel(&client, submit(OP_PARK, 2, 0));
	submit(OP_ECHO, 3, 0);
	client_ring_cancel(&client, submit(OP_QUICK, 4, 0));
}

static void cancelled_before_it_is_begun(void **state)
{
	(void)state;
	serve(script_cancel_before);
	assert_null(parked);
	assert_int_equal(cancellations, 0);
}

// So they lie in the ring of a server that died before it took them, or had them parked.
static void script_cancel_adopted(unsigned n)
{
	if (n > 0) {
		statuses_are((const uint32_t[]){ERR_CANCELLED, ERR_OK, ERR_CANCELLED}, 3);
		longjmp(finished, 1);
	}
}

static void cancelled_and_then_adopted(void **state)
{
	(void)state;
	client_ring_cancel(&client, submit(OP_PARK, 1, 0));
	submit(OP_ECHO, 2, 0);
	client_ring_cancel(&client, submit(OP_ECHO, 3, 0));
	serve(script_cancel_adopted);
	assert_null(parked);
}

static void script_cancel_parked(unsigned n)
{
	static unsigned slot;
	struct completion c;
	switch (n) {
	case 0:
		slot = submit(OP_PARK, 1, 0);
		submit(OP_ECHO, 2, 0);
		break;
	case 1: // it has begun
		assert_non_null(parked);
		assert_true(take(&c));
		assert_false(take(&c));
		client_ring_cancel(&client, slot);
		break;
	case 2:
	case 3: // it is told once, whatever else is cancelled
		assert_int_equal(cancellations, 1);
		if (cancelled_ends) {
			statuses_are((const uint32_t[]){ERR_CANCELLED}, 1);
			longjmp(finished, 1);
		}
		client_ring_cancel(&client, slot);
		break;
	default:
		assert_int_equal(cancellations, 1);
		assert_false(take(&c));
		server_complete(parked, ERR_OK, 0);
		statuses_are((const uint32_t[]){ERR_OK}, 1);
		longjmp(finished, 1);
	}
}

static void parked_one_is_told(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		fresh(state);
		cancelled_ends = i == 0;
		serve(script_cancel_parked);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failed_start_ends),
		cmocka_unit_test_setup(quick_operations_take_their_turn, fresh),
		cmocka_unit_test_setup(traced_operations_go_the_long_way, fresh),
		cmocka_unit_test_setup(quick_operations_between_naps, fresh),
		cmocka_unit_test_setup(bad_requests_are_answered, fresh),
		cmocka_unit_test_setup(runtime_operations, fresh),
		cmocka_unit_test_setup(faults_for_later_wait, fresh),
		cmocka_unit_test_setup(going_waits_for_what_is_begun, fresh),
		cmocka_unit_test_setup(closed_channels_are_released, fresh),
		cmocka_unit_test_setup(waiting_clients_are_accepted, fresh),
		cmocka_unit_test_setup(clients_can_be_refused, fresh),
		cmocka_unit_test_setup(one_client_gets_its_share_of_ends, fresh),
		cmocka_unit_test_setup(serials_stay_above_what_was_told, fresh),
		cmocka_unit_test_setup(nonsense_is_not_believed, fresh),
		cmocka_unit_test_setup(deadly_replay_is_left_out, fresh),
		cmocka_unit_test_setup(priority_then_age, fresh),
		cmocka_unit_test_setup(a_worker_goes_by_its_clients_priority, fresh),
		cmocka_unit_test_setup(forged_stamps_gain_nothing, fresh),
		cmocka_unit_test_setup(forged_stamps_gain_nothing_with_a_full_ring, fresh),
		cmocka_unit_test_setup(unexpected_errors_are_no_answers, fresh),
		cmocka_unit_test_setup(refusals_are_asked_about, fresh),
		cmocka_unit_test_setup(cancelled_before_it_is_begun, fresh),
		cmocka_unit_test_setup(cancelled_and_then_adopted, fresh),
		cmocka_unit_test_setup(parked_one_is_told, fresh),
	};
	return cmocka_run_group_tests(tests, 0, world_teardown);
}
