// Samples of one measured thing at a time, and how they are printed. Owns nothing after the program ends.
//
// Instructions are counted by the clock: under -icount shift=0 one instruction of the whole machine, both sides of a
// ping-pong and the kernel in it, is one nanosecond of its time, as long as not all cores sleep. Linux lets no program read
// the counter that apps/bench reads. That the machine runs so init says by BENCH_ICOUNT in the environment; a series whose
// operations wait for the disk says that it is not to be counted so. Marks (proto/mark.h) let it be counted from outside.
#define _GNU_SOURCE
#include "figures.h"
#include "proto/mark.h"
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SAMPLES_MAX 512u

static struct {
	const char *name;
	int waits; // for the disk: its time is no count of instructions
	unsigned count;
	uint64_t ns[SAMPLES_MAX];
	uint64_t instructions[SAMPLES_MAX];
} series;

uint64_t figure_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int counts_instructions(void)
{
	return getenv("BENCH_ICOUNT") != 0;
}

// The machine's time itself, 10 MHz: what Linux makes of it is adjusted.
static uint64_t instructions_now(void)
{
	uint64_t ticks;
	__asm__ volatile("rdtime %0" : "=r"(ticks));
	return ticks * 100;
}

void figure_waits(void)
{
	series.waits = 1;
}

void figure_check(int truth, const char *what)
{
	if (truth)
		return;
	printf("bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

void figure_pin(int core)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(core, &set);
	figure_check(sched_setaffinity(0, sizeof(set), &set) == 0, "pinning");
}

void figure_begin(const char *name)
{
	series.name = name;
	series.count = 0;
}

void figure_batch(figure_body_t body, void *context, uint64_t operations)
{
	if (series.count == SAMPLES_MAX)
		return;
	mark_begin(series.name, operations);
	uint64_t instructions = instructions_now();
	uint64_t start = figure_now();
	body(context, operations);
	uint64_t ns = figure_now() - start;
	mark_end();
	series.instructions[series.count] = (instructions_now() - instructions) / operations;
	series.ns[series.count++] = ns / operations;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

void figure_single(const char *name, uint64_t value, const char *unit)
{
	printf("BENCH %s %" PRIu64 " %s\n", name, value, unit);
	fflush(stdout);
}

static void print_part(const char *part, uint64_t value, const char *unit)
{
	char name[64];
	snprintf(name, sizeof(name), "%s.%s", series.name, part);
	figure_single(name, value, unit);
}

void figure_end(void)
{
	if (series.count == 0)
		return;
	qsort(series.ns, series.count, sizeof(series.ns[0]), compare_u64);
	qsort(series.instructions, series.count, sizeof(series.instructions[0]), compare_u64);
	print_part("min", series.ns[0], "ns");
	print_part("median", series.ns[series.count / 2], "ns");
	if (counts_instructions() && !series.waits)
		print_part("instructions", series.instructions[0], "instructions");
	series.waits = 0;
}

void figure_series(const char *name, figure_body_t body, void *context, unsigned batches, uint64_t operations)
{
	body(context, operations);
	figure_begin(name);
	for (unsigned i = 0; i < batches; i++)
		figure_batch(body, context, operations);
	figure_end();
}
