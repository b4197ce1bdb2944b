// Channels between two components of one domain: both libraries as they are, over a component that the test is.
#include "world.h"
#include "runtime/component.h"
#include "runtime/inject.h"
#include "runtime/local_channel.h"
#include "runtime/trace.h"
#include <sys/wait.h>
#include <unistd.h>

enum { OP_NONE, OP_ECHO, OP_PARK, OP_DMA, OP_LENT, OP_QUICK, OPS };
static const struct op_description ops[OPS] = {[OP_ECHO] = {"ECHO", "", OP_IDEMPOTENT}};
static const struct protocol protocol = {"test", ops, OPS};

static struct server_request *parked[8];
static unsigned parked_count;
static const uint8_t *seen_out;
static uint8_t *seen_in;
static uint64_t dma_out, dma_in;
static unsigned depth, deepest, starts, accepts, closings, closes;
static enum error start_error;
static bool refuses;
static enum error lent_error;

static enum error mate_begins(uint64_t *mark)
{
	*mark = 0;
	starts++;
	return start_error;
}

static void echo(struct server_request *request, uint8_t *in, const uint8_t *out)
{
	uint32_t length = request->copy.out_length < request->copy.in_length ? request->copy.out_length : request->copy.in_length;
	memcpy(in, out, length);
	server_complete(request, ERR_OK, (uint64_t[5]){request->copy.arg[0], length});
}

static void mate_request(struct server_request *request)
{
	void *at;
	uint64_t bytes;
	deepest = ++depth > deepest ? depth : deepest;
	seen_out = request->out;
	seen_in = request->in;
	assert_true(loop_running()); // a server without fibers: who waits panics
	if (request->copy.op == OP_PARK) {
		parked[parked_count++] = request;
	} else if (request->copy.op == OP_DMA) { // what a device would do
		dma_out = server_out_physical(request);
		dma_in = server_in_physical(request);
		echo(request, (uint8_t *)(dma_in - WORLD_PHYSICAL), (const uint8_t *)(dma_out - WORLD_PHYSICAL));
	} else if (request->copy.op == OP_LENT) {
		lent_error = server_lent(request, PROT_READ | PROT_WRITE, &at, &bytes);
		server_complete(request, lent_error, (uint64_t[5]){(uintptr_t)at, bytes});
	} else {
		echo(request, request->in, request->out);
	}
	depth--;
}

static quick_answer_t mate_quick_answer(uint64_t op, uint64_t a, uint64_t b, uint64_t c)
{
	return quick_answer(op == OP_QUICK ? ERR_OK : ERR_INVALID, a + b + c);
}

static bool mate_accepts(struct server_channel *channel)
{
	server_channel_set_context(channel, &accepts);
	accepts++;
	return !refuses;
}

static unsigned recalls;

static unsigned cancellations;

static void mate_cancelled(struct server_request *request)
{
	assert_ptr_equal(request, parked[0]);
	cancellations++;
	server_complete(parked[--parked_count], ERR_CANCELLED, 0);
}

static void mate_recalled(struct server_request *request)
{
	assert_ptr_equal(request, parked[0]);
	recalls++;
	server_complete(parked[--parked_count], ERR_OK, 0);
}

static void mate_closing(struct server_channel *channel)
{
	(void)channel;
	closings++;
	while (parked_count)
		server_complete(parked[--parked_count], ERR_PEER_LOST, 0);
}

static void mate_closed(struct server_channel *channel)
{
	assert_ptr_equal(server_channel_context(channel), &accepts);
	closes++;
	server_release(channel);
}

static const struct server mate_server = {.protocol = &protocol,
					  .start = mate_begins,
					  .request = mate_request,
					  .quick_from = OP_QUICK,
					  .quick = mate_quick_answer,
					  .accept = mate_accepts,
					  .recalled = mate_recalled,
					  .cancelled = mate_cancelled,
					  .closing = mate_closing,
					  .closed = mate_closed};
