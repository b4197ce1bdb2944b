// Topics about channels: null call, small and large payloads, pipelined requests.
//
// Uses the client library as any program does, but for the raw areas, which it fills once: what is measured is the
// protocol, not memset.
#include "apps/bench/bench.h"
#include "runtime/client.h"
#include "runtime/fiber.h"
#include "runtime/runtime.h"
#include <stdio.h>

#define BATCHES 100u
#define SMALL 64u
#define LARGE 65536u
#define DEPTH 32u
#define CROWD_MAX 48u    // fibers
#define CROWD_CALLS 4096u // of all of them, in a batch
#define LENGTH(array) (unsigned)(sizeof(array) / sizeof((array)[0]))

static struct series series;

struct repeated_call {
	struct client *client;
	struct client_request request;
	unsigned at_once; // of quick ones
	enum error error;
};

static void call_many(void *context, uint64_t operations)
{
	struct repeated_call *call = context;
	for (uint64_t i = 0; i < operations && call->error == ERR_OK; i++) {
		struct client_request request = call->request;
		call->error = client_call(call->client, &request);
	}
}

static void quick_many(void *context, uint64_t operations)
{
	struct repeated_call *call = context;
	for (uint64_t i = 0; i < operations && call->error == ERR_OK; i++) {
		quick_answer_t answer = client_quick(call->client, PARTNER_OP_QUICK, i, 0, 0);
		call->error = quick_result(answer) == i + 1 ? quick_error(answer) : ERR_PROTOCOL;
	}
}

// So many at once, again and again.
static struct quick_call quick_calls[1000];

static void quick_at_once(void *context, uint64_t operations)
{
	struct repeated_call *call = context;
	for (uint64_t left = operations; left > 0;) {
		unsigned n = left < call->at_once ? (unsigned)left : call->at_once;
		client_quick_all(call->client, quick_calls, n);
		left -= n;
	}
}

static void quick_calls_prepare(void)
{
	for (unsigned i = 0; i < LENGTH(quick_calls); i++)
		quick_calls[i] = (struct quick_call){.op = PARTNER_OP_QUICK, .arg = {i}};
}

// Those that were not called have the result 0.
static enum error quick_calls_check(void)
{
	for (unsigned i = 0; i < LENGTH(quick_calls); i++)
		if (quick_calls[i].error != ERR_OK || (quick_calls[i].result != i + 1 && quick_calls[i].result != 0))
			return ERR_PROTOCOL;
	return quick_calls[0].result == 1 ? ERR_OK : ERR_PROTOCOL;
}

// A measurement's body, with its own number of operations for a batch.
static int measure_body(const char *name, void (*body)(void *context, uint64_t operations), struct repeated_call *call,
			uint64_t per_batch)
{
	if (bench_count)
		per_batch = (bench_count + BATCHES - 1) / BATCHES;
	body(call, per_batch); // warm
	series_begin(&series, name);
	for (unsigned i = 0; i < BATCHES && call->error == ERR_OK; i++)
		series_batch(&series, body, call, per_batch);
	if (call->error != ERR_OK)
		return bench_complain(name, call->error);
	series_print(&series);
	return 0;
}

static enum error partner_spins(struct client *client, bool spins)
{
	struct client_request request = {.op = PARTNER_OP_SPIN, .arg = {spins}};
	client_never_spins(client, !spins);
	return client_call(client, &request);
}

// In the rows `asleep` both sides go to sleep at once, so each call wakes both.
static int measure_quick(struct client *client, const char *quick, const char *const asleep[2])
{
	struct repeated_call call = {.client = client, .request = {.op = PARTNER_OP_NULL}};
	int status = measure_body(quick, quick_many, &call, 200);
	call.error = partner_spins(client, false);
	status |= measure_body(asleep[0], call_many, &call, 200);
	status |= measure_body(asleep[1], quick_many, &call, 200);
	return status | (partner_spins(client, true) != ERR_OK);
}

static int measure_quick_at_once(struct client *client, const char *name, unsigned at_once)
{
	struct repeated_call call = {.client = client, .at_once = at_once};
	quick_calls_prepare();
	int status = measure_body(name, quick_at_once, &call, LENGTH(quick_calls));
	enum error e = quick_calls_check();
	return e == ERR_OK ? status : bench_complain(name, e);
}

