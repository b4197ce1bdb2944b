// Seals: a sum of each block that lies in the cache and is not being changed, so that a bit that flips in it is missed before the
// block is changed, checksummed and committed. A commit's record has the same sum of each of its blocks.
//
// Owns: nothing; pure functions over bytes: the digest of runtime/digest.h, which costs little more than the copying that goes with
// it. One word that is another is always missed. Never on the disk: what is there has the checksums of its format. If the server
// dies, the seals go with the cache.
#include "servers/fs/seal.h"
#include "runtime/digest.h"

uint64_t seal_sum(const void *from, size_t bytes)
{
	struct digest d;
	digest_begin(&d);
	digest_read(&d, from, bytes);
	return digest_end(&d);
}

uint64_t seal_copy(void *to, const void *from, size_t bytes)
{
	struct digest d;
	digest_begin(&d);
	digest_copy(&d, to, from, bytes);
	return digest_end(&d);
}

// The next word that differs, from those two on; `end`: none.
static const word_t *next_difference(const word_t *a, const word_t *b, const word_t *end)
{
	while (end - a >= 8) {
		if (a[0] != b[0] || a[1] != b[1] || a[2] != b[2] || a[3] != b[3])
			break;
		if (a[4] != b[4] || a[5] != b[5] || a[6] != b[6] || a[7] != b[7])
			break;
		a += 8, b += 8;
	}
	while (a < end && *a == *b)
		a++, b++;
	return a;
}

size_t seal_difference(const void *one, const void *other, size_t at, size_t words)
{
	const word_t *a = one, *b = other;
	return at < words ? (size_t)(next_difference(a + at, b + at, a + words) - a) : at;
}
