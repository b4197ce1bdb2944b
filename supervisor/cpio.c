// cpio "newc": found by walking the headers, every number checked against what is left of the archive.
//
// Owns nothing and keeps nothing. It must never read beyond cpio->bytes: each length is compared with the remaining
// bytes before it is used, in an order in which nothing can wrap (all are below 2^32, sums are of 64 bits).
// If the supervisor dies here: its kernel restarts it, and it walks the same archive again; the image is read-only and stays.
#include "supervisor/cpio.h"
#include <stdbool.h>
#include <string.h>

#define CPIO_HEADER 110u
#define CPIO_MAGIC "070701"     // newc
#define CPIO_MAGIC_CRC "070702" // the same with check sums, which we leave alone
#define CPIO_TRAILER "TRAILER!!!"
#define CPIO_TYPE 0170000u
#define CPIO_REGULAR 0100000u

enum cpio_field { CPIO_MODE = 1, CPIO_FILE_SIZE = 6, CPIO_NAME_SIZE = 11 };

static bool cpio_hex(const uint8_t *header, enum cpio_field field, uint32_t *value)
{
	const uint8_t *digit = header + 6 + 8 * field;
	*value = 0;
	for (int i = 0; i < 8; i++) {
		unsigned c = digit[i], d;
		if (c >= '0' && c <= '9')
			d = c - '0';
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			d = (c | 32) - 'a' + 10;
		else
			return false;
		*value = *value << 4 | d;
	}
	return true;
}

static uint64_t cpio_pad(uint64_t n)
{
	return (n + 3) & ~3ull;
}

enum error cpio_next(const struct cpio *cpio, size_t *position, struct cpio_entry *entry)
{
	uint64_t at = *position;
	if (at >= cpio->bytes)
		return ERR_NOT_FOUND;
	if (cpio->bytes - at < CPIO_HEADER)
		return ERR_CORRUPT;
	const uint8_t *header = cpio->base + at;
	uint32_t name_size, file_size;
	if (memcmp(header, CPIO_MAGIC, 6) != 0 && memcmp(header, CPIO_MAGIC_CRC, 6) != 0)
		return ERR_CORRUPT;
	if (!cpio_hex(header, CPIO_MODE, &entry->mode) || !cpio_hex(header, CPIO_FILE_SIZE, &file_size) ||
	    !cpio_hex(header, CPIO_NAME_SIZE, &name_size))
		return ERR_CORRUPT;
	if (name_size == 0 || name_size > cpio->bytes - at - CPIO_HEADER || header[CPIO_HEADER + name_size - 1] != 0)
		return ERR_CORRUPT;
	uint64_t content = cpio_pad(at + CPIO_HEADER + name_size);
	entry->name = (const char *)header + CPIO_HEADER;
	entry->name_length = strlen(entry->name);
	if (strcmp(entry->name, CPIO_TRAILER) == 0)
		return ERR_NOT_FOUND;
	if (content > cpio->bytes || file_size > cpio->bytes - content)
		return ERR_CORRUPT;
	entry->offset = content;
	entry->length = file_size;
	*position = (size_t)cpio_pad(content + file_size);
	return ERR_OK;
}

enum error cpio_find(const struct cpio *cpio, const char *name, struct cpio_entry *entry)
{
	size_t position = 0;
	enum error error;
	while ((error = cpio_next(cpio, &position, entry)) == ERR_OK) {
		if ((entry->mode & CPIO_TYPE) == CPIO_REGULAR && strcmp(entry->name, name) == 0)
			return ERR_OK;
	}
	return error;
}
