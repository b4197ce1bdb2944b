// storm: a workload on files and the console while services are killed at random, and a check of every byte.
//
//   storm SECONDS [--rate N] [--seed S] [--only A,B] [--actions A,B] [--workers N] [--count N] [--keep] [--quiet]
//   storm SECONDS --faults N [--classes A,B] [--work OPERATIONS] [--seed S] [--only A,B,client] [--workers N]
//                 [--volley N] [--victims N] [--first TRIAL]
//
// The second is a campaign: N faults in trials, each judged by itself (campaign.c, victims.c, damage.c).
//
// Owns the fibers: workers (work.c), one injector for each service (injector.c), the progress line. Exit status 0 only
// when no operation failed and no byte was wrong. If this domain dies, the shell that waits says so; the files stay until the next storm (leftover.c).
#include "apps/storm/damage.h"
#include "apps/storm/storm.h"
#include "proto/mark.h"
#include "runtime/console.h"
#include "runtime/error_text.h"
#include "runtime/fiber.h"
#include "runtime/file.h"
#include "runtime/runtime.h"
#include "runtime/supervision.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACTION(a) (1u << (a))
// ERROR is not among them: an error that a driver reports is one that clients may see.
#define ACTIONS_DEFAULT                                                                                                \
	(ACTION(INJECT_ILLEGAL) | ACTION(INJECT_WILD) | ACTION(INJECT_STACK) | ACTION(INJECT_ASSERT) |                 \
	 ACTION(INJECT_HANG) | ACTION(INJECT_REPLY) | ACTION(INJECT_EXIT) | ACTION(STORM_KILL))
#define RATE_DEFAULT_MILLE 8000u // some points are not passed again before something else fires: 5 a second remain
#define WORK_DEFAULT 30u // operations: enough that most points of fs and blk are passed once
#define FAULTS_MAX 10000000u
#define CLASSES_DEFAULT ((1ull << DAMAGE_DEVICE) - 1) // the classes behind that need the host, or kernels
#define PROGRESS_US 250000u
#define WORKER_PRIORITY 1u // there are many: who does harm and who judges it do not wait for each of them

struct storm_options storm_options;
struct storm_counts storm_counts;
bool storm_stopping;
bool storm_calm;

static unsigned fibers_running;
static struct fiber *main_fiber;

uint64_t storm_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

uint64_t storm_random_below(uint64_t *state, uint64_t limit)
{
	return storm_random(state) % limit;
}

// --- options

static bool read_services(char *list)
{
	char *rest = list;
	storm_options.services = 0;
	storm_options.clients = storm_options.kernels = false;
	for (char *word; (word = strtok_r(rest, ",", &rest)) != 0;) {
		if (strcmp(word, "client") == 0) {
			storm_options.clients = true;
			continue;
		}
		if (strcmp(word, "kernels") == 0) {
			storm_options.kernels = true;
			continue;
		}
		if (storm_options.services == STORM_SERVICES || strlen(word) > NAME_SIZE)
			return false;
		strcpy(storm_options.service[storm_options.services++], word);
	}
	return storm_options.services > 0 || storm_options.clients || storm_options.kernels;
}

static bool read_classes(char *list)
{
	char *rest = list;
	storm_options.classes = 0;
	for (char *word; (word = strtok_r(rest, ",", &rest)) != 0;) {
		unsigned class = damage_from_word(word);
		if (class == DAMAGE_CLASSES)
			return false;
		storm_options.classes |= 1ull << class;
	}
	return storm_options.classes != 0;
}

static bool read_actions(char *list)
{
	char *rest = list;
	storm_options.actions = 0;
	for (char *word; (word = strtok_r(rest, ",", &rest)) != 0;) {
		unsigned action = strcmp(word, "kill") == 0   ? STORM_KILL
				  : strcmp(word, "core") == 0 ? STORM_CORE
							      : supervision_action(word);
		if (action == INJECT_NONE)
			return false;
		storm_options.actions |= ACTION(action);
	}
	return storm_options.actions != 0;
}

