// Deadlines of one core: see deadline.h.
#include "core-local/deadline.h"

void deadline_arm(struct deadlines *q, struct deadline *d, uint64_t time)
{
	struct deadline **at = &q->first;
	deadline_cancel(q, d);
	while (*at && (*at)->time <= time)
		at = &(*at)->next;
	d->time = time;
	d->next = *at;
	d->armed = true;
	*at = d;
}

void deadline_cancel(struct deadlines *q, struct deadline *d)
{
	struct deadline **at = &q->first;
	if (!d->armed)
		return;
	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	d->armed = false;
}

struct deadline *deadline_expired(struct deadlines *q, uint64_t now)
{
	struct deadline *d = q->first;
	if (!d || d->time > now)
		return 0;
	deadline_cancel(q, d);
	return d;
}
