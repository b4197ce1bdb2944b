// A kernel for tests of the supervisor: domains without programs, devices without hardware, time that the test moves.
//
// Each call that changes something is noted in fake_trace as a word ("start:fs"), so that a test compares orders.
#pragma once
#include "abi/fault.h"
#include "abi/info.h"
#include "runtime/kernel_call.h"
#include <stdbool.h>
#include <stdint.h>

struct fake_domain {
	bool used;
	char name[NAME_SIZE + 1];
	unsigned core;
	unsigned index;
	uint32_t epoch;
	enum domain_state state;
	enum fault_kind fault;
	bool ready;
	bool loaded;      // has segments
	bool mapped;      // its server ends are
	bool clean;       // restored since it stopped
	bool told_final;
	uint64_t cause;
	uint64_t address;
	uint64_t pc;
	uint64_t ra;
	uint64_t instruction;
	uint64_t registers[32];
	uint64_t time_stopped;
	uint64_t time_detected;
	uint64_t watch_us;
};

#define FAKE_CORES 4u
#define FAKE_TICKS_PER_US 10u

extern char fake_trace[8192];
extern unsigned fake_cores;
extern bool fake_has_disk;
extern bool fake_device_on;       // bus master of the disk
extern enum error fake_quiesce_error;
extern enum call fake_fail_call;  // answers fake_fail_error, fake_fail_count times
extern enum error fake_fail_error;
extern unsigned fake_fail_count;
extern bool fake_lost[FAKE_CORES]; // cores
extern bool fake_silent[FAKE_CORES]; // their pages say that they are online
extern bool fake_fenced[FAKE_CORES];
extern bool fake_starting[FAKE_CORES]; // those that are lost are in their rebirth: their pages are empty
extern bool fake_deaf_to_us;           // those that are lost answer our kernel
extern unsigned fake_lose_core;    // is lost after so many calls for it, 0: none
extern unsigned fake_lose_after;
extern uint32_t fake_incarnation[FAKE_CORES];
extern unsigned fake_waits; // for a silent core; a batch waits once
extern uint64_t fake_now;         // ticks
extern unsigned fake_inject_at;   // passage of any point that gives ERR_INJECTED, 0: none
extern unsigned fake_inject_passages;
extern bool fake_restarted;
extern bool fake_old_kernel;      // cannot forget segments

extern void (*fake_while_parked)(void); // the events that come while the fiber waits

void fake_reset(void);
struct fake_domain *fake_find(const char *name); // the living one of that name; 0
struct fake_domain *fake_at(uint64_t core, uint64_t index);
enum service_state fake_published(const char *name);
// What the kernel would do by itself, without telling the supervisor.
void fake_ready(struct fake_domain *domain);
void fake_crash(struct fake_domain *domain, enum fault_kind kind, uint64_t cause);
// The core's kernel begins anew, and keeps the records of its domains, or not.
void fake_reborn(unsigned core, bool kept);
// Moves time; runs timers that expire.
void fake_advance_ms(uint64_t ms);
