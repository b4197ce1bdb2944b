// Fast path of endpoint calls and answers, and the null call: from one plain domain straight to another (abi/endpoint.h,
// KERNEL.md rule 3). All that is unusual goes to trap_slow with nothing changed, and from there to kernel/endpoint.c.
//
// What it may leave out: neither domain is queued, so the run queue and the hart's timer stay as they are; hvip is 0 on both
// sides; vsie is what it was; sepc, scause, stval, siselect, scounteren and senvcfg of a domain are dead across a call. Callee-saved registers
// are saved and loaded, the words of the message stay where they are, the temporaries are cleared.
// sp = the running domain; t0 is saved in its frame. There is a second one, which makes each switch an event of the trace (abi/trace.h).
#include "abi/trace_offsets.h"
#include "kernel/riscv/frame.h"
#define CSR_HGEIE 0x607
#define CSR_HGEIP 0xe12
#define CSR_VSTIMECMP 0x24d

#define COUNTERS 7
#define BLOCKED_OPEN (DOMAIN_STATE_BLOCKED | 1 << 8 | 1 << 16) // state, open, receiving

	.macro callee_saved op, base
	.irp n, 1,3,4,8,9,18,19,20,21,22,23,24,25,26,27
	\op x\n, FRAME_X(\n)(\base)
	.endr
	.endm

	.macro save csr, offset
	csrr t2, \csr
	sd t2, \offset(sp)
	.endm

	.macro load csr, offset
	ld t2, \offset(t1)
	csrw \csr, t2
	.endm

// As trace_append: t1, t2, t3 as below, and the registers that are saved by now are free.
	.macro trace_switch kind
	ld s0, CORE_TRACE(t3)
	ld s1, TRACE_NEXT(s0)
	slli s2, s1, 64 - TRACE_PLACE_BITS
	srli s2, s2, 64 - TRACE_PLACE_BITS - TRACE_EVENT_SHIFT
	add s2, s2, s0
	sd t2, TRACE_EVENT_TIME(s2)
	li s3, \kind
	sh s3, TRACE_EVENT_KIND(s2)
	lbu s3, DOMAIN_INDEX(sp)
	sb s3, TRACE_EVENT_SUBJECT(s2)
	lbu s3, DOMAIN_INDEX(t1)
	sb s3, TRACE_EVENT_SUBJECT + 1(s2)
	fence w, w                      // partner: the host, as in trace_append
	addi s1, s1, 1
	sd s1, TRACE_NEXT(s0)
	.endm

