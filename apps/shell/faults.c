// Commands that do harm on purpose: crash, hang, restart, inject, flip, points.
//
// Asks the service's runtime (RUNTIME_OP_INJECT) or the supervisor; owns nothing. A crash is awaited by a ping through
// the ring of the service, which the next incarnation answers: no sleeping, no guessing. If the shell dies here, the
// fault stays armed and the supervisor treats it like any other.
#include "apps/shell/shell.h"
#include "runtime/console.h"
#include "runtime/runtime.h"
#include "runtime/supervision.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define EPOCH_LOOKS 2000u
#define EPOCH_PAUSE_US 1000u
#define DOUBTS 100u // in one request
#define ITEM_SIZE 24u // of a list of steps or numbers, with its 0
#define CORE_LOOKS 30000u // a kernel that hangs is given up after some seconds

struct target {
	struct supervisor_service service;
	char name[NAME_SIZE + 1];
	char served[NAME_SIZE + 1];
};

static enum error target_find(const char *name, struct target *target)
{
	enum error e = supervision_find(name, &target->service);
	if (e != ERR_OK)
		return e;
	memcpy(target->name, target->service.name, NAME_SIZE);
	target->name[NAME_SIZE] = 0;
	supervision_served_name(&target->service, target->served);
	return ERR_OK;
}

// Its runtime is asked through a channel, so only what serves somebody, and the shell by its manifest, can be reached.
static int complain_unreached(const struct target *target, enum error e)
{
	struct info_service published = {.state = SERVICE_NONE};
	if (e != ERR_NOT_FOUND)
		return complain(target->served, e);
	(void)info_find_service(target->served, 0, &published);
	printf("%s: %s, so only `crash %s kill` reaches it\n", target->name,
	       published.state == SERVICE_NONE ? "it serves nobody" : "the shell's manifest does not name it in `uses`",
	       target->name);
	return STATUS_FAILED;
}

// Asked to end the first domain, the supervisor denies it: nobody would carry out the rest of the request.
static int complain_denied(const char *name)
{
	printf("%s: it does not end itself on request; `crash %s` and `hang %s` do it by a fault\n", name, name, name);
	return STATUS_FAILED;
}

// For a service that this shell's manifest does not name in `uses`: no ping, so the supervisor is asked until its epoch
// has changed.
static enum error await_epoch(const struct target *target)
{
	struct supervisor_service now;
	enum error e = ERR_OK;
	for (unsigned i = 0; i < EPOCH_LOOKS && e == ERR_OK; i++) {
		e = supervision_find(target->name, &now);
		if (e == ERR_OK && now.epoch != target->service.epoch && now.state == SERVICE_UP)
			return ERR_OK;
		if (!pause_us(EPOCH_PAUSE_US))
			break;
	}
	return e == ERR_OK ? ERR_TIMEOUT : e;
}

// After the fault: says how long it took from `start` until the service answered again, and its new epoch.
static int report_return(const struct target *target, const char *how, uint64_t start)
{
	struct supervisor_service now;
	char text[24];
	console_flush();
	enum error e = supervision_ping(target->served);
	if (e == ERR_NOT_FOUND)
		e = await_epoch(target);
	uint64_t ticks = time_now() - start;
	if (e == ERR_OK)
		e = supervision_find(target->name, &now);
	if (e != ERR_OK)
		return complain(target->name, e);
	if (now.epoch == target->service.epoch)
		printf("%s: %s armed, still epoch %u\n", target->name, how, now.epoch);
	else
		printf("%s: %s, back after %s, epoch %u -> %u\n", target->name, how, duration_text(ticks, text),
		       target->service.epoch, now.epoch);
	return STATUS_OK;
}

static int crash(const char *name, const char *how)
{
	struct target target;
	bool kill = strcmp(how, "kill") == 0;
	enum inject_action action = supervision_action(how);
	if (!kill && action == INJECT_NONE)
		return STATUS_USAGE;
	enum error e = target_find(name, &target);
	if (e != ERR_OK)
		return complain(name, e);
	uint64_t start = time_now();
	e = kill ? supervision_kill(target.name) : supervision_inject(target.served, "", action, 1, ERR_INJECTED);
	if (kill && e == ERR_DENIED)
		return complain_denied(name);
	if (e != ERR_OK)
		return kill ? complain(name, e) : complain_unreached(&target, e);
	return report_return(&target, how, start);
}

