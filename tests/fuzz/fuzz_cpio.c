// Fuzzes the cpio reader: every entry lies inside the archive, and the walk ends.
#include "supervisor/cpio.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cpio cpio = {data, size};
	struct cpio_entry e;
	size_t position = 0, before = 0;
	volatile uint8_t sum = 0; // so that the content is read
	while (cpio_next(&cpio, &position, &e) == ERR_OK) {
		if (position <= before || e.offset > size || e.length > size - e.offset)
			abort();
		if ((const uint8_t *)e.name < data || (const uint8_t *)e.name + e.name_length >= data + size)
			abort();
		for (uint64_t i = 0; i < e.length; i++)
			sum = sum ^ data[e.offset + i];
		before = position;
	}
	cpio_find(&cpio, "fs", &e);
	return 0;
}
