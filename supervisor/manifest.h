// Reader of the manifest blob in the boot image (abi/manifest.h says what it holds).
#pragma once
#include "abi/error.h"
#include "abi/manifest.h"
#include <stdbool.h>
#include <stddef.h>

struct manifest {
	const struct manifest_header *header;
	const struct manifest_service *services; // in the boot image, read-only, every field checked
	unsigned count;
};

// Checks all of `blob`. On an error `why` holds one sentence with names and values. ERR_CORRUPT, ERR_UNSUPPORTED
// (another version). `manifest` points into `blob`, which must stay, aligned to 8 bytes.
enum error manifest_read(const void *blob, size_t bytes, struct manifest *manifest, char *why, size_t why_size);
// An order in which each service follows all that it uses. ERR_LOOP: there is none; `why` names the circle.
// What the first service (the supervisor) uses does not count: it waits for nobody.
enum error manifest_order(const struct manifest *manifest, unsigned char order[MANIFEST_SERVICE_MAX], char *why,
			  size_t why_size);
// Index of the record of that name, or of the one that serves that name; -1: none. `name` as in the blob.
int manifest_find(const struct manifest *manifest, const char name[NAME_SIZE]);
int manifest_provider(const struct manifest *manifest, const char name[NAME_SIZE]);
// `text` (`length` bytes) as a zero-padded name. False: empty or too long.
bool manifest_name(char name[NAME_SIZE], const char *text, size_t length);
