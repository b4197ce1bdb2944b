// Start of a core: fills its partition (satp = 0, on the pristine image), then comes up in its own copy of the image.
//
// Nothing may be assumed of the hart: HSM clears only satp, sie and sstatus.SIE (KERNEL rule 18), so that every CSR of
// HS- and VS-mode and every interrupt file is set here. If it dies here its info page says STARTING; the core that
// waits for it has a deadline.
#include "abi/boot_image.h"
#include "abi/fence.h"
#include "boot/boot.h"
#include "core-local/info.h"
#include "kernel/adopt.h"
#include "kernel/call.h"
#include "kernel/interrupt.h"
#include "kernel/kernel.h"
#include "kernel/mesh.h"
#include "kernel/reboot.h"
#include "kernel/riscv/imsic.h"
#include "kernel/schedule.h"
#include "kernel/trace.h"
#include <string.h>

#define START_WAIT_MS 3000 // for the other cores; then it goes on with those that are there

void kernel_panic_prepare(struct core *core);

static struct core *core_slot(paddr_t partition, unsigned slot)
{
	return (struct core *)(partition + slot * PARTITION_CORE_SLOT);
}

static bool core_was_born(const struct core *core, const struct plan *plan, paddr_t partition)
{
	return core->born && core->plan == plan && core->partition == partition;
}

// The newer struct that a former life has left behind, 0: none.
static struct core *core_former(const struct plan *plan, paddr_t partition)
{
	struct core *a = core_slot(partition, 0), *b = core_slot(partition, 1);
	if (!core_was_born(b, plan, partition))
		return core_was_born(a, plan, partition) ? a : 0;
	return core_was_born(a, plan, partition) && a->incarnation > b->incarnation ? a : b;
}

// One more than anybody has seen.
static uint32_t incarnation_next(const struct plan *plan, unsigned id)
{
	uint32_t last = partition_info(plan->cores[id].partition)->incarnation;
	for (unsigned i = 0; i < plan->core_count; i++) {
		uint32_t seen = partition_seen(plan->cores[i].partition)[id];
		last = i != id && seen > last ? seen : last;
	}
	return last + 1;
}

static unsigned core_number(const struct plan *plan, paddr_t partition)
{
	for (unsigned i = 0; i < plan->core_count; i++)
		if (plan->cores[i].partition == partition)
			return i;
	return 0;
}

// The kernel's own tables lie behind its frame table: the same number in every life, so that none of them was anybody's.
static paddr_t table_frame(void *context)
{
	struct core *core = context;
	core->memory += PAGE_SIZE;
	return core->memory - PAGE_SIZE;
}

static void memory_start(struct core *core)
{
	const struct plan_core *p = &core->plan->cores[core->id];
	uint64_t table = page_up(PARTITION_IMAGE(core->core_count) + core->plan->image_bytes);
	uint64_t count = p->partition_bytes / PAGE_SIZE;
	core->image_copy = p->partition + PARTITION_IMAGE(core->core_count);
	memcpy((void *)core->image_copy, (const void *)core->plan->image, core->plan->image_bytes);
	frames_init(&core->frames, p->partition, count, (struct frame *)(p->partition + table));
	core->memory = p->partition + page_up(table + frames_table_bytes(count));
}

static void map(struct core *core, uint64_t va, paddr_t pa, uint64_t bytes, unsigned prot)
{
	if (bytes > 0)
		table_map(&core->table, va, pa, bytes, prot);
}

static void map_identity(struct core *core, paddr_t from, paddr_t to, unsigned prot)
{
	map(core, from, from, page_up(to) - from, prot);
}

static void map_image(struct core *core)
{
	paddr_t base = core->plan->image, copy = core->image_copy;
	uint64_t rodata = (paddr_t)image_rodata - base, data = (paddr_t)image_data - base;
	map(core, base, copy, rodata, PROT_READ | PROT_EXEC);
	map(core, base + rodata, copy + rodata, data - rodata, PROT_READ);
	map(core, base + data, copy + data, core->plan->image_bytes - data, PROT_READ | PROT_WRITE);
}

