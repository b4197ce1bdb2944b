// Standard output and keyboard of a native program, over the console protocol.
//
// Output is gathered into lines and written by one request for each; a program may use printf. Input is read ahead by
// one READ that is always in flight, so that an interrupt key is seen while a command runs.
//
// If this domain dies: text not yet flushed is gone, the rest stands in the channel. If the console server dies:
// requests wait in the ring, the next incarnation performs them; the user sees at most a repeated piece of text.
#pragma once
#include "abi/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Opens the channel to the console for output. Called by the first printf too. Errors are those of client_open.
enum error console_open(void);
// Asks for the keyboard and starts to read ahead. Once; then console_read and console_interrupted work.
enum error console_focus(void);
// Waits for the next byte of input; 0..255.
int console_read_byte(void);
// While `on`, the interrupt key (^C) is no input: it drops what was typed ahead and is remembered. Forgets a former one.
void console_interrupt_catch(bool on);
// Has it been pressed since? Costs nothing, waits never.
bool console_interrupted(void);
// The same to wait for (await.h), with what else it may be.
struct flag;
struct flag *console_interrupt_flag(void);
// Writes raw bytes, through the line buffer, in order with printf.
void console_write(const char *text, size_t length);
// Hands over what is buffered and waits until the server has taken it.
void console_flush(void);
// As console_flush, and waits until the last byte has left the device.
void console_drain(void);
