// See fixture.h. Also stands in for the parts of the runtime that the core calls.
#include "fixture.h"
#include "tests/traced_points.h"
#include "runtime/runtime.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

uint64_t fixture_steps, fixture_die_at;
const char *fixture_fail_point;
jmp_buf fixture_death;
bool fixture_may_panic;
char fixture_last_log[256];
unsigned fixture_logs;
bool fixture_quiet;
uint32_t inject_any;
static uint64_t random_state = 1;

void fixture_seed(uint64_t seed)
{
	random_state = seed * 0x9e3779b97f4a7c15ull + 1;
}

uint32_t fixture_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 16);
}

static void step(void)
{
	fixture_steps++;
	if (fixture_die_at && fixture_steps == fixture_die_at)
		longjmp(fixture_death, 1);
}

enum error inject_fire(struct inject_point *point)
{
	step();
	if (!fixture_fail_point || strcmp(point->name, fixture_fail_point) != 0)
		return ERR_OK;
	fixture_fail_point = 0;
	return ERR_INJECTED;
}

void log_line(const char *format, ...)
{
	va_list list;
	va_start(list, format);
	vsnprintf(fixture_last_log, sizeof(fixture_last_log), format, list);
	va_end(list);
	fixture_logs++;
	if (!fixture_quiet)
		fprintf(stderr, "%s\n", fixture_last_log);
}

