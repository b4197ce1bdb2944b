// Log of one core: see log.h.
#include "core-local/log.h"

void log_append(struct log *l, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		l->text[l->end++ % LOG_SIZE] = text[i];
}

size_t log_read(const struct log *l, uint64_t offset, char *out, size_t room, uint64_t *next)
{
	uint64_t end = l->end, oldest = end > LOG_SIZE ? end - LOG_SIZE : 0;
	size_t n = 0;
	if (offset < oldest)
		offset = oldest;
	if (offset > end)
		offset = end;
	for (; n < room && offset < end; n++, offset++)
		out[n] = l->text[offset % LOG_SIZE];
	*next = offset;
	return n;
}
