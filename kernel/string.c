// memcpy, memmove and memset of the kernel, by words (abi/words.h says why). Owns nothing.
#include "abi/words.h"
#include <string.h>

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
	words_copy(to, from, bytes);
	return to;
}

void *memmove(void *to, const void *from, size_t bytes)
{
	if ((uintptr_t)to <= (uintptr_t)from)
		words_copy(to, from, bytes);
	else
		words_copy_down(to, from, bytes);
	return to;
}

void *memset(void *to, int value, size_t bytes)
{
	words_fill(to, (uint8_t)value, bytes);
	return to;
}
