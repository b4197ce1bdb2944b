// Tests that run in a child each: what they test keeps state in its memory, which starts afresh there.
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void in_child(void (*reset)(void), void (*test)(void))
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		reset();
		test();
		exit(0); // not _exit: coverage is written
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

// The file says what `reset` does before each.
#define TEST(name)                                                                                                     \
	static void name##_in_child(void);                                                                             \
	static void name(void **state)                                                                                 \
	{                                                                                                              \
		(void)state;                                                                                           \
		in_child(reset, name##_in_child);                                                                             \
	}                                                                                                              \
	static void name##_in_child(void)
