// What the core of the file server wants of the runtime, for fuzzers: no fault is armed, nothing is printed, a failed claim
// is a crash.
#include "tests/traced_points.h"
#include "runtime/runtime.h"
#include <stdio.h>
#include <stdlib.h>

uint32_t inject_any;

enum error inject_fire(struct inject_point *point)
{
	(void)point;
	return ERR_OK;
}

void log_line(const char *format, ...)
{
	(void)format;
}

_Noreturn void domain_panic(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}
