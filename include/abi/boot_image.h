// Boot image: what QEMU's -initrd carries. Made by tools/, read by the kernel (header, first domain) and by the
// supervisor (manifest, cpio). All numbers little-endian; offsets count from the start of the header.
//
//   struct boot_image   one page
//   first domain        the supervisor's segments, page-aligned, and its stack: the kernel needs no ELF
//   manifest            struct manifest_header, struct manifest_service[]
//   cpio                "newc": one stripped ELF for each image name, and files of the fallback file system under fs/
#pragma once
#include "layout.h"
#include <stddef.h>
#include <stdint.h>

#define BOOT_IMAGE_MAGIC 0x414952414e414c50ull // "PLANARIA"
#define BOOT_IMAGE_VERSION 2u
#define BOOT_IMAGE_SUMMED 16u // offset of the first byte under the checksum
#define BOOT_SEGMENT_MAX 4

struct boot_segment {
	uint64_t gpa;    // page-aligned
	uint64_t pages;
	uint64_t prot;   // PROT_*
	uint64_t offset; // of its content in the boot image
	uint64_t length; // bytes of content, the rest is zero
};

struct boot_image {
	uint64_t magic;
	uint32_t version;
	uint32_t crc32;  // IEEE, of all that follows this word
	uint64_t bytes;  // in all
	uint64_t manifest_offset;
	uint64_t manifest_bytes;
	uint64_t cpio_offset;
	uint64_t cpio_bytes;
	uint64_t first_entry;
	uint64_t first_quota_pages;
	uint64_t first_service; // index of its struct manifest_service, mapped at GPA_STARTUP
	uint32_t first_segments;
	uint32_t first_priority;
	struct boot_segment first[BOOT_SEGMENT_MAX];
	uint8_t core_weight[CORE_MAX]; // share of the memory of each core, 0 counts as 1
	uint8_t padding[PAGE_SIZE - 88 - BOOT_SEGMENT_MAX * 40 - CORE_MAX];
};
_Static_assert(sizeof(struct boot_image) == PAGE_SIZE, "the header is one page");
_Static_assert(offsetof(struct boot_image, bytes) == BOOT_IMAGE_SUMMED, "all behind crc32 is under the checksum");
