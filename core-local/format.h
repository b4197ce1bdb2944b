// Formatter of the kernel's messages: picolibc's vsnprintf in its integer variant (2.5 KiB; compile and link with
// -DPICOLIBC_INTEGER_PRINTF_SCANF), with the length that was really written. No state, no floating point.
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

// Writes at most room - 1 characters and a zero. Returns the number of characters written, without the zero.
__attribute__((format(printf, 3, 0))) static inline size_t format_line_list(char *out, size_t room, const char *f,
									    va_list list)
{
	if (room == 0)
		return 0;
	int wanted = vsnprintf(out, room, f, list);
	if (wanted < 0)
		return 0;
	return (size_t)wanted < room ? (size_t)wanted : room - 1;
}

__attribute__((format(printf, 3, 4))) static inline size_t format_line(char *out, size_t room, const char *f, ...)
{
	va_list list;
	va_start(list, f);
	size_t written = format_line_list(out, room, f, list);
	va_end(list);
	return written;
}
