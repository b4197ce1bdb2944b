// Starting other cores' kernels again (reboot.h), and killing one's own on request.
//
// Owns peers[].rebooting, .dying, .patience, .futile, .fenced, .heard and .asker, and what is known of the supervisor's place. It must
// never start a hart that HSM does not call stopped. If this core dies meanwhile, the first one that is online after it sees
// the PANICKED or STARTING page at the next notice (reboot_duty).
#include "kernel/reboot.h"
#include "core-local/info.h"
#include "boot/boot.h"
#include "kernel/call.h"
#include "kernel/channel.h"
#include "kernel/kernel.h"
#include "kernel/mesh.h"
#include "kernel/riscv/sbi.h"
#include "kernel/trace.h"
#include <string.h>

#define STOP_MS 1000u   // a silent hart that is told to stop does so within some us, unless the host is busy
#define EMPTY_MS 1000u  // one whose text was emptied falls through it, which a host with much else to do lets wait
#define EMPTY_MAX 5u    // times: an emulator may translate the old text once more just before it changes
#define START_MS 8000u  // from a panic to ONLINE; a reborn kernel waits 3 s at most for the others
#define LOOK_US 500u    // between two looks
#define FOUR_NOPS 0x0001000100010001ul // the short ones, so that it can begin anywhere
#define FUTILE_MAX 5u   // starts in a row that did not get online: another does not mend it
#define ASK_LOOKS (1000000u / LOOK_US) // a second; looks, as the guard counts: a machine that stood still proves nothing
#define GUARD_MS 1000u  // between two looks at the supervisor's core; its pings come twice as often
#define GUARD_MISSED 3u // looks without a sign of life until it counts as silent
#define GUARD_RANK 3u   // and so many more for each core that should have noticed before us

static uint64_t ms(const struct core *core, uint64_t n)
{
	return n * core->plan->timebase / 1000;
}

static void look_later(struct core *core)
{
	deadline_arm(&core->deadlines, &core->reboot, time_read() + LOOK_US * core->plan->timebase / 1000000);
}

static unsigned first_online(const struct core *core)
{
	unsigned i = 0;
	while (i != core->id && !mesh_core_online(core, i))
		i++;
	return i;
}

void reboot_duty(struct core *core)
{
	for (unsigned i = 0; i < core->core_count && first_online(core) == core->id; i++) {
		const volatile struct info_page *page = core->peers[i].info;
		bool stuck = page->state == CORE_STARTING && page->incarnation > 1; // or well; who started it may be dead
		if (i != core->id && !core->peers[i].fenced && (page->state == CORE_PANICKED || stuck))
			reboot_begin(core, i, false);
	}
}

static void fence_here(struct core *core, unsigned dead, uint64_t chief)
{
	core->peers[dead].fenced = true;
	chief_hear(core, chief);
	mesh_forget(core, dead);
	channel_fence_all(core, dead);
	call_notice_core(core, dead);
}

// The supervisor's core is fenced off. A fresh one here adopts what runs on the others. A rebirth has cleared the page: then its
// epoch is unknown, but it is not the first.
static void supervisor_move(struct core *core, unsigned dead)
{
	const struct info_page *page = partition_info(core->plan->cores[dead].partition);
	epoch_t epoch = page->domains[(uint16_t)core->chief % DOMAIN_MAX].epoch;
	enum error error = first_domain_start(core, epoch ? epoch : 1);
	if (error == ERR_OK)
		kernel_print(core, "core %u: the supervisor starts here", core->id);
	else
		kernel_print(core, "core %u: the supervisor cannot be made here: error %d; nothing is restarted any more", core->id, error);
}

static void fence(struct core *core, unsigned dead, const char *why)
{
	kernel_print(core, "core %u is fenced off: %s", dead, why);
	core->peers[dead].rebooting = false;
	fence_here(core, dead, 0);
	if (chief_core(core->chief) == dead)
		supervisor_move(core, dead);
	const uint64_t word[6] = {dead + 1, core->chief};
	for (unsigned i = 0; i < core->core_count; i++)
		if (i != core->id && i != dead)
			mesh_notice(core, i, NOTICE_CORE, word);
	reboot_duty(core);
}

// A kernel that hangs with interrupts off, and firmware cannot stop its hart. But its text is a copy of its own: all of it becomes
// nops, up to the last instructions, which stop the hart. Its next incarnation copies the pristine image again. It is not made to
// fence its instructions: the firmware that could do it waits for that hart without a deadline. If it goes on with old ones, it is fenced off.
static void smother(struct core *core, unsigned dead)
{
	uint64_t bytes = (paddr_t)image_rodata - core->plan->image, stop = (uint64_t)(hart_stop_code_end - hart_stop_code);
	paddr_t text = core->plan->cores[dead].partition + PARTITION_IMAGE(core->core_count);
	if (table_map(&core->table, text, text, bytes, PROT_READ | PROT_WRITE) != ERR_OK) // beside its info page: needs no table
		return;
	sfence_vma_all();
	memcpy((void *)(text + bytes - stop), hart_stop_code, stop);
	for (uint64_t at = text + bytes - stop; at > text; at -= 8) // backwards: what it falls into is done
		*(volatile uint64_t *)(at - 8) = FOUR_NOPS;
	table_unmap(&core->table, text, bytes);
	sfence_vma_all();
}

