// The console server against a 16550A played by the test, whose interrupt line is an edge: a rise while the driver does not
// look is remembered once, a line that stays high is never seen again.
#include "fake_host.h"
#include "fake_server.h"
#include "in_child.h"
#include "proto/console.h"
#include "servers/console/uart.h"

#define UART_AT 0x20000000ull
#define UART_IDENTITY 2

static struct {
	uint8_t ier, fcr, lcr, mcr;
	bool room_pending; // THRE cause, cleared by reading IIR or writing data
	uint8_t out[16];
	unsigned out_count;
	uint8_t in[16];
	unsigned in_count;
	bool overrun;
	bool instant;      // a byte leaves as soon as it is written
	bool stuck;
	bool line;         // interrupt line
	bool edge;         // a rise that the driver has not been told
	uint8_t wire[1 << 20];
	unsigned wire_count;
} uart;

static struct server_channel channels[4];
static struct server_request requests[64];
static unsigned request_count;

static uint8_t uart_iir(void)
{
	if (uart.stuck)
		return 0xc6;
	if ((uart.ier & 4) && uart.overrun)
		return 0xc6;
	if ((uart.ier & 1) && uart.in_count != 0)
		return 0xc4;
	if ((uart.ier & 2) && uart.room_pending)
		return 0xc2;
	return 0xc1;
}

static void line_update(void)
{
	bool line = !(uart_iir() & 1);

	uart.edge |= line && !uart.line;
	uart.line = line;
}

static void wire_send(unsigned count)
{
	while (count-- != 0 && uart.out_count != 0) {
		uart.wire[uart.wire_count++] = uart.out[0];
		memmove(uart.out, uart.out + 1, --uart.out_count);
		if (uart.out_count == 0)
			uart.room_pending = true;
	}
	line_update();
}

static void wire_receive(const char *text)
{
	while (*text) {
		if (uart.in_count == 16)
			uart.overrun = true;
		else
			uart.in[uart.in_count++] = (uint8_t)*text;
		text++;
		line_update();
	}
}

static uint8_t uart_data_read(void)
{
	uint8_t byte = uart.in[0];

	if (uart.in_count != 0)
		memmove(uart.in, uart.in + 1, --uart.in_count);
	return byte;
}

static uint8_t uart_lsr_read(void)
{
	uint8_t lsr = (uint8_t)((uart.in_count != 0 ? 1 : 0) | (uart.overrun ? 2 : 0) |
				(uart.out_count == 0 ? 0x60 : 0));

	uart.overrun = false;
	return lsr;
}

static uint64_t register_read(uint64_t address, unsigned bytes)
{
	uint8_t value = 0;

	assert_int_equal(bytes, 1);
	switch (address - UART_AT) {
	case 0:
		value = uart_data_read();
		break;
	case 2:
		value = uart_iir();
		if ((value & 0xf) == 2)
			uart.room_pending = false;
		break;
	case 5:
		value = uart_lsr_read();
		break;
	case 6:
		break;
	default:
		fail_msg("read of register %u", (unsigned)(address - UART_AT));
	}
	line_update();
	return value;
}

static void register_write(uint64_t address, unsigned bytes, uint64_t value)
{
	assert_int_equal(bytes, 1);
	switch (address - UART_AT) {
	case 0:
		assert_true(uart.out_count < 16); // never more than the FIFO takes
		uart.out[uart.out_count++] = (uint8_t)value;
		uart.room_pending = false;
		line_update();
		if (uart.instant)
			wire_send(16);
		break;
	case 1:
		if ((value & 2) && !(uart.ier & 2) && uart.out_count == 0)
			uart.room_pending = true;
		uart.ier = (uint8_t)value;
		break;
	case 2:
		uart.fcr = (uint8_t)value;
		break;
	case 3:
		uart.lcr = (uint8_t)value;
		break;
	case 4:
		uart.mcr = (uint8_t)value;
		break;
	default:
		fail_msg("write of register %u", (unsigned)(address - UART_AT));
	}
	line_update();
}

static bool no_uart;

static struct kernel_result uart_call(enum call number, const uint64_t a[6])
{
	(void)a;
	assert_int_equal(number, CALL_device_info);
	return no_uart ? (struct kernel_result){ERR_INVALID, {0}}
		       : (struct kernel_result){ERR_OK, {UART_AT, 0x1000, UART_IDENTITY}};
}

#define check(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "%s:%d: %s (wire: %.200s)\n", __FILE__, __LINE__, #condition,                   \
				(const char *)uart.wire);                                                              \
			exit(1);                                                                                       \
		}                                                                                                      \
	} while (0)

