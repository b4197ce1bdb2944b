// Watch: what a kernel event means for a service.
//
// Owns no state but the counts in the table. It must never act on what an event says beyond "look at that domain": the
// event may be late, so the domain's status decides (INV-44), together with the phase that the service is in. Right because a
// domain is STOPPED only until this file has seen it, once: the next look finds it running again, or in a phase in
// which nothing is to be done. If the supervisor dies here, its next incarnation looks at every domain.
#include "supervisor/watch.h"
#include "abi/event.h"
#include "runtime/inject.h"
#include "runtime/runtime.h"
#include "runtime/trace.h"
#include "supervisor/cores.h"
#include "supervisor/jobs.h"
#include "supervisor/restart.h"
#include "supervisor/symbols.h"
#include <string.h>

#define WATCH_REGISTER_A0 10u // x10 is the first argument of a function

static enum error budget_give(const struct service *s)
{
	const struct manifest_service *r = s->record;
	return r->budget_us ? kcall(CALL_domain_budget, s->domain.handle, r->budget_us, r->budget_period_us).error : ERR_OK;
}

enum error watch_arm(struct service *s)
{
	uint32_t hang_ms = s->record->hang_ms;
	enum error error = budget_give(s);
	if (error)
		return error;
	if (!hang_ms)
		return ERR_OK;
	return kcall(CALL_domain_watch, s->domain.handle, (uint64_t)hang_ms * 1000 / WATCH_TICKS, WATCH_TICKS).error;
}

static bool watch_runs(const struct service *s)
{
	return s->phase == PHASE_STARTING || s->phase == PHASE_UP;
}

// Group by group: each is one message to the domain's kernel and back. False: it cannot be had.
static bool watch_read_status(struct service *s, uint64_t words[5], unsigned group)
{
	struct kernel_result result = kcall(CALL_domain_status, s->domain.handle, group);
	if (result.error == ERR_CORE_LOST)
		cores_doubt(s->domain.core);
	if (result.error)
		return false;
	memcpy(words, result.value, sizeof result.value);
	return true;
}

static void watch_count(struct service *s, enum fault_kind kind)
{
	s->last_fault = kind;
	if (kind == FAULT_HANG)
		s->hangs++;
	else if (kind == FAULT_COMPLAINT)
		s->complaints++;
	else if (kind != FAULT_KILLED && !(s->job && kind == FAULT_EXIT))
		s->faults++;
}

static void watch_describe_places(const struct service *s, struct crash *crash)
{
	char why[CRASH_LINE_MAX];
	struct image_program program;
	if (image_program(services_image(), s->image, &program, why, sizeof why))
		return;
	const uint8_t *file = services_image()->base + program.offset;
	symbols_describe(file, (size_t)program.length, crash->pc, crash->where, sizeof crash->where);
	if (!crash->assertion)
		symbols_describe(file, (size_t)program.length, crash->ra, crash->caller, sizeof crash->caller);
	else if (!elf_text(file, &program.elf, crash->file_at, crash->file, sizeof crash->file) ||
		 !elf_text(file, &program.elf, crash->claim_at, crash->claim, sizeof crash->claim))
		crash->file[0] = 0;
}

// Whoever panicked has left file, line and claim in a0 to a2, until the restart clears them. Only whose own texts these are
// is believed, and nothing but a line of the log comes of it.
static void watch_read_assertion(const struct service *s, struct crash *crash)
{
	uint64_t word[3] = {0};
	for (unsigned i = 0; i < 3; i++) {
		struct kernel_result read = kcall(CALL_domain_poke, s->domain.handle, WATCH_REGISTER_A0 + i, 0);
		word[i] = read.error ? 0 : read.value[0];
	}
	crash->file_at = word[0];
	crash->line = (uint32_t)word[1];
	crash->claim_at = word[2];
}

