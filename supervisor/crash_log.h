// The supervisor's log: a ring of text, each crash two lines in it. What is printed on the console is read from here.
#pragma once
#include "abi/fault.h"
#include "abi/info.h"
#include "abi/call.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Bytes of text kept. 64 KiB: about 400 crashes, more than anybody reads; a storm overwrites its own beginning.
#define CRASH_LOG_BYTES 0x10000u
#define CRASH_LINE_MAX 256u

struct crash { // one death, as it is told
	char name[NAME_SIZE + 1];
	unsigned core;
	unsigned domain;
	uint32_t epoch;
	enum fault_kind kind;
	bool app;
	uint64_t cause;
	uint64_t address;
	uint64_t pc;
	uint64_t ra;
	uint64_t sp;
	uint64_t stack_bottom; // lowest address of its first stack
	uint64_t silent_us;    // hang: since the last sign of life
	bool in_program;       // of a library OS: pc and ra are its own addresses, not the domain's
	bool assertion;        // an exception that says so: pc is where it failed
	uint32_t line;         // of `file`; only where that is known
	uint64_t file_at;      // where the domain says these two texts are
	uint64_t claim_at;
	char file[64];
	char claim[64];        // what should have been true
	enum complaint complaint;
	char where[80];        // function + offset of pc, or ""
	char caller[80];       // of ra, or ""
};

struct crash_return { // and its coming back
	char name[NAME_SIZE + 1];
	uint32_t epoch;
	uint32_t restarts;
	uint64_t detected_us; // all since the last sign of life of the old incarnation
	uint64_t started_us;
	uint64_t ready_us;
};

// Appends a line (without its end; control characters become spaces).
void crash_log_line(const char *text);
void crash_log_death(const struct crash *crash);
void crash_log_return(const struct crash_return *back);
// Offsets count all text ever written. Copies text from *offset on (moved forward when it was overwritten, `lost` then
// says how many bytes are gone) and returns the number of bytes.
size_t crash_log_read(uint64_t *offset, char *out, size_t size, uint64_t *lost);
uint64_t crash_log_end(void);

// The sentences by themselves.
void crash_describe(const struct crash *crash, char *out, size_t size);
void crash_describe_return(const struct crash_return *back, char *out, size_t size);
