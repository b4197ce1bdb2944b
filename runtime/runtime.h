// Runtime of a native domain: who am I, time, the event loop, logging.
//
// A domain is one thread of control that never takes an interrupt it did not wait for: sstatus.SIE stays 0, rings
// are claimed from the interrupt file (stopei) by the loop, without a trap. Fibers (fiber.h) give waiting without blocking the loop; the loop answers the supervisor's pings, so a
// fiber that never yields is a hang.
//
// If the domain dies: nothing of the runtime's survives; channels do (client.h, server.h say how they resume).
#pragma once
#include "abi/fault.h"
#include "abi/info.h"
#include "abi/manifest.h"
#include "runtime/kernel_call.h"
#include <stdbool.h>
#include <stddef.h>

// The program. Runs in the first fiber; its return is the exit code of the domain.
int program_main(void);

const struct manifest_service *self_manifest(void); // read-only, at GPA_STARTUP
unsigned self_core(void);
unsigned self_domain(void);
uint32_t self_epoch(void);
bool self_restarted(void); // not the first incarnation

uint64_t time_now(void);                  // ticks of the time base (rdtime)
uint64_t time_ticks_from_us(uint64_t us);
uint64_t time_us_from_ticks(uint64_t ticks);

// Runs the loop once: claims rings, takes kernel events, calls sources, runs ready fibers. May sleep when `may_sleep`
// and nothing is ready. Called by fiber_* when they wait; programs seldom need it.
void loop_turn(bool may_sleep);

// A source: somebody interested in an identity. `notify` runs on the loop, must not wait. identity 0: polled each turn.
struct loop_source {
	void (*notify)(struct loop_source *source);
	unsigned identity;
	struct loop_source *next;
};
void loop_source_add(struct loop_source *source);
// For whoever gives its identity up before its end. No server does: what a source serves lives as long as the domain.
void loop_source_remove(struct loop_source *source);

// Kernel events that are not the runtime's own (EVENT_DOMAIN, EVENT_CORE, EVENT_COMPLAINT): the supervisor registers.
void loop_on_event(void (*handler)(unsigned kind, uint64_t a, uint64_t b, uint64_t c));

// A line in the core's log (and on the console until the console server runs). printf-like, cut at 160 characters.
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

_Noreturn void domain_exit(int code);
// Failed check of our own invariants: an illegal instruction that says so (a write of a0 to the cycle counter, which cannot
// be written; compilers' own traps write zero), with file, line and what in a0 to a2 and the caller in ra. The supervisor
// reads them there (domain_poke) and the texts in the image's file, so the crash line tells them without a word from us.
#define DOMAIN_PANIC_INSTRUCTION 0xc0051073
_Noreturn void domain_panic(const char *file, int line, const char *what);
#define invariant(condition) ((condition) ? (void)0 : domain_panic(__FILE__, __LINE__, #condition))

// Info page of a core, bounded sequence-count read into `copy`. False: torn for too long, or no such core.
bool info_read(unsigned core, struct info_page *copy);
// Looks for a service by name on all cores. False: not published.
bool info_find_service(const char *name, unsigned *core, struct info_service *found);
