// Commands that show the machine: cores, services, domains, channels, top, info, log; and those that end it.
//
// Reads info pages and asks the supervisor; owns nothing. What it prints is a snapshot: each core's page is consistent
// in itself, two pages are not of the same moment. If the shell dies here, nothing is lost.
#include "abi/channel.h"
#include "apps/shell/shell.h"
#include "runtime/client.h"
#include "runtime/console.h"
#include "runtime/file.h"
#include "runtime/runtime.h"
#include "runtime/supervision.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const core_words[] = {"absent", "starting", "online", "panicked", "parked", "lost"};
static const char *const service_words[] = {"none", "starting", "up", "down", "held"};
static const char *const domain_words[] = {"free",    "created", "ready",   "running",
					   "blocked", "calling", "stopped", "dying"};
#define TOP_US 1000000u // between two looks
#define WORD(words, i) ((i) < sizeof(words) / sizeof((words)[0]) ? (words)[i] : "?")

static struct info_page page;

static unsigned core_count(void)
{
	return info_read(self_core(), &page) && page.core_count <= CORE_MAX ? page.core_count : self_core() + 1;
}

static const char *name_text(const char name[NAME_SIZE], char text[NAME_SIZE + 1])
{
	memcpy(text, name, NAME_SIZE);
	text[NAME_SIZE] = 0;
	return text;
}

// --- cores

static unsigned domains_alive(const struct info_page *p)
{
	unsigned alive = 0;
	for (unsigned i = 0; i < DOMAIN_MAX; i++)
		alive += p->domains[i].state != DOMAIN_FREE;
	return alive;
}

// Idle: the kernel in wfi, and its domains in their own (which they report at each ping; an unwatched one does not).
static uint64_t core_idle(const struct info_page *p)
{
	uint64_t idle = p->idle_ticks;
	for (unsigned i = 0; i < DOMAIN_MAX; i++)
		idle += p->domains[i].idle_ticks;
	return idle;
}

static void core_line(unsigned core)
{
	char all[24], left[24];
	uint64_t state = CORE_LOST, reboots;
	bool known = supervision_core(core, &state, &reboots) == ERR_OK; // a kernel that is silent cannot say so in its page
	if (!info_read(core, &page) || page.magic != INFO_MAGIC) {
		printf("%4u    - %sno info page%s\n", core, shade(SHADE_BAD), shade(SHADE_NONE));
		return;
	}
	uint64_t up = time_now() - page.time_booted;
	if (known && state == CORE_LOST)
		page.state = CORE_LOST;
	printf("%4u %4u %s%-9s%s %11u %7u %5u %9" PRIu64 "%% %10s %10s\n", core, page.hart_id,
	       shade(page.state == CORE_ONLINE ? SHADE_GOOD : SHADE_BAD), WORD(core_words, page.state),
	       shade(SHADE_NONE), page.incarnation, domains_alive(&page), page.guest_files,
	       up ? core_idle(&page) * 100 / up : 0, size_text(page.frames_free * PAGE_SIZE, left),
	       size_text(page.partition_bytes, all));
}

static int command_cores(int argc, char **argv)
{
	(void)argv;
	if (argc != 1)
		return STATUS_USAGE;
	unsigned count = core_count();
	printf("%s%4s %4s %-9s %11s %7s %5s %10s %10s %10s%s\n", shade(SHADE_HEAD), "core", "hart", "state",
	       "incarnation", "domains", "files", "idle", "free", "memory", shade(SHADE_NONE));
	for (unsigned core = 0; core < count; core++)
		core_line(core);
	// Harts for which this image has no core, or the machine no memory. Nobody keeps their numbers.
	for (unsigned i = count; info_read(self_core(), &page) && i < page.hart_count; i++)
		printf("%4s %4s %s%-9s%s\n", "-", "-", shade(SHADE_BAD), WORD(core_words, CORE_PARKED), shade(SHADE_NONE));
	return STATUS_OK;
}

// --- services

static int command_services(int argc, char **argv)
{
	struct supervisor_service s;
	char name[NAME_SIZE + 1], last[24], max[24];
	enum error e;
	(void)argv;
	if (argc != 1)
		return STATUS_USAGE;
	printf("%s%-15s %4s %6s %6s %-8s %8s %6s %5s %10s %-9s %10s %10s%s\n", shade(SHADE_HEAD), "service", "core",
	       "domain", "epoch", "state", "restarts", "faults", "hangs", "complaints", "last", "restart", "slowest",
	       shade(SHADE_NONE));
	for (unsigned i = 0; (e = supervision_service(i, &s)) == ERR_OK; i++)
		printf("%-15s %4u %6u %6u %s%-8s%s %8u %6u %5u %10u %-9s %10s %10s\n", name_text(s.name, name), s.core,
		       s.domain, s.epoch, shade(s.state == SERVICE_UP ? SHADE_GOOD : SHADE_NONE),
		       WORD(service_words, s.state), shade(SHADE_NONE), s.restarts, s.faults, s.hangs, s.complaints,
		       supervision_fault_word(s.last_fault), duration_text(s.restart_ticks_last, last),
		       duration_text(s.restart_ticks_max, max));
	return e == ERR_NOT_FOUND ? STATUS_OK : complain("supervisor", e);
}

