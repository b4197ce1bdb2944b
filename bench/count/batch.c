// Marks to lines (count.h). Owns nothing: all state is the caller's.
#include "count.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BITS_MAX ((MARK_TEXT_MAX - 1) * 8)

static void bit_take(struct batch *batch, unsigned bit)
{
	if (batch->bits < BITS_MAX)
		batch->text[batch->bits / 8] |= (char)(bit << batch->bits % 8);
	if (batch->bits <= BITS_MAX)
		batch->bits++;
}

// A name and a number with a space between them, as proto/mark.h spells them.
static bool text_is_sound(const struct batch *batch)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789.-_", digits[] = "0123456789";
	size_t name = strspn(batch->text, letters), number = batch->text[name] == ' ' ? strspn(batch->text + name + 1, digits) : 0;
	return batch->bits <= BITS_MAX && batch->bits % 8 == 0 && name && number && name + 1 + number == batch->bits / 8;
}

bool batch_mark(struct batch *batch, unsigned number, uint64_t instructions, uint64_t own, char *line, size_t room)
{
	bool ended = number == MARK_END && batch->running;
	switch (number) {
	case MARK_ZERO:
	case MARK_ONE:
		if (batch->running)
			*batch = (struct batch){0}; // one that never ended, and the text of the next
		bit_take(batch, number == MARK_ONE);
		return false;
	case MARK_BEGIN:
		batch->running = text_is_sound(batch) && !batch->running;
		batch->begin = instructions + 1; // behind the mark
		batch->own_begin = own + 1;
		if (!batch->running)
			*batch = (struct batch){0};
		return false;
	case MARK_END:
		if (ended)
			snprintf(line, room, "%s %" PRIu64 " %" PRIu64 "\n", batch->text, instructions - batch->begin, own - batch->own_begin);
		*batch = (struct batch){0};
		return ended;
	default:
		return false;
	}
}
