// Kernel-wide functions that belong to no object: printing, panic, the way in and out. What a dead kernel said stays in core.log.
#pragma once
#include "core-local/core.h"

#define OWNER_KERNEL 0xfff0

// A line into this core's log; also on the firmware's console until a console service is up.
void kernel_print(struct core *core, const char *format, ...) __attribute__((format(printf, 2, 3)));
void kernel_log_text(struct core *core, const char *text, size_t length);
_Noreturn void kernel_panic(struct core *core, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define kernel_invariant(core, condition)                                                                              \
	((condition) ? (void)0 : kernel_panic(core, "%s:%d: %s", __FILE__, __LINE__, #condition))

// Makes the supervisor on this core (start.c). `epoch`: of its last incarnation, 0: none. ERR_LIMIT, ERR_NO_MEMORY, ERR_QUOTA, ERR_INVALID.
enum error first_domain_start(struct core *core, epoch_t epoch);

// kernel/riscv/trap.S, fp.S
struct domain;
void trap_entry(void), trap_entry_traced(void);
_Noreturn void trap_exit(struct domain *d);
void fp_save(struct domain *d);
void fp_load(struct domain *d);
