// Entries of a hart into Planaria, with satp = 0.
//
// boot_entry: the firmware's first hart. Runs on the loaded image, which it must not write: its stack lies behind.
// core_entry: every core, the boot hart's too, and a reborn one: a1 = its partition. Copies the image, builds tables,
// and goes on in its own copy at the same address: the image is linked where it was loaded, and each kernel maps its
// copy there.
#include "kernel/boot/boot.h"

	.section .text.entry, "ax"
	.globl boot_entry
boot_entry:
	csrw sie, zero
	csrw satp, zero
	la sp, image_end
	li t0, BOOT_STACK_BYTES
	add sp, sp, t0
	call boot_main              // a0 = hart, a1 = device tree; does not return

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
