// usage: process PROGRAM
// Creation of a process from the call to its end being known: fork alone, fork and exec, vfork and exec; and of a thread.
// Owns one child at a time, which is waited for.
#define _GNU_SOURCE
#include "figures.h"
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define BATCHES 20u

static void child_await(pid_t child)
{
	int status;
	figure_check(child > 0 && waitpid(child, &status, 0) == child && status == 0, "child");
}

static void program_become(const char *program)
{
	char *const words[] = {(char *)program, 0}, *const environment[] = {0};
	execve(program, words, environment);
	_exit(127);
}

static void fork_many(void *context, uint64_t operations)
{
	(void)context;
	for (uint64_t i = 0; i < operations; i++) {
		pid_t child = fork();
		if (child == 0)
			_exit(0);
		child_await(child);
	}
}

static void fork_exec_many(void *context, uint64_t operations)
{
	for (uint64_t i = 0; i < operations; i++) {
		pid_t child = fork();
		if (child == 0)
			program_become(context);
		child_await(child);
	}
}

// Of its own, because the child runs in its frame.
static void vfork_exec(const char *program)
{
	pid_t child = vfork();
	if (child == 0)
		program_become(program);
	child_await(child);
}

static void vfork_exec_many(void *context, uint64_t operations)
{
	for (uint64_t i = 0; i < operations; i++)
		vfork_exec(context);
}

static void *thread_body(void *context)
{
	return context;
}

static void thread_many(void *context, uint64_t operations)
{
	for (uint64_t i = 0; i < operations; i++) {
		pthread_t thread;
		figure_check(pthread_create(&thread, 0, thread_body, context) == 0, "thread");
		pthread_join(thread, 0);
	}
}

int main(int count, char **words)
{
	if (count != 2)
		return 2;
	figure_series("thread", thread_many, 0, BATCHES, 20);
	figure_series("fork", fork_many, 0, BATCHES, 5);
	figure_series("fork.exec", fork_exec_many, words[1], BATCHES, 5);
	figure_series("vfork.exec", vfork_exec_many, words[1], BATCHES, 5);
	return 0;
}
