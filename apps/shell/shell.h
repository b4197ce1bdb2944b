// What the parts of the shell share: the table of commands, options, colours, sentences.
#pragma once
#include "abi/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATUS_OK 0
#define STATUS_FAILED 1
#define STATUS_MISUSED 2
#define STATUS_USAGE (-1)     // of a command's function: the caller prints the usage line, and the status is MISUSED
#define STATUS_LOST 126       // of the command under which the shell died, as its next incarnation has it
#define STATUS_UNKNOWN 127    // no such command
#define STATUS_INTERRUPTED 130

struct command {
	const char *name;
	const char *arguments;
	const char *help;
	int (*run)(int argc, char **argv); // exit status; argv[0] is the command
};

// Each ends with an entry whose name is 0.
extern const struct command commands_shell[];  // main.c
extern const struct command commands_files[];  // files.c
extern const struct command commands_trees[];  // trees.c
extern const struct command commands_system[]; // system.c
extern const struct command commands_faults[]; // faults.c
extern const struct command commands_jobs[];   // jobs.c

// Prints "what: sentence of the error" and gives STATUS_FAILED.
int complain(const char *what, enum error error);

// Removes `option` from the arguments; true if it was there. Only options before "--" count.
bool option_take(int *argc, char **argv, const char *option);
// A decimal or 0x number, all of the text. False: it is none.
bool number_parse(const char *text, uint64_t *number);

// Waits for so long. False: ^C came first.
bool pause_us(uint64_t us);

enum shade { SHADE_NONE, SHADE_HEAD, SHADE_GOOD, SHADE_BAD, SHADE_DIM };
// Text that switches the terminal to that shade; "" when colours are off.
const char *shade(enum shade shade);

// Duration of `ticks` with a unit, at most 11 characters; `text` has room for 24.
const char *duration_text(uint64_t ticks, char text[24]);
// Bytes with a unit, at most 9 characters.
const char *size_text(uint64_t bytes, char text[24]);
