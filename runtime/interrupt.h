// Real interrupt handlers in a domain, for programs that want them (the loop does without: runtime.h).
//
// The handler runs on the interrupted stack with interrupts off, on one identity for each trap, lower identities first. It
// may touch memory and ring, nothing else of the runtime's but loop_note. While it is enabled, identities no longer come to
// the loop: the handler hands on what is not its own, IDENTITY_EVENT (pings!) above all.
#pragma once
#include <stdint.h>

void interrupt_handler_install(void (*handler)(unsigned identity));
void interrupt_enable(void);
void interrupt_disable(void);
// Sleeps until an interrupt is pending (or at once: KERNEL.md rule 9). With interrupts disabled, after a look:
// disable, look, wait, enable loses no wake-up.
void interrupt_wait(void);
// In the handler: this identity is for the loop.
void loop_note(unsigned identity);
