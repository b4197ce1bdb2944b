// Console server: one UART for all clients.
//
// Owns the UART, the order of output and the focus of input. Output: each client's requests in order, one whole request
// at a time, clients in turn. Input goes to the client that last asked for focus and still is there. Runs without
// fibers and must never wait for the UART: it writes what has room and lets the interrupt (or a timer, for
// what raises none) bring it back.
// If it dies here: requests that were not completed are in the clients' channels and are performed again from their
// beginning, so text may appear twice; input that was typed ahead is lost. The focus is found again from the newest READ
// that waits. The supervisor notices; clients see time.
#include "proto/console.h"
#include "runtime/component.h"
#include "runtime/fiber.h"
#include "runtime/inject.h"
#include "runtime/runtime.h"
#include "servers/console/uart.h"
#include <string.h>

#define TURN_BYTES 256u     // of output before the loop gets its turn: about 16 FIFOs
#define DRAIN_POLL_US 500u  // a FIFO of 16 bytes needs 1.4 ms at 115200 baud

struct queue { // of requests, linked by next
	struct server_request *first;
	struct server_request *last;
};

struct console_client {
	struct server_channel *channel; // 0: free
	struct queue output; // WRITE and DRAIN
	struct queue input;  // READ
	uint64_t focused;    // number of its last FOCUS, 0: never asked
};

static struct {
	struct uart uart;
	struct console_client clients[CHANNEL_MAX];
	unsigned turn;               // client whose request is being written, or was last
	struct server_request *current;
	uint32_t current_at;         // bytes of it that were put
	bool return_sent;            // "\r" of the "\n" at current_at is out
	uint64_t focus_count;
	struct console_client *focus;
	struct loop_source interrupt;
	struct timer again;
} console;

static const struct op_description operations[] = {
	{0},
#define X(name, attribute, text) {#name, text, OP_##attribute},
	CONSOLE_OP_TABLE(X)
#undef X
};

static const struct protocol console_protocol = {.name = "console", .ops = operations, .op_count = CONSOLE_OPS};

static void queue_push(struct queue *queue, struct server_request *request)
{
	request->next = 0;
	if (queue->first == 0)
		queue->first = request;
	else
		queue->last->next = request;
	queue->last = request;
}

static struct server_request *queue_pop(struct queue *queue)
{
	struct server_request *request = queue->first;

	if (request != 0)
		queue->first = request->next;
	return request;
}

// False: it is not in there.
static bool queue_remove(struct queue *queue, const struct server_request *request)
{
	struct server_request **at = &queue->first, *before = 0;

	while (*at != 0 && *at != request) {
		before = *at;
		at = &before->next;
	}
	if (*at == 0)
		return false;
	*at = request->next;
	if (queue->last == request)
		queue->last = before;
	return true;
}

static void request_end(struct server_request *request, enum error error, uint64_t bytes)
{
	uint64_t result[5] = {bytes};

	server_complete(request, error, result);
}

static struct console_client *client_of(struct server_channel *channel)
{
	struct console_client *client = server_channel_context(channel);

	for (unsigned i = 0; client == 0 && i < CHANNEL_MAX; i++)
		if (console.clients[i].channel == 0)
			client = &console.clients[i];
	if (client != 0 && client->channel == 0) {
		*client = (struct console_client){.channel = channel};
		server_channel_set_context(channel, client);
	}
	return client;
}

// Takes the next client's request when none is being written. False: there is no output.
static bool current_choose(void)
{
	for (unsigned i = 1; console.current == 0 && i <= CHANNEL_MAX; i++) {
		unsigned at = (console.turn + i) % CHANNEL_MAX;

		console.current = queue_pop(&console.clients[at].output);
		if (console.current != 0) {
			console.turn = at;
			console.current_at = 0;
			console.return_sent = false;
			break;
		}
	}
	return console.current != 0;
}

static void current_end(void)
{
	struct server_request *request = console.current;

	console.current = 0;
	request_end(request, ERR_OK, request->copy.op == CONSOLE_OP_WRITE ? request->copy.out_length : 0);
}

// Puts at most `room` bytes of the current WRITE; returns how many.
static unsigned current_put(unsigned room)
{
	const struct server_request *request = console.current;
	unsigned count = 0;

	while (count < room && console.current_at < request->copy.out_length) {
		uint8_t byte = ((const volatile uint8_t *)request->out)[console.current_at];
		bool first = byte == '\n' && !console.return_sent;

		uart_put(&console.uart, first ? '\r' : byte);
		console.return_sent = first;
		console.current_at += !first;
		count++;
	}
	return count;
}

// Writes until FIFO or budget is full. True: the FIFO is, and there is more.
static bool output_fill(unsigned *budget)
{
	unsigned room = 0;

	while (current_choose()) {
		if (console.current->copy.op == CONSOLE_OP_DRAIN) {
			if (!uart_idle(&console.uart)) {
				timer_arm(&console.again, time_now() + time_ticks_from_us(DRAIN_POLL_US));
				return false;
			}
			current_end();
			continue;
		}
		if (room == 0)
			room = uart_room(&console.uart);
		if (room == 0)
			return true;
		if (*budget < room) {
			timer_arm(&console.again, time_now());
			return false;
		}
		unsigned put = current_put(room);

		room -= put;
		*budget -= put;
		if (console.current_at >= console.current->copy.out_length)
			current_end();
	}
	return false;
}

