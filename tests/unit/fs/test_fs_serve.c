// The whole server above a driver and below clients that are not there: several fibers at once, reads and writes that
// complete in any order, commits by timer, by sync and by shortage, death at any moment, replay in serial order.
//
// serve.c, share.c, block.c and poison.c are compiled into this file, so that an incarnation can be ended: their statics are set to zero.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "model.h"
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "servers/fs/block.c"
#include "servers/fs/poison.c"
#include "servers/fs/serve.c"
#include "servers/fs/share.c"

#define FIBERS 5
#define STACK 131072
#define PENDING 64
#define EXT2 "-b 1024 -N 3000"
#define EXT3 "-b 1024 -I 256 -N 3000 -O has_journal -J size=1"
#define EXT4 "-t ext4 -O ^has_journal -b 1024 -N 3000"

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0:detect_stack_use_after_return=0";
}

// ---- fibers over ucontext; whoever may run next is chosen at random ----

struct fiber {
	ucontext_t context;
	uint8_t *stack;
	void (*entry)(void *);
	void *argument;
	enum { FREE, READY, PARKED, ENDED } state;
	bool woken;
};

static struct fiber fibers[FIBERS + 4];
static struct fiber *running;
static ucontext_t scheduler;
static uint64_t ticks;
static struct timer *timers[2]; // for the next commit, and for what is asked of the driver again

static void fiber_body(void)
{
	running->entry(running->argument);
	running->state = ENDED;
	swapcontext(&running->context, &scheduler);
}

static __attribute__((noinline)) void context_make(struct fiber *volatile f)
{
	getcontext(&f->context);
	f->context.uc_stack.ss_sp = f->stack;
	f->context.uc_stack.ss_size = STACK;
	makecontext(&f->context, fiber_body, 0);
}

struct fiber *fiber_create(void (*entry)(void *), void *argument, const char *name)
{
	struct fiber *f = fibers;
	(void)name;
	while (f->state != FREE)
		f++;
	f->entry = entry;
	f->argument = argument;
	f->state = READY;
	f->woken = false;
	if (!f->stack)
		f->stack = malloc(STACK);
	context_make(f);
	return f;
}

struct fiber *fiber_self(void)
{
	return running;
}

static void give_up(int state)
{
	running->state = state;
	swapcontext(&running->context, &scheduler);
}

void fiber_yield(void)
{
	give_up(READY);
}

void fiber_park(void)
{
	if (running->woken)
		running->woken = false;
	else
		give_up(PARKED);
}

void fiber_wake(struct fiber *f)
{
	if (f->state == PARKED)
		f->state = READY;
	else
		f->woken = true;
}

void fiber_sleep_us(uint64_t us)
{
	for (uint64_t end = ticks + us; ticks < end;)
		fiber_yield();
}

void fiber_mutex_lock(struct fiber_mutex *mutex)
{
	while (mutex->owner)
		fiber_yield();
	mutex->owner = running;
}

void fiber_mutex_unlock(struct fiber_mutex *mutex)
{
	mutex->owner = 0;
}

void timer_arm(struct timer *timer, uint64_t deadline)
{
	timer->deadline = deadline;
	timer->armed = true;
	unsigned i = 0;
	while (timers[i] && timers[i] != timer)
		assert_true(++i < 2);
	timers[i] = timer;
}

void timer_cancel(struct timer *timer)
{
	timer->armed = false;
}

uint64_t time_now(void)
{
	return ticks;
}

uint64_t time_ticks_from_us(uint64_t us)
{
	return us / 20; // so that the second is over soon
}

uint64_t time_us_from_ticks(uint64_t t)
{
	return t * 100;
}

// ---- the driver ----

struct client {
	struct image *image;
	uint8_t in[READS * DISK_READ_BYTES];
	struct client_request *pending[PENDING];
	unsigned count;
	bool resumed;
};

static struct client driver;
static unsigned driver_turns = 3; // turns of the loop for one completion, on average
static unsigned driver_errors; // one in so many requests fails; 0: none
static bool driver_mad; // whatever it is asked, it says nonsense, until its next incarnation
static unsigned driver_claims;

void client_complain(struct client *c)
{
	(void)c;
	driver_claims++;
}

enum error client_open(struct client **c, const char *service, const struct client_options *options)
{
	(void)service;
	(void)options;
	*c = &driver;
	return ERR_OK;
}

bool client_resumed(const struct client *c)
{
	return c->resumed;
}

void *client_out(struct client *c)
{
	return c->image->log;
}

const void *client_in(const struct client *c)
{
	return c->in;
}

uint32_t client_out_room(const struct client *c)
{
	return (uint32_t)c->image->disk.log_bytes;
}

uint32_t client_in_room(const struct client *c)
{
	return sizeof(c->in);
}

static bool overlap(const struct client_request *x, const struct client_request *y)
{
	uint64_t a = x->arg[0], an = (x->in_length + x->out_length) / SECTOR_SIZE;
	uint64_t b = y->arg[0], bn = (y->in_length + y->out_length) / SECTOR_SIZE;
	return a < b + bn && b < a + an;
}

// Rule 13: no two writes overlap in flight, and the cache never asks for a block that is being written. A flush comes
// after the writes that it covers.
enum error client_submit(struct client *c, struct client_request *request)
{
	assert_true(c->count < PENDING);
	request->done = false;
	for (unsigned i = 0; i < c->count; i++) {
		const struct client_request *o = c->pending[i];
		bool writes_one = request->op == BLOCK_OP_WRITE || o->op == BLOCK_OP_WRITE;
		if (writes_one)
			assert_false(overlap(request, o));
		assert_false(request->op == BLOCK_OP_FLUSH && o->op == BLOCK_OP_WRITE);
	}
	c->pending[c->count++] = request;
	return ERR_OK;
}

static uint64_t bad_from, bad_to; // bytes of the disk that cannot be written

// What reached the disk's cache, was flushed, and was acknowledged to a client, in order; for power cuts.
struct happening {
	enum { WRITTEN, FLUSHED, SYNCED } kind;
	uint64_t offset; // SYNCED: client
	uint32_t bytes;  // SYNCED: of its file
	unsigned name;   // SYNCED: number in the name of its file
	uint8_t *data;
};

static struct happening *happenings;
static size_t happening_count, happening_room;
static bool happenings_kept;
static unsigned flushes_lost; // of so many flushes one does nothing; 0: none

static void happens(struct happening h)
{
	if (!happenings_kept)
		return;
	if (happening_count == happening_room) {
		happening_room = happening_room * 2 + 1024;
		happenings = realloc(happenings, happening_room * sizeof(*happenings));
	}
	happenings[happening_count++] = h;
}

static void happens_to_disk(const struct client *c, const struct client_request *r, uint64_t at)
{
	if (r->op == BLOCK_OP_WRITE && happenings_kept) {
		struct happening h = {WRITTEN, at, r->out_length, 0, malloc(r->out_length)};
		memcpy(h.data, c->image->log + r->out_offset, r->out_length);
		happens(h);
	}
	if (r->op == BLOCK_OP_FLUSH && !(flushes_lost && fixture_random() % flushes_lost == 0))
		happens((struct happening){.kind = FLUSHED});
}

static void driver_perform(struct client *c, struct client_request *r)
{
	uint64_t at = r->arg[0] * SECTOR_SIZE;
	uint64_t bytes = r->op == BLOCK_OP_READ ? r->in_length : r->out_length;
	uint32_t offset = r->op == BLOCK_OP_READ ? r->in_offset : r->out_offset;
	r->completion = (struct completion){.status = ERR_OK, .result = {bytes, r->arg[0], offset}};
	if (driver_mad) {
		r->completion = (struct completion){.status = bytes && fixture_random() & 1 ? ERR_OK : fixture_random() & 1 ? ERR_TOO_BIG : ERR_READ_ONLY, .result = {bytes + 1}};
		driver_mad = driver_claims < 20; // the supervisor takes its time
		return;
	}
	bool bad = r->op == BLOCK_OP_WRITE && at < bad_to && at + bytes > bad_from;
	if (bad || (driver_errors && fixture_random() % driver_errors == 0)) {
		bool elsewhere = !bad && (r->op == BLOCK_OP_READ || r->op == BLOCK_OP_WRITE) && fixture_random() & 1; // what it was asked for, it says, is not this
		r->completion.status = elsewhere ? ERR_OK : ERR_DEVICE;
		r->completion.result[1 + (bytes >> 12 & 1)] += elsewhere ? 8 : 0;
		return;
	}
	happens_to_disk(c, r, at);
	if (r->op == BLOCK_OP_INFO)
		r->completion.result[0] = c->image->disk.bytes / SECTOR_SIZE;
	else if (r->op == BLOCK_OP_READ)
		memcpy(c->in + r->in_offset, c->image->bytes + at, bytes);
	else if (r->op == BLOCK_OP_WRITE)
		memcpy(c->image->bytes + at, c->image->log + r->out_offset, bytes);
}

// Any of those in flight completes.
static void driver_complete_one(struct client *c)
{
	unsigned i = fixture_random() % c->count;
	struct client_request *r = c->pending[i];
	c->pending[i] = c->pending[--c->count];
	driver_perform(c, r);
	r->done = true;
	if (r->completed)
		r->completed(r);
	else
		fiber_wake(r->waiter);
}

enum error client_call(struct client *c, struct client_request *request)
{
	request->waiter = running;
	client_submit(c, request);
	while (!request->done)
		fiber_park();
	return (enum error)request->completion.status;
}

// ---- the runtime's server side ----

struct ring_entry { // what stands in a client's ring
	struct server_request request;
	uint8_t *out;
	uint64_t serial;
	uint64_t result[5];
	enum error status;
	bool done;
};

static struct ring_entry *ring;
static size_t ring_count, ring_room;
static uint64_t ring_serial, ring_committed, acknowledged;
static unsigned replays_different, replays;
static struct host volume_host;

// Rule 6, counted by other means than share.c's: who changed each inode last, and by which serial.
#define SHADOW_INODES 4096u
static struct shadow {
	const struct server_channel *client;
	uint64_t serial;
} shadow[SHADOW_INODES];

static void shadow_note(const struct server_request *request, uint64_t serial, bool replayed)
{
	const struct volume *v = volume_host.volume;
	assert_true(v->changed_count <= VOLUME_CHANGED_MAX);
	for (unsigned i = 0; i < v->changed_count; i++) {
		struct shadow *s = &shadow[v->changed[i] % SHADOW_INODES];
		assert_true(replayed || s->serial <= ring_committed || s->client == request->channel);
		*s = (struct shadow){request->channel, serial};
	}
}

uint64_t server_record(struct server_request *request, const uint64_t result[5])
{
	struct ring_entry *e = (struct ring_entry *)request;
	shadow_note(request, request->replayed ? e->serial : ring_serial + 1, request->replayed);
	if (request->replayed) {
		replays++;
		replays_different += memcmp(result, e->result, sizeof(e->result)) != 0;
		return e->serial;
	}
	memcpy(e->result, result, sizeof(e->result));
	return e->serial = ++ring_serial;
}

