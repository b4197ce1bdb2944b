// PCI: enumeration, addresses, attach, quiesce and start, against a configuration space played by the test.
#include "fake_host.h"
#include "abi/layout.h"
#include "runtime/pci_config.h"
#include "supervisor/pci.h"

#define ECAM 0x30000000ull
#define BUS_SEEN 0x20000000ull // where the supervisor sees configuration space
#define FUNCTIONS 256
#define DOMAIN 0x1234

struct function {
	uint8_t space[256];
	uint32_t bar_mask[6]; // bits that can be written
	uint8_t memory[0x8000]; // behind BAR 1 (0..0xfff) and BAR 4 (0x4000..)
	bool hangs;             // never ends its reset
	unsigned resets;
};

static struct function *functions[FUNCTIONS];
static struct machine_pci host;
static struct mapped {
	uint64_t domain, physical, bytes, gpa;
} maps[64];
static unsigned map_count, bind_count;
static enum error map_error;
static uint64_t msi_address = 0x28003000;

static struct function *function_at(unsigned n)
{
	if (functions[n] == 0)
		functions[n] = calloc(1, sizeof(struct function));
	return functions[n];
}

static void put(struct function *f, unsigned at, unsigned bytes, uint32_t value)
{
	memcpy(&f->space[at], &value, bytes);
}

static uint32_t get(const struct function *f, unsigned at, unsigned bytes)
{
	uint32_t value = 0;

	memcpy(&value, &f->space[at], bytes);
	return value;
}

static void virtio_capability(struct function *f, unsigned at, unsigned next, uint8_t type, uint32_t offset)
{
	put(f, at, 1, 0x09);
	put(f, at + 1, 1, next);
	put(f, at + 3, 1, type);
	put(f, at + 4, 1, 4);
	put(f, at + 8, 4, offset);
	put(f, at + 12, 4, 0x1000);
}

// As QEMU makes a virtio device: I/O in BAR 0, MSI-X in BAR 1, structures in 64-bit BAR 4.
static struct function *virtio(unsigned n, uint16_t id)
{
	struct function *f = function_at(n);

	put(f, PCI_VENDOR, 2, 0x1af4);
	put(f, PCI_DEVICE, 2, id);
	put(f, PCI_STATUS, 2, PCI_STATUS_CAPABILITIES);
	put(f, PCI_BAR0, 4, 1);
	put(f, PCI_BAR0 + 16, 4, 0xc);
	f->bar_mask[0] = 0xffffff80;
	f->bar_mask[1] = 0xfffff000;
	f->bar_mask[4] = 0xffffc000;
	f->bar_mask[5] = 0xffffffff;
	put(f, PCI_CAPABILITIES, 1, 0x98);
	put(f, 0x98, 1, 0x11);
	put(f, 0x99, 1, 0x40);
	put(f, 0x9a, 2, 1); // two entries
	put(f, 0x9c, 4, 1);
	virtio_capability(f, 0x40, 0x50, VIRTIO_COMMON, 0);
	virtio_capability(f, 0x50, 0x60, VIRTIO_ISR, 0x1000);
	virtio_capability(f, 0x60, 0x70, VIRTIO_DEVICE, 0x2000);
	virtio_capability(f, 0x70, 0, VIRTIO_NOTIFY, 0x3000);
	return f;
}

static uint64_t bar_base(const struct function *f, unsigned bar)
{
	uint64_t base = get(f, PCI_BAR0 + 4 * bar, 4) & ~0xfull;

	return bar == 4 ? base | (uint64_t)get(f, PCI_BAR0 + 20, 4) << 32 : base;
}

// The byte of device memory at a guest-physical address of the supervisor.
static uint8_t *memory_at(uint64_t address, struct function **owner)
{
	for (unsigned i = 0; i < map_count; i++) {
		if (maps[i].domain != 0 || address < maps[i].gpa || address >= maps[i].gpa + maps[i].bytes)
			continue;
		uint64_t physical = maps[i].physical + (address - maps[i].gpa);
		uint64_t bus = physical - host.low.base + host.low.bus;

		for (unsigned n = 0; n < FUNCTIONS; n++) {
			struct function *f = functions[n];

			*owner = f;
			if (f == 0 || !(get(f, PCI_COMMAND, 2) & PCI_COMMAND_MEMORY))
				continue;
			if (bar_base(f, 1) != 0 && bus - bar_base(f, 1) < 0x1000)
				return &f->memory[bus - bar_base(f, 1)];
			if (bar_base(f, 4) != 0 && bus - bar_base(f, 4) < 0x4000)
				return &f->memory[0x4000 + (bus - bar_base(f, 4))];
		}
	}
	fail_msg("no device at %#llx", (unsigned long long)address);
	return 0;
}

