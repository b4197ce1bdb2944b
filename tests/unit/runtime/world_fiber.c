// For tests without fibers (world.h): there is one, and what it waits for happens in turns of the loop.
#include "world.h"
#include "runtime/fiber_await.h"

bool fiber_any_ready(void)
{
	return false;
}

static struct fiber the_fiber;
struct fibers fibers = {.current = &the_fiber};

struct fiber *fiber_self(void)
{
	return &the_fiber;
}

void fiber_park(void)
{
	assert_false(loop_running());
	loop_turn(true);
}

void fiber_yield(void)
{
	loop_turn(false);
}

void fiber_wake(struct fiber *fiber)
{
	assert_ptr_equal(fiber, &the_fiber);
	world.wakes++;
}

struct fiber *fiber_create(void (*entry)(void *argument), void *argument, const char *name)
{
	(void)entry, (void)argument, (void)name;
	return &the_fiber;
}

struct fiber *fiber_create_small(void (*entry)(void *argument), void *argument, const char *name)
{
	return fiber_create(entry, argument, name);
}

void fiber_set_priority(struct fiber *fiber, unsigned priority)
{
	assert_ptr_equal(fiber, &the_fiber);
	fiber->priority = (uint8_t)priority;
}

void fiber_sleep_us(uint64_t us)
{
	world.time += us;
	loop_turn(true);
}

void fiber_queue_apart(struct fiber *fiber)
{
	(void)fiber;
	fail_msg("there is one fiber");
}

void fiber_queue_each(struct fiber *first, struct fiber *last)
{
	(void)last;
	fiber_queue_apart(first);
}

quick_answer_t fiber_await_any(void)
{
	fail_msg("there is one fiber");
	return 0;
}

quick_answer_t fiber_switch_last(struct fiber *from, struct fiber *to)
{
	(void)from, (void)to;
	return fiber_await_any();
}

quick_answer_t fiber_switch(struct fiber *from, struct fiber *to)
{
	(void)from, (void)to;
	return fiber_await_any();
}
