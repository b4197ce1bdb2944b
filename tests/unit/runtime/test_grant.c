// The server's library and what its clients lend: taken once, given back behind the record, taken again by the next incarnation.
#include "server_script.h"
#include "runtime/client_ring.h"

enum { OP_NONE, OP_SUM, OP_FILL, OP_IGNORE, OP_LOGGED, OP_BOTH, OP_GIVE, OPS };
static const struct op_description ops[OPS] = {[OP_SUM] = {"SUM", "", OP_IDEMPOTENT}, [OP_LOGGED] = {"LOGGED", "", OP_ONCE}};
static const struct protocol protocol = {"test", ops, OPS};

static struct client_ring client;
static struct completion results[CHANNEL_SLOTS_MAX];
static uint64_t memory[2 * PAGE_SIZE / 8] __attribute__((aligned(PAGE_SIZE)));
static struct server_request *parked;
static enum error second; // what the second of two requests with one grant was told

// A block of its own, with what stands there now.
static enum error give_taken(struct server_request *request, uint64_t result[5])
{
	void *at;
	uint64_t bytes;
	enum error e = server_given(request, &at, &bytes);
	if (e != ERR_OK)
		return e;
	assert_ptr_equal(at, world.block);
	assert_memory_equal(at, memory, bytes);
	result[0] = bytes;
	return ERR_OK;
}

static void perform(struct server_request *request)
{
	void *at = 0;
	uint64_t bytes = 0, result[5] = {0};
	unsigned prot = request->copy.op == OP_FILL ? PROT_READ | PROT_WRITE : PROT_READ;
	enum error e = request->copy.op == OP_IGNORE || request->copy.op == OP_GIVE ? ERR_OK : server_lent(request, prot, &at, &bytes);
	for (uint64_t i = 0; at && e == ERR_OK && i < bytes / 8; i++)
		if (request->copy.op == OP_FILL)
			((uint64_t *)at)[i] = request->copy.arg[0];
		else
			result[0] += ((uint64_t *)at)[i];
	if (request->copy.op == OP_BOTH && e == ERR_OK) {
		parked = request;
		return;
	}
	if (request->copy.op == OP_BOTH)
		second = e;
	if (request->copy.op == OP_GIVE)
		e = give_taken(request, result);
	server_complete(request, e, result);
}

static unsigned recalls;
static void recalled(struct server_request *request)
{
	assert_ptr_equal(request, parked);
	recalls++;
	server_complete(request, ERR_LOST, 0);
}

static const struct server server = {.protocol = &protocol, .request = perform, .recalled = recalled};

static void next_life(void (*what)(unsigned turn))
{
	serve(what);
	world.epoch++;
}

static int fresh(void **state)
{
	(void)state;
	world_make(8, 8192, 8192);
	parked = 0;
	second = ERR_OK;
	recalls = 0;
	for (unsigned i = 0; i < 2 * PAGE_SIZE / 8; i++)
		memory[i] = i;
	assert_int_equal(channel_view_load(&client.view, WORLD_CLIENT), ERR_OK);
	client_ring_start(&client);
	return 0;
}

static uint32_t lend(unsigned place, unsigned prot)
{
	struct kernel_result r = kcall(CALL_grant_lend, WORLD_CLIENT | (uint64_t)place << 32, (uintptr_t)memory, 2ul << 8 | prot);
	assert_int_equal(r.error, ERR_OK);
	return (uint32_t)r.value[0];
}

static unsigned submit(unsigned op, uint32_t grant)
{
	int slot = client_ring_slot(&client);
	*client_ring_request(&client, (unsigned)slot) = (struct request){.op = (uint16_t)op, .time = time_now(), .arg = {5}, .grant = grant};
	client.slots[slot].result = &results[slot];
	client_ring_submit(&client, (unsigned)slot, time_now());
	return (unsigned)slot;
}

static const struct completion *take(void)
{
	int slot = client_ring_take(&client);
	assert_true(slot >= 0);
	return &results[slot];
}

static void script_use(unsigned n)
{
	if (n == 0) {
		submit(OP_SUM, lend(0, PROT_READ));
		submit(OP_FILL, lend(1, PROT_READ));
		submit(OP_IGNORE, lend(2, PROT_READ));
		submit(OP_LOGGED, lend(3, PROT_READ));
		submit(OP_GIVE, 0);
		submit(OP_SUM, 0);
		submit(OPS, 4 * GRANT_PLACES);
		return;
	}
	assert_int_equal(take()->result[0], 1024 * 1023 / 2);
	assert_int_equal(take()->status, ERR_DENIED); // it may only read
	assert_int_equal(take()->status, ERR_OK);
	assert_int_equal(take()->status, ERR_UNSUPPORTED);
	assert_int_equal(take()->status, ERR_NOT_FOUND); // nothing was given
	assert_int_equal(take()->status, ERR_NOT_FOUND);
	assert_int_equal(take()->status, ERR_UNKNOWN_CALL);
	assert_int_equal(world.grants_ended, 4); // taken or not
	for (unsigned i = 0; i < GRANT_PLACES; i++)
		assert_int_equal(world.grants[i].state, WORLD_GRANT_NONE);
	longjmp(finished, 1);
}

