// A client that forges its own log: what is changed in the ring between two lives of the server is not performed again,
// the program hears of it, and all else is replayed. And a server that lies about what is durable.
#include "world.h"
#include "runtime/server.c"
#include "runtime/client_ring.h"

enum { OP_NONE, OP_APPEND, OP_LOOK, OPS };
static const struct op_description ops[OPS] = {[OP_APPEND] = {"APPEND", "", OP_ONCE}, [OP_LOOK] = {"LOOK", "", OP_IDEMPOTENT}};
static const struct protocol protocol = {"ledger", ops, OPS};

#define PAYLOAD 77u
#define SLOT_ROOM 1024u

static struct client_ring client;
static struct completion results[CHANNEL_SLOTS_MAX];
static uint64_t ledger[8];
static unsigned ledger_count;
static uint64_t mark_of_program;
static unsigned lost_count;
static struct completion lost_record;
static bool change_while_replaying;
static uint32_t piece; // of the payload, that is copied at once; 0: it is not copied
static bool change_after_copying;
static jmp_buf finished;
static unsigned turns;

static enum error start(uint64_t *mark)
{
	*mark = mark_of_program;
	return ERR_OK;
}

static void payload_taken(struct server_request *request)
{
	uint8_t copy[SLOT_ROOM] __attribute__((aligned(8)));
	uint32_t length = request->copy.out_length;
	for (uint32_t at = 0, n; at < length && piece; at += n) {
		n = length - at < piece ? length - at : piece;
		payload_copy(request->replayed ? 0 : &request->sum, copy + at, request->out + at, n);
	}
	if (piece)
		assert_memory_equal(copy, request->out, length);
	if (change_after_copying)
		client.view.out[5] ^= 1;
}

static void perform(struct server_request *request)
{
	payload_taken(request);
	uint64_t result[5] = {ledger_count, request->out[0]};
	ledger[ledger_count++] = request->copy.arg[0];
	if (change_while_replaying && request->replayed)
		client.view.out[5] ^= 1;
	server_record(request, result);
	server_complete(request, ERR_OK, result);
}

static void lost(const struct server_request *request)
{
	lost_count++;
	lost_record = request->former;
}

static const struct server server = {.protocol = &protocol, .start = start, .request = perform, .lost = lost};

static void turn(bool may_sleep)
{
	(void)may_sleep;
	if (++turns > 3)
		longjmp(finished, 1);
}

// One life of the server, until it has nothing to do; then it is dead. What it counted stays.
static struct server_statistics life(void)
{
	struct server_statistics statistics;
	ledger_count = lost_count = turns = 0;
	world.epoch++;
	world_turn = turn;
	if (!setjmp(finished)) {
		server_run(&server);
		fail_msg("server_run returned");
	}
	statistics = this.statistics;
	while (this.channels) {
		struct server_channel *channel = this.channels;
		this.channels = channel->next;
		free(channel);
	}
	memset(&this, 0, sizeof(this));
	return statistics;
}

static unsigned append(uint64_t value, uint32_t out_offset, uint32_t length)
{
	int slot = client_ring_slot(&client);
	assert_true(slot >= 0);
	struct request *r = client_ring_request(&client, (unsigned)slot);
	out_offset += (unsigned)slot * SLOT_ROOM;
	*r = (struct request){.op = OP_APPEND, .time = time_now(), .arg = {value, 11, 12}, .out_offset = out_offset,
			      .out_length = length, .in_offset = 64, .in_length = 128};
	for (uint32_t i = 0; i < length; i++)
		client.view.out[out_offset + i] = (uint8_t)(value + i);
	client.slots[slot].result = &results[slot];
	client_ring_submit(&client, (unsigned)slot, r->time);
	return (unsigned)slot;
}

static int fresh(void **state)
{
	(void)state;
	world_make(8, 8 * SLOT_ROOM, 8192);
	assert_int_equal(channel_view_load(&client.view, WORLD_CLIENT), ERR_OK);
	client_ring_start(&client);
	mark_of_program = 0;
	change_while_replaying = change_after_copying = false;
	piece = 0;
	return 0;
}

