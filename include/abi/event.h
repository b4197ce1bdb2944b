// Events: what a kernel tells a domain. State, not a queue: each is a sticky bit in the kernel, so none is ever lost
// and none can overflow. Identity IDENTITY_EVENT is raised; the main loop then calls event_next until EVENT_NONE.
#pragma once

#define IDENTITY_EVENT 1   // kernel events
#define IDENTITY_DEVICE 2  // first device interrupt of a domain; the next has 3, up to IDENTITY_CALLS - 1
#define IDENTITY_CALLS 7   // calls of its ring are done (call_ring.h)
#define IDENTITY_CHANNEL 8 // first identity for channels; the priority decides where (channel.h)

enum event {
	EVENT_NONE,
	EVENT_PING,            // number: answer by pong(number) from the main loop
	EVENT_CHANNEL_REQUEST, // slot: a client wants to register; accept or refuse
	EVENT_CHANNEL_CLOSED,  // slot: the client is gone; commit what it had, then channel_close(slot)
	EVENT_CHANNEL_STATE,   // slot: (client) the server died, came back (new epoch) or is lost: channel_info tells; (server) a grant was taken back
	EVENT_DOMAIN,          // core, domain index, epoch: (supervisor) domain_status has changed
	EVENT_CORE,            // core: (supervisor) came online or is lost
	EVENT_COMPLAINT,       // core << 32 | domain, slot, reason: (supervisor) a client complains, evidence was found
};