static uint64_t space_read(uint64_t address, unsigned bytes)
{
	struct function *f;
	uint64_t value = 0;

	if (address >= BUS_SEEN && address < BUS_SEEN + 0x100000) {
		f = functions[(address - BUS_SEEN) / PCI_CONFIG_SIZE];
		return f == 0 ? ~0u >> (32 - 8 * bytes) : get(f, address % PCI_CONFIG_SIZE, bytes);
	}
	memcpy(&value, memory_at(address, &f), bytes);
	return value;
}

static void config_write(struct function *f, unsigned at, unsigned bytes, uint64_t value)
{
	if (at >= PCI_BAR0 && at < PCI_BAR0 + 24) {
		uint32_t mask = f->bar_mask[(at - PCI_BAR0) / 4];

		assert_int_equal(bytes, 4);
		assert_false(get(f, PCI_COMMAND, 2) & PCI_COMMAND_MEMORY); // a living BAR is not touched
		put(f, at, 4, (get(f, at, 4) & ~mask) | ((uint32_t)value & mask));
	} else {
		assert_true(at == PCI_COMMAND || at == 0x9a);
		put(f, at, bytes, (uint32_t)value);
	}
}

static void space_write(uint64_t address, unsigned bytes, uint64_t value)
{
	struct function *f;
	uint8_t *memory;

	if (address >= BUS_SEEN && address < BUS_SEEN + 0x100000) {
		f = functions[(address - BUS_SEEN) / PCI_CONFIG_SIZE];
		assert_non_null(f);
		config_write(f, address % PCI_CONFIG_SIZE, bytes, value);
		return;
	}
	memory = memory_at(address, &f);
	if (memory == &f->memory[0x4014]) {
		assert_false(get(f, PCI_COMMAND, 2) & PCI_COMMAND_MASTER); // first it must stop writing
		f->resets++;
		if (f->hangs)
			return;
	}
	memcpy(memory, &value, bytes);
}

static struct kernel_result pci_call(enum call number, const uint64_t a[6])
{
	struct kernel_result result = {ERR_OK, {0}};

	if (number == CALL_interrupt_bind) {
		assert_int_equal(a[0], DOMAIN);
		assert_int_equal(a[1], 0);
		assert_int_equal(a[2], 0);
		bind_count++;
		return (struct kernel_result){ERR_OK, {2, msi_address, 2}};
	}
	assert_int_equal(number, CALL_device_map);
	assert_int_equal(a[1] % PAGE_SIZE, 0);
	result.error = map_error;
	result.value[0] = map_count == 0 ? BUS_SEEN : BUS_SEEN + 0x100000ull * (map_count + 1);
	maps[map_count++] = (struct mapped){a[0], a[1], a[2], result.value[0]};
	return result;
}

static int setup(void **state)
{
	(void)state;
	fake_reset();
	for (unsigned n = 0; n < FUNCTIONS; n++) {
		free(functions[n]);
		functions[n] = 0;
	}
	map_count = bind_count = 0;
	map_error = ERR_OK;
	host = (struct machine_pci){
		.ecam = ECAM,
		.ecam_bytes = 0x10000000,
		.bus_last = 255,
		.low = {.base = 0x40000000, .bytes = 0x40000000, .bus = 0x40000000},
		.high = {.base = 0x400000000, .bytes = 0x400000000, .bus = 0x400000000},
	};
	fake_read = space_read;
	fake_write = space_write;
	fake_call = pci_call;
	return 0;
}

static unsigned devices_found(void)
{
	static const enum manifest_device classes[] = {DEVICE_BLOCK, DEVICE_NETWORK, DEVICE_RANDOM};
	unsigned n = 0;
	for (unsigned i = 0; i < 3; i++)
		for (unsigned k = 0; pci_device_find(classes[i], k); k++)
			n++;
	return n;
}

