// Kernel calls: dispatch by number, locally or to the core that owns the object, and back. If the owner dies, a deadline answers.
#pragma once
#include "abi/call.h"
#include "kernel/domain.h"

struct invocation {
	struct core *core;
	struct domain *caller; // of this core; 0 when the request came from another kernel
	struct domain *target; // of calls on a domain
	struct origin origin;  // whom to answer when it is deferred
	uint64_t arg[6];
	uint64_t value[5];
	bool deferred; // somebody will mesh_answer(origin)
};

extern const uint64_t call_nothing[6]; // results, or words of a message, that say nothing

// An ecall of the running domain.
void call_of_domain(struct domain *d);
// A request of another kernel.
void call_of_kernel(struct core *core, unsigned from, const struct mesh_message *m);
// The domain waits for the answer to `request` from `core`.
void call_wait(struct domain *d, unsigned core, unsigned number, uint32_t request);
// It waits for that core's kernel; who calls an endpoint is DOMAIN_CALLING too, and may have asked that kernel before.
static inline bool call_waits_for(const struct domain *d, unsigned core)
{
	return d->state == DOMAIN_CALLING && !d->callee && d->call_core == core;
}
// The answer is there: results into registers, runnable.
void call_finish(struct domain *d, enum error error, const uint64_t value[5]);
// Notices to a supervisor's domain on this core. call_notice_core: look at that core.
void call_notice_domain(struct core *core, unsigned from, const uint64_t word[6]);
void call_notice_complaint(struct core *core, const uint64_t word[6]);
void call_notice_core(struct core *core, unsigned subject);
// Makes c's answer a later one: the caller waits.
struct origin call_defer(struct invocation *c);

// The handlers: call_NAME for each of CALL_TABLE, in call.c (a domain about itself), channel.c, and operation.c (what the
// supervisor asks of a core or of a domain).
#define X(name, right, text) enum error call_##name(struct invocation *c);
CALL_TABLE(X)
#undef X

// Is that a segment's place, of a manageable size, and not both writable and executable (INV-7)?
bool operation_segment_is_legal(const struct core *core, const struct segment *s);