// A service on that core that answers pings; false: none but perhaps this shell.
static bool core_service(unsigned core, struct target *target)
{
	struct supervisor_service s;
	for (unsigned i = 0; supervision_service(i, &s) == ERR_OK; i++)
		if (s.core == core && s.domain != self_domain() && s.state == SERVICE_UP && s.job == 0 &&
		    target_find(s.name, target) == ERR_OK)
			return true;
	return false;
}

// Whom the death of a core's kernel is measured by.
static struct victim {
	uint64_t reboots;
	unsigned doom; // where the next ones die
	bool served;   // by a service there that answers pings
	struct target target;
} victims[CORE_MAX];

// Waits until the core has a new kernel and its services are started there, or it is fenced off.
static enum error await_core(unsigned core)
{
	uint64_t state, now;
	for (unsigned i = 0; i < CORE_LOOKS; i++) {
		enum error e = supervision_core(core, &state, &now);
		if (e != ERR_OK || state == CORE_LOST)
			return e == ERR_OK ? ERR_CORE_LOST : e;
		if (state == CORE_ONLINE && now != victims[core].reboots)
			return ERR_OK;
		if (!pause_us(EPOCH_PAUSE_US))
			break;
	}
	return ERR_TIMEOUT;
}

// "1" or "1,3": a bit for each core.
static bool cores_parse(const char *text, uint64_t *cores)
{
	uint64_t core;
	char part[4];
	*cores = 0;
	for (size_t n; *text; text += n + (text[n] == ',')) {
		n = strcspn(text, ",");
		if (n == 0 || n >= sizeof(part))
			return false;
		memcpy(part, text, n);
		part[n] = 0;
		if (!number_parse(part, &core) || core >= CORE_MAX)
			return false;
		*cores |= 1ul << core;
	}
	return *cores != 0;
}

static unsigned word_find(const char *const *words, unsigned count, const char *word)
{
	unsigned i = 0;
	while (i < count && strcmp(words[i], word) != 0)
		i++;
	return i;
}

static enum error crash_await(uint64_t cores, bool hang)
{
	enum error e = ERR_OK;
	for (unsigned core = 0; core < CORE_MAX && e == ERR_OK; core++) {
		if (!(cores >> core & 1))
			continue;
		e = victims[core].served && !hang ? supervision_ping(victims[core].target.served) : ERR_NOT_FOUND;
		if (e != ERR_NOT_FOUND)
			continue;
		e = await_core(core); // nobody there whom this shell's manifest names
		if (e == ERR_OK && victims[core].served)
			e = await_epoch(&victims[core].target);
	}
	return e;
}

// The n-th of a list like "meet,claim"; the last one, when it has no more.
static const char *list_item(const char *list, unsigned n, char item[ITEM_SIZE])
{
	for (const char *comma; n > 0 && (comma = strchr(list, ',')); n--)
		list = comma + 1;
	size_t length = strcspn(list, ",");
	length = length < ITEM_SIZE ? length : ITEM_SIZE - 1; // no step, and no number that fits
	memcpy(item, list, length);
	item[length] = 0;
	return item;
}

// STEP and TIMES are of all victims, or a list with one for each.
static bool dooms_parse(int argc, char **argv, uint64_t cores)
{
	static const char *const steps[] = {"", "claim", "meet", "finish", "online", "hang", "young"};
	char item[ITEM_SIZE];
	unsigned n = 0;
	for (unsigned core = 0; core < CORE_MAX; core++) {
		if (!(cores >> core & 1))
			continue;
		uint64_t times = 1;
		unsigned step = argc > 0 ? word_find(steps, DOOM_STEPS, list_item(argv[0], n, item)) : 0;
		if (step == DOOM_STEPS || (argc > 1 && !number_parse(list_item(argv[1], n, item), &times)))
			return false;
		victims[core].doom = step ? (unsigned)times << 3 | step : 0;
		n++;
	}
	return true;
}

// Those of one doom at once.
static enum error victims_crash(uint64_t cores, unsigned how)
{
	enum error e = ERR_OK;
	while (cores && e == ERR_OK) {
		unsigned doom = victims[__builtin_ctzl(cores)].doom;
		uint64_t same = 0;
		for (unsigned core = 0; core < CORE_MAX; core++)
			same |= (cores >> core & 1 && victims[core].doom == doom) ? 1ul << core : 0;
		e = supervision_core_crash(same, how, doom);
		cores &= ~same;
	}
	return e;
}