static void finds_devices_by_class(void **state)
{
	(void)state;
	function_at(0);
	put(functions[0], PCI_VENDOR, 2, 0x1b36); // the host bridge
	virtio(8, 0x1001);
	virtio(16, 0x1041);
	virtio(24, 0x1042);
	virtio(32, 0x1044);
	virtio(40, 0x1003); // a console: not ours
	assert_int_equal(pci_enumerate(&host), ERR_OK);
	assert_int_equal(devices_found(), 4);
	assert_true(pci_device_find(DEVICE_BLOCK, 0) < pci_device_find(DEVICE_NETWORK, 0)); // bus order
	assert_true(pci_device_find(DEVICE_NETWORK, 0) < pci_device_find(DEVICE_BLOCK, 1));
	assert_true(pci_device_find(DEVICE_BLOCK, 1) < pci_device_find(DEVICE_RANDOM, 0));
	assert_null(pci_device_find(DEVICE_BLOCK, 2));
	assert_null(pci_device_find(DEVICE_UART, 0));
	assert_int_equal(fake_log_lines, 0);
}

static void finds_further_functions(void **state)
{
	(void)state;
	virtio(8, 0x1042)->space[PCI_HEADER_TYPE] = 0x80;
	virtio(9, 0x1042);
	virtio(17, 0x1042); // without a function 0: is not there
	assert_int_equal(pci_enumerate(&host), ERR_OK);
	assert_int_equal(devices_found(), 2);
}

static bool bars_apart(const struct function *a, unsigned bar_a, const struct function *b, unsigned bar_b)
{
	uint64_t x = bar_base(a, bar_a), y = bar_base(b, bar_b);

	return x + 0x4000 <= y || y + 0x4000 <= x;
}

static void assigns_addresses_in_the_window(void **state)
{
	(void)state;
	for (unsigned slot = 0; slot < 32; slot++)
		virtio(slot * 8, 0x1042);
	assert_int_equal(pci_enumerate(&host), ERR_OK);
	assert_int_equal(devices_found(), 32);
	for (unsigned slot = 0; slot < 32; slot++) {
		struct function *f = functions[slot * 8];

		assert_true(get(f, PCI_COMMAND, 2) == (PCI_COMMAND_MEMORY | PCI_COMMAND_NO_INTX));
		assert_int_equal(get(f, PCI_BAR0, 4), 1); // I/O stays without address
		assert_int_equal(bar_base(f, 4) % 0x4000, 0);
		assert_true(bar_base(f, 1) >= 0x40000000 && bar_base(f, 4) + 0x4000 <= 0x80000000);
		assert_true(bar_base(f, 1) + 0x1000 <= bar_base(f, 4) || bar_base(f, 4) + 0x4000 <= bar_base(f, 1));
		for (unsigned other = 0; other < slot; other++)
			assert_true(bars_apart(f, 4, functions[other * 8], 4) && bars_apart(f, 1, functions[other * 8], 4) &&
				    bars_apart(f, 4, functions[other * 8], 1) && bars_apart(f, 1, functions[other * 8], 1));
	}
}

static void windows_that_do_not_start_aligned(void **state)
{
	(void)state;
	host.low = (struct machine_window){.base = 0x40003000, .bytes = 0x10000000, .bus = 0x80003000};
	struct function *f = virtio(8, 0x1042);

	assert_int_equal(pci_enumerate(&host), ERR_OK);
	assert_int_equal(bar_base(f, 4) % 0x4000, 0);
	assert_true(bar_base(f, 1) >= 0x80003000 && bar_base(f, 4) + 0x4000 <= 0x90003000);
	assert_int_equal(pci_device_attach(pci_device_find(DEVICE_BLOCK, 0), DOMAIN), ERR_OK);
	assert_int_equal(maps[2].physical, bar_base(f, 1) - 0x40000000); // bus to physical
}

static void a_wide_bar_goes_high_when_low_is_full(void **state)
{
	(void)state;
	struct function *f = virtio(8, 0x1042);

	f->bar_mask[4] = 0xfe000000; // 32 MiB
	assert_int_equal(pci_enumerate(&host), ERR_OK);
	assert_int_equal(bar_base(f, 4) >> 32, 4);
	assert_true(bar_base(f, 1) < 1ull << 32);
	assert_int_equal(devices_found(), 1);
}

