// Mesh ring: messages from one kernel to one other. Owns the rule by which a slot becomes valid and free.
//
// One page of slots in the receiver's partition, written by the sender only; the head lies on a page that the receiver
// writes. No tail is shared: a slot is valid when its seq is that of the index looked for. Never: trusts the peer; a
// wild head stops the sender, a wild slot costs one message. If the sender dies in a push, the slot is not valid; if
// the receiver dies, the ring fills and the sender's deadlines tell.
//
//   sender                          receiver
//   load head, slot free?           load seq of the slot at head: its own?
//   (control dependency)            fence r,r
//   store payload                   load payload
//   fence rw,w                      fence rw,w
//   store seq                       store head
//
// The sender's fence is rw,w and not w,w, because a message can give something up: when it says that frames are
// unmapped, the last loads from them are over. In line, so that a message that is made here is made in its slot.
#pragma once
#include "abi/fence.h"
#include "abi/layout.h"
#include "abi/words.h"
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
static inline __attribute__((always_inline)) bool mesh_ring_push_producer(struct mesh_message *slots, uint32_t *tail_private,
									  uint32_t head_shared, const struct mesh_message *m)
{
	uint32_t tail = *tail_private;
	struct mesh_message *slot = &slots[tail % MESH_SLOTS];
	if (tail - head_shared >= MESH_SLOTS) // full, or a head ahead of the tail
		return false;
	// The payload stores depend on that branch: partner fence_rw_w of the receiver, before it publishes the head.
	slot->op = m->op;
	slot->is_reply = m->is_reply;
	slot->error = m->error;
	slot->request = m->request;
	slot->incarnation = m->incarnation;
	words_few(slot->word, m->word, 6);
	fence_rw_w(); // partner: fence_r_r in mesh_ring_pop_consumer; payload before seq
	*(volatile uint32_t *)&slot->seq = mesh_ring_seq(tail);
	*tail_private = tail + 1;
	return true;
}

// Takes the next message into *copy and moves *head, the receiver's private index. Returns false when there is none.
// The caller publishes the head after fence_rw_w.
static inline bool mesh_ring_pop_consumer(const struct mesh_message *slots, uint32_t *head, struct mesh_message *copy)
{
	const struct mesh_message *slot = &slots[*head % MESH_SLOTS];
	uint32_t seq = *(const volatile uint32_t *)&slot->seq;
	if (seq != mesh_ring_seq(*head))
		return false;
	fence_r_r(); // partner: fence_rw_w in mesh_ring_push_producer; seq before payload
	const volatile shared_word_t *from = (const volatile shared_word_t *)slot;
	shared_word_t *to = (shared_word_t *)copy;
#pragma GCC unroll 8
	for (unsigned i = 0; i < sizeof(*copy) / sizeof(uint64_t); i++)
		to[i] = from[i];
	copy->seq = seq;
	(*head)++;
	return true;
}
