// Both ends of a channel's memory, driven by hand: order, freeing, commits, lies of either side, overrun, restarts.
#include "world.h"
#include "runtime/client_ring.h"
#include "runtime/server_ring.h"

enum { OP_NONE, OP_LOGGED, OP_READ, OPS };
static const struct op_description ops[OPS] = {[OP_LOGGED] = {"LOGGED", "", OP_ONCE}, [OP_READ] = {"READ", "", OP_IDEMPOTENT}};
static const struct protocol protocol = {"test", ops, OPS};

static struct client_ring client;
static struct server_ring server;

static void client_new(void)
{
	assert_int_equal(channel_view_load(&client.view, WORLD_CLIENT), ERR_OK);
	client_ring_start(&client);
}

static void server_new(void)
{
	assert_int_equal(channel_view_load(&server.view, WORLD_SERVER), ERR_OK);
	server_ring_adopt(&server, ++world.epoch);
}

static void both(unsigned slots)
{
	world_make(slots, 8192, 8192);
	client_new();
	server_new();
}

static struct completion results[CHANNEL_SLOTS_MAX];

static int submit(unsigned op, uint64_t argument)
{
	int slot = client_ring_slot(&client);
	if (slot < 0)
		return slot;
	struct request *r = client_ring_request(&client, (unsigned)slot);
	*r = (struct request){.seq = r->seq, .op = (uint16_t)op, .time = time_now(), .arg = {argument}};
	client.slots[slot].result = &results[slot];
	client_ring_submit(&client, (unsigned)slot, r->time);
	return slot;
}

static void record(unsigned slot, uint32_t seq, uint64_t serial, uint64_t result)
{
	struct completion c = {.seq = seq, .serial = serial, .result = {result}};
	server_ring_record(&server, slot, &c, serial != 0);
}

// Takes one request and answers it with its own argument.
static int serve(uint64_t serial)
{
	struct request copy;
	int slot = server_ring_take(&server, &copy, 0);
	if (slot < 0)
		return slot;
	record((unsigned)slot, copy.seq, serial, copy.arg[0]);
	server_ring_publish(&server, (unsigned)slot);
	return slot;
}

static int take(uint64_t *result)
{
	int slot = client_ring_take(&client);
	*result = slot < 0 ? 0 : results[slot].result[0];
	return slot;
}

static void round_trips(void **state)
{
	uint64_t result;
	(void)state;
	both(4);
	assert_int_equal(take(&result), -1); // the epoch is seen
	for (uint64_t i = 1; i < 1000; i++) {
		int slot = submit(OP_READ, i);
		assert_int_equal(serve(0), slot);
		assert_int_equal(take(&result), slot);
		assert_int_equal(result, i);
	}
	assert_int_equal(client.free_count, 4);
	assert_int_equal(server.ignored, 0);
}

static void out_of_order(void **state)
{
	struct request copy[3];
	uint64_t result;
	(void)state;
	both(4);
	take(&result); // the epoch is seen
	for (unsigned i = 0; i < 3; i++)
		submit(OP_READ, i + 10);
	int slot[3];
	for (unsigned i = 0; i < 3; i++)
		slot[i] = server_ring_take(&server, &copy[i], 0);
	for (unsigned i = 3; i-- > 0;) {
		record((unsigned)slot[i], copy[i].seq, 0, copy[i].arg[0]);
		server_ring_publish(&server, (unsigned)slot[i]);
	}
	for (unsigned i = 3; i-- > 0;) {
		assert_int_equal(take(&result), slot[i]);
		assert_int_equal(result, i + 10);
	}
}

static void slots_run_out(void **state)
{
	uint64_t result;
	(void)state;
	both(2);
	assert_true(submit(OP_READ, 1) >= 0);
	assert_true(submit(OP_READ, 2) >= 0);
	assert_int_equal(submit(OP_READ, 3), -1);
	serve(0);
	assert_true(take(&result) >= 0);
	assert_true(submit(OP_READ, 3) >= 0);
}