// Of every core: its info page and heads page to read, our ring to write, its interrupt files to ring (INV-1).
static void map_peers(struct core *core)
{
	for (unsigned i = 0; i < core->core_count; i++) {
		const struct plan_core *p = &core->plan->cores[i];
		paddr_t files_end = p->imsic + (i == core->id ? 1 + core->plan->guest_files : 1) * PAGE_SIZE;
		map_identity(core, p->imsic, files_end, PROT_READ | PROT_WRITE);
		if (i == core->id)
			continue;
		map_identity(core, p->partition + PARTITION_INFO, p->partition + PARTITION_RINGS, PROT_READ);
		paddr_t ring = (paddr_t)partition_ring(p->partition, core->id);
		map_identity(core, ring, ring + PAGE_SIZE, PROT_READ | PROT_WRITE);
	}
}

static void map_own(struct core *core)
{
	const struct plan_core *p = &core->plan->cores[core->id];
	map_identity(core, p->partition, p->partition + PARTITION_STACK_GUARD, PROT_READ | PROT_WRITE);
	map_identity(core, p->partition + PARTITION_STACK_GUARD + PAGE_SIZE, p->partition + p->partition_bytes,
		     PROT_READ | PROT_WRITE);
	map(core, core->plan->trace.cores[core->id].region, core->plan->trace.cores[core->id].region, core->plan->trace_bytes,
	    PROT_READ | PROT_WRITE);
	map_identity(core, (paddr_t)plan_place(), core->plan->free, PROT_READ);
	if (core->plan->aplic)
		map_identity(core, core->plan->aplic, core->plan->aplic + core->plan->aplic_bytes, PROT_READ | PROT_WRITE);
}

static void info_start(struct core *core, uint64_t hart)
{
	struct info_page *page = core->info;
	const struct plan_core *p = &core->plan->cores[core->id];
	memset(page, 0, sizeof(*page));
	info_begin(page);
	page->magic = INFO_MAGIC;
	page->version = INFO_VERSION;
	page->core_id = core->id;
	page->hart_id = (uint32_t)hart;
	page->core_count = core->core_count;
	page->state = CORE_STARTING;
	page->guest_files = core->plan->guest_files;
	page->identities = core->plan->identities;
	page->hart_count = core->plan->hart_count;
	page->timebase = core->plan->timebase;
	page->partition_base = p->partition;
	page->partition_bytes = p->partition_bytes;
	info_end(page);
	*(volatile uint32_t *)&page->incarnation = core->incarnation; // now the others begin with it
}

uint64_t core_start(uint64_t hart, paddr_t partition)
{
	const struct plan *plan = plan_place();
	struct core *former = core_former(plan, partition);
	struct core *core = core_slot(partition, former == core_slot(partition, 0));
	memset(core, 0, sizeof(*core));
	core->former = former;
	core->plan = plan;
	core->id = (core_id_t)core_number(plan, partition);
	core->core_count = plan->core_count;
	core->incarnation = incarnation_next(plan, core->id);
	core->call_number = core_first_number(core);
	core->partition = partition;
	core->imsic = plan->cores[core->id].imsic;
	core->info = partition_info(partition);
	memory_start(core);
	paddr_t root = table_frame(core);
	memset((void *)root, 0, PAGE_SIZE);
	core->table = (struct page_table){(uint64_t *)root, false, table_frame, 0, core, false};
	map_image(core);
	map_own(core);
	map_peers(core);
	memset(partition_heads(partition), 0, PAGE_SIZE);
	fence_w_w(); // partner: fence_r_r in mesh_take; heads and seen before the incarnation that they are of
	info_start(core, hart);
	return SATP_SV39 | root >> PAGE_SHIFT;
}

// VMIDs are used when there are enough for all domains of a core; else every switch fences.
static bool vmid_probe(void)
{
	csr_write(CSR_HGATP, HGATP_SV39X4 | 0x3ffful << HGATP_VMID_SHIFT);
	uint64_t bits = csr_read(CSR_HGATP) >> HGATP_VMID_SHIFT & 0x3fff;
	csr_write(CSR_HGATP, 0);
	return bits >= DOMAIN_MAX + 1;
}

