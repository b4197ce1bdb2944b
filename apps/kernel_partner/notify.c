// Partners with a notification between them: a channel without memory. "notify" opens and rings, "sound" rings back.
//
// Owns nothing. What may get lost between two lives is rung again by whoever begins one, as the runtime does it.
#include "apps/kernel_partner/partner.h"

#define PATIENCE_US 20000   // where the other one may die between two rings
#define RING_SECONDS 30     // failsafe; a ring takes microseconds

static unsigned notification_open_bare(char service)
{
	struct kernel_result r = kcall(CALL_channel_open, partner_service(service), 0, 1, 0, 0);
	if (r.error)
		partner_exit(PARTNER_FAILED(1, r.error));
	return (unsigned)r.value[0];
}

// Claims; were there rings? `identity` alone counts where there is a file; without one it is whatever was there.
static bool claimed(unsigned identity)
{
	bool any = false;
	for (unsigned i; partner_self.file && (i = interrupt_claim()) != 0;)
		any |= identity == 0 || i == identity;
	if (!partner_self.file) {
		struct kernel_result r = kcall(CALL_doorbell_claim);
		uint64_t all = r.value[0] | r.value[1] | r.value[2] | r.value[3];
		any = identity ? r.value[identity / 64] >> identity % 64 & 1 : all != 0;
	}
	fence_claimed(); // partner: fence_doorbell in bare_ring
	return any;
}

static void events_drop(void)
{
	while (kcall(CALL_event_next).value[0] != EVENT_NONE)
		;
}

static void await(unsigned slot, bool trusts)
{
	uint64_t end = time_read() + RING_SECONDS * partner_self.timebase;
	unsigned identity = CHANNEL_OWN_IDENTITY(kcall(CALL_channel_info, slot).value[1]);
	while (!claimed(identity)) {
		events_drop();
		if (time_read() > end)
			partner_exit(PARTNER_FAILED(2, identity));
		bare_sleep(&partner_self, trusts ? 0 : PATIENCE_US);
		if (!trusts)
			bare_ring(slot);
	}
}

void partner_notify(uint64_t argument)
{
	struct partner_argument how;
	__builtin_memcpy(&how, &argument, sizeof(how));
	unsigned slot = notification_open_bare(how.service);
	if (how.trespass)
		*(volatile uint64_t *)machine_channel(slot) = 1;
	for (unsigned n = 0; n < how.rounds; n++) {
		bare_ring(slot);
		await(slot, how.flags & PARTNER_TRUSTS);
		if (!(how.flags & PARTNER_MANY))
			continue;
		enum error error = kcall(CALL_channel_close, slot).error;
		if (error)
			partner_exit(PARTNER_FAILED(3, error));
		slot = notification_open_bare(how.service);
	}
	if ((how.flags & PARTNER_CLOSES) && kcall(CALL_channel_close, slot).error)
		partner_exit(PARTNER_FAILED(4, 0));
	if (how.flags & PARTNER_STAYS) {
		kcall(CALL_ready);
		for (;;)
			bare_sleep(&partner_self, 0);
	}
	partner_exit(0);
}

// ---- server

static void event_take(const struct kernel_result *e)
{
	if (e->value[0] == EVENT_CHANNEL_REQUEST)
		kcall(CALL_channel_accept, e->value[1]);
	else if (e->value[0] == EVENT_CHANNEL_CLOSED)
		kcall(CALL_channel_close, e->value[1]);
	else if (e->value[0] == EVENT_PING)
		kcall(CALL_pong, e->value[1]);
}

static void ring_all(void)
{
	for (unsigned slot = 0; slot < CHANNEL_MAX; slot++) {
		struct kernel_result info = kcall(CALL_channel_info, slot);
		if (info.error == ERR_OK && CHANNEL_INFO_STATE(info.value[0]) == CHANNEL_OPEN)
			bare_ring(slot);
	}
}

void partner_sound(uint64_t argument)
{
	(void)argument;
	kcall(CALL_ready);
	ring_all(); // of the life before
	for (;;) {
		bool any = claimed(0);
		struct kernel_result e;
		while ((e = kcall(CALL_event_next)).value[0] != EVENT_NONE)
			event_take(&e);
		if (any)
			ring_all();
		else
			bare_sleep(&partner_self, 0);
	}
}
