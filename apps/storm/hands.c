// The fibers by which a campaign asks several victims at the same time (hands.h).
//
// Owns which hand has which shot. One victim that is dying holds up its own hand until its next incarnation answers, and no other. Must never
// be given work while it has some. If this domain dies, the requests stand in the victims' rings and are answered to nobody.
#include "apps/storm/hands.h"
#include "runtime/fiber.h"

static struct fiber *fibers[HANDS];
static struct shot *held[HANDS]; // 0: the hand is empty
static void (*work)(struct shot *shot);
static struct fiber *waiter; // until all are empty
static unsigned busy;

static void hand_body(void *argument)
{
	struct shot **own = argument;
	for (;;) {
		while (!*own)
			fiber_park();
		work(*own);
		*own = 0;
		if (--busy == 0 && waiter)
			fiber_wake(waiter);
	}
}

enum error hands_begin(void)
{
	for (unsigned i = 0; i < HANDS; i++) {
		fibers[i] = fiber_create(hand_body, &held[i], "hand");
		if (!fibers[i])
			return ERR_NO_MEMORY;
	}
	return ERR_OK;
}

void hands_start(void (*what)(struct shot *), struct shot *shots, unsigned count)
{
	work = what;
	busy = count;
	for (unsigned i = 0; i < count; i++) {
		held[i] = &shots[i];
		fiber_wake(fibers[i]);
	}
}

bool hands_are_done(void)
{
	return busy == 0;
}

void hands_wait(void)
{
	waiter = fiber_self();
	while (busy > 0)
		fiber_park();
	waiter = 0;
}
