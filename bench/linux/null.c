// The cheapest system call: getppid, which Linux does not answer from user space. Owns nothing.
#define _GNU_SOURCE
#include "figures.h"
#include <sys/syscall.h>
#include <unistd.h>

static void call_many(void *context, uint64_t operations)
{
	(void)context;
	for (uint64_t i = 0; i < operations; i++)
		syscall(SYS_getppid);
}

int main(void)
{
	figure_pin(0);
	figure_series("null", call_many, 0, 100, 1000);
	return 0;
}
