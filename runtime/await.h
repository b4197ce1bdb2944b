// One wait for several things: answers to requests, signals of notifications, flags that other fibers raise, and a time.
//
// A fiber says what it waits for and sleeps once; whatever comes wakes it, and it is told which. Nothing is lost between two waits: an
// answer stays in its request, a signal and a flag stay raised until they are taken. If this domain dies, its fibers are gone; what
// they had asked stands in the channels.
#pragma once
#include "runtime/client.h"
#include "runtime/fiber.h"
#include "runtime/notification.h"

#define AWAIT_FOREVER (~0ull)
#define AWAIT_MAX 64u // things at once: a word has a bit for each

// What one program part tells one fiber. Zero-initialised: lowered.
struct flag {
	bool raised;
	struct fiber *waiter; // private to the library
};
void flag_raise(struct flag *flag); // on the loop too

// One of these is set, the others are 0. Nobody else waits for it meanwhile.
struct await {
	struct client_request *request;    // submitted, without `completed`: it is done
	struct notification *notification; // it was raised, which is taken by this, or is gone; a fiber that was bound is unbound
	struct flag *flag;                 // it is raised, and stays so
};

// Parks the calling fiber until one of them is there, or the deadline (rdtime). A bit for each that is, the first being bit 0; none: it is too late.
uint64_t await_any(const struct await *awaited, unsigned count, uint64_t deadline);
