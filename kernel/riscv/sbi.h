// SBI: the few calls that the kernel makes (RISC-V SBI specification 1.0: Base, HSM, SRST, legacy console; 2.0: DBCN).
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sbi_result {
	int64_t error; // 0, or negative as the specification says
	uint64_t value;
};

enum sbi_hart_state { SBI_HART_STARTED, SBI_HART_STOPPED, SBI_HART_START_PENDING, SBI_HART_STOP_PENDING };

bool sbi_has(uint64_t extension);
struct sbi_result sbi_hart_start(uint64_t hart, uint64_t entry, uint64_t argument);
struct sbi_result sbi_hart_status(uint64_t hart);
_Noreturn void sbi_hart_stop(void);
extern char hart_stop_code[], hart_stop_code_end[]; // the same as instructions that may be copied to anywhere (trap.S)
_Noreturn void sbi_power_off(bool reboot, bool failure);
// Text to the firmware's console; DBCN where it is there, else one character at a time. Physical == virtual here.
void sbi_console_write(const char *text, size_t bytes);
