// What the device tree says about the UART and the PCI host.
//
// Owns no state. The tree comes from firmware and may be malformed: libfdt checks the header and stays inside the tree, and each
// property is checked here before it is used, and a bad one costs its device only, with one line in the log. If the
// supervisor dies here, the next incarnation reads the same tree again.
#include "supervisor/machine.h"
#include "runtime/device.h"
#include "runtime/runtime.h"
#include <libfdt.h>
#include <string.h>

#define TREE_BYTES_LEAST 48u
#define UART_BYTES_LEAST 8u
#define ECAM_BUS_BYTES 0x100000ull // of one bus

// PCI address: phys.hi's space code (IEEE 1275 PCI binding, 2.2.1.1)
#define PCI_SPACE(high) ((high) >> 24 & 3)
#define PCI_SPACE_LOW 2
#define PCI_SPACE_HIGH 3
#define PCI_CELLS 3

// RISC-V IOMMU 1.0, chapter 6: device-directory-table pointer; mode 0 off (all is blocked), 1 bare (all passes).
#define IOMMU_DDTP 0x10
#define IOMMU_DDTP_BARE 1u
#define IOMMU_DDTP_BUSY (1u << 4)
#define IOMMU_LOOKS 100000u // at the busy bit: some ms; the mode is set at once on what we know

static uint64_t cells_value(const fdt32_t *cell, int count)
{
	uint64_t value = 0;

	for (int i = 0; i < count; i++)
		value = value << 32 | fdt32_ld(&cell[i]);
	return value;
}

static bool cells_legal(int address, int size)
{
	return address >= 1 && address <= 2 && size >= 1 && size <= 2;
}

// The n-th (address, size) pair of a node's `reg`. Addresses below simple-bus nodes with empty `ranges` are physical.
static bool reg_read(const void *tree, int node, const char *what, uint64_t *base, uint64_t *bytes)
{
	int parent = fdt_parent_offset(tree, node);
	int address = fdt_address_cells(tree, parent);
	int size = fdt_size_cells(tree, parent);
	int length = 0;
	const fdt32_t *reg = fdt_getprop(tree, node, "reg", &length);

	if (parent < 0 || !cells_legal(address, size)) {
		log_line("machine: the bus of the %s has %d address and %d size cells; 1 or 2 are understood", what,
			 address, size);
		return false;
	}
	if (reg == 0) {
		log_line("machine: the %s has no 'reg'", what);
		return false;
	}
	if (length < 4 * (address + size)) {
		log_line("machine: 'reg' of the %s has %d bytes, %d are needed", what, length, 4 * (address + size));
		return false;
	}
	*base = cells_value(reg, address);
	*bytes = cells_value(reg + address, size);
	return true;
}

static bool region_legal(const char *what, uint64_t base, uint64_t bytes, uint64_t least)
{
	if (bytes >= least && base + bytes > base)
		return true;
	log_line("machine: the %s is said to be at %#llx with %#llx bytes, which cannot be", what,
		 (unsigned long long)base, (unsigned long long)bytes);
	return false;
}

static uint32_t cell_or(const void *tree, int node, const char *name, uint32_t otherwise)
{
	int length = 0;
	const fdt32_t *cell = fdt_getprop(tree, node, name, &length);

	return cell != 0 && length >= 4 ? fdt32_ld(cell) : otherwise;
}

static void uart_read(const void *tree, struct machine_uart *uart)
{
	uint64_t base, bytes;
	int node = fdt_node_offset_by_compatible(tree, -1, "ns16550a");

	if (node < 0) {
		log_line("machine: the device tree names no UART (ns16550a): there is no console");
		return;
	}
	if (!reg_read(tree, node, "UART", &base, &bytes) || !region_legal("UART", base, bytes, UART_BYTES_LEAST))
		return;
	uart->source = cell_or(tree, node, "interrupts", 0);
	uart->clock = cell_or(tree, node, "clock-frequency", 0);
	if (uart->source == 0)
		log_line("machine: the UART has no 'interrupts': there is no console");
	else
		*uart = (struct machine_uart){base, bytes, uart->source, uart->clock};
}

// One entry of `ranges`: PCI address (3 cells), parent address, size.
static void pci_range_read(const fdt32_t *cell, int parent_cells, struct machine_pci *pci)
{
	uint32_t space = PCI_SPACE(fdt32_ld(cell));
	struct machine_window window = {
		.base = cells_value(cell + PCI_CELLS, parent_cells),
		.bytes = cells_value(cell + PCI_CELLS + parent_cells, 2),
		.bus = cells_value(cell + 1, 2),
	};

	if (space != PCI_SPACE_LOW && space != PCI_SPACE_HIGH)
		return;
	if (!region_legal("PCI window", window.base, window.bytes, PAGE_SIZE) ||
	    !region_legal("PCI window (on the bus)", window.bus, window.bytes, PAGE_SIZE))
		return;
	if (space == PCI_SPACE_LOW && pci->low.bytes == 0 && window.bus + window.bytes <= 1ull << 32)
		pci->low = window;
	else if (pci->high.bytes == 0)
		pci->high = window;
}

