// nothing: ends at once. What bench starts to measure a start. Owns nothing.
#include "runtime/runtime.h"

int program_main(void)
{
	return 0;
}
