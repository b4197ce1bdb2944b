// Partition: where things lie in a core's memory. Every kernel can compute the place of what it shares with another.
//
//   struct core, two slots: the running incarnation's, and the next one's (a reborn kernel reads the former)
//   panic stack, unmapped guard page, stack
//   info page               own kernel writes, all read
//   heads page              own kernel writes: how far it has read each sender's ring; which incarnation of it it has seen
//   mesh rings, one a core  the sender writes
//   copy of the kernel image, frame table, frames for the kernel's tables, all others
#pragma once

#define PARTITION_CORE_SLOT 0x10000
#define PARTITION_PANIC_STACK_TOP 0x22000
#define PARTITION_STACK_GUARD 0x22000
#define PARTITION_STACK_TOP 0x27000
#define PARTITION_INFO 0x27000
#define PARTITION_HEADS 0x28000
#define PARTITION_RINGS 0x29000
#define PARTITION_IMAGE(core_count) (PARTITION_RINGS + (core_count) * 0x1000ul)
