// The digest of much (digest.h). Owns nothing.
//
// Four lanes of pairs, so that a simple core can overlap the multiplications. Each word goes into its lane by a bijection: a
// single word that differs is always seen, any other damage but with a chance of 2^-64. It is no cryptography: who knows it
// can change two words so that it stays the same.
#include "runtime/digest.h"

static inline __attribute__((always_inline)) void digest_pass(struct digest *digest, word_t *to, const void *from, size_t bytes)
{
	uint64_t a = digest->lane[0], b = digest->lane[1], c = digest->lane[2], d = digest->lane[3];
	const volatile word_t *w = from;
	const volatile word_t *end = w + bytes / WORD_BYTES;
#pragma GCC unroll 2
	for (; w != end; w += 8) {
		word_t p = w[0], q = w[1], r = w[2], s = w[3], t = w[4], u = w[5], v = w[6], x = w[7];
		a = ((a + p) ^ t) * 0x9e3779b97f4a7c15ull;
		b = ((b + q) ^ u) * 0xbf58476d1ce4e5b9ull;
		c = ((c + r) ^ v) * 0x94d049bb133111ebull;
		d = ((d + s) ^ x) * 0xd6e8feb86659fd93ull;
		if (to) {
			to[0] = p, to[1] = q, to[2] = r, to[3] = s, to[4] = t, to[5] = u, to[6] = v, to[7] = x;
			to += 8;
		}
	}
	*digest = (struct digest){{a, b, c, d}};
}

void digest_read(struct digest *d, const void *from, size_t bytes)
{
	digest_pass(d, 0, from, bytes);
}

__attribute__((nonnull)) void digest_copy(struct digest *d, void *to, const void *from, size_t bytes)
{
	digest_pass(d, to, from, bytes);
}
