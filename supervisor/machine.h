// What the machine has beside harts and memory, as its device tree tells it: the UART and the PCI host.
//
// Nothing here is kept: the tree is read again by every incarnation of the supervisor. What is missing or malformed
// is said in one line of the log each, and is then absent (bytes == 0); the rest of the machine still runs.
#pragma once
#include "abi/error.h"
#include <stddef.h>
#include <stdint.h>

struct machine_window { // of physical addresses
	uint64_t base;
	uint64_t bytes; // 0: absent
	uint64_t bus;   // address on the PCI bus that stands for base
};

struct machine_uart {
	uint64_t base;
	uint64_t bytes; // 0: absent
	uint32_t source; // wired interrupt source of the APLIC, 0: none
	uint32_t clock;  // Hz, 0: not said
};

struct machine_pci {
	uint64_t ecam;
	uint64_t ecam_bytes; // 0: absent
	uint8_t bus_first;
	uint8_t bus_last;
	struct machine_window low;  // 32-bit MMIO
	struct machine_window high; // 64-bit MMIO
};

struct machine {
	struct machine_uart uart;
	struct machine_pci pci;
	struct machine_window iommu; // registers of a RISC-V IOMMU
};

// Reads a flattened device tree of at most `bytes` bytes (Devicetree specification 0.4, chapters 2, 3, 5; PCI bus
// binding IEEE 1275). ERR_CORRUPT: it is no device tree; `machine` is then all absent. Anything else is ERR_OK.
enum error machine_read(const void *tree, size_t bytes, struct machine *machine);

// Maps the UART into `domain` (a handle) as its device window 0 and binds its interrupt. ERR_NOT_FOUND: no UART.
enum error machine_uart_attach(const struct machine *machine, uint64_t domain);

// Lets the PCI bus through the IOMMU, which blocks all DMA and all messages at reset (RISC-V IOMMU 1.0, 6.5: ddtp), and
// says what that means; without one, says that there is none. Drivers with the DMA right are trusted in both cases.
void machine_iommu_open(const struct machine *machine);
