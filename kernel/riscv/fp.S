// Floating-point state of a domain. The kernel itself is compiled without F and D: only these two functions name
// the registers. a0 = struct domain; sstatus.FS must not be Off.
#include "kernel/riscv/frame.h"

	.option arch, +d
	.text
	.macro each op
	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	\op f\n, (FRAME_FP + 8 * \n)(a0)
	.endr
	.endm

	.globl fp_save
fp_save:
	each fsd
	csrr t0, fcsr
	sd t0, FRAME_FCSR(a0)
	ret

	.globl fp_load
fp_load:
	each fld
	ld t0, FRAME_FCSR(a0)
	csrw fcsr, t0
	ret
