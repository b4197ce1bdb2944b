// Sum of a block in memory. See seal.c.
#pragma once
#include <stddef.h>
#include <stdint.h>

// Of so many bytes, a multiple of 64, aligned to words; never 0.
uint64_t seal_sum(const void *from, size_t bytes);
// The same while they are copied.
uint64_t seal_copy(void *to, const void *from, size_t bytes);
// Index of the first word from `at` on in which the two differ, or `words`.
size_t seal_difference(const void *one, const void *other, size_t at, size_t words);
