// Traps of domains: what happened, whose it is, which domain goes on. A fault kills that domain alone; one in here is a panic.
#include "core-local/info.h"
#include "kernel/call.h"
#include "kernel/channel.h"
#include "kernel/kernel.h"
#include "kernel/schedule.h"

static bool instruction_is_fp(uint32_t i)
{
	switch (i & 0x7f) {
	case 0x07: // FLW, FLD
	case 0x27: // FSW, FSD
	case 0x43: // FMADD
	case 0x47: // FMSUB
	case 0x4b: // FNMSUB
	case 0x4f: // FNMADD
	case 0x53: // the rest of F and D
		return true;
	case 0x73: // CSR access to fflags, frm, fcsr
		return (i >> 20) >= 1 && (i >> 20) <= 3 && (i >> 12 & 7) != 0;
	default:
		return (i & 0x6003) == 0x2000 || (i & 0x6003) == 0x2002; // C.FLD, C.FSD, C.FLDSP, C.FSDSP
	}
}

// First use of floating point (KERNEL rule 2): zeroed registers, and from now on the domain's own are switched.
static bool fp_first_use(struct domain *d, uint64_t instruction)
{
	if (d->fp || !instruction_is_fp((uint32_t)instruction))
		return false;
	d->fp = true;
	csr_set(CSR_SSTATUS, SSTATUS_FS);
	fp_load(d);
	csr_clear(CSR_SSTATUS, SSTATUS_FS);
	csr_set(CSR_SSTATUS, SSTATUS_FS_CLEAN);
	info_count(d->core->info, INFO_TRAP_FP);
	return true;
}

static void fault(struct domain *d, uint64_t cause)
{
	uint64_t value = csr_read(CSR_STVAL);
	uint64_t address = value;
	if (cause >= CAUSE_FETCH_GUEST_PAGE && cause <= CAUSE_STORE_GUEST_PAGE && cause != CAUSE_VIRTUAL_INSTRUCTION)
		address = csr_read(CSR_HTVAL) << 2 | (value & 3);
	uint64_t instruction = cause == CAUSE_ILLEGAL || cause == CAUSE_VIRTUAL_INSTRUCTION ? value : csr_read(CSR_HTINST);
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
	} else if (cause == CAUSE_VIRTUAL_INSTRUCTION && csr_read(CSR_STVAL) == INSTRUCTION_WFI) {
		info_count(d->core->info, INFO_TRAP_WFI);
		d->x[0] += 4;
		schedule_wait(d);
	} else if (cause == CAUSE_ILLEGAL && fp_first_use(d, csr_read(CSR_STVAL))) {
		return;
	} else if (!doorbell_was_withdrawn(d, cause)) {
		fault(d, cause);
	}
}

// From trap.S, with the domain's registers saved. Returns the domain to run.
struct domain *trap_of_domain(struct domain *d)
{
	struct core *core = d->core;
	uint64_t cause = csr_read(CSR_SCAUSE);
	core->info->heartbeat++;
	d->hstatus = csr_read(CSR_HSTATUS) & ~HSTATUS_VTW;
	if (!(cause & INTERRUPT))
		exception(d, cause);
	else if ((cause & ~INTERRUPT) == INTERRUPT_TIMER)
		info_count(core->info, INFO_TRAP_TIMER);
	else if ((cause & ~INTERRUPT) == INTERRUPT_GUEST)
		info_count(core->info, INFO_TRAP_GUEST);
	return schedule_next(core);
}
