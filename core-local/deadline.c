// Deadlines of one core: see deadline.h.
#include "core-local/deadline.h"

void deadline_arm(struct deadlines *q, struct deadline *d, uint64_t time)
{
	struct deadline *before = 0, *after;

	deadline_cancel(q, d);
	for (after = q->first; after && after->time <= time; after = after->next)
		before = after;
	d->time = time;
	d->prev = before;
	d->next = after;
	d->armed = true;
	if (before)
		before->next = d;
	else
		q->first = d;
	if (after)
		after->prev = d;
}

void deadline_cancel(struct deadlines *q, struct deadline *d)
{
	if (!d->armed)
		return;
	if (d->prev)
		d->prev->next = d->next;
	else
		q->first = d->next;
	if (d->next)
		d->next->prev = d->prev;
	d->next = d->prev = 0;
	d->armed = false;
}

uint64_t deadline_next(const struct deadlines *q)
{
	return q->first ? q->first->time : DEADLINE_NEVER;
}

struct deadline *deadline_expired(struct deadlines *q, uint64_t now)
{
	struct deadline *d = q->first;

	if (!d || d->time > now)
		return 0;
	deadline_cancel(q, d);
	return d;
}
