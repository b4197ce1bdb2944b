// kernel_call: one ecall (include/abi/call.h).
//
// struct kernel_result kernel_call(number, a0..a5): by the C calling convention a result of 48 bytes is returned in
// memory, so a0 = where, a1 = number, a2..a7 = the six arguments. The kernel keeps all registers but a0..a5.
	.text
	.globl kernel_call
	.type kernel_call, @function
kernel_call:
	mv t0, a0
	mv t1, a1
	mv a0, a2
	mv a1, a3
	mv a2, a4
	mv a3, a5
	mv a4, a6
	mv a5, a7
	mv a7, t1
	ecall
	sw a0, 0(t0)
	sd a1, 8(t0)
	sd a2, 16(t0)
	sd a3, 24(t0)
	sd a4, 32(t0)
	sd a5, 40(t0)
	mv a0, t0
	ret
	.size kernel_call, . - kernel_call

// kernel_call_short: the same with three arguments at most and one result: both come back in registers.
	.globl kernel_call_short
	.type kernel_call_short, @function
kernel_call_short:
	mv a7, a0
	mv a0, a1
	mv a1, a2
	mv a2, a3
	ecall
	ret
	.size kernel_call_short, . - kernel_call_short
