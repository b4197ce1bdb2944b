// The digest of much: against one that is made word by word; and what it says of its own code.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "runtime/digest.h"
#include <stdlib.h>
#include <string.h>

#define GROUPS 70u

static word_t from[GROUPS * DIGEST_GROUP / WORD_BYTES], to[GROUPS * DIGEST_GROUP / WORD_BYTES];

static struct digest by_word(unsigned groups)
{
	struct digest d;
	digest_begin(&d);
	for (unsigned i = 0; i < groups * 8; i++) {
		uint64_t *lane = &d.lane[i / 4 % 2];
		*lane = i % 2 ? *lane ^ from[i] : i % 4 ? *lane - from[i] : *lane + from[i];
		if (i % 4 == 3)
			*lane *= i % 8 == 3 ? 0x9e3779b97f4a7c15ull : 0xbf58476d1ce4e5b9ull;
	}
	return d;
}

static void digests_are_those_of_words(void **state)
{
	(void)state;
	srand(3);
	for (unsigned i = 0; i < GROUPS * 8; i++)
		from[i] = (uint64_t)rand() << 33 ^ (uint64_t)rand() << 11 ^ (uint64_t)rand();
	for (unsigned groups = 0; groups <= GROUPS; groups++) {
		struct digest expected = by_word(groups), read, copied;
		digest_begin(&read);
		digest_begin(&copied);
		digest_read(&read, from, groups * DIGEST_GROUP);
		memset(to, 0, sizeof(to));
		digest_copy(&copied, to, from, groups * DIGEST_GROUP);
		assert_memory_equal(&read, &expected, sizeof(read));
		assert_memory_equal(&copied, &expected, sizeof(copied));
		assert_memory_equal(to, from, groups * DIGEST_GROUP);
	}
}

static void the_code_holds(void **state)
{
	(void)state;
	assert_true(digest_holds(false));
	assert_true(digest_holds(true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digests_are_those_of_words),
		cmocka_unit_test(the_code_holds),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
