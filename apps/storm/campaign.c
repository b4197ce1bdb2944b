// Campaign: one fault after another, each into a pristine server, each with a line of what became of it.
//
// Owns the order of faults, a function of the seed, and their lines. A fault is done (damage.c) and given a fixed amount
// of work, not of time, to show itself; then its victim is restarted, unless it died, so that the next fault meets a
// pristine one; then the workload must go on. Errors and wrong bytes are counted with the fault under which a worker met
// them. If this domain dies, the lines that were printed stand, and the host counts the rest as not injected.
#include "apps/storm/damage.h"
#include "apps/storm/storm.h"
#include "runtime/client.h"
#include "runtime/error_text.h"
#include "runtime/fiber.h"
#include "runtime/file.h"
#include "runtime/runtime.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VICTIMS (STORM_SERVICES + 1u)
#define POLL_US 500u
#define DEVICE_WORK 20u          // times the work: most of it does not reach the disk, and the host takes a while
#define WORK_AFTER 6u            // operations that must be done after the restart
#define LIMIT_US 8000000u        // for one phase of one fault; longer than the deadlines of systems/campaign.toml
#define TRIES 200u               // choices of class and victim until one applies
#define SUPERVISOR_HANGS_OF 8u   // one of so many: its kernel waits 4 s
#define BATCH 32u
#define LINE 200u

struct fault {
	unsigned number;
	struct damage_victim *victim;
	unsigned class;
	char detail[DAMAGE_DETAIL];
	unsigned core, domain;
	uint32_t epoch, faults; // of the victim's domain before
	uint64_t ops, errors, wrong, begin;
	const char *activated;  // yes, no, unknown
	unsigned kind;          // enum fault_kind of its death; FAULT_NONE: it did not die by itself
	bool stuck;             // neither died nor let the work go on
	bool recovered;
	unsigned restarts, others;
	uint64_t detect, teardown, restart, replay; // us
};

static struct damage_victim victims[VICTIMS];
static unsigned victim_count;
static uint64_t random_state;
static uint64_t next_time; // number of the next restart that the supervisor has recorded
static char (*lines)[LINE];
static int status = 1;

int storm_campaign_status(void)
{
	return status;
}

// --- victims

static bool is_client(const struct damage_victim *v)
{
	return v->served[0] == 0;
}

static bool is_supervisor(const struct damage_victim *v)
{
	return strcmp(v->who.name, "supervisor") == 0;
}

static enum error client_start(struct damage_victim *v)
{
	char arguments[64];
	snprintf(arguments, sizeof(arguments), "3600 --rate 0 --workers 1 --quiet --seed %" PRIu64,
		 storm_random_below(&random_state, 1000000));
	return supervision_spawn("storm", arguments, &v->who.job);
}

static enum error victims_learn(void)
{
	struct supervisor_service s;
	enum error e = ERR_OK;
	for (unsigned i = 0; i < storm_options.services && e == ERR_OK; i++) {
		struct damage_victim *v = &victims[victim_count++];
		e = supervision_find(storm_options.service[i], &s);
		if (e != ERR_OK)
			break;
		memcpy(v->who.name, s.name, NAME_SIZE);
		supervision_served_name(&s, v->served);
		e = damage_learn(v);
	}
	if (e == ERR_OK && storm_options.clients) {
		struct damage_victim *v = &victims[victim_count++];
		strcpy(v->who.name, "client");
		e = client_start(v);
		if (e == ERR_OK)
			e = damage_learn(v);
	}
	return e;
}

static enum error victim_find(const struct damage_victim *v, struct supervisor_service *s)
{
	if (!is_client(v))
		return supervision_find(v->who.name, s);
	for (unsigned i = 0;; i++) {
		enum error e = supervision_service(i, s);
		if (e != ERR_OK || s->job == v->who.job)
			return e;
	}
}

// Its line of the info page; what a kernel writes costs nobody anything to read.
static bool victim_line(const struct fault *f, struct info_domain *line)
{
	static struct info_page page;
	if (!info_read(f->core, &page))
		return false;
	*line = page.domains[f->domain];
	return true;
}

static bool victim_died(const struct fault *f)
{
	struct info_domain line;
	return victim_line(f, &line) && (line.faults != f->faults || line.epoch != f->epoch);
}

// --- one fault

// Before the damage, for the console may be the victim, or all may end with it.
static void begin_say(const struct fault *f)
{
	printf("BEGIN,%u,%s,%s,%s\n", f->number, f->victim->who.name, damage_word(f->class), f->detail);
}

