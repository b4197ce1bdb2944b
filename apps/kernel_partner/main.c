// kernel_partner: the domain that the kernel's tests make, watch and destroy. Its name is its order (partner.h).
//
// Owns nothing. It does one thing, and ends by an exit code or by the fault that was asked for. It uses no runtime but
// the kernel call itself. If it dies, that is most often the test.
#include "apps/kernel_partner/partner.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

_Noreturn void partner_main(uint64_t registers);

struct bare partner_self;
volatile uint64_t partner_interrupts;
static uint64_t registers_at_start; // all but sp, together with state_at_start

#define CSR_SEPC 0x141
#define CSR_SCAUSE 0x142
#define IMSIC_EIP 0x80
static volatile uint64_t grown = 0x5eed; // .data: a restart brings it back
static volatile uint64_t cleared;        // .bss: a restart clears it

_Noreturn void partner_exit(uint64_t code)
{
	for (;;)
		kcall(CALL_exit, code);
}

void partner_log(const char *format, ...)
{
	char line[120];
	va_list arguments;
	va_start(arguments, format);
	int n = vsnprintf(line, sizeof(line) - 1, format, arguments);
	va_end(arguments);
	line[n++] = '\n';
	for (int i = 0; i < n; i += 40) {
		uint64_t word[5] = {0};
		int part = n - i < 40 ? n - i : 40;
		memcpy(word, line + i, (size_t)part);
		kcall(CALL_log, part, word[0], word[1], word[2], word[3], word[4]);
	}
}

static uint64_t ticks_of_ms(uint64_t ms)
{
	return ms * partner_self.timebase / 1000;
}

// ---- ends and faults

static void order_exit(uint64_t argument)
{
	partner_exit(argument);
}

// What a fresh domain must find clear beside its registers: those of VS-mode, and its interrupt file.
static uint64_t state_at_start(void)
{
	uint64_t state = csr_read(CSR_STVEC) | csr_read(CSR_SSCRATCH) | csr_read(CSR_SEPC) | csr_read(CSR_SCAUSE) |
			 csr_read(CSR_STVAL) | csr_read(CSR_SIE) | csr_read(CSR_SIP);
	if (kcall(CALL_self).value[4] == 0)
		return state | kcall(CALL_doorbell_claim).value[0];
	for (unsigned i = 0; i < 4; i++) {
		csr_write(CSR_SISELECT, IMSIC_EIE + 2 * i);
		state |= csr_read(CSR_SIREG);
		csr_write(CSR_SISELECT, IMSIC_EIP + 2 * i);
		state |= csr_read(CSR_SIREG);
	}
	csr_write(CSR_SISELECT, IMSIC_EIDELIVERY);
	return state | csr_read(CSR_SIREG);
}

// Says what it found, and leaves all of it spoilt for the next incarnation.
static void order_zero(uint64_t argument)
{
	(void)argument;
	csr_write(CSR_STVEC, 0x1000);
	csr_write(CSR_SSCRATCH, ~0ul);
	csr_write(CSR_SEPC, 0x2000);
	csr_write(CSR_SCAUSE, 7);
	csr_write(CSR_STVAL, 9);
	csr_set(CSR_SIP, INTERRUPT_SOFT);
	for (unsigned i = 0; partner_self.file && i < 4; i++) {
		csr_write(CSR_SISELECT, IMSIC_EIP + 2 * i);
		csr_write(CSR_SIREG, ~0ul);
	}
	partner_exit(registers_at_start);
}

// Translation of its own, to nowhere: the next fetch is its last.
static void order_satp(uint64_t argument)
{
	(void)argument;
	csr_write(CSR_SATP, 8ul << 60);
	partner_exit(1);
}

// What only a library OS may do.
static void order_fence(uint64_t argument)
{
	(void)argument;
	__asm__ volatile("sfence.vma");
	partner_exit(0);
}

// Text in the heap: two instructions that come back with 42.
static void order_heap(uint64_t argument)
{
	(void)argument;
	static const uint32_t text[] = {0x02a00513, 0x00008067};
	struct kernel_result r = kcall(CALL_memory_alloc, 1);
	memcpy((void *)r.value[0], text, sizeof(text));
	__asm__ volatile("fence.i" ::: "memory");
	partner_exit(((uint64_t (*)(void))r.value[0])());
}

