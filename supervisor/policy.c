// Restart policy: burst in a window, growing delay, alternative image, then hold or escalate.
//
// Owns nothing: the history belongs to the service, the rule to the manifest. It must never call the kernel, read a
// clock or keep a variable: what it says depends on its arguments alone, so that the whole table of cases is tested on
// the host. If the supervisor dies, histories are forgotten; the new one begins to count afresh, which errs on the side
// of one more restart.
#include "supervisor/policy.h"

struct policy_rule policy_rule_from(const struct manifest_service *record)
{
	return (struct policy_rule){
		.burst = record->burst,
		.window_ms = record->window_ms,
		.delay_ms = record->delay_ms,
		.delay_max_ms = record->delay_max_ms,
		.alternative = record->alternative[0] != 0,
		.escalate = record->then == THEN_ESCALATE,
		.app = (record->flags & SERVICE_FLAG_APP) != 0,
	};
}

static uint64_t policy_bucket(const struct policy_rule *rule, uint64_t now_ms)
{
	uint64_t width = ((uint64_t)rule->window_ms + POLICY_BUCKETS - 1) / POLICY_BUCKETS;
	return now_ms / (width ? width : 1) + 1; // + 1: an empty history's bucket 0 is none of ours
}

uint64_t policy_recent(const struct policy_history *history, const struct policy_rule *rule, uint64_t now_ms)
{
	uint64_t now = policy_bucket(rule, now_ms), sum = 0;
	for (unsigned i = 0; i < POLICY_BUCKETS; i++) {
		if (history->bucket[i] <= now && now - history->bucket[i] < POLICY_BUCKETS)
			sum += history->count[i];
	}
	return sum;
}

// The delay before the restart that follows `recent` others: none before the first, then doubling.
static uint32_t policy_delay(const struct policy_rule *rule, uint64_t recent)
{
	uint64_t limit = rule->delay_max_ms ? rule->delay_max_ms : POLICY_DELAY_LIMIT_MS;
	uint64_t delay = recent ? rule->delay_ms : 0;
	for (uint64_t i = 1; i < recent && delay && delay < limit; i++)
		delay *= 2;
	return (uint32_t)(delay < limit ? delay : limit);
}

static enum policy_action policy_exhausted(const struct policy_history *history, const struct policy_rule *rule)
{
	if (rule->alternative && !history->on_alternative)
		return POLICY_ALTERNATIVE;
	if (rule->escalate && !history->escalated)
		return POLICY_ESCALATE;
	return POLICY_HOLD;
}

struct policy_decision policy_decide(const struct policy_event *event, const struct policy_history *history,
				     const struct policy_rule *rule)
{
	struct policy_decision decision = {.action = POLICY_RESTART};
	if (rule->app) {
		decision.action = POLICY_END;
		return decision;
	}
	if (event->kind == FAULT_KILLED || event->kind == FAULT_CORE) // somebody asked for it, or its kernel died: not its fault
		return decision;
	uint64_t recent = policy_recent(history, rule, event->now_ms);
	if (recent >= rule->burst || (!event->was_ready && history->futile + 1 >= POLICY_FUTILE)) {
		decision.action = policy_exhausted(history, rule);
		return decision;
	}
	decision.counted = true;
	decision.delay_ms = policy_delay(rule, recent);
	if (decision.delay_ms)
		decision.action = POLICY_DELAY;
	return decision;
}

static void policy_count(struct policy_history *history, uint64_t bucket)
{
	unsigned i = bucket % POLICY_BUCKETS;
	if (history->bucket[i] != bucket) {
		history->bucket[i] = bucket;
		history->count[i] = 0;
	}
	history->count[i]++;
}

static void policy_forget(struct policy_history *history)
{
	for (unsigned i = 0; i < POLICY_BUCKETS; i++)
		history->bucket[i] = history->count[i] = 0;
	history->futile = 0;
}

void policy_remember(struct policy_history *history, const struct policy_event *event,
		     const struct policy_decision *decision, const struct policy_rule *rule)
{
	history->complaints = 0;
	if (event->was_ready)
		history->futile = 0;
	else if (event->kind != FAULT_KILLED && event->kind != FAULT_CORE)
		history->futile++;
	if (decision->counted)
		policy_count(history, policy_bucket(rule, event->now_ms));
	if (decision->action == POLICY_ALTERNATIVE) {
		history->on_alternative = true;
		policy_forget(history);
	}
	if (decision->action == POLICY_ESCALATE) {
		history->escalated = true;
		policy_forget(history);
	}
}

bool policy_complaint_stops(enum complaint reason, uint32_t earlier)
{
	switch (reason) {
	case COMPLAINT_NO_ANSWER: // the kernel found the evidence for these two
	case COMPLAINT_BAD_INDEX:
		return true;
	case COMPLAINT_BAD_COMPLETION:
		return earlier + 1 >= POLICY_COMPLAINTS;
	}
	return false;
}
