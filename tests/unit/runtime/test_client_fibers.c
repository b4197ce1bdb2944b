// Quick calls of many fibers: each gets its own answer, whatever happens to the server, and they are submitted together. Those of better
// priorities go on first.
#include "client_script.h"
#include "runtime/fiber_await.h"

#define CROWD_MAX 60u

static struct client *client;
static unsigned calls_left; // of each
static unsigned running;
static struct fiber *waiter;
static unsigned lost, answered, general;
static unsigned general_every; // that call is a general one; 0: none
static unsigned tails;         // that the server has seen
static void (*serve_how)(void);
static unsigned die_after; // answers; ~0: never

static void count_tails(void)
{
	static uint32_t seen;
	uint32_t tail = load32(&server.view.client->submit_tail);
	tails += tail != seen;
	seen = tail;
}

static void serve_some(unsigned n)
{
	struct request copy;
	int slot;
	while (n-- > 0 && (slot = server_ring_take(&server, &copy, 0)) >= 0) {
		struct completion c = {.seq = copy.seq, .result = {copy.arg[0]}};
		if (copy.op == OP_LOGGED)
			c.serial = ++serial;
		server_ring_record(&server, (unsigned)slot, &c, true);
		if (die_after != ~0u && die_after-- == 0) {
			server_new(); // recorded, not published
			return;
		}
		server_ring_publish(&server, (unsigned)slot);
	}
	server_ring_commit(&server, serial, serial);
}

static void serve_burst(void)
{
	serve_some(~0u);
}

static void serve_three(void)
{
	serve_some(3);
}

static void nap(bool may_sleep)
{
	(void)may_sleep;
	count_tails();
	if (!silent)
		serve_how();
	if (state_after != CHANNEL_FREE) {
		world.client_state = state_after;
		state_after = CHANNEL_FREE;
		world_state_changed(WORLD_CLIENT);
	}
	world.claim = world_random() % 5 ? client->ring.view.own_identity : world_random() % 2;
	assert_true(++turns < 100000);
	timer_run_due();
}

// A turn of the loop, after which naps may be possible again.
static void doze_turn(bool may_sleep)
{
	nap(may_sleep);
	loop_enter();
	client_loop_look(&client->loop);
	loop_leave();
	if (!fibers.first)
		loop_naps.left = world_random() % 3 * 20;
}

static bool by_priority; // member i has i % FIBER_PRIORITIES
static unsigned passed, not_passed; // by the next one that got its answer at the same time: who has a worse priority, a better one

// Between two turns nothing comes: who goes on then got their answers together.
static void order_note(void)
{
	static unsigned last_turn, last_priority;
	unsigned priority = fiber_self()->priority;
	if (turns == last_turn) {
		passed += priority > last_priority;
		not_passed += priority < last_priority;
	}
	last_turn = turns;
	last_priority = priority;
}

static void member(void *argument)
{
	unsigned who = *(unsigned *)argument;
	if (by_priority)
		fiber_set_priority(fiber_self(), who % FIBER_PRIORITIES);
	for (unsigned i = 0; i < calls_left; i++) {
		uint64_t word = who * 1000 + i;
		if (general_every && (who + i) % general_every == 0) {
			struct client_request r = {.op = OP_LOGGED, .arg = {word}};
			enum error e = client_call(client, &r);
			lost += e == ERR_PEER_LOST;
			general += e == ERR_OK && r.completion.result[0] == word;
			continue;
		}
		quick_answer_t answer = client_quick(client, OP_ECHO, word, 0, 0);
		lost += quick_error(answer) == ERR_PEER_LOST;
		answered += answer == quick_answer(ERR_OK, word);
		order_note();
	}
	if (--running == 0)
		fiber_wake(waiter);
}

static unsigned numbers[CROWD_MAX];

static void crowd_begin(unsigned fibers_wanted, unsigned calls)
{
	lost = answered = general = tails = turns = 0;
	calls_left = calls;
	running = fibers_wanted;
	waiter = fiber_self();
	for (unsigned i = 0; i < fibers_wanted; i++) {
		numbers[i] = i;
		assert_non_null(fiber_create(member, &numbers[i], "member"));
	}
}

static void crowd(unsigned fibers_wanted, unsigned calls)
{
	crowd_begin(fibers_wanted, calls);
	while (running > 0)
		fiber_park();
	assert_int_equal(lost + answered + general, fibers_wanted * calls);
}

static void fresh(unsigned slots)
{
	near_next = false;
	world_seed(slots);
	client = open_fresh(0, slots);
	world_turn = doze_turn;
	world_nap = nap;
	serve_how = serve_burst;
	general_every = 0;
	by_priority = false;
	die_after = ~0u;
	world.claim = client->ring.view.own_identity;
}

static unsigned lies(void)
{
	return world.complaints[COMPLAINT_BAD_COMPLETION] + world.complaints[COMPLAINT_BAD_INDEX];
}

static void everything_is_free(void)
{
	client_gather_end(client);
	loop_poll();
	client_look(client);
	assert_int_equal(client->ring.outstanding, 0);
	assert_int_equal(client->ring.view.client->next_seq, client->ring.next_seq); // an adopting server goes by it
	unsigned slots = client->ring.view.geometry.slots;
	assert_int_equal(client->ring.free_count + (client->ring.lane.request != 0), slots);
	for (unsigned i = 0; i < slots; i++)
		assert_int_equal(client->ring.view.requests[i].seq, 0);
}

