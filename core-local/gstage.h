// Page tables: builder of Sv39x4 G-stage tables for domains and, with the same code, of plain Sv39 tables for the
// kernel itself (RISC-V privileged specification, "Sv39" and "Two-Stage Address Translation").
//
// Owns the intermediate tables that it allocated, never the root, never what leaves point to. Never: splits a 2 MiB
// leaf, overwrites a valid entry, leaves an empty intermediate table behind. Why right: table_map checks everything
// and has all tables in hand before it writes the first entry. Physical addresses are pointers (identity map).
// Who maps into live tables fences afterwards (hfence.gvma, rs1 = gpa >> 2, or sfence.vma), after table_unmap before
// the released tables and the unmapped frames are used again. State: in the partition; rebuilt, never trusted, after a
// reboot of the kernel.
#pragma once
#include "abi/call.h" // PROT_*
#include "abi/error.h"
#include "abi/layout.h"
#include "core-local/types.h"
#include <stdbool.h>

struct page_table {
	uint64_t *root; // 4 KiB; 16 KiB, aligned to 16 KiB, of a G-stage. Cleared by the caller at the start
	bool gstage;
	paddr_t (*alloc)(void *context); // a frame for a table, 0: none; need not be cleared
	void (*release)(void *context, paddr_t table);
	void *context;
	bool keep; // table_unmap leaves empty tables in place, for what is mapped there next
};

// Maps [va, va + bytes) to [pa, ...), all page-aligned, with PROT_* (READ at least). 2 MiB leaves where both addresses
// are aligned to 2 MiB and so much is left, else 4 KiB. ERR_INVALID, ERR_EXISTS (a part is mapped), ERR_NO_MEMORY:
// nothing has changed.
enum error table_map(struct page_table *t, uint64_t va, paddr_t pa, uint64_t bytes, unsigned prot);

// Unmaps what is mapped in the range. A 2 MiB leaf lies in the range as a whole or not at all (assert). Tables that
// become empty are released.
void table_unmap(struct page_table *t, uint64_t va, uint64_t bytes);

// Says where va leads: *pa with the offset in the page, *prot with PROT_* (both may be 0 pointers). False: unmapped.
bool table_lookup(const struct page_table *t, uint64_t va, paddr_t *pa, unsigned *prot);