// --- domains

// What it says of itself with each pong is not younger than that; a domain that is not watched says nothing.
static uint64_t busy_ticks(const struct info_domain *d)
{
	return d->run_ticks > d->idle_ticks ? d->run_ticks - d->idle_ticks : 0;
}

static void domain_line(unsigned core, unsigned index, const struct info_domain *d)
{
	char name[NAME_SIZE + 1], ran[24];
	printf("%4u %6u %-15s %-8s %6u %8u %5u %8u %7u %10" PRIu64 " %9" PRIu64 " %11s\n", core, index,
	       name_text(d->name, name), WORD(domain_words, d->state), d->epoch, d->priority, d->guest_file, d->frames,
	       d->faults, d->switches, d->doorbells_kernel, duration_text(busy_ticks(d), ran));
}

static int command_domains(int argc, char **argv)
{
	(void)argv;
	if (argc != 1)
		return STATUS_USAGE;
	unsigned count = core_count();
	printf("%s%4s %6s %-15s %-8s %6s %8s %5s %8s %7s %10s %9s %11s%s\n", shade(SHADE_HEAD), "core", "domain",
	       "name", "state", "epoch", "priority", "file", "frames", "faults", "switches", "by kernel", "busy",
	       shade(SHADE_NONE));
	for (unsigned core = 0; core < count; core++) {
		if (!info_read(core, &page))
			continue;
		for (unsigned i = 0; i < DOMAIN_MAX; i++)
			if (page.domains[i].state != DOMAIN_FREE)
				domain_line(core, i, &page.domains[i]);
	}
	return STATUS_OK;
}

// --- channels

static void channel_line(unsigned slot, const struct kernel_result *info)
{
	static const char *const states[] = {"free", "requested", "open", "down", "closed", "lost"};
	struct kernel_result name = kcall(CALL_channel_name, slot);
	char text[NAME_SIZE + 1], out[24], in[24];
	uint64_t peer = info->value[4];
	memcpy(text, name.value, NAME_SIZE);
	text[NAME_SIZE] = 0;
	printf("%4u %-15s %-6s %-9s %4u:%-3u %6u %5u %8u %-8s %10s %10s\n", slot, text,
	       info->value[0] & 1 ? "server" : "client", WORD(states, (info->value[0] >> 1 & 7)),
	       CHANNEL_PEER_CORE(peer), CHANNEL_PEER_DOMAIN(peer), CHANNEL_PEER_EPOCH(peer),
	       (unsigned)(info->value[1] >> 32), CHANNEL_OWN_IDENTITY(info->value[1]),
	       info->value[0] & CHANNEL_HAS_DOORBELL_PAGE ? "direct" : "kernel", size_text(info->value[2], out),
	       size_text(info->value[3], in));
}

static int channel_statistics(const char *service)
{
	struct supervisor_service s;
	struct client *client;
	char served[NAME_SIZE + 1];
	enum error e = supervision_find(service, &s);
	if (e != ERR_OK)
		return complain(service, e);
	supervision_served_name(&s, served);
	e = supervision_channel(served, &client);
	if (e != ERR_OK)
		return complain(served, e);
	struct client_request request = {.op = RUNTIME_OP_STATISTICS};
	e = client_call(client, &request);
	if (e != ERR_OK)
		return complain(served, e);
	const uint64_t *r = request.completion.result;
	printf("%s: %" PRIu64 " requests, %" PRIu64 " completions; in this incarnation (epoch %u): adopted %" PRIu64
	       ", replayed %" PRIu64 ", performed again %" PRIu64 "\n",
	       served, r[0], r[1], client_server_epoch(client), r[2], r[3], r[4]);
	return STATUS_OK;
}

static int command_channels(int argc, char **argv)
{
	if (argc > 2)
		return STATUS_USAGE;
	if (argc == 2)
		return channel_statistics(argv[1]);
	printf("%s%4s %-15s %-6s %-9s %8s %6s %5s %8s %-8s %10s %10s%s\n", shade(SHADE_HEAD), "slot", "service",
	       "role", "state", "peer", "epoch", "slots", "identity", "doorbell", "out", "in", shade(SHADE_NONE));
	for (unsigned slot = 0; slot < CHANNEL_MAX; slot++) {
		struct kernel_result info = kcall(CALL_channel_info, slot);
		if (info.error == ERR_OK && (info.value[0] >> 1 & 7) != CHANNEL_FREE)
			channel_line(slot, &info);
	}
	printf("these are the shell's own; `channels SERVICE` shows what a service has done\n");
	return STATUS_OK;
}

