// Memory order between domains: single accesses that the compiler keeps, and the fences of KERNEL.md rule 10.
//
// Macros of our own: C11 atomics would become full fences or library calls. Each use names its partner. On the host (unit
// tests) every fence is a full one.
#pragma once
#include "abi/fence.h"
#include <stdint.h>

#ifndef __riscv
// Called before each store to shared memory, where a test defines it: a death can be put between any two.
__attribute__((weak)) void fence_observe_store(void);
#define FENCE_OBSERVE() (fence_observe_store ? fence_observe_store() : (void)0)
#else
#define FENCE_OBSERVE() ((void)0)
#endif

static inline uint32_t load32(const volatile uint32_t *p)
{
	return *p;
}

static inline void store32(volatile uint32_t *p, uint32_t v)
{
	FENCE_OBSERVE();
	*p = v;
}

static inline uint16_t load16(const volatile uint16_t *p)
{
	return *p;
}

// As load16, as wide as a register: no compiler extends it once more. For paths where that counts.
static inline uint64_t load16_wide(const volatile uint16_t *p)
{
#ifdef __riscv
	uint64_t v;
	__asm__ volatile("lhu %0, %1" : "=r"(v) : "m"(*p));
	return v;
#else
	return *p;
#endif
}

// As load32, with its sign: as registers hold 32 bits, so that a comparison needs nothing more.
static inline int64_t load32_wide(const volatile uint32_t *p)
{
#ifdef __riscv
	int64_t v;
	__asm__ volatile("lw %0, %1" : "=r"(v) : "m"(*p));
	return v;
#else
	return (int32_t)*p;
#endif
}

static inline void store16(volatile uint16_t *p, uint16_t v)
{
	FENCE_OBSERVE();
	*p = v;
}

static inline void store16_wide(volatile uint16_t *p, uint64_t v)
{
	FENCE_OBSERVE();
#ifdef __riscv
	__asm__ volatile("sh %1, %0" : "=m"(*p) : "r"(v));
#else
	*p = (uint16_t)v;
#endif
}

static inline uint64_t load64(const volatile uint64_t *p)
{
	return *p;
}

static inline void store64(volatile uint64_t *p, uint64_t v)
{
	FENCE_OBSERVE();
	*p = v;
}

#define fence_publish() FENCE(w, w)   // what it names before the name: slot before ring before tail
#define fence_take() FENCE(r, r)      // the name before what it names: tail before ring before slot
#define fence_free() FENCE(rw, w)     // our last look before the owner may write again
#define fence_sleep() FENCE(w, r)     // our flag before we look again; partner: fence_doorbell
#define fence_doorbell() FENCE(w, or) // tail before the peer's flag and before the ring; partner: fence_sleep
#define fence_claimed() FENCE(i, r)   // a claim (CSR access) before we look; partner: fence_doorbell
