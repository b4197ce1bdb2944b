// The scheduler of one core (schedule.h).
#include "kernel/schedule.h"
#include "core-local/info.h"
#include "boot/plan.h"
#include "kernel/call.h"
#include "kernel/endpoint.h"
#include "kernel/interrupt.h"
#include "kernel/kernel.h"
#include "kernel/mesh.h"
#include "kernel/reboot.h"
#include "kernel/riscv/imsic.h"
#include "kernel/trace.h"

#define SLICE_US 5000 // long against a switch (about 10 us), short against what a person notices
// CSRs that are saved and loaded as they are.
#define SWITCHED_REGISTERS(X)                                                                                          \
	X(vsstatus, CSR_VSSTATUS)                                                                                      \
	X(vsie, CSR_VSIE)                                                                                              \
	X(vstvec, CSR_VSTVEC)                                                                                          \
	X(vsscratch, CSR_VSSCRATCH)                                                                                    \
	X(vsepc, CSR_VSEPC)                                                                                            \
	X(vscause, CSR_VSCAUSE)                                                                                        \
	X(vstval, CSR_VSTVAL)                                                                                          \
	X(vsiselect, CSR_VSISELECT)                                                                                    \
	X(vstimecmp, CSR_VSTIMECMP)                                                                                    \
	X(scounteren, CSR_SCOUNTEREN)                                                                                  \
	X(senvcfg, CSR_SENVCFG)                                                                                        \
	X(vsatp, CSR_VSATP)
#define HVIP_VSEIP (1ul << INTERRUPT_VS_EXTERNAL)
#define HVIP_VSSIP (1ul << INTERRUPT_VS_SOFT)

static bool any_sticky(const struct domain *d)
{
	return (d->sticky[0] | d->sticky[1] | d->sticky[2] | d->sticky[3]) != 0;
}

void schedule_init(struct core *core)
{
	run_queue_init(&core->run, core->run_links, DOMAIN_MAX);
	core->slice.kind = DEADLINE_SLICE;
	core->budget.kind = DEADLINE_BUDGET;
	core->mesh_retry.kind = DEADLINE_MESH;
	core->reboot.kind = DEADLINE_REBOOT;
	core->guard.kind = DEADLINE_GUARD;
	core->info->running_domain = ~0u;
}

// INV-4: hgeie[g] is 1 exactly while the domain of file g is blocked and listens.
static void guest_interrupt_enable(struct domain *d, bool on)
{
	uint64_t bit = d->file ? 1ul << d->file : 0;
	uint64_t blocked = on ? d->core->file_owner_blocked | bit : d->core->file_owner_blocked & ~bit;
	if (blocked == d->core->file_owner_blocked)
		return;
	d->core->file_owner_blocked = blocked;
	csr_write(CSR_HGEIE, blocked);
}

static void enqueue(struct domain *d)
{
	d->state = DOMAIN_READY;
	run_queue_push(&d->core->run, d->index, d->priority);
}

static void enqueue_first(struct domain *d)
{
	d->state = DOMAIN_READY;
	run_queue_push_front(&d->core->run, d->index, d->priority);
	d->core->handed = true;
}

static void timer_cancel(struct domain *d)
{
	deadline_cancel(&d->core->deadlines, &d->timer);
	d->timer.time = DEADLINE_NEVER;
}

static bool unblock(struct domain *d)
{
	if (d->state != DOMAIN_BLOCKED)
		return false;
	guest_interrupt_enable(d, false);
	timer_cancel(d);
	return true;
}

void schedule_wake(struct domain *d)
{
	if (!unblock(d))
		return;
	d->core->turn.woken |= 1ul << d->index; // for a trace; to ask whether there is one costs as much
	endpoint_interrupted(d);
	enqueue(d);
}

void schedule_wake_first(struct domain *d)
{
	if (unblock(d))
		enqueue_first(d);
}

void schedule_ready(struct domain *d)
{
	if (d->state == DOMAIN_CREATED || d->state == DOMAIN_CALLING || d->state == DOMAIN_STOPPED)
		enqueue(d);
}

void schedule_ready_first(struct domain *d)
{
	if (d->state == DOMAIN_CALLING)
		enqueue_first(d);
}

void schedule_remove(struct domain *d)
{
	if (d->state == DOMAIN_READY)
		run_queue_remove(&d->core->run, d->index);
	guest_interrupt_enable(d, false);
	timer_cancel(d);
	d->state = DOMAIN_CREATED;
	if (d->core->current == d)
		schedule_unload(d->core);
}

