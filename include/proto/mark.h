// Marks: instructions that do nothing (SLTI with x0 as its target, a hint that the instruction set leaves to whoever wants one), by
// which a program that is measured tells a counter outside of the machine where a batch begins and ends (bench/count/count.c).
//
// A batch is announced by a text, letter by letter, bit by bit: "doorbell.sleep 100" is its series and its operations. Nobody answers: a program
// cannot know whether anybody counts. Both systems use it, so it needs nothing of either. Keeps no state.
#pragma once
#include <stdint.h>

#define MARK_INSTRUCTION 0x2013u // slti x0, x0, number; the number stands in the upper 12 bits
#define MARK_ZERO 1              // a bit of the text, of each letter the lowest first
#define MARK_ONE 2
#define MARK_BEGIN 3 // the text is whole, the batch begins behind this
#define MARK_END 4   // it ended before this
#define MARK_TEXT_MAX 64u

#ifdef __riscv
#define MARK(number) __asm__ volatile("slti x0, x0, %0" : : "i"(number) : "memory")

static inline void mark_letter(unsigned char letter)
{
	for (unsigned bit = 0; bit < 8; bit++) {
		if (letter >> bit & 1)
			MARK(MARK_ONE);
		else
			MARK(MARK_ZERO);
	}
}

static inline void mark_number(uint64_t number)
{
	if (number >= 10)
		mark_number(number / 10);
	mark_letter((unsigned char)('0' + number % 10));
}

// What is announced is counted from here to mark_end.
static inline void mark_begin(const char *series, uint64_t operations)
{
	while (*series)
		mark_letter((unsigned char)*series++);
	mark_letter(' ');
	mark_number(operations);
	MARK(MARK_BEGIN);
}

static inline void mark_end(void)
{
	MARK(MARK_END);
}
#endif