void server_complete(struct server_request *request, enum error status, const uint64_t result[5])
{
	struct ring_entry *e = (struct ring_entry *)request;
	e->status = status;
	e->done = true;
	if (request->replayed)
		replays_different += status != ERR_OK;
	else if (result)
		memcpy(e->result, result, sizeof(e->result));
}

void server_committed(uint64_t serial)
{
	assert_true(serial <= ring_serial);
	size_t kept = 0;
	ring_committed = serial;
	for (size_t i = 0; i < ring_count; i++) {
		if (ring[i].serial > serial)
			ring[kept++] = ring[i];
		else
			free(ring[i].out);
	}
	ring_count = kept;
}

uint64_t server_serial_last(void)
{
	return ring_serial;
}

static uint8_t lent[16]; // what a client lends with each request
static uint64_t lent_bytes;
static enum error lent_error = ERR_NOT_FOUND;

enum error server_lent(struct server_request *request, unsigned prot, void **at, uint64_t *bytes)
{
	assert_int_equal(request->copy.op, FS_OP_READ); // nobody else asks
	assert_int_equal(prot, PROT_READ | PROT_WRITE);
	*at = lent;
	*bytes = lent_bytes;
	return lent_error;
}

static struct fs_session sessions[FIBERS]; // of the clients; they outlive the server
static bool session_gone[FIBERS];

bool server_session_any(bool (*has)(const struct server_channel *channel, const void *session, uint64_t word), uint64_t word)
{
	for (unsigned i = 0; i < FIBERS; i++)
		if (!session_gone[i] && has((struct server_channel *)(uintptr_t)i, &sessions[i], word))
			return true;
	return false;
}

uint64_t server_channel_key(const struct server_channel *channel)
{
	return ((uint64_t)(uintptr_t)channel + 1) * 0x123456789abcdefull;
}

uint64_t server_channel_peer(const struct server_channel *channel)
{
	return (uint64_t)(uintptr_t)channel + 1;
}

static uint64_t key_of(unsigned who)
{
	return server_channel_key((struct server_channel *)(uintptr_t)who);
}

unsigned server_channel_slot(const struct server_channel *channel)
{
	return (unsigned)(uintptr_t)channel;
}

static unsigned released;

void server_release(struct server_channel *channel)
{
	(void)channel;
	released++;
}

// ---- clients ----

struct worker {
	struct host host;
	struct model model;
	unsigned steps;
	bool equal; // at the end, instead of steps: compare
	bool ok;
};

static struct host volume_host;
static struct worker workers[FIBERS];

static bool sealed_words; // the arguments of the next calls are what a client has; else handles, which are sealed here

static void seal_arguments(uint64_t key, struct request *r)
{
	bool names_none = r->op == FS_OP_ROOT || r->op == FS_OP_STATFS || r->op == FS_OP_SYNC;
	if (sealed_words || names_none)
		return;
	r->arg[0] = handle_seal(key, r->arg[0]);
	if (r->op == FS_OP_RENAME || r->op == FS_OP_LINK)
		r->arg[1] = handle_seal(key, r->arg[1]);
}

static enum error routed(struct host *h, const struct request *request, const uint8_t *out)
{
	struct ring_entry e = {.request = {.copy = *request, .out = out, .in = h->in}};
	unsigned who = (unsigned)((struct worker *)h - workers); // host is its first member
	e.request.channel = (struct server_channel *)(uintptr_t)who;
	e.request.copy.time = ticks;
	seal_arguments(key_of(who), &e.request.copy);
	serve_request(&e.request);
	assert_true(e.done);
	memcpy(h->result, e.result, sizeof(h->result));
	if (e.status == ERR_OK)
		handle_unseal_results(key_of(who), request->op, h->result);
	if (e.status == ERR_OK && e.serial) {
		if (e.serial > acknowledged)
			acknowledged = e.serial;
		if (ring_count == ring_room) {
			ring_room = ring_room * 2 + 256;
			ring = realloc(ring, ring_room * sizeof(*ring));
		}
		e.out = malloc(request->out_length + 1);
		memcpy(e.out, out ? out : (const uint8_t *)"", out ? request->out_length : 0);
		e.request.out = e.out;
		if (e.serial > ring_committed)
			ring[ring_count++] = e;
		else
			free(e.out);
	}
	return e.status;
}

static void worker_main(void *argument)
{
	struct worker *w = argument;
	w->ok = true;
	if (w->equal) {
		w->ok = model_equal(&w->model, &w->host);
		return;
	}
	for (; w->steps && w->ok; w->steps--) {
		w->ok = model_step(&w->model, &w->host);
		if (fixture_random() % 40 == 0) {
			uint64_t before = acknowledged; // a serial that died with its operation never comes
			assert_int_equal(host_call(&w->host, FS_OP_SYNC, 0, 0, 0, 0, 0, 0), ERR_OK);
			assert_true(ring_committed >= before);
		}
		if (fixture_random() % 16 == 0)
			fiber_yield();
	}
}

static bool anybody(void)
{
	for (struct fiber *f = fibers; f < fibers + FIBERS + 4; f++) {
		if ((f->state == READY || f->state == PARKED) && f != committer)
			return true;
	}
	return false;
}

// Runs until all but the committer have ended.
static void schedule(void)
{
	for (unsigned idle = 0; anybody(); idle++) {
		struct fiber *f = &fibers[fixture_random() % (FIBERS + 4)];
		ticks++;
		for (unsigned i = 0; i < 2; i++) {
			if (timers[i] && timers[i]->armed && ticks >= timers[i]->deadline) {
				timers[i]->armed = false;
				timers[i]->expired(timers[i]);
			}
		}
		if (driver.count && fixture_random() % driver_turns == 0)
			driver_complete_one(&driver);
		assert_true(idle < 1000000); // else nobody is ever woken
		if (f->state != READY)
			continue;
		idle = 0;
		running = f;
		swapcontext(&scheduler, &f->context);
		if (f->state == ENDED)
			f->state = FREE;
	}
}

static enum error start_error;
static struct disk served_disk;

static void *no_more(size_t bytes)
{
	(void)bytes;
	return 0;
}

static int ring_order(const void *a, const void *b)
{
	const struct ring_entry *x = a, *y = b;
	return x->serial < y->serial ? -1 : x->serial > y->serial;
}

static uint64_t serial_to_lose; // its client has changed it: the runtime leaves it out

static void replay_all(void)
{
	if (ring_count)
		qsort(ring, ring_count, sizeof(*ring), ring_order);
	for (uint64_t last = serial_performed;;) {
		struct ring_entry *next = 0;
		for (size_t i = 0; i < ring_count && !next; i++)
			next = ring[i].serial > last ? &ring[i] : 0;
		if (!next)
			return;
		struct ring_entry e = *next; // a commit moves the others
		last = e.serial;
		e.request.replayed = true;
		e.request.in = volume_host.in;
		memcpy(e.request.former.result, e.result, sizeof(e.result));
		if (e.serial == serial_to_lose)
			serve_lost(&e.request);
		else
			serve_request(&e.request);
	}
}

static void start_main(void *argument)
{
	bool resumed;
	uint64_t mark = 0;
	struct cache_memory memory = {volume_host.image.cache, volume_host.image.cache_bytes,
				      volume_host.image.cache_bytes, no_more};
	(void)argument;
	start_error = block_disk_open(&served_disk, "block0", 1 << 20, &resumed);
	if (start_error == ERR_OK)
		start_error = volume_mount(volume_host.volume, &served_disk, &memory, resumed, &mark);
	if (start_error == ERR_OK)
		start_error = serve_start(volume_host.volume, 1800000000, &mark, 1000);
	if (start_error == ERR_OK && mark > ring_committed)
		server_committed(mark); // the former incarnation died before it could say so
	if (start_error == ERR_OK)
		replay_all();
	if (start_error == ERR_OK)
		serve_replayed();
}

// The end of an incarnation: all that was in its memory is gone; what it had in flight is done before the next one looks.
static void forget_incarnation(void)
{
	while (driver.count) {
		struct client_request *r = driver.pending[--driver.count];
		unsigned no_errors = driver_errors;
		driver_errors = 0;
		driver_perform(&driver, r);
		driver_errors = no_errors;
	}
	for (struct fiber *f = fibers; f < fibers + FIBERS + 4; f++)
		f->state = FREE;
	memset(reads, 0, sizeof(reads));
	memset(writes, 0, sizeof(writes));
	writes_busy = 0;
	write_error = ERR_OK;
	sleepers = 0;
	volume_lock = (struct lock){0};
	commit_mutex = (struct fiber_mutex){0};
	committer = 0;
	commit_due = commit_failed = orphans_freed = false;
	commit_timer.armed = false;
	again_timer.armed = false;
	closing_count = 0;
	replays_done = false;
	memset(content_serial, 0, sizeof(content_serial));
	memset(own, 0xa5, sizeof(own)); // of poison.c
	losses = own;
	memset(&shares, 0, sizeof(shares));
	memset(volume_host.image.cache, 0xa5, volume_host.image.cache_bytes);
	memset(volume_host.volume, 0xa5, sizeof(*volume_host.volume));
}

static bool incarnate(void)
{
	forget_incarnation();
	if (setjmp(fixture_death))
		return false;
	fiber_create(start_main, 0, "start");
	schedule();
	assert_int_equal(start_error, ERR_OK);
	driver.resumed = true;
	return true;
}

static bool run_workers(unsigned steps, bool equal)
{
	for (unsigned i = 0; i < FIBERS; i++) {
		workers[i].steps = steps;
		workers[i].equal = equal;
		fiber_create(worker_main, &workers[i], "worker");
	}
	if (setjmp(fixture_death))
		return false;
	schedule();
	for (unsigned i = 0; i < FIBERS; i++)
		assert_true(workers[i].ok);
	return true;
}

static void setup_main(void *argument)
{
	(void)argument;
	for (unsigned i = 0; i < FIBERS; i++) {
		char name[2] = {(char)('a' + i), 0};
		struct worker *w = &workers[i];
		w->host = (struct host){.route = routed, .in = malloc(FS_TRANSFER_MAX), .volume = volume_host.volume};
		assert_int_equal(host_call(&w->host, FS_OP_MKDIR, FS_HANDLE(EXT2_ROOT_INODE, 0), 0755, 0, name, 1, 0), ERR_OK);
		model_make_below(&w->model, &w->host, w->host.result[0]);
		w->model.file_max = 60000;
	}
}

static void sync_main(void *argument)
{
	(void)argument;
	assert_int_equal(host_call(&workers[0].host, FS_OP_SYNC, 0, 0, 0, 0, 0, 0), ERR_OK);
}

