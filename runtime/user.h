// Programs in VU-mode: for domains of the class library OS (docs/library-os.md).
//
// A program runs in VU-mode in a space of its own. Its calls (ecall), page faults and whatever else it does wrong come straight to
// the handler here, in VS-mode of the same domain: no kernel is entered. The library OS decides in call-backs, which run on the
// stack of the fiber that runs the program, and may wait. Never: touches floating-point registers of the one when another's are
// loaded; lets a fault of the library OS itself look like one of a program (it goes to the kernel, with all registers). State: struct
// user and struct user_space belong to whoever makes them. If the domain dies its programs are gone with it.
#pragma once
#include "runtime/user_table.h"

struct user_space {
	struct user_table table;
	uint64_t satp;
};

struct user;
struct user_events {
	// An ecall; the pc is behind it already. Arguments and results are in u->x[10..17]. False: user_run comes back.
	bool (*call)(struct user *u);
	// A page fault: PROT_READ, PROT_WRITE or PROT_EXEC of what is not mapped so. True: it is now, and the program goes on. False: user_run comes
	// back, unless it had been mapped so, and the processor had not noticed: then the program goes on as well.
	bool (*fault)(struct user *u, uint64_t address, unsigned access);
};

struct user {
	uint64_t x[32]; // x[0] is the pc
	uint64_t own_sp; // user_trap.S
	uint64_t f[33]; // with fcsr
	bool fp;        // it has used floating point
	bool killed;
	const struct user_events *events;
	struct user_space *space;
	uint64_t cause, value; // scause and stval of its last trap
};

#define USER_CAUSE_ILLEGAL 2u
#define USER_CAUSE_BREAK 3u
#define USER_CAUSE_CALL 8u
#define USER_CAUSE_FETCH 12u
#define USER_CAUSE_LOAD 13u
#define USER_CAUSE_STORE 15u

// Once, before all else, where self_manifest() says SERVICE_FLAG_LIBRARY_OS: in a plain domain the first program is its end.
void user_start(void);
// ERR_NO_MEMORY
enum error user_space_make(struct user_space *space);
// With all that is mapped in it.
void user_space_end(struct user_space *space);
// A cleared page, 0: quota or memory is used up. Give it back, or map it.
void *user_page_take(void);
void user_page_give(void *page);
// As user_table_map and user_table_unmap, and the program finds it so from then on.
enum error user_map(struct user_space *space, uint64_t address, void *page, unsigned prot);
void *user_unmap(struct user_space *space, uint64_t address);
// Copies from the program's memory. False: it may not read all of that.
bool user_copy_in(const struct user_space *space, void *to, uint64_t from, uint64_t bytes);
// Text was written to pages that are to be executed.
void user_text_written(void);

// A program of that space, which begins at `pc` with all registers zero but sp.
void user_make(struct user *u, struct user_space *space, const struct user_events *events, uint64_t pc, uint64_t sp);
void user_end(struct user *u); // before its space ends
enum user_stop {
	USER_INTERRUPTED, // the domain has something else to do: the loop (fiber_yield), then user_run again
	USER_CALLED,      // a call-back said so
	USER_FAULTED,     // and of a fault; or it did something else that is wrong: cause and value say what
	USER_KILLED,      // user_run_in_turns alone
};
// Runs it until then.
enum user_stop user_run(struct user *u);
// The same on a fiber among others: interruptions and the end of its turn are the loop's, and then it goes on.
enum user_stop user_run_in_turns(struct user *u);
// It does not get another turn: user_run_in_turns comes back. By another fiber.
void user_kill(struct user *u);
