// usage: message NAME CORE_A CORE_B BYTES MESSAGES
// One way through a pipe: a writer on core A, a reader on core B that reads message by message. What is printed is the time
// of one message at the reader, whatever the writer has put there in advance.
//
// Owns the writer: it gets the end of the pipe when the reader is done or dead, and is waited for.
#define _GNU_SOURCE
#include "figures.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define BATCHES 30u
#define MESSAGE_MAX 65536u

static char message[MESSAGE_MAX];
static size_t bytes;
static int ends[2];

static void read_many(void *context, uint64_t operations)
{
	(void)context;
	for (uint64_t i = 0; i < operations; i++)
		for (size_t got = 0; got < bytes;) {
			ssize_t n = read(ends[0], message, bytes - got);
			figure_check(n > 0, "read");
			got += (size_t)n;
		}
}

static void write_until_closed(void)
{
	signal(SIGPIPE, SIG_IGN);
	while (write(ends[1], message, bytes) == (ssize_t)bytes)
		;
	_exit(0);
}

int main(int count, char **words)
{
	if (count != 6)
		return 2;
	bytes = strtoull(words[4], 0, 10);
	if (bytes == 0 || bytes > MESSAGE_MAX)
		return 2;
	figure_check(pipe(ends) == 0, "pipe");
	pid_t child = fork();
	figure_check(child >= 0, "fork");
	figure_pin(atoi(words[child == 0 ? 2 : 3]));
	close(ends[child != 0]);
	if (child == 0)
		write_until_closed();
	figure_series(words[1], read_many, 0, BATCHES, strtoull(words[5], 0, 10));
	close(ends[0]);
	waitpid(child, 0, 0);
	return 0;
}
