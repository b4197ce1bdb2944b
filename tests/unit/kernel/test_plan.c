// Reading the machine: device trees as QEMU makes them, changed and spoilt; boot-image headers; partitions.
//
// QEMU (or the one that $QEMU names) writes its device tree for each shape of machine when the test runs.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "abi/call.h"
#include "boot/plan.h"
#include <libfdt.h>

#define TREE_ROOM 0x40000
#define DUMP_ROOM 0x200000 // QEMU writes its whole buffer
#define KERNEL_BASE 0x80200000ull
#define KERNEL_BYTES 0x40000ull

static uint8_t tree[TREE_ROOM] __attribute__((aligned(8)));
static struct plan plan;
static char complaint[PLAN_COMPLAINT];

// ---- device trees

static void tree_load(const char *machine, unsigned cores, const char *memory)
{
	char name[48], command[400];
	const char *qemu = getenv("QEMU");
	snprintf(name, sizeof(name), "/tmp/plan-test-%d", (int)getpid());
	snprintf(command, sizeof(command), "%s -machine %s,dumpdtb=%s -smp %u -m %s -nographic >/dev/null 2>&1",
		 qemu && *qemu ? qemu : "qemu-system-riscv64", machine, name, cores, memory);
	if (system(command) != 0)
		fail_msg("QEMU made no device tree: %s", command);
	FILE *in = fopen(name, "rb");
	assert_non_null(in);
	static uint8_t dump[DUMP_ROOM] __attribute__((aligned(8)));
	size_t bytes = fread(dump, 1, sizeof(dump), in);
	fclose(in);
	unlink(name);
	assert_true(bytes > 1000 && bytes < sizeof(dump));
	assert_int_equal(fdt_pack(dump), 0);
	memset(tree, 0, sizeof(tree));
	assert_int_equal(fdt_open_into(dump, tree, sizeof(tree)), 0); // room for changes
}

static void tree_usual(void)
{
	tree_load("virt,aia=aplic-imsic,aia-guests=7", 4, "512M");
}

static bool read_as(uint64_t boot_hart)
{
	memset(&plan, 0, sizeof(plan));
	memset(complaint, 0, sizeof(complaint));
	plan.image = KERNEL_BASE;
	plan.image_bytes = KERNEL_BYTES;
	return plan_read(&plan, tree, sizeof(tree), boot_hart, complaint);
}

static int node(const char *path)
{
	int offset = fdt_path_offset(tree, path);
	if (offset < 0)
		fail_msg("the device tree has no %s", path);
	return offset;
}

static int supervisor_imsic(void)
{
	int at = fdt_node_offset_by_compatible(tree, -1, "riscv,imsics");
	for (; at >= 0; at = fdt_node_offset_by_compatible(tree, at, "riscv,imsics")) {
		const fdt32_t *pairs = fdt_getprop(tree, at, "interrupts-extended", NULL);
		if (fdt32_to_cpu(pairs[1]) == 9)
			return at;
	}
	fail_msg("no S-level IMSIC");
	return -1;
}

static void refused(const char *words)
{
	assert_false(read_as(0));
	if (!strstr(complaint, words))
		fail_msg("the complaint is '%s' and not about '%s'", complaint, words);
}

static void usual_machine(void **state)
{
	(void)state;
	tree_usual();
	assert_true(read_as(0));
	assert_int_equal(plan.core_count, 4);
	assert_int_equal(plan.hart_count, 4);
	assert_int_equal(plan.guest_files, 7);
	assert_int_equal(plan.identities, 255);
	assert_int_equal(plan.timebase, 10000000);
	assert_int_equal(plan.ram, 0x80000000);
	assert_int_equal(plan.ram_bytes, 512 << 20);
	assert_int_equal(plan.imsic_low, 0x28000000);
	assert_int_equal(plan.imsic_high, 0x28000000 + 4 * 0x8000);
	assert_int_equal(plan.aplic, 0x0d000000);
	assert_int_equal(plan.aplic_sources, 96);
	assert_int_equal(plan.boot_image, 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(plan.cores[i].hart, i);
		assert_int_equal(plan.cores[i].imsic, 0x28000000 + i * 0x8000);
		assert_int_equal(plan.cores[i].aplic_index, i);
	}
}

