// CSRs of HS-mode: numbers, bits, and the verbs to reach them. Sources: RISC-V Privileged Architecture (hypervisor
// extension), RISC-V AIA (indirect registers, stopei, hgeie), Sstc.
#pragma once
#include <stdint.h>

#define CSR_SSTATUS 0x100
#define CSR_SIE 0x104
#define CSR_STVEC 0x105
#define CSR_SCOUNTEREN 0x106
#define CSR_SENVCFG 0x10a
#define CSR_SSCRATCH 0x140
#define CSR_SCAUSE 0x142
#define CSR_STVAL 0x143
#define CSR_STIMECMP 0x14d
#define CSR_SATP 0x180
#define CSR_SISELECT 0x150
#define CSR_SIREG 0x151
#define CSR_STOPEI 0x15c
#define CSR_VSSTATUS 0x200
#define CSR_VSIE 0x204
#define CSR_VSTVEC 0x205
#define CSR_VSSCRATCH 0x240
#define CSR_VSEPC 0x241
#define CSR_VSCAUSE 0x242
#define CSR_VSTVAL 0x243
#define CSR_VSTIMECMP 0x24d
#define CSR_VSISELECT 0x250
#define CSR_VSIREG 0x251
#define CSR_VSTOPEI 0x25c
#define CSR_VSATP 0x280
#define CSR_HSTATUS 0x600
#define CSR_HEDELEG 0x602
#define CSR_HIDELEG 0x603
#define CSR_HIE 0x604
#define CSR_HTIMEDELTA 0x605
#define CSR_HCOUNTEREN 0x606
#define CSR_HGEIE 0x607
#define CSR_HENVCFG 0x60a
#define CSR_HSTATEEN0 0x60c
#define CSR_HTVAL 0x643
#define CSR_HVIP 0x645
#define CSR_HTINST 0x64a
#define CSR_HGATP 0x680
#define CSR_TIME 0xc01
#define CSR_HGEIP 0xe12

#define CSR_STRING_(x) #x
#define CSR_STRING(x) CSR_STRING_(x)
#define csr_read(number)                                                                                               \
	({                                                                                                             \
		uint64_t value_;                                                                                       \
		__asm__ volatile("csrr %0, " CSR_STRING(number) : "=r"(value_)::"memory");                             \
		value_;                                                                                                \
	})
#define csr_write(number, value)                                                                                       \
	({ __asm__ volatile("csrw " CSR_STRING(number) ", %0" ::"rK"((uint64_t)(value)) : "memory"); })
#define csr_set(number, bits)                                                                                          \
	({ __asm__ volatile("csrs " CSR_STRING(number) ", %0" ::"rK"((uint64_t)(bits)) : "memory"); })
#define csr_clear(number, bits)                                                                                        \
	({ __asm__ volatile("csrc " CSR_STRING(number) ", %0" ::"rK"((uint64_t)(bits)) : "memory"); })
// Reads it and writes 0 at once: what claims.
#define csr_take(number)                                                                                               \
	({                                                                                                             \
		uint64_t old_;                                                                                         \
		__asm__ volatile("csrrw %0, " CSR_STRING(number) ", zero" : "=r"(old_)::"memory");                     \
		old_;                                                                                                  \
	})

#define SSTATUS_SIE (1ul << 1)
#define SSTATUS_SPIE (1ul << 5)
#define SSTATUS_SPP (1ul << 8)
#define SSTATUS_VS (3ul << 9)
#define SSTATUS_FS (3ul << 13)
#define SSTATUS_FS_INITIAL (1ul << 13)
#define SSTATUS_FS_CLEAN (2ul << 13)
#define SSTATUS_FS_DIRTY (3ul << 13)
#define SSTATUS_UXL_64 (2ul << 32)

#define INTERRUPT (1ul << 63)
#define INTERRUPT_SOFT 1
#define INTERRUPT_VS_SOFT 2
#define INTERRUPT_TIMER 5
#define INTERRUPT_VS_TIMER 6
#define INTERRUPT_EXTERNAL 9
#define INTERRUPT_VS_EXTERNAL 10
#define INTERRUPT_GUEST 12

#define CAUSE_ILLEGAL 2
#define CAUSE_FETCH_GUEST_PAGE 20
#define CAUSE_VIRTUAL_INSTRUCTION 22
#define CAUSE_STORE_GUEST_PAGE 23

#define HSTATUS_SPV (1ul << 7)
#define HSTATUS_SPVP (1ul << 8)
#define HSTATUS_VGEIN_SHIFT 12
#define HSTATUS_VTVM (1ul << 20)
#define HSTATUS_VTW (1ul << 21)
#define HSTATUS_VSXL_64 (2ul << 32)

// Accesses, illegal, misaligned: what firmware hands on, and on QEMU from 10.0.11 on cannot hand to HS-mode (no write of mstatus.MPV there).
#define HEDELEG_PLAIN (1ul << 1 | 1ul << 2 | 1ul << 4 | 1ul << 5 | 1ul << 6 | 1ul << 7)
#define HEDELEG_LIBRARY_OS (HEDELEG_PLAIN | 1ul << 0 | 1ul << 3 | 1ul << 8 | 1ul << 12 | 1ul << 13 | 1ul << 15) // misaligned fetch, breakpoint, call of its program, page faults
#define HENVCFG_STCE (1ul << 63)
#define HCOUNTEREN_CY_TM_IR 7ul
#define HGATP_SV39X4 (8ul << 60)
#define HGATP_VMID_SHIFT 44
#define SATP_SV39 (8ul << 60)

#define INSTRUCTION_WFI 0x10500073u

static inline uint64_t time_read(void)
{
	return csr_read(CSR_TIME);
}

// hfence.gvma zero, zero: all G-stage translations of this hart (Privileged Architecture, HFENCE.GVMA).
static inline void hfence_gvma_all(void)
{
	__asm__ volatile(".insn r 0x73, 0, 0x31, x0, x0, x0" ::: "memory");
}

// hfence.gvma zero, vmid: those of one VMID.
static inline void hfence_gvma_vmid(uint64_t vmid)
{
	__asm__ volatile(".insn r 0x73, 0, 0x31, x0, x0, %0" ::"r"(vmid) : "memory");
}

static inline void sfence_vma_all(void)
{
	__asm__ volatile("sfence.vma" ::: "memory");
}

static inline void hfence_vvma_all(void)
{
	__asm__ volatile(".insn r 0x73, 0, 0x11, x0, x0, x0" ::: "memory");
}

static inline void instruction_fence(void)
{
	__asm__ volatile("fence.i" ::: "memory");
}

static inline void wait_for_interrupt(void)
{
	__asm__ volatile("wfi" ::: "memory");
}
