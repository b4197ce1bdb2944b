// Run queue of one core: owns the order of its runnable domains, by priority (0 first), then first come first served.
//
// Never: decides who waits; knows indices only. Why right: each index is on at most one list, which `queued` tells.
// A list is walked to its end: at most 32 domains, and nearly always one or two.
// State: in struct core; dies with it and is rebuilt from the states of domains.
#pragma once
#include <stdint.h>

#define PRIORITIES 8                 // of domains
#define PRIORITY_SPENT PRIORITIES    // of one whose budget is used up: behind all others
#define RUN_PRIORITIES (PRIORITIES + 1)

struct run_link {
	int16_t next; // -1: none
	uint8_t queued;
	uint8_t priority;
};

struct run_queue {
	struct run_link *links;
	int16_t first[RUN_PRIORITIES];
	uint16_t count;
};

// Empty queue over links[count], which belong to it from now on.
void run_queue_init(struct run_queue *q, struct run_link *links, unsigned count);

// Both queue index i, which is not queued, behind or before its equals.
void run_queue_push(struct run_queue *q, int i, unsigned priority);
void run_queue_push_front(struct run_queue *q, int i, unsigned priority);

// Takes i out; nothing happens if it is not queued.
void run_queue_remove(struct run_queue *q, int i);

// Takes out and returns the first of the best priority, or -1.
int run_queue_pop(struct run_queue *q);

// Best priority that is queued, RUN_PRIORITIES when the queue is empty.
unsigned run_queue_peek_priority(const struct run_queue *q);

static inline unsigned run_queue_count(const struct run_queue *q)
{
	return q->count;
}