static void used_and_given_back(void **state)
{
	(void)state;
	next_life(script_use);
}

// Two requests name one grant: the second gets nothing, and its end takes nothing away from the first.
static void script_both(unsigned n)
{
	static uint32_t grant;
	if (n == 0) {
		grant = lend(1, PROT_READ);
		submit(OP_BOTH, grant);
		submit(OP_BOTH, grant);
		submit(OP_IGNORE, grant);
		return;
	}
	assert_int_equal(take()->status, ERR_STATE);
	assert_int_equal(take()->status, ERR_OK);
	assert_int_equal(second, ERR_STATE);
	assert_int_equal(world.grants[1].state, WORLD_GRANT_TAKEN);
	assert_non_null(parked);
	server_complete(parked, ERR_OK, 0);
	assert_int_equal(world.grants[1].state, WORLD_GRANT_NONE);
	assert_int_equal(take()->status, ERR_OK);
	submit(OP_SUM, grant); // of earlier
	longjmp(finished, 1);
}

static void one_request_takes_it(void **state)
{
	(void)state;
	next_life(script_both);
}

// Taken back while a request has it: the program is told of that one, ends it, and its place is free.
static void script_recall(unsigned n)
{
	static uint32_t grant;
	if (n == 0) {
		grant = lend(1, PROT_READ);
		submit(OP_BOTH, grant);
		submit(OP_SUM, lend(2, PROT_READ));
		return;
	}
	assert_int_equal(take()->status, ERR_OK);
	loop_server_event(EVENT_CHANNEL_STATE, WORLD_SERVER);
	loop_server_event(EVENT_CHANNEL_STATE, WORLD_CLIENT);
	assert_int_equal(recalls, 0); // nothing is
	assert_int_equal(kcall(CALL_grant_recall, WORLD_CLIENT, grant).error, ERR_OK);
	loop_server_event(EVENT_CHANNEL_STATE, WORLD_SERVER);
	assert_int_equal(recalls, 1);
	assert_int_equal(take()->status, ERR_LOST);
	assert_int_equal(world.grants[1].state, WORLD_GRANT_NONE);
	loop_server_event(EVENT_CHANNEL_STATE, WORLD_SERVER);
	assert_int_equal(recalls, 1);
	longjmp(finished, 1);
}

static void who_has_what_is_taken_back_is_told(void **state)
{
	(void)state;
	next_life(script_recall);
}

static void script_give(unsigned n)
{
	if (n == 0) {
		submit(OP_GIVE, lend(0, PROT_READ));
		return;
	}
	assert_int_equal(take()->result[0], sizeof(memory));
	assert_int_equal(world.grants[0].state, WORLD_GRANT_NONE);
	free(world.block);
	longjmp(finished, 1);
}

static void what_is_given_is_copied(void **state)
{
	(void)state;
	next_life(script_give);
}

static void script_stale(unsigned n)
{
	if (n == 0)
		return;
	assert_int_equal(take()->status, ERR_HANDLE);
	longjmp(finished, 1);
}

static void stale_ones_are_refused(void **state)
{
	(void)state;
	next_life(script_both);
	next_life(script_stale); // what was submitted last, for a new incarnation
}

static void script_submit(unsigned n)
{
	assert_int_equal(n, 0);
	submit(OP_SUM, lend(2, PROT_READ));
}

// The server dies at that point of a request that it has taken the memory of; its successor takes it again, or finds the answer.
static void death_at(const char *point)
{
	fresh(0);
	assert_int_equal(inject_arm(point, INJECT_EXIT, 1, 0), ERR_OK);
	world_exit_armed = true;
	world_turn = turn;
	script = script_submit;
	turn_number = 0;
	if (!setjmp(world_exit)) {
		server_run(&server);
		fail_msg("%s: nobody died", point);
	}
	world_exit_armed = false;
	gone();
	world.epoch++;
	if (world.grants[2].state == WORLD_GRANT_TAKEN)
		world.grants[2].state = WORLD_GRANT_LENT; // as the kernel does it
}

static void script_after_death(unsigned n)
{
	if (n == 0)
		return;
	assert_int_equal(take()->result[0], 1024 * 1023 / 2);
	assert_int_equal(world.grants[2].state, WORLD_GRANT_NONE);
	assert_int_equal(world.grants_ended, 1);
	longjmp(finished, 1);
}

static void deaths_at_every_step(void **state)
{
	static const char *const points[] = {"runtime.take", "runtime.lent", "runtime.complete", "runtime.publish"};
	(void)state;
	next_life(script_use); // so that all points are known
	for (unsigned i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		death_at(points[i]);
		next_life(script_after_death);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(used_and_given_back, fresh),
		cmocka_unit_test_setup(one_request_takes_it, fresh),
		cmocka_unit_test_setup(who_has_what_is_taken_back_is_told, fresh),
		cmocka_unit_test_setup(what_is_given_is_copied, fresh),
		cmocka_unit_test_setup(stale_ones_are_refused, fresh),
		cmocka_unit_test_setup(deaths_at_every_step, fresh),
	};
	return cmocka_run_group_tests(tests, 0, world_teardown);
}