static void reset(void)
{
	fake_reset();
	fake_server_reset();
	fake_read = register_read;
	fake_write = register_write;
	fake_call = uart_call;
}

// A turn of the loop; the interrupt is told only if the line rose.
static void turn(void)
{
	bool edge = uart.edge;

	uart.edge = false;
	fake_turn(edge ? UART_IDENTITY : 0);
}

static struct server_request *ask(unsigned client, uint16_t op, const void *out, uint32_t out_length, void *in,
				  uint32_t in_length)
{
	struct server_request *request = &requests[request_count++];

	*request = (struct server_request){.channel = &channels[client], .out = out, .in = in};
	request->copy.op = op;
	request->copy.out_length = out_length;
	request->copy.in_length = in_length;
	request->copy.time = request_count;
	fake_server.request(request);
	return request;
}

static struct server_request *say(unsigned client, const char *text)
{
	return ask(client, CONSOLE_OP_WRITE, text, (uint32_t)strlen(text), 0, 0);
}

static void wire_is(const char *text)
{
	check(uart.wire_count == strlen(text) && memcmp(uart.wire, text, uart.wire_count) == 0);
}

static void run(void)
{
	for (unsigned i = 0; i < 100000; i++) {
		if (uart.out_count == 0 && !uart.edge && fake_timer == 0)
			return;
		wire_send(1 + fake_random() % 4);
		turn();
	}
	check(!"the driver does not come to an end");
}

TEST(takes_over_the_uart)
{
	uart.in[uart.in_count++] = 'x';
	program_main();
	check(fake_server_error == ERR_OK);
	check(uart.lcr == 3 && uart.fcr == 1 && (uart.mcr & 8) && uart.ier == 5);
	check(!uart.line); // the first edge is not lost
}

TEST(needs_a_uart)
{
	no_uart = true;
	program_main();
	check(fake_server_error == ERR_NOT_FOUND);
	check(strcmp(fake_log, "console: no UART was given to this domain") == 0);
}

TEST(writes_lines)
{
	program_main();
	struct server_request *request = say(0, "one\ntwo\n");

	run();
	wire_is("one\r\ntwo\r\n");
	check(fake_completion_of(request)->status == ERR_OK && fake_completion_of(request)->result[0] == 8);
	check(uart.ier == 5);
	request = say(0, "");
	check(fake_completion_of(request)->status == ERR_OK);
}

TEST(writes_more_than_a_fifo)
{
	static char text[5000];

	program_main();
	memset(text, 'a', sizeof(text) - 1);
	struct server_request *request = say(0, text);

	check(uart.out_count == 16 && uart.ier == 7); // room wanted
	check(fake_completion_of(request) == 0);
	run();
	wire_is(text);
	check(fake_completion_of(request)->result[0] == 4999 && uart.ier == 5);
}

TEST(a_fast_uart_does_not_hold_the_loop)
{
	static char text[5000];
	unsigned turns = 0;

	program_main();
	uart.instant = true;
	memset(text, 'a', sizeof(text) - 1);
	struct server_request *request = say(0, text);

	check(uart.wire_count <= 256);
	while (fake_completion_of(request) == 0) {
		unsigned before = uart.wire_count;

		turn();
		check(uart.wire_count - before <= 256 && ++turns < 100);
	}
	wire_is(text);
	run();
	check(uart.ier == 5);
}

TEST(whole_requests_clients_in_turn)
{
	program_main();
	say(0, "0: first of many letters\n");
	say(0, "0: second\n");
	say(0, "0: third\n");
	say(1, "1: first\n");
	say(2, "2: first\n");
	say(1, "1: second\n");
	run();
	wire_is("0: first of many letters\r\n1: first\r\n2: first\r\n0: second\r\n1: second\r\n0: third\r\n");
}

TEST(drain_waits_for_the_wire)
{
	program_main();
	say(0, "hello");
	struct server_request *drain = ask(0, CONSOLE_OP_DRAIN, 0, 0, 0, 0);

	check(uart.out_count == 5 && fake_completion_of(drain) == 0);
	fake_time += 1000;
	turn();
	check(fake_completion_of(drain) == 0);
	wire_send(5);
	fake_time += 1000;
	turn();
	check(fake_completion_of(drain)->status == ERR_OK);
	drain = ask(1, CONSOLE_OP_DRAIN, 0, 0, 0, 0);
	check(fake_completion_of(drain)->status == ERR_OK);
}

