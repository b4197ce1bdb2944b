// Pages of memory: one that is mapped, used and unmapped; a MiB at once, for each page; faults of memory that is mapped
// already, at its first use and at the first write after a fork. Pages of 4 KiB: transparent huge pages are declined.
// Owns its mappings; all are unmapped at its end.
#define _GNU_SOURCE
#include "figures.h"
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096u
#define MANY 256u
#define BATCHES 20u

static volatile char *pages_map(unsigned pages)
{
	void *at = mmap(0, (size_t)pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	figure_check(at != MAP_FAILED, "mmap");
	madvise(at, (size_t)pages * PAGE, MADV_NOHUGEPAGE);
	return at;
}

static void pages_touch(volatile char *at, uint64_t pages)
{
	for (uint64_t i = 0; i < pages; i++)
		at[i * PAGE] = 1;
}

static void one_many(void *context, uint64_t operations)
{
	(void)context;
	for (uint64_t i = 0; i < operations; i++) {
		volatile char *at = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		figure_check(at != MAP_FAILED, "mmap");
		*at = 1;
		munmap((void *)at, PAGE);
	}
}

static void bulk(void *context, uint64_t operations)
{
	(void)context;
	volatile char *at = pages_map((unsigned)operations);
	pages_touch(at, operations);
	munmap((void *)at, operations * PAGE);
}

static void touch(void *context, uint64_t operations)
{
	pages_touch(context, operations);
}

static void measure_first_use(void)
{
	figure_begin("fault.first");
	for (unsigned i = 0; i < BATCHES; i++) {
		volatile char *at = pages_map(MANY);
		figure_batch(touch, (void *)at, MANY);
		munmap((void *)at, (size_t)MANY * PAGE);
	}
	figure_end();
}

// The child writes pages that it has in common with its parent.
static void measure_copy_on_write(void)
{
	volatile char *at = pages_map(MANY * BATCHES);
	pages_touch(at, MANY * BATCHES);
	pid_t child = fork();
	figure_check(child >= 0, "fork");
	if (child == 0) {
		figure_begin("fault.copy");
		for (unsigned i = 0; i < BATCHES; i++)
			figure_batch(touch, (void *)(at + (size_t)i * MANY * PAGE), MANY);
		figure_end();
		_exit(0);
	}
	waitpid(child, 0, 0);
	munmap((void *)at, (size_t)MANY * BATCHES * PAGE);
}

int main(void)
{
	figure_pin(0);
	figure_series("page.one", one_many, 0, BATCHES, 200);
	figure_series("page.many", bulk, 0, BATCHES, MANY);
	measure_first_use();
	measure_copy_on_write();
	return 0;
}
