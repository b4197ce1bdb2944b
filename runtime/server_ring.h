// The server's end of a channel's shared memory: taking submissions, writing records, publishing, adopting.
//
// Pure: touches the channel's pages and this struct, makes no kernel call but a doorbell, never waits. server.c
// dispatches; unit tests and fuzzers drive it on the host. All that the client wrote is hostile: a request is copied once
// and the copy is validated; indices are range-checked.
#pragma once
#include "proto/protocol.h"
#include "runtime/channel_view.h"

struct server_slot {
	uint32_t seq; // last one that was taken or found performed
	bool busy;    // taken, not published
	bool logged;  // busy, and its record is written
};

struct server_ring {
	struct channel_view view;
	uint32_t head; // submit_head
	uint32_t tail; // complete_tail
	uint32_t want_commit; // last seen
	uint32_t rescan;      // next slot to scan after an overrun of the ring; geometry.slots: none
	uint64_t ignored;     // entries that were duplicates or nonsense
	struct server_slot slots[CHANNEL_SLOTS_MAX];
};

enum adopted {
	ADOPTED_FREE,      // no request, or one that will come by the ring
	ADOPTED_DONE,      // performed, recorded, not logged or below the mark
	ADOPTED_RECORDED,  // performed and logged: `former` has serial and results
	ADOPTED_TO_DO,     // never performed, or idempotent and not recorded
	ADOPTED_CORRUPT,   // recorded once, but the record is spoilt
	ADOPTED_POISONOUS, // too many incarnations died in it
};

// Step 1 of adoption (include/abi/channel.h); a new channel is adopted like any other.
void server_ring_adopt(struct server_ring *ring, uint32_t epoch);
// Step 2 for one slot. `copy` is filled for all but ADOPTED_FREE; the slot is busy after TO_DO, CORRUPT, POISONOUS.
enum adopted server_ring_adopt_slot(struct server_ring *ring, unsigned slot, const struct protocol *protocol,
				    struct request *copy, struct completion *former);
// The slot of the next request, copied into *copy, or -1. Its fields are not yet validated.
int server_ring_take(struct server_ring *ring, struct request *copy);
// ERR_UNKNOWN_CALL, ERR_INVALID (payload outside the channel), or ERR_OK.
enum error server_ring_validate(const struct server_ring *ring, const struct protocol *protocol,
				const struct request *copy);
// Writes the record of a busy slot, with a digest if it must be provable (OP_ONCE).
void server_ring_record(struct server_ring *ring, unsigned slot, const struct completion *record, bool digest);
// Tells the client about the record; the slot is no longer busy.
void server_ring_publish(struct server_ring *ring, unsigned slot);
void server_ring_commit(struct server_ring *ring, uint64_t committed);

// There may be something to take.
static inline bool server_ring_pending(const struct server_ring *ring)
{
	return load32(&ring->view.client->submit_tail) != ring->head || ring->rescan < ring->view.geometry.slots;
}

// The client asked for a commit since the last look.
static inline bool server_ring_commit_wanted(struct server_ring *ring)
{
	uint32_t want = load32(&ring->view.client->want_commit);
	bool changed = want != ring->want_commit;
	ring->want_commit = want;
	return changed;
}

static inline bool op_is_once(const struct protocol *protocol, unsigned op)
{
	return op < protocol->op_count && protocol->ops[op].attribute == OP_ONCE;
}
