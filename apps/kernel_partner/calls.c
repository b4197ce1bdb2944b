// Partners that try what a plain domain may and may not do.
#include "apps/kernel_partner/partner.h"

#define UART_INTERRUPT_ENABLE 1
#define UART_WHEN_EMPTY 2u

// Every call of the supervisor must be denied. The code is the first that was not, 0 when all were.
void partner_denied(uint64_t argument)
{
	(void)argument;
	for (unsigned call = CALL_domain_create; call < CALL_COUNT; call++)
		if (kernel_call((enum call)call, 1, 1, 1, 1, 1, 1).error != ERR_DENIED)
			partner_exit(call);
	partner_exit(0);
}

// Takes single pages until the quota says no, gives all back, and takes as many again. The code is how many.
void partner_quota(uint64_t argument)
{
	static uint64_t block[64];
	uint64_t counted[2] = {0, 0};
	for (unsigned turn = 0; turn < 2; turn++) {
		unsigned n = 0;
		struct kernel_result r = {ERR_OK, {0}};
		for (; n < 64; n++) {
			r = kcall(CALL_memory_alloc, argument);
			if (r.error)
				break;
			block[n] = r.value[0];
			*(volatile uint64_t *)block[n] = n;
		}
		if (r.error != ERR_QUOTA)
			partner_exit(PARTNER_FAILED(1, r.error));
		counted[turn] = n;
		for (unsigned i = 0; i < n; i++)
			if (*(volatile uint64_t *)block[i] != i || kcall(CALL_memory_free, block[i]).error)
				partner_exit(PARTNER_FAILED(2, i));
		if (n && kcall(CALL_memory_free, block[0]).error != ERR_INVALID)
			partner_exit(PARTNER_FAILED(3, 0));
	}
	partner_exit(counted[0] == counted[1] ? counted[0] : PARTNER_FAILED(4, counted[1]));
}

struct trial {
	enum call call;
	uint64_t a, b, c, d;
	enum error expected;
};

// Calls of every domain with arguments that are wrong. The code is the number of the first trial that was surprising.
void partner_own_calls(uint64_t argument)
{
	(void)argument;
	const uint64_t slots = 16ul << 32, ghost = partner_word("ghost");
	const struct trial trials[] = {
		{CALL_log, 41, 0, 0, 0, ERR_INVALID},
		{CALL_log, 0, 0, 0, 0, ERR_OK},
		{CALL_pong, 1, 0, 0, 0, ERR_STATE},
		{CALL_doorbell, 0, 0, 0, 0, ERR_HANDLE},
		{CALL_doorbell, CHANNEL_MAX, 0, 0, 0, ERR_HANDLE},
		{CALL_doorbell, ~0ul, 0, 0, 0, ERR_HANDLE},
		{CALL_memory_alloc, 0, 0, 0, 0, ERR_INVALID},
		{CALL_memory_alloc, ~0ul, 0, 0, 0, ERR_INVALID},
		{CALL_memory_alloc, 1ul << 52, 0, 0, 0, ERR_INVALID},
		{CALL_memory_alloc, 1000, 0, 0, 0, ERR_QUOTA},
		{CALL_memory_alloc, 0, 1, 0, 0, ERR_INVALID},
		{CALL_memory_alloc, 8, 3, 0, 0, ERR_INVALID},
		{CALL_memory_alloc, 8, 16, 0, 0, ERR_INVALID},
		{CALL_memory_alloc, 8, ~0ul, 0, 0, ERR_INVALID},
		{CALL_memory_alloc, 8, 8 | 1ul << 32, 0, 0, ERR_INVALID},
		{CALL_memory_alloc, 65, 1, 0, 0, ERR_INVALID}, // of so many pieces
		{CALL_memory_alloc, 1ul << 52, 1ul << 51, 0, 0, ERR_INVALID},
		{CALL_memory_alloc, 1000, 50, 0, 0, ERR_QUOTA},
		{CALL_memory_alloc, 130, 65, 0, 0, ERR_INVALID}, // so large
		{CALL_memory_free, 0, 0, 0, 0, ERR_INVALID},
		{CALL_memory_free, GPA_IMAGE, 0, 0, 0, ERR_INVALID},
		{CALL_memory_free, GPA_HEAP, 0, 0, 0, ERR_INVALID},
		{CALL_channel_open, ghost, 0, slots, 0, ERR_NOT_FOUND},
		{CALL_channel_open, ghost, 0, 0, 0, ERR_NOT_FOUND}, // a notification
		{CALL_channel_open, ghost, 0, 0, 1, ERR_INVALID},
		{CALL_channel_open, ghost, 0, 3ul << 32, 0, ERR_INVALID},
		{CALL_channel_open, ghost, 0, 512ul << 32, 0, ERR_INVALID},
		{CALL_channel_open, ghost, 0, slots, CHANNEL_WINDOW, ERR_INVALID},
		{CALL_channel_open, ghost, 0, slots, ~0ul, ERR_INVALID},
		{CALL_channel_accept, 0, 0, 0, 0, ERR_HANDLE},
		{CALL_channel_accept, CHANNEL_MAX, 0, 0, 0, ERR_HANDLE},
		{CALL_channel_refuse, 5, 0, 0, 0, ERR_HANDLE},
		{CALL_channel_close, 5, 0, 0, 0, ERR_HANDLE},
		{CALL_channel_info, 5, 0, 0, 0, ERR_NOT_FOUND},
		{CALL_channel_info, CHANNEL_MAX, 0, 0, 0, ERR_HANDLE},
		{CALL_channel_name, 5, 0, 0, 0, ERR_HANDLE},
		{CALL_channel_complain, 5, COMPLAINT_NO_ANSWER, 0, 0, ERR_HANDLE},
		{CALL_device_info, 0, 0, 0, 0, ERR_NOT_FOUND},
		{CALL_device_info, ~0ul, 0, 0, 0, ERR_NOT_FOUND},
		{CALL_memory_physical, GPA_IMAGE, 0, 0, 0, ERR_DENIED},
		{CALL_COUNT, 0, 0, 0, 0, ERR_UNKNOWN_CALL},
		{(enum call)0x7fffffff, 0, 0, 0, 0, ERR_UNKNOWN_CALL},
		{CALL_yield, 0, 0, 0, 0, ERR_OK},
		{CALL_event_next, 0, 0, 0, 0, ERR_OK},
		{CALL_doorbell_claim, 0, 0, 0, 0, ERR_OK},
	};
	for (unsigned i = 0; i < sizeof(trials) / sizeof(trials[0]); i++) {
		const struct trial *t = &trials[i];
		struct kernel_result r = kcall(t->call, t->a, t->b, t->c, t->d);
		if (r.error != t->expected)
			partner_exit(PARTNER_FAILED(i + 1, r.error));
	}
	partner_exit(0);
}

