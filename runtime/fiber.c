// Fibers: owns the ready queues, the running fiber, and all stacks: those of fibers that ended are kept for the next ones.
//
// Never pre-empts: a fiber runs until it parks, yields or ends. Whoever finds nothing ready turns the loop on its own
// stack, so waiting costs no switch when the answer is for oneself. Right because all of this is one thread of control.
// Stacks lie side by side in blocks of the heap, and behind each the kernel leaves a page unmapped, also in its next life: a
// stack that overflows downward hits the page that follows the one below it. A block holds half as many as there are already,
// 64 at most (HEAP_PIECES), so some 3,000 fibers fit into the blocks that a domain can have, if its quota does for their stacks. If the
// domain dies, all fibers are gone; a fiber that never yields is found by the supervisor's ping.
#include "runtime/fiber_await.h"

#define STACK_PAGES 8u       // 32 KiB: printf and a few 4 KiB buffers deep
#define STACK_PAGES_SMALL 2u // 8 KiB: printf and calls of servers, but no buffers
#define STACKS_MORE_MAX 64u  // of one block: as many pieces as the kernel allows it
#define FIBER_FRAME 14u      // words that fiber_switch keeps, switch.S
#define FIBER_SWITCHES 32u   // switches between two looks of the loop: busy fibers must not starve it, nor those of lower priorities

enum fiber_state { FIBER_RUNNING, FIBER_PARKED, FIBER_LOCKED, FIBER_ENDED }; // who is ready counts as running

void fiber_first(void);
_Noreturn void fiber_ended(void);

struct stacks { // of one size
	uint64_t pages;
	struct fiber *ended; // who had one
	uint64_t next;       // that nobody has had yet
	unsigned left;       // of those
	unsigned made;
};

static struct stacks stacks[] = {{.pages = STACK_PAGES}, {.pages = STACK_PAGES_SMALL}};
static struct fiber fiber_main = {.name = "main"};
struct fibers fibers = {.current = &fiber_main};
static unsigned switches;

static void ready_put(struct fiber *fiber)
{
	fiber->state = FIBER_RUNNING;
	loop_naps_hold();
	fiber_queue(fiber);
}

// --- priorities

static void lower_append(struct fiber_queue *queue, struct fiber *fiber)
{
	fiber->next = 0;
	if (queue->first)
		queue->last->next = fiber;
	else
		queue->first = fiber;
	queue->last = fiber;
}

// Those that are served wait: somebody of that priority is ready, and it is better, or the only one.
static void serve_other(unsigned priority)
{
	if (fibers.first) {
		fibers.lower[fibers.priority] = (struct fiber_queue){fibers.first, fibers.last};
		fibers.waiting |= 1u << fibers.priority;
		fibers.first = 0;
	}
	fibers.priority = priority;
}

// Nobody is served any more: the best of those that wait are.
static __attribute__((noinline, cold)) void serve_lower(void)
{
	unsigned priority = (unsigned)__builtin_ctz(fibers.waiting);
	struct fiber_queue *queue = &fibers.lower[priority];
	fibers.waiting &= fibers.waiting - 1;
	fibers.priority = priority;
	fibers.first = queue->first;
	fibers.last = queue->last;
	queue->first = 0;
}

__attribute__((noinline, cold)) quick_answer_t fiber_switch_last(struct fiber *from, struct fiber *to)
{
	serve_lower();
	return fiber_switch(from, to);
}

__attribute__((noinline, cold)) void fiber_queue_apart(struct fiber *fiber)
{
	unsigned priority = fiber->priority;
	if (!fibers.first || priority < fibers.priority) {
		serve_other(priority);
		fiber_queue_served(fiber, fiber);
		return;
	}
	lower_append(&fibers.lower[priority], fiber);
	fibers.waiting |= 1u << priority;
}

void fiber_queue_each(struct fiber *first, struct fiber *last)
{
	last->next = 0;
	for (struct fiber *next; first; first = next) {
		next = first->next;
		fiber_queue(first);
	}
}

// One of them is the next to run, of each priority in turn.
static __attribute__((noinline, cold)) void lower_lift(void)
{
	static unsigned lifted;
	unsigned below = fibers.waiting & ~((2u << lifted) - 1);
	lifted = (unsigned)__builtin_ctz(below ? below : fibers.waiting);
	struct fiber_queue *queue = &fibers.lower[lifted];
	struct fiber *fiber = queue->first;
	queue->first = fiber->next;
	if (!queue->first)
		fibers.waiting &= ~(1u << lifted);
	fiber->next = fibers.first; // there is one, or nobody would wait
	fibers.first = fiber;
}

void fiber_set_priority(struct fiber *fiber, unsigned priority)
{
	invariant(priority < FIBER_PRIORITIES);
	fiber->priority = (uint8_t)priority;
	fibers.mixed |= priority != 0;
}

bool fiber_any_ready(void)
{
	return fibers.first != 0;
}

// --- switching

struct fiber *fiber_self(void)
{
	return fibers.current;
}

// Who waits has mostly just looked, so a turn would find nothing: sleep comes first.
quick_answer_t fiber_await_any(void)
{
	struct fiber *self = fibers.current;
	if (!fibers.first)
		loop_sleep_first();
	while (!fibers.first)
		if (!loop_poll() && !fibers.first)
			loop_sleep();
	if (fibers.first != self)
		return fiber_await(self);
	fibers.first = self->next;
	if (__builtin_expect(!fibers.first && fibers.waiting, 0))
		serve_lower();
	return quick_answer_of(self->word[0], self->word[1]);
}

