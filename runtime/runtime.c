// Start and end of a domain, who it is, time, log lines, info pages.
//
// Owns what CALL_self said. Never waits, but for the flush of standard output at a regular end. Right because everything
// here is set once at the start, before the first fiber runs. If the domain dies, its kernel keeps the record; the
// supervisor reads it there.
#include "runtime/runtime.h"
#include "runtime/csr.h"
#include "runtime/loop.h"
#include "runtime/machine.h"
#include "runtime/trace.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LOG_LINE_SIZE 160
#define LOG_CALL_SIZE 40 // bytes of text that one CALL_log takes

static struct {
	unsigned core;
	unsigned domain;
	uint32_t epoch;
	bool restarted;
	uint64_t timebase;
} self;

_Noreturn void runtime_start(void);

_Noreturn void runtime_start(void)
{
	struct kernel_result r = kcall(CALL_self);
	self.core = (unsigned)r.value[0];
	self.domain = (unsigned)r.value[1];
	self.epoch = (uint32_t)r.value[2];
	self.restarted = r.value[3] != 0;
	self.timebase = machine_info(self.core)->timebase;
	if (self.timebase == 0)
		self.timebase = 10000000; // a page that lies must not make us divide by zero
	trace_start(machine_info(self.core)->traced ? machine_trace() : 0, self.epoch, self_manifest()->name);
	loop_start((unsigned)r.value[4]);
	int code = program_main();
	fflush(stdout);
	domain_exit(code);
}

const struct manifest_service *self_manifest(void)
{
	return (const struct manifest_service *)GPA_STARTUP;
}

unsigned self_core(void)
{
	return self.core;
}

unsigned self_domain(void)
{
	return self.domain;
}

uint32_t self_epoch(void)
{
	return self.epoch;
}

bool self_restarted(void)
{
	return self.restarted;
}

uint64_t time_now(void)
{
	return time_read();
}

uint64_t time_ticks_from_us(uint64_t us)
{
	return us / 1000000 * self.timebase + us % 1000000 * self.timebase / 1000000;
}

uint64_t time_us_from_ticks(uint64_t ticks)
{
	return ticks / self.timebase * 1000000 + ticks % self.timebase * 1000000 / self.timebase;
}

static void log_text(const char *text, size_t length)
{
	while (length > 0) {
		uint64_t word[5] = {0};
		size_t n = length < LOG_CALL_SIZE ? length : LOG_CALL_SIZE;
		memcpy(word, text, n);
		kcall(CALL_log, n, word[0], word[1], word[2], word[3], word[4]);
		text += n;
		length -= n;
	}
}

void log_line(const char *format, ...)
{
	char line[LOG_LINE_SIZE + 1];
	va_list arguments;
	va_start(arguments, format);
	int n = vsnprintf(line, LOG_LINE_SIZE, format, arguments);
	va_end(arguments);
	if (n < 0)
		return;
	if (n >= LOG_LINE_SIZE)
		n = LOG_LINE_SIZE - 1;
	line[n] = '\n';
	log_text(line, (size_t)n + 1);
}

_Noreturn void domain_exit(int code)
{
	stdio_flush();
	for (;;)
		kcall(CALL_exit, code);
}

_Noreturn void domain_panic(const char *file, int line, const char *what)
{
	void *caller = __builtin_return_address(0); // the place of the crash line
	if (self_manifest()->flags & SERVICE_FLAG_FIRST) // nobody is left to read our registers before they are cleared
		log_line("%s:%d: %s", file, line, what);
	register const char *a0 __asm__("a0") = file;
	register long a1 __asm__("a1") = line;
	register const char *a2 __asm__("a2") = what;
	for (;;)
		__asm__ volatile("mv ra, %0\n\t.word %1" ::"r"(caller), "i"(DOMAIN_PANIC_INSTRUCTION), "r"(a0), "r"(a1), "r"(a2)
				 : "ra");
}
