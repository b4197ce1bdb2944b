// Audit (audit.h): a supervisor that lives, answers pings, and does nothing of what it should, or the wrong.
//
// Owns the number of looks at which each entry of the table was found to be overlooked. What it believes is compared with what the kernels
// publish, and what its pure functions say with answers that are known. It must never wait, and never mend: who gives a wrong answer is
// damaged (INV-76), and a restart is cheaper than to find out how far. Right because of the time that lies between two looks: what is
// not handled after two seconds is not late. If the supervisor dies here, that is what this file is for; its next incarnation
// finds what was overlooked when it adopts.
#include "supervisor/audit.h"
#include "abi/info.h"
#include "runtime/runtime.h"
#include "supervisor/cores.h"
#include "supervisor/services.h"
#include <string.h>

static struct {
	uint64_t turns;    // cores_turns at the last look
	unsigned untimely; // looks in a row at which they were the same
} audit;

static struct info_page audit_page; // a page is too much for a stack

// It runs, for all that we know, and its kernel says that it has stopped.
static bool audit_overlooks(const struct service *s)
{
	const struct info_domain *d = &audit_page.domains[s->domain.domain];
	return (s->phase == PHASE_STARTING || s->phase == PHASE_UP) && d->state == DOMAIN_STOPPED && d->epoch == s->epoch;
}

static void audit_deaths(unsigned core)
{
	struct service *s;
	if (!cores_usable(core) || !info_read(core, &audit_page) || audit_page.state != CORE_ONLINE)
		return;
	for (unsigned i = 0; (s = services_at(i)) != 0; i++) {
		if (!s->record || !s->domain.handle || s->domain.core != core)
			continue;
		s->overlooked = audit_overlooks(s) ? s->overlooked + 1 : 0;
		invariant(s->overlooked < AUDIT_LOOKS);
	}
}

static bool audit_found_by_domain(const struct service *s)
{
	const struct service *found = services_of_domain(s->domain.core, s->domain.domain);
	return found && found->domain.core == s->domain.core && found->domain.domain == s->domain.domain;
}

// Each entry is found by what it is found by.
static void audit_table(void)
{
	struct service *s;
	for (unsigned i = 0; (s = services_at(i)) != 0; i++) {
		if (s->record && !s->job)
			invariant(services_by_name(s->record->name, strnlen(s->record->name, NAME_SIZE)) == s);
		if (s->record && s->domain.handle && s->phase == PHASE_UP)
			invariant(audit_found_by_domain(s));
	}
}

static bool audit_decides(enum fault_kind kind, uint32_t burst, bool app, enum policy_action action)
{
	const struct policy_rule rule = {.burst = burst, .window_ms = 1000, .app = app};
	const struct policy_history history = {0};
	const struct policy_event event = {kind, 1, true};
	return policy_decide(&event, &history, &rule).action == action;
}

static void audit_policy(void)
{
	invariant(audit_decides(FAULT_EXCEPTION, 1, false, POLICY_RESTART));
	invariant(audit_decides(FAULT_HANG, 0, false, POLICY_HOLD));
	invariant(audit_decides(FAULT_KILLED, 0, false, POLICY_RESTART));
	invariant(audit_decides(FAULT_EXIT, 1, true, POLICY_END));
	invariant(policy_complaint_stops(COMPLAINT_NO_ANSWER, 0) && policy_complaint_stops(COMPLAINT_BAD_INDEX, 0));
	invariant(!policy_complaint_stops(COMPLAINT_BAD_COMPLETION, 0));
}

// The other cores are pinged more often than we are.
static void audit_timers(void)
{
	uint64_t turns = cores_turns();
	audit.untimely = services_cores() > 1 && turns == audit.turns ? audit.untimely + 1 : 0;
	audit.turns = turns;
	invariant(audit.untimely < AUDIT_LOOKS);
}

void audit_self(void)
{
	for (unsigned core = 0; core < services_cores(); core++)
		audit_deaths(core);
	audit_table();
	audit_policy();
	audit_timers();
}