static void one(void (*entry)(void *))
{
	fiber_create(entry, 0, "one");
	assert_false(setjmp(fixture_death));
	schedule();
}

static void begin(const char *options, size_t cache, size_t log)
{
	fixture_die_at = 0;
	host_make(&volume_host, options, 16000, 0, cache, log);
	driver.image = &volume_host.image;
	driver.resumed = false;
	ring_count = 0;
	ring_serial = ring_committed = acknowledged = serial_to_lose = 0;
	memset(shadow, 0, sizeof(shadow));
	memset(sessions, 0, sizeof(sessions));
	memset(session_gone, 0, sizeof(session_gone));
	assert_true(incarnate());
	one(setup_main);
}

// With room for all that a test does.
static void begin_roomy(uint64_t seed, const char *options)
{
	fixture_seed(seed);
	begin(options, 1 << 20, 512 << 10);
}

static void forget_volume(void)
{
	for (unsigned i = 0; i < FIBERS; i++) {
		model_free(&workers[i].model);
		free(workers[i].host.in);
	}
	host_free(&volume_host);
}

static void end(void)
{
	fixture_die_at = 0;
	assert_true(run_workers(0, true));
	one(sync_main);
	assert_true(host_clean(&volume_host));
	assert_int_equal(volume_host.volume->corruptions, 0);
	assert_int_equal(replays_different, 0);
	forget_volume();
}

static void many_at_once(void **state)
{
	(void)state;
	fixture_seed(31);
	driver_turns = 100;
	begin("-b 1024 -I 128 -N 3000", 400 << 10, 152 << 10); // a cache that is too small for comfort
	assert_true(run_workers(getenv("FULL") ? 10000 : 1500, false));
	end();
	driver_turns = 3;
}

static void many_at_once_4k(void **state)
{
	(void)state;
	fixture_seed(32);
	begin("-b 4096 -I 256 -N 3000", 2 << 20, 1 << 20);
	assert_true(run_workers(getenv("FULL") ? 10000 : 1500, false));
	end();
}

static void many_at_once_journal(void **state)
{
	(void)state;
	fixture_seed(37);
	begin("-b 1024 -I 256 -N 3000 -O has_journal -J size=1", 600 << 10, 300 << 10);
	assert_true(run_workers(getenv("FULL") ? 10000 : 800, false));
	end();
}

static void driver_with_errors(void **state)
{
	(void)state;
	begin_roomy(33, EXT2);
	driver_errors = 20;
	assert_true(run_workers(500, false));
	driver_errors = 0;
	end();
}

static void deaths(void **state)
{
	unsigned died = 0, rounds = getenv("FULL") ? 2000 : 100;
	fixture_seed(34);
	begin(*state, 600 << 10, 256 << 10);
	for (unsigned i = 0; i < rounds; i++) {
		fixture_die_at = fixture_steps + 1 + fixture_random() % 1500;
		if (run_workers(200, false))
			continue;
		do {
			died++;
			fixture_die_at = fixture_random() % 3 ? fixture_steps + 1 + fixture_random() % 200 : 0;
		} while (!incarnate());
	}
	print_message("%u deaths, %u replays\n", died, replays);
	end();
}

static void make_main(void *argument)
{
	(void)argument;
	struct worker *w = &workers[0];
	assert_int_equal(host_call(&w->host, FS_OP_CREATE, FS_HANDLE(EXT2_ROOT_INODE, 0), 0644, 0, "new", 3, 0), ERR_OK);
}

// There is one operation that no commit has taken yet.
static void begin_uncommitted(uint64_t seed)
{
	begin_roomy(seed, EXT2);
	one(make_main);
	assert_true(ring_serial > ring_committed);
}

static void nothing_main(void *argument)
{
	for (unsigned i = 0; i < (unsigned)(uintptr_t)argument; i++)
		fiber_yield();
}

static void wait_turns(unsigned turns)
{
	fiber_create(nothing_main, (void *)(uintptr_t)turns, "nothing");
	schedule();
}

// A commit that fails for once is tried again: clients whose rings are full ask but once, and who has gone is kept until
// what it did is committed.
static void failed_commit_is_tried_again(void **state)
{
	(void)state;
	begin_uncommitted(35);
	released = 0;
	fixture_fail_point = "fs.commit.copy";
	serve_closed((struct server_channel *)1);
	wait_turns(50);
	assert_null(fixture_fail_point);
	assert_int_equal(released, 0);
	wait_turns(20000);
	assert_int_equal(ring_serial, ring_committed);
	assert_int_equal(released, 1);
	end();
}

// What was replayed is committed at once: the wish of the former incarnation's clients is not known.
static void replay_is_committed(void **state)
{
	(void)state;
	begin_uncommitted(36);
	assert_true(incarnate());
	wait_turns(1000);
	assert_int_equal(ring_serial, ring_committed);
	end();
}

static void lookup_fails_main(void *argument)
{
	(void)argument;
	volume->doubts = false; // it was found before
	assert_int_equal(host_call(&workers[0].host, FS_OP_LOOKUP, FS_HANDLE(EXT2_ROOT_INODE, 0), 0, 0, "new", 3, 0), ERR_CORRUPT);
}

// Who only read found damage: the superblock is told all the same.
static void damage_is_committed(void **state)
{
	(void)state;
	fixture_seed(51);
	begin("-b 1024 -N 3000", 1 << 20, 512 << 10);
	one(make_main);
	one(sync_main);
	uint64_t at = volume->places[0].inode_table * 1024ull + 11 * volume->inode_size;
	while (volume_host.image.bytes[at] != (0100644 & 0xff) || volume_host.image.bytes[at + 1] != 0100644 >> 8)
		at += volume->inode_size; // the first file
	uint8_t *type = volume_host.image.bytes + at + 1;
	*type = 0xf1;
	assert_true(incarnate());
	fixture_quiet = true;
	one(lookup_fails_main);
	fixture_quiet = false;
	wait_turns(60000);
	assert_int_equal(((struct ext2_super *)(void *)(volume_host.image.bytes + EXT2_SUPER_OFFSET))->error_count, 1);
	forget_volume();
}

// ---- a client that forged its log: it loses its own ----

static enum error call(unsigned who, uint16_t op, uint64_t a0, uint64_t a1, const char *out)
{
	return host_call(&workers[who].host, op, a0, a1, 0, out, out ? (uint32_t)strlen(out) : 0,
			 op == FS_OP_READ || op == FS_OP_STAT || op == FS_OP_STATFS ? 8192 : 0);
}

#define ROOT FS_HANDLE(EXT2_ROOT_INODE, 0)
static uint64_t mine, others, folders[2];

static uint64_t made(unsigned who, uint16_t op, uint64_t directory, const char *name)
{
	assert_int_equal(call(who, op, directory, 0755, name), ERR_OK);
	return workers[who].host.result[0];
}

static void make_folders(void)
{
	folders[0] = made(0, FS_OP_MKDIR, ROOT, "f0");
	folders[1] = made(1, FS_OP_MKDIR, ROOT, "f1");
	assert_int_equal(call(0, FS_OP_SYNC, 0, 0, 0), ERR_OK);
}

static void lose_main(void *argument)
{
	(void)argument;
	make_folders();
	uint64_t before = ring_committed;
	mine = made(0, FS_OP_CREATE, folders[0], "mine");
	serial_to_lose = ring_serial;
	others = made(1, FS_OP_CREATE, folders[1], "others");
	assert_int_equal(call(1, FS_OP_WRITE, others, FS_APPEND, "first"), ERR_OK);
	assert_int_equal(call(1, FS_OP_WRITE, others, FS_APPEND, "second"), ERR_OK);
	assert_int_equal(ring_committed, before);
}

static void after_lost_creation(void *argument)
{
	(void)argument;
	assert_int_equal(call(1, FS_OP_READ, others, 0, 0), ERR_OK); // the same handle, though a creation before it is missing
	assert_memory_equal(workers[1].host.in, "firstsecond", 11);
	for (unsigned who = 0; who < 3; who++) {
		assert_int_equal(call(who, FS_OP_LOOKUP, folders[0], 0, "mine"), ERR_LOST); // each user of the directory, once
		assert_int_equal(call(who, FS_OP_LOOKUP, folders[0], 0, "mine"), ERR_NOT_FOUND);
		assert_int_equal(call(who, FS_OP_LOOKUP, folders[1], 0, "others"), ERR_OK);
	}
	assert_int_equal(call(0, FS_OP_STAT, mine, 0, 0), ERR_LOST);
	assert_int_equal(call(0, FS_OP_STAT, mine, 0, 0), ERR_STALE);
	assert_int_equal(call(3, FS_OP_LOOKUP, folders[0], 0, "mine"), ERR_LOST);
	assert_int_equal(call(3, FS_OP_CREATE, folders[0], 0644, "new"), ERR_OK);
	assert_int_equal(FS_HANDLE_INODE(workers[3].host.result[0]), FS_HANDLE_INODE(mine));
	assert_int_not_equal(workers[3].host.result[0], mine); // or who has the lost handle would write into it
	serial_to_lose = 0;
	assert_int_equal(call(3, FS_OP_SYNC, 0, 0, 0), ERR_OK);
}

static void lost_creation(void **state)
{
	begin_roomy(37, *state);
	one(lose_main);
	assert_true(incarnate());
	one(after_lost_creation);
	end();
}

static void append_main(void *argument)
{
	(void)argument;
	make_folders();
	others = made(1, FS_OP_CREATE, folders[1], "others");
	assert_int_equal(call(1, FS_OP_SYNC, 0, 0, 0), ERR_OK);
	uint64_t before = ring_committed;
	assert_int_equal(call(0, FS_OP_WRITE, others, FS_APPEND, "lost"), ERR_OK);
	serial_to_lose = ring_serial;
	assert_int_equal(call(0, FS_OP_WRITE, others, FS_APPEND, "kept"), ERR_OK);
	assert_int_equal(ring_committed, before);
}

static void after_lost_append(void *argument)
{
	(void)argument;
	assert_int_equal(call(1, FS_OP_READ, others, 0, 0), ERR_LOST);
	assert_int_equal(call(1, FS_OP_READ, others, 0, 0), ERR_OK);
	assert_int_equal(workers[1].host.result[0], 8);
	assert_memory_equal(workers[1].host.in, "\0\0\0\0kept", 8); // where its writer was told that it is
	serial_to_lose = 0;
	assert_int_equal(call(1, FS_OP_SYNC, 0, 0, 0), ERR_OK);
}

static void lost_append(void **state)
{
	(void)state;
	begin_roomy(38, EXT2);
	one(append_main);
	assert_true(incarnate());
	one(after_lost_append);
	end();
}

static enum error read_lent(uint64_t wanted, uint64_t bytes, enum error error)
{
	memset(lent, '.', sizeof(lent));
	lent_bytes = bytes;
	lent_error = error;
	enum error e = host_call(&workers[1].host, FS_OP_READ, others, 0, wanted, 0, 0, 0);
	lent_error = ERR_NOT_FOUND;
	return e;
}

