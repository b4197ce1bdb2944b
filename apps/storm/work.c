// The workload of storm: files with known contents, and a model of them in memory.
//
// Each worker owns a directory, the model of its files, and a random sequence. Nobody else touches that directory, so
// the model is exact: every operation must succeed, every byte read must be the model's. Contents are made of chunks,
// each a function of a seed and the offset; an overwrite changes the seeds of whole chunks. Must never continue with a
// file after an error on it: its model is then unknown and it is left out (and the run has failed). If this domain dies,
// the files stay and are whole, and the run counts as failed.
#include "apps/storm/storm.h"
#include "runtime/error_text.h"
#include "runtime/fiber.h"
#include "runtime/file.h"
#include "runtime/runtime.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FILES 8u
#define CHUNK 512u
#define CHUNKS 384u // 192 KiB: through the single and into the double indirect blocks of a 1 KiB file system
#define FILE_LIMIT (CHUNK * CHUNKS)
#define PIECE 32768u // largest single write
#define CALM_PAUSE_US 1000u  // between operations while victims are judged and come back: that needs the host's time too
#define ERROR_PAUSE_US 2000u // after an error in a campaign, which goes on

struct model {
	bool exists;
	bool broken; // an operation failed: contents unknown
	unsigned name;
	uint64_t size;
	uint32_t seed[CHUNKS];
};

struct worker {
	unsigned number;
	uint64_t random;
	unsigned next_name;
	unsigned checked;   // the last check that it has made
	unsigned abandoned; // files of unknown content that a campaign left behind
	char directory[64];
	struct model files[FILES];
	uint8_t buffer[PIECE];
	struct directory listing;
	struct directory_entry entry;
};

static struct worker workers[STORM_WORKERS_MAX];
static unsigned check_wanted; // number of the last check that somebody wants
static char base[32];

const char *storm_work_directory(void)
{
	return base;
}

// --- contents

static uint64_t pattern_word(uint32_t seed, uint64_t word)
{
	uint64_t state = (uint64_t)seed << 32 ^ word;
	return seed ? storm_random(&state) : 0;
}

static uint8_t pattern_byte(const struct model *m, uint64_t offset)
{
	return (uint8_t)(pattern_word(m->seed[offset / CHUNK], offset / 8) >> (offset % 8 * 8));
}

static void pattern_fill(const struct model *m, uint64_t offset, uint8_t *data, size_t length)
{
	for (size_t i = 0; i < length;) {
		uint64_t at = offset + i;
		if (at % 8 == 0 && length - i >= 8) {
			uint64_t word = pattern_word(m->seed[at / CHUNK], at / 8);
			memcpy(data + i, &word, 8); // little-endian, as pattern_byte has it
			i += 8;
		} else {
			data[i++] = pattern_byte(m, at);
		}
	}
}

static uint64_t pattern_differs(const struct model *m, uint64_t offset, const uint8_t *data, size_t length)
{
	uint8_t expected[CHUNK];
	uint64_t wrong = 0;
	for (size_t i = 0; i < length; i += CHUNK) {
		size_t take = length - i < CHUNK ? length - i : CHUNK;
		pattern_fill(m, offset + i, expected, take);
		for (size_t j = 0; memcmp(expected, data + i, take) != 0 && j < take; j++)
			wrong += expected[j] != data[i + j];
	}
	return wrong;
}

// --- complaints

static bool succeeded(struct worker *w, struct model *m, const char *what, enum error e)
{
	storm_counts.ops++;
	if (e == ERR_OK)
		return true;
	storm_counts.errors++;
	storm_counts.last_error = e;
	if (m)
		m->broken = true;
	if (storm_options.faults > 0) // its line has the error
		fiber_sleep_us(ERROR_PAUSE_US);
	else
		printf("storm: worker %u: %s file %u: %s\n", w->number, what, m ? m->name : 0, error_sentence(e));
	return false;
}

static void wrong_bytes(struct worker *w, struct model *m, const char *what, uint64_t offset, uint64_t count)
{
	storm_counts.wrong_bytes += count;
	m->broken = true;
	if (storm_options.faults > 0)
		return;
	printf("storm: worker %u: %s file %u: %" PRIu64 " wrong bytes from offset %" PRIu64 " (size %" PRIu64 ")\n",
	       w->number, what, m->name, count, offset, m->size);
}

static const char *file_path(const struct worker *w, unsigned name, char path[96])
{
	snprintf(path, 96, "%s/f%u", w->directory, name);
	return path;
}

static bool file_opened(struct worker *w, struct model *m, struct file *file, unsigned flags)
{
	char path[96];
	return succeeded(w, m, "open", file_open(file, file_path(w, m->name, path), flags));
}

// --- operations

static void work_create(struct worker *w, struct model *m)
{
	struct file file;
	m->name = w->next_name++;
	m->size = 0;
	m->exists = file_opened(w, m, &file, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE);
	file_close(&file);
}

