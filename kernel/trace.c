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

void trace_trap_write(struct core *core, unsigned domain, uint64_t cause)
{
	trace_write(core, TRACE_TRAP, domain, cause >> 63 << 31 | cause, core->trap_call, core->trap_since);
}

paddr_t trace_of_domain(const struct core *core, unsigned index)
{
	return core->trace ? (paddr_t)trace_domain_ring((paddr_t)core->trace, index) : 0;
}
