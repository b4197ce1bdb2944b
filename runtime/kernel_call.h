// Kernel calls as a domain makes them (abi/call.h has numbers and meaning).
#pragma once
#include "abi/call.h"
#include "abi/error.h"

struct kernel_result {
	enum error error;
	uint64_t value[5];
};

// One ecall. On the host, unit tests link their own.
struct kernel_result kernel_call(enum call number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
				 uint64_t a5);

// The same in fewer instructions, where three arguments and the first result are enough, and the call leaves the others alone.
struct kernel_short {
	uint64_t error; // enum error
	uint64_t value;
};
struct kernel_short kernel_call_short(enum call number, uint64_t a0, uint64_t a1, uint64_t a2);

#define KERNEL_CALL_6(n, a, b, c, d, e, f, ...)                                                                        \
	kernel_call(n, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e), (uint64_t)(f))
// kcall(CALL_x, up to 6 arguments)
#define kcall(...) KERNEL_CALL_6(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)
