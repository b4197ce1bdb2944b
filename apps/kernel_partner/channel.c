// Partners at the ends of channels: a server that echoes, and a client that checks the echo.
//
// One exchange: the client fills `out` and its submit_tail with the number n and rings; the server finds n there, fills
// `in` and its complete_tail, and rings back. All state lies in the channel, so a restarted server goes on from there.
#include "apps/kernel_partner/partner.h"

#define ANSWER_SECONDS 30 // failsafe; an answer takes microseconds

static uint64_t pattern(uint32_t n, unsigned word)
{
	return (uint64_t)n << 32 | (word * 2654435761u);
}

static uint64_t *area(unsigned slot, uint64_t offset)
{
	return (uint64_t *)(machine_channel(slot) + offset);
}

static void trespass(const struct partner_argument *how, unsigned slot)
{
	if (how->trespass & 1)
		*(volatile uint64_t *)(machine_channel(slot) + (how->trespass & 0xfffe)) = 1;
}

// ---- server

static uint64_t server_slots; // bit: slots that may be ours; a new incarnation looks at all once

static void server_accept(const struct partner_argument *how, unsigned slot)
{
	if (kcall(CALL_channel_accept, slot).error)
		return;
	server_slots |= 1ul << slot;
	trespass(how, slot);
}

static void server_event(const struct partner_argument *how, uint64_t kind, unsigned slot)
{
	if (kind == EVENT_CHANNEL_REQUEST && (how->flags & PARTNER_REFUSES))
		kcall(CALL_channel_refuse, slot);
	else if (kind == EVENT_CHANNEL_REQUEST && !(how->flags & PARTNER_IGNORES))
		server_accept(how, slot);
	else if (kind == EVENT_CHANNEL_CLOSED && !(how->flags & PARTNER_HOLDS))
		kcall(CALL_channel_close, slot);
	else if (kind == EVENT_PING)
		kcall(CALL_pong, slot);
}

static void server_answer(unsigned slot, const struct channel_geometry *g, uint32_t n)
{
	const uint64_t *out = area(slot, g->out);
	uint64_t *in = area(slot, g->in);
	for (unsigned i = 0; i < PARTNER_OUT_BYTES / 8; i += 64)
		in[i] = out[i] == pattern(n, i) ? ~out[i] : 0;
	volatile struct channel_server_page *page = bare_server_page(slot);
	page->epoch = partner_self.epoch;
	fence_publish(); // partner: fence_take in client_exchange
	page->complete_tail = n;
	bare_ring(slot);
}

static bool server_look(unsigned slot)
{
	if (!(server_slots >> slot & 1))
		return false;
	struct kernel_result info = kcall(CALL_channel_info, slot);
	struct channel_geometry g;
	if (info.error || CHANNEL_INFO_ROLE(info.value[0]) != CHANNEL_ROLE_SERVER ||
	    CHANNEL_INFO_STATE(info.value[0]) != CHANNEL_OPEN ||
	    !channel_layout(&g, CHANNEL_INFO_SLOTS(info.value[1]), info.value[2], info.value[3])) {
		server_slots &= ~(1ul << slot);
		return false;
	}
	const volatile struct channel_client_page *client = bare_client_page(slot);
	uint32_t n = client->submit_tail;
	fence_take(); // partner: fence_publish in client_exchange
	if (n == bare_server_page(slot)->complete_tail)
		return false;
	server_answer(slot, &g, n);
	return true;
}

void partner_server(uint64_t argument)
{
	struct partner_argument how;
	__builtin_memcpy(&how, &argument, sizeof(how));
	bool deaf = (how.flags & PARTNER_DEAF) && partner_self.epoch == 1;
	server_slots = ~0ul;
	kcall(CALL_ready);
	for (;;) {
		bool busy = false;
		bare_claim(&partner_self);
		for (;;) {
			struct kernel_result e = kcall(CALL_event_next);
			if (e.value[0] == EVENT_NONE)
				break;
			server_event(&how, e.value[0], (unsigned)e.value[1]);
			busy = true;
		}
		for (unsigned slot = 0; slot < CHANNEL_MAX && !deaf; slot++)
			busy |= server_look(slot);
		if (!busy)
			bare_sleep(&partner_self, 0);
	}
}

// ---- client

unsigned partner_open(char service)
{
	struct kernel_result r = kcall(CALL_channel_open, partner_service(service), 0, (uint64_t)PARTNER_SLOTS << 32 | 1,
				       PARTNER_OUT_BYTES, PARTNER_IN_BYTES);
	if (r.error)
		partner_exit(PARTNER_FAILED(1, r.error));
	return (unsigned)r.value[0];
}

