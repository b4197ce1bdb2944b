// The operations that every server answers: ping, injection, points, statistics. Owns nothing but the requests for faults in
// a later incarnation, which wait in their rings.
//
// If the server dies, its successor finds those there. If it dies between the answer to an injection and its arming, the point stays
// unarmed, and whoever asked sees it in the list of points. What is armed lies in the points themselves and goes with the incarnation.
#include "runtime/inject.h"
#include "runtime/inject_list.h"
#include "runtime/server_channel.h"
#include "runtime/runtime.h"
#include <string.h>

static enum error order_name(const struct request *copy, const uint8_t *out, char name[INJECT_NAME_SIZE])
{
	memset(name, 0, INJECT_NAME_SIZE);
	if (copy->out_length >= INJECT_NAME_SIZE)
		return ERR_NAME_TOO_LONG;
	if (copy->arg[0] >= INJECT_ACTIONS)
		return ERR_INVALID;
	memcpy(name, out, copy->out_length);
	return ERR_OK;
}

static void order_arm(const struct request *copy, const char *name)
{
	if (inject_arm(name, (enum inject_action)copy->arg[0], copy->arg[1], (uint32_t)copy->arg[2]) != ERR_OK)
		log_line("inject %s: too many points are armed", name);
}

static uint32_t order_epoch(const struct request *copy)
{
	return (uint32_t)(copy->arg[2] >> 32);
}

// Answers first and arms then: else the request itself would set off what it asked for, wait in the ring of a dead
// server, and set it off again in the next incarnation. Disarms first, and answers whether there was something to disarm. One for a later
// incarnation stays where it is.
static void inject_request(struct server_request *request)
{
	char name[INJECT_NAME_SIZE];
	uint64_t result[5] = {0};
	const struct request copy = request->copy;
	enum error e = order_name(&copy, request->out, name);
	if (e == ERR_OK && order_epoch(&copy) > self_epoch())
		return;
	if (e == ERR_OK && order_epoch(&copy))
		e = ERR_STATE;
	if (e == ERR_OK && copy.arg[0] == INJECT_NONE)
		result[0] = inject_disarm(name);
	server_complete(request, e, result);
	if (e == ERR_OK && copy.arg[0] != INJECT_NONE)
		order_arm(&copy, name);
}

bool server_runtime_adopted(const struct request *copy, const uint8_t *out)
{
	char name[INJECT_NAME_SIZE];
	if (copy->op != RUNTIME_OP_INJECT || order_name(copy, out, name) != ERR_OK)
		return false;
	if (order_epoch(copy) == self_epoch())
		order_arm(copy, name);
	return order_epoch(copy) > self_epoch();
}

void server_runtime_closing(struct server_channel *channel)
{
	for (unsigned i = 0; i < channel->ring.view.geometry.slots; i++)
		if (channel->requests[i].owned && channel->requests[i].copy.op == RUNTIME_OP_INJECT)
			server_complete(&channel->requests[i], ERR_STATE, 0);
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
		result[0] = s->requests + s->quick;
		result[1] = s->completions + s->quick;
		result[2] = s->adopted;
		result[3] = s->replayed;
		result[4] = s->performed_again;
		break;
	default:
		e = ERR_UNKNOWN_CALL;
	}
	server_complete(request, e, result);
}