static const struct server failing_server = {.protocol = &protocol, .start = mate_begins, .request = mate_request};
COMPONENT(host, &failing_server);
COMPONENT(mate, &mate_server);
COMPONENT(log, &failing_server);
COMPONENT(bad, &failing_server);

static struct client *clients_here[4];

// What the loop does with the rings that it was given; the last one that was opened may have closed.
static void turn(bool may_sleep)
{
	(void)may_sleep;
	loop_enter();
	for (unsigned i = 0; i < 4; i++)
		if (clients_here[i] && clients_here[i]->local)
			local_look(&clients_here[i]->local->loop);
	loop_leave();
	timer_run_due();
}

static void domain_begins(void)
{
	world_make(4, 4096, 4096);
	world.exists = false;
	world_turn = turn;
	memset(clients_here, 0, sizeof(clients_here));
	memcpy(world.manifest.image, "host.mate.log", 13);
	world.manifest.mates_count = 3;
	memcpy(world.manifest.mates, (char[3][NAME_SIZE]){"mate0", "log0", "bad0"}, 3 * NAME_SIZE);
	memcpy(world.manifest.mate_component, (uint8_t[]){1, 2, 3}, 3);
	parked_count = deepest = depth = accepts = closings = closes = 0;
	refuses = false;
}

static struct client *open_mate(unsigned number, const struct client_options *options)
{
	assert_int_equal(client_open(&clients_here[number], "mate0", options), ERR_OK);
	return clients_here[number];
}

static void components_by_name(void **state)
{
	(void)state;
	domain_begins();
	assert_ptr_equal(component_own()->server, &failing_server);
	assert_ptr_equal(component_serving("mate0")->server, &mate_server);
	assert_null(component_serving("ledger"));
	assert_null(component_serving("bad0")); // the image's name has no such part
	world.manifest.device_component = 1; // and the kernel has no window for us
	assert_true(component_absent("mate0"));
	assert_false(component_absent("log0"));
	assert_false(component_absent("ledger"));
	assert_int_equal(client_open(&clients_here[0], "mate0", 0), ERR_PEER_LOST);
	world.manifest.device_component = 0;
	assert_false(component_absent("mate0"));
	world.manifest.mates_count = 1;
	assert_null(component_serving("log0"));
	world.manifest.mates_count = 255; // of a record that lies
	assert_null(component_serving("log1"));
}

static void call_is_a_call(void **state)
{
	(void)state;
	domain_begins();
	struct client *client = open_mate(0, 0);
	assert_false(client_resumed(client));
	assert_int_equal(client_out_room(client), 4096);
	char out[40] = "text", in[40] = "";
	for (unsigned i = 0; i < 200; i++) { // more than there are slots
		struct client_request r = {
			.op = OP_ECHO, .arg = {i}, .out = out, .out_length = sizeof(out), .in = in, .in_length = sizeof(in)};
		assert_int_equal(client_call(client, &r), ERR_OK);
		assert_int_equal(r.completion.result[0], i);
		assert_string_equal(in, "text");
		assert_ptr_equal(seen_out, out); // where it is
		assert_ptr_equal(seen_in, in);
	}
	assert_int_equal(world.opened + world.rings_by_kernel + world.heap_blocks + world.wakes, 0);
	struct client_request big = {.op = OP_ECHO, .out_length = 4097};
	assert_int_equal(client_call(client, &big), ERR_INVALID);
	assert_int_equal(client_submit(client, &big), ERR_INVALID);
	struct client_request unknown = {.op = OPS};
	assert_int_equal(client_call(client, &unknown), ERR_UNKNOWN_CALL);
	assert_true(unknown.done);
	client_close(client);
	assert_int_equal(closes, 1);
}

static unsigned told;
static struct client *resubmits;

static void told_once(struct client_request *request)
{
	assert_true(loop_running());
	assert_int_equal(depth, 0); // the server is not under way
	assert_true(request->done);
	told++;
	if (resubmits)
		assert_int_equal(client_submit(resubmits, request), ERR_OK);
}

