// Mesh ring: see mesh_ring.h.
//
//   sender                          receiver
//   load head, slot free?           load seq of the slot at head: its own?
//   (control dependency)            fence r,r
//   store payload                   load payload
//   fence rw,w                      fence rw,w
//   store seq                       store head
//
// The sender's fence is rw,w and not w,w, because a message can give something up: when it says that frames are
// unmapped, the last loads from them are over.
#include "core-local/mesh_ring.h"
#include "abi/fence.h"

bool mesh_ring_push_producer(struct mesh_message *slots, uint32_t *tail_private, uint32_t head_shared,
                             const struct mesh_message *m)
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
	for (int i = 0; i < 6; i++)
		slot->word[i] = m->word[i];
	fence_rw_w(); // partner: fence_r_r in mesh_ring_pop_consumer; payload before seq
	*(volatile uint32_t *)&slot->seq = mesh_ring_seq(tail);
	*tail_private = tail + 1;
	return true;
}

bool mesh_ring_pop_consumer(const struct mesh_message *slots, uint32_t *head, struct mesh_message *copy)
{
	const struct mesh_message *slot = &slots[*head % MESH_SLOTS];
	uint32_t seq = *(const volatile uint32_t *)&slot->seq;
	if (seq != mesh_ring_seq(*head))
		return false;
	fence_r_r(); // partner: fence_rw_w in mesh_ring_push_producer; seq before payload
	const volatile shared_word_t *from = (const volatile shared_word_t *)slot;
	shared_word_t *to = (shared_word_t *)copy;
	for (unsigned i = 0; i < sizeof(*copy) / sizeof(uint64_t); i++)
		to[i] = from[i];
	copy->seq = seq;
	(*head)++;
	return true;
}
