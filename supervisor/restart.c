// Restart: stop, quiesce the device, unregister, restore, switch the device on, start, watch.
//
// Owns the order. It must never start an incarnation whose predecessor a hart or a device could still write for: STOP is
// acknowledged by the kernel of that core, QUIESCE by the device, before RESTORE touches memory (INV-40).
// Right because the steps run in this order only, a failed step is repeated, and a step that keeps failing ends in a hold,
// never in the next step. The kernel records each step; if the supervisor dies between any two, its next incarnation
// finds the domain stopped and begins again with STOP, which by then does nothing new (INV-41). Who notices: the kernel of the
// supervisor's core.
#include "supervisor/restart.h"
#include "runtime/error_text.h"
#include "runtime/inject.h"
#include "runtime/runtime.h"
#include "runtime/trace.h"
#include "supervisor/cores.h"
#include "supervisor/watch.h"
#include <string.h>

// How often domain_restore may answer ERR_AGAIN: it works in chunks of at least a page, and this is 4 GiB of them.
#define RESTART_CHUNKS_MAX 0x100000u

static struct {
	struct supervisor_restart times[RESTART_TIMES];
	uint64_t first; // number of the first restart that this incarnation of the supervisor saw
	uint64_t count; // number of the next
} restart;

static enum error restart_stop(struct service *s)
{
	enum error error = kcall(CALL_domain_stop, s->domain.handle, s->why).error;
	return error == ERR_STATE ? ERR_OK : error; // stopped already: by its fault
}

static enum error restart_quiesce(struct service *s)
{
	return s->domain.device ? pci_device_quiesce(s->domain.device) : ERR_OK;
}

static enum error restart_unregister(struct service *s)
{
	enum error error = kcall(CALL_domain_unregister, s->domain.handle, 0).error;
	s->times.fenced = time_now();
	return error;
}

static enum error restart_create(struct service *s, const struct image_program *program, unsigned core)
{
	struct loader_order order = {.record = s->record, .program = *program, .core = core, .domain = &s->domain};
	loader_create(services_image(), &order, 1);
	return order.error;
}

// For a kernel that cannot forget segments: another domain, at the price that the clients are told.
static enum error restart_recreate(struct service *s, const struct image_program *program)
{
	unsigned core = s->domain.core;
	say("supervisor: %.16s gets a new domain for its other image: its clients lose it for a moment", s->record->name);
	enum error error = kcall(CALL_domain_unregister, s->domain.handle, 1).error;
	if (!error)
		error = kcall(CALL_domain_destroy, s->domain.handle).error;
	s->domain.handle = 0;
	if (!error)
		error = restart_create(s, program, core);
	return error ? error : loader_attach(services_machine(), s->record, &s->domain);
}

static enum error restart_replace(struct service *s)
{
	char why[CRASH_LINE_MAX];
	struct image_program program;
	enum error error = image_program(services_image(), s->image, &program, why, sizeof why);
	if (error) {
		say("supervisor: %s", why);
		return error;
	}
	error = loader_replace(services_image(), s->record, &program, &s->domain);
	if (error == ERR_UNSUPPORTED)
		error = restart_recreate(s, &program);
	if (!error)
		s->replace = false;
	return error;
}

static enum error restart_clean(struct service *s)
{
	for (unsigned i = 0; i < RESTART_CHUNKS_MAX; i++) {
		enum error error = kcall(CALL_domain_restore, s->domain.handle).error;
		if (error == ERR_STATE && i == 0) // repeated: it has another image, or half of one, and was not started yet
			(void)restart_stop(s);
		else if (error != ERR_AGAIN)
			return error;
	}
	return ERR_TIMEOUT;
}

// Another image goes in after the old one was cleaned out: so heap and registers are clear for it too.
static enum error restart_restore(struct service *s)
{
	enum error error = restart_clean(s);
	return error || !s->replace ? error : restart_replace(s);
}

// A reborn kernel keeps no windows. Whether our former incarnation had attached the device since, nobody has told us: again.
static enum error restart_device(struct service *s)
{
	enum error error = s->domain.attached ? ERR_OK : loader_attach(services_machine(), s->record, &s->domain);
	if (error)
		return error;
	return s->domain.device ? pci_device_start(s->domain.device) : ERR_OK;
}

static enum error restart_start(struct service *s)
{
	struct kernel_result started = kcall(CALL_domain_start, s->domain.handle, s->domain.entry, GPA_STACK_TOP);
	if (started.error == ERR_STATE && s->times.started) // repeated: it runs already
		return ERR_OK;
	if (started.error)
		return started.error;
	s->epoch = (uint32_t)started.value[0];
	s->times.started = time_now();
	s->times.epoch = s->epoch;
	return ERR_OK;
}

static enum error restart_watch(struct service *s)
{
	return watch_arm(s);
}

static const struct {
	const char *name;
	enum error (*run)(struct service *service);
} restart_steps[] = {
	[STEP_STOP] = {"stop", restart_stop},
	[STEP_QUIESCE] = {"quiesce", restart_quiesce},
	[STEP_UNREGISTER] = {"unregister", restart_unregister},
	[STEP_RESTORE] = {"restore", restart_restore},
	[STEP_DEVICE] = {"device", restart_device},
	[STEP_START] = {"start", restart_start},
	[STEP_WATCH] = {"watch", restart_watch},
};

