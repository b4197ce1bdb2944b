// SHA-256 against the vectors of FIPS 180-4's examples, and against itself in pieces of every size.
#include "apps/shell/sha256.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void digest_of(const void *data, size_t length, size_t piece, char text[65])
{
	struct sha256 h;
	uint8_t digest[SHA256_SIZE];
	sha256_begin(&h);
	for (size_t at = 0; at < length; at += piece)
		sha256_add(&h, (const uint8_t *)data + at, length - at < piece ? length - at : piece);
	sha256_end(&h, digest);
	sha256_text(digest, text);
}

static void expect_digest(const char *message, const char *digest)
{
	char text[65];
	digest_of(message, strlen(message), 1000, text);
	assert_string_equal(text, digest);
}

static void test_vectors(void **state)
{
	(void)state;
	expect_digest("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	expect_digest("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	expect_digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void test_million(void **state)
{
	(void)state;
	static char message[1000000];
	char text[65];
	memset(message, 'a', sizeof(message));
	digest_of(message, sizeof(message), 4096, text);
	assert_string_equal(text, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void test_pieces(void **state)
{
	(void)state;
	uint8_t message[300];
	char whole[65], pieces[65];
	for (unsigned i = 0; i < sizeof(message); i++)
		message[i] = (uint8_t)(i * 7);
	for (size_t length = 0; length < sizeof(message); length += 13) {
		digest_of(message, length, sizeof(message), whole);
		for (size_t piece = 1; piece < 130; piece++) {
			digest_of(message, length, piece, pieces);
			assert_string_equal(pieces, whole);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors), cmocka_unit_test(test_million), cmocka_unit_test(test_pieces)};
	return cmocka_run_group_tests(tests, 0, 0);
}
