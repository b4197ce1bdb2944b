// Seals: a sum of each block that lies in the cache and is not being changed, so that a bit that flips in it is missed before the
// block is changed, checksummed and committed.
//
// Owns: nothing; pure functions over bytes. Two instructions for a word, because every block that is changed pays for it: four lanes
// that add. One bit that flips is always missed, so is a word that somebody else stored; two bits that flip are not missed only if
// they stand in the same lane and in the same column, one going up and one down. Never on the disk: what is there has the
// checksums of its format. If the server dies, the seals go with the cache.
#include "servers/fs/seal.h"
#include "abi/channel.h"
#include "abi/words.h"
#include <string.h>

static uint64_t lanes_join(const uint64_t lane[4])
{
	uint64_t sum = channel_mix(channel_mix(channel_mix(lane[0], lane[1]), lane[2]), lane[3]);
	return sum ? sum : 1;
}

uint64_t seal_sum(const void *from, size_t bytes)
{
	const word_t *w = from;
	uint64_t lane[4] = {1, 2, 3, 4};
	for (; bytes; bytes -= 64, w += 8) {
		lane[0] += w[0], lane[1] += w[1], lane[2] += w[2], lane[3] += w[3];
		lane[0] += w[4], lane[1] += w[5], lane[2] += w[6], lane[3] += w[7];
	}
	return lanes_join(lane);
}

uint64_t seal_copy(void *to, const void *from, size_t bytes)
{
	const word_t *w = from;
	word_t *t = to;
	uint64_t lane[4] = {1, 2, 3, 4};
	for (; bytes; bytes -= 64, w += 8, t += 8) {
		word_t a = w[0], b = w[1], c = w[2], d = w[3], e = w[4], f = w[5], g = w[6], h = w[7];
		t[0] = a, t[1] = b, t[2] = c, t[3] = d, t[4] = e, t[5] = f, t[6] = g, t[7] = h;
		lane[0] += a, lane[1] += b, lane[2] += c, lane[3] += d;
		lane[0] += e, lane[1] += f, lane[2] += g, lane[3] += h;
	}
	return lanes_join(lane);
}

size_t seal_difference(const void *one, const void *other, size_t at, size_t words)
{
	const word_t *a = one, *b = other;
	for (; at % 8 && at < words; at++)
		if (a[at] != b[at])
			return at;
	for (; at + 8 <= words; at += 8) {
		uint64_t x = (a[at] ^ b[at]) | (a[at + 1] ^ b[at + 1]) | (a[at + 2] ^ b[at + 2]) | (a[at + 3] ^ b[at + 3]);
		uint64_t y = (a[at + 4] ^ b[at + 4]) | (a[at + 5] ^ b[at + 5]) | (a[at + 6] ^ b[at + 6]) | (a[at + 7] ^ b[at + 7]);
		if (x | y)
			break;
	}
	while (at < words && a[at] == b[at])
		at++;
	return at;
}
