// Programs for VU-mode (programs.h): owns one page of text.
#include "apps/vu/programs.h"
	.section .rodata.programs, "a"
	.option norelax
	.balign 4096
	.globl vu_programs
vu_programs:
words:	.ascii "a program says that it runs in VU-mode"
	.set WORDS, . - words
	.balign 4

// Says something.
	.globl vu_hello
vu_hello:
	lla a0, words
	li a1, WORDS
	li a7, VU_WRITE
	ecall
	li a0, 0
	j leave

// Touches pages that are not there, and ends with the sum of what it wrote into them.
	.globl vu_touch
vu_touch:
	li a0, 0
	li a1, VU_DATA
	li a2, VU_PAGES
	li t0, 4096
1:	sd a2, 8(a1)
	ld t1, 8(a1)
	add a0, a0, t1
	ld t1, 16(a1)               // fresh memory is zero
	add a0, a0, t1
	add a1, a1, t0
	addi a2, a2, -1
	bnez a2, 1b
leave:
	li a7, VU_EXIT
	ecall

	.globl vu_illegal
vu_illegal:
	.word 0

	.globl vu_endless
vu_endless:
	j vu_endless

// Rounds without end: one store to a page that is not there any more, and a call that says how many there were, which it knows from a
// register and from that page alone.
	.globl vu_rounds
vu_rounds:
	li s0, VU_DATA
	li s1, 0
	li s2, 100000               // most of the time is its own
1:	addi s1, s1, 1
	sd s1, 0(s0)
	mv t0, s2
2:	addi t0, t0, -1
	bnez t0, 2b
	ld a0, 0(s0)
	li a7, VU_ROUND
	ecall
	j 1b

	.balign 4096
