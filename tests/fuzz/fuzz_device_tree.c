// Fuzzes the reading of device trees and of boot-image headers: whatever comes, a plan within its bounds or a sentence.
//
// Noise seldom looks like a device tree, so most inputs are changes of a right one, made here: three bytes each, where
// and what. An input that starts with 255 is taken as a whole tree; one with 254 as a boot image.
#include "abi/call.h"
#include "boot/plan.h"
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>

#define TREE_ROOM 4096
#define KERNEL_BASE 0x80200000ull

static uint8_t fuzz_tree[TREE_ROOM] __attribute__((aligned(8)));

static void fuzz_must(int error)
{
	if (error < 0)
		abort();
}

static void fuzz_cells(void *fdt, const char *name, const uint32_t *cells, unsigned count)
{
	fdt32_t value[32];
	for (unsigned i = 0; i < count; i++)
		value[i] = cpu_to_fdt32(cells[i]);
	fuzz_must(fdt_property(fdt, name, value, (int)(count * 4)));
}

#define CELLS(fdt, name, ...)                                                                                          \
	fuzz_cells(fdt, name, (const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / 4)

static void fuzz_cpu(void *fdt, uint32_t hart)
{
	fuzz_must(fdt_begin_node(fdt, hart ? "cpu@1" : "cpu@0"));
	fuzz_must(fdt_property_string(fdt, "device_type", "cpu"));
	CELLS(fdt, "reg", hart);
	fuzz_must(fdt_property_string(fdt, "status", "okay"));
	fuzz_must(fdt_property_string(fdt, "riscv,isa", "rv64imafdch_zicsr_sstc"));
	fuzz_must(fdt_begin_node(fdt, "interrupt-controller"));
	CELLS(fdt, "phandle", hart + 1);
	fuzz_must(fdt_end_node(fdt));
	fuzz_must(fdt_end_node(fdt));
}

static void fuzz_soc(void *fdt)
{
	fuzz_must(fdt_begin_node(fdt, "soc"));
	CELLS(fdt, "#address-cells", 2);
	CELLS(fdt, "#size-cells", 2);
	fuzz_must(fdt_begin_node(fdt, "imsics@28000000"));
	fuzz_must(fdt_property_string(fdt, "compatible", "riscv,imsics"));
	CELLS(fdt, "reg", 0, 0x28000000, 0, 0x10000);
	CELLS(fdt, "interrupts-extended", 1, 9, 2, 9);
	CELLS(fdt, "riscv,num-ids", 255);
	CELLS(fdt, "riscv,guest-index-bits", 3);
	CELLS(fdt, "phandle", 9);
	fuzz_must(fdt_end_node(fdt));
	fuzz_must(fdt_begin_node(fdt, "aplic@d000000"));
	fuzz_must(fdt_property_string(fdt, "compatible", "riscv,aplic"));
	CELLS(fdt, "reg", 0, 0x0d000000, 0, 0x8000);
	CELLS(fdt, "riscv,num-sources", 96);
	CELLS(fdt, "msi-parent", 9);
	fuzz_must(fdt_end_node(fdt));
	fuzz_must(fdt_end_node(fdt));
}

static void fuzz_tree_make(void)
{
	void *fdt = fuzz_tree;
	fuzz_must(fdt_create(fdt, TREE_ROOM));
	fuzz_must(fdt_finish_reservemap(fdt));
	fuzz_must(fdt_begin_node(fdt, ""));
	CELLS(fdt, "#address-cells", 2);
	CELLS(fdt, "#size-cells", 2);
	fuzz_must(fdt_begin_node(fdt, "chosen"));
	CELLS(fdt, "linux,initrd-start", 0, 0x84000000);
	CELLS(fdt, "linux,initrd-end", 0, 0x84100000);
	fuzz_must(fdt_end_node(fdt));
	fuzz_must(fdt_begin_node(fdt, "memory@80000000"));
	fuzz_must(fdt_property_string(fdt, "device_type", "memory"));
	CELLS(fdt, "reg", 0, 0x80000000, 0, 0x20000000);
	fuzz_must(fdt_end_node(fdt));
	fuzz_must(fdt_begin_node(fdt, "cpus"));
	CELLS(fdt, "#address-cells", 1);
	CELLS(fdt, "#size-cells", 0);
	CELLS(fdt, "timebase-frequency", 10000000);
	fuzz_cpu(fdt, 0);
	fuzz_cpu(fdt, 1);
	fuzz_must(fdt_end_node(fdt));
	fuzz_soc(fdt);
	fuzz_must(fdt_end_node(fdt));
	fuzz_must(fdt_finish(fdt));
}

static void fuzz_plan_check(const struct plan *p)
{
	bool fine = p->core_count >= 1 && p->core_count <= CORE_MAX && p->hart_count >= p->core_count &&
		    p->identities >= 63 && p->identities <= IDENTITY_MAX && p->guest_files <= 63 && p->timebase > 0 &&
		    p->aplic_sources <= 1023 && p->image >= p->ram && p->image - p->ram < p->ram_bytes &&
		    p->aplic % PAGE_SIZE == 0;
	for (unsigned i = 0; i < p->core_count && fine; i++)
		fine = p->cores[i].imsic >= p->imsic_low &&
		       p->cores[i].imsic + (p->guest_files + 1) * PAGE_SIZE <= p->imsic_high;
	if (p->boot_image)
		fine &= p->boot_image >= p->image + p->image_bytes &&
			p->boot_image + p->boot_image_bytes <= p->ram + p->ram_bytes;
	if (!fine)
		abort();
}

static void fuzz_divide(struct plan *p)
{
	char complaint[PLAN_COMPLAINT];
	p->free = p->image + p->image_bytes;
	p->free_end = p->ram + p->ram_bytes;
	uint64_t at = p->free;
	if (!plan_divide(p, NULL, complaint))
		return;
	for (unsigned i = 0; i < p->core_count; i++) {
		const struct plan_core *c = &p->cores[i];
		if (c->partition < at || c->partition_bytes < PARTITION_MIN || c->partition_bytes > p->free_end - c->partition)
			abort();
		at = c->partition + c->partition_bytes;
	}
}

static void fuzz_read(const uint8_t *bytes, size_t size, uint64_t boot_hart)
{
	char complaint[PLAN_COMPLAINT] = "";
	struct plan plan = {.image = KERNEL_BASE, .image_bytes = 0x40000};
	uint8_t *copy = malloc(size + 1); // so that the sanitizer sees what is read behind it
	memcpy(copy, bytes, size);
	if (plan_read(&plan, copy, size, boot_hart, complaint)) {
		fuzz_plan_check(&plan);
		fuzz_divide(&plan);
	} else if (complaint[0] == 0 || !memchr(complaint, 0, sizeof(complaint))) {
		abort();
	}
	free(copy);
}

static void fuzz_boot_image(const uint8_t *bytes, size_t size)
{
	char complaint[PLAN_COMPLAINT];
	struct boot_image *image = aligned_alloc(8, (sizeof(*image) + size + 7) & ~7ul);
	memset(image, 0, sizeof(*image));
	image->magic = BOOT_IMAGE_MAGIC;
	image->version = BOOT_IMAGE_VERSION;
	image->bytes = sizeof(*image); // nothing behind the header, so that its checksum is 0
	memcpy(&image->manifest_offset, bytes, size < sizeof(*image) - 24 ? size : sizeof(*image) - 24);
	if (plan_check_boot_image(image, sizeof(*image), complaint))
		for (unsigned i = 0; i < image->first_segments; i++)
			if (image->first[i].offset > image->bytes || image->first[i].length > image->bytes - image->first[i].offset)
				abort();
	free(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t changed[TREE_ROOM] __attribute__((aligned(8)));
	if (fdt_magic(fuzz_tree) != FDT_MAGIC)
		fuzz_tree_make();
	if (size == 0)
		return 0;
	if (data[0] == 255) {
		fuzz_read(data + 1, size - 1, 0);
	} else if (data[0] == 254) {
		fuzz_boot_image(data + 1, size - 1);
	} else {
		size_t bytes = fdt_totalsize(fuzz_tree);
		memcpy(changed, fuzz_tree, bytes);
		for (size_t i = 1; i + 3 <= size; i += 3)
			changed[(data[i] | data[i + 1] << 8) % bytes] = data[i + 2];
		fuzz_read(changed, bytes, data[0] % 3);
	}
	return 0;
}
