// What the counter makes of marks: a text grows bit by bit, a batch begins and ends. Pure: knows nothing of QEMU.
//
// The guest is not believed: letters that are no part of a name, texts that are too long and marks out of their order give no line.
#pragma once
#include "proto/mark.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct batch {
	char text[MARK_TEXT_MAX];
	unsigned bits; // of the text so far; more than fit: it is spoilt
	bool running;
	uint64_t begin, own_begin;
};

// A mark at which `instructions` have been executed in all, and `own` by the hart that marks, itself not among them. True: a batch has ended,
// `line` says what it took.
bool batch_mark(struct batch *batch, unsigned number, uint64_t instructions, uint64_t own, char *line, size_t room);
