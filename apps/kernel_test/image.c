// The partner's ELF in the boot image: where its segments lie.
//
// Owns what it found. The image was made by our own tools and its checksum is right, so the walk checks little.
#include "abi/boot_image.h"
#include "apps/kernel_test/test.h"
#include <string.h>

#define CPIO_HEADER 110
#define ELF_LOAD 1

struct elf_program {
	uint32_t kind, flags;
	uint64_t offset, va, pa, length, memory, align;
};

struct test_segment test_segments[4];
unsigned test_segment_count;
uint64_t test_entry;

static uint64_t hex(const uint8_t *digits)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < 8; i++)
		v = v << 4 | (uint64_t)(digits[i] <= '9' ? digits[i] - '0' : (digits[i] | 32) - 'a' + 10);
	return v;
}

static uint64_t even(uint64_t v)
{
	return (v + 3) & ~3ul;
}

static void segments_read(const uint8_t *image, uint64_t offset)
{
	const uint8_t *elf = image + offset;
	uint64_t table;
	uint16_t count;
	memcpy(&test_entry, elf + 24, 8);
	memcpy(&table, elf + 32, 8);
	memcpy(&count, elf + 56, 2);
	for (unsigned i = 0; i < count; i++) {
		struct elf_program p;
		memcpy(&p, elf + table + i * sizeof(p), sizeof(p));
		if (p.kind != ELF_LOAD || p.memory == 0 || test_segment_count == 4)
			continue;
		uint64_t prot = (p.flags & 4 ? PROT_READ : 0) | (p.flags & 2 ? PROT_WRITE : 0) | (p.flags & 1 ? PROT_EXEC : 0);
		test_segments[test_segment_count++] = (struct test_segment){
			p.va, (p.memory + PAGE_SIZE - 1) / PAGE_SIZE, prot, offset + p.offset, p.length};
	}
}

bool test_image_find(void)
{
	struct kernel_result r = kcall(CALL_boot_image_map);
	const uint8_t *image = (const uint8_t *)r.value[0];
	const struct boot_image *header = (const struct boot_image *)image;
	if (r.error)
		return false;
	uint64_t at = header->cpio_offset, end = at + header->cpio_bytes;
	while (at + CPIO_HEADER < end && memcmp(image + at, "070701", 6) == 0) {
		uint64_t bytes = hex(image + at + 54), name = hex(image + at + 94);
		uint64_t content = even(at + CPIO_HEADER + name);
		if (strcmp((const char *)image + at + CPIO_HEADER, "kernel_partner") == 0)
			segments_read(image, content);
		at = even(content + bytes);
	}
	return test_segment_count > 0;
}
