// fibers: has two thousand fibers that wait at the same time. As the service "crowd" (a manifest entry that serves something) it lets as many
// requests wait, each in a fiber of its own. Part of the tests.
//
//   fibers sleep           each sleeps until a time of its own and waits for a flag; twice, so that the stacks are used again
//   fibers ask             each asks the service "crowd" for what is answered when all of them wait there
//   fibers fall N [reborn] number N comes to the end of its stack; reborn: when the kernel below has died and come back
//
// It counts how the fibers end. If the server dies, all that waited waits at its next incarnation.
#include "proto/crowd.h"
#include "runtime/await.h"
#include "runtime/client.h"
#include "runtime/console.h"
#include "runtime/error_text.h"
#include "runtime/fiber.h"
#include "runtime/machine.h"
#include "runtime/runtime.h"
#include "runtime/server.h"
#include "runtime/supervision.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANY 2000u
#define CHANNELS 8u
#define SLOTS 256u
#define PAUSE_US 500u
#define SLEEP_US 10u // between two that wake
#define LONG_TICKS (1ull << 40)

// --- the server

struct waiter {
	struct fiber *fiber;
	struct server_channel *channel;
	struct waiter *next;
	enum error error;
	bool over;
};

static struct waiter *waiters;
static uint64_t waiting_count;

// All, or those of one channel.
static uint64_t waiters_end(const struct server_channel *channel, enum error error)
{
	uint64_t ended = 0;
	for (struct waiter **at = &waiters; *at;) {
		struct waiter *w = *at;
		if (channel && w->channel != channel) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		w->error = error;
		w->over = true;
		fiber_wake(w->fiber);
		ended++;
	}
	waiting_count -= ended;
	return ended;
}

static void serve_one(struct server_request *request)
{
	struct waiter self = {.fiber = fiber_self(), .channel = request->channel, .next = waiters};
	uint64_t result[5] = {waiting_count, self_epoch()};
	if (request->copy.op == CROWD_OP_WAIT) {
		waiters = &self;
		waiting_count++;
		while (!self.over)
			fiber_park();
	} else if (request->copy.op == CROWD_OP_LET_GO) {
		result[0] = waiters_end(0, ERR_OK);
	}
	server_complete(request, self.error, result);
}

static void client_goes(struct server_channel *channel)
{
	(void)waiters_end(channel, ERR_PEER_LOST);
}

static int serve(void)
{
	static const struct op_description ops[CROWD_OPS] = {
#define X(name, attribute, text) [CROWD_OP_##name] = {#name, text, OP_##attribute},
		CROWD_OP_TABLE(X)
#undef X
	};
	static const struct protocol protocol = {"crowd", ops, CROWD_OPS};
	static const struct server server = {
		.protocol = &protocol, .request = serve_one, .closing = client_goes, .fibers = MANY + 2, .small_stacks = true};
	return (int)server_run(&server);
}

// --- fibers that wait

static struct fiber *fibers_made[MANY];
static struct flag flags[MANY];
static unsigned waiting, ended;

static enum error make_all(struct fiber *(*create)(void (*entry)(void *argument), void *argument, const char *name),
			   void (*entry)(void *argument))
{
	waiting = ended = 0;
	for (unsigned i = 0; i < MANY; i++) {
		flags[i] = (struct flag){0};
		fibers_made[i] = create(entry, (void *)(uintptr_t)i, "one of many");
		if (!fibers_made[i])
			return ERR_NO_MEMORY;
	}
	return ERR_OK;
}

static void until_all(const unsigned *count)
{
	while (*count < MANY)
		fiber_sleep_us(PAUSE_US);
}

static void wait_for_flag(unsigned i, uint64_t deadline)
{
	const struct await flag = {.flag = &flags[i]};
	waiting++;
	(void)await_any(&flag, 1, deadline);
}

// They wake in another order than they were made in.
static void sleep_one(void *argument)
{
	unsigned i = (unsigned)(uintptr_t)argument;
	fiber_sleep_us(i * 7919 % MANY * SLEEP_US);
	wait_for_flag(i, i % 2 ? AWAIT_FOREVER : time_now() + LONG_TICKS - i);
	ended++;
}

static enum error sleep_all(void)
{
	uint32_t frames[2] = {0, 0};
	for (unsigned turn = 0; turn < 2; turn++) {
		enum error e = make_all(fiber_create, sleep_one);
		if (e != ERR_OK)
			return e;
		until_all(&waiting);
		frames[turn] = machine_info(self_core())->domains[self_domain()].frames;
		printf("fibers: %u wait, %u have ended\n", waiting, ended);
		for (unsigned i = 0; i < MANY; i++)
			flag_raise(&flags[i]);
		until_all(&ended);
	}
	printf("fibers: %u have ended, %" PRId32 " pages more at the second time\n", ended, (int32_t)(frames[1] - frames[0]));
	return ERR_OK;
}

