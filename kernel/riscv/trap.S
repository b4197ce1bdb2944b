// Trap entry and exit. While a domain runs, sscratch holds its struct domain, which begins with its registers;
// while the kernel runs, sscratch is 0, so that a trap of the kernel itself is told apart and becomes a panic.
#include "kernel/riscv/frame.h"

	.macro each_from_3 op, base, skip=0
	.irp n, 3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	.if \n - \skip
	\op x\n, FRAME_X(\n)(\base)
	.endif
	.endr
	.endm

	.text
	.option norelax
	.macro entry fast_calls
	csrrw sp, sscratch, sp
	beqz sp, trap_of_kernel
	sd t0, FRAME_X(5)(sp)
	csrr t0, scause
	addi t0, t0, -CAUSE_VS_CALL
	bnez t0, trap_slow
	sltiu t0, a7, FAST_CALLS
	bnez t0, \fast_calls
	.endm

	.align 2
	.globl trap_entry, trap_entry_traced
trap_entry_traced:                  // while tracing is on
	entry endpoint_fast_traced
	j trap_slow

	.align 2
trap_entry:
	entry endpoint_fast
	.globl trap_slow            // t0 is in its place in the frame, all others are the domain's
trap_slow:
	sd x1, FRAME_X(1)(sp)
	each_from_3 sd, sp, skip=5
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
	each_from_3 ld, a0, skip=10     // a0 itself comes last
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

// What stands at the end of a text that another kernel has emptied (reboot.c): HSM hart_stop, from any address.
	.globl hart_stop_code, hart_stop_code_end
	.balign 8
hart_stop_code:
	li a7, 0x48534d
	li a6, 1
	ecall
	j hart_stop_code
	.balign 8
hart_stop_code_end:
