// Topic: from the crash of a server to its first served request.
//
// Kills each server by an illegal instruction at its next injection point while a ping waits in its ring. The time of the
// trap is the supervisor's record of it, the end is the ping's answer; both are on the one time base.
#include "apps/bench/bench.h"
#include "abi/fault.h"
#include "runtime/fiber.h"
#include "runtime/runtime.h"
#include "runtime/supervision.h"
#include <stdio.h>
#include <string.h>

#define CRASHES 30u
#define RECORD_LOOKS 1000u

static struct series served;
static struct series detection;
static struct series restart;

static bool find_record(const char *name, uint64_t *cursor, struct supervisor_restart *found)
{
	static struct supervisor_restart batch[32];
	unsigned given = 0;
	bool any = false;
	do {
		if (supervision_times(*cursor, batch, 32, &given, cursor) != ERR_OK)
			return any;
		for (unsigned i = 0; i < given; i++) {
			if (strncmp(batch[i].name, name, NAME_SIZE) != 0)
				continue;
			*found = batch[i];
			any = true;
		}
	} while (given > 0);
	return any;
}

static enum error crash_once(const struct supervisor_service *service, const char *name, uint64_t *cursor)
{
	char server[NAME_SIZE + 1];
	struct supervisor_restart record = {0};
	supervision_served_name(service, server);
	enum error e = supervision_inject(server, "", INJECT_ILLEGAL, 1, 0);
	if (e == ERR_OK)
		e = supervision_ping(server);
	uint64_t end = time_now();
	if (e != ERR_OK)
		return e;
	// The service answers a moment before the supervisor has written the line of its history.
	for (unsigned i = 0; i < RECORD_LOOKS && !find_record(name, cursor, &record); i++)
		fiber_sleep_us(1000);
	if (record.ready == 0)
		return ERR_NOT_FOUND;
	series_add_ns(&served, bench_ns(end - record.fault));
	series_add_ns(&detection, bench_ns(record.detected - record.fault));
	series_add_ns(&restart, bench_ns(record.ready - record.detected));
	return ERR_OK;
}

static int measure_service(const char *name)
{
	char names[3][48];
	struct supervisor_service service;
	uint64_t cursor = 0;
	struct supervisor_restart last;
	enum error e = supervision_find(name, &service);
	(void)find_record(name, &cursor, &last);
	snprintf(names[0], sizeof(names[0]), "crash.%s.served", name);
	snprintf(names[1], sizeof(names[1]), "crash.%s.detection", name);
	snprintf(names[2], sizeof(names[2]), "crash.%s.restart", name);
	series_begin(&served, names[0]);
	series_begin(&detection, names[1]);
	series_begin(&restart, names[2]);
	for (unsigned i = 0; i < CRASHES && e == ERR_OK; i++)
		e = crash_once(&service, name, &cursor);
	if (e != ERR_OK)
		return bench_complain(name, e);
	series_print(&served);
	series_print(&detection);
	series_print(&restart);
	return 0;
}

int bench_recovery(void)
{
	int status = 0;
	series_head("crash to first served request");
	status |= measure_service("blk");
	status |= measure_service("fs");
	status |= measure_service("console");
	return status;
}
