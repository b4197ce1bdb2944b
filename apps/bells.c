// bells: signals a service and waits for its signal back, without end and without a clock: the first one that got lost would be the
// last. As that service (a manifest entry that serves something) it signals back.
//
// It says how often it was signalled and how many incarnations of the server it met, each time their number has doubled. If the
// server dies, the library raises both ends, and it goes on. `bells SERVICE` asks whether that service takes notifications.
#include "runtime/console.h"
#include "runtime/error_text.h"
#include "runtime/fiber.h"
#include "runtime/inject.h"
#include "runtime/notification.h"
#include "runtime/runtime.h"
#include "runtime/server.h"
#include "runtime/supervision.h"
#include <inttypes.h>
#include <stdio.h>

#define PAUSE_EVERY 50u
#define PAUSE_US 500u

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

int program_main(void)
{
	char text[64] = "";
	struct notification *bells;
	if (self_manifest()->serves_count > 0)
		return serve_bells();
	(void)supervision_argument(text, sizeof(text));
	enum error error = notification_open(&bells, text[0] ? text : "bells", 1);
	if (error == ERR_OK && text[0])
		notification_close(bells);
	else if (error == ERR_OK)
		error = ring_without_end(bells);
	printf("bells: over, %s\n", error_sentence(error));
	console_drain();
	return error != ERR_OK;
}
