// liar: a server that breaks one rule of the channel when it is asked to. Part of the tests.
//
// Uses the server library for everything that is right, and writes into the shared pages by hand for what is wrong. Owns
// nothing. Only its first incarnation after a lie was asked for lies: a request that comes with a replayed or repeated
// life (self_restarted) is answered truly, so the supervisor's restart heals it. If it dies, that is the test.
#include "abi/channel.h"
#include "proto/liar.h"
#include "runtime/fence.h"
#include "runtime/fiber.h"
#include "runtime/machine.h"
#include "runtime/runtime.h"
#include "runtime/server.h"
#include <string.h>

#define LATE_US 300000u

static uint32_t lied; // lies of this incarnation: one each

struct pages {
	struct channel_server_page *server;
	struct completion *records;
	struct channel_geometry geometry;
};

static struct pages pages_of(const struct server_request *request)
{
	unsigned slot = server_channel_slot(request->channel);
	struct kernel_result info = kcall(CALL_channel_info, slot);
	struct pages pages;
	uint8_t *memory = machine_channel(slot);
	invariant(channel_layout(&pages.geometry, info.value[1] >> 32, info.value[2], info.value[3]));
	pages.server = (struct channel_server_page *)(memory + PAGE_SIZE);
	pages.records = (struct completion *)(memory + pages.geometry.records);
	return pages;
}

static void publish(const struct server_request *request, const struct pages *pages, unsigned index, uint32_t step)
{
	uint32_t tail = load32(&pages->server->complete_tail);
	store16(&pages->server->complete_ring[tail % CHANNEL_SLOTS_MAX], (uint16_t)index);
	fence_publish();
	store32(&pages->server->complete_tail, tail + step);
	fence_doorbell();
	kcall(CALL_doorbell, server_channel_slot(request->channel));
}

static void write_record(const struct server_request *request, const struct pages *pages, uint32_t seq, uint32_t status)
{
	struct completion record = {.seq = seq, .status = status};
	struct kernel_result name = kcall(CALL_channel_name, server_channel_slot(request->channel));
	record.digest = channel_record_digest(&record, name.value[4]);
	pages->records[request->slot] = record;
	fence_publish();
}

static unsigned other_slot(const struct server_request *request, const struct pages *pages)
{
	return (request->slot + pages->geometry.slots / 2) % pages->geometry.slots;
}

static void lie(const struct server_request *request, enum liar_lie kind)
{
	struct pages pages = pages_of(request);
	switch (kind) {
	case LIE_SEQUENCE:
		write_record(request, &pages, request->copy.seq + 77, ERR_OK);
		publish(request, &pages, request->slot, 1);
		break;
	case LIE_INDEX:
		publish(request, &pages, 0xfff0, 1);
		break;
	case LIE_FREE_SLOT:
		publish(request, &pages, other_slot(request, &pages), 1);
		break;
	case LIE_TAIL_JUMP:
		publish(request, &pages, request->slot, 100000);
		break;
	case LIE_TAIL_BACK:
		publish(request, &pages, request->slot, (uint32_t)-5);
		break;
	case LIE_STATUS:
		write_record(request, &pages, request->copy.seq, 54321);
		publish(request, &pages, request->slot, 1);
		break;
	case LIE_COMMITTED:
		store64(&pages.server->committed, 1ull << 40);
		break;
	case LIE_GARBAGE:
		memset(pages.server, 0xa5, sizeof(*pages.server));
		memset(pages.records, 0x5a, pages.geometry.slots * sizeof(struct completion));
		kcall(CALL_doorbell, server_channel_slot(request->channel));
		break;
	case LIE_CRASH:
		__builtin_trap();
	default:
		break;
	}
}

static void answer(struct server_request *request)
{
	uint64_t result[5] = {request->copy.arg[0], self_epoch()};
	server_complete(request, ERR_OK, result);
}

static void liar_request(struct server_request *request)
{
	uint64_t kind = request->copy.op == LIAR_OP_LIE ? request->copy.arg[1] : LIE_NONE;
	bool again = self_restarted() && request->copy.arg[2] != self_epoch(); // arg 2: the epoch that the client asked
	if (kind == LIE_NONE || kind >= LIE_COUNT || again || (lied >> kind & 1)) {
		answer(request);
		return;
	}
	lied |= 1u << kind;
	if (kind == LIE_LATE) {
		fiber_sleep_us(LATE_US);
		answer(request);
		return;
	}
	lie(request, (enum liar_lie)kind); // and no answer: the next incarnation gives it
}

static const struct op_description liar_ops[LIAR_OPS] = {
#define X(name, attribute, text) [LIAR_OP_##name] = {#name, text, OP_##attribute},
	LIAR_OP_TABLE(X)
#undef X
};

static const struct protocol liar_protocol = {"liar", liar_ops, LIAR_OPS};

int program_main(void)
{
	static const struct server server = {
		.protocol = &liar_protocol, .request = liar_request, .fibers = 4};
	return (int)server_run(&server);
}
