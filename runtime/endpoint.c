// Endpoints for programs (endpoint.h).
#include "runtime/endpoint.h"
#include "runtime/csr.h"
#include "runtime/kernel_call.h"
#include "runtime/loop.h"
#include <stdbool.h>
#include <string.h>

enum error endpoint_open(struct endpoint *endpoint, const char *service)
{
	uint64_t name[2] = {0};
	size_t length = strlen(service);
	if (length > sizeof(name))
		return ERR_NAME_TOO_LONG;
	memcpy(name, service, length);
	struct kernel_result r = kcall(CALL_endpoint_open, name[0], name[1]);
	*endpoint = (struct endpoint){r.value[0], (uint32_t)r.value[1], 0};
	return r.error;
}

void endpoint_close(struct endpoint *endpoint)
{
	kcall(CALL_endpoint_close, endpoint->door);
	endpoint->door = 0;
}

enum error endpoint_call(struct endpoint *endpoint, enum op_attribute attribute, struct endpoint_words *words)
{
	for (;;) {
		struct endpoint_words answer = *words;
		struct endpoint_result r = endpoint_trap(CALL_endpoint_call, endpoint->door, &answer);
		bool taken = answer.word[1] != 0;
		if (r.error == ERR_RESTARTED) {
			endpoint->restarts++;
			if (attribute == OP_IDEMPOTENT || !taken)
				continue;
		}
		if (r.error == ERR_OK) {
			*words = answer;
			endpoint->epoch = (uint32_t)r.tag;
		}
		return r.error;
	}
}

// ---- the server's side

static void (*serve)(uint64_t badge, struct endpoint_words *words);

// In place of the loop's sleep. A handler that sleeps in a call of its own does so without taking another.
static void wait_for_calls(void)
{
	static bool handling;
	struct endpoint_words words = {{0}};
	uint64_t whom = ENDPOINT_NOBODY;
	if (handling) {
		wait_for_interrupt();
		return;
	}
	for (unsigned i = 0; i < ENDPOINT_TURNS; i++) {
		struct endpoint_result r = endpoint_trap(CALL_endpoint_receive, whom, &words);
		if (r.error != ERR_OK)
			return;
		handling = true;
		serve(r.tag, &words);
		handling = false;
		whom = 0;
	}
	endpoint_trap(CALL_endpoint_reply, 0, &words);
}

static uint64_t ringer = ENDPOINT_NOBODY; // 0: somebody waits for our answer
static unsigned turns;                    // of the loop since then

static void wait_for_rings(void)
{
	ringer = endpoint_trap_0(CALL_endpoint_receive, ringer).error == ERR_OK ? 0 : ENDPOINT_NOBODY;
	turns = 0;
}

void endpoint_serve_rings(void)
{
	if (serve || ringer == 0)
		return;
	loop_wait_by(wait_for_rings);
	kcall(CALL_endpoint_serve);
}

void endpoint_loop_turned(void)
{
	if (ringer != 0 || ++turns < ENDPOINT_RING_TURNS)
		return;
	endpoint_trap_0(CALL_endpoint_reply, 0);
	ringer = ENDPOINT_NOBODY;
}

void endpoint_serve(void (*handler)(uint64_t badge, struct endpoint_words *words))
{
	serve = handler;
	loop_wait_by(wait_for_calls);
	kcall(CALL_endpoint_serve);
}
