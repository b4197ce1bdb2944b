// Formatter of the kernel's messages: bounded, no state, no floating point.
#pragma once
#include <stddef.h>

// Writes at most room - 1 characters and a zero. Knows %s %c %d %u %x %ld %lu %lx %p %%, with width, '-' and '0'.
// Returns the number of characters written, without the zero.
size_t format_line(char *out, size_t room, const char *f, ...) __attribute__((format(printf, 3, 4)));
