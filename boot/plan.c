// Reading the machine (plan.h). The device tree is the firmware's, but it is checked like a stranger's: every
// property's length, every count, every address before it is used.
#include "boot/plan.h"
#include "abi/call.h"
#include "core-local/format.h"
#include "core-local/partition.h"
#include <libfdt.h>
#include <string.h>

#define INTERRUPT_S_EXTERNAL 9u

#define complain(complaint, ...) (format_line(complaint, PLAN_COMPLAINT, __VA_ARGS__), false)

static uint64_t cells_read(const fdt32_t *cell, int cells)
{
	uint64_t v = 0;
	for (int i = 0; i < cells; i++)
		v = v << 32 | fdt32_to_cpu(cell[i]);
	return v;
}

// The n-th (address, size) of a node's reg, by its parent's cell counts.
static bool reg_read(const void *fdt, int node, int n, uint64_t *address, uint64_t *size)
{
	int parent = fdt_parent_offset(fdt, node);
	int address_cells = parent < 0 ? -1 : fdt_address_cells(fdt, parent);
	int size_cells = parent < 0 ? -1 : fdt_size_cells(fdt, parent);
	int length = 0;
	const fdt32_t *reg = fdt_getprop(fdt, node, "reg", &length);
	if (!reg || address_cells < 1 || address_cells > 2 || size_cells < 0 || size_cells > 2)
		return false;
	int entry = address_cells + size_cells;
	if (length / 4 < (n + 1) * entry)
		return false;
	*address = cells_read(reg + n * entry, address_cells);
	*size = cells_read(reg + n * entry + address_cells, size_cells);
	return true;
}

static bool u32_read(const void *fdt, int node, const char *name, uint32_t *value)
{
	int length = 0;
	const fdt32_t *p = fdt_getprop(fdt, node, name, &length);
	if (!p || length < 4)
		return false;
	*value = fdt32_to_cpu(*p);
	return true;
}

// One ISA extension in a riscv,isa string: single letters stand before the first '_', longer names between '_'.
static bool isa_has(const char *isa, const char *extension)
{
	size_t n = strlen(extension);
	if (strlen(isa) < 4)
		return false;
	if (n == 1) {
		for (const char *c = isa + 4; *c && *c != '_'; c++)
			if (*c == extension[0])
				return true;
		return false;
	}
	for (const char *c = strchr(isa, '_'); c; c = strchr(c + 1, '_'))
		if (strncmp(c + 1, extension, n) == 0 && (c[1 + n] == '_' || c[1 + n] == 0))
			return true;
	return false;
}

static bool hart_check(const void *fdt, int cpu, uint64_t hart, char *complaint)
{
	int length = 0;
	const char *isa = fdt_getprop(fdt, cpu, "riscv,isa", &length);
	if (!isa || length < 5 || isa[length - 1] != 0)
		return complain(complaint, "hart %lu: its riscv,isa property is missing or malformed", hart);
	if (!isa_has(isa, "h"))
		return complain(complaint, "hart %lu has no H extension (hypervisor): domains need it", hart);
	if (!isa_has(isa, "sstc"))
		return complain(complaint, "hart %lu has no Sstc extension (stimecmp): timers need it", hart);
	return true;
}

static bool hart_usable(const void *fdt, int cpu)
{
	int length = 0;
	const char *type = fdt_getprop(fdt, cpu, "device_type", &length);
	const char *status = fdt_getprop(fdt, cpu, "status", NULL);
	return type && length == 4 && memcmp(type, "cpu", 4) == 0 && (!status || strncmp(status, "ok", 2) == 0);
}

// Harts in the order of the device tree, but the boot hart first.
static bool harts_read(struct plan *plan, const void *fdt, uint64_t boot_hart, char *complaint)
{
	int cpus = fdt_path_offset(fdt, "/cpus");
	uint32_t timebase = 0;
	if (cpus < 0 || !u32_read(fdt, cpus, "timebase-frequency", &timebase) || timebase == 0)
		return complain(complaint, "the device tree has no /cpus with a timebase-frequency");
	plan->timebase = timebase;
	plan->core_count = 1;
	bool found = false;
	int cpu;
	fdt_for_each_subnode (cpu, fdt, cpus) {
		uint64_t hart, size;
		if (!hart_usable(fdt, cpu) || !reg_read(fdt, cpu, 0, &hart, &size))
			continue;
		plan->hart_count++;
		if (!hart_check(fdt, cpu, hart, complaint))
			return false;
		if (hart == boot_hart && !found) {
			plan->cores[0].hart = hart;
			found = true;
		} else if (plan->core_count < CORE_MAX) {
			plan->cores[plan->core_count++].hart = hart;
		}
	}
	return found || complain(complaint, "the boot hart %lu is not in the device tree", boot_hart);
}

