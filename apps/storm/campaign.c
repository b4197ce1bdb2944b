// Campaign: trials one after another, each into pristine victims, each fault with a line of what became of it.
//
// Owns the order of trials, a function of the seed and of the trial's number, and their lines. A trial is one fault, or a volley of
// mutations and flipped bits of one class in one victim, or faults at points of several victims at the same time. It is given a
// fixed amount of work, not of time, to show itself; then its victims are restarted, unless they died or the fault did nothing,
// so that the next trial meets pristine ones; then the workload must go on. Errors and wrong bytes are counted with the trial
// under which a worker met them. If this domain dies, the lines that were printed stand, and the host counts the rest as not
// injected.
#include "apps/storm/hands.h"
#include "apps/storm/storm.h"
#include "runtime/console.h"
#include "runtime/error_text.h"
#include "runtime/fiber.h"
#include "runtime/file.h"
#include "runtime/runtime.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLL_US 500u
#define DEVICE_WORK 20u          // times the work: most of it does not reach the disk, and the host takes a while
#define WORK_AFTER 6u            // operations that must be done after the restart
#define LIMIT_US 8000000u        // for one phase of one trial; longer than the deadlines of systems/campaign.toml
#define TRIES 200u               // choices of class and victim until one applies
#define SUPERVISOR_HANGS_OF 32u  // one of so many: its kernel waits 4 s
#define BATCH 32u
#define LINE 216u
#define LINES 1600u              // that are kept to be said once more
#define POKES_OF_LINE 10u

struct trial {
	uint64_t number;
	unsigned shots;
	uint64_t ops, errors, wrong, begin, end;
	bool stuck;     // neither died nor let the work go on
	bool recovered;
	unsigned others;  // restarts of services that were no victims
	unsigned kernels; // that died and were no victims
};

// Where the time of a campaign goes.
#define PHASE_TABLE(X) X(plan) X(damage) X(show) X(judge) X(renew) X(answer) X(work) X(check)
enum phase {
#define X(name) PHASE_##name,
	PHASE_TABLE(X)
#undef X
	PHASES
};

static struct shot shots[HANDS];
static unsigned row; // number of the next line
static uint64_t injected;
static uint64_t random_state;
static uint64_t next_time; // number of the next restart that the supervisor has recorded
static char (*lines)[LINE];
static uint64_t phase_ticks[PHASES], phase_begin;
static int status = 1;

int storm_campaign_status(void)
{
	return status;
}

static void phase_ends(enum phase phase)
{
	uint64_t now = time_now();
	phase_ticks[phase] += now - phase_begin;
	phase_begin = now;
}

// --- lines

static unsigned line_sum(const char *text)
{
	unsigned sum = 0;
	for (; *text; text++)
		sum = (sum * 31 + (uint8_t)*text) & 0xffff;
	return sum;
}

static void line_say(char line[LINE], int length)
{
	snprintf(line + length, 8, ",%04x", line_sum(line));
	printf("%s\n", line);
}

// Each poke is a fault: where, and which bits. `flip NAME PLACE MASK` does one of them again.
static void volley_say(unsigned number, const struct damage *d)
{
	char line[LINE * 2];
	for (unsigned i = 0; i < d->faults;) {
		int n = snprintf(line, sizeof(line), "VOLLEY,%u,%u,", number, i);
		for (unsigned end = i + POKES_OF_LINE; i < end && i < d->faults; i++)
			n += snprintf(line + n, sizeof(line) - (size_t)n, "%" PRIx64 "^%" PRIx64 " ", d->pokes[i].place, d->pokes[i].mask);
		snprintf(line + n, 8, ",%04x", line_sum(line));
		printf("%s\n", line);
	}
}

// Before the damage, for the console may be a victim, or all may end with it.
static void trial_say(const struct trial *t)
{
	for (unsigned i = 0; i < t->shots; i++) {
		const struct damage *d = &shots[i].damage;
		printf("BEGIN,%u,%" PRIu64 ",%u,%s,%s,%s\n", row + i, t->number, d->faults, shots[i].victim->who.name,
		       damage_word(d->class), d->detail);
		if (damage_is_poked(d->class) && d->faults > 1)
			volley_say(row + i, d);
	}
}

// Who recorded how it died may have died too.
static const char *shot_word(const struct shot *s)
{
	return s->died && s->kind == FAULT_NONE ? "died" : supervision_fault_word(s->kind);
}

