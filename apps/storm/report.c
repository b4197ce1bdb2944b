// The report of storm: what was injected, what the supervisor saw, how long it took.
//
// Owns the samples. What it knows of restarts is what the supervisor recorded (TIMES), fetched often enough that its ring
// does not wrap. If this domain dies, the crash log still tells of each restart.
#include "abi/fault.h"
#include "apps/storm/storm.h"
#include "runtime/runtime.h"
#include "runtime/supervision.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES 16384u
#define BATCH 64u

struct samples {
	uint32_t us[SAMPLES];
	unsigned count;
};

static struct {
	uint64_t injected[STORM_ACTIONS];
	uint64_t kinds[STORM_FAULT_KINDS];
	uint64_t restarts;
	uint64_t recovered;
	struct samples detection; // from the last sign of life (a fault: the trap) until the supervisor knew
	struct samples restart;   // from then until it had adopted and served
} seen[STORM_SERVICES];

static uint64_t next_restart = ~0ull; // unknown yet

static void sample_add(struct samples *s, uint64_t from, uint64_t to)
{
	if (s->count < SAMPLES && to >= from)
		s->us[s->count++] = (uint32_t)time_us_from_ticks(to - from);
}

static void restart_take(const struct supervisor_restart *r)
{
	for (unsigned i = 0; i < storm_options.services; i++) {
		if (strncmp(r->name, storm_options.service[i], NAME_SIZE) != 0)
			continue;
		seen[i].restarts++;
		seen[i].kinds[r->kind < STORM_FAULT_KINDS ? r->kind : 0]++;
		sample_add(&seen[i].detection, r->fault, r->detected);
		if (r->ready == 0)
			return;
		seen[i].recovered++;
		sample_add(&seen[i].restart, r->detected, r->ready);
	}
}

void storm_report_collect(void)
{
	static struct supervisor_restart batch[BATCH];
	unsigned given = 0;
	bool first = next_restart == ~0ull;
	do {
		uint64_t from = first && next_restart == ~0ull ? 0 : next_restart;
		if (supervision_times(from, batch, BATCH, &given, &next_restart) != ERR_OK)
			return;
		for (unsigned i = 0; i < given && !first; i++)
			restart_take(&batch[i]);
	} while (given > 0);
}

uint64_t storm_report_restarts(void)
{
	uint64_t all = 0;
	for (unsigned i = 0; i < storm_options.services; i++)
		all += seen[i].restarts;
	return all;
}

static const char *storm_action_word(unsigned a)
{
	return a == STORM_KILL ? "kill" : a == STORM_CORE ? "core" : supervision_action_word(a);
}

void storm_report_injected(unsigned service, unsigned action)
{
	seen[service].injected[action]++;
}

// --- printing