TEST(read_waits_for_input)
{
	uint8_t line[8] = {0};

	program_main();
	ask(0, CONSOLE_OP_FOCUS, 0, 0, 0, 0);
	struct server_request *request = ask(0, CONSOLE_OP_READ, 0, 0, line, 8);

	check(fake_completion_of(request) == 0);
	wire_receive("ab");
	turn();
	check(fake_completion_of(request)->result[0] == 2 && memcmp(line, "ab", 2) == 0);
	wire_receive("cdefghijkl");
	turn();
	request = ask(0, CONSOLE_OP_READ, 0, 0, line, 8); // typed ahead
	check(fake_completion_of(request)->result[0] == 8 && memcmp(line, "cdefghij", 8) == 0);
	request = ask(0, CONSOLE_OP_READ, 0, 0, line, 0);
	check(fake_completion_of(request)->status == ERR_INVALID);
}

TEST(input_follows_the_focus)
{
	uint8_t line[2][8] = {{0}};
	struct server_request *reads[2];

	program_main();
	ask(0, CONSOLE_OP_FOCUS, 0, 0, 0, 0);
	reads[0] = ask(0, CONSOLE_OP_READ, 0, 0, line[0], 8);
	reads[1] = ask(1, CONSOLE_OP_READ, 0, 0, line[1], 8);
	ask(1, CONSOLE_OP_FOCUS, 0, 0, 0, 0);
	wire_receive("x");
	turn();
	check(fake_completion_of(reads[0]) == 0 && fake_completion_of(reads[1])->result[0] == 1);
	fake_server.closed(&channels[1]);
	check(channels[1].released);
	wire_receive("y"); // the focus went back
	turn();
	check(fake_completion_of(reads[0])->result[0] == 1 && line[0][0] == 'y');
}

TEST(a_dying_client_holds_nothing)
{
	uint8_t line[2][8] = {{0}};

	program_main();
	ask(1, CONSOLE_OP_FOCUS, 0, 0, 0, 0);
	ask(0, CONSOLE_OP_FOCUS, 0, 0, 0, 0);
	struct server_request *read = ask(0, CONSOLE_OP_READ, 0, 0, line[0], 8);
	struct server_request *other = ask(1, CONSOLE_OP_READ, 0, 0, line[1], 8);
	struct server_request *write = say(0, "last words, more than one FIFO\n");

	fake_server.closing(&channels[0]);
	check(fake_completion_of(read)->status == ERR_PEER_LOST);
	check(fake_completion_of(write) == 0); // is written all the same
	run();
	wire_is("last words, more than one FIFO\r\n");
	check(fake_completion_of(write)->status == ERR_OK);
	fake_server.closed(&channels[0]);
	wire_receive("k");
	turn();
	check(fake_completion_of(other)->result[0] == 1 && line[1][0] == 'k');
}

// What is typed goes to the next READ; output is written though nobody wants to hear of it.
TEST(a_cancelled_read_takes_nothing)
{
	uint8_t line[3][8] = {{0}};

	program_main();
	struct server_request *reads[3];
	for (unsigned i = 0; i < 3; i++)
		reads[i] = ask(0, CONSOLE_OP_READ, 0, 0, line[i], 8);
	struct server_request *write = say(0, "written, more than one FIFO of it\n");
	fake_server.cancelled(write);
	check(fake_completion_of(write) == 0);
	fake_server.cancelled(reads[2]);
	fake_server.cancelled(reads[0]);
	check(fake_completion_of(reads[2])->status == ERR_CANCELLED);
	check(fake_completion_of(reads[0])->status == ERR_CANCELLED);
	run();
	check(fake_completion_of(write)->status == ERR_OK);
	wire_receive("k");
	turn();
	check(fake_completion_of(reads[1])->result[0] == 1 && line[1][0] == 'k');
	reads[0] = ask(0, CONSOLE_OP_READ, 0, 0, line[0], 8); // behind nothing
	wire_receive("m");
	turn();
	check(fake_completion_of(reads[0])->result[0] == 1 && line[0][0] == 'm');
}

// A client's new incarnation waits for what the dead one had asked for.
TEST(reads_end_when_slots_are_wanted)
{
	uint8_t line[8];

	program_main();
	struct server_request *read = ask(0, CONSOLE_OP_READ, 0, 0, line, 8);

	fake_server.commit_wanted();
	check(fake_completion_of(read)->status == ERR_AGAIN);
}

// After a restart nobody has asked for focus: the newest reader has it.
TEST(focus_after_a_restart)
{
	uint8_t line[2][8] = {{0}};
	struct server_request *reads[2];

	program_main();
	reads[0] = ask(0, CONSOLE_OP_READ, 0, 0, line[0], 8);
	reads[1] = ask(1, CONSOLE_OP_READ, 0, 0, line[1], 8);
	wire_receive("z");
	turn();
	check(fake_completion_of(reads[0]) == 0 && fake_completion_of(reads[1])->result[0] == 1);
	check(line[1][0] == 'z');
}

