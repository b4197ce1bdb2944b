// The server dies before its N-th store to shared memory, for every N, again and again; the client dies too, and acts
// between any two stores of the server. Over all: every append is there exactly once, at the place that was told, and
// every slot comes back.
//
// The server is the shipped server.c over a ledger in memory, of which only what was committed survives a death.
#include "world.h"
static void *tracked_calloc(size_t n, size_t size);
static void *tracked_realloc(void *old, size_t size);
static void tracked_free(void *p);
#define calloc tracked_calloc
#define realloc tracked_realloc
#define free tracked_free
#include "runtime/server.c"
#undef calloc
#undef realloc
#undef free
#include "runtime/client_ring.h"

#define VALUES 40u
#define SLOTS 8u
#define COMMIT_EVERY 5u

enum { OP_NONE, OP_APPEND, OP_LENGTH, OP_REFUSED, OPS };
static const struct op_description ledger_ops[OPS] = {
	[OP_APPEND] = {"APPEND", "", OP_ONCE},
	[OP_LENGTH] = {"LENGTH", "", OP_IDEMPOTENT},
	[OP_REFUSED] = {"REFUSED", "", OP_ONCE},
};
static const struct protocol ledger_protocol = {"ledger", ledger_ops, OPS};

// --- memory of the server's domain, gone at its death

static void *blocks[256];

static void *tracked_calloc(size_t n, size_t size)
{
	unsigned i = 0;
	while (blocks[i])
		i++;
	return blocks[i] = calloc(n, size);
}

static void *tracked_realloc(void *old, size_t size)
{
	unsigned i = 0;
	while (blocks[i] != old)
		i++;
	return blocks[i] = realloc(old, size);
}

static void tracked_free(void *p)
{
	for (unsigned i = 0; p && i < 256; i++)
		if (blocks[i] == p) {
			blocks[i] = 0;
			free(p);
			return;
		}
}

// --- ledger

static struct ledger {
	unsigned count;
	uint64_t value[VALUES * 4];
} ledger, durable;
static uint64_t durable_mark;
static unsigned performed_since;
static bool commit_asked;

static enum error ledger_start(uint64_t *mark)
{
	ledger = durable;
	*mark = durable_mark;
	performed_since = 0;
	return ERR_OK;
}

static void ledger_commit(void)
{
	durable = ledger;
	durable_mark = server_serial_last();
	performed_since = 0;
	server_committed(durable_mark);
}

static void ledger_request(struct server_request *request)
{
	uint64_t result[5] = {ledger.count};
	if (request->copy.op == OP_APPEND) {
		server_record(request, result);
		assert_true(ledger.count < VALUES * 4);
		ledger.value[ledger.count++] = request->copy.arg[0];
	}
	server_complete(request, request->copy.op == OP_REFUSED ? ERR_REFUSED : ERR_OK, result);
	if (++performed_since >= COMMIT_EVERY && this.serving)
		ledger_commit();
}

static void ledger_commit_wanted(void)
{
	commit_asked = true;
}

static const struct server ledger_server = {
	.protocol = &ledger_protocol,
	.start = ledger_start,
	.request = ledger_request,
	.commit_wanted = ledger_commit_wanted,
};

// --- client

static struct {
	struct client_ring ring;
	unsigned next;             // value to submit
	struct completion results[SLOTS];
	uint64_t of_slot[SLOTS];   // value, 0: not an append
	bool done[VALUES + 1];
	uint64_t place[VALUES + 1]; // what the server told
	bool told[VALUES + 1];
	bool in_step;
	unsigned stores;
	unsigned die_at; // store, 0: never
	unsigned deaths;
	jmp_buf death;
} client;

static jmp_buf server_death;
static unsigned server_stores;
static unsigned server_die_at;
static bool server_runs;
static jmp_buf finished;
static unsigned interleave; // one of so many server stores is followed by a step of the client

