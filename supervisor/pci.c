// PCI functions of the first bus: found, given addresses, handed to domains, switched off.
//
// Owns configuration space and MSI-X tables of all functions; nobody else may write them. Must never touch a BAR of a
// function that decodes memory: its driver may be running while this incarnation of the supervisor is new.
// Each function has its own slice of the host's window, found from its number alone, so that addresses need no state
// and are the same for every incarnation. Functions of classes that nobody asks for stay switched off.
// If the supervisor dies here: a function that was being given addresses does not decode memory yet and is done again;
// everything else is a single register write that may be repeated.
#include "supervisor/pci.h"
#include "runtime/device.h"
#include "runtime/pci_config.h"
#include "runtime/runtime.h"
#include <stdio.h>
#include <string.h>

#define DEVICES_MAX 32
#define BUS_FUNCTIONS 256u
#define FUNCTIONS_PER_SLOT 8u
#define RESET_TIMEOUT_US 100000u // blk: QEMU drains its requests meanwhile; more is a broken device

#define VIRTIO_COMMON_STATUS 20 // device_status, VIRTIO 1.2, 4.1.4.3
#define VIRTIO_COMMON_BYTES 56u

struct pci_device {
	char name[8];
	enum manifest_device class;
	uint64_t ecam;            // physical, of its page of configuration space
	uint64_t config;          // the same, where the supervisor sees it
	struct pci_config layout; // as enumerated
	uint64_t bar_base[PCI_BARS];  // physical
	uint64_t bar_bytes[PCI_BARS];
	uint64_t bar_seen[PCI_BARS];  // where the supervisor sees it, 0: not mapped yet
};

static struct pci_device devices[DEVICES_MAX];
static unsigned device_count;

static const struct {
	uint16_t id;
	enum manifest_device class;
} virtio_ids[] = {
	// transitional ids have the modern structures too (VIRTIO 1.2, 4.1.2.1); one without them is refused below
	{0x1000, DEVICE_NETWORK}, {0x1041, DEVICE_NETWORK}, {0x1001, DEVICE_BLOCK},
	{0x1042, DEVICE_BLOCK},   {0x1005, DEVICE_RANDOM},  {0x1044, DEVICE_RANDOM},
};

static enum manifest_device class_of(const struct pci_config *config)
{
	if (config->vendor != PCI_VENDOR_VIRTIO || (config->header_type & ~PCI_HEADER_MANY) != 0)
		return DEVICE_NONE;
	for (unsigned i = 0; i < sizeof(virtio_ids) / sizeof(virtio_ids[0]); i++)
		if (virtio_ids[i].id == config->device)
			return virtio_ids[i].class;
	return DEVICE_NONE;
}

static void command_change(const struct pci_device *device, uint16_t clear, uint16_t set)
{
	uint16_t command = device_read16(device->config + PCI_COMMAND);

	device_write16(device->config + PCI_COMMAND, (uint16_t)((command & ~clear) | set));
}

// Size of a BAR by writing ones to it (PCI 3.0, 6.2.5.1): 0 for none or I/O. Memory decoding must be off.
static uint64_t bar_size(const struct pci_device *device, unsigned bar, bool *wide)
{
	uint64_t at = device->config + PCI_BAR0 + 4 * bar;
	uint32_t low, high = ~0u;

	device_write32(at, ~0u);
	low = device_read32(at);
	device_write32(at, 0);
	*wide = (low & (PCI_BAR_IO | PCI_BAR_TYPE)) == PCI_BAR_WIDE && bar + 1 < PCI_BARS;
	if (low == 0 || (low & PCI_BAR_IO))
		return 0;
	if (*wide) {
		device_write32(at + 4, ~0u);
		high = device_read32(at + 4);
		device_write32(at + 4, 0);
	}
	return ~((uint64_t)high << 32 | (low & ~0xfu)) + 1;
}

