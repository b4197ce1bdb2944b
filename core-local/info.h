// Writer of a core's info page (abi/info.h): owns its sequence count and the table of services on it.
//
// Never: reads back from the page what it needs to decide on anything but the page itself. One writer, the kernel of
// that core; readers use abi/info_read.h. If the kernel dies between begin and end, the count stays odd and readers
// give up after INFO_TRIES.
#pragma once
#include "abi/error.h"
#include "abi/info.h"
#include "core-local/types.h"

// Brackets around changes that readers must see as a whole. Not nested.
void info_begin(struct info_page *page);
void info_end(struct info_page *page);

// Counts one more. A single aligned word: needs no brackets.
static inline void info_count(struct info_page *page, enum info_counter counter)
{
	page->counters[counter]++;
}

// Publishes a service with its name (NAME_SIZE bytes, zero-padded): changes the line of that name, or takes a free one;
// SERVICE_NONE removes it. Brackets itself. ERR_LIMIT: table full; ERR_NOT_FOUND: nothing to remove.
enum error info_service_set(struct info_page *page, const char *name, uint32_t domain, epoch_t epoch,
                            enum service_state state);
