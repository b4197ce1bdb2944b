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
} topics[] = {
	{"doorbell", bench_doorbell}, {"latency", bench_latency},   {"kernel", bench_kernel},
	{"channel", bench_channel},   {"grants", bench_grants},     {"switch", bench_switch},     {"endpoint", bench_endpoint},
	{"fault", bench_fault},
	{"batch", bench_batch},       {"files", bench_files},
	{"sizes", bench_sizes},       {"memory", bench_memory},     {"start", bench_start},
	{"crash", bench_recovery},   {"echo", bench_echo},
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
		chosen[i] = true;
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