// New seeds for the chunks from `offset` (aligned, or the file's end) on; a chunk begun before keeps its seed.
static void seed_chunks(struct worker *w, struct model *m, uint64_t offset, size_t length)
{
	uint64_t first = (offset + CHUNK - 1) / CHUNK;
	for (uint64_t i = first; i * CHUNK < offset + length; i++)
		m->seed[i] = (uint32_t)storm_random(&w->random) | 1;
}

static void write_range(struct worker *w, struct model *m, uint64_t offset, size_t length, unsigned flags)
{
	struct file file;
	size_t done;
	if (!file_opened(w, m, &file, flags))
		return;
	seed_chunks(w, m, offset, length);
	pattern_fill(m, offset, w->buffer, length);
	file.offset = offset;
	bool written = succeeded(w, m, flags & FILE_APPEND ? "append" : "write", file_write(&file, w->buffer, length, &done));
	file_close(&file);
	if (!written)
		return;
	storm_counts.bytes_written += length;
	if (offset + length > m->size)
		m->size = offset + length;
}

static void work_append(struct worker *w, struct model *m)
{
	size_t length = 1 + storm_random_below(&w->random, PIECE / 2);
	if (m->size + length <= FILE_LIMIT)
		write_range(w, m, m->size, length, FILE_WRITE | FILE_APPEND);
}

static void work_overwrite(struct worker *w, struct model *m)
{
	uint64_t chunks = m->size / CHUNK;
	if (chunks == 0) {
		work_append(w, m);
		return;
	}
	uint64_t first = storm_random_below(&w->random, chunks);
	uint64_t most = chunks - first < PIECE / CHUNK ? chunks - first : PIECE / CHUNK;
	uint64_t count = 1 + storm_random_below(&w->random, most);
	write_range(w, m, first * CHUNK, count * CHUNK, FILE_WRITE);
}

static void work_truncate(struct worker *w, struct model *m)
{
	struct file file;
	uint64_t size = storm_random_below(&w->random, m->size + 1);
	if (file_opened(w, m, &file, FILE_WRITE) && succeeded(w, m, "truncate", file_truncate(&file, size)))
		m->size = size;
	file_close(&file);
}

static void read_check(struct worker *w, struct model *m, const struct file *file, uint64_t offset, size_t length)
{
	size_t got;
	if (!succeeded(w, m, "read", file_read_at(file, offset, w->buffer, length, &got)))
		return;
	storm_counts.bytes_read += got;
	uint64_t expected = m->size > offset ? m->size - offset : 0;
	if (expected > length)
		expected = length;
	uint64_t wrong = got == expected ? pattern_differs(m, offset, w->buffer, got) : expected + 1;
	if (wrong)
		wrong_bytes(w, m, got == expected ? "read" : "length of", offset, wrong);
}

static void work_read(struct worker *w, struct model *m)
{
	struct file file;
	uint64_t offset = storm_random_below(&w->random, m->size + 1);
	if (file_opened(w, m, &file, FILE_READ))
		read_check(w, m, &file, offset, 1 + storm_random_below(&w->random, PIECE));
	file_close(&file);
}

static void read_all(struct worker *w, struct model *m, const struct file *file)
{
	for (uint64_t offset = 0; offset <= m->size && !m->broken; offset += PIECE)
		read_check(w, m, file, offset, PIECE);
}

static void work_verify(struct worker *w, struct model *m)
{
	struct file file;
	if (!file_opened(w, m, &file, FILE_READ))
		return;
	read_all(w, m, &file);
	file_close(&file);
	storm_counts.files_verified++;
}

static void work_rename(struct worker *w, struct model *m)
{
	char from[96], to[96];
	unsigned name = w->next_name++;
	struct model *over = &w->files[storm_random_below(&w->random, FILES)];
	bool replace = over != m && over->exists && !over->broken && storm_random_below(&w->random, 3) == 0;
	if (replace)
		name = over->name;
	if (!succeeded(w, m, "rename", file_rename(file_path(w, m->name, from), file_path(w, name, to))))
		return;
	if (replace)
		over->exists = false;
	m->name = name;
}

// Every second time the file is open while its name goes: it lives until it is closed.
static void work_delete(struct worker *w, struct model *m)
{
	char path[96];
	struct file file = {0};
	bool open = storm_random_below(&w->random, 2) == 0;
	if (open && !file_opened(w, m, &file, FILE_READ))
		return;
	if (succeeded(w, m, "delete", file_unlink(file_path(w, m->name, path))))
		m->exists = false;
	if (open && !m->exists)
		read_all(w, m, &file);
	file_close(&file);
}

