// Partners of the class library OS: programs that keep their registers, programs that do wrong, and what is the kernel's to see.
#include "apps/kernel_partner/partner.h"
#include "runtime/user.h"

#define PROGRAM_TEXT (USER_HIGH + 0x12345000)
#define PROGRAM_DATA (USER_LOW + 0x4000)
#define ROUND_MS 3u
#define FOR_EVER (1ul << 63)

extern const char partner_program_keep[], partner_program_csr[], partner_program_sleep[], partner_program_return[],
	partner_program_fence[], partner_program_hyper[], partner_program_illegal[], partner_program_load[],
	partner_program_store[], partner_program_jump[], partner_program_atomic[];

static void demand(bool truth, unsigned step, uint64_t found)
{
	if (!truth)
		partner_exit(PARTNER_FAILED(step, found));
}

// ---- two programs in spaces of their own

static struct program {
	struct user user;
	struct user_space space;
	uint64_t seed, faults;
	void *data;
	struct program *inside; // runs a round in the call-back of this one's call, which goes on then
	uint64_t own, ticks;
} programs[2];

static void program_round(struct program *p);

static bool program_called(struct user *u)
{
	struct program *p = (struct program *)u, *other = p->inside;
	p->inside = 0;
	if (other)
		program_round(other);
	return other != 0;
}

// Its data page, at the first touch. What is mapped goes on, also when the call-back does not know of it.
static bool program_faulted(struct user *u, uint64_t address, unsigned access)
{
	struct program *p = (struct program *)u;
	if (address != PROGRAM_DATA || access != PROT_WRITE || p->data)
		return false;
	p->faults++;
	p->data = user_page_take();
	return user_map(u->space, PROGRAM_DATA, p->data, PROT_READ | PROT_WRITE) == ERR_OK && p->faults % 2;
}

static const struct user_events program_events = {program_called, program_faulted};

static uint64_t text_at(const char *label)
{
	return PROGRAM_TEXT + ((uint64_t)label - ((uint64_t)partner_program_keep & ~(PAGE_SIZE - 1)));
}

// Text is mapped where it lies in our image.
static void program_make(struct program *p, const char *label)
{
	uint64_t text = (uint64_t)partner_program_keep & ~(PAGE_SIZE - 1);
	demand(user_space_make(&p->space) == ERR_OK, 1, 0);
	for (uint64_t at = 0; at < 2 * PAGE_SIZE; at += PAGE_SIZE)
		demand(user_map(&p->space, PROGRAM_TEXT + at, (void *)(text + at), PROT_READ | PROT_EXEC) == ERR_OK, 2, at);
	user_make(&p->user, &p->space, &program_events, text_at(label), 0);
}

static void controls_set(uint64_t seed)
{
	csr_write(CSR_SCOUNTEREN, 2 | (seed & 5));
	csr_write(CSR_SENVCFG, seed & 1);
}

static void controls_are(uint64_t seed, const struct program *p)
{
	demand(csr_read(CSR_SCOUNTEREN) == (2 | (seed & 5)), 10, csr_read(CSR_SCOUNTEREN));
	demand(csr_read(CSR_SENVCFG) == (seed & 1), 11, csr_read(CSR_SENVCFG));
	demand(csr_read(CSR_SATP) == p->space.satp, 12, csr_read(CSR_SATP) >> 44);
	demand(csr_read(CSR_SSCRATCH) == 0, 13, 0);
	demand((csr_read(CSR_SSTATUS) & SSTATUS_SIE) == 0, 14, 0);
}

static void program_round(struct program *p)
{
	uint64_t faults = p->faults, seed = ++p->seed;
	enum user_stop stop;
	p->user.x[0] = text_at(partner_program_keep);
	p->user.x[10] = seed;
	p->user.x[11] = p->ticks;
	p->user.x[12] = PROGRAM_DATA;
	while ((stop = user_run(&p->user)) == USER_INTERRUPTED)
		bare_claim(&partner_self);
	controls_are(p->own, p);
	demand(stop == USER_CALLED, 20, p->user.cause << 16 | (p->user.x[0] & 0xffff));
	for (unsigned n = 2; n < 30; n++)
		demand(p->user.x[n] == seed + n, 30 + n, p->user.x[n]);
	demand(p->faults == faults + 1 && *(uint64_t *)p->data == seed, 21, p->faults);
	demand(user_unmap(&p->space, PROGRAM_DATA) == p->data, 22, 0);
	user_page_give(p->data);
	p->data = 0;
}

void partner_programs(uint64_t argument)
{
	uint64_t ticks = ROUND_MS * partner_self.timebase / 1000;
	demand(csr_read(CSR_SATP) == 0, 9, 0); // whoever was here before
	controls_set(argument);
	user_start();
	for (unsigned i = 0; i < 2; i++) {
		program_make(&programs[i], partner_program_keep);
		programs[i].seed = argument << 20 | (uint64_t)i << 10;
		programs[i].own = argument;
		programs[i].ticks = ticks;
	}
	for (unsigned n = 0; n < 16 || (argument & FOR_EVER); n++)
		for (unsigned i = 0; i < 2; i++) {
			programs[i].inside = n % 4 == 3 ? &programs[1 - i] : 0;
			program_round(&programs[i]);
		}
	for (unsigned i = 0; i < 2; i++) {
		user_end(&programs[i].user);
		for (uint64_t at = 0; at < 2 * PAGE_SIZE; at += PAGE_SIZE)
			user_unmap(&programs[i].space, PROGRAM_TEXT + at); // it is no page to be given back
		user_space_end(&programs[i].space);
	}
	partner_exit(0);
}

