// Switch between two fibers: owns fiber_switch and fiber_first.
//
// quick_answer_t fiber_switch(struct fiber *from, struct fiber *to): stores the callee-saved registers below sp, sp itself in the
// first word of `from`, and goes on with `to` at the stack pointer in its first word, with its next two words as what is returned. A
// new fiber's stack holds FIBER_FRAME words: ra = fiber_first, s0 = entry, s1 = argument (fiber.c asserts the numbers).
// Caller-saved registers are dead across the call, and there is no floating-point state: domains are built for lp64.
#define FRAME (14 * 8)
	.text
	.globl fiber_switch
	.type fiber_switch, @function
	.balign 16
fiber_switch:
	addi sp, sp, -FRAME
	sd ra, 0(sp)
	sd s0, 8(sp)
	sd s1, 16(sp)
	sd s2, 24(sp)
	sd s3, 32(sp)
	sd s4, 40(sp)
	sd s5, 48(sp)
	sd s6, 56(sp)
	sd s7, 64(sp)
	sd s8, 72(sp)
	sd s9, 80(sp)
	sd s10, 88(sp)
	sd s11, 96(sp)
	sd sp, 0(a0)
	ld sp, 0(a1)
	ld a0, 8(a1)
	ld a1, 16(a1)
	ld ra, 0(sp)
	ld s0, 8(sp)
	ld s1, 16(sp)
	ld s2, 24(sp)
	ld s3, 32(sp)
	ld s4, 40(sp)
	ld s5, 48(sp)
	ld s6, 56(sp)
	ld s7, 64(sp)
	ld s8, 72(sp)
	ld s9, 80(sp)
	ld s10, 88(sp)
	ld s11, 96(sp)
	addi sp, sp, FRAME
	ret
	.size fiber_switch, . - fiber_switch

	.globl fiber_first
	.type fiber_first, @function
fiber_first:
	mv a0, s1
	jalr s0
	tail fiber_ended
	.size fiber_first, . - fiber_first
