// Banner, said once, when everything that starts by itself has started or is certain not to.
//
// Owns nothing; reads the info pages and the table. If the supervisor dies, the next one says none.
#include "supervisor/banner.h"
#include "runtime/runtime.h"
#include "supervisor/services.h"
#include <string.h>

static const char *banner_core_state(uint32_t state)
{
	static const char *const name[] = {"absent", "starting", "online", "panicked", "parked", "lost"};
	return state < sizeof name / sizeof name[0] ? name[state] : "unknown";
}

static const char *banner_service_state(enum service_state state)
{
	static const char *const name[] = {"not started", "starting", "up", "down", "held"};
	return name[state];
}

static void banner_core(unsigned core)
{
	static struct info_page page;
	if (!info_read(core, &page)) {
		say("  core %u      does not answer", core);
		return;
	}
	say("  core %-2u     hart %-3u %-8s %5lu MiB, %5lu MiB free, %u guest files", core, page.hart_id,
	    banner_core_state(page.state), (unsigned long)(page.partition_bytes >> 20),
	    (unsigned long)(page.frames_free * PAGE_SIZE >> 20), page.guest_files);
}

static void banner_service(const struct service *s)
{
	const char *state = banner_service_state(services_state(s));
	if (s->domain.handle)
		say("  %-10.16s core %-3u domain %-2u epoch %-3u %s", s->record->name, s->domain.core, s->domain.domain,
		    s->epoch, state);
	else
		say("  %-10.16s %s", s->record->name, state);
}

// Since our kernel came online.
static uint64_t banner_us_since_boot(void)
{
	static struct info_page page;
	return info_read(self_core(), &page) ? time_us_from_ticks(time_now() - page.time_booted) : 0;
}

void banner_say(void)
{
	const struct service *s;
	uint64_t us = banner_us_since_boot();
	say("Planaria: system \"%.16s\", %u cores, up after %lu.%03lu ms", services_image()->manifest.header->system, services_cores(),
	    (unsigned long)(us / 1000), (unsigned long)(us % 1000));
	for (unsigned core = 0; core < services_cores(); core++)
		banner_core(core);
	for (unsigned i = 0; (s = services_at(i)) != 0; i++) {
		if (s->record && !(s->record->flags & SERVICE_FLAG_APP))
			banner_service(s);
	}
}
