// Traps of domains: what happened, whose it is, which domain goes on. A fault kills that domain alone; one in here is a panic.
#include "core-local/info.h"
#include "kernel/call.h"
#include "kernel/channel.h"
#include "kernel/endpoint.h"
#include "kernel/kernel.h"
#include "kernel/schedule.h"
#include "kernel/trace.h"

static bool is_guest_page(uint64_t cause)
{
	return cause >= CAUSE_FETCH_GUEST_PAGE && cause <= CAUSE_STORE_GUEST_PAGE && cause != CAUSE_VIRTUAL_INSTRUCTION;
}

// First use of floating point (KERNEL rule 2): zeroed registers, and from now on the domain's own are switched. What the
// instruction is need not be known: one that is illegal for another reason traps once more, with d->fp set.
static bool fp_first_use(struct domain *d)
{
	if (d->fp)
		return false;
	d->fp = true;
	d->plain = false;
	endpoint_slow(d);
	schedule_fp_load(d);
	info_count(d->core->info, INFO_TRAP_FP);
	return true;
}

// What a program of a library OS did is its handler's, also where it cannot be delegated (cause 22: illegal to it), but not where it was mapped to nothing.
static bool was_program(struct domain *d, uint64_t cause)
{
	uint64_t status = csr_read(CSR_VSSTATUS);
	if (!(d->flags & DOMAIN_FLAG_LIBRARY_OS) || (d->hstatus & HSTATUS_SPVP) || is_guest_page(cause))
		return false;
	csr_write(CSR_VSSTATUS, (status & ~(SSTATUS_SPP | SSTATUS_SPIE | SSTATUS_SIE)) | (status & SSTATUS_SIE ? SSTATUS_SPIE : 0));
	csr_write(CSR_VSEPC, d->x[0]);
	csr_write(CSR_VSCAUSE, cause == CAUSE_VIRTUAL_INSTRUCTION ? CAUSE_ILLEGAL : cause);
	csr_write(CSR_VSTVAL, csr_read(CSR_STVAL));
	d->x[0] = csr_read(CSR_VSTVEC) & ~3ul;
	d->hstatus |= HSTATUS_SPVP;
	csr_set(CSR_SSTATUS, SSTATUS_SPP); // it may go on as it is loaded (schedule_goes_on)
	return true;
}

// Where its handler should be is nothing to fetch, as in plain domains by rule: what it was to take is as if it had come here at once.
static uint64_t given_back(struct domain *d, uint64_t cause)
{
	uint64_t status = csr_read(CSR_VSSTATUS), meant = csr_read(CSR_VSCAUSE);
	bool trapped = status & SSTATUS_SPP || d->flags & DOMAIN_FLAG_LIBRARY_OS; // else a plain domain only jumped there
	if (cause != CAUSE_FETCH_GUEST_PAGE || d->x[0] != (csr_read(CSR_VSTVEC) & ~3ul) || !trapped || meant - 1 >= 15) // none, or an interrupt
		return cause;
	csr_write(CSR_STVAL, csr_read(CSR_VSTVAL));
	csr_write(CSR_VSSTATUS, (status & ~(SSTATUS_SPP | SSTATUS_SPIE)) | (status & SSTATUS_SPIE ? SSTATUS_SIE : 0));
	d->x[0] = csr_read(CSR_VSEPC);
	d->hstatus &= status & SSTATUS_SPP ? ~0ul : ~HSTATUS_SPVP;
	csr_write(CSR_SCAUSE, meant); // for the trace
	return meant;
}

static void fault(struct domain *d, uint64_t cause)
{
	uint64_t value = csr_read(CSR_STVAL), transformed = is_guest_page(cause) ? csr_read(CSR_HTINST) : 0;
	uint64_t address = is_guest_page(cause) ? csr_read(CSR_HTVAL) << 2 | (value & 3) : value;
	uint64_t instruction = cause == CAUSE_ILLEGAL || cause == CAUSE_VIRTUAL_INSTRUCTION ? value : transformed;
	info_count(d->core->info, INFO_TRAP_FAULT);
	domain_halt(d, FAULT_EXCEPTION, cause, address, instruction);
}

// A store to the page of a doorbell that was withdrawn is a ring by that channel (KERNEL rule 7), and is skipped. The
// length of the instruction stands in its text, which is the domain's own memory: nothing else is executable.
static bool doorbell_was_withdrawn(struct domain *d, uint64_t cause)
{
	uint64_t address = csr_read(CSR_HTVAL) << 2, slot = (address - GPA_DOORBELL) / PAGE_SIZE;
	paddr_t text;
	unsigned prot;
	if (cause != CAUSE_STORE_GUEST_PAGE || !channel_ring_mark(d, slot) ||
	    !table_lookup(&d->table, d->x[0], &text, &prot) || !(prot & PROT_EXEC))
		return false;
	d->x[0] += (*(const uint16_t *)text & 3) == 3 ? 4 : 2;
	return true;
}

static void exception(struct domain *d, uint64_t cause)
{
	if (cause == CAUSE_VS_CALL) {
		info_count(d->core->info, INFO_TRAP_CALL);
		call_of_domain(d);
	} else if (was_program(d, cause)) {
		return;
	} else if (cause == CAUSE_VIRTUAL_INSTRUCTION && csr_read(CSR_STVAL) == INSTRUCTION_WFI) {
		info_count(d->core->info, INFO_TRAP_WFI);
		d->x[0] += 4;
		schedule_wait(d);
	} else {
		cause = given_back(d, cause);
		if (!(cause == CAUSE_ILLEGAL && fp_first_use(d)) && !doorbell_was_withdrawn(d, cause))
			fault(d, cause);
	}
}

// From trap.S, with the domain's registers saved. Returns the domain to run.
struct domain *trap_of_domain(struct domain *d)
{
	struct core *core = d->core;
	uint64_t cause = csr_read(CSR_SCAUSE);
	trace_turn_begin(core, d);
	core->info->heartbeat++;
	d->traps++;
	d->hstatus = csr_read(CSR_HSTATUS) & ~HSTATUS_VTW;
	core->serving = d;
	if (!(cause & INTERRUPT))
		exception(d, cause);
	else if ((cause & ~INTERRUPT) == INTERRUPT_TIMER)
		info_count(core->info, INFO_TRAP_TIMER);
	else if ((cause & ~INTERRUPT) == INTERRUPT_GUEST)
		info_count(core->info, INFO_TRAP_GUEST);
	core->serving = 0;
	d = !(cause & INTERRUPT) && schedule_goes_on(core, d) ? d : schedule_next(core);
	trace_turn_end(core, d->index);
	return d;
}
