// Crash log: who died, why, and how long it took to come back, in words.
//
// Owns the ring of text. It must never wait or call anybody: it is written between a restart and the next event, and read
// by the printer and by whoever asks over a channel. Right because offsets only grow and the ring holds the last
// CRASH_LOG_BYTES of them. If the supervisor dies the text is lost; the kernels' own logs (core_log) are not.
#include "supervisor/crash_log.h"
#include "abi/layout.h"
#include <stdio.h>
#include <string.h>

static struct {
	char text[CRASH_LOG_BYTES];
	uint64_t end; // offset of the next byte
} crash_log;

static void crash_log_byte(char c)
{
	crash_log.text[crash_log.end++ % CRASH_LOG_BYTES] = c;
}

void crash_log_line(const char *text)
{
	for (; *text; text++)
		crash_log_byte((unsigned char)*text < ' ' ? ' ' : *text);
	crash_log_byte('\n');
}

uint64_t crash_log_end(void)
{
	return crash_log.end;
}

size_t crash_log_read(uint64_t *offset, char *out, size_t size, uint64_t *lost)
{
	uint64_t first = crash_log.end > CRASH_LOG_BYTES ? crash_log.end - CRASH_LOG_BYTES : 0;
	*lost = 0;
	if (*offset > crash_log.end)
		*offset = crash_log.end;
	if (*offset < first) {
		*lost = first - *offset;
		*offset = first;
	}
	size_t count = 0;
	while (count < size && *offset + count < crash_log.end) {
		out[count] = crash_log.text[(*offset + count) % CRASH_LOG_BYTES];
		count++;
	}
	*offset += count;
	return count;
}

// Privileged specification, table "Supervisor cause register values", with the hypervisor extension's.
static const char *crash_cause_word(uint64_t cause)
{
	switch (cause) {
	case 0: return "jump to a misaligned address";
	case 1: return "access fault at an instruction";
	case 2: return "illegal instruction";
	case 3: return "breakpoint";
	case 4: return "misaligned load from";
	case 5: return "access fault at a load from";
	case 6: return "misaligned store to";
	case 7: return "access fault at a store to";
	case 8: return "call of a program that nobody takes";
	case 12:
	case 20: return "jump to unmapped";
	case 13:
	case 21: return "load from unmapped";
	case 15:
	case 23: return "store to unmapped";
	case 22: return "instruction that a domain may not use";
	default: return "exception";
	}
}

// Does the cause come with an address that says something?
static bool crash_cause_has_address(uint64_t cause)
{
	return cause <= 1 || (cause >= 4 && cause <= 7) || (cause >= 12 && cause <= 23 && cause != 22);
}

// Below the stack lies a page that is never mapped; one jump over it by a large frame is a stack overflow still.
#define CRASH_STACK_GUARD 0x10000u

// A fiber's stack lies in the heap, and where it ends only the fiber knows: but when the page that is not there is the one
// that sp points into, it is the stack that has come to it. (A frame of more than a page can be beyond it at once: then the
// address alone is told.)
static bool crash_is_stack_overflow(const struct crash *crash)
{
	if (crash->cause != 21 && crash->cause != 23)
		return false;
	return (crash->address < crash->stack_bottom && crash->stack_bottom - crash->address <= CRASH_STACK_GUARD) ||
	       (crash->address >= crash->sp && crash->address / PAGE_SIZE == crash->sp / PAGE_SIZE);
}

static void crash_describe_assertion(const struct crash *crash, char *out, size_t size)
{
	if (crash->file[0])
		snprintf(out, size, "assertion failed at %s:%u (%s)", crash->file, (unsigned)crash->line, crash->claim);
	else
		snprintf(out, size, "assertion failed");
}

