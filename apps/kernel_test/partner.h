// What kernel_test asks of kernel_partner: the name of a partner's domain is its order.
//
// Owns nothing. name[0] is the order (a word of up to 8 letters), name[1] its argument: a domain finds its own name on
// the info page of its core. Answers come back as exit codes and fault records, which the kernels keep.
#pragma once
#include <stdint.h>

// Up to 8 letters as the number that they are in memory.
static inline uint64_t partner_word(const char *text)
{
	uint64_t word = 0;
	for (unsigned i = 0; i < 8 && text[i]; i++)
		word |= (uint64_t)(uint8_t)text[i] << (8 * i);
	return word;
}

// Service names of the tests: "kt-a" .. ; the second word is 0.
static inline uint64_t partner_service(char letter)
{
	char name[8] = {'k', 't', '-', letter};
	return partner_word(name);
}

// Argument of "server" and "client".
struct partner_argument {
	char service;
	uint8_t padding;
	uint16_t flags;    // PARTNER_*
	uint16_t rounds;   // client: exchanges before it ends; 0: 1
	uint16_t trespass; // bit 0: store to that offset of the channel's memory once it is open
};
_Static_assert(sizeof(struct partner_argument) == 8, "an argument is one word of the name");

#define PARTNER_REFUSES 1u // server: refuses every client
#define PARTNER_IGNORES 2u // server: never answers a request to register
#define PARTNER_DEAF 4u    // server: the first incarnation accepts but answers no request
#define PARTNER_HOLDS 8u   // server: never releases what a client closed
#define PARTNER_STAYS 16u  // client: does not close; waits for ever after its rounds
#define PARTNER_EPOCH 32u  // client: the answer to the last round must come from a later incarnation
#define PARTNER_CLOSES 64u // client: closes its end, then exits
#define PARTNER_MANY 128u  // client: opens, exchanges and closes again, `rounds` times

#define PARTNER_TRUSTS 256u // client: only a ring wakes it, no timer
#define PARTNER_COMPLAINS 512u // client: complains without end

#define PARTNER_SLOTS 16u
#define PARTNER_OUT_BYTES 8192u
#define PARTNER_IN_BYTES 8192u

// Exit codes: 0 is well; the high half names the step, the low half carries what was found.
#define PARTNER_FAILED(step, found) ((uint64_t)(step) << 32 | (uint32_t)(found))

// "ring" and "echo": argument of the doorbell proof.
struct partner_rings {
	char service;
	uint8_t mode; // enum partner_wait
	uint16_t hundreds; // of round trips
	uint32_t seconds;   // after which no more are begun; 0: all of them
};
_Static_assert(sizeof(struct partner_rings) == 8, "an argument is one word of the name");

enum partner_wait { PARTNER_WAIT_SPIN, PARTNER_WAIT_SLEEP };

// Of "door", the server of an endpoint: the first word of a call.
enum partner_door {
	PARTNER_DOOR_ECHO,
	PARTNER_DOOR_DIE,
	PARTNER_DOOR_SPIN,
	PARTNER_DOOR_FLOAT,
	PARTNER_DOOR_WHO,
	PARTNER_DOOR_CIRCLE,
	PARTNER_DOOR_KEEP,
	PARTNER_DOOR_RELEASE,
	PARTNER_DOOR_GIVE,
	PARTNER_DOOR_FORGET,
	PARTNER_DOOR_CONTROLS
};

// Of "borrow", the server of grants: what a client writes into out, and finds in in. A client counts its orders in submit_tail.
enum partner_borrow {
	PARTNER_BORROW_TAKE,  // grant -> error, gpa, bytes, prot
	PARTNER_BORROW_END,   // grant -> error
	PARTNER_BORROW_LAST,  // -> error of ending what was taken last, on whatever channel
	PARTNER_BORROW_RECALL, // grant -> error
	PARTNER_BORROW_READ,  // gpa -> word
	PARTNER_BORROW_WRITE, // gpa, word
	PARTNER_BORROW_DIE
};
struct partner_order {
	uint64_t what, subject, word;
};
struct partner_answer {
	uint64_t error, value[3];
};

// Argument of "caller".
enum partner_calls {
	PARTNER_CALLS_ECHO,
	PARTNER_CALLS_DEATH,
	PARTNER_CALLS_LIMIT,
	PARTNER_CALLS_HANDLES,
	PARTNER_CALLS_BADGES,
	PARTNER_CALLS_FLOATS,
	PARTNER_CALLS_KEPT,
	PARTNER_CALLS_RELEASE,
	PARTNER_CALLS_LOST,
	PARTNER_CALLS_MANY,
	PARTNER_CALLS_LONG,
	PARTNER_CALLS_OWN_CONTROLS,
	PARTNER_CALLS_THEIR_CONTROLS
};