static void client_start(void)
{
	assert_int_equal(channel_view_load(&client.ring.view, WORLD_CLIENT), ERR_OK);
	memset(client.of_slot, 0, sizeof(client.of_slot));
	client_ring_start(&client.ring);
}

static void client_take_all(void)
{
	int slot;
	while ((slot = client_ring_take(&client.ring)) >= 0) {
		struct completion completion = client.results[slot];
		uint64_t value = client.of_slot[slot];
		client.of_slot[slot] = 0;
		if (value == 0)
			continue;
		assert_int_equal(completion.status, ERR_OK);
		assert_false(client.done[value]);
		client.done[value] = true;
		client.told[value] = true;
		client.place[value] = completion.result[0];
	}
	client_ring_commit_look(&client.ring);
	if (client.ring.offence != OFFENCE_TAIL)
		assert_int_equal(client.ring.offence, OFFENCE_NONE);
	client.ring.offence = OFFENCE_NONE;
	if (client.ring.held && client.ring.free_count < 2)
		client_ring_want_commit(&client.ring);
}

static void client_submit_op(unsigned op, uint64_t value)
{
	int slot = client_ring_slot(&client.ring);
	if (slot < 0)
		return;
	client.of_slot[slot] = op == OP_APPEND ? value : 0;
	client.ring.slots[slot].result = &client.results[slot];
	struct request *request = client_ring_request(&client.ring, (unsigned)slot);
	request->op = (uint16_t)op;
	request->flags = REQUEST_REPLAYED; // a lie, which the server drops
	request->time = world_random();
	request->arg[0] = value;
	request->out_offset = request->out_length = request->in_offset = request->in_length = 0;
	if (op == OP_APPEND)
		client.next = (unsigned)value + 1;
	client_ring_submit(&client.ring, (unsigned)slot, time_now());
}

static bool client_appended(uint64_t value)
{
	for (unsigned i = 0; i < ledger.count; i++)
		if (ledger.value[i] == value)
			return true;
	return false;
}

// A new incarnation: drained, it knows what was performed (here by looking into the ledger).
static void client_resume(void)
{
	if (client.ring.former > 0 || !this.serving)
		return; // not drained, or the ledger is just being restored
	unsigned value = client.next - 1;
	if (value > 0 && !client.done[value] && !client_appended(value))
		client.next = value; // it died before the request existed
	for (unsigned v = 1; v < client.next; v++)
		client.done[v] = true;
	client.deaths = 0;
}

static void client_step(void)
{
	client.in_step = true;
	if (setjmp(client.death)) {
		client.die_at = 0;
		client.deaths = 1;
		client_start();
	}
	client_take_all();
	if (client.deaths)
		client_resume();
	else if (client.next <= VALUES && world_random() % 4)
		client_submit_op(OP_APPEND, client.next);
	else if (client.next <= VALUES)
		client_submit_op(world_random() % 2 ? OP_LENGTH : OP_REFUSED, 0);
	client.in_step = false;
}

static bool client_finished(void)
{
	if (client.deaths || client.next <= VALUES)
		return false;
	for (unsigned v = 1; v <= VALUES; v++)
		if (!client.done[v])
			return false;
	return client.ring.outstanding == 0;
}

// --- both

void fence_observe_store(void)
{
	if (client.in_step) {
		if (++client.stores == client.die_at)
			longjmp(client.death, 1);
		return;
	}
	if (!server_runs)
		return;
	if (++server_stores == server_die_at)
		longjmp(server_death, 1);
	if (interleave && world_random() % interleave == 0)
		client_step();
}

static void turn(bool may_sleep)
{
	(void)may_sleep;
	client_step();
	for (struct server_channel *channel = this.channels; channel; channel = channel->next)
		channel_loop_look(&channel->loop);
	if (commit_asked && this.serving) {
		commit_asked = false;
		ledger_commit();
	}
	if (client_finished())
		longjmp(finished, 1);
}

