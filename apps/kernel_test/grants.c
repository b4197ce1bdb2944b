// Tests of grants: we lend to a child on each core, which takes, uses and ends them as we order; and whoever dies.
#include "apps/kernel_test/test.h"

#define PAGES 16ul
#define ANSWER_SECONDS 30 // failsafe
#define HOW(pages, prot) ((pages) << 8 | (prot))
#define PLACE(place) ((uint64_t)(place) << 32)

static struct child server;
static unsigned slot; // of our end
static uint64_t heap; // PAGES of ours, with a page before them that keeps the tables

static struct partner_answer order(uint64_t what, uint64_t subject, uint64_t word)
{
	struct channel_geometry g = {0};
	bare_layout(slot, &g);
	uint64_t end = time_read() + ANSWER_SECONDS * test_self.timebase;
	uint32_t n = bare_server_page(slot)->complete_tail + 1;
	*(struct partner_order *)(machine_channel(slot) + g.out) = (struct partner_order){what, subject, word};
	fence_publish(); // partner: fence_take in serve
	bare_client_page(slot)->submit_tail = n;
	bare_ring(slot);
	for (uint64_t us = 20; ((volatile struct channel_server_page *)bare_server_page(slot))->complete_tail != n; us += us / 4) {
		if (!test_check(time_read() < end, __LINE__, "no answer to order %lu", (unsigned long)what))
			return (struct partner_answer){.error = ERR_TIMEOUT};
		test_nap(us); // longer each time: a host whose timers are dear would do nothing else for us
	}
	fence_take(); // partner: fence_publish in serve
	return *(const struct partner_answer *)(machine_channel(slot) + g.in);
}

static bool begin(unsigned core)
{
	if (!child_run_as(&server, core, "borrow", 0, 1, 0) || !child_wait_ready(&server) || !child_publish(&server, 'g', SERVICE_UP))
		return false;
	struct kernel_result r = kcall(CALL_channel_open, partner_service('g'), 0, 16ul << 32 | 1, PAGE_SIZE, PAGE_SIZE);
	slot = (unsigned)r.value[0];
	heap = kcall(CALL_memory_alloc, PAGES).value[0];
	for (unsigned i = 0; i < PAGES * PAGE_SIZE / 8; i++)
		((uint64_t *)heap)[i] = i;
	return test_check(r.error == ERR_OK && heap, __LINE__, "open: error %u", r.error);
}

static bool finish(void)
{
	kcall(CALL_memory_free, heap);
	return kcall(CALL_channel_close, slot).error == ERR_OK && child_publish(&server, 'g', SERVICE_NONE) && child_destroy(&server);
}

static uint64_t lend(unsigned place, uint64_t pages, unsigned prot)
{
	struct kernel_result r = kcall(CALL_grant_lend, slot | PLACE(place), heap, HOW(pages, prot));
	test_check(r.error == ERR_OK, __LINE__, "lend: error %u", r.error);
	return r.value[0];
}

// What we wrote it reads, what it writes we read, and it may do no more than we said.
static void lent_and_back(unsigned core)
{
	CHECK(begin(core));
	uint64_t grant = lend(0, PAGES, PROT_READ | PROT_WRITE);
	struct partner_answer a = order(PARTNER_BORROW_TAKE, grant, 0);
	EQUAL(a.error, ERR_OK);
	EQUAL(a.value[1], PAGES * PAGE_SIZE);
	EQUAL(a.value[2], PROT_READ | PROT_WRITE);
	for (unsigned page = 0; page < PAGES; page++)
		EQUAL(order(PARTNER_BORROW_READ, a.value[0] + page * PAGE_SIZE + 8, 0).value[0], page * PAGE_SIZE / 8 + 1);
	order(PARTNER_BORROW_WRITE, a.value[0] + 5 * PAGE_SIZE, 77);
	EQUAL(((volatile uint64_t *)heap)[5 * PAGE_SIZE / 8], 77);
	EQUAL(order(PARTNER_BORROW_END, grant, 0).error, ERR_OK);
	EQUAL(order(PARTNER_BORROW_END, grant, 0).error, ERR_HANDLE);
	EQUAL(order(PARTNER_BORROW_TAKE, grant, 0).error, ERR_HANDLE);
	CHECK(finish());
}

static void everywhere(void)
{
	for (unsigned core = 0; core < test_cores && !test_failed(); core++)
		lent_and_back(core);
}

