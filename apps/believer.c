// believer: asks the liar for every lie and checks that it only ever gets the truth. Part of the tests.
//
//   believer [LIE..]
//
// Owns nothing. Exit status 0 when each request ended with the right word, whoever answered. If it dies, the job is
// reported as failed.
#include "proto/liar.h"
#include "runtime/client.h"
#include "runtime/console.h"
#include "runtime/error_text.h"
#include "runtime/runtime.h"
#include "runtime/supervision.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const words[LIE_COUNT] = {
#define X(name, word, text) [LIE_##name] = word,
	LIAR_LIE_TABLE(X)
#undef X
};

static struct client *client;

static enum error ask(unsigned lie, uint64_t word, uint32_t epoch, struct client_request *request)
{
	*request = (struct client_request){.op = LIAR_OP_LIE, .arg = {word, lie, epoch}};
	return client_call(client, request);
}

static bool check(unsigned lie)
{
	struct client_request request;
	struct supervisor_service before, after;
	uint64_t word = 0x1234567 * lie + time_now();
	enum error e = supervision_find("liar", &before);
	uint64_t start = time_now();
	if (e == ERR_OK)
		e = ask(lie, word, before.epoch, &request);
	uint64_t us = time_us_from_ticks(time_now() - start);
	if (e == ERR_OK)
		e = supervision_find("liar", &after);
	if (e != ERR_OK) {
		printf("believer: %-10s %s\n", words[lie], error_sentence(e));
		return false;
	}
	bool good = request.completion.result[0] == word;
	printf("believer: %-10s %s after %" PRIu64 " us, epoch %u -> %u, complaints %u -> %u\n", words[lie],
	       good ? "the truth" : "A WRONG WORD", us, before.epoch, after.epoch, before.complaints, after.complaints);
	return good;
}

static bool wanted(const char *arguments, const char *word)
{
	return arguments[0] == 0 || strstr(arguments, word) != 0;
}

int program_main(void)
{
	static char arguments[256];
	static const struct client_options options = {.slots = 8};
	int status = 0;
	enum error e = supervision_argument(arguments, sizeof(arguments));
	if (e == ERR_OK)
		e = client_open(&client, "liar", &options);
	if (e != ERR_OK) {
		printf("believer: %s\n", error_sentence(e));
		return 2;
	}
	for (unsigned lie = 1; lie < LIE_COUNT; lie++)
		if (wanted(arguments, words[lie]) && !check(lie))
			status = 1;
	console_drain();
	return status;
}