static int compare_us(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static void print_distribution(const char *service, const char *what, struct samples *s)
{
	if (s->count == 0)
		return;
	qsort(s->us, s->count, sizeof(s->us[0]), compare_us);
	printf("  %-10s %-10s %7u %10" PRIu32 " %10" PRIu32 " %10" PRIu32 " %10" PRIu32 " %10" PRIu32 "\n", service,
	       what, s->count, s->us[0], s->us[s->count / 2], s->us[(uint64_t)s->count * 90 / 100],
	       s->us[(uint64_t)s->count * 99 / 100], s->us[s->count - 1]);
}

static uint64_t injected_into(unsigned service)
{
	uint64_t all = 0;
	for (unsigned a = 0; a < STORM_ACTIONS; a++)
		all += seen[service].injected[a];
	return all;
}

static void print_services(void)
{
	printf("\n  %-10s %8s %8s | %7s %6s %6s %9s %7s %6s | %9s\n", "service", "injected", "restarts", "fault",
	       "hang", "exit", "complaint", "kill", "other", "recovered");
	for (unsigned i = 0; i < storm_options.services; i++) {
		const uint64_t *k = seen[i].kinds;
		printf("  %-10s %8" PRIu64 " %8" PRIu64 " | %7" PRIu64 " %6" PRIu64 " %6" PRIu64 " %9" PRIu64 " %7" PRIu64
		       " %6" PRIu64 " | %9" PRIu64 "\n",
		       storm_options.service[i], injected_into(i), seen[i].restarts, k[FAULT_EXCEPTION], k[FAULT_HANG],
		       k[FAULT_EXIT], k[FAULT_COMPLAINT], k[FAULT_KILLED], k[FAULT_NONE] + k[FAULT_QUOTA] + k[FAULT_CORE],
		       seen[i].recovered);
	}
}

static void print_actions(void)
{
	printf("\n  injected  ");
	for (unsigned a = 1; a < STORM_ACTIONS; a++) {
		uint64_t n = 0;
		for (unsigned i = 0; i < storm_options.services; i++)
			n += seen[i].injected[a];
		if (n > 0)
			printf(" %s %" PRIu64, storm_action_word(a), n);
	}
	printf("\n");
}

static void print_times(void)
{
	printf("\n  %-10s %-10s %7s %10s %10s %10s %10s %10s  us\n", "service", "phase", "number", "min", "median", "p90",
	       "p99", "max");
	for (unsigned i = 0; i < storm_options.services; i++) {
		print_distribution(storm_options.service[i], "detection", &seen[i].detection);
		print_distribution(storm_options.service[i], "restart", &seen[i].restart);
	}
}

static void print_work(void)
{
	const struct storm_counts *c = &storm_counts;
	uint64_t us = time_us_from_ticks(c->ticks);
	uint64_t ms = us / 1000 ? us / 1000 : 1;
	printf("\n  operations %" PRIu64 " (%" PRIu64 "/s), written %" PRIu64 " KiB, read %" PRIu64 " KiB (%" PRIu64
	       " KiB/s), syncs %" PRIu64 ", files verified %" PRIu64 "\n",
	       c->ops, c->ops * 1000 / ms, c->bytes_written >> 10, c->bytes_read >> 10,
	       ((c->bytes_written + c->bytes_read) >> 10) * 1000 / ms, c->syncs, c->files_verified);
	printf("  injected %" PRIu64 ", restarts %" PRIu64 " (%" PRIu64 ".%" PRIu64 " a second)\n", storm_injected(),
	       storm_report_restarts(), storm_report_restarts() * 1000 / ms, storm_report_restarts() * 10000 / ms % 10);
	printf("  client-visible errors %" PRIu64 ", wrong bytes %" PRIu64 "\n", c->errors, c->wrong_bytes);
	printf("STORM ops_per_s %" PRIu64 " kib_per_s %" PRIu64 " injected %" PRIu64 " restarts %" PRIu64
	       " errors %" PRIu64 " wrong %" PRIu64 "\n",
	       c->ops * 1000 / ms, ((c->bytes_written + c->bytes_read) >> 10) * 1000 / ms, storm_injected(),
	       storm_report_restarts(), c->errors, c->wrong_bytes);
}

static void print_command(void)
{
	const struct storm_options *o = &storm_options;
	printf("  replay: storm %" PRIu64 " --seed %" PRIu64 " --rate %" PRIu64 ".%03" PRIu64 " --workers %u --only ",
	       o->seconds, o->seed, o->rate_mille / 1000, o->rate_mille % 1000, o->workers);
	for (unsigned i = 0; i < o->services; i++)
		printf("%s%s", i ? "," : "", o->service[i]);
	printf(" --actions ");
	bool comma = false;
	for (unsigned a = 1; a < STORM_ACTIONS; a++) {
		if (!(o->actions >> a & 1))
			continue;
		printf("%s%s", comma ? "," : "", storm_action_word(a));
		comma = true;
	}
	printf("\n");
}

void storm_report_print(void)
{
	if (storm_injected() > 0) {
		print_services();
		print_actions();
		print_times();
	}
	print_work();
	print_command();
}
