// Writing the kernel's trace ring, and where those of its domains are (trace.h).
#include "kernel/trace.h"
#include "boot/plan.h"

void trace_begin(struct core *core)
{
	uint64_t region = core->plan->trace.cores[core->id].region;
	if (region && core->incarnation == 1) {
		((struct trace_ring *)region)->next = 0;
		for (unsigned i = 0; i < DOMAIN_MAX; i++)
			trace_domain_ring(region, i)->next = 0;
	}
	core->trace = (struct trace_ring *)region;
	core->info->traced = region != 0;
	trace(core, TRACE_START, core->id, core->incarnation, 0, 0);
}

void trace_write(struct core *core, enum trace_kind kind, unsigned subject, uint64_t word, uint64_t a, uint64_t b)
{
	trace_append(core->trace, TRACE_KERNEL_EVENTS, time_read(), kind, subject, word, a, b);
}

// scause is still that of the trap, or what was meant by it (trap.c): one of the kernel itself would be a panic.
void trace_turn_write(struct core *core, unsigned next)
{
	const struct trace_turn *t = &core->turn;
	uint64_t cause = csr_read(CSR_SCAUSE), why = cause | cause >> 32;
	if (t->who)
		trace_append(core->trace, TRACE_KERNEL_EVENTS, time_read(), TRACE_TURN, t->who->index | next << 8, why | t->who->state << 8,
			     t->since, t->woken);
	else if (next != TRACE_NOBODY) // not woken for nothing
		trace_write(core, TRACE_TURN, TRACE_NOBODY | next << 8, 0, 0, t->woken);
}

paddr_t trace_of_domain(const struct core *core, unsigned index)
{
	return core->trace ? (paddr_t)trace_domain_ring((paddr_t)core->trace, index) : 0;
}
