// Restart of a service: the steps, one after the other, each of which may be repeated.
#pragma once
#include "supervisor/services.h"

// Tries for one step before the service is held. 3: a step fails for lack of something that another try rarely finds;
// more would only hide it.
#define RESTART_TRIES 3u
// Restarts kept for TIMES. 2048: a storm of ten minutes reads them as it goes.
#define RESTART_TIMES 2048u
// Numbers that one incarnation has for its restarts: 2^20, at 200 a second more than an hour of storm.
#define RESTART_NUMBERS_LOG 20u

// All steps now. `service->why`, `service->times` (fault, detected) are filled by the caller.
void restart_now(struct service *service);
// Stops and fences now; the timer does the rest after delay_ms.
void restart_later(struct service *service, uint32_t delay_ms);
// The rest of a delayed restart, now.
void restart_resume(struct service *service);
// Stops and fences, and tells the clients that it will not come back.
void restart_hold(struct service *service);
// The steps behind loading, for a domain that was just created.
void restart_first_start(struct service *service);
// From here on it runs from its alternative image.
void restart_use_alternative(struct service *service);
// It is ready: completes the record of this restart.
void restart_is_ready(struct service *service);
// Restarts are numbered on from what earlier incarnations of the supervisor can have reached, so that a reader who asks by
// number misses none after the supervisor's own death.
void restart_number_from(uint32_t epoch);
// Copies the times of restarts with numbers from *first on (moved forward when those are forgotten), at most `room`.
unsigned restart_times(uint64_t *first, struct supervisor_restart *out, unsigned room);
const char *restart_step_name(enum restart_step step);
