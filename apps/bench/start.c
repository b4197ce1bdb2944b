// Topic: a program is started, ends at once, and its end is known: the domain is made, loaded from the boot image, run, and
// taken apart. The program is apps/nothing.c, a job of the supervisor; if this domain dies, at most one is left, and ends.
#include "apps/bench/bench.h"
#include "runtime/supervision.h"

#define BATCHES 20u
#define STARTS 5u

static struct series series;

static void start_many(void *context, uint64_t operations)
{
	enum error *e = context;
	uint64_t job, code, fault;
	for (uint64_t i = 0; i < operations && *e == ERR_OK; i++) {
		*e = supervision_spawn("nothing", "", &job);
		if (*e == ERR_OK)
			*e = supervision_wait(job, &code, &fault);
	}
}

int bench_start(void)
{
	enum error e = ERR_OK;
	series_head("a program's whole life");
	start_many(&e, 1);
	series_begin(&series, "program.start");
	for (unsigned i = 0; i < BATCHES && e == ERR_OK; i++)
		series_batch(&series, start_many, &e, STARTS);
	if (e != ERR_OK)
		return bench_complain("program.start", e);
	series_print(&series);
	return 0;
}
