// Log of one core: owns a ring of text, the newest LOG_SIZE bytes of all that was ever appended.
//
// Never: blocks or fails; old text is overwritten. Survives a panic (it lies in struct core) and is then read by
// another kernel, which trusts neither end nor text.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define LOG_SIZE 16384u

struct log {
	uint64_t end; // bytes ever appended
	char text[LOG_SIZE];
};

void log_append(struct log *l, const char *text, size_t length);

// Copies up to `room` bytes from `offset` on (counted like end; from the oldest byte that is left, if that is newer).
// Returns how many; *next is the offset to go on with.
size_t log_read(const struct log *l, uint64_t offset, char *out, size_t room, uint64_t *next);
