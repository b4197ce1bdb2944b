// The machine below a driver, on the host: registers by hooks, kernel calls by a hook, time that goes on by itself, and
// the log's last line.
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "runtime/kernel_call.h"

extern uint64_t (*fake_read)(uint64_t address, unsigned bytes);
extern void (*fake_write)(uint64_t address, unsigned bytes, uint64_t value);
extern struct kernel_result (*fake_call)(enum call number, const uint64_t a[6]);

extern char fake_log[256]; // last line
extern unsigned fake_log_lines;
extern uint64_t fake_time; // ticks of 1 us
extern bool fake_restarted;

extern jmp_buf fake_exit; // domain_exit and domain_panic come back here, code in fake_exit_code
extern int fake_exit_code;
#define FAKE_PANIC (-1)
// True when f ends in domain_exit or domain_panic.
bool fake_exits(void (*f)(void));

extern const char *fake_inject_name; // this point returns fake_inject_error once
extern enum error fake_inject_error;

uint32_t fake_random(void); // repeatable
void fake_reset(void);