static struct crash watch_crash(const struct service *s, const struct domain_status *status, enum fault_kind kind)
{
	struct crash crash = {
		.core = s->domain.core,
		.domain = s->domain.domain,
		.epoch = s->epoch,
		.kind = kind,
		.app = s->job != 0,
		.cause = status->cause,
		.address = status->address,
		.pc = status->pc,
		.ra = status->ra,
		.sp = status->sp,
		.stack_bottom = GPA_STACK_TOP - (uint64_t)s->record->stack_pages * PAGE_SIZE,
		.complaint = s->complaint,
		.in_program = status->state & DOMAIN_STATUS_IN_PROGRAM,
	};
	memcpy(crash.name, s->record->name, NAME_SIZE);
	crash.assertion = kind == FAULT_EXCEPTION && !crash.in_program && status->cause == 2 && status->instruction == DOMAIN_PANIC_INSTRUCTION;
	if (crash.assertion)
		crash.pc = crash.ra; // not where it panics, but where it found out
	if (status->time_stopped > status->time_detected)
		crash.silent_us = time_us_from_ticks(status->time_stopped - status->time_detected);
	return crash;
}

static void watch_begin_times(struct service *s, const struct domain_status *status, enum fault_kind kind)
{
	uint64_t now = time_now();
	trace_phase(TRACE_PHASE_DETECT, s->epoch, s->record->name);
	s->times = (struct supervisor_restart){.kind = kind, .fault = status->time_detected, .detected = now};
	memcpy(s->times.name, s->record->name, NAME_SIZE);
	if (s->times.fault == 0 || s->times.fault > now)
		s->times.fault = now;
	s->returning = true;
}

// Fresh starts for what it uses, then for itself: its trouble may be theirs.
static void watch_escalate(struct service *s)
{
	say("supervisor: %.16s has used up its restart rule: what it uses is restarted too", s->record->name);
	for (unsigned i = 0; i < s->record->uses_count; i++) {
		const char *name = s->record->uses[i];
		struct service *used = services_by_name(name, strnlen(name, NAME_SIZE));
		if (used && used != s && !(used->record->flags & SERVICE_FLAG_FIRST))
			watch_kill(used);
	}
	restart_now(s);
}

static void watch_act(struct service *s, const struct policy_decision *decision, const struct domain_status *status)
{
	switch (decision->action) {
	case POLICY_RESTART:
		restart_now(s);
		break;
	case POLICY_DELAY:
		restart_later(s, decision->delay_ms);
		break;
	case POLICY_ALTERNATIVE:
		restart_use_alternative(s);
		restart_now(s);
		break;
	case POLICY_ESCALATE:
		watch_escalate(s);
		break;
	case POLICY_HOLD:
		restart_hold(s);
		break;
	case POLICY_END:
		jobs_end(s, s->why, status->cause);
		break;
	}
}

static void watch_say_decision(const struct service *s, const struct policy_decision *decision)
{
	const char *name = s->record->name;
	if (decision->action == POLICY_DELAY)
		say("supervisor: %.16s starts again in %u ms", name, decision->delay_ms);
	else if (decision->action == POLICY_ALTERNATIVE)
		say("supervisor: %.16s has used up its restart rule: image \"%.16s\" from now on", name,
		    s->record->alternative);
	else if (decision->action == POLICY_HOLD)
		say("supervisor: %.16s has used up its restart rule: it is held", name);
}

// What the words after the restart need: by then the entry may be gone (a job), or be of another image.
static struct service watch_remember(const struct service *s)
{
	struct service former = {.record = s->record, .job = s->job};
	memcpy(former.image, s->image, NAME_SIZE);
	return former;
}

static void watch_tell(const struct service *former, struct crash *crash, const struct policy_decision *decision)
{
	if (former->job && (crash->kind == FAULT_EXIT || crash->kind == FAULT_KILLED))
		return; // its end, not a crash: whoever waits for it is told
	watch_describe_places(former, crash);
	crash_log_death(crash);
	watch_say_decision(former, decision);
}