// An interrupt that would end the wfi of the loaded domain. hgeip shows enabled and pending identities of its file. QEMU changes
// it without a lock: a claim from one file and a ring to another of this hart can leave a bit set that nothing pending
// stands behind, until the next ring: we do that, or its owner would never sleep, and starve who comes after it.
static bool has_pending(struct domain *d)
{
	uint64_t enabled = csr_read(CSR_VSIE);
	bool external = enabled & 1ul << INTERRUPT_EXTERNAL;
	if (external && d->file != 0 && (csr_read(CSR_HGEIP) & 1ul << d->file)) {
		if (csr_read(CSR_VSTOPEI) == 0)
			domain_ring(d, IDENTITY_EVENT);
		return true;
	}
	if (external && d->file == 0 && any_sticky(d))
		return true;
	if ((enabled & 1ul << INTERRUPT_SOFT) && (csr_read(CSR_HVIP) & HVIP_VSSIP))
		return true;
	return (enabled & 1ul << INTERRUPT_TIMER) && csr_read(CSR_VSTIMECMP) <= time_read();
}

void schedule_wait(struct domain *d)
{
	if (has_pending(d))
		return;
	d->state = DOMAIN_BLOCKED;
	if (csr_read(CSR_VSIE) & 1ul << INTERRUPT_TIMER) {
		uint64_t at = csr_read(CSR_VSTIMECMP);
		if (at != DEADLINE_NEVER)
			deadline_arm(&d->core->deadlines, &d->timer, at);
	}
	// A ring that it does not listen to would wake it again and again, and starve all that come after it.
	guest_interrupt_enable(d, csr_read(CSR_VSIE) & 1ul << INTERRUPT_EXTERNAL);
}

void schedule_yield(struct domain *d)
{
	if (d->state == DOMAIN_RUNNING)
		enqueue(d);
}

void schedule_sticky(struct domain *d)
{
	if (d->core->current != d)
		return;
	if (any_sticky(d))
		csr_set(CSR_HVIP, HVIP_VSEIP);
	else
		csr_clear(CSR_HVIP, HVIP_VSEIP);
}

// QEMU 7.2 marks a write of fcsr in vsstatus alone: dirty is what either of the two says.
static bool fp_is_dirty(const struct domain *d)
{
	return (csr_read(CSR_SSTATUS) & SSTATUS_FS) == SSTATUS_FS_DIRTY || (d->vsstatus & SSTATUS_FS) == SSTATUS_FS_DIRTY;
}

static void fp_unload(struct domain *d)
{
	if (d->fp && fp_is_dirty(d))
		fp_save(d);
	csr_clear(CSR_SSTATUS, SSTATUS_FS);
}

void schedule_fp_load(struct domain *d)
{
	if (!d->fp)
		return;
	csr_set(CSR_SSTATUS, SSTATUS_FS);
	fp_load(d);
	csr_clear(CSR_SSTATUS, SSTATUS_FS);
	csr_set(CSR_SSTATUS, SSTATUS_FS_CLEAN);
}

void schedule_unload(struct core *core)
{
	struct domain *d = core->current;
	if (!d)
		return;
	d->hvip = csr_read(CSR_HVIP) & HVIP_VSSIP;
#define X(field, csr) d->field = csr_read(csr);
	SWITCHED_REGISTERS(X)
#undef X
	fp_unload(d);
	csr_write(CSR_VSIE, 0);
	csr_write(CSR_VSTIMECMP, DEADLINE_NEVER);
	csr_write(CSR_HVIP, 0);
	csr_write(CSR_HSTATUS, HSTATUS_VSXL_64);
	core->current = 0;
	core->info->running_domain = ~0u;
	core->info->domains[d->index].run_ticks += time_read() - d->run_since;
	core->info->domains[d->index].traps = d->traps;
	if (d->state == DOMAIN_RUNNING) { // the kernel needed its registers: it goes on first
		d->state = DOMAIN_READY;
		run_queue_push_front(&core->run, d->index, d->priority);
	}
}

// vsatp is 0 before hgatp, so that no translation of another domain survives (KERNEL.md rule 1). Under this VMID another life of a
// library OS, or another one, may have had translations of its own: they go too. Plain domains have none.
static void load(struct core *core, struct domain *d)
{
	bool library_os = d->flags & DOMAIN_FLAG_LIBRARY_OS;
	csr_write(CSR_VSATP, 0);
	csr_write(CSR_HGATP, d->hgatp);
	if (!core->vmid_usable)
		hfence_gvma_all();
	if (library_os)
		hfence_vvma_all();
	csr_write(CSR_HEDELEG, library_os ? HEDELEG_LIBRARY_OS : HEDELEG_PLAIN);
	csr_write(CSR_HVIP, d->hvip | (any_sticky(d) ? HVIP_VSEIP : 0));
#define X(field, csr) csr_write(csr, d->field);
	SWITCHED_REGISTERS(X)
#undef X
	schedule_fp_load(d);
	core->current = d;
	d->run_since = time_read();
	d->plain = d->file && !d->fp && !library_os && core->vmid_usable;
	d->running_as = (uint64_t)d->epoch << 32 | d->index;
	core->info->running_domain = d->index;
	core->info->running_epoch = d->epoch;
	core->info->domains[d->index].switches++;
	info_count(core->info, INFO_SWITCHES);
}

