// ask: says its arguments to the echo server and prints the answer. The client of docs/write-a-server.md.
//
// Owns one channel. If the server dies, client_call takes longer and nothing else; ask cannot tell.
#include "proto/echo.h"
#include "runtime/client.h"
#include "runtime/console.h"
#include "runtime/error_text.h"
#include "runtime/supervision.h"
#include <stdio.h>
#include <string.h>

int program_main(void)
{
	char text[128], answer[128] = "";
	struct client *client;
	enum error error = supervision_argument(text, sizeof(text));
	if (error == ERR_OK)
		error = client_open(&client, "echo", &(struct client_options){.slots = 4});
	struct client_request request = {.op = ECHO_OP_SAY,
					 .out = text,
					 .out_length = (uint32_t)strlen(text),
					 .in = answer,
					 .in_length = sizeof(answer) - 1};
	if (error == ERR_OK)
		error = client_call(client, &request);
	if (error == ERR_OK)
		printf("echo (epoch %u): %s\n", (unsigned)request.completion.result[1], answer);
	else
		printf("ask: %s\n", error_sentence(error));
	console_drain();
	return error != ERR_OK;
}
