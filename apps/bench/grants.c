// Topic: large payloads by copy through the channel and by grant, to a server on another core and on this one.
//
// By copy the caller's memory is copied into the channel, or out of it, as any program's is; by grant the server uses the
// caller's pages. In both the server reads every word (out) or writes every byte (in). `grant.N` is what a grant of N pages costs
// that nobody looks at, beyond an empty call: lent, mapped, unmapped with its shootdown, told. If this domain dies, so do the grants.
#include "apps/bench/bench.h"
#include "runtime/client.h"
#include "runtime/kernel_call.h"
#include <stdio.h>

#define BATCHES 50u
#define LARGEST 0x40000u

static const struct size {
	uint32_t bytes;
	const char *name;
} sizes[] = {{0x1000, "4k"}, {0x4000, "16k"}, {0x10000, "64k"}, {LARGEST, "256k"}};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static struct series series;
static char names[200][24]; // series keep theirs
static unsigned name_count;

struct repeated {
	struct client *client;
	struct client_request request;
	enum error error;
};

static void call_many(void *context, uint64_t operations)
{
	struct repeated *call = context;
	for (uint64_t i = 0; i < operations && call->error == ERR_OK; i++) {
		struct client_request request = call->request;
		call->error = client_call(call->client, &request);
		if (request.lend && call->error == ERR_OK && request.completion.result[0] == 0)
			call->error = ERR_CORRUPT; // the server did not get it
	}
}

// Instructions of the fastest batch.
static uint64_t measure(struct client *client, const char *place, const char *way, const char *size, struct client_request request,
			enum error *error)
{
	struct repeated call = {.client = client, .request = request, .error = *error};
	uint64_t per_batch = bench_count ? (bench_count + BATCHES - 1) / BATCHES : 20;
	char *name = names[name_count++ % (sizeof(names) / sizeof(names[0]))];
	snprintf(name, sizeof(names[0]), "%s%s%s", place, way, size);
	call_many(&call, per_batch);
	series_begin(&series, name);
	for (unsigned i = 0; i < BATCHES && call.error == ERR_OK; i++)
		series_batch(&series, call_many, &call, per_batch);
	*error = call.error;
	if (call.error != ERR_OK)
		return 0;
	series_print(&series);
	return series.instructions[0];
}

static enum error measure_sizes(struct client *client, const char *place, uint8_t *memory)
{
	enum error e = ERR_OK;
	for (unsigned i = 0; i < SIZES && e == ERR_OK; i++) {
		uint32_t n = sizes[i].bytes;
		struct client_request out = {.op = PARTNER_OP_SINK, .out = memory, .out_length = n};
		struct client_request in = {.op = PARTNER_OP_SOURCE, .arg = {1}, .in = memory, .in_length = n};
		struct client_request lent_out = {.op = PARTNER_OP_SINK, .lend = memory, .lend_bytes = n};
		struct client_request lent_in = {
			.op = PARTNER_OP_SOURCE, .arg = {1}, .lend = memory, .lend_bytes = n, .lend_writable = true};
		memory[0] = 1;
		measure(client, place, "copy.out.", sizes[i].name, out, &e);
		measure(client, place, "lend.out.", sizes[i].name, lent_out, &e);
		measure(client, place, "copy.in.", sizes[i].name, in, &e);
		measure(client, place, "lend.in.", sizes[i].name, lent_in, &e);
	}
	return e;
}

static enum error measure_grant(struct client *client, const char *place, uint8_t *memory)
{
	enum error e = ERR_OK;
	char name[24];
	uint64_t empty = measure(client, place, "call.", "empty", (struct client_request){.op = PARTNER_OP_NULL}, &e);
	for (unsigned i = 0; i < SIZES && e == ERR_OK; i++) {
		struct client_request take = {.op = PARTNER_OP_TAKE, .lend = memory, .lend_bytes = sizes[i].bytes};
		uint64_t all = measure(client, place, "take.", sizes[i].name, take, &e);
		snprintf(name, sizeof(name), "%sgrant", place);
		if (bench_icount && e == ERR_OK)
			bench_figure(name, sizes[i].name, all - empty, "instructions");
	}
	return e;
}

static int measure_partner(const char *app, const char *title, const char *place, uint8_t *memory)
{
	static const struct client_options options = {.slots = 2, .out_bytes = 2 * LARGEST, .in_bytes = 2 * LARGEST};
	struct partner partner;
	enum error e = partner_start(&partner, app, &options);
	if (e != ERR_OK)
		return bench_complain(app, e);
	series_head(title);
	e = measure_grant(partner.client, place, memory);
	if (e == ERR_OK)
		e = measure_sizes(partner.client, place, memory);
	partner_stop(&partner);
	return e == ERR_OK ? 0 : bench_complain(title, e);
}

int bench_grants(void)
{
	struct kernel_result memory = kcall(CALL_memory_alloc, LARGEST / PAGE_SIZE);
	if (memory.error != ERR_OK)
		return bench_complain("memory", memory.error);
	uint8_t *at = (uint8_t *)memory.value[0];
	int status = measure_partner("partner", "payload, two cores", "", at);
	status |= measure_partner("partner-near", "payload, one core", "near.", at);
	kcall(CALL_memory_free, memory.value[0]);
	return status;
}
