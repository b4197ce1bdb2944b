// Notifications: a sticky bit at another domain, on any core, and one here.
//
// A notification is a channel without memory: it carries nothing but "look again". Several signals before a look count as one, and
// none is ever lost: whenever a life begins at either end, both ends are raised. So one that was raised may mean nothing; what it
// stands for is in the program's own hands (a word in a channel's area, a device, a file).
// A signal is one fence and one store when the peer has a guest interrupt file, else a kernel call. It is noticed without a
// trap: by the loop, or by notification_take, from our own interrupt file.
//
// A client opens one to a service; the service's server hears of it by `notified` of struct server, and can signal back.
// If the server dies: its next incarnation has the same notifications, each raised; ours is raised too. If this domain dies: its next
// incarnation opens the same one again, raised, and the server is signalled. If the service is given up, or the client is gone: `gone`.
#pragma once
#include "abi/error.h"
#include "runtime/channel_view.h"
#include "runtime/runtime.h"

struct fiber;

struct notification {
	struct channel_view view; // who the peer is, for those who want to know
	// On the loop, at each ring: must not wait. 0: none. A client sets it when it likes; a server's is struct server's.
	void (*notified)(struct notification *notification);
	void *context; // the program's
	bool gone;     // nobody is at the other end any more: only notification_close is left
	// private to the library:
	bool raised;
	struct fiber *fiber;
	struct loop_source source;
	struct notification *next;
};

// Opens, or resumes, a notification to the service of that name; waits until it is published and has accepted. The signals are seen in
// the order of `priority` (0 first .. CHANNEL_PRIORITIES - 1). ERR_NOT_FOUND: not in `uses` of our manifest; ERR_REFUSED: it takes
// none; ERR_PEER_LOST. It begins raised.
enum error notification_open(struct notification **notification, const char *service, unsigned priority);
// A client's at any time, a server's when it is gone; nobody waits for it.
void notification_close(struct notification *notification);

// What is to be seen was stored before; partner: the fence of the claim (fence_claimed) at the other end.
static inline void notification_signal(const struct notification *notification)
{
	fence_doorbell();
	if (notification->view.doorbell)
		store32(notification->view.doorbell, notification->view.peer_identity);
	else
		channel_view_ring_slowly(&notification->view);
}

// Has it been raised since the last time? Without a trap, and without a turn of the loop: who polls still owes the loop its turns.
bool notification_take(struct notification *notification);
// Parks the calling fiber until then. ERR_PEER_LOST: it is gone.
enum error notification_wait(struct notification *notification);
// From now on each ring wakes that fiber, whatever it is parked for: it may wait for several things at once. 0: none.
void notification_bind(struct notification *notification, struct fiber *fiber);

// For server.c. How many that client has (CHANNEL_PEER).
unsigned notification_ends(uint64_t peer);
// Of a slot: accepts the client, or refuses it where `notified` is 0; takes one of the former incarnation; its client is
// gone (false: there is none in that slot).
void notification_accept(unsigned slot, void (*notified)(struct notification *));
void notification_adopt(unsigned slot, void (*notified)(struct notification *));
bool notification_closed(unsigned slot);
// What was adopted is raised: the server serves.
void notification_serve(void);