static void completed_comes_from_the_loop(void **state)
{
	(void)state;
	domain_begins();
	struct client *client = open_mate(0, 0);
	char out[40] = "before", in[40] = "";
	struct client_request r = {
		.op = OP_PARK, .out = out, .out_length = 7, .in = in, .in_length = sizeof(in), .completed = told_once};
	told = 0;
	resubmits = 0;
	assert_int_equal(client_submit(client, &r), ERR_OK);
	strcpy(out, "after"); // `out` is ours again
	echo(parked[0], parked[0]->in, parked[0]->out);
	assert_int_equal(told, 0);
	assert_false(r.done);
	turn(false);
	assert_int_equal(told, 1);
	assert_string_equal(in, "before");
	resubmits = client; // for ever: one for each turn
	r.op = OP_ECHO;
	assert_int_equal(client_submit(client, &r), ERR_OK);
	for (unsigned i = 0; i < 100; i++)
		turn(false);
	assert_int_equal(told, 101);
	assert_int_equal(deepest, 1);
	resubmits = 0;
	turn(false);
	client_close(client);
	assert_int_equal(world.heap_blocks, 0); // the copies' place is gone
}

// A submission on the loop: what the server polls on each turn has to be looked at before the domain sleeps.
static void submission_on_the_loop_keeps_it_awake(void **state)
{
	(void)state;
	domain_begins();
	struct client *client = open_mate(0, 0);
	struct client_request r = {.op = OP_PARK};
	loop_enter();
	assert_false(local_look(&client->local->loop));
	assert_int_equal(client_submit(client, &r), ERR_OK);
	assert_true(local_look(&client->local->loop));
	assert_false(local_look(&client->local->loop));
	loop_leave();
	server_complete(parked[0], ERR_DEVICE, 0);
	assert_int_equal(client_wait(client, &r), ERR_DEVICE);
	client_close(client);
}

static void complete_first(bool may_sleep)
{
	turn(may_sleep);
	if (parked_count)
		server_complete(parked[--parked_count], ERR_OK, 0);
}

static void slots_run_out(void **state)
{
	(void)state;
	domain_begins();
	struct client *client = open_mate(0, &(struct client_options){.slots = 2});
	struct client_request r[4];
	for (unsigned i = 0; i < 4; i++)
		r[i] = (struct client_request){.op = OP_PARK};
	assert_int_equal(client_submit(client, &r[0]), ERR_OK);
	assert_int_equal(client_submit(client, &r[1]), ERR_OK);
	loop_enter();
	assert_int_equal(client_submit(client, &r[2]), ERR_AGAIN);
	loop_leave();
	assert_true(r[2].done);
	world_turn = complete_first; // while we wait
	assert_int_equal(client_submit(client, &r[2]), ERR_OK);
	assert_int_equal(client_wait(client, &r[0]), ERR_OK);
	assert_int_equal(client_wait(client, &r[1]), ERR_OK);
	assert_int_equal(client_call(client, &r[3]), ERR_OK);
	assert_int_equal(client_wait(client, &r[2]), ERR_OK);
	client_close(client);
}

static void device_reads_and_writes(void **state)
{
	(void)state;
	domain_begins();
	world.manifest.flags = SERVICE_FLAG_DMA;
	struct client *client = open_mate(0, &(struct client_options){.slots = 4, .out_bytes = 4096, .in_bytes = 8192});
	assert_int_equal(world.heap_blocks, 1);
	char out[600], in[600] = "";
	for (unsigned i = 0; i < 20; i++) {
		snprintf(out, sizeof(out), "data %u", i);
		struct client_request r = {.op = OP_DMA, .out = out, .out_length = 600, .in = in, .in_length = 600};
		assert_int_equal(client_call(client, &r), ERR_OK);
		assert_string_equal(in, out);
		assert_int_equal(client_submit(client, &r), ERR_OK);
		assert_int_equal(client_wait(client, &r), ERR_OK);
		assert_string_equal(in, out);
	}
	struct client_request nothing = {.op = OP_DMA};
	assert_int_equal(client_call(client, &nothing), ERR_OK);
	client_close(client);
	assert_int_equal(world.heap_blocks, 0);
	world.manifest.flags = 0;
	client = open_mate(0, 0);
	struct client_request r = {.op = OP_PARK};
	assert_int_equal(client_submit(client, &r), ERR_OK);
	assert_int_equal(server_out_physical(parked[0]), 0); // no right
	assert_int_equal(server_in_physical(parked[0]), 0);
	client_close(client);
}