static void what_nobody_changed_is_replayed(void **state)
{
	(void)state;
	append(100, 0, PAYLOAD);
	append(101, 3, PAYLOAD); // at an odd place
	append(102, 0, 0);
	append(103, 1, 700);
	struct server_statistics s = life();
	assert_int_equal(ledger_count, 4);
	s = life();
	assert_int_equal(s.replayed, 4);
	assert_int_equal(s.lost, 0);
	assert_int_equal(s.replay_different, 0);
	assert_int_equal(lost_count, 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(ledger[i], 100 + i);
}

// What was performed stands, though its client did without it later; what was not is never performed, and that stands too.
static void cancelling_undoes_nothing(void **state)
{
	(void)state;
	unsigned first = append(100, 0, PAYLOAD);
	append(101, 0, PAYLOAD);
	life();
	assert_int_equal(ledger_count, 2);
	client_ring_cancel(&client, first);
	unsigned third = append(102, 0, PAYLOAD);
	client_ring_cancel(&client, third);
	for (unsigned i = 0; i < 2; i++) {
		struct server_statistics s = life();
		assert_int_equal(s.replayed, 2);
		assert_int_equal(s.lost, 0);
		assert_int_equal(s.replay_different, 0);
		assert_int_equal(ledger_count, 2);
		assert_int_equal(client.view.records[first].status, ERR_OK);
		assert_int_equal(client.view.records[third].status, ERR_CANCELLED);
		assert_int_equal(client.view.records[third].serial, 0);
	}
}

// In whatever pieces it was copied when it was performed: what the next life reads at once is the same.
static void pieces_make_no_difference(void **state)
{
	static const uint32_t pieces[] = {SLOT_ROOM, 64, 128, 200, 65, 8, 1};
	(void)state;
	for (unsigned i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		fresh(state);
		piece = pieces[i];
		append(1, 0, 700);
		append(2, 8, 640);
		append(3, 3, 640);
		append(4, 0, 5);
		life();
		struct server_statistics s = life();
		assert_int_equal(s.replayed, 4);
		assert_int_equal(s.lost, 0);
	}
}

// The record is of the bytes that were copied, not of those that its client put there a moment later.
static void what_was_copied_is_recorded(void **state)
{
	(void)state;
	append(1, 0, 640);
	piece = 64;
	change_after_copying = true;
	life();
	change_after_copying = false;
	assert_int_equal(life().lost, 1);
	client.view.out[5] ^= 1;
	assert_int_equal(life().lost, 0);
}

// One bit of the log, of the second of three operations, flipped between two lives.
static void forged(uint8_t *byte, uint8_t bit)
{
	*byte ^= bit;
	struct server_statistics s = life();
	*byte ^= bit;
	assert_int_equal(lost_count, 1);
	assert_int_equal(s.lost, 1);
	assert_int_equal(s.replayed, 2);
	assert_int_equal(ledger_count, 2);
	assert_int_equal(ledger[0], 1);
	assert_int_equal(ledger[1], 3);
	assert_int_equal(lost_record.serial, 2); // what the program hears is what it had recorded
	assert_int_equal(lost_record.result[0], 1);
	assert_int_equal(lost_record.result[1], 2);
}

static void every_forged_bit_is_seen(void **state)
{
	(void)state;
	append(1, 0, PAYLOAD);
	unsigned slot = append(2, 0, PAYLOAD);
	append(3, 0, PAYLOAD);
	life();
	uint8_t *request = (uint8_t *)&client.view.requests[slot];
	for (unsigned i = sizeof(uint32_t); i < offsetof(struct request, grant); i++) // what follows is in no digest
		for (unsigned bit = 0; bit < 8; bit++)
			if (i != offsetof(struct request, flags) || bit != 0) // REQUEST_REPLAYED is never the client's
				forged(request + i, (uint8_t)(1u << bit));
	for (unsigned i = 0; i < PAYLOAD; i++)
		forged(client.view.out + slot * SLOT_ROOM + i, (uint8_t)(1u << i % 8));
	struct server_statistics s = life(); // as it was: nothing is held against it
	assert_int_equal(s.replayed, 3);
	assert_int_equal(s.lost, 0);
}

// Two words of the payload in each other's place, in each pair of lanes.
static void places_count(void **state)
{
	(void)state;
	unsigned slot = append(7, 0, 640);
	life();
	uint64_t *w = (uint64_t *)(void *)(client.view.out + slot * SLOT_ROOM);
	for (unsigned i = 0; i < 12; i++)
		for (unsigned k = i + 1; k < 12; k++) {
			uint64_t x = w[i];
			w[i] = w[k];
			w[k] = x;
			assert_int_equal(life().lost, 1);
			w[k] = w[i];
			w[i] = x;
		}
	assert_int_equal(life().lost, 0);
}

static void a_change_during_the_replay_is_seen(void **state)
{
	(void)state;
	append(5, 0, PAYLOAD);
	life();
	change_while_replaying = true;
	assert_int_equal(life().lost, 1);
	assert_int_equal(lost_count, 1);
}

// The kernel gives the secret to the server's end alone; with what a client has, no digest comes out right.
static void a_client_has_no_secret(void **state)
{
	(void)state;
	unsigned slot = append(5, 0, PAYLOAD);
	life();
	struct completion *record = &client.view.records[slot];
	struct server_ring guess = {.view = client.view};
	assert_int_equal(client.view.secret, 0);
	assert_int_not_equal(server_ring_request_digest(&guess, &client.view.requests[slot], 0), record->request_digest);
	guess.view.secret = client.view.key;
	assert_int_not_equal(server_ring_request_digest(&guess, &client.view.requests[slot], 0), record->request_digest);
}

// Rule 2: the program's mark decides what is replayed, not what a dying server told its clients.
static void the_mark_alone_decides(void **state)
{
	(void)state;
	append(1, 0, PAYLOAD);
	append(2, 0, PAYLOAD);
	life();
	struct channel_server_page *page = client.view.server;
	page->recorded = 1000;
	page->committed_check = channel_committed_check(900, 1000, WORLD_KEY);
	page->committed = 900;
	mark_of_program = 1;
	struct server_statistics s = life();
	assert_int_equal(s.replayed, 1);
	assert_int_equal(ledger[0], 2);
	unsigned slot = append(3, 0, PAYLOAD);
	life();
	assert_true(client.view.records[slot].serial > 900); // or the client would take it for committed
}

// A server that calls durable what it never recorded dies before it says so.
static void what_was_not_recorded_is_not_committed(void **state)
{
	(void)state;
	append(1, 0, PAYLOAD);
	life();
	world_exit_armed = true;
	if (!setjmp(world_exit)) {
		server_committed(1); // this life has not recorded anything
		fail_msg("it went on");
	}
	world_exit_armed = false;
	assert_int_equal(world_exit_code, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_nobody_changed_is_replayed, fresh),
		cmocka_unit_test_setup(cancelling_undoes_nothing, fresh),
		cmocka_unit_test_setup(pieces_make_no_difference, fresh),
		cmocka_unit_test_setup(what_was_copied_is_recorded, fresh),
		cmocka_unit_test_setup(every_forged_bit_is_seen, fresh),
		cmocka_unit_test_setup(places_count, fresh),
		cmocka_unit_test_setup(a_change_during_the_replay_is_seen, fresh),
		cmocka_unit_test_setup(a_client_has_no_secret, fresh),
		cmocka_unit_test_setup(the_mark_alone_decides, fresh),
		cmocka_unit_test_setup(what_was_not_recorded_is_not_committed, fresh),
	};
	return cmocka_run_group_tests(tests, 0, world_teardown);
}
