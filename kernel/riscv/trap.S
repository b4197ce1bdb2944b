// Trap entry and exit. While a domain runs, sscratch holds its struct domain, which begins with its registers;
// while the kernel runs, sscratch is 0, so that a trap of the kernel itself is told apart and becomes a panic.
#include "kernel/riscv/frame.h"

	.text
	.option norelax
	.align 2
	.globl trap_entry
trap_entry:
	csrrw sp, sscratch, sp
	beqz sp, trap_of_kernel
	sd x1, FRAME_X(1)(sp)
	sd x3, FRAME_X(3)(sp)
	sd x4, FRAME_X(4)(sp)
	sd x5, FRAME_X(5)(sp)
	sd x6, FRAME_X(6)(sp)
	sd x7, FRAME_X(7)(sp)
	sd x8, FRAME_X(8)(sp)
	sd x9, FRAME_X(9)(sp)
	sd x10, FRAME_X(10)(sp)
	sd x11, FRAME_X(11)(sp)
	sd x12, FRAME_X(12)(sp)
	sd x13, FRAME_X(13)(sp)
	sd x14, FRAME_X(14)(sp)
	sd x15, FRAME_X(15)(sp)
	sd x16, FRAME_X(16)(sp)
	sd x17, FRAME_X(17)(sp)
	sd x18, FRAME_X(18)(sp)
	sd x19, FRAME_X(19)(sp)
	sd x20, FRAME_X(20)(sp)
	sd x21, FRAME_X(21)(sp)
	sd x22, FRAME_X(22)(sp)
	sd x23, FRAME_X(23)(sp)
	sd x24, FRAME_X(24)(sp)
	sd x25, FRAME_X(25)(sp)
	sd x26, FRAME_X(26)(sp)
	sd x27, FRAME_X(27)(sp)
	sd x28, FRAME_X(28)(sp)
	sd x29, FRAME_X(29)(sp)
	sd x30, FRAME_X(30)(sp)
	sd x31, FRAME_X(31)(sp)
	csrrw t0, sscratch, zero
	csrr t1, sepc
	sd t0, FRAME_X(2)(sp)
	sd t1, FRAME_X(0)(sp)
	mv a0, sp
	ld sp, FRAME_KERNEL_SP(sp)
	call trap_of_domain         // returns the domain to run

	// void trap_exit(struct domain *): never returns
	.globl trap_exit
trap_exit:
	ld t1, FRAME_X(0)(a0)
	csrw sscratch, a0
	csrw sepc, t1
	ld x1, FRAME_X(1)(a0)
	ld x2, FRAME_X(2)(a0)
	ld x3, FRAME_X(3)(a0)
	ld x4, FRAME_X(4)(a0)
	ld x5, FRAME_X(5)(a0)
	ld x6, FRAME_X(6)(a0)
	ld x7, FRAME_X(7)(a0)
	ld x8, FRAME_X(8)(a0)
	ld x9, FRAME_X(9)(a0)
	ld x11, FRAME_X(11)(a0)
	ld x12, FRAME_X(12)(a0)
	ld x13, FRAME_X(13)(a0)
	ld x14, FRAME_X(14)(a0)
	ld x15, FRAME_X(15)(a0)
	ld x16, FRAME_X(16)(a0)
	ld x17, FRAME_X(17)(a0)
	ld x18, FRAME_X(18)(a0)
	ld x19, FRAME_X(19)(a0)
	ld x20, FRAME_X(20)(a0)
	ld x21, FRAME_X(21)(a0)
	ld x22, FRAME_X(22)(a0)
	ld x23, FRAME_X(23)(a0)
	ld x24, FRAME_X(24)(a0)
	ld x25, FRAME_X(25)(a0)
	ld x26, FRAME_X(26)(a0)
	ld x27, FRAME_X(27)(a0)
	ld x28, FRAME_X(28)(a0)
	ld x29, FRAME_X(29)(a0)
	ld x30, FRAME_X(30)(a0)
	ld x31, FRAME_X(31)(a0)
	ld x10, FRAME_X(10)(a0)
	sret

	.align 2
trap_of_kernel:
	csrrw sp, sscratch, sp      // the sp at the fault; sscratch is 0 again
	mv a3, sp
	la t0, panic_stack_top
	ld sp, 0(t0)
	csrr a0, scause
	csrr a1, sepc
	csrr a2, stval
	mv a4, ra
	call panic_trap
1:	wfi
	j 1b
