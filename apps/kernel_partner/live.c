// Partners that are watched: one that answers, one that works long but answers, two that never do.
#include "apps/kernel_partner/partner.h"

void partner_events_answer(void)
{
	for (;;) {
		struct kernel_result e = kcall(CALL_event_next);
		if (e.value[0] == EVENT_NONE)
			return;
		if (e.value[0] == EVENT_PING)
			kcall(CALL_pong, e.value[1]);
	}
}

void partner_pongs(uint64_t argument)
{
	(void)argument;
	kcall(CALL_ready);
	for (;;) {
		bare_claim(&partner_self);
		partner_events_answer();
		bare_sleep(&partner_self, 0);
	}
}

// Works all the time, and looks at its events every millisecond.
void partner_busy(uint64_t argument)
{
	(void)argument;
	kcall(CALL_ready);
	for (;;) {
		uint64_t end = time_read() + partner_self.timebase / 1000;
		while (time_read() < end)
			;
		partner_events_answer();
	}
}

// Wakes at each ring, claims it, and says nothing.
void partner_mute(uint64_t argument)
{
	(void)argument;
	kcall(CALL_ready);
	for (;;) {
		bare_claim(&partner_self);
		bare_sleep(&partner_self, 0);
	}
}

// `argument` ms at each place of a long way, and then at the last one. 0: at that one from the start.
void partner_places_slowly(uint64_t argument)
{
	kcall(CALL_ready);
	partner_places(argument * partner_self.timebase / 1000);
}
