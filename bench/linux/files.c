// usage: files FOLDER
// The file operations of apps/bench/sizes.c and apps/bench/files.c, with the same names: a file of 4 MiB written by pieces
// and synced, read from the cache and from the disk; small writes with fsync; files that come and go; stat.
// Owns FOLDER/bench.tmp and FOLDER/bench.dir, and removes them.
#define _GNU_SOURCE
#include "figures.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES 0x400000u
#define SMALL_FILES 100u

static const struct size {
	size_t bytes;
	const char *write, *read;
} sizes[] = {{0x1000, "write.4k", "read.4k"}, {0x10000, "write.64k", "read.64k"}, {0x100000, "write.1m", "read.1m"}};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static char piece[0x100000];
static int file; // the one of 4 MiB
static size_t piece_bytes;

static void write_pieces(void *context, uint64_t operations)
{
	(void)context;
	for (uint64_t i = 0; i < operations; i++)
		figure_check(pwrite(file, piece, piece_bytes, (off_t)(i * piece_bytes)) == (ssize_t)piece_bytes, "write");
	figure_check(fsync(file) == 0, "fsync");
}

static void read_pieces(void *context, uint64_t operations)
{
	(void)context;
	for (uint64_t i = 0; i < operations; i++)
		figure_check(pread(file, piece, piece_bytes, (off_t)(i * piece_bytes)) == (ssize_t)piece_bytes, "read");
}

static void measure_sizes(void)
{
	for (unsigned i = 0; i < SIZES; i++) {
		piece_bytes = sizes[i].bytes;
		figure_waits();
		figure_series(sizes[i].write, write_pieces, 0, 5, FILE_BYTES / piece_bytes);
		figure_series(sizes[i].read, read_pieces, 0, 5, FILE_BYTES / piece_bytes);
	}
}

static void measure_cold(void)
{
	piece_bytes = 0x10000;
	figure_waits();
	figure_begin("read.cold");
	for (unsigned i = 0; i < 5; i++) {
		figure_check(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) == 0, "fadvise");
		figure_batch(read_pieces, 0, FILE_BYTES / piece_bytes);
	}
	figure_end();
}

// A piece of 4 KiB somewhere in the file, on the disk before the next.
static void sync_pieces(void *context, uint64_t operations)
{
	(void)context;
	for (uint64_t i = 0; i < operations; i++) {
		off_t at = (off_t)(i * 37 % (FILE_BYTES / 0x1000)) * 0x1000;
		figure_check(pwrite(file, piece, 0x1000, at) == 0x1000 && fsync(file) == 0, "write and fsync");
	}
}

static void stat_many(void *context, uint64_t operations)
{
	struct stat status;
	for (uint64_t i = 0; i < operations; i++)
		figure_check(stat(context, &status) == 0, "stat");
}

static void open_many(void *context, uint64_t operations)
{
	for (uint64_t i = 0; i < operations; i++) {
		int opened = open(context, O_RDONLY);
		figure_check(opened >= 0, "open");
		close(opened);
	}
}

static void small_path(char path[64], uint64_t number)
{
	snprintf(path, 64, "bench.dir/%" PRIu64, number);
}

static void create_many(void *context, uint64_t operations)
{
	char path[64];
	(void)context;
	for (uint64_t i = 0; i < operations; i++) {
		small_path(path, i);
		int created = open(path, O_WRONLY | O_CREAT, 0644);
		figure_check(created >= 0, "create");
		close(created);
	}
}

static void remove_many(void *context, uint64_t operations)
{
	char path[64];
	(void)context;
	for (uint64_t i = 0; i < operations; i++) {
		small_path(path, i);
		figure_check(unlink(path) == 0, "unlink");
	}
}

// Created, 4 KiB written, on the disk, gone.
static void cycle_many(void *context, uint64_t operations)
{
	for (uint64_t i = 0; i < operations; i++) {
		int created = open(context, O_WRONLY | O_CREAT, 0644);
		figure_check(created >= 0 && write(created, piece, 0x1000) == 0x1000 && fsync(created) == 0, "small file");
		close(created);
		figure_check(unlink(context) == 0, "unlink");
	}
}

// Two series in turns, which figure_series cannot: the files of one batch are removed by the next.
static void measure_small(const char *name, int removed)
{
	figure_begin(name);
	for (unsigned i = 0; i < 10; i++) {
		if (removed)
			create_many(0, SMALL_FILES);
		figure_batch(removed ? remove_many : create_many, 0, SMALL_FILES);
		if (!removed)
			remove_many(0, SMALL_FILES);
	}
	figure_end();
}

int main(int count, char **words)
{
	if (count != 2)
		return 2;
	figure_pin(0);
	figure_check(chdir(words[1]) == 0, words[1]);
	file = open("bench.tmp", O_RDWR | O_CREAT | O_TRUNC, 0644);
	figure_check(file >= 0, "bench.tmp");
	memset(piece, 0x5a, sizeof(piece));
	measure_sizes();
	measure_cold();
	figure_waits();
	figure_series("sync.4k", sync_pieces, 0, 10, 20);
	figure_series("stat", stat_many, "bench.tmp", 10, 100);
	figure_series("open.close", open_many, "bench.tmp", 10, 100);
	close(file);
	unlink("bench.tmp");
	figure_check(mkdir("bench.dir", 0755) == 0, "bench.dir");
	measure_small("file.create", 0);
	measure_small("file.unlink", 1);
	figure_waits();
	figure_series("file.cycle", cycle_many, "bench.dir/x", 10, 10);
	rmdir("bench.dir");
	return 0;
}
