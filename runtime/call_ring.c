// The ring of kernel calls (call_ring.h).
//
// Owns the ring's page, and which slot is the next. Must never fill a slot of the batch twice. Right because the kernel takes slots in order, and a batch is over
// before the next begins. If the domain dies, its kernel forgets the ring; the next incarnation opens one.
#include "runtime/call_ring.h"
#include "abi/layout.h"
#include "runtime/runtime.h"

static struct call_slot slots[PAGE_SIZE / sizeof(struct call_slot)] __attribute__((aligned(PAGE_SIZE)));
static unsigned next;
static unsigned used; // of this batch
static bool open;

void calls_begin(void)
{
	if (!open)
		invariant(kcall(CALL_ring_open, slots).error == ERR_OK);
	open = true;
	used = 0;
}

static uint8_t link_to(unsigned call)
{
	return call < CALL_RING_SLOTS ? CALL_LINK(call) : 0;
}

unsigned calls_add(enum call number, unsigned after, unsigned from, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
		   uint64_t a4, uint64_t a5)
{
	unsigned call = next;
	struct call_slot *s = &slots[call];
	invariant(open && used < CALL_RING_SLOTS);
	used++;
	next = (call + 1) % CALL_RING_SLOTS;
	*s = (struct call_slot){.number = (uint16_t)number, .after = link_to(after), .from = link_to(from), .word = {a0, a1, a2, a3, a4, a5}};
	*(volatile uint32_t *)&s->state = CALL_SLOT_SUBMITTED;
	return call;
}

void calls_perform(void)
{
	invariant(kcall(CALL_ring_enter, 1).error == ERR_OK);
}

struct kernel_result calls_result(unsigned call)
{
	const volatile struct call_slot *s = &slots[call];
	invariant(s->state == CALL_SLOT_DONE);
	struct kernel_result r = {.error = (enum error)s->error};
	for (unsigned i = 0; i < 5; i++)
		r.value[i] = s->word[i];
	return r;
}
