// Console client: line buffer for output, read-ahead for input, and the C library's standard output.
//
// Owns the one channel to "console" of this domain. Must never be called on the loop (it waits), but for the completion
// callback, which only copies bytes and submits the next READ. Right because there is one writer of each index: the
// callback appends to `typed`, console_read_byte takes from it, and fibers are never pre-empted. The state is this file's
// static struct; if the domain dies it is gone and the next incarnation asks for the keyboard anew. The supervisor
// notices a death; the console server notices a closed channel.
#include "runtime/console.h"
#include "proto/console.h"
#include "runtime/await.h"
#include "runtime/runtime.h"
#include <stdio.h>
#include <string.h>

#define LINE_BYTES 1024u
#define TYPED_BYTES 4096u // a power of two
#define READ_BYTES 256u
#define KEY_INTERRUPT 3

static struct {
	struct client *client;
	bool failed; // the console cannot be opened: output is dropped
	struct fiber_mutex writing;
	char line[LINE_BYTES];
	size_t used;
	struct client_request read;
	char arrived[READ_BYTES];
	bool reading;
	uint8_t typed[TYPED_BYTES];
	uint32_t typed_in;
	uint32_t typed_out;
	bool catching;
	struct flag interrupt;
	struct fiber *waiter;
} console;

enum error console_open(void)
{
	if (console.client)
		return ERR_OK;
	const struct client_options options = {.slots = 16, .out_bytes = 16 * LINE_BYTES, .in_bytes = 16 * READ_BYTES};
	enum error e = client_open(&console.client, "console", &options);
	console.failed = e != ERR_OK;
	return e;
}

static void line_write_out(void)
{
	const char *from = console.line;
	while (console.used > 0) {
		struct client_request request = {
			.op = CONSOLE_OP_WRITE, .out = from, .out_length = (uint32_t)console.used};
		enum error e = client_call(console.client, &request);
		uint64_t done = request.completion.result[0];
		if (e != ERR_OK || done == 0 || done > console.used)
			done = console.used; // a console that refuses text loses it; nothing else may suffer
		from += done;
		console.used -= done;
	}
}

static bool console_ready(void)
{
	return console.client || (!console.failed && console_open() == ERR_OK);
}

static void console_put(char c)
{
	if (console.used == LINE_BYTES)
		line_write_out();
	console.line[console.used++] = c;
}

void console_write(const char *text, size_t length)
{
	if (!console_ready())
		return;
	fiber_mutex_lock(&console.writing);
	for (size_t i = 0; i < length; i++)
		console_put(text[i]);
	if (length > 0 && text[length - 1] == '\n')
		line_write_out();
	fiber_mutex_unlock(&console.writing);
}

void console_flush(void)
{
	if (!console_ready())
		return;
	fiber_mutex_lock(&console.writing);
	line_write_out();
	fiber_mutex_unlock(&console.writing);
}

void console_drain(void)
{
	console_flush();
	if (!console.client)
		return;
	struct client_request request = {.op = CONSOLE_OP_DRAIN};
	(void)client_call(console.client, &request);
}

// --- input

static void read_submit(void);

static void typed_put(uint8_t byte)
{
	if (console.catching && byte == KEY_INTERRUPT) {
		console.typed_out = console.typed_in;
		flag_raise(&console.interrupt);
	} else {
		console.typed[console.typed_in++ % TYPED_BYTES] = byte;
	}
}

static void read_completed(struct client_request *request)
{
	console.reading = false;
	uint64_t got = request->completion.result[0];
	if (request->completion.status != ERR_OK || got > READ_BYTES)
		got = 0;
	for (uint64_t i = 0; i < got; i++)
		typed_put((uint8_t)console.arrived[i]);
	if (request->completion.status == ERR_OK)
		read_submit();
	if (console.waiter)
		fiber_wake(console.waiter);
}

// Keeps one READ in flight while there is room for what it may bring.
static void read_submit(void)
{
	if (console.reading || TYPED_BYTES - (console.typed_in - console.typed_out) < READ_BYTES)
		return;
	console.read = (struct client_request){
		.op = CONSOLE_OP_READ, .patient = true, .in = console.arrived, .in_length = READ_BYTES, .completed = read_completed};
	console.reading = client_submit(console.client, &console.read) == ERR_OK;
}

enum error console_focus(void)
{
	enum error e = console_open();
	if (e != ERR_OK)
		return e;
	struct client_request request = {.op = CONSOLE_OP_FOCUS};
	e = client_call(console.client, &request);
	if (e == ERR_OK)
		read_submit();
	return e;
}

static int typed_take(void)
{
	int byte = console.typed[console.typed_out++ % TYPED_BYTES];
	read_submit();
	return byte;
}

int console_read_byte(void)
{
	console.waiter = fiber_self();
	while (console.typed_in == console.typed_out) {
		read_submit();
		fiber_park();
	}
	console.waiter = 0;
	return typed_take();
}

bool console_interrupted(void)
{
	return console.interrupt.raised;
}

void console_interrupt_catch(bool on)
{
	console.catching = on;
	console.interrupt.raised = false;
}

struct flag *console_interrupt_flag(void)
{
	return &console.interrupt;
}

// --- the C library's standard output

static int stdout_put(char c, FILE *file)
{
	(void)file;
	if (!console_ready())
		return 0;
	fiber_mutex_lock(&console.writing);
	console_put(c);
	if (c == '\n')
		line_write_out();
	fiber_mutex_unlock(&console.writing);
	return 0;
}

static int stdout_flush(FILE *file)
{
	(void)file;
	console_flush();
	return 0;
}

static FILE console_stdout = FDEV_SETUP_STREAM(stdout_put, 0, stdout_flush, _FDEV_SETUP_WRITE);
FILE *const stdout = &console_stdout;
FILE *const stderr = &console_stdout;