// The areas of a raw client lie where the next incarnation finds them, in a channel that nobody uses.
static void areas_outlive_the_domain(void **state)
{
	(void)state;
	domain_begins();
	world_make(2, 0x3000, 0); // as the kernel will have made it
	struct info_service *s = &world.info[1].services[3];
	strcpy(s->name, "supervisor");
	s->state = SERVICE_UP;
	strcpy(world.name, "supervisor");
	memcpy(world.manifest.image, "host.mate", 10);
	world.manifest.mates_count = world.manifest.mate_component[0] = 1;
	memcpy(world.manifest.mates[0], "mate0", 6);
	world.manifest.flags = SERVICE_FLAG_DMA;
	world.exists = false;
	world_turn = turn;
	const struct client_options options = {.slots = 4, .out_bytes = 0x1000, .in_bytes = 0x2000, .raw = true};
	struct client *client = open_mate(0, &options);
	assert_false(client_resumed(client));
	assert_int_equal(world.opened, 1);
	assert_int_equal(client_out_room(client), 0x1000);
	assert_int_equal(client_in_room(client), 0x2000);
	assert_ptr_equal(client_in(client), (uint8_t *)client_out(client) + 0x1000); // the side that we may write
	assert_string_equal((char *)world.memory, (char *)world.memory);
	strcpy((char *)client_out(client) + 100, "kept");
	struct client_request r = {.op = OP_PARK, .out_offset = 100, .out_length = 5, .in_offset = 200, .in_length = 5};
	assert_int_equal(client_submit(client, &r), ERR_OK);
	assert_int_equal(server_out_physical(parked[0]), WORLD_MEMORY + world.geometry.out + 100);
	assert_int_equal(server_in_physical(parked[0]), WORLD_MEMORY + world.geometry.out + 0x1000 + 200);
	assert_int_equal(server_physical_named(parked[0], true), server_out_physical(parked[0]));
	assert_int_equal(server_physical_named(parked[0], false), server_in_physical(parked[0]));
	r.out_offset = 0xffc;
	assert_int_equal(client_submit(client, &r), ERR_INVALID);
	struct client *second = 0; // while it is in use it is nobody else's
	world.open_error = ERR_LIMIT;
	assert_int_equal(client_open(&second, "mate0", &options), ERR_LIMIT);
	client_close(client);
	assert_int_equal(world.closed_client, 0);
	world.client_state = CHANNEL_LOST; // whatever became of its keeper
	client = open_mate(0, &options);
	assert_true(client_resumed(client));
	assert_string_equal((char *)client_out(client) + 100, "kept");
	client_close(client);
	strcpy((char *)((struct channel_client_page *)(void *)world.memory)->session, "other0");
	assert_int_equal(client_open(&second, "mate0", &options), ERR_LIMIT);
}

static void quick_calls_are_the_function(void **state)
{
	(void)state;
	domain_begins();
	struct client *client = open_mate(0, 0);
	quick_answer_t answer = client_quick(client, OP_QUICK, 1, 2, 3);
	assert_int_equal(quick_error(answer), ERR_OK);
	assert_int_equal(quick_result(answer), 6);
	assert_int_equal(quick_error(client_quick(client, OPS, 1, 2, 3)), ERR_UNKNOWN_CALL);
	assert_int_equal(quick_result(client_quick(client, OP_ECHO, 7, 0, 0)), 7);
	struct quick_call calls[40];
	for (unsigned i = 0; i < 40; i++)
		calls[i] = (struct quick_call){.arg = {i, 1}, .op = OP_QUICK};
	client_quick_all(client, calls, 40);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(calls[i].result, i + 1);
	struct client_request r = {.op = OP_QUICK, .arg = {1, 1, 1}};
	assert_int_equal(client_call(client, &r), ERR_OK);
	assert_int_equal(r.completion.result[0], 3);
	client_close(client);
}

