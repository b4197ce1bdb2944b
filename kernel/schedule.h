// Schedule: which domain of this core runs, and how the hart gets from one to the next.
//
// Fixed priorities, round robin within one, tickless: a timer is armed only for a deadline or when two domains of one
// priority want the core. The kernel runs with interrupts off and never blocks; it waits (wfi) only when no domain can
// run. Run queue and deadlines lie in struct core and die with the kernel; what each domain was at stands in its record.
#pragma once
#include "kernel/domain.h"

void schedule_init(struct core *core);
// Makes it runnable if it waits for an interrupt.
void schedule_wake(struct domain *d);
// The same, by a call: it is the next of its priority, and gets no other message than the call's.
void schedule_wake_first(struct domain *d);
// From CALLING: the next of its priority.
void schedule_ready_first(struct domain *d);
// Makes it runnable from CREATED, CALLING or STOPPED.
void schedule_ready(struct domain *d);
// Takes it off: running or queued; the new state is the caller's.
void schedule_remove(struct domain *d);
// The running domain waits for an interrupt (wfi trapped). Returns at once if one is pending.
void schedule_wait(struct domain *d);
// The running domain gives way to others of its priority.
void schedule_yield(struct domain *d);
// Saves the loaded domain's registers of VS-mode and leaves none loaded.
void schedule_unload(struct core *core);
// Loads its floating-point registers, if it has used them.
void schedule_fp_load(struct domain *d);
// Does all that is due, then returns the domain to run: never returns while there is none.
struct domain *schedule_next(struct core *core);
// Nothing that the kernel knows of wants a look behind a call of `d`, which goes on with all as it is loaded. What the kernel does
// not know of yet is pending as an interrupt, and traps at once.
bool schedule_goes_on(const struct core *core, struct domain *d);
// So many ticks of its core in each period, 0: no limit; a full one from now on. A domain that has used it up gets what nobody
// else wants until the period ends. Time in calls is the caller's.
void schedule_budget(struct domain *d, uint64_t ticks, uint64_t period);
// It stops: what it pays for ends, and its next incarnation begins with a full budget.
void schedule_budget_end(struct domain *d);
// Sets the running domain's virtual interrupt for its sticky identities.
void schedule_sticky(struct domain *d);