static void input_deliver(void)
{
	while (console.focus != 0 && console.focus->input.first != 0 && uart_has_input(&console.uart)) {
		struct server_request *request = queue_pop(&console.focus->input);

		request_end(request, ERR_OK, uart_take(&console.uart, request->in, request->copy.in_length));
	}
}

// All that can be done now. Ends with the interrupt line low, or risen since it was low: no edge is lost.
static void console_turn(void)
{
	unsigned budget = TURN_BYTES;

	for (;;) {
		bool want;

		if (!uart_service(&console.uart)) {
			log_line("console: the UART does not end its interrupt: giving up");
			domain_exit(ERR_DEVICE);
		}
		input_deliver();
		want = output_fill(&budget);
		uart_want_room(&console.uart, want);
		if (!want || uart_room(&console.uart) == 0)
			return;
	}
}

static void console_interrupt(struct loop_source *source)
{
	(void)source;
	if (inject("console.interrupt") != ERR_OK)
		domain_exit(ERR_INJECTED);
	console_turn();
}

static void console_again(struct timer *timer)
{
	(void)timer;
	console_turn();
}

// While nobody has asked this incarnation for focus, the newest reader has it.
static void focus_guess(struct console_client *client, uint64_t time)
{
	if (console.focus_count != 0)
		return;
	if (console.focus == 0 || console.focus->input.first == 0 || time >= console.focus->input.last->copy.time)
		console.focus = client;
}

// The one who asked last and still is there; when nobody has asked this incarnation, the newest reader.
static void focus_find(void)
{
	console.focus = 0;
	for (unsigned i = 0; i < CHANNEL_MAX; i++) {
		struct console_client *client = &console.clients[i];

		if (client->channel != 0 && client->focused != 0 &&
		    (console.focus == 0 || client->focused > console.focus->focused))
			console.focus = client;
	}
	if (console.focus != 0)
		return;
	console.focus_count = 0;
	for (unsigned i = 0; i < CHANNEL_MAX; i++) {
		if (console.clients[i].input.first != 0)
			focus_guess(&console.clients[i], console.clients[i].input.last->copy.time);
	}
}

static void read_request(struct console_client *client, struct server_request *request)
{
	enum error error = inject("console.read");

	if (error == ERR_OK && request->copy.in_length == 0)
		error = ERR_INVALID;
	if (error != ERR_OK) {
		request_end(request, error, 0);
		return;
	}
	focus_guess(client, request->copy.time);
	queue_push(&client->input, request);
}

static void output_request(struct console_client *client, struct server_request *request)
{
	enum error error = inject("console.write");

	if (error != ERR_OK)
		request_end(request, error, 0);
	else
		queue_push(&client->output, request);
}

static void console_request(struct server_request *request)
{
	struct console_client *client = client_of(request->channel);

	if (client == 0) {
		request_end(request, ERR_LIMIT, 0);
		return;
	}
	switch (request->copy.op) {
	case CONSOLE_OP_READ:
		read_request(client, request);
		break;
	case CONSOLE_OP_FOCUS:
		client->focused = ++console.focus_count;
		console.focus = client;
		request_end(request, ERR_OK, 0);
		break;
	default:
		output_request(client, request);
		break;
	}
	console_turn();
}

static void reads_end(struct console_client *client, enum error error)
{
	struct server_request *request;

	while ((request = queue_pop(&client->input)) != 0)
		request_end(request, error, 0);
}

// A READ is given up, and what is typed goes to the next one. Output that was begun or waits is written.
static void console_cancelled(struct server_request *request)
{
	struct console_client *client = client_of(request->channel);

	if (client != 0 && queue_remove(&client->input, request))
		request_end(request, ERR_CANCELLED, 0);
}

// The client has gone: nobody will read what it asked for. What it wrote is still written.
static void console_closing(struct server_channel *channel)
{
	struct console_client *client = server_channel_context(channel);

	if (client == 0)
		return;
	client->focused = 0;
	reads_end(client, ERR_PEER_LOST);
	focus_find();
	input_deliver();
}

static void console_closed(struct server_channel *channel)
{
	struct console_client *client = server_channel_context(channel);

	if (client != 0) {
		*client = (struct console_client){0};
		focus_find();
		input_deliver();
	}
	server_release(channel);
}

// A client wants its slots back. Nothing is ever logged here, so it is a client's new incarnation that waits for the
// requests of the dead one: READs of before must not hold it up. Others simply ask again.
static void console_commit_wanted(void)
{
	for (unsigned i = 0; i < CHANNEL_MAX; i++)
		reads_end(&console.clients[i], ERR_AGAIN);
}

static enum error console_start(uint64_t *mark)
{
	struct kernel_result info = kcall(CALL_device_info, 0);

	*mark = 0;
	if (info.error != ERR_OK || info.value[2] == 0) {
		log_line("console: no UART was given to this domain");
		return ERR_NOT_FOUND;
	}
	console.again.expired = console_again;
	console.interrupt = (struct loop_source){.notify = console_interrupt, .identity = (unsigned)info.value[2]};
	loop_source_add(&console.interrupt);
	uart_init(&console.uart, info.value[0]);
	console_turn();
	return ERR_OK;
}

static const struct server console_server = {
	.protocol = &console_protocol,
	.start = console_start,
	.request = console_request,
	.cancelled = console_cancelled,
	.closing = console_closing,
	.closed = console_closed,
	.commit_wanted = console_commit_wanted,
};

COMPONENT(console, &console_server);
