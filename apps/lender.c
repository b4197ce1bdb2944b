// lender: lends memory to a server of its own kind without end, in fair ways and in foul ones, and checks every answer; as that
// service (a manifest entry that serves something) it sums and fills what was lent.
//
//   lender [ROUNDS]     0: without end
//
// Fair: words are summed and filled. Foul: the count is changed while the server reads it, memory is freed while it is lent,
// more is lent than there are places, a grant is named twice. It says how many rounds and epochs there were, each time a number
// has doubled, and stops at the first wrong answer. If the server dies, or a kernel below either, it sees time.
#include "proto/lender.h"
#include "runtime/client.h"
#include "runtime/console.h"
#include "runtime/error_text.h"
#include "runtime/fence.h"
#include "runtime/fiber.h"
#include "runtime/inject.h"
#include "runtime/runtime.h"
#include "runtime/server.h"
#include "runtime/supervision.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGES 20u
#define WORDS (PAGES * PAGE_SIZE / 8)
#define ROUNDS_IN_A_TURN 20u // then others have their turn
#define PAUSE_US 500u
#define FLIPS 200u

static struct client *client;
static volatile uint64_t *memory; // count, words
static uint64_t rounds, epochs, last_epoch;

// --- the server

// The count is copied before it is checked: a client that changes it late changes nothing.
static enum error sum_lent(struct server_request *request, uint64_t result[5])
{
	void *at;
	uint64_t bytes;
	enum error error = server_lent(request, PROT_READ, &at, &bytes);
	if (error != ERR_OK)
		return error;
	const volatile uint64_t *words = at;
	uint64_t count = words[0];
	error = inject("lender.sum");
	if (error != ERR_OK || count > bytes / 8 - 1)
		return error != ERR_OK ? error : ERR_INVALID;
	for (uint64_t i = 1; i <= count; i++)
		result[0] += words[i];
	result[1] = count;
	result[2] = self_epoch();
	return ERR_OK;
}

static enum error fill_lent(struct server_request *request, uint64_t result[5])
{
	void *at;
	enum error error = server_lent(request, PROT_READ | PROT_WRITE, &at, &result[0]);
	for (uint64_t i = 0; error == ERR_OK && i < result[0] / 8; i++)
		((volatile uint64_t *)at)[i] = request->copy.arg[0];
	return error;
}

static void perform(struct server_request *request)
{
	uint64_t result[5] = {0};
	enum error error = request->copy.op == LENDER_OP_SUM ? sum_lent(request, result) : fill_lent(request, result);
	server_complete(request, error, result);
}

static const struct op_description lender_ops[LENDER_OPS] = {
#define X(name, attribute, text) [LENDER_OP_##name] = {#name, text, OP_##attribute},
	LENDER_OP_TABLE(X)
#undef X
};
static const struct protocol lender_protocol = {"lender", lender_ops, LENDER_OPS};

// --- the client

static struct client_request sum_request(void)
{
	return (struct client_request){.op = LENDER_OP_SUM, .lend = (void *)(uintptr_t)memory, .lend_bytes = PAGES * PAGE_SIZE};
}

static enum error fair_sum(void)
{
	struct client_request request = sum_request();
	uint64_t count = 1 + rounds * 37 % (WORDS - 1), wanted = 0;
	memory[0] = count;
	for (uint64_t i = 1; i <= count; i++)
		wanted += memory[i] = rounds + i;
	enum error error = client_call(client, &request);
	if (error == ERR_OK && (request.completion.result[0] != wanted || request.completion.result[1] != count))
		return ERR_CORRUPT;
	epochs += request.completion.result[2] != last_epoch;
	last_epoch = request.completion.result[2];
	return error;
}

static enum error fair_fill(void)
{
	struct client_request request = {.op = LENDER_OP_FILL, .arg = {rounds}, .lend = (void *)(uintptr_t)memory,
					 .lend_bytes = PAGES * PAGE_SIZE, .lend_writable = true};
	enum error error = client_call(client, &request);
	for (uint64_t i = 0; i < WORDS && error == ERR_OK; i++)
		error = memory[i] == rounds ? ERR_OK : ERR_CORRUPT;
	return error;
}