TEST(too_much_input_is_counted_not_kept)
{
	program_main();
	for (unsigned i = 0; i < 1100; i++) {
		wire_receive("i");
		turn();
	}
	uint8_t all[2000];

	ask(0, CONSOLE_OP_FOCUS, 0, 0, 0, 0);
	check(fake_completion_of(ask(0, CONSOLE_OP_READ, 0, 0, all, 2000))->result[0] == UART_INPUT_SIZE);
	wire_receive("12345678901234567890"); // an overrun inside the UART
	turn();
	check(fake_completion_of(ask(0, CONSOLE_OP_READ, 0, 0, all, 2000))->result[0] == 16);
}

TEST(a_stuck_line_ends_the_driver)
{
	program_main();
	uart.stuck = true;
	uart.edge = true;
	check(fake_exits(turn));
	check(fake_exit_code == ERR_DEVICE);
	check(strcmp(fake_log, "console: the UART does not end its interrupt: giving up") == 0);
}

// Input and output at once, with every timing that chance finds: nothing is lost, nothing stands still.
TEST(edges_are_never_lost)
{
	static char text[64];
	static uint8_t input[64];
	unsigned typed = 0, taken = 0, said = 0;
	struct server_request *read = 0, *write = 0;

	program_main();
	ask(0, CONSOLE_OP_FOCUS, 0, 0, 0, 0);
	for (unsigned step = 0; step < 50000; step++) {
		request_count %= 32;
		if (write == 0 || fake_completion_of(write) != 0) {
			fake_completion_count = read != 0 && fake_completion_of(read) ? fake_completion_count : 0;
			memset(text, 'w', sizeof(text));
			write = ask(1, CONSOLE_OP_WRITE, text, 1 + fake_random() % 40, 0, 0);
			said += write->copy.out_length;
		}
		if (read != 0 && fake_completion_of(read) != 0) {
			taken += (unsigned)fake_completion_of(read)->result[0];
			read = 0;
			if (fake_completion_of(write) == 0)
				fake_completion_count = 0;
		}
		if (read == 0)
			read = ask(0, CONSOLE_OP_READ, 0, 0, input, 64);
		if (fake_random() % 4 == 0 && uart.in_count < 16) {
			wire_receive("k");
			typed++;
		}
		wire_send(fake_random() % 20);
		if (fake_random() % 2)
			turn();
		uart.wire_count = uart.wire_count > 1 << 19 ? 0 : uart.wire_count;
	}
	run();
	if (fake_completion_of(read) != 0)
		taken += (unsigned)fake_completion_of(read)->result[0];
	check(fake_completion_of(write) != 0);
	check(typed == taken && typed > 1000 && said > 10000);
	check(!uart.line && uart.ier == 5);
}

static void injected(void)
{
	turn();
}

TEST(injection_points)
{
	uint8_t line[4];

	program_main();
	fake_inject_error = ERR_INJECTED;
	fake_inject_name = "console.write";
	check(fake_completion_of(say(0, "x"))->status == ERR_INJECTED);
	fake_inject_name = "console.read";
	check(fake_completion_of(ask(0, CONSOLE_OP_READ, 0, 0, line, 4))->status == ERR_INJECTED);
	fake_inject_name = "console.interrupt";
	uart.edge = true;
	check(fake_exits(injected) && fake_exit_code == ERR_INJECTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_over_the_uart),
		cmocka_unit_test(needs_a_uart),
		cmocka_unit_test(writes_lines),
		cmocka_unit_test(writes_more_than_a_fifo),
		cmocka_unit_test(a_fast_uart_does_not_hold_the_loop),
		cmocka_unit_test(whole_requests_clients_in_turn),
		cmocka_unit_test(drain_waits_for_the_wire),
		cmocka_unit_test(read_waits_for_input),
		cmocka_unit_test(input_follows_the_focus),
		cmocka_unit_test(a_dying_client_holds_nothing),
		cmocka_unit_test(a_cancelled_read_takes_nothing),
		cmocka_unit_test(reads_end_when_slots_are_wanted),
		cmocka_unit_test(focus_after_a_restart),
		cmocka_unit_test(too_much_input_is_counted_not_kept),
		cmocka_unit_test(a_stuck_line_ends_the_driver),
		cmocka_unit_test(edges_are_never_lost),
		cmocka_unit_test(injection_points),
	};

	return cmocka_run_group_tests(tests, 0, 0);
}
