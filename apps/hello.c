// hello: the smallest program. Owns nothing.
#include "runtime/console.h"
#include "runtime/runtime.h"
#include <stdio.h>

int program_main(void)
{
	if (console_open() != ERR_OK)
		return 1;
	printf("hello from core %u, domain %u, epoch %u\n", self_core(), self_domain(), self_epoch());
	return 0;
}
