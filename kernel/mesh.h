// Mesh: messages between kernels. For each ordered pair of cores one ring in the receiver's partition (mesh_ring.h).
//
// Two kinds. Calls: a request with a number and a reply that carries it; at most MESH_REQUESTS_MAX outstanding for a
// pair, each with a deadline. Notices: the state of something, told again whenever it changes; they are not queued but
// marked where they come from (channel_end.notice, .ring, domain.report) and sent while the ring has room, so none is
// lost and none can overflow. Replies always find room (INV-12): notices leave MESH_NOTICE_ROOM slots.
//
// If the other kernel dies: calls end with ERR_CORE_LOST, at once when that is known, else at their deadline; notices are
// dropped. Its next incarnation is met by both sides: each clears the ring that it writes and says which incarnation it
// has seen; before that neither is used. Then each asks for every channel end that it shares with the other.
//
//   reborn kernel                            peer
//   clears its heads and `seen`, then
//   publishes its incarnation           ->   sees it: calls end, clears its ring, head 0, seen := it, rings
//   the same towards each peer          <->
//   asks for its channel ends           <->  asks for its own; LISTED
//   all have: memory is allocated, ONLINE
#pragma once
#include "kernel/call.h"

enum mesh_notice {
	NOTICE_CHANNEL = 0x100, // tag of an end, its new state
	NOTICE_DOORBELL,        // tag: ring the domain of the end that has it
	NOTICE_DOMAIN,          // to the supervisor: status has changed
	NOTICE_COMPLAINT,       // to the supervisor: evidence was found
	NOTICE_CORE,            // word 0: 0: the sender's state has changed, its info page says to what; n: core n - 1 is fenced off; 1: chief
	NOTICE_GRANT,           // tag of an end, a grant and its new state (grant.c); rings nobody while there is room
	NOTICE_LISTED,          // all that was to be asked of a new incarnation has been asked; word 0: cores that are fenced off; 1: chief
	NOTICE_PING,            // word 0: 1: is to be answered by one with 0
	NOTICE_STOP,            // the receiver was found silent: if it hears this, it must not go on; word 0: 1: the machine goes down
};

void mesh_init(struct core *core);
bool mesh_core_online(const struct core *core, unsigned peer);
bool mesh_core_alive(const struct core *core, unsigned peer); // or STARTING
bool mesh_core_awaited(const struct core *core, unsigned peer); // by one that begins: core 0 for all at boot, others for what that one holds
// All calls that wait for that core end with ERR_CORE_LOST.
void mesh_forget(struct core *core, unsigned peer);
// A notice of a channel end that is answered (channel_answered): OK, or NOT_FOUND. False: not sent.
bool mesh_ask(struct core *core, unsigned peer, const uint64_t word[6], uint32_t *number);
// Sends a request for `d`, which waits (DOMAIN_CALLING), or has it under way as that `flight`. ERR_AGAIN: too many outstanding.
enum error mesh_call(struct domain *d, unsigned peer, unsigned number, const uint64_t word[6], struct call_flight *flight);
// Answers whoever waits at `origin`, here or on another core.
void mesh_answer(struct core *core, struct origin origin, enum error error, const uint64_t value[5]);
// A fresh number for a request of a local domain.
uint32_t mesh_number(struct core *core);
// Sends a notice at once if there is room. False: not sent.
bool mesh_notice(struct core *core, unsigned peer, enum mesh_notice notice, const uint64_t word[6]);
// Takes all messages that are there.
void mesh_take(struct core *core);
void mesh_take_from(struct core *core, unsigned from);
// Sends what is marked.
void mesh_flush(struct core *core);
