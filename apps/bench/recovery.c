// Topic: from the crash of a server to its first served request.
//
// Kills each server by an illegal instruction at its next injection point while a ping waits in its ring. The time of the
// trap is the supervisor's record of it, the end is the ping's answer; both are on the one time base. The file system dies
// a second time over with a ring as full as it gets of operations that are recorded and not yet committed: a client with
// fewer than 16 free slots asks for a commit. What stays on the disk is one small file, removed at the end.
#include "apps/bench/bench.h"
#include "abi/fault.h"
#include "proto/mark.h"
#include "runtime/client.h"
#include "runtime/fiber.h"
#include "runtime/file.h"
#include "runtime/runtime.h"
#include "runtime/supervision.h"
#include <stdio.h>
#include <string.h>

#define CRASHES 30u
#define RECORD_LOOKS 1000u
#define RING_SLOTS 256u
#define RING_UNSYNCED (RING_SLOTS - 16)
#define RING_PATH "/bench.ring"
#define RING_PIECE 512u

// Of one crash: the whole, and its phases one after the other.
enum { SERVED, DETECTION, RESTART, FENCE, RESTORE, REPLAY, ANSWER, PHASES };
static const char *const phase_names[PHASES] = {
	[SERVED] = "served",    // from the trap to the first answer
	[DETECTION] = "detection", // to the supervisor's knowledge of it
	[RESTART] = "restart",  // from there to ready: the next three
	[FENCE] = "fence",      // off its hart, its clients' memory unmapped
	[RESTORE] = "restore",  // memory as it was, and begun
	[REPLAY] = "replay",    // adopted, mounted, performed again: ready
	[ANSWER] = "answer",    // to the ping that waited
};
static struct series phases[PHASES];

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
	mark_begin(phases[SERVED].name, 1);
	enum error e = supervision_inject(server, "", INJECT_ILLEGAL, 1, 0);
	uint64_t instructions = instructions_read();
	if (e == ERR_OK)
		e = supervision_ping(server);
	uint64_t end = time_now();
	instructions = instructions_read() - instructions;
	mark_end();
	if (e != ERR_OK)
		return e;
	// The service answers a moment before the supervisor has written the line of its history.
	for (unsigned i = 0; i < RECORD_LOOKS && !find_record(name, cursor, &record); i++)
		fiber_sleep_us(1000);
	if (record.ready == 0)
		return ERR_NOT_FOUND;
	series_add(&phases[SERVED], bench_ns(end - record.fault), instructions);
	series_add_ns(&phases[DETECTION], bench_ns(record.detected - record.fault));
	series_add_ns(&phases[RESTART], bench_ns(record.ready - record.detected));
	series_add_ns(&phases[FENCE], bench_ns(record.fenced - record.detected));
	series_add_ns(&phases[RESTORE], bench_ns(record.started - record.fenced));
	series_add_ns(&phases[REPLAY], bench_ns(record.ready - record.started));
	series_add_ns(&phases[ANSWER], bench_ns(end > record.ready ? end - record.ready : 0)); // whom it tells first is chance
	return ERR_OK;
}

// The series of one kind of crash: crash.NAME.served and so on.
struct crash_series {
	char names[PHASES][48];
};

static void crashes_begin(struct crash_series *c, const char *name)
{
	for (unsigned i = 0; i < PHASES; i++) {
		snprintf(c->names[i], sizeof(c->names[i]), "crash.%s.%s", name, phase_names[i]);
		series_begin(&phases[i], c->names[i]);
	}
}

static int crashes_end(const char *name, enum error e)
{
	if (e != ERR_OK)
		return bench_complain(name, e);
	for (unsigned i = 0; i < PHASES; i++)
		series_print(&phases[i]);
	return 0;
}

static enum error crashes_find(const char *name, struct supervisor_service *service, uint64_t *cursor)
{
	struct supervisor_restart last;
	*cursor = 0;
	(void)find_record(name, cursor, &last);
	return supervision_find(name, service);
}

static int measure_service(const char *name)
{
	static struct crash_series names;
	struct supervisor_service service;
	uint64_t cursor;
	enum error e = crashes_find(name, &service, &cursor);
	if (e == ERR_NOT_FOUND) { // it may be a component of another one's domain
		printf("crash.%s: no service of this system\n", name);
		return 0;
	}
	crashes_begin(&names, name);
	for (unsigned i = 0; i < CRASHES && e == ERR_OK; i++)
		e = crash_once(&service, name, &cursor);
	return crashes_end(name, e);
}

// Writes that nobody syncs, all in flight at once and all answered.
static enum error ring_fill(struct client *client, uint64_t handle)
{
	static struct client_request writes[RING_UNSYNCED];
	static const uint8_t piece[RING_PIECE] = {1};
	enum error e = ERR_OK;
	for (unsigned i = 0; i < RING_UNSYNCED && e == ERR_OK; i++) {
		writes[i] = (struct client_request){
			.op = FS_OP_WRITE, .arg = {handle, i * RING_PIECE}, .out = piece, .out_length = RING_PIECE};
		e = client_submit(client, &writes[i]);
	}
	for (unsigned i = 0; i < RING_UNSYNCED; i++) {
		enum error end = client_wait(client, &writes[i]);
		e = e == ERR_OK ? end : e;
	}
	return e;
}

static int measure_full_ring(void)
{
	static struct crash_series names;
	const struct client_options options = {.slots = RING_SLOTS};
	struct supervisor_service service;
	struct client *client = 0;
	struct file file = {0};
	uint64_t cursor, handle = 0;
	enum error e = crashes_find("fs", &service, &cursor);
	crashes_begin(&names, "fs.full");
	if (e == ERR_OK)
		e = client_open(&client, "fs", &options);
	if (e == ERR_OK)
		e = file_open(&file, RING_PATH, FILE_WRITE | FILE_CREATE);
	if (e == ERR_OK)
		e = path_find_by(client, RING_PATH, &handle);
	for (unsigned i = 0; i < CRASHES && e == ERR_OK; i++) {
		e = file_sync(); // the ring is empty
		if (e == ERR_OK)
			e = ring_fill(client, handle);
		if (e == ERR_OK)
			e = crash_once(&service, "fs", &cursor);
	}
	file_close(&file);
	(void)file_unlink(RING_PATH);
	if (client)
		client_close(client);
	return crashes_end("fs.full", e);
}

int bench_ring(void)
{
	series_head("crash to first served request");
	return measure_full_ring();
}

int bench_recovery(void)
{
	int status = 0;
	series_head("crash to first served request");
	status |= measure_service("blk");
	status |= measure_service("fs");
	status |= measure_full_ring();
	status |= measure_service("console");
	return status;
}