// "5" or "0.5" as thousandths.
static bool read_mille(const char *text, uint64_t *mille)
{
	char *end;
	*mille = strtoull(text, &end, 10) * 1000;
	uint64_t unit = 100;
	if (end == text || (*end != 0 && *end != '.'))
		return false;
	for (end += *end == '.'; *end >= '0' && *end <= '9'; end++, unit /= 10)
		*mille += (uint64_t)(*end - '0') * unit;
	return *end == 0;
}

static bool read_number(const char *text, uint64_t *number)
{
	char *end;
	*number = strtoull(text, &end, 0);
	return end != text && *end == 0;
}

static bool read_valued(const char *option, char *value)
{
	uint64_t number;
	if (strcmp(option, "--rate") == 0)
		return read_mille(value, &storm_options.rate_mille);
	if (strcmp(option, "--only") == 0)
		return read_services(value);
	if (strcmp(option, "--actions") == 0)
		return read_actions(value);
	if (strcmp(option, "--classes") == 0)
		return read_classes(value);
	if (!read_number(value, &number))
		return false;
	if (strcmp(option, "--seed") == 0)
		storm_options.seed = number;
	else if (strcmp(option, "--count") == 0)
		storm_options.count = number;
	else if (strcmp(option, "--faults") == 0 && number <= FAULTS_MAX)
		storm_options.faults = number;
	else if (strcmp(option, "--work") == 0)
		storm_options.work = number;
	else if (strcmp(option, "--first") == 0)
		storm_options.first = number;
	else if (strcmp(option, "--volley") == 0 && number >= 1 && number <= DAMAGE_VOLLEY)
		storm_options.volley = number;
	else if (strcmp(option, "--victims") == 0 && number >= 1)
		storm_options.victims = number;
	else if (strcmp(option, "--workers") == 0 && number >= 1 && number <= STORM_WORKERS_MAX)
		storm_options.workers = (unsigned)number;
	else
		return false;
	return true;
}

static bool read_options(char *text)
{
	char *rest = text;
	static char services[] = "blk,fs,console";
	storm_options = (struct storm_options){.rate_mille = RATE_DEFAULT_MILLE,
					       .seed = time_now() % 1000000,
					       .actions = ACTIONS_DEFAULT,
					       .classes = CLASSES_DEFAULT,
					       .work = WORK_DEFAULT,
					       .volley = 1,
					       .victims = 1,
					       .workers = 3};
	(void)read_services(services);
	for (char *word; (word = strtok_r(rest, " ", &rest)) != 0;) {
		bool good = true;
		if (strcmp(word, "--keep") == 0)
			storm_options.keep = true;
		else if (strcmp(word, "--quiet") == 0)
			storm_options.quiet = true;
		else if (strncmp(word, "--", 2) == 0)
			good = rest && *rest && read_valued(word, strtok_r(rest, " ", &rest));
		else
			good = read_number(word, &storm_options.seconds);
		if (!good) {
			printf("storm: %s is not understood here\n", word);
			return false;
		}
	}
	return storm_options.seconds > 0;
}

// --- fibers

static void fiber_finished(void)
{
	fibers_running--;
	fiber_wake(main_fiber);
}

static void worker_body(void *argument)
{
	fiber_set_priority(fiber_self(), WORKER_PRIORITY);
	storm_work((unsigned)(uintptr_t)argument);
	fiber_finished();
}

static void campaign_body(void *argument)
{
	(void)argument;
	storm_campaign();
	fiber_finished();
}

static void injector_body(void *argument)
{
	storm_inject((unsigned)(uintptr_t)argument);
	fiber_finished();
}

static bool start_fiber(void (*body)(void *), unsigned number, const char *name)
{
	if (!fiber_create(body, (void *)(uintptr_t)number, name)) {
		printf("storm: no memory for another fiber\n");
		return false;
	}
	fibers_running++;
	return true;
}

