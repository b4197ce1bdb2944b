// Partners with a ring of calls. "batch" has each call performed once, whatever happens to its kernel; "fuzz" fills its ring with anything.
//
// Owns one page. If one of them dies, or its kernel, nothing is left but what the test looks at.
#include "apps/kernel_partner/partner.h"

#define BLOCKS 20u

static struct bare_calls calls;
static struct call_slot page[PAGE_SIZE / sizeof(struct call_slot)] __attribute__((aligned(PAGE_SIZE)));

static void batch_expect(bool truth, unsigned step, uint64_t found)
{
	if (!truth)
		partner_exit(PARTNER_FAILED(step, found));
}

// Blocks are given back by the ring: to give one back twice is an error, and so is to forget it (the quota ends).
static void turn(void)
{
	unsigned slot[BLOCKS];
	for (unsigned i = 0; i < BLOCKS; i++) {
		struct kernel_result r = kcall(CALL_memory_alloc, 1);
		batch_expect(r.error == ERR_OK, 1, r.error);
		slot[i] = bare_submit(&calls, CALL_memory_free, 0, 0, BARE_WORDS(r.value[0]));
	}
	struct kernel_result entered = kcall(CALL_ring_enter, 0);
	batch_expect(entered.error == ERR_OK, 2, entered.error);
	for (unsigned i = 0; i < BLOCKS; i++) {
		batch_expect(bare_is_done(&calls, slot[i]), 3, calls.slots[slot[i]].state);
		batch_expect(calls.slots[slot[i]].error == ERR_OK, 4, calls.slots[slot[i]].error);
	}
}

// `argument` turns, 0: without end. The last calls ring us.
void partner_batch(uint64_t argument)
{
	struct kernel_result opened = bare_calls_open(&calls, page);
	batch_expect(opened.error == ERR_OK, 5, opened.error);
	kcall(CALL_ready);
	for (uint64_t n = 0; argument == 0 || n < argument; n++)
		turn();
	bare_claim(&partner_self);
	calls.flags = CALL_SLOT_RINGS;
	bare_submit(&calls, CALL_null, 0, 0, BARE_WORDS(0));
	kcall(CALL_ring_enter, 0);
	unsigned rung = partner_self.file ? interrupt_claim() : (unsigned)__builtin_ctzl(kcall(CALL_doorbell_claim).value[0] | 1ul << 63);
	partner_exit(rung == IDENTITY_CALLS ? 0 : PARTNER_FAILED(6, rung));
}

// ---- anything

static uint64_t random_state;

static uint64_t random_word(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

// Most words are small, or an address that means something.
static uint64_t random_argument(void)
{
	const uint64_t places[] = {GPA_HEAP, GPA_HEAP + 2 * PAGE_SIZE, (uint64_t)page, GPA_CHANNEL, GPA_IMAGE, GPA_STACK_TOP, GPA_INFO, ~0ul};
	uint64_t r = random_word();
	return r & 1 ? places[r >> 1 & 7] : r & 2 ? r >> 58 : r & 4 ? r : 0;
}

static void slot_spoil(struct call_slot *s)
{
	for (unsigned i = 0; i < 6; i++)
		s->word[i] = random_argument();
	uint64_t r = random_word();
	s->number = r & 3 ? (uint16_t)((r >> 2) % (CALL_COUNT + 2)) : (uint16_t)r;
	s->after = r >> 20 & 7 ? 0 : (uint8_t)(r >> 24);
	s->from = r >> 32 & 7 ? 0 : (uint8_t)(r >> 36);
	s->flags = (uint32_t)(r >> 40);
	s->error = r >> 50 & 1 ? 0 : (uint32_t)(r >> 51);
	s->state = r >> 60 & 3 ? CALL_SLOT_SUBMITTED : (uint32_t)(r >> 62);
	if (s->number == CALL_log)
		s->word[0] |= 64; // what it says is random too
}

// The ring lies where memory can be given back by the ring itself, and in our image, in turns; what it names is opened
// and closed at random. That we are alive at the end is all that is asked.
void partner_fuzz(uint64_t argument)
{
	random_state = argument | 1ul << 60;
	for (unsigned n = 0; n < 600; n++) {
		struct kernel_result block = kcall(CALL_memory_alloc, 1);
		void *at = n % 3 == 0 && block.error == ERR_OK ? (void *)block.value[0] : page;
		kcall(CALL_ring_open, 0);
		if (kcall(CALL_ring_open, at).error != ERR_OK)
			partner_exit(PARTNER_FAILED(1, n));
		for (unsigned i = 0; i < CALL_RING_SLOTS; i++)
			slot_spoil(&((struct call_slot *)at)[i]);
		for (unsigned i = 0; i < 3; i++)
			kcall(CALL_ring_enter, random_word() & 1);
		if (n % 3 == 0)
			kcall(CALL_memory_free, block.value[0]);
		else if (n % 8 == 1)
			kcall(CALL_ring_open, random_argument() | 1);
		if (block.error == ERR_QUOTA) // what the ring freed, or not, is not known: all of it goes
			for (uint64_t gpa = GPA_HEAP; gpa < GPA_HEAP + 512 * PAGE_SIZE; gpa += PAGE_SIZE)
				kcall(CALL_memory_free, gpa);
		bare_claim(&partner_self);
	}
	partner_exit(0);
}
