// The doorbell proof: round trips between two domains by one store and one interrupt on each side.
//
// "echo" serves, "ring" opens and measures. A ring is a store to the peer's page; it is taken by a handler of VS-mode
// (entry.S) that claims and counts. Both kernels' trap counters are read on both sides of the rounds. Without a guest
// file, or a page of the peer's, the same goes through the kernels.
#include "apps/kernel_partner/partner.h"

#define WARM_ROUNDS 100u
#define BATCH 100u
#define CLIENT_BEGINS 1u // in the client's submit_tail
#define CLIENT_ENDS 2u   // with the next ring
#define CLIENT_IS_GONE 3u

struct rounds {
	unsigned slot;
	enum partner_wait wait;
	bool direct; // our store rings the peer
	volatile uint32_t *page;
	uint32_t identity;
	uint64_t taken; // rings that were waited for
};

static void rounds_start(struct rounds *r, unsigned slot, enum partner_wait wait)
{
	struct kernel_result info = kcall(CALL_channel_info, slot);
	*r = (struct rounds){.slot = slot, .wait = wait};
	r->direct = (info.value[0] & CHANNEL_HAS_DOORBELL_PAGE) != 0;
	r->page = machine_doorbell(slot);
	r->identity = CHANNEL_PEER_IDENTITY(info.value[1]);
}

// Rings that came before are forgotten; from here the handler counts.
//
// The soft interrupt stays pending, and nobody listens to it: QEMU 7.2 forgets to look at the guest files of a hart that
// nothing else is pending on, when a ring arrives while its hart enters VS-mode or claims (docs/kernel.md).
static void handler_install(void)
{
	bare_claim(&partner_self);
	partner_interrupts = 0;
	csr_write(CSR_STVEC, (uint64_t)partner_vector);
	csr_set(CSR_SIP, INTERRUPT_SOFT);
	if (partner_self.file && (csr_read(CSR_SSTATUS) & SSTATUS_SIE) == 0)
		csr_set(CSR_SSTATUS, SSTATUS_SIE);
}

static void ring_peer(const struct rounds *r)
{
	fence_doorbell(); // partner: the peer's claim in partner_vector
	if (r->direct)
		*r->page = r->identity;
	else
		kcall(CALL_doorbell, r->slot);
}

// wfi returns at once when something is pending, so nothing is lost between the look and the sleep.
static void sleep_for_ring(const struct rounds *r)
{
	csr_clear(CSR_SSTATUS, SSTATUS_SIE);
	while (partner_interrupts == r->taken) {
		wait_for_interrupt();
		csr_set(CSR_SSTATUS, SSTATUS_SIE);
		csr_clear(CSR_SSTATUS, SSTATUS_SIE);
	}
	csr_set(CSR_SSTATUS, SSTATUS_SIE);
}

static void sticky_wait(const struct rounds *r)
{
	for (;;) {
		struct kernel_result claimed = kcall(CALL_doorbell_claim);
		if (claimed.value[0] | claimed.value[1] | claimed.value[2] | claimed.value[3])
			return;
		if (r->wait == PARTNER_WAIT_SLEEP)
			wait_for_interrupt();
	}
}

static void await_ring(struct rounds *r)
{
	if (!partner_self.file)
		sticky_wait(r);
	else if (r->wait == PARTNER_WAIT_SLEEP)
		sleep_for_ring(r);
	else
		while (partner_interrupts == r->taken)
			;
	r->taken++;
}

// Single words of an info page may be read bare.
static uint64_t traps_of(unsigned core)
{
	uint64_t traps = 0;
	for (unsigned i = INFO_TRAP_CALL; i <= INFO_TRAP_FP; i++)
		traps += load64(&machine_info(core)->counters[i]);
	return traps;
}

void partner_echo_rounds(uint64_t argument)
{
	struct partner_rings how;
	__builtin_memcpy(&how, &argument, sizeof(how));
	struct kernel_result e = {ERR_OK, {0}};
	while (e.value[0] != EVENT_CHANNEL_REQUEST) {
		bare_claim(&partner_self);
		e = kcall(CALL_event_next);
		if (e.value[0] == EVENT_NONE)
			bare_sleep(&partner_self, 0);
	}
	struct rounds r;
	handler_install();
	if (kcall(CALL_channel_accept, e.value[1]).error)
		partner_exit(PARTNER_FAILED(1, 0));
	rounds_start(&r, (unsigned)e.value[1], how.mode);
	volatile struct channel_server_page *server = bare_server_page(r.slot);
	const volatile struct channel_client_page *client = bare_client_page(r.slot);
	server->complete_tail = 1; // we are here
	while (client->submit_tail == 0) // it has looked at our counters and begins
		;
	for (;;) {
		await_ring(&r);
		if (client->submit_tail >= CLIENT_ENDS)
			break;
		ring_peer(&r);
	}
	csr_clear(CSR_SSTATUS, SSTATUS_SIE);
	while (client->submit_tail != CLIENT_IS_GONE) // it looks at our counters: no trap of ours before that
		;
	partner_exit(0);
}

static void say(const struct rounds *r, const struct partner_rings *how, uint64_t rounds, uint64_t ticks, uint64_t own,
		uint64_t peer)
{
	uint64_t ns = ticks * 1000 / (partner_self.timebase / 1000000) / rounds;
	partner_log("FIGURE doorbell %s %s rounds %lu ns %lu traps %lu %lu",
		    how->mode == PARTNER_WAIT_SLEEP ? "sleep" : "spin",
		    r->direct && partner_self.file ? "direct" : "kernels", (unsigned long)rounds, (unsigned long)ns,
		    (unsigned long)own, (unsigned long)peer);
}

static void run(struct rounds *r, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		ring_peer(r);
		await_ring(r);
	}
}

// All rounds, or as many as there is time for (a host with fewer free processors than spinning domains is slow).
static uint64_t run_all(struct rounds *r, const struct partner_rings *how, uint64_t *ticks)
{
	uint64_t start = time_read(), rounds = 0;
	do {
		run(r, BATCH);
		rounds += BATCH;
		*ticks = time_read() - start;
	} while (rounds < how->hundreds * 100ul && (how->seconds == 0 || *ticks < how->seconds * partner_self.timebase));
	return rounds;
}

void partner_ring_rounds(uint64_t argument)
{
	struct partner_rings how;
	__builtin_memcpy(&how, &argument, sizeof(how));
	struct rounds r;
	uint64_t ticks;
	unsigned slot = partner_open(how.service);
	unsigned peer = CHANNEL_PEER_CORE(kcall(CALL_channel_info, slot).value[4]);
	volatile struct channel_client_page *client = bare_client_page(slot);
	while (bare_server_page(slot)->complete_tail == 0)
		;
	handler_install();
	rounds_start(&r, slot, how.mode);
	client->submit_tail = CLIENT_BEGINS;
	run(&r, WARM_ROUNDS);
	uint64_t own_before = traps_of(partner_self.core), peer_before = traps_of(peer);
	uint64_t rounds = run_all(&r, &how, &ticks);
	uint64_t own = traps_of(partner_self.core) - own_before, theirs = traps_of(peer) - peer_before;
	client->submit_tail = CLIENT_ENDS;
	ring_peer(&r);
	client->submit_tail = CLIENT_IS_GONE;
	csr_clear(CSR_SSTATUS, SSTATUS_SIE);
	say(&r, &how, rounds, ticks, own, theirs);
	partner_exit(PARTNER_FAILED(rounds / BATCH, own + theirs));
}
