// Frame allocator of one partition: owns the state of every frame (4 KiB) of it, as a buddy system over absolute
// physical addresses that hands out contiguous runs of any length.
//
// Never: touches the content of a frame, or frames of another partition. Why right: a free frame lies in exactly one
// block that is on the list of its order, two free buddies never exist side by side (they are merged when the second
// appears; INV-16), so all freed is as at the start; all other frames name their owner or are reserved or quarantined.
// State: struct frames in struct core and the table, both in the partition; if the kernel dies here, they are rebuilt
// from the records of domains by its next incarnation. A caller's breach is an assert, which panics this kernel.
#pragma once
#include "core-local/types.h"
#include <stdbool.h>

#define FRAME_ORDERS 24 // blocks up to 2^23 frames = 32 GiB
#define FRAME_NONE UINT32_MAX

enum frame_state {
	FRAME_RESERVED, // not given to the allocator: kernel image, tables, holes
	FRAME_FREE,     // inside of a free block
	FRAME_FREE_HEAD, // first frame of a free block: order, next and prev are valid
	FRAME_USED,     // owner is valid
	FRAME_QUARANTINED,
};

struct frame {
	uint16_t owner;
	uint8_t order;
	uint8_t state; // enum frame_state
	uint32_t next; // indices of frames
	uint32_t prev;
};
_Static_assert(sizeof(struct frame) == 12, "the frame table costs 12 bytes for each 4 KiB");

struct frames {
	paddr_t base;
	uint64_t count;       // frames in all
	uint64_t free;        // of them on the lists
	uint64_t quarantined; // of them taken out for ever
	struct frame *table;
	uint32_t lists[FRAME_ORDERS]; // index of the first block of each order
};

// Bytes that the table for `count` frames needs, whole pages.
uint64_t frames_table_bytes(uint64_t count);

// Takes over `count` frames from `base` (page-aligned); all are reserved. `table` has frames_table_bytes(count).
void frames_init(struct frames *f, paddr_t base, uint64_t count, struct frame *table);

// Gives a reserved range to the free lists.
void frames_add(struct frames *f, paddr_t base, uint64_t pages);

// The same with all reserved frames from `base` on.
void frames_add_rest(struct frames *f, paddr_t base);

// Gives reserved frames, which a former incarnation used, to `owner`. False, and nothing changed, when they are not all of
// this partition and reserved.
bool frames_claim(struct frames *f, paddr_t base, uint64_t pages, uint16_t owner);

// Allocates a contiguous run for `owner` (1..0xfffe). Runs of 512 pages and more are aligned to 2 MiB, shorter ones
// to their power of two; what lies behind `pages` stays free. Content is not cleared. Returns 0 when there is none.
paddr_t frames_alloc(struct frames *f, uint64_t pages, uint16_t owner);

// The same with an alignment in pages (a power of two).
paddr_t frames_alloc_aligned(struct frames *f, uint64_t pages, uint64_t align_pages, uint16_t owner);

// Returns frames, any part of any run, all of which `owner` has.
void frames_free(struct frames *f, paddr_t base, uint64_t pages, uint16_t owner);

// Takes frames, all of which `owner` has, out for ever (KERNEL.md rule 13).
void frames_quarantine(struct frames *f, paddr_t base, uint64_t pages, uint16_t owner);