static int measure_call(struct client *client, const char *name, struct client_request request, uint64_t per_batch)
{
	struct repeated_call call = {.client = client, .request = request};
	return measure_body(name, call_many, &call, per_batch);
}

static int measure_calls(struct client *client, const char *const names[4])
{
	int status = measure_call(client, names[0], (struct client_request){.op = PARTNER_OP_NULL}, 200);
	status |= measure_call(client, names[1],
			       (struct client_request){.op = PARTNER_OP_SINK, .out_length = SMALL, .in_length = SMALL}, 200);
	status |= measure_call(client, names[2],
			       (struct client_request){.op = PARTNER_OP_SINK, .out_length = LARGE}, 20);
	status |= measure_call(client, names[3],
			       (struct client_request){.op = PARTNER_OP_SOURCE, .in_length = LARGE}, 20);
	return status;
}

// --- pipelined: DEPTH in flight, each completion submits the next

static struct pipeline {
	struct client *client;
	struct client_request requests[DEPTH];
	enum partner_op op;
	unsigned depth;
	uint32_t bytes; // that each request takes along
	uint64_t left;  // to be submitted
	uint64_t open;  // submitted, not completed
	enum error error;
	struct fiber *waiter;
} pipeline;

static void pipeline_submit(struct client_request *request);

static void pipeline_completed(struct client_request *request)
{
	pipeline.open--;
	if (request->completion.status != ERR_OK)
		pipeline.error = (enum error)request->completion.status;
	if (pipeline.left > 0 && pipeline.error == ERR_OK)
		pipeline_submit(request);
	if (pipeline.open == 0)
		fiber_wake(pipeline.waiter);
}

static void pipeline_submit(struct client_request *request)
{
	enum error e = client_submit(pipeline.client, request);
	if (e != ERR_OK) {
		pipeline.error = e;
		return;
	}
	pipeline.left--;
	pipeline.open++;
}

static void pipeline_run(void *context, uint64_t operations)
{
	(void)context;
	pipeline.left = operations;
	for (unsigned i = 0; i < pipeline.depth && pipeline.left > 0 && pipeline.error == ERR_OK; i++) {
		pipeline.requests[i] = (struct client_request){
			.op = pipeline.op, .out_length = pipeline.bytes, .completed = pipeline_completed};
		pipeline_submit(&pipeline.requests[i]);
	}
	while (pipeline.open > 0)
		fiber_park();
}

static int measure_pipeline(struct client *client, const char *name, unsigned depth, uint32_t bytes)
{
	pipeline.op = bytes ? PARTNER_OP_SINK : PARTNER_OP_NULL;
	pipeline.depth = depth;
	pipeline.client = client;
	pipeline.bytes = bytes;
	pipeline.waiter = fiber_self();
	pipeline.error = ERR_OK;
	series_begin(&series, name);
	for (unsigned i = 0; i < BATCHES && pipeline.error == ERR_OK; i++)
		series_batch(&series, pipeline_run, 0, 1000);
	if (pipeline.error != ERR_OK)
		return bench_complain(name, pipeline.error);
	uint64_t median = series_median(&series);
	series_print(&series);
	bench_figure(name, "rate", median ? 1000000000ull / median : 0, "requests/s");
	return 0;
}

// --- fibers, each of which waits for a quick call of its own

static struct crowd {
	struct client *client;
	uint64_t left; // calls
	unsigned running;
	enum error error;
	struct fiber *waiter;
} crowd;

// It has one batch after the other.
static void crowd_member(void *argument)
{
	(void)argument;
	for (;;) {
		fiber_park();
		while (crowd.left > 0) {
			uint64_t word = crowd.left--;
			quick_answer_t answer = client_quick(crowd.client, PARTNER_OP_QUICK, word, 0, 0);
			if (__builtin_expect(answer != quick_answer(ERR_OK, word + 1), 0))
				crowd.error = quick_error(answer) ? quick_error(answer) : ERR_PROTOCOL;
		}
		if (--crowd.running == 0)
			fiber_wake(crowd.waiter);
	}
}

