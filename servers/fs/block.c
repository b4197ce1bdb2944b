// The disk over the block channel: reads into the channel's `in` area, writes from its `out` area, which is the log.
//
// Owns: the division of `in` into places for reads, and the requests in flight. Several reads and writes are in flight
// at once; completions come on the loop and wake whoever waits here. The driver's death is not seen: requests wait in the
// ring for its next incarnation. An error that the device reports is tried again a few times, then given on. An answer that fits no
// request, or an error that none of ours deserves, is the driver's own: it is complained of, and asked again until its next incarnation is there.
// If this server dies: the channel stays, with the log in `out`; the next incarnation's client_open drains it, so that
// nothing of ours is in flight when the log is read.
#include "servers/fs/block.h"
#include "proto/block.h"
#include "runtime/client.h"
#include "runtime/fiber.h"
#include "runtime/runtime.h"
#include <string.h>

#define READS 16u // places of DISK_READ_BYTES: 1 MiB
#define WRITES 16u
#define BLOCK_SLOTS 64u
#define TRIES 4u
#define TRIES_OF_NONSENSE 500u // each NONSENSE_PAUSE_US: more than a busy host needs for a restart
#define NONSENSE_PAUSE_US 2000u
#define LOG_BYTES_MIN 0x40000u

struct block_read {
	struct client_request request; // first
	struct disk_read *read;        // 0: free
	unsigned tries;
	bool again; // behind the pause
};

struct block_write {
	struct client_request request; // first
	bool busy;
	unsigned tries;
	bool again;
};

struct sleeper { // waits for any completion
	struct fiber *fiber;
	struct sleeper *next;
};

static struct client *client;
static struct disk *served;
static struct block_read reads[READS];
static struct block_write writes[WRITES];
static unsigned writes_busy;
static enum error write_error;
static struct sleeper *sleepers;
static struct timer again_timer;

// Out of line: the compiler cannot know that the sleeper leaves the list before its stack frame goes.
static __attribute__((noinline)) void sleepers_add(struct sleeper *sleeper)
{
	sleeper->next = sleepers;
	sleepers = sleeper;
}

static void sleep_until_completion(void)
{
	struct sleeper self = {.fiber = fiber_self()};
	sleepers_add(&self);
	while (self.fiber)
		fiber_park();
}

static void wake_sleepers(void)
{
	struct sleeper *s = sleepers;
	sleepers = 0;
	while (s) {
		struct sleeper *next = s->next; // the woken one's stack may go on at once
		struct fiber *fiber = s->fiber;
		s->fiber = 0;
		fiber_wake(fiber);
		s = next;
	}
}

// ERR_PROTOCOL: something else was done than was asked for.
static enum error outcome(const struct client_request *request, uint64_t bytes, uint64_t offset, uint64_t place)
{
	const uint64_t *result = request->completion.result;
	if (request->completion.status != ERR_OK)
		return (enum error)request->completion.status;
	return result[0] == bytes && result[1] * SECTOR_SIZE == offset && result[2] == place ? ERR_OK : ERR_PROTOCOL;
}

static bool is_nonsense(enum error error)
{
	bool sane = error == ERR_OK || error == ERR_DEVICE || error == ERR_PEER_LOST;
	return !sane && (error != ERR_READ_ONLY || !served->read_only);
}

// Whether there is one more try; `*later`: not before the pause.
static bool tried_again(enum error error, unsigned *tries, bool *later)
{
	*later = is_nonsense(error);
	if (*later) {
		client_complain(client);
		if (!again_timer.armed)
			timer_arm(&again_timer, time_now() + time_ticks_from_us(NONSENSE_PAUSE_US));
	}
	return error != ERR_OK && error != ERR_PEER_LOST && ++*tries < (*later ? TRIES_OF_NONSENSE : TRIES);
}

// The same where a fiber waits.
static bool called_again(enum error error, unsigned *tries)
{
	bool later, again = tried_again(error, tries, &later);
	if (again && later)
		fiber_sleep_us(NONSENSE_PAUSE_US);
	return again;
}

// ---- reading ----

static void read_end(struct block_read *r, enum error error)
{
	const struct client_request *request = &r->request;
	r->again = false;
	struct disk_read *read = r->read;
	r->read = 0;
	read->done(read, error, error == ERR_OK ? (const uint8_t *)client_in(client) + request->in_offset : 0);
	wake_sleepers();
}

static void read_completed(struct client_request *request)
{
	struct block_read *r = (struct block_read *)request;
	enum error error = outcome(request, r->read->bytes, r->read->offset, (uint64_t)(r - reads) * DISK_READ_BYTES);
	if (!tried_again(error, &r->tries, &r->again) || (!r->again && client_submit(client, request) != ERR_OK))
		read_end(r, error);
}

static struct block_read *read_place(void)
{
	for (unsigned i = 0; i < READS; i++) {
		if (!reads[i].read)
			return &reads[i];
	}
	return 0;
}

