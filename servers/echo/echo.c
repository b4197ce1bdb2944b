// echo: gives back what it is told. The worked example of docs/write-a-server.md.
//
// Owns nothing: a request is answered from its own bytes, so a restart has nothing to restore. If it dies in the middle,
// the request stands in the client's ring and the next incarnation answers it; the supervisor notices.
#include "proto/echo.h"
#include "runtime/component.h"
#include "runtime/inject.h"
#include "runtime/runtime.h"
#include <string.h>

// Fresh start and restart alike. No serials here, so the mark is 0.
static enum error echo_start(uint64_t *mark)
{
	*mark = 0;
	return ERR_OK;
}

static void echo_request(struct server_request *request)
{
	const struct request *copy = &request->copy; // checked by the library, out of the client's reach
	uint32_t length = copy->out_length < copy->in_length ? copy->out_length : copy->in_length;
	enum error error = inject("echo.request"); // faults can be armed here at run time
	memcpy(request->in, request->out, length);
	uint64_t result[5] = {length, self_epoch()};
	server_complete(request, error, result);
}

// The client is gone. There is nothing of it to bring to an end.
static void echo_closed(struct server_channel *channel)
{
	server_release(channel);
}

static const struct op_description echo_ops[ECHO_OPS] = {
#define X(name, attribute, text) [ECHO_OP_##name] = {#name, text, OP_##attribute},
	ECHO_OP_TABLE(X)
#undef X
};

static const struct protocol echo_protocol = {"echo", echo_ops, ECHO_OPS};

static const struct server echo_server = {.protocol = &echo_protocol,
					  .start = echo_start,
					  .request = echo_request,
					  .closed = echo_closed};

COMPONENT(echo, &echo_server); // the main program is the runtime's: server_run
