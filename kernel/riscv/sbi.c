// SBI calls (sbi.h). Firmware keeps all registers but a0 and a1. Owns nothing.
#include "kernel/riscv/sbi.h"

#define SBI_BASE 0x10ul
#define SBI_HSM 0x48534dul
#define SBI_SRST 0x53525354ul
#define SBI_DBCN 0x4442434eul
#define SBI_LEGACY_PUTCHAR 1ul

static struct sbi_result sbi_call(uint64_t extension, uint64_t function, uint64_t x, uint64_t y, uint64_t z)
{
	register uint64_t a0 __asm__("a0") = x;
	register uint64_t a1 __asm__("a1") = y;
	register uint64_t a2 __asm__("a2") = z;
	register uint64_t a6 __asm__("a6") = function;
	register uint64_t a7 __asm__("a7") = extension;
	__asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a6), "r"(a7) : "memory");
	return (struct sbi_result){(int64_t)a0, a1};
}

bool sbi_has(uint64_t extension)
{
	struct sbi_result r = sbi_call(SBI_BASE, 3, extension, 0, 0);
	return r.error == 0 && r.value != 0;
}

struct sbi_result sbi_hart_start(uint64_t hart, uint64_t entry, uint64_t argument)
{
	return sbi_call(SBI_HSM, 0, hart, entry, argument);
}

struct sbi_result sbi_hart_status(uint64_t hart)
{
	return sbi_call(SBI_HSM, 2, hart, 0, 0);
}

_Noreturn void sbi_hart_stop(void)
{
	sbi_call(SBI_HSM, 1, 0, 0, 0);
	for (;;)
		__asm__ volatile("wfi");
}

_Noreturn void sbi_power_off(bool reboot, bool failure)
{
	sbi_call(SBI_SRST, 0, reboot ? 1 : 0, failure ? 1 : 0, 0);
	for (;;)
		__asm__ volatile("wfi");
}

void sbi_console_write(const char *text, size_t bytes)
{
	if (sbi_has(SBI_DBCN)) {
		while (bytes > 0) {
			struct sbi_result r = sbi_call(SBI_DBCN, 0, bytes, (uint64_t)text, 0);
			if (r.error != 0 || r.value == 0 || r.value > bytes)
				return;
			text += r.value;
			bytes -= r.value;
		}
		return;
	}
	for (; bytes > 0; bytes--, text++)
		sbi_call(SBI_LEGACY_PUTCHAR, 0, (uint8_t)*text, 0, 0);
}
