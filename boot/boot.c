// The boot hart: reads the device tree, moves device tree and boot image together behind the kernel image, divides the
// rest into partitions, starts the other harts.
//
// Runs with satp = 0 on the loaded image and keeps all its state on its stack and in the plan, so that the image stays
// pristine for every core that is started from it, now or after a death. It must never write .data or .bss, but for
// boot_planned (INV-3).
// If it dies here there is no system yet: it says one sentence and switches off.
#include "boot/boot.h"
#include "abi/fence.h"
#include "core-local/format.h"
#include "kernel/riscv/sbi.h"
#include <libfdt.h>
#include <string.h>

_Static_assert(offsetof(struct plan, core_count) == PLAN_CORE_COUNT, "boot.h: core count");
_Static_assert(offsetof(struct plan, cores) == PLAN_CORES, "boot.h: cores");
_Static_assert(offsetof(struct plan, trace) == PLAN_TRACE, "boot.h: directory of the trace");
_Static_assert(offsetof(struct plan_core, hart) == PLAN_CORE_HART, "boot.h: hart");
_Static_assert(offsetof(struct plan_core, partition) == PLAN_CORE_PARTITION, "boot.h: partition");
_Static_assert(sizeof(struct plan_core) == PLAN_CORE_BYTES, "boot.h: size of a core's entry");

// Set when the plan is made, before any other hart is started (entry.S). The one word of the image that boot writes.
uint64_t boot_planned __attribute__((section(".data")));

static void say(const char *sentence)
{
	sbi_console_write("planaria: ", 10);
	sbi_console_write(sentence, strlen(sentence));
	sbi_console_write("\n", 1);
}

static _Noreturn void refuse(const char *sentence)
{
	say(sentence);
	sbi_power_off(false, true);
}

// Cuts [free, free_end) at each reservation of the device tree that begins inside of it.
static void reservations_respect(struct plan *plan, const void *fdt)
{
	int parent = fdt_path_offset(fdt, "/reserved-memory"), node;
	fdt_for_each_subnode (node, fdt, parent) {
		int length = 0;
		const fdt32_t *reg = fdt_getprop(fdt, node, "reg", &length);
		if (!reg || length < 16)
			continue;
		uint64_t base = (uint64_t)fdt32_to_cpu(reg[0]) << 32 | fdt32_to_cpu(reg[1]);
		if (base >= plan->free && base < plan->free_end)
			plan->free_end = base;
	}
}

// Moves the device tree and then the boot image down behind the plan, so that all that is read-only lies together.
static void gather(struct plan *plan, const void *device_tree)
{
	paddr_t place = page_up((paddr_t)plan + sizeof(*plan));
	paddr_t ram_end = plan->ram + plan->ram_bytes;
	uint64_t need = page_up(plan->device_tree_bytes) + page_up(plan->boot_image_bytes);
	if (place + need + PARTITION_MIN > ram_end)
		refuse("too little memory for the device tree and the boot image");
	if (plan->boot_image && place + page_up(plan->device_tree_bytes) > plan->boot_image)
		refuse("the boot image was loaded onto the kernel");
	memmove((void *)place, device_tree, plan->device_tree_bytes);
	plan->device_tree = place;
	place = page_up(place + plan->device_tree_bytes);
	if (plan->boot_image) {
		memmove((void *)place, (void *)plan->boot_image, plan->boot_image_bytes);
		plan->boot_image = place;
		place = page_up(place + plan->boot_image_bytes);
	}
	plan->free = place;
	plan->free_end = ram_end;
}

static void cores_announce(const struct plan *plan, unsigned wanted)
{
	char line[PLAN_COMPLAINT];
	if (plan->hart_count > CORE_MAX) {
		format_line(line, sizeof(line), "%u harts, but this image holds %u cores: the others stay parked",
			    plan->hart_count, CORE_MAX);
		say(line);
	}
	if (plan->core_count < wanted) {
		format_line(line, sizeof(line), "memory for %u of %u cores: the others stay parked", plan->core_count,
			    wanted);
		say(line);
	}
}

static void harts_start(const struct plan *plan)
{
	char line[PLAN_COMPLAINT];
	for (unsigned i = 1; i < plan->core_count; i++) {
		struct sbi_result r =
		    sbi_hart_start(plan->cores[i].hart, (uint64_t)core_entry, plan->cores[i].partition);
		if (r.error == 0)
			continue;
		format_line(line, sizeof(line), "hart %lu does not start: the firmware says %d", plan->cores[i].hart,
			    (int)r.error);
		say(line);
	}
}

static void device_tree_require(const void *device_tree)
{
	char line[PLAN_COMPLAINT];
	uint64_t at = (uint64_t)device_tree;
	uint32_t found = at && at % 8 == 0 ? fdt_magic(device_tree) : 0;
	if (found == FDT_MAGIC)
		return;
	format_line(line, sizeof(line), "the firmware gave no device tree: at 0x%lx stands %x, not %x", at, found, FDT_MAGIC);
	refuse(line);
}

_Noreturn void boot_main(uint64_t hart, const void *device_tree)
{
	char complaint[PLAN_COMPLAINT];
	struct plan *plan = plan_place();
	memset(plan, 0, sizeof(*plan));
	plan->image = (paddr_t)image_start;
	plan->image_bytes = (uint64_t)(image_end - image_start);
	if (!sbi_has(0x48534d))
		refuse("the firmware has no HSM extension: harts cannot be started");
	device_tree_require(device_tree);
	if (!plan_read(plan, device_tree, fdt_totalsize(device_tree), hart, complaint))
		refuse(complaint);
	if (!plan->boot_image)
		refuse("there is no boot image: give it to QEMU with -initrd");
	gather(plan, device_tree);
	reservations_respect(plan, (const void *)plan->device_tree);
	const struct boot_image *image = (const struct boot_image *)plan->boot_image;
	if (!plan_check_boot_image(image, plan->boot_image_bytes, complaint))
		refuse(complaint);
	unsigned wanted = plan->core_count;
	if (!plan_divide(plan, image, complaint))
		refuse(complaint);
	cores_announce(plan, wanted);
	for (unsigned i = 0; i < plan->core_count; i++)
		memset((void *)plan->cores[i].partition, 0, PARTITION_IMAGE(plan->core_count));
	fence_w_w(); // partner: fence r, r of a stray hart in entry.S; the plan before the word that says it is made
	boot_planned = 1;
	harts_start(plan);
	register uint64_t a0 __asm__("a0") = hart;
	register uint64_t a1 __asm__("a1") = plan->cores[0].partition;
	__asm__ volatile("j core_entry" ::"r"(a0), "r"(a1));
	__builtin_unreachable();
}
