// The table of uncommitted changes and the claims on inodes, without a file system around them.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "servers/fs/share.c"
#include <string.h>

#define A 101ull
#define B 102ull
#define C 103ull

static int fresh(void **state)
{
	(void)state;
	memset(&shares, 0, sizeof(shares));
	return 0;
}

static void alone(void **state)
{
	(void)state;
	assert_true(share_alone(A, 0));
	share_note(A, 12, 1, 0);
	assert_true(share_alone(A, 0));
	assert_false(share_alone(B, 0));
	assert_true(share_alone(B, 1));
	share_note(B, 13, 2, 0);
	share_note(A, 12, 3, 0);
	assert_false(share_alone(A, 1)); // 2 is another's
	assert_true(share_alone(A, 2));
	assert_false(share_alone(B, 2));
	assert_true(share_alone(B, 3));
}

static void foreign(void **state)
{
	(void)state;
	share_note(A, 12, 5, 4);
	share_note(B, 12 + PLACES, 6, 4); // the same first place
	assert_int_equal(share_foreign(A, 12, 4), 0);
	assert_int_equal(share_foreign(B, 12, 4), 5);
	assert_int_equal(share_foreign(A, 12 + PLACES, 4), 6);
	assert_int_equal(share_foreign(B, 12 + PLACES, 4), 0);
	assert_int_equal(share_foreign(C, 13, 4), 0);
	assert_int_equal(share_foreign(B, 12, 5), 0); // committed
	share_note(A, 12, 7, 4);
	assert_int_equal(share_foreign(B, 12, 5), 7); // and changed again
	share_note(B, 12, 8, 4); // two clients in one transaction, as a log of an earlier server may have it
	assert_int_equal(share_foreign(A, 12, 4), 8);
	assert_int_equal(share_foreign(B, 12, 4), 8);
	share_note(B, 12, 10, 8);
	assert_int_equal(share_foreign(B, 12, 8), 0);
}

static void forgotten_when_committed(void **state)
{
	(void)state;
	for (uint64_t serial = 1; serial < 50000; serial++) {
		share_note(A, (uint32_t)(serial * 7 % 4001) + 1, serial, serial - 1);
		assert_int_equal(share_foreign(B, (uint32_t)(serial * 7 % 4001) + 1, serial - 1), serial);
		assert_int_equal(shares.crowd.serial, 0); // there was always a place
	}
}

// More inodes than places: what found none counts for all, until it is committed.
static void crowd(void **state)
{
	(void)state;
	for (uint32_t i = 0; i <= PROBES; i++)
		share_note(A, 12 + i * PLACES, i + 1, 0);
	assert_int_equal(share_foreign(B, 500, 0), PROBES + 1);
	assert_int_equal(share_foreign(A, 500, 0), 0);
	share_note(B, 0, PROBES + 2, 0); // and one whose inode nobody knows
	assert_int_equal(share_foreign(A, 500, 0), PROBES + 2);
	assert_int_equal(share_foreign(B, 500, 0), PROBES + 2);
	for (uint32_t i = 0; i < PROBES; i++)
		assert_int_equal(share_foreign(B, 12 + i * PLACES, PROBES + 2), 0);
	assert_int_equal(share_foreign(B, 500, PROBES + 2), 0);
}

static void claims_are_turns(void **state)
{
	(void)state;
	struct share_change a = {.client = A}, b = {.client = B}, again = {.client = A};
	share_note(A, 12, 1, 0);
	assert_true(share_enter(&a, 12, 0));
	assert_false(share_enter(&b, 12, 0));
	assert_int_equal(b.wanted, 1);
	assert_false(share_enter(&again, 12, 1)); // b's turn, though nothing is uncommitted
	assert_int_equal(again.wanted, 1);
	assert_int_equal(again.count, 0);
	assert_true(share_enter(&again, 13, 1));
	assert_true(share_enter(&b, 12, 1));
	share_done(&b);
	assert_true(share_enter(&again, 12, 1));
	share_done(&a);
	assert_null(shares.claims);
}

// Each claims one inode and needs the other's: who meets a claim gives up its own.
static void no_circle(void **state)
{
	(void)state;
	struct share_change a = {.client = A}, b = {.client = B};
	share_note(B, 12, 1, 0);
	share_note(A, 13, 2, 0);
	assert_false(share_enter(&a, 12, 0));
	assert_false(share_enter(&b, 13, 0));
	assert_false(share_enter(&a, 13, 2));
	assert_int_equal(a.count, 0);
	assert_true(share_enter(&b, 13, 2));
	assert_true(share_enter(&b, 12, 2));
	share_done(&b);
	assert_null(shares.claims);
	assert_true(share_enter(&a, 13, 2));
}

static void many_claims(void **state)
{
	(void)state;
	struct share_change a = {.client = A}, b = {.client = B};
	for (uint32_t i = 0; i < SHARE_CLAIMS + 2; i++) {
		share_note(B, 20 + i, i + 1, 0);
		assert_false(share_enter(&a, 20 + i, 0));
	}
	assert_int_equal(a.count, SHARE_CLAIMS);
	assert_false(share_enter(&b, 20, 100));
	assert_true(share_enter(&b, 20 + SHARE_CLAIMS, 100)); // not claimed: only the order is at stake
	assert_false(share_alone(B, 100));
	share_done(&a);
	assert_true(share_alone(B, 100));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(alone, fresh),
		cmocka_unit_test_setup(foreign, fresh),
		cmocka_unit_test_setup(forgotten_when_committed, fresh),
		cmocka_unit_test_setup(crowd, fresh),
		cmocka_unit_test_setup(claims_are_turns, fresh),
		cmocka_unit_test_setup(no_circle, fresh),
		cmocka_unit_test_setup(many_claims, fresh),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
