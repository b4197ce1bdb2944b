// The control registers that a domain uses, by their supervisor names (the hardware redirects to the VS ones).
// Register numbers: RISC-V Privileged Architecture (sie, sip, stvec), Sstc (stimecmp), AIA (siselect, sireg, stopei).
#pragma once
#include <stdint.h>

#define CSR_SIE 0x104
#define CSR_SIP 0x144
#define CSR_STVEC 0x105
#define CSR_SSTATUS 0x100
#define CSR_SSCRATCH 0x140
#define CSR_STVAL 0x143
#define CSR_SATP 0x180
#define CSR_STIMECMP 0x14d
#define CSR_SISELECT 0x150
#define CSR_SIREG 0x151
#define CSR_STOPEI 0x15c

#define SSTATUS_SIE 2ul
#define SSTATUS_SPIE 0x20ul
#define SSTATUS_SPP 0x100ul
#define SSTATUS_FS 0x6000ul // both bits: dirty
#define SSTATUS_FS_CLEAN 0x4000ul
#define INTERRUPT_SOFT (1ul << 1)
#define INTERRUPT_TIMER (1ul << 5)
#define INTERRUPT_EXTERNAL (1ul << 9)

#define IMSIC_EIDELIVERY 0x70
#define IMSIC_EITHRESHOLD 0x72
#define IMSIC_EIE 0xc0

#ifdef __riscv

#define CSR_STRING_(x) #x
#define CSR_STRING(x) CSR_STRING_(x)
#define csr_read(csr)                                                                                                  \
	({                                                                                                             \
		uint64_t csr_value_;                                                                                   \
		__asm__ volatile("csrr %0, " CSR_STRING(csr) : "=r"(csr_value_)::"memory");                            \
		csr_value_;                                                                                            \
	})
#define csr_write(csr, value) __asm__ volatile("csrw " CSR_STRING(csr) ", %0" ::"rK"((uint64_t)(value)) : "memory")
#define csr_set(csr, bits) __asm__ volatile("csrs " CSR_STRING(csr) ", %0" ::"rK"((uint64_t)(bits)) : "memory")
#define csr_clear(csr, bits) __asm__ volatile("csrc " CSR_STRING(csr) ", %0" ::"rK"((uint64_t)(bits)) : "memory")

// Claims the pending identity that comes first; 0 when there is none.
static inline unsigned interrupt_claim(void)
{
	uint64_t top;
	__asm__ volatile("csrrw %0, " CSR_STRING(CSR_STOPEI) ", x0" : "=r"(top)::"memory");
	return (unsigned)(top >> 16) & 0x7ff;
}

// The same as the register tells it (AIA 3.10: the identity twice), for who compares it with INTERRUPT_CLAIM(identity) alone.
#define INTERRUPT_CLAIM(identity) ((uint64_t)(identity) << 16 | (identity))
#define INTERRUPT_CLAIMED(word) ((unsigned)((word) >> 16) & 0x7ff)
static inline uint64_t interrupt_claim_word(void)
{
	uint64_t top;
	__asm__ volatile("csrrw %0, " CSR_STRING(CSR_STOPEI) ", x0" : "=r"(top)::"memory");
	return top;
}

static inline void wait_for_interrupt(void)
{
	__asm__ volatile("wfi" ::: "memory");
}

static inline uint64_t time_read(void)
{
	uint64_t ticks;
	__asm__ volatile("rdtime %0" : "=r"(ticks));
	return ticks;
}

#else // on the host, unit tests define these

enum csr_access { CSR_ACCESS_READ, CSR_ACCESS_WRITE, CSR_ACCESS_SET, CSR_ACCESS_CLEAR };
uint64_t csr_host(unsigned csr, enum csr_access access, uint64_t bits); // the value before
unsigned interrupt_claim(void);
#define INTERRUPT_CLAIM(identity) (identity)
#define INTERRUPT_CLAIMED(word) (word)
#define interrupt_claim_word() interrupt_claim()
void wait_for_interrupt(void);
uint64_t time_read(void);
#define csr_read(csr) csr_host(csr, CSR_ACCESS_READ, 0)
#define csr_write(csr, value) ((void)csr_host(csr, CSR_ACCESS_WRITE, value))
#define csr_set(csr, bits) ((void)csr_host(csr, CSR_ACCESS_SET, bits))
#define csr_clear(csr, bits) ((void)csr_host(csr, CSR_ACCESS_CLEAR, bits))

#endif
