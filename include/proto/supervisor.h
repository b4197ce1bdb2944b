// Supervisor protocol. Service name: "supervisor". What the shell and the tests ask of it.
#pragma once
#include "proto/protocol.h"

#define SUPERVISOR_OP_TABLE(X)                                                                                         \
	X(SERVICE, IDEMPOTENT, "index -> 1 if there is such a service; in: struct supervisor_service")                 \
	X(KILL, ONCE, "; out: service name -> ; stopped from outside and reincarnated")                                \
	X(RESTART, ONCE, "; out: service name -> ; as KILL, but clears its history (a held service starts again)")     \
	X(SPAWN, ONCE, "; out: app name NUL arguments -> job number")                                                  \
	X(WAIT, IDEMPOTENT, "job number -> exit code, enum fault_kind ; waits for its end")                            \
	X(STOP, ONCE, "job number -> ")                                                                                \
	X(ARGUMENT, IDEMPOTENT, "-> bytes ; in: the arguments that the calling domain was spawned with")               \
	X(LOG, IDEMPOTENT, "offset -> bytes, next offset ; in: text of the crash log")                                 \
	X(TIMES, IDEMPOTENT, "first restart number -> number given, next ; in: struct supervisor_restart[]")           \
	X(POWER, ONCE, "0 off 1 reboot, exit code -> ")                                                                \
	X(MEMORY, IDEMPOTENT, "core -> free frames, all frames, quarantined")                                          \
	X(SEGMENT, IDEMPOTENT, "number, offset, job; out: service name -> gpa, bytes, protection, bytes given; "       \
			       "in: pristine content from there on; the stack comes last and has none")               \
	X(POKE, ONCE, "place, mask, job; out: service name -> the word as it was; damage on purpose (domain_poke)")                    \
	X(CORE, IDEMPOTENT, "core -> enum core_state, reboots of its kernel")                                          \
	X(CORE_CRASH, ONCE, "cores (a bit each), enum core_crash, doom (abi/call.h) -> ; their kernels die, at once")  \
	X(PLACES, IDEMPOTENT, "0, 0, job; out: service name in NAME_SIZE bytes, struct supervisor_poke[] -> 2 words: a bit for each " \
			      "that is a place of its own")                                                            \
	X(POKES, ONCE, "as PLACES -> ; those that are places of its own are done, the others left out")                 \
	X(DOUBT, IDEMPOTENT, "cores (a bit each), times (100 at most) -> times refused; it tells its kernel, wrongly, that theirs are silent")

enum supervisor_op {
	SUPERVISOR_OP_NONE,
#define X(name, attribute, text) SUPERVISOR_OP_##name,
	SUPERVISOR_OP_TABLE(X)
#undef X
	SUPERVISOR_OPS
};

// A job's number says which domain it is, and in which epoch: whoever waits for it can look at its core's info page.
#define SUPERVISOR_JOB(core, domain, epoch) ((uint32_t)(core) << 24 | (uint32_t)((domain) & 255) << 16 | ((epoch) & 0xffff))
#define SUPERVISOR_JOB_CORE(job) ((unsigned)((job) >> 24))
#define SUPERVISOR_JOB_DOMAIN(job) ((unsigned)((job) >> 16 & 255))
#define SUPERVISOR_JOB_EPOCH(job) ((uint32_t)((job) & 0xffff))

struct supervisor_service {
	char name[NAME_SIZE];
	char image[NAME_SIZE];
	uint32_t core;
	uint32_t domain;
	uint32_t epoch;
	uint32_t state;    // enum service_state
	uint32_t restarts;
	uint32_t faults;
	uint32_t hangs;
	uint32_t complaints;
	uint32_t last_fault; // enum fault_kind
	uint32_t job;        // of an app
	uint64_t restart_ticks_last; // stopped to ready
	uint64_t restart_ticks_max;
};
_Static_assert(sizeof(struct supervisor_service) == 88, "supervisor_service is 88 bytes");

struct supervisor_poke { // damage on purpose, many at once: the arguments of domain_poke
	uint64_t place;
	uint64_t mask;
};
_Static_assert(sizeof(struct supervisor_poke) == 16, "supervisor_poke is 16 bytes");
#define SUPERVISOR_POKES 128u // of one request

struct supervisor_restart { // one line of the history, for distributions
	char name[NAME_SIZE];
	uint32_t kind;  // enum fault_kind
	uint32_t epoch; // of the new incarnation
	uint64_t fault;    // rdtime: last sign of life of the old one (a fault: the trap)
	uint64_t detected; // the supervisor knew
	uint64_t fenced;   // it was off its hart, its device reset, its mappings of clients gone
	uint64_t started;  // the new one ran
	uint64_t ready;    // it had adopted and served
};
_Static_assert(sizeof(struct supervisor_restart) == 64, "supervisor_restart is 64 bytes");
