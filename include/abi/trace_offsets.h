// A kernel's trace ring for assembly (kernel/riscv/endpoint.S): numbers alone, which trace.h asserts.
#pragma once

#define TRACE_NEXT 8
#define TRACE_PLACE_BITS 15 // of TRACE_KERNEL_EVENTS
#define TRACE_EVENT_SHIFT 5 // of TRACE_EVENT_BYTES
#define TRACE_FAST_CALL_KIND 5
#define TRACE_FAST_ANSWER_KIND 6

// Of its first event.
#define TRACE_EVENT_TIME 64
#define TRACE_EVENT_KIND 72
#define TRACE_EVENT_SUBJECT 74