// `down`: the server may be under restart already.
static void client_check_info(unsigned slot, bool down)
{
	struct kernel_result i = kcall(CALL_channel_info, slot);
	if (i.error || CHANNEL_INFO_ROLE(i.value[0]) != CHANNEL_ROLE_CLIENT || CHANNEL_INFO_PRIORITY(i.value[0]) != 1)
		partner_exit(PARTNER_FAILED(2, i.value[0]));
	if (CHANNEL_INFO_STATE(i.value[0]) != CHANNEL_OPEN && !(down && CHANNEL_INFO_STATE(i.value[0]) == CHANNEL_DOWN))
		partner_exit(PARTNER_FAILED(3, i.value[0]));
	if (CHANNEL_INFO_SLOTS(i.value[1]) != PARTNER_SLOTS)
		partner_exit(PARTNER_FAILED(11, i.value[0]));
	if (i.value[2] != PARTNER_OUT_BYTES || i.value[3] != PARTNER_IN_BYTES)
		partner_exit(PARTNER_FAILED(4, i.value[2]));
}

static uint64_t client_patience_us = 100000; // a server that dies before it rings costs this; 0: for ever

static void client_await(unsigned slot, uint32_t n)
{
	const volatile struct channel_server_page *server = bare_server_page(slot);
	uint64_t end = time_read() + ANSWER_SECONDS * partner_self.timebase;
	for (;;) {
		bare_claim(&partner_self);
		while (kcall(CALL_event_next).value[0] != EVENT_NONE)
			;
		if (server->complete_tail == n)
			break;
		if (time_read() > end)
			partner_exit(PARTNER_FAILED(5, n));
		bare_sleep(&partner_self, client_patience_us);
	}
	fence_take(); // partner: fence_publish in server_answer
}

static void client_exchange(unsigned slot, uint32_t n)
{
	struct channel_geometry g;
	volatile struct channel_client_page *client = bare_client_page(slot);
	if (!bare_layout(slot, &g))
		partner_exit(PARTNER_FAILED(6, n));
	uint64_t *out = area(slot, g.out);
	const uint64_t *in = area(slot, g.in);
	for (unsigned i = 0; i < PARTNER_OUT_BYTES / 8; i += 64)
		out[i] = pattern(n, i);
	fence_publish(); // partner: fence_take in server_look
	client->submit_tail = n;
	bare_ring(slot);
	client_await(slot, n);
	for (unsigned i = 0; i < PARTNER_IN_BYTES / 8; i += 64)
		if (in[i] != ~pattern(n, i))
			partner_exit(PARTNER_FAILED(7, i));
}

static void client_many(const struct partner_argument *how)
{
	for (unsigned n = 1; n <= how->rounds; n++) {
		unsigned slot = partner_open(how->service);
		client_exchange(slot, n);
		enum error error = kcall(CALL_channel_close, slot).error;
		if (error)
			partner_exit(PARTNER_FAILED(8, error));
	}
	partner_exit(0);
}

// It believes that the server completes more than was asked, and says so again and again.
static void client_complains(unsigned slot)
{
	for (;;) {
		kcall(CALL_channel_complain, slot, COMPLAINT_BAD_INDEX);
		bare_sleep(&partner_self, 1000);
	}
}

void partner_client(uint64_t argument)
{
	struct partner_argument how;
	__builtin_memcpy(&how, &argument, sizeof(how));
	if (how.flags & PARTNER_TRUSTS)
		client_patience_us = 0;
	if (how.flags & PARTNER_MANY)
		client_many(&how);
	unsigned slot = partner_open(how.service);
	if (how.flags & PARTNER_COMPLAINS)
		client_complains(slot);
	client_check_info(slot, how.rounds > 100 || (how.flags & PARTNER_EPOCH));
	trespass(&how, slot);
	unsigned rounds = how.rounds ? how.rounds : 1;
	uint32_t first = bare_client_page(slot)->submit_tail;
	for (uint32_t n = first + 1; n <= first + rounds; n++)
		client_exchange(slot, n);
	if ((how.flags & PARTNER_EPOCH) && (bare_server_page(slot)->epoch < 2 ||
	     CHANNEL_PEER_EPOCH(kcall(CALL_channel_info, slot).value[4]) != bare_server_page(slot)->epoch))
		partner_exit(PARTNER_FAILED(9, bare_server_page(slot)->epoch));
	if ((how.flags & PARTNER_CLOSES) && kcall(CALL_channel_close, slot).error)
		partner_exit(PARTNER_FAILED(10, 0));
	if (how.flags & PARTNER_STAYS) {
		kcall(CALL_ready);
		for (;;)
			bare_sleep(&partner_self, 0);
	}
	partner_exit(0);
}
