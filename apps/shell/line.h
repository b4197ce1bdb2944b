// Line editor: bytes of a terminal in, an edited line out. Pure but for the output function; tested on the host.
//
// Keys: arrows, Home, End, Delete, Backspace, ^A ^E ^B ^F start, end, left, right; ^U ^K ^W erase to the start, to the
// end, a word; ^P ^N history; ^L redraw; ^C gives the line up; ^D ends on an empty line. The line is one terminal row:
// a longer one is edited correctly and shown wrapped.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINE_SIZE 4096u
#define LINE_HISTORY 32u
#define LINE_HISTORY_SIZE 256u // longer lines are not kept

enum line_result { LINE_MORE, LINE_DONE, LINE_INTERRUPTED, LINE_END };

struct line {
	void (*output)(const char *text, size_t length);
	const char *prompt;
	char text[LINE_SIZE]; // NUL-terminated when LINE_DONE
	unsigned length;
	unsigned cursor;
	// escape sequence under way
	unsigned escape;      // 0: none, 1: after ESC, 2: in a sequence
	unsigned parameter;
	uint8_t last;         // so that CR LF is one end of line
	// history: a ring of lines, `browse` counts back from the newest, 0 = the line being edited
	char history[LINE_HISTORY][LINE_HISTORY_SIZE];
	unsigned history_count;
	unsigned browse;
	char kept[LINE_HISTORY_SIZE]; // what was edited before browsing
};

// Shows the prompt and starts an empty line.
void line_begin(struct line *line);
enum line_result line_feed(struct line *line, uint8_t byte);
// The n-th line of the history, 1 = newest; 0 when there is none.
const char *line_history(const struct line *line, unsigned n);