// Its own store into what was lent to be read, or its load after the end, kills the server and nobody else.
static void server_faults(bool ended)
{
	struct domain_status status;
	struct channel_geometry g = {0};
	CHECK(begin(test_cores - 1));
	uint64_t grant = lend(1, 1, PROT_READ), gpa = order(PARTNER_BORROW_TAKE, grant, 0).value[0];
	if (ended)
		EQUAL(order(PARTNER_BORROW_END, grant, 0).error, ERR_OK);
	bare_layout(slot, &g);
	*(struct partner_order *)(machine_channel(slot) + g.out) =
		(struct partner_order){ended ? PARTNER_BORROW_READ : PARTNER_BORROW_WRITE, gpa, 1};
	fence_publish(); // partner: fence_take in serve
	bare_client_page(slot)->submit_tail++;
	bare_ring(slot);
	CHECK(child_wait(&server, &status));
	EQUAL(status.address, gpa);
	EQUAL(status.cause, ended ? 21 : 23);
	EQUAL(*(volatile uint64_t *)heap, 0);
	CHECK(finish());
}

static void faults(void)
{
	server_faults(false);
	server_faults(true);
}

static void refused(void)
{
	CHECK(begin(test_cores - 1));
	uint64_t one = HOW(1ul, PROT_READ);
	FAILS(ERR_HANDLE, CALL_grant_lend, CHANNEL_MAX, heap, one);
	FAILS(ERR_HANDLE, CALL_grant_lend, CHANNEL_MAX - 1, heap, one);
	FAILS(ERR_INVALID, CALL_grant_lend, slot, heap + 8, one);
	FAILS(ERR_INVALID, CALL_grant_lend, slot, heap - PAGE_SIZE, one);
	FAILS(ERR_INVALID, CALL_grant_lend, slot, heap, HOW(0ul, PROT_READ));
	FAILS(ERR_INVALID, CALL_grant_lend, slot, heap, HOW(PAGES + 1, PROT_READ));
	FAILS(ERR_INVALID, CALL_grant_lend, slot, heap + PAGE_SIZE, HOW(PAGES, PROT_READ));
	FAILS(ERR_INVALID, CALL_grant_lend, slot, heap, HOW(~0ul >> 8, PROT_READ));
	FAILS(ERR_INVALID, CALL_grant_lend, slot, heap, HOW(1ul, PROT_WRITE));
	FAILS(ERR_INVALID, CALL_grant_lend, slot, heap, HOW(1ul, PROT_READ | PROT_EXEC));
	FAILS(ERR_INVALID, CALL_grant_lend, slot, GPA_IMAGE, one);
	FAILS(ERR_INVALID, CALL_grant_lend, slot, GPA_CHANNEL + slot * CHANNEL_WINDOW, one);
	FAILS(ERR_INVALID, CALL_grant_lend, slot, 0, one);
	uint64_t large = kcall(CALL_memory_alloc, GRANT_BYTES / PAGE_SIZE + 1).value[0];
	FAILS(ERR_INVALID, CALL_grant_lend, slot, large, HOW(GRANT_BYTES / PAGE_SIZE + 1, PROT_READ));
	WORKS(CALL_memory_free, large);
	uint64_t pieces = kcall(CALL_memory_alloc, 4, 2).value[0];
	FAILS(ERR_INVALID, CALL_grant_lend, slot, pieces, one);
	FAILS(ERR_INVALID, CALL_grant_lend, slot, pieces + 3 * PAGE_SIZE, one);
	WORKS(CALL_memory_free, pieces);
	uint64_t grant = lend(2, 1, PROT_READ);
	FAILS(ERR_STATE, CALL_grant_lend, slot | PLACE(2), heap, one);
	FAILS(ERR_HANDLE, CALL_grant_take, slot, grant); // ours is the client's end
	FAILS(ERR_HANDLE, CALL_grant_end, slot, grant);
	EQUAL(order(PARTNER_BORROW_TAKE, grant + GRANT_PLACES, 0).error, ERR_HANDLE);
	EQUAL(order(PARTNER_BORROW_TAKE, grant + 1, 0).error, ERR_HANDLE);
	EQUAL(order(PARTNER_BORROW_TAKE, 0, 0).error, ERR_HANDLE);
	EQUAL(order(PARTNER_BORROW_TAKE, grant | 1ul << 32, 0).error, ERR_HANDLE);
	EQUAL(order(PARTNER_BORROW_TAKE, grant, 0).error, ERR_OK);
	EQUAL(order(PARTNER_BORROW_TAKE, grant, 0).error, ERR_STATE);
	FAILS(ERR_STATE, CALL_grant_lend, slot | PLACE(2), heap, one);
	EQUAL(order(PARTNER_BORROW_END, grant, 0).error, ERR_OK);
	uint64_t next = lend(2, 1, PROT_READ);
	CHECK(next != grant);
	EQUAL(order(PARTNER_BORROW_TAKE, grant, 0).error, ERR_HANDLE); // of an earlier generation
	EQUAL(order(PARTNER_BORROW_TAKE, next, 0).error, ERR_OK);
	CHECK(finish()); // while it is taken
}

