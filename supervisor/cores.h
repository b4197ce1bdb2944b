// Cores: whose kernel lives, and what follows when one dies or is back.
#pragma once
#include <stdbool.h>
#include <stdint.h>

// ms between two pings of every other core. 500: what panics says so at once; a ping is for a kernel that fell silent, and
// costs that core a trap.
#define CORES_PING_MS 500u
// Pings in a row without an answer until our kernel is told that a core is silent, which asks it for a second more. 3, each with PING_DEADLINE_MS: a busy host may
// hold up a healthy hart for a second or two, and in between the supervisor answers its own ping and its clients, whose patience with it can be a second.
#define CORES_MISSED 3u

// ms after which a restarted supervisor starts services though a core is neither back nor fenced off. 20 s: the kernels have
// decided long before; a rebirth takes some 20 ms, and one that hangs is fenced off after 8 s.
#define CORES_RETURN_MS 20000u

// The cores as they are now; starts to ping them. A restarted supervisor adopts what runs on those that are online.
void cores_begin(void);
// EVENT_CORE: it came online, is lost, or was fenced off.
void cores_event(unsigned core);
// A call to it ended with CORE_LOST: its services are down, and the kernels start it again, whether it is dead or silent.
void cores_doubt(unsigned core);
// What is known of it beyond its info page, which a kernel that is silent cannot change: enum core_state, and how often its
// kernel was started again.
unsigned cores_state(unsigned core);
bool cores_usable(unsigned core); // its kernel answers
// False while a restarted supervisor does not know yet what runs on some core.
bool cores_settled(void);
void cores_await(void); // until then, on a fiber
uint32_t cores_reboots(unsigned core);
uint64_t cores_turns(void); // how often they were pinged