static bool pci_ranges_read(const void *tree, int node, struct machine_pci *pci)
{
	int parent_cells = fdt_address_cells(tree, fdt_parent_offset(tree, node));
	int own = fdt_address_cells(tree, node);
	int size = fdt_size_cells(tree, node);
	int entry = 4 * (PCI_CELLS + parent_cells + 2);
	int length = 0;
	const fdt32_t *ranges = fdt_getprop(tree, node, "ranges", &length);

	if (own != PCI_CELLS || size != 2 || !cells_legal(parent_cells, 2)) {
		log_line("machine: the PCI host has %d address and %d size cells instead of 3 and 2", own, size);
		return false;
	}
	if (ranges == 0 || length < entry || length % entry != 0) {
		log_line("machine: 'ranges' of the PCI host has %d bytes, not a multiple of %d", ranges == 0 ? 0 : length,
			 entry);
		return false;
	}
	for (int i = 0; i < length / entry; i++)
		pci_range_read(ranges + i * entry / 4, parent_cells, pci);
	if (pci->low.bytes == 0 && pci->high.bytes == 0)
		log_line("machine: the PCI host has no memory window");
	return pci->low.bytes != 0 || pci->high.bytes != 0;
}

static void bus_range_read(const void *tree, int node, struct machine_pci *pci)
{
	int length = 0;
	const fdt32_t *range = fdt_getprop(tree, node, "bus-range", &length);

	pci->bus_first = 0;
	pci->bus_last = 255;
	if (range != 0 && length >= 8) {
		pci->bus_first = (uint8_t)fdt32_ld(range);
		pci->bus_last = (uint8_t)fdt32_ld(range + 1);
	}
}

static void pci_host_read(const void *tree, struct machine_pci *pci)
{
	uint64_t base, bytes;
	int node = fdt_node_offset_by_compatible(tree, -1, "pci-host-ecam-generic");

	if (node < 0) {
		log_line("machine: the device tree names no PCI host (pci-host-ecam-generic): there are no disks");
		return;
	}
	if (!reg_read(tree, node, "PCI host", &base, &bytes) || !region_legal("PCI host", base, bytes, ECAM_BUS_BYTES))
		return;
	bus_range_read(tree, node, pci);
	if (!pci_ranges_read(tree, node, pci))
		return;
	pci->ecam = base;
	pci->ecam_bytes = bytes;
}

static void iommu_read(const void *tree, struct machine_window *iommu)
{
	uint64_t base, bytes;
	int node = fdt_node_offset_by_compatible(tree, -1, "riscv,iommu");

	if (node >= 0 && reg_read(tree, node, "IOMMU", &base, &bytes) && region_legal("IOMMU", base, bytes, PAGE_SIZE))
		*iommu = (struct machine_window){.base = base, .bytes = bytes};
}

enum error machine_read(const void *tree, size_t bytes, struct machine *machine)
{
	int error;

	memset(machine, 0, sizeof(*machine));
	error = bytes < TREE_BYTES_LEAST ? -FDT_ERR_TRUNCATED : fdt_check_header(tree);
	if (error == 0 && fdt_totalsize(tree) > bytes)
		error = -FDT_ERR_TRUNCATED;
	if (error != 0) {
		log_line("machine: the device tree (%zu bytes) is damaged: libfdt says %s", bytes, fdt_strerror(error));
		return ERR_CORRUPT;
	}
	uart_read(tree, &machine->uart);
	pci_host_read(tree, &machine->pci);
	iommu_read(tree, &machine->iommu);
	return ERR_OK;
}

enum error machine_uart_attach(const struct machine *machine, uint64_t domain)
{
	struct kernel_result result;

	if (machine->uart.bytes == 0)
		return ERR_NOT_FOUND;
	result = kcall(CALL_device_map, domain, machine->uart.base, machine->uart.bytes);
	if (result.error != ERR_OK)
		return result.error;
	return kcall(CALL_interrupt_bind, domain, 0, machine->uart.source).error;
}

void machine_iommu_open(const struct machine *machine)
{
	struct kernel_result window = {.error = ERR_NOT_FOUND};

	if (machine->iommu.bytes != 0)
		window = kcall(CALL_device_map, 0, machine->iommu.base, PAGE_SIZE);
	if (window.error != ERR_OK) {
		log_line("machine: no IOMMU: a driver's device reaches all memory");
		return;
	}
	device_write32(window.value[0] + IOMMU_DDTP, IOMMU_DDTP_BARE);
	device_write32(window.value[0] + IOMMU_DDTP + 4, 0);
	for (unsigned i = 0; i < IOMMU_LOOKS && (device_read32(window.value[0] + IOMMU_DDTP) & IOMMU_DDTP_BUSY); i++)
		;
	log_line("machine: the IOMMU lets everything pass: a driver's device reaches all memory");
}
