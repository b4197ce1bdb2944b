// The domain's trace ring (abi/trace.h): what it did last, for the host to read, also when it is dead.
//
// Nothing on the way of a request tests whether tracing is on: events come from places that are passed slowly only while it is,
// injection points (inject.h) and channel_view_ring_slowly; and from those that are passed seldom. If the domain dies, the ring stays, and the next
// incarnation goes on behind it. Where tracing is off there is no ring, and its address is not mapped.
#pragma once
#include "abi/info.h"
#include "abi/trace.h"
#include "runtime/channel_view.h"
#include "runtime/csr.h"
#include "runtime/runtime.h"
#include <stdbool.h>

extern struct trace_ring *trace_ring_here; // 0: nothing is traced

void trace_start(struct trace_ring *ring, uint32_t epoch, const char name[NAME_SIZE]); // ring 0: tracing is off
void trace_point(const char *name); // aligned to 8, 20 bytes at least: behind a shorter one are zeros
void trace_phase(unsigned phase, uint32_t epoch, const char name[NAME_SIZE]);
void trace_channel(const struct channel_view *view);
void trace_mate(unsigned slot, const char *component); // of a channel within the domain

static inline bool trace_is_on(void)
{
	return trace_ring_here != 0;
}

#ifdef __riscv
static inline uint64_t trace_time(void)
{
	return time_read();
}
#else // where unit tests say what time it is
static inline uint64_t trace_time(void)
{
	return time_now();
}
#endif

static inline void trace_here(enum trace_kind kind, unsigned subject, uint64_t word, uint64_t a, uint64_t b)
{
	if (__builtin_expect(trace_is_on(), 0))
		trace_append(trace_ring_here, TRACE_DOMAIN_EVENTS, trace_time(), kind, subject, word, a, b);
}