static void order_illegal(uint64_t argument)
{
	(void)argument;
	__asm__ volatile("unimp");
}

// A handler of its own gets it, and gives it back (entry.S).
static void order_returned(uint64_t argument)
{
	csr_write(CSR_STVEC, (uint64_t)partner_gives_back);
	order_illegal(argument);
}

static void order_break(uint64_t argument)
{
	(void)argument;
	__asm__ volatile("ebreak");
}

static void order_load(uint64_t argument)
{
	partner_exit(*(volatile uint64_t *)argument);
}

static void order_store(uint64_t argument)
{
	*(volatile uint64_t *)argument = 1;
	partner_exit(1);
}

static void order_fetch(uint64_t argument)
{
	((void (*)(void))argument)();
	partner_exit(1);
}

// The same where the kernel has already looked at what the first use of floating point left in the registers for handlers.
static void order_jump(uint64_t argument)
{
	static uint64_t found[33];
	partner_floats_read(0, 0, found);
	order_fetch(argument);
}

static uint64_t recurse(volatile uint64_t depth)
{
	volatile uint64_t page[64];
	page[depth % 64] = depth;
	if (depth == 0)
		return 0;
	return recurse(depth + 1) + page[depth % 64];
}

static void order_stack(uint64_t argument)
{
	partner_exit(recurse(argument | 1ul << 40));
}

// An instruction of the hypervisor, which a domain must not have.
static void order_hypervisor(uint64_t argument)
{
	(void)argument;
	csr_read(0x600); // hstatus
}

// A firmware call is a kernel call here, and no such number is one.
static void order_firmware(uint64_t argument)
{
	(void)argument;
	struct kernel_result r = kernel_call((enum call)0x48534d, 1, 0, 0, 0, 0, 0);
	partner_exit(r.error);
}

// ---- isolation

static void order_registers(uint64_t argument)
{
	static uint64_t found[32];
	uint64_t seed = argument << 16;
	partner_registers(seed, ticks_of_ms(40), found);
	for (unsigned n = 0; n < 30; n++)
		if (n != 2 && found[n] != seed + n)
			partner_exit(PARTNER_FAILED(n + 1, found[n]));
	partner_exit(0);
}

static void order_floats(uint64_t argument)
{
	static uint64_t found[33];
	csr_write(CSR_SIE, 0);
	csr_set(CSR_SSTATUS, SSTATUS_SIE); // the first use leaves it, and what a handler would return to, as they were
	partner_floats_read(0, 0, found);
	uint64_t status = csr_read(CSR_SSTATUS) & (SSTATUS_SIE | SSTATUS_SPIE | SSTATUS_SPP);
	csr_clear(CSR_SSTATUS, SSTATUS_SIE);
	if (status != SSTATUS_SIE)
		partner_exit(PARTNER_FAILED(300, status));
	for (unsigned n = 0; n < 33; n++)
		if (found[n] != 0)
			partner_exit(PARTNER_FAILED(n + 1, found[n]));
	uint64_t seed = argument << 16 | (argument & 0x7f);
	partner_floats(seed, ticks_of_ms(40), found);
	for (unsigned n = 0; n < 32; n++)
		if (found[n] != seed + n)
			partner_exit(PARTNER_FAILED(n + 100, found[n]));
	partner_exit(found[32] == (seed & 0x7f) ? 0 : PARTNER_FAILED(200, found[32]));
}

// fcsr alone is changed between two switches: an emulator may not say that the state is dirty then.
static void order_rounding(uint64_t argument)
{
	for (uint64_t i = 0; i < 200; i++) {
		uint64_t set = (argument + i) & 0x1f, found;
		__asm__ volatile(".option push\n .option arch, +d\n csrw fcsr, %0\n .option pop" : : "r"(set));
		kcall(CALL_yield);
		__asm__ volatile(".option push\n .option arch, +d\n csrr %0, fcsr\n .option pop" : "=r"(found));
		if (found != set)
			partner_exit(PARTNER_FAILED(i + 1, found));
	}
	partner_exit(0);
}

