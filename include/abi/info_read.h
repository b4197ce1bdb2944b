// Reader of info pages, for kernels and domains: a bounded copy under the sequence count.
//
// Owns nothing. Never waits for ever: a writer can die at an odd count (KERNEL.md rule 11).
#pragma once
#include "fence.h"
#include "info.h"
#include <stdbool.h>
#include <string.h>

// Copies the whole page. Returns false, with *copy undefined, when no stable copy came out of INFO_TRIES tries or the
// page is none: then the core is as good as dead for readers.
static inline bool info_copy(const struct info_page *shared, struct info_page *copy)
{
	const volatile shared_word_t *from = (const volatile shared_word_t *)shared;
	const volatile uint32_t *sequence = &shared->sequence;
	shared_word_t *to = (shared_word_t *)copy;

	for (int i = 0; i < INFO_TRIES; i++) {
		uint32_t before = *sequence;
		if (before & 1)
			continue;
		fence_r_r(); // partner: fence_w_w in info_end; sequence before content
		for (unsigned w = 0; w < sizeof(*copy) / sizeof(uint64_t); w++)
			to[w] = from[w];
		fence_r_r(); // partner: fence_w_w in info_begin; content before the second look
		if (*sequence == before)
			return copy->magic == INFO_MAGIC && copy->version == INFO_VERSION;
	}
	return false;
}
_Static_assert(sizeof(struct info_page) % sizeof(uint64_t) == 0, "an info page is copied by words");

// The line that publishes that name (NAME_SIZE bytes, or fewer and a zero), 0: none. Of a page that is being written it is a hint.
static inline const struct info_service *info_service_named(const struct info_page *page, const char *name)
{
	for (unsigned i = 0; i < INFO_SERVICE_MAX; i++)
		if (page->services[i].state != SERVICE_NONE && strncmp(page->services[i].name, name, NAME_SIZE) == 0)
			return &page->services[i];
	return 0;
}
