// Channel: the memory that a client domain and a server domain share, and the rules for it. This header is the
// shipped protocol: the spin model and the unit tests include it.
//
// Layout, from the start of the channel's memory (all of it frames of the client's partition, so it survives the
// server and the server's core):
//
//   page 0     written by the client: struct channel_client_page
//   page 1     written by the server: struct channel_server_page
//   requests   client writes: struct request[slots]    (rounded up to pages)  the log that the server cannot touch
//   records    server writes: struct completion[slots] (rounded up to pages)
//   out        client writes: payload of requests
//   in         server writes: payload of answers
//
// Each side maps what the other writes read-only. Geometry comes from channel_info (the kernels), never from the pages.
//
// Slots are handed out by index, not first-in-first-out, by the client. A submission is: write request, fence w,w,
// its seq, the slot's index in submit_ring, fence w,w, submit_tail + 1, and ring if wanted. A completion is: write record,
// fence w,w, its seq, its index in complete_ring, fence w,w, complete_tail + 1, and ring if wanted. An index counts
// without wrapping; its place in a ring is index % CHANNEL_SLOTS_MAX, whatever the number of slots.
// A record lives in the slot of its request. seq == 0 in a request: the slot is free.
//
// The digests of a record are for operations that must be provable (OP_ONCE): `digest` covers the record, and
// `request_digest`, for what is logged (serial != 0), the request and its payload as they were when it was performed. Both
// are keyed with a secret that the kernel gives to the server's end alone, so that a client cannot make its own log say
// something else: what does not match at replay is not performed. They are fast mixes, cut to half of their words, and no
// cryptography. Idempotent operations have neither: their record is believed by its seq alone, for performing them again
// would do no harm.
//
// Logged operations (serial != 0 in the record) keep slot, out data and record in place until committed >= serial.
// Others are free when consumed. The client frees by fence rw,w and seq = 0. committed is published as: recorded, check
// word, fence w,w, committed; read as: committed, fence r,r, check word and recorded; a pair that does not match is read
// again later, and a committed above recorded is refused (a server cannot have committed what it never recorded).
//
// Adoption. A new incarnation of the server maps the same memory and believes records, not tails:
//   1. read submit_tail T; submit_head := T; complete_tail := complete_head (of the client's page); fence w,w; epoch := own;
//   2. scan all slots with seq != 0: record.seq == seq and its digest right: performed (replay if serial > mark);
//      else: perform again, in order of seq; a slot whose seq changes under the scan is the client's newest and comes
//      by the ring;
//   3. drop duplicates: an index arriving by the ring whose seq was already performed or is being performed is ignored.
//      More than CHANNEL_SLOTS_MAX indices between head and tail (duplicates can pile up before they are looked at):
//      all slots are scanned again.
// The client, when it sees epoch change: fence r,r; t := complete_tail; fence r,r; complete_head := t; then looks at the
// record of each of its outstanding slots once, and goes on with the ring from t. It reads the tail before the epoch, so it
// never takes a new incarnation's tail for the old one's; the one tail that it can see early is the reset one, which
// may lie behind its head: that is no offence until it has lasted. A slot that it found by its record can come by the
// ring once more: ignored. The server never uses complete_head but in step 1, and cannot be blocked by it: a slot has
// at most two unconsumed completions (one that was found by its record, and the next), and a channel at most half as
// many slots as a ring has places, so complete_ring has room (tests/model/adoption.pml).
//
// A client that is restarted goes on with next_seq, and publishes each slot with seq != 0 and no record once more (it may
// have died between seq and tail); then it waits until all have their records: the channel is drained.
//
// Fences (KERNEL.md rule 10): tail store; fence w,ro; flag load; doorbell store. Before sleep: flag store, fence w,r,
// look again. A server that takes a slot reads seq, fence r,r, then the rest: an old index can meet a slot that is just
// being filled. docs/fences.md argues for each pair. Peers' indices are masked or range-checked at each use.
//
// Cancelling. The client writes the request's seq to `cancelled` in its slot, fence w,w, cancels + 1, and rings if wanted. The request
// stays in flight until it is answered. A server looks at the word once, before it begins the request, and then answers
// ERR_CANCELLED; what it has begun it is told of, and may go on with. What is recorded stands: a replay does not look at it.
//
// A channel without slots and without payload is a notification (channel_layout with three zeros): both ends have an identity and
// the peer's doorbell page, and there is no memory at all (runtime/notification.h).
//
// If the server dies: this memory stays; the client sees nothing but time. If the client dies: its kernel keeps
// the memory until the server releases the channel (RECOVERY rule 4).
#pragma once
#include "layout.h"
#include <stdint.h>