static struct fiber *members[CROWD_MAX]; // who is there

static void crowd_run(void *context, uint64_t operations)
{
	const unsigned *fibers = context;
	crowd.left = operations;
	crowd.running = *fibers;
	for (unsigned i = 0; i < *fibers; i++)
		fiber_wake(members[i]);
	while (crowd.running > 0)
		fiber_park();
}

static int measure_crowd(struct client *client, const char *name, unsigned fibers)
{
	crowd = (struct crowd){.client = client, .waiter = fiber_self()};
	for (unsigned i = 0; i < fibers; i++)
		if (!members[i] && !(members[i] = fiber_create(crowd_member, 0, "crowd")))
			return bench_complain(name, ERR_NO_MEMORY);
	series_begin(&series, name);
	for (unsigned i = 0; i < BATCHES && crowd.error == ERR_OK; i++)
		series_batch(&series, crowd_run, &fibers, bench_count && bench_count < CROWD_CALLS ? bench_count : CROWD_CALLS);
	if (crowd.error != ERR_OK)
		return bench_complain(name, crowd.error);
	series_print(&series);
	return 0;
}

// How much is in flight at a time: what asynchronous calls gain over client_call, and from when on.
static int measure_depths(struct client *client)
{
	static const struct depth_row {
		const char *name, *quick;
		unsigned depth;
	} rows[] = {{"async.1", "quick.1", 1}, {"async.2", "quick.2", 2}, {"async.4", "quick.4", 4}, {"async.8", "quick.8", 8}, {"async.32", "quick.32", 32}};
	int status = 0;
	for (unsigned i = 0; i < LENGTH(rows); i++)
		status |= measure_pipeline(client, rows[i].name, rows[i].depth, 0);
	for (unsigned i = 0; i < LENGTH(rows); i++)
		status |= measure_quick_at_once(client, rows[i].quick, rows[i].depth);
	status |= measure_crowd(client, "quick.fibers.2", 2);
	status |= measure_crowd(client, "quick.fibers.8", 8);
	status |= measure_crowd(client, "quick.fibers.32", 32);
	status |= measure_crowd(client, "quick.fibers.48", CROWD_MAX);
	return status;
}

// The rows of one partner.
struct partner_rows {
	const char *app, *title;
	const char *calls[4];
	const char *quick;
	const char *quick_pipelined;
	const char *asleep[2];
	const char *pipelined[2]; // empty, and with SMALL bytes
	bool depths;
};

static int measure_partner(const struct partner_rows *rows)
{
	struct partner partner;
	enum error e = partner_start(&partner, rows->app, 0);
	if (e != ERR_OK)
		return bench_complain(rows->app, e);
	series_head(rows->title);
	int status = measure_calls(partner.client, rows->calls);
	status |= measure_quick(partner.client, rows->quick, rows->asleep);
	status |= measure_quick_at_once(partner.client, rows->quick_pipelined, LENGTH(quick_calls));
	status |= measure_pipeline(partner.client, rows->pipelined[0], DEPTH, 0);
	status |= measure_pipeline(partner.client, rows->pipelined[1], DEPTH, SMALL);
	if (rows->depths)
		status |= measure_depths(partner.client);
	partner_stop(&partner);
	return status;
}

int bench_channel(void)
{
	static const struct partner_rows far = {.app = "partner",
						.title = "channel call, two cores",
						.calls = {"call.null", "call.64", "call.64k.out", "call.64k.in"},
						.quick = "quick",
						.quick_pipelined = "quick.pipelined",
						.asleep = {"call.asleep", "quick.asleep"},
						.pipelined = {"pipelined", "pipelined.64"},
						.depths = true};
	static const struct partner_rows near = {.app = "partner-near",
						 .title = "channel call, one core",
						 .calls = {"near.null", "near.64", "near.64k.out", "near.64k.in"},
						 .quick = "near.quick",
						 .quick_pipelined = "near.quick.pipelined",
						 .asleep = {"near.asleep", "near.quick.asleep"},
						 .pipelined = {"near.pipelined", "near.pipelined.64"}};
	return measure_partner(&far) | measure_partner(&near);
}
