// Device registers: see device.h. Owns no state, may be called from anywhere in a domain; a wrong address faults the
// domain, which the supervisor sees.
#include "runtime/device.h"

uint8_t device_read8(uint64_t address)
{
	return *(const volatile uint8_t *)address;
}

uint16_t device_read16(uint64_t address)
{
	return *(const volatile uint16_t *)address;
}

uint32_t device_read32(uint64_t address)
{
	return *(const volatile uint32_t *)address;
}

void device_write8(uint64_t address, uint8_t value)
{
	*(volatile uint8_t *)address = value;
}

void device_write16(uint64_t address, uint16_t value)
{
	*(volatile uint16_t *)address = value;
}

void device_write32(uint64_t address, uint32_t value)
{
	*(volatile uint32_t *)address = value;
}

void device_fence_doorbell(void)
{
	__asm__ volatile("fence w, o" ::: "memory");
}

void device_fence_claimed(void)
{
	__asm__ volatile("fence ir, r" ::: "memory");
}

void device_fence_publish(void)
{
	__asm__ volatile("fence w, w" ::: "memory");
}

void device_fence_full(void)
{
	__asm__ volatile("fence rw, rw" ::: "memory");
}
