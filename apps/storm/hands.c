// The fibers by which a campaign asks several victims at the same time (hands.h).
//
// Owns which hand has which shot. One victim that is dying holds up its own hand until its next incarnation answers, and no other. Must never
// be given work while it has some. If this domain dies, the requests stand in the victims' rings and are answered to nobody.
#include "apps/storm/hands.h"
#include "runtime/await.h"

static struct fiber *fibers[HANDS];
static struct shot *held[HANDS]; // 0: the hand is empty
static void (*work)(struct shot *shot);
static unsigned busy;
static struct flag empty; // all are

static void hand_body(void *argument)
{
	struct shot **own = argument;
	for (;;) {
		while (!*own)
			fiber_park();
		work(*own);
		*own = 0;
		if (--busy == 0)
			flag_raise(&empty);
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
	empty.raised = count == 0;
	for (unsigned i = 0; i < count; i++) {
		held[i] = &shots[i];
		fiber_wake(fibers[i]);
	}
}

bool hands_are_done(void)
{
	return empty.raised;
}

void hands_wait(void)
{
	(void)await_any(&(struct await){.flag = &empty}, 1, AWAIT_FOREVER);
}
