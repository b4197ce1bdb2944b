// Rounds of a notification alone, nothing counted in memory: signal, sleep, claim. The leanest loops that are right.
//
// The same fence and store as notification_signal makes, the same claim and fence as the loop's. Other identities that come meanwhile are
// not taken for the peer's. Right because a signal is pending until it is claimed: wfi does not wait then, also with SIE = 0. If the
// peer dies in the middle, this side waits for ever; the user ends it.
#include "apps/bench/bench.h"
#include "runtime/csr.h"
#include "runtime/fence.h"
#include "runtime/runtime.h"

void bench_handler(void);          // handler.S
volatile uint8_t bench_rung[2048]; // by identity: as many as stopei can name

static inline void signal_peer(const struct rounds *rounds)
{
	fence_doorbell(); // partner: fence_claimed of the other side
	store32(rounds->doorbell, rounds->peer_identity);
}

static inline void await_claim(const struct rounds *rounds)
{
	do {
		wait_for_interrupt();
	} while (interrupt_claim() != rounds->own_identity);
	fence_claimed(); // partner: fence_doorbell of the other side
}

// The handler runs in the one instruction's time in which interrupts are on.
static inline void await_handler(const struct rounds *rounds)
{
	while (!bench_rung[rounds->own_identity]) {
		wait_for_interrupt();
		csr_set(CSR_SSTATUS, SSTATUS_SIE);
		csr_clear(CSR_SSTATUS, SSTATUS_SIE);
	}
	bench_rung[rounds->own_identity] = 0;
	fence_claimed(); // partner: fence_doorbell of the other side
}

// The soft interrupt stays pending and disabled: else QEMU 7.2 can forget a ring (docs/kernel.md, "Handlers").
static uint64_t handler_install(void)
{
	uint64_t before = csr_read(CSR_STVEC);
	csr_write(CSR_STVEC, (uint64_t)bench_handler);
	csr_set(CSR_SIP, INTERRUPT_SOFT);
	return before;
}

static void handler_remove(uint64_t before)
{
	csr_clear(CSR_SIP, INTERRUPT_SOFT);
	csr_write(CSR_STVEC, before);
}

void rounds_notify(const struct rounds *rounds, uint64_t count)
{
	const struct rounds r = *rounds; // in registers
	if (r.mode == PARTNER_NOTIFY) {
		for (; count > 0; count--) {
			signal_peer(&r);
			await_claim(&r);
		}
		return;
	}
	uint64_t before = handler_install();
	for (; count > 0; count--) {
		signal_peer(&r);
		await_handler(&r);
	}
	handler_remove(before);
}

void rounds_notify_as_partner(const struct rounds *rounds, uint64_t count)
{
	const struct rounds r = *rounds;
	if (r.mode == PARTNER_NOTIFY) {
		for (; count > 0; count--) {
			await_claim(&r);
			signal_peer(&r);
		}
		return;
	}
	uint64_t before = handler_install();
	for (; count > 0; count--) {
		await_handler(&r);
		signal_peer(&r);
	}
	handler_remove(before);
}
