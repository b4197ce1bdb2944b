// The fixed addresses of a domain: owns nothing, turns slot and core numbers into pointers.
#include "runtime/machine.h"
#include "abi/layout.h"

uint8_t *machine_channel(unsigned slot)
{
	return (uint8_t *)(GPA_CHANNEL + slot * CHANNEL_WINDOW);
}

volatile uint32_t *machine_doorbell(unsigned slot)
{
	return (volatile uint32_t *)(GPA_DOORBELL + slot * PAGE_SIZE);
}

struct trace_ring *machine_trace(void)
{
	return (struct trace_ring *)GPA_TRACE;
}

const struct info_page *machine_info(unsigned core)
{
	return (const struct info_page *)(GPA_INFO + core * PAGE_SIZE);
}
