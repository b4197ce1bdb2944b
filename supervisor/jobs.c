// Jobs: apps that run once.
//
// Owns the results of ended jobs; the running ones are entries of the table in services.c. It must never wait for a job:
// whoever waits is parked in requests.c and looks here after each event. If the supervisor dies, running jobs are adopted
// under the same numbers; the results of those that ended unasked, and the arguments, are lost.
#include "supervisor/jobs.h"
#include "runtime/runtime.h"
#include "supervisor/restart.h"
#include <string.h>

struct job_result {
	uint32_t job;
	enum fault_kind kind;
	uint64_t code;
};

static struct {
	struct job_result results[JOB_RESULTS];
	unsigned next;
} jobs;

uint32_t jobs_number(unsigned core, unsigned domain, uint32_t epoch)
{
	return SUPERVISOR_JOB(core, domain, epoch);
}

// Create, load, start; on failure the entry is free again.
static enum error jobs_load(struct service *s)
{
	char why[CRASH_LINE_MAX];
	struct loader_order order = {.record = s->record, .core = services_choose_core(s->record), .start = true, .domain = &s->domain};
	enum error error = image_program(services_image(), s->image, &order.program, why, sizeof why);
	if (error) {
		say("supervisor: %s", why);
		return error;
	}
	loader_create(services_image(), &order, 1);
	if (order.error)
		return order.error;
	s->phase = PHASE_STARTING;
	s->epoch = order.epoch;
	s->job = jobs_number(s->domain.core, s->domain.domain, s->epoch);
	return ERR_OK;
}

enum error jobs_start(const struct manifest_service *record, const char *argument, size_t length, uint32_t *job)
{
	struct service *s = services_free_job();
	if (!s)
		return ERR_LIMIT;
	if (length > JOB_ARGUMENT_SIZE)
		return ERR_TOO_BIG;
	*s = (struct service){.record = record, .rule = policy_rule_from(record), .step = STEP_DONE};
	memcpy(s->image, record->image, NAME_SIZE);
	memcpy(s->argument, argument, length);
	s->argument_length = length;
	enum error error = jobs_load(s);
	if (error) {
		*s = (struct service){0};
		return error;
	}
	*job = s->job;
	services_publish(s, SERVICE_STARTING);
	return ERR_OK;
}

void jobs_end(struct service *s, enum fault_kind kind, uint64_t code)
{
	jobs.results[jobs.next++ % JOB_RESULTS] = (struct job_result){s->job, kind, code};
	services_publish(s, SERVICE_NONE);
	kcall(CALL_domain_destroy, s->domain.handle);
	*s = (struct service){0};
}

static struct service *jobs_find(uint32_t job)
{
	struct service *s;
	for (unsigned i = 0; job && (s = services_at(i)); i++) {
		if (s->record && s->job == job)
			return s;
	}
	return 0;
}

enum error jobs_stop(uint32_t job)
{
	struct service *s = jobs_find(job);
	if (!s)
		return ERR_NOT_FOUND;
	enum error error = kcall(CALL_domain_stop, s->domain.handle, FAULT_KILLED).error;
	if (error && error != ERR_STATE)
		return error;
	jobs_end(s, FAULT_KILLED, 0);
	return ERR_OK;
}

enum job_state jobs_result(uint32_t job, uint64_t *code, enum fault_kind *kind)
{
	if (jobs_find(job))
		return JOB_RUNS;
	for (unsigned i = 0; job && i < JOB_RESULTS; i++) { // newest first: numbers come again after 65536 epochs
		const struct job_result *r = &jobs.results[(jobs.next - 1 - i) % JOB_RESULTS];
		if (r->job == job) {
			*code = r->code;
			*kind = r->kind;
			return JOB_ENDED;
		}
	}
	return JOB_UNKNOWN;
}
