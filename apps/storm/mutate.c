// Mutations: where the fields of each format lie, and what each kind changes in them.
//
// Owns nothing and keeps nothing. Must never change the length of an instruction or leave it as it was. Formats: the
// RISC-V unprivileged specification, chapters of the base formats and of the C extension.
#include "apps/storm/mutate.h"

struct place { // of a field; width 0: the instruction has none
	uint8_t shift;
	uint8_t width;
};

struct fields {
	struct place destination;
	struct place source[2];
	struct place base;      // of a load, store or atomic
	struct place immediate; // the part that counts units
	struct place target;    // bits of a branch's offset that move it by a few instructions
	uint32_t condition;     // bit that inverts it, 0: no conditional branch
};

static const struct place rd = {7, 5}, rs1 = {15, 5}, rs2 = {20, 5}, none;
static const struct place low3 = {2, 3}, high3 = {7, 3}, low5 = {2, 5}, high5 = {7, 5}; // of compressed ones

static struct fields fields_of_32(uint32_t i)
{
	unsigned funct3 = i >> 12 & 7;
	const struct place imm12 = {20, 12}, imm20 = {12, 20}, shift = {20, 5}, store = {7, 5};
	switch (i & 0x7f) {
	case 0x37: // LUI
	case 0x17: // AUIPC
		return (struct fields){.destination = rd, .immediate = imm20};
	case 0x6f: // JAL
		return (struct fields){.destination = rd, .target = {21, 4}};
	case 0x67: // JALR
		return (struct fields){.destination = rd, .source = {rs1}, .immediate = imm12};
	case 0x63: // branches
		return (struct fields){.source = {rs1, rs2}, .target = {8, 4}, .condition = 1u << 12};
	case 0x03: // loads
		return (struct fields){.destination = rd, .base = rs1, .immediate = imm12};
	case 0x23: // stores
		return (struct fields){.source = {rs2}, .base = rs1, .immediate = store};
	case 0x13: // arithmetic with a constant
	case 0x1b:
		return (struct fields){.destination = rd, .source = {rs1}, .immediate = (funct3 & 3) == 1 ? shift : imm12};
	case 0x33: // arithmetic of registers
	case 0x3b:
		return (struct fields){.destination = rd, .source = {rs1, rs2}};
	case 0x2f: // atomics; LR has no second source
		return (struct fields){.destination = rd, .source = {(i >> 27) == 2 ? none : rs2}, .base = rs1};
	case 0x73: // CSRs; the others (ecall, wfi, sret) have no fields
		return (struct fields){.destination = funct3 ? rd : none, .source = {funct3 & 3 && funct3 < 4 ? rs1 : none}};
	default:
		return (struct fields){.destination = none};
	}
}

static struct fields fields_of_quadrant_0(unsigned funct3)
{
	switch (funct3) {
	case 0: // C.ADDI4SPN
		return (struct fields){.destination = low3, .immediate = {11, 2}};
	case 2: // C.LW
	case 3: // C.LD
		return (struct fields){.destination = low3, .base = high3, .immediate = {10, 3}};
	case 6: // C.SW
	case 7: // C.SD
		return (struct fields){.source = {low3}, .base = high3, .immediate = {10, 3}};
	default: // floating point
		return (struct fields){.destination = none};
	}
}

static struct fields fields_of_quadrant_1(uint32_t i)
{
	bool to_sp = (i >> 7 & 31) == 2; // C.ADDI16SP in the place of C.LUI
	bool registers = (i >> 10 & 3) == 3;
	switch (i >> 13) {
	case 0: // C.ADDI
	case 1: // C.ADDIW
		return (struct fields){.destination = high5, .immediate = low5};
	case 2: // C.LI
		return (struct fields){.destination = high5, .immediate = low5};
	case 3: // C.LUI
		return (struct fields){.destination = to_sp ? none : high5, .immediate = to_sp ? (struct place){6, 1} : low5};
	case 4: // C.SRLI .. C.ADDW
		return (struct fields){.destination = high3, .source = {registers ? low3 : none},
				       .immediate = registers ? none : low5};
	case 5: // C.J
		return (struct fields){.target = {3, 3}};
	default: // C.BEQZ, C.BNEZ
		return (struct fields){.source = {high3}, .target = {3, 2}, .condition = 1u << 13};
	}
}

