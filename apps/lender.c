// lender: lends memory to a server of its own kind without end, in fair ways and in foul ones, and checks every answer; as that
// service (a manifest entry that serves something) it sums and fills what was lent.
//
//   lender [ROUNDS]     0: without end
//   lender hold         shares memory until the service is gone; what it shares while a kernel dies it takes back
//
// Fair: words are summed and filled; memory is shared for longer than a request, and given back or taken back. Foul: the count is changed while the server reads it, memory is freed while it is lent,
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
#include <string.h>

#define PAGES 20u
#define WORDS (PAGES * PAGE_SIZE / 8)
#define ROUNDS_IN_A_TURN 20u // then others have their turn
#define PAUSE_US 500u
#define FLIPS 200u
#define SETS 3u

static struct client *client;
static volatile uint64_t *memory; // count, words
static uint64_t rounds, epochs, last_epoch;
static struct server_request *shares; // of all clients: their requests, which are under way

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

// What that client has given last, to this incarnation: the channel's context.
static void given_forget(struct server_channel *channel)
{
	if (server_channel_context(channel))
		kcall(CALL_memory_free, (uintptr_t)server_channel_context(channel));
	server_channel_set_context(channel, 0);
}

static enum error take_given(struct server_request *request, uint64_t result[5])
{
	void *at;
	uint64_t bytes;
	enum error error = server_given(request, &at, &bytes);
	if (error != ERR_OK)
		return error;
	given_forget(request->channel);
	server_channel_set_context(request->channel, at);
	result[0] = self_epoch();
	return *(uint64_t *)at > bytes / 8 - 1 ? ERR_INVALID : ERR_OK; // nobody can change it any more
}

static void sum_given(const struct server_request *request, uint64_t result[5])
{
	const uint64_t *given = server_channel_context(request->channel);
	for (uint64_t i = 1; given && i <= given[0]; i++)
		result[0] += given[i];
	result[1] = self_epoch();
}

static void share_end(struct server_request *share)
{
	struct server_request **at = &shares;
	while (*at != share)
		at = &(*at)->next;
	*at = share->next;
	server_complete(share, ERR_OK, (uint64_t[5]){self_epoch()});
}

static void share_recalled(struct server_request *share)
{
	if (!share->copy.arg[0])
		share_end(share);
}

static void shares_end(struct server_channel *channel)
{
	for (struct server_request *share = shares, *next; share; share = next) {
		next = share->next;
		if (share->channel == channel)
			share_end(share);
	}
}

static void client_is_gone(struct server_channel *channel)
{
	given_forget(channel);
	server_release(channel);
}

// It stays ours when this returns.
static void share_begin(struct server_request *request)
{
	uint64_t bytes;
	enum error error = server_lent(request, PROT_READ | PROT_WRITE, &request->context, &bytes);
	if (error == ERR_OK)
		error = inject("lender.share");
	if (error != ERR_OK) {
		server_complete(request, error, 0);
		return;
	}
	request->next = shares;
	shares = request;
}

static uint64_t shares_set(const struct server_request *request)
{
	uint64_t count = 0;
	for (struct server_request *share = shares; share; share = share->next) {
		if (share->channel != request->channel)
			continue;
		((volatile uint64_t *)share->context)[1] = request->copy.arg[0];
		count++;
	}
	return count;
}