// crash core N[,N] [HOW [STEP[,STEP] [TIMES[,TIMES]]]]
static int crash_core(int argc, char **argv)
{
	static const char *const words[] = {"panic", "jump", "store", "hang", "nap", "spoil", "deaf", "grants"};
	uint64_t cores, state;
	enum error e = ERR_OK;
	char text[24];
	unsigned how = argc > 1 ? word_find(words, CORE_CRASH_KINDS, argv[1]) : 0;
	if (!cores_parse(argv[0], &cores) || how == CORE_CRASH_KINDS || !dooms_parse(argc - 2, argv + 2, cores))
		return STATUS_USAGE;
	for (unsigned core = 0; core < CORE_MAX; core++) {
		if (!(cores >> core & 1))
			continue;
		e = e == ERR_OK ? supervision_core(core, &state, &victims[core].reboots) : e;
		victims[core].served = core_service(core, &victims[core].target);
	}
	uint64_t start = time_now();
	if (e == ERR_OK)
		e = victims_crash(cores, how);
	if (e == ERR_OK || e == ERR_PEER_LOST) // the supervisor can be among the victims
		e = crash_await(cores, how > CORE_CRASH_HANG && how != CORE_CRASH_GRANTS); // whose servers may go on
	if (e != ERR_OK)
		return complain(argv[0], e);
	printf("core %s: %s, served after %s\n", argv[0], argc > 1 ? argv[1] : words[0], duration_text(time_now() - start, text));
	return STATUS_OK;
}

// doubt N[,N] [TIMES]
static int command_doubt(int argc, char **argv)
{
	uint64_t cores, times = 1, done = 0, refused = 0, some;
	enum error e = ERR_OK;
	if (argc < 2 || argc > 3 || !cores_parse(argv[1], &cores) || (argc > 2 && !number_parse(argv[2], &times)))
		return STATUS_USAGE;
	for (uint64_t n; done < times && e == ERR_OK && !console_interrupted(); done += n, refused += some) {
		n = times - done < DOUBTS ? times - done : DOUBTS;
		e = supervision_doubt(cores, n, &some);
	}
	if (e != ERR_OK)
		return complain(argv[1], e);
	printf("core %s: said to be silent %" PRIu64 " times, %" PRIu64 " answers\n", argv[1], done, refused);
	return STATUS_OK;
}

static int command_crash(int argc, char **argv)
{
	if (argc >= 3 && argc <= 6 && strcmp(argv[1], "core") == 0)
		return crash_core(argc - 2, argv + 2);
	if (argc < 2 || argc > 3)
		return STATUS_USAGE;
	return crash(argv[1], argc == 3 ? argv[2] : "illegal");
}

static int command_hang(int argc, char **argv)
{
	return argc == 2 ? crash(argv[1], "hang") : STATUS_USAGE;
}

static int command_restart(int argc, char **argv)
{
	struct target target;
	if (argc != 2)
		return STATUS_USAGE;
	enum error e = target_find(argv[1], &target);
	if (e != ERR_OK)
		return complain(argv[1], e);
	uint64_t start = time_now();
	e = supervision_restart(target.name);
	if (e == ERR_DENIED) {
		printf("%s: only services are restarted on request, not apps and not the supervisor\n", target.name);
		return STATUS_FAILED;
	}
	if (e != ERR_OK)
		return complain(target.name, e);
	return report_return(&target, "restarted", start);
}

// --- points

static struct inject_point_info points[SUPERVISION_ROOM / sizeof(struct inject_point_info)];

// Calls `visit` with each point of the service that was passed.
static enum error points_visit(const char *served, void (*visit)(const struct inject_point_info *point, void *context),
			       void *context)
{
	struct client *client;
	uint64_t number = 1;
	enum error e = supervision_channel(served, &client);
	for (uint64_t first = 0; e == ERR_OK && number > 0; first += number) {
		e = supervision_points(client, first, points, sizeof(points), &number);
		for (uint64_t i = 0; e == ERR_OK && i < number; i++)
			visit(&points[i], context);
	}
	return e;
}

static void point_print(const struct inject_point_info *point, void *context)
{
	(void)context;
	printf("%-32.32s %12" PRIu64 " %-8s %u\n", point->name, point->passages, supervision_action_word(point->action),
	       point->at);
}

