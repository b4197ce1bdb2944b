// doors: calls a service of its own core through its endpoint, without end, and checks each answer; as that service (a
// manifest entry that serves something) it answers.
//
// With the name of a service it opens and closes a channel to that one now and then.
// It says how many calls and restarts there were, each time their number has doubled, and stops at the first wrong one. If
// the server dies, the library calls the next incarnation: the caller cannot tell but by counting. The server owns nothing.
#include "runtime/client.h"
#include "runtime/console.h"
#include "runtime/endpoint.h"
#include "runtime/error_text.h"
#include "runtime/fiber.h"
#include "runtime/inject.h"
#include "runtime/runtime.h"
#include "runtime/server.h"
#include "runtime/supervision.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CALLS_IN_A_TURN 200u // then the loop has its turn, for pings
#define PAUSE_US 500u

static uint64_t calls;

static enum error call_and_check(struct endpoint *doors)
{
	struct endpoint_words words, sent;
	for (unsigned i = 0; i < ENDPOINT_WORDS; i++)
		sent.word[i] = calls << 8 | i;
	words = sent;
	uint32_t before = doors->epoch;
	enum error error = endpoint_call(doors, OP_IDEMPOTENT, &words);
	if (error != ERR_OK)
		return error;
	for (unsigned i = 0; i < 6; i++)
		if (words.word[i] != sent.word[i])
			return ERR_CORRUPT;
	if ((words.word[6] & ENDPOINT_BADGE_OPENED) == 0 || words.word[7] != doors->epoch || doors->epoch < before)
		return ERR_PROTOCOL;
	calls++;
	return ERR_OK;
}

static void answer(uint64_t badge, struct endpoint_words *words)
{
	(void)inject("doors.call");
	words->word[6] = badge;
	words->word[7] = self_epoch();
}

static int serve_calls(void)
{
	static const struct protocol nothing_by_channel = {"doors", 0, 0};
	static const struct server server = {.protocol = &nothing_by_channel};
	endpoint_serve(answer);
	return (int)server_run(&server);
}

// Another core is asked for something, and waited for, before the next calls.
static void meet(const char *service)
{
	struct client *client;
	if (client_open(&client, service, 0) == ERR_OK)
		client_close(client);
}

int program_main(void)
{
	if (self_manifest()->serves_count > 0)
		return serve_calls();
	char text[64] = "";
	struct endpoint doors;
	uint64_t said = 1;
	(void)supervision_argument(text, sizeof(text));
	char *service;
	uint64_t end = strtoull(text, &service, 10); // 0: without end
	enum error error = endpoint_open(&doors, "doors");
	while (error == ERR_OK && (end == 0 || calls < end)) {
		error = call_and_check(&doors);
		if (doors.restarts >= said) {
			printf("doors: %" PRIu32 " restarts, %" PRIu64 " calls\n", doors.restarts, calls);
			said *= 2;
		}
		if (calls % CALLS_IN_A_TURN == 0)
			fiber_sleep_us(PAUSE_US);
		if (calls % CALLS_IN_A_TURN == 1 && *service == ' ')
			meet(service + 1);
	}
	printf("doors: %s after %" PRIu64 " calls, %" PRIu32 " restarts\n", error ? error_sentence(error) : "well", calls, doors.restarts);
	console_drain();
	return error != ERR_OK;
}
