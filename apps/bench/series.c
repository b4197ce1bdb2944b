// Samples, medians, tables. Owns the output format: one aligned table for a topic, and with --lines, behind all tables, a
// line `BENCH name value unit` for each figure, which scripts read. If the domain dies, what was printed stands.
#include "apps/bench/bench.h"
#include "proto/mark.h"
#include "runtime/csr.h"
#include "runtime/error_text.h"
#include "runtime/runtime.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define FIGURES_MAX 440u // a run of all topics under --icount has some 330

static struct figure {
	char name[48];
	uint64_t value;
	const char *unit;
} figures[FIGURES_MAX];
static unsigned figure_count;

uint64_t bench_ns(uint64_t ticks)
{
	static uint64_t ns_per_1024_ticks;
	if (ns_per_1024_ticks == 0)
		ns_per_1024_ticks = time_us_from_ticks(1024000000ull) / 1000;
	return ticks * ns_per_1024_ticks / 1024;
}

void series_begin(struct series *series, const char *name)
{
	series->name = name;
	series->count = 0;
}

void series_add(struct series *series, uint64_t ns, uint64_t instructions)
{
	if (series->count == SERIES_MAX)
		return;
	series->instructions[series->count] = instructions;
	series->ns[series->count++] = ns;
}

void series_add_ns(struct series *series, uint64_t ns)
{
	series_add(series, ns, 0);
}

void series_batch(struct series *series, void (*body)(void *context, uint64_t operations), void *context,
		  uint64_t operations)
{
	if (series->count == SERIES_MAX)
		return;
	mark_begin(series->name, operations);
	uint64_t instructions = instructions_read();
	uint64_t start = time_now();
	body(context, operations);
	uint64_t ticks = time_now() - start;
	mark_end();
	series_add(series, bench_ns(ticks) / operations, (instructions_read() - instructions) / operations);
}

uint64_t series_mean_instructions(const struct series *series)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < series->count; i++)
		sum += series->instructions[i];
	return series->count ? sum / series->count : 0;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static void series_sort(struct series *series)
{
	qsort(series->ns, series->count, sizeof(series->ns[0]), compare_u64);
	qsort(series->instructions, series->count, sizeof(series->instructions[0]), compare_u64);
}

uint64_t series_median(struct series *series)
{
	series_sort(series);
	return series->count ? series->ns[series->count / 2] : 0;
}

void series_head(const char *title)
{
	printf("\n%-28s %8s %12s %12s %12s", title, "batches", "min ns", "median ns", "p90 ns");
	printf(bench_icount ? " %14s\n" : "\n", "instructions");
}

// "name.part", or "name" alone.
static const struct figure *figure_keep(const char *name, const char *part, uint64_t value, const char *unit)
{
	assert(figure_count < FIGURES_MAX);
	struct figure *figure = &figures[figure_count++];
	snprintf(figure->name, sizeof(figure->name), "%s%s%s", name, *part ? "." : "", part);
	figure->value = value;
	figure->unit = unit;
	return figure;
}

void bench_figure(const char *name, const char *part, uint64_t value, const char *unit)
{
	const struct figure *figure = figure_keep(name, part, value, unit);
	printf("%-28s %21" PRIu64 " %s\n", figure->name, figure->value, figure->unit);
}

void bench_lines_print(void)
{
	printf("\n");
	for (unsigned i = 0; i < figure_count; i++)
		printf("BENCH %s %" PRIu64 " %s\n", figures[i].name, figures[i].value, figures[i].unit);
}

void series_print(struct series *series)
{
	if (series->count == 0)
		return;
	series_sort(series);
	uint64_t median = series->ns[series->count / 2];
	printf("%-28s %8u %12" PRIu64 " %12" PRIu64 " %12" PRIu64, series->name, series->count, series->ns[0], median,
	       series->ns[series->count * 9 / 10]);
	if (bench_icount)
		printf(" %14" PRIu64, series->instructions[0]);
	printf("\n");
	(void)figure_keep(series->name, "min", series->ns[0], "ns");
	(void)figure_keep(series->name, "median", median, "ns");
	if (bench_icount)
		(void)figure_keep(series->name, "instructions", series->instructions[0], "instructions");
}

int bench_complain(const char *what, enum error error)
{
	printf("bench: %s: %s\n", what, error_sentence(error));
	return 1;
}
