// greedy: clients of one server that want more of it than their share, beside honest ones. Part of the tests.
//
//   greedy honest | old | loud | both
//
// Each keeps a full ring of requests at the service "greedy". `old` claims that all of them are older than anybody's, `loud` rings
// every identity of the server at each answer, `both` does both. As that service (a manifest entry that serves something) it
// works a while for each request, and says after each ROUND of them how many were whose, from when all WAYS are there.
// Owns nothing; when it dies its requests are performed by the next incarnation, which begins to count anew.
#include "abi/channel.h"
#include "runtime/client.h"
#include "runtime/fence.h"
#include "runtime/fiber.h"
#include "runtime/machine.h"
#include "runtime/runtime.h"
#include "runtime/server.h"
#include "runtime/supervision.h"
#include <inttypes.h>
#include <string.h>

#define OP_WORK 1u
#define SLOTS 64u
#define ROUND 4000u
#define WORK_US 100u
#define NAP_US 1000000u

#define WAY_TABLE(X) X(honest, false, false) X(old, true, false) X(loud, false, true) X(both, true, true)

enum way {
#define X(name, forges, rings) WAY_##name,
	WAY_TABLE(X)
#undef X
	WAYS
};

static const struct {
	const char *name;
	bool forges, rings;
} ways[WAYS] = {
#define X(name, forges, rings) {#name, forges, rings},
	WAY_TABLE(X)
#undef X
};

// --- the server

static uint64_t performed[WAYS];

static void count(unsigned way)
{
	static bool all;
	uint64_t sum = 0;
	performed[way]++;
	if (!all) {
		all = true;
		for (unsigned i = 0; i < WAYS; i++)
			all = all && performed[i] > 0;
		if (all)
			memset(performed, 0, sizeof(performed));
		return;
	}
	for (unsigned i = 0; i < WAYS; i++)
		sum += performed[i];
	if (sum < ROUND)
		return;
	for (unsigned i = 0; i < WAYS; i++)
		log_line("greedy: %s %" PRIu64, ways[i].name, performed[i]);
	memset(performed, 0, sizeof(performed));
}

static void work(struct server_request *request)
{
	uint64_t end = time_now() + time_ticks_from_us(WORK_US);
	while (time_now() < end)
		;
	if (request->copy.arg[0] < WAYS)
		count((unsigned)request->copy.arg[0]);
	server_complete(request, ERR_OK, 0);
}

static int serve(void)
{
	static const struct op_description ops[] = {[OP_WORK] = {.name = "WORK", .text = "way", .attribute = OP_IDEMPOTENT}};
	static const struct protocol protocol = {"greedy", ops, OP_WORK + 1};
	static const struct server server = {.protocol = &protocol, .request = work};
	return (int)server_run(&server);
}

// --- a client

static struct client *client;
static struct client_request requests[SLOTS];
static struct request *ring;
static enum way way;

static void forge_stamps(void)
{
	for (unsigned i = 0; i < SLOTS; i++)
		store64(&ring[i].time, 0);
}

static void ring_all(void)
{
	struct kernel_result info = kcall(CALL_channel_info, client_slot(client));
	volatile uint32_t *doorbell = machine_doorbell(client_slot(client));
	for (unsigned i = 0; i < 256 && (info.value[0] & CHANNEL_HAS_DOORBELL_PAGE); i++)
		store32(doorbell, i);
}

static void again(struct client_request *request)
{
	(void)client_submit(client, request);
	if (ways[way].forges)
		forge_stamps();
	if (ways[way].rings)
		ring_all();
}

static bool begin(void)
{
	static const struct client_options options = {.slots = SLOTS, .out_bytes = PAGE_SIZE, .in_bytes = PAGE_SIZE};
	struct channel_geometry geometry;
	if (client_open(&client, "greedy", &options) != ERR_OK)
		return false;
	struct kernel_result info = kcall(CALL_channel_info, client_slot(client));
	if (!channel_layout(&geometry, info.value[1] >> 32, info.value[2], info.value[3]))
		return false;
	ring = (struct request *)(machine_channel(client_slot(client)) + geometry.requests);
	return true;
}

static int ask(void)
{
	char text[64] = "";
	(void)supervision_argument(text, sizeof(text));
	while (way < WAYS && strcmp(ways[way].name, text) != 0)
		way++;
	if (way == WAYS || !begin())
		return 1;
	for (unsigned i = 0; i < SLOTS; i++) {
		requests[i] = (struct client_request){.op = OP_WORK, .arg = {way}, .completed = again};
		(void)client_submit(client, &requests[i]);
	}
	for (;;)
		fiber_sleep_us(NAP_US);
}

int program_main(void)
{
	return self_manifest()->serves_count > 0 ? serve() : ask();
}