static void hart_look(struct core *core, unsigned dead)
{
	struct mesh_peer *p = &core->peers[dead];
	const struct plan_core *c = &core->plan->cores[dead];
	bool stopped = sbi_hart_status(c->hart).value == SBI_HART_STOPPED;
	bool lived = p->info->incarnation != p->dying && p->info->time_booted; // came online since then, and may be dead again
	p->futile = lived ? 0 : p->futile;
	if (lived && p->info->state == CORE_ONLINE) {
		p->rebooting = false;
	} else if (stopped && ++p->futile > FUTILE_MAX) {
		fence(core, dead, "its kernel does not get online any more");
	} else if (stopped) {
		p->smothered = p->smothered ? EMPTY_MAX : 0; // once for each death: what hangs in its rebirth as well is given up
		p->dying = p->info->incarnation;
		p->patience = time_read() + ms(core, START_MS);
		trace(core, TRACE_LAUNCH, dead, p->dying, 0, 0);
		sbi_hart_start(c->hart, (uint64_t)core_entry, c->partition);
	} else if (time_read() > p->patience && p->smothered < EMPTY_MAX) {
		smother(core, dead);
		p->smothered++;
		p->patience = time_read() + ms(core, EMPTY_MS);
	} else if (time_read() > p->patience) {
		fence(core, dead, p->info->state == CORE_STARTING ? "its kernel hangs in its rebirth" : "its hart does not stop");
	}
}

// The supervisor says that it is silent. It is asked by us; only if it says nothing either, or has died meanwhile, is the supervisor believed.
static void silence_look(struct core *core, unsigned suspect)
{
	const uint64_t answer[6] = {1};
	struct mesh_peer *p = &core->peers[suspect];
	bool online = p->info->state == CORE_ONLINE;
	p->asked = p->asked || mesh_notice(core, suspect, NOTICE_PING, answer);
	if (online && !p->heard && --p->looks > 0)
		return;
	struct origin asker = {core->id, p->asker, true};
	enum error error = p->fenced ? ERR_CORE_LOST : online && p->heard ? ERR_ALIVE : ERR_OK;
	p->asker = 0;
	if (error == ERR_OK)
		reboot_begin(core, suspect, online);
	mesh_answer(core, asker, error, call_nothing);
}

void reboot_look(struct core *core)
{
	bool any = false;
	for (unsigned i = 0; i < core->core_count; i++) {
		if (core->peers[i].rebooting)
			hart_look(core, i);
		if (core->peers[i].asker)
			silence_look(core, i);
		any |= core->peers[i].rebooting || core->peers[i].asker;
	}
	if (any)
		look_later(core);
}

void reboot_begin(struct core *core, unsigned dead, bool silent)
{
	struct mesh_peer *p = &core->peers[dead];
	uint32_t incarnation = p->info->incarnation, state = p->info->state;
	if (dead == core->id || (state == CORE_ONLINE && (p->rebooting || !silent))) // or it has got online since it was looked at
		return;
	silent = state == CORE_ONLINE;
	if (silent)
		mesh_notice(core, dead, NOTICE_STOP, call_nothing);
	if (!p->rebooting)
		p->dying = state == CORE_STARTING ? 0 : incarnation;
	if (!p->rebooting || state == CORE_PANICKED) // a rebirth under way keeps its deadline, whoever else dies meanwhile
		p->patience = time_read() + ms(core, silent ? STOP_MS : START_MS);
	p->smothered = p->rebooting ? p->smothered : 0;
	p->rebooting = true;
	trace(core, TRACE_REBOOT, dead, p->dying, 0, 0);
	mesh_forget(core, dead);
	look_later(core);
}

void reboot_notice(struct core *core, unsigned from, const uint64_t word[6])
{
	struct mesh_peer *p = &core->peers[from];
	if (word[0]) {
		if (word[0] <= core->core_count && word[0] - 1 != core->id)
			fence_here(core, (unsigned)word[0] - 1, word[1]);
		reboot_duty(core);
		return;
	}
	if (p->info->state == CORE_ONLINE) {
		p->rebooting = false;
		p->futile = 0;
	} else {
		mesh_forget(core, from);
		if (p->fenced && first_online(core) == core->id) // it has woken up, and is dead now for certain
			reboot_begin(core, from, false);
	}
	call_notice_core(core, from);
	reboot_duty(core);
}

