// The whole server above a driver and below clients that are not there: several fibers at once, reads and writes that
// complete in any order, commits by timer, by sync and by shortage, death at any moment, replay in serial order.
//
// serve.c and block.c are compiled into this file, so that an incarnation can be ended: their statics are set to zero.
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
#include "servers/fs/serve.c"

#define FIBERS 5
#define STACK 131072
#define PENDING 64

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
static struct timer *timers;

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
	timers = timer; // the server has one
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

static void driver_perform(struct client *c, struct client_request *r)
{
	uint64_t at = r->arg[0] * SECTOR_SIZE;
	uint64_t bytes = r->op == BLOCK_OP_READ ? r->in_length : r->out_length;
	r->completion = (struct completion){.status = ERR_OK, .result = {bytes}};
	if (driver_errors && fixture_random() % driver_errors == 0) {
		r->completion.status = ERR_DEVICE;
		return;
	}
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

uint64_t server_record(struct server_request *request, const uint64_t result[5])
{
	struct ring_entry *e = (struct ring_entry *)request;
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

static enum error routed(struct host *h, const struct request *request, const uint8_t *out)
{
	struct ring_entry e = {.request = {.copy = *request, .out = out, .in = h->in}};
	e.request.copy.time = ticks;
	serve_request(&e.request);
	assert_true(e.done);
	memcpy(h->result, e.result, sizeof(h->result));
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
		if (timers && timers->armed && ticks >= timers->deadline) {
			timers->armed = false;
			timers->expired(timers);
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
	if (start_error == ERR_OK && resumed && commit_known(&served_disk))
		start_error = commit_recover(&served_disk, &mark);
	else if (start_error == ERR_OK)
		commit_format(&served_disk);
	if (start_error == ERR_OK)
		start_error = volume_open(volume_host.volume, &served_disk, &memory);
	if (start_error == ERR_OK)
		start_error = serve_start(volume_host.volume, 1800000000, mark);
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
	commit_due = commit_failed = false;
	commit_timer.armed = false;
	closing_count = 0;
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
	ring_serial = ring_committed = acknowledged = 0;
	assert_true(incarnate());
	one(setup_main);
}

static void end(void)
{
	fixture_die_at = 0;
	assert_true(run_workers(0, true));
	one(sync_main);
	assert_true(host_clean(&volume_host));
	assert_int_equal(volume_host.volume->corruptions, 0);
	assert_int_equal(replays_different, 0);
	for (unsigned i = 0; i < FIBERS; i++) {
		model_free(&workers[i].model);
		free(workers[i].host.in);
	}
	host_free(&volume_host);
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

static void driver_with_errors(void **state)
{
	(void)state;
	fixture_seed(33);
	begin("-b 1024 -N 3000", 1 << 20, 512 << 10);
	driver_errors = 20;
	assert_true(run_workers(500, false));
	driver_errors = 0;
	end();
}

static void deaths(void **state)
{
	unsigned died = 0, rounds = getenv("FULL") ? 2000 : 150;
	(void)state;
	fixture_seed(34);
	begin("-b 1024 -I 256 -N 3000", 600 << 10, 256 << 10);
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
	fixture_seed(35);
	begin("-b 1024 -N 3000", 1 << 20, 512 << 10);
	one(make_main);
	assert_true(ring_serial > ring_committed);
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
	fixture_seed(36);
	begin("-b 1024 -N 3000", 1 << 20, 512 << 10);
	one(make_main);
	assert_true(ring_serial > ring_committed);
	assert_true(incarnate());
	wait_turns(1000);
	assert_int_equal(ring_serial, ring_committed);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_at_once),
		cmocka_unit_test(many_at_once_4k),
		cmocka_unit_test(driver_with_errors),
		cmocka_unit_test(deaths),
		cmocka_unit_test(failed_commit_is_tried_again),
		cmocka_unit_test(replay_is_committed),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