static void each_fiber_gets_its_answer(void **state)
{
	static void (*const ways[])(void) = {serve_burst, serve_three};
	(void)state;
	for (unsigned slots = 2; slots <= 256; slots *= 2)
		for (unsigned n = 1; n <= CROWD_MAX; n = n * 2 + 1)
			for (unsigned way = 0; way < 2; way++) {
				fresh(slots);
				serve_how = ways[way];
				crowd(n, 40);
				assert_int_equal(answered, n * 40);
				assert_int_equal(lies(), 0);
				everything_is_free();
				client_close(client);
			}
}

// With slots for all of them, the server is told once for each round of theirs (and of at most 32).
static void they_are_submitted_together(void **state)
{
	(void)state;
	fresh(128);
	crowd(30, 200);
	assert_in_range(tails, 200, 260);
	assert_non_null(client->gather);
	crowd(60, 200);
	assert_in_range(tails, 200, 460);
	unsigned kept = 0;
	for (unsigned i = 0; i < 128; i++)
		kept += client->ring.slots[i].state == CLIENT_SLOT_GATHERED;
	assert_int_equal(kept, 64); // it has grown
	client_close(client);
}

static void better_ones_go_on_first(void **state)
{
	(void)state;
	for (unsigned every = 0; every <= 7; every += 7) {
		fresh(128);
		general_every = every;
		by_priority = true;
		passed = not_passed = 0;
		crowd(30, 60);
		assert_int_equal(lost, 0);
		assert_true(passed > 60);
		assert_true(every || not_passed <= 1); // one that ends may leave its turn to a lower one
		everything_is_free();
		client_close(client);
	}
}

// Who is alone goes the way of a single call, soon.
static void one_alone_ends_it(void **state)
{
	(void)state;
	fresh(64);
	crowd(5, 10);
	assert_non_null(client->gather);
	crowd(1, 40);
	assert_null(client->gather);
	client_close(client);
}

static void general_requests_come_between(void **state)
{
	(void)state;
	for (unsigned every = 2; every <= 11; every += 3) {
		fresh(64);
		serve_how = every % 2 ? serve_three : serve_burst;
		general_every = every;
		crowd(20, 60);
		assert_int_equal(lost, 0);
		assert_true(general > 0);
		assert_int_equal(lies(), 0);
		everything_is_free();
		client_close(client);
	}
}

// Other calls need slots: those that are kept for quick ones are given back.
static void slots_are_given_back(void **state)
{
	(void)state;
	struct client_request r[8];
	fresh(8);
	crowd(4, 10);
	assert_non_null(client->gather);
	silent = true;
	for (unsigned i = 0; i < 8; i++) {
		r[i] = (struct client_request){.op = OP_ECHO, .arg = {i}};
		assert_int_equal(client_submit(client, &r[i]), ERR_OK);
	}
	silent = false;
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(client_wait(client, &r[i]), ERR_OK);
	everything_is_free();
	client_close(client);
}

// With answers recorded and not published, and with calls that it has not taken.
static void they_outlive_their_server(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 60; i++) {
		fresh(64);
		serve_how = i % 2 ? serve_three : serve_burst;
		general_every = i % 3 ? 7 : 0;
		die_after = i;
		crowd(12, 20);
		assert_int_equal(lost, 0);
		assert_int_equal(lies(), 0);
		everything_is_free();
		client_close(client);
	}
}

// The answer is said to be in another place, then it is not there at all: a complaint, and the right answer from the next server.
static void serve_lies(void)
{
	struct request copy;
	int slot = server_ring_take(&server, &copy, 0);
	if (slot < 0)
		return;
	for (unsigned i = 0; i < 3; i++)
		server_ring_publish(&server, ((unsigned)slot + 1) % 64);
	serve_how = server_new;
}

static void serve_after_lies(void)
{
	if (serve_how == server_new) {
		server_new();
		serve_how = serve_burst;
	}
}

static void lies_turn(bool may_sleep)
{
	doze_turn(may_sleep);
	serve_after_lies();
}

static void they_do_not_believe(void **state)
{
	(void)state;
	fresh(64);
	crowd(4, 10);
	serve_how = serve_lies;
	world_turn = lies_turn;
	crowd(4, 10);
	assert_int_equal(answered, 40);
	assert_true(lies() > 0);
	everything_is_free();
	client_close(client);
}

static void the_service_is_lost(void **state)
{
	(void)state;
	fresh(16);
	crowd(30, 3);
	silent = true;
	state_after = CHANNEL_LOST;
	crowd(30, 3);
	assert_int_equal(lost, 90);
	client_close(client);
}

// A server that says nothing is complained about, as with any other request.
static void silence_turn(bool may_sleep)
{
	world.time += 1500;
	doze_turn(may_sleep);
	silent = world.complaints[COMPLAINT_NO_ANSWER] < 2;
}

static void silence_is_complained_about(void **state)
{
	(void)state;
	fresh(16);
	world.manifest.request_ms = 1;
	crowd(3, 3);
	silent = true;
	world_turn = silence_turn;
	crowd(3, 3);
	assert_int_equal(answered, 9);
	assert_in_range(world.complaints[COMPLAINT_NO_ANSWER], 2, 4);
	client_close(client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_fiber_gets_its_answer),
		cmocka_unit_test(they_are_submitted_together),
		cmocka_unit_test(one_alone_ends_it),
		cmocka_unit_test(better_ones_go_on_first),
		cmocka_unit_test(general_requests_come_between),
		cmocka_unit_test(slots_are_given_back),
		cmocka_unit_test(they_outlive_their_server),
		cmocka_unit_test(they_do_not_believe),
		cmocka_unit_test(the_service_is_lost),
		cmocka_unit_test(silence_is_complained_about),
	};
	return cmocka_run_group_tests(tests, 0, world_teardown);
}