#define CHANNEL_SLOTS_MAX 512u // places in a ring; slots of a channel: a power of two, at least 2, at most half of this
#define CHANNEL_SESSION_SIZE 2048u
#define CHANNEL_PRIORITIES 4u  // 0 is looked at first
// Deaths in one request until it is refused. Kills from outside hit long requests too, so this is more than the
// two of RECOVERY rule 14, and less than what the usual restart rule allows.
#define CHANNEL_POISON_DEATHS 8u

struct request {
	uint32_t seq;   // per channel, increasing, never 0; 0 = slot is free
	uint16_t op;    // of the protocol's table
	uint16_t flags; // REQUEST_*
	uint64_t time;  // rdtime of the client; the server clamps it
	uint64_t arg[3];
	uint32_t out_offset; // in bytes from the start of out; 0 with out_length 0
	uint32_t out_length;
	uint32_t in_offset;  // where the client wants the answer's payload, bytes from the start of in
	uint32_t in_length;  // room there
	uint32_t grant;      // of CALL_grant_lend, 0: none; for idempotent operations alone: no digest covers what was lent
	uint32_t cancelled;  // seq: its client does without it. Written after the request; no digest covers it
};
_Static_assert(sizeof(struct request) == 64, "a request is 64 bytes");

#define REQUEST_REPLAYED 1u // set only in the server's copy: performed before by a former incarnation
#define REQUEST_PATIENT 2u  // waits for an event by its nature (input, a job's end): its age is no reason to complain

struct completion {
	uint32_t seq;    // of the request; written last, after a fence
	uint32_t status; // enum error
	uint64_t serial; // 0: not logged
	uint64_t result[5];
	uint32_t digest;         // channel_record_digest; 0: an idempotent operation
	uint32_t request_digest; // of the request and its payload (server_ring_request_digest); 0: not logged
};
_Static_assert(sizeof(struct completion) == 64, "a completion is 64 bytes");

struct channel_client_page {
	uint32_t submit_tail;
	uint32_t complete_head;
	uint32_t want_doorbell; // client sleeps: ring me at a completion
	uint32_t want_commit;   // ring is filling: commit soon; a counter, so each change is seen
	uint32_t next_seq;      // so that a restarted client goes on with fresh numbers
	uint32_t cancels;       // requests that were cancelled; a counter, so each change is seen
	uint32_t padding[10];
	uint16_t submit_ring[CHANNEL_SLOTS_MAX] __attribute__((aligned(1024)));
	uint8_t session[CHANNEL_SESSION_SIZE] __attribute__((aligned(2048)));
};
_Static_assert(sizeof(struct channel_client_page) == PAGE_SIZE, "page 0 is one page");

struct channel_server_page {
	uint32_t submit_head;
	uint32_t complete_tail;
	uint32_t want_doorbell; // server sleeps: ring me at a submission
	uint32_t epoch;         // of the incarnation that serves
	uint64_t committed;     // highest serial that is durable
	uint64_t committed_check; // channel_committed_check
	uint64_t recorded;        // highest serial that was given, on any channel, when `committed` was stored
	uint32_t working;       // slot + 1 that is being performed now, 0: none (RECOVERY rule 14)
	uint32_t suspect_seq;   // request in which the last incarnation died
	uint32_t suspect_deaths; // how many incarnations in a row; CHANNEL_POISON_DEATHS: it is answered ERR_LOST
	uint32_t padding[3];
	uint16_t complete_ring[CHANNEL_SLOTS_MAX] __attribute__((aligned(1024)));
} __attribute__((aligned(PAGE_SIZE)));
_Static_assert(sizeof(struct channel_server_page) == PAGE_SIZE, "page 1 is one page");

