// Kernels' logs: what domains say by log_line and kernels by themselves, line by line.
//
// Owns one position and one unfinished line for each core. It must never poll by time: it looks when an event came from
// that core (a server logs before it is ready or dies) and when somebody reads the log. If the supervisor dies, its next
// incarnation begins at the end of what is there.
#include "supervisor/kernel_log.h"
#include "abi/layout.h"
#include "runtime/runtime.h"
#include "supervisor/cores.h"
#include "supervisor/crash_log.h"
#include <string.h>

#define KERNEL_LOG_WORDS 4u
// Calls for one look. 256 pieces of 32 bytes: more than a domain logs between two events; the rest comes next time.
#define KERNEL_LOG_PIECES 256u

static struct {
	unsigned cores; // 0: not begun
	uint64_t position[CORE_MAX];
	unsigned used[CORE_MAX];
	char line[CORE_MAX][CRASH_LINE_MAX];
} kernel_log;

void kernel_log_begin(unsigned cores)
{
	if (kernel_log.cores)
		return;
	kernel_log.cores = cores < CORE_MAX ? cores : CORE_MAX;
	// What nobody has shown yet; what came until our former incarnation died, it has.
	uint64_t from = self_restarted() ? ~0ull : CORE_LOG_SHOWN;
	for (unsigned core = 0; core < kernel_log.cores; core++)
		kernel_log.position[core] = kcall(CALL_core_log, core, from).value[KERNEL_LOG_WORDS];
}

static void kernel_log_byte(unsigned core, char c)
{
	char *line = kernel_log.line[core];
	unsigned *used = &kernel_log.used[core];
	if (c != '\n' && c != 0)
		line[(*used)++] = c;
	if ((c == '\n' && *used) || *used == CRASH_LINE_MAX - 1) {
		line[*used] = 0;
		crash_log_line(line);
		*used = 0;
	}
}

void kernel_log_pull(unsigned core)
{
	if (core >= kernel_log.cores || !cores_usable(core)) // each word of a silent one would cost a deadline
		return;
	for (unsigned i = 0; i < KERNEL_LOG_PIECES; i++) {
		struct kernel_result piece = kcall(CALL_core_log, core, kernel_log.position[core]);
		if (piece.error || piece.value[KERNEL_LOG_WORDS] == kernel_log.position[core])
			return;
		kernel_log.position[core] = piece.value[KERNEL_LOG_WORDS];
		char text[KERNEL_LOG_WORDS * sizeof(uint64_t)];
		memcpy(text, piece.value, sizeof text);
		for (unsigned j = 0; j < sizeof text; j++)
			kernel_log_byte(core, text[j]);
	}
}

void kernel_log_pull_all(void)
{
	for (unsigned core = 0; core < kernel_log.cores; core++)
		kernel_log_pull(core);
}
