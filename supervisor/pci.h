// PCI functions of bus 0 that a driver of ours can use: found, given addresses, handed to domains, switched off.
//
// The supervisor alone writes configuration space and MSI-X tables. A driver sees of its function: device window 0 =
// its page of configuration space (for reading), windows 1.. = its memory BARs in ascending order (runtime/pci_config.h).
//
// Every step may be repeated, and a new incarnation of the supervisor finds all it needs in the functions themselves:
// pci_enumerate leaves a function that decodes memory as it is, since its driver may be running.
#pragma once
#include "abi/error.h"
#include "abi/manifest.h"
#include "supervisor/machine.h"

struct pci_device;

// Maps the configuration space of bus 0 into the supervisor, finds the functions, assigns BARs. Says in the log what
// it found and what it cannot use. ERR_NOT_FOUND: the machine has no PCI host. Other errors: of device_map.
enum error pci_enumerate(const struct machine_pci *pci);

// The index-th function of that class, in bus order; 0: there is none.
struct pci_device *pci_device_find(enum manifest_device class, unsigned index);

// For a domain that was just created (not for a restarted one: its windows stay): maps the windows, binds the interrupt,
// writes the MSI-X table. The function stays switched off.
enum error pci_device_attach(struct pci_device *device, uint64_t domain);
// When the kernel gave the domain another interrupt file or identity: binds and writes the MSI-X table again.
enum error pci_device_rebind(struct pci_device *device, uint64_t domain);
// Before the domain's first start and each restart: MSI-X on, bus master on.
enum error pci_device_start(struct pci_device *device);
// After the domain stopped and before its memory is used again: bus master off, interrupts masked, virtio reset
// (VIRTIO 1.2, 4.1.4.3.1), and waits, 100 ms at most, until the device says that it is done: no DMA is under way then.
// ERR_TIMEOUT: it is not; the memory must not be used again.
enum error pci_device_quiesce(struct pci_device *device);