static struct fields fields_of_quadrant_2(uint32_t i)
{
	bool alone = (i >> 2 & 31) == 0; // C.JR, C.JALR, C.EBREAK
	switch (i >> 13) {
	case 0: // C.SLLI
		return (struct fields){.destination = high5, .immediate = low5};
	case 2: // C.LWSP
		return (struct fields){.destination = high5, .immediate = {4, 3}};
	case 3: // C.LDSP
		return (struct fields){.destination = high5, .immediate = {5, 2}};
	case 4: // C.MV, C.ADD
		return alone ? (struct fields){.source = {(i >> 7 & 31) ? high5 : none}}
			     : (struct fields){.destination = high5, .source = {low5}};
	case 6: // C.SWSP
		return (struct fields){.source = {low5}, .immediate = {9, 4}};
	case 7: // C.SDSP
		return (struct fields){.source = {low5}, .immediate = {10, 3}};
	default:
		return (struct fields){.destination = none};
	}
}

static struct fields fields_of(uint32_t i)
{
	switch (i & 3) {
	case 0:
		return fields_of_quadrant_0(i >> 13);
	case 1:
		return fields_of_quadrant_1(i);
	case 2:
		return fields_of_quadrant_2(i);
	default:
		return fields_of_32(i);
	}
}

static uint32_t place_get(uint32_t i, struct place p)
{
	return i >> p.shift & ((1u << p.width) - 1);
}

static uint32_t place_put(uint32_t i, struct place p, uint32_t value)
{
	uint32_t mask = ((1u << p.width) - 1) << p.shift;
	return (i & ~mask) | (value << p.shift & mask);
}

// Another register. In a compressed instruction, x0 would often be another instruction, and so would x2 in C.LUI.
static bool register_change(uint32_t *i, struct place p, uint64_t random)
{
	bool compressed = (*i & 3) != 3;
	uint32_t old = place_get(*i, p), count = 1u << p.width, value = old;
	if (p.width == 0)
		return false;
	for (uint64_t step = 1 + random % (count - 1);; step++) {
		value = (uint32_t)(old + step) % count;
		if (value != old && !(compressed && p.width == 5 && (value == 0 || value == 2)))
			break;
	}
	*i = place_put(*i, p, value);
	return true;
}

static bool source_change(uint32_t *i, const struct fields *f, uint64_t random)
{
	unsigned which = f->source[1].width ? random >> 32 & 1 : 0;
	return register_change(i, f->source[which], random);
}

static bool immediate_change(uint32_t *i, struct place p, uint64_t random)
{
	uint32_t step = random & 1 ? 1 : ~0u;
	if (p.width == 0)
		return false;
	uint32_t changed = place_put(*i, p, place_get(*i, p) + step);
	if ((changed & 0xe003) == 0 && (changed & 0x1fe0) == 0) // C.ADDI4SPN of nothing is defined to be illegal
		changed = place_put(*i, p, place_get(*i, p) + 2);
	*i = changed;
	return true;
}

static bool target_change(uint32_t *i, struct place p, uint64_t random)
{
	if (p.width == 0)
		return false;
	*i ^= 1u << (p.shift + random % p.width);
	return true;
}

bool mutate_instruction(enum mutation kind, uint32_t instruction, uint64_t random, uint32_t *mutated)
{
	struct fields f = fields_of(instruction);
	uint32_t nop = (instruction & 3) == 3 ? 0x00000013 : 0x0001;
	*mutated = instruction;
	switch (kind) {
	case MUTATION_SOURCE:
		return source_change(mutated, &f, random);
	case MUTATION_DESTINATION:
		return register_change(mutated, f.destination, random);
	case MUTATION_POINTER:
		return register_change(mutated, f.base, random);
	case MUTATION_BRANCH:
		return target_change(mutated, f.target, random);
	case MUTATION_INVERT:
		*mutated ^= f.condition;
		return f.condition != 0;
	case MUTATION_IMMEDIATE:
		return immediate_change(mutated, f.immediate, random);
	case MUTATION_DROP:
		*mutated = nop;
		return instruction != nop;
	default:
		return false;
	}
}
