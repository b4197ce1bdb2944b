// Symbol files: from an address to function + offset, for the two lines that tell of a crash.
//
// Owns nothing and keeps nothing. It must never trust the text, which comes out of the boot image: it reads inside
// `bytes` and writes inside `out_size` whatever stands there. A walk over the lines, not a search: it runs after the
// restart, once for each crash, and has no time to save.
#include "supervisor/symbols.h"
#include <stdbool.h>
#include <stdio.h>

struct symbols_line {
	uint64_t address;
	const char *name;
	int name_length;
};

static bool symbols_digit(char c, unsigned *digit)
{
	if (c >= '0' && c <= '9')
		*digit = (unsigned)(c - '0');
	else if (c >= 'a' && c <= 'f')
		*digit = (unsigned)(c - 'a') + 10;
	else
		return false;
	return true;
}

// Parses one line of `length` characters.
static bool symbols_parse(const char *line, size_t length, struct symbols_line *parsed)
{
	size_t at = 0;
	unsigned digit;
	parsed->address = 0;
	while (at < length && at < 16 && symbols_digit(line[at], &digit)) {
		parsed->address = parsed->address << 4 | digit;
		at++;
	}
	if (at == 0 || at >= length || line[at] != ' ')
		return false;
	parsed->name = line + at + 1;
	parsed->name_length = (int)(length - at - 1);
	return parsed->name_length > 0;
}

void symbols_describe(const char *text, size_t bytes, uint64_t pc, char *out, size_t out_size)
{
	struct symbols_line best = {0}, line;
	for (size_t at = 0; at < bytes;) {
		size_t length = 0;
		while (at + length < bytes && text[at + length] != '\n')
			length++;
		if (symbols_parse(text + at, length, &line)) {
			if (line.address > pc)
				break;
			best = line;
		}
		at += length + 1;
	}
	if (out_size)
		out[0] = 0;
	if (best.name)
		snprintf(out, out_size, "%.*s+0x%lx", best.name_length, best.name, (unsigned long)(pc - best.address));
}
