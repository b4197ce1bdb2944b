// Tests of rings of calls (abi/call_ring.h): order, links, many at once to all cores, and who dies meanwhile.
#include "apps/kernel_test/test.h"
#include <string.h>

#define WAIT_SECONDS 30 // failsafe
#define STACK_PAGES 4ul

static struct bare_calls calls;
static struct call_slot page[PAGE_SIZE / sizeof(struct call_slot)] __attribute__((aligned(PAGE_SIZE)));

static bool ring_begin(void)
{
	kcall(CALL_ring_open, 0);
	struct kernel_result r = bare_calls_open(&calls, page);
	memset(page, 0, sizeof(page));
	return test_check(r.error == ERR_OK, __LINE__, "ring_open: error %u", r.error);
}

static enum error error_of(unsigned slot)
{
	return bare_is_done(&calls, slot) ? page[slot].error : ERROR_COUNT;
}

#define SUBMIT(number, after, from, ...) bare_submit(&calls, CALL_##number, after, from, BARE_WORDS(__VA_ARGS__))

static void batches_come_in_order(void)
{
	CHECK(ring_begin());
	for (unsigned n = 0; n < 200; n++) { // sizes that wrap around at every slot
		unsigned size = 1 + n % CALL_RING_SLOTS, slot[CALL_RING_SLOTS];
		for (unsigned i = 0; i < size; i++)
			slot[i] = SUBMIT(memory_count, 0, 0, 0);
		WORKS(CALL_ring_enter, n & 1);
		for (unsigned i = 0; i < size; i++) {
			EQUAL(error_of(slot[i]), ERR_OK);
			EQUAL(page[slot[i]].word[0], test_free_frames(0));
		}
	}
	WORKS(CALL_ring_enter, 1); // nothing is there
	EQUAL(page[calls.next].state == CALL_SLOT_SUBMITTED, 0);
	WORKS(CALL_ring_open, 0);
	FAILS(ERR_STATE, CALL_ring_enter, 0);
}

static void pages_are_checked(void)
{
	const uint64_t wrong[] = {(uint64_t)page + 64, GPA_INFO, GPA_STARTUP, GPA_IMAGE, GPA_CHANNEL, GPA_DEVICE, GPA_BOOT_IMAGE,
				  GPA_END, 1ul << 41, ~0ul << 12, ~0ul};
	kcall(CALL_ring_open, 0);
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		FAILS(ERR_INVALID, CALL_ring_open, wrong[i]);
	FAILS(ERR_STATE, CALL_ring_enter, 0);
	CHECK(ring_begin());
	FAILS(ERR_STATE, CALL_ring_open, page);
	WORKS(CALL_ring_open, 0);
}

// Memory of a channel that another core's partition has is no place for a ring; the doorbell page beside it neither.
static void peers_memory_is_refused(void)
{
	struct partner_argument how = {.service = 'e', .flags = PARTNER_STAYS};
	struct child client;
	kcall(CALL_ring_open, 0);
	for (unsigned core = 1; core < test_cores; core++) {
		WORKS(CALL_domain_publish, test_own, partner_service('e'), 0, SERVICE_UP);
		CHECK(child_run(&client, core, "client", test_argument(&how)));
		struct kernel_result e = {ERR_OK, {EVENT_NONE}};
		for (unsigned i = 0; i < 100000 && e.value[0] != EVENT_CHANNEL_REQUEST; i++, test_nap(100))
			e = kcall(CALL_event_next);
		EQUAL(e.value[0], EVENT_CHANNEL_REQUEST);
		WORKS(CALL_channel_accept, e.value[1]);
		uint64_t theirs = GPA_CHANNEL + e.value[1] * CHANNEL_WINDOW;
		FAILS(ERR_INVALID, CALL_ring_open, theirs);
		FAILS(ERR_INVALID, CALL_ring_open, theirs + PAGE_SIZE); // which we can write
		FAILS(ERR_INVALID, CALL_ring_open, GPA_DOORBELL + e.value[1] * PAGE_SIZE);
		WORKS(CALL_domain_publish, test_own, partner_service('e'), 0, SERVICE_NONE);
		CHECK(child_destroy(&client));
	}
}