// Writable for the server, but lent to be read only.
static enum error foul_protection(void)
{
	struct client_request request = {
		.op = LENDER_OP_FILL, .arg = {7}, .lend = (void *)(uintptr_t)memory, .lend_bytes = PAGE_SIZE};
	enum error error = client_call(client, &request);
	return error == ERR_DENIED ? ERR_OK : error == ERR_OK ? ERR_CORRUPT : error;
}

// Right, too large by one, and far too large, in turns, as fast as it goes.
static enum error foul_count(void)
{
	static const uint64_t counts[] = {10, WORDS, ~0ull, WORDS - 1, ~0ull / 8};
	struct client_request request = sum_request();
	enum error error = client_submit(client, &request);
	for (unsigned i = 0; error == ERR_OK && i < FLIPS; i++)
		memory[0] = counts[i % 5];
	if (error == ERR_OK)
		error = client_wait(client, &request);
	if (error == ERR_OK && request.completion.result[1] >= WORDS)
		return ERR_CORRUPT;
	return error == ERR_INVALID ? ERR_OK : error;
}

static bool memory_take(void)
{
	memory = (volatile uint64_t *)kcall(CALL_memory_alloc, PAGES).value[0];
	return memory != 0;
}

// Given up while the server may have it. It has the old words, or nothing; what we get next is ours alone and clear.
static enum error foul_free(void)
{
	struct client_request request = sum_request();
	memory[0] = 1;
	memory[1] = 5;
	enum error error = client_submit(client, &request);
	kcall(CALL_memory_free, (uintptr_t)memory);
	if (!memory_take())
		return ERR_NO_MEMORY;
	if (error == ERR_OK)
		error = client_wait(client, &request);
	if (error == ERR_OK && request.completion.result[0] != 5)
		return ERR_CORRUPT;
	for (uint64_t i = 0; i < WORDS; i++)
		if (memory[i])
			return ERR_CORRUPT;
	return error == ERR_HANDLE ? ERR_OK : error;
}

// More than there are places: those beyond are refused, the others answered.
static enum error foul_many(void)
{
	struct client_request requests[GRANT_PLACES + 2];
	enum error error = ERR_OK;
	memory[0] = 0;
	for (unsigned i = 0; i < GRANT_PLACES + 2; i++) {
		requests[i] = sum_request();
		(void)client_submit(client, &requests[i]);
	}
	for (unsigned i = 0; i < GRANT_PLACES + 2; i++) {
		enum error e = client_wait(client, &requests[i]);
		error = e == ERR_OK || e == ERR_STATE ? error : e;
	}
	return error;
}

static enum error one_round(void)
{
	static enum error (*const ways[])(void) = {fair_sum, fair_fill, foul_count, fair_sum, foul_free, foul_protection, foul_many};
	return ways[rounds++ % (sizeof(ways) / sizeof(ways[0]))]();
}

int program_main(void)
{
	static const struct server server = {.protocol = &lender_protocol, .request = perform};
	if (self_manifest()->serves_count > 0)
		return (int)server_run(&server);
	char text[64] = "";
	uint64_t said = 1, said_epochs = 1;
	(void)supervision_argument(text, sizeof(text));
	uint64_t end = strtoull(text, 0, 10);
	enum error error = client_open(&client, "lender", &(struct client_options){.slots = 8});
	if (error == ERR_OK && !memory_take())
		error = ERR_NO_MEMORY;
	while (error == ERR_OK && (end == 0 || rounds < end)) {
		error = one_round();
		if (rounds >= said || epochs >= said_epochs) {
			printf("lender: %" PRIu64 " rounds, %" PRIu64 " epochs\n", rounds, epochs);
			said = 2 * rounds;
			said_epochs = 2 * epochs;
		}
		if (rounds % ROUNDS_IN_A_TURN == 0)
			fiber_sleep_us(PAUSE_US);
	}
	printf("lender: %s after %" PRIu64 " rounds, %" PRIu64 " epochs\n", error ? error_sentence(error) : "well", rounds, epochs);
	console_drain();
	return error != ERR_OK;
}