static bool fault_choose(struct fault *f)
{
	for (unsigned i = 0; i < TRIES; i++) {
		f->victim = &victims[storm_random_below(&random_state, victim_count)];
		f->class = (unsigned)storm_random_below(&random_state, DAMAGE_CLASSES);
		bool dear = f->class == DAMAGE_HANG && is_supervisor(f->victim);
		if (!(storm_options.classes >> f->class & 1) ||
		    (dear && storm_random_below(&random_state, SUPERVISOR_HANGS_OF) != 0))
			continue;
		struct supervisor_service s;
		struct info_domain line;
		if (victim_find(f->victim, &s) != ERR_OK)
			continue;
		f->core = s.core;
		f->domain = s.domain;
		if (!victim_line(f, &line))
			continue;
		f->epoch = line.epoch;
		f->faults = line.faults;
		f->begin = time_now();
		f->ops = storm_counts.ops;
		f->errors = storm_counts.errors;
		f->wrong = storm_counts.wrong_bytes;
		storm_counts.last_error = ERR_OK;
		f->detail[0] = 0;
		begin_say(f);
		if (damage_do(f->victim, (enum damage_class)f->class, &random_state, f->detail) == ERR_OK)
			return true;
	}
	return false;
}

// Until the victim has died or the work is done. False: neither, within the limit.
static bool fault_show(const struct fault *f)
{
	uint64_t end = time_now() + time_ticks_from_us(LIMIT_US);
	uint64_t work = f->class >= DAMAGE_DEVICE ? storm_options.work * DEVICE_WORK : storm_options.work;
	while (storm_counts.ops - f->ops < work && !victim_died(f)) {
		if (time_now() > end)
			return false;
		fiber_sleep_us(POLL_US);
	}
	return true;
}

static bool work_goes_on(void)
{
	uint64_t end = time_now() + time_ticks_from_us(LIMIT_US), ops = storm_counts.ops;
	while (storm_counts.ops - ops < WORK_AFTER && time_now() < end)
		fiber_sleep_us(POLL_US);
	return storm_counts.ops - ops >= WORK_AFTER;
}

// One that does not do as it is asked, because of the damage, is complained about: that goes by the kernels.
static enum error supervisor_renew(struct fault *f)
{
	enum error e = supervision_inject(f->victim->served, "", INJECT_ILLEGAL, 1, 0);
	if (e == ERR_OK)
		return e;
	f->kind = FAULT_COMPLAINT;
	return kcall(CALL_channel_complain, client_slot(supervision_client()), COMPLAINT_BAD_INDEX).error;
}

// Kill, and wait until it is back.
static enum error service_renew(struct fault *f)
{
	const struct damage_victim *v = f->victim;
	enum error e = is_supervisor(v) ? supervisor_renew(f) : supervision_kill(v->who.name);
	return e == ERR_OK || e == ERR_STATE ? supervision_ping(v->served) : e;
}

// A client that ended by itself is known to the supervisor by its end; the next one takes its place.
static enum error client_renew(struct fault *f)
{
	uint64_t code, kind = FAULT_NONE;
	enum error e = supervision_stop(f->victim->who.job);
	if (e == ERR_NOT_FOUND && supervision_wait(f->victim->who.job, &code, &kind) == ERR_OK && f->class != DAMAGE_STOP)
		f->kind = (unsigned)kind;
	return client_start(f->victim);
}

static enum error victim_renew(struct fault *f, bool died)
{
	if (is_client(f->victim))
		return client_renew(f);
	return died ? supervision_ping(f->victim->served) : service_renew(f);
}

// The restarts that the supervisor has recorded: the victim's own death first, others by the way.
static void fault_times(struct fault *f)
{
	static struct supervisor_restart batch[BATCH];
	unsigned given;
	while (supervision_times(next_time, batch, BATCH, &given, &next_time) == ERR_OK && given > 0) {
		for (unsigned i = 0; i < given; i++) {
			const struct supervisor_restart *r = &batch[i];
			if (strncmp(r->name, f->victim->who.name, NAME_SIZE) != 0) {
				f->others++;
				continue;
			}
			if (f->restarts++ > 0)
				continue;
			if (is_supervisor(f->victim)) // what it says of itself is its own start
				continue;
			if (r->kind != FAULT_KILLED)
				f->kind = r->kind;
			f->detect = time_us_from_ticks(r->detected - r->fault);
			f->teardown = time_us_from_ticks(r->fenced - r->detected);
			f->restart = time_us_from_ticks(r->started - r->fenced);
			f->replay = time_us_from_ticks(r->ready - r->started);
		}
	}
}

// The supervisor keeps no record of its own death: its kernel does.
static void supervisor_death(struct fault *f)
{
	struct supervisor_service s;
	if (supervision_find("supervisor", &s) != ERR_OK || s.epoch == f->epoch)
		return;
	f->kind = s.last_fault ? s.last_fault : FAULT_EXCEPTION;
}

static void fault_activation(struct fault *f, bool died)
{
	bool points = f->class <= DAMAGE_REPLY, kill = strcmp(f->detail, "kill") == 0;
	if (kill)
		f->kind = FAULT_KILLED;
	if (died || kill || f->class == DAMAGE_BELL)
		f->activated = "yes";
	else if (points)
		f->activated = damage_is_armed(f->victim) ? "no" : "yes";
	else if (f->class == DAMAGE_PROBE)
		f->activated = "no";
	else
		f->activated = "unknown";
}

