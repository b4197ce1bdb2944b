// A volume on the host: an image in memory as a disk that can die at any step, and the operations as a client asks for
// them, recorded like the clients' rings do.
#pragma once
#include "servers/fs/ops.h"
#include <setjmp.h>
#include <stdio.h>

#define FIXTURE_PENDING 4096

struct trace_event { // what reached the disk's cache, in order
	enum { TRACE_WRITE, TRACE_FLUSH, TRACE_DURABLE } kind;
	uint64_t offset; // DURABLE: the mark
	uint32_t bytes;
	uint8_t *data;
};

struct trace {
	struct trace_event *events;
	size_t count, room;
};

struct image {
	struct disk disk;
	uint8_t *bytes;
	uint8_t *log;
	void *cache;
	size_t cache_bytes;
	struct {
		uint64_t offset;
		const uint8_t *from;
		uint32_t bytes;
	} pending[FIXTURE_PENDING];
	unsigned pending_count;
	bool fail_writes; // each write_wait answers ERR_DEVICE
	unsigned lose_write, stray_write, lose_flush; // the n-th from now is not made, or goes elsewhere, and says ERR_OK; 0: none
	uint64_t reads;
	struct trace *trace; // 0: none is kept
	bool whole_super; // the superblock's two sectors are never torn apart
};

// One operation that was acknowledged: what the ring keeps of it.
struct recorded {
	struct request request;
	uint8_t *out;
	uint64_t now;
	uint64_t serial;
	uint64_t result[5];
};

struct host {
	struct image image;
	struct volume *volume;
	struct recorded *records;
	size_t record_count, record_room;
	uint64_t serial; // last given out
	uint64_t mark;
	uint64_t now;
	unsigned pieces; // shortenings that one operation needed
	uint8_t *in; // FS_TRANSFER_MAX bytes
	uint64_t result[5];
	// Another way for operations than straight into the core; 0: none. Fills `result`.
	enum error (*route)(struct host *h, const struct request *request, const uint8_t *out);
	void (*committing)(struct host *h); // before each commit; 0: nobody wants to know
};

// Death by step count: every passage of an injection point and every disk call is a step. 0: never.
extern const char *fixture_fail_point; // its next passage gives ERR_INJECTED; 0: none
extern uint64_t fixture_steps, fixture_die_at;
extern jmp_buf fixture_death;
extern bool fixture_may_panic; // what would end the server is a death, not a failure of the test
extern char fixture_last_log[256];
extern unsigned fixture_logs; // how many there were
extern bool fixture_quiet;

// A case of a CMocka group that runs a test with an argument, in *state, under a name of its own.
#define CASE(name, run, ...) {#name, run, 0, 0, (void *)(uintptr_t)(__VA_ARGS__)}

uint32_t fixture_random(void);
void fixture_seed(uint64_t seed);

// Files of the host. Whoever makes one removes it.
#define TEMPORARY_PATH 48
int temporary_file(char path[TEMPORARY_PATH]); // open and empty
void temporary_directory(char path[TEMPORARY_PATH]);
// Runs a command over a file with these bytes, which it knows as $f and which is gone afterwards, $f.log too. `back` (or 0)
// gets what the file held then. True if the status was 0.
bool file_run(const char *command, const uint8_t *bytes, size_t count, uint8_t *back);

// mke2fs with these options (ext2, unless they have a -t) on a file of `kib` KiB, read into memory. `tree` (or 0) goes in by -d.
void host_make(struct host *h, const char *options, unsigned kib, const char *tree, size_t cache_bytes, size_t log_bytes);
enum error host_mount(struct host *h); // fresh boot
void host_free(struct host *h);
// Server death: cache and volume are lost, the log area stays. Recovers, mounts, replays; returns replays that differed.
unsigned host_reincarnate(struct host *h);
enum error host_commit(struct host *h);
void trace_free(struct trace *trace);
bool host_run(const struct host *h, const char *command); // file_run over the image
bool host_change(struct host *h, const char *command); // the same, and the image becomes what the command made of it
// e2fsck -fn on the image; true when it finds nothing.
bool host_clean(const struct host *h);
// e2fsck -fp on a copy frees that many orphans, finds nothing else, and nothing at all the next time.
bool host_orphans(const struct host *h, unsigned orphans);

// One operation. Results in h->result, payload in h->in.
enum error host_call(struct host *h, uint16_t op, uint64_t a0, uint64_t a1, uint64_t a2, const void *out,
		     uint32_t out_length, uint32_t in_length);
uint64_t host_root(struct host *h);
uint64_t host_lookup(struct host *h, uint64_t directory, const char *name); // 0: an error
uint64_t host_path(struct host *h, const char *path);
enum error host_write_all(struct host *h, uint64_t handle, uint64_t offset, const void *data, size_t bytes);
