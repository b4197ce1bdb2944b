// Fuzzes the manifest blob: whatever is accepted has an order or a circle, and names that can be looked up.
#include "supervisor/manifest.h"
#include <stdlib.h>
#include <string.h>

static void fuzz_manifest_use(const struct manifest *m)
{
	unsigned char order[MANIFEST_SERVICE_MAX];
	char why[128];
	bool seen[MANIFEST_SERVICE_MAX] = {false};
	if (manifest_order(m, order, why, sizeof why) == ERR_OK) {
		for (unsigned i = 0; i < m->count; i++) {
			if (order[i] >= m->count || seen[order[i]])
				abort();
			seen[order[i]] = true;
		}
	} else if (strlen(why) == 0 || strlen(why) >= sizeof why) {
		abort();
	}
	for (unsigned i = 0; i < m->count; i++) {
		if (manifest_find(m, m->services[i].name) != (int)i)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct manifest m;
	char why[128] = "";
	uint8_t *copy = aligned_alloc(8, (size + 8) & ~7ul);
	memcpy(copy, data, size);
	// The magic is given, so that the fuzzer need not guess it.
	static const struct manifest_header h = {.magic = MANIFEST_MAGIC, .version = MANIFEST_VERSION};
	if (size >= sizeof h)
		memcpy(copy, &h, 8);
	if (manifest_read(copy, size, &m, why, sizeof why) == ERR_OK)
		fuzz_manifest_use(&m);
	else if (strlen(why) == 0)
		abort();
	free(copy);
	return 0;
}
