// Builders of what the boot image holds, for tests: manifests, archives, ELF files, whole boot images. All in memory.
#pragma once
#include "abi/boot_image.h"
#include "abi/manifest.h"
#include <stddef.h>
#include <stdint.h>

struct build { // grows; build_free
	uint8_t *data;
	size_t bytes;
};

void build_add(struct build *build, const void *data, size_t bytes);
void build_align(struct build *build, size_t boundary);
void build_free(struct build *build);

// A service with sound values; the caller changes what it wants.
struct manifest_service build_service(const char *name);
void build_serves(struct manifest_service *service, const char *name);
void build_uses(struct manifest_service *service, const char *name);
// header and records; the first of `services` is marked as the first domain
struct build build_manifest(const struct manifest_service *services, unsigned count);

void build_cpio_entry(struct build *cpio, const char *name, uint32_t mode, const void *data, size_t bytes);
void build_cpio_end(struct build *cpio);

struct build_segment {
	uint32_t flags; // 1 execute, 2 write, 4 read
	uint64_t address;
	uint64_t file_bytes;
	uint64_t memory_bytes;
};
// An ELF file with these segments, entry at the first, and a symbol table with main (32 bytes) and helper behind it.
struct build build_elf(const struct build_segment *segments, unsigned count);
// The usual one: text and data at GPA_IMAGE, and in the text the two texts of a failed assertion.
#define BUILD_FILE_AT (GPA_IMAGE + 40)  // "tests/unit.c"
#define BUILD_CLAIM_AT (GPA_IMAGE + 60) // "x > 0"
#define BUILD_ENDLESS_AT (GPA_IMAGE + 92) // "unending", with which the segment's content ends
struct build build_program(void);

// A boot image with these services and a program for each image name; right checksum.
struct build build_image(const struct manifest_service *services, unsigned count);
