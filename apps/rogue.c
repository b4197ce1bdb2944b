// rogue: a client that writes nonsense into all that it may write of a channel. Part of the tests.
//
//   rogue SERVICE ROUNDS [SEED]
//   rogue SERVICE hoard
//
// Opens one channel to the service, then scribbles over its client page and its requests, forges time stamps, offsets and
// lengths, floods doorbells. `hoard` opens as many as it gets, and says how many that are. Must harm nobody but itself: the tests look at the service's restart count and at other
// clients. Owns its channel; when it ends, the kernels take the channel down with whatever is in it.
#include "abi/channel.h"
#include "proto/block.h"
#include "proto/fs.h"
#include "runtime/client.h"
#include "runtime/console.h"
#include "runtime/error_text.h"
#include "runtime/fence.h"
#include "runtime/machine.h"
#include "runtime/runtime.h"
#include "runtime/supervision.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLOOD 200u

static struct {
	unsigned slot;
	struct channel_client_page *page;
	struct request *requests;
	struct channel_geometry geometry;
	unsigned harmless; // operations 1 to this change nothing
	uint64_t random;
} rogue;

static uint64_t next_random(void)
{
	uint64_t z = (rogue.random += 0x9e3779b97f4a7c15ull);
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void ring(void)
{
	fence_doorbell();
	kcall(CALL_doorbell, rogue.slot);
}

static void scribble(void *at, size_t bytes)
{
	volatile uint8_t *p = at;
	for (size_t i = 0; i < bytes; i++)
		p[i] = (uint8_t)next_random();
	ring();
}

// One byte after another, each with a look of the server between.
static void each_byte(void)
{
	volatile uint8_t *p = (volatile uint8_t *)rogue.page;
	size_t at = next_random() % PAGE_SIZE;
	uint8_t before = p[at];
	p[at] = (uint8_t)next_random();
	ring();
	kcall(CALL_yield);
	p[at] = before;
}

static uint32_t odd_number(void)
{
	static const uint32_t odd[] = {0, 1, 511, 512, 4095, 4096, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff};
	return next_random() % 2 ? odd[next_random() % 10] : (uint32_t)next_random();
}

// A request that looks nearly right: known operation, wild numbers.
static void forge(unsigned index)
{
	struct request *r = &rogue.requests[index];
	// Only operations that change nothing: what a client may do to files or blocks it may do by forged requests too.
	r->op = (uint16_t)(next_random() % 4 ? 1 + next_random() % rogue.harmless : FS_OPS + next_random() % 0x8000);
	r->flags = (uint16_t)next_random();
	r->time = next_random() % 2 ? 0 : next_random();
	for (unsigned i = 0; i < 3; i++)
		r->arg[i] = next_random() % 2 ? odd_number() : next_random();
	r->out_offset = odd_number();
	r->out_length = odd_number();
	r->in_offset = odd_number();
	r->in_length = odd_number();
	fence_publish();
	store32(&r->seq, (uint32_t)next_random());
	fence_publish();
}

static void submit_forged(void)
{
	unsigned index = (unsigned)(next_random() % rogue.geometry.slots);
	uint32_t tail = load32(&rogue.page->submit_tail);
	forge(index);
	store16(&rogue.page->submit_ring[tail % CHANNEL_SLOTS_MAX], (uint16_t)index);
	fence_publish();
	store32(&rogue.page->submit_tail, tail + 1);
	ring();
}

static void flood(void)
{
	struct kernel_result info = kcall(CALL_channel_info, rogue.slot);
	volatile uint32_t *doorbell = machine_doorbell(rogue.slot);
	if (!(info.value[0] & CHANNEL_HAS_DOORBELL_PAGE))
		return;
	for (unsigned i = 0; i < FLOOD; i++)
		store32(doorbell, i % 256); // every identity of the peer's file: hints that are not true
}

static void misbehave(uint64_t round)
{
	switch (round % 7) {
	case 0: scribble(rogue.page, PAGE_SIZE - CHANNEL_SESSION_SIZE); break;
	case 1: scribble(rogue.page->session, CHANNEL_SESSION_SIZE); break;
	case 2: scribble(rogue.requests, rogue.geometry.slots * sizeof(struct request)); break;
	case 3: flood(); break;
	case 4: each_byte(); break;
	default: submit_forged(); break;
	}
}

static bool open_channel(const char *service)
{
	struct client *client;
	static const struct client_options options = {.slots = 16, .priority = 0};
	enum error e = client_open(&client, service, &options);
	if (e != ERR_OK) {
		printf("rogue: %s: %s\n", service, error_sentence(e));
		return false;
	}
	rogue.slot = client_slot(client);
	rogue.harmless = strncmp(service, "block", 5) == 0 ? BLOCK_OP_READ : FS_OP_STATFS;
	struct kernel_result info = kcall(CALL_channel_info, rogue.slot);
	uint8_t *memory = machine_channel(rogue.slot);
	if (!channel_layout(&rogue.geometry, info.value[1] >> 32, info.value[2], info.value[3]))
		return false;
	rogue.page = (struct channel_client_page *)memory;
	rogue.requests = (struct request *)(memory + rogue.geometry.requests);
	return true;
}

static int hoard(const char *service)
{
	static const struct client_options options = {.slots = 8};
	struct client *client;
	unsigned got = 0;
	enum error e;
	while ((e = client_open(&client, service, &options)) == ERR_OK)
		got++;
	printf("rogue: %s: %u channels, then: %s\n", service, got, error_sentence(e));
	return 0;
}

int program_main(void)
{
	static char arguments[128];
	char *rest;
	if (supervision_argument(arguments, sizeof(arguments)) != ERR_OK)
		return 2;
	char *service = strtok_r(arguments, " ", &rest);
	char *rounds = strtok_r(0, " ", &rest);
	char *seed = strtok_r(0, " ", &rest);
	if (!service || !rounds) {
		printf("usage: rogue SERVICE ROUNDS|hoard [SEED]\n");
		return 2;
	}
	rogue.random = seed ? strtoull(seed, 0, 0) : time_now();
	(void)console_open();
	printf("rogue: %s, seed %" PRIu64 "\n", service, rogue.random);
	if (strcmp(rounds, "hoard") == 0)
		return hoard(service);
	if (!open_channel(service))
		return 1;
	// From here on the client library of this domain is blind: no turn of the loop until the end.
	uint64_t count = strtoull(rounds, 0, 0);
	for (uint64_t i = 0; i < count; i++)
		misbehave(i);
	return 0;
}
