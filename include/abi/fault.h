// Fault records and domain status: what the kernel keeps of a domain that stopped, read by domain_status.
#pragma once
#include <stdint.h>

enum domain_state {
	DOMAIN_FREE,
	DOMAIN_CREATED,
	DOMAIN_READY,   // runnable
	DOMAIN_RUNNING,
	DOMAIN_BLOCKED, // waits for an interrupt
	DOMAIN_CALLING, // waits for the reply of another kernel or server
	DOMAIN_STOPPED, // fault record says why; its channels are still recorded
	DOMAIN_DYING,   // destroyed, waits for peers to let go
};

enum fault_kind {
	FAULT_NONE,
	FAULT_EXCEPTION, // cause, address, pc are those of the trap
	FAULT_HANG,      // no pong in time; pc is where it was
	FAULT_EXIT,      // cause = exit code
	FAULT_QUOTA,
	FAULT_KILLED,    // by the supervisor on somebody's request
	FAULT_COMPLAINT, // by the supervisor, after a peer complained; the supervisor itself: by its kernel, cause = reason
	FAULT_CORE,      // its core was lost
};

// domain_status group g returns words 5*g .. 5*g+4 of this
struct domain_status {
	uint64_t state;    // enum domain_state | fault kind << 8 | ready << 16 | DOMAIN_STATUS_IN_PROGRAM
	uint64_t epoch;
	uint64_t cause;    // scause, or exit code
	uint64_t address;  // stval, for guest-page faults the full guest-physical address
	uint64_t pc;
	uint64_t sp;
	uint64_t ra;
	uint64_t time_stopped;  // rdtime when it stopped
	uint64_t time_detected; // rdtime of the last sign of life before (pong), hang only, else = time_stopped
	uint64_t instruction;   // htinst or the illegal instruction's bits, else 0
	uint64_t name[2];
	uint64_t frames_used;
	uint64_t frames_quota;
	uint64_t run_ticks;
};
#define DOMAIN_STATUS_GROUPS 3
#define DOMAIN_STATUS_IN_PROGRAM 0x20000ul // in state: pc, sp and ra are of a program of a library OS