// A read goes where its client lent room, and not a byte beyond what was asked for or lent; without a grant there is no answer.
static void lent_main(void *argument)
{
	(void)argument;
	make_folders();
	others = made(1, FS_OP_CREATE, folders[1], "others");
	assert_int_equal(call(1, FS_OP_WRITE, others, FS_APPEND, "firstsecond"), ERR_OK);
	assert_int_equal(read_lent(16, 16, ERR_OK), ERR_OK);
	assert_memory_equal(lent, "firstsecond.....", 16);
	assert_int_equal(workers[1].host.result[0], 11);
	assert_int_equal(read_lent(16, 5, ERR_OK), ERR_OK);
	assert_memory_equal(lent, "first...........", 16);
	assert_int_equal(read_lent(3, 16, ERR_OK), ERR_OK);
	assert_memory_equal(lent, "fir.............", 16);
	assert_int_equal(read_lent(~0ull, 8, ERR_OK), ERR_OK);
	assert_memory_equal(lent, "firstsec........", 16);
	assert_int_equal(read_lent(16, 16, ERR_HANDLE), ERR_HANDLE);
	assert_int_equal(read_lent(16, 16, ERR_DENIED), ERR_DENIED);
	assert_memory_equal(lent, "................", 16);
}

static void reads_into_lent_memory(void **state)
{
	(void)state;
	begin_roomy(53, EXT2);
	one(lent_main);
	end();
}

static bool fsync_since(unsigned who, uint64_t *since)
{
	enum error e = host_call(&workers[who].host, FS_OP_FSYNC, others, FS_FSYNC_SINCE, *since, 0, 0, 0);
	assert_true(e == ERR_OK || e == ERR_LOST);
	if (e == ERR_LOST)
		*since = workers[who].host.result[1];
	return e == ERR_LOST;
}

static unsigned lost_life; // incarnations since the loss

static bool status_comes_with_lookup(unsigned who)
{
	assert_int_equal(host_call(&workers[who].host, FS_OP_LOOKUP, folders[1], 0, 0, "others", 6, sizeof(struct fs_stat)), ERR_OK);
	return workers[who].host.result[4];
}

// Each client that meets the loss hears of it once, however many incarnations later, and each open file's fsync too. Who opens
// the file when nobody has heard of it is told, later ones are not.
static void lost_for_many_main(void *argument)
{
	static uint64_t early, late;
	(void)argument;
	if (lost_life == 0) {
		assert_int_equal(call(0, FS_OP_LOOKUP, folders[1], 0, "others"), ERR_OK);
		early = late = workers[0].host.result[3];
		assert_int_equal(early, 0);
		assert_true(fsync_since(0, &early));
		assert_false(fsync_since(0, &early));
		assert_int_equal(ring_committed, ring_serial); // the others' operations are on the medium all the same
		assert_int_equal(call(0, FS_OP_READ, others, 0, 0), ERR_OK); // this client has heard of it
		assert_int_equal(call(0, FS_OP_LOOKUP, folders[1], 0, "others"), ERR_OK);
		uint64_t new = workers[0].host.result[3];
		assert_int_equal(new, early);
		assert_false(fsync_since(0, &new));
	}
	for (unsigned who = 1; who <= lost_life; who++)
		assert_int_equal(call(who, FS_OP_READ, others, 0, 0), ERR_OK);
	assert_false(status_comes_with_lookup(lost_life + 1)); // it asks for it, and is told of the loss
	assert_int_equal(call(lost_life + 1, FS_OP_READ, others, 0, 0), ERR_LOST);
	assert_int_equal(call(lost_life + 1, FS_OP_READ, others, 0, 0), ERR_OK);
	assert_true(status_comes_with_lookup(lost_life + 1));
	assert_false(fsync_since(0, &early));
	if (lost_life == 2)
		assert_true(fsync_since(0, &late)); // it was open, and had not asked
	assert_false(lost_life == 2 && fsync_since(0, &late));
}

static void listeners_outlive_the_server(void **state)
{
	(void)state;
	begin_roomy(52, EXT3);
	one(append_main);
	for (lost_life = 0; lost_life < 3; lost_life++) {
		assert_true(incarnate());
		serial_to_lose = 0;
		one(lost_for_many_main);
	}
	poison_forget(1); // another client is in its slot
	assert_true(incarnate());
	lost_life = 0;
	assert_int_equal(losses[1].told & 2, 0);
	const struct request meets = {.op = FS_OP_STAT, .arg = {losses[1].handle}};
	assert_true(poison_proves(&meets));
	losses[1].number ^= 8; // a dying server's wild store
	assert_false(poison_proves(&meets));
	fixture_logs = 0;
	assert_true(incarnate());
	assert_int_equal(fixture_logs, 1);
	assert_int_equal(poison_newest(others, false), 0);
	end();
}

static void no_room_for_losses(void **state)
{
	(void)state;
	begin_roomy(53, EXT2);
	for (uint64_t serial = 1; serial <= LOSSES + 3; serial++)
		poison_add(others, serial);
	poison_add(others, LOSSES + 2); // found again
	assert_int_equal(poison_newest(others, false), LOSSES + 3);
	assert_int_equal(poison_newest(others, true), 0);
	memset(commit_losses(volume->disk), 0, sizeof(struct loss[LOSSES]));
	end();
}

// ---- what one client has not got durable is committed before another meets it ----

static uint64_t shared_file, own_file;

static void share_setup(void)
{
	make_folders();
	shared_file = made(0, FS_OP_CREATE, folders[0], "file");
	own_file = made(1, FS_OP_CREATE, folders[1], "own");
	assert_int_equal(call(0, FS_OP_SYNC, 0, 0, 0), ERR_OK);
}

// Of client 0: 0 to 3 change the file alone, the others the directory.
static void share_change(unsigned which)
{
	static const char *const names[] = {"x", "x", "y", "y", "file\0moved", "moved\0file", "s\0target", "s"};
	static const uint16_t ops[] = {FS_OP_CREATE, FS_OP_UNLINK, FS_OP_MKDIR,	  FS_OP_RMDIR,
				       FS_OP_RENAME, FS_OP_RENAME, FS_OP_SYMLINK, FS_OP_UNLINK};
	static const uint32_t lengths[] = {1, 1, 1, 1, 10, 10, 8, 1};
	if (which == 0)
		assert_int_equal(call(0, FS_OP_WRITE, shared_file, FS_APPEND, "more"), ERR_OK);
	else if (which == 1)
		assert_int_equal(call(0, FS_OP_TRUNCATE, shared_file, 2, 0), ERR_OK);
	else if (which == 2)
		assert_int_equal(call(0, FS_OP_CHMOD, shared_file, 0640, 0), ERR_OK);
	else if (which == 3)
		assert_int_equal(call(0, FS_OP_UTIMES, shared_file, 7, 0), ERR_OK);
	else
		assert_int_equal(host_call(&workers[0].host, ops[which - 4], folders[0], which < 8 ? 0755 : folders[0], 0,
					   names[which - 4], lengths[which - 4], 0), ERR_OK);
}

#define SHARE_CHANGES 12u

// Of client 1, at the file or at the directory; some change it, some fail.
static void share_look(bool directory, unsigned which)
{
	static const uint16_t at_file[] = {FS_OP_STAT, FS_OP_READ, FS_OP_WRITE, FS_OP_TRUNCATE, FS_OP_CHMOD, FS_OP_UTIMES};
	if (!directory && which < 6)
		assert_int_equal(call(1, at_file[which], shared_file, 0, which == 2 ? "1" : 0), ERR_OK);
	else if (!directory)
		(void)call(1, FS_OP_LOOKUP, folders[0], 0, "file");
	else if (which == 0)
		assert_int_equal(call(1, FS_OP_STAT, folders[0], 0, 0), ERR_OK);
	else if (which == 1)
		assert_int_equal(host_call(&workers[1].host, FS_OP_READDIR, folders[0], 0, 0, 0, 0, 600), ERR_OK);
	else if (which == 2)
		assert_int_equal(call(1, FS_OP_LOOKUP, folders[0], 0, "none"), ERR_NOT_FOUND);
	else if (which == 3)
		assert_int_equal(call(1, FS_OP_UNLINK, folders[0], 0, "none"), ERR_NOT_FOUND);
	else if (which == 4)
		assert_int_equal(call(1, FS_OP_RMDIR, ROOT, 0, "f0"), ERR_NOT_EMPTY);
	else
		assert_int_equal(call(1, FS_OP_LINK, own_file, folders[0], "theirs"), ERR_OK);
}

static void every_look(void *argument)
{
	(void)argument;
	share_setup();
	for (unsigned look = 0; look < 7; look++)
		for (unsigned change = 0; change < SHARE_CHANGES; change++) {
			share_change(change);
			uint64_t serial = ring_serial;
			share_look(change >= 4, change >= 4 && look == 6 ? 0 : look);
			assert_true(ring_committed >= serial);
			if (change >= 4 && look == 5)
				assert_int_equal(call(1, FS_OP_UNLINK, folders[0], 0, "theirs"), ERR_OK);
		}
}

static void forced_before_it_is_met(void **state)
{
	fixture_seed(50);
	begin(*state, 1 << 20, 512 << 10);
	one(every_look);
	end();
}

// Nobody else meets it: no commit. Each looks at what is its own, at what is committed, and at another's object next to it.
static void apart_main(void *argument)
{
	(void)argument;
	share_setup();
	assert_int_equal(call(0, FS_OP_CREATE, folders[0], 0644, "doomed"), ERR_OK);
	uint64_t doomed = workers[0].host.result[0], before;
	assert_int_equal(call(0, FS_OP_SYNC, 0, 0, 0), ERR_OK);
	before = ring_committed;
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(call(0, FS_OP_WRITE, shared_file, FS_APPEND, "0"), ERR_OK);
		assert_int_equal(call(1, FS_OP_WRITE, own_file, FS_APPEND, "1"), ERR_OK);
		assert_int_equal(call(0, FS_OP_READ, shared_file, 0, 0), ERR_OK);
		assert_int_equal(call(1, FS_OP_READ, own_file, 0, 0), ERR_OK);
		assert_int_equal(call(1, FS_OP_STAT, folders[0], 0, 0), ERR_OK);
		assert_int_equal(call(1, FS_OP_LOOKUP, ROOT, 0, "f0"), ERR_OK);
	}
	assert_int_equal(call(0, FS_OP_UNLINK, folders[0], 0, "doomed"), ERR_OK);
	uint64_t next = made(1, FS_OP_CREATE, folders[1], "next"); // another's inode is not taken while its freeing can be lost
	assert_int_not_equal(FS_HANDLE_INODE(next), FS_HANDLE_INODE(doomed));
	assert_int_equal(ring_committed, before);
	assert_int_equal(call(1, FS_OP_READ, doomed, 0, 0), ERR_STALE); // that it is gone is known now, and stays so
	assert_int_equal(ring_committed, ring_serial);
	next = made(1, FS_OP_CREATE, folders[1], "after");
	assert_int_equal(FS_HANDLE_INODE(next), FS_HANDLE_INODE(doomed));
}

