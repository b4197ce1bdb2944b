// Fences, by the classes of accesses that they order (RVWMO: predecessor, successor; r, w memory, i, o devices).
//
// Owns nothing. Macros of our own, because kernels are built without the A extension, where compilers turn
// __atomic operations into calls or into full fences. Each also stops the compiler from moving memory accesses.
// docs/fences.md argues for each pair; every use names its partner. On the host, where only unit tests run, all
// of them are full fences.
#pragma once
#include <stdint.h>

typedef uint64_t __attribute__((may_alias)) shared_word_t; // to copy shared structures by whole words

#if defined(__riscv)
#define FENCE(predecessor, successor) __asm__ volatile("fence " #predecessor ", " #successor ::: "memory")
#else
#define FENCE(predecessor, successor) __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

#define fence_w_w() FENCE(w, w)     // publish: content before the word that makes it valid
#define fence_r_r() FENCE(r, r)     // take: the word that makes it valid before the content
#define fence_rw_w() FENCE(rw, w)   // give back: the last use of a slot before the index that frees it
#define fence_w_ro() FENCE(w, or)   // tail before the load of the peer's flag and before the doorbell (a device store)
#define fence_w_r() FENCE(w, r)     // own sleep flag before the last look at the peer's tail
#define fence_i_r() FENCE(i, r)     // claim of an interrupt (a CSR access counts as device input) before the look
#define fence_all() FENCE(iorw, iorw)
