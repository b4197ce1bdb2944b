// Fault injection points: named places in servers and runtime where a fault can be armed at run time (protocol.h,
// RUNTIME_OP_INJECT: from the shell, from the tests). Unarmed, a point is a counter that runs down and one predictable
// branch. The passages of some are events of the trace; while it is on
// they all go out of line for it, so that it costs nothing when it is off.
//
// Armed state is in the domain's own memory, so restoring it disarms: a fault fires once for each arming.
#pragma once
#include "abi/error.h"
#include "abi/trace.h"
#include "proto/protocol.h"
#include <stdbool.h>
#include <stdint.h>

struct inject_point {
	const char *name; // "blk.submit"
	int64_t left;     // passages until inject_fire is called, which winds it up; 1 at first, so that the point registers
	int64_t start;    // what `left` was set to
	uint64_t counted; // passages before that
	uint64_t at;      // passage at which it fires; 0: unarmed
	uint32_t action;  // enum inject_action
	uint32_t parameter; // INJECT_ERROR: which
	bool traced; // its passages are
	bool calm;   // and nothing else is to be done at the next ones: `left` runs on below 0, and no counter is wound up
	struct inject_point *next;
	int registered;
};

enum error inject_fire(struct inject_point *point); // out of line: registers, fires, sets the counter anew
// The same for a place whose passages are traced.
enum error inject_fire_as(struct inject_point *point, enum trace_kind kind, unsigned subject, uint64_t word, uint64_t a, uint64_t b);
enum error inject_arm(const char *name, enum inject_action action, uint64_t passage, uint32_t parameter);
// True: a fault that had not fired was armed there.
bool inject_disarm(const char *name);

// Evaluates to ERR_OK, or to the injected error. Crashes and hangs do not return.
#define inject(point_name)                                                                                             \
	({                                                                                                             \
		static struct inject_point point_ = {.name = point_name, .left = 1, .start = 1};                       \
		__builtin_expect(--point_.left <= 0, 0) ? inject_fire(&point_) : ERR_OK;                               \
	})

// The same, traced by its name, which zeros follow: it is copied by words (trace_point).
#define inject_shown(point_name)                                                                                       \
	({                                                                                                             \
		static const char name_[] __attribute__((aligned(8))) = point_name "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"; \
		static struct inject_point point_ = {.name = name_, .left = 1, .start = 1, .traced = true};            \
		__builtin_expect(--point_.left <= 0, 0) ? inject_fire_as(&point_, TRACE_POINT, 0, 0, 0, 0) : ERR_OK;   \
	})
// As an event of that kind, each time: inject_as("x.y", TRACE_TAKE, subject, word, a, b). For the way of requests, so that the event is written
// in line, and its values are read only then; whoever uses it includes runtime/trace.h.
#define inject_as(point_name, kind, subject, word, a, b)                                                               \
	({                                                                                                             \
		static struct inject_point point_ = inject_point_traced(point_name);                                   \
		inject_at(point_, kind, subject, word, a, b);                                                          \
	})
#define inject_at(point, kind, subject, word, a, b)                                                                    \
	({                                                                                                             \
		enum error error_ = ERR_OK;                                                                            \
		if (__builtin_expect(--(point).left <= 0, 0)) {                                                        \
			if ((point).calm)                                                                              \
				trace_here(kind, subject, word, a, b);                                                 \
			else                                                                                           \
				error_ = inject_fire_as(&(point), kind, subject, word, a, b);                          \
		}                                                                                                      \
		error_;                                                                                                \
	})
// A point whose passages are counted where a call would cost too much: `--point.left <= 0` there, and then inject_fire(&point).
#define inject_point(point_name) {.name = point_name, .left = 1, .start = 1}
#define inject_point_traced(point_name) {.name = point_name, .left = 1, .start = 1, .traced = true} // for inject_at
