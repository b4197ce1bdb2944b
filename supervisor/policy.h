// Restart policy: what to do about a service that ended. A pure function of (event, history, rule).
#pragma once
#include "abi/call.h"
#include "abi/fault.h"
#include "abi/manifest.h"
#include <stdbool.h>
#include <stdint.h>

// Sub-windows that a rule's window is counted in. 16: a restart is forgotten after 15/16 to 16/16 of the window, near
// enough for a rule that people write in whole seconds, and a burst may be of any size without a list of times.
#define POLICY_BUCKETS 16u
// ms; the longest delay where a rule names none. A minute: longer than any device needs, short enough to be noticed.
#define POLICY_DELAY_LIMIT_MS 60000u
// Complaints that cannot be checked (COMPLAINT_BAD_COMPLETION) before they are believed. 3: one client may be wrong
// or lie, a server that is broken draws more at once.
#define POLICY_COMPLAINTS 3u

// Deaths in a row before an incarnation was ever ready, after which the rule counts as exhausted whatever its window
// says. 20: a wide burst (for storms of injected faults) must not let a service that dies at every start go on for ever.
#define POLICY_FUTILE 20u

enum policy_action {
	POLICY_RESTART,     // now
	POLICY_DELAY,       // after delay_ms
	POLICY_ALTERNATIVE, // now, from the alternative image
	POLICY_ESCALATE,    // restart what it uses, then itself
	POLICY_HOLD,        // no more; clients are told
	POLICY_END,         // an app: report, answer, destroy
};

struct policy_rule {
	uint32_t burst;
	uint32_t window_ms;
	uint32_t delay_ms;
	uint32_t delay_max_ms;
	bool alternative; // there is one
	bool escalate;    // when exhausted; else hold
	bool app;
};

struct policy_history {
	uint64_t bucket[POLICY_BUCKETS]; // number of the sub-window that the count belongs to
	uint32_t count[POLICY_BUCKETS];
	uint32_t complaints;
	uint32_t futile; // deaths in a row before ready
	bool on_alternative;
	bool escalated;
};

struct policy_event {
	enum fault_kind kind;
	uint64_t now_ms;
	bool was_ready; // the incarnation that ended had served
};

struct policy_decision {
	enum policy_action action;
	uint32_t delay_ms;
	bool counted; // against the burst
};

struct policy_rule policy_rule_from(const struct manifest_service *record);
// Pure: changes nothing.
struct policy_decision policy_decide(const struct policy_event *event, const struct policy_history *history,
				     const struct policy_rule *rule);
// What the history is after that decision was carried out.
void policy_remember(struct policy_history *history, const struct policy_event *event,
		     const struct policy_decision *decision, const struct policy_rule *rule);
// Restarts counted within the window that ends at now_ms.
uint64_t policy_recent(const struct policy_history *history, const struct policy_rule *rule, uint64_t now_ms);
// True when a complaint of that kind, `earlier` of which came since the last restart, stops the service.
bool policy_complaint_stops(enum complaint reason, uint32_t earlier);
