// Reading the device tree: a tree like QEMU's, and one bad property at a time with the sentence that it gets.
#include "fake_host.h"
#include "supervisor/machine.h"
#include <libfdt.h>

#define CELLS(...) (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / 4

static uint8_t tree[4096];

static void cells_put(const char *name, const uint32_t *cells, size_t count)
{
	fdt32_t big[32];

	for (size_t i = 0; i < count; i++)
		big[i] = cpu_to_fdt32(cells[i]);
	assert_int_equal(fdt_property(tree, name, big, (int)(4 * count)), 0);
}

// What a test changes: a property of a node is left out, or replaced.
static const char *other_node, *other_name;
static const uint32_t *other_cells;
static size_t other_count;

static void property(const char *node, const char *name, const uint32_t *cells, size_t count)
{
	if (other_node != 0 && strcmp(node, other_node) == 0 && strcmp(name, other_name) == 0) {
		cells = other_cells;
		count = other_count;
	}
	if (cells != 0)
		cells_put(name, cells, count);
}

static void uart_make(void)
{
	fdt_begin_node(tree, "serial@10000000");
	property("uart", "interrupts", CELLS(10, 4));
	property("uart", "reg", CELLS(0, 0x10000000, 0, 0x100));
	property("uart", "clock-frequency", CELLS(3686400));
	fdt_property_string(tree, "compatible", other_node && !strcmp(other_node, "no uart") ? "x" : "ns16550a");
	fdt_end_node(tree);
}

static void pci_make(void)
{
	fdt_begin_node(tree, "pci@30000000");
	property("pci", "ranges",
		 CELLS(0x1000000, 0, 0, 0, 0x3000000, 0, 0x10000, 0x2000000, 0, 0x40000000, 0, 0x40000000, 0, 0x40000000,
		       0x3000000, 4, 0, 4, 0, 4, 0));
	property("pci", "reg", CELLS(0, 0x30000000, 0, 0x10000000));
	property("pci", "bus-range", CELLS(0, 0xff));
	property("pci", "#size-cells", CELLS(2));
	property("pci", "#address-cells", CELLS(3));
	fdt_property_string(tree, "compatible",
			    other_node && !strcmp(other_node, "no pci") ? "x" : "pci-host-ecam-generic");
	fdt_end_node(tree);
}

static enum error make_and_read(struct machine *machine)
{
	fake_reset();
	assert_int_equal(fdt_create(tree, sizeof(tree)), 0);
	fdt_finish_reservemap(tree);
	fdt_begin_node(tree, "");
	cells_put("#address-cells", CELLS(2));
	cells_put("#size-cells", CELLS(2));
	fdt_begin_node(tree, "soc");
	property("soc", "#address-cells", CELLS(2));
	property("soc", "#size-cells", CELLS(2));
	uart_make();
	pci_make();
	fdt_end_node(tree);
	fdt_end_node(tree);
	assert_int_equal(fdt_finish(tree), 0);
	return machine_read(tree, sizeof(tree), machine);
}

static void change(const char *node, const char *name, const uint32_t *cells, size_t count)
{
	other_node = node;
	other_name = name;
	other_cells = cells;
	other_count = count;
}

static void everything_is_found(void **state)
{
	struct machine m;

	(void)state;
	change(0, 0, 0, 0);
	assert_int_equal(make_and_read(&m), ERR_OK);
	assert_int_equal(fake_log_lines, 0);
	assert_true(m.uart.base == 0x10000000 && m.uart.bytes == 0x100 && m.uart.source == 10);
	assert_int_equal(m.uart.clock, 3686400);
	assert_true(m.pci.ecam == 0x30000000 && m.pci.ecam_bytes == 0x10000000);
	assert_true(m.pci.bus_first == 0 && m.pci.bus_last == 255);
	assert_true(m.pci.low.base == 0x40000000 && m.pci.low.bytes == 0x40000000 && m.pci.low.bus == 0x40000000);
	assert_true(m.pci.high.base == 0x400000000 && m.pci.high.bytes == 0x400000000);
}

// The UART goes, the PCI host stays.
static void uart_absent(const char *sentence)
{
	struct machine m;

	assert_int_equal(make_and_read(&m), ERR_OK);
	assert_string_equal(fake_log, sentence);
	assert_int_equal(fake_log_lines, 1);
	assert_true(m.uart.bytes == 0 && m.pci.ecam_bytes != 0);
	assert_int_equal(machine_uart_attach(&m, 5), ERR_NOT_FOUND);
}

static void bad_uarts(void **state)
{
	(void)state;
	change("no uart", "", 0, 0);
	uart_absent("machine: the device tree names no UART (ns16550a): there is no console");
	change("uart", "reg", 0, 0);
	uart_absent("machine: the UART has no 'reg'");
	change("uart", "reg", CELLS(0, 0x10000000, 0));
	uart_absent("machine: 'reg' of the UART has 12 bytes, 16 are needed");
	change("uart", "reg", CELLS(0, 0x10000000, 0, 4));
	uart_absent("machine: the UART is said to be at 0x10000000 with 0x4 bytes, which cannot be");
	change("uart", "reg", CELLS(0xffffffff, 0xffffff00, 0, 0x1000));
	uart_absent("machine: the UART is said to be at 0xffffffffffffff00 with 0x1000 bytes, which cannot be");
	change("uart", "interrupts", 0, 0);
	uart_absent("machine: the UART has no 'interrupts': there is no console");
}

static void pci_absent(const char *sentence)
{
	struct machine m;

	assert_int_equal(make_and_read(&m), ERR_OK);
	assert_string_equal(fake_log, sentence);
	assert_true(m.uart.bytes != 0 && m.pci.ecam_bytes == 0);
}