// All places, again and again, taken or not: neither places nor tables run out.
static void again_and_again(void)
{
	for (unsigned core = 0; core < test_cores && core < 2; core++) {
		uint64_t grants[GRANT_PLACES];
		CHECK(begin(core));
		for (unsigned n = 0; n < 30 && !test_failed(); n++) {
			for (unsigned i = 0; i < GRANT_PLACES; i++)
				grants[i] = lend(i, 1 + (n + i) % PAGES, PROT_READ);
			for (unsigned i = 0; i < GRANT_PLACES; i++) {
				if ((n + i) % 3)
					EQUAL(order(PARTNER_BORROW_TAKE, grants[i], 0).error, ERR_OK);
				EQUAL(order(PARTNER_BORROW_END, grants[i], 0).error, ERR_OK);
			}
		}
		CHECK(finish());
	}
}

static bool free_becomes(uint64_t frames)
{
	for (unsigned i = 0; i < 20000 && test_free_frames(0) != frames; i++)
		test_nap(200);
	return test_free_frames(0) == frames;
}

// INV-71: what the server has taken stays as it was when its owner gives it up; what it has not taken ends.
static void freed_while_lent(bool taken)
{
	for (unsigned core = 0; core < test_cores && core < 2; core++) {
		CHECK(begin(core));
		uint64_t keep = kcall(CALL_memory_alloc, 1).value[0], grant = lend(0, PAGES, PROT_READ);
		uint64_t gpa = order(PARTNER_BORROW_TAKE, grant, 0).value[0];
		EQUAL(order(PARTNER_BORROW_END, grant, 0).error, ERR_OK); // the tables are there from now on
		grant = lend(0, PAGES, PROT_READ);
		if (taken)
			EQUAL(order(PARTNER_BORROW_TAKE, grant, 0).error, ERR_OK);
		uint64_t frames = test_free_frames(0);
		WORKS(CALL_memory_free, heap);
		FAILS(ERR_INVALID, CALL_memory_free, heap);
		FAILS(ERR_INVALID, CALL_memory_free, 0);
		if (taken) {
			EQUAL(test_free_frames(0), frames);
			EQUAL(order(PARTNER_BORROW_READ, gpa + 3 * PAGE_SIZE, 0).value[0], 3 * PAGE_SIZE / 8);
			EQUAL(order(PARTNER_BORROW_END, grant, 0).error, ERR_OK);
		} else {
			CHECK(free_becomes(frames + PAGES));
			EQUAL(order(PARTNER_BORROW_TAKE, grant, 0).error, ERR_HANDLE);
		}
		FAILS(ERR_INVALID, CALL_grant_lend, slot, heap, HOW(1ul, PROT_READ)); // hears of the end, and has no such block
		CHECK(free_becomes(frames + PAGES));
		WORKS(CALL_memory_free, keep);
		CHECK(finish());
	}
}

static void freed_when_taken(void)
{
	freed_while_lent(true);
}

static void freed_when_not_taken(void)
{
	freed_while_lent(false);
}

