// A lock among fibers that many may share or one may hold alone, first come first served. See lock.c.
#pragma once
#include <stdbool.h>

struct lock_waiter;

struct lock { // zero-initialised
	unsigned shared;
	bool alone;
	struct lock_waiter *first;
	struct lock_waiter *last;
};

void lock_take(struct lock *lock, bool alone);
void lock_give(struct lock *lock);