// The slice of a window that belongs to the device: base 0 when there is none.
static struct machine_window slice_of(const struct pci_device *device, const struct machine_window *window)
{
	struct machine_window slice = {0};
	uint64_t function = (device->ecam / PCI_CONFIG_SIZE) % BUS_FUNCTIONS;
	uint64_t bytes = PAGE_SIZE, skew;

	while (bytes * 2 * (BUS_FUNCTIONS + 1) <= window->bytes)
		bytes *= 2;
	skew = -window->bus & (bytes - 1);
	if (window->bytes / (BUS_FUNCTIONS + 1) < PAGE_SIZE)
		return slice;
	slice.base = window->base + skew + function * bytes;
	slice.bus = window->bus + skew + function * bytes;
	slice.bytes = bytes;
	return slice;
}

static bool bar_place(struct pci_device *device, unsigned bar, bool wide, uint64_t size, struct machine_window *slice)
{
	uint64_t room = size < PAGE_SIZE ? PAGE_SIZE : size;
	uint64_t skip = -slice->bus & (room - 1);

	if ((room & (room - 1)) != 0 || slice->bytes < skip || slice->bytes - skip < room)
		return false;
	if (!wide && slice->bus >> 32 != 0)
		return false;
	device_write32(device->config + PCI_BAR0 + 4 * bar, (uint32_t)(slice->bus + skip));
	if (wide)
		device_write32(device->config + PCI_BAR0 + 4 * bar + 4, (uint32_t)((slice->bus + skip) >> 32));
	device->bar_base[bar] = slice->base + skip;
	device->bar_bytes[bar] = room;
	slice->base += skip + room;
	slice->bus += skip + room;
	slice->bytes -= skip + room;
	return true;
}

// Gives every memory BAR an address and switches memory decoding on.
static bool device_assign(struct pci_device *device, const struct machine_pci *pci)
{
	struct machine_window low = slice_of(device, &pci->low);
	struct machine_window high = slice_of(device, &pci->high);

	command_change(device, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY | 1, PCI_COMMAND_NO_INTX);
	for (unsigned bar = 0; bar < PCI_BARS; bar++) {
		bool wide;
		uint64_t size = bar_size(device, bar, &wide);

		if (size != 0 && !bar_place(device, bar, wide, size, &low) &&
		    !(wide && bar_place(device, bar, wide, size, &high))) {
			log_line("pci: %s: BAR %u of %#llx bytes does not fit into the host's window", device->name, bar,
				 (unsigned long long)size);
			return false;
		}
		bar += wide;
	}
	command_change(device, 0, PCI_COMMAND_MEMORY);
	return true;
}

static uint64_t physical_of_bus(const struct machine_window *window, uint64_t bus)
{
	return bus >= window->bus && bus - window->bus < window->bytes ? window->base + (bus - window->bus) : 0;
}

