// Writer of a core's info page: see info.h.
#include "core-local/info.h"
#include "abi/fence.h"
#include <assert.h>
#include <string.h>

void info_begin(struct info_page *page)
{
	assert(page->sequence % 2 == 0);
	*(volatile uint32_t *)&page->sequence += 1;
	fence_w_w(); // partner: second fence_r_r in info_copy; odd count before any change
}

void info_end(struct info_page *page)
{
	fence_w_w(); // partner: first fence_r_r in info_copy; changes before the even count
	*(volatile uint32_t *)&page->sequence += 1;
}

// Line of that name, or else a free one, or 0.
static struct info_service *service_find(struct info_page *page, const char *name)
{
	struct info_service *unused = 0;
	for (int i = 0; i < INFO_SERVICE_MAX; i++) {
		struct info_service *s = &page->services[i];
		if (s->state == SERVICE_NONE)
			unused = unused ? unused : s;
		else if (memcmp(s->name, name, NAME_SIZE) == 0)
			return s;
	}
	return unused;
}

enum error info_service_set(struct info_page *page, const char *name, uint32_t domain, epoch_t epoch,
                            enum service_state state)
{
	struct info_service *s = service_find(page, name);
	if (state == SERVICE_NONE && (!s || s->state == SERVICE_NONE))
		return ERR_NOT_FOUND;
	if (!s)
		return ERR_LIMIT;
	info_begin(page);
	memset(s, 0, sizeof(*s));
	if (state != SERVICE_NONE) {
		memcpy(s->name, name, NAME_SIZE);
		s->domain = domain;
		s->epoch = epoch;
		s->state = state;
	}
	info_end(page);
	return ERR_OK;
}
