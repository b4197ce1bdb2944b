// Kernel calls: dispatch by number, locally or to the core that owns the object, and back. If the owner dies, a deadline answers.
#pragma once
#include "abi/call.h"
#include "kernel/domain.h"

struct invocation {
	struct core *core;
	struct domain *caller; // of this core; 0 when the request came from another kernel
	struct domain *target; // of calls on a domain
	struct call_flight *flight; // it was in the caller's ring, so the caller does not wait; 0: it does
	struct origin origin;  // whom to answer when it is deferred
	const uint64_t *arg;   // 6 words, the caller's registers or a copy
	uint64_t value[5];
	bool deferred; // somebody will mesh_answer(origin)
};

extern const uint64_t call_nothing[6]; // results, or words of a message, that say nothing

static inline void call_values(uint64_t to[5], const uint64_t from[5]) // short enough to be worth no call
{
	to[0] = from[0], to[1] = from[1], to[2] = from[2], to[3] = from[3], to[4] = from[4];
}
// The results of a call that succeeds, those that are not named 0: ERR_OK.
#define call_results(c, ...) (call_values((c)->value, (const uint64_t[5]){__VA_ARGS__}), ERR_OK)

// One call of `d`, from its registers, or with a `flight` from its ring: all is checked, and then it is performed or under way (c->deferred).
enum error call_dispatch(struct invocation *c, struct domain *d, struct call_flight *flight, uint64_t number, const uint64_t arg[6]);
// What follows from an answer for the caller's handles; `first` is the call's first argument. Returns what the caller sees.
enum error call_settle(struct domain *d, unsigned core, unsigned number, uint64_t first, enum error error, uint64_t value[5]);
// An ecall of the running domain.
void call_of_domain(struct domain *d);
// A request of another kernel.
void call_of_kernel(struct core *core, unsigned from, const struct mesh_message *m);
// The domain waits for the answer to `request` from `core`, until `end`; or it does not, and has the call under way as that `flight`.
void call_wait(struct domain *d, struct call_flight *flight, unsigned core, unsigned number, uint32_t request, uint64_t end);
// It waits for that core's kernel; who calls an endpoint is DOMAIN_CALLING too, and may have asked that kernel before.
static inline bool call_waits_for(const struct domain *d, unsigned core)
{
	return d->state == DOMAIN_CALLING && !d->callee && d->call_core == core;
}
// The answer is there: results into registers, runnable.
void call_finish(struct domain *d, enum error error, const uint64_t value[5]);
// Notices to a supervisor's domain on this core. call_notice_core: look at that core.
struct domain *call_supervisor(const struct core *core); // of this core; 0: it has none
void call_notice_domain(struct core *core, unsigned from, const uint64_t word[6]);
void call_notice_complaint(struct core *core, const uint64_t word[6]);
void call_notice_core(struct core *core, unsigned subject);
// Calls from rings (call_ring.c). `flight` is under way at that core, under that number.
void call_ring_await(struct domain *d, struct call_flight *flight, unsigned core, uint32_t request, uint64_t end);
bool call_ring_answered(struct domain *d, unsigned from, uint32_t request, enum error error, const uint64_t value[5]); // it was its own
void call_ring_give_up(struct domain *d, unsigned peer, uint64_t now); // nobody answers what is under way there, or should have ended by now
void call_ring_look(struct core *core); // goes on with the rings in which something has ended, or begins
void call_ring_end(struct domain *d);
void call_ring_go_on(struct domain *d); // its record says that it has one: when it has tables again
// Makes c's answer a later one: the caller waits.
struct origin call_defer(struct invocation *c);

// The handlers: call_NAME for each of CALL_TABLE, in call.c (a domain about itself), channel.c, grant.c, and operation.c (what the
// supervisor asks of a core or of a domain).
#define X(name, right, text) enum error call_##name(struct invocation *c);
CALL_TABLE(X)
#undef X

// Is that a segment's place, of a manageable size, and not both writable and executable (INV-7)?
bool operation_segment_is_legal(const struct core *core, const struct segment *s);
