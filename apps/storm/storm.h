// What the parts of storm share: options, counts, random numbers.
#pragma once
#include "abi/error.h"
#include "abi/info.h"
#include "proto/supervisor.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORM_SERVICES 6u
#define STORM_WORKERS_MAX 8u
#define STORM_FAULT_KINDS 8u // enum fault_kind
#define STORM_ACTIONS (INJECT_ACTIONS + 2u)
#define STORM_KILL INJECT_ACTIONS // as an action: kill through the supervisor
#define STORM_CORE (INJECT_ACTIONS + 1u) // the kernel of the service's core dies, unless it is ours or the supervisor's

struct storm_options {
	uint64_t seconds;
	uint64_t rate_mille;  // faults per 1000 s, over all services; 0: none
	uint64_t seed;
	uint64_t count;       // end early after so many restarts; 0: by time alone
	uint32_t actions;     // bit for each action
	unsigned workers;
	bool keep;            // leave the files
	bool quiet;           // no progress lines
	uint64_t faults;      // campaign: so many faults in place of a storm; 0: a storm
	uint64_t classes;     // campaign: bit for each enum damage_class
	uint64_t work;        // campaign: operations that a trial is given to show itself
	uint64_t volley;      // campaign: faults of one trial, where they are mutations or flipped bits
	uint64_t victims;     // campaign: so many at the same time, where faults are at points
	uint64_t first;       // campaign: number of its first trial
	bool clients;         // campaign: a client is among those that are harmed
	bool kernels;         // campaign: and the kernels of the other cores
	unsigned services;
	char service[STORM_SERVICES][NAME_SIZE + 1]; // manifest names
};

struct storm_counts {
	uint64_t ops;
	uint64_t bytes_written;
	uint64_t bytes_read;
	uint64_t syncs;
	uint64_t files_verified;
	uint64_t errors;       // an operation that must succeed did not
	uint64_t wrong_bytes;  // reads that differ from the model, bytes
	uint64_t console_writes;
	uint64_t ticks;        // of the workload
	enum error last_error;
};

extern struct storm_options storm_options;
extern struct storm_counts storm_counts;
extern bool storm_stopping; // workers and injectors end at their next step
extern bool storm_calm;     // campaign: the work of this trial is done; the workload goes on, slowly

// splitmix64: a step of the state gives the next number.
uint64_t storm_random(uint64_t *state);
// A number from 0 to limit - 1.
uint64_t storm_random_below(uint64_t *state, uint64_t limit);

// --- work.c: the workload and its model

// Makes the directory of this run, named by `path` (room 64).
enum error storm_work_begin(void);
const char *storm_work_directory(void);
// Body of one worker fiber, argument = its number; returns when storm_stopping.
void storm_work(unsigned worker);
// After the workload: sync, and every file byte by byte against the model.
void storm_work_verify(void);
void storm_work_remove(void);
// Asks every worker to read all its files before it goes on; whether all have.
void storm_work_check(void);
bool storm_work_checked(void);

// --- leftover.c

// Says that this domain works in the directory and will remove it; takes that back.
enum error leftover_mark(const char *directory);
enum error leftover_unmark(const char *directory);
// Removes the directories of storms that were interrupted.
void leftovers_remove(void);

// --- injector.c

// Looks up the services; false when one does not exist (a sentence is printed).
bool storm_inject_begin(void);
// Body of one injector fiber, argument = index of its service.
void storm_inject(unsigned service);
// Disarms what has not fired, by one last kill each, and waits until all are back.
void storm_inject_end(void);
uint64_t storm_injected(void);

// --- campaign.c

// Body of the fiber that injects storm_options.faults faults, in trials; sets storm_stopping at the end.
void storm_campaign(void);
// 0: every fault was injected and what was asked of the services afterwards was answered.
int storm_campaign_status(void);

// --- report.c

// Takes the restarts that the supervisor has recorded since the last call (the first: from now on).
void storm_report_collect(void);
uint64_t storm_report_restarts(void);
void storm_report_injected(unsigned service, unsigned action);
void storm_report_print(void);
