// Trap vector of a domain that takes interrupts itself (interrupt.h): owns interrupt_vector.
//
// Only interrupts come here (no exception is delegated to plain domains). Saves what C may clobber, claims one identity
// (csrrw stopei), orders the claim before the handler's looks (fence i,r; partner: the ringer's fence w,or), calls the
// handler. A timer interrupt has no identity: its enable bit is cleared, the loop sets it again before it sleeps.
#define FRAME (16 * 8)
	.text
	.globl interrupt_vector
	.type interrupt_vector, @function
	.balign 64
interrupt_vector:
	addi sp, sp, -FRAME
	sd a0, 0(sp)
	sd t0, 8(sp)
	sd ra, 16(sp)
	csrrw a0, 0x15c, x0
	sd t1, 24(sp)
	sd t2, 32(sp)
	sd a1, 40(sp)
	sd a2, 48(sp)
	sd a3, 56(sp)
	sd a4, 64(sp)
	sd a5, 72(sp)
	sd a6, 80(sp)
	sd a7, 88(sp)
	sd t3, 96(sp)
	sd t4, 104(sp)
	sd t5, 112(sp)
	sd t6, 120(sp)
	fence i, r
	srliw a0, a0, 16
	beqz a0, 2f
	ld t0, interrupt_handler
	jalr t0
1:
	ld a0, 0(sp)
	ld t0, 8(sp)
	ld ra, 16(sp)
	ld t1, 24(sp)
	ld t2, 32(sp)
	ld a1, 40(sp)
	ld a2, 48(sp)
	ld a3, 56(sp)
	ld a4, 64(sp)
	ld a5, 72(sp)
	ld a6, 80(sp)
	ld a7, 88(sp)
	ld t3, 96(sp)
	ld t4, 104(sp)
	ld t5, 112(sp)
	ld t6, 120(sp)
	addi sp, sp, FRAME
	sret
2:
	csrr t0, scause
	slli t0, t0, 1
	srli t0, t0, 1
	li t1, 5
	bne t0, t1, 1b
	li t0, 0x20
	csrc sie, t0
	j 1b
	.size interrupt_vector, . - interrupt_vector
