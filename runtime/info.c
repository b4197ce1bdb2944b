// Reading info pages: owns nothing; bounded, since the writer can die at an odd sequence count (abi/info.h).
#include "abi/info_read.h"
#include "runtime/fence.h"
#include "runtime/machine.h"
#include "runtime/runtime.h"
#include <string.h>

bool info_read(unsigned core, struct info_page *copy)
{
	if (core >= CORE_MAX || core >= machine_info(self_core())->core_count)
		return false;
	const struct info_page *page = machine_info(core);
	for (unsigned i = 0; i < INFO_TRIES; i++) {
		uint32_t before = load32(&page->sequence);
		if (before & 1)
			continue;
		fence_take(); // partner: the kernel's fence between its count and its fields
		memcpy(copy, page, sizeof(*copy));
		fence_take();
		if (load32(&page->sequence) == before)
			return true;
	}
	return false;
}

// False: not there, or torn for too long.
static bool info_service_read(const struct info_page *page, const char *name, struct info_service *found)
{
	for (unsigned i = 0; i < INFO_TRIES; i++) {
		uint32_t before = load32(&page->sequence);
		if (before & 1)
			continue;
		fence_take();
		const struct info_service *at = info_service_named(page, name);
		if (at)
			*found = *at;
		fence_take();
		if (load32(&page->sequence) == before)
			return at != 0;
	}
	return false;
}

bool info_find_service(const char *name, unsigned *core, struct info_service *found)
{
	unsigned count = machine_info(self_core())->core_count;
	for (unsigned i = 0; i < count && i < CORE_MAX; i++) {
		struct info_service service;
		if (!info_service_read(machine_info(i), name, &service))
			continue;
		if (core)
			*core = i;
		if (found)
			*found = service;
		if (service.state == SERVICE_UP)
			return true;
	}
	return false;
}
