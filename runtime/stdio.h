// Standard output of a program that does not use runtime/console.h.
#pragma once
#include <stddef.h>

// From now on text goes to `put`, at most a line at a time. 0: to the core's log again. `put` may wait when its callers may.
void stdio_connect(void (*put)(const char *text, size_t n));
