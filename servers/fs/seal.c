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