static void no_room_is_said(void **state)
{
	(void)state;
	virtio(8, 0x1042)->bar_mask[1] = 0xf8000000;
	assert_int_equal(pci_enumerate(&host), ERR_OK);
	assert_int_equal(devices_found(), 0);
	assert_string_equal(fake_log, "pci: 00:01.0: BAR 1 of 0x8000000 bytes does not fit into the host's window");
	setup(0);
	virtio(8, 0x1042);
	host.low.bytes = host.high.bytes = 0x10000;
	assert_int_equal(pci_enumerate(&host), ERR_OK);
	assert_int_equal(devices_found(), 0);
}

static void unusable_devices_are_said(void **state)
{
	(void)state;
	put(virtio(8, 0x1001), 0x99, 1, 0); // MSI-X is the last capability
	assert_int_equal(pci_enumerate(&host), ERR_OK);
	assert_string_equal(fake_log, "pci: 00:01.0 is a virtio device without the modern interface: not usable");
	setup(0);
	put(virtio(8, 0x1042), PCI_CAPABILITIES, 1, 0x40); // MSI-X is left out
	assert_int_equal(pci_enumerate(&host), ERR_OK);
	assert_string_equal(fake_log, "pci: 00:01.0 has no MSI-X: not usable");
	setup(0);
	put(virtio(8, 0x1042), 0x48, 4, 0x3ffffffc); // common configuration far outside
	assert_int_equal(pci_enumerate(&host), ERR_OK);
	assert_int_equal(devices_found(), 0);
	setup(0);
	put(virtio(8, 0x1042), 0x71, 1, 0x40); // capabilities in a circle: found all the same, and it ends
	assert_int_equal(pci_enumerate(&host), ERR_OK);
	assert_int_equal(devices_found(), 1);
}

static void no_host_and_no_mapping(void **state)
{
	(void)state;
	map_error = ERR_QUOTA;
	assert_int_equal(pci_enumerate(&host), ERR_QUOTA);
	host.ecam_bytes = 0;
	assert_int_equal(pci_enumerate(&host), ERR_NOT_FOUND);
}

static void attach_in_the_promised_order(void **state)
{
	struct pci_device *device;
	struct function *f = virtio(8, 0x1042);
	uint32_t entry[8];

	(void)state;
	pci_enumerate(&host);
	device = pci_device_find(DEVICE_BLOCK, 0);
	assert_int_equal(pci_device_attach(device, DOMAIN), ERR_OK);
	assert_int_equal(map_count, 5); // bus; three for the driver; MSI-X for us
	assert_true(maps[1].domain == DOMAIN && maps[1].physical == ECAM + 8 * 0x1000 && maps[1].bytes == 0x1000);
	assert_true(maps[2].domain == DOMAIN && maps[2].physical == bar_base(f, 1) && maps[2].bytes == 0x1000);
	assert_true(maps[3].domain == DOMAIN && maps[3].physical == bar_base(f, 4) && maps[3].bytes == 0x4000);
	assert_true(maps[4].domain == 0 && maps[4].physical == bar_base(f, 1));
	memcpy(entry, f->memory, sizeof(entry));
	assert_true(entry[0] == 0x28003000 && entry[1] == 0 && entry[2] == 2 && entry[3] == 0);
	assert_int_equal(entry[7], 1); // the second one is masked
	assert_int_equal(get(f, 0x9a, 2), 1); // still off
	assert_false(get(f, PCI_COMMAND, 2) & PCI_COMMAND_MASTER);
}

static void the_driver_finds_its_windows(void **state)
{
	struct pci_config config;

	(void)state;
	virtio(8, 0x1042);
	pci_enumerate(&host);
	assert_true(pci_config_read(BUS_SEEN + 8 * 0x1000, &config));
	assert_int_equal(pci_config_window(&config, 0), 0);
	assert_int_equal(pci_config_window(&config, 1), 1);
	assert_int_equal(pci_config_window(&config, 4), 2);
	assert_int_equal(pci_config_window(&config, 5), 0);
	assert_int_equal(pci_config_window(&config, 6), 0);
	assert_int_equal(config.msix_entries, 2);
}

