// Power cuts: at every write, with any subset of the sectors that no flush covers lost, beside and after deaths of fs.
//
// A workload runs over a disk with a volatile cache; every sector and flush is traced. An image is rebuilt for each cut. On a
// copy e2fsck replays the journal and must then find nothing; our own mount must agree with it; and the volume must be one
// of the states that commits have made, not older than what was acknowledged as durable. The mark on the disk says which.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "deaths.h"
#include <stdlib.h>
#include <string.h>

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

#define FILES_MOST 400u

struct file { // one object in a state
	char path[512];
	struct fs_stat stat;
	uint8_t *data;
};

struct state { // what a commit was to make
	uint64_t serial;
	struct file files[FILES_MOST];
	unsigned count;
};

static struct state **states;
static size_t state_count;
static struct trace trace;

static void dump_directory(struct host *h, struct state *s, uint64_t directory, const char *path);

static void dump_one(struct host *h, struct state *s, const char *path, uint64_t handle)
{
	assert_true(s->count < FILES_MOST);
	struct file *f = &s->files[s->count++];
	snprintf(f->path, sizeof(f->path), "%s", path);
	assert_int_equal(host_call(h, FS_OP_STAT, handle, 0, 0, 0, 0, sizeof(f->stat)), ERR_OK);
	memcpy(&f->stat, h->in, sizeof(f->stat));
	uint32_t type = f->stat.mode & FS_MODE_TYPE;
	f->data = 0;
	if (type == FS_MODE_DIRECTORY) {
		dump_directory(h, s, handle, path);
		return;
	}
	assert_true(f->stat.size < 0x100000);
	f->data = malloc(f->stat.size + 1);
	for (uint64_t done = 0; done < f->stat.size; done += h->result[0]) {
		uint32_t room = f->stat.size - done < 65536 ? (uint32_t)(f->stat.size - done) : 65536;
		assert_int_equal(host_call(h, type == FS_MODE_FILE ? FS_OP_READ : FS_OP_READLINK, handle, done, 0, 0, 0, room),
				 ERR_OK);
		memcpy(f->data + done, h->in, h->result[0]);
		assert_true(h->result[0] > 0);
	}
}

static void dump_directory(struct host *h, struct state *s, uint64_t directory, const char *path)
{
	char names[200][256];
	unsigned count = 0;
	for (uint64_t cookie = 0, end = 0; !end;) {
		assert_int_equal(host_call(h, FS_OP_READDIR, directory, cookie, 0, 0, 0, 60000), ERR_OK);
		cookie = h->result[1];
		end = h->result[2];
		for (uint32_t at = 0; at < h->result[0];) {
			const struct fs_dirent *d = (const struct fs_dirent *)(const void *)(h->in + at);
			assert_true(count < 200);
			memcpy(names[count], d + 1, d->name_length);
			names[count][d->name_length] = 0;
			if (strcmp(names[count], ".") && strcmp(names[count], ".."))
				count++;
			at += d->record;
		}
	}
	for (unsigned i = 0; i < count; i++) {
		char below[512];
		snprintf(below, sizeof(below), "%s/%s", path, names[i]);
		dump_one(h, s, below, host_lookup(h, directory, names[i]));
	}
}

static struct state *dump(struct host *h)
{
	struct state *s = calloc(1, sizeof(*s));
	s->serial = h->serial;
	dump_one(h, s, "", host_root(h));
	return s;
}

static void state_free(struct state *s)
{
	for (unsigned i = 0; i < s->count; i++)
		free(s->files[i].data);
	free(s);
}

// In the order of serials: a replay may commit between two that are known. Looking on is no step that can be died at.
static void note_state(struct host *h)
{
	size_t i = state_count;
	uint64_t left = fixture_die_at > fixture_steps ? fixture_die_at - fixture_steps : 0;
	while (i > 0 && states[i - 1]->serial >= h->serial)
		i--;
	if (i < state_count && states[i]->serial == h->serial)
		return;
	while (i > 0 && states[i - 1]->serial > h->mark) { // its commit died before it wrote anything, and this one takes its place
		state_free(states[--i]);
		memmove(states + i, states + i + 1, (--state_count - i) * sizeof(*states));
	}
	fixture_die_at = 0;
	struct state *s = dump(h);
	states = realloc(states, (state_count + 1) * sizeof(*states));
	memmove(states + i + 1, states + i, (state_count - i) * sizeof(*states));
	states[i] = s;
	state_count++;
	fixture_die_at = left ? fixture_steps + left : 0;
}

// ---- comparing ----

