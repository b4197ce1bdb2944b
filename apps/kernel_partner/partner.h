// Parts of kernel_partner: what main.c dispatches to.
#pragma once
#include "apps/kernel_test/bare.h"
#include "apps/kernel_test/partner.h"

extern struct bare partner_self;
extern volatile uint64_t partner_interrupts; // counted by partner_vector

// Registers of the hart without a copy for VS-mode.
#define CSR_SCOUNTEREN 0x106
#define CSR_SENVCFG 0x10a

_Noreturn void partner_exit(uint64_t code);
void partner_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

// entry.S
void partner_vector(void);
void partner_gives_back(void);
_Noreturn void partner_places(uint64_t ticks);
void partner_call_registers(uint64_t seed, uint64_t number, uint64_t first, uint64_t found[32]);
void partner_registers(uint64_t seed, uint64_t ticks, uint64_t found[32]);
void partner_floats(uint64_t seed, uint64_t ticks, uint64_t found[33]);
void partner_floats_read(uint64_t seed, uint64_t ticks, uint64_t found[33]);

// channel.c
void partner_server(uint64_t argument);
void partner_client(uint64_t argument);
// Opens a channel to the service of that letter; exits with its error when it is refused.
unsigned partner_open(char service);
// endpoints.c
void partner_door(uint64_t argument);
void partner_caller(uint64_t argument);
// grants.c
void partner_borrow(uint64_t argument);
void partner_lend(uint64_t argument);
// notify.c
void partner_notify(uint64_t argument);
void partner_sound(uint64_t argument);
// rings.c
void partner_ring_rounds(uint64_t argument);
void partner_echo_rounds(uint64_t argument);
// hostile.c
void partner_controls(uint64_t argument);
void partner_loud(uint64_t argument);
void partner_late(uint64_t argument);
// batches.c
void partner_batch(uint64_t argument);
void partner_fuzz(uint64_t argument);
// programs.c: of the class library OS
void partner_programs(uint64_t argument);
void partner_wrong(uint64_t argument);
void partner_nowhere(uint64_t argument);
void partner_handler(uint64_t argument);
// live.c: those that are watched
void partner_events_answer(void); // pongs to pings; other events are dropped
void partner_pongs(uint64_t argument);
void partner_busy(uint64_t argument);
void partner_mute(uint64_t argument);
void partner_places_slowly(uint64_t argument);
// calls.c
void partner_denied(uint64_t argument);
void partner_quota(uint64_t argument);
void partner_own_calls(uint64_t argument);
void partner_uart(uint64_t argument);
void partner_physical(uint64_t argument);