// While tracing is on, and quick ones too.
static void requests_are_events_of_a_trace(void **state)
{
	static _Alignas(PAGE_SIZE) uint8_t memory[TRACE_DOMAIN_BYTES];
	static const char name[NAME_SIZE] = "host";
	struct trace_ring *ring = (struct trace_ring *)memory;
	(void)state;
	domain_begins();
	trace_start(ring, 1, name);
	inject_arm("runtime.submit", INJECT_NONE, 1, 0); // so that they look: the domain began without
	inject_arm("runtime.answer", INJECT_NONE, 1, 0);
	struct client *client = open_mate(0, 0);
	const struct trace_entry *e = &ring->event[ring->next - 1];
	unsigned slot = e->subject;
	assert_int_equal(e->kind, TRACE_MATE);
	assert_true(slot >= TRACE_MATES);
	assert_memory_equal(&e->a, "mate\0\0\0", 8);
	for (unsigned i = 1; i <= 3; i++) {
		struct client_request r = {.op = OP_ECHO};
		e = &ring->event[ring->next];
		if (i < 3)
			assert_int_equal(client_call(client, &r), ERR_OK);
		else
			assert_int_equal(quick_result(client_quick(client, OP_QUICK, 1, 2, 3)), 6);
		assert_ptr_equal(e + 2, &ring->event[ring->next]);
		assert_int_equal(e[0].kind, TRACE_TAKE);
		assert_int_equal(e[0].a, i < 3 ? OP_ECHO : OP_QUICK);
		assert_int_equal(e[1].kind, TRACE_COMPLETE);
		assert_int_equal(e[1].a, e[0].a << 32 | ERR_OK);
		for (unsigned j = 0; j < 2; j++) {
			assert_int_equal(e[j].subject, slot);
			assert_int_equal(e[j].word, i);
		}
	}
	client_close(client);
	trace_start(0, 0, name);
	inject_arm("runtime.submit", INJECT_NONE, 1, 0);
	inject_arm("runtime.answer", INJECT_NONE, 1, 0);
}

static void a_parked_request_is_taken_back(void **state)
{
	(void)state;
	domain_begins();
	struct client *client = open_mate(0, 0);
	struct client_request r = {.op = OP_PARK}, done = {.op = OP_ECHO};
	assert_int_equal(client_submit(client, &r), ERR_OK);
	assert_int_equal(client_call(client, &done), ERR_OK);
	client_cancel(client, &done); // too late
	assert_int_equal(cancellations, 0);
	client_cancel(client, &r);
	client_cancel(client, &r);
	assert_int_equal(cancellations, 1);
	assert_int_equal(client_wait(client, &r), ERR_CANCELLED);
	client_close(client);
}

static void lent_pages_are_the_clients(void **state)
{
	(void)state;
	domain_begins();
	struct client *client = open_mate(0, 0);
	static uint8_t page[PAGE_SIZE];
	struct client_request r = {.op = OP_LENT, .lend = page, .lend_bytes = PAGE_SIZE, .lend_writable = true};
	assert_int_equal(client_call(client, &r), ERR_OK);
	assert_int_equal(r.completion.result[0], (uintptr_t)page);
	assert_int_equal(r.completion.result[1], PAGE_SIZE);
	r.lend_writable = false;
	assert_int_equal(client_call(client, &r), ERR_DENIED);
	r.lend_bytes = 5;
	assert_int_equal(client_call(client, &r), ERR_INVALID);
	r.lend = 0;
	assert_int_equal(client_call(client, &r), ERR_NOT_FOUND);
	struct client_request share = {.op = OP_PARK, .lend = page, .lend_bytes = PAGE_SIZE, .patient = true}, plain = {.op = OP_PARK};
	assert_int_equal(client_submit(client, &share), ERR_OK);
	assert_int_equal(client_take_back(client, &share), ERR_OK);
	assert_true(share.done);
	assert_int_equal(recalls, 1);
	assert_int_equal(client_submit(client, &plain), ERR_OK);
	assert_int_equal(client_take_back(client, &plain), ERR_HANDLE);
	client_close(client);
}

