// Partners that do what a good domain would not.
#include "apps/kernel_partner/partner.h"

#define ENVCFG_FIOM 1ul

// Changes the control registers that VS-mode has not copies of, and finds them as it left them whoever runs in between.
void partner_controls(uint64_t argument)
{
	uint64_t soft = argument & 1 ? INTERRUPT_SOFT : 0;
	uint64_t counters = csr_read(CSR_SCOUNTEREN), environment = csr_read(CSR_SENVCFG);
	if (environment != 0)
		partner_exit(PARTNER_FAILED(1, environment));
	if (counters != 7) // all of them, as the kernel sets it
		partner_exit(PARTNER_FAILED(2, counters));
	for (unsigned i = 0; i < 200; i++) {
		csr_write(CSR_SCOUNTEREN, argument);
		csr_write(CSR_SENVCFG, argument & ENVCFG_FIOM);
		csr_write(CSR_SIP, soft);
		kcall(CALL_yield);
		if (csr_read(CSR_SCOUNTEREN) != argument)
			partner_exit(PARTNER_FAILED(3, csr_read(CSR_SCOUNTEREN)));
		if (csr_read(CSR_SENVCFG) != (argument & ENVCFG_FIOM))
			partner_exit(PARTNER_FAILED(4, csr_read(CSR_SENVCFG)));
		if ((csr_read(CSR_SIP) & INTERRUPT_SOFT) != soft)
			partner_exit(PARTNER_FAILED(5, csr_read(CSR_SIP)));
	}
	partner_exit(0);
}

void partner_loud(uint64_t argument)
{
	(void)argument;
	for (;;)
		kcall(CALL_ready);
}

// Both stores, the short and the long one. 2: none was skipped over but by itself.
static uint64_t ring_twice(volatile uint32_t *bell, uint32_t identity)
{
	register volatile uint32_t *page __asm__("a4") = bell;
	register uint64_t number __asm__("a5") = identity;
	register uint64_t mark __asm__("a3") = 0;
	__asm__ volatile(".option push\n .option norvc\n sw %1, 0(%2)\n .option pop\n"
			 "addi %0, %0, 1\n c.sw %1, 0(%2)\n addi %0, %0, 1"
			 : "+r"(mark)
			 : "r"(number), "r"(page)
			 : "memory");
	return mark;
}

// Rings until the service has been lost for a while.
void partner_late(uint64_t argument)
{
	struct partner_argument how;
	__builtin_memcpy(&how, &argument, sizeof(how));
	unsigned slot = partner_open(how.service);
	struct kernel_result info = kcall(CALL_channel_info, slot);
	bool page = info.value[0] & CHANNEL_HAS_DOORBELL_PAGE;
	kcall(CALL_ready);
	for (unsigned after = 0; after < 20;) {
		uint64_t mark = page ? ring_twice(machine_doorbell(slot), CHANNEL_PEER_IDENTITY(info.value[1])) : 2;
		if (mark != 2)
			partner_exit(PARTNER_FAILED(2, mark));
		if (!page && kcall(CALL_doorbell, slot).error)
			partner_exit(PARTNER_FAILED(3, 0));
		if (CHANNEL_INFO_STATE(kcall(CALL_channel_info, slot).value[0]) == CHANNEL_LOST)
			after++;
	}
	partner_exit(0);
}
