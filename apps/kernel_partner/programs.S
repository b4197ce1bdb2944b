// Programs for VU-mode: owns partner_program_keep and those that do something wrong. Each is mapped where its library OS likes.
	.section .text.programs, "ax"
	.option arch, +d
// a0 = seed, a1 = ticks, a2 = where to store the seed. Each register holds seed + its number for so long; then a call, and if that comes
// back a look at the floating-point ones and another call. ebreak when one was changed.
	.globl partner_program_keep
partner_program_keep:
	sd a0, 0(a2)
	mv x1, a0
	rdtime t6
	add t6, t6, a1
	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	addi t5, x1, \n
	fmv.d.x f\n, t5
	.endr
	.irp n, 2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29
	addi x\n, x1, \n
	.endr
1:	rdtime t5
	bltu t5, t6, 1b
	.irp n, 2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29
	addi t5, x\n, -\n
	bne t5, x1, 2f
	.endr
3:	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	fmv.x.d t5, f\n
	addi t5, t5, -\n
	bne t5, x1, 2f
	.endr
	ecall
	j 3b
2:	ebreak

// One instruction each, then ebreak. a1 = an address.
	.macro wrong name, text:vararg
	.globl \name
\name:
	\text
	ebreak
	.endm
	.option push
	.option norvc
	wrong partner_program_csr, csrr t0, sstatus
	wrong partner_program_sleep, wfi
	wrong partner_program_return, sret
	wrong partner_program_fence, sfence.vma
	wrong partner_program_hyper, csrr t0, 0x600
	wrong partner_program_illegal, .word 0
	wrong partner_program_load, ld t0, 0(a1)
	wrong partner_program_store, sd t0, 0(a1)
	wrong partner_program_jump, jr a1
	wrong partner_program_atomic, amoadd.w t0, t0, (a1)
	.option pop
