// bells: signals a service and waits for its signal back, without end and without a clock: the first one that got lost would be the
// last. As that service (a manifest entry that serves something) it signals back.
//
// It says how often it was signalled and how many incarnations of the server it met, each time their number has doubled. If the
// server dies, the library raises both ends, and it goes on. `bells SERVICE` asks whether that service takes notifications.
// `bells any` waits for an answer that does not come, a signal and a time at once, then takes its question back.
#include "proto/supervisor.h"
#include "runtime/await.h"
#include "runtime/console.h"
#include "runtime/error_text.h"
#include "runtime/inject.h"
#include "runtime/runtime.h"
#include "runtime/server.h"
#include "runtime/supervision.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PAUSE_EVERY 50u
#define PAUSE_US 500u
#define SIGNALS 100u // of which each is waited for

static void answer(struct notification *client)
{
	(void)inject("bells.answer");
	if (client->gone)
		notification_close(client);
	else
		notification_signal(client);
}

static int serve_bells(void)
{
	static const struct protocol nothing_by_channel = {"bells", 0, 0};
	static const struct server server = {.protocol = &nothing_by_channel, .notified = answer};
	return (int)server_run(&server);
}

static enum error ring_without_end(struct notification *bells)
{
	uint64_t rings = 0, met = 1, said = 1;
	uint64_t peer = bells->view.peer;
	for (;;) {
		notification_signal(bells);
		enum error e = notification_wait(bells);
		if (e != ERR_OK)
			return e;
		rings++;
		met += bells->view.peer != peer;
		peer = bells->view.peer;
		if (met >= said) {
			printf("bells: %" PRIu64 " incarnations, %" PRIu64 " rings\n", met, rings);
			said *= 2;
		}
		if (rings % PAUSE_EVERY == 0)
			fiber_sleep_us(PAUSE_US);
	}
}

// Our own end cannot come while we ask. The server has signalled once when we opened, and answers each signal.
static enum error wait_for_any(struct notification *bells)
{
	struct client_request end = {
		.op = SUPERVISOR_OP_WAIT, .arg = {SUPERVISOR_JOB(self_core(), self_domain(), self_epoch())}, .patient = true};
	const struct await awaited[] = {{.request = &end}, {.notification = bells}};
	enum error e = client_submit(supervision_client(), &end);
	for (unsigned i = 0; i < SIGNALS && e == ERR_OK; i++) {
		notification_signal(bells);
		e = await_any(awaited, 2, AWAIT_FOREVER) == 2 ? ERR_OK : ERR_PROTOCOL;
	}
	while (e == ERR_OK && await_any(awaited, 2, time_now() + time_ticks_from_us(PAUSE_US)) != 0)
		e = end.done ? ERR_PROTOCOL : ERR_OK;
	client_cancel(supervision_client(), &end);
	(void)await_any(awaited, 1, AWAIT_FOREVER);
	if (e == ERR_OK)
		printf("bells: %u signals, then the time, then the answer: %s\n", SIGNALS, error_sentence((enum error)end.completion.status));
	notification_close(bells);
	return e;
}

int program_main(void)
{
	char text[64] = "";
	struct notification *bells;
	if (self_manifest()->serves_count > 0)
		return serve_bells();
	(void)supervision_argument(text, sizeof(text));
	bool any = strcmp(text, "any") == 0;
	enum error error = notification_open(&bells, text[0] && !any ? text : "bells", 1);
	if (error == ERR_OK && any)
		error = wait_for_any(bells);
	else if (error == ERR_OK && text[0])
		notification_close(bells);
	else if (error == ERR_OK)
		error = ring_without_end(bells);
	printf("bells: over, %s\n", error_sentence(error));
	console_drain();
	return error != ERR_OK;
}
