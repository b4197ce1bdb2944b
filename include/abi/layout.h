// A domain's guest-physical address space: who finds what where. Fixed, the same for every domain.
//
// A domain runs with vsatp = Bare, so these are the addresses that its code uses. Page 0 and all that is not named
// here is unmapped; a touch is a fault that the supervisor sees.
#pragma once
#include <stdint.h>

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096ul
#define MEGAPAGE_SIZE 0x200000ul

#define CORE_MAX 64         // kernel instances one image can hold; more harts stay parked, announced
#define DOMAIN_MAX 32       // domains of one core, the idle one not counted
#define CHANNEL_MAX 64      // channel ends (client and server together) of one domain
#define IDENTITY_MAX 255    // identities of an interrupt file that we use at most; the device tree may give fewer

#define GPA_IMAGE 0x00200000ul    // linked text, data, bss
#define GPA_IMAGE_END 0x0f000000ul
#define GPA_STARTUP 0x0fff0000ul  // struct manifest_service of this domain, read-only
#define GPA_INFO 0x10000000ul     // + core * PAGE_SIZE: that core's info page, read-only
#define GPA_TRACE 0x10100000ul // the domain's own trace ring, where the boot arguments asked for it (trace.h)
#define GPA_DOORBELL 0x11000000ul // + slot * PAGE_SIZE: peer's guest interrupt file of that channel end
#define GPA_DEVICE 0x20000000ul   // device windows, in the order of device_map, each aligned to its page
#define GPA_DEVICE_END 0x2f000000ul
#define GPA_STACK_TOP 0x30000000ul // the stack ends here; the page below its lowest is never mapped
#define GPA_CHANNEL 0x40000000ul   // + slot * CHANNEL_WINDOW: the channel's memory
#define CHANNEL_WINDOW 0x1000000ul // 16 MiB
#define GPA_HEAP 0x100000000ul     // memory_alloc, one unmapped page after each block, or each of its pieces
#define GPA_HEAP_END 0x140000000ul
#define GPA_GRANT 0x140000000ul      // + slot * GRANT_WINDOW + place * MEGAPAGE_SIZE: what a client has lent, while it is taken
#define GRANT_PLACES 4u              // grants under way at once for one channel: a power of two
#define GRANT_BYTES 0x100000ul       // of one grant at most: less than a large page, which would take a table's place
#define GRANT_WINDOW (GRANT_PLACES * MEGAPAGE_SIZE)
#define GPA_BOOT_IMAGE 0x200000000ul // the boot image, read-only; only where the supervisor maps it
#define GPA_DEVICE_TREE 0x240000000ul // the same
#define GPA_END 0x280000000ul         // nothing is ever mapped from here on

static inline uint64_t page_up(uint64_t bytes)
{
	return (bytes + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
}