static void logged_slots_stay_until_committed(void **state)
{
	uint64_t result;
	(void)state;
	both(4);
	for (uint64_t serial = 1; serial <= 4; serial++) {
		submit(OP_LOGGED, serial);
		serve(serial);
		assert_true(take(&result) >= 0);
	}
	assert_int_equal(client.held, 4);
	assert_int_equal(submit(OP_READ, 0), -1);
	uint32_t wanted = client.view.client->want_commit;
	client_ring_want_commit(&client);
	client_ring_want_commit(&client);
	assert_int_equal(client.view.client->want_commit, wanted + 1);
	assert_true(server_ring_commit_wanted(&server));
	assert_false(server_ring_commit_wanted(&server));
	server_ring_commit(&server, 3, 4);
	assert_int_equal(client_ring_commit_look(&client), 3);
	assert_int_equal(client.held, 1);
	client.view.server->committed = 100; // a check word that does not fit
	assert_int_equal(client_ring_commit_look(&client), 0);
	server_ring_commit(&server, 4, 4);
	assert_int_equal(client_ring_commit_look(&client), 1);
	server_ring_commit(&server, 2, 4); // backwards: of no effect
	assert_int_equal(client_ring_commit_look(&client), 0);
	assert_int_equal(client.offence, OFFENCE_NONE);
	submit(OP_LOGGED, 5);
	serve(5);
	assert_true(take(&result) >= 0);
	server_ring_commit(&server, 9, 8); // more than was ever recorded, and the check word is right
	assert_int_equal(client_ring_commit_look(&client), 0);
	assert_int_equal(client.held, 1);
	assert_int_equal(client.offence, OFFENCE_INDEX);
	client.view.server->committed_check = channel_committed_check(5, 8, ~WORLD_KEY); // another channel's pair
	client.view.server->committed = 5;
	assert_int_equal(client_ring_commit_look(&client), 0);
	assert_int_equal(client.committed, 4);
	server_ring_commit(&server, 5, 5);
	assert_int_equal(client_ring_commit_look(&client), 1);
	assert_int_equal(client.committed, 5);
	assert_int_equal(client.free_count, 4);
}

static void doorbell_only_when_wanted(void **state)
{
	(void)state;
	both(4);
	volatile uint32_t *bell = client.view.doorbell;
	*bell = 0;
	submit(OP_READ, 1);
	assert_int_equal(*bell, 0);
	server.view.server->want_doorbell = 1;
	submit(OP_READ, 2);
	assert_int_equal(*bell, 20);
	bell = server.view.doorbell;
	*bell = 0;
	serve(0);
	assert_int_equal(*bell, 0);
	client.view.client->want_doorbell = 1;
	serve(0);
	assert_int_equal(*bell, 10);
}

static void lies_of_the_server(void **state)
{
	uint64_t result;
	(void)state;
	both(4);
	take(&result);
	for (unsigned i = 0; i < 4; i++)
		client.slots[i].found_by_record = false;
	struct channel_server_page *page = server.view.server;
	page->complete_tail += CHANNEL_SLOTS_MAX + 44;
	assert_int_equal(take(&result), -1);
	assert_int_equal(client.offence, OFFENCE_TAIL);
	page->complete_tail -= CHANNEL_SLOTS_MAX + 44;
	page->complete_ring[client.head % CHANNEL_SLOTS_MAX] = 9999;
	page->complete_tail++;
	client.offence = OFFENCE_NONE;
	assert_int_equal(take(&result), -1);
	assert_int_equal(client.offence, OFFENCE_INDEX);
	server.tail++;
	int slot = submit(OP_READ, 1);
	struct request copy;
	assert_int_equal(server_ring_take(&server, &copy, 0), slot);
	record((unsigned)slot, copy.seq + 1, 0, 0);
	server_ring_publish(&server, (unsigned)slot);
	client.offence = OFFENCE_NONE;
	assert_int_equal(take(&result), -1);
	assert_int_equal(client.offence, OFFENCE_COMPLETION);
	record((unsigned)slot, copy.seq, 0, 5); // the truth, late
	server_ring_publish(&server, (unsigned)slot);
	assert_int_equal(take(&result), slot);
	assert_int_equal(result, 5);
}

