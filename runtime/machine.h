// Where a domain finds what its kernel mapped (include/abi/layout.h). On the host, unit tests link their own.
#pragma once
#include "abi/info.h"
#include "abi/manifest.h"
#include "abi/trace.h"
#include <stdint.h>

uint8_t *machine_channel(unsigned slot);            // the channel's memory
volatile uint32_t *machine_doorbell(unsigned slot); // where a store rings the peer
const struct info_page *machine_info(unsigned core);
struct trace_ring *machine_trace(void); // there only when the info page says so
