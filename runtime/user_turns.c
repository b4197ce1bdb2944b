// Programs that take turns with the other fibers of their library OS (user.h): owns how long a turn is.
//
// Never keeps the domain from its loop for longer: rings and the alarm end a turn. Right because both are pending until the loop has
// taken them, and a program is entered with both enabled, so that none that came before is missed. If the domain dies, so do its programs.
#include "runtime/fiber.h"
#include "runtime/loop.h"
#include "runtime/user.h"

#define TURN_US 2000u // long against a turn of the loop, short against what who waits notices

enum user_stop user_run_in_turns(struct user *u)
{
	while (!u->killed) {
		loop_alarm(time_now() + time_ticks_from_us(TURN_US));
		enum user_stop stop = user_run(u);
		if (stop != USER_INTERRUPTED)
			return stop;
		fiber_yield();
	}
	return USER_KILLED;
}

void user_kill(struct user *u)
{
	u->killed = true;
}