_Noreturn void domain_panic(const char *file, int line, const char *what)
{
	if (fixture_may_panic)
		longjmp(fixture_death, 1);
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

// ---- the disk ----

static enum error image_read(struct disk *disk, struct disk_read *read, bool must)
{
	struct image *image = (struct image *)disk;
	(void)must;
	if (read->offset > disk->bytes || read->bytes > disk->bytes - read->offset)
		return ERR_INVALID;
	image->reads++;
	read->done(read, ERR_OK, image->bytes + read->offset);
	return ERR_OK;
}

static void image_wait(struct disk *disk)
{
	(void)disk;
	abort(); // reads end at once, so nobody can have to wait
}

static void trace_add(struct image *image, int kind, uint64_t offset, const uint8_t *data, uint32_t bytes)
{
	struct trace *t = image->trace;
	if (!t)
		return;
	if (t->count == t->room) {
		t->room = t->room * 2 + 256;
		t->events = realloc(t->events, t->room * sizeof(*t->events));
	}
	struct trace_event *e = &t->events[t->count++];
	*e = (struct trace_event){.kind = kind, .offset = offset, .bytes = bytes, .data = malloc(bytes + 1)};
	memcpy(e->data, data ? data : (const uint8_t *)"", bytes);
}

void trace_free(struct trace *t)
{
	for (size_t i = 0; i < t->count; i++)
		free(t->events[i].data);
	free(t->events);
	*t = (struct trace){0};
}

static void apply(struct image *image, unsigned i, bool torn)
{
	bool lost = false;
	for (uint32_t at = 0; at < image->pending[i].bytes; at += 512) {
		if (!image->whole_super || image->pending[i].offset + at != EXT2_SUPER_OFFSET + 512)
			lost = torn && fixture_random() & 1;
		if (lost)
			continue;
		memcpy(image->bytes + image->pending[i].offset + at, image->pending[i].from + at, 512);
		trace_add(image, TRACE_WRITE, image->pending[i].offset + at, image->pending[i].from + at, 512);
	}
}

// Dying: any subset of the sectors under way reaches the medium.
static void image_step(struct image *image)
{
	if (fixture_die_at && fixture_steps + 1 == fixture_die_at) {
		for (unsigned i = 0; i < image->pending_count; i++)
			apply(image, i, true);
		image->pending_count = 0;
	}
	step();
}

static enum error image_write(struct disk *disk, uint64_t offset, const uint8_t *from, uint32_t bytes)
{
	struct image *image = (struct image *)disk;
	if (offset > disk->bytes || bytes > disk->bytes - offset || image->pending_count == FIXTURE_PENDING)
		abort();
	if (from < disk->log || from + bytes > disk->log + disk->log_bytes || bytes > DISK_WRITE_BYTES)
		abort();
	if (image->lose_write && --image->lose_write == 0)
		return ERR_OK;
	offset += image->stray_write && --image->stray_write == 0 ? 1024 : 0;
	image->pending[image->pending_count].offset = offset;
	image->pending[image->pending_count].from = from;
	image->pending[image->pending_count++].bytes = bytes;
	image_step(image);
	return ERR_OK;
}

static enum error image_write_wait(struct disk *disk)
{
	struct image *image = (struct image *)disk;
	image_step(image);
	for (unsigned i = 0; i < image->pending_count; i++) {
		apply(image, i, image->fail_writes);
		disk->written += disk_write_sum(image->pending[i].offset, (uint64_t)(image->pending[i].from - disk->log),
						image->pending[i].bytes);
	}
	image->pending_count = 0;
	return image->fail_writes ? ERR_DEVICE : ERR_OK;
}

static enum error image_flush(struct disk *disk)
{
	struct image *image = (struct image *)disk;
	image_step(image);
	trace_add(image, TRACE_FLUSH, 0, 0, 0);
	disk->flushed += !(image->lose_flush && --image->lose_flush == 0);
	return ERR_OK;
}

// ---- files ----

// A name that this process has not used yet; another may have left it behind.
static void temporary_name(char path[TEMPORARY_PATH])
{
	static unsigned used;
	snprintf(path, TEMPORARY_PATH, "/tmp/fs-test-%d-%u", (int)getpid(), used++);
}

int temporary_file(char path[TEMPORARY_PATH])
{
	int fd;
	do {
		temporary_name(path);
		fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	} while (fd < 0 && errno == EEXIST);
	if (fd < 0)
		abort();
	return fd;
}

void temporary_directory(char path[TEMPORARY_PATH])
{
	int made;
	do {
		temporary_name(path);
		made = mkdir(path, 0700);
	} while (made < 0 && errno == EEXIST);
	if (made < 0)
		abort();
}

bool file_run(const char *command, const uint8_t *bytes, size_t count, uint8_t *back)
{
	char path[TEMPORARY_PATH], log[TEMPORARY_PATH + 4];
	FILE *f = fdopen(temporary_file(path), "w+b");
	if (!f || fwrite(bytes, 1, count, f) != count || fflush(f))
		abort();
	setenv("f", path, 1);
	bool ok = system(command) == 0;
	rewind(f);
	if (back && fread(back, 1, count, f) != count)
		abort();
	fclose(f);
	snprintf(log, sizeof(log), "%s.log", path);
	unlink(log);
	unlink(path);
	return ok;
}

bool host_run(const struct host *h, const char *command)
{
	return file_run(command, h->image.bytes, h->image.disk.bytes, 0);
}

bool host_change(struct host *h, const char *command)
{
	return file_run(command, h->image.bytes, h->image.disk.bytes, h->image.bytes);
}

// ---- the host ----

void host_make(struct host *h, const char *options, unsigned kib, const char *tree, size_t cache_bytes, size_t log_bytes)
{
	char path[TEMPORARY_PATH], command[1024];
	close(temporary_file(path));
	memset(h, 0, sizeof(*h));
	snprintf(command, sizeof(command), "mke2fs -q -F %s %s %s%s %s %uk > /dev/null 2>&1",
		 strstr(options, "-t ") ? "" : "-t ext2", options, tree ? "-d " : "",
		 tree ? tree : "", path, kib);
	if (system(command) != 0) {
		fprintf(stderr, "this failed: %s\n", command);
		abort();
	}
	FILE *f = fopen(path, "rb");
	h->image.bytes = calloc(kib, 1024);
	if (fread(h->image.bytes, 1024, kib, f) == 0) // a last group that is too small is left out
		abort();
	fclose(f);
	unlink(path);
	h->image.log = aligned_alloc(4096, log_bytes);
	memset(h->image.log, 0, log_bytes);
	h->image.cache = malloc(cache_bytes);
	h->image.cache_bytes = cache_bytes;
	h->image.disk = (struct disk){
		.bytes = (uint64_t)kib * 1024,
		.log = h->image.log,
		.log_bytes = log_bytes,
		.read_start = image_read,
		.wait = image_wait,
		.write = image_write,
		.write_wait = image_write_wait,
		.flush = image_flush,
	};
	h->volume = malloc(sizeof(*h->volume));
	h->in = malloc(FS_TRANSFER_MAX);
	h->now = 1800000000;
}

// The cache's second half comes in steps, while there are any.
static uint8_t *more_at, *more_end;

static void *more(size_t bytes)
{
	if ((size_t)(more_end - more_at) < bytes)
		return 0;
	more_at += bytes;
	return more_at - bytes;
}

static enum error open_volume(struct host *h, bool resumed)
{
	size_t half = h->image.cache_bytes >= 2 * CACHE_STEP ? h->image.cache_bytes / 2 : h->image.cache_bytes;
	struct cache_memory memory = {h->image.cache, half, h->image.cache_bytes, more};
	more_at = (uint8_t *)h->image.cache + half;
	more_end = (uint8_t *)h->image.cache + h->image.cache_bytes;
	return volume_mount(h->volume, &h->image.disk, &memory, resumed, &h->mark);
}

enum error host_mount(struct host *h)
{
	enum error error = open_volume(h, false);
	h->serial = h->mark;
	return error;
}

static void forget_records(struct host *h, uint64_t mark)
{
	size_t kept = 0;
	for (size_t i = 0; i < h->record_count; i++) {
		if (h->records[i].serial > mark)
			h->records[kept++] = h->records[i];
		else
			free(h->records[i].out);
	}
	h->record_count = kept;
}

void host_free(struct host *h)
{
	forget_records(h, ~0ull);
	free(h->records);
	free(h->image.bytes);
	free(h->image.log);
	free(h->image.cache);
	free(h->volume);
	free(h->in);
}

enum error host_commit(struct host *h)
{
	uint32_t count;
	if (h->committing)
		h->committing(h);
	enum error error = fsop_commit_begin(h->volume, h->serial, &count);
	if (error == ERR_OK && count) {
		error = fsop_commit_write(h->volume);
		if (error == ERR_OK)
			trace_add(&h->image, TRACE_DURABLE, h->serial, 0, 0);
		if (error == ERR_OK)
			error = commit_checkpoint(&h->volume->log);
		if (error == ERR_OK)
			fsop_commit_end(h->volume);
	}
	if (error == ERR_OK) {
		h->mark = h->serial;
		forget_records(h, h->mark);
	}
	return error;
}

static enum error make_room(struct host *h, const struct request *request)
{
	uint32_t need = fsop_need(h->volume, request);
	if (need && h->volume->cache.dirty.count + need > volume_dirty_limit(h->volume))
		return host_commit(h);
	return ERR_OK;
}

static struct recorded *next_record(struct host *h)
{
	for (size_t i = 0; i < h->record_count; i++) {
		if (h->records[i].serial > h->serial)
			return &h->records[i];
	}
	return 0;
}

// As serve.c does it.
static enum error perform(struct host *h, const struct fs_call *call, uint64_t result[5])
{
	enum error error = fsop_perform(h->volume, call, result);
	for (bool shrink = false; error == ERR_LIMIT || error == ERR_NO_MEMORY || error == ERR_AGAIN;
	     shrink = error != ERR_AGAIN) {
		if (shrink && (error = fsop_shrink(h->volume, call)) != ERR_OK)
			return error;
		h->pieces += shrink;
		error = host_commit(h);
		if (error == ERR_OK)
			error = fsop_perform(h->volume, call, result);
	}
	return error;
}

unsigned host_reincarnate(struct host *h)
{
	unsigned differ = 0;
	h->image.pending_count = 0;
	memset(h->image.cache, 0xa5, h->image.cache_bytes);
	memset(h->volume, 0xa5, sizeof(*h->volume));
	if (open_volume(h, true) != ERR_OK) {
		fprintf(stderr, "%s\n", h->volume->reason);
		abort();
	}
	forget_records(h, h->mark);
	trace_add(&h->image, TRACE_DURABLE, h->mark, 0, 0);
	h->serial = h->mark;
	while (next_record(h)) {
		struct recorded r = *next_record(h); // commits move and drop the records before it
		struct fs_call call = {&r.request, r.out, h->in, r.now, r.result, 0};
		uint64_t result[5];
		if (make_room(h, &r.request) != ERR_OK)
			abort();
		enum error error = perform(h, &call, result);
		if (error != ERR_OK || memcmp(result, r.result, sizeof(result)))
			differ++;
		h->serial = r.serial;
	}
	return differ;
}

static void record(struct host *h, const struct fs_call *call)
{
	if (h->record_count == h->record_room) {
		h->record_room = h->record_room * 2 + 64;
		h->records = realloc(h->records, h->record_room * sizeof(*h->records));
	}
	struct recorded *r = &h->records[h->record_count++];
	*r = (struct recorded){.request = *call->request, .now = call->now, .serial = ++h->serial};
	r->out = malloc(call->request->out_length + 1);
	memcpy(r->out, call->out ? call->out : (const uint8_t *)"", call->out ? call->request->out_length : 0);
	memcpy(r->result, h->result, sizeof(r->result));
}

enum error host_call(struct host *h, uint16_t op, uint64_t a0, uint64_t a1, uint64_t a2, const void *out,
		     uint32_t out_length, uint32_t in_length)
{
	struct request request = {.op = op, .arg = {a0, a1, a2}, .out_length = out_length, .in_length = in_length};
	struct fs_call call = {&request, out, h->in, h->now, 0, 0};
	if (h->route)
		return h->route(h, &request, out);
	enum error error = make_room(h, &request);
	if (error == ERR_OK)
		error = perform(h, &call, h->result);
	if (error == ERR_OK && fsop_changes(op))
		record(h, &call);
	return error;
}

uint64_t host_root(struct host *h)
{
	return host_call(h, FS_OP_ROOT, 0, 0, 0, 0, 0, 0) == ERR_OK ? h->result[0] : 0;
}

uint64_t host_lookup(struct host *h, uint64_t directory, const char *name)
{
	return host_call(h, FS_OP_LOOKUP, directory, 0, 0, name, (uint32_t)strlen(name), 0) == ERR_OK ? h->result[0] : 0;
}

uint64_t host_path(struct host *h, const char *path)
{
	char copy[4096], *save = 0;
	uint64_t at = host_root(h);
	snprintf(copy, sizeof(copy), "%s", path);
	for (char *part = strtok_r(copy, "/", &save); part && at; part = strtok_r(0, "/", &save))
		at = host_lookup(h, at, part);
	return at;
}

enum error host_write_all(struct host *h, uint64_t handle, uint64_t offset, const void *data, size_t bytes)
{
	for (size_t done = 0; done < bytes;) {
		uint32_t n = bytes - done < 65536 ? (uint32_t)(bytes - done) : 65536;
		enum error error = host_call(h, FS_OP_WRITE, handle, offset + done, 0, (const uint8_t *)data + done, n, 0);
		if (error != ERR_OK)
			return error;
		done += n;
	}
	return ERR_OK;
}

bool host_orphans(const struct host *h, unsigned orphans)
{
	char command[512];
	snprintf(command, sizeof(command),
		 "export E2FSCK_TIME=1900000000; e2fsck -fp $f > $f.log 2>&1; test $? -le 1 && test $(grep -c 'Clearing orphaned inode' $f.log) -eq %u && "
		 "test $(wc -l < $f.log) -eq %u && e2fsck -fn $f >> $f.log 2>&1 || { cat $f.log >&2; false; }",
		 orphans, orphans + 1);
	return host_run(h, command);
}

bool host_clean(const struct host *h)
{
	char command[256]; // a journal is replayed on this copy first
	snprintf(command, sizeof(command), "{ %s e2fsck -fn $f; } > $f.log 2>&1 || { head -40 $f.log >&2; false; }",
		 h->volume->has_journal ? "e2fsck -fy -E journal_only $f;" : "");
	return host_run(h, command);
}