// Range of RAM that holds the kernel image.
static bool ram_read(struct plan *plan, const void *fdt, char *complaint)
{
	int node;
	fdt_for_each_subnode (node, fdt, 0) {
		int length = 0;
		const char *type = fdt_getprop(fdt, node, "device_type", &length);
		if (!type || length != 7 || memcmp(type, "memory", 7) != 0)
			continue;
		uint64_t address, size;
		for (int n = 0; reg_read(fdt, node, n, &address, &size); n++) {
			if (plan->image < address || plan->image - address >= size || address + size < address)
				continue;
			plan->ram = address;
			plan->ram_bytes = size;
			return true;
		}
	}
	return complain(complaint, "no memory node of the device tree holds the kernel at 0x%lx", plan->image);
}

// hart id of the cpu node whose interrupt controller has this phandle.
static bool phandle_hart(const void *fdt, uint32_t phandle, uint64_t *hart)
{
	int controller = fdt_node_offset_by_phandle(fdt, phandle);
	int cpu = controller < 0 ? -1 : fdt_parent_offset(fdt, controller);
	uint64_t size;
	return cpu >= 0 && reg_read(fdt, cpu, 0, hart, &size);
}

static bool interrupts_extended_is_supervisor(const fdt32_t *pairs, int length)
{
	return pairs && length >= 8 && fdt32_to_cpu(pairs[1]) == INTERRUPT_S_EXTERNAL;
}

static int imsic_find(const void *fdt)
{
	int node = fdt_node_offset_by_compatible(fdt, -1, "riscv,imsics");
	for (; node >= 0; node = fdt_node_offset_by_compatible(fdt, node, "riscv,imsics")) {
		int length = 0;
		const fdt32_t *pairs = fdt_getprop(fdt, node, "interrupts-extended", &length);
		if (interrupts_extended_is_supervisor(pairs, length))
			return node;
	}
	return -1;
}

// Page of the S-level file of the index-th hart of the IMSIC node: its reg ranges hold the harts one after another.
static paddr_t imsic_page(const void *fdt, int node, unsigned index, uint64_t stride)
{
	uint64_t address, size;
	for (int n = 0; reg_read(fdt, node, n, &address, &size); n++) {
		if (index < size / stride)
			return address + index * stride;
		index -= (unsigned)(size / stride);
	}
	return 0;
}

static void imsic_extend(struct plan *plan, paddr_t page, uint64_t stride)
{
	if (plan->imsic_low == 0 || page < plan->imsic_low)
		plan->imsic_low = page;
	if (page + stride > plan->imsic_high)
		plan->imsic_high = page + stride;
}

static bool imsic_read(struct plan *plan, const void *fdt, char *complaint)
{
	int node = imsic_find(fdt);
	if (node < 0)
		return complain(complaint, "this machine has no supervisor-level IMSIC (QEMU: -machine "
					   "virt,aia=aplic-imsic,aia-guests=7)");
	uint32_t identities = 0, guest_bits = 0;
	u32_read(fdt, node, "riscv,guest-index-bits", &guest_bits);
	if (!u32_read(fdt, node, "riscv,num-ids", &identities) || identities < 63 || guest_bits > 6)
		return complain(complaint, "the IMSIC has %u identities and %u guest index bits: at least 63 and at most 6 are needed",
				identities, guest_bits);
	plan->identities = identities < IDENTITY_MAX ? identities : IDENTITY_MAX;
	plan->guest_files = (1u << guest_bits) - 1;
	uint64_t stride = (uint64_t)PAGE_SIZE << guest_bits;
	int length = 0;
	const fdt32_t *pairs = fdt_getprop(fdt, node, "interrupts-extended", &length);
	for (int i = 0; i < length / 8; i++) {
		uint64_t hart;
		if (!phandle_hart(fdt, fdt32_to_cpu(pairs[2 * i]), &hart))
			continue;
		paddr_t page = imsic_page(fdt, node, (unsigned)i, stride);
		if (page == 0)
			continue;
		imsic_extend(plan, page, stride);
		for (unsigned c = 0; c < plan->core_count; c++) {
			if (plan->cores[c].hart == hart) {
				plan->cores[c].imsic = page;
				plan->cores[c].aplic_index = (uint64_t)i;
			}
		}
	}
	for (unsigned c = 0; c < plan->core_count; c++)
		if (plan->cores[c].imsic == 0)
			return complain(complaint, "hart %lu has no interrupt file in the IMSIC", plan->cores[c].hart);
	return true;
}

