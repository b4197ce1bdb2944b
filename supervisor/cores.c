// Cores (cores.h).
//
// Owns, for each core, the incarnation of its kernel that was last seen, and whether it is lost. Death is asked for, never
// read: pings that are not answered within PING_DEADLINE_MS. The kernels start a dead one again by themselves
// (kernel/reboot.h); here its services are marked, and restarted in the reborn kernel by the usual steps. It must never do
// that before the new incarnation is online, and it may do it twice: each step may be repeated. If the supervisor dies,
// its next incarnation adopts core by core, when each is online; until then it starts nothing (cores_settled), for what it
// would start may stand on a core that is coming back. Our kernel believes nobody, not even us, that a core is silent: it asks
// that core itself, and if it answers nothing is done to it (ERR_ALIVE).
#include "supervisor/cores.h"
#include "abi/info.h"
#include "runtime/call_ring.h"
#include "runtime/runtime.h"
#include "supervisor/print.h"
#include "supervisor/services.h"
#include "supervisor/watch.h"
#include <string.h>

static struct {
	struct core_record {
		uint32_t incarnation; // 0: it was not online yet, or is not adopted
		uint32_t missed; // pings in a row
		bool lost;
		bool lives; // it was lost to us, but it has answered our kernel: what stands there is looked at again
		bool fenced;
		uint64_t since; // it was seen to be lost
	} core[CORE_MAX];
	struct timer ping;
	uint64_t turns;
	bool silent; // some core has missed its last ping
	uint64_t begun;
	struct fiber *waits; // for cores_settled, 0: nobody
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

bool cores_usable(unsigned core)
{
	return core == self_core() || (!cores.core[core].lost && cores_state(core) == CORE_ONLINE);
}

uint32_t cores_reboots(unsigned core)
{
	return cores.core[core].incarnation ? cores.core[core].incarnation - 1 : 0;
}

uint64_t cores_turns(void)
{
	return cores.turns;
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

void cores_doubt(unsigned core)
{
	if (core == self_core() || cores.core[core].lost)
		return;
	cores_lose(core, "its kernel does not answer");
	cores.core[core].lives = kcall(CALL_core_reboot, core).error == ERR_ALIVE;
}

static void cores_return(unsigned core)
{
	struct core_record *c = &cores.core[core];
	uint64_t lost = c->lost ? c->since : time_now();
	if (!c->lost) // it went and came before we looked
		services_set_lost(core);
	c->incarnation = cores_page.incarnation;
	c->missed = 0;
	c->lost = c->lives = c->fenced = false;
	unsigned back = services_return(core, lost);
	services_sweep(core);
	uint64_t us = time_us_from_ticks(time_now() - lost);
	say("supervisor: core %u is back as incarnation %u: %u services there again after %u.%03u ms", core, c->incarnation,
	    back, (unsigned)(us / 1000), (unsigned)(us % 1000));
}

// The kernels have given it up?
static void cores_mark_fenced(unsigned core)
{
	struct core_record *c = &cores.core[core];
	enum error error = c->fenced ? ERR_OK : kcall(CALL_core_reboot, core).error;
	c->lives = error == ERR_ALIVE;
	if (error != ERR_CORE_LOST)
		return;
	c->fenced = true;
	services_fence(core);
	if (c->incarnation == 0 && info_read(core, &cores_page)) {
		services_mourn(core, &cores_page);
		c->incarnation = cores_page.incarnation;
	}
	say("supervisor: core %u is fenced off: nothing that it could still write is used again", core);
}

static bool cores_answers(unsigned core)
{
	unsigned missed = 0;
	while (core != self_core() && missed < CORES_MISSED && kcall(CALL_core_ping, core, 1).error == ERR_CORE_LOST)
		missed++;
	return missed < CORES_MISSED;
}

// It is online, and new to us. It may have died a moment ago, and may die while we adopt; then all this is done again.
static void cores_arrive(unsigned core)
{
	struct core_record *c = &cores.core[core];
	uint32_t incarnation = cores_page.incarnation;
	bool answers = !self_restarted() || cores_answers(core);
	if (answers && c->lost) // a part of it was adopted before
		services_return(core, c->since);
	if (answers) {
		c->lost = false;
		answers = !self_restarted() || services_adopt(core);
	}
	if (answers) {
		c->incarnation = incarnation;
		return;
	}
	cores_lose(core, "its kernel does not answer");
	cores_mark_fenced(core);
}

static void cores_tell(void)
{
	if (cores.waits && cores_settled())
		fiber_wake(cores.waits);
}

static void cores_look(unsigned core)
{
	struct core_record *c = &cores.core[core];
	bool online = cores_online(core);
	if (online && c->incarnation == 0) {
		cores_arrive(core);
	} else if (online && cores_page.incarnation != c->incarnation) {
		cores_return(core);
	} else if (!online || !cores_answers(core)) {
		cores_lose(core, cores_page.state == CORE_PANICKED ? "its kernel panicked" : "its kernel does not answer");
		cores_mark_fenced(core);
	}
}

void cores_event(unsigned core)
{
	if (core >= services_cores() || core == self_core())
		return;
	cores_look(core);
	cores_tell();
}

// What may have changed since the last ping without anybody telling us.
static void cores_watch(unsigned core)
{
	struct core_record *c = &cores.core[core];
	if (core != self_core() && c->incarnation == 0 && self_restarted() && cores_online(core))
		cores_look(core);
	if (c->lost && c->lives && cores_online(core) && cores_page.incarnation == c->incarnation)
		cores_return(core);
}

// A batch of one call each to those that are chosen: who does not answer costs its deadline once, and not once for each of them.
static void cores_ask(enum call number, bool (*chosen)(unsigned core), void (*answered)(unsigned core, enum error error))
{
	unsigned call[CORE_MAX];
	calls_begin();
	for (unsigned core = 0; core < services_cores(); core++)
		call[core] = chosen(core) ? calls_add(number, CALLS_NONE, CALLS_NONE, core, 1, 0, 0, 0, 0) : CALLS_NONE;
	calls_perform();
	for (unsigned core = 0; core < services_cores(); core++)
		if (call[core] != CALLS_NONE)
			answered(core, calls_result(call[core]).error);
}

static bool cores_is_pinged(unsigned core)
{
	return core != self_core() && !cores.core[core].lost && cores.core[core].incarnation;
}

static void cores_pinged(unsigned core, enum error error)
{
	struct core_record *c = &cores.core[core];
	c->missed = error == ERR_CORE_LOST ? c->missed + 1 : 0;
	cores.silent |= c->missed == CORES_MISSED;
}

static bool cores_is_silent(unsigned core)
{
	return cores_is_pinged(core) && cores.core[core].missed == CORES_MISSED;
}

static void cores_judged(unsigned core, enum error error)
{
	if (error == ERR_ALIVE) // it was late only
		cores.core[core].missed = 0;
	else
		cores_lose(core, "its kernel does not answer");
}

static void cores_ping(struct timer *timer)
{
	cores.turns++;
	for (unsigned core = 0; core < services_cores(); core++) {
		if (cores.core[core].fenced) // it may have stopped since
			kcall(CALL_core_reboot, core);
		cores_watch(core);
	}
	cores.silent = false;
	cores_ask(CALL_core_ping, cores_is_pinged, cores_pinged);
	if (cores.silent)
		cores_ask(CALL_core_reboot, cores_is_silent, cores_judged);
	services_advance(); // what waited for a core
	cores_tell();
	print_pump();
	timer_arm(timer, time_now() + time_ticks_from_us(CORES_PING_MS * 1000ull));
}

bool cores_settled(void)
{
	bool settled = true;
	for (unsigned core = 0; core < services_cores() && self_restarted(); core++)
		settled &= cores.core[core].incarnation != 0 || cores.core[core].fenced;
	return settled || time_us_from_ticks(time_now() - cores.begun) > CORES_RETURN_MS * 1000ull;
}

void cores_await(void)
{
	cores.waits = fiber_self();
	while (!cores_settled())
		fiber_park();
	cores.waits = 0;
}

void cores_begin(void)
{
	memset(&cores.core, 0, sizeof cores.core);
	cores.begun = time_now();
	for (unsigned core = 0; core < services_cores(); core++) {
		if (cores_online(core))
			cores_arrive(core);
	}
	if (services_cores() == 1)
		return;
	cores.ping.expired = cores_ping;
	timer_arm(&cores.ping, time_now() + time_ticks_from_us(CORES_PING_MS * 1000ull));
}
