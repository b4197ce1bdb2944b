// 16550A UART (facts: National Semiconductor PC16550D data sheet, section 8). Owns the UART's registers and the input
// ring. After a claim it works until the line has been low once (INV-56). If the driver dies here: what is in the UART's FIFOs stays there for the next incarnation; the ring is lost.
#include "servers/console/uart.h"
#include "runtime/device.h"
#include <string.h>

#define REGISTER_DATA 0
#define REGISTER_IER 1
#define REGISTER_IIR 2 // FCR when written
#define REGISTER_LCR 3
#define REGISTER_MCR 4
#define REGISTER_LSR 5
#define REGISTER_MSR 6

#define IER_INPUT 1u
#define IER_ROOM 2u
#define IER_LINE 4u
#define IIR_NONE 1u
#define IIR_CAUSE 0x0eu
#define CAUSE_MODEM 0x00u
#define CAUSE_ROOM 0x02u
#define CAUSE_INPUT 0x04u
#define CAUSE_LINE 0x06u
#define CAUSE_INPUT_OLD 0x0cu // fewer bytes than the trigger level, for a while
#define FCR_ENABLE 1u // without the clearing bits; trigger level 1
#define LCR_8N1 3u
#define MCR_DTR_RTS_OUT2 0x0bu // OUT2 gates the interrupt on PCs
#define LSR_INPUT 1u
#define LSR_OVERRUN 2u
#define LSR_ROOM 0x20u
#define LSR_IDLE 0x40u

#define CAUSES_MAX 4096 // in one service: beyond it the line is stuck

static uint8_t uart_get(const struct uart *uart, unsigned at)
{
	return device_read8(uart->base + at);
}

static void uart_set(const struct uart *uart, unsigned at, uint8_t value)
{
	device_write8(uart->base + at, value);
}

void uart_init(struct uart *uart, uint64_t base)
{
	memset(uart, 0, sizeof(*uart));
	uart->base = base;
	uart_set(uart, REGISTER_IER, 0);
	uart_set(uart, REGISTER_LCR, LCR_8N1);
	uart_set(uart, REGISTER_IIR, FCR_ENABLE);
	uart_set(uart, REGISTER_MCR, MCR_DTR_RTS_OUT2);
	uart->enabled = IER_INPUT | IER_LINE;
	uart_set(uart, REGISTER_IER, uart->enabled);
}

static void input_put(struct uart *uart, uint8_t byte)
{
	if (uart->input_tail - uart->input_head == UART_INPUT_SIZE)
		uart->input_dropped++;
	else
		uart->input[uart->input_tail++ % UART_INPUT_SIZE] = byte;
}

static void line_look(struct uart *uart, uint8_t lsr)
{
	if (lsr & LSR_OVERRUN)
		uart->overruns++;
}

static void input_drain(struct uart *uart)
{
	uint8_t lsr;

	for (unsigned i = 0; i < 2 * UART_FIFO; i++) {
		lsr = uart_get(uart, REGISTER_LSR);
		line_look(uart, lsr);
		if (!(lsr & LSR_INPUT))
			return;
		input_put(uart, uart_get(uart, REGISTER_DATA));
	}
}

bool uart_service(struct uart *uart)
{
	for (unsigned i = 0; i < CAUSES_MAX; i++) {
		uint8_t iir = uart_get(uart, REGISTER_IIR);

		if (iir & IIR_NONE)
			return true;
		switch (iir & IIR_CAUSE) {
		case CAUSE_INPUT:
		case CAUSE_INPUT_OLD:
			input_drain(uart);
			break;
		case CAUSE_LINE:
			line_look(uart, uart_get(uart, REGISTER_LSR));
			break;
		case CAUSE_MODEM:
			uart_get(uart, REGISTER_MSR);
			break;
		case CAUSE_ROOM: // reading IIR cleared it
		default:
			break;
		}
	}
	return false;
}

unsigned uart_room(const struct uart *uart)
{
	return uart_get(uart, REGISTER_LSR) & LSR_ROOM ? UART_FIFO : 0;
}

void uart_put(const struct uart *uart, uint8_t byte)
{
	uart_set(uart, REGISTER_DATA, byte);
}

bool uart_idle(const struct uart *uart)
{
	return (uart_get(uart, REGISTER_LSR) & LSR_IDLE) != 0;
}

void uart_want_room(struct uart *uart, bool want)
{
	uint8_t enabled = IER_INPUT | IER_LINE | (want ? IER_ROOM : 0);

	if (enabled == uart->enabled)
		return;
	uart->enabled = enabled;
	uart_set(uart, REGISTER_IER, enabled);
}

size_t uart_take(struct uart *uart, uint8_t *to, size_t room)
{
	size_t count = 0;

	while (count < room && uart->input_head != uart->input_tail)
		to[count++] = uart->input[uart->input_head++ % UART_INPUT_SIZE];
	return count;
}

bool uart_has_input(const struct uart *uart)
{
	return uart->input_head != uart->input_tail;
}