static void some_calls_are_refused(void)
{
	const uint16_t waits[] = {CALL_endpoint_call, CALL_endpoint_call_give, CALL_endpoint_receive, CALL_endpoint_reply,
				  CALL_endpoint_reply_give, CALL_endpoint_keep, CALL_yield, CALL_exit, CALL_memory_alloc, CALL_channel_open,
				  CALL_ring_open, CALL_ring_enter};
	unsigned slot[sizeof(waits) / sizeof(waits[0])];
	CHECK(ring_begin());
	for (unsigned i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
		slot[i] = bare_submit(&calls, waits[i], 0, 0, BARE_WORDS(1));
	unsigned unknown = bare_submit(&calls, CALL_COUNT, 0, 0, BARE_WORDS(1)), wild = bare_submit(&calls, 0xffff, 0, 0, BARE_WORDS(1));
	unsigned core = SUBMIT(memory_count, 0, 0, test_cores), handle = SUBMIT(domain_status, 0, 0, ~0ul), supervisor = SUBMIT(domain_destroy, 0, 0, test_own);
	WORKS(CALL_ring_enter, 1);
	for (unsigned i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
		EQUAL(error_of(slot[i]), ERR_UNSUPPORTED);
	EQUAL(error_of(unknown), ERR_UNKNOWN_CALL);
	EQUAL(error_of(wild), ERR_UNKNOWN_CALL);
	EQUAL(error_of(core), ERR_INVALID);
	EQUAL(error_of(handle), ERR_HANDLE);
	EQUAL(error_of(supervisor), ERR_DENIED);
}

static void links_are_followed(void)
{
	for (unsigned on = 0; on < test_cores; on++) {
		CHECK(ring_begin());
		unsigned wrong = SUBMIT(memory_count, 0, 0, test_cores);
		unsigned behind = SUBMIT(domain_create, CALL_LINK(wrong), 0, on, partner_word("exit"), 0, 100, 1ul << 32);
		unsigned last = SUBMIT(domain_destroy, CALL_LINK(behind), CALL_LINK(behind), 0);
		unsigned nothing = SUBMIT(null, CALL_LINK(40), 0, 0), itself = SUBMIT(null, CALL_LINK(calls.next), 0, 0);
		unsigned beyond = SUBMIT(null, 200, 0, 0);
		unsigned made = SUBMIT(domain_create, 0, 0, on, partner_word("exit"), 0, 100, 1ul << 32);
		unsigned status = SUBMIT(domain_status, 0, CALL_LINK(made), 0, 1), gone = SUBMIT(domain_destroy, CALL_LINK(status), CALL_LINK(made), 0);
		unsigned late = SUBMIT(domain_status, CALL_LINK(gone), CALL_LINK(made), 0, 1);
		WORKS(CALL_ring_enter, 1);
		EQUAL(error_of(wrong), ERR_INVALID);
		EQUAL(error_of(behind), ERR_INVALID);
		EQUAL(error_of(last), ERR_INVALID);
		EQUAL(error_of(nothing), ERR_STATE);
		EQUAL(error_of(itself), ERR_STATE);
		CHECK(error_of(beyond) != ERROR_COUNT); // it names some slot
		EQUAL(error_of(made), ERR_OK);
		EQUAL(error_of(status), ERR_OK);
		EQUAL(error_of(gone), ERR_OK);
		EQUAL(error_of(late), ERR_HANDLE);
	}
}

// ---- systems at once

struct chain {
	unsigned made, last;
};

// create, load, start on that core: each when the one before has succeeded.
static struct chain chain_submit(unsigned core, const char *order, uint64_t argument, unsigned flags)
{
	struct chain c;
	c.made = c.last = SUBMIT(domain_create, 0, 0, core, partner_word(order), argument, 160, 1ul << 32 | flags);
	for (unsigned i = 0; i < test_segment_count; i++) {
		const struct test_segment *s = &test_segments[i];
		c.last = SUBMIT(domain_load, CALL_LINK(c.last), CALL_LINK(c.made), 0, s->gpa, s->pages << 8 | s->prot, s->offset, s->length);
	}
	c.last = SUBMIT(domain_load, CALL_LINK(c.last), CALL_LINK(c.made), 0, GPA_STACK_TOP - STACK_PAGES * PAGE_SIZE,
			STACK_PAGES << 8 | PROT_READ | PROT_WRITE, 0, 0);
	calls.flags = CALL_SLOT_RINGS;
	c.last = SUBMIT(domain_start, CALL_LINK(c.last), CALL_LINK(c.made), 0, test_entry, GPA_STACK_TOP);
	calls.flags = 0;
	return c;
}

static struct child chain_child(const struct chain *c, unsigned core)
{
	return (struct child){page[c->made].word[0], core, (unsigned)page[c->made].word[1], (uint32_t)page[c->last].word[0]};
}

static bool calls_rang(void)
{
	if (!test_self.file)
		return kcall(CALL_doorbell_claim).value[0] >> IDENTITY_CALLS & 1;
	for (unsigned i; (i = interrupt_claim()) != 0;)
		if (i == IDENTITY_CALLS)
			return true;
	return false;
}

// Without a wait: the ring of the last call's end wakes us, and no clock.
static bool rung_until_done(unsigned slot)
{
	uint64_t end = time_read() + WAIT_SECONDS * test_self.timebase;
	if (kcall(CALL_ring_enter, 0).error)
		return false;
	while (!bare_is_done(&calls, slot)) {
		bare_sleep(&test_self, 0);
		if (!calls_rang() && time_read() > end)
			return test_check(false, __LINE__, "slot %u is in state %u", slot, page[slot].state);
	}
	return true;
}

#define AT_ONCE 6u

// Of each chain: those of other cores end in any order.
static bool chains_rung(const struct chain *chain, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (!rung_until_done(chain[i].last))
			return false;
	return true;
}

static void chains_end(const struct chain *chain, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		unsigned core = i % test_cores;
		EQUAL(error_of(chain[i].last), ERR_OK);
		struct child c = chain_child(&chain[i], core);
		CHECK(child_exits(&c, 100 + i));
		WORKS(CALL_domain_destroy, c.handle);
	}
}

static void domains_start_at_once(void)
{
	struct chain chain[AT_ONCE];
	for (unsigned turn = 0; turn < 4 + 4 * (unsigned)test_thousands; turn++) {
		CHECK(ring_begin());
		for (unsigned i = 0; i < AT_ONCE; i++)
			chain[i] = chain_submit(i % test_cores, "exit", 100 + i, turn & 1 ? DOMAIN_FLAG_NO_FILE : 0);
		if (turn & 2)
			WORKS(CALL_ring_enter, 1);
		else
			CHECK(chains_rung(chain, AT_ONCE));
		chains_end(chain, AT_ONCE);
		CHECK(!test_failed());
	}
}

// More are submitted at once than can be under way, and more domains are asked for than there are names.
static void tables_get_full(void)
{
	enum { MANY = 20 };
	static uint64_t made[4 * MANY];
	unsigned slot[MANY], count = 0, refused = 0;
	CHECK(ring_begin());
	for (unsigned turn = 0; turn < 4; turn++) {
		for (unsigned i = 0; i < MANY; i++)
			slot[i] = SUBMIT(domain_create, 0, 0, i % test_cores, partner_word("exit"), 0, 100, 1ul << 32 | DOMAIN_FLAG_NO_FILE);
		WORKS(CALL_ring_enter, 1);
		for (unsigned i = 0; i < MANY; i++) {
			enum error e = error_of(slot[i]);
			CHECK(e == ERR_OK || e == ERR_LIMIT);
			if (e == ERR_OK)
				made[count++] = page[slot[i]].word[0];
			refused += e == ERR_LIMIT;
		}
	}
	for (unsigned i = 0; i < count; i++) {
		SUBMIT(domain_destroy, 0, 0, made[i]);
		if (i % 30 == 29 || i == count - 1)
			WORKS(CALL_ring_enter, 1);
	}
	CHECK(refused > 0);
	WORKS(CALL_domain_status, test_own, 0); // our own name is still one
}

// ---- the ring's page, and hostile rings

static void ring_ends_with_its_page(void)
{
	struct kernel_result block = kcall(CALL_memory_alloc, 1);
	EQUAL(block.error, ERR_OK);
	kcall(CALL_ring_open, 0);
	EQUAL(bare_calls_open(&calls, (void *)block.value[0]).error, ERR_OK);
	struct kernel_result other = kcall(CALL_memory_alloc, 1);
	SUBMIT(memory_count, 0, 0, test_cores - 1); // under way, perhaps
	SUBMIT(memory_free, 0, 0, block.value[0]);
	SUBMIT(memory_free, 0, 0, other.value[0]); // is not taken any more
	WORKS(CALL_ring_enter, 1);
	FAILS(ERR_STATE, CALL_ring_enter, 0);
	WORKS(CALL_memory_free, other.value[0]);
	FAILS(ERR_INVALID, CALL_memory_free, block.value[0]);
}

static void partners_batch(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child one, two;
		CHECK(child_run(&one, core, "batch", 30));
		CHECK(child_run_as(&two, core, "batch", 30, 1, DOMAIN_FLAG_NO_FILE));
		CHECK(child_exits(&one, 0));
		CHECK(child_exits(&two, 0));
		CHECK(child_restore(&one)); // a new incarnation opens a ring of its own
		CHECK(child_begin(&one));
		CHECK(child_exits(&one, 0));
		CHECK(child_destroy(&one));
		CHECK(child_destroy(&two));
	}
}

