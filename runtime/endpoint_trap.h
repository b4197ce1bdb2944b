// The instruction behind endpoints: one ecall with eight words in registers (abi/endpoint.h). Owns nothing.
#pragma once
#include "abi/call.h"
#include "abi/endpoint.h"
#include "abi/error.h"
#include <stdint.h>

struct endpoint_words {
	uint64_t word[ENDPOINT_WORDS];
};

struct endpoint_result {
	enum error error;
	uint64_t tag; // of a call: the server's epoch; of a receive: the badge
};

#ifdef __riscv

// The words go both ways. Inlined, so that words that nobody uses cost nothing but their registers.
static inline struct endpoint_result endpoint_trap(enum call number, uint64_t first, struct endpoint_words *words)
{
	register uint64_t a0 __asm__("a0") = first;
	register uint64_t a1 __asm__("a1") = words->word[0];
	register uint64_t a2 __asm__("a2") = words->word[1];
	register uint64_t a3 __asm__("a3") = words->word[2];
	register uint64_t a4 __asm__("a4") = words->word[3];
	register uint64_t a5 __asm__("a5") = words->word[4];
	register uint64_t a6 __asm__("a6") = words->word[5];
	register uint64_t a7 __asm__("a7") = number;
	register uint64_t t5 __asm__("t5") = words->word[6];
	register uint64_t t6 __asm__("t6") = words->word[7];
	__asm__ volatile("ecall"
			 : "+r"(a0), "+r"(a1), "+r"(a2), "+r"(a3), "+r"(a4), "+r"(a5), "+r"(a6), "+r"(a7), "+r"(t5), "+r"(t6)
			 :
			 : "t0", "t1", "t2", "t3", "t4", "memory");
	*words = (struct endpoint_words){{a1, a2, a3, a4, a5, a6, t5, t6}};
	return (struct endpoint_result){(enum error)a0, a7};
}

// The same for messages whose last four words are nothing to either side: whatever the registers hold goes over.
static inline struct endpoint_result endpoint_trap_4(enum call number, uint64_t first, uint64_t words[4])
{
	register uint64_t a0 __asm__("a0") = first;
	register uint64_t a1 __asm__("a1") = words[0];
	register uint64_t a2 __asm__("a2") = words[1];
	register uint64_t a3 __asm__("a3") = words[2];
	register uint64_t a4 __asm__("a4") = words[3];
	register uint64_t a7 __asm__("a7") = number;
	__asm__ volatile("ecall"
			 : "+r"(a0), "+r"(a1), "+r"(a2), "+r"(a3), "+r"(a4), "+r"(a7)
			 :
			 : "t0", "t1", "t2", "t3", "t4", "a5", "a6", "t5", "t6", "memory");
	words[0] = a1;
	words[1] = a2;
	words[2] = a3;
	words[3] = a4;
	return (struct endpoint_result){(enum error)a0, a7};
}

// And with no words at all.
static inline struct endpoint_result endpoint_trap_0(enum call number, uint64_t first)
{
	register uint64_t a0 __asm__("a0") = first;
	register uint64_t a7 __asm__("a7") = number;
	__asm__ volatile("ecall"
			 : "+r"(a0), "+r"(a7)
			 :
			 : "t0", "t1", "t2", "t3", "t4", "a1", "a2", "a3", "a4", "a5", "a6", "t5", "t6", "memory");
	return (struct endpoint_result){(enum error)a0, a7};
}

// Does nothing, in the kernel and back.
static inline void kernel_null(void)
{
	register uint64_t a7 __asm__("a7") = CALL_null;
	__asm__ volatile("ecall" : : "r"(a7) : "a0", "memory");
}

#else // on the host, unit tests define it

struct endpoint_result endpoint_trap(enum call number, uint64_t first, struct endpoint_words *words);
struct endpoint_result endpoint_trap_0(enum call number, uint64_t first);

#endif