static void lies_of_the_client(void **state)
{
	struct request copy;
	(void)state;
	both(4);
	struct channel_client_page *page = client.view.client;
	page->submit_ring[client.tail++ % CHANNEL_SLOTS_MAX] = 4; // beyond the slots
	page->submit_ring[client.tail++ % CHANNEL_SLOTS_MAX] = 0xffff;
	page->submit_ring[client.tail++ % CHANNEL_SLOTS_MAX] = 2; // free: seq is 0
	page->submit_tail = client.tail;
	assert_int_equal(server_ring_take(&server, &copy, 0), -1);
	assert_int_equal(server.ignored, 3);
	int slot = submit(OP_READ, 1);
	client_ring_publish(&client, (unsigned)slot);
	client_ring_publish(&client, (unsigned)slot);
	assert_int_equal(server_ring_take(&server, &copy, 0), slot);
	assert_int_equal(server_ring_take(&server, &copy, 0), -1); // twice the same, while it is performed
	assert_int_equal(server.ignored, 5);
	record((unsigned)slot, copy.seq, 0, 0);
	server_ring_publish(&server, (unsigned)slot);
	client_ring_publish(&client, (unsigned)slot);
	assert_int_equal(server_ring_take(&server, &copy, 0), -1); // and afterwards
}

static void validation(void **state)
{
	(void)state;
	both(4);
	struct request good = {.op = OP_READ, .out_offset = 8000, .out_length = 192, .in_offset = 0, .in_length = 8192};
	struct request r = good;
	assert_int_equal(server_ring_validate(&server, &protocol, &r), ERR_OK);
	r.out_length = 193;
	assert_int_equal(server_ring_validate(&server, &protocol, &r), ERR_INVALID);
	r = good;
	r.in_offset = 0xffffffff;
	r.in_length = 0xffffffff;
	assert_int_equal(server_ring_validate(&server, &protocol, &r), ERR_INVALID);
	r = good;
	r.op = OPS;
	assert_int_equal(server_ring_validate(&server, &protocol, &r), ERR_UNKNOWN_CALL);
	r.op = 0;
	assert_int_equal(server_ring_validate(&server, &protocol, &r), ERR_UNKNOWN_CALL);
	r.op = RUNTIME_OP_PING;
	assert_int_equal(server_ring_validate(&server, &protocol, &r), ERR_OK);
}

static void overrun_is_scanned(void **state)
{
	struct request copy;
	(void)state;
	both(4);
	int slot = submit(OP_READ, 77);
	for (unsigned i = 0; i < CHANNEL_SLOTS_MAX + 44; i++)
		client_ring_publish(&client, (unsigned)slot ^ 1);
	assert_int_equal(server_ring_take(&server, &copy, 0), slot);
	assert_int_equal(copy.arg[0], 77);
	assert_int_equal(server_ring_take(&server, &copy, 0), -1);
	assert_false(server_ring_pending(&server));
}

static enum adopted adopt(unsigned slot, struct completion *former)
{
	struct request copy;
	return server_ring_adopt_slot(&server, slot, &protocol, &copy, former);
}

static void adoption_judges_records(void **state)
{
	struct completion former;
	(void)state;
	both(8);
	unsigned done = (unsigned)submit(OP_READ, 1);
	serve(0);
	unsigned logged = (unsigned)submit(OP_LOGGED, 2);
	serve(41);
	unsigned spoilt = (unsigned)submit(OP_LOGGED, 3);
	serve(42);
	unsigned open = (unsigned)submit(OP_READ, 4);
	unsigned refused = (unsigned)submit(OP_LOGGED, 5);
	struct request copy;
	server_ring_take(&server, &copy, 0);
	server_ring_take(&server, &copy, 0);
	struct completion c = {.seq = copy.seq, .status = ERR_REFUSED};
	server_ring_record(&server, refused, &c, true);
	server.view.records[spoilt].result[1] ^= 1;
	server_new();
	assert_int_equal(adopt(done, &former), ADOPTED_DONE);
	assert_int_equal(adopt(logged, &former), ADOPTED_RECORDED);
	assert_int_equal(former.serial, 41);
	assert_int_equal(adopt(spoilt, &former), ADOPTED_CORRUPT);
	assert_int_equal(adopt(open, &former), ADOPTED_TO_DO);
	assert_int_equal(adopt(open, &former), ADOPTED_FREE); // once
	assert_int_equal(adopt(refused, &former), ADOPTED_DONE);
}