// A CSR that this hart may lack: the trap lands here and is skipped over.
__attribute__((aligned(4), naked)) static void probe_trap(void)
{
	__asm__ volatile("csrrw t0, sscratch, t0\n"
			 "csrr t0, sepc\n"
			 "addi t0, t0, 4\n"
			 "csrw sepc, t0\n"
			 "csrrw t0, sscratch, t0\n"
			 "sret\n");
}

// Smstateen: hstateen0 must let domains reach the AIA's registers (bits 58 to 60), and no more (KERNEL rule 20).
static void stateen_set(const struct core *core)
{
	csr_write(CSR_STVEC, (uint64_t)probe_trap);
	csr_write(CSR_SSCRATCH, 0);
	csr_write(CSR_HSTATEEN0, 7ul << 58);
	csr_write(CSR_STVEC, (uint64_t)(core->trace ? trap_entry_traced : trap_entry));
	csr_write(CSR_SSCRATCH, 0);
}

static void hart_reset(const struct core *core)
{
#define X(csr) csr_write(csr, 0);
	X(CSR_SIE) X(CSR_SENVCFG) X(CSR_HIE) X(CSR_HVIP) X(CSR_HGEIE) X(CSR_HTIMEDELTA) X(CSR_HGATP) X(CSR_VSATP) X(CSR_VSIE)
#undef X
	csr_clear(CSR_SSTATUS, SSTATUS_SIE | SSTATUS_FS | SSTATUS_VS); // vector stays off: it is not switched
	csr_write(CSR_SCOUNTEREN, HCOUNTEREN_CY_TM_IR);
	csr_write(CSR_STIMECMP, DEADLINE_NEVER);
	csr_write(CSR_HSTATUS, HSTATUS_VSXL_64);
	csr_write(CSR_HIDELEG, 1ul << INTERRUPT_VS_SOFT | 1ul << INTERRUPT_VS_TIMER | 1ul << INTERRUPT_VS_EXTERNAL);
	csr_write(CSR_HCOUNTEREN, HCOUNTEREN_CY_TM_IR);
	csr_write(CSR_HENVCFG, HENVCFG_STCE);
	csr_write(CSR_VSTIMECMP, DEADLINE_NEVER);
	stateen_set(core);
	hfence_gvma_all();
	hfence_vvma_all();
	instruction_fence();
}

static void guest_files_find(struct core *core)
{
	csr_write(CSR_HGEIE, ~0ul);
	uint64_t real = csr_read(CSR_HGEIE); // read-only zero where there is no file
	csr_write(CSR_HGEIE, 0);
	for (unsigned g = 1; g <= core->plan->guest_files; g++)
		core->files_free |= real & 1ul << g;
}

static void guest_files_clear(const struct core *core)
{
	for (uint64_t left = core->files_free; left; left &= left - 1)
		imsic_clear_guest((unsigned)__builtin_ctzl(left));
	csr_write(CSR_HSTATUS, HSTATUS_VSXL_64);
}

// ---- the first domain

static enum error first_segment(struct domain *d, const struct boot_segment *b)
{
	const struct segment s = {.gpa = b->gpa, .pages = b->pages, .prot = b->prot, .offset = b->offset, .length = b->length};
	enum error error = domain_segment_add(d, &s);
	while (error == ERR_OK && d->job.kind != JOB_NONE)
		domain_job_step(d);
	return error;
}

