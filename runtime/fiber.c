// Fibers: owns the ready queue, the running fiber, and the stacks of fibers that ended (kept for the next ones).
//
// Never pre-empts: a fiber runs until it parks, yields or ends. Whoever finds nothing ready turns the loop on its own
// stack, so waiting costs no switch when the answer is for oneself. Right because all of this is one thread of control.
// A stack lies in an allocation of its own, and each allocation is followed by an unmapped page: a stack that overflows
// downward hits the page that follows the allocation below it. If the domain dies, all fibers are gone; a fiber that never
// yields is found by the supervisor's ping.
#include "runtime/fiber.h"
#include "runtime/loop.h"

#define FIBER_STACK_PAGES 8u // 32 KiB: printf and a few 4 KiB buffers deep
#define FIBER_FRAME 14u      // words that fiber_switch keeps, switch.S
#define FIBER_SWITCHES 32u   // switches between two looks of the loop: busy fibers must not starve it

enum fiber_state { FIBER_RUNNING, FIBER_READY, FIBER_PARKED, FIBER_LOCKED, FIBER_ENDED };

struct fiber {
	uint64_t *sp; // while it does not run
	enum fiber_state state;
	bool woken; // a wake came before the park
	const char *name;
	struct fiber *next; // in the ready queue, a mutex's queue or the list of ended ones
};

void fiber_switch(uint64_t **save, uint64_t *load);
void fiber_first(void);
_Noreturn void fiber_ended(void);

static struct fiber fiber_main = {.name = "main"};
static struct fiber *fiber_current = &fiber_main;
static struct fiber *ready_first;
static struct fiber *ready_last;
static struct fiber *ended_first;
static unsigned switches;

static void ready_put(struct fiber *fiber)
{
	fiber->state = FIBER_READY;
	fiber->next = 0;
	loop_naps.left = 0;
	if (ready_first)
		ready_last->next = fiber;
	else
		ready_first = fiber;
	ready_last = fiber;
}

static struct fiber *ready_take(void)
{
	struct fiber *fiber = ready_first;
	if (fiber)
		ready_first = fiber->next;
	return fiber;
}

bool fiber_any_ready(void)
{
	return ready_first != 0;
}

struct fiber *fiber_self(void)
{
	return fiber_current;
}

// The running fiber has said where it wants to be found (queue, parked, ended); somebody else runs, or the loop.
static void fiber_next(void)
{
	struct fiber *self = fiber_current;
	invariant(!loop_running());
	if (++switches % FIBER_SWITCHES == 0)
		loop_poll();
	struct fiber *next;
	while (!(next = ready_take()))
		if (!loop_poll() && !fiber_any_ready())
			loop_sleep();
	next->state = FIBER_RUNNING;
	if (next == self)
		return;
	fiber_current = next;
	fiber_switch(&self->sp, next->sp);
}

void fiber_yield(void)
{
	if (!ready_first) {
		invariant(!loop_running());
		loop_poll();
		if (!ready_first)
			return;
	}
	ready_put(fiber_current);
	fiber_next();
}

void fiber_park(void)
{
	if (fiber_current->woken) {
		fiber_current->woken = false;
		return;
	}
	fiber_current->state = FIBER_PARKED;
	fiber_next();
}

void fiber_wake(struct fiber *fiber)
{
	if (fiber->state == FIBER_PARKED)
		ready_put(fiber);
	else
		fiber->woken = true;
}

_Noreturn void fiber_ended(void)
{
	fiber_current->state = FIBER_ENDED;
	fiber_current->next = ended_first;
	ended_first = fiber_current;
	fiber_next();
	domain_panic(__FILE__, __LINE__, "an ended fiber runs");
}

// A fiber lies at the top of its stack; its registers are written below it. One that has just ended may still turn the
// loop on its stack: that one is left alone.
static struct fiber *fiber_stack(void)
{
	struct fiber **at = &ended_first;
	while (*at && *at == fiber_current)
		at = &(*at)->next;
	struct fiber *fiber = *at;
	if (fiber) {
		*at = fiber->next;
		return fiber;
	}
	struct kernel_result r = kcall(CALL_memory_alloc, FIBER_STACK_PAGES);
	if (r.error != ERR_OK)
		return 0;
	return (struct fiber *)(r.value[0] + FIBER_STACK_PAGES * PAGE_SIZE - 64);
}
_Static_assert(sizeof(struct fiber) <= 64, "a fiber fits above its stack");

struct fiber *fiber_create(void (*entry)(void *argument), void *argument, const char *name)
{
	struct fiber *fiber = fiber_stack();
	if (!fiber)
		return 0;
	uint64_t *frame = (uint64_t *)fiber - FIBER_FRAME;
	frame[0] = (uint64_t)fiber_first;
	frame[1] = (uint64_t)entry;
	frame[2] = (uint64_t)argument;
	*fiber = (struct fiber){.sp = frame, .name = name};
	ready_put(fiber);
	return fiber;
}

struct fiber_alarm {
	struct timer timer; // first
	struct fiber *fiber;
};

static void fiber_alarm_expired(struct timer *timer)
{
	fiber_wake(((struct fiber_alarm *)timer)->fiber);
}

void fiber_sleep_us(uint64_t us)
{
	struct fiber_alarm alarm = {.timer.expired = fiber_alarm_expired, .fiber = fiber_current};
	timer_arm(&alarm.timer, time_now() + time_ticks_from_us(us));
	bool other_wake = false;
	while (alarm.timer.armed) {
		fiber_park();
		other_wake |= alarm.timer.armed;
	}
	fiber_current->woken |= other_wake; // it was not for the sleep
}

void fiber_mutex_lock(struct fiber_mutex *mutex)
{
	if (!mutex->owner) {
		mutex->owner = fiber_current;
		return;
	}
	invariant(mutex->owner != fiber_current);
	struct fiber *self = fiber_current;
	self->next = 0;
	self->state = FIBER_LOCKED;
	if (mutex->first)
		mutex->last->next = self;
	else
		mutex->first = self;
	mutex->last = self;
	fiber_next(); // comes back as the owner
}

void fiber_mutex_unlock(struct fiber_mutex *mutex)
{
	invariant(mutex->owner == fiber_current);
	struct fiber *next = mutex->first;
	mutex->owner = next;
	if (next) {
		mutex->first = next->next;
		ready_put(next);
	}
}
