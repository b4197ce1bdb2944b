// Run queue of one core: see run_queue.h.
#include "core-local/run_queue.h"
#include <assert.h>
#include <stdbool.h>

void run_queue_init(struct run_queue *q, struct run_link *links, unsigned count)
{
	q->links = links;
	q->count = 0;
	for (unsigned p = 0; p < RUN_PRIORITIES; p++)
		q->first[p] = -1;
	for (unsigned i = 0; i < count; i++)
		links[i] = (struct run_link){ .next = -1 };
}

// Links i at one end of the list of its priority.
static void queue_insert(struct run_queue *q, int i, unsigned priority, bool front)
{
	assert(priority < RUN_PRIORITIES && !q->links[i].queued);
	int16_t *at = &q->first[priority];
	while (*at >= 0 && !front)
		at = &q->links[*at].next;
	q->links[i] = (struct run_link){ .next = *at, .queued = 1, .priority = (uint8_t)priority };
	*at = (int16_t)i;
	q->count++;
}

void run_queue_push(struct run_queue *q, int i, unsigned priority)
{
	queue_insert(q, i, priority, false);
}

void run_queue_push_front(struct run_queue *q, int i, unsigned priority)
{
	queue_insert(q, i, priority, true);
}

void run_queue_remove(struct run_queue *q, int i)
{
	struct run_link *l = &q->links[i];
	int16_t *at = &q->first[l->priority];
	if (!l->queued)
		return;
	while (*at != i)
		at = &q->links[*at].next;
	*at = l->next;
	l->queued = 0;
	q->count--;
}

unsigned run_queue_peek_priority(const struct run_queue *q)
{
	unsigned p = q->count ? 0 : RUN_PRIORITIES;
	while (p < RUN_PRIORITIES && q->first[p] < 0)
		p++;
	return p;
}

int run_queue_pop(struct run_queue *q)
{
	unsigned p = run_queue_peek_priority(q);
	if (p == RUN_PRIORITIES)
		return -1;
	int i = q->first[p];
	run_queue_remove(q, i);
	return i;
}
