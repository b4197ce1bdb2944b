// The boot image: header, manifest, archive.
//
// Owns the offsets, not the bytes: the kernel maps the image into the supervisor and keeps it. It must never hand out a
// range that leaves the image. No state beyond the caller's struct image, which every incarnation makes anew.
#include "supervisor/image.h"
#include <stdio.h>
#include <string.h>

static bool image_inside(const struct boot_image *header, uint64_t offset, uint64_t bytes)
{
	return offset >= PAGE_SIZE && offset <= header->bytes && bytes <= header->bytes - offset;
}

static enum error image_check_header(const struct image *image, char *why, size_t why_size)
{
	const struct boot_image *h = image->header;
	if (image->bytes < PAGE_SIZE) {
		snprintf(why, why_size, "the boot image has %lu bytes, its header alone has %lu",
			 (unsigned long)image->bytes, PAGE_SIZE);
		return ERR_CORRUPT;
	}
	if (h->magic != BOOT_IMAGE_MAGIC) {
		snprintf(why, why_size, "the boot image does not begin with its magic number");
		return ERR_CORRUPT;
	}
	if (h->version != BOOT_IMAGE_VERSION) {
		snprintf(why, why_size, "the boot image is of version %u, this supervisor reads version %u", h->version,
			 BOOT_IMAGE_VERSION);
		return ERR_UNSUPPORTED;
	}
	if (h->bytes > image->bytes) {
		snprintf(why, why_size, "the boot image is cut off: %lu bytes of %lu are there",
			 (unsigned long)image->bytes, (unsigned long)h->bytes);
		return ERR_CORRUPT;
	}
	if (!image_inside(h, h->manifest_offset, h->manifest_bytes) || !image_inside(h, h->cpio_offset, h->cpio_bytes)) {
		snprintf(why, why_size, "the boot image's manifest or archive lies outside of it");
		return ERR_CORRUPT;
	}
	return ERR_OK;
}

enum error image_open(struct image *image, const void *base, uint64_t bytes, char *why, size_t why_size)
{
	*image = (struct image){.base = base, .bytes = bytes, .header = base};
	enum error error = image_check_header(image, why, why_size);
	if (error)
		return error;
	const struct boot_image *h = image->header;
	image->cpio = (struct cpio){image->base + h->cpio_offset, (size_t)h->cpio_bytes};
	return manifest_read(image->base + h->manifest_offset, (size_t)h->manifest_bytes, &image->manifest, why, why_size);
}

// CRC-32 of IEEE 802.3, reflected.
static void image_crc_table(uint32_t table[256])
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;
		for (int bit = 0; bit < 8; bit++)
			c = c >> 1 ^ (c & 1 ? 0xedb88320u : 0);
		table[i] = c;
	}
}

bool image_is_whole(const struct image *image)
{
	static uint32_t table[256];
	image_crc_table(table);
	uint32_t crc = ~0u;
	for (uint64_t i = BOOT_IMAGE_SUMMED; i < image->header->bytes; i++)
		crc = crc >> 8 ^ table[(crc ^ image->base[i]) & 255];
	return ~crc == image->header->crc32;
}

enum error image_program(const struct image *image, const char name[NAME_SIZE], struct image_program *program,
			 char *why, size_t why_size)
{
	char terminated[NAME_SIZE + 1] = {0};
	memcpy(terminated, name, NAME_SIZE);
	struct cpio_entry entry;
	enum error error = cpio_find(&image->cpio, terminated, &entry);
	if (error) {
		snprintf(why, why_size, "image \"%s\" is not in the boot image%s", terminated,
			 error == ERR_CORRUPT ? ", whose archive is damaged" : "");
		return error;
	}
	program->offset = image->header->cpio_offset + entry.offset;
	program->length = entry.length;
	int used = snprintf(why, why_size, "image \"%s\": ", terminated);
	size_t skip = (size_t)used < why_size ? (size_t)used : why_size;
	return elf_read(image->base + program->offset, (size_t)program->length, &program->elf, why + skip, why_size - skip);
}

uint64_t image_record_offset(const struct image *image, const struct manifest_service *record)
{
	return (uint64_t)((const uint8_t *)record - image->base);
}
