// Writing the domain's trace ring (trace.h). Owns nothing but the ring's address; never waits, calls no kernel.
#include "runtime/trace.h"
#include "runtime/runtime.h"
#include <string.h>

#define CHANNEL_NAME_FACTOR 0x9e3779b97f4a7c15ull // odd; the upper half of key * factor names a channel and does not tell its key

struct trace_ring *trace_ring_here;

static void name_write(enum trace_kind kind, unsigned subject, uint64_t word, const char name[NAME_SIZE])
{
	uint64_t words[2];
	memcpy(words, name, sizeof(words));
	trace_here(kind, subject, word, words[0], words[1]);
}

void trace_start(struct trace_ring *ring, uint32_t epoch, const char name[NAME_SIZE])
{
	trace_ring_here = ring;
	if (ring)
		name_write(TRACE_OPEN, 0, epoch, name);
}

void trace_point(const char *name)
{
	struct {
		uint64_t a, b;
		uint32_t word;
	} text = {0};
	if (!trace_is_on())
		return;
	memcpy(&text, __builtin_assume_aligned(name, 8), 20);
	trace_here(TRACE_POINT, 0, text.word, text.a, text.b);
}

void trace_mate(unsigned slot, const char *component)
{
	char name[NAME_SIZE] = "";
	strncpy(name, component, sizeof(name) - 1);
	if (trace_is_on())
		name_write(TRACE_MATE, slot, 0, name);
}

void trace_phase(unsigned phase, uint32_t epoch, const char name[NAME_SIZE])
{
	if (trace_is_on())
		name_write(TRACE_PHASE, phase, epoch, name);
}

void trace_channel(const struct channel_view *view)
{
	trace_here(TRACE_CHANNEL, view->slot, view->role | view->own_identity << 8, view->key * CHANNEL_NAME_FACTOR >> 32, view->peer);
}