static void who_is_alone_pays_nothing(void **state)
{
	fixture_seed(51);
	begin(*state, 1 << 20, 512 << 10);
	one(apart_main);
	end();
}

// The successor knows from the replay who has changed what.
static void before_the_death(void *argument)
{
	(void)argument;
	share_setup();
	assert_int_equal(call(0, FS_OP_WRITE, shared_file, 0, "replayed"), ERR_OK);
	assert_true(ring_committed < ring_serial);
}

static void after_the_death(void *argument)
{
	(void)argument;
	uint64_t serial = ring_serial;
	assert_int_equal(call(1, FS_OP_READ, shared_file, 0, 0), ERR_OK);
	assert_true(ring_committed >= serial);
}

static void met_after_a_death(void **state)
{
	fixture_seed(52);
	begin(*state, 1 << 20, 512 << 10);
	one(before_the_death);
	assert_true(incarnate());
	assert_true(ring_committed < ring_serial);
	assert_int_equal(share_foreign(1, FS_HANDLE_INODE(shared_file), serial_committed), 0);
	assert_int_equal(share_foreign(2, FS_HANDLE_INODE(shared_file), serial_committed), ring_serial);
	one(after_the_death);
	end();
}

static void turns_main(void *argument)
{
	unsigned who = (unsigned)(uintptr_t)argument;
	for (unsigned i = 0; i < 25; i++) {
		assert_int_equal(call(who, FS_OP_WRITE, shared_file, FS_APPEND, "turn"), ERR_OK);
		if (i % 5 == 0)
			nothing_main((void *)(uintptr_t)(i * 3 + who));
	}
}

static void turns_setup(void *argument)
{
	(void)argument;
	share_setup();
}

static void turns_check(void *argument)
{
	(void)argument;
	assert_int_equal(call(0, FS_OP_STAT, shared_file, 0, 0), ERR_OK);
	struct fs_stat stat;
	memcpy(&stat, workers[0].host.in, sizeof(stat));
	assert_int_equal(stat.size, FIBERS * 25 * 4);
}

// All append to one file at once: each comes to its turn, with a commit for each change of hands.
static void appends_in_turn(void **state)
{
	fixture_seed(53);
	begin(*state, 1 << 20, 512 << 10);
	one(turns_setup);
	uint64_t before = volume->log.commits;
	for (unsigned i = 0; i < FIBERS; i++)
		fiber_create(turns_main, (void *)(uintptr_t)i, "turns");
	assert_false(setjmp(fixture_death));
	schedule();
	uint64_t commits = volume->log.commits - before;
	print_message("%u appends, %llu commits\n", FIBERS * 25, (unsigned long long)commits);
	assert_in_range(commits, FIBERS - 1, FIBERS * 25);
	assert_null(shares.claims);
	one(turns_check);
	end();
}

static bool restless_begun, patient_done;

static void restless_main(void *argument)
{
	(void)argument;
	while (!patient_done) {
		assert_int_equal(call(0, FS_OP_WRITE, shared_file, 0, "restless"), ERR_OK);
		restless_begun = true;
		nothing_main((void *)1);
	}
}

static void patient_main(void *argument)
{
	(void)argument;
	while (!restless_begun)
		nothing_main((void *)1);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(call(1, FS_OP_WRITE, shared_file, 0, "patient"), ERR_OK);
	patient_done = true;
}

// One who changes the file without a pause cannot keep another from it: when the commit is made, it is the other's turn.
static void nobody_is_kept_waiting(void **state)
{
	fixture_seed(54);
	begin(*state, 1 << 20, 512 << 10);
	one(turns_setup);
	uint64_t before = volume->log.commits;
	driver_turns = 50; // a commit takes its time
	restless_begun = patient_done = false;
	fiber_create(restless_main, 0, "restless");
	fiber_create(patient_main, 0, "patient");
	assert_false(setjmp(fixture_death));
	schedule();
	driver_turns = 3;
	uint64_t commits = volume->log.commits - before;
	print_message("10 turns, %llu commits\n", (unsigned long long)commits);
	assert_in_range(commits, 1, 25); // one for each change of hands at the most, and those by time
	end();
}

// ---- fsync and fdatasync ----

static void assert_synced(uint64_t handle, uint64_t flags, bool commits)
{
	uint64_t before = volume->log.commits;
	assert_int_equal(call(1, FS_OP_FSYNC, handle, flags, 0), ERR_OK);
	assert_int_equal(workers[1].host.result[0], commits);
	assert_int_equal(volume->log.commits != before, commits);
	if (commits)
		assert_int_equal(ring_committed, ring_serial);
}

static void change_times(uint64_t handle)
{
	assert_int_equal(call(0, FS_OP_CHMOD, handle, 0600, 0), ERR_OK);
	assert_int_equal(call(0, FS_OP_UTIMES, handle, 1700000001, 0), ERR_OK);
}

static void fsync_main(void *argument)
{
	(void)argument;
	assert_int_equal(call(0, FS_OP_CREATE, ROOT, 0644, "synced"), ERR_OK);
	uint64_t file = workers[0].host.result[0];
	assert_synced(file, FS_FSYNC_DATA, true); // it cannot be read back if it is not there
	assert_synced(file, FS_FSYNC_DATA, false);
	assert_synced(file, 0, false);
	assert_synced(ROOT, 0, false);
	change_times(file);
	assert_synced(file, FS_FSYNC_DATA, false);
	assert_synced(ROOT, 0, false); // another's changes
	assert_true(ring_committed < ring_serial);
	assert_synced(file, 0, true);
	assert_int_equal(call(0, FS_OP_WRITE, file, 0, "content"), ERR_OK);
	change_times(file);
	assert_synced(file, FS_FSYNC_DATA, true); // the write before counts
	assert_int_equal(call(0, FS_OP_LINK, file, ROOT, "second"), ERR_OK);
	assert_synced(file, FS_FSYNC_DATA, false);
	assert_synced(ROOT, FS_FSYNC_DATA, true); // a name is a directory's content
	assert_int_equal(call(0, FS_OP_TRUNCATE, file, 3, 0), ERR_OK);
	assert_synced(file, FS_FSYNC_DATA, true);
	assert_int_equal(call(0, FS_OP_UNLINK, ROOT, 0, "second"), ERR_OK);
	assert_synced(ROOT, FS_FSYNC_DATA, true);
	assert_int_equal(call(1, FS_OP_FSYNC, file, 4, 0), ERR_INVALID);
	assert_int_equal(call(1, FS_OP_FSYNC, file + (1ull << 32), 0, 0), ERR_STALE);
}

static void fsync_commits_what_is_needed(void **state)
{
	begin_roomy(45, *state);
	one(sync_main);
	one(fsync_main);
	end();
}

static void writer_main(void *argument)
{
	unsigned who = (unsigned)(uintptr_t)argument;
	char name[] = {'w', (char)('0' + who), 0};
	assert_int_equal(call(who, FS_OP_CREATE, ROOT, 0644, name), ERR_OK);
	uint64_t file = workers[who].host.result[0];
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(call(who, FS_OP_WRITE, file, FS_APPEND, name), ERR_OK);
		uint64_t wanted = ring_serial;
		assert_int_equal(call(who, FS_OP_FSYNC, file, FS_FSYNC_DATA, 0), ERR_OK);
		assert_true(ring_committed >= wanted);
		nothing_main((void *)8); // a client needs a moment to ask again
	}
}

// Of all who wait while a commit is being written, one makes the next.
static void fsync_is_shared(void **state)
{
	begin_roomy(46, *state);
	driver_turns = 100;
	uint64_t before = volume->log.commits;
	for (unsigned i = 0; i < FIBERS; i++)
		fiber_create(writer_main, (void *)(uintptr_t)i, "writer");
	assert_false(setjmp(fixture_death));
	schedule();
	driver_turns = 3;
	uint64_t commits = volume->log.commits - before;
	print_message("%u syncs, %llu commits\n", FIBERS * 20, (unsigned long long)commits);
	assert_in_range(commits, 20, FIBERS * 20 * 2 / 3);
	end();
}

// ---- what fsync acknowledged, after a power cut ----

static uint8_t cut_byte(unsigned who, uint64_t at)
{
	return (uint8_t)(who * 31 + at * 7 + (at >> 8) + 1);
}

static void cut_name(unsigned who, unsigned number, char name[16])
{
	snprintf(name, 16, "cut%u.%u", who, number);
}

static void cut_sync(unsigned who, uint64_t handle, unsigned name, uint32_t bytes)
{
	assert_int_equal(call(who, FS_OP_FSYNC, handle, fixture_random() & FS_FSYNC_DATA, 0), ERR_OK);
	happens((struct happening){SYNCED, who, bytes, name, 0});
}

static void cut_rename(unsigned who, unsigned number)
{
	char both[40], old[16], new[16];
	cut_name(who, number, old);
	cut_name(who, number + 1, new);
	unsigned length = (unsigned)snprintf(both, sizeof(both), "%s%c%s", old, 0, new);
	assert_int_equal(host_call(&workers[who].host, FS_OP_RENAME, ROOT, ROOT, 0, both, length, 0), ERR_OK);
}

// Appends and syncs, and renames and syncs the directory.
static void cut_main(void *argument)
{
	unsigned who = (unsigned)(uintptr_t)argument, number = 0;
	uint8_t data[1500];
	uint32_t bytes = 0;
	char name[16];
	cut_name(who, 0, name);
	assert_int_equal(call(who, FS_OP_CREATE, ROOT, 0644, name), ERR_OK);
	uint64_t handle = workers[who].host.result[0];
	for (unsigned i = 0; i < 25; i++) {
		uint32_t more = 1 + fixture_random() % sizeof(data);
		for (uint32_t j = 0; j < more; j++)
			data[j] = cut_byte(who, bytes + j);
		assert_int_equal(host_call(&workers[who].host, FS_OP_WRITE, handle, FS_APPEND, 0, data, more, 0), ERR_OK);
		bytes += more;
		if (i % 5 == 4) {
			cut_rename(who, number);
			cut_sync(who, ROOT, ++number, 0);
		} else if (i % 3) {
			cut_sync(who, handle, number, bytes);
		}
		nothing_main((void *)(uintptr_t)(fixture_random() % 8));
	}
}