// The pieces of a block lie together in memory, and behind each there is a page that leads nowhere.
static bool pieces_have_gaps(uint64_t gpa, uint64_t pieces, uint64_t pages)
{
	uint64_t first = kcall(CALL_memory_physical, gpa).value[0];
	bool right = true;
	for (uint64_t i = 0; i < pieces * (pages + 1); i++) {
		struct kernel_result r = kcall(CALL_memory_physical, gpa + i * PAGE_SIZE);
		if (i % (pages + 1) == pages)
			right &= r.error == ERR_INVALID;
		else
			right &= r.error == ERR_OK && r.value[0] == first + (i - i / (pages + 1)) * PAGE_SIZE;
	}
	return right;
}

// With the DMA right: physical addresses of what is mapped, and of nothing else.
void partner_physical(uint64_t argument)
{
	struct kernel_result image = kcall(CALL_memory_physical, GPA_IMAGE + 24), next;
	if (image.error || image.value[0] % PAGE_SIZE != 24 || image.value[0] < argument)
		partner_exit(PARTNER_FAILED(1, image.error));
	next = kcall(CALL_memory_physical, 0);
	if (next.error != ERR_INVALID || kcall(CALL_memory_physical, ~0ul).error != ERR_INVALID)
		partner_exit(PARTNER_FAILED(2, next.error));
	struct kernel_result heap = kcall(CALL_memory_alloc, 2);
	next = kcall(CALL_memory_physical, heap.value[0] + PAGE_SIZE);
	if (next.error || next.value[0] != kcall(CALL_memory_physical, heap.value[0]).value[0] + PAGE_SIZE)
		partner_exit(PARTNER_FAILED(3, next.error)); // one block lies together
	struct kernel_result pieces = kcall(CALL_memory_alloc, 12, 3), behind = kcall(CALL_memory_alloc, 1);
	if (pieces.error || !pieces_have_gaps(pieces.value[0], 4, 3) || behind.value[0] < pieces.value[0] + 16 * PAGE_SIZE)
		partner_exit(PARTNER_FAILED(4, pieces.error));
	if (kcall(CALL_memory_free, pieces.value[0] + 4 * PAGE_SIZE).error != ERR_INVALID || kcall(CALL_memory_free, pieces.value[0]).error ||
	    kcall(CALL_memory_physical, pieces.value[0]).error != ERR_INVALID)
		partner_exit(PARTNER_FAILED(5, 0));
	partner_exit(0);
}

// Drives the first device window as a 16550: its transmitter is empty, so enabling that interrupt raises it.
void partner_uart(uint64_t argument)
{
	(void)argument;
	struct kernel_result device = kcall(CALL_device_info, 0);
	volatile uint8_t *uart = (volatile uint8_t *)device.value[0];
	unsigned identity = (unsigned)device.value[2];
	if (device.error || identity < IDENTITY_DEVICE || identity >= IDENTITY_CALLS)
		partner_exit(PARTNER_FAILED(1, identity));
	bare_claim(&partner_self);
	uint64_t end = time_read() + 10 * partner_self.timebase;
	uart[UART_INTERRUPT_ENABLE] = 0;
	uart[UART_INTERRUPT_ENABLE] = UART_WHEN_EMPTY;
	for (;;) {
		bool found = partner_self.file ? interrupt_claim() == identity
					       : kcall(CALL_doorbell_claim).value[0] >> identity & 1;
		if (found)
			break;
		if (time_read() > end)
			partner_exit(PARTNER_FAILED(2, identity));
		bare_sleep(&partner_self, 100000);
	}
	uart[UART_INTERRUPT_ENABLE] = 0;
	partner_exit(0);
}
