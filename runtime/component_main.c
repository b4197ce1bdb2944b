// The main program of an image that is made of components: the first one serves. What it uses of its mates starts when it is opened.
// Owns nothing; a program that has a main program of its own does not get this one. If the server cannot start, the domain ends
// with its error, and the restart rule decides.
#include "runtime/component.h"
#include "runtime/runtime.h"

int program_main(void)
{
	const struct component *own = component_own();
	invariant(own != 0);
	return (int)server_run(own->server);
}
