// The kernel's trace ring: what it did last (abi/trace.h). Off, each place costs a load and a branch, where some hundred
// instructions are spent anyway. There is none on the fast path of endpoint calls: they are not in the kernel's ring.
// It must never be read by a kernel, but for `next`, of which any value is good. If the kernel dies, the ring stays as it is,
// and the next incarnation goes on behind it: what the last one did before it died is still there.
#pragma once
#include "kernel/domain.h"

// Finds this core's rings, once for each incarnation; the first one makes them.
void trace_begin(struct core *core);
void trace_write(struct core *core, enum trace_kind kind, unsigned subject, uint64_t word, uint64_t a, uint64_t b);

static inline void trace(struct core *core, enum trace_kind kind, unsigned subject, uint64_t word, uint64_t a, uint64_t b)
{
	if (__builtin_expect(core->trace != 0, 0))
		trace_write(core, kind, subject, word, a, b);
}

// A kernel's turn is one event: who trapped, who was woken meanwhile, who runs at its end, or TRACE_NOBODY.
void trace_turn_write(struct core *core, unsigned next);
#define trace_turn_end(core, next) (__builtin_expect((core)->trace != 0, 0) ? trace_turn_write(core, next) : (void)0)

static inline void trace_turn_begin(struct core *core, const struct domain *d)
{
	if (__builtin_expect(core->trace != 0, 0))
		core->turn = (struct trace_turn){time_read(), d->x[17] << 32, d};
}

static inline void trace_sleep(struct core *core)
{
	trace_turn_end(core, TRACE_NOBODY);
	if (__builtin_expect(core->trace != 0, 0))
		core->turn = (struct trace_turn){0};
}

// Where the ring of a domain's place lies; 0: nothing is traced.
paddr_t trace_of_domain(const struct core *core, unsigned index);
