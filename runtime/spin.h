// Spin or sleep (KERNEL.md rule 8): how long to look before going to sleep, learnt from what it brought.
//
// A spin is worth its cost while peers answer within it. Each one in vain doubles the number of chances that are let
// pass, up to SPIN_PASS_MAX; one that brought something makes it worth trying each time again.
#pragma once
#include <stdbool.h>

// Looks in one spin: 10 to 20 us under emulation, about what being put to sleep and woken costs.
#define SPIN_LOOKS 1500u
#define SPIN_PASS_MAX 63u
#define SPIN_PASS_ALL ~0u // as good as never again

struct spin {
	unsigned pass;  // chances still to let pass
	unsigned vain;  // chances to let pass after the next vain one
};

static inline bool spin_try(struct spin *spin)
{
	if (spin->pass == 0)
		return true;
	spin->pass--;
	return false;
}

static inline void spin_learn(struct spin *spin, bool found)
{
	if (found) {
		spin->vain = 0;
		return;
	}
	spin->pass = spin->vain;
	spin->vain = spin->vain >= SPIN_PASS_MAX ? SPIN_PASS_MAX : 2 * spin->vain + 1;
}
