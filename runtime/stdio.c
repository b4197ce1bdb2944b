// The C library's ground: standard output, memory for malloc, exit, failed asserts.
//
// Owns the current output line and the current arena. Output goes to the core's log, a line at a time, until
// stdio_connect names something better. `stdout` is weak: a program that links runtime/console.c writes there instead.
// The arena grows by whole allocations of the kernel, which never are adjacent: what is left of the old one is given up,
// and the C library copes with gaps. If the domain dies here, nobody outside notices anything but missing text.
#include "runtime/stdio.h"
#include "abi/layout.h"
#include "runtime/loop.h"
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define ARENA_PAGES 64u       // 256 KiB at first: little given up at a growth
#define ARENA_PAGES_MAX 1024u // 4 MiB later: each growth doubles, since a domain has few allocations in its kernel

static char line[120]; // log lines are cut at 160, so this fits with its prefix
static size_t line_used;
static void (*put_text)(const char *text, size_t n);

void stdio_flush(void)
{
	if (line_used == 0)
		return;
	size_t n = line_used;
	line_used = 0;
	if (put_text)
		put_text(line, n);
	else
		log_line("%.*s", (int)(line[n - 1] == '\n' ? n - 1 : n), line);
}

static int standard_put(char c, FILE *file)
{
	(void)file;
	line[line_used++] = c;
	if (c == '\n' || line_used == sizeof(line))
		stdio_flush();
	return (unsigned char)c;
}

static int standard_flush(FILE *file)
{
	(void)file;
	stdio_flush();
	return 0;
}

void stdio_connect(void (*put)(const char *text, size_t n))
{
	stdio_flush();
	put_text = put;
}

static FILE standard = FDEV_SETUP_STREAM(standard_put, 0, standard_flush, _FDEV_SETUP_WRITE);
FILE *const stdout __attribute__((weak)) = &standard;
FILE *const stderr __attribute__((weak)) = &standard;

static char *arena;
static char *arena_end;

static bool arena_take(size_t pages)
{
	struct kernel_result r = kcall(CALL_memory_alloc, pages);
	if (r.error != ERR_OK)
		return false;
	arena = (char *)r.value[0];
	arena_end = arena + pages * PAGE_SIZE;
	return true;
}

// Takes more than is asked for if it can be had, else just that.
static bool arena_grow(size_t bytes)
{
	static size_t next = ARENA_PAGES;
	size_t pages = (bytes + PAGE_SIZE - 1) / PAGE_SIZE;
	if (pages < next && arena_take(next)) {
		if (next < ARENA_PAGES_MAX)
			next *= 2;
		return true;
	}
	return arena_take(pages);
}

// Newlib's contract: memory of `n` more bytes, (void *)-1 with ENOMEM when there is none. Never shrinks.
void *sbrk(ptrdiff_t n)
{
	if (n <= 0)
		return arena;
	if (n > arena_end - arena && !arena_grow((size_t)n)) {
		errno = ENOMEM;
		return (void *)-1;
	}
	char *given = arena;
	arena += n;
	return given;
}

_Noreturn void _exit(int code)
{
	domain_exit(code);
}

_Noreturn void __assert_func(const char *file, int number, const char *function, const char *expression)
{
	(void)function;
	domain_panic(file, number, expression);
}
