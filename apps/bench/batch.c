// Topic: kernel calls one by one, and in batches of 63 from a ring (docs/async-calls.md), each without and with something to do. A call that is not on the
// fast path is what a batch saves: it enters the kernel once for all.
#include "apps/bench/bench.h"
#include "runtime/call_ring.h"

#define BATCHES 50u

static struct series series;
static enum error failed;

static void one_by_one(void *context, uint64_t operations)
{
	(void)context;
	for (uint64_t i = 0; i < operations; i++)
		failed |= kcall(CALL_self).error;
}

static void in_batches(void *context, uint64_t operations)
{
	const enum call *number = context;
	for (uint64_t i = 0; i < operations; i += CALL_RING_SLOTS) {
		calls_begin();
		unsigned last = 0;
		for (unsigned n = 0; n < CALL_RING_SLOTS; n++)
			last = calls_add(*number, CALLS_NONE, CALLS_NONE, 0, 0, 0, 0, 0, 0);
		calls_perform();
		failed |= calls_result(last).error;
	}
}

static void measure(const char *name, void (*body)(void *context, uint64_t operations), enum call number)
{
	body(&number, CALL_RING_SLOTS);
	series_begin(&series, name);
	for (unsigned i = 0; i < BATCHES; i++)
		series_batch(&series, body, &number, 10 * CALL_RING_SLOTS);
	series_print(&series);
}

int bench_batch(void)
{
	series_head("kernel calls, for each");
	measure("call.one", one_by_one, CALL_self);
	measure("call.batch", in_batches, CALL_self);
	measure("null.batch", in_batches, CALL_null);
	return failed == ERR_OK ? 0 : bench_complain("batch", failed);
}
