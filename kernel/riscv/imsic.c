// Interrupt files of this hart (imsic.h). They are the hart's: what they hold outlives a kernel that dies, and start.c clears it.
#include "kernel/riscv/imsic.h"

static void own_write(uint64_t select, uint64_t value)
{
	csr_write(CSR_SISELECT, select);
	csr_write(CSR_SIREG, value);
}

void imsic_start_own(uint32_t identities)
{
	own_write(IMSIC_EIDELIVERY, 0);
	for (unsigned i = 0; i <= identities / 64 && i < IMSIC_WORDS; i++) {
		own_write(IMSIC_EIP0 + 2 * i, 0);
		own_write(IMSIC_EIE0 + 2 * i, ~0ul);
	}
	own_write(IMSIC_EITHRESHOLD, 0);
	own_write(IMSIC_EIDELIVERY, 1);
}

uint32_t imsic_claim_own(void)
{
	return (uint32_t)(csr_take(CSR_STOPEI) >> 16);
}

static void guest_write(uint64_t select, uint64_t value)
{
	csr_write(CSR_VSISELECT, select);
	csr_write(CSR_VSIREG, value);
}

void imsic_clear_guest(unsigned file)
{
	csr_write(CSR_HSTATUS, HSTATUS_VSXL_64 | (uint64_t)file << HSTATUS_VGEIN_SHIFT);
	for (unsigned i = 0; i < IMSIC_WORDS; i++) {
		guest_write(IMSIC_EIP0 + 2 * i, 0);
		guest_write(IMSIC_EIE0 + 2 * i, 0);
	}
	guest_write(IMSIC_EIDELIVERY, 0);
	guest_write(IMSIC_EITHRESHOLD, 0);
}
