// Boot: what the entry code, the boot hart and a starting core share.
#pragma once
#include "core-local/partition.h"

#define BOOT_STACK_BYTES 0x10000

// Of struct plan, for entry.S; asserted in boot.c.
#define PLAN_CORE_COUNT 0
#define PLAN_CORES 144
#define PLAN_TRACE 2720
#define PLAN_CORE_HART 0
#define PLAN_CORE_PARTITION 24
#define PLAN_CORE_BYTES 40

#ifndef __ASSEMBLER__
#include "boot/plan.h"

struct core;

extern char image_start[], image_rodata[], image_data[], image_bss[], image_end[];
extern char core_entry[];

_Noreturn void boot_main(uint64_t hart, const void *device_tree);
// Runs with satp = 0 on the pristine image: fills the partition and returns the satp of the core's tables.
uint64_t core_start(uint64_t hart, paddr_t partition);
// Runs in the core's own copy. partition.h says where things are.
_Noreturn void core_main(paddr_t partition);

// The plan lies right behind the boot stack.
static inline struct plan *plan_place(void)
{
	return (struct plan *)(image_end + BOOT_STACK_BYTES);
}
#endif
