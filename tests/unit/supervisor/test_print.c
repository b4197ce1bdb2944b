// Printing: by the kernel before the console, over the channel afterwards, never waiting, nothing silently lost.
#include "proto/console.h"
#include "runtime/client.h"
#include "runtime/fiber.h"
#include "runtime/runtime.h"
#include "supervisor/cores.h"
#include "supervisor/crash_log.h"
#include "supervisor/kernel_log.h"
#include "supervisor/print.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static char shown_by_kernel[4096];
static char shown_by_console[200000];
static struct client_request *in_flight;
static void (*fiber_entry)(void *argument);
static enum error open_error;
static unsigned closed;
static char core_text[4096]; // log of every core
static size_t core_text_length;
static size_t core_text_shown; // by the firmware's console

static bool restarted;

bool self_restarted(void)
{
	return restarted;
}

void log_line(const char *format, ...)
{
	va_list list;
	size_t used = strlen(shown_by_kernel);
	va_start(list, format);
	vsnprintf(shown_by_kernel + used, sizeof shown_by_kernel - used, format, list);
	va_end(list);
	strcat(shown_by_kernel, "\n");
}

struct fiber *fiber_create(void (*entry)(void *argument), void *argument, const char *name)
{
	(void)argument, (void)name;
	fiber_entry = entry;
	return (struct fiber *)&fiber_entry;
}

enum error client_open(struct client **client, const char *service, const struct client_options *options)
{
	assert_string_equal(service, "console");
	assert_true(options->slots >= 2);
	*client = (struct client *)&open_error;
	return open_error;
}

void client_close(struct client *client)
{
	(void)client;
	closed++;
}

enum error client_submit(struct client *client, struct client_request *request)
{
	assert_non_null(client);
	assert_null(in_flight); // one at a time: the frozen chunk is in use
	assert_int_equal(request->op, CONSOLE_OP_WRITE);
	in_flight = request;
	return ERR_OK;
}

static void console_takes(enum error status)
{
	struct client_request *request = in_flight;
	assert_non_null(request);
	in_flight = 0;
	if (status == ERR_OK)
		strncat(shown_by_console, request->out, request->out_length);
	request->completion.status = status;
	request->completed(request);
}

bool cores_usable(unsigned core)
{
	(void)core;
	return true;
}

struct kernel_result kernel_call(enum call number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
				 uint64_t a5)
{
	(void)a0, (void)a2, (void)a3, (void)a4, (void)a5;
	assert_int_equal(number, CALL_core_log);
	struct kernel_result r = {0};
	size_t from = a1 > core_text_length ? core_text_length : a1;
	size_t length = core_text_length - from < 32 ? core_text_length - from : 32;
	memcpy(r.value, core_text + from, length);
	r.value[4] = a1 == CORE_LOG_SHOWN ? core_text_shown : from + length;
	return r;
}

static void core_says(const char *text)
{
	memcpy(core_text + core_text_length, text, strlen(text));
	core_text_length += strlen(text);
}

// One story: the state of print.c and kernel_log.c is that of one supervisor's life.
static void test_print_story(void **state)
{
	(void)state;
	core_says("kernel: early words, printed by itself\n");
	core_text_shown = core_text_length;
	core_says("fs: nobody listens\n"); // the console was taken, and this supervisor had not begun
	kernel_log_pull(0); // not begun: nothing
	say("hello %d", 1);
	crash_log_line("second");
	print_pump();
	assert_string_equal(shown_by_kernel, "hello 1\nsecond\n");
	print_console_up(false);
	assert_null(fiber_entry);
	print_console_up(true); // the kernel does not print any more: nothing is said that way now
	kernel_log_begin(2);
	say("third");
	print_pump();
	assert_string_equal(shown_by_kernel, "hello 1\nsecond\n");
	assert_null(in_flight);
	fiber_entry(0);
	console_takes(ERR_OK);
	assert_string_equal(shown_by_console, "third\n");
	// while a write is in flight, nothing waits and nothing is lost
	say("fourth");
	print_pump();
	say("fifth");
	print_pump();
	console_takes(ERR_OK);
	console_takes(ERR_OK);
	assert_null(in_flight);
	assert_string_equal(shown_by_console, "third\nfourth\nfifth\n");
	kernel_log_pull(1);
	print_pump();
	console_takes(ERR_OK);
	assert_string_equal(shown_by_console, "third\nfourth\nfifth\nfs: nobody listens\n");
	core_says("fs: the disk is ");
	kernel_log_pull(1);
	core_says("old and has seen many things\nblk: ");
	kernel_log_pull(1);
	print_pump();
	console_takes(ERR_OK);
	assert_string_equal(shown_by_console, 
			    "third\nfourth\nfifth\nfs: nobody listens\nfs: the disk is old and has seen many things\n");
}

// Another client's output comes between two writes, so each of ours ends with its line.
static void test_print_whole_lines(void **state)
{
	(void)state;
	size_t from = strlen(shown_by_console), lines = 0;
	say("first");
	print_pump();
	for (unsigned i = 0; i < 100; i++)
		say("line %u of some length, which does not divide the bytes of one write", i);
	while (in_flight) {
		assert_int_equal(((const char *)in_flight->out)[in_flight->out_length - 1], '\n');
		console_takes(ERR_OK);
	}
	for (const char *c = shown_by_console + from; *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, 101);
}

static void test_print_overrun_is_said(void **state)
{
	(void)state;
	shown_by_console[0] = 0;
	say("first");
	print_pump();
	for (unsigned i = 0; i < CRASH_LOG_BYTES / 100 + 1000; i++)
		say("%099u", i);
	console_takes(ERR_OK);
	while (in_flight)
		console_takes(ERR_OK);
	assert_non_null(strstr(shown_by_console, "first\n... "));
	assert_non_null(strstr(shown_by_console, " bytes of the log were lost\n"));
	char last[128];
	snprintf(last, sizeof last, "%099u\n", CRASH_LOG_BYTES / 100 + 999);
	assert_string_equal(shown_by_console + strlen(shown_by_console) - 100, last);
}

static void test_print_console_is_lost(void **state)
{
	(void)state;
	shown_by_console[0] = shown_by_kernel[0] = 0;
	say("to nobody");
	print_pump();
	console_takes(ERR_PEER_LOST);
	say("kept");
	print_pump();
	assert_null(in_flight);
	fiber_entry = 0;
	open_error = ERR_PEER_LOST;
	print_console_up(true); // says that it is up again, and is not
	fiber_entry(0);
	assert_int_equal(closed, 1);
	assert_string_equal(shown_by_kernel, "kept\n");
	open_error = ERR_OK;
	print_console_up(true);
	fiber_entry(0);
	say("again");
	print_pump();
	console_takes(ERR_OK);
	assert_string_equal(shown_by_console, "again\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_print_story),
		cmocka_unit_test(test_print_whole_lines),
		cmocka_unit_test(test_print_overrun_is_said),
		cmocka_unit_test(test_print_console_is_lost),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
