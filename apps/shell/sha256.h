// SHA-256 (FIPS 180-4). Pure; tested on the host with the standard's vectors.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32u

struct sha256 {
	uint32_t state[8];
	uint64_t length; // bytes taken
	uint8_t block[64];
};

void sha256_begin(struct sha256 *h);
void sha256_add(struct sha256 *h, const void *data, size_t length);
void sha256_end(struct sha256 *h, uint8_t digest[SHA256_SIZE]);
// 64 hexadecimal digits and a NUL.
void sha256_text(const uint8_t digest[SHA256_SIZE], char text[2 * SHA256_SIZE + 1]);
