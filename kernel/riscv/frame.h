// Offsets that assembly uses; asserted from C in domain.h.
#pragma once

#define FRAME_X(n) ((n) * 8) // x1..x31; the place of x0 holds the pc
#define FRAME_KERNEL_SP 256
#define FRAME_FP 264         // f0..f31
#define FRAME_FCSR 520

#define CAUSE_VS_CALL 10
#define FAST_CALLS 3 // numbers below this: endpoint.S

// What the fast path of endpoint calls (endpoint.S) uses of struct domain,
#define DOMAIN_CORE 528
#define DOMAIN_REPLY_TO 536
#define DOMAIN_CALLEE 544
#define DOMAIN_FILE_BIT 552
#define DOMAIN_RAN 560
#define DOMAIN_RUN_SINCE 568
#define DOMAIN_RUNNING_AS 576
#define DOMAIN_HGATP 584
#define DOMAIN_HSTATUS 592
#define DOMAIN_VSSTATUS 600
#define DOMAIN_VSIE 608
#define DOMAIN_VSTVEC 616
#define DOMAIN_VSSCRATCH 624
#define DOMAIN_VSTIMECMP 632
#define DOMAIN_TIMER_TIME 640
#define DOMAIN_STATE 672 // state, open, receiving, received: one byte each, written at once
#define DOMAIN_OPEN 673
#define DOMAIN_RECEIVING 674
#define DOMAIN_PRIORITY 676
#define DOMAIN_PLAIN 677
#define DOMAIN_INDEX 678
#define DOMAIN_DOORS 680
#define DOOR_MATCH 0
#define DOOR_SERVER 8
#define DOOR_BADGE 16
#define DOOR_SHIFT 5
#define DOOR_PLACE_BITS 4
#define DOOR_PLACES (15 << DOOR_SHIFT) // bits of a handle that are the place of its door, as an offset
#define DOMAIN_STATE_RUNNING 3
#define DOMAIN_STATE_BLOCKED 4
#define DOMAIN_STATE_CALLING 5

// of struct core,
#define CORE_CURRENT 0
#define CORE_FILES_BLOCKED 8
#define CORE_COMPANY 16
#define CORE_INFO 24
#define CORE_TRACE 32

// and of the info page.
#define INFO_RUNNING 32
#define INFO_CALLS_FAST 208
