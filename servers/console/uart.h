// 16550A UART: registers, and the rule that keeps an edge-triggered interrupt alive.
//
// The interrupt of the UART may be wired as an edge: then a rise of the line is seen once. uart_service therefore
// clears cause after cause until the UART says that none is left (the line is low), so that whatever comes later rises again.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UART_INPUT_SIZE 1024u // a power of two
#define UART_FIFO 16u

struct uart {
	uint64_t base; // guest-physical
	uint8_t enabled; // IER as written
	uint32_t input_head;
	uint32_t input_tail;
	uint64_t input_dropped; // no room in our ring
	uint64_t overruns;      // lost by the UART itself
	uint8_t input[UART_INPUT_SIZE];
};

// Takes over a UART whose line speed firmware has set; what is in its FIFOs stays.
void uart_init(struct uart *uart, uint64_t base);
// Clears all causes, input goes into the ring. False: the line does not drop, the UART is broken.
bool uart_service(struct uart *uart);
// Bytes that can be put now: UART_FIFO or 0.
unsigned uart_room(const struct uart *uart);
void uart_put(const struct uart *uart, uint8_t byte);
// Is all that was put out on the line?
bool uart_idle(const struct uart *uart);
// Interrupt when there is room? After switching it on look at uart_room once more.
void uart_want_room(struct uart *uart, bool want);
// Moves input to `to`; returns the number of bytes.
size_t uart_take(struct uart *uart, uint8_t *to, size_t room);
bool uart_has_input(const struct uart *uart);