static void batches_are_killed(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child c;
		CHECK(child_run(&c, core, "batch", 0));
		for (unsigned i = 0; i < 20; i++) {
			test_nap(311);
			EQUAL(child_state(&c) == DOMAIN_STOPPED, false);
			CHECK(child_restore(&c));
			CHECK(child_begin(&c));
		}
		CHECK(child_destroy(&c));
	}
}

static void anything_in_a_ring(void)
{
	for (unsigned core = 0; core < test_cores; core++) {
		struct child one, two;
		CHECK(child_run(&one, core, "fuzz", time_read()));
		CHECK(child_run_as(&two, core, "fuzz", time_read() << 8, 1, DOMAIN_FLAG_NO_FILE));
		CHECK(child_exits(&one, 0));
		CHECK(child_exits(&two, 0));
		CHECK(child_destroy(&one));
		CHECK(child_destroy(&two));
	}
}

// ---- kernels that die

static bool core_returns(unsigned core, uint32_t incarnation)
{
	uint64_t end = time_read() + WAIT_SECONDS * test_self.timebase;
	while (machine_info(core)->state != CORE_ONLINE || machine_info(core)->incarnation == incarnation) {
		if (time_read() > end)
			return test_check(false, __LINE__, "core %u does not come back: state %u", core, machine_info(core)->state);
		test_nap(1000);
	}
	while (kcall(CALL_core_ping, core).error) // we have not met it yet
		test_nap(1000);
	return true;
}

