// IMSIC: the supervisor-level and guest interrupt files of this hart, through CSRs and by their pages.
// Source: RISC-V AIA, chapter "Incoming MSI Controller".
#pragma once
#include "kernel/riscv/csr.h"

#define IMSIC_EIDELIVERY 0x70
#define IMSIC_EITHRESHOLD 0x72
#define IMSIC_EIP0 0x80
#define IMSIC_EIE0 0xc0
#define IMSIC_WORDS 4 // 64-bit words for 256 identities; selects are even on RV64

// Rings `identity` of the interrupt file whose page is at `page`: one 32-bit store to seteipnum_le.
static inline void imsic_ring(uint64_t page, uint32_t identity)
{
	*(volatile uint32_t *)page = identity;
}

void imsic_start_own(uint32_t identities);
// Takes the most urgent pending identity of this hart's S-level file; 0: none.
uint32_t imsic_claim_own(void);
// Clears pending, enabled and delivery of a guest file. Uses vsiselect and hstatus.VGEIN and leaves both to be set anew.
void imsic_clear_guest(unsigned file);