// Small requests take small slots first and large ones then; who needs room never gets a small one.
static void slots_are_small_or_large(void **state)
{
	(void)state;
	both(8);
	client_ring_divide(&client, 3);
	assert_int_equal(client.free_count, 3);
	int last = -1;
	for (unsigned i = 0; i < 6; i++) {
		last = client_ring_slot_small(&client);
		assert_true(i < 5 ? last >= 3 : last >= 0 && last < 3);
	}
	assert_true(client_ring_slot(&client) >= 0 && client_ring_slot(&client) >= 0);
	assert_int_equal(client_ring_slot(&client), -1);
	client_ring_slot_return(&client, 7);
	assert_int_equal(client_ring_slot(&client), -1);
	assert_int_equal(client_ring_slot_small(&client), 7);
	client_ring_slot_return(&client, (unsigned)last);
	assert_int_equal(client_ring_slot_small(&client), last);
	assert_int_equal(client_ring_slot_small(&client), -1);
}

static void poisonous_request_is_refused(void **state)
{
	struct completion former;
	(void)state;
	both(4);
	unsigned slot = (unsigned)submit(OP_READ, 1);
	for (unsigned deaths = 1; deaths < CHANNEL_POISON_DEATHS; deaths++) {
		server.view.server->working = slot + 1;
		server_new();
		assert_int_equal(adopt(slot, &former), ADOPTED_TO_DO);
	}
	server.view.server->working = slot + 1;
	server_new();
	assert_int_equal(adopt(slot, &former), ADOPTED_POISONOUS);
	server.view.server->working = 77; // nonsense
	server_new();
	assert_int_equal(adopt(slot, &former), ADOPTED_TO_DO);
}

// A recorded request that kills whoever replays it is left out in the end.
static void deadly_replay_is_left_out(void **state)
{
	struct completion former;
	(void)state;
	both(4);
	unsigned slot = (unsigned)submit(OP_LOGGED, 1);
	serve(41);
	for (unsigned deaths = 1; deaths < CHANNEL_POISON_DEATHS; deaths++) {
		server.view.server->working = slot + 1;
		server_new();
		assert_int_equal(adopt(slot, &former), ADOPTED_RECORDED);
	}
	server.view.server->working = slot + 1;
	server_new();
	assert_int_equal(adopt(slot, &former), ADOPTED_DEADLY);
	assert_int_equal(former.serial, 41);
	assert_false(server.slots[slot].busy);
}

static void epoch_change_finds_records(void **state)
{
	uint64_t result;
	(void)state;
	both(4);
	take(&result);
	int a = submit(OP_READ, 1);
	int b = submit(OP_READ, 2);
	struct request copy;
	server_ring_take(&server, &copy, 0);
	record((unsigned)a, copy.seq, 0, 11); // recorded, never published
	server_new();
	assert_int_equal(take(&result), a);
	assert_int_equal(result, 11);
	assert_int_equal(take(&result), -1);
	struct completion former;
	assert_int_equal(server_ring_adopt_slot(&server, (unsigned)b, &protocol, &copy, &former), ADOPTED_TO_DO);
	record((unsigned)b, copy.seq, 0, 12);
	server_ring_publish(&server, (unsigned)b);
	assert_int_equal(take(&result), b);
	assert_int_equal(client.offence, OFFENCE_NONE);
}

static void restarted_client_drains(void **state)
{
	uint64_t result;
	(void)state;
	both(4);
	submit(OP_READ, 1);
	submit(OP_LOGGED, 2);
	serve(0);
	serve(9);
	int slot = client_ring_slot(&client); // dies between seq and tail
	client_ring_request(&client, (unsigned)slot)->op = OP_READ;
	client_ring_request(&client, (unsigned)slot)->seq = client.next_seq;
	client.view.client->next_seq = client.next_seq + 1;
	client_new();
	assert_int_equal(client.former, 3);
	assert_int_equal(serve(0), slot);
	unsigned found = 0;
	while (take(&result) >= 0)
		found++;
	assert_int_equal(found, 3);
	assert_int_equal(client.former, 0);
	assert_int_equal(client.held, 1);
	assert_int_equal(client.free_count, 3);
	assert_int_equal(client.offence, OFFENCE_NONE);
}