static void perform(struct server_request *request)
{
	uint64_t result[5] = {0};
	enum error error = ERR_OK;
	if (request->copy.op == LENDER_OP_SHARE) {
		share_begin(request);
		return;
	}
	if (request->copy.op == LENDER_OP_SUM)
		error = sum_lent(request, result);
	else if (request->copy.op == LENDER_OP_FILL)
		error = fill_lent(request, result);
	else if (request->copy.op == LENDER_OP_GIVE)
		error = take_given(request, result);
	else if (request->copy.op == LENDER_OP_GIVEN)
		sum_given(request, result);
	else if (request->copy.op == LENDER_OP_SET)
		result[0] = shares_set(request);
	else
		shares_end(request->channel);
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

static enum error share_begin_and_set(struct client_request *share, bool stays)
{
	*share = (struct client_request){.op = LENDER_OP_SHARE, .arg = {stays}, .patient = true, .lend = (void *)(uintptr_t)memory,
					 .lend_bytes = PAGES * PAGE_SIZE, .lend_writable = true};
	enum error error = client_submit(client, share);
	for (unsigned i = 1; i <= SETS && error == ERR_OK; i++) {
		struct client_request set = {.op = LENDER_OP_SET, .arg = {rounds + i}};
		error = client_call(client, &set);
		if (error == ERR_OK && (set.completion.result[0] != 1 || memory[1] != rounds + i))
			error = ERR_CORRUPT;
	}
	return error;
}

// Whatever the server does now, it does not do to our memory.
static enum error share_is_over(void)
{
	struct client_request set = {.op = LENDER_OP_SET, .arg = {1}};
	memory[1] = 2;
	enum error error = client_call(client, &set);
	return error == ERR_OK && memory[1] != 2 ? ERR_CORRUPT : error;
}

static enum error fair_share(void)
{
	struct client_request share, release = {.op = LENDER_OP_RELEASE};
	enum error error = share_begin_and_set(&share, false);
	if (error == ERR_OK)
		error = client_call(client, &release);
	if (error == ERR_OK)
		error = client_wait(client, &share);
	return error == ERR_OK ? share_is_over() : error;
}

// Taken back while the server may write to it.
static enum error fair_take_back(void)
{
	struct client_request share, set = {.op = LENDER_OP_SET, .arg = {3}};
	enum error error = share_begin_and_set(&share, false);
	if (error == ERR_OK)
		error = client_submit(client, &set);
	if (error == ERR_OK)
		error = client_take_back(client, &share);
	memory[1] = 4;
	if (error == ERR_OK)
		error = client_wait(client, &set);
	if (error == ERR_OK && memory[1] != 4)
		return ERR_CORRUPT;
	enum error ended = error == ERR_OK ? client_wait(client, &share) : error;
	return ended == ERR_OK || ended == ERR_HANDLE ? share_is_over() : ended; // HANDLE: for an incarnation that came too late
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

// Ours until it is answered. If the server has died since then, what we gave it has died with it.
static enum error fair_give(void)
{
	struct client_request give = sum_request(), sum = {.op = LENDER_OP_GIVEN};
	give.op = LENDER_OP_GIVE;
	memory[0] = 2;
	memory[1] = rounds;
	memory[2] = 1;
	enum error error = client_give(client, &give);
	if (error != ERR_OK)
		return error;
	if (kcall(CALL_memory_free, (uintptr_t)memory).error != ERR_INVALID || !memory_take())
		return ERR_CORRUPT;
	error = client_call(client, &sum);
	bool same = sum.completion.result[1] == give.completion.result[0];
	return error == ERR_OK && same && sum.completion.result[0] != rounds + 1 ? ERR_CORRUPT : error;
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

static uint64_t kernels_begun(void)
{
	static struct info_page page; // too large for the stack
	uint64_t begun = 0;
	for (unsigned i = 0; info_read(i, &page); i++)
		begun += page.incarnation;
	return begun;
}

// Sets words until a kernel has died that had `begun`, and some more. They are seen here, or what was taken back stays as it is.
static enum error set_beyond_a_death(uint64_t stays, uint64_t begun)
{
	enum error error = ERR_OK;
	for (uint64_t i = 1, more = 4 * SETS; error == ERR_OK && more; i++) {
		struct client_request set = {.op = LENDER_OP_SET, .arg = {i}};
		error = client_call(client, &set);
		bool shared = stays || set.completion.result[0] == 1; // an incarnation that comes later does not get what was taken back
		if (error == ERR_OK && (!shared || memory[1] != (stays ? stays : i)))
			error = ERR_CORRUPT;
		more -= kernels_begun() > begun;
		fiber_sleep_us(10 * PAUSE_US);
	}
	return error;
}

// Kernels die while it is shared; then again, while the server has what was taken back. Who kills them waits for what is said, so they are
// counted before.
static enum error hold_one(struct client_request *share, uint64_t n)
{
	struct client_request release = {.op = LENDER_OP_RELEASE};
	enum error error = share_begin_and_set(share, true);
	uint64_t begun = kernels_begun();
	printf("lender: holds share %" PRIu64 "\n", n);
	if (error == ERR_OK)
		error = set_beyond_a_death(0, begun);
	if (error == ERR_OK)
		error = client_take_back(client, share);
	memory[1] = ~0ull;
	if (error != ERR_OK)
		return error;
	begun = kernels_begun();
	printf("lender: has taken back share %" PRIu64 "\n", n);
	error = set_beyond_a_death(~0ull, begun);
	if (error == ERR_OK)
		error = client_call(client, &release);
	if (error == ERR_OK)
		error = client_wait(client, share);
	return error == ERR_HANDLE ? ERR_OK : error; // of that incarnation
}

// Until the service is gone; then what is shared is asked for.
static enum error hold(void)
{
	struct client_request share;
	enum error error = ERR_OK;
	for (uint64_t n = 1; error == ERR_OK; n++)
		error = hold_one(&share, n);
	printf("lender: no more: %s; taken back: %s\n", error_sentence(error), error_sentence(client_take_back(client, &share)));
	return error;
}

static enum error one_round(void)
{
	static enum error (*const ways[])(void) = {fair_sum, fair_fill, fair_share, foul_count, fair_take_back, fair_give, foul_free, foul_protection,
						 foul_many};
	return ways[rounds++ % (sizeof(ways) / sizeof(ways[0]))]();
}

int program_main(void)
{
	static const struct server server = {
		.protocol = &lender_protocol, .request = perform, .recalled = share_recalled, .closing = shares_end, .closed = client_is_gone};
	if (self_manifest()->serves_count > 0)
		return (int)server_run(&server);
	char text[64] = "";
	uint64_t said = 1, said_epochs = 1;
	(void)supervision_argument(text, sizeof(text));
	uint64_t end = strtoull(text, 0, 10);
	enum error error = client_open(&client, "lender", &(struct client_options){.slots = 8});
	if (error == ERR_OK && !memory_take())
		error = ERR_NO_MEMORY;
	if (error == ERR_OK && strcmp(text, "hold") == 0)
		error = hold();
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
