// Mutations of RV64IMAC instructions: what the fault-injection studies of Nooks and MINIX 3 do to a driver's binary.
//
// Pure: no memory but the instruction that is passed. A mutated instruction has the length of the original, so the code
// around it stays as it is.
#pragma once
#include <stdbool.h>
#include <stdint.h>

// X(name, word, what becomes of the instruction)
#define MUTATION_TABLE(X)                                                                                              \
	X(SOURCE, "source", "reads another register (not the base of a load or store)")                                \
	X(DESTINATION, "destination", "writes another register")                                                       \
	X(POINTER, "pointer", "a load, store or atomic goes by another base register")                                 \
	X(BRANCH, "branch", "a branch or jump lands some instructions beside its target")                              \
	X(INVERT, "invert", "a branch has the opposite condition")                                                     \
	X(IMMEDIATE, "immediate", "the constant or offset is one unit too large or too small")                         \
	X(DROP, "drop", "does nothing")

enum mutation {
#define X(name, word, text) MUTATION_##name,
	MUTATION_TABLE(X)
#undef X
	MUTATIONS
};

// Bytes of the instruction that begins with that halfword: 2 or 4.
static inline unsigned mutate_length(uint16_t first)
{
	return (first & 3) == 3 ? 4 : 2;
}

// False: that mutation does not apply to this instruction. `random` chooses among what it could become.
bool mutate_instruction(enum mutation kind, uint32_t instruction, uint64_t random, uint32_t *mutated);
