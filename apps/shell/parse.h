// Words of a command line: quotes, `;`, `$?`. Pure; tested on the host.
//
// '...' is literal; "..." knows \" \\ and $?; outside quotes a backslash takes the next character as it is, `#` at the
// start of a word ends the line.
#pragma once
#include <stddef.h>

#define PARSE_WORDS_MAX 64
#define PARSE_TEXT_SIZE 4096u

struct parsed {
	int count;
	char *words[PARSE_WORDS_MAX + 1]; // the one behind the last is 0
	char text[PARSE_TEXT_SIZE];
};

enum parse_result { PARSE_COMMAND, PARSE_END, PARSE_QUOTE, PARSE_TOO_LONG };

// Takes one command (up to `;` or the end) from *rest and moves it on. PARSE_END: nothing is left. An empty command has
// count 0. `status` is what $? stands for.
enum parse_result parse_command(const char **rest, int status, struct parsed *parsed);
// A sentence for PARSE_QUOTE and PARSE_TOO_LONG.
const char *parse_sentence(enum parse_result result);
