// Partners with grants between them: "borrow" takes, uses and ends what its clients order; "lend" is a client that stays.
//
// Owns nothing: orders lie in the channels, so a restarted server goes on with what it was told next.
#include "apps/kernel_partner/partner.h"

#define LENT_PAGES 4ul
#define ANSWER_SECONDS 30 // failsafe

static uint64_t last_slot, last_grant;

static void perform(unsigned slot, const struct partner_order *order, struct partner_answer *answer)
{
	struct kernel_result r = {.error = ERR_OK};
	volatile uint64_t *word = (volatile uint64_t *)order->subject;
	switch (order->what) {
	case PARTNER_BORROW_TAKE:
		r = kcall(CALL_grant_take, slot, order->subject);
		last_slot = slot;
		last_grant = order->subject;
		break;
	case PARTNER_BORROW_END:
		r = kcall(CALL_grant_end, slot, order->subject);
		break;
	case PARTNER_BORROW_LAST:
		r = kcall(CALL_grant_end, last_slot, last_grant);
		break;
	case PARTNER_BORROW_RECALL:
		r = kcall(CALL_grant_recall, slot, order->subject);
		break;
	case PARTNER_BORROW_READ:
		r.value[0] = *word;
		break;
	case PARTNER_BORROW_WRITE:
		*word = order->word;
		break;
	default:
		__builtin_trap();
	}
	answer->error = r.error;
	for (unsigned i = 0; i < 3; i++)
		answer->value[i] = r.value[i];
}

static bool serve(unsigned slot)
{
	struct kernel_result info = kcall(CALL_channel_info, slot);
	struct channel_geometry g;
	if (info.error || CHANNEL_INFO_ROLE(info.value[0]) != CHANNEL_ROLE_SERVER ||
	    CHANNEL_INFO_STATE(info.value[0]) != CHANNEL_OPEN || !bare_layout(slot, &g))
		return false;
	uint32_t n = bare_client_page(slot)->submit_tail;
	fence_take(); // partner: fence_publish in grant_order
	volatile struct channel_server_page *page = bare_server_page(slot);
	if (n == page->complete_tail)
		return false;
	struct partner_order order = *(const struct partner_order *)(machine_channel(slot) + g.out);
	if (order.what == PARTNER_BORROW_DIE) // once
		page->complete_tail = n;
	perform(slot, &order, (struct partner_answer *)(machine_channel(slot) + g.in));
	fence_publish(); // partner: fence_take in grant_order
	page->complete_tail = n;
	bare_ring(slot);
	return true;
}

void partner_borrow(uint64_t argument)
{
	(void)argument;
	kcall(CALL_ready);
	for (;;) {
		bool busy = false;
		bare_claim(&partner_self);
		for (struct kernel_result e; (e = kcall(CALL_event_next)).value[0] != EVENT_NONE; busy = true) {
			if (e.value[0] == EVENT_CHANNEL_REQUEST)
				kcall(CALL_channel_accept, e.value[1]);
			if (e.value[0] == EVENT_CHANNEL_CLOSED)
				kcall(CALL_channel_close, e.value[1]);
		}
		for (unsigned slot = 0; slot < CHANNEL_MAX; slot++)
			busy |= serve(slot);
		if (!busy)
			bare_sleep(&partner_self, 0);
	}
}

static void grant_order(unsigned slot, uint64_t grant, struct partner_answer *answer)
{
	struct channel_geometry g;
	if (!bare_layout(slot, &g))
		partner_exit(PARTNER_FAILED(2, 0));
	uint64_t end = time_read() + ANSWER_SECONDS * partner_self.timebase;
	uint32_t n = bare_server_page(slot)->complete_tail + 1;
	*(struct partner_order *)(machine_channel(slot) + g.out) = (struct partner_order){PARTNER_BORROW_TAKE, grant, 0};
	fence_publish(); // partner: fence_take in serve
	bare_client_page(slot)->submit_tail = n;
	bare_ring(slot);
	while (((volatile struct channel_server_page *)bare_server_page(slot))->complete_tail != n && time_read() < end)
		bare_sleep(&partner_self, 1000);
	fence_take(); // partner: fence_publish in serve
	*answer = *(const struct partner_answer *)(machine_channel(slot) + g.in);
}

// Lends pages full of `argument`, has them taken, and waits for its end.
void partner_lend(uint64_t argument)
{
	struct partner_answer answer;
	unsigned slot = partner_open('g');
	uint64_t gpa = kcall(CALL_memory_alloc, LENT_PAGES).value[0];
	for (unsigned i = 0; i < LENT_PAGES * PAGE_SIZE / 8; i++)
		((uint64_t *)gpa)[i] = argument;
	struct kernel_result r = kcall(CALL_grant_lend, slot, gpa, LENT_PAGES << 8 | PROT_READ);
	if (r.error)
		partner_exit(PARTNER_FAILED(3, r.error));
	grant_order(slot, r.value[0], &answer);
	if (answer.error)
		partner_exit(PARTNER_FAILED(4, answer.error));
	kcall(CALL_ready);
	for (;;)
		bare_sleep(&partner_self, 0);
}
