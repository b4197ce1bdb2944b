// Reader of the ELF files of domains: ELF64, little-endian, RISC-V, EXEC, linked into GPA_IMAGE..GPA_IMAGE_END.
#pragma once
#include "abi/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_SEGMENT_MAX 8

struct elf_segment {
	uint64_t gpa;    // page-aligned
	uint64_t pages;
	uint64_t prot;   // PROT_*
	uint64_t offset; // of its content in the file
	uint64_t length; // bytes of content, the rest is zero
};

struct elf_image {
	uint64_t entry;
	unsigned count;
	struct elf_segment segments[ELF_SEGMENT_MAX];
};

// Checks headers and segments of `file`. On an error (ERR_CORRUPT, ERR_UNSUPPORTED) `why` holds one sentence.
enum error elf_read(const void *file, size_t bytes, struct elf_image *image, char *why, size_t why_size);
// Copies the constant text at `gpa` out of a file that elf_read has accepted, cut at out_size. False, and an empty text:
// there is none that ends within its segment, it is writable (so the file does not tell it), or it holds what no text does.
bool elf_text(const void *file, const struct elf_image *image, uint64_t gpa, char *out, size_t out_size);