static void shapes(void **state)
{
	static const struct {
		const char *machine, *memory;
		unsigned cores, guests;
	} table[] = {
	    {"virt,aia=aplic-imsic", "128M", 1, 0},
	    {"virt,aia=aplic-imsic,aia-guests=1", "256M", 2, 1},
	    {"virt,aia=aplic-imsic,aia-guests=3", "4G", 8, 3},
	    {"virt,aia=aplic-imsic,aia-guests=7", "1G", 16, 7},
	    {"virt,aia=aplic-imsic,aia-guests=7", "1G", 64, 7},
	};
	(void)state;
	for (unsigned n = 0; n < sizeof(table) / sizeof(table[0]); n++) {
		tree_load(table[n].machine, table[n].cores, table[n].memory);
		if (!read_as(0))
			fail_msg("%s with %u cores: %s", table[n].machine, table[n].cores, complaint);
		assert_int_equal(plan.core_count, table[n].cores);
		assert_int_equal(plan.guest_files, table[n].guests);
		for (unsigned i = 1; i < plan.core_count; i++)
			assert_int_equal(plan.cores[i].imsic - plan.cores[i - 1].imsic, (table[n].guests + 1) * PAGE_SIZE);
	}
}

// Any hart may be the first one: it becomes core 0, and keeps its own interrupt file and its number in the APLIC.
static void any_boot_hart(void **state)
{
	(void)state;
	tree_usual();
	for (uint64_t hart = 0; hart < 4; hart++) {
		assert_true(read_as(hart));
		assert_int_equal(plan.cores[0].hart, hart);
		uint64_t seen = 0;
		for (unsigned i = 0; i < 4; i++) {
			seen |= 1u << plan.cores[i].hart;
			assert_int_equal(plan.cores[i].imsic, 0x28000000 + plan.cores[i].hart * 0x8000);
			assert_int_equal(plan.cores[i].aplic_index, plan.cores[i].hart);
		}
		assert_int_equal(seen, 15);
	}
	assert_false(read_as(4));
	assert_non_null(strstr(complaint, "boot hart 4"));
}

static void more_harts_than_cores(void **state)
{
	(void)state;
	tree_load("virt,aia=aplic-imsic,aia-guests=7", 66, "1G");
	assert_true(read_as(65));
	assert_int_equal(plan.hart_count, 66);
	assert_int_equal(plan.core_count, CORE_MAX);
	assert_int_equal(plan.cores[0].hart, 65);
}

// Hart ids with gaps, as real machines have them.
static void sparse_harts(void **state)
{
	(void)state;
	tree_usual();
	for (unsigned i = 0; i < 4; i++) {
		char path[32];
		snprintf(path, sizeof(path), "/cpus/cpu@%u", i);
		assert_int_equal(fdt_setprop_u32(tree, node(path), "reg", 10 * i + 3), 0);
	}
	assert_true(read_as(23));
	assert_int_equal(plan.core_count, 4);
	assert_int_equal(plan.cores[0].hart, 23);
	assert_int_equal(plan.cores[0].imsic, 0x28000000 + 2 * 0x8000);
	assert_int_equal(plan.cores[0].aplic_index, 2);
	assert_int_equal(plan.cores[1].hart, 3);
}

static void disabled_hart_is_left_out(void **state)
{
	(void)state;
	tree_usual();
	assert_int_equal(fdt_setprop_string(tree, node("/cpus/cpu@2"), "status", "disabled"), 0);
	assert_true(read_as(0));
	assert_int_equal(plan.core_count, 3);
	assert_int_equal(plan.hart_count, 3);
}

static void extensions_are_needed(void **state)
{
	(void)state;
	tree_usual();
	assert_int_equal(fdt_setprop_string(tree, node("/cpus/cpu@1"), "riscv,isa", "rv64imafdc_zicsr_sstc"), 0);
	refused("hart 1 has no H extension");
	assert_int_equal(fdt_setprop_string(tree, node("/cpus/cpu@1"), "riscv,isa", "rv64imafdch_zicsr_sstcx"), 0);
	refused("hart 1 has no Sstc extension");
	assert_int_equal(fdt_setprop_string(tree, node("/cpus/cpu@1"), "riscv,isa", "rv64imafdch_sstc"), 0);
	assert_true(read_as(0));
	assert_int_equal(fdt_setprop(tree, node("/cpus/cpu@1"), "riscv,isa", "rv64h_sstc", 10), 0); // no zero at its end
	refused("riscv,isa");
	assert_int_equal(fdt_delprop(tree, node("/cpus/cpu@1"), "riscv,isa"), 0);
	refused("riscv,isa");
}

