// Endpoints for programs: what is called again after a death, what is answered, and when the loop has its turn.
#include "runtime/csr.h"
#include "runtime/endpoint.h"
#include "runtime/kernel_call.h"
#include "runtime/loop.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

// ---- a kernel that does what the test has written down

static struct endpoint_result script[200];
static struct endpoint_words script_words[200];
static unsigned script_length, traps;
static struct {
	enum call number;
	uint64_t first;
	struct endpoint_words words;
} seen[200];
static uint64_t name_asked[2];
static unsigned waits;
static void (*wait_of_loop)(void);

struct endpoint_result endpoint_trap(enum call number, uint64_t first, struct endpoint_words *words)
{
	assert_true(traps < script_length);
	seen[traps].number = number;
	seen[traps].first = first;
	seen[traps].words = *words;
	*words = script_words[traps];
	return script[traps++];
}

struct kernel_result kernel_call(enum call number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
	(void)a2, (void)a3, (void)a4, (void)a5;
	if (number == CALL_endpoint_open) {
		name_asked[0] = a0;
		name_asked[1] = a1;
		return (struct kernel_result){ERR_OK, {99, 4}};
	}
	return (struct kernel_result){ERR_OK, {0}};
}

void loop_wait_by(void (*wait)(void))
{
	wait_of_loop = wait;
}

void wait_for_interrupt(void)
{
	waits++;
}

struct endpoint_result endpoint_trap_0(enum call number, uint64_t first)
{
	struct endpoint_words none = {{0}};
	return endpoint_trap(number, first, &none);
}

static void say(enum error error, uint64_t tag, uint64_t word0, uint64_t word1)
{
	script[script_length] = (struct endpoint_result){error, tag};
	script_words[script_length++] = (struct endpoint_words){{word0, word1}};
}

static int setup(void **state)
{
	(void)state;
	traps = script_length = waits = 0;
	return 0;
}

// ---- calling

static struct endpoint opened(void)
{
	struct endpoint e;
	assert_int_equal(endpoint_open(&e, "some-service"), ERR_OK);
	assert_memory_equal(name_asked, "some-service\0\0\0\0", 16);
	assert_int_equal(e.door, 99);
	assert_int_equal(e.epoch, 4);
	return e;
}

static void a_name_has_sixteen_letters(void **state)
{
	struct endpoint e;
	(void)state;
	assert_int_equal(endpoint_open(&e, "sixteen-letters-"), ERR_OK);
	assert_int_equal(endpoint_open(&e, "seventeen-letters"), ERR_NAME_TOO_LONG);
}

static void an_answer_comes_back(void **state)
{
	(void)state;
	struct endpoint e = opened();
	struct endpoint_words w = {{1, 2, 3, 4, 5, 6, 7, 8}};
	say(ERR_OK, 5, 70, 71);
	assert_int_equal(endpoint_call(&e, OP_ONCE, &w), ERR_OK);
	assert_int_equal(seen[0].number, CALL_endpoint_call);
	assert_int_equal(seen[0].first, 99);
	assert_int_equal(seen[0].words.word[7], 8);
	assert_int_equal(w.word[0], 70);
	assert_int_equal(e.epoch, 5);
	assert_int_equal(e.restarts, 0);
}

static void what_may_be_repeated_is(void **state)
{
	(void)state;
	struct endpoint e = opened();
	struct endpoint_words w = {{1, 2}};
	say(ERR_RESTARTED, 0, 6, 1);
	say(ERR_RESTARTED, 0, 7, 1);
	say(ERR_OK, 7, 3, 0);
	assert_int_equal(endpoint_call(&e, OP_IDEMPOTENT, &w), ERR_OK);
	assert_int_equal(traps, 3);
	assert_int_equal(seen[2].words.word[0], 1); // the caller's words, not the error's
	assert_int_equal(seen[2].words.word[1], 2);
	assert_int_equal(e.restarts, 2);
}

static void what_counts_once_is_repeated_only_untaken(void **state)
{
	(void)state;
	struct endpoint e = opened();
	struct endpoint_words w = {{1, 2}};
	say(ERR_RESTARTED, 0, 6, 0);
	say(ERR_RESTARTED, 0, 7, 1);
	assert_int_equal(endpoint_call(&e, OP_ONCE, &w), ERR_RESTARTED);
	assert_int_equal(traps, 2);
	assert_int_equal(w.word[0], 1); // untouched
}

