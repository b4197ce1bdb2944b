// Fuzzes the ELF reader and the symbol reader: what is accepted lies inside the file and the window of images.
#include "abi/call.h"
#include "abi/layout.h"
#include "supervisor/elf.h"
#include "supervisor/symbols.h"
#include <stdlib.h>
#include <string.h>

static void fuzz_elf_check(const struct elf_image *image, size_t size)
{
	for (unsigned i = 0; i < image->count; i++) {
		const struct elf_segment *s = &image->segments[i];
		if (s->offset > size || s->length > size - s->offset || s->length > s->pages * PAGE_SIZE)
			abort();
		if (s->gpa < GPA_IMAGE || s->gpa + s->pages * PAGE_SIZE > GPA_IMAGE_END || s->gpa % PAGE_SIZE)
			abort();
		if ((s->prot & PROT_WRITE) && (s->prot & PROT_EXEC))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t start[20] = {0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 243, 0};
	struct elf_image image;
	char why[128] = "", where[64];
	uint8_t *copy = malloc(size + 1);
	memcpy(copy, data, size);
	if (size >= 64) { // given, so that the fuzzer need not guess it
		memcpy(copy, start, sizeof start);
		copy[54] = 56;
		copy[55] = 0;
	}
	if (elf_read(copy, size, &image, why, sizeof why) == ERR_OK) {
		fuzz_elf_check(&image, size);
		for (uint64_t gpa = GPA_IMAGE - 8; gpa < GPA_IMAGE + 0x2000; gpa += 8)
			(void)elf_text(copy, &image, gpa, where, sizeof where);
	} else if (strlen(why) == 0)
		abort();
	symbols_describe(copy, size, GPA_IMAGE + 16, where, sizeof where);
	free(copy);
	return 0;
}
