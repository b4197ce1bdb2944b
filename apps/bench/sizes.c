// Topic: file operations by size, and those that end on the disk. bench/linux/files.c does the same under the same names.
//
// A file of 4 MiB is written by pieces and synced, read again from the cache, and once more after the file system was
// killed, whose cache is then empty; small writes are synced one by one; small files come and go. Times are those of one
// piece or operation. If this domain dies, its two files stay.
#include "apps/bench/bench.h"
#include "runtime/file.h"
#include "runtime/kernel_call.h"
#include "runtime/runtime.h"
#include "runtime/supervision.h"
#include <string.h>

#define FILE_BYTES 0x400000u
#define PIECE_MAX 0x100000u
#define COLD_PIECE 0x10000u
#define SMALL 0x1000u
#define BIG_PATH "/bench.big"
#define SMALL_PATH "/bench.small"

static const struct size {
	size_t bytes;
	const char *write, *read;
} sizes[] = {{0x1000, "write.4k", "read.4k"}, {0x10000, "write.64k", "read.64k"}, {0x100000, "write.1m", "read.1m"}};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static uint8_t *piece; // on whole pages of the heap: large reads can be lent (docs/grants.md)
static struct series series;
static struct file file;
static size_t piece_bytes;
static enum error failed;

static bool all_done(enum error e, size_t done, size_t wanted)
{
	if (failed == ERR_OK)
		failed = e != ERR_OK ? e : done != wanted ? ERR_CORRUPT : ERR_OK;
	return failed == ERR_OK;
}

static void write_pieces(void *context, uint64_t operations)
{
	size_t done = 0;
	(void)context;
	for (uint64_t i = 0; i < operations; i++)
		if (!all_done(file_write_at(&file, i * piece_bytes, piece, piece_bytes, &done), done, piece_bytes))
			return;
	(void)all_done(file_fsync(&file, false), 0, 0);
}

static void read_pieces(void *context, uint64_t operations)
{
	size_t done = 0;
	(void)context;
	for (uint64_t i = 0; i < operations; i++)
		if (!all_done(file_read_at(&file, i * piece_bytes, piece, piece_bytes, &done), done, piece_bytes))
			return;
}

// A piece of 4 KiB somewhere in the file, on the disk before the next.
static void sync_pieces(void *context, uint64_t operations)
{
	size_t done = 0;
	(void)context;
	for (uint64_t i = 0; i < operations; i++) {
		uint64_t at = i * 37 % (FILE_BYTES / SMALL) * SMALL;
		if (!all_done(file_write_at(&file, at, piece, SMALL, &done), done, SMALL) ||
		    !all_done(file_fsync(&file, false), 0, 0))
			return;
	}
}

static void stat_many(void *context, uint64_t operations)
{
	struct fs_stat status;
	(void)context;
	for (uint64_t i = 0; i < operations; i++)
		if (!all_done(file_stat(BIG_PATH, true, &status), 0, 0))
			return;
}

static void open_many(void *context, uint64_t operations)
{
	struct file opened;
	(void)context;
	for (uint64_t i = 0; i < operations; i++) {
		if (!all_done(file_open(&opened, BIG_PATH, FILE_READ), 0, 0))
			return;
		file_close(&opened);
	}
}

// Created, 4 KiB written, on the disk, gone.
static void cycle_many(void *context, uint64_t operations)
{
	struct file small;
	size_t done = 0;
	(void)context;
	for (uint64_t i = 0; i < operations; i++) {
		if (!all_done(file_open(&small, SMALL_PATH, FILE_WRITE | FILE_CREATE), 0, 0))
			return;
		bool written = all_done(file_write(&small, piece, SMALL, &done), done, SMALL) &&
			       all_done(file_fsync(&small, false), 0, 0);
		file_close(&small);
		if (!written || !all_done(file_unlink(SMALL_PATH), 0, 0))
			return;
	}
}

static void measure(const char *name, void (*body)(void *context, uint64_t operations), unsigned batches,
		    uint64_t operations)
{
	body(0, operations);
	series_begin(&series, name);
	for (unsigned i = 0; i < batches && failed == ERR_OK; i++)
		series_batch(&series, body, 0, operations);
	series_print(&series);
}

static void measure_cold(void)
{
	series_begin(&series, "read.cold");
	piece_bytes = COLD_PIECE;
	for (unsigned i = 0; i < 5 && failed == ERR_OK; i++) {
		(void)all_done(supervision_kill("fs"), 0, 0);
		(void)all_done(supervision_ping("fs"), 0, 0);
		series_batch(&series, read_pieces, 0, FILE_BYTES / COLD_PIECE);
	}
	series_print(&series);
}

int bench_sizes(void)
{
	series_head("files by size, each piece");
	struct kernel_result memory = kcall(CALL_memory_alloc, PIECE_MAX / PAGE_SIZE);
	if (memory.error != ERR_OK)
		return bench_complain("memory", memory.error);
	piece = (uint8_t *)memory.value[0];
	memset(piece, 0x5a, PIECE_MAX);
	failed = file_open(&file, BIG_PATH, FILE_READ | FILE_WRITE | FILE_CREATE | FILE_TRUNCATE);
	for (unsigned i = 0; i < SIZES && failed == ERR_OK; i++) {
		piece_bytes = sizes[i].bytes;
		measure(sizes[i].write, write_pieces, 5, FILE_BYTES / piece_bytes);
		measure(sizes[i].read, read_pieces, 5, FILE_BYTES / piece_bytes);
	}
	measure_cold();
	measure("sync.4k", sync_pieces, 10, 20);
	measure("stat", stat_many, 10, 100);
	measure("open.close", open_many, 10, 100);
	file_close(&file);
	(void)file_unlink(BIG_PATH);
	measure("file.cycle", cycle_many, 10, 10);
	kcall(CALL_memory_free, memory.value[0]);
	return failed == ERR_OK ? 0 : bench_complain("sizes", failed);
}
