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

// An ecall of the running domain.
void call_of_domain(struct domain *d);
// A request of another kernel.
void call_of_kernel(struct core *core, unsigned from, const struct mesh_message *m);
// The domain waits for the answer to `request` from `core`.
void call_wait(struct domain *d, unsigned core, unsigned number, uint32_t request);
// The answer is there: results into registers, runnable.
void call_finish(struct domain *d, enum error error, const uint64_t value[5]);
// Notices to a supervisor's domain on this core.
void call_notice_domain(struct core *core, unsigned from, const uint64_t word[6]);
void call_notice_complaint(struct core *core, const uint64_t word[6]);
void call_notice_core(struct core *core, unsigned from);
// Makes c's answer a later one: the caller waits.
struct origin call_defer(struct invocation *c);

// operation.c: what the supervisor asks of a core or of a domain
enum error operation_create(struct invocation *c);
enum error operation_open(struct invocation *c);
enum error operation_load(struct invocation *c);
enum error operation_start(struct invocation *c);
enum error operation_stop(struct invocation *c);
enum error operation_unregister(struct invocation *c);
enum error operation_restore(struct invocation *c);
enum error operation_destroy(struct invocation *c);
enum error operation_status(struct invocation *c);
enum error operation_publish(struct invocation *c);
enum error operation_watch(struct invocation *c);
enum error operation_poke(struct invocation *c);
enum error operation_ping(struct invocation *c);
enum error operation_device_map(struct invocation *c);
enum error operation_interrupt_bind(struct invocation *c);
enum error operation_boot_image_map(struct invocation *c);
enum error operation_device_tree_map(struct invocation *c);
enum error operation_core_ping(struct invocation *c);
enum error operation_core_log(struct invocation *c);
enum error operation_memory_count(struct invocation *c);
enum error operation_power(struct invocation *c);
