// The table of services and jobs: what runs where, in which phase, and when the next one may start.
#pragma once
#include "abi/info.h"
#include "proto/supervisor.h"
#include "runtime/fiber.h"
#include "supervisor/crash_log.h"
#include "supervisor/image.h"
#include "supervisor/loader.h"
#include "supervisor/machine.h"
#include "supervisor/policy.h"
#include "supervisor/print.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Jobs at once. 64: two for each domain slot of a core, on a machine where nobody can run more than a few by hand.
#define JOB_MAX 64u
#define JOB_ARGUMENT_SIZE 512u

enum service_phase {
	PHASE_IDLE,     // not to be started now: an app's record, or a free job entry
	PHASE_WAITING,  // for what it uses
	PHASE_STARTING, // runs, not ready yet
	PHASE_UP,
	PHASE_DELAYED,  // stopped, the timer starts it again
	PHASE_HELD,     // stopped until somebody asks
	PHASE_LOST,     // with its core
};

// The steps of a restart, in order (docs/recovery.md). Each may be repeated.
enum restart_step {
	STEP_STOP,
	STEP_QUIESCE,
	STEP_UNREGISTER,
	STEP_RESTORE,
	STEP_DEVICE,
	STEP_START,
	STEP_WATCH,
	STEP_DONE,
};

struct service {
	const struct manifest_service *record; // 0: a free job entry
	uint32_t job;                          // number of the job, 0: a service of the manifest
	enum service_phase phase;
	struct loader_domain domain;
	uint32_t epoch;
	char image[NAME_SIZE]; // the one in use: the record's or its alternative
	bool replace;          // another image is to be loaded at STEP_RESTORE
	bool fenced;           // domain.core, which had it, is fenced off
	// restart: written by watch.c and restart.c
	enum restart_step step;
	enum fault_kind why;
	enum complaint complaint;
	struct policy_rule rule;
	struct policy_history history;
	struct timer timer;
	struct supervisor_restart times; // of the restart under way, or the last
	bool returning;                  // it died; the line about its coming back is due
	// counts, for the list of services
	uint32_t restarts;
	uint32_t faults;
	uint32_t hangs;
	uint32_t complaints;
	enum fault_kind last_fault;
	unsigned overlooked; // by audit.c: looks at which it had stopped and nobody here knew
	uint64_t restart_ticks_last;
	uint64_t restart_ticks_max;
	// jobs
	char argument[JOB_ARGUMENT_SIZE];
	size_t argument_length;
};

// Makes the table. `image` and `machine` must stay. `cores`: how many the machine has. ERR_LOOP: services that use each
// other in a circle, said in a line; those stay out, the others start.
enum error services_setup(const struct image *image, const struct machine *machine, unsigned cores);
// After a restart of the supervisor: takes over the domains of that core, by its kernel's records. False: the core died
// meanwhile; what was taken over is marked lost by whoever finds that out, and the call is repeated when the core is back.
bool services_adopt(unsigned core);
// Domains beside our own.
unsigned services_count_adopted(void);
// Starts every service whose turn has come, once all cores are known (cores_settled). Called after each change of a phase.
void services_advance(void);
// All that it uses is up, or certain not to come.
bool services_may_start(const struct service *service);
// True once no service waits or starts.
bool services_settled(void);

unsigned services_cores(void);
const struct image *services_image(void);
const struct machine *services_machine(void);
// Entry by position, 0 behind the last. Entries without a record are free.
struct service *services_at(unsigned index);
struct service *services_of_domain(unsigned core, unsigned domain);
// By its name or by a name that it serves; services of the manifest only.
struct service *services_by_name(const char *text, size_t length);
// Record of an app; 0: no such.
const struct manifest_service *services_app(const char *text, size_t length);
struct service *services_free_job(void);

// Creates, loads and starts the service now. On failure it is held and a line says why.
void services_start(struct service *service);
void services_set_up(struct service *service);  // it is ready
void services_set_held(struct service *service);
void services_set_lost(unsigned core);
// That core is fenced off: what was lost with it is held.
void services_fence(unsigned core);
// That core was fenced off before we could adopt anything of it, and `page` is the last that it said: what stood there is
// started elsewhere, if no device belongs to it.
void services_mourn(unsigned core, const struct info_page *page);
// Destroys the stopped domains of that core that nobody owns. Never before the core is adopted.
void services_sweep(unsigned core);
// That core has a new kernel: what was lost with the old one goes on or is restarted. Returns how many.
unsigned services_return(unsigned core, uint64_t lost);
// The names that it serves, in its core's info page. A service without a domain is published as the supervisor's.
void services_publish(const struct service *service, enum service_state state);
enum service_state services_state(const struct service *service);
void services_fill(const struct service *service, struct supervisor_service *out);
// An online core for a domain of that record: the named one, else the one with the fewest domains.
unsigned services_choose_core(const struct manifest_service *record);
uint64_t services_now_ms(void);
