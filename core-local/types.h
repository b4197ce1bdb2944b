// Scalars with a unit that the kernels use. Owns no state.
#pragma once
#include <stdint.h>

typedef uint64_t paddr_t;  // physical address in bytes
typedef uint32_t epoch_t;  // number of an incarnation of a domain, never 0 once it was started
typedef uint16_t core_id_t; // dense number of a kernel instance
