// Symbols: from an address in a domain to function + offset, by the symbol table of its ELF file in the boot image.
#pragma once
#include <stddef.h>
#include <stdint.h>

// Writes "function+0xoffset" for `pc` into `out`, or "" when `file` (elf_read has accepted it; anything is safe) has no
// symbol table or no function at or below that address.
void symbols_describe(const void *file, size_t bytes, uint64_t pc, char *out, size_t out_size);