static void other_errors_are_told(void **state)
{
	static const enum error errors[] = {ERR_PEER_LOST, ERR_TIMEOUT, ERR_STATE, ERR_HANDLE};
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct endpoint e = opened();
		struct endpoint_words w = {{1}};
		say(errors[i], 0, 0, 0);
		assert_int_equal(endpoint_call(&e, OP_IDEMPOTENT, &w), errors[i]);
	}
	assert_int_equal(traps, 4);
}

// ---- serving

static unsigned handled;
static bool sleeps;

static void handler(uint64_t badge, struct endpoint_words *words)
{
	handled++;
	words->word[1] = badge;
	if (sleeps)
		wait_of_loop(); // a call of its own, in which the loop sleeps
}

static void calls_are_answered_in_turn(void **state)
{
	(void)state;
	handled = 0;
	sleeps = false;
	endpoint_serve(handler);
	say(ERR_OK, 41, 7, 0);
	say(ERR_OK, 42, 8, 0);
	say(ERR_AGAIN, 0, 0, 0);
	wait_of_loop();
	assert_int_equal(handled, 2);
	assert_int_equal(seen[0].first, ENDPOINT_NOBODY);
	assert_int_equal(seen[1].first, 0);
	assert_int_equal(seen[1].words.word[0], 7);
	assert_int_equal(seen[1].words.word[1], 41);
	assert_int_equal(seen[2].words.word[1], 42);
	assert_int_equal(waits, 0);
}

static void the_loop_has_its_turn(void **state)
{
	(void)state;
	handled = 0;
	sleeps = false;
	endpoint_serve(handler);
	for (unsigned i = 0; i <= ENDPOINT_TURNS; i++)
		say(ERR_OK, 1, 0, 0);
	wait_of_loop();
	assert_int_equal(handled, ENDPOINT_TURNS);
	assert_int_equal(seen[ENDPOINT_TURNS].number, CALL_endpoint_reply); // nobody waits for an answer meanwhile
}

static void who_sleeps_in_a_handler_takes_no_call(void **state)
{
	(void)state;
	handled = 0;
	sleeps = true;
	endpoint_serve(handler);
	say(ERR_OK, 1, 0, 0);
	say(ERR_AGAIN, 0, 0, 0);
	wait_of_loop();
	assert_int_equal(handled, 1);
	assert_int_equal(waits, 1);
	assert_int_equal(traps, 2);
}

// Rings by call: the first is answered by the next wait, and at once by a loop without end.
static void a_ring_is_answered_when_nothing_is_left(void **state)
{
	(void)state;
	say(ERR_OK, 1, 0, 0);
	say(ERR_OK, 1, 0, 0);
	say(ERR_OK, 0, 0, 0);
	say(ERR_AGAIN, 0, 0, 0);
	say(ERR_OK, 1, 0, 0);
	endpoint_serve_rings();
	wait_of_loop();
	wait_of_loop();
	for (unsigned i = 0; i < 3 * ENDPOINT_RING_TURNS; i++)
		endpoint_loop_turned();
	wait_of_loop();
	wait_of_loop();
	endpoint_serve_rings(); // while one waits: nothing changes
	assert_int_equal(seen[0].first, ENDPOINT_NOBODY);
	assert_int_equal(seen[1].first, 0);
	assert_int_equal(seen[2].number, CALL_endpoint_reply);
	assert_int_equal(seen[3].first, ENDPOINT_NOBODY);
	assert_int_equal(seen[4].first, ENDPOINT_NOBODY);
	assert_int_equal(traps, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_ring_is_answered_when_nothing_is_left, setup),
		cmocka_unit_test_setup(a_name_has_sixteen_letters, setup),
		cmocka_unit_test_setup(an_answer_comes_back, setup),
		cmocka_unit_test_setup(what_may_be_repeated_is, setup),
		cmocka_unit_test_setup(what_counts_once_is_repeated_only_untaken, setup),
		cmocka_unit_test_setup(other_errors_are_told, setup),
		cmocka_unit_test_setup(calls_are_answered_in_turn, setup),
		cmocka_unit_test_setup(the_loop_has_its_turn, setup),
		cmocka_unit_test_setup(who_sleeps_in_a_handler_takes_no_call, setup),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