void reboot_listed(struct core *core, unsigned from, const uint64_t word[6])
{
	core->peers[from].listed = true;
	chief_hear(core, word[1]);
	for (unsigned i = 0; i < core->core_count; i++)
		if (i != core->id && (word[0] >> i & 1) && !core->peers[i].fenced && !core->peers[i].listed)
			fence_here(core, i, 0);
}

// ---- the supervisor's core

void reboot_guard_begin(struct core *core)
{
	core->silence = 0;
	deadline_arm(&core->deadlines, &core->guard, time_read() + ms(core, GUARD_MS));
}

// Looks are counted, not time: when the host holds up the whole machine, one look comes late.
void reboot_guard(struct core *core)
{
	unsigned chief = chief_core(core->chief), before = 0;
	const uint64_t answer[6] = {1};
	struct mesh_peer *p = &core->peers[chief];
	if (chief == core->id)
		return;
	for (unsigned i = 0; i < core->id; i++)
		before += i != chief && mesh_core_online(core, i);
	core->silence = p->heard || !mesh_core_online(core, chief) ? 0 : core->silence + 1;
	p->heard = false;
	if (core->silence > GUARD_MISSED + before * GUARD_RANK)
		reboot_begin(core, chief, true);
	else
		mesh_notice(core, chief, NOTICE_PING, answer);
	deadline_arm(&core->deadlines, &core->guard, time_read() + ms(core, GUARD_MS));
}

// ---- calls

enum error call_core_reboot(struct invocation *c)
{
	if (c->arg[0] >= c->core->core_count || c->arg[0] == c->core->id)
		return ERR_INVALID;
	struct mesh_peer *p = &c->core->peers[c->arg[0]];
	bool late = p->info->state == CORE_ONLINE && sbi_hart_status(c->core->plan->cores[c->arg[0]].hart).value == SBI_HART_STOPPED;
	if (p->fenced && !late) // else it has stopped after all
		return ERR_CORE_LOST;
	if (late || p->info->state != CORE_ONLINE) { // one that is back and has not met us yet is asked too
		reboot_begin(c->core, (unsigned)c->arg[0], late);
		return ERR_OK;
	}
	p->heard = p->asked = false;
	p->looks = ASK_LOOKS;
	p->asker = call_defer(c).request;
	silence_look(c->core, (unsigned)c->arg[0]);
	look_later(c->core);
	return ERR_OK;
}

// The ways in which a kernel can fail. The store goes to the stack of the next core's kernel, where it must not arrive.
enum error call_core_crash(struct invocation *c)
{
	struct core *core = c->core;
	const volatile uint64_t nowhere = PAGE_SIZE;
	if (c->arg[1] >= CORE_CRASH_KINDS || c->arg[2] % 8 >= DOOM_STEPS || c->arg[3] != CALL_EARNEST)
		return ERR_INVALID;
	core->doom = (uint32_t)c->arg[2];
	if (!c->caller) { // who asks gets an answer all the same
		mesh_answer(core, c->origin, ERR_OK, call_nothing);
		mesh_flush(core);
	}
	for (unsigned i = 0; i < DOMAIN_MAX && c->arg[1] == CORE_CRASH_SPOIL; i++)
		if (core->domains[i])
			core->domains[i]->generation++;
	for (unsigned i = 0; i < DOMAIN_MAX * CHANNEL_MAX * GRANT_PLACES && c->arg[1] == CORE_CRASH_GRANTS; i++) {
		struct domain *d = core->domains[i / GRANT_PLACES / CHANNEL_MAX];
		struct grant *g = d ? &d->ends[i / GRANT_PLACES % CHANNEL_MAX].grants[i % GRANT_PLACES] : 0;
		if (g)
			g->memory ^= PAGE_SIZE, g->pages |= core->incarnation % 2 - 1; // the size in every other life
	}
	if (c->arg[1] == CORE_CRASH_PANIC || c->arg[1] == CORE_CRASH_SPOIL || c->arg[1] == CORE_CRASH_GRANTS)
		kernel_panic(core, "it was asked to");
	if (c->arg[1] == CORE_CRASH_JUMP)
		((void (*)(void))nowhere)();
	if (c->arg[1] == CORE_CRASH_STORE)
		*(volatile uint64_t *)(core->plan->cores[(core->id + 1) % core->core_count].partition + PARTITION_STACK_TOP - 8) = 0;
	uint64_t satp = csr_read(CSR_SATP), end = c->arg[1] == CORE_CRASH_NAP ? time_read() + ms(core, CORE_NAP_MS) : ~0ul;
	if (c->arg[1] != CORE_CRASH_HANG) // in the pristine image, which nobody empties
		csr_write(CSR_SATP, 0);
	while (time_read() < end)
		__asm__ volatile("");
	csr_write(CSR_SATP, satp);
	c->deferred = true; // it was answered
	return ERR_OK;
}
