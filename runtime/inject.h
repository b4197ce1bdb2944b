// Fault injection points: named places in servers and runtime where a fault can be armed at run time (protocol.h,
// RUNTIME_OP_INJECT: from the shell, from the tests). Unarmed, a point is a counter and one predictable branch.
//
// Armed state is in the domain's own memory, so restoring it disarms: a fault fires once for each arming.
#pragma once
#include "abi/error.h"
#include "proto/protocol.h"
#include <stdint.h>

struct inject_point {
	const char *name; // "blk.submit"
	uint64_t passages;
	uint64_t at;        // passage at which it fires; 0: unarmed
	uint32_t action;    // enum inject_action
	uint32_t parameter; // INJECT_ERROR: which
	struct inject_point *next;
	int registered;
};

enum error inject_fire(struct inject_point *point); // out of line: registers, counts, fires
enum error inject_arm(const char *name, enum inject_action action, uint64_t passage, uint32_t parameter);

// Evaluates to ERR_OK, or to the injected error. Crashes and hangs do not return.
#define inject(point_name)                                                                                             \
	({                                                                                                             \
		static struct inject_point point_ = {.name = point_name};                                              \
		point_.passages++;                                                                                     \
		__builtin_expect(!point_.registered || point_.passages == point_.at || inject_any, 0)                  \
			? inject_fire(&point_)                                                                         \
			: ERR_OK;                                                                                      \
	})
extern uint32_t inject_any; // armed for "any point"