static bool start_all(void)
{
	for (unsigned i = 0; i < storm_options.workers; i++)
		if (!start_fiber(worker_body, i, "worker"))
			return false;
	if (storm_options.faults > 0)
		return start_fiber(campaign_body, 0, "campaign");
	for (unsigned i = 0; i < storm_options.services && storm_options.rate_mille > 0; i++)
		if (!start_fiber(injector_body, i, "injector"))
			return false;
	return true;
}

// --- the run

static void progress(uint64_t start)
{
	uint64_t seconds = time_us_from_ticks(time_now() - start) / 1000000;
	storm_counts.console_writes++;
	printf("storm: %" PRIu64 " s, %" PRIu64 " operations, %" PRIu64 " injected, %" PRIu64 " restarts, %" PRIu64
	       " errors, %" PRIu64 " wrong bytes\n",
	       seconds, storm_counts.ops, storm_injected(), storm_report_restarts(), storm_counts.errors,
	       storm_counts.wrong_bytes);
}

static void run_until_end(void)
{
	mark_begin("storm", 1);
	uint64_t start = time_now();
	uint64_t end = start + time_ticks_from_us(storm_options.seconds * 1000000);
	uint64_t every = time_ticks_from_us(storm_options.seconds > 60 ? 10000000 : 1000000);
	uint64_t next = start + every;
	while (time_now() < end && (storm_options.count == 0 || storm_report_restarts() < storm_options.count)) {
		fiber_sleep_us(PROGRESS_US);
		storm_report_collect();
		if (!storm_options.quiet && time_now() >= next) {
			next += every;
			progress(start);
		}
	}
	storm_counts.ticks = time_now() - start;
	mark_end();
	storm_stopping = true;
	while (fibers_running > 0)
		fiber_park();
}

// The lines of the faults are the report.
static int run_campaign(void)
{
	enum error e = storm_work_begin();
	if (e != ERR_OK || !start_all()) {
		printf("storm: a campaign cannot begin: %s\n", error_sentence(e));
		return 1;
	}
	while (fibers_running > 0)
		fiber_park();
	if (storm_campaign_status() != 0)
		return 1;
	storm_counts.errors = storm_counts.wrong_bytes = 0; // those of the faults have been printed
	storm_work_verify();
	printf("CAMPAIGN verified files %" PRIu64 " errors %" PRIu64 " wrong %" PRIu64 "\n", storm_counts.files_verified,
	       storm_counts.errors, storm_counts.wrong_bytes);
	return 0;
}

static int run(void)
{
	storm_report_collect();
	if (!storm_inject_begin())
		return 1;
	enum error e = storm_work_begin();
	if (e != ERR_OK) {
		printf("storm: the directory of this run: %s\n", error_sentence(e));
		return 1;
	}
	printf("storm: %" PRIu64 " s in %s, seed %" PRIu64 ", %u workers\n", storm_options.seconds,
	       storm_work_directory(), storm_options.seed, storm_options.workers);
	if (!start_all())
		return 1;
	run_until_end();
	storm_inject_end();
	storm_work_verify();
	storm_report_collect();
	storm_work_remove();
	storm_report_print();
	return storm_counts.errors == 0 && storm_counts.wrong_bytes == 0 ? 0 : 1;
}

int program_main(void)
{
	static char arguments[512];
	main_fiber = fiber_self();
	enum error e = supervision_argument(arguments, sizeof(arguments));
	if (e != ERR_OK) {
		printf("storm: its arguments: %s\n", error_sentence(e));
		return 2;
	}
	if (!read_options(arguments)) {
		printf("usage: storm SECONDS [--rate N] [--seed S] [--only A,B] [--actions A,B] [--workers N] [--count N] "
		       "[--keep] [--quiet]\n"
		       "       storm SECONDS --faults N [--classes A,B] [--work OPERATIONS] [--seed S] [--only A,B,client,kernels] "
		       "[--workers N] [--volley N] [--victims N] [--first TRIAL]\n");
		return 2;
	}
	int code = storm_options.faults > 0 ? run_campaign() : run();
	console_drain();
	return code;
}