// A switch is due. The loop wakes those of better priorities: while others run it has a turn before each of them.
static inline void loop_share(void)
{
	bool due = ++switches % FIBER_SWITCHES == 0;
	if (__builtin_expect(due || (fibers.priority != 0 && fibers.first), 0))
		loop_poll();
	if (__builtin_expect(due && fibers.waiting, 0))
		lower_lift();
}

// The running fiber has said where it wants to be found (parked, ended, a mutex's queue); somebody else runs, or the loop.
static void fiber_next(void)
{
	invariant(!loop_running());
	loop_share();
	(void)fiber_await_any();
}

void fiber_yield(void)
{
	struct fiber *self = fibers.current;
	invariant(!loop_running());
	if (!fibers.first) {
		loop_poll();
		if (!fibers.first)
			return;
	}
	loop_share();
	struct fiber *next = fibers.first; // before we are ready ourselves, perhaps of a better priority
	fibers.first = next->next;
	if (__builtin_expect(!fibers.first && fibers.waiting, 0))
		serve_lower();
	ready_put(self);
	fibers.current = next;
	(void)fiber_switch(self, next);
}

void fiber_park(void)
{
	struct fiber *self = fibers.current;
	if (self->woken) {
		self->woken = false;
		return;
	}
	self->state = FIBER_PARKED;
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
	struct fiber *self = fibers.current;
	struct stacks *s = &stacks[self->stack];
	self->state = FIBER_ENDED;
	self->next = s->ended;
	s->ended = self;
	fiber_next();
	domain_panic(__FILE__, __LINE__, "an ended fiber runs");
}

// --- stacks

// As many as are wanted, or what there is memory for.
static bool stacks_more(struct stacks *s)
{
	unsigned n = s->made / 2 + 1;
	for (n = n < STACKS_MORE_MAX ? n : STACKS_MORE_MAX; n > 0; n /= 2) {
		struct kernel_result r = kcall(CALL_memory_alloc, n * s->pages, s->pages);
		if (r.error != ERR_OK)
			continue;
		s->next = r.value[0];
		s->left = n;
		s->made += n;
		return true;
	}
	return false;
}

// A fiber lies at the top of its stack; its registers are written below it. One that has just ended may still turn the
// loop on its stack: that one is left alone.
static struct fiber *fiber_stack(struct stacks *s)
{
	struct fiber **at = &s->ended;
	while (*at && *at == fibers.current)
		at = &(*at)->next;
	struct fiber *fiber = *at;
	if (fiber) {
		*at = fiber->next;
		return fiber;
	}
	if (s->left == 0 && !stacks_more(s))
		return 0;
	uint64_t top = s->next + s->pages * PAGE_SIZE;
	s->left--;
	s->next = top + PAGE_SIZE; // behind the unmapped one
	return (struct fiber *)(top - 64);
}
_Static_assert(sizeof(struct fiber) <= 64, "a fiber fits above its stack");

static struct fiber *fiber_make(unsigned stack, void (*entry)(void *argument), void *argument, const char *name)
{
	struct fiber *fiber = fiber_stack(&stacks[stack]);
	if (!fiber)
		return 0;
	uint64_t *frame = (uint64_t *)fiber - FIBER_FRAME;
	frame[0] = (uint64_t)fiber_first;
	frame[1] = (uint64_t)entry;
	frame[2] = (uint64_t)argument;
	*fiber = (struct fiber){.sp = frame, .name = name, .priority = fibers.current->priority, .stack = (uint8_t)stack};
	ready_put(fiber);
	return fiber;
}

struct fiber *fiber_create(void (*entry)(void *argument), void *argument, const char *name)
{
	return fiber_make(0, entry, argument, name);
}

struct fiber *fiber_create_small(void (*entry)(void *argument), void *argument, const char *name)
{
	return fiber_make(1, entry, argument, name);
}

// --- time

static void fiber_alarm_expired(struct timer *timer)
{
	fiber_wake(((struct fiber_alarm *)timer)->fiber);
}

void fiber_alarm_set(struct fiber_alarm *alarm, uint64_t deadline)
{
	*alarm = (struct fiber_alarm){.timer.expired = fiber_alarm_expired, .fiber = fibers.current};
	timer_arm(&alarm->timer, deadline);
}

void fiber_sleep_us(uint64_t us)
{
	struct fiber_alarm alarm;
	fiber_alarm_set(&alarm, time_now() + time_ticks_from_us(us));
	bool other_wake = false;
	while (alarm.timer.armed) {
		fiber_park();
		other_wake |= alarm.timer.armed;
	}
	fibers.current->woken |= other_wake; // it was not for the sleep
}

void fiber_mutex_lock(struct fiber_mutex *mutex)
{
	if (!mutex->owner) {
		mutex->owner = fibers.current;
		return;
	}
	invariant(mutex->owner != fibers.current);
	struct fiber *self = fibers.current;
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
	invariant(mutex->owner == fibers.current);
	struct fiber *next = mutex->first;
	mutex->owner = next;
	if (next) {
		mutex->first = next->next;
		ready_put(next);
	}
}