// --- top

struct top_count { // so far
	uint64_t ticks;
	uint32_t switches;
	uint32_t traps;
	uint32_t doorbells;
	uint32_t served;
};

struct top_line {
	unsigned core;
	unsigned index;
	struct top_count in; // the time between two samples
	char name[NAME_SIZE + 1];
};

static struct top_count before[CORE_MAX][DOMAIN_MAX];
static struct top_line top_lines[256];

// Ticks that a domain had the core and did not sleep there. One that is not watched (hang_ms = 0) does not tell its sleep.
static uint64_t domain_busy(const struct info_domain *d)
{
	return d->run_ticks > d->idle_ticks ? d->run_ticks - d->idle_ticks : 0;
}

static struct top_count top_count(const struct info_domain *d)
{
	return (struct top_count){.ticks = domain_busy(d),
				  .switches = (uint32_t)d->switches,
				  .traps = d->traps,
				  .doorbells = (uint32_t)d->doorbells_kernel + d->claimed,
				  .served = d->served};
}

static uint32_t top_since(uint32_t now, uint32_t then)
{
	return now >= then ? now - then : now; // less: another domain, or a new incarnation
}

// Sleep is told later than it was slept, so the ticks can have become fewer.
static void top_subtract(struct top_count *now, const struct top_count *then)
{
	now->ticks = now->ticks >= then->ticks ? now->ticks - then->ticks : 0;
	now->switches = top_since(now->switches, then->switches);
	now->traps = top_since(now->traps, then->traps);
	now->doorbells = top_since(now->doorbells, then->doorbells);
	now->served = top_since(now->served, then->served);
}

// The lines of what was between the last sample and this one.
static unsigned top_sample(unsigned count)
{
	unsigned used = 0;
	for (unsigned core = 0; core < count; core++) {
		if (!info_read(core, &page))
			continue;
		for (unsigned i = 0; i < DOMAIN_MAX; i++) {
			const struct info_domain *d = &page.domains[i];
			struct top_count now = top_count(d), then = before[core][i];
			before[core][i] = now;
			if (d->state == DOMAIN_FREE || used == 256)
				continue;
			struct top_line *line = &top_lines[used++];
			*line = (struct top_line){.core = core, .index = i, .in = now};
			top_subtract(&line->in, &then);
			name_text(d->name, line->name);
		}
	}
	return used;
}

static int top_compare(const void *a, const void *b)
{
	const struct top_line *x = a, *y = b;
	return x->in.ticks < y->in.ticks ? 1 : x->in.ticks > y->in.ticks ? -1 : 0;
}

static void top_print(unsigned used, uint64_t ticks)
{
	qsort(top_lines, used, sizeof(top_lines[0]), top_compare);
	printf("%s%-15s %4s %6s %7s %9s %9s %9s %9s%s\n", shade(SHADE_HEAD), "domain", "core", "index", "busy", "switches", "traps",
	       "doorbells", "requests", shade(SHADE_NONE));
	for (unsigned i = 0; i < used && i < 20; i++) {
		const struct top_line *l = &top_lines[i];
		uint64_t mille = ticks ? l->in.ticks * 1000 / ticks : 0;
		printf("%-15s %4u %6u %5" PRIu64 ".%" PRIu64 "%% %9u %9u %9u %9u\n", l->name, l->core, l->index, mille / 10,
		       mille % 10, l->in.switches, l->in.traps, l->in.doorbells, l->in.served);
	}
	printf("busy: had the core and did not sleep; doorbells: received; requests: served. Sleep, requests and doorbells without the "
	       "kernel are told by who is watched, at each ping: not by shell and apps\n");
}

static int command_top(int argc, char **argv)
{
	uint64_t rounds = ~0ull; // until ^C
	if (argc > 2 || (argc == 2 && !number_parse(argv[1], &rounds)))
		return STATUS_USAGE;
	unsigned count = core_count();
	(void)top_sample(count);
	for (uint64_t i = 0; i < rounds && !console_interrupted(); i++) {
		uint64_t start = time_now();
		console_flush();
		if (!pause_us(TOP_US))
			break;
		unsigned used = top_sample(count);
		top_print(used, time_now() - start);
	}
	return STATUS_OK;
}

// --- info

static const char *const counter_words[INFO_COUNTERS] = {
	"calls", "faults", "wfi traps", "timer", "external", "guest external", "floating point",
	"switches", "mesh sent", "mesh received", "doorbells by kernel", "pings", "endpoint calls"};