// A new incarnation finds the grant as its predecessor found it: it can be taken again.
static void server_restarts(void)
{
	struct domain_status status;
	struct channel_geometry g = {0};
	for (unsigned core = 0; core < test_cores && core < 2; core++) {
		CHECK(begin(core));
		uint64_t grant = lend(3, PAGES, PROT_READ | PROT_WRITE), gpa = order(PARTNER_BORROW_TAKE, grant, 0).value[0];
		order(PARTNER_BORROW_WRITE, gpa, 4711);
		bare_layout(slot, &g);
		*(struct partner_order *)(machine_channel(slot) + g.out) = (struct partner_order){PARTNER_BORROW_DIE, 0, 0};
		fence_publish(); // partner: fence_take in serve
		bare_client_page(slot)->submit_tail++;
		bare_ring(slot);
		CHECK(child_wait(&server, &status));
		FAILS(ERR_STATE, CALL_grant_lend, slot | PLACE(3), heap, HOW(1ul, PROT_READ));
		CHECK(child_restore(&server) && child_begin(&server) && child_wait_ready(&server));
		EQUAL(order(PARTNER_BORROW_TAKE, grant, 0).error, ERR_OK);
		EQUAL(order(PARTNER_BORROW_READ, gpa, 0).value[0], 4711);
		EQUAL(order(PARTNER_BORROW_END, grant, 0).error, ERR_OK);
		lend(3, 1, PROT_READ);
		CHECK(finish());
	}
}

// Waits until its kernel has said so, too.
static bool recall_until_ours(uint64_t grant)
{
	enum error error = ERR_AGAIN;
	uint64_t end = time_read() + ANSWER_SECONDS * test_self.timebase;
	while (error == ERR_AGAIN && time_read() < end) {
		error = kcall(CALL_grant_recall, slot, grant).error;
		test_nap(200);
	}
	return test_check(error == ERR_OK, __LINE__, "recall: error %u", error);
}

// Taken back under a server that goes on: it finds clear memory in their place, and ours is out of its reach.
static void recalled_when_taken(void)
{
	for (unsigned core = 0; core < test_cores && core < 2; core++) {
		CHECK(begin(core));
		uint64_t grant = lend(0, PAGES, PROT_READ | PROT_WRITE), gpa = order(PARTNER_BORROW_TAKE, grant, 0).value[0];
		order(PARTNER_BORROW_WRITE, gpa, 1234);
		EQUAL(*(volatile uint64_t *)heap, 1234);
		CHECK(recall_until_ours(grant));
		for (unsigned page = 0; page < PAGES; page++)
			EQUAL(order(PARTNER_BORROW_READ, gpa + page * PAGE_SIZE + 8, 0).value[0], 0);
		order(PARTNER_BORROW_WRITE, gpa, 77);
		EQUAL(order(PARTNER_BORROW_READ, gpa, 0).value[0], 77);
		EQUAL(*(volatile uint64_t *)heap, 1234);
		EQUAL(order(PARTNER_BORROW_TAKE, grant, 0).error, ERR_LOST);
		FAILS(ERR_STATE, CALL_grant_lend, slot, heap, HOW(1ul, PROT_READ)); // its place is in use over there
		WORKS(CALL_grant_recall, slot, grant);
		EQUAL(order(PARTNER_BORROW_END, grant, 0).error, ERR_OK);
		EQUAL(order(PARTNER_BORROW_END, grant, 0).error, ERR_HANDLE);
		EQUAL(order(PARTNER_BORROW_TAKE, lend(0, 1, PROT_READ), 0).error, ERR_OK);
		CHECK(finish());
	}
}

static void recalled_when_not_taken(void)
{
	for (unsigned core = 0; core < test_cores && core < 2; core++) {
		CHECK(begin(core));
		uint64_t grant = lend(2, PAGES, PROT_READ);
		FAILS(ERR_HANDLE, CALL_grant_recall, CHANNEL_MAX, grant);
		FAILS(ERR_HANDLE, CALL_grant_recall, slot, grant + 1);
		FAILS(ERR_HANDLE, CALL_grant_recall, slot, grant + GRANT_PLACES);
		FAILS(ERR_HANDLE, CALL_grant_recall, slot, grant | 1ul << 32);
		CHECK(recall_until_ours(grant));
		EQUAL(order(PARTNER_BORROW_TAKE, grant, 0).error, ERR_HANDLE);
		grant = lend(2, 1, PROT_READ);
		EQUAL(order(PARTNER_BORROW_RECALL, grant, 0).error, ERR_HANDLE); // its is the server's end
		EQUAL(order(PARTNER_BORROW_TAKE, grant, 0).error, ERR_OK);
		EQUAL(order(PARTNER_BORROW_END, grant, 0).error, ERR_OK);
		CHECK(recall_until_ours(grant)); // it has ended by itself
		CHECK(finish());
	}
}

