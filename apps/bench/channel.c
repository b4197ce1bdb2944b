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

static struct series series;

struct repeated_call {
	struct client *client;
	struct client_request request;
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

static int measure_call(struct client *client, const char *name, struct client_request request, uint64_t per_batch)
{
	struct repeated_call call = {.client = client, .request = request};
	if (bench_count)
		per_batch = (bench_count + BATCHES - 1) / BATCHES;
	call_many(&call, per_batch);
	series_begin(&series, name);
	for (unsigned i = 0; i < BATCHES && call.error == ERR_OK; i++)
		series_batch(&series, call_many, &call, per_batch);
	if (call.error != ERR_OK)
		return bench_complain(name, call.error);
	series_print(&series);
	return 0;
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
	*request = (struct client_request){.op = pipeline.bytes ? PARTNER_OP_SINK : PARTNER_OP_NULL,
					   .out_length = pipeline.bytes,
					   .completed = pipeline_completed};
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
	for (unsigned i = 0; i < DEPTH && pipeline.left > 0 && pipeline.error == ERR_OK; i++)
		pipeline_submit(&pipeline.requests[i]);
	while (pipeline.open > 0)
		fiber_park();
}

static int measure_pipeline(struct client *client, const char *name, uint32_t bytes)
{
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

static int measure_partner(const char *app, const char *title, const char *const names[4], const char *const pipelined[2])
{
	struct partner partner;
	enum error e = partner_start(&partner, app);
	if (e != ERR_OK)
		return bench_complain(app, e);
	series_head(title);
	int status = measure_calls(partner.client, names);
	status |= measure_pipeline(partner.client, pipelined[0], 0);
	status |= measure_pipeline(partner.client, pipelined[1], SMALL);
	partner_stop(&partner);
	return status;
}

int bench_channel(void)
{
	static const char *const far[] = {"call.null", "call.64", "call.64k.out", "call.64k.in"};
	static const char *const near[] = {"near.null", "near.64", "near.64k.out", "near.64k.in"};
	static const char *const far_pipelined[] = {"pipelined", "pipelined.64"};
	static const char *const near_pipelined[] = {"near.pipelined", "near.pipelined.64"};
	int status = measure_partner("partner", "channel call, two cores", far, far_pipelined);
	status |= measure_partner("partner-near", "channel call, one core", near, near_pipelined);
	return status;
}
