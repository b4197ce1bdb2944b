// fpu: keeps its own numbers in all 32 floating-point registers while another domain on the same core does so too.
//
//   fpu            starts two of itself on this core and waits for both
//   fpu SEED ROUNDS   fills the registers, gives the core away, looks again
//
// Owns nothing. The instructions are assembled by hand: the rest of the program is compiled without floating point. Exit
// status 0 when no register ever changed.
#include "runtime/console.h"
#include "runtime/csr.h"
#include "runtime/error_text.h"
#include "runtime/runtime.h"
#include "runtime/supervision.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SSTATUS_FS_INITIAL 0x2000ul
#define REGISTERS 32u

#define EACH(X)                                                                                                        \
	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19)  \
		X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)

static void registers_fill(const uint64_t *values)
{
#define X(n) "fld f" #n ", 8*" #n "(%0)\n"
	__asm__ volatile(".option push\n.option arch, +f, +d\n" EACH(X) ".option pop" ::"r"(values) : "memory");
#undef X
}

static void registers_store(uint64_t *values)
{
#define X(n) "fsd f" #n ", 8*" #n "(%0)\n"
	__asm__ volatile(".option push\n.option arch, +f, +d\n" EACH(X) ".option pop" ::"r"(values) : "memory");
#undef X
}

// f0 := f1 * f2 + f0, so that the unit works and the state is dirty.
static void registers_work(void)
{
	__asm__ volatile(".option push\n.option arch, +f, +d\n"
			 "fmul.d f0, f1, f2\n fadd.d f0, f0, f1\n"
			 ".option pop" ::: "memory");
}

static int keep(uint64_t seed, uint64_t rounds)
{
	uint64_t values[REGISTERS], seen[REGISTERS];
	uint64_t wrong = 0;
	csr_set(CSR_SSTATUS, SSTATUS_FS_INITIAL);
	for (uint64_t round = 0; round < rounds; round++) {
		for (unsigned i = 0; i < REGISTERS; i++)
			values[i] = (seed * 1000003 + round * 32 + i) * 0x9e3779b97f4a7c15ull;
		registers_fill(values);
		if (round % 2)
			kcall(CALL_yield);
		else
			for (unsigned i = 0; i < 2000; i++)
				__asm__ volatile("" ::: "memory"); // a timer may take the core here
		registers_store(seen);
		for (unsigned i = 0; i < REGISTERS; i++)
			wrong += seen[i] != values[i];
		registers_work();
	}
	printf("fpu %" PRIu64 ": %" PRIu64 " rounds, %" PRIu64 " wrong registers\n", seed, rounds, wrong);
	console_drain();
	return wrong ? 1 : 0;
}

static int pair(void)
{
	uint64_t jobs[2], code, fault;
	int status = 0;
	for (unsigned i = 0; i < 2; i++) {
		enum error e = supervision_spawn("fpu", i ? "2 20000" : "1 20000", &jobs[i]);
		if (e != ERR_OK) {
			printf("fpu: %s\n", error_sentence(e));
			return 2;
		}
	}
	for (unsigned i = 0; i < 2; i++) {
		enum error e = supervision_wait(jobs[i], &code, &fault);
		if (e != ERR_OK || code != 0 || (fault != FAULT_NONE && fault != FAULT_EXIT))
			status = 1;
	}
	return status;
}

int program_main(void)
{
	static char arguments[64];
	char *rest;
	if (supervision_argument(arguments, sizeof(arguments)) != ERR_OK)
		return 2;
	uint64_t seed = strtoull(arguments, &rest, 0);
	return seed ? keep(seed, strtoull(rest, 0, 0)) : pair();
}