static void silence_ends_the_domain(void **state)
{
	(void)state;
	domain_begins();
	world.manifest.request_ms = 10;
	struct client *client = open_mate(0, 0);
	struct client_request r = {.op = OP_PARK, .patient = true}, late = {.op = OP_PARK};
	assert_int_equal(client_submit(client, &r), ERR_OK);
	for (unsigned i = 0; i < 5; i++) {
		world.time += 10001;
		turn(false);
	}
	assert_int_equal(client_submit(client, &late), ERR_OK);
	turn(false); // not late yet
	world_exit_code = 0;
	world_exit_armed = true;
	if (setjmp(world_exit) == 0) {
		for (unsigned i = 0; i < 3; i++) {
			world.time += 10001;
			turn(false);
		}
	}
	world_exit_armed = false;
	assert_int_equal(world_exit_code, ERR_TIMEOUT);
	assert_non_null(strstr(world_log, "mate leaves a request (op 2) unanswered"));
	loop_leave(); // where it stood
	client_close(client);
}

static void refusals(void **state)
{
	(void)state;
	struct client *client = 0;
	domain_begins();
	refuses = true;
	assert_int_equal(client_open(&client, "mate0", 0), ERR_REFUSED);
	refuses = false;
	assert_int_equal(client_open(&client, "mate0", &(struct client_options){.slots = 3}), ERR_INVALID);
	memcpy(world.manifest.image, "host.mate.x.bad", 15);
	int status = 0;
	pid_t child = fork(); // which ends as a domain does
	if (child == 0) {
		start_error = ERR_DEVICE;
		world_exit_armed = true;
		if (setjmp(world_exit) == 0)
			client_open(&client, "bad0", 0);
		_exit(world_exit_code);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(WEXITSTATUS(status), ERR_DEVICE); // as a server's own: the restart rule decides
}

static void close_with_requests_under_way(void **state)
{
	(void)state;
	domain_begins();
	struct client *client = open_mate(0, 0), *other = open_mate(1, 0);
	struct client_request r = {.op = OP_PARK, .completed = told_once}, done = {.op = OP_ECHO, .completed = told_once};
	told = 0;
	resubmits = 0;
	assert_int_equal(client_submit(client, &r), ERR_OK);
	assert_int_equal(client_submit(client, &done), ERR_OK);
	clients_here[0] = 0;
	client_close(client);
	assert_int_equal(told, 2);
	assert_int_equal(r.completion.status, ERR_PEER_LOST);
	assert_int_equal(closings, 1);
	assert_int_equal(closes, 1);
	struct client_request still = {.op = OP_ECHO};
	assert_int_equal(client_call(other, &still), ERR_OK);
	client_close(other);
	assert_int_equal(closings, 1);
	assert_int_equal(starts, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(components_by_name),
		cmocka_unit_test(call_is_a_call),
		cmocka_unit_test(completed_comes_from_the_loop),
		cmocka_unit_test(submission_on_the_loop_keeps_it_awake),
		cmocka_unit_test(slots_run_out),
		cmocka_unit_test(device_reads_and_writes),
		cmocka_unit_test(areas_outlive_the_domain),
		cmocka_unit_test(quick_calls_are_the_function),
		cmocka_unit_test(requests_are_events_of_a_trace),
		cmocka_unit_test(a_parked_request_is_taken_back),
		cmocka_unit_test(lent_pages_are_the_clients),
		cmocka_unit_test(silence_ends_the_domain),
		cmocka_unit_test(refusals),
		cmocka_unit_test(close_with_requests_under_way),
	};
	int failed = cmocka_run_group_tests(tests, 0, 0);
	world_free();
	return failed;
}
