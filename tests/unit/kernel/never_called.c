// What the sources that test_heap.c includes could call, and never do there: they are linked for their memory alone.
#include "abi/call.h"
#include <stdlib.h>

#define NEVER(name)                                                                                                    \
	__attribute__((weak)) void name(void);                                                                         \
	void name(void)                                                                                                \
	{                                                                                                              \
		abort();                                                                                               \
	}

#define X(name, right, text) NEVER(call_##name)
CALL_TABLE(X)
#undef X

NEVER(budget_set)
NEVER(call_ring_await)
NEVER(call_ring_end)
NEVER(call_ring_go_on)
NEVER(channel_adopt_all)
NEVER(channel_claim_all)
NEVER(channel_close_all)
NEVER(channel_connect)
NEVER(channel_connected)
NEVER(channel_go_on_all)
NEVER(channel_none_left)
NEVER(channel_open_send)
NEVER(channel_reborn_all)
NEVER(channel_restart_all)
NEVER(channel_unregister_all)
NEVER(deadline_arm)
NEVER(deadline_cancel)
NEVER(endpoint_begun)
NEVER(endpoint_check_doors)
NEVER(endpoint_destroyed)
NEVER(endpoint_halted)
NEVER(imsic_clear_guest)
NEVER(interrupt_release)
NEVER(kernel_log_text)
NEVER(kernel_panic)
NEVER(kernel_print)
NEVER(mesh_call)
NEVER(mesh_core_online)
NEVER(operation_segment_is_legal)
NEVER(run_queue_remove)
NEVER(schedule_budget_end)
NEVER(schedule_ready)
NEVER(schedule_remove)
NEVER(schedule_sticky)
NEVER(schedule_unload)
NEVER(schedule_wake)
NEVER(schedule_yield)
NEVER(info_begin)
NEVER(info_end)
NEVER(trace_write)
