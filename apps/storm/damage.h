// Damage: faults of a given class, one or a volley of them, planned and then done to one victim.
#pragma once
#include "proto/supervisor.h"
#include "runtime/supervision.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// X(name, word, what is done)
#define DAMAGE_TABLE(X)                                                                                                \
	X(STOP, "stop", "illegal instruction, wild store, stack overflow, failed assertion, exit, or a kill")          \
	X(HANG, "hang", "an endless loop at a point")                                                                  \
	X(ERROR, "error", "a function returns an error at a point")                                                    \
	X(REPLY, "reply", "a completion that carries another request's number")                                        \
	X(SOURCE, "source", "an instruction reads another register")                                                   \
	X(DESTINATION, "destination", "an instruction writes another register")                                        \
	X(POINTER, "pointer", "a load or store goes by another base register")                                         \
	X(BRANCH, "branch", "a branch or jump lands beside its target")                                                \
	X(INVERT, "invert", "a branch has the opposite condition")                                                     \
	X(IMMEDIATE, "immediate", "a constant is one unit off")                                                        \
	X(DROP, "drop", "an instruction does nothing")                                                                 \
	X(TEXT, "text", "a bit of the text is flipped")                                                                \
	X(DATA, "data", "a bit of data or bss is flipped")                                                             \
	X(HEAP, "heap", "a bit of the heap is flipped")                                                                \
	X(STACK, "stack", "a bit of the 1 KiB above the stack pointer is flipped")                                     \
	X(REGISTER, "register", "a bit of a saved register, or of the pc, is flipped")                                 \
	X(RING, "ring", "a bit of what the server writes into a channel is flipped: its counters, its page, or records") \
	X(BELL, "bell", "500 rings by the kernels, and one of each identity at its doorbell page")                    \
	X(PROBE, "probe", "an illegal instruction in place of a random one: was that place executed?")                 \
	X(DEVICE, "device", "nothing by us: the host lets requests of the disk fail meanwhile")                        \
	X(STALL, "stall", "nothing by us: the host holds the disk's requests back meanwhile")                          \
	X(PANIC, "panic", "the kernel panics, or does so again in its rebirth")                                        \
	X(JUMP, "jump", "the kernel jumps to where nothing is")                                                        \
	X(STORE, "store", "the kernel stores to where nothing is mapped")                                              \
	X(SILENCE, "silence", "the kernel hangs with interrupts off, for ever")

enum damage_class {
#define X(name, word, text) DAMAGE_##name,
	DAMAGE_TABLE(X)
#undef X
	DAMAGE_CLASSES
};

#define DAMAGE_DETAIL 56u // room for what exactly was done
#define DAMAGE_VOLLEY SUPERVISOR_POKES // faults at most

struct damage_victim {
	bool kernel;     // the kernel of `core` is the victim
	unsigned core, domain;
	struct supervision_victim who;
	char served[NAME_SIZE + 1]; // "": no service, so no points, rings and bells
	struct supervision_segment text, data, stack;
	uint16_t *code;  // halfwords of the text, pristine
	uint8_t *begins; // for each: an instruction begins here
	uint64_t heap_reach; // bytes of the heap's window in which there is something
};

struct damage {
	enum damage_class class;
	unsigned faults;            // of this class
	char detail[DAMAGE_DETAIL]; // of a volley: nothing; each poke is a fault
	char point[INJECT_NAME_SIZE + 1]; // "": not at a point
	enum inject_action action;
	uint64_t passage;
	unsigned slot;              // of our channel that is rung
	unsigned doom;              // abi/call.h, core_crash
	struct supervision_victim whose; // memory that is poked: the victim's, or ours
	struct supervisor_poke pokes[DAMAGE_VOLLEY];
};

const char *damage_word(unsigned class);
// DAMAGE_CLASSES when there is no such word.
unsigned damage_from_word(const char *word);
static inline bool damage_is_at_point(unsigned class)
{
	return class <= DAMAGE_REPLY;
}

// Flipped bits and mutated instructions: what comes in volleys.
static inline bool damage_is_poked(unsigned class)
{
	return (class >= DAMAGE_SOURCE && class <= DAMAGE_RING) || class == DAMAGE_PROBE;
}

static inline bool damage_is_of_kernel(unsigned class)
{
	return class >= DAMAGE_PANIC && class <= DAMAGE_SILENCE;
}

// Learns the victim's segments and reads its text. Again only when it is another program.
enum error damage_learn(struct damage_victim *victim);
// Chooses faults of the class by *random: `count` of them where they are pokes, else one. Nothing is done yet.
// ERR_NOT_FOUND: there is nothing of that class to do here.
enum error damage_plan(struct damage_victim *victim, enum damage_class class, unsigned count, uint64_t *random,
		       struct damage *damage);
// Does it. A kernel's death below the supervisor is answered by the next supervisor.
enum error damage_do(const struct damage_victim *victim, const struct damage *damage);
#define DAMAGE_PASSAGES 4u // of its point until a fault fires: few, for it shall be within the work of one trial
// Of a fault at a point: disarms it. True: it had fired before, or its victim has died since. False: the victim is pristine.
bool damage_disarm(const struct damage_victim *victim, const struct damage *damage);
// One request through the victim's ring and main loop: a passage of its points there.
void damage_nudge(const struct damage_victim *victim);
