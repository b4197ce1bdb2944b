// Kernel calls in batches: added one by one, performed on one kernel entry, results looked up afterwards (abi/call_ring.h).
//
// For the main loop's side alone: calls_perform holds up the whole domain until the last call has ended, as a kernel call does; calls to several cores go on at
// the same time. At most CALL_RING_SLOTS calls in a batch. If the domain dies, what it added is forgotten, and what was performed is what its next incarnation finds.
#pragma once
#include "abi/call_ring.h"
#include "runtime/kernel_call.h"

#define CALLS_NONE CALL_RING_SLOTS // no link

// Begins a batch; the results of the last one are gone.
void calls_begin(void);
// Adds a call. `after`: only when that one has succeeded. `from`: the same, and a0 is its first result. Both are numbers of calls of this batch, or CALLS_NONE.
// Returns its own number.
unsigned calls_add(enum call number, unsigned after, unsigned from, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
		   uint64_t a4, uint64_t a5);
void calls_perform(void);
struct kernel_result calls_result(unsigned call);
