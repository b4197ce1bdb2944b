// Topic: calls between two domains of one core by endpoint, and the null call. Both sides use the inlined instruction,
// so that the counts are the kernel's path and the least that a caller needs.
//
// If the partner dies, its calls come back with ERR_RESTARTED or ERR_PEER_LOST, and the topic complains.
#include "apps/bench/bench.h"
#include "runtime/client.h"
#include "runtime/csr.h"
#include "runtime/endpoint_trap.h"
#include "runtime/fence.h"
#include "runtime/fiber.h"
#include "runtime/kernel_call.h"
#include "runtime/runtime.h"
#include <string.h>

#define BATCHES 100u

static struct series series;
static enum error failed; // the last error of a call

enum error rounds_at_endpoint(struct rounds *rounds, uint64_t calls)
{
	struct endpoint_words words = {{0}};
	uint64_t whom = ENDPOINT_NOBODY;
	kcall(CALL_endpoint_serve);
	store64(rounds->mine, 1);
	for (uint64_t taken = 0; taken < calls;) {
		struct endpoint_result r = endpoint_trap(CALL_endpoint_receive, whom, &words);
		whom = r.error == ERR_OK ? 0 : ENDPOINT_NOBODY;
		taken += r.error == ERR_OK;
		while (r.error == ERR_AGAIN && interrupt_claim() != 0)
			;
	}
	endpoint_trap(CALL_endpoint_reply, 0, &words);
	loop_on_event(0); // kernel events that were claimed meanwhile: look
	return ERR_OK;
}

// ---- what is measured

static void null_calls(void *context, uint64_t operations)
{
	(void)context;
	for (uint64_t i = 0; i < operations; i++)
		kernel_null();
}

static void calls_of_0(void *context, uint64_t operations)
{
	uint64_t door = *(const uint64_t *)context;
	for (uint64_t i = 0; i < operations; i++)
		failed |= endpoint_trap_0(CALL_endpoint_call, door).error;
}

static void calls_of_4(void *context, uint64_t operations)
{
	uint64_t door = *(const uint64_t *)context, words[4] = {1, 2, 3, 4};
	for (uint64_t i = 0; i < operations; i++)
		failed |= endpoint_trap_4(CALL_endpoint_call, door, words).error;
	failed |= words[3] == 4 ? ERR_OK : ERR_PROTOCOL;
}

static void calls_of_8(void *context, uint64_t operations)
{
	uint64_t door = *(const uint64_t *)context;
	struct endpoint_words words = {{1, 2, 3, 4, 5, 6, 7, 8}};
	for (uint64_t i = 0; i < operations; i++)
		failed |= endpoint_trap(CALL_endpoint_call, door, &words).error;
	failed |= words.word[7] == 8 ? ERR_OK : ERR_PROTOCOL;
}

static const struct endpoint_row {
	const char *name;
	void (*body)(void *context, uint64_t operations);
} rows[] = {{"endpoint.0", calls_of_0}, {"endpoint.4", calls_of_4}, {"endpoint.8", calls_of_8}};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void measure_row(const char *name, void (*body)(void *context, uint64_t operations), void *context, uint64_t count)
{
	series_begin(&series, name);
	for (unsigned i = 0; i < BATCHES; i++)
		series_batch(&series, body, context, count);
	series_print(&series);
}

static enum error measure_calls(struct partner *partner, uint64_t per_batch)
{
	struct client *client = partner->client;
	struct client_request request = {.op = PARTNER_OP_ROUNDS,
					 .arg = {PARTNER_ENDPOINT, ROWS * BATCHES * per_batch},
					 .patient = true,
					 .out_length = sizeof(struct partner_word),
					 .in_length = sizeof(struct partner_word)};
	enum error e = rounds_ask(client, &request, client_in(client)); // it takes calls from then on
	uint64_t name[2] = {0};
	memcpy(name, "partner-near", 12);
	struct kernel_result door = kcall(CALL_endpoint_open, name[0], name[1]);
	if (e != ERR_OK || door.error != ERR_OK)
		return e != ERR_OK ? e : door.error;
	for (unsigned i = 0; i < ROWS; i++)
		measure_row(rows[i].name, rows[i].body, &door.value[0], per_batch);
	kcall(CALL_endpoint_close, door.value[0]);
	e = client_wait(client, &request);
	return failed != ERR_OK ? failed : e;
}

int bench_endpoint(void)
{
	struct partner partner;
	uint64_t per_batch = bench_count ? (bench_count + BATCHES - 1) / BATCHES : 200;
	enum error e = partner_start(&partner, "partner-near", 0);
	if (e != ERR_OK)
		return bench_complain("partner-near", e);
	series_head("call and answer, one core");
	measure_row("null.call", null_calls, 0, per_batch);
	e = measure_calls(&partner, per_batch);
	partner_stop(&partner);
	return e == ERR_OK ? 0 : bench_complain("endpoint", e);
}
