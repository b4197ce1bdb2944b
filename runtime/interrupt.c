// Handler mode: owns the installed handler and what it handed on to the loop.
//
// Right because the only memory that handler and loop share is `noted`, changed by atomic operations. If the domain dies,
// the bits of its file are cleared before it runs again.
#include "runtime/interrupt.h"
#include "abi/event.h"
#include "runtime/csr.h"
#include "runtime/loop.h"

void interrupt_vector(void);
void (*interrupt_handler)(unsigned identity); // vector.S calls it

static void interrupt_none(unsigned identity)
{
	loop_note(identity);
}

void interrupt_handler_install(void (*handler)(unsigned identity))
{
	interrupt_handler = handler ? handler : interrupt_none;
	csr_write(CSR_STVEC, (uint64_t)interrupt_vector);
}

void interrupt_enable(void)
{
	csr_set(CSR_SSTATUS, SSTATUS_SIE);
}

void interrupt_disable(void)
{
	csr_clear(CSR_SSTATUS, SSTATUS_SIE);
}

void interrupt_wait(void)
{
	wait_for_interrupt();
}

void loop_note(unsigned identity)
{
	if (identity <= IDENTITY_MAX)
		__atomic_fetch_or(&loop_noted[identity / 64], 1ull << identity % 64, __ATOMIC_RELAXED);
}