static void parts_are_needed(void **state)
{
	(void)state;
	tree_load("virt", 2, "128M");
	refused("no supervisor-level IMSIC");
	tree_load("virt,aia=aplic", 2, "128M");
	refused("no supervisor-level IMSIC");
	tree_usual();
	assert_int_equal(fdt_setprop_u32(tree, node("/cpus"), "timebase-frequency", 0), 0);
	refused("timebase-frequency");
	assert_int_equal(fdt_delprop(tree, node("/cpus"), "timebase-frequency"), 0);
	refused("timebase-frequency");
	tree_usual();
	assert_int_equal(fdt_del_node(tree, node("/cpus")), 0);
	refused("/cpus");
	tree_usual();
	assert_int_equal(fdt_setprop_u64(tree, node("/memory@80000000"), "reg", 0x80000000), 0); // a size is missing
	refused("no memory node");
	tree_usual();
	assert_int_equal(fdt_del_node(tree, node("/memory@80000000")), 0);
	refused("no memory node");
}

static void imsic_is_checked(void **state)
{
	(void)state;
	tree_usual();
	assert_int_equal(fdt_setprop_u32(tree, supervisor_imsic(), "riscv,num-ids", 62), 0);
	refused("62 identities");
	assert_int_equal(fdt_setprop_u32(tree, supervisor_imsic(), "riscv,num-ids", 63), 0);
	assert_true(read_as(0));
	assert_int_equal(plan.identities, 63);
	assert_int_equal(fdt_setprop_u32(tree, supervisor_imsic(), "riscv,num-ids", 2047), 0);
	assert_true(read_as(0));
	assert_int_equal(plan.identities, IDENTITY_MAX);
	assert_int_equal(fdt_setprop_u32(tree, supervisor_imsic(), "riscv,guest-index-bits", 7), 0);
	refused("7 guest index bits");
	assert_int_equal(fdt_delprop(tree, supervisor_imsic(), "riscv,guest-index-bits"), 0);
	assert_true(read_as(0));
	assert_int_equal(plan.guest_files, 0);
	tree_usual();
	assert_int_equal(fdt_setprop(tree, supervisor_imsic(), "reg", "", 0), 0);
	refused("has no interrupt file");
	tree_usual();
	int length;
	const void *pairs = fdt_getprop(tree, supervisor_imsic(), "interrupts-extended", &length);
	char kept[64];
	memcpy(kept, pairs, (size_t)length);
	assert_int_equal(fdt_setprop(tree, supervisor_imsic(), "interrupts-extended", kept, length - 8), 0);
	refused("hart 3 has no interrupt file");
}

// No APLIC is no obstacle: then there are no wired interrupts.
static void aplic_is_optional(void **state)
{
	(void)state;
	tree_usual();
	int at = fdt_node_offset_by_compatible(tree, -1, "riscv,aplic");
	for (; at >= 0; at = fdt_node_offset_by_compatible(tree, -1, "riscv,aplic"))
		assert_int_equal(fdt_del_node(tree, at), 0);
	assert_true(read_as(0));
	assert_int_equal(plan.aplic, 0);
	assert_int_equal(plan.aplic_sources, 0);
}

static bool boot_image_at(uint64_t start, uint64_t end)
{
	int chosen = node("/chosen");
	assert_int_equal(fdt_setprop_u64(tree, chosen, "linux,initrd-start", start), 0);
	assert_int_equal(fdt_setprop_u64(tree, chosen, "linux,initrd-end", end), 0);
	assert_true(read_as(0));
	return plan.boot_image != 0;
}

static void boot_image_place(void **state)
{
	const uint64_t end = KERNEL_BASE + KERNEL_BYTES, ram_end = 0x80000000ull + (512ull << 20);
	(void)state;
	tree_usual();
	assert_true(boot_image_at(0x84000000, 0x84100000));
	assert_int_equal(plan.boot_image, 0x84000000);
	assert_int_equal(plan.boot_image_bytes, 0x100000);
	assert_true(boot_image_at(end, end + 8));
	assert_true(boot_image_at(ram_end - 4096, ram_end));
	assert_false(boot_image_at(end - 8, end + 4096)); // over the kernel
	assert_false(boot_image_at(ram_end - 4096, ram_end + 1));
	assert_false(boot_image_at(0x84000000, 0x84000000));
	assert_false(boot_image_at(0x84000004, 0x84100000));
	assert_false(boot_image_at(0x84000000, 0x83000000));
	assert_false(boot_image_at(UINT64_MAX - 7, UINT64_MAX));
	assert_int_equal(fdt_setprop_u32(tree, node("/chosen"), "linux,initrd-start", 0x84000000), 0);
	assert_int_equal(fdt_setprop_u32(tree, node("/chosen"), "linux,initrd-end", 0x84001000), 0);
	assert_true(read_as(0)); // one cell each, as some firmware writes them
	assert_int_equal(plan.boot_image_bytes, 0x1000);
}

