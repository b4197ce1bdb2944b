// What the kernel says, and how it dies.
//
// An epitaph goes to the firmware's console and stays in the core's log, which survives in its partition. A panicked
// core tells the others and stops its hart, so that one of them can start it again (reboot.h); but for its info page and
// that notice it touches nothing shared.
#include "abi/info_read.h"
#include "core-local/format.h"
#include "kernel/domain.h"
#include "kernel/kernel.h"
#include "kernel/mesh.h"
#include "kernel/schedule.h"
#include "kernel/trace.h"
#include "kernel/riscv/sbi.h"
#include "boot/plan.h"
#include <stdarg.h>
#include <string.h>

#define LINE_BYTES 200

uint64_t panic_stack_top; // trap.S; set when the core starts
static struct core *core_here; // of this copy of the image, for a trap of the kernel itself

void kernel_panic_prepare(struct core *core)
{
	panic_stack_top = core->partition + PARTITION_PANIC_STACK_TOP;
	core_here = core;
}

// A hint only (the pages are read without their sequence): at worst a line appears once too often.
static bool console_is_taken(const struct core *core)
{
	for (unsigned i = 0; i < core->core_count; i++) {
		const struct info_service *s = info_service_named(partition_info(core->plan->cores[i].partition), "console");
		if (s && s->state == SERVICE_UP && !core->peers[i].fenced)
			return true;
	}
	return false;
}

void kernel_log_text(struct core *core, const char *text, size_t length)
{
	log_append(&core->log, text, length);
	if (console_is_taken(core))
		return;
	sbi_console_write(text, length);
	core->log_shown = core->log.end;
}

void kernel_print(struct core *core, const char *format, ...)
{
	char line[LINE_BYTES];
	va_list arguments;
	va_start(arguments, format);
	size_t n = format_line_list(line, sizeof(line) - 1, format, arguments);
	va_end(arguments);
	line[n++] = '\n';
	kernel_log_text(core, line, n);
}

static _Noreturn void stop(struct core *core)
{
	core->info->state = CORE_PANICKED;
	csr_write(CSR_SIE, 0); // not hie, whose bits are the domain's vsie
	for (unsigned i = 0; i < core->core_count; i++)
		if (i != core->id)
			mesh_notice(core, i, NOTICE_CORE, call_nothing);
	schedule_unload(core); // what the hart still holds of a domain
	sbi_hart_stop();       // so that HSM can start it again
}

_Noreturn void kernel_panic(struct core *core, const char *format, ...)
{
	static bool panicking; // a fault on the way out must not come back here for ever
	if (panicking)
		sbi_hart_stop();
	panicking = true;
	core->died = time_read();
	trace(core, TRACE_PANIC, core->id, core->incarnation, 0, 0);
	char line[LINE_BYTES];
	size_t n = format_line(line, sizeof(line), "core %u panics: ", core->id);
	va_list arguments;
	va_start(arguments, format);
	n += format_line_list(line + n, sizeof(line) - 1 - n, format, arguments);
	va_end(arguments);
	line[n++] = '\n';
	log_append(&core->log, line, n);
	sbi_console_write(line, n);
	stop(core);
}

// A trap of the kernel itself (trap.S).
_Noreturn void panic_trap(uint64_t cause, uint64_t pc, uint64_t address, uint64_t sp, uint64_t ra)
{
	kernel_panic(core_here, "trap %lx at pc %lx, address %lx, sp %lx, ra %lx", cause, pc, address, sp, ra);
}

// assert() of core-local's structures (picolibc's name for it). Before the core runs in its own copy there is no core
// to tell: then the firmware's console is all.
_Noreturn void __assert_func(const char *file, int line, const char *function, const char *expression)
{
	if (core_here)
		kernel_panic(core_here, "%s:%d: %s: %s", file, line, function, expression);
	sbi_console_write(expression, strlen(expression));
	sbi_power_off(false, true);
}
