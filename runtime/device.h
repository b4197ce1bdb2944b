// Device registers as a domain touches them: one access, of exactly that width, little-endian. Addresses are
// guest-physical, inside windows of CALL_device_info.
//
// On the host, unit tests link their own device instead of device.c.
#pragma once
#include <stdint.h>

uint8_t device_read8(uint64_t address);
uint16_t device_read16(uint64_t address);
uint32_t device_read32(uint64_t address);
void device_write8(uint64_t address, uint8_t value);
void device_write16(uint64_t address, uint16_t value);
void device_write32(uint64_t address, uint32_t value);

// Before the store that makes a device look at memory (fence w,o); partner: the device's reads after the doorbell.
void device_fence_doorbell(void);
// Before memory is read that a device wrote, when its interrupt was claimed or its index was read (fence ir,r);
// partner: the order in which the device writes data, index and interrupt.
void device_fence_claimed(void);
// Between slots of a ring and its index (fence w,w); partner: the device's read of the index.
void device_fence_publish(void);
// Between a store that a device reads and a load of what it writes (fence rw,rw), both in memory: the flag handshakes.
void device_fence_full(void);
