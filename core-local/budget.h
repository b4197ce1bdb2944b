// Budget of a domain: so many ticks of its core in each period, while others want it too.
//
// Never: looks at a clock or arms anything; the kernel says what was used and when. Why right: `left` is made full only
// when a period has passed since the last time, or the rest of one since it was empty; `spent` is set by the charge that
// empties it and cleared by the next filling, so that each of the two is seen once. State: in the domain's record; a restart begins with a full one.
// A domain that has spent its budget is not stopped: it gets what nobody else wants, until the period ends.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct budget {
	uint64_t ticks;  // for each period; 0: no limit
	uint64_t period; // in ticks
	uint64_t left;
	uint64_t begun;  // when this period did
	bool spent;
};

void budget_set(struct budget *b, uint64_t ticks, uint64_t period, uint64_t now);
// `used` ticks until now, of a domain that was not spent. True: they were the last ones of this period.
bool budget_charge(struct budget *b, uint64_t used, uint64_t now);
// Begins the next period if this one is over and something was left.
void budget_renew(struct budget *b, uint64_t now);
// When one that has just been spent is full again: others have the rest of a period, however late the host let us know.
uint64_t budget_full_at(const struct budget *b, uint64_t now);
// That time has come.
void budget_fill(struct budget *b, uint64_t now);
