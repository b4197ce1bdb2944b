// Interrupts of the S-level file of this hart, and devices' lines and messages on their way to a domain.
//
// A domain with a guest file gets its device's interrupts straight from the APLIC or the device. One without is told
// through an identity of this hart's S-level file, and its sticky word. Bindings stand in domains' records (domain.h: death).
#pragma once
#include "kernel/domain.h"

void interrupt_init(struct core *core);
void interrupt_take_external(struct core *core);
// Binds source (an APLIC line; 0: a message) to the domain's window `index`; fills in identity and MSI of the window.
enum error interrupt_bind(struct domain *d, unsigned index, uint32_t source);
// Silences the line and gives the identities back.
void interrupt_release(struct domain *d, struct window *w);
// Sets up the APLIC's domain: once, by core 0.
void interrupt_aplic_start(struct core *core);
