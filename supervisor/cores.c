// Cores (cores.h).
//
// Owns, for each core, the incarnation of its kernel that was last seen, and whether it is lost. Death is asked for, never
// read: pings that are not answered within CALL_DEADLINE_MS. The kernels start a dead one again by themselves
// (kernel/reboot.h); here its services are marked, and restarted in the reborn kernel by the usual steps. It must never do
// that before the new incarnation is online, and it may do it twice: each step may be repeated. If the supervisor dies,
// its next incarnation adopts what it finds; domains that are stopped are restarted by services_adopt.
#include "supervisor/cores.h"
#include "abi/info.h"
#include "runtime/runtime.h"
#include "supervisor/print.h"
#include "supervisor/services.h"
#include "supervisor/watch.h"

static struct {
	struct core_record {
		uint32_t incarnation;
		uint32_t reboots;
		uint32_t missed; // pings in a row
		bool lost;
		bool fenced;
		uint64_t since; // it was seen to be lost
	} core[CORE_MAX];
	struct timer ping;
} cores;

static struct info_page cores_page; // a page is too much for a fiber's stack

static bool cores_online(unsigned core)
{
	return info_read(core, &cores_page) && cores_page.state == CORE_ONLINE;
}

unsigned cores_state(unsigned core)
{
	if (cores.core[core].fenced)
		return CORE_LOST;
	return info_read(core, &cores_page) ? cores_page.state : CORE_STARTING; // its page is being made
}

uint32_t cores_reboots(unsigned core)
{
	return cores.core[core].reboots;
}

static void cores_lose(unsigned core, const char *why)
{
	struct core_record *c = &cores.core[core];
	if (c->lost)
		return;
	c->lost = true;
	c->since = time_now();
	services_set_lost(core);
	say("supervisor: core %u is lost: %s", core, why);
}

static void cores_silent(unsigned core)
{
	cores_lose(core, "its kernel does not answer");
	kcall(CALL_core_reboot, core);
}

static void cores_return(unsigned core)
{
	struct core_record *c = &cores.core[core];
	uint64_t lost = c->lost ? c->since : time_now();
	if (!c->lost) // it went and came before we looked
		services_set_lost(core);
	c->incarnation = cores_page.incarnation;
	c->reboots++;
	c->missed = 0;
	c->lost = c->fenced = false;
	unsigned back = services_return(core, lost);
	uint64_t us = time_us_from_ticks(time_now() - lost);
	say("supervisor: core %u is back as incarnation %u: %u services started again after %u.%03u ms", core, c->incarnation,
	    back, (unsigned)(us / 1000), (unsigned)(us % 1000));
}

void cores_event(unsigned core)
{
	if (core >= services_cores() || core == self_core())
		return;
	struct core_record *c = &cores.core[core];
	bool online = cores_online(core);
	if (online && c->incarnation == 0) { // late at boot
		c->incarnation = cores_page.incarnation;
	} else if (online && cores_page.incarnation != c->incarnation) {
		cores_return(core);
	} else if (!online) {
		cores_lose(core, cores_page.state == CORE_PANICKED ? "its kernel panicked" : "its kernel does not answer");
	} else if (kcall(CALL_core_ping, core).error) { // the kernels have given it up
		cores_lose(core, "its kernel does not answer");
		c->fenced = true;
		say("supervisor: core %u is fenced off: its hart does not stop, so nothing that it could still write is used again",
		    core);
	}
}

static void cores_ping(struct timer *timer)
{
	for (unsigned core = 0; core < services_cores(); core++) {
		if (core == self_core() || cores.core[core].lost || cores.core[core].incarnation == 0)
			continue;
		struct core_record *c = &cores.core[core];
		c->missed = kcall(CALL_core_ping, core).error == ERR_CORE_LOST ? c->missed + 1 : 0;
		if (c->missed == CORES_MISSED)
			cores_silent(core);
	}
	print_pump();
	timer_arm(timer, time_now() + time_ticks_from_us(CORES_PING_MS * 1000ull));
}

void cores_begin(void)
{
	for (unsigned core = 0; core < services_cores(); core++)
		cores.core[core] = (struct core_record){.incarnation = cores_online(core) ? cores_page.incarnation : 0};
	if (services_cores() == 1)
		return;
	cores.ping.expired = cores_ping;
	timer_arm(&cores.ping, time_now() + time_ticks_from_us(CORES_PING_MS * 1000ull));
}
