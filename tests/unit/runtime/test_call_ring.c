// Batches of kernel calls for programs: slots in order, links, results, and what does not fit.
#include "runtime/call_ring.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

// ---- a kernel that takes slots in order: memory_free gives its first argument for an error, and its second for a result

static struct call_slot *page;
static unsigned next, taken, opened;
static jmp_buf panicked;
static bool may_panic;

static enum error link_error(uint8_t link, uint64_t *value)
{
	if (link == 0)
		return ERR_OK;
	const struct call_slot *s = &page[link - 1];
	assert_int_equal(s->state, CALL_SLOT_DONE); // what is linked to came before
	if (value)
		*value = s->word[0];
	return (enum error)s->error;
}

static void slot_take(struct call_slot *s)
{
	assert_int_equal(s->number, CALL_memory_free);
	enum error error = link_error(s->after, 0);
	if (error == ERR_OK)
		error = link_error(s->from, &s->word[0]);
	if (error == ERR_OK && s->word[0] < ERROR_COUNT)
		error = (enum error)s->word[0];
	s->error = error;
	s->word[0] = s->word[1];
	s->state = CALL_SLOT_DONE;
	taken++;
}

struct kernel_result kernel_call(enum call number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
	(void)a1, (void)a2, (void)a3, (void)a4, (void)a5;
	if (number == CALL_ring_open) {
		assert_int_equal(a0 % 4096, 0);
		page = (struct call_slot *)a0;
		opened++;
	} else {
		assert_int_equal(number, CALL_ring_enter);
		assert_int_equal(a0, 1);
		for (; page[next].state == CALL_SLOT_SUBMITTED; next = (next + 1) % CALL_RING_SLOTS)
			slot_take(&page[next]);
	}
	return (struct kernel_result){ERR_OK, {0}};
}

_Noreturn void domain_panic(const char *file, int line, const char *what)
{
	if (!may_panic)
		fail_msg("%s:%d: %s", file, line, what);
	longjmp(panicked, 1);
}

static unsigned add(unsigned after, unsigned from, uint64_t error, uint64_t value)
{
	return calls_add(CALL_memory_free, after, from, error, value, 0, 0, 0, 0);
}

// ---- tests

static void batches_of_every_size_go_around(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 300; n++) {
		unsigned size = n % (CALL_RING_SLOTS + 1), call[CALL_RING_SLOTS];
		calls_begin();
		for (unsigned i = 0; i < size; i++)
			call[i] = add(CALLS_NONE, CALLS_NONE, i % 5, n + i);
		taken = 0;
		calls_perform();
		assert_int_equal(taken, size);
		for (unsigned i = 0; i < size; i++) {
			assert_int_equal(calls_result(call[i]).error, i % 5);
			assert_int_equal(calls_result(call[i]).value[0], n + i);
		}
	}
	assert_int_equal(opened, 1);
}

static void links_name_calls_of_the_batch(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 2 * CALL_RING_SLOTS; n++) { // beginning at every slot
		calls_begin();
		unsigned good = add(CALLS_NONE, CALLS_NONE, ERR_OK, ERR_QUOTA);
		unsigned from = add(good, good, ERR_OK, 5); // its first argument is what that one said
		unsigned behind = add(from, CALLS_NONE, ERR_OK, 6), last = add(CALLS_NONE, behind, ERR_OK, 7);
		calls_perform();
		assert_int_equal(calls_result(good).error, ERR_OK);
		assert_int_equal(calls_result(from).error, ERR_QUOTA);
		assert_int_equal(calls_result(behind).error, ERR_QUOTA);
		assert_int_equal(calls_result(last).error, ERR_QUOTA);
	}
}

static void no_slot_is_filled_twice(void **state)
{
	(void)state;
	volatile unsigned added = 0;
	may_panic = true;
	calls_begin();
	if (setjmp(panicked) == 0)
		for (;; added++)
			add(CALLS_NONE, CALLS_NONE, ERR_OK, 1);
	assert_int_equal(added, CALL_RING_SLOTS);
	calls_perform();
	calls_begin();
	unsigned early = add(CALLS_NONE, CALLS_NONE, ERR_OK, 1);
	if (setjmp(panicked) == 0) {
		calls_result(early);
		fail_msg("a call that was not performed has a result");
	}
	calls_perform();
	may_panic = false;
	assert_int_equal(calls_result(early).error, ERR_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(batches_of_every_size_go_around),
		cmocka_unit_test(links_name_calls_of_the_batch),
		cmocka_unit_test(no_slot_is_filled_twice),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