enum error first_domain_start(struct core *core, epoch_t epoch)
{
	const struct boot_image *b = (const struct boot_image *)core->plan->boot_image;
	uint64_t record = b->manifest_offset + 64 + b->first_service * 512; // struct manifest_service: its name comes first
	const struct boot_segment startup = {GPA_STARTUP, 1, PROT_READ, record, 512};
	uint64_t name[2];
	struct domain *d;
	memcpy(name, (const uint8_t *)b + record, sizeof(name));
	enum error error = domain_make(core, name, b->first_quota_pages, b->first_priority, 0, &d);
	if (error != ERR_OK)
		return error;
	for (unsigned i = 0; i <= b->first_segments && error == ERR_OK; i++)
		error = first_segment(d, i < b->first_segments ? &b->first[i] : &startup);
	if (error != ERR_OK) {
		domain_destroy_begin(d);
		return error;
	}
	d->supervisor = true;
	d->epoch = epoch;
	core->chief = ((core->chief >> 32) + (epoch > 0)) << 32 | (uint64_t)core->id << 16 | d->index;
	domain_begin(d, b->first_entry, GPA_STACK_TOP);
	return ERR_OK;
}

static void wait_for_others(struct core *core)
{
	uint64_t end = time_read() + START_WAIT_MS * core->plan->timebase / 1000;
	for (unsigned i = 0; i < core->core_count;) {
		interrupt_take_external(core);
		mesh_take(core); // what was rung before our file was cleared, too
		mesh_flush(core);
		if (!mesh_core_awaited(core, i)) {
			i++;
		} else if (time_read() >= end) {
			kernel_print(core, "planaria: core %u (hart %lu) did not come up", i, core->plan->cores[i].hart);
			i++;
		} else {
			csr_write(CSR_STIMECMP, time_read() + core->plan->timebase / 1000);
			wait_for_interrupt();
		}
	}
}

// At boot; or when the record of the one that was here did not check out: then it must know that it is not the first, or it
// would start all services once more.
static void supervisor_ensure(struct core *core)
{
	bool any = chief_core(core->chief) != core->id || call_supervisor(core);
	enum error error = any ? ERR_OK : first_domain_start(core, core->incarnation - 1);
	if (error != ERR_OK)
		kernel_panic(core, "the supervisor cannot be made: error %d", error);
}

// For tests: an incarnation that is to die on its way (call_core_crash). Its predecessor's struct counts, for the next one reads it too.
static void doom(struct core *core, unsigned step)
{
	struct core *former = core->former;
	if (!former || former->doom < 8 || former->doom % 8 != step)
		return;
	former->doom -= 8;
	core->doom = former->doom; // it may be the former of the next
	while (step == DOOM_HANG)
		__asm__ volatile("");
	kernel_panic(core, "it was asked to, at step %u of its rebirth", step);
}

static void online_tell(struct core *core)
{
	core->born = true;
	core->since = time_read();
	trace(core, TRACE_ONLINE, core->id, core->incarnation, 0, 0);
	info_begin(core->info);
	core->info->time_booted = time_read();
	core->info->frames_free = core->frames.free;
	core->info->state = CORE_ONLINE;
	info_end(core->info);
	for (unsigned i = 0; i < core->core_count; i++)
		if (i != core->id)
			mesh_notice(core, i, NOTICE_CORE, call_nothing);
}

_Noreturn void core_main(paddr_t partition)
{
	struct core *core = core_slot(partition, core_slot(partition, 0)->incarnation != partition_info(partition)->incarnation);
	kernel_panic_prepare(core);
	trace_begin(core);
	hart_reset(core);
	mesh_init(core);
	schedule_init(core);
	guest_files_find(core);
	interrupt_init(core);
	core->vmid_usable = vmid_probe();
	doom(core, DOOM_CLAIM);
	adopt_claim(core);
	guest_files_clear(core);
	doom(core, DOOM_MEET);
	doom(core, DOOM_HANG);
	if (core->id != 0 || core->incarnation > 1)
		wait_for_others(core);
	frames_add_rest(&core->frames, core->memory);
	doom(core, DOOM_FINISH);
	adopt_finish(core);
	doom(core, DOOM_ONLINE);
	online_tell(core);
	doom(core, DOOM_YOUNG);
	if (core->id == 0 && core->incarnation == 1) {
		interrupt_aplic_start(core);
		wait_for_others(core);
	}
	supervisor_ensure(core);
	reboot_duty(core);
	trap_exit(schedule_next(core));
}
