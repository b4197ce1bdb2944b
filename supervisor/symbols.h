// Symbol files: NAME.sym in the boot image, made by tools/symbols.py. Lines "hexaddress name\n", sorted by address.
#pragma once
#include <stddef.h>
#include <stdint.h>

// Writes "function+0xoffset" for `pc` into `out`, or "" when the text has nothing at or below it. The text may be
// malformed: lines that do not parse are passed over.
void symbols_describe(const char *text, size_t bytes, uint64_t pc, char *out, size_t out_size);