static void start_and_quiesce(void **state)
{
	struct function *f = virtio(8, 0x1042);
	struct pci_device *device;

	(void)state;
	pci_enumerate(&host);
	device = pci_device_find(DEVICE_BLOCK, 0);
	pci_device_attach(device, DOMAIN);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(pci_device_start(device), ERR_OK);
		assert_int_equal(pci_device_start(device), ERR_OK);
		assert_int_equal(get(f, 0x9a, 2), 0x8001);
		assert_int_equal(get(f, PCI_COMMAND, 2), 0x0406);
		f->memory[0x4014] = 15;
		assert_int_equal(pci_device_quiesce(device), ERR_OK);
		assert_int_equal(f->memory[0x4014], 0);
		assert_int_equal(pci_device_quiesce(device), ERR_OK);
		assert_int_equal(get(f, 0x9a, 2), 0xc001);
		assert_int_equal(get(f, PCI_COMMAND, 2), 0x0402);
	}
	assert_int_equal(f->resets, 6);
	assert_int_equal(map_count, 6); // BAR 4 once
}

static void a_device_that_does_not_reset(void **state)
{
	struct function *f = virtio(8, 0x1042);

	(void)state;
	pci_enumerate(&host);
	f->hangs = true;
	f->memory[0x4014] = 15;
	assert_int_equal(pci_device_quiesce(pci_device_find(DEVICE_BLOCK, 0)), ERR_TIMEOUT);
	assert_string_equal(fake_log,
			    "pci: 00:01.0 does not end its reset: its driver's memory cannot be used again");
}

// A new incarnation of the supervisor finds a running device, touches no BAR, and can stop and start it.
static void a_running_device_is_adopted(void **state)
{
	struct function *f = virtio(8, 0x1042);
	uint64_t base;

	(void)state;
	pci_enumerate(&host);
	pci_device_attach(pci_device_find(DEVICE_BLOCK, 0), DOMAIN);
	pci_device_start(pci_device_find(DEVICE_BLOCK, 0));
	base = bar_base(f, 4);
	map_count = 0;
	f->memory[0x4014] = 15;
	assert_int_equal(pci_enumerate(&host), ERR_OK); // config_write fails when a BAR is touched
	assert_int_equal(devices_found(), 1);
	assert_int_equal(bar_base(f, 4), base);
	assert_int_equal(f->memory[0x4014], 15);
	assert_int_equal(get(f, PCI_COMMAND, 2), 0x0406);
	assert_int_equal(pci_device_quiesce(pci_device_find(DEVICE_BLOCK, 0)), ERR_OK);
	msi_address = 0x28007000;
	assert_int_equal(pci_device_rebind(pci_device_find(DEVICE_BLOCK, 0), DOMAIN), ERR_OK);
	msi_address = 0x28003000;
	assert_int_equal(f->memory[1], 0x70);
	assert_int_equal(pci_device_start(pci_device_find(DEVICE_BLOCK, 0)), ERR_OK);
	assert_int_equal(get(f, 0x9a, 2), 0x8001);
}

// Firmware had it somewhere that the host does not pass on: it gets new addresses.
static void addresses_outside_are_replaced(void **state)
{
	struct function *f = virtio(8, 0x1042);

	(void)state;
	put(f, PCI_BAR0 + 4, 4, 0x10000000);
	put(f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_int_equal(pci_enumerate(&host), ERR_OK);
	assert_int_equal(devices_found(), 1);
	assert_true(bar_base(f, 1) >= 0x40000000);
	assert_false(get(f, PCI_COMMAND, 2) & PCI_COMMAND_MASTER);
}

static int teardown(void **state)
{
	setup(state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(finds_devices_by_class, setup),
		cmocka_unit_test_setup(finds_further_functions, setup),
		cmocka_unit_test_setup(assigns_addresses_in_the_window, setup),
		cmocka_unit_test_setup(windows_that_do_not_start_aligned, setup),
		cmocka_unit_test_setup(a_wide_bar_goes_high_when_low_is_full, setup),
		cmocka_unit_test_setup(no_room_is_said, setup),
		cmocka_unit_test_setup(unusable_devices_are_said, setup),
		cmocka_unit_test_setup(no_host_and_no_mapping, setup),
		cmocka_unit_test_setup(attach_in_the_promised_order, setup),
		cmocka_unit_test_setup(the_driver_finds_its_windows, setup),
		cmocka_unit_test_setup(start_and_quiesce, setup),
		cmocka_unit_test_setup(a_device_that_does_not_reset, setup),
		cmocka_unit_test_setup(a_running_device_is_adopted, setup),
		cmocka_unit_test_setup_teardown(addresses_outside_are_replaced, setup, teardown),
	};

	return cmocka_run_group_tests(tests, 0, 0);
}