static uint64_t trace_bytes_for(const char *arguments)
{
	assert_int_equal(fdt_setprop_string(tree, node("/chosen"), "bootargs", arguments), 0);
	assert_true(read_as(0));
	return plan.trace_bytes;
}

static void trace_is_a_word(void **state)
{
	(void)state;
	tree_usual();
	assert_true(read_as(0));
	assert_int_equal(plan.trace_bytes, 0);
	assert_int_equal(trace_bytes_for("trace"), TRACE_REGION_BYTES);
	assert_int_equal(trace_bytes_for("a trace"), TRACE_REGION_BYTES);
	assert_int_equal(trace_bytes_for("trace b"), TRACE_REGION_BYTES);
	assert_int_equal(trace_bytes_for("traces"), 0);
	assert_int_equal(trace_bytes_for("notrace"), 0);
	assert_int_equal(trace_bytes_for("trac"), 0);
	assert_int_equal(trace_bytes_for(""), 0);
	assert_int_equal(fdt_setprop(tree, node("/chosen"), "bootargs", "trace", 5), 0); // no zero at its end
	assert_true(read_as(0));
	assert_int_equal(plan.trace_bytes, 0);
}

// Whatever was spoilt, the reader ends with a plan in its bounds or with a sentence.
static void bounds_check(bool read)
{
	if (!read) {
		assert_true(complaint[0] != 0 && memchr(complaint, 0, sizeof(complaint)));
		return;
	}
	assert_in_range(plan.core_count, 1, CORE_MAX);
	assert_true(plan.hart_count >= plan.core_count);
	assert_in_range(plan.identities, 63, IDENTITY_MAX);
	assert_in_range(plan.guest_files, 0, 63);
	assert_true(plan.timebase > 0 && plan.aplic_sources <= 1023);
	assert_true(plan.image >= plan.ram && plan.image - plan.ram < plan.ram_bytes);
	for (unsigned i = 0; i < plan.core_count; i++) {
		assert_true(plan.cores[i].imsic >= plan.imsic_low);
		assert_true(plan.cores[i].imsic + (plan.guest_files + 1) * PAGE_SIZE <= plan.imsic_high);
	}
}

static void mutations(void **state)
{
	static uint8_t pristine[TREE_ROOM];
	uint64_t random = 88172645463325252ull;
	(void)state;
	tree_usual();
	assert_int_equal(fdt_pack(tree), 0);
	uint32_t bytes = fdt_totalsize(tree);
	memcpy(pristine, tree, sizeof(tree));
	unsigned whole = 0;
	for (unsigned round = 0; round < 20000; round++) {
		memcpy(tree, pristine, bytes);
		for (unsigned n = 0; n < 1 + round % 8; n++) {
			random ^= random << 13, random ^= random >> 7, random ^= random << 17;
			tree[(random >> 8) % bytes] = (uint8_t)random;
		}
		bool read = read_as(round % 5);
		whole += read;
		bounds_check(read);
	}
	assert_true(whole > 100 && whole < 19900);
}

static void truncations(void **state)
{
	(void)state;
	tree_usual();
	assert_int_equal(fdt_pack(tree), 0);
	uint32_t bytes = fdt_totalsize(tree);
	for (uint32_t room = 0; room < bytes; room += 61) {
		uint8_t *copy = malloc(room + 8); // so that the sanitizer sees what is read behind it
		memcpy(copy, tree, room);
		memset(&plan, 0, sizeof(plan));
		assert_false(plan_read(&plan, copy, room, 0, complaint));
		free(copy);
	}
}

// ---- boot image

static struct boot_image image[3]; // the header and two pages

