// Damage: one fault of a given class, done to one victim.
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
	X(BELL, "bell", "2000 rings by the kernels, and one of each identity at its doorbell page")                    \
	X(PROBE, "probe", "an illegal instruction in place of a random one: was that place executed?")                 \
	X(DEVICE, "device", "nothing by us: the host lets requests of the disk fail meanwhile")                        \
	X(STALL, "stall", "nothing by us: the host holds the disk's requests back meanwhile")

enum damage_class {
#define X(name, word, text) DAMAGE_##name,
	DAMAGE_TABLE(X)
#undef X
	DAMAGE_CLASSES
};

#define DAMAGE_DETAIL 56u // room for what exactly was done

struct damage_victim {
	struct supervision_victim who;
	char served[NAME_SIZE + 1]; // "": no service, so no points, rings and bells
	struct supervision_segment text, data, stack;
	uint16_t *code;  // halfwords of the text, pristine
	uint8_t *begins; // for each: an instruction begins here
	char armed[INJECT_NAME_SIZE + 1]; // point of the last fault, "" when it was of another kind
};

const char *damage_word(unsigned class);
// DAMAGE_CLASSES when there is no such word.
unsigned damage_from_word(const char *word);
// Learns the victim's segments and reads its text. Again only when it is another program.
enum error damage_learn(struct damage_victim *victim);
// One fault, chosen by *random; `detail` says what. ERR_NOT_FOUND: there is nothing of that class to do here.
enum error damage_do(struct damage_victim *victim, enum damage_class class, uint64_t *random,
		     char detail[DAMAGE_DETAIL]);
// Of faults at points (stop, hang, error, reply): whether the last one has not fired. False for all others.
bool damage_is_armed(const struct damage_victim *victim);