// Bytes of a BAR that the structures in it reach, for a function whose BARs must not be probed.
static uint64_t bar_extent(const struct pci_config *layout, unsigned bar)
{
	uint64_t extent = layout->msix_table.present && layout->msix_table.bar == bar
				  ? (uint64_t)layout->msix_table.offset + layout->msix_table.length
				  : 0;

	for (unsigned i = 1; i < VIRTIO_STRUCTURES; i++) {
		const struct pci_place *place = &layout->virtio[i];
		uint64_t end = (uint64_t)place->offset + place->length;

		if (place->present && place->bar == bar && end > extent)
			extent = end;
	}
	return (extent + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
}

// A function that a former incarnation of the supervisor set up: believes its BARs if they lie in the windows.
static bool device_adopt(struct pci_device *device, const struct machine_pci *pci)
{
	struct pci_config *layout = &device->layout;

	if (!(device_read16(device->config + PCI_COMMAND) & PCI_COMMAND_MEMORY))
		return false;
	pci_config_read(device->config, layout);
	for (unsigned bar = 0; bar < PCI_BARS; bar++) {
		uint64_t physical;

		if (!layout->bar[bar].present)
			continue;
		physical = physical_of_bus(&pci->low, layout->bar[bar].base);
		if (physical == 0)
			physical = physical_of_bus(&pci->high, layout->bar[bar].base);
		if (physical == 0 || physical % PAGE_SIZE != 0)
			return false;
		device->bar_base[bar] = physical;
		device->bar_bytes[bar] = bar_extent(layout, bar);
		if (device->bar_bytes[bar] == 0)
			device->bar_bytes[bar] = PAGE_SIZE;
	}
	return true;
}

static bool place_usable(const struct pci_device *device, const struct pci_place *place, uint32_t least)
{
	return place->present && device->layout.bar[place->bar].present &&
	       pci_place_fits(place, device->bar_bytes[place->bar], least);
}

// Can we reset it and point its interrupts somewhere?
static bool device_usable(const struct pci_device *device)
{
	if (!place_usable(device, &device->layout.virtio[VIRTIO_COMMON], VIRTIO_COMMON_BYTES)) {
		log_line("pci: %s is a virtio device without the modern interface: not usable", device->name);
		return false;
	}
	if (device->layout.msix == 0 || !place_usable(device, &device->layout.msix_table, PCI_MSIX_ENTRY_SIZE)) {
		log_line("pci: %s has no MSI-X: not usable", device->name);
		return false;
	}
	return true;
}

static void function_consider(const struct machine_pci *pci, uint64_t config, unsigned function)
{
	struct pci_device *device = &devices[device_count];
	struct pci_config layout;
	enum manifest_device class;

	if (!pci_config_read(config, &layout) || (class = class_of(&layout)) == DEVICE_NONE)
		return;
	if (device_count == DEVICES_MAX) {
		log_line("pci: more than %u usable functions: the rest is ignored", DEVICES_MAX);
		return;
	}
	*device = (struct pci_device){.class = class, .config = config};
	device->ecam = pci->ecam + (uint64_t)function * PCI_CONFIG_SIZE;
	snprintf(device->name, sizeof(device->name), "%02x:%02x.%x", pci->bus_first,
		 function / FUNCTIONS_PER_SLOT % 32, function % FUNCTIONS_PER_SLOT);
	if (!device_adopt(device, pci) && !device_assign(device, pci))
		return;
	pci_config_read(config, &device->layout);
	if (device_usable(device))
		device_count++;
}

static void slot_consider(const struct machine_pci *pci, uint64_t bus, unsigned slot)
{
	uint64_t config = bus + (uint64_t)slot * FUNCTIONS_PER_SLOT * PCI_CONFIG_SIZE;
	unsigned functions = 1;

	if (device_read16(config + PCI_VENDOR) == 0xffff)
		return;
	if (device_read8(config + PCI_HEADER_TYPE) & PCI_HEADER_MANY)
		functions = FUNCTIONS_PER_SLOT;
	for (unsigned i = 0; i < functions; i++)
		function_consider(pci, config + (uint64_t)i * PCI_CONFIG_SIZE, slot * FUNCTIONS_PER_SLOT + i);
}

enum error pci_enumerate(const struct machine_pci *pci)
{
	struct kernel_result bus;

	device_count = 0;
	if (pci->ecam_bytes == 0)
		return ERR_NOT_FOUND;
	bus = kcall(CALL_device_map, 0, pci->ecam, (uint64_t)BUS_FUNCTIONS * PCI_CONFIG_SIZE);
	if (bus.error != ERR_OK)
		return bus.error;
	for (unsigned slot = 0; slot < BUS_FUNCTIONS / FUNCTIONS_PER_SLOT; slot++)
		slot_consider(pci, bus.value[0], slot);
	return ERR_OK;
}

struct pci_device *pci_device_find(enum manifest_device class, unsigned index)
{
	for (unsigned i = 0; i < device_count; i++)
		if (devices[i].class == class && index-- == 0)
			return &devices[i];
	return 0;
}

// Maps a BAR into the supervisor, once.
static enum error bar_see(struct pci_device *device, unsigned bar)
{
	struct kernel_result result;

	if (device->bar_seen[bar] != 0)
		return ERR_OK;
	result = kcall(CALL_device_map, 0, device->bar_base[bar], device->bar_bytes[bar]);
	if (result.error == ERR_OK)
		device->bar_seen[bar] = result.value[0];
	return result.error;
}

static void msix_control(const struct pci_device *device, uint16_t clear, uint16_t set)
{
	uint64_t at = device->config + device->layout.msix + PCI_MSIX_CONTROL;

	device_write16(at, (uint16_t)((device_read16(at) & ~clear) | set));
}

// Entry 0 gets the interrupt, all others are masked (PCI 3.0, 6.8.2.6 to 6.8.2.9).
static void msix_table_write(const struct pci_device *device, uint64_t address, uint32_t data)
{
	const struct pci_place *table = &device->layout.msix_table;
	uint64_t entry = device->bar_seen[table->bar] + table->offset;

	for (unsigned i = 1; i < device->layout.msix_entries; i++)
		device_write32(entry + i * PCI_MSIX_ENTRY_SIZE + 12, PCI_MSIX_ENTRY_MASKED);
	device_write32(entry + 12, PCI_MSIX_ENTRY_MASKED);
	device_write32(entry, (uint32_t)address);
	device_write32(entry + 4, (uint32_t)(address >> 32));
	device_write32(entry + 8, data);
	device_write32(entry + 12, 0);
}

enum error pci_device_rebind(struct pci_device *device, uint64_t domain)
{
	struct kernel_result bound = kcall(CALL_interrupt_bind, domain, 0, 0);
	enum error error = bound.error;

	if (error == ERR_OK)
		error = bar_see(device, device->layout.msix_table.bar);
	if (error == ERR_OK)
		msix_table_write(device, bound.value[1], (uint32_t)bound.value[2]);
	return error;
}

enum error pci_device_attach(struct pci_device *device, uint64_t domain)
{
	struct kernel_result result = kcall(CALL_device_map, domain, device->ecam, PCI_CONFIG_SIZE);

	for (unsigned bar = 0; bar < PCI_BARS && result.error == ERR_OK; bar++)
		if (device->layout.bar[bar].present)
			result = kcall(CALL_device_map, domain, device->bar_base[bar], device->bar_bytes[bar]);
	if (result.error != ERR_OK)
		return result.error;
	return pci_device_rebind(device, domain);
}

enum error pci_device_start(struct pci_device *device)
{
	msix_control(device, PCI_MSIX_MASK, PCI_MSIX_ENABLE);
	command_change(device, 0, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX);
	return ERR_OK;
}

static enum error virtio_reset(struct pci_device *device)
{
	const struct pci_place *common = &device->layout.virtio[VIRTIO_COMMON];
	uint64_t deadline = time_now() + time_ticks_from_us(RESET_TIMEOUT_US);
	enum error error = bar_see(device, common->bar);
	uint64_t status = device->bar_seen[common->bar] + common->offset + VIRTIO_COMMON_STATUS;

	if (error != ERR_OK)
		return error;
	device_write8(status, 0);
	while (device_read8(status) != 0) {
		if (time_now() > deadline) {
			log_line("pci: %s does not end its reset: its driver's memory cannot be used again", device->name);
			return ERR_TIMEOUT;
		}
	}
	return ERR_OK;
}

enum error pci_device_quiesce(struct pci_device *device)
{
	command_change(device, PCI_COMMAND_MASTER, PCI_COMMAND_MEMORY);
	msix_control(device, 0, PCI_MSIX_MASK);
	return virtio_reset(device);
}