// What is under way there ends, and so does what is linked to it; what goes elsewhere is performed. *ticks: how long that took at least.
static void core_dies(enum core_crash how, uint64_t *ticks)
{
	for (unsigned core = 1; core < test_cores; core++) {
		uint32_t incarnation = machine_info(core)->incarnation;
		uint64_t start = time_read();
		CHECK(ring_begin());
		unsigned crash = SUBMIT(core_crash, 0, 0, core, how, 0, CALL_EARNEST), lost[6];
		for (unsigned i = 0; i < 6; i++)
			lost[i] = SUBMIT(domain_create, 0, 0, core, partner_word("exit"), 0, 100, 1ul << 32);
		unsigned behind = SUBMIT(domain_destroy, 0, CALL_LINK(lost[0]), 0), other = SUBMIT(memory_count, 0, 0, 0);
		WORKS(CALL_ring_enter, 1);
		EQUAL(error_of(crash), ERR_OK);
		for (unsigned i = 0; i < 6; i++)
			EQUAL(error_of(lost[i]), ERR_CORE_LOST);
		EQUAL(error_of(behind), ERR_CORE_LOST);
		EQUAL(error_of(other), ERR_OK);
		*ticks = time_read() - start < *ticks ? time_read() - start : *ticks;
		if (how == CORE_CRASH_HANG)
			WORKS(CALL_core_reboot, core);
		CHECK(core_returns(core, incarnation));
		unsigned made = SUBMIT(domain_create, 0, 0, core, partner_word("exit"), 0, 100, 1ul << 32);
		unsigned gone = SUBMIT(domain_destroy, 0, CALL_LINK(made), 0);
		WORKS(CALL_ring_enter, 1);
		EQUAL(error_of(gone), ERR_OK);
	}
}

