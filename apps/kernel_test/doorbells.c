// The doorbell proof: round trips between two cores for which neither kernel takes a trap; and the same through the
// kernels, whose counters then grow. The partners measure and print the figures (kernel_partner/rings.c).
#include "apps/kernel_test/test.h"
#include <string.h>

#define FULL_THOUSANDS 100 // the size of the long test: then no round is left out
#define QUICK_SECONDS 4

static uint64_t rings_argument(enum partner_wait wait, unsigned hundreds)
{
	struct partner_rings how = {.service = 'd', .mode = (uint8_t)wait, .hundreds = (uint16_t)hundreds};
	how.seconds = test_thousands < FULL_THOUSANDS ? QUICK_SECONDS : 0;
	uint64_t word;
	memcpy(&word, &how, sizeof(word));
	return word;
}

static bool has_file(const struct child *c)
{
	return machine_info(c->core)->domains[c->domain].guest_file != 0;
}

// Sleeps without a timer, so that our own core is quiet too, until the child's end is told.
static void await_quietly(const struct child *c)
{
	while (child_state(c) != DOMAIN_STOPPED) {
		bare_claim(&test_self);
		while (kcall(CALL_event_next).value[0] != EVENT_NONE)
			;
		if (child_state(c) == DOMAIN_STOPPED)
			return;
		bare_sleep(&test_self, 0);
	}
}

static void rounds(enum partner_wait wait, unsigned hundreds, unsigned echo_flags, unsigned ring_flags, bool direct)
{
	struct child echo, ring;
	struct domain_status s;
	if (test_cores < 2) {
		test_skip("one core");
		return;
	}
	unsigned a = test_cores > 2 ? 1 : 0, b = test_cores > 2 ? 2 : 1;
	uint64_t argument = rings_argument(wait, hundreds);
	CHECK(child_run_as(&echo, a, "echo", argument, 1, echo_flags));
	CHECK(child_publish(&echo, 'd', SERVICE_UP));
	CHECK(child_create(&ring, b, "ring", argument, 1, ring_flags));
	CHECK(child_load(&ring));
	if (direct && !(has_file(&echo) && has_file(&ring))) {
		test_skip("no guest file for both");
		return;
	}
	uint64_t kernel_rings = machine_info(a)->counters[INFO_DOORBELL_KERNEL] +
				machine_info(b)->counters[INFO_DOORBELL_KERNEL];
	CHECK(child_begin(&ring));
	await_quietly(&ring);
	s = child_status(&ring);
	kernel_rings = machine_info(a)->counters[INFO_DOORBELL_KERNEL] + machine_info(b)->counters[INFO_DOORBELL_KERNEL] -
		       kernel_rings;
	EQUAL(s.state >> 8 & 0xff, FAULT_EXIT);
	uint64_t done = (s.cause >> 32) * 100, traps = (uint32_t)s.cause; // of both kernels
	CHECK(done >= 100 && (done == hundreds * 100ul || test_thousands < FULL_THOUSANDS));
	if (direct) {
		EQUAL(kernel_rings, 0);
		EQUAL(traps, 0);
	} else {
		CHECK(traps >= done && kernel_rings >= done); // at least one each round
	}
	CHECK(child_exits(&echo, 0));
}

static void direct_spin(void)
{
	rounds(PARTNER_WAIT_SPIN, 1000, 0, 0, true);
}

static void direct_sleep(void)
{
	rounds(PARTNER_WAIT_SLEEP, 1000, 0, 0, true);
}

static void kernels_spin(void)
{
	rounds(PARTNER_WAIT_SPIN, 10, DOMAIN_FLAG_NO_FILE, DOMAIN_FLAG_NO_FILE, false);
}

static void kernels_sleep(void)
{
	rounds(PARTNER_WAIT_SLEEP, 10, DOMAIN_FLAG_NO_FILE, DOMAIN_FLAG_NO_FILE, false);
}

static void mixed_sleep(void)
{
	rounds(PARTNER_WAIT_SLEEP, 10, DOMAIN_FLAG_NO_FILE, 0, false);
	if (test_cores > 1)
		child_destroy_all();
	rounds(PARTNER_WAIT_SLEEP, 10, 0, DOMAIN_FLAG_NO_FILE, false);
}

const struct kernel_test doorbell_tests[] = {
	{"doorbell.direct.spin", direct_spin},
	{"doorbell.direct.sleep", direct_sleep},
	{"doorbell.kernels.spin", kernels_spin},
	{"doorbell.kernels.sleep", kernels_sleep},
	{"doorbell.mixed", mixed_sleep},
	{0, 0},
};