static enum error block_read_start(struct disk *disk, struct disk_read *read, bool must)
{
	struct block_read *r;
	(void)disk;
	while (!(r = read_place())) {
		if (!must)
			return ERR_AGAIN;
		sleep_until_completion();
	}
	r->read = read;
	r->tries = 0;
	r->again = false;
	r->request = (struct client_request){
		.op = BLOCK_OP_READ,
		.arg = {read->offset / SECTOR_SIZE},
		.in_offset = (uint32_t)(r - reads) * DISK_READ_BYTES,
		.in_length = read->bytes,
		.completed = read_completed,
	};
	enum error error = client_submit(client, &r->request);
	if (error != ERR_OK)
		r->read = 0;
	return error;
}

static void block_wait(struct disk *disk)
{
	(void)disk;
	sleep_until_completion();
}

// ---- writing ----

static void write_end(struct block_write *w, enum error error)
{
	const uint64_t *result = w->request.completion.result;
	w->again = false;
	if (error == ERR_OK)
		served->written += disk_write_sum(result[1] * SECTOR_SIZE, result[2], result[0]);
	else if (write_error == ERR_OK)
		write_error = error;
	w->busy = false;
	writes_busy--;
	wake_sleepers();
}

static void write_completed(struct client_request *request)
{
	struct block_write *w = (struct block_write *)request;
	enum error error = outcome(request, request->out_length, request->arg[0] * SECTOR_SIZE, request->out_offset);
	if (!tried_again(error, &w->tries, &w->again) || (!w->again && client_submit(client, request) != ERR_OK))
		write_end(w, error);
}

static struct block_write *write_place(void)
{
	for (;;) {
		for (unsigned i = 0; i < WRITES; i++) {
			if (!writes[i].busy)
				return &writes[i];
		}
		sleep_until_completion();
	}
}

static enum error block_write(struct disk *disk, uint64_t offset, const uint8_t *from, uint32_t bytes)
{
	struct block_write *w = write_place();
	w->tries = 0;
	w->again = false;
	w->busy = true;
	writes_busy++;
	w->request = (struct client_request){
		.op = BLOCK_OP_WRITE,
		.arg = {offset / SECTOR_SIZE},
		.out_offset = (uint32_t)(from - disk->log),
		.out_length = bytes,
		.completed = write_completed,
	};
	enum error error = client_submit(client, &w->request);
	if (error != ERR_OK) {
		w->busy = false;
		writes_busy--;
	}
	return error;
}

static enum error block_write_wait(struct disk *disk)
{
	(void)disk;
	while (writes_busy)
		sleep_until_completion();
	enum error error = write_error;
	write_error = ERR_OK;
	return error;
}

static enum error block_flush(struct disk *disk)
{
	enum error error;
	unsigned tries = 0;
	do {
		struct client_request request = {.op = BLOCK_OP_FLUSH};
		error = client_call(client, &request);
	} while (called_again(error, &tries));
	disk->flushed += error == ERR_OK;
	return error;
}

static void block_breathe(struct disk *disk)
{
	(void)disk;
	fiber_yield();
}

// ---- after nonsense ----

static void pause_over(struct timer *timer)
{
	(void)timer;
	for (struct block_read *r = reads; r < reads + READS; r++) {
		bool again = r->again;
		r->again = false;
		if (again && client_submit(client, &r->request) != ERR_OK)
			read_end(r, ERR_PROTOCOL);
	}
	for (struct block_write *w = writes; w < writes + WRITES; w++) {
		bool again = w->again;
		w->again = false;
		if (again && client_submit(client, &w->request) != ERR_OK)
			write_end(w, ERR_PROTOCOL);
	}
}

// ---- opening ----

static enum error open_channel(const char *service, uint64_t log_bytes)
{
	struct client_options options = {.slots = BLOCK_SLOTS, .in_bytes = READS * DISK_READ_BYTES, .raw = true};
	enum error error = ERR_NO_MEMORY;
	for (; log_bytes >= LOG_BYTES_MIN; log_bytes /= 2) {
		options.out_bytes = log_bytes;
		error = client_open(&client, service, &options);
		if (error != ERR_NO_MEMORY && error != ERR_QUOTA)
			return error;
	}
	return error;
}

static enum error ask_capacity(struct disk *disk)
{
	enum error error;
	unsigned tries = 0;
	do {
		struct client_request request = {.op = BLOCK_OP_INFO};
		error = client_call(client, &request);
		disk->bytes = request.completion.result[0] * SECTOR_SIZE;
		disk->read_only = request.completion.result[1] & BLOCK_FLAG_READ_ONLY;
	} while (called_again(error, &tries));
	return error;
}

void block_disk_disbelieve(void)
{
	for (unsigned i = 0; client && i < CLIENT_CLAIMS; i++)
		client_complain(client);
}

enum error block_disk_open(struct disk *disk, const char *service, uint64_t log_bytes, bool *resumed)
{
	enum error error = open_channel(service, log_bytes);
	if (error != ERR_OK)
		return error;
	*resumed = client_resumed(client);
	served = disk;
	again_timer.expired = pause_over;
	*disk = (struct disk){
		.log = client_out(client),
		.log_bytes = client_out_room(client),
		.read_start = block_read_start,
		.wait = block_wait,
		.write = block_write,
		.write_wait = block_write_wait,
		.flush = block_flush,
		.breathe = block_breathe,
	};
	if (client_in_room(client) < READS * DISK_READ_BYTES)
		return ERR_PROTOCOL;
	return ask_capacity(disk);
}
