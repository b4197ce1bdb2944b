// The operations that every server answers: ping, injection, points, statistics. Owns nothing.
//
// If the server dies between the answer to an injection and its arming, the point stays unarmed, and whoever asked sees it
// in the list of points. What is armed lies in the points themselves and goes with the incarnation.
#include "runtime/inject.h"
#include "runtime/inject_list.h"
#include "runtime/server_channel.h"
#include "runtime/runtime.h"
#include <string.h>

// Answers first and arms then: else the request itself would set off what it asked for, wait in the ring of a dead
// server, and set it off again in the next incarnation.
static void inject_request(struct server_request *request)
{
	char name[INJECT_NAME_SIZE] = {0};
	const struct request copy = request->copy;
	enum error e = ERR_OK;
	if (copy.out_length >= sizeof(name))
		e = ERR_NAME_TOO_LONG;
	else if (copy.arg[0] >= INJECT_ACTIONS)
		e = ERR_INVALID;
	else
		memcpy(name, request->out, copy.out_length);
	server_complete(request, e, 0);
	if (e == ERR_OK && inject_arm(name, (enum inject_action)copy.arg[0], copy.arg[1], (uint32_t)copy.arg[2]) != ERR_OK)
		log_line("inject %s: too many points are armed", name);
}

static uint64_t points_request(const struct server_request *request)
{
	struct inject_point_info info;
	unsigned room = request->copy.in_length / sizeof(info);
	unsigned n = 0;
	while (n < room && inject_list((unsigned)request->copy.arg[0] + n, &info, 1) == 1)
		memcpy(request->in + n++ * sizeof(info), &info, sizeof(info));
	return n;
}

void server_runtime_request(struct server_request *request, const struct server_statistics *s)
{
	uint64_t result[5] = {0};
	enum error e = ERR_OK;
	switch (request->copy.op) {
	case RUNTIME_OP_PING:
		result[0] = request->copy.arg[0];
		break;
	case RUNTIME_OP_INJECT:
		inject_request(request);
		return;
	case RUNTIME_OP_POINTS:
		result[0] = points_request(request);
		break;
	case RUNTIME_OP_STATISTICS:
		result[0] = s->requests;
		result[1] = s->completions;
		result[2] = s->adopted;
		result[3] = s->replayed;
		result[4] = s->performed_again;
		break;
	default:
		e = ERR_UNKNOWN_CALL;
	}
	server_complete(request, e, result);
}
