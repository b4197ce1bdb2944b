// A PCI function's configuration space, read. Owns nothing and keeps nothing; must never write to the device. Every loop
// is bounded by the size of the space, since the device's own pointers lead it.
#include "runtime/pci_config.h"
#include "runtime/device.h"
#include <string.h>

#define CAPABILITY_FIRST 0x40u
#define CAPABILITY_LIMIT 0x100u // capabilities lie in the first 256 bytes
#define CAPABILITY_MSIX 0x11
#define CAPABILITY_VENDOR 0x09

static void bars_read(uint64_t address, struct pci_config *config)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		struct pci_bar *bar = &config->bar[i];
		uint32_t low = device_read32(address + PCI_BAR0 + 4 * i);

		if (low == 0 || (low & PCI_BAR_IO))
			continue;
		bar->wide = (low & PCI_BAR_TYPE) == PCI_BAR_WIDE && i + 1 < PCI_BARS;
		bar->base = low & ~0xfu;
		if (bar->wide)
			bar->base |= (uint64_t)device_read32(address + PCI_BAR0 + 4 * (i + 1)) << 32;
		bar->present = bar->base != 0;
		i += bar->wide;
	}
}

static void msix_read(uint64_t address, uint16_t capability, struct pci_config *config)
{
	uint32_t table = device_read32(address + capability + 4);

	config->msix = capability;
	config->msix_entries = (device_read16(address + capability + PCI_MSIX_CONTROL) & 0x7ff) + 1;
	config->msix_table = (struct pci_place){
		.present = (table & 7) < PCI_BARS,
		.bar = table & 7,
		.offset = table & ~7u,
		.length = config->msix_entries * PCI_MSIX_ENTRY_SIZE,
	};
}

// VIRTIO 1.2, 4.1.4: the first capability of each type that the driver can use counts.
static void virtio_read(uint64_t address, uint16_t capability, struct pci_config *config)
{
	uint8_t type = device_read8(address + capability + 3);
	uint8_t bar = device_read8(address + capability + 4);
	struct pci_place *place = &config->virtio[type < VIRTIO_STRUCTURES ? type : 0];

	if (type == 0 || type >= VIRTIO_STRUCTURES || bar >= PCI_BARS || place->present)
		return;
	*place = (struct pci_place){
		.present = true,
		.bar = bar,
		.offset = device_read32(address + capability + 8),
		.length = device_read32(address + capability + 12),
	};
	if (type == VIRTIO_NOTIFY)
		config->notify_multiplier = device_read32(address + capability + 16);
}

static void capabilities_read(uint64_t address, struct pci_config *config)
{
	uint16_t at = device_read8(address + PCI_CAPABILITIES) & ~3u;

	if (!(device_read16(address + PCI_STATUS) & PCI_STATUS_CAPABILITIES))
		return;
	for (unsigned n = 0; n < (CAPABILITY_LIMIT - CAPABILITY_FIRST) / 4 && at >= CAPABILITY_FIRST; n++) {
		uint8_t id = device_read8(address + at);

		if (id == CAPABILITY_MSIX && config->msix == 0)
			msix_read(address, at, config);
		else if (id == CAPABILITY_VENDOR && config->vendor == PCI_VENDOR_VIRTIO)
			virtio_read(address, at, config);
		at = device_read8(address + at + 1) & ~3u;
	}
}

bool pci_config_read(uint64_t address, struct pci_config *config)
{
	memset(config, 0, sizeof(*config));
	config->vendor = device_read16(address + PCI_VENDOR);
	config->device = device_read16(address + PCI_DEVICE);
	config->header_type = device_read8(address + PCI_HEADER_TYPE);
	if (config->vendor == 0xffff || config->vendor == 0)
		return false;
	if ((config->header_type & ~PCI_HEADER_MANY) != 0)
		return true; // a bridge has other registers there
	bars_read(address, config);
	capabilities_read(address, config);
	return true;
}

unsigned pci_config_window(const struct pci_config *config, unsigned bar)
{
	unsigned window = 1;

	if (bar >= PCI_BARS || !config->bar[bar].present)
		return 0;
	for (unsigned i = 0; i < bar; i++)
		window += config->bar[i].present;
	return window;
}

bool pci_place_fits(const struct pci_place *place, uint64_t bytes, uint32_t least)
{
	return place->present && place->offset % 4 == 0 && place->length >= least && place->offset < bytes &&
	       place->length <= bytes - place->offset;
}