static int command_points(int argc, char **argv)
{
	struct target target;
	struct client *client;
	if (argc != 2)
		return STATUS_USAGE;
	enum error e = target_find(argv[1], &target);
	if (e != ERR_OK)
		return complain(argv[1], e);
	e = supervision_channel(target.served, &client);
	if (e == ERR_OK) {
		printf("%s%-32s %12s %-8s %s%s\n", shade(SHADE_HEAD), "point", "passages", "armed", "at",
		       shade(SHADE_NONE));
		e = points_visit(target.served, point_print, 0);
	}
	return e == ERR_OK ? STATUS_OK : complain_unreached(&target, e);
}

// --- inject

struct wanted {
	const char *point; // set to 0 when it is found
};

static void point_compare(const struct inject_point_info *point, void *context)
{
	struct wanted *wanted = context;
	if (wanted->point && strncmp(point->name, wanted->point, sizeof(point->name)) == 0)
		wanted->point = 0;
}

// "" stands for any point.
static int inject_point(const struct target *target, const char *point, enum inject_action action, uint64_t passage,
			uint32_t parameter)
{
	struct wanted wanted = {.point = point};
	enum error e = *point ? points_visit(target->served, point_compare, &wanted) : ERR_OK;
	if (e == ERR_OK)
		e = supervision_inject(target->served, point, action, passage, parameter);
	if (e != ERR_OK)
		return complain_unreached(target, e);
	if (*point && wanted.point && action != INJECT_NONE)
		printf("%s: no point of the name %s was passed yet; the fault waits for it\n", target->name, point);
	return STATUS_OK;
}

static int command_inject(int argc, char **argv)
{
	struct target target;
	uint64_t passage = 1, parameter = ERR_INJECTED;
	if (argc < 4 || argc > 6 || (argc > 4 && !number_parse(argv[4], &passage)) ||
	    (argc > 5 && !number_parse(argv[5], &parameter)))
		return STATUS_USAGE;
	enum inject_action action = supervision_action(argv[3]);
	if (action == INJECT_NONE && strcmp(argv[3], "none") != 0)
		return STATUS_USAGE;
	if (passage == 0) {
		printf("inject: there is no passage 0; the next one is 1\n");
		return STATUS_MISUSED;
	}
	enum error e = target_find(argv[1], &target);
	if (e != ERR_OK)
		return complain(argv[1], e);
	const char *point = strcmp(argv[2], "any") == 0 ? "" : argv[2];
	return inject_point(&target, point, action, passage, (uint32_t)parameter);
}

static int command_flip(int argc, char **argv)
{
	struct supervision_victim victim = {.job = 0};
	uint64_t place, mask, was;
	if (argc != 4 || strlen(argv[1]) > NAME_SIZE || !number_parse(argv[2], &place) || !number_parse(argv[3], &mask))
		return STATUS_USAGE;
	strcpy(victim.name, argv[1]);
	enum error e = supervision_poke(&victim, place, mask, &was);
	if (e != ERR_OK)
		return complain(argv[1], e);
	printf("%s: %#" PRIx64 " was %#018" PRIx64 ", is %#018" PRIx64 "\n", argv[1], place, was, was ^ mask);
	return STATUS_OK;
}

const struct command commands_faults[] = {
	{"crash", "SERVICE [HOW]",
	 "let it die and come back; HOW: illegal wild stack assert exit reply error hang kill", command_crash},
	{"crash core", "N[,N] [HOW [STEP[,STEP] [TIMES[,TIMES]]]]",
	 "let the kernels of cores die and come back; HOW: panic jump store hang nap spoil deaf grants; STEP, at which they (or each of them) die again: claim meet finish online hang young",
	 command_crash},
	{"doubt", "N[,N] [TIMES]", "let the supervisor say that the kernels of cores are silent; who answers is let alone", command_doubt},
	{"hang", "SERVICE", "let a service stop answering, and wait until it is back", command_hang},
	{"restart", "SERVICE", "restart it and forget its history", command_restart},
	{"inject", "SERVICE POINT ACTION [N [ERROR]]", "arm a fault at the N-th passage of a named point, or of `any`",
	 command_inject},
	{"flip", "SERVICE PLACE MASK",
	 "turn bits of a running service over: 8 bytes at an address, or register 0 (pc) to 31", command_flip},
	{"points", "SERVICE", "the service's injection points", command_points},
	{0},
};
