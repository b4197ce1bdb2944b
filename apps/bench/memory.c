// Topic: pages of memory from the kernel of this core: one that is taken, used and given back, and a MiB at once. They come
// zeroed and mapped; a domain takes no page faults. What is taken is given back; if this domain dies its kernel does that.
#include "apps/bench/bench.h"
#include "abi/layout.h"
#include "runtime/kernel_call.h"
#include "runtime/runtime.h"

#define BATCHES 20u
#define MANY 256u

static struct series series;
static enum error failed;

static void take_and_give(uint64_t pages)
{
	struct kernel_result memory = kcall(CALL_memory_alloc, pages);
	if (memory.error != ERR_OK) {
		failed = memory.error;
		return;
	}
	for (uint64_t i = 0; i < pages; i++)
		*(volatile uint8_t *)(memory.value[0] + i * PAGE_SIZE) = 1;
	failed |= kcall(CALL_memory_free, memory.value[0]).error;
}

static void one_many(void *context, uint64_t operations)
{
	(void)context;
	for (uint64_t i = 0; i < operations && failed == ERR_OK; i++)
		take_and_give(1);
}

static void bulk(void *context, uint64_t operations)
{
	(void)context;
	take_and_give(operations);
}

static void measure(const char *name, void (*body)(void *context, uint64_t operations), uint64_t operations)
{
	body(0, operations);
	series_begin(&series, name);
	for (unsigned i = 0; i < BATCHES; i++)
		series_batch(&series, body, 0, operations);
	series_print(&series);
}

int bench_memory(void)
{
	series_head("memory, for each page");
	measure("page.one", one_many, 200);
	measure("page.many", bulk, MANY);
	return failed == ERR_OK ? 0 : bench_complain("memory", failed);
}