// ---- budgets

// Books the payer's time until now. What it had left may be used up by that: then it stands behind all others.
static void payer_charge(struct core *core)
{
	struct domain *d = core->payer;
	uint64_t now = time_read();
	if (core->pays && budget_charge(&d->budget, now - core->paid_since, now)) {
		deadline_arm(&core->deadlines, &d->refill, budget_full_at(&d->budget, now));
		endpoint_reprice(d);
	}
	core->paid_since = now;
}

static void payer_set(struct core *core, struct domain *d)
{
	if (core->payer == d)
		return;
	if (core->pays) {
		payer_charge(core);
		deadline_cancel(&core->deadlines, &core->budget);
		core->pays = false; // budget_watch says whether the next one does
	}
	core->payer = d;
}

// Only company makes a budget felt: without it no timer runs, and time is not charged.
static void budget_watch(struct core *core)
{
	struct domain *d = core->payer;
	bool counted = core->pays;
	if (!counted && (!d || !d->budget.ticks))
		return;
	core->pays = d && d->budget.ticks && !d->budget.spent && run_queue_count(&core->run);
	if (!core->pays)
		deadline_cancel(&core->deadlines, &core->budget);
	if (!core->pays || core->budget.armed)
		return;
	if (!counted) {
		core->paid_since = time_read();
		budget_renew(&d->budget, core->paid_since);
	}
	deadline_arm(&core->deadlines, &core->budget, core->paid_since + d->budget.left);
}

void schedule_budget(struct domain *d, uint64_t ticks, uint64_t period)
{
	payer_charge(d->core);
	deadline_cancel(&d->core->deadlines, &d->refill);
	deadline_cancel(&d->core->deadlines, &d->core->budget);
	budget_set(&d->budget, ticks, period, time_read());
	endpoint_reprice(d);
}

void schedule_budget_end(struct domain *d)
{
	if (d->core->payer == d)
		payer_set(d->core, 0);
	schedule_budget(d, d->budget.ticks, d->budget.period);
}

static void refilled(struct domain *d)
{
	budget_fill(&d->budget, time_read());
	endpoint_reprice(d);
}

static void timer_fired(struct domain *d)
{
	d->timer.time = DEADLINE_NEVER;
	schedule_wake(d);
}

// Who has the slice runs, or stands first of its priority: a better one has the core, or it was handed over in this very entry.
static void slice_over(struct core *core)
{
	struct domain *d = core->current;
	int first = core->run.first[core->slice_priority];
	if (d && d->state == DOMAIN_RUNNING && d->priority == core->slice_priority) {
		schedule_yield(d);
	} else if (first >= 0) {
		run_queue_remove(&core->run, first);
		enqueue(core->domains[first]);
	}
}

static void deadline_handle(struct core *core, struct deadline *due)
{
	struct domain *d = due->index < DOMAIN_MAX ? core->domains[due->index] : 0;
	if (due->kind == DEADLINE_REBOOT)
		reboot_look(core);
	else if (due->kind == DEADLINE_GUARD)
		reboot_guard(core);
	else if (due->kind == DEADLINE_SLICE)
		slice_over(core);
	else if (due->kind == DEADLINE_BUDGET)
		payer_charge(core);
	else if (due->kind == DEADLINE_REFILL && d)
		refilled(d);
	else if (due->kind == DEADLINE_DOMAIN_TIMER && d)
		timer_fired(d);
	else if (due->kind == DEADLINE_CALL && d && d->callee)
		endpoint_timed_out(d);
	else if (due->kind == DEADLINE_CALL && d && d->state == DOMAIN_CALLING)
		call_finish(d, ERR_CORE_LOST, call_nothing);
	else if (due->kind == DEADLINE_WATCH && d)
		domain_watch_tick(d);
	else if (due->kind == DEADLINE_CALLS && d)
		call_ring_give_up(d, CORE_MAX, time_read());
}

// Looks at hgeip once more after the last write of hgeie: QEMU computes SGEIP from a hgeip that it read before it had
// its lock, so that a ring in between leaves hgeip set and SGEIP clear.
static void guest_interrupts_take(struct core *core)
{
	uint64_t pending;
	while ((pending = csr_read(CSR_HGEIP) & core->file_owner_blocked) != 0)
		schedule_wake(core->file_owner[word_lowest_bit(pending)]);
}

