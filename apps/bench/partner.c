// The serving side of measurements: answers, sinks, sources, rounds.
//
// Owns nothing between requests. ROUNDS holds the loop of this domain until it is over, which is meant: the manifest does
// not watch partners for hangs. If it dies, its job ends and the measuring side complains.
#include "apps/bench/bench.h"
#include "runtime/fence.h"
#include "runtime/notification.h"
#include "runtime/runtime.h"
#include "runtime/server.h"
#include <string.h>

#define NOISE_PAGES 256u

static struct notification *bell; // opened last

static void bell_notified(struct notification *notification)
{
	if (!notification->gone) {
		bell = notification;
		return;
	}
	if (bell == notification)
		bell = 0;
	notification_close(notification);
}

static bool rounds_by_notification(const struct rounds *rounds)
{
	return rounds->mode == PARTNER_NOTIFY || rounds->mode == PARTNER_NOTIFY_HANDLER;
}

static void rounds_go(struct rounds *rounds, uint64_t count)
{
	rounds_meet_as_partner(rounds);
	if (rounds_by_notification(rounds)) {
		rounds_notify_as_partner(rounds, count);
		return;
	}
	volatile struct partner_word *word = (volatile struct partner_word *)rounds->mine;
	for (uint64_t round = ROUNDS_FIRST; round < count + ROUNDS_FIRST; round++) {
		rounds_await(rounds, round);
		if (rounds->mode == PARTNER_LATENCY) {
			word->claimed = time_now();
			word->instructions = instructions_read();
			fence_publish(); // partner: fence_claimed in rounds_await
		}
		rounds_send(rounds, round);
	}
}

static enum error answer_rounds(struct server_request *request)
{
	struct rounds rounds = {.mode = (enum partner_mode)request->copy.arg[0]};
	if (request->copy.arg[0] >= PARTNER_MODES || request->copy.out_length < sizeof(struct partner_word) ||
	    request->copy.in_length < sizeof(struct partner_word))
		return ERR_INVALID;
	rounds.mine = (volatile uint64_t *)request->in;
	rounds.theirs = (const volatile uint64_t *)request->out;
	if (rounds.mode == PARTNER_ENDPOINT)
		return rounds_at_endpoint(&rounds, request->copy.arg[1]);
	if (rounds_by_notification(&rounds) && !bell)
		return ERR_STATE;
	enum error e = rounds_prepare(&rounds, rounds_by_notification(&rounds) ? bell->view.slot
									      : server_channel_slot(request->channel));
	if (e == ERR_OK)
		rounds_go(&rounds, request->copy.arg[1]);
	rounds_finish();
	return e;
}

static uint64_t sum_words(const uint8_t *data, uint32_t length)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i + 8 <= length; i += 8)
		sum += *(const volatile uint64_t *)(data + i);
	return sum;
}

// Each of it keeps the core for as long as one of a better priority lets it.
static void make_noise(uint64_t kind, volatile uint64_t *begun)
{
	store64(begun, 1);
	for (;;) {
		if (kind == PARTNER_CALLS) {
			kcall(CALL_null);
		} else if (kind == PARTNER_CLEARS) {
			struct kernel_result r = kcall(CALL_memory_alloc, NOISE_PAGES);
			if (r.error == ERR_OK)
				kcall(CALL_memory_free, r.value[0]);
		}
	}
}

// In the channel, or lent.
static enum error payload_find(struct server_request *request, unsigned prot, uint8_t **at, uint64_t *bytes)
{
	void *lent;
	enum error e = server_lent(request, prot, &lent, bytes);
	if (e == ERR_OK)
		*at = lent;
	return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static void partner_work(struct server_request *request)
{
	uint64_t result[5] = {0}, bytes = request->copy.out_length;
	uint8_t *at = (uint8_t *)(uintptr_t)request->out; // only read
	enum error e = ERR_OK;
	switch (request->copy.op) {
	case PARTNER_OP_SINK:
		e = payload_find(request, PROT_READ, &at, &bytes);
		result[0] = e == ERR_OK ? sum_words(at, (uint32_t)bytes) : 0;
		break;
	case PARTNER_OP_SOURCE:
		at = request->in;
		bytes = request->copy.in_length;
		e = payload_find(request, PROT_READ | PROT_WRITE, &at, &bytes);
		if (e == ERR_OK)
			memset(at, (int)request->copy.arg[0], bytes);
		result[0] = bytes;
		break;
	case PARTNER_OP_TAKE:
		e = payload_find(request, PROT_READ, &at, &result[0]);
		break;
	case PARTNER_OP_NOISE:
		if (request->copy.arg[0] < PARTNER_NOISES && request->copy.in_length >= sizeof(struct partner_word))
			make_noise(request->copy.arg[0], (volatile uint64_t *)request->in);
		e = ERR_INVALID;
		break;
	case PARTNER_OP_SPIN:
		server_never_spins(request->copy.arg[0] == 0);
		break;
	case PARTNER_OP_PROGRAM:
		e = programs_run(request->copy.arg[0], request->copy.arg[1], result);
		break;
	case PARTNER_OP_ROUNDS:
		e = answer_rounds(request);
		break;
	default:
		break;
	}
	server_complete(request, e, result);
}

static void partner_request(struct server_request *request)
{
	if (request->copy.op == PARTNER_OP_NULL) // what is measured there is the protocol
		server_complete(request, ERR_OK, 0);
	else
		partner_work(request);
}

static quick_answer_t partner_quick(uint64_t op, uint64_t a, uint64_t b, uint64_t c)
{
	(void)op, (void)b, (void)c;
	return quick_answer(ERR_OK, a + 1);
}

static const struct op_description partner_ops[PARTNER_OPS] = {
#define X(name, attribute, text) [PARTNER_OP_##name] = {#name, text, OP_##attribute},
	PARTNER_OP_TABLE(X)
#undef X
};

static const struct protocol partner_protocol = {"partner", partner_ops, PARTNER_OPS};

int partner_run(void)
{
	static const struct server server = {
		.protocol = &partner_protocol, .request = partner_request, .notified = bell_notified,
		.quick_from = PARTNER_OP_QUICK, .quick = partner_quick};
	return (int)server_run(&server);
}