static void crash_describe_exception(const struct crash *crash, char *out, size_t size)
{
	if (crash->assertion)
		crash_describe_assertion(crash, out, size);
	else if (crash_is_stack_overflow(crash))
		snprintf(out, size, "stack overflow, 0x%lx is below its stack", (unsigned long)crash->address);
	else if (crash_cause_has_address(crash->cause))
		snprintf(out, size, "%s 0x%lx", crash_cause_word(crash->cause), (unsigned long)crash->address);
	else
		snprintf(out, size, "%s (cause %lu)", crash_cause_word(crash->cause), (unsigned long)crash->cause);
}

static const char *crash_complaint_word(enum complaint reason)
{
	switch (reason) {
	case COMPLAINT_NO_ANSWER: return "a request got no answer in time";
	case COMPLAINT_BAD_INDEX: return "it completed more than was asked";
	case COMPLAINT_BAD_COMPLETION: return "its completions fit no request";
	}
	return "no reason given";
}

static void crash_describe_why(const struct crash *crash, char *out, size_t size)
{
	switch (crash->kind) {
	case FAULT_EXCEPTION:
		crash_describe_exception(crash, out, size);
		break;
	case FAULT_HANG:
		snprintf(out, size, "hang, no answer for %lu.%03lu ms", (unsigned long)(crash->silent_us / 1000),
			 (unsigned long)(crash->silent_us % 1000));
		break;
	case FAULT_EXIT:
		snprintf(out, size, "exit with code %lu", (unsigned long)crash->cause);
		break;
	case FAULT_QUOTA:
		snprintf(out, size, "its memory quota is used up");
		break;
	case FAULT_KILLED:
		snprintf(out, size, "killed on request");
		break;
	case FAULT_COMPLAINT:
		snprintf(out, size, "complaint of a client, %s", crash_complaint_word(crash->complaint));
		break;
	case FAULT_CORE:
		snprintf(out, size, "its core is lost");
		break;
	default:
		snprintf(out, size, "fault of kind %u", (unsigned)crash->kind);
	}
}

static bool crash_has_pc(const struct crash *crash)
{
	return crash->kind == FAULT_EXCEPTION || crash->kind == FAULT_HANG || crash->kind == FAULT_QUOTA;
}

void crash_describe(const struct crash *crash, char *out, size_t size)
{
	char why[200], at[200] = "";
	crash_describe_why(crash, why, sizeof why);
	if (crash_has_pc(crash) && crash->in_program)
		snprintf(at, sizeof at, ", in a program of its own at pc 0x%lx", (unsigned long)crash->pc);
	else if (crash_has_pc(crash) && crash->where[0] && crash->caller[0])
		snprintf(at, sizeof at, " at pc 0x%lx %s, called from %s", (unsigned long)crash->pc, crash->where,
			 crash->caller);
	else if (crash_has_pc(crash) && crash->assertion)
		snprintf(at, sizeof at, ", pc 0x%lx %s", (unsigned long)crash->pc, crash->where);
	else if (crash_has_pc(crash))
		snprintf(at, sizeof at, " at pc 0x%lx %s", (unsigned long)crash->pc, crash->where);
	snprintf(out, size, "%s (core %u, domain %u, epoch %u) died: %s%s", crash->name, crash->core, crash->domain,
		 crash->epoch, why, at);
}

void crash_describe_return(const struct crash_return *back, char *out, size_t size)
{
	snprintf(out, size,
		 "%s is back as epoch %u after %lu.%03lu ms (noticed at %lu.%03lu, started at %lu.%03lu), restart %u",
		 back->name, back->epoch, (unsigned long)(back->ready_us / 1000), (unsigned long)(back->ready_us % 1000),
		 (unsigned long)(back->detected_us / 1000), (unsigned long)(back->detected_us % 1000),
		 (unsigned long)(back->started_us / 1000), (unsigned long)(back->started_us % 1000), back->restarts);
}

void crash_log_death(const struct crash *crash)
{
	char line[2 * CRASH_LINE_MAX];
	crash_describe(crash, line, sizeof line);
	crash_log_line(line);
}

void crash_log_return(const struct crash_return *back)
{
	char line[CRASH_LINE_MAX];
	crash_describe_return(back, line, sizeof line);
	crash_log_line(line);
}
