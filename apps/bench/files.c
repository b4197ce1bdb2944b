// Topic: file throughput and small operations through app, file system and driver.
//
// Works in one file and one directory that it removes. "cold" reads follow a restart of the file system, whose cache is
// then empty. If this domain dies, the files stay.
#include "apps/bench/bench.h"
#include "runtime/file.h"
#include "runtime/runtime.h"
#include "runtime/supervision.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FILE_BYTES 0x400000u
#define PIECE 0x20000u
#define SMALL_FILES 100u
#define PATH "/bench.tmp"

static uint8_t piece[PIECE] __attribute__((aligned(4096)));
static struct series series;

static void print_rate(const char *name, uint64_t bytes, uint64_t ticks)
{
	uint64_t us = bench_ns(ticks) / 1000 + 1;
	bench_figure(name, "", bytes * 1000000 / 1024 / us, "KiB/s");
}

static enum error write_all(struct file *file)
{
	size_t done;
	enum error e = ERR_OK;
	file->offset = 0;
	for (uint64_t at = 0; at < FILE_BYTES && e == ERR_OK; at += PIECE) {
		memset(piece, (int)(at / PIECE), PIECE);
		e = file_write(file, piece, PIECE, &done);
	}
	return e == ERR_OK ? file_sync() : e;
}

static enum error read_all(struct file *file)
{
	size_t done;
	enum error e = ERR_OK;
	file->offset = 0;
	for (uint64_t at = 0; at < FILE_BYTES && e == ERR_OK; at += PIECE) {
		e = file_read(file, piece, PIECE, &done);
		if (e == ERR_OK && (done != PIECE || piece[0] != (uint8_t)(at / PIECE)))
			e = ERR_CORRUPT;
	}
	return e;
}

static enum error timed(const char *name, enum error (*body)(struct file *), struct file *file)
{
	uint64_t instructions = instructions_read(), start = time_now();
	enum error e = body(file);
	uint64_t ticks = time_now() - start;
	instructions = instructions_read() - instructions;
	if (e == ERR_OK)
		print_rate(name, FILE_BYTES, ticks);
	if (e == ERR_OK && bench_icount)
		bench_figure(name, "all", instructions, "instructions");
	return e;
}

static enum error restart_file_system(void)
{
	enum error e = supervision_kill("fs");
	return e == ERR_OK ? supervision_ping("fs") : e;
}

static enum error throughput(void)
{
	struct file file;
	enum error e = file_open(&file, PATH, FILE_READ | FILE_WRITE | FILE_CREATE | FILE_TRUNCATE);
	printf("\nfile of %u KiB, pieces of %u KiB\n", FILE_BYTES >> 10, PIECE >> 10);
	if (e == ERR_OK)
		e = timed("file.write", write_all, &file);
	if (e == ERR_OK)
		e = timed("file.read", read_all, &file);
	if (e == ERR_OK)
		e = restart_file_system();
	if (e == ERR_OK)
		e = timed("file.read.cold", read_all, &file);
	file_close(&file);
	return e;
}

static void small_path(char path[64], uint64_t number)
{
	snprintf(path, 64, "/bench.dir/%" PRIu64, number);
}

static void create_many(void *context, uint64_t operations)
{
	enum error *e = context;
	char path[64];
	struct file file;
	for (uint64_t i = 0; i < operations && *e == ERR_OK; i++) {
		small_path(path, i);
		*e = file_open(&file, path, FILE_WRITE | FILE_CREATE);
		file_close(&file);
	}
}

static void remove_many(void *context, uint64_t operations)
{
	enum error *e = context;
	char path[64];
	for (uint64_t i = 0; i < operations && *e == ERR_OK; i++) {
		small_path(path, i);
		*e = file_unlink(path);
	}
}

static enum error small_files(void)
{
	static struct series removed;
	enum error e = file_make_directory("/bench.dir", 0755);
	series_head("small operations");
	series_begin(&series, "file.create");
	series_begin(&removed, "file.unlink");
	for (unsigned i = 0; i < 10 && e == ERR_OK; i++) {
		series_batch(&series, create_many, &e, SMALL_FILES);
		series_batch(&removed, remove_many, &e, SMALL_FILES);
	}
	if (e != ERR_OK)
		return e;
	series_print(&series);
	series_print(&removed);
	if (bench_icount) { // commits that come in some batches only are in the mean alone
		bench_figure("file.create", "mean", series_mean_instructions(&series), "instructions");
		bench_figure("file.unlink", "mean", series_mean_instructions(&removed), "instructions");
	}
	return file_remove_directory("/bench.dir");
}

int bench_files(void)
{
	enum error e = throughput();
	if (e == ERR_OK)
		e = file_unlink(PATH);
	if (e == ERR_OK)
		e = small_files();
	return e == ERR_OK ? 0 : bench_complain("files", e);
}