// The image after a cut behind that many happenings: all that a flush covers, and of the rest each sector or not.
static void cut_image(const uint8_t *base, size_t until)
{
	size_t flushed = 0;
	unsigned keep = fixture_random() % 3; // nothing, each write or not, each sector or not
	memcpy(volume_host.image.bytes, base, volume_host.image.disk.bytes);
	for (size_t i = 0; i < until; i++)
		flushed = happenings[i].kind == FLUSHED ? i : flushed;
	for (size_t i = 0; i < until; i++) {
		const struct happening *h = &happenings[i];
		bool whole = i < flushed || (keep == 1 && fixture_random() & 1);
		for (uint32_t at = 0; h->kind == WRITTEN && at < h->bytes; at += 512)
			if (whole || (keep == 2 && i >= flushed && fixture_random() & 1))
				memcpy(volume_host.image.bytes + h->offset + at, h->data + at, 512);
	}
}

static bool cut_keeps(unsigned who, unsigned name, uint32_t bytes)
{
	char text[16];
	cut_name(who, name, text);
	uint64_t handle = host_lookup(&volume_host, ROOT, text);
	if (!handle) {
		cut_name(who, name + 1, text); // the rename that came next
		handle = host_lookup(&volume_host, ROOT, text);
	}
	for (uint32_t at = 0; handle && at < bytes; at += 4096) {
		if (host_call(&volume_host, FS_OP_READ, handle, at, 0, 0, 0, 4096) != ERR_OK || volume_host.result[1] < bytes)
			return false;
		for (uint32_t i = 0; i < 4096 && at + i < bytes; i++)
			if (volume_host.in[i] != cut_byte(who, at + i))
				return false;
	}
	return handle != 0;
}

// Of that image: nobody misses what was acknowledged to it.
static bool cut_is_kept(size_t until)
{
	unsigned name[FIBERS] = {0};
	uint32_t bytes[FIBERS] = {0};
	bool asked[FIBERS] = {false}, kept = true;
	for (size_t i = 0; i < until; i++) {
		if (happenings[i].kind != SYNCED)
			continue;
		uint64_t who = happenings[i].offset;
		asked[who] = true;
		name[who] = happenings[i].name;
		bytes[who] = happenings[i].bytes ? happenings[i].bytes : bytes[who];
	}
	volume_host.image.pending_count = 0;
	volume_host.serial = volume_host.mark = 0;
	memset(volume_host.image.log, 0, volume_host.image.disk.log_bytes);
	if (host_mount(&volume_host) != ERR_OK)
		return false;
	for (unsigned who = 0; who < FIBERS; who++)
		kept = kept && (!asked[who] || cut_keeps(who, name[who], bytes[who]));
	return kept && volume_host.volume->corruptions == 0;
}

static void cut_record(void)
{
	happenings_kept = true;
	for (unsigned i = 0; i < FIBERS; i++)
		fiber_create(cut_main, (void *)(uintptr_t)i, "cut");
	assert_false(setjmp(fixture_death));
	schedule();
	happenings_kept = false;
	forget_incarnation();
}

// How many of the cuts lost something that was acknowledged.
static unsigned cuts_lose(const char *options, unsigned cuts)
{
	unsigned losing = 0;
	begin_roomy(54, options);
	one(sync_main);
	uint8_t *base = malloc(volume_host.image.disk.bytes);
	memcpy(base, volume_host.image.bytes, volume_host.image.disk.bytes);
	cut_record();
	fixture_quiet = true;
	for (unsigned i = 0; i < cuts; i++) {
		size_t until = fixture_random() % happening_count;
		while (i % 2 && until < happening_count && happenings[until].kind != SYNCED)
			until++; // right behind an acknowledgement
		until += until < happening_count;
		cut_image(base, until);
		losing += !cut_is_kept(until);
	}
	fixture_quiet = false;
	while (happening_count)
		free(happenings[--happening_count].data);
	free(base);
	forget_volume();
	return losing;
}

// In whatever order an honest disk writes what no flush covers; and a disk whose flushes do nothing at times is found out.
static void fsync_survives_power_cuts(void **state)
{
	unsigned cuts = getenv("FULL") ? 3000 : 150;
	assert_int_equal(cuts_lose(*state, cuts), 0);
	flushes_lost = 2;
	unsigned losing = cuts_lose(*state, cuts);
	flushes_lost = 0;
	print_message("%u cuts, %u of them lose something if every second flush does nothing\n", cuts, losing);
	assert_true(losing > cuts / 20);
}

// The successor knows nothing of who changed what, but performs it again.
static void fsync_after_a_death(void **state)
{
	(void)state;
	begin_uncommitted(47);
	assert_true(incarnate());
	assert_int_equal(content_serial[FS_HANDLE_INODE(workers[0].host.result[0]) % CONTENT_SLOTS], ring_serial);
	one(sync_main);
	end();
}

// ---- open files without a name ----

enum { MAKE, FILL, UNLINK, GROW, SYNC, READ, CLOSE, FINISHED };
static unsigned stage;
static uint64_t kept; // handle
static char pattern[5001];

static void stage_perform(void)
{
	switch (stage) {
	case MAKE:
		assert_int_equal(call(0, FS_OP_CREATE, ROOT, 0644, "kept"), ERR_OK);
		kept = workers[0].host.result[0];
		sessions[0] = (struct fs_session){.used = 3, .handle = {7, 0, handle_seal(key_of(0), kept)}};
		break;
	case FILL:
		pattern[3000] = 0;
		assert_int_equal(call(0, FS_OP_WRITE, kept, 0, pattern), ERR_OK);
		pattern[3000] = 'x';
		break;
	case UNLINK:
		assert_int_equal(call(1, FS_OP_UNLINK, ROOT, 0, "kept"), ERR_OK);
		assert_int_equal(workers[1].host.result[0], 1);
		break;
	case GROW:
		assert_int_equal(call(0, FS_OP_WRITE, kept, FS_APPEND, pattern + 3000), ERR_OK);
		break;
	case SYNC:
		assert_int_equal(call(1, FS_OP_SYNC, 0, 0, 0), ERR_OK);
		break;
	case READ:
		assert_int_equal(call(0, FS_OP_READ, kept, 0, 0), ERR_OK);
		assert_int_equal(workers[0].host.result[0], 5000);
		assert_memory_equal(workers[0].host.in, pattern, 5000);
		assert_int_equal(call(1, FS_OP_LOOKUP, ROOT, 0, "kept"), ERR_NOT_FOUND);
		assert_int_equal(call(1, FS_OP_LINK, kept, ROOT, "again"), ERR_STALE);
		break;
	default:
		sessions[0] = (struct fs_session){0};
	}
}

static void stages_main(void *argument)
{
	for (; stage < (unsigned)(uintptr_t)argument; stage++)
		stage_perform();
}

// Until that stage, over as many deaths as it takes; then also in the recovery.
static unsigned stages_until(unsigned last, uint64_t first_death)
{
	volatile unsigned deaths_seen = 0;
	fixture_die_at = first_death ? fixture_steps + first_death : 0;
	for (;;) {
		fiber_create(stages_main, (void *)(uintptr_t)last, "stages");
		if (!setjmp(fixture_death)) {
			schedule();
			fixture_die_at = 0;
			return deaths_seen;
		}
		do {
			deaths_seen++;
			fixture_die_at = deaths_seen < 3 ? fixture_steps + 1 + fixture_random() % 60 : 0;
		} while (!incarnate());
	}
}

static struct fs_statfs statfs_seen;

static void statfs_main(void *argument)
{
	(void)argument;
	assert_int_equal(call(0, FS_OP_STATFS, 0, 0, 0), ERR_OK);
	memcpy(&statfs_seen, workers[0].host.in, sizeof(statfs_seen));
}

// After some time the volume has as much room as before.
static void all_is_free_again(const struct fs_statfs *before)
{
	for (unsigned i = 0; i < 1000 && volume->super->last_orphan; i++)
		wait_turns(1000);
	one(statfs_main);
	assert_int_equal(statfs_seen.inodes_free, before->inodes_free);
	assert_int_equal(statfs_seen.blocks_free, before->blocks_free);
	assert_int_equal(volume->super->last_orphan, 0);
}

static struct fs_statfs orphans_begin(unsigned seed, const char *options)
{
	memset(pattern, 'x', sizeof(pattern) - 1);
	for (unsigned i = 0; i < 5000; i += 7)
		pattern[i] = (char)('a' + i % 26);
	begin_roomy(seed, options);
	stage = MAKE; // once, so that the root has its block
	stages_until(FINISHED, 0);
	while (volume->super->last_orphan)
		wait_turns(1000);
	one(statfs_main);
	return statfs_seen;
}

static void open_file_outlives_its_name(void **state)
{
	(void)state;
	struct fs_statfs before = orphans_begin(39, EXT2);
	unsigned died = 0;
	for (uint64_t n = 1, last = 1; last; n++) {
		stage = MAKE;
		last = stages_until(FINISHED, n);
		died += (unsigned)last;
		all_is_free_again(&before);
	}
	print_message("%u deaths\n", died);
	end();
}

// What Linux's tools find on the disk while the file is open, and what the next boot makes of it.
static void chain_on_the_disk(void **state)
{
	struct fs_statfs before = orphans_begin(40, *state);
	stage = MAKE;
	stages_until(READ, 0);
	assert_true(host_orphans(&volume_host, 1));
	driver.resumed = false; // a power cut: the log area, the rings and the clients are gone
	ring_count = 0;
	memset(sessions, 0, sizeof(sessions));
	assert_true(incarnate());
	all_is_free_again(&before);
	end();
}

static void client_that_is_gone_has_nothing_open(void **state)
{
	(void)state;
	struct fs_statfs before = orphans_begin(41, EXT2);
	stage = MAKE;
	stages_until(CLOSE, 0);
	wait_turns(200000);
	assert_int_not_equal(volume->super->last_orphan, 0);
	session_gone[0] = true;
	serve_closed((struct server_channel *)0);
	all_is_free_again(&before);
	end();
}

static uint64_t anew;

static void make_anew_main(void *argument)
{
	(void)argument;
	anew = made(1, FS_OP_CREATE, ROOT, "anew");
}

static void find_anew_main(void *argument)
{
	(void)argument;
	assert_int_equal(made(1, FS_OP_LOOKUP, ROOT, "anew"), anew);
}

// A commit frees an orphan and fails: nothing recorded says that its inode is free, so whoever is made next must not get it before it is durable.
static void orphan_of_a_failed_commit(void **state)
{
	(void)orphans_begin(53, *state);
	stage = MAKE;
	stages_until(FINISHED, 0);
	fixture_fail_point = "fs.commit.copy";
	stage_perform(); // it is closed
	while (fixture_fail_point)
		wait_turns(1);
	one(make_anew_main);
	assert_true(incarnate());
	one(find_anew_main);
	end();
}

static void several_main(void *argument)
{
	(void)argument;
	char name[2] = "0";
	sessions[1].used = 9;
	for (unsigned i = 0; i < 9; i++, name[0]++) {
		assert_int_equal(call(1, FS_OP_CREATE, ROOT, 0644, name), ERR_OK);
		uint64_t file = workers[1].host.result[0];
		sessions[1].handle[i] = handle_seal(key_of(1), file);
		assert_int_equal(call(1, FS_OP_WRITE, file, 0, pattern), ERR_OK);
		assert_int_equal(call(1, FS_OP_UNLINK, ROOT, 0, name), ERR_OK);
	}
}