// Memory of the incarnation before must be gone: .data as linked, .bss and stack clear, heap freed.
static void order_memory(uint64_t argument)
{
	(void)argument;
	volatile uint64_t *stack = (volatile uint64_t *)(GPA_STACK_TOP - 2 * PAGE_SIZE);
	uint64_t spoilt = (grown != 0x5eed) | (cleared != 0) << 1 | (*stack != 0) << 2;
	grown = cleared = *stack = partner_self.epoch;
	struct kernel_result r = kcall(CALL_memory_alloc, 3);
	volatile uint64_t *heap = (volatile uint64_t *)r.value[0];
	if (r.error || heap != (volatile uint64_t *)GPA_HEAP)
		spoilt |= 8;
	else if (heap[0] != 0 || heap[3 * PAGE_SIZE / 8 - 1] != 0)
		spoilt |= 16;
	else
		heap[0] = heap[3 * PAGE_SIZE / 8 - 1] = ~0ul;
	partner_exit(spoilt);
}

// ---- time

static void order_spin(uint64_t argument)
{
	(void)argument;
	for (;;)
		__asm__ volatile("");
}

// Runs for `argument` ms of the clock.
static void order_run(uint64_t argument)
{
	uint64_t end = time_read() + ticks_of_ms(argument);
	while (time_read() < end)
		;
	partner_exit(0);
}

static void order_sleep(uint64_t argument)
{
	(void)argument;
	csr_write(CSR_SIE, 0);
	for (;;)
		wait_for_interrupt();
}

// Sleeps `argument` ms by stimecmp, ten times; the code is how often that took many wfi: a kernel that lets it sleep needs few. (sip does not show a timer
// interrupt that became pending elsewhere on QEMU 7.2: the clock does. And an alarm of QEMU's that is late on a busy host can ring for the next one: then all wfi of
// that sleep end at once. So some may.)
static void order_timer(uint64_t argument)
{
	unsigned restless = 0;
	csr_write(CSR_SIE, INTERRUPT_TIMER);
	for (unsigned i = 0; i < 10; i++) {
		uint64_t until = time_read() + ticks_of_ms(argument), turns = 0;
		csr_write(CSR_STIMECMP, until);
		for (; time_read() < until; turns++)
			wait_for_interrupt();
		restless += turns > 100;
	}
	partner_exit(restless > 5 ? restless : 0);
}

// Yields `argument` times.
static void order_yield(uint64_t argument)
{
	for (uint64_t i = 0; i < argument; i++)
		if (kcall(CALL_yield).error)
			partner_exit(1);
	partner_exit(0);
}

struct order {
	const char *name;
	void (*perform)(uint64_t argument);
};

static const struct order orders[] = {
	{"controls", partner_controls}, {"loud", partner_loud},     {"late", partner_late},
	{"exit", order_exit},         {"zero", order_zero},       {"illegal", order_illegal},
	{"break", order_break},       {"load", order_load},       {"store", order_store},
	{"returned", order_returned}, {"jump", order_jump},
	{"fetch", order_fetch},       {"stack", order_stack},     {"hyper", order_hypervisor},
	{"firmware", order_firmware}, {"regs", order_registers},  {"floats", order_floats}, {"rounding", order_rounding},
	{"memory", order_memory},     {"spin", order_spin},       {"run", order_run},
	{"sleep", order_sleep},       {"timer", order_timer},     {"yield", order_yield},
	{"pongs", partner_pongs},     {"busy", partner_busy},     {"mute", partner_mute},
	{"places", partner_places_slowly},
	{"denied", partner_denied},   {"quota", partner_quota},   {"own", partner_own_calls},
	{"uart", partner_uart},       {"server", partner_server}, {"client", partner_client},
	{"satp", order_satp}, {"fence", order_fence}, {"heap", order_heap},
	{"programs", partner_programs}, {"wrong", partner_wrong}, {"nowhere", partner_nowhere}, {"handler", partner_handler},
	{"door", partner_door}, {"caller", partner_caller}, {"notify", partner_notify}, {"sound", partner_sound},
	{"batch", partner_batch}, {"fuzz", partner_fuzz},
	{"borrow", partner_borrow}, {"lend", partner_lend},
	{"ring", partner_ring_rounds}, {"echo", partner_echo_rounds}, {"physical", partner_physical},
};

_Noreturn void partner_main(uint64_t registers)
{
	registers_at_start = registers | state_at_start();
	partner_self = bare_start();
	uint64_t name[2];
	memcpy(name, machine_info(partner_self.core)->domains[partner_self.domain].name, sizeof(name));
	for (unsigned i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
		if (partner_word(orders[i].name) == name[0])
			orders[i].perform(name[1]);
	partner_exit(~0ul);
}