#define CALL_TICKS (CALL_DEADLINE_MS * test_self.timebase / 1000)

static void core_dies_loudly(void)
{
	uint64_t ticks = ~0ul;
	for (unsigned i = 0; i < 3 && ticks >= CALL_TICKS && !test_failed(); i++) // unless the host had other things to do
		core_dies(CORE_CRASH_PANIC, &ticks);
	CHECK(test_cores == 1 || ticks < CALL_TICKS); // nobody waits for a deadline
}

static void core_dies_silently(void)
{
	uint64_t ticks = ~0ul;
	if (test_cores != 2) {
		test_skip("one is enough: a deadline takes seconds, and so does a silent kernel's return");
		return;
	}
	core_dies(CORE_CRASH_HANG, &ticks);
	CHECK(ticks >= CALL_TICKS);
}

// The kernel below a ring dies: no call is performed twice, and none is left out; the partner counts.
static void ring_outlives_its_kernel(void)
{
	struct child batch, spin;
	unsigned went_on = 0, core = test_cores - 1;
	if (core == 0) {
		test_skip("no other core could start ours again");
		return;
	}
	CHECK(child_run(&batch, core, "batch", 0));
	CHECK(child_run(&spin, core, "spin", 0)); // or the partner would always be the one that runs when it happens
	for (unsigned i = 0; i < 12 && went_on < 3; i++) {
		uint32_t incarnation = machine_info(core)->incarnation;
		test_nap(230000 + 1300 * i); // shorter lives would be taken for the domain's fault
		WORKS(CALL_core_crash, core, CORE_CRASH_PANIC, 0, CALL_EARNEST);
		CHECK(core_returns(core, incarnation));
		struct domain_status s = child_status(&batch);
		if ((uint8_t)s.state == DOMAIN_STOPPED) {
			EQUAL(s.state >> 8 & 0xff, FAULT_CORE);
			CHECK(child_restore(&batch) && child_begin(&batch));
		} else {
			went_on++;
		}
		if (child_state(&spin) == DOMAIN_STOPPED)
			CHECK(child_restore(&spin) && child_begin(&spin));
	}
	test_nap(50000);
	CHECK(child_state(&batch) != DOMAIN_STOPPED);
	CHECK(went_on > 0);
	CHECK(child_destroy(&batch));
	CHECK(child_destroy(&spin));
}

// Calls are under way, others behind them, and one of them ends us: our kernel goes on without the ring, and with our next incarnation.
static void ring_ends_its_domain(void)
{
	CHECK(ring_begin());
	for (unsigned i = 0; i < 6; i++)
		SUBMIT(domain_create, 0, 0, i % test_cores, partner_word("exit"), 0, 100, 1ul << 32);
	SUBMIT(domain_stop, 0, 0, test_own, FAULT_KILLED);
	SUBMIT(domain_create, 0, 0, 0, partner_word("exit"), 0, 100, 1ul << 32);
	kcall(CALL_ring_enter, 1);
	CHECK(false); // nobody is left to say so
}

const struct kernel_test batch_tests[] = {
	{"batch.order", batches_come_in_order},
	{"batch.pages", pages_are_checked},
	{"batch.peers", peers_memory_is_refused},
	{"batch.refused", some_calls_are_refused},
	{"batch.links", links_are_followed},
	{"batch.start", domains_start_at_once},
	{"batch.full", tables_get_full},
	{"batch.unmapped", ring_ends_with_its_page},
	{"batch.partners", partners_batch},
	{"batch.killed", batches_are_killed},
	{"batch.fuzz", anything_in_a_ring},
	{"batch.dead", core_dies_loudly},
	{"batch.silent", core_dies_silently},
	{"batch.reborn", ring_outlives_its_kernel},
	{"alone.ring", ring_ends_its_domain},
	{0, 0},
};