static void read_several(void *argument)
{
	(void)argument;
	for (unsigned i = 0; i < 9; i++)
		if (sessions[1].handle[i]) {
			assert_int_equal(call(1, FS_OP_READ, handle_unseal(key_of(1), sessions[1].handle[i]), 0, 0), ERR_OK);
			assert_memory_equal(workers[1].host.in, pattern, 5000);
		}
}

// Out of the middle, from the front and from the end of the chain, with a death after each.
static void chain_is_worked_off_in_any_order(void **state)
{
	static const unsigned order[] = {4, 0, 8, 7, 1, 2, 6, 3, 5};
	struct fs_statfs before = orphans_begin(42, *state);
	one(several_main);
	for (unsigned i = 0; i < 9; i++) {
		sessions[1].handle[order[i]] = 0;
		wait_turns(60000);
		assert_true(incarnate());
		one(read_several);
		one(sync_main);
		if (i % 4 == 0)
			assert_true(host_orphans(&volume_host, 8 - i));
	}
	all_is_free_again(&before);
	end();
}

// ---- handles: each client has its own, and can make none ----

static uint64_t own_word; // client 0's

static void assert_refused(unsigned who, uint64_t word)
{
	enum error stat = call(who, FS_OP_STAT, word, 0, 0), write = call(who, FS_OP_WRITE, word, 0, "forged");
	assert_true(stat == ERR_HANDLE || stat == ERR_STALE);
	assert_int_equal(write, stat);
}

static void use_words(void *argument)
{
	(void)argument;
	sealed_words = true;
	assert_int_equal(call(0, FS_OP_STAT, own_word, 0, 0), ERR_OK);
	assert_refused(1, own_word); // another's, though nobody guessed
	assert_refused(0, kept);     // inode and generation
	assert_refused(1, kept);
	assert_refused(0, 0);
	for (unsigned bit = 0; bit < 64; bit++)
		assert_refused(0, own_word ^ 1ull << bit);
	sealed_words = false;
}

static void make_words(void *argument)
{
	(void)argument;
	assert_int_equal(call(0, FS_OP_CREATE, ROOT, 0644, "words"), ERR_OK);
	kept = workers[0].host.result[0];
	own_word = handle_seal(key_of(0), kept);
	assert_int_not_equal(own_word, kept);
}

// A guess in a session table, and a word of another's, keep nothing alive.
static void unlink_words(void *argument)
{
	(void)argument;
	sessions[1] = (struct fs_session){.used = 2, .handle = {kept, own_word}};
	assert_int_equal(call(0, FS_OP_UNLINK, ROOT, 0, "words"), ERR_OK);
	assert_int_equal(workers[0].host.result[0], 0);
	assert_int_equal(call(0, FS_OP_STAT, kept, 0, 0), ERR_STALE);
	sessions[1] = (struct fs_session){0};
}

static void handles_cannot_be_made(void **state)
{
	(void)state;
	begin_roomy(49, EXT2);
	one(make_words);
	one(use_words);
	assert_true(incarnate()); // they are good in the next life, where the creation is replayed, and in the one after it
	one(use_words);
	one(sync_main);
	assert_true(incarnate());
	one(use_words);
	one(unlink_words);
	end();
}

// ---- several clients in one file, and chains of names; what must be there is computed from what was acknowledged ----

#define SHARED_MAX 6000u
static uint64_t shared;
static uint8_t expected[SHARED_MAX * 40]; // who owns each byte: 1 + client
static size_t expected_size;
static struct {
	unsigned link; // number in the name of its file, as far as it was acknowledged
	uint64_t handle;
} chains[FIBERS];

static uint64_t chain_directory(unsigned who, unsigned link)
{
	return link % 3 ? workers[who].model.root->handle : ROOT; // from one directory to another and back
}

static void chain_name(unsigned who, unsigned link, char name[16])
{
	snprintf(name, 16, "%c%u", 'p' + (int)who, link % 7);
}

static enum error chain_step(unsigned who)
{
	char old[16], new[16], both[40];
	unsigned link = chains[who].link;
	chain_name(who, link, old);
	chain_name(who, link + 1, new);
	unsigned length = (unsigned)snprintf(both, sizeof(both), "%s%c%s", old, 0, new);
	enum error e = host_call(&workers[who].host, FS_OP_RENAME, chain_directory(who, link), chain_directory(who, link + 1), 0,
				 both, length, 0);
	chains[who].link += e == ERR_OK;
	return e;
}

static void append_step(unsigned who)
{
	char text[40];
	unsigned length = 1 + fixture_random() % (sizeof(text) - 1);
	memset(text, 'A' + (int)who, length);
	assert_int_equal(host_call(&workers[who].host, FS_OP_WRITE, shared, FS_APPEND, 0, text, length, 0), ERR_OK);
	uint64_t at = workers[who].host.result[1];
	assert_true(at + length <= sizeof(expected));
	for (unsigned i = 0; i < length; i++) {
		assert_int_equal(expected[at + i], 0); // nobody else was told that place
		expected[at + i] = (uint8_t)(1 + who);
	}
	if (at + length > expected_size)
		expected_size = at + length;
}

static void campaign_main(void *argument)
{
	unsigned who = (unsigned)((struct worker *)argument - workers);
	for (unsigned i = 0; i < 40 && expected_size < SHARED_MAX * 30; i++) {
		if (fixture_random() % 3)
			append_step(who);
		else
			assert_int_equal(chain_step(who), ERR_OK);
		if (fixture_random() % 8 == 0)
			fiber_yield();
	}
}

static void campaign_check(void *argument)
{
	(void)argument;
	struct host *h = &workers[0].host;
	for (size_t at = 0; at < expected_size; at += 8192) {
		assert_int_equal(call(0, FS_OP_READ, shared, at, 0), ERR_OK);
		assert_int_equal(h->result[1], expected_size);
		for (size_t i = 0; i < h->result[0]; i++)
			assert_int_equal(h->in[i], 'A' + expected[at + i] - 1); // a byte that nobody owns fails too
	}
	for (unsigned who = 0; who < FIBERS; who++)
		for (unsigned back = 0; back < 7; back++) {
			char name[16];
			if (back > chains[who].link)
				break;
			chain_name(who, chains[who].link - back, name);
			enum error e = call(who, FS_OP_LOOKUP, chain_directory(who, chains[who].link - back), 0, name);
			assert_int_equal(e, back ? ERR_NOT_FOUND : ERR_OK);
			if (back == 0)
				assert_int_equal(workers[who].host.result[0], chains[who].handle);
		}
}

static void campaign_setup(void *argument)
{
	(void)argument;
	assert_int_equal(call(0, FS_OP_CREATE, ROOT, 0644, "shared"), ERR_OK);
	shared = workers[0].host.result[0];
	for (unsigned who = 0; who < FIBERS; who++) {
		char name[16];
		chain_name(who, 0, name);
		chains[who].link = 0;
		assert_int_equal(call(who, FS_OP_CREATE, ROOT, 0644, name), ERR_OK);
		chains[who].handle = workers[who].host.result[0];
	}
	memset(expected, 0, sizeof(expected));
	expected_size = 0;
}

static void campaign_clean(void *argument)
{
	(void)argument;
	for (unsigned who = 0; who < FIBERS; who++) {
		char name[16];
		chain_name(who, chains[who].link, name);
		assert_int_equal(call(who, FS_OP_UNLINK, chain_directory(who, chains[who].link), 0, name), ERR_OK);
	}
	assert_int_equal(call(0, FS_OP_UNLINK, ROOT, 0, "shared"), ERR_OK);
}

static bool campaign_round(void)
{
	for (unsigned i = 0; i < FIBERS; i++)
		fiber_create(campaign_main, &workers[i], "worker");
	if (setjmp(fixture_death))
		return false;
	schedule();
	return true;
}

// The server dies in their midst, and up to three times more in the recovery.
static void shared_appends_and_chains(void **state)
{
	(void)state;
	volatile unsigned died = 0, deepest = 0;
	begin_roomy(43, EXT2);
	one(campaign_setup);
	for (volatile unsigned round = 0; round < (getenv("FULL") ? 400u : 40u); round++) {
		fixture_die_at = fixture_steps + 1 + fixture_random() % 900;
		if (!campaign_round()) {
			volatile unsigned deep = 0;
			do {
				died++;
				fixture_die_at = ++deep < 4 ? fixture_steps + 1 + fixture_random() % 60 : 0;
			} while (!incarnate());
			deepest = deep > deepest ? deep : deepest;
		}
		fixture_die_at = 0;
		one(campaign_check);
	}
	print_message("%u deaths, %u in a row, %zu bytes\n", died, deepest, expected_size);
	assert_true(deepest >= 3 && expected_size > 1000);
	one(campaign_clean);
	end();
}

// ---- a disk that refuses writes for good ----

static void refused_main(void *argument)
{
	(void)argument;
	for (unsigned who = 0; who < 2; who++) {
		assert_int_equal(call(who, FS_OP_LOOKUP, ROOT, 0, "new"), ERR_LOST); // each client hears of it, once
		assert_int_equal(call(who, FS_OP_LOOKUP, ROOT, 0, "new"), ERR_OK);
		assert_int_equal(call(who, FS_OP_CREATE, ROOT, 0644, "other"), ERR_READ_ONLY);
	}
	assert_int_equal(call(2, FS_OP_SYNC, 0, 0, 0), ERR_LOST);
	assert_int_equal(call(2, FS_OP_SYNC, 0, 0, 0), ERR_DEVICE);
}

static void wait_for_failure(void)
{
	for (unsigned i = 0; i < 1000 && !commit_failed; i++)
		wait_turns(1000);
	assert_true(commit_failed);
}

// A driver that says nonsense is complained of, and asked again until there is another one: no operation fails, and fs lives on.
static void mad_driver(void **state)
{
	(void)state;
	begin_roomy(52, EXT3);
	one(make_main);
	driver_mad = true;
	driver_claims = 0;
	one(sync_main);
	assert_true(!driver_mad && driver_claims >= 20);
	driver_mad = true;
	driver_claims = 0;
	assert_true(incarnate()); // its mount reads
	assert_false(driver_mad);
	assert_true(run_workers(100, false));
	end();
}

static void commit_fails(void)
{
	volume->doubts = false; // it failed before
	want_commit();
	wait_for_failure();
}

static void dies_of_a_failed_commit(void)
{
	fixture_may_panic = true;
	if (!setjmp(fixture_death)) {
		want_commit();
		wait_for_failure();
		fail_msg("the first finding gave the volume up");
	}
	fixture_may_panic = false;
}