const char *restart_step_name(enum restart_step step)
{
	return step < STEP_DONE ? restart_steps[step].name : "done";
}

// One step, repeated when it fails. An injected error comes after the step: then it is repeated though it was done.
static enum error restart_step_run(struct service *s)
{
	enum error error = ERR_OK;
	trace_phase(s->step, s->epoch, s->record->name);
	for (unsigned try = 0; try < RESTART_TRIES; try++) {
		error = restart_steps[s->step].run(s);
		if (!error)
			error = inject_shown("supervisor.restart");
		if (!error || error == ERR_CORE_LOST)
			break;
	}
	return error;
}

// From the step where it stands to the end, or to the first step that cannot be done.
static enum error restart_run_until(struct service *s, enum restart_step end)
{
	for (; s->step < end; s->step++) {
		enum error error = restart_step_run(s);
		if (error)
			return error;
	}
	return ERR_OK;
}

static void restart_begin(struct service *s, enum restart_step step)
{
	s->step = step;
	s->times.started = 0;
}

static void restart_failed(struct service *s, enum error error)
{
	if (error == ERR_CORE_LOST) {
		cores_doubt(s->domain.core);
		return;
	}
	say("supervisor: %.16s cannot be restarted, step '%s' failed: %s; it is held", s->record->name,
	    restart_step_name(s->step), error_sentence(error));
	if (s->step != STEP_STOP && s->step != STEP_QUIESCE) // else something may write still: nothing is released
		restart_hold(s);
	else
		services_set_held(s);
}

static void restart_run(struct service *s)
{
	enum error error = restart_run_until(s, STEP_DONE);
	if (error) {
		restart_failed(s, error);
		return;
	}
	s->phase = PHASE_STARTING;
	services_publish(s, SERVICE_STARTING);
	if (s->record->serves_count == 0) // nobody waits for it, and it never says that it is ready
		restart_is_ready(s);
	else
		watch_start(s);
}

void restart_first_start(struct service *s)
{
	restart_begin(s, STEP_DEVICE);
	restart_run(s);
}

void restart_now(struct service *s)
{
	s->restarts++;
	restart_begin(s, STEP_STOP);
	restart_run(s);
}

static void restart_delay_expired(struct timer *timer)
{
	struct service *s = (struct service *)((char *)timer - offsetof(struct service, timer));
	if (s->phase == PHASE_DELAYED)
		restart_resume(s);
}

void restart_resume(struct service *s)
{
	timer_cancel(&s->timer);
	s->restarts++;
	restart_run(s);
	services_advance();
}

void restart_later(struct service *s, uint32_t delay_ms)
{
	restart_begin(s, STEP_STOP);
	enum error error = restart_run_until(s, STEP_RESTORE);
	if (error) {
		restart_failed(s, error);
		return;
	}
	s->phase = PHASE_DELAYED;
	s->timer.expired = restart_delay_expired;
	timer_arm(&s->timer, time_now() + time_ticks_from_us((uint64_t)delay_ms * 1000));
}

void restart_hold(struct service *s)
{
	restart_begin(s, STEP_STOP);
	s->returning = false;
	enum error error = restart_run_until(s, STEP_UNREGISTER);
	if (!error)
		error = kcall(CALL_domain_unregister, s->domain.handle, 1).error; // final: the clients are told
	if (error == ERR_CORE_LOST) {
		cores_doubt(s->domain.core);
		return;
	}
	if (error)
		say("supervisor: %.16s could not be fenced off: %s; its memory stays out of use", s->record->name,
		    error_sentence(error));
	services_set_held(s);
}

void restart_use_alternative(struct service *s)
{
	memcpy(s->image, s->record->alternative, NAME_SIZE);
	s->replace = true;
}

void restart_is_ready(struct service *s)
{
	timer_cancel(&s->timer);
	services_set_up(s);
	trace_phase(TRACE_PHASE_READY, s->epoch, s->record->name);
	if (!s->returning)
		return;
	s->returning = false;
	s->times.ready = time_now();
	s->restart_ticks_last = s->times.ready - s->times.fault;
	if (s->restart_ticks_last > s->restart_ticks_max)
		s->restart_ticks_max = s->restart_ticks_last;
	restart.times[restart.count++ % RESTART_TIMES] = s->times;
	struct crash_return back = {
		.epoch = s->epoch,
		.restarts = s->restarts,
		.detected_us = time_us_from_ticks(s->times.detected - s->times.fault),
		.started_us = time_us_from_ticks(s->times.started - s->times.fault),
		.ready_us = time_us_from_ticks(s->restart_ticks_last),
	};
	memcpy(back.name, s->record->name, NAME_SIZE);
	crash_log_return(&back);
}

void restart_number_from(uint32_t epoch)
{
	restart.first = restart.count = (uint64_t)(epoch - 1) << RESTART_NUMBERS_LOG;
}

unsigned restart_times(uint64_t *first, struct supervisor_restart *out, unsigned room)
{
	uint64_t oldest = restart.count - restart.first > RESTART_TIMES ? restart.count - RESTART_TIMES : restart.first;
	unsigned given = 0;
	if (*first < oldest)
		*first = oldest;
	if (*first > restart.count)
		*first = restart.count;
	while (given < room && *first + given < restart.count) {
		out[given] = restart.times[(*first + given) % RESTART_TIMES];
		given++;
	}
	return given;
}