static bool all_answer(void)
{
	for (unsigned i = 0; i < victim_count; i++)
		if (!is_client(&victims[i]) && supervision_ping(victims[i].served) != ERR_OK)
			return false;
	return true;
}

static bool fault_spoils(const struct fault *f)
{
	return storm_counts.errors > f->errors || storm_counts.wrong_bytes > f->wrong;
}

// What it has spoilt is found now, from the disk, and not under the faults that follow.
static void fault_check(void)
{
	uint64_t end = time_now() + time_ticks_from_us(LIMIT_US);
	(void)file_sync();
	(void)supervision_kill("fs");
	storm_work_check();
	while (!storm_work_checked() && time_now() < end)
		fiber_sleep_us(POLL_US);
}

static void fault_run(struct fault *f)
{
	f->stuck = !fault_show(f);
	bool died = victim_died(f);
	fault_activation(f, died);
	if (died && is_supervisor(f->victim))
		supervisor_death(f);
	f->recovered = victim_renew(f, died) == ERR_OK && all_answer() && work_goes_on();
	fault_times(f);
	if (fault_spoils(f))
		fault_check();
}

// --- lines

static unsigned line_sum(const char *text)
{
	unsigned sum = 0;
	for (; *text; text++)
		sum = (sum * 31 + (uint8_t)*text) & 0xffff;
	return sum;
}

// The console may be the victim, so a line carries its sum, and all lines come once more at the end.
static void line_make(const struct fault *f, char line[LINE])
{
	uint64_t us = time_us_from_ticks(time_now() - f->begin);
	int n = snprintf(line, LINE - 8,
			 "FAULT,%u,%s,%s,%s,%s,%s,%u,%u,%u,%u,%" PRIu64 ",%" PRIu64 ",%u,%" PRIu64 ",%" PRIu64 ",%" PRIu64
			 ",%" PRIu64 ",%" PRIu64,
			 f->number, f->victim->who.name, damage_word(f->class), f->detail, f->activated,
			 supervision_fault_word(f->kind), f->stuck, f->restarts, f->others, f->recovered,
			 storm_counts.errors - f->errors, storm_counts.wrong_bytes - f->wrong, storm_counts.last_error,
			 f->detect, f->teardown, f->restart, f->replay, us);
	snprintf(line + n, 8, ",%04x", line_sum(line));
}

// --- the campaign

// Whether files can still be made, written, read and deleted: if not, the damage lasts, and later faults would be blamed.
static bool volume_works(void)
{
	struct file file;
	char text[16] = {0};
	size_t done = 0;
	const char *path = "/campaign-probe";
	bool good = file_open(&file, path, FILE_WRITE | FILE_READ | FILE_CREATE) == ERR_OK &&
		    file_write(&file, "still here", 10, &done) == ERR_OK && file_read_at(&file, 0, text, 10, &done) == ERR_OK &&
		    done == 10 && memcmp(text, "still here", 10) == 0;
	return file_unlink(path) == ERR_OK && good;
}

static const char *campaign_faults(void)
{
	for (unsigned n = 0; n < storm_options.faults; n++) {
		struct fault f = {.number = n};
		if (!fault_choose(&f))
			return "no class applies to any victim";
		begin_say(&f); // again: now with what exactly was done
		fault_run(&f);
		line_make(&f, lines[n]);
		printf("%s\n", lines[n]);
		if (!f.recovered)
			return "a fault was not recovered from";
		if (fault_spoils(&f) && !volume_works())
			return "the volume is damaged for good";
	}
	return 0;
}

static void campaign_end(const char *why, uint64_t begin)
{
	uint64_t ms = time_us_from_ticks(time_now() - begin) / 1000;
	unsigned done = 0;
	for (; done < storm_options.faults && lines[done][0]; done++)
		printf("%s\n", lines[done]);
	status = why != 0;
	printf("CAMPAIGN faults %u of %" PRIu64 " seed %" PRIu64 " ms %" PRIu64 " faults_per_s %" PRIu64 ".%" PRIu64 " errors %" PRIu64
	       " wrong %" PRIu64 " end %s\n",
	       done, storm_options.faults, storm_options.seed, ms, (uint64_t)done * 1000 / (ms + 1),
	       (uint64_t)done * 10000 / (ms + 1) % 10, storm_counts.errors, storm_counts.wrong_bytes, why ? why : "whole");
}

void storm_campaign(void)
{
	uint64_t begin = time_now();
	unsigned given;
	random_state = storm_options.seed * 7919;
	lines = calloc(storm_options.faults, LINE);
	enum error e = lines ? victims_learn() : ERR_NO_MEMORY;
	if (e == ERR_OK)
		e = supervision_times(~0ull >> 1, 0, 0, &given, &next_time); // from now on
	if (e == ERR_OK)
		campaign_end(campaign_faults(), begin);
	else
		printf("CAMPAIGN cannot begin: %s\n", error_sentence(e));
	if (storm_options.clients)
		(void)supervision_stop(victims[victim_count - 1].who.job);
	storm_stopping = true;
}
