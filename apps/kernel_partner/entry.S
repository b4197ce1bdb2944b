// First instructions of kernel_partner, its interrupt handler, and what C cannot say: register patterns.
//
// A fresh domain has all registers 0 but sp: their sum by `or` is the first thing that the program gets to see.
#include "runtime/kept_registers.inc"

	.section .text.start, "ax"
	.globl _start
_start:
	.irp n, 3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	or x1, x1, x\n
	.endr
	mv a0, ra
	.option push
	.option norelax
	la gp, __global_pointer$
	.option pop
	la tp, __thread_base
	li fp, 0
	li ra, 0
	tail partner_main

// A handler of VS-mode: claims one identity and counts it.
	.text
	.align 2
	.globl partner_vector
partner_vector:
	addi sp, sp, -16
	sd t0, 0(sp)
	sd t1, 8(sp)
	csrrw x0, 0x15c, x0         // stopei
	la t1, partner_interrupts
	ld t0, 0(t1)
	addi t0, t0, 1
	sd t0, 0(t1)
	ld t1, 8(sp)
	ld t0, 0(sp)
	addi sp, sp, 16
	sret

// One that wants the kernel to have the exception: nothing can be fetched at 0, and the same instruction comes once more. ra = 0 says that
// it was here.
	.align 2
	.globl partner_gives_back
partner_gives_back:
	li ra, 0
	csrw stvec, zero
	sret

// void partner_registers(seed, ticks, uint64_t found[32]): all registers but sp, t5 and t6 hold seed + number for that
// long, then they are stored to found. sscratch holds the seed too.
	.globl partner_registers
partner_registers:
	addi sp, sp, -144
	kept_registers sd
	sd a2, 128(sp)
	csrw sscratch, a0
	rdtime t6
	add t6, t6, a1
	mv x1, a0
	.irp n, 3,4,5,6,7,8,9,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29
	addi x\n, x1, \n
	.endr
	addi x10, x1, 10
	addi x1, x1, 1
1:	rdtime t5
	bltu t5, t6, 1b
	ld t5, 128(sp)
	.irp n, 1,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29
	sd x\n, (8 * \n)(t5)
	.endr
	csrr t6, sscratch
	sd t6, 0(t5)
	kept_registers ld
	addi sp, sp, 144
	ret

	.option push
	.option arch, +d
// void partner_floats(seed, ticks, uint64_t found[33]): the same with f0..f31 and fcsr = seed % 256.
	.globl partner_floats
partner_floats:
	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	addi t0, a0, \n
	fmv.d.x f\n, t0
	.endr
	andi t0, a0, 0x7f
	csrw fcsr, t0
	rdtime t6
	add t6, t6, a1
1:	rdtime t5
	bltu t5, t6, 1b
	// falls through
// void partner_floats_read(seed, ticks, uint64_t found[33]): what they hold now.
	.globl partner_floats_read
partner_floats_read:
	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	fsd f\n, (8 * \n)(a2)
	.endr
	csrr t0, fcsr
	sd t0, 256(a2)
	ret
	.option pop

// void partner_call_registers(seed, number, first, uint64_t found[32]): an endpoint call with each register holding seed +
// its number but sp, a0 = first, a7 = number; what they hold afterwards goes to found.
	.globl partner_call_registers
partner_call_registers:
	addi sp, sp, -128
	kept_registers sd
	sd a3, 120(sp)
	mv x1, a0
	mv a0, a2
	mv a7, a1
	.irp n, 3,4,5,6,7,8,9,12,13,14,15,16,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	addi x\n, x1, \n
	.endr
	li a1, 0                    // the first word: PARTNER_DOOR_ECHO
	addi x1, x1, 1
	ecall
	sd t0, -8(sp)
	ld t0, 120(sp)
	.irp n, 1,3,4,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	sd x\n, (8 * \n)(t0)
	.endr
	ld t1, -8(sp)
	sd t1, 40(t0)
	kept_registers ld
	addi sp, sp, 128
	ret

// a0 = ticks at each of 60 places, 64 bytes apart; then it stays at one for ever. The end of each is a time, not so long after it was come to: who
// was held up is not late for the next.
	.globl partner_places
partner_places:
	rdtime t0
	.rept 60
	.balign 64
	add t0, t0, a0
1:	rdtime t1
	bltu t1, t0, 1b
	.endr
	.balign 64
1:	j 1b
