// Adoption of the records of a kernel's former life, in two steps: first their memory is claimed, before any frame is free;
// then, when every peer has said what it holds, tables are built anew. Domains are then STOPPED with FAULT_CORE, under the
// handles, epochs and channels that they had; the supervisor restarts them like any other.
#pragma once
#include "kernel/domain.h"

void adopt_claim(struct core *core);
void adopt_finish(struct core *core);
