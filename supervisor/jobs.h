// Jobs: domains of apps, made on request, one entry of the table each, answered for when they end.
#pragma once
#include "supervisor/services.h"

// Ended jobs whose results are kept for a WAIT that comes late. 128: twice the jobs that can run at once.
#define JOB_RESULTS 128u

enum job_state { JOB_UNKNOWN, JOB_RUNS, JOB_ENDED };

// The number of the job in that domain: made of core, domain and epoch, so that a supervisor that was restarted finds
// the same numbers. Never 0: epochs begin with 1.
uint32_t jobs_number(unsigned core, unsigned domain, uint32_t epoch);
// Creates and starts a domain of that app. Errors: ERR_LIMIT, ERR_TOO_BIG, of image_program, of loader_create.
enum error jobs_start(const struct manifest_service *record, const char *argument, size_t length, uint32_t *job);
// The job's domain has stopped: keeps the result, destroys the domain, frees the entry.
void jobs_end(struct service *job, enum fault_kind kind, uint64_t code);
enum error jobs_stop(uint32_t job);
enum job_state jobs_result(uint32_t job, uint64_t *code, enum fault_kind *kind);
