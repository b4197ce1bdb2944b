// First instructions of a domain: owns _start.
//
// The kernel enters here with sp = GPA_STACK_TOP, all other registers 0, interrupts off, bss cleared by the loader. Sets
// gp and the thread pointer (the C library keeps errno there; all fibers share it), then runtime_start, which never
// returns. If the domain dies here, the supervisor sees a fault with a pc in _start.
	.section .text.start, "ax"
	.globl _start
	.type _start, @function
_start:
	.option push
	.option norelax
	la gp, __global_pointer$
	.option pop
	la tp, __thread_base
	li fp, 0
	li ra, 0
	tail runtime_start
	.size _start, . - _start