// --- fibers that ask

static struct client *asking, *channels[CHANNELS];
static unsigned answered[ERROR_COUNT];

static void ask_one(void *argument)
{
	struct client_request request = {.op = CROWD_OP_WAIT, .patient = true};
	enum error e = client_call(channels[(uintptr_t)argument % CHANNELS], &request);
	answered[e < ERROR_COUNT ? e : ERR_PROTOCOL]++;
	ended++;
}

static enum error ask(enum crowd_op op, uint64_t answer[2])
{
	struct client_request request = {.op = (uint16_t)op};
	enum error e = client_call(asking, &request);
	memcpy(answer, request.completion.result, 2 * sizeof(answer[0]));
	return e;
}

static enum error ask_all(void)
{
	static const struct client_options few = {.slots = 4}, all = {.slots = SLOTS, .out_bytes = PAGE_SIZE, .in_bytes = PAGE_SIZE, .raw = true};
	uint64_t there[2] = {0, 0}, went[2] = {0, 0};
	enum error e = client_open(&asking, "crowd", &few);
	for (unsigned i = 0; i < CHANNELS && e == ERR_OK; i++)
		e = client_open(&channels[i], "crowd", &all);
	if (e == ERR_OK)
		e = make_all(fiber_create_small, ask_one);
	while (e == ERR_OK && (e = ask(CROWD_OP_COUNT, there)) == ERR_OK && there[0] != MANY)
		fiber_sleep_us(PAUSE_US);
	if (e == ERR_OK)
		e = ask(CROWD_OP_LET_GO, went);
	if (e != ERR_OK)
		return e;
	until_all(&ended);
	printf("fibers: %" PRIu64 " waited at epoch %" PRIu64 ", %u were answered\n", went[0], there[1], answered[ERR_OK]);
	return ERR_OK;
}

// --- one that falls

static unsigned falling;

static __attribute__((noipa)) unsigned fall(unsigned depth)
{
	volatile char here[1024];
	here[0] = (char)depth;
	if (here[0] == (char)depth) // always: the compiler does not know
		return fall(depth + 1) + (unsigned)here[1];
	return depth;
}

static void fall_one(void *argument)
{
	unsigned i = (unsigned)(uintptr_t)argument;
	wait_for_flag(i, AWAIT_FOREVER);
	if (i == falling)
		(void)fall(0);
	ended++;
}

static enum error reborn_await(void)
{
	const volatile uint32_t *incarnation = &machine_info(self_core())->incarnation;
	uint32_t before = *incarnation;
	enum error e = supervision_open();
	if (e == ERR_OK)
		e = supervision_core_crash(1ul << self_core(), CORE_CRASH_PANIC, 0);
	while (e == ERR_OK && *incarnation == before)
		fiber_sleep_us(PAUSE_US);
	return e;
}

static enum error fall_alone(const char *words)
{
	char *rest;
	falling = (unsigned)strtoul(words, &rest, 10) % MANY;
	enum error e = make_all(fiber_create, fall_one);
	if (e != ERR_OK)
		return e;
	until_all(&waiting);
	printf("fibers: %u wait, the stack of number %u ends in the page of 0x%lx\n", waiting, falling, (unsigned long)(uintptr_t)fibers_made[falling]);
	console_drain();
	if (strcmp(rest, " reborn") == 0)
		e = reborn_await();
	if (e == ERR_OK)
		flag_raise(&flags[falling]);
	while (e == ERR_OK)
		fiber_park();
	return e;
}

int program_main(void)
{
	static char words[128];
	if (self_manifest()->serves_count > 0)
		return serve();
	enum error e = console_open();
	if (e == ERR_OK)
		e = supervision_argument(words, sizeof(words));
	if (e == ERR_OK && strcmp(words, "sleep") == 0)
		e = sleep_all();
	else if (e == ERR_OK && strcmp(words, "ask") == 0)
		e = ask_all();
	else if (e == ERR_OK && strncmp(words, "fall ", 5) == 0)
		e = fall_alone(words + 5);
	else if (e == ERR_OK)
		e = ERR_INVALID;
	printf("fibers: %s\n", error_sentence(e));
	console_drain();
	return e != ERR_OK;
}
