// usage: pingpong NAME futex|eventfd|pipe|unix CORE_A CORE_B BYTES ROUNDS
// Round trips of one token between two processes, each pinned to a core; nobody spins, so the receiver sleeps. BYTES counts
// for pipe and unix (a SOCK_STREAM pair); a futex is a word in shared memory, an eventfd takes 8 bytes.
//
// Owns both processes: the parent waits for its child. Where the child dies, the parent gets the end of the pipe (or, by
// futex, waits for ever, and whoever started the machine has a limit).
#define _GNU_SOURCE
#include "figures.h"
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BATCHES 30u
#define TOKEN_MAX 4096u

// Two words on lines of their own: each side writes one and awaits the other.
struct words {
	_Atomic uint32_t word[2][32];
};

static struct side {
	unsigned me;    // 0: asks, 1: answers
	int in, out;    // descriptors; unused by futex
	uint32_t round; // futex: the word's next value
	size_t bytes;
	struct words *words; // 0: by descriptors
} side;

static void token_send(struct side *s)
{
	static char token[TOKEN_MAX] = {1};
	if (!s->words) {
		figure_check(write(s->out, token, s->bytes) == (ssize_t)s->bytes, "write");
		return;
	}
	atomic_store(&s->words->word[s->me][0], s->round);
	syscall(SYS_futex, &s->words->word[s->me][0], FUTEX_WAKE, 1, 0, 0, 0);
}

static void token_await(struct side *s)
{
	static char token[TOKEN_MAX];
	if (!s->words) {
		for (size_t got = 0; got < s->bytes;) {
			ssize_t n = read(s->in, token, s->bytes - got);
			figure_check(n > 0, "read");
			got += (size_t)n;
		}
		return;
	}
	_Atomic uint32_t *theirs = &s->words->word[!s->me][0];
	for (uint32_t seen; (seen = atomic_load(theirs)) != s->round;)
		syscall(SYS_futex, theirs, FUTEX_WAIT, seen, 0, 0, 0);
}

static void ask_many(void *context, uint64_t operations)
{
	for (uint64_t i = 0; i < operations; i++) {
		((struct side *)context)->round++;
		token_send(context);
		token_await(context);
	}
}

static void answer_all(struct side *s, uint64_t operations)
{
	for (uint64_t i = 0; i < operations; i++) {
		s->round++;
		token_await(s);
		token_send(s);
	}
}

// Descriptors of both sides: [side][in, out].
static int open_way(const char *way, int ends[2][2])
{
	int there[2], back[2];
	if (strcmp(way, "eventfd") == 0) {
		ends[1][0] = ends[0][1] = eventfd(0, 0);
		ends[0][0] = ends[1][1] = eventfd(0, 0);
		side.bytes = 8;
	} else if (strcmp(way, "pipe") == 0) {
		figure_check(pipe(there) == 0 && pipe(back) == 0, "pipe");
		ends[0][0] = back[0], ends[0][1] = there[1];
		ends[1][0] = there[0], ends[1][1] = back[1];
	} else if (strcmp(way, "unix") == 0) {
		figure_check(socketpair(AF_UNIX, SOCK_STREAM, 0, there) == 0, "socketpair");
		ends[0][0] = ends[0][1] = there[0];
		ends[1][0] = ends[1][1] = there[1];
	} else {
		side.words = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		return strcmp(way, "futex") == 0 && side.words != MAP_FAILED;
	}
	return 1;
}

int main(int count, char **words)
{
	int ends[2][2] = {{0}}, status = 1;
	if (count != 7)
		return 2;
	uint64_t rounds = strtoull(words[6], 0, 10);
	side.bytes = strtoull(words[5], 0, 10);
	if (side.bytes > TOKEN_MAX || !open_way(words[2], ends))
		return 2;
	pid_t child = fork();
	figure_check(child >= 0, "fork");
	side.me = child == 0;
	side.in = ends[side.me][0], side.out = ends[side.me][1];
	figure_pin(atoi(words[3 + side.me]));
	if (child == 0) {
		answer_all(&side, (BATCHES + 1) * rounds);
		_exit(0);
	}
	figure_series(words[1], ask_many, &side, BATCHES, rounds);
	waitpid(child, &status, 0);
	return status != 0;
}
