// What the supervisor says: into its log, and from there to the console, without ever waiting for the console.
#pragma once
#include <stdbool.h>

// A line in the log, printf-like, cut at CRASH_LINE_MAX; shown by the next print_pump.
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
// Shows what is new in the log: by log_line as long as the console service has not been up, over the console's channel
// afterwards. Returns at once; what the console does not take yet stays in the log.
void print_pump(void);
// Tells whether the console service is up. The first time opens the channel, in a fiber of its own.
void print_console_up(bool up);
