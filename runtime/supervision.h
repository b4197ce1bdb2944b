// What a program asks of the supervisor and of a service's runtime: lists, kills, jobs, injected faults.
//
// Used by the shell, storm, bench and the misbehaving apps. Owns the channel to "supervisor" and small channels to the
// services under test. All functions wait. If the supervisor dies they wait for the next one: its requests stand in
// the ring. ERR_NOT_FOUND from an opening means that this domain's manifest does not name the service in `uses`.
#pragma once
#include "proto/supervisor.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client;

enum error supervision_open(void);
struct client *supervision_client(void); // 0 before it is open

// One service of the manifest by index; ERR_NOT_FOUND behind the last.
enum error supervision_service(unsigned index, struct supervisor_service *service);
// By its name in the manifest, or by a name that it serves.
enum error supervision_find(const char *name, struct supervisor_service *service);
// The name under which that domain publishes a service; its own name when it publishes none at the moment.
void supervision_served_name(const struct supervisor_service *service, char name[NAME_SIZE + 1]);

enum error supervision_kill(const char *service);
enum error supervision_restart(const char *service);
enum error supervision_spawn(const char *app, const char *arguments, uint64_t *job);
// Of an answer to WAIT. A job that its kernel shows running has not ended, whatever is said of it: that is complained about, and true says that
// it is to be asked again. Three complaints of anybody are the end of a supervisor, and its next incarnation has the job from the kernels.
// Who says so six times is believed. `doubts` is 0 at first.
bool supervision_doubts_end(uint64_t job, enum error answer, unsigned *doubts);
enum error supervision_wait(uint64_t job, uint64_t *code, uint64_t *fault_kind);
enum error supervision_stop(uint64_t job);
// The arguments that this domain was spawned with, NUL-terminated; "" when there are none.
enum error supervision_argument(char *text, size_t room);
// Text of the crash log from `offset`; *got = 0 at its end.
enum error supervision_log(uint64_t offset, char *text, size_t room, size_t *got, uint64_t *next);
// Restarts from number `first`; *given = 0 when there is none yet.
enum error supervision_times(uint64_t first, struct supervisor_restart *times, unsigned room, unsigned *given,
			     uint64_t *next);
// What the supervisor knows of a core: enum core_state, and how often its kernel was started again.
enum error supervision_core(unsigned core, uint64_t *state, uint64_t *reboots);
// Lets the kernels of those cores (a bit each) die; enum core_crash and doom: abi/call.h, core_crash.
enum error supervision_core_crash(uint64_t cores, unsigned how, unsigned doom);
// The supervisor tells its kernel so often that the kernels of those cores are silent. *refused: how often they were found alive.
enum error supervision_doubt(uint64_t cores, uint64_t times, uint64_t *refused);
enum error supervision_power(bool reboot, uint64_t code);

// Who is harmed: a service by its name, or a job by its number (then the name counts for nothing).
struct supervision_victim {
	char name[NAME_SIZE + 1];
	uint64_t job;
};
// One segment of its program by number, the stack last; ERR_NOT_FOUND behind that.
struct supervision_segment {
	uint64_t gpa;
	uint64_t bytes;
	uint64_t prot; // PROT_*
	size_t got;    // bytes of pristine content that were given
};
// `room`: at most SUPERVISION_ROOM.
enum error supervision_segment(const struct supervision_victim *victim, unsigned number, uint64_t offset, void *content,
			       size_t room, struct supervision_segment *segment);
// Damage on purpose: 8 bytes at a guest-physical address, or saved register 0 (pc) to 31, are xored with `mask` (0: only
// read). *was: what stood there. ERR_INVALID: not a place of its own; ERR_STATE: it is not up.
enum error supervision_poke(const struct supervision_victim *victim, uint64_t place, uint64_t mask, uint64_t *was);
// Many at once, at most SUPERVISOR_POKES. What is not a place of its own is left out; `own`: a bit for each that is one.
enum error supervision_places(const struct supervision_victim *victim, const struct supervisor_poke *places, unsigned count,
			      uint64_t own[2]);
enum error supervision_pokes(const struct supervision_victim *victim, const struct supervisor_poke *pokes, unsigned count);

// A channel to the service published under `served`, opened once and kept. Small: payloads up to SUPERVISION_ROOM.
#define SUPERVISION_ROOM 4096u
enum error supervision_channel(const char *served, struct client **client);
// Arms a fault in that service: at the `passage`-th passage from now of the point ("" : any point).
enum error supervision_inject(const char *served, const char *point, enum inject_action action, uint64_t passage,
			      uint32_t parameter);
// Disarms it. *armed: it had not fired; false when a later incarnation answers, which knows of no fault.
enum error supervision_disarm(const char *served, const char *point, bool *armed);
// A fault for a later incarnation of that service, armed before that one replays: a death in the recovery from another. Waits for nothing;
// the wish stands in the service's ring, through deaths, until that incarnation serves or the caller ends. ERR_LIMIT: there are
// SUPERVISION_WISHES already.
#define SUPERVISION_WISHES 4u
enum error supervision_inject_later(const char *served, uint32_t epoch, const char *point, enum inject_action action,
				    uint64_t passage);
// Through the service's ring and main loop and back; comes back after a restart when the service is down.
enum error supervision_ping(const char *served);
// Injection points of a service from number `first`; *number = 0 behind the last. `bytes`: room for them.
enum error supervision_points(struct client *client, uint64_t first, struct inject_point_info *points, size_t bytes,
			      uint64_t *number);
// INJECT_NONE when there is no such word.
enum inject_action supervision_action(const char *word);
const char *supervision_action_word(unsigned action);
const char *supervision_fault_word(unsigned fault_kind);