// Given up and taken back: the frames are free before the server ends it.
static void recalled_when_freed(void)
{
	for (unsigned core = 0; core < test_cores && core < 2; core++) {
		CHECK(begin(core));
		uint64_t keep = kcall(CALL_memory_alloc, 1).value[0], grant = lend(0, PAGES, PROT_READ);
		EQUAL(order(PARTNER_BORROW_TAKE, grant, 0).error, ERR_OK);
		uint64_t frames = test_free_frames(0);
		WORKS(CALL_memory_free, heap);
		EQUAL(test_free_frames(0), frames);
		CHECK(recall_until_ours(grant));
		EQUAL(test_free_frames(0), frames + PAGES - (core == 0)); // the clear page is the server's, and so its core's
		WORKS(CALL_memory_free, keep);
		CHECK(finish());
	}
}

// The server dies with clear pages in the place of ours: its next incarnation finds nothing, and the place is free.
static void recalled_and_restarted(void)
{
	struct domain_status status;
	struct channel_geometry g = {0};
	for (unsigned core = 0; core < test_cores && core < 2; core++) {
		CHECK(begin(core));
		uint64_t grant = lend(1, PAGES, PROT_READ);
		EQUAL(order(PARTNER_BORROW_TAKE, grant, 0).error, ERR_OK);
		CHECK(recall_until_ours(grant));
		bare_layout(slot, &g);
		*(struct partner_order *)(machine_channel(slot) + g.out) = (struct partner_order){PARTNER_BORROW_DIE, 0, 0};
		fence_publish(); // partner: fence_take in serve
		bare_client_page(slot)->submit_tail++;
		bare_ring(slot);
		CHECK(child_wait(&server, &status));
		CHECK(child_restore(&server) && child_begin(&server) && child_wait_ready(&server));
		EQUAL(order(PARTNER_BORROW_TAKE, grant, 0).error, ERR_HANDLE);
		EQUAL(order(PARTNER_BORROW_TAKE, lend(1, 1, PROT_READ), 0).error, ERR_OK);
		CHECK(finish());
	}
}

// It will not come back: all that it had is its owners' alone again.
static void server_is_destroyed(void)
{
	for (unsigned core = 0; core < test_cores && core < 2; core++) {
		CHECK(begin(core));
		EQUAL(order(PARTNER_BORROW_TAKE, lend(0, PAGES, PROT_READ), 0).error, ERR_OK);
		lend(1, PAGES, PROT_READ);
		CHECK(child_publish(&server, 'g', SERVICE_NONE) && child_destroy(&server));
		WORKS(CALL_memory_free, heap);
		WORKS(CALL_channel_close, slot);
	}
}

// A client dies with pages that the server uses: it still can, and they come back when it is done; its next incarnation lends again.
static void client_dies(bool comes_back)
{
	for (unsigned core = 0; core < test_cores && core < 3; core++) {
		struct child client;
		CHECK(begin(core));
		CHECK(child_run(&client, (core + 1) % test_cores, "lend", 9999) && child_wait_ready(&client));
		if (!comes_back) { // the server lets go of the channel, and of what it has taken with it
			CHECK(child_destroy(&client) && finish());
			continue;
		}
		CHECK(child_restore(&client));
		uint64_t gpa = GPA_GRANT + 1 * GRANT_WINDOW; // its second channel, and the first place
		EQUAL(order(PARTNER_BORROW_READ, gpa + PAGE_SIZE, 0).value[0], 9999);
		EQUAL(order(PARTNER_BORROW_LAST, 0, 0).error, ERR_OK);
		CHECK(child_begin(&client) && child_wait_ready(&client));
		EQUAL(order(PARTNER_BORROW_LAST, 0, 0).error, ERR_OK);
		CHECK(child_destroy(&client) && finish());
	}
}

static void client_is_destroyed(void)
{
	client_dies(false);
}

static void client_restarts(void)
{
	client_dies(true);
}

const struct kernel_test grant_tests[] = {
	{"grant.everywhere", everywhere},
	{"grant.faults", faults},
	{"grant.refused", refused},
	{"grant.again", again_and_again},
	{"grant.freed.taken", freed_when_taken},
	{"grant.freed.offered", freed_when_not_taken},
	{"grant.recalled.taken", recalled_when_taken},
	{"grant.recalled.offered", recalled_when_not_taken},
	{"grant.recalled.freed", recalled_when_freed},
	{"grant.recalled.restart", recalled_and_restarted},
	{"grant.server.restart", server_restarts},
	{"grant.server.destroyed", server_is_destroyed},
	{"grant.client.restart", client_restarts},
	{"grant.client.destroyed", client_is_destroyed},
	{0, 0},
};
