// Line editor of the shell. Owns the text being edited and the history, in the caller's struct line; must never write
// past LINE_SIZE whatever arrives, nor call anything but `output`. Right because every change goes through line_insert
// and line_erase, which keep cursor <= length < LINE_SIZE. If the shell dies the line and the history are gone, and the
// next one starts with an empty line.
#include "apps/shell/line.h"
#include <stdio.h>
#include <string.h>

#define KEY(c) ((c) & 31)
#define KEY_ESCAPE 27
#define KEY_DELETE 127

static void put(struct line *line, const char *text, size_t length)
{
	if (length > 0)
		line->output(text, length);
}

static void put_text(struct line *line, const char *text)
{
	put(line, text, strlen(text));
}

static void move_left(struct line *line, unsigned columns)
{
	char sequence[16];
	if (columns > 0)
		put(line, sequence, (size_t)snprintf(sequence, sizeof(sequence), "\033[%uD", columns));
}

// Shows the text from `from` on (the terminal's cursor is there) and puts the cursor where it belongs.
static void show_from(struct line *line, unsigned from)
{
	put(line, line->text + from, line->length - from);
	put_text(line, "\033[K");
	move_left(line, line->length - line->cursor);
}

static void line_insert(struct line *line, char c)
{
	if (line->length + 1 >= LINE_SIZE)
		return;
	memmove(line->text + line->cursor + 1, line->text + line->cursor, line->length - line->cursor);
	line->text[line->cursor++] = c;
	line->length++;
	if (line->cursor == line->length)
		put(line, &c, 1);
	else
		show_from(line, line->cursor - 1);
}

static void cursor_to(struct line *line, unsigned to)
{
	if (to < line->cursor)
		move_left(line, line->cursor - to);
	else
		put(line, line->text + line->cursor, to - line->cursor);
	line->cursor = to;
}

// Removes [from, to) and leaves the cursor at `from`.
static void line_erase(struct line *line, unsigned from, unsigned to)
{
	if (from >= to)
		return;
	cursor_to(line, from);
	memmove(line->text + from, line->text + to, line->length - to);
	line->length -= to - from;
	show_from(line, from);
}

static unsigned word_start(const struct line *line)
{
	unsigned at = line->cursor;
	while (at > 0 && line->text[at - 1] == ' ')
		at--;
	while (at > 0 && line->text[at - 1] != ' ')
		at--;
	return at;
}

// --- history

const char *line_history(const struct line *line, unsigned n)
{
	if (n == 0 || n > line->history_count || n > LINE_HISTORY)
		return 0;
	return line->history[(line->history_count - n) % LINE_HISTORY];
}

static void history_add(struct line *line)
{
	const char *newest = line_history(line, 1);
	if (line->length == 0 || line->length >= LINE_HISTORY_SIZE || (newest && strcmp(newest, line->text) == 0))
		return;
	memcpy(line->history[line->history_count++ % LINE_HISTORY], line->text, line->length + 1);
}

static void line_replace(struct line *line, const char *text)
{
	cursor_to(line, 0);
	line->length = (unsigned)strlen(text);
	memcpy(line->text, text, line->length);
	line->cursor = line->length;
	show_from(line, 0);
}

static void history_browse(struct line *line, int back)
{
	unsigned to = line->browse + (unsigned)back;
	if (back < 0 && line->browse == 0)
		return;
	const char *text = to == 0 ? line->kept : line_history(line, to);
	if (!text)
		return;
	if (line->browse == 0) {
		unsigned keep = line->length < LINE_HISTORY_SIZE ? line->length : LINE_HISTORY_SIZE - 1;
		memcpy(line->kept, line->text, keep);
		line->kept[keep] = 0;
	}
	line->browse = to;
	line_replace(line, text);
}

// --- keys

static void delete_at_cursor(struct line *line)
{
	if (line->cursor < line->length)
		line_erase(line, line->cursor, line->cursor + 1);
}

static void step_cursor(struct line *line, int by)
{
	if (by < 0 && line->cursor > 0)
		cursor_to(line, line->cursor - 1);
	if (by > 0 && line->cursor < line->length)
		cursor_to(line, line->cursor + 1);
}

static void redraw(struct line *line)
{
	put_text(line, "\r\n");
	put_text(line, line->prompt);
	show_from(line, 0);
}

// The final byte of an escape sequence.
static void feed_sequence(struct line *line, uint8_t final)
{
	switch (final) {
	case 'A': history_browse(line, 1); break;
	case 'B': history_browse(line, -1); break;
	case 'C': step_cursor(line, 1); break;
	case 'D': step_cursor(line, -1); break;
	case 'H': cursor_to(line, 0); break;
	case 'F': cursor_to(line, line->length); break;
	case '~':
		if (line->parameter == 1 || line->parameter == 7)
			cursor_to(line, 0);
		else if (line->parameter == 4 || line->parameter == 8)
			cursor_to(line, line->length);
		else if (line->parameter == 3)
			delete_at_cursor(line);
		break;
	}
}

static void feed_escape(struct line *line, uint8_t byte)
{
	if (line->escape == 1) {
		line->escape = byte == '[' || byte == 'O' ? 2 : 0;
		line->parameter = 0;
		return;
	}
	if (byte >= '0' && byte <= '9') {
		line->parameter = (line->parameter * 10 + byte - '0') % 1000;
		return;
	}
	if (byte == ';')
		return;
	line->escape = 0;
	feed_sequence(line, byte);
}

static enum line_result finish(struct line *line, enum line_result result, const char *text)
{
	cursor_to(line, line->length);
	put_text(line, text);
	line->text[line->length] = 0;
	if (result == LINE_DONE)
		history_add(line);
	return result;
}

static void feed_control(struct line *line, uint8_t byte)
{
	switch (byte) {
	case KEY('A'): cursor_to(line, 0); break;
	case KEY('E'): cursor_to(line, line->length); break;
	case KEY('B'): step_cursor(line, -1); break;
	case KEY('F'): step_cursor(line, 1); break;
	case KEY('D'): delete_at_cursor(line); break;
	case KEY('U'): line_erase(line, 0, line->cursor); break;
	case KEY('K'): line_erase(line, line->cursor, line->length); break;
	case KEY('W'): line_erase(line, word_start(line), line->cursor); break;
	case KEY('P'): history_browse(line, 1); break;
	case KEY('N'): history_browse(line, -1); break;
	case KEY('L'): redraw(line); break;
	case KEY_ESCAPE: line->escape = 1; break;
	case KEY('H'):
	case KEY_DELETE:
		if (line->cursor > 0)
			line_erase(line, line->cursor - 1, line->cursor);
		break;
	}
}

void line_begin(struct line *line)
{
	line->length = 0;
	line->cursor = 0;
	line->escape = 0;
	line->browse = 0;
	put_text(line, line->prompt);
}

enum line_result line_feed(struct line *line, uint8_t byte)
{
	uint8_t last = line->last;
	line->last = byte;
	if (line->escape) {
		feed_escape(line, byte);
		return LINE_MORE;
	}
	if (byte == '\n' && last == '\r')
		return LINE_MORE;
	if (byte == '\r' || byte == '\n')
		return finish(line, LINE_DONE, "\n");
	if (byte == KEY('C'))
		return finish(line, LINE_INTERRUPTED, "^C\n");
	if (byte == KEY('D') && line->length == 0)
		return finish(line, LINE_END, "\n");
	if (byte < ' ' || byte == KEY_DELETE)
		feed_control(line, byte);
	else
		line_insert(line, (char)byte);
	return LINE_MORE;
}
