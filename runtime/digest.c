// The digest of much (digest.h). Owns nothing.
//
// Two lanes of four words each, so that a simple core can overlap the multiplications. Each word goes into its lane by a bijection: a
// single word that differs is always seen, any other damage but with a chance of 2^-64. It is no cryptography: who knows it
// can change two words so that it stays the same.
#include "runtime/digest.h"

static inline __attribute__((always_inline)) void digest_pass(struct digest *digest, word_t *to, const void *from, size_t bytes)
{
	uint64_t a = digest->lane[0], b = digest->lane[1];
	const volatile word_t *w = from;
	const volatile word_t *end = w + bytes / WORD_BYTES;
#pragma GCC unroll 4
	for (; w != end; w += 8) {
		word_t p = w[0], q = w[1], r = w[2], s = w[3], t = w[4], u = w[5], v = w[6], x = w[7];
		a = ((((a + p) ^ q) - r) ^ s) * 0x9e3779b97f4a7c15ull;
		b = ((((b + t) ^ u) - v) ^ x) * 0xbf58476d1ce4e5b9ull;
		if (to) {
			to[0] = p, to[1] = q, to[2] = r, to[3] = s, to[4] = t, to[5] = u, to[6] = v, to[7] = x;
			to += 8;
		}
	}
	*digest = (struct digest){{a, b}};
}

void digest_read(struct digest *d, const void *from, size_t bytes)
{
	digest_pass(d, 0, from, bytes);
}

__attribute__((nonnull)) void digest_copy(struct digest *d, void *to, const void *from, size_t bytes)
{
	digest_pass(d, to, from, bytes);
}

#define KNOWN_WORDS (7 * DIGEST_GROUP / WORD_BYTES) // in a loop that is unrolled four times: each of its places, and those before it
#define KNOWN(i) ((word_t)((i) * 0xd6e8feb86659fd93ull))
#define KNOWN_GROUP(i) KNOWN(i), KNOWN(i + 1), KNOWN(i + 2), KNOWN(i + 3), KNOWN(i + 4), KNOWN(i + 5), KNOWN(i + 6), KNOWN(i + 7)

static const word_t known[KNOWN_WORDS] = {
	KNOWN_GROUP(1), KNOWN_GROUP(9), KNOWN_GROUP(17), KNOWN_GROUP(25), KNOWN_GROUP(33), KNOWN_GROUP(41), KNOWN_GROUP(49),
};

// It calls what others call, and not a copy of it that the compiler has made for what is known.
bool digest_holds(bool copies)
{
	void (*volatile read)(struct digest *, const void *, size_t) = digest_read;
	void (*volatile copy)(struct digest *, void *, const void *, size_t) = digest_copy;
	word_t to[KNOWN_WORDS];
	struct digest d;
	digest_begin(&d);
	if (copies)
		copy(&d, to, known, sizeof(known));
	else
		read(&d, known, sizeof(known));
	return d.lane[0] == 0xce461769cdfdc149ull && d.lane[1] == 0x971cd546de71929eull;
}