// The domain has stopped. Restart first, words later; but who serves nobody is up the moment it starts, and nobody waits.
static void watch_ended(struct service *s, const struct domain_status *status, enum fault_kind kind)
{
	struct crash crash = watch_crash(s, status, kind);
	if (crash.assertion)
		watch_read_assertion(s, &crash);
	struct service former = watch_remember(s);
	struct policy_event event = {kind, services_now_ms(), s->phase == PHASE_UP};
	struct policy_decision decision = policy_decide(&event, &s->history, &s->rule);
	timer_cancel(&s->timer);
	s->why = kind;
	s->complaint = 0;
	watch_count(s, kind);
	watch_begin_times(s, status, kind);
	policy_remember(&s->history, &event, &decision, &s->rule);
	services_publish(s, SERVICE_DOWN);
	bool alone = former.record->serves_count == 0;
	if (alone)
		watch_tell(&former, &crash, &decision);
	watch_act(s, &decision, status);
	if (!alone)
		watch_tell(&former, &crash, &decision);
}

void watch_check(struct service *s)
{
	uint64_t words[sizeof(struct domain_status) / sizeof(uint64_t)] = {0};
	struct domain_status status;
	if (!watch_runs(s) || !watch_read_status(s, words, 0))
		return;
	memcpy(&status, words, sizeof status);
	if ((status.state & 255) == DOMAIN_STOPPED) {
		if (!watch_read_status(s, words + 5, 1))
			return;
		memcpy(&status, words, sizeof status);
		watch_ended(s, &status, (enum fault_kind)(status.state >> 8 & 255));
	} else if ((status.state >> 16 & 1) && s->phase == PHASE_STARTING && (uint32_t)status.epoch == s->epoch) {
		restart_is_ready(s);
	}
}

void watch_tell_own(struct service *s, uint64_t started)
{
	uint64_t words[sizeof(struct domain_status) / sizeof(uint64_t)] = {0};
	struct domain_status status;
	if (!watch_read_status(s, words, 0) || !watch_read_status(s, words + 5, 1))
		return;
	memcpy(&status, words, sizeof status);
	enum fault_kind kind = (enum fault_kind)(status.state >> 8 & 255);
	if (kind == FAULT_NONE)
		return;
	struct crash crash = watch_crash(s, &status, kind);
	crash.complaint = (enum complaint)status.cause; // our kernel has judged it: it did not end itself
	crash.epoch--; // the one before us
	watch_count(s, kind);
	watch_begin_times(s, &status, kind);
	s->times.detected = s->times.started = started;
	s->times.epoch = s->epoch;
	s->restarts = s->epoch - 1;
	watch_describe_places(s, &crash);
	crash_log_death(&crash);
	restart_is_ready(s);
}

// Its kernel has found everything in order.
static void watch_goes_on(struct service *s, bool ready)
{
	s->phase = ready || s->record->serves_count == 0 ? PHASE_UP : PHASE_STARTING;
	services_publish(s, services_state(s));
	(void)watch_arm(s);
	if (s->phase == PHASE_STARTING && !s->job)
		watch_start(s);
	say("supervisor: %.16s goes on as epoch %u", s->record->name, s->epoch);
}

bool watch_return(struct service *s, uint64_t lost)
{
	struct domain_status status = {.time_detected = lost};
	struct kernel_result now = kcall(CALL_domain_status, s->domain.handle, 0);
	unsigned state = now.value[0] & 255;
	if (now.error == ERR_CORE_LOST) // again
		return false;
	if (!now.error && state != DOMAIN_CREATED && state != DOMAIN_STOPPED && state != DOMAIN_DYING) {
		watch_goes_on(s, now.value[0] >> 16 & 1);
		return true;
	}
	unsigned kind = now.value[0] >> 8 & 255;
	s->domain.attached = false;
	if (!now.error && state == DOMAIN_STOPPED && kind != FAULT_NONE && kind != FAULT_CORE) { // it had ended before its kernel did
		s->phase = PHASE_UP;
		watch_check(s);
		return true;
	}
	if (s->job) {
		jobs_end(s, FAULT_CORE, 0);
		return false;
	}
	s->why = FAULT_CORE;
	watch_count(s, FAULT_CORE);
	watch_begin_times(s, &status, FAULT_CORE);
	if (now.error) { // its kernel could not keep the record: a new domain
		if (s->domain.device)
			pci_device_quiesce(s->domain.device);
		s->domain = (struct loader_domain){0};
		services_start(s);
	} else {
		restart_now(s);
	}
	return true;
}

