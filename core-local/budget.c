// Budget of a domain: see budget.h.
#include "core-local/budget.h"

void budget_fill(struct budget *b, uint64_t now)
{
	b->left = b->ticks;
	b->begun = now;
	b->spent = false;
}

void budget_set(struct budget *b, uint64_t ticks, uint64_t period, uint64_t now)
{
	b->ticks = ticks;
	b->period = period;
	budget_fill(b, now);
}

bool budget_charge(struct budget *b, uint64_t used, uint64_t now)
{
	if (b->ticks == 0 || b->spent)
		return false;
	b->left -= used < b->left ? used : b->left;
	b->spent = b->left == 0;
	budget_renew(b, now);
	return b->spent;
}

void budget_renew(struct budget *b, uint64_t now)
{
	if (!b->spent && now - b->begun >= b->period)
		budget_fill(b, now);
}

uint64_t budget_full_at(const struct budget *b, uint64_t now)
{
	return now + b->period - b->ticks;
}
