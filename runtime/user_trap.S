// The way into a program and back: owns user_enter and user_trap.
//
// While a program runs, sscratch holds its struct user, which begins with its registers; while the library OS runs, sscratch is 0 and
// sstatus.SIE is 0, so that a trap from there is its own fault. That one is not handled: stvec becomes 0, and the same instruction
// once more; where stvec leads nothing can be fetched, so the kernel has it, with all registers as they were.
#include "runtime/kept_registers.inc"

#define USER_X(n) ((n) * 8)
#define USER_OWN_SP 256
#define USER_F 264

	.macro each_but_a0 op
	.irp n, 1,2,3,4,5,6,7,8,9,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	\op x\n, USER_X(\n)(a0)
	.endr
	.endm

// void user_enter(struct user *u): until user_trapped says that it is enough.
	.text
	.option norelax
	.globl user_enter
	.type user_enter, @function
user_enter:
	addi sp, sp, -KEPT_REGISTERS_FRAME
	kept_registers sd
	sd sp, USER_OWN_SP(a0)
user_resume:
	csrw sscratch, a0
	ld t0, USER_X(0)(a0)
	csrw sepc, t0
	each_but_a0 ld
	ld a0, USER_X(10)(a0)
	sret

	.align 2
	.globl user_trap
user_trap:
	csrrw a0, sscratch, a0
	beqz a0, own_fault
	each_but_a0 sd
	csrrw t0, sscratch, zero
	sd t0, USER_X(10)(a0)
	csrr t0, sepc
	sd t0, USER_X(0)(a0)
	ld sp, USER_OWN_SP(a0)
	ld gp, 8(sp)
	ld tp, 16(sp)
	mv s0, a0
	csrr a1, scause
	call user_trapped           // bool user_trapped(struct user *u, uint64_t cause)
	mv t0, a0
	mv a0, s0
	bnez t0, user_resume
	ld sp, USER_OWN_SP(s0)
	kept_registers ld
	addi sp, sp, KEPT_REGISTERS_FRAME
	ret
	.size user_enter, . - user_enter

own_fault:
	csrrw a0, sscratch, a0
	csrw stvec, zero
	sret

	.option arch, +d
	.macro each op
	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	\op f\n, (USER_F + 8 * \n)(a0)
	.endr
	.endm

// void user_floats_save(struct user *u), void user_floats_load(struct user *u): sstatus.FS is not Off.
	.globl user_floats_save
user_floats_save:
	each fsd
	csrr t0, fcsr
	sd t0, (USER_F + 256)(a0)
	ret

	.globl user_floats_load
user_floats_load:
	each fld
	ld t0, (USER_F + 256)(a0)
	csrw fcsr, t0
	ret