// Stops the domain for a reason of ours, and goes on as if it had died of it.
static enum error watch_stop(struct service *s, enum fault_kind kind)
{
	enum error error = kcall(CALL_domain_stop, s->domain.handle, kind).error;
	if (error == ERR_CORE_LOST)
		cores_doubt(s->domain.core);
	if (error && error != ERR_STATE)
		return error;
	uint64_t now = time_now();
	struct domain_status status = {.time_stopped = now, .time_detected = now};
	if (kind == FAULT_HANG) // it never answered: all the time since its start
		status.time_detected = s->times.started;
	watch_ended(s, &status, kind);
	return ERR_OK;
}

// The kernel pings only who is ready. Who does not get that far, though all that it uses is there, hangs too.
static void watch_start_expired(struct timer *timer)
{
	struct service *s = (struct service *)((char *)timer - offsetof(struct service, timer));
	if (s->phase != PHASE_STARTING)
		return;
	if (services_may_start(s))
		watch_stop(s, FAULT_HANG);
	else
		watch_start(s); // something below it is being restarted: its clock stands still
	services_advance();
	print_pump();
}

void watch_start(struct service *s)
{
	timer_cancel(&s->timer);
	s->timer.expired = watch_start_expired;
	timer_arm(&s->timer, time_now() + time_ticks_from_us(WATCH_START_MS * 1000ull));
}

enum error watch_kill(struct service *s)
{
	if (s->record->flags & SERVICE_FLAG_FIRST)
		return ERR_DENIED;
	return watch_runs(s) ? watch_stop(s, FAULT_KILLED) : ERR_STATE;
}

static void watch_forget(struct service *s)
{
	s->history = (struct policy_history){0};
	if (memcmp(s->image, s->record->image, NAME_SIZE) != 0) {
		memcpy(s->image, s->record->image, NAME_SIZE);
		s->replace = s->domain.handle != 0;
	}
}

enum error watch_restart(struct service *s)
{
	if (s->record->flags & SERVICE_FLAG_FIRST)
		return ERR_DENIED;
	if (s->phase == PHASE_LOST)
		return ERR_CORE_LOST;
	watch_forget(s);
	switch (s->phase) {
	case PHASE_DELAYED:
		restart_resume(s);
		break;
	case PHASE_HELD:
		if (s->domain.handle) {
			s->why = FAULT_KILLED;
			restart_now(s);
		} else {
			services_start(s);
		}
		break;
	case PHASE_STARTING:
	case PHASE_UP:
		return watch_stop(s, FAULT_KILLED);
	default:
		return ERR_STATE;
	}
	return ERR_OK;
}

static void watch_complaint(uint64_t who, uint64_t reason)
{
	struct service *s = services_of_domain((unsigned)(who >> 32), (unsigned)(who & 0xffffffff));
	if (!s || !watch_runs(s))
		return;
	bool stops = policy_complaint_stops((enum complaint)reason, s->history.complaints);
	s->history.complaints++;
	if (!stops)
		return;
	if ((s->record->flags & SERVICE_FLAG_FIRST) && !cores_settled())
		return; // nobody is served yet: those who still have cause will say so again
	if (s->record->flags & SERVICE_FLAG_FIRST) { // about ourselves: our next incarnation answers what we did not
		say("supervisor: a client complains about the supervisor, which ends itself");
		kcall(CALL_exit, WATCH_EXIT_COMPLAINT);
		return;
	}
	s->complaint = (enum complaint)reason;
	watch_stop(s, FAULT_COMPLAINT);
}

void watch_event(unsigned kind, uint64_t a, uint64_t b, uint64_t c)
{
	struct service *s;
	if (inject("supervisor.event"))
		say("supervisor: an injected error at an event; it is handled all the same");
	switch (kind) {
	case EVENT_DOMAIN:
		s = services_of_domain((unsigned)a, (unsigned)b);
		if (s)
			watch_check(s);
		break;
	case EVENT_CORE:
		cores_event((unsigned)a);
		break;
	case EVENT_COMPLAINT:
		watch_complaint(a, c);
		break;
	}
}