static const struct file *by_handle(const struct state *s, uint64_t handle)
{
	for (unsigned i = 0; s && i < s->count; i++) {
		if (s->files[i].stat.identity == handle)
			return &s->files[i];
	}
	return 0;
}

// Content is written in place before the commit: a sector may be that of the next state already.
static bool sector_allowed(const struct file *f, const struct file *now, const struct file *next, uint64_t at)
{
	uint64_t n = f->stat.size - at < 512 ? f->stat.size - at : 512;
	static const uint8_t zeros[512];
	if (memcmp(f->data + at, now->data + at, n) == 0)
		return true;
	if (!next || !next->data)
		return false;
	uint64_t there = next->stat.size > at ? next->stat.size - at : 0;
	there = there < n ? there : n;
	return memcmp(f->data + at, next->data + at, there) == 0 && memcmp(f->data + at + there, zeros, n - there) == 0;
}

// Blocks are not compared: a replay may choose others, and then an extent tree is larger or smaller.
static bool file_allowed(const struct file *f, const struct file *now, const struct file *next)
{
	if (strcmp(f->path, now->path) || f->stat.identity != now->stat.identity || f->stat.size != now->stat.size ||
	    f->stat.mode != now->stat.mode || f->stat.links != now->stat.links || f->stat.mtime != now->stat.mtime)
		return false;
	for (uint64_t at = 0; f->data && at < f->stat.size; at += 512) {
		if (!sector_allowed(f, now, next, at))
			return false;
	}
	return true;
}

static void assert_allowed(const struct state *s, uint64_t mark, uint64_t durable)
{
	size_t i = 0;
	assert_true(mark >= durable);
	while (i < state_count && states[i]->serial != mark)
		i++;
	assert_true(i < state_count); // else it is a mark that no commit had
	const struct state *now = states[i], *next = i + 1 < state_count ? states[i + 1] : 0;
	assert_int_equal(s->count, now->count);
	for (unsigned f = 0; f < s->count; f++) {
		if (!file_allowed(&s->files[f], &now->files[f], by_handle(next, s->files[f].stat.identity)))
			fail_msg("%s is not as it was at serial %llu: size %llu instead of %llu", s->files[f].path,
				 (unsigned long long)mark, (unsigned long long)s->files[f].stat.size,
				 (unsigned long long)now->files[f].stat.size);
	}
}

// ---- cutting ----

// The image after a cut behind `events` of the trace. *durable: the mark that was acknowledged by then.
static void rebuild(uint8_t *image, const uint8_t *base, size_t bytes, size_t events, bool whole_super, uint64_t *durable)
{
	size_t flushed = 0;
	memcpy(image, base, bytes);
	*durable = 0;
	for (size_t i = 0; i < events; i++) {
		if (trace.events[i].kind == TRACE_FLUSH)
			flushed = i;
		if (trace.events[i].kind == TRACE_DURABLE)
			*durable = trace.events[i].offset;
	}
	unsigned keep = fixture_random() % 4; // none, all, or some of them
	bool kept = false;
	for (size_t i = 0; i < events; i++) {
		const struct trace_event *e = &trace.events[i];
		if (e->kind != TRACE_WRITE)
			continue;
		if (!whole_super || e->offset != EXT2_SUPER_OFFSET + 512)
			kept = i < flushed || keep == 1 || (keep > 1 && fixture_random() & 1);
		if (kept)
			memcpy(image + e->offset, e->data, e->bytes);
	}
}

// e2fsck's replay of a copy, into `copy`; it must find nothing wrong then.
static void e2fsck_replay(const uint8_t *image, uint8_t *copy, size_t bytes)
{
	if (!file_run("e2fsck -fy -E journal_only $f > /dev/null 2>&1; e2fsck -fn $f > $f.log 2>&1 || { head -40 $f.log >&2; false; }",
		      image, bytes, copy))
		fail_msg("e2fsck -fn found damage");
}

static struct state *state_of(struct host *h)
{
	struct state *s = dump(h);
	s->serial = h->mark;
	return s;
}

// Judges one cut.
static void judge(struct host *h, const uint8_t *image, uint8_t *copy, uint64_t durable)
{
	e2fsck_replay(image, copy, h->image.disk.bytes);
	host_power_on(h, copy);
	assert_true(host_start(h, false));
	struct state *theirs = state_of(h);
	host_power_on(h, image);
	host_start_with_deaths(h, 12);
	struct state *ours = state_of(h);
	assert_int_equal(ours->serial, theirs->serial);
	assert_allowed(theirs, theirs->serial, durable);
	assert_allowed(ours, ours->serial, durable);
	assert_int_equal(h->volume->corruptions, 0);
	e2fsck_replay(h->image.bytes, copy, h->image.disk.bytes);
	state_free(ours);
	state_free(theirs);
}