static void oldest_skips_patient_requests(void **state)
{
	(void)state;
	both(4);
	assert_true(client_ring_oldest(&client) == ~0ull);
	int slot = submit(OP_READ, 1);
	client.view.requests[slot].flags = REQUEST_PATIENT;
	slot = submit(OP_READ, 2);
	assert_int_equal(client_ring_oldest(&client), client.view.requests[slot].time);
}

static int submit_patient(void)
{
	int slot = submit(OP_READ, 1);
	client.view.requests[slot].flags = REQUEST_PATIENT;
	return slot;
}

static void oldest_counts_patient_requests_answered_wrongly(void **state)
{
	(void)state;
	both(4);
	uint64_t result;
	for (unsigned i = 0; i < 6; i++) { // slots that are new and slots that were used
		struct request copy;
		int slot = submit_patient();
		assert_int_equal(server_ring_take(&server, &copy, 0), slot);
		assert_true(client_ring_oldest(&client) == ~0ull);
		record((unsigned)slot, copy.seq + 1, 0, 0);
		server_ring_publish(&server, (unsigned)slot); // in the first turn the change of epoch skips this index
		assert_int_equal(take(&result), -1);
		assert_int_equal(client.offence, i ? OFFENCE_COMPLETION : OFFENCE_NONE);
		client.offence = OFFENCE_NONE;
		assert_int_equal(client_ring_oldest(&client), client.view.requests[slot].time);
		record((unsigned)slot, copy.seq, 0, 0);
		server_ring_publish(&server, (unsigned)slot);
		assert_int_equal(take(&result), slot);
	}
}

static void oldest_counts_patient_requests_never_published(void **state)
{
	(void)state;
	both(4);
	uint64_t result;
	take(&result); // the epoch is seen
	take(&result); // and the records were looked at
	struct request copy;
	int slot = submit_patient();
	assert_int_equal(server_ring_take(&server, &copy, 0), slot);
	record((unsigned)slot, copy.seq, 0, 0);
	assert_int_equal(take(&result), -1);
	assert_int_equal(client_ring_oldest(&client), client.view.requests[slot].time);
}

static void oldest_is_patient_after_a_restart_of_the_client(void **state)
{
	(void)state;
	both(4);
	uint64_t result;
	submit(OP_READ, 1);
	serve(0);
	assert_true(take(&result) >= 0);
	int slot = submit_patient(); // its record is that of the request before
	client_new();
	assert_true(client_ring_oldest(&client) == ~0ull);
	struct request copy;
	assert_int_equal(server_ring_take(&server, &copy, 0), slot);
	record((unsigned)slot, copy.seq + 1, 0, 0);
	assert_int_equal(client_ring_oldest(&client), client.view.requests[slot].time);
}

// Whatever is on the server's page and in its records: the client neither leaves its memory nor loops.
static void random_server_page(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed < 3000; seed++) {
		both(4);
		world_seed(seed);
		submit(OP_READ, 1);
		submit(OP_LOGGED, 2);
		uint32_t *page = (uint32_t *)server.view.server;
		for (unsigned i = 0; i < 20; i++)
			page[world_random() % (world_random() % 2 ? 16 : PAGE_SIZE / 4)] = world_random();
		page[1] = client.head + world_random() % (CHANNEL_SLOTS_MAX + 44);
		for (unsigned i = 0; i < 64; i++)
			((uint32_t *)server.view.records)[i] = world_random() % 4;
		for (unsigned i = 0; i < 20; i++)
			client_ring_take(&client);
		client_ring_commit_look(&client);
		submit(OP_READ, 3);
		assert_true(client.free_count <= 4);
	}
}

