// A handler of VS-mode that does as little as a useful one can: it claims, and sets the byte of that identity.
//
// Below sp is nobody's: interrupts are off here, and the program has no other handler.
	.text
	.align 2
	.globl bench_handler
bench_handler:
	sd t0, -8(sp)
	sd t1, -16(sp)
	csrrw t0, 0x15c, x0         // stopei
	srli t0, t0, 16
	la t1, bench_rung
	add t1, t1, t0
	sb t0, 0(t1)
	ld t1, -16(sp)
	ld t0, -8(sp)
	sret
