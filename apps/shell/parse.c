// Splits a command line into words. Owns nothing; all results are in the caller's struct parsed, whose text buffer
// bounds everything: out of room is an error, never a cut word. If the shell dies here, nothing was performed yet.
#include "apps/shell/parse.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct scanner {
	const char *from;
	struct parsed *parsed;
	unsigned used;
	bool full;
	int status;
};

static void add_char(struct scanner *s, char c)
{
	if (s->used + 1 >= PARSE_TEXT_SIZE)
		s->full = true;
	else
		s->parsed->text[s->used++] = c;
}

static void add_status(struct scanner *s)
{
	char digits[16];
	snprintf(digits, sizeof(digits), "%d", s->status);
	for (const char *d = digits; *d; d++)
		add_char(s, *d);
	s->from += 2;
}

static bool at_status(const struct scanner *s)
{
	return s->from[0] == '$' && s->from[1] == '?';
}

static bool scan_single(struct scanner *s)
{
	for (s->from++; *s->from && *s->from != '\''; s->from++)
		add_char(s, *s->from);
	if (*s->from == 0)
		return false;
	s->from++;
	return true;
}

static bool scan_double(struct scanner *s)
{
	s->from++;
	while (*s->from && *s->from != '"') {
		if (at_status(s)) {
			add_status(s);
			continue;
		}
		if (s->from[0] == '\\' && (s->from[1] == '"' || s->from[1] == '\\'))
			s->from++;
		add_char(s, *s->from++);
	}
	if (*s->from != '"')
		return false;
	s->from++;
	return true;
}

static bool ends_word(char c)
{
	return c == 0 || c == ' ' || c == '\t' || c == ';';
}

// One word; false: a quote is not closed.
static bool scan_word(struct scanner *s)
{
	while (!ends_word(*s->from)) {
		if (*s->from == '\'') {
			if (!scan_single(s))
				return false;
		} else if (*s->from == '"') {
			if (!scan_double(s))
				return false;
		} else if (at_status(s)) {
			add_status(s);
		} else {
			if (*s->from == '\\' && s->from[1])
				s->from++;
			add_char(s, *s->from++);
		}
	}
	return true;
}

static enum parse_result scan_words(struct scanner *s)
{
	struct parsed *parsed = s->parsed;
	for (;;) {
		s->from += strspn(s->from, " \t");
		if (*s->from == '#')
			s->from += strlen(s->from);
		if (*s->from == 0 || *s->from == ';')
			return s->full ? PARSE_TOO_LONG : PARSE_COMMAND;
		if (parsed->count == PARSE_WORDS_MAX)
			return PARSE_TOO_LONG;
		unsigned start = s->used;
		if (!scan_word(s))
			return PARSE_QUOTE;
		parsed->text[s->used++] = 0;
		if (s->used + 1 >= PARSE_TEXT_SIZE)
			return PARSE_TOO_LONG;
		parsed->words[parsed->count++] = parsed->text + start;
	}
}

enum parse_result parse_command(const char **rest, int status, struct parsed *parsed)
{
	struct scanner s = {.from = *rest, .parsed = parsed, .status = status};
	parsed->count = 0;
	s.from += strspn(s.from, " \t");
	if (*s.from == 0)
		return PARSE_END;
	enum parse_result result = scan_words(&s);
	parsed->words[parsed->count] = 0;
	if (*s.from == ';')
		s.from++;
	*rest = s.from;
	return result;
}

const char *parse_sentence(enum parse_result result)
{
	return result == PARSE_QUOTE ? "a quote is not closed" : "the command is too long";
}