// The APLIC whose msi-parent is the S-level IMSIC. None: no wired interrupts, said by the supervisor.
static void aplic_read(struct plan *plan, const void *fdt)
{
	uint32_t imsic = fdt_get_phandle(fdt, imsic_find(fdt));
	int node = fdt_node_offset_by_compatible(fdt, -1, "riscv,aplic");
	for (; node >= 0; node = fdt_node_offset_by_compatible(fdt, node, "riscv,aplic")) {
		uint32_t parent = 0, sources = 0;
		uint64_t address, size;
		if (!u32_read(fdt, node, "msi-parent", &parent) || parent != imsic)
			continue;
		if (!u32_read(fdt, node, "riscv,num-sources", &sources) || sources == 0 || sources > 1023)
			continue;
		if (!reg_read(fdt, node, 0, &address, &size) || size < 0x4000 || address % PAGE_SIZE != 0)
			continue;
		plan->aplic = address;
		plan->aplic_bytes = size;
		plan->aplic_sources = sources;
		return;
	}
}

static bool address_property(const void *fdt, int node, const char *name, uint64_t *value)
{
	int length = 0;
	const fdt32_t *p = fdt_getprop(fdt, node, name, &length);
	if (!p || (length != 4 && length != 8))
		return false;
	*value = cells_read(p, length / 4);
	return true;
}

// Among the boot arguments, which are words between spaces.
static bool argument_given(const void *fdt, int chosen, const char *word)
{
	int length = 0, n = (int)strlen(word);
	const char *text = chosen < 0 ? 0 : fdt_getprop(fdt, chosen, "bootargs", &length);
	for (int i = 0; text && i + n < length; i++)
		if ((i == 0 || text[i - 1] == ' ') && memcmp(text + i, word, (size_t)n) == 0 && (text[i + n] == ' ' || text[i + n] == 0))
			return true;
	return false;
}

static void chosen_read(struct plan *plan, const void *fdt)
{
	int chosen = fdt_path_offset(fdt, "/chosen"), length = 0;
	uint64_t start, end;
	const fdt32_t *seed = chosen < 0 ? 0 : fdt_getprop(fdt, chosen, "rng-seed", &length);
	plan->trace_bytes = argument_given(fdt, chosen, "trace") ? TRACE_REGION_BYTES : 0;
	if (seed && length >= 8)
		plan->seed = cells_read(seed, 2);
	if (chosen < 0 || !address_property(fdt, chosen, "linux,initrd-start", &start) ||
	    !address_property(fdt, chosen, "linux,initrd-end", &end))
		return;
	uint64_t ram_end = plan->ram + plan->ram_bytes;
	if (start < plan->image + plan->image_bytes || end <= start || end > ram_end || start % 8 != 0)
		return;
	plan->boot_image = start;
	plan->boot_image_bytes = end - start;
}

// libfdt reads words where the header says that its blocks are (Devicetree Specification, "Alignment").
static bool blocks_are_aligned(const void *fdt)
{
	return fdt_off_dt_struct(fdt) % 4 == 0 && fdt_off_mem_rsvmap(fdt) % 8 == 0;
}

bool plan_read(struct plan *plan, const void *fdt, size_t room, uint64_t boot_hart, char complaint[PLAN_COMPLAINT])
{
	if (room < sizeof(struct fdt_header) || !blocks_are_aligned(fdt) || fdt_check_full(fdt, room) != 0)
		return complain(complaint, "the device tree at 0x%lx is malformed", (uint64_t)(uintptr_t)fdt);
	plan->device_tree_bytes = fdt_totalsize(fdt);
	if (!harts_read(plan, fdt, boot_hart, complaint) || !ram_read(plan, fdt, complaint) ||
	    !imsic_read(plan, fdt, complaint))
		return false;
	aplic_read(plan, fdt);
	chosen_read(plan, fdt);
	return true;
}

