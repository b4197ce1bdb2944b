// Hands: what is done to the victims of one trial is done at the same time, each by a fiber of its own.
#pragma once
#include "apps/storm/victims.h"

// Victims of one trial, at most.
#define HANDS 8u

// Makes the fibers; they stay until the end of this domain. ERR_NO_MEMORY.
enum error hands_begin(void);
// Each of the shots is given to a hand, which does that. One at a time: hands_wait before the next.
void hands_start(void (*what)(struct shot *shot), struct shot *shots, unsigned count);
bool hands_are_done(void);
void hands_wait(void);
