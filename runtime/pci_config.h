// A PCI function's configuration space: what the supervisor and the drivers read out of it. Reading only.
//
// Sources: PCI Local Bus 3.0, 6.1, 6.2.5, 6.8.2 (header, BARs, MSI-X); VIRTIO 1.2, 4.1.4 (virtio structures).
// The space belongs to a device, which may be hostile: the walk through capabilities is bounded and what it yields is
// checked against the window's size by whoever uses it (pci_place_fits).
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define PCI_CONFIG_SIZE 4096u // of one function in ECAM
#define PCI_BARS 6

#define PCI_VENDOR 0x00
#define PCI_DEVICE 0x02
#define PCI_COMMAND 0x04
#define PCI_STATUS 0x06
#define PCI_HEADER_TYPE 0x0e
#define PCI_BAR0 0x10
#define PCI_CAPABILITIES 0x34

#define PCI_COMMAND_MEMORY 0x0002u
#define PCI_COMMAND_MASTER 0x0004u
#define PCI_COMMAND_NO_INTX 0x0400u
#define PCI_STATUS_CAPABILITIES 0x0010u
#define PCI_HEADER_MANY 0x80u // further functions
#define PCI_BAR_IO 0x1u
#define PCI_BAR_TYPE 0x6u
#define PCI_BAR_WIDE 0x4u // type: 64-bit

#define PCI_MSIX_CONTROL 2 // from the capability
#define PCI_MSIX_ENABLE 0x8000u
#define PCI_MSIX_MASK 0x4000u
#define PCI_MSIX_ENTRY_SIZE 16
#define PCI_MSIX_ENTRY_MASKED 1u // in the entry's last word

#define PCI_VENDOR_VIRTIO 0x1af4u

// cfg_type of virtio's vendor capabilities
enum virtio_structure { VIRTIO_COMMON = 1, VIRTIO_NOTIFY, VIRTIO_ISR, VIRTIO_DEVICE, VIRTIO_STRUCTURES };

struct pci_bar {
	bool present; // a memory BAR with an address
	bool wide;    // 64-bit: takes the next register too
	uint64_t base; // on the bus
};

struct pci_place { // bytes inside a BAR
	bool present;
	uint8_t bar;
	uint32_t offset;
	uint32_t length;
};

struct pci_config {
	uint16_t vendor;
	uint16_t device;
	uint8_t header_type;
	struct pci_bar bar[PCI_BARS];
	uint16_t msix; // offset of the capability, 0: none
	uint16_t msix_entries;
	struct pci_place msix_table;
	struct pci_place virtio[VIRTIO_STRUCTURES]; // by enum virtio_structure
	uint32_t notify_multiplier;
};

// Reads the function whose page is mapped at `address`. False: no function there.
bool pci_config_read(uint64_t address, struct pci_config *config);
// The device window of a driver's domain that holds `bar`: 0 is the page of configuration space, then memory BARs in
// ascending order. 0: no such BAR.
unsigned pci_config_window(const struct pci_config *config, unsigned bar);
// Is `place` there, aligned to 4 and inside `bytes`, and has it at least `least` bytes?
bool pci_place_fits(const struct pci_place *place, uint64_t bytes, uint32_t least);
