// What the kernel's tests use in place of the runtime: rings, sleep, channel pages, straight on the kernel calls.
//
// Owns nothing but what a caller passes. No event loop and no fibers, so that a failing test means the kernel.
#pragma once
#include "abi/call_ring.h"
#include "abi/channel.h"
#include "abi/event.h"
#include "abi/fault.h"
#include "abi/info.h"
#include "runtime/csr.h"
#include "runtime/fence.h"
#include "runtime/kernel_call.h"
#include "runtime/machine.h"
#include <stdbool.h>

struct bare {
	unsigned core;
	unsigned domain;
	uint32_t epoch;
	unsigned file; // guest file, 0: rings come through the kernel
	uint64_t timebase;
};

// Who we are, and all identities enabled in our file; the processor's interrupts stay off.
static inline struct bare bare_start(void)
{
	struct kernel_result r = kcall(CALL_self);
	struct bare b = {(unsigned)r.value[0], (unsigned)r.value[1], (uint32_t)r.value[2], (unsigned)r.value[4], 0};
	b.timebase = machine_info(b.core)->timebase;
	for (unsigned i = 0; b.file && i < 4; i++) {
		csr_write(CSR_SISELECT, IMSIC_EIE + 2 * i);
		csr_write(CSR_SIREG, ~0ul);
	}
	if (b.file) {
		csr_write(CSR_SISELECT, IMSIC_EITHRESHOLD);
		csr_write(CSR_SIREG, 0);
		csr_write(CSR_SISELECT, IMSIC_EIDELIVERY);
		csr_write(CSR_SIREG, 1);
	}
	csr_set(CSR_SIE, INTERRUPT_EXTERNAL);
	return b;
}

// Takes all rings that are there, whatever they say.
static inline void bare_claim(const struct bare *b)
{
	if (b->file)
		while (interrupt_claim() != 0)
			;
	else
		kcall(CALL_doorbell_claim);
	fence_claimed(); // partner: fence_doorbell in bare_ring
}

// Sleeps until a ring, or for at most `us` (0: no limit). May return early.
static inline void bare_sleep(const struct bare *b, uint64_t us)
{
	csr_write(CSR_STIMECMP, us ? time_read() + us * b->timebase / 1000000 : UINT64_MAX);
	if (us)
		csr_set(CSR_SIE, INTERRUPT_TIMER);
	wait_for_interrupt();
	csr_clear(CSR_SIE, INTERRUPT_TIMER);
	csr_write(CSR_STIMECMP, UINT64_MAX);
}

static inline void bare_ring(unsigned slot)
{
	struct kernel_result info = kcall(CALL_channel_info, slot);
	fence_doorbell(); // partner: fence_claimed in bare_claim
	if (info.value[0] & CHANNEL_HAS_DOORBELL_PAGE)
		*machine_doorbell(slot) = CHANNEL_PEER_IDENTITY(info.value[1]);
	else
		kcall(CALL_doorbell, slot);
}

static inline struct channel_client_page *bare_client_page(unsigned slot)
{
	return (struct channel_client_page *)machine_channel(slot);
}

static inline struct channel_server_page *bare_server_page(unsigned slot)
{
	return (struct channel_server_page *)(machine_channel(slot) + PAGE_SIZE);
}

// Where out and in lie; false when the end is gone.
static inline bool bare_layout(unsigned slot, struct channel_geometry *g)
{
	struct kernel_result info = kcall(CALL_channel_info, slot);
	return info.error == ERR_OK &&
	       channel_layout(g, CHANNEL_INFO_SLOTS(info.value[1]), info.value[2], info.value[3]);
}

// A ring of calls (abi/call_ring.h): its page, and the slot to be filled next.
struct bare_calls {
	struct call_slot *slots;
	unsigned next;
	uint32_t flags; // of the calls to come
};

static inline struct kernel_result bare_calls_open(struct bare_calls *b, void *page)
{
	*b = (struct bare_calls){.slots = page};
	return kcall(CALL_ring_open, page);
}

// Submits one, and says in which slot.
static inline unsigned bare_submit(struct bare_calls *b, uint16_t number, uint8_t after, uint8_t from, const uint64_t word[6])
{
	unsigned slot = b->next;
	struct call_slot *s = &b->slots[slot];
	b->next = (slot + 1) % CALL_RING_SLOTS;
	s->number = number;
	s->after = after;
	s->from = from;
	s->flags = b->flags;
	for (unsigned i = 0; i < 6; i++)
		s->word[i] = word[i];
	*(volatile uint32_t *)&s->state = CALL_SLOT_SUBMITTED;
	return slot;
}
#define BARE_WORDS_6(a, b, c, d, e, f, ...) ((const uint64_t[6]){(uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e), (uint64_t)(f)})
#define BARE_WORDS(...) BARE_WORDS_6(__VA_ARGS__, 0, 0, 0, 0, 0, 0)

static inline bool bare_is_done(const struct bare_calls *b, unsigned slot)
{
	return *(volatile uint32_t *)&b->slots[slot].state == CALL_SLOT_DONE;
}
