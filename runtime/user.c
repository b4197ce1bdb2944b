// Programs in VU-mode (user.h).
//
// Owns which program's space and floating-point registers are loaded, the handler (stvec, sscratch) and the pages that are nobody's. The
// library OS is compiled without floating point, so that what the registers hold is a program's until another one needs them. Right
// because every way into a program goes by user_load: a call-back may have waited while another program ran.
#include "runtime/user.h"
#include "runtime/csr.h"
#include "runtime/kernel_call.h"
#include <stddef.h>
#include <string.h>

#define SATP_SV39 (8ull << 60)
#define BLOCK_PAGES 64u // taken from the kernel at once: a domain can have so many blocks only

void user_enter(struct user *u);
void user_trap(void);
bool user_trapped(struct user *u, uint64_t cause);
void user_floats_save(struct user *u);
void user_floats_load(struct user *u);
extern char _start[];
_Static_assert(offsetof(struct user, own_sp) == 256 && offsetof(struct user, f) == 264, "user_trap.S: offsets");

static struct user *loaded;       // whose space satp is, 0: nobody's
static struct user *floats_owner; // whose the floating-point registers are, 0: nobody's
static void *pages_free;          // each begins with the next one

// ---- pages

static bool pages_refill(void)
{
	struct kernel_result r = kcall(CALL_memory_alloc, BLOCK_PAGES);
	for (unsigned i = 0; r.error == ERR_OK && i < BLOCK_PAGES; i++) {
		void **page = (void **)(r.value[0] + i * PAGE_SIZE);
		*page = pages_free;
		pages_free = page;
	}
	return r.error == ERR_OK;
}

void *user_page_take(void)
{
	if (!pages_free && !pages_refill())
		return 0;
	void **page = pages_free;
	pages_free = *page;
	*page = 0;
	return page;
}

void user_page_give(void *page)
{
	memset(page, 0, PAGE_SIZE);
	*(void **)page = pages_free;
	pages_free = page;
}

// ---- spaces

static void fence_all(void)
{
	__asm__ volatile("sfence.vma" ::: "memory");
}

static void fence_page(uint64_t address)
{
	__asm__ volatile("sfence.vma %0, zero" ::"r"(address) : "memory");
}

enum error user_space_make(struct user_space *space)
{
	static const struct user_pages pages = {user_page_take, user_page_give};
	enum error error = user_table_make(&space->table, (uint64_t)_start, &pages);
	space->satp = SATP_SV39 | (uint64_t)space->table.root >> PAGE_SHIFT;
	return error;
}

// Nothing of a table that has ended is walked.
static void unload(void)
{
	csr_write(CSR_SATP, 0);
	fence_all();
	loaded = 0;
}

void user_space_end(struct user_space *space)
{
	if (loaded && loaded->space == space)
		unload();
	user_table_end(&space->table);
}

// No fence: that nothing was there may be cached, but who believes it faults once more (was_mapped).
enum error user_map(struct user_space *space, uint64_t address, void *page, unsigned prot)
{
	return user_table_map(&space->table, address, page, prot);
}

void *user_unmap(struct user_space *space, uint64_t address)
{
	void *page = user_table_unmap(&space->table, address);
	fence_page(address);
	return page;
}

bool user_copy_in(const struct user_space *space, void *to, uint64_t from, uint64_t bytes)
{
	for (uint64_t part; bytes > 0; bytes -= part, from += part, to = (uint8_t *)to + part) {
		uint64_t left = PAGE_SIZE - from % PAGE_SIZE;
		const void *at = user_table_find(&space->table, from, PROT_READ);
		part = bytes < left ? bytes : left;
		if (!at)
			return false;
		memcpy(to, at, part);
	}
	return true;
}

void user_text_written(void)
{
	__asm__ volatile("fence.i" ::: "memory");
}

// ---- floating point

static void floats_set(uint64_t state)
{
	csr_clear(CSR_SSTATUS, SSTATUS_FS);
	csr_set(CSR_SSTATUS, state);
}

// The registers are the program's, or off for it. A dirty set is saved before it is switched off or another's are loaded.
static void floats_give(struct user *u)
{
	if (floats_owner && (csr_read(CSR_SSTATUS) & SSTATUS_FS) == SSTATUS_FS)
		user_floats_save(floats_owner);
	floats_set(u->fp ? SSTATUS_FS_CLEAN : 0);
	if (!u->fp || floats_owner == u)
		return;
	user_floats_load(u);
	floats_set(SSTATUS_FS_CLEAN);
	floats_owner = u;
}

// What the instruction is need not be known: one that is illegal for another reason traps once more.
static bool floats_first_use(struct user *u, uint64_t cause)
{
	if (cause != USER_CAUSE_ILLEGAL || u->fp)
		return false;
	u->fp = true;
	floats_give(u);
	return true;
}

// ---- programs

void user_start(void)
{
	csr_write(CSR_SSCRATCH, 0);
	csr_write(CSR_STVEC, (uint64_t)user_trap);
	csr_set(CSR_SIP, INTERRUPT_SOFT); // never listened to: QEMU 7.2 loses rings to who takes them by a handler (docs/kernel.md, "Handlers")
}

void user_make(struct user *u, struct user_space *space, const struct user_events *events, uint64_t pc, uint64_t sp)
{
	memset(u, 0, sizeof(*u));
	u->x[0] = pc;
	u->x[2] = sp;
	u->space = space;
	u->events = events;
}

void user_end(struct user *u)
{
	if (floats_owner == u) {
		floats_set(0);
		floats_owner = 0;
	}
	if (loaded == u)
		unload();
}

static void user_load(struct user *u)
{
	if (loaded == u)
		return;
	if (!loaded || loaded->space != u->space) {
		csr_write(CSR_SATP, u->space->satp);
		fence_all();
	}
	loaded = u;
	floats_give(u);
}

static unsigned access_of(uint64_t cause)
{
	return cause == USER_CAUSE_FETCH ? PROT_EXEC : cause == USER_CAUSE_LOAD ? PROT_READ : cause == USER_CAUSE_STORE ? PROT_WRITE : 0;
}

// A fault where nothing is wrong any more: the processor had not seen the last change of the table.
static bool was_mapped(struct user *u, unsigned access)
{
	if (!user_table_find(&u->space->table, u->value, access))
		return false;
	fence_page(u->value);
	return true;
}

// From user_trap.S, on the stack of who runs it. False: user_run comes back.
bool user_trapped(struct user *u, uint64_t cause)
{
	bool on;
	u->cause = cause;
	if (cause == USER_CAUSE_CALL) {
		u->x[0] += 4;
		on = u->events->call(u);
	} else {
		unsigned access = access_of(cause);
		u->value = csr_read(CSR_STVAL);
		on = access ? u->events->fault(u, u->value, access) || was_mapped(u, access) : floats_first_use(u, cause);
	}
	if (on)
		user_load(u); // another may have run meanwhile
	return on;
}

enum user_stop user_run(struct user *u)
{
	user_load(u);
	user_enter(u);
	if (u->cause >> 63)
		return USER_INTERRUPTED;
	return u->cause == USER_CAUSE_CALL ? USER_CALLED : USER_FAULTED;
}
