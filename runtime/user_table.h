// Page tables for the programs of a library OS: Sv39 over the domain's own G-stage (RISC-V Privileged Architecture, Sv39).
//
// A table belongs to one space of addresses. A program has what lies below the library OS's image, and what lies above all that a domain
// can have (abi/layout.h). In between the library OS finds itself, in every table, at its own addresses: so its handler
// runs in the table of the program that trapped, and no switch is needed. Never: fences (user.c does), and lets a program reach
// what is not mapped for it. Page 0 is the library OS's too and leads nowhere: a jump there, when there is no handler, is a fault that
// the kernel sees. State: in pages that whoever makes the table gives; if the domain dies they are gone with it.
#pragma once
#include "abi/error.h"
#include "abi/layout.h"
#include <stdbool.h>
#include <stdint.h>

#define USER_LOW PAGE_SIZE        // up to where the library OS's image begins
#define USER_HIGH GPA_END         // up to
#define USER_END 0x4000000000ul   // the lower half of Sv39

struct user_pages { // where cleared pages come from, and go to when a table ends
	void *(*take)(void); // 0: none are left
	void (*give)(void *page);
};

struct user_table {
	uint64_t *root;
	uint64_t own; // first address of the library OS
	const struct user_pages *pages;
};

// `own`: where the library OS's image begins. ERR_NO_MEMORY.
enum error user_table_make(struct user_table *table, uint64_t own, const struct user_pages *pages);
// Maps one page for the program, PROT_READ with or without PROT_WRITE and PROT_EXEC. ERR_INVALID: not an address of a program, or not aligned;
// ERR_EXISTS: something is there; ERR_NO_MEMORY: no page for a table.
enum error user_table_map(struct user_table *table, uint64_t address, void *page, unsigned prot);
// What was mapped there, 0: nothing. The page is the caller's.
void *user_table_unmap(struct user_table *table, uint64_t address);
// Where that byte of the program lies, if it may be used so. 0: not mapped, or not with all of `prot`.
void *user_table_find(const struct user_table *table, uint64_t address, unsigned prot);
// Gives back the tables, and all pages that are still mapped.
void user_table_end(struct user_table *table);
