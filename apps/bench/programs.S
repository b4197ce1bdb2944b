// Programs that a partner runs in VU-mode (user.c): a1 = where, a2 = how often, t0 = step; an ecall is their end.
	.section .text.programs, "ax"
	.option norelax
	.option norvc
	.globl bench_program_load
bench_program_load:             // each load faults and is skipped
	ld t1, 0(a1)
	addi a2, a2, -1
	bnez a2, bench_program_load
	ecall

	.globl bench_program_touch
bench_program_touch:            // each store is the first to its page
	sd a2, 0(a1)
	add a1, a1, t0
	addi a2, a2, -1
	bnez a2, bench_program_touch
	ecall

	.globl bench_program_call
bench_program_call:             // a7 = 0 says that another one follows
	addi a2, a2, -1
	snez a7, a2
	xori a7, a7, 1
	ecall
	bnez a2, bench_program_call
