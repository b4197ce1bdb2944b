// bench: measures the machine from inside; as "partner", the other side of its measurements.
//
//   bench [TOPIC..] [--count N] [--icount] [--lines]
//
// One image, two roles: a manifest entry that serves something is a partner. Owns nothing after it ends. If this domain
// dies, the shell that waits says so.
#include "apps/bench/bench.h"
#include "runtime/console.h"
#include "runtime/runtime.h"
#include "runtime/supervision.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool bench_icount;
uint64_t bench_count;

static const struct topic {
	const char *name;
	int (*run)(void);
	bool part; // of another one: only when it is asked for
} topics[] = {
	{"doorbell", bench_doorbell, false}, {"latency", bench_latency, false},   {"kernel", bench_kernel, false},
	{"channel", bench_channel, false},   {"grants", bench_grants, false},     {"switch", bench_switch, false},
	{"endpoint", bench_endpoint, false}, {"fault", bench_fault, false},       {"batch", bench_batch, false},
	{"files", bench_files, false},       {"sizes", bench_sizes, false},       {"memory", bench_memory, false},
	{"start", bench_start, false},       {"crash", bench_recovery, false},    {"ring", bench_ring, true},
	{"echo", bench_echo, false},
};
#define TOPICS (sizeof(topics) / sizeof(topics[0]))

static bool chosen[TOPICS];
static bool lines; // each figure once more, for scripts

static bool choose(const char *word)
{
	for (unsigned i = 0; i < TOPICS; i++) {
		if (strcmp(word, topics[i].name) != 0)
			continue;
		chosen[i] = true;
		return true;
	}
	return false;
}

static bool read_options(char *text)
{
	char *rest = text;
	bool any = false;
	for (char *word; (word = strtok_r(rest, " ", &rest)) != 0;) {
		if (strcmp(word, "--icount") == 0) {
			bench_icount = true;
		} else if (strcmp(word, "--lines") == 0) {
			lines = true;
		} else if (strcmp(word, "--count") == 0) {
			char *number = rest ? strtok_r(rest, " ", &rest) : 0;
			bench_count = number ? strtoull(number, 0, 0) : 0;
			if (bench_count == 0)
				return false;
		} else if (!choose(word)) {
			return false;
		} else {
			any = true;
		}
	}
	for (unsigned i = 0; i < TOPICS && !any; i++)
		chosen[i] = !topics[i].part;
	return true;
}

static void print_usage(void)
{
	printf("usage: bench [TOPIC..] [--count N] [--icount] [--lines]; topics:");
	for (unsigned i = 0; i < TOPICS; i++)
		printf(" %s", topics[i].name);
	printf("\n");
}

int program_main(void)
{
	static char arguments[512];
	int status = 0;
	if (self_manifest()->serves_count > 0)
		return partner_run();
	enum error e = supervision_argument(arguments, sizeof(arguments));
	if (e != ERR_OK)
		return bench_complain("arguments", e);
	if (!read_options(arguments)) {
		print_usage();
		return 2;
	}
	for (unsigned i = 0; i < TOPICS; i++)
		if (chosen[i])
			status |= topics[i].run();
	if (lines)
		bench_lines_print();
	console_drain();
	return status;
}