// CRC-32 (IEEE 802.3, reflected), four bits a step: a table of 16 words, no start-up cost.
static uint32_t crc32_compute(const uint8_t *data, uint64_t bytes)
{
	static const uint32_t nibble[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
					    0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
					    0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
	uint32_t crc = ~0u;
	for (uint64_t i = 0; i < bytes; i++) {
		crc = nibble[(crc ^ data[i]) & 15] ^ crc >> 4;
		crc = nibble[(crc ^ (unsigned)(data[i] >> 4)) & 15] ^ crc >> 4;
	}
	return ~crc;
}

static bool range_inside(uint64_t offset, uint64_t bytes, uint64_t whole)
{
	return offset <= whole && bytes <= whole - offset;
}

static bool segments_check(const struct boot_image *b, char *complaint)
{
	if (b->first_segments == 0 || b->first_segments > BOOT_SEGMENT_MAX)
		return complain(complaint, "the boot image has %u segments for the first domain: 1 to %u are possible",
				b->first_segments, BOOT_SEGMENT_MAX);
	for (unsigned i = 0; i < b->first_segments; i++) {
		const struct boot_segment *s = &b->first[i];
		if (!range_inside(s->offset, s->length, b->bytes) || s->gpa % PAGE_SIZE != 0 || s->pages == 0 ||
		    s->pages > 0x10000 || s->length > s->pages * PAGE_SIZE)
			return complain(complaint, "segment %u of the first domain lies outside the boot image or its pages", i);
		if (s->prot != PROT_READ && s->prot != (PROT_READ | PROT_WRITE) && s->prot != (PROT_READ | PROT_EXEC))
			return complain(complaint, "segment %u of the first domain has the rights %lx: r, rw or rx are possible",
					i, s->prot);
	}
	return true;
}

bool plan_check_boot_image(const struct boot_image *b, uint64_t room, char complaint[PLAN_COMPLAINT])
{
	if (room < sizeof(*b) || b->magic != BOOT_IMAGE_MAGIC)
		return complain(complaint, "the boot image (-initrd) is not one of ours: no PLANARIA at its start");
	if (b->version != BOOT_IMAGE_VERSION)
		return complain(complaint, "the boot image has version %u, this kernel reads version %u", b->version,
				BOOT_IMAGE_VERSION);
	if (b->bytes < sizeof(*b) || b->bytes > room)
		return complain(complaint, "the boot image is truncated: it says %lu bytes, %lu are there", b->bytes, room);
	uint32_t crc = crc32_compute((const uint8_t *)b + BOOT_IMAGE_SUMMED, b->bytes - BOOT_IMAGE_SUMMED);
	if (crc != b->crc32)
		return complain(complaint, "the boot image is corrupt: its checksum is %x, its header says %x", crc, b->crc32);
	if (!range_inside(b->manifest_offset, b->manifest_bytes, b->bytes) ||
	    !range_inside(b->cpio_offset, b->cpio_bytes, b->bytes) || b->first_service >= 1024 ||
	    !range_inside(b->manifest_offset, 64 + (b->first_service + 1) * 512, b->bytes))
		return complain(complaint, "the boot image's manifest or cpio lies outside of it");
	return segments_check(b, complaint);
}

static uint64_t weight(const struct boot_image *image, unsigned core)
{
	return image && image->core_weight[core] ? image->core_weight[core] : 1;
}

static uint64_t weights(const struct boot_image *image, unsigned cores)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < cores; i++)
		sum += weight(image, i);
	return sum;
}

bool plan_divide(struct plan *plan, const struct boot_image *image, char complaint[PLAN_COMPLAINT])
{
	uint64_t start = (plan->free + MEGAPAGE_SIZE - 1) & ~(MEGAPAGE_SIZE - 1);
	uint64_t end = plan->free_end & ~(MEGAPAGE_SIZE - 1);
	uint64_t bytes = end > start ? end - start : 0;
	unsigned cores = plan->core_count;
	uint64_t least = PARTITION_MIN + plan->trace_bytes + MEGAPAGE_SIZE; // rounding may take one
	while (cores > 0 && bytes / weights(image, cores) < least)
		cores--;
	if (cores == 0)
		return complain(complaint, "too little memory: %lu KiB are free, a core needs %lu KiB", bytes / 1024,
				least / 1024);
	// Boundaries by the sum of the weights before them, so that rounding does not pile up in the last partition.
	uint64_t whole = weights(image, cores), before = 0;
	for (unsigned i = 0; i < cores; i++) {
		uint64_t from = bytes / whole * before & ~(MEGAPAGE_SIZE - 1);
		before += weight(image, i);
		uint64_t to = i == cores - 1 ? bytes : bytes / whole * before & ~(MEGAPAGE_SIZE - 1);
		plan->cores[i].partition = start + from;
		plan->cores[i].partition_bytes = to - from - plan->trace_bytes;
		plan->trace.cores[i].info = start + from + PARTITION_INFO;
		plan->trace.cores[i].region = plan->trace_bytes ? start + to - plan->trace_bytes : 0;
	}
	plan->trace.magic = TRACE_MAGIC;
	plan->trace.timebase = plan->timebase;
	plan->trace.core_count = cores;
	plan->core_count = cores;
	return true;
}
