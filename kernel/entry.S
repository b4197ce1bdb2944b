// Entries of a hart into Planaria, with satp = 0.
//
// boot_entry: the firmware's first hart. Runs on the loaded image, which it must not write: its stack lies behind.
// core_entry: every core, the boot hart's too, and a reborn one: a1 = its partition. Copies the image, builds tables,
// and goes on in its own copy at the same address: the image is linked where it was loaded, and each kernel maps its
// copy there.
#include "boot/boot.h"

	.section .text.entry, "ax"
	.globl boot_entry
boot_entry:
	j begin
	.balign 16                  // TRACE_ANCHOR: for the host, which looks from outside
	.ascii "PTRACE\0\0"        // TRACE_MAGIC
	.quad image_end + BOOT_STACK_BYTES + PLAN_TRACE
begin:
	csrw sie, zero
	csrw satp, zero
	la t0, boot_planned
	ld t0, 0(t0)
	bnez t0, stray
	la sp, image_end
	li t0, BOOT_STACK_BYTES
	add sp, sp, t0
	call boot_main              // a0 = hart, a1 = device tree; does not return

// A hart that the boot hart has started, but at the wrong place: OpenSBI before 1.2 marks a hart as starting before it has
// written where to, so that one which is awake at that moment comes here. It looks its partition up in the plan.
stray:
	fence r, r                  // partner: the fence before boot_planned is set
	la t0, image_end
	li t1, BOOT_STACK_BYTES
	add t0, t0, t1
	lwu t1, PLAN_CORE_COUNT(t0)
	li t2, PLAN_CORES
	add t0, t0, t2
2:	beqz t1, 3f
	ld t2, PLAN_CORE_HART(t0)
	ld a1, PLAN_CORE_PARTITION(t0)
	beq t2, a0, core_entry
	addi t0, t0, PLAN_CORE_BYTES
	addi t1, t1, -1
	j 2b
3:	wfi                         // not in the plan: parked
	j 3b

	.globl core_entry
core_entry:
	csrw sie, zero
	csrw satp, zero
	li t0, PARTITION_STACK_TOP
	add sp, a1, t0
	mv s0, a1
	call core_start             // a0 = hart, a1 = partition; returns satp
	fence rw, rw
	sfence.vma
	csrw satp, a0
	sfence.vma
	fence.i
	mv a0, s0
	call core_main
1:	wfi
	j 1b