static void bad_pci_hosts(void **state)
{
	(void)state;
	change("no pci", "", 0, 0);
	pci_absent("machine: the device tree names no PCI host (pci-host-ecam-generic): there are no disks");
	change("pci", "reg", 0, 0);
	pci_absent("machine: the PCI host has no 'reg'");
	change("pci", "reg", CELLS(0, 0x30000000, 0, 0x1000));
	pci_absent("machine: the PCI host is said to be at 0x30000000 with 0x1000 bytes, which cannot be");
	change("pci", "ranges", 0, 0);
	pci_absent("machine: 'ranges' of the PCI host has 0 bytes, not a multiple of 28");
	change("pci", "ranges", CELLS(0x2000000, 0, 0x40000000, 0, 0x40000000, 0));
	pci_absent("machine: 'ranges' of the PCI host has 24 bytes, not a multiple of 28");
	change("pci", "ranges", CELLS(0x1000000, 0, 0, 0, 0x3000000, 0, 0x10000));
	pci_absent("machine: the PCI host has no memory window");
	change("pci", "#address-cells", CELLS(2));
	pci_absent("machine: the PCI host has 2 address and 2 size cells instead of 3 and 2");
}

static void cells_of_the_bus(void **state)
{
	struct machine m;

	(void)state;
	change("soc", "#size-cells", CELLS(3));
	assert_int_equal(make_and_read(&m), ERR_OK);
	assert_string_equal(fake_log, "machine: the bus of the PCI host has 2 address and 3 size cells; 1 or 2 are understood");
	assert_true(m.uart.bytes == 0 && m.pci.ecam_bytes == 0);
}

static void windows_are_checked(void **state)
{
	struct machine m;

	(void)state;
	// a 32-bit window that leaves 32 bits counts as a high one; an empty one is dropped
	change("pci", "ranges", CELLS(0x2000000, 0, 0xf0000000, 0, 0xf0000000, 0, 0x20000000, 0x3000000, 0, 0, 0, 0, 0, 0));
	assert_int_equal(make_and_read(&m), ERR_OK);
	assert_true(m.pci.low.bytes == 0 && m.pci.high.base == 0xf0000000);
	assert_string_equal(fake_log, "machine: the PCI window is said to be at 0 with 0 bytes, which cannot be");
	change("pci", "bus-range", CELLS(3));
	assert_int_equal(make_and_read(&m), ERR_OK);
	assert_int_equal(m.pci.bus_first, 0);
}

static void damaged_trees(void **state)
{
	struct machine m;

	(void)state;
	change(0, 0, 0, 0);
	assert_int_equal(make_and_read(&m), ERR_OK);
	assert_int_equal(machine_read(tree, 47, &m), ERR_CORRUPT);
	assert_string_equal(fake_log, "machine: the device tree (47 bytes) is damaged: libfdt says FDT_ERR_TRUNCATED");
	assert_int_equal(machine_read(tree, fdt_totalsize(tree) - 1, &m), ERR_CORRUPT);
	tree[0] ^= 1;
	assert_int_equal(machine_read(tree, sizeof(tree), &m), ERR_CORRUPT);
	assert_string_equal(fake_log, "machine: the device tree (4096 bytes) is damaged: libfdt says FDT_ERR_BADMAGIC");
	assert_true(m.uart.bytes == 0 && m.pci.ecam_bytes == 0);
}

// Every byte of the tree inverted once, and random damage: no crash, and what is found is inside reason.
static void damage_anywhere(void **state)
{
	static uint8_t whole[sizeof(tree)];
	struct machine m;

	(void)state;
	change(0, 0, 0, 0);
	make_and_read(&m);
	memcpy(whole, tree, sizeof(tree));
	for (unsigned n = 0; n < 20000; n++) {
		size_t bytes = fdt_totalsize(whole);
		uint8_t *copy = malloc(bytes); // the sanitizer sees its end

		memcpy(copy, whole, bytes);
		for (unsigned i = n < bytes ? 0 : fake_random() % 8; i < 8; i++)
			copy[n < bytes ? n : fake_random() % bytes] = (uint8_t)fake_random();
		machine_read(copy, bytes, &m);
		assert_true(m.uart.bytes == 0 || m.uart.base + m.uart.bytes > m.uart.base);
		assert_true(m.pci.ecam_bytes == 0 || m.pci.low.bytes != 0 || m.pci.high.bytes != 0);
		free(copy);
	}
}

static unsigned calls;

static struct kernel_result uart_call(enum call number, const uint64_t a[6])
{
	struct kernel_result result = {ERR_OK, {0x20000000}};

	calls++;
	assert_int_equal(a[0], 5);
	if (number == CALL_device_map)
		assert_true(a[1] == 0x10000000 && a[2] == 0x100);
	else
		assert_true(number == CALL_interrupt_bind && a[1] == 0 && a[2] == 10);
	return result;
}

static void the_uart_is_attached(void **state)
{
	struct machine m;

	(void)state;
	change(0, 0, 0, 0);
	make_and_read(&m);
	fake_call = uart_call;
	assert_int_equal(machine_uart_attach(&m, 5), ERR_OK);
	assert_int_equal(calls, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_found),	cmocka_unit_test(bad_uarts),
		cmocka_unit_test(bad_pci_hosts),	cmocka_unit_test(cells_of_the_bus),
		cmocka_unit_test(windows_are_checked),	cmocka_unit_test(damaged_trees),
		cmocka_unit_test(damage_anywhere),	cmocka_unit_test(the_uart_is_attached),
	};

	return cmocka_run_group_tests(tests, 0, 0);
}
