// usage: witness FOLDER
// What a program sees of a driver that goes and comes back under its mounted file system: one that appends records of 64
// bytes and syncs each, for three seconds, reopening its file after an error as a careful program would, and the driver
// gone after the first of them. Prints how many records were acknowledged before and after, and how many tries failed.
//
// Owns FOLDER/witness, and leaves it: the file system is not what it was.
#define _GNU_SOURCE
#include "driver.h"
#include "figures.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND 1000000000ull

static uint64_t acknowledged, failed;

static int record_write(int *file)
{
	static const char record[64] = "record";
	if (*file < 0)
		*file = open("witness", O_CREAT | O_WRONLY | O_APPEND, 0644);
	if (*file >= 0 && write(*file, record, sizeof(record)) == sizeof(record) && fsync(*file) == 0)
		return 1;
	if (*file >= 0)
		close(*file);
	*file = -1;
	usleep(2000); // a failure takes no time: without this there are as many as the processor can make
	return 0;
}

static void records_until(int *file, uint64_t end)
{
	acknowledged = failed = 0;
	while (figure_now() < end)
		*(record_write(file) ? &acknowledged : &failed) += 1;
}

int main(int count, char **words)
{
	int file = -1;
	if (count != 2)
		return 2;
	figure_check(chdir(words[1]) == 0, words[1]);
	uint64_t start = figure_now();
	pid_t child = fork();
	if (child == 0) {
		sleep(1);
		driver_unbind();
		driver_bind();
		_exit(0);
	}
	records_until(&file, start + SECOND);
	figure_single("witness.before", acknowledged, "records");
	records_until(&file, start + 3 * SECOND);
	figure_single("witness.after", acknowledged, "records");
	figure_single("witness.failed", failed, "tries");
	waitpid(child, 0, 0);
	return 0;
}