// That the device refuses is found twice: this incarnation dies of it, and its successor believes it.
static void commit_fails_twice(void)
{
	dies_of_a_failed_commit();
	assert_true(incarnate());
	assert_true(commit_failed && volume->read_only);
}

static void refused_writes(void **state)
{
	(void)state;
	begin_roomy(44, EXT2);
	one(sync_main);
	one(make_main);
	driver_errors = 1;
	commit_fails();
	assert_int_equal(ring_committed, ring_serial); // the slots come back
	driver_errors = 0;
	one(refused_main);
	forget_volume();
}

static bool e2fsck_looks(void) // without being forced to, and finds nothing else
{
	return host_run(&volume_host, "e2fsck -p $f > $f.log 2>&1; test $? -le 1 && "
		"grep -q 'contains a file system with errors' $f.log && e2fsck -fn $f > /dev/null 2>&1");
}

static void refuse_block(uint32_t block)
{
	bad_from = block * 1024ull;
	bad_to = bad_from + 1024;
}

// The next commit finds no place for its transaction, or for a block that it always writes, the root directory's inode's.
static void refuse_commits(bool in_place)
{
	uint32_t run;
	struct inode root;
	assert_int_equal(inode_get(volume, EXT2_ROOT_INODE, &root), ERR_OK);
	refuse_block(in_place ? root.buffer->block : journal_block(volume->log.journal.area, volume->log.journal.area->head, &run));
	inode_put(volume, &root);
}

static unsigned abort_heard; // by how many clients

// An incarnation after the one that gave up: nothing is forgotten that clients have seen, nor who has heard of it; nothing is changed.
static void after_abort_main(void *argument)
{
	(void)argument;
	for (unsigned who = 0; who < abort_heard; who++)
		assert_int_equal(call(who, FS_OP_LOOKUP, ROOT, 0, "a"), ERR_OK);
	assert_int_equal(call(abort_heard, FS_OP_LOOKUP, ROOT, 0, "a"), ERR_LOST);
	abort_heard++;
	assert_int_equal(call(0, FS_OP_LOOKUP, ROOT, 0, "new"), ERR_OK);
	assert_int_equal(call(0, FS_OP_LOOKUP, ROOT, 0, "a"), ERR_OK);
	assert_int_equal(call(0, FS_OP_CREATE, ROOT, 0644, "other"), ERR_READ_ONLY);
	assert_int_equal(call(0, FS_OP_FSYNC, ROOT, 0, 0), ERR_DEVICE);
	assert_int_equal(call(0, FS_OP_SYNC, 0, 0, 0), ERR_DEVICE);
}

// A block of metadata that begins like one of the journal's own.
static const char escaped[] = "magic\0\xc0\x3b\x39\x98 and more than an inode holds: sixty bytes and some, to be sure, and some";

static void make_escaped(void *argument)
{
	(void)argument;
	assert_int_equal(host_call(&workers[0].host, FS_OP_SYMLINK, ROOT, 0, 0, escaped, sizeof(escaped) - 1, 0), ERR_OK);
}

static void read_escaped(void *argument)
{
	(void)argument;
	assert_int_equal(call(0, FS_OP_LOOKUP, ROOT, 0, "magic"), ERR_OK);
	assert_int_equal(host_call(&workers[0].host, FS_OP_READLINK, workers[0].host.result[0], 0, 0, 0, 0, 4096), ERR_OK);
	assert_memory_equal(workers[0].host.in, escaped + 6, sizeof(escaped) - 7);
}

// A block of the journal, or one in place, cannot be written: the commit is given up, and both superblocks say so.
static void aborted_journal(void **state)
{
	bool in_place = (uintptr_t)*state & 1, doubted = (uintptr_t)*state & 2;
	uint32_t run;
	begin_roomy(48, EXT3);
	one(sync_main);
	uint8_t *super = volume_host.image.bytes + (size_t)journal_block(volume->log.journal.area, 0, &run) * 1024;
	const struct ext2_super *s = (const struct ext2_super *)(void *)(volume_host.image.bytes + EXT2_SUPER_OFFSET);
	refuse_commits(in_place);
	assert_int_equal(s->state, EXT2_STATE_VALID);
	one(make_main);
	one(make_escaped);
	doubted ? commit_fails_twice() : commit_fails();
	wait_turns(1000);
	assert_int_equal(jbd2_get(super + JBD2_S_ERROR), (uint32_t)-5);
	assert_int_equal(s->state, EXT2_STATE_VALID | EXT2_STATE_ERROR);
	assert_int_equal(s->error_count, 1);
	assert_int_equal(s->first_error_code, EXT4_ERROR_DEVICE);
	assert_string_equal(s->last_error_function, "flag_error");
	uint64_t refused = bad_from;
	abort_heard = 0;
	for (unsigned i = 0; i < 3; i++) {
		bad_from = i ? refused : bad_to; // it takes writes again: not before the next boot
		assert_true(incarnate());
		one(after_abort_main);
		one(read_escaped);
	}
	assert_true(e2fsck_looks());
	bad_from = bad_to = 0;
	volume_host.image.pending_count = 0;
	((struct ext2_super *)(uintptr_t)s)->state = EXT2_STATE_VALID; // as a replay may leave it
	((struct ext2_super *)(uintptr_t)s)->error_count = 0;
	assert_int_equal(host_mount(&volume_host), ERR_OK); // the next boot
	assert_int_equal(s->state, EXT2_STATE_VALID | EXT2_STATE_ERROR);
	assert_int_equal(jbd2_get(super + JBD2_S_ERROR), 0);
	assert_int_equal(s->error_count, 1);
	assert_int_equal(host_lookup(&volume_host, ROOT, "new") != 0, in_place);
	forget_volume();
}

// The device took writes all the time, and this incarnation was what was wrong: the next one goes on, and nothing is lost.
static void refusal_is_not_believed_at_once(void **state)
{
	(void)state;
	begin_roomy(50, EXT3);
	one(sync_main);
	refuse_commits(false);
	one(make_main);
	dies_of_a_failed_commit();
	bad_from = bad_to = 0;
	assert_true(incarnate());
	assert_false(commit_failed || volume->read_only);
	wait_turns(20000);
	assert_int_equal(ring_serial, ring_committed);
	end();
}

static bool fails_alive(void)
{
	if (setjmp(fixture_death))
		return false;
	wait_for_failure();
	return true;
}

// The server dies anywhere on the way, and in its recovery: in the end the volume is read-only, and tells it.
static void deaths_while_giving_up(void **state)
{
	volatile bool died = true;
	volatile unsigned died_at = 0;
	for (volatile unsigned n = 1; died; n++) {
		begin_roomy(49 + n, EXT3);
		one(sync_main);
		refuse_commits(*state != 0);
		one(make_main);
		fixture_die_at = fixture_steps + n;
		died = true;
		if (!setjmp(fixture_death)) {
			commit_fails();
			died = false;
		}
		fixture_die_at = fixture_steps + 1 + fixture_random() % 40;
		fixture_may_panic = true;
		while (!incarnate() || !fails_alive())
			fixture_die_at = 0;
		fixture_may_panic = false;
		fixture_die_at = 0;
		abort_heard = 0;
		one(after_abort_main);
		assert_int_equal(replays_different, 0);
		bad_from = bad_to = 0;
		forget_volume();
		died_at = n;
	}
	print_message("%u places to die at\n", died_at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_at_once),
		cmocka_unit_test(many_at_once_4k),
		cmocka_unit_test(many_at_once_journal),
		cmocka_unit_test(driver_with_errors),
		cmocka_unit_test(mad_driver),
		CASE(deaths_ext2, deaths, "-b 1024 -I 256 -N 3000"),
		CASE(deaths_journal, deaths, EXT3),
		cmocka_unit_test(failed_commit_is_tried_again),
		cmocka_unit_test(replay_is_committed),
		cmocka_unit_test(damage_is_committed),
		CASE(lost_creation_ext2, lost_creation, EXT2),
		CASE(lost_creation_ext4, lost_creation, EXT4),
		cmocka_unit_test(lost_append),
		cmocka_unit_test(reads_into_lent_memory),
		cmocka_unit_test(listeners_outlive_the_server),
		cmocka_unit_test(no_room_for_losses),
		CASE(forced_before_it_is_met_ext2, forced_before_it_is_met, EXT2),
		CASE(forced_before_it_is_met_ext3, forced_before_it_is_met, EXT3),
		CASE(who_is_alone_pays_nothing_ext2, who_is_alone_pays_nothing, EXT2),
		CASE(met_after_a_death_ext2, met_after_a_death, EXT2),
		CASE(appends_in_turn_ext2, appends_in_turn, EXT2),
		CASE(appends_in_turn_ext3, appends_in_turn, EXT3),
		CASE(nobody_is_kept_waiting_ext2, nobody_is_kept_waiting, EXT2),
		CASE(fsync_commits_what_is_needed_ext2, fsync_commits_what_is_needed, EXT2),
		CASE(fsync_commits_what_is_needed_ext3, fsync_commits_what_is_needed, EXT3),
		CASE(fsync_is_shared_ext2, fsync_is_shared, EXT2),
		CASE(fsync_is_shared_ext3, fsync_is_shared, EXT3),
		CASE(fsync_survives_power_cuts_ext3, fsync_survives_power_cuts, EXT3),
		CASE(fsync_survives_power_cuts_ext4, fsync_survives_power_cuts, "-t ext4 -b 1024 -N 3000 -J size=1"),
		cmocka_unit_test(fsync_after_a_death),
		cmocka_unit_test(open_file_outlives_its_name),
		CASE(chain_on_the_disk_ext2, chain_on_the_disk, EXT2),
		CASE(chain_on_the_disk_ext4, chain_on_the_disk, EXT4),
		cmocka_unit_test(client_that_is_gone_has_nothing_open),
		CASE(orphan_of_a_failed_commit_ext2, orphan_of_a_failed_commit, EXT2),
		CASE(orphan_of_a_failed_commit_ext4, orphan_of_a_failed_commit, EXT4),
		CASE(chain_is_worked_off_in_any_order_ext2, chain_is_worked_off_in_any_order, EXT2),
		CASE(chain_is_worked_off_in_any_order_ext4, chain_is_worked_off_in_any_order, EXT4),
		cmocka_unit_test(handles_cannot_be_made),
		cmocka_unit_test(shared_appends_and_chains),
		cmocka_unit_test(refused_writes),
		CASE(aborted_in_journal, aborted_journal, 0),
		CASE(aborted_in_place, aborted_journal, 1),
		CASE(aborted_in_journal_twice, aborted_journal, 2),
		CASE(aborted_in_place_twice, aborted_journal, 3),
		cmocka_unit_test(refusal_is_not_believed_at_once),
		CASE(deaths_while_giving_up_in_journal, deaths_while_giving_up, false),
		CASE(deaths_while_giving_up_in_place, deaths_while_giving_up, true),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