// Fills trace and states: `ops` operations, with a death of fs about every `lifetime` steps (0: none).
static void record_run(struct host *h, unsigned ops, unsigned commit_every, unsigned lifetime)
{
	struct model m;
	model_make(&m, h);
	m.file_max = 20000;
	note_state(h);
	for (unsigned done = 0; done < ops; done += 20) {
		die_after(lifetime ? 1 + fixture_random() % lifetime : 0);
		while (!model_run(&m, h, 20, commit_every)) {
			do
				die_after(fixture_random() & 1 ? 1 + fixture_random() % lifetime : 0);
			while (!host_start(h, true));
		}
		die_after(0);
	}
	assert_int_equal(h->pieces, 0);
	model_free(&m);
}

// Before the flush that follows the next write of the journal's superblock, where there is one: older transactions are dropped
// there, and what takes their place must not reach the disk before that is known.
static size_t next_move_of_tail(size_t at, uint64_t journal)
{
	bool moved = false;
	for (size_t i = at; i < trace.count; i++) {
		const struct trace_event *e = &trace.events[i];
		moved |= e->kind == TRACE_WRITE && e->offset == journal + 512;
		if (moved && e->kind == TRACE_FLUSH)
			return i;
	}
	return at;
}

struct cuts {
	uint64_t seed;
	const char *options;
	unsigned kib, ops, commit_every, lifetime; // see record_run
	unsigned cuts;
};

static void power_cuts(void **state)
{
	const struct cuts *c = *state;
	unsigned cuts = getenv("FULL") ? c->cuts * 20 : c->cuts;
	struct host h;
	fixture_quiet = true;
	fixture_seed(c->seed);
	host_make(&h, c->options, c->kib, 0, 1 << 20, 512 << 10);
	uint8_t *base = malloc(h.image.disk.bytes), *image = malloc(h.image.disk.bytes), *copy = malloc(h.image.disk.bytes);
	memcpy(base, h.image.bytes, h.image.disk.bytes);
	h.image.trace = &trace;
	h.image.whole_super = strstr(c->options, "ext4"); // CAVEATS: e2fsck gives a superblock with a wrong checksum up
	h.committing = note_state;
	assert_int_equal(host_mount(&h), ERR_OK);
	assert_non_null(h.volume->mark_place);
	record_run(&h, c->ops, c->commit_every, c->lifetime);
	h.image.trace = 0;
	h.committing = 0;
	uint32_t area_bytes, run;
	const struct journal_area *area = commit_journal_area(&h.image.disk, &area_bytes);
	uint64_t journal = (uint64_t)journal_block(area, 0, &run) * h.volume->block_size;
	for (unsigned i = 0; i < cuts; i++) {
		uint64_t durable;
		size_t at = (size_t)((uint64_t)trace.count * i / cuts) + fixture_random() % (trace.count / cuts + 1);
		if (i % 3 == 0)
			at = next_move_of_tail(at, journal);
		rebuild(image, base, h.image.disk.bytes, at < trace.count ? at : trace.count, h.image.whole_super,
			&durable);
		judge(&h, image, copy, durable);
	}
	print_message("%zu events, %zu states, %u cuts\n", trace.count, state_count, cuts);
	for (size_t i = 0; i < state_count; i++)
		state_free(states[i]);
	state_count = 0;
	trace_free(&trace);
	free(base);
	free(image);
	free(copy);
	host_free(&h);
	fixture_quiet = false;
}

#define CUTS(name, ...) CASE(name, power_cuts, &(const struct cuts){__VA_ARGS__})

int main(void)
{
	const struct CMUnitTest tests[] = {
		// the journal of a megabyte goes round several times
		CUTS(cut_anywhere, 501, "-b 1024 -I 256 -N 300 -O has_journal -J size=1", 4000, 1200, 12, 0, 12),
		CUTS(cut_with_deaths, 502, "-b 1024 -I 256 -N 300 -O has_journal -J size=1", 4000, 600, 9, 60, 12),
		CUTS(cut_4k, 503, "-b 4096 -I 256 -N 300 -O has_journal -J size=4", 12000, 600, 12, 90, 6),
		CUTS(cut_ext4, 504, "-t ext4 -b 1024 -I 256 -N 300 -J size=1", 6000, 600, 12, 90, 12),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
