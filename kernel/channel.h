// Channel ends: registering, adopting, letting go. The memory is the client's (abi/channel.h); each kernel maps its
// own domain's side and tells the other kernel states by notices.
//
//   client's kernel                         server's kernel
//   OPEN call: frames, map client side  ->  end REQUESTED, event to the server
//                                       <-  accept: map server side, reply (or refuse)
//   DOWN, OPEN (new epoch), LOST        <-  the server's incarnation changes
//   CLOSED: client side unmapped        ->  event to the server, which commits and releases
//   frames are free                     <-  released: server side unmapped
//
// Death: of the server: the end stays, DOWN, until the next incarnation maps it again. Of the client: CLOSED by its
// kernel; the memory stays until the server has released it (RECOVERY rule 4). A frame is free only when both
// sides have unmapped it (KERNEL rule 13).
#pragma once
#include "kernel/call.h"

// For grants: the end at that slot, that of a message, 0: none; what lies in that core's partition; what no record accounts for.
struct channel_end *channel_end_of(struct domain *d, uint64_t slot);
struct channel_end *channel_end_by_tag(struct core *core, unsigned from, uint32_t tag, unsigned role, unsigned index, unsigned *slot);
bool channel_memory_is_of(const struct core *core, unsigned peer, paddr_t base, uint64_t bytes);
void channel_memory_hold(struct core *core, paddr_t base, uint64_t bytes);
// Marks a ring to the peer of that end, to be sent through the kernels. False: no such end.
bool channel_ring_mark(struct domain *d, uint64_t slot);
// A client's kernel asks for its domain to be connected.
enum error channel_connect(struct invocation *c);
// The answer to channel_open has come (or its deadline): completes the client's end. Returns what the client sees.
enum error channel_connected(struct domain *d, enum error error, const uint64_t value[5], uint64_t result[5]);

// An answer came that no call waits for: to an ask, or to a channel_open that was given up.
void channel_answered(struct core *core, unsigned from, uint32_t request, enum error error);
// False: there is no such end here, or none any more.
bool channel_notice(struct core *core, unsigned from, const uint64_t word[6]);
// A new incarnation of that kernel: each side tells of every end that it shares with the other, and asks whether the
// other has it too. Who has not: its client is gone (CLOSED), or its server (LOST).
void channel_ask_all(struct core *core, unsigned peer);
// That core is fenced off: its servers will not answer, and what they can write is never used again.
void channel_fence_all(struct core *core, unsigned peer);
void channel_notice_ring(struct core *core, unsigned from, uint64_t word);
// The memory of channel_open is clear: asks the kernel of the server.
void channel_open_send(struct domain *d);
// Sends what the domain's ends and reports have to tell. False: a ring is full, try again.
bool channel_notices_send(struct domain *d);

// Server ends: unmapped, clients told DOWN, or LOST when the service is given up.
void channel_unregister_all(struct domain *d, bool final);
// A new incarnation: maps the ends of the former one, tells the clients.
void channel_adopt_all(struct domain *d);
// The domain is destroyed: client ends CLOSED, server ends LOST.
void channel_close_all(struct domain *d);
// In a reborn kernel: ends of a former life that check out keep their memory, the others are forgotten; then, when there
// are tables again, client ends are mapped.
void channel_claim_all(struct domain *d);
void channel_reborn_all(struct domain *d);
// A restarted domain: what was half open is closed; client ends stay.
void channel_restart_all(struct domain *d);
// For a domain that goes on in a reborn kernel, after channel_reborn_all: its server ends too. False: they cannot be mapped.
bool channel_go_on_all(struct domain *d);
bool channel_none_left(const struct domain *d);