static uint32_t crc_of(const uint8_t *data, size_t bytes)
{
	uint32_t crc = ~0u;
	for (size_t i = 0; i < bytes; i++) {
		crc ^= data[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

static void image_seal(void)
{
	image[0].crc32 = crc_of((const uint8_t *)image + BOOT_IMAGE_SUMMED, sizeof(image) - BOOT_IMAGE_SUMMED);
}

static void image_make(void)
{
	memset(image, 0, sizeof(image));
	for (size_t i = PAGE_SIZE; i < sizeof(image); i++)
		((uint8_t *)image)[i] = (uint8_t)(i * 7);
	image[0].magic = BOOT_IMAGE_MAGIC;
	image[0].version = BOOT_IMAGE_VERSION;
	image[0].bytes = sizeof(image);
	image[0].manifest_offset = PAGE_SIZE;
	image[0].manifest_bytes = 64 + 512;
	image[0].cpio_offset = 2 * PAGE_SIZE;
	image[0].cpio_bytes = PAGE_SIZE;
	image[0].first_segments = 1;
	image[0].first[0] = (struct boot_segment){GPA_IMAGE, 1, PROT_READ, PAGE_SIZE, 100};
	image_seal();
}

static void image_refused(const char *words)
{
	complaint[0] = 0;
	assert_false(plan_check_boot_image(image, sizeof(image), complaint));
	if (!strstr(complaint, words))
		fail_msg("the complaint is '%s' and not about '%s'", complaint, words);
	image_make();
}

static void image_headers(void **state)
{
	(void)state;
	image_make();
	assert_true(plan_check_boot_image(image, sizeof(image), complaint));
	assert_true(plan_check_boot_image(image, sizeof(image) + 500, complaint));
	assert_false(plan_check_boot_image(image, PAGE_SIZE - 1, complaint));
	assert_false(plan_check_boot_image(image, sizeof(image) - 1, complaint));
	image[0].magic++;
	image_refused("not one of ours");
	image[0].version++;
	image_refused("has version 3, this kernel reads version 2");
	image[0].bytes = PAGE_SIZE - 1;
	image_refused("truncated");
	image[0].bytes = UINT64_MAX;
	image_refused("truncated");
	image[0].crc32 ^= 1;
	image_refused("checksum");
	for (size_t i = BOOT_IMAGE_SUMMED; i < sizeof(image); i += 61) { // the header's own numbers too
		if (i >= offsetof(struct boot_image, bytes) && i < offsetof(struct boot_image, manifest_offset))
			continue; // another size is found first
		((uint8_t *)image)[i] ^= 4;
		image_refused("checksum");
	}
}

static void image_ranges(void **state)
{
	(void)state;
	image_make();
	image[0].manifest_offset = UINT64_MAX;
	image_seal();
	image_refused("manifest or cpio");
	image[0].manifest_bytes = UINT64_MAX;
	image_seal();
	image_refused("manifest or cpio");
	image[0].cpio_offset = sizeof(image);
	image_seal();
	image_refused("manifest or cpio");
	image[0].cpio_bytes = UINT64_MAX - 2 * PAGE_SIZE;
	image_seal();
	image_refused("manifest or cpio");
	image[0].first_service = 100;
	image_seal();
	image_refused("manifest or cpio");
	image[0].first_service = UINT64_MAX / 512;
	image_seal();
	image_refused("manifest or cpio");
	image[0].first_segments = 0;
	image_seal();
	image_refused("segments");
	image[0].first_segments = BOOT_SEGMENT_MAX + 1;
	image_seal();
	image_refused("segments");
	image[0].first[0].offset = UINT64_MAX;
	image_seal();
	image_refused("segment 0");
	image[0].first[0].length = PAGE_SIZE + 1; // more than its pages
	image_seal();
	image_refused("segment 0");
	image[0].first[0].gpa++;
	image_seal();
	image_refused("segment 0");
	image[0].first[0].pages = 0;
	image_seal();
	image_refused("segment 0");
	image[0].first[0].pages = UINT64_MAX;
	image_seal();
	image_refused("segment 0");
	for (unsigned prot = 0; prot < 16; prot++) {
		if (prot == PROT_READ || prot == (PROT_READ | PROT_WRITE) || prot == (PROT_READ | PROT_EXEC))
			continue;
		image[0].first[0].prot = prot;
		image_seal();
		image_refused("segment 0 of the first domain has the rights");
	}
}

// ---- partitions

static bool divide(unsigned cores, uint64_t from, uint64_t to)
{
	memset(&plan, 0, sizeof(plan));
	plan.core_count = cores;
	plan.free = from;
	plan.free_end = to;
	return plan_divide(&plan, image, complaint);
}

static void partitions_check(uint64_t from, uint64_t to)
{
	uint64_t at = 0;
	for (unsigned i = 0; i < plan.core_count; i++) {
		const struct plan_core *c = &plan.cores[i];
		assert_int_equal(c->partition % MEGAPAGE_SIZE, 0);
		assert_int_equal(c->partition_bytes % MEGAPAGE_SIZE, 0);
		assert_true(c->partition_bytes >= PARTITION_MIN);
		assert_true(c->partition >= from && c->partition + c->partition_bytes <= to);
		assert_true(c->partition >= at);
		at = c->partition + c->partition_bytes;
	}
	assert_true(to - at < MEGAPAGE_SIZE); // nothing is left over
}

static void partitions(void **state)
{
	const uint64_t base = 0x80345000;
	(void)state;
	memset(image, 0, sizeof(image));
	for (unsigned cores = 1; cores <= CORE_MAX; cores++) {
		for (uint64_t megabytes = 1; megabytes < 5000; megabytes = megabytes * 5 / 3 + 1) {
			uint64_t end = base + (megabytes << 20) + 0x3000;
			if (!divide(cores, base, end)) {
				assert_true(megabytes < 12);
				assert_non_null(strstr(complaint, "too little memory"));
				continue;
			}
			partitions_check(base, end);
			if (plan.core_count < cores) // only where they really do not fit
				assert_true((megabytes << 20) / (plan.core_count + 1) < PARTITION_MIN + 2 * MEGAPAGE_SIZE);
		}
	}
}

static void partition_weights(void **state)
{
	(void)state;
	memset(image, 0, sizeof(image));
	image[0].core_weight[0] = 2;
	image[0].core_weight[1] = 5;
	assert_true(divide(4, 0x80400000, 0x80400000 + (900ull << 20)));
	assert_int_equal(plan.core_count, 4);
	partitions_check(0x80400000, 0x80400000 + (900ull << 20));
	assert_int_equal(plan.cores[0].partition_bytes, 200 << 20);
	assert_int_equal(plan.cores[1].partition_bytes, 500 << 20);
	assert_int_equal(plan.cores[3].partition_bytes, 100 << 20);
	for (unsigned i = 0; i < CORE_MAX; i++)
		image[0].core_weight[i] = 255;
	assert_true(divide(CORE_MAX, 0x80400000, 0x80400000 + (2ull << 30)));
	partitions_check(0x80400000, 0x80400000 + (2ull << 30));
}

// Behind each partition, and none of it is given to anybody.
static void partitions_that_are_traced(void **state)
{
	(void)state;
	memset(&plan, 0, sizeof(plan));
	plan.core_count = 4;
	plan.free = 0x80400000;
	plan.free_end = plan.free + (40 << 20);
	plan.trace_bytes = TRACE_REGION_BYTES;
	assert_true(plan_divide(&plan, 0, complaint));
	assert_int_equal(plan.core_count, 2); // 16 MiB at least for each
	assert_int_equal(plan.trace.magic, TRACE_MAGIC);
	for (unsigned i = 0; i < plan.core_count; i++) {
		uint64_t end = i + 1 < plan.core_count ? plan.cores[i + 1].partition : plan.free_end;
		assert_int_equal(plan.trace.cores[i].region, plan.cores[i].partition + plan.cores[i].partition_bytes);
		assert_int_equal(plan.trace.cores[i].region + TRACE_REGION_BYTES, end);
	}
}

static void partitions_of_nothing(void **state)
{
	(void)state;
	memset(image, 0, sizeof(image));
	assert_false(divide(4, 0x80400000, 0x80400000));
	assert_false(divide(4, 0x80400000, 0x80300000));
	assert_false(divide(1, 0x80400000, 0x80400000 + MEGAPAGE_SIZE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(usual_machine),        cmocka_unit_test(shapes),
	    cmocka_unit_test(any_boot_hart),        cmocka_unit_test(more_harts_than_cores),
	    cmocka_unit_test(sparse_harts),         cmocka_unit_test(disabled_hart_is_left_out),
	    cmocka_unit_test(extensions_are_needed), cmocka_unit_test(parts_are_needed),
	    cmocka_unit_test(imsic_is_checked),     cmocka_unit_test(aplic_is_optional),
	    cmocka_unit_test(boot_image_place),     cmocka_unit_test(mutations),
	    cmocka_unit_test(truncations),          cmocka_unit_test(image_headers),
	    cmocka_unit_test(image_ranges),         cmocka_unit_test(partitions),
	    cmocka_unit_test(partition_weights),    cmocka_unit_test(partitions_of_nothing),
	    cmocka_unit_test(trace_is_a_word),      cmocka_unit_test(partitions_that_are_traced),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