static void work_stat(struct worker *w, struct model *m)
{
	struct fs_stat status;
	char path[96];
	if (succeeded(w, m, "stat", file_stat(file_path(w, m->name, path), true, &status)) && status.size != m->size)
		wrong_bytes(w, m, "size of", status.size, 1);
}

static void work_sync(struct worker *w, struct model *m)
{
	if (succeeded(w, m, "sync", file_sync()))
		storm_counts.syncs++;
}

// The directory holds exactly the names of the model.
static void work_list(struct worker *w)
{
	unsigned seen = 0, expected = 0, unknown = 0;
	enum error e = directory_open(&w->listing, w->directory);
	while (e == ERR_OK && (e = directory_next(&w->listing, &w->entry)) == ERR_OK)
		seen += w->entry.name[0] != '.';
	if (!succeeded(w, 0, "list", e == ERR_NOT_FOUND ? ERR_OK : e))
		return;
	for (unsigned i = 0; i < FILES; i++) {
		expected += w->files[i].exists && !w->files[i].broken;
		unknown += w->files[i].broken;
	}
	if (unknown == 0 && (seen < expected || seen > expected + w->abandoned)) {
		storm_counts.wrong_bytes++;
		if (seen > expected) // a campaign counts these names once
			w->abandoned = seen - expected;
		printf("storm: worker %u: the directory has %u names, not %u\n", w->number, seen, expected);
	}
}

// What a fault has spoilt is counted with that fault; the next one meets files that are right.
static void work_abandon(struct worker *w, struct model *m)
{
	w->abandoned++;
	m->exists = m->broken = false;
}

static void work_step(struct worker *w)
{
	static void (*const operations[])(struct worker *, struct model *) = {
		work_append,   work_append,   work_append, work_append, work_overwrite, work_overwrite, work_overwrite,
		work_truncate, work_read,     work_read,   work_read,   work_read,      work_verify,    work_rename,
		work_delete,   work_stat,     work_stat,
	};
	struct model *m = &w->files[storm_random_below(&w->random, FILES)];
	unsigned which = (unsigned)storm_random_below(&w->random, 40);
	if (m->broken && storm_options.faults > 0)
		work_abandon(w, m);
	else if (m->broken)
		fiber_yield();
	else if (!m->exists)
		work_create(w, m);
	else if (which == 0)
		work_sync(w, m);
	else if (which == 1)
		work_list(w);
	else
		operations[which % (sizeof(operations) / sizeof(operations[0]))](w, m);
}

static void verify_worker(struct worker *w)
{
	for (unsigned i = 0; i < FILES; i++)
		if (w->files[i].exists && !w->files[i].broken)
			work_verify(w, &w->files[i]);
	work_list(w);
}

void storm_work(unsigned worker)
{
	struct worker *w = &workers[worker];
	w->number = worker;
	w->random = storm_options.seed * 1000 + worker;
	snprintf(w->directory, sizeof(w->directory), "%s/w%u", base, worker);
	if (!succeeded(w, 0, "make directory of", file_make_directory(w->directory, 0755)))
		return;
	while (!storm_stopping) {
		if (w->checked != check_wanted)
			verify_worker(w);
		w->checked = check_wanted;
		work_step(w);
		if (storm_calm)
			fiber_sleep_us(CALM_PAUSE_US);
	}
}

void storm_work_check(void)
{
	check_wanted++;
}

bool storm_work_checked(void)
{
	bool all = true;
	for (unsigned i = 0; i < storm_options.workers; i++)
		all &= workers[i].checked == check_wanted;
	return all;
}

// A campaign's files stay like those of --keep.
static bool files_stay(void)
{
	return storm_options.keep || storm_options.faults > 0;
}

enum error storm_work_begin(void)
{
	enum error e = ERR_EXISTS;
	leftovers_remove();
	for (unsigned i = 0; i < 1000 && e == ERR_EXISTS; i++) {
		snprintf(base, sizeof(base), "/storm%u", i);
		e = file_make_directory(base, 0755);
	}
	return e == ERR_OK && !files_stay() ? leftover_mark(base) : e;
}

// --- the end

void storm_work_verify(void)
{
	work_sync(&workers[0], 0);
	storm_counts.files_verified = 0;
	for (unsigned i = 0; i < storm_options.workers; i++)
		verify_worker(&workers[i]);
}

void storm_work_remove(void)
{
	if (files_stay())
		return;
	(void)succeeded(&workers[0], 0, "remove owner of", leftover_unmark(base));
	for (unsigned i = 0; i < storm_options.workers; i++) {
		struct worker *w = &workers[i];
		for (unsigned j = 0; j < FILES; j++)
			if (w->files[j].exists && !w->files[j].broken)
				work_delete(w, &w->files[j]);
		(void)succeeded(w, 0, "remove directory of", file_remove_directory(w->directory));
	}
	(void)succeeded(&workers[0], 0, "remove directory of", file_remove_directory(base));
}
