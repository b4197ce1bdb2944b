// Mesh ring: messages from one kernel to one other. Owns the rule by which a slot becomes valid and free.
//
// One page of slots in the receiver's partition, written by the sender only; the head lies on a page that the receiver
// writes. No tail is shared: a slot is valid when its seq is that of the index looked for. Never: trusts the peer; a
// wild head stops the sender, a wild slot costs one message. If the sender dies in a push, the slot is not valid; if
// the receiver dies, the ring fills and the sender's deadlines tell.
#pragma once
#include "abi/layout.h"
#include <stdbool.h>
#include <stdint.h>

struct mesh_message {
	uint32_t seq; // mesh_ring_seq(index); written last, by the push
	uint16_t op;
	uint8_t is_reply;
	uint8_t error;        // enum error, of a reply
	uint32_t request;     // number that the reply carries too
	uint32_t incarnation; // of the sending kernel
	uint64_t word[6];
};
_Static_assert(sizeof(struct mesh_message) == 64, "a mesh message is 64 bytes");

#define MESH_SLOTS 64u
_Static_assert(MESH_SLOTS * sizeof(struct mesh_message) == PAGE_SIZE, "a mesh ring is one page");

// seq of the message with that index: index + 1, and all ones instead of 0 (which is odd there: slot 63 holds
// multiples of 64 else), so that a cleared page holds no message.
static inline uint32_t mesh_ring_seq(uint32_t index)
{
	return index == UINT32_MAX ? UINT32_MAX : index + 1;
}

// Sends *m (seq is filled in here). `head_shared` is the receiver's head, loaded by the caller. Returns false when the
// ring is full or the head impossible. The caller rings afterwards (fence_w_ro between: its partner is the receiver's
// fence_i_r after the claim).
bool mesh_ring_push_producer(struct mesh_message *slots, uint32_t *tail_private, uint32_t head_shared,
                             const struct mesh_message *m);

// Takes the next message into *copy and moves *head, the receiver's private index. Returns false when there is none.
// The caller publishes the head after fence_rw_w.
bool mesh_ring_pop_consumer(const struct mesh_message *slots, uint32_t *head, struct mesh_message *copy);