static void server_forget(void)
{
	memset(&this, 0, sizeof(this));
	memset(&replays, 0, sizeof(replays));
	for (unsigned i = 0; i < 256; i++) {
		free(blocks[i]);
		blocks[i] = 0;
	}
	loop_server_event = 0;
}

static void check_outcome(void)
{
	unsigned seen[VALUES + 1] = {0};
	for (unsigned i = 0; i < ledger.count; i++)
		seen[ledger.value[i]]++;
	for (unsigned v = 1; v <= VALUES; v++) {
		assert_int_equal(seen[v], 1);
		if (client.told[v])
			assert_int_equal(ledger.value[client.place[v]], v);
	}
	assert_int_equal(this.statistics.lost, 0);
	assert_int_equal(this.statistics.replay_different, 0);
}

// After a last commit every slot must come back.
static void check_slots(void)
{
	server_runs = false;
	ledger_commit();
	client_take_all();
	assert_int_equal(client.ring.free_count, SLOTS);
	assert_int_equal(client.ring.held, 0);
}

// One run: deaths after `first`, then after each further `again` stores (0: no more), at most `most`. True when one fired.
static bool run(uint32_t seed, unsigned first, unsigned again, unsigned most, unsigned client_die_at)
{
	volatile unsigned deaths = 0;
	world_make(SLOTS, 4096, 4096);
	world_seed(seed);
	memset(&client, 0, sizeof(client));
	memset(&ledger, 0, sizeof(ledger));
	memset(&durable, 0, sizeof(durable));
	durable_mark = 0;
	commit_asked = false;
	server_forget();
	client.next = 1;
	client.die_at = client_die_at;
	client_start();
	world_turn = turn;
	server_stores = 0;
	server_die_at = first;
	if (!setjmp(finished)) {
		if (setjmp(server_death)) {
			client.in_step = false;
			deaths++;
			server_die_at = again && deaths < most ? server_stores + again : 0;
			server_forget();
			world.epoch++;
		}
		server_runs = true;
		server_run(&ledger_server);
		fail_msg("server_run returned");
	}
	client.in_step = false;
	check_outcome();
	check_slots();
	server_forget();
	return deaths > 0;
}

static void no_death(void **state)
{
	(void)state;
	interleave = 0;
	assert_false(run(1, 0, 0, 0, 0));
	interleave = 3;
	assert_false(run(2, 0, 0, 0, 0));
}

static void server_dies_at_every_store(void **state)
{
	(void)state;
	for (interleave = 0; interleave <= 6; interleave += 3)
		for (unsigned n = 1; run(7, n, 0, 1, 0); n++)
			;
}

static void server_dies_again_and_again(void **state)
{
	(void)state;
	interleave = 4;
	for (unsigned seed = 1; seed < 400; seed++) {
		world_seed(seed);
		unsigned first = 1 + world_random() % 200;
		unsigned again = 20 + world_random() % 120;
		run(seed, first, again, 4, 0);
	}
}

static void client_dies_at_every_store(void **state)
{
	(void)state;
	interleave = 0;
	for (unsigned n = 1; n < 300; n++)
		run(11, 0, 0, 0, n);
}

static void both_die(void **state)
{
	(void)state;
	interleave = 5;
	for (unsigned seed = 1000; seed < 1600; seed++) {
		world_seed(seed);
		unsigned first = 1 + world_random() % 300;
		unsigned again = 30 + world_random() % 200;
		unsigned client_at = 1 + world_random() % 150;
		run(seed, first, again, 3, client_at);
	}
}

static int teardown(void **state)
{
	(void)state;
	server_runs = false;
	server_forget();
	world_free();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_death),
		cmocka_unit_test(server_dies_at_every_store),
		cmocka_unit_test(server_dies_again_and_again),
		cmocka_unit_test(client_dies_at_every_store),
		cmocka_unit_test(both_die),
	};
	return cmocka_run_group_tests(tests, 0, teardown);
}
