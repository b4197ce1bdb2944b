// The boot image as the supervisor sees it: its header checked, its manifest and its archive found.
#pragma once
#include "abi/boot_image.h"
#include "abi/error.h"
#include "supervisor/cpio.h"
#include "supervisor/elf.h"
#include "supervisor/manifest.h"
#include <stddef.h>
#include <stdint.h>

struct image { // of the boot image; all of it read-only, mapped for the life of the supervisor
	const uint8_t *base;
	uint64_t bytes;
	const struct boot_image *header;
	struct manifest manifest;
	struct cpio cpio;
};

struct image_program { // one ELF file in it
	struct elf_image elf;
	uint64_t offset; // of the file in the boot image
	uint64_t length;
};

// Header and manifest. ERR_OK, ERR_CORRUPT, ERR_UNSUPPORTED; `why` then holds one sentence.
enum error image_open(struct image *image, const void *base, uint64_t bytes, char *why, size_t why_size);
// Whether the checksum over everything behind the header is right. Takes time: some ms for each MiB.
bool image_is_whole(const struct image *image);
// Finds and checks the program of that name. ERR_NOT_FOUND, ERR_CORRUPT, ERR_UNSUPPORTED; `why` then holds one sentence.
enum error image_program(const struct image *image, const char name[NAME_SIZE], struct image_program *program,
			 char *why, size_t why_size);
// Offset of the manifest record in the boot image.
uint64_t image_record_offset(const struct image *image, const struct manifest_service *record);
