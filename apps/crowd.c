// crowd: keeps more than two thousand requests in flight at a server that answers none of them, takes half of them back, and has the
// others answered at once; as that service (a manifest entry that serves something) it lets them wait. Part of the tests.
//
// It fills CHANNELS rings to the last slot, submits one more, sees it wait, and counts how each request ends: none may
// end early, twice, or otherwise than it should. If the server dies, all that waited waits at its next incarnation, and what was
// taken back does not come again.
#include "proto/crowd.h"
#include "runtime/client.h"
#include "runtime/console.h"
#include "runtime/error_text.h"
#include "runtime/fiber.h"
#include "runtime/inject.h"
#include "runtime/runtime.h"
#include "runtime/server.h"
#include <inttypes.h>
#include <stdio.h>

#define CHANNELS 8u
#define SLOTS 256u
#define MANY (CHANNELS * SLOTS)
#define PAUSE_US 500u

// --- the server

static struct server_request *waiting; // linked by `next`, and back by `context`
static uint64_t waiting_count;

static void waiting_put(struct server_request *request)
{
	request->context = 0;
	request->next = waiting;
	if (waiting)
		waiting->context = request;
	waiting = request;
	waiting_count++;
}

static void waiting_end(struct server_request *request, enum error error)
{
	struct server_request *before = request->context, *next = request->next;
	if (before)
		before->next = next;
	else
		waiting = next;
	if (next)
		next->context = before;
	waiting_count--;
	server_complete(request, error, 0);
}

static void serve_one(struct server_request *request)
{
	uint64_t result[5] = {waiting_count, self_epoch()};
	if (request->copy.op == CROWD_OP_WAIT) {
		waiting_put(request);
		return;
	}
	while (request->copy.op == CROWD_OP_LET_GO && waiting)
		waiting_end(waiting, ERR_OK);
	server_complete(request, ERR_OK, result);
}

static void taken_back(struct server_request *request)
{
	(void)inject("crowd.cancelled");
	waiting_end(request, ERR_CANCELLED);
}

static void client_goes(struct server_channel *channel)
{
	for (struct server_request *request = waiting, *next; request; request = next) {
		next = request->next;
		if (request->channel == channel)
			waiting_end(request, ERR_PEER_LOST);
	}
}

static int serve(void)
{
	static const struct op_description ops[CROWD_OPS] = {
#define X(name, attribute, text) [CROWD_OP_##name] = {#name, text, OP_##attribute},
		CROWD_OP_TABLE(X)
#undef X
	};
	static const struct protocol protocol = {"crowd", ops, CROWD_OPS};
	static const struct server server = {.protocol = &protocol, .request = serve_one, .cancelled = taken_back, .closing = client_goes};
	return (int)server_run(&server);
}

// --- the client

static struct client *asking, *channels[CHANNELS];
static struct client_request requests[MANY + 1];
static unsigned ended[ERROR_COUNT];
static unsigned early; // callbacks that could submit though each slot was taken
static uint64_t epochs, last_epoch;

static void wait_ended(struct client_request *request)
{
	uint32_t status = request->completion.status;
	ended[status < ERROR_COUNT ? status : ERR_PROTOCOL]++;
}

static enum error ask(enum crowd_op op, uint64_t *answer)
{
	struct client_request request = {.op = (uint16_t)op};
	enum error e = client_call(asking, &request);
	*answer = request.completion.result[0];
	if (op == CROWD_OP_COUNT && e == ERR_OK && request.completion.result[1] != last_epoch) {
		last_epoch = request.completion.result[1];
		epochs++;
	}
	return e;
}

// Until so many wait there.
static enum error count_await(uint64_t wanted)
{
	uint64_t count = 0;
	enum error e;
	while ((e = ask(CROWD_OP_COUNT, &count)) == ERR_OK && count != wanted)
		fiber_sleep_us(PAUSE_US);
	return e;
}

static enum error channels_open(void)
{
	static const struct client_options few = {.slots = 4}, all = {.slots = SLOTS, .out_bytes = PAGE_SIZE, .in_bytes = PAGE_SIZE, .raw = true};
	enum error e = client_open(&asking, "crowd", &few);
	for (unsigned i = 0; i < CHANNELS && e == ERR_OK; i++)
		e = client_open(&channels[i], "crowd", &all);
	return e;
}

static enum error wait_submit(unsigned i)
{
	requests[i] = (struct client_request){.op = CROWD_OP_WAIT, .patient = true, .completed = wait_ended};
	return client_submit(channels[i % CHANNELS], &requests[i]);
}

// On the loop nobody may wait: there a full ring is ERR_AGAIN.
static void try_on_loop(struct client_request *request)
{
	struct client_request more = {.op = CROWD_OP_WAIT};
	(void)request;
	early += client_submit(channels[0], &more) != ERR_AGAIN;
}

// In a fiber it is time.
static bool submitted_late;

static void one_more(void *argument)
{
	enum error *e = argument;
	*e = wait_submit(MANY);
	submitted_late = true;
}

static enum error fill(enum error *late)
{
	enum error e = ERR_OK;
	for (unsigned i = 0; i < MANY && e == ERR_OK; i++)
		e = wait_submit(i);
	if (e == ERR_OK)
		e = count_await(MANY);
	if (e != ERR_OK)
		return e;
	struct client_request request = {.op = CROWD_OP_COUNT, .completed = try_on_loop};
	e = client_submit(asking, &request);
	if (!fiber_create(one_more, late, "late"))
		return ERR_NO_MEMORY;
	while (e == ERR_OK && !request.done)
		fiber_sleep_us(PAUSE_US);
	early += submitted_late;
	return e;
}

static enum error take_half_back(void)
{
	for (unsigned i = 0; i < MANY; i++)
		if (i / CHANNELS % 2)
			client_cancel(channels[i % CHANNELS], &requests[i]);
	return count_await(MANY / 2 + 1);
}

static enum error run(void)
{
	uint64_t went = 0;
	enum error late = ERR_OK, e = channels_open();
	if (e == ERR_OK)
		e = fill(&late);
	if (e == ERR_OK)
		e = take_half_back();
	unsigned cancelled = ended[ERR_CANCELLED];
	if (e == ERR_OK)
		e = ask(CROWD_OP_LET_GO, &went);
	while (e == ERR_OK && ended[ERR_OK] < went)
		fiber_sleep_us(PAUSE_US);
	printf("crowd: %u in flight, %u taken back, %u answered of %" PRIu64 ", %u early, %" PRIu64 " epochs: %s\n", MANY, cancelled,
	       ended[ERR_OK], went, early, epochs, error_sentence(e ? e : late));
	return e;
}

int program_main(void)
{
	if (self_manifest()->serves_count > 0)
		return serve();
	enum error e = run();
	console_drain();
	return e != ERR_OK;
}
