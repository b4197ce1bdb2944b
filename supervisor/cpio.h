// Reader of a cpio archive of the "newc" format (cpio(5): 110-byte header of ASCII hex digits, everything padded to 4).
#pragma once
#include "abi/error.h"
#include <stddef.h>
#include <stdint.h>

struct cpio {
	const uint8_t *base; // read-only; belongs to the caller
	size_t bytes;
};

struct cpio_entry {
	const char *name; // in the archive, terminated
	size_t name_length;
	uint64_t offset; // of the content, from the start of the archive
	uint64_t length;
	uint32_t mode;
};

// Takes the entry at *position (start with 0) and moves it to the next. ERR_NOT_FOUND: the end. ERR_CORRUPT: what stands
// there is no entry, or reaches beyond the archive; *position then stays.
enum error cpio_next(const struct cpio *cpio, size_t *position, struct cpio_entry *entry);
// The first regular file of that name (terminated). ERR_NOT_FOUND, ERR_CORRUPT.
enum error cpio_find(const struct cpio *cpio, const char *name, struct cpio_entry *entry);