// The console may be the victim, so a line carries its sum, and the first lines come once more at the end.
static void shot_say(const struct trial *t, const struct shot *s)
{
	char spare[LINE], *line = row < LINES ? lines[row] : spare;
	int n = snprintf(line, LINE - 8,
			 "FAULT,%u,%" PRIu64 ",%u,%s,%s,%s,%s,%s,%u,%u,%u,%u,%u,%" PRIu64 ",%" PRIu64 ",%u,%" PRIu64 ",%" PRIu64
			 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64,
			 row, t->number, s->damage.faults, s->victim->who.name, damage_word(s->damage.class), s->damage.detail,
			 s->activated, shot_word(s), t->stuck, s->restarts, t->others, t->kernels, t->recovered,
			 storm_counts.errors - t->errors, storm_counts.wrong_bytes - t->wrong, storm_counts.last_error, s->detect,
			 s->teardown, s->restart, s->replay, time_us_from_ticks(t->end - t->begin));
	line_say(line, n);
	row++;
}

// --- a trial begins

static bool class_fits(const struct trial *t, const struct shot *s, enum damage_class class)
{
	bool alone = !damage_is_at_point(class) && class != DAMAGE_BELL;
	if (!(storm_options.classes >> class & 1) || (alone && t->shots > 0))
		return false;
	if (class == DAMAGE_HANG && victim_is_supervisor(s->victim))
		return storm_random_below(&random_state, SUPERVISOR_HANGS_OF) == 0;
	return class != DAMAGE_SILENCE || s->victim->core != 0; // the console goes with core 0, and so the lines
}

static bool victim_is_chosen(const struct trial *t, const struct damage_victim *v)
{
	for (unsigned i = 0; i < t->shots; i++)
		if (shots[i].victim == v)
			return true;
	return false;
}

static bool shot_choose(const struct trial *t, struct shot *s)
{
	*s = (struct shot){.activated = "unknown", .victim = victims_at((unsigned)storm_random_below(&random_state, victims_count()))};
	enum damage_class class = (enum damage_class)storm_random_below(&random_state, DAMAGE_CLASSES);
	return !victim_is_chosen(t, s->victim) && class_fits(t, s, class) && victim_note(s) &&
	       damage_plan(s->victim, class, (unsigned)storm_options.volley, &random_state, &s->damage) == ERR_OK;
}

static bool is_several(const struct shot *s)
{
	return damage_is_at_point(s->damage.class) || s->damage.class == DAMAGE_BELL;
}

static bool trial_choose(struct trial *t)
{
	uint64_t wanted = storm_options.victims < HANDS ? storm_options.victims : HANDS;
	t->begin = phase_begin = time_now();
	random_state = (storm_options.seed * 7919) ^ (t->number * 0x9e3779b97f4a7c15ull);
	for (unsigned i = 0; i < TRIES && t->shots < wanted; i++) {
		bool applies = shot_choose(t, &shots[t->shots]);
		if (applies && !is_several(&shots[t->shots++]))
			break;
		if (!applies)
			fiber_sleep_us(POLL_US); // its victim may be about to return
	}
	t->errors = storm_counts.errors;
	t->wrong = storm_counts.wrong_bytes;
	storm_counts.last_error = ERR_OK;
	phase_ends(PHASE_plan);
	return t->shots > 0;
}

static void shot_do(struct shot *s)
{
	s->done = damage_do(s->victim, &s->damage);
}

// Those that could not be done (their victim is gone by another one) are not counted. The request for a kernel's death is answered by the
// next supervisor if the supervisor's kernel dies: kernel_show waits for that.
static void trial_do(struct trial *t)
{
	unsigned done = 0;
	hands_start(shot_do, shots, t->shots);
	if (!shots[0].victim->kernel)
		hands_wait();
	for (unsigned i = 0; i < t->shots; i++) {
		if (shots[i].done != ERR_OK)
			continue;
		injected += shots[i].damage.faults;
		if (done != i)
			shots[done] = shots[i];
		done++;
	}
	t->shots = done;
	t->ops = storm_counts.ops; // the work counts from here
	storm_calm = false;
	phase_ends(PHASE_damage);
}

// --- it shows itself

static bool all_have_died(const struct trial *t)
{
	for (unsigned i = 0; i < t->shots; i++)
		if (!victim_has_died(&shots[i]))
			return false;
	return true;
}

// The workload asks little of some victims (nothing of the supervisor), so each gets requests that pass its points.
static void shot_nudge(struct shot *s)
{
	for (unsigned i = 0; s->damage.point[0] && i < DAMAGE_PASSAGES && !victim_has_died(s); i++)
		damage_nudge(s->victim);
}