// Whatever is on the client's page and in its requests: each slot is taken at most once until it is answered.
static void random_client_page(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed < 3000; seed++) {
		both(4);
		world_seed(seed);
		uint32_t *page = (uint32_t *)client.view.client;
		for (unsigned i = 0; i < 40; i++)
			page[world_random() % (PAGE_SIZE / 4)] = world_random();
		page[0] = world_random() % 600;
		for (unsigned i = 0; i < 64; i++)
			((uint32_t *)client.view.requests)[i] = world_random() % 3;
		if (seed % 2)
			server_new();
		unsigned taken = 0;
		struct request copy;
		struct completion former;
		for (unsigned slot = 0; seed % 2 && slot < 4; slot++)
			if (server_ring_adopt_slot(&server, slot, &protocol, &copy, &former) >= ADOPTED_TO_DO)
				taken++;
		for (unsigned i = 0; i < 20; i++)
			taken += server_ring_take(&server, &copy, 0) >= 0;
		assert_true(taken <= 4);
		server_ring_validate(&server, &protocol, &copy);
	}
}

// A client goes on while its server's next incarnation looks at its slots: of what it submits meanwhile nothing overtakes what it had submitted
// before that, wherever the scan is.
static void order_stands_beside_adoption(void **state)
{
	(void)state;
	for (unsigned before = 0; before < 3; before++) {
		for (unsigned scanned = 0; scanned <= 8; scanned++) {
			struct completion former;
			struct request copy;
			uint64_t next = 0;
			unsigned count = 0;
			both(8);
			for (unsigned i = 0; i < before; i++)
				submit(OP_READ, count++);
			if (before == 2)
				assert_true(server_ring_take(&server, &copy, 0) >= 0);
			server_new();
			uint64_t found = 0; // in the scan: they come first, in the order of their seqs, which are those of their arguments
			for (unsigned slot = 0; slot < 8; slot++) {
				for (unsigned i = 0; slot == scanned && i < 4; i++)
					submit(OP_READ, count++);
				if (server_ring_adopt_slot(&server, slot, &protocol, &copy, &former) >= ADOPTED_TO_DO)
					found |= 1ul << copy.arg[0];
			}
			for (unsigned i = 0; scanned == 8 && i < 4; i++)
				submit(OP_READ, count++);
			assert_int_equal(found & (found + 1), 0);
			next = (uint64_t)__builtin_popcountl(found);
			while (server_ring_take(&server, &copy, 0) >= 0)
				assert_int_equal(copy.arg[0], next++);
			assert_int_equal(next, count);
		}
	}
}

// What has waited for so many others that its seq seems to lie ahead is no new request.
static void adoption_finds_what_has_waited_long(void **state)
{
	(void)state;
	static const uint32_t later[] = {1, 0x7fffffff, 0x80000001, 0xc0000000, 0xfffeffff};
	for (unsigned i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
		struct completion former;
		struct request copy;
		both(8);
		client.next_seq = 5;
		int slot = submit(OP_READ, 7);
		store32(&client.view.client->next_seq, 5 + later[i]);
		server_new();
		assert_int_equal(server_ring_adopt_slot(&server, (unsigned)slot, &protocol, &copy, &former), ADOPTED_TO_DO);
		assert_int_equal(copy.arg[0], 7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trips),
		cmocka_unit_test(out_of_order),
		cmocka_unit_test(slots_run_out),
		cmocka_unit_test(logged_slots_stay_until_committed),
		cmocka_unit_test(doorbell_only_when_wanted),
		cmocka_unit_test(lies_of_the_server),
		cmocka_unit_test(lies_of_the_client),
		cmocka_unit_test(validation),
		cmocka_unit_test(overrun_is_scanned),
		cmocka_unit_test(adoption_judges_records),
		cmocka_unit_test(order_stands_beside_adoption),
		cmocka_unit_test(adoption_finds_what_has_waited_long),
		cmocka_unit_test(slots_are_small_or_large),
		cmocka_unit_test(poisonous_request_is_refused),
		cmocka_unit_test(deadly_replay_is_left_out),
		cmocka_unit_test(epoch_change_finds_records),
		cmocka_unit_test(restarted_client_drains),
		cmocka_unit_test(oldest_skips_patient_requests),
		cmocka_unit_test(oldest_counts_patient_requests_answered_wrongly),
		cmocka_unit_test(oldest_counts_patient_requests_never_published),
		cmocka_unit_test(oldest_is_patient_after_a_restart_of_the_client),
		cmocka_unit_test(random_server_page),
		cmocka_unit_test(random_client_page),
	};
	return cmocka_run_group_tests(tests, 0, world_teardown);
}
