// Plan: what the boot hart found in the device tree and how it divided the machine. Written once, before any other
// hart runs; read-only for ever after. Kernels take every physical address that they trust from here.
//
// If the core that wrote it dies: the plan lies outside all partitions, with the pristine image.
#pragma once
#include "abi/boot_image.h"
#include "abi/trace.h"
#include "core-local/types.h"
#include <stdbool.h>
#include <stddef.h>

#define PARTITION_MIN 0x400000ul // bytes; below this a core cannot hold the smallest useful domain
#define PLAN_COMPLAINT 160       // bytes of a sentence

struct plan_core {
	uint64_t hart;        // firmware's id, sparse
	uint64_t aplic_index; // of this hart in the S-level APLIC's targets
	paddr_t imsic;        // page of the S-level file; guest file g is g pages above
	paddr_t partition;
	uint64_t partition_bytes; // what is traced lies behind
};

struct plan {
	uint32_t core_count; // that get a kernel
	uint32_t hart_count; // that the device tree has
	uint32_t identities; // of each interrupt file
	uint32_t guest_files; // of each hart
	uint64_t timebase;
	paddr_t ram;
	uint64_t ram_bytes;
	paddr_t aplic; // 0: none
	uint64_t aplic_bytes;
	uint32_t aplic_sources;
	uint32_t padding;
	paddr_t imsic_low; // all interrupt files lie in [low, high)
	paddr_t imsic_high;
	paddr_t image; // pristine kernel
	uint64_t image_bytes;
	paddr_t device_tree;
	uint64_t device_tree_bytes;
	paddr_t boot_image; // 0: none
	uint64_t boot_image_bytes;
	paddr_t free; // memory that is divided: [free, free_end)
	paddr_t free_end;
	struct plan_core cores[CORE_MAX];
	uint64_t seed; // of this boot, from the firmware; 0: it gives none
	uint64_t trace_bytes; // of each core, behind its partition; 0: nothing is traced
	struct trace_directory trace;
};

// Reads cores, memory, interrupt controllers, time base and the place of the boot image. `boot_hart` becomes core 0.
// Returns false with a sentence in `complaint` when this machine cannot run us. Pure: fuzzed on the host.
// Harts beyond CORE_MAX are left out (hart_count says how many there are).
bool plan_read(struct plan *plan, const void *device_tree, size_t room, uint64_t boot_hart,
	       char complaint[PLAN_COMPLAINT]);

// Checks the boot image's header against its room, and its checksum. False with a sentence.
bool plan_check_boot_image(const struct boot_image *image, uint64_t room, char complaint[PLAN_COMPLAINT]);

// Divides [free, free_end) by the weights (0 counts as 1; image may be 0) into partitions on 2 MiB boundaries.
// Leaves out cores from the end until each partition has PARTITION_MIN. False when not even one has.
bool plan_divide(struct plan *plan, const struct boot_image *image, char complaint[PLAN_COMPLAINT]);
