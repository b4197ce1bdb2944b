// Victims of a campaign: services, one client, kernels; whether they died, and how they become pristine again.
#pragma once
#include "apps/storm/damage.h"

// What one victim gets in one trial, and what became of it.
struct shot {
	struct damage_victim *victim;
	struct damage damage;
	uint32_t epoch, faults; // of the victim's domain before; of a kernel: its incarnation
	bool died;              // by the fault
	bool fired;             // of a fault at a point: it was passed
	bool renewed;           // it was killed by us to be pristine again
	enum error done;        // ERR_OK: the fault was put there
	const char *activated;  // yes, no, unknown
	unsigned kind;          // enum fault_kind of its death; FAULT_NONE: it did not die by itself
	unsigned restarts;
	uint64_t detect, teardown, restart, replay; // us
	uint64_t online;        // rdtime when a victim's kernel ran again
};

// Those of the options. Spawns the client.
enum error victims_learn(uint64_t *random);
void victims_end(void);
unsigned victims_count(void);
struct damage_victim *victims_at(unsigned index);
bool victim_is_client(const struct damage_victim *victim);
bool victim_is_supervisor(const struct damage_victim *victim);

// Notes what the victim is before the fault. False: it is not there at this moment.
bool victim_note(struct shot *shot);
bool victim_has_died(const struct shot *shot);
// A kernel: that a later incarnation runs.
bool victim_is_reborn(const struct shot *shot);
// Makes it pristine unless it is; does not wait until a service is back.
enum error victim_renew(struct shot *shot, uint64_t *random);
// Every service of the campaign answers; waits for those that are on their way back.
bool victims_answer(void);
// How many kernels died since the last call, but for the one below this core.
unsigned victims_kernels_died(void);