struct channel_geometry {
	uint32_t slots;
	uint64_t requests; // byte offsets in the channel's memory
	uint64_t records;
	uint64_t out;
	uint64_t in;
	uint64_t out_bytes;
	uint64_t in_bytes;
	uint64_t bytes; // in all
};

// Computes the layout; 0 bytes of a channel that is a notification. Returns 0 when the numbers are out of range, else 1. Used by kernels and by both sides.
static inline int channel_layout(struct channel_geometry *g, uint64_t slots, uint64_t out_bytes, uint64_t in_bytes)
{
	*g = (struct channel_geometry){0};
	if (slots == 0 && out_bytes == 0 && in_bytes == 0)
		return 1;
	if (slots < 2 || slots > CHANNEL_SLOTS_MAX / 2 || (slots & (slots - 1)) != 0)
		return 0;
	if (out_bytes > CHANNEL_WINDOW || in_bytes > CHANNEL_WINDOW)
		return 0;
	g->slots = (uint32_t)slots;
	g->requests = 2 * PAGE_SIZE;
	g->records = g->requests + page_up(slots * sizeof(struct request));
	g->out = g->records + page_up(slots * sizeof(struct completion));
	g->out_bytes = page_up(out_bytes);
	g->in = g->out + g->out_bytes;
	g->in_bytes = page_up(in_bytes);
	g->bytes = g->in + g->in_bytes;
	return g->bytes <= CHANNEL_WINDOW;
}

static inline uint64_t channel_mix(uint64_t h, uint64_t w)
{
	h = (h ^ w) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 29;
}

// Half of the mix: the reader of a digest sees too little of it to run it backwards from one record.
static inline uint32_t channel_digest_end(uint64_t h, uint64_t secret)
{
	return (uint32_t)(channel_mix(channel_mix(h, ~secret), h) >> 32);
}

// One word more of a digest; channel_digest_end mixes them all.
static inline uint64_t channel_digest_word(uint64_t h, uint64_t w)
{
	return (h ^ w) * 0x9e3779b97f4a7c15ull;
}

static inline uint32_t channel_record_digest(const struct completion *c, uint64_t secret)
{
	uint64_t h = channel_digest_word(secret, (uint64_t)c->seq << 32 | c->status);
	h = channel_digest_word(h, c->serial);
#pragma GCC unroll 5
	for (int i = 0; i < 5; i++)
		h = channel_digest_word(h, c->result[i]);
	return channel_digest_end(channel_digest_word(h, c->request_digest), secret);
}

typedef uint64_t __attribute__((may_alias)) channel_word_t;

// Of the fields of a request but `grant` and `cancelled`, and the flag that only a server's copy has, in pairs as they lie in memory. The
// payload's digest is mixed in by runtime/server_ring.c.
static inline uint64_t channel_request_mix(const struct request *r, uint64_t secret)
{
	const channel_word_t *w = (const channel_word_t *)(const void *)r;
	uint64_t h = channel_digest_word(secret, w[0] & ~((uint64_t)REQUEST_REPLAYED << 48));
#pragma GCC unroll 6
	for (int i = 1; i < 7; i++)
		h = channel_digest_word(h, w[i]);
	return h;
}

// `key`: the channel's, which both sides know. Stores that went astray do not make the three fit.
static inline uint64_t channel_committed_check(uint64_t committed, uint64_t recorded, uint64_t key)
{
	return channel_mix(channel_mix(channel_mix(0x636f6d6d69747465ull, committed), recorded), key);
}
