// A stand-in's points whose passages are traced are passed like any other: its own inject_fire says how. Each program of tests
// includes this once.
#pragma once
#include "runtime/inject.h"

enum error inject_fire_as(struct inject_point *point, enum trace_kind kind, unsigned subject, uint64_t word, uint64_t a, uint64_t b)
{
	(void)kind;
	(void)subject;
	(void)word;
	(void)a;
	(void)b;
	return inject_fire(point);
}