// Until the victims have died or the work is done. False: neither, within the limit.
static bool trial_show(const struct trial *t)
{
	hands_start(shot_nudge, shots, t->shots);
	uint64_t end = time_now() + time_ticks_from_us(LIMIT_US);
	bool device = shots[0].damage.class == DAMAGE_DEVICE || shots[0].damage.class == DAMAGE_STALL;
	uint64_t work = device ? storm_options.work * DEVICE_WORK : storm_options.work;
	while (storm_counts.ops - t->ops < work && !all_have_died(t)) {
		if (time_now() > end)
			return false;
		fiber_sleep_us(POLL_US);
	}
	return true;
}

// A kernel does not count as silent before it has had the time that its death takes, and its rebirth another such time.
static void kernel_show(const struct trial *t, struct shot *s)
{
	bool silent = s->damage.class == DAMAGE_SILENCE; // found by pings with deadlines
	uint64_t end = time_now() + time_ticks_from_us(silent ? 2 * LIMIT_US : LIMIT_US), died = 0;
	while (!(s->online && hands_are_done()) && time_now() < end) {
		if (!s->online && victim_is_reborn(s))
			s->online = time_now();
		if (!died && (s->online || victim_has_died(s)))
			died = time_now();
		fiber_sleep_us(POLL_US);
	}
	s->detect = died ? time_us_from_ticks(died - t->begin) : 0;
	s->restart = s->online > died ? time_us_from_ticks(s->online - died) : 0;
	s->died = s->online != 0;
}

static bool work_goes_on(void)
{
	uint64_t end = time_now() + time_ticks_from_us(LIMIT_US), ops = storm_counts.ops;
	while (storm_counts.ops - ops < WORK_AFTER && time_now() < end)
		fiber_sleep_us(POLL_US);
	return storm_counts.ops - ops >= WORK_AFTER;
}

// --- it is judged

// The supervisor keeps no record of its own death: its kernel does.
static void supervisor_death(struct shot *s)
{
	struct supervisor_service now;
	if (supervision_find("supervisor", &now) != ERR_OK || now.epoch == s->epoch)
		return;
	s->kind = now.last_fault ? now.last_fault : FAULT_EXCEPTION;
}

// One that is dying answers when it is back, or its successor does.
static void shot_judge(struct shot *s)
{
	bool kill = damage_is_at_point(s->damage.class) && !s->damage.point[0];
	s->died |= victim_has_died(s);
	if (s->damage.point[0] && !s->died) {
		s->fired = damage_disarm(s->victim, &s->damage);
		s->died = victim_has_died(s);
	}
	if (s->died && victim_is_supervisor(s->victim))
		supervisor_death(s);
	if (kill)
		s->kind = FAULT_KILLED;
	if (s->victim->kernel && s->died)
		s->kind = FAULT_CORE;
	s->fired |= s->died || kill;
	if (s->fired || s->damage.class == DAMAGE_BELL)
		s->activated = "yes";
	else if (s->damage.point[0] || s->damage.class == DAMAGE_PROBE || s->victim->kernel)
		s->activated = "no";
}

static void restart_take(struct trial *t, const struct supervisor_restart *r)
{
	struct shot *s = 0;
	for (unsigned i = 0; i < t->shots; i++)
		if (strncmp(r->name, shots[i].victim->who.name, NAME_SIZE) == 0 || (shots[i].victim->kernel && r->kind == FAULT_CORE))
			s = &shots[i];
	if (!s)
		t->others++;
	if (!s || s->restarts++ > 0 || s->victim->kernel || victim_is_supervisor(s->victim))
		return; // what the supervisor says of itself is its own start
	if (r->kind != FAULT_KILLED)
		s->kind = r->kind;
	s->detect = time_us_from_ticks(r->detected - r->fault);
	s->teardown = time_us_from_ticks(r->fenced - r->detected);
	s->restart = time_us_from_ticks(r->started - r->fenced);
	s->replay = time_us_from_ticks(r->ready - r->started);
}

// The restarts that the supervisor has recorded: a victim's own death first, others by the way.
static void trial_times(struct trial *t)
{
	static struct supervisor_restart batch[BATCH];
	unsigned given;
	while (supervision_times(next_time, batch, BATCH, &given, &next_time) == ERR_OK && given > 0)
		for (unsigned i = 0; i < given; i++)
			restart_take(t, &batch[i]);
}

static bool trial_spoils(const struct trial *t)
{
	return storm_counts.errors > t->errors || storm_counts.wrong_bytes > t->wrong;
}

// What it has spoilt is found now, from the disk, and not under the trials that follow.
static void trial_check(void)
{
	uint64_t end = time_now() + time_ticks_from_us(LIMIT_US);
	(void)file_sync();
	(void)supervision_kill("fs");
	storm_work_check();
	while (!storm_work_checked() && time_now() < end)
		fiber_sleep_us(POLL_US);
}

