// The sum of a request's payload, taken while the payload is copied: the record of a logged operation needs it, and a pass of its
// own would read all that is written once more (server_record makes one for whoever does not copy by payload_copy).
//
// A sum of what was copied, not of what the client's memory holds a moment later. The same for the same bytes, in however many
// pieces they came: it is put together of the digests of its units. Whoever copies a whole unit to a place of its own has that digest
// for the copy too, as the file system has for a block. It dies with the server, as the operation does that is not recorded yet.
#pragma once
#include "abi/channel.h"
#include "runtime/digest.h"
#include <string.h>

#define PAYLOAD_UNIT 4096u
#define PAYLOAD_SUM_NONE ~0u

struct payload_sum {
	struct digest digest; // of the unit under way
	uint64_t sum;         // of the units before it, from the seed on
	uint64_t unit;        // digest of the last whole one
	uint32_t bytes; // summed so far; PAYLOAD_SUM_NONE: pieces came that cannot be joined
};

static inline void payload_begin(struct payload_sum *s, uint64_t seed)
{
	s->sum = seed;
	s->bytes = 0;
}

// Less than a group: no more can follow. Each byte is read once, see digest_copy.
static inline void payload_rest(struct payload_sum *s, uint8_t *to, const uint8_t *from, uint32_t bytes)
{
	uint64_t lane = s->digest.lane[0], last = 0;
	for (; bytes >= WORD_BYTES; bytes -= WORD_BYTES, from += WORD_BYTES) {
		word_t word = *(const volatile word_t *)(const void *)from;
		lane = channel_mix(lane, word);
		if (to)
			*(word_t *)(void *)to = word, to += WORD_BYTES;
	}
	for (uint32_t i = 0; i < bytes; i++) {
		uint8_t byte = ((const volatile uint8_t *)from)[i];
		last |= (uint64_t)byte << 8 * i;
		if (to)
			to[i] = byte;
	}
	s->digest.lane[0] = bytes ? channel_mix(lane, last) : lane;
}

// Bytes of one unit.
static inline void payload_part(struct payload_sum *s, uint8_t *to, const uint8_t *from, uint32_t bytes)
{
	uint32_t rest = bytes % DIGEST_GROUP;
	if (s->bytes % PAYLOAD_UNIT == 0)
		digest_begin(&s->digest);
	if (to && bytes >= DIGEST_GROUP)
		digest_copy(&s->digest, to, from, bytes - rest);
	else if (bytes >= DIGEST_GROUP)
		digest_read(&s->digest, from, bytes - rest);
	if (rest)
		payload_rest(s, to ? to + bytes - rest : 0, from + bytes - rest, rest);
	s->bytes += bytes;
	if (s->bytes % PAYLOAD_UNIT)
		return;
	s->unit = digest_end(&s->digest);
	s->sum = channel_mix(s->sum, s->unit);
}

// A whole unit to a place of its own; both aligned.
static inline void payload_unit_copy(struct payload_sum *s, uint8_t *to, const uint8_t *from)
{
	digest_begin(&s->digest);
	digest_copy(&s->digest, to, from, PAYLOAD_UNIT);
	s->unit = digest_end(&s->digest);
	s->sum = channel_mix(s->sum, s->unit);
	s->bytes += PAYLOAD_UNIT;
}

// The next piece of the payload. `to` 0: it is only summed; `s` 0: only copied.
static inline void payload_copy(struct payload_sum *s, uint8_t *to, const uint8_t *from, uint32_t bytes)
{
	if (s && to && bytes == PAYLOAD_UNIT && s->bytes % PAYLOAD_UNIT == 0 && ((uintptr_t)to | (uintptr_t)from) % WORD_BYTES == 0) {
		payload_unit_copy(s, to, from);
		return;
	}
	if (!s || s->bytes % DIGEST_GROUP || ((uintptr_t)to | (uintptr_t)from) % WORD_BYTES) {
		if (to)
			memcpy(to, from, bytes);
		if (s)
			s->bytes = PAYLOAD_SUM_NONE;
		return;
	}
	for (uint32_t n; bytes; bytes -= n, from += n, to += to ? n : 0) {
		n = PAYLOAD_UNIT - s->bytes % PAYLOAD_UNIT;
		n = n < bytes ? n : bytes;
		payload_part(s, to, from, n);
	}
}

// The digest of the piece that was copied last, if it is a whole unit; else 0.
static inline uint64_t payload_unit(const struct payload_sum *s, uint32_t bytes)
{
	return s && bytes == PAYLOAD_UNIT && s->bytes % PAYLOAD_UNIT == 0 ? s->unit : 0;
}

static inline uint64_t payload_mix(const struct payload_sum *s, uint64_t h)
{
	if (s->bytes >= PAYLOAD_UNIT)
		h = channel_mix(h, s->sum);
	for (unsigned i = 0; i < DIGEST_LANES && s->bytes % PAYLOAD_UNIT; i++)
		h = channel_mix(h, s->digest.lane[i]);
	return h;
}

// The same of a payload in a channel that is less than a group and aligned: a name, mostly. What lies behind it in its last word is of the
// channel too, and left out.
static inline uint64_t payload_mix_brief(const uint8_t *from, uint32_t bytes, uint64_t h)
{
	const volatile word_t *words = (const volatile word_t *)(const void *)from;
	uint64_t lane = DIGEST_SEED;
	if (bytes == 0)
		return h;
	for (; bytes >= WORD_BYTES; bytes -= WORD_BYTES)
		lane = channel_mix(lane, *words++);
	if (bytes)
		lane = channel_mix(lane, *words & ~0ull >> (64 - 8 * bytes));
	return channel_mix(channel_mix(h, lane), DIGEST_SEED + 1);
}
