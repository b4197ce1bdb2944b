// The smallest domain: says hello in the core's log and ends.
#include "runtime/runtime.h"

int program_main(void)
{
	log_line("hello from domain %u on core %u, epoch %u", self_domain(), self_core(), (unsigned)self_epoch());
	return 0;
}