static void shot_renew(struct shot *s)
{
	s->done = victim_renew(s, &random_state); // one of them at most is the client, which draws numbers
}

// It died while it was asked, or after that: its last incarnation had the fault.
static void shot_settle(struct shot *s)
{
	if (s->victim->kernel || s->renewed || s->died || !victim_has_died(s))
		return;
	s->died = s->fired = true;
	s->activated = "yes";
	if (victim_is_supervisor(s->victim))
		supervisor_death(s);
}

static bool trial_renew(const struct trial *t)
{
	bool all = true;
	hands_start(shot_renew, shots, t->shots);
	hands_wait();
	for (unsigned i = 0; i < t->shots; i++)
		all &= shots[i].done == ERR_OK;
	phase_ends(PHASE_renew);
	all = all && victims_answer();
	if (all && shots[0].online)
		shots[0].replay = time_us_from_ticks(time_now() - shots[0].online);
	phase_ends(PHASE_answer);
	all = all && work_goes_on();
	phase_ends(PHASE_work);
	return all;
}

static void trial_run(struct trial *t)
{
	bool kernel = shots[0].victim->kernel;
	if (kernel)
		kernel_show(t, &shots[0]);
	else
		t->stuck = !trial_show(t);
	phase_ends(PHASE_show);
	storm_calm = true;
	hands_wait(); // a kernel's death is only begun by them
	hands_start(shot_judge, shots, t->shots);
	hands_wait();
	phase_ends(PHASE_judge);
	t->recovered = trial_renew(t);
	trial_times(t);
	for (unsigned i = 0; i < t->shots; i++)
		shot_settle(&shots[i]);
	t->kernels = victims_kernels_died();
	t->kernels -= kernel && shots[0].online && t->kernels;
	if (trial_spoils(t) && t->recovered)
		trial_check();
	t->end = time_now();
	phase_ends(PHASE_check);
	for (unsigned i = 0; i < t->shots; i++)
		shot_say(t, &shots[i]);
}

// --- the campaign

// Whether files can still be made, written, read and deleted: if not, the damage lasts, and later trials would be blamed.
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

static const char *campaign_trials(void)
{
	unsigned futile = 0;
	for (uint64_t n = storm_options.first; injected < storm_options.faults; n++) {
		struct trial t = {.number = n};
		if (!trial_choose(&t) || futile == TRIES)
			return "no class applies to any victim";
		trial_say(&t);
		trial_do(&t);
		futile = t.shots ? 0 : futile + 1;
		if (t.shots == 0)
			continue;
		trial_run(&t);
		if (!t.recovered)
			return "a fault was not recovered from";
		if (trial_spoils(&t) && !volume_works())
			return "the volume is damaged for good";
	}
	return 0;
}

static void campaign_end(const char *why, uint64_t begin)
{
	static const char *const names[PHASES] = {
#define X(name) #name,
		PHASE_TABLE(X)
#undef X
	};
	uint64_t ms = time_us_from_ticks(time_now() - begin) / 1000;
	for (unsigned i = 0; i < row && i < LINES; i++)
		printf("%s\n", lines[i]);
	status = why != 0;
	printf("CAMPAIGN ms in all:");
	for (unsigned i = 0; i < PHASES; i++)
		printf(" %s %" PRIu64, names[i], time_us_from_ticks(phase_ticks[i]) / 1000);
	printf("\nCAMPAIGN faults %" PRIu64 " of %" PRIu64 " seed %" PRIu64 " ms %" PRIu64 " faults_per_s %" PRIu64 ".%" PRIu64
	       " errors %" PRIu64 " wrong %" PRIu64 " end %s\n",
	       injected, storm_options.faults, storm_options.seed, ms, injected * 1000 / (ms + 1), injected * 10000 / (ms + 1) % 10,
	       storm_counts.errors, storm_counts.wrong_bytes, why ? why : "whole");
}

void storm_campaign(void)
{
	uint64_t begin = time_now();
	unsigned given;
	random_state = storm_options.seed * 7919;
	lines = calloc(LINES, LINE);
	enum error e = lines ? hands_begin() : ERR_NO_MEMORY;
	if (e == ERR_OK)
		e = victims_learn(&random_state);
	if (e == ERR_OK)
		e = supervision_times(~0ull >> 1, 0, 0, &given, &next_time); // from now on
	if (e == ERR_OK)
		campaign_end(campaign_trials(), begin);
	else
		printf("CAMPAIGN cannot begin: %s\n", error_sentence(e));
	victims_end();
	storm_stopping = true;
}
