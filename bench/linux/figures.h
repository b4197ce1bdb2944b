// What the Linux programs share: batches, medians, and the line `BENCH name value unit` for each figure, as apps/bench
// prints it. One figure is measured at a time; all state is in figures.c. A program that cannot go on says why and ends.
#pragma once
#include <stdint.h>

typedef void (*figure_body_t)(void *context, uint64_t operations);

uint64_t figure_now(void); // ns, monotonic
void figure_begin(const char *name);
// One batch: body(context, operations), timed; a sample is the mean of one operation.
void figure_batch(figure_body_t body, void *context, uint64_t operations);
void figure_waits(void); // the series that comes waits for the disk: no instructions are counted
// Minimum and median of the batches; under -icount also the fewest instructions of one.
void figure_end(void);
// begin, one batch that does not count, `batches` batches, end.
void figure_series(const char *name, figure_body_t body, void *context, unsigned batches, uint64_t operations);
void figure_single(const char *name, uint64_t value, const char *unit);
void figure_pin(int core);
void figure_check(int truth, const char *what); // ends the program with errno's sentence when untrue