// From the domain in sp, whose registers it saves, to that in t1: t3 = struct core. Both records say already who is what.
// a7 comes back in t0.
	.macro switch_to_t1 traced, kind
	csrr t2, sepc
	addi t2, t2, 4
	sd t2, FRAME_X(0)(sp)
	csrw sscratch, t1
	callee_saved sd, sp
	save vsstatus, DOMAIN_VSSTATUS
	save vstvec, DOMAIN_VSTVEC
	save vsscratch, DOMAIN_VSSCRATCH
	save CSR_VSTIMECMP, DOMAIN_VSTIMECMP
	sd t1, CORE_CURRENT(t3)
	ld t2, CORE_COMPANY(t3)
	ld t4, DOMAIN_HSTATUS(t1)
	or t2, t2, t4
	csrw hstatus, t2
	csrw vsatp, zero
	csrwi scounteren, COUNTERS      // no VS copies, and nothing of a plain domain
	csrwi senvcfg, 0
	load hgatp, DOMAIN_HGATP
	load vsstatus, DOMAIN_VSSTATUS
	load vsie, DOMAIN_VSIE
	load vstvec, DOMAIN_VSTVEC
	load vsscratch, DOMAIN_VSSCRATCH
	load CSR_VSTIMECMP, DOMAIN_VSTIMECMP
	csrr t2, time
	.if \traced
	trace_switch \kind
	.endif
	ld t4, DOMAIN_RUN_SINCE(sp)
	sd t2, DOMAIN_RUN_SINCE(t1)
	sub t2, t2, t4
	ld a7, DOMAIN_RAN(sp)
	ld t4, 0(a7)
	add t4, t4, t2
	sd t4, 0(a7)
	ld t3, CORE_INFO(t3)
	ld t2, DOMAIN_RUNNING_AS(t1)
	sd t2, INFO_RUNNING(t3)
	load sepc, FRAME_X(0)
	.endm

	.macro leave_to_t1
	callee_saved ld, t1
	ld sp, FRAME_X(2)(t1)
	li a0, 0
	li t0, 0
	li t1, 0
	li t2, 0
	li t3, 0
	li t4, 0
	sret
	.endm

	.macro fast_calls traced
	addi t0, a7, -1
	bltz t0, null_call
	csrrw t2, sscratch, zero        // a trap from here on is the kernel's
	sd t2, FRAME_X(2)(sp)
	csrr t2, hvip
	bnez t2, slow
	csrr t2, vsie
	ld t3, DOMAIN_VSIE(sp)
	bne t2, t3, slow
	bnez t0, receive\@

	andi t0, a0, DOOR_PLACES
	add t0, t0, sp
	ld t1, DOMAIN_DOORS + DOOR_MATCH(t0)
	bne t1, a0, slow
	ld t1, DOMAIN_DOORS + DOOR_SERVER(t0)
	lbu t2, DOMAIN_OPEN(t1)
	lbu t3, DOMAIN_PLAIN(sp)
	and t2, t2, t3
	beqz t2, slow
	li t2, DOMAIN_STATE_CALLING
	sb t2, DOMAIN_STATE(sp)
	sd t1, DOMAIN_CALLEE(sp)
	li t2, DOMAIN_STATE_RUNNING     // and neither open nor receiving
	sw t2, DOMAIN_STATE(t1)
	sd sp, DOMAIN_REPLY_TO(t1)
	lbu t2, DOMAIN_PRIORITY(sp)
	sb t2, DOMAIN_PRIORITY(t1)
	ld t3, DOMAIN_CORE(sp)
	ld t2, CORE_FILES_BLOCKED(t3)
	ld t4, DOMAIN_FILE_BIT(t1)
	xor t2, t2, t4
	sd t2, CORE_FILES_BLOCKED(t3)
	csrw CSR_HGEIE, t2
	switch_to_t1 \traced, TRACE_FAST_CALL_KIND
	ld t2, INFO_CALLS_FAST(t3)
	addi t2, t2, 1
	sd t2, INFO_CALLS_FAST(t3)
	ld a7, DOMAIN_DOORS + DOOR_BADGE(t0)
	leave_to_t1

receive\@:
	bnez a0, slow
	ld t1, DOMAIN_REPLY_TO(sp)
	beqz t1, slow
	csrr t2, CSR_VSTIMECMP
	ld t3, DOMAIN_TIMER_TIME(sp)
	bne t2, t3, slow
	ld t3, DOMAIN_CORE(sp)
	ld t2, CORE_FILES_BLOCKED(t3)
	ld t4, DOMAIN_FILE_BIT(sp)
	or t2, t2, t4
	csrw CSR_HGEIE, t2
	csrr t0, CSR_HGEIP              // a ring that came before may show here alone (schedule.c, guest_interrupts_take)
	and t0, t0, t4
	bnez t0, rung
	sd t2, CORE_FILES_BLOCKED(t3)
	li t2, BLOCKED_OPEN
	sw t2, DOMAIN_STATE(sp)
	sd zero, DOMAIN_REPLY_TO(sp)
	li t2, DOMAIN_STATE_RUNNING
	sb t2, DOMAIN_STATE(t1)
	sd zero, DOMAIN_CALLEE(t1)
	lwu t0, DOMAIN_RUNNING_AS + 4(sp)
	switch_to_t1 \traced, TRACE_FAST_ANSWER_KIND
	mv a7, t0
	leave_to_t1
	.endm

	.text
	.option norelax
	.align 2
	.globl endpoint_fast, endpoint_fast_traced
endpoint_fast_traced:
	fast_calls 1
endpoint_fast:
	fast_calls 0

rung:
	ld t2, CORE_FILES_BLOCKED(t3)
	csrw CSR_HGEIE, t2
slow:
	ld t1, FRAME_X(2)(sp)
	csrw sscratch, t1
	li t1, 0
	li t2, 0
	li t3, 0
	li t4, 0
	j trap_slow

null_call:
	csrr t0, sepc
	addi t0, t0, 4
	csrw sepc, t0
	ld t0, FRAME_X(5)(sp)
	li a0, 0
	csrrw sp, sscratch, sp
	sret