// What a domain asked for itself has its priority: a better one does not wait until the memory of another is clear. The
// supervisor's work comes before all.
static bool job_is_due(const struct core *core, const struct domain *d)
{
	unsigned best = run_queue_peek_priority(&core->run);
	if (core->current && core->current->state == DOMAIN_RUNNING && core->current->priority < best)
		best = core->current->priority;
	return d->job.kind == JOB_LOAD || d->job.kind == JOB_RESTORE || d->priority <= best;
}

// True: there is more.
static bool jobs_step(struct core *core)
{
	for (uint32_t left = core->jobs; left; left &= left - 1) {
		struct domain *d = core->domains[word_lowest_bit(left)];
		if (!job_is_due(core, d))
			continue;
		domain_job_step(d);
		return core->jobs || core->rings;
	}
	return false;
}

static bool take_what_is_due(struct core *core)
{
	interrupt_take_external(core);
	guest_interrupts_take(core);
	struct deadline *due;
	while ((due = deadline_expired(&core->deadlines, time_read())) != 0)
		deadline_handle(core, due);
	if (core->rings)
		call_ring_look(core);
	bool more = jobs_step(core);
	mesh_flush(core);
	return more;
}

// The domain that shall run now; 0: none. The running one stays unless a better one waits or it gave way.
static struct domain *pick(struct core *core)
{
	struct domain *now = core->current;
	bool runs = now && now->state == DOMAIN_RUNNING;
	unsigned best = run_queue_peek_priority(&core->run);
	bool handed = core->handed;
	core->handed = false;
	if (runs && now->priority <= best)
		return now;
	if (best == RUN_PRIORITIES)
		return 0;
	if (runs) {
		now->state = DOMAIN_READY;
		run_queue_push_front(&core->run, now->index, now->priority);
	}
	// Who calls and who answers share one slice, and a better one that comes and goes does not begin it anew: they would keep
	// their equals from the core for ever.
	if (!handed && !runs && now && now->priority == core->slice_priority)
		deadline_cancel(&core->deadlines, &core->slice);
	return core->domains[run_queue_pop(&core->run)];
}

static void slice_set(struct core *core, const struct domain *d)
{
	bool shared = run_queue_peek_priority(&core->run) == d->priority;
	if (shared && !core->slice.armed) {
		core->slice_priority = d->priority;
		deadline_arm(&core->deadlines, &core->slice, time_read() + SLICE_US * core->plan->timebase / 1000000);
	} else if (!shared && core->slice_priority == d->priority) {
		deadline_cancel(&core->deadlines, &core->slice);
	}
}

static void wait_for_work(struct core *core)
{
	trace_sleep(core);
	schedule_unload(core);
	payer_set(core, 0);
	budget_watch(core);
	csr_write(CSR_STIMECMP, deadline_next(&core->deadlines));
	uint64_t since = time_read();
	wait_for_interrupt();
	core->info->idle_ticks += time_read() - since;
}

bool schedule_goes_on(const struct core *core, struct domain *d)
{
	bool work = core->run.count | core->jobs | core->rings | core->notices | core->listing | core->company;
	return !work && core->current == d && d->state == DOMAIN_RUNNING && core->payer == endpoint_payer(d) &&
	       csr_read(CSR_STIMECMP) == deadline_next(&core->deadlines) && !(csr_read(CSR_HGEIP) & core->file_owner_blocked);
}

struct domain *schedule_next(struct core *core)
{
	for (;;) {
		bool more = take_what_is_due(core);
		struct domain *d = pick(core);
		if (!d && !more)
			wait_for_work(core);
		if (!d)
			continue;
		if (more) // leftover work rings oneself again
			imsic_ring(core->imsic, MESH_IDENTITY);
		if (core->current != d) {
			schedule_unload(core);
			load(core, d);
		}
		d->state = DOMAIN_RUNNING;
		slice_set(core, d);
		payer_set(core, endpoint_payer(d));
		budget_watch(core);
		csr_write(CSR_STIMECMP, deadline_next(&core->deadlines));
		// With company a wfi traps, so that the others get the core.
		core->company = run_queue_count(&core->run) || core->jobs ? HSTATUS_VTW : 0;
		csr_write(CSR_HSTATUS, d->hstatus | core->company);
		if (d->hstatus & HSTATUS_SPVP)
			csr_set(CSR_SSTATUS, SSTATUS_SPP);
		else
			csr_clear(CSR_SSTATUS, SSTATUS_SPP);
		return d;
	}
}
