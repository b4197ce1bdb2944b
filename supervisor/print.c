// Printing: the supervisor as a client of the console that it supervises.
//
// Owns one position in the log, one channel to the console and one request on it. It must never wait on the loop: the
// channel is opened by a fiber, a write is submitted and its completion submits the next. Nothing is queued: the log is
// the queue, and what it overwrites before the console took it is counted and said. If the console dies, the request
// waits in the ring. If the supervisor dies, what was not printed is lost; its next incarnation has a new log.
#include "supervisor/print.h"
#include "proto/console.h"
#include "runtime/client.h"
#include "runtime/fiber.h"
#include "runtime/runtime.h"
#include "supervisor/crash_log.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// Bytes of one write. 1 KiB: a banner in one or two requests; the UART takes 90 ms for it anyhow.
#define PRINT_CHUNK 1024u

static struct {
	uint64_t position; // in the log: all before it was shown or is being shown
	struct client *client;
	struct client_request request;
	bool by_console; // the console has been up: log_line is not shown any more
	bool busy;       // the request is in flight
	bool opening;    // a fiber is at it
	bool failed;     // the channel is of no use: to be opened again
	char chunk[PRINT_CHUNK + 1];
} print;

void say(const char *format, ...)
{
	char line[CRASH_LINE_MAX];
	va_list list;
	va_start(list, format);
	vsnprintf(line, sizeof line, format, list);
	va_end(list);
	crash_log_line(line);
}

// Before the console: line by line into the core's log, which the kernel prints.
static void print_by_kernel(void)
{
	uint64_t lost;
	size_t length, used = 0;
	while ((length = crash_log_read(&print.position, print.chunk + used, PRINT_CHUNK - used, &lost)) > 0) {
		used += length;
		print.chunk[used] = 0;
		char *line = print.chunk, *end;
		while ((end = strchr(line, '\n')) != 0) {
			*end = 0;
			log_line("%s", line);
			line = end + 1;
		}
		used -= (size_t)(line - print.chunk);
		memmove(print.chunk, line, used);
		if (used == PRINT_CHUNK) // one line longer than we ever make: give it up
			used = 0;
	}
}

static void print_completed(struct client_request *request)
{
	print.busy = false;
	if (request->completion.status == ERR_OK)
		print_pump();
	else
		print.failed = true;
}

// What ends in the middle of a line waits: another client's output would come in between.
static size_t print_whole_lines(size_t length)
{
	size_t whole = length;
	while (whole > 0 && print.chunk[whole - 1] != '\n')
		whole--;
	if (whole == 0) // a line longer than we ever make
		return length;
	print.position -= length - whole;
	return whole;
}

static size_t print_take(void)
{
	uint64_t lost;
	size_t used = 0;
	size_t length = print_whole_lines(crash_log_read(&print.position, print.chunk, PRINT_CHUNK - 64, &lost));
	if (lost) { // say it before the text that comes after the gap
		char note[64];
		used = (size_t)snprintf(note, sizeof note, "... %lu bytes of the log were lost\n", (unsigned long)lost);
		memmove(print.chunk + used, print.chunk, length);
		memcpy(print.chunk, note, used);
	}
	return used + length;
}

static void print_by_channel(void)
{
	if (!print.client || print.busy || print.failed)
		return;
	size_t length = print_take();
	if (!length)
		return;
	print.request = (struct client_request){
		.op = CONSOLE_OP_WRITE,
		.out = print.chunk,
		.out_length = (uint32_t)length,
		.completed = print_completed,
	};
	print.busy = true;
	enum error error = client_submit(print.client, &print.request);
	if (error) {
		print.busy = false;
		print.failed = error != ERR_AGAIN;
	}
}

void print_pump(void)
{
	if (print.by_console)
		print_by_channel();
	else
		print_by_kernel();
}

static void print_open(void *unused)
{
	static const struct client_options options = {
		.slots = 2, .out_bytes = 2 * PRINT_CHUNK, .in_bytes = PAGE_SIZE, .priority = 1};
	(void)unused;
	if (print.client)
		client_close(print.client);
	print.client = 0;
	enum error error = client_open(&print.client, "console", &options);
	print.opening = false;
	print.failed = error != ERR_OK;
	if (error) {
		print.client = 0;
		print.by_console = false; // log_line again, until the console comes up once more
	}
	print_pump();
}

void print_console_up(bool up)
{
	bool wanted = !print.by_console || print.failed;
	if (!up || !wanted || print.opening)
		return;
	print.by_console = true;
	print.opening = fiber_create(print_open, 0, "print") != 0;
	if (!print.opening)
		print.by_console = false;
}
