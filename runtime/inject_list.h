// Injection points as the runtime's own operations see them (server_runtime.c).
#pragma once
#include "proto/protocol.h"

#define INJECT_EXIT_CODE 75

extern uint32_t inject_wrong_reply; // the next completion carries a wrong seq

// Points from number `first` on; returns how many were written.
unsigned inject_list(unsigned first, struct inject_point_info *info, unsigned room);