static void services_print(const struct info_page *p)
{
	char name[NAME_SIZE + 1];
	for (unsigned i = 0; i < INFO_SERVICE_MAX; i++) {
		const struct info_service *s = &p->services[i];
		if (s->state != SERVICE_NONE)
			printf("  serves %-15s domain %u epoch %u %s\n", name_text(s->name, name), s->domain, s->epoch,
			       WORD(service_words, s->state));
	}
}

static int command_info(int argc, char **argv)
{
	uint64_t core;
	char text[24], kernel[24];
	if (argc != 2 || !number_parse(argv[1], &core))
		return STATUS_USAGE;
	if (core >= core_count()) {
		printf("info: there is no core %" PRIu64 ", the machine has %u\n", core, core_count());
		return STATUS_FAILED;
	}
	if (!info_read((unsigned)core, &page))
		return complain("info page", ERR_CORE_LOST);
	printf("core %u on hart %u, %s, incarnation %u, up %s\n", page.core_id, page.hart_id,
	       WORD(core_words, page.state), page.incarnation, duration_text(time_now() - page.time_booted, text));
	printf("  partition %#" PRIx64 ", %s, ", page.partition_base, size_text(page.partition_bytes, text));
	printf("%s free\n", size_text(page.frames_free * PAGE_SIZE, text));
	printf("  guest files %u, identities %u, time base %" PRIu64 " Hz\n", page.guest_files, page.identities,
	       page.timebase);
	printf("  idle %s, %s of it in the kernel; kernel entries %" PRIu64 "\n",
	       duration_text(core_idle(&page), text), duration_text(page.idle_ticks, kernel), page.heartbeat);
	for (unsigned i = 0; i < INFO_COUNTERS; i++)
		printf("  %-20s %12" PRIu64 "\n", counter_words[i], page.counters[i]);
	services_print(&page);
	return STATUS_OK;
}

// --- log, version, poweroff

static int command_log(int argc, char **argv)
{
	static char text[2048];
	uint64_t offset = 0, next;
	size_t got;
	enum error e;
	(void)argv;
	if (argc != 1)
		return STATUS_USAGE;
	while ((e = supervision_log(offset, text, sizeof(text), &got, &next)) == ERR_OK && got > 0 && next > offset) {
		console_write(text, got);
		offset = next;
	}
	console_flush();
	return e == ERR_OK ? STATUS_OK : complain("log", e);
}

static int command_version(int argc, char **argv)
{
	(void)argv;
	if (argc != 1)
		return STATUS_USAGE;
	unsigned count = core_count();
	printf("Planaria, %u core%s, info page version %u, built with %s\n", count, count == 1 ? "" : "s",
	       INFO_VERSION, __VERSION__);
	return STATUS_OK;
}

// What was acknowledged goes to the medium before the power goes; without a file system that is up there is nothing.
static void sync_files(void)
{
	struct info_service fs;
	enum error e = info_find_service("fs", 0, &fs) ? file_sync() : ERR_OK;
	if (e != ERR_OK)
		(void)complain("sync", e);
}

// One write, and a line of its own even when another client's line is half out: scripts read it.
static void say_exit_status(uint64_t code)
{
	char text[40];
	int length = snprintf(text, sizeof(text), "\nexit status %" PRIu64 "\n", code);
	fflush(stdout);
	console_write(text, (size_t)length);
}

static int power(int argc, char **argv, bool reboot)
{
	uint64_t code = 0;
	if (argc > 2 || (argc == 2 && !number_parse(argv[1], &code)))
		return STATUS_USAGE;
	sync_files();
	if (!reboot)
		say_exit_status(code);
	console_drain();
	enum error e = supervision_power(reboot, code);
	return complain("power", e);
}

static int command_poweroff(int argc, char **argv)
{
	return power(argc, argv, false);
}

static int command_reboot(int argc, char **argv)
{
	return argc == 1 ? power(argc, argv, true) : STATUS_USAGE;
}

const struct command commands_system[] = {
	{"cores", "", "the cores and their state", command_cores},
	{"services", "", "what the supervisor runs", command_services},
	{"domains", "", "the domains of every core", command_domains},
	{"channels", "[SERVICE]", "the shell's channels; what a service has done", command_channels},
	{"top", "[ROUNDS]", "load, traps, doorbells and requests of each domain, every second until ^C", command_top},
	{"info", "CORE", "a core's info page", command_info},
	{"log", "", "the supervisor's crash log", command_log},
	{"version", "", "what this is", command_version},
	{"poweroff", "[CODE]", "print the exit status and power off", command_poweroff},
	{"reboot", "", "start the machine again", command_reboot},
	{0},
};