// ---- what a program must not do comes to the handler, whichever way

#define MISALIGNED_LOAD 4ul
#define MISALIGNED_STORE 6ul
#define IS_INSTRUCTION 1ul // value of its trap: the instruction itself

static const struct wrong {
	const char *label;
	uint64_t address, cause, value;
} wrongs[] = {
	{partner_program_csr, 0, USER_CAUSE_ILLEGAL, IS_INSTRUCTION},
	{partner_program_sleep, 0, USER_CAUSE_ILLEGAL, IS_INSTRUCTION},
	{partner_program_return, 0, USER_CAUSE_ILLEGAL, IS_INSTRUCTION},
	{partner_program_fence, 0, USER_CAUSE_ILLEGAL, IS_INSTRUCTION},
	{partner_program_hyper, 0, USER_CAUSE_ILLEGAL, IS_INSTRUCTION},
	{partner_program_illegal, 0, USER_CAUSE_ILLEGAL, IS_INSTRUCTION},
	{partner_program_load, 0, USER_CAUSE_LOAD, 0},
	{partner_program_load, GPA_IMAGE, USER_CAUSE_LOAD, GPA_IMAGE},
	{partner_program_load, GPA_HEAP, USER_CAUSE_LOAD, GPA_HEAP},
	{partner_program_load, ~7ul, USER_CAUSE_LOAD, ~7ul},
	{partner_program_store, PROGRAM_TEXT, USER_CAUSE_STORE, PROGRAM_TEXT},
	{partner_program_jump, PROGRAM_DATA, USER_CAUSE_FETCH, PROGRAM_DATA},
	{partner_program_jump, 0, USER_CAUSE_FETCH, 0},
	{partner_program_atomic, PROGRAM_DATA + 2, MISALIGNED_STORE, PROGRAM_DATA + 2},
};

static void wrong_is_told(struct program *p, unsigned number)
{
	const struct wrong *w = &wrongs[number];
	enum user_stop stop;
	uint64_t pc = text_at(w->label);
	p->user.x[0] = pc;
	p->user.x[11] = w->address;
	while ((stop = user_run(&p->user)) == USER_INTERRUPTED)
		bare_claim(&partner_self);
	bool as_said = p->user.cause == w->cause || (w->cause == MISALIGNED_STORE && p->user.cause == MISALIGNED_LOAD); // one core of QEMU's
	demand(stop == USER_FAULTED && as_said, 40 + number, (unsigned)stop << 16 | p->user.cause);
	demand(p->user.x[0] == (w->cause == USER_CAUSE_FETCH ? w->address : pc), 60 + number, p->user.x[0]);
	uint64_t value = w->value == IS_INSTRUCTION ? *(const uint32_t *)w->label : w->value;
	demand(p->user.value == value, 80 + number, p->user.value);
}

void partner_wrong(uint64_t argument)
{
	struct program *p = &programs[argument];
	user_start();
	program_make(p, partner_program_keep);
	p->data = user_page_take();
	demand(user_map(&p->space, PROGRAM_DATA, p->data, PROT_READ | PROT_WRITE) == ERR_OK, 3, 0);
	for (unsigned n = 0; n < 2 * sizeof(wrongs) / sizeof(wrongs[0]); n++)
		wrong_is_told(p, n % (sizeof(wrongs) / sizeof(wrongs[0])));
	partner_exit(0);
}

// ---- what a library OS itself does wrong comes to the kernel

// A program on memory that is not the domain's.
void partner_nowhere(uint64_t argument)
{
	struct program *p = &programs[0];
	user_start();
	program_make(p, partner_program_load);
	demand(user_map(&p->space, PROGRAM_DATA, (void *)argument, PROT_READ) == ERR_OK, 3, 0);
	p->user.x[11] = PROGRAM_DATA;
	user_run(&p->user);
	partner_exit(1);
}

// A fault of its own in a call-back, with the program's space loaded: at that address of ours or of the program's; an odd one: illegal.
static uint64_t own_fault_at;

static bool handler_faults(struct user *u, uint64_t address, unsigned access)
{
	(void)u, (void)address, (void)access;
	if (own_fault_at & 1)
		__asm__ volatile("unimp");
	return *(volatile uint64_t *)own_fault_at != 0;
}

void partner_handler(uint64_t argument)
{
	static const struct user_events events = {program_called, handler_faults};
	struct program *p = &programs[0];
	user_start();
	program_make(p, partner_program_load);
	own_fault_at = argument;
	p->user.events = &events;
	user_run(&p->user);
	partner_exit(1);
}
