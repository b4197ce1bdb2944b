// Starting other cores' kernels again (reboot.h), and killing one's own on request.
//
// Owns peers[].rebooting, .patience, .futile and .fenced. It must never start a hart that HSM does not call stopped.
// If this core dies meanwhile, the next one that is first online sees the PANICKED page at the next notice.
#include "kernel/reboot.h"
#include "core-local/info.h"
#include "boot/boot.h"
#include "kernel/call.h"
#include "kernel/channel.h"
#include "kernel/kernel.h"
#include "kernel/mesh.h"
#include "kernel/riscv/sbi.h"

#define STOP_MS 1000u // a hart stops some us after its epitaph, unless the host is busy
#define LOOK_US 500u  // between two looks
#define FUTILE_MAX 5u // starts in a row that did not get online: another does not mend it

static void look_later(struct core *core)
{
	deadline_arm(&core->deadlines, &core->reboot, time_read() + LOOK_US * core->plan->timebase / 1000000);
}

static void fence_here(struct core *core, unsigned dead)
{
	core->peers[dead].fenced = true;
	mesh_forget(core, dead);
	channel_fence_all(core, dead);
	call_notice_core(core, dead);
}

static void fence(struct core *core, unsigned dead, const char *why)
{
	const uint64_t word[6] = {dead + 1};
	kernel_print(core, "core %u is fenced off: %s", dead, why);
	core->peers[dead].rebooting = false;
	fence_here(core, dead);
	for (unsigned i = 0; i < core->core_count; i++)
		if (i != core->id && i != dead)
			mesh_notice(core, i, NOTICE_CORE, word);
}

static void hart_look(struct core *core, unsigned dead)
{
	struct mesh_peer *p = &core->peers[dead];
	const struct plan_core *c = &core->plan->cores[dead];
	if (sbi_hart_status(c->hart).value != SBI_HART_STOPPED) {
		if (time_read() > p->patience)
			fence(core, dead, "its hart does not stop");
	} else if (++p->futile > FUTILE_MAX) {
		fence(core, dead, "its kernel does not get online any more");
	} else {
		sbi_hart_start(c->hart, (uint64_t)core_entry, c->partition);
		p->rebooting = false;
	}
}

void reboot_look(struct core *core)
{
	bool any = false;
	for (unsigned i = 0; i < core->core_count; i++) {
		if (core->peers[i].rebooting)
			hart_look(core, i);
		any |= core->peers[i].rebooting;
	}
	if (any)
		look_later(core);
}

void reboot_begin(struct core *core, unsigned dead)
{
	struct mesh_peer *p = &core->peers[dead];
	if (dead == core->id || p->rebooting)
		return;
	if (p->info->state != CORE_PANICKED)
		mesh_notice(core, dead, NOTICE_STOP, call_nothing);
	p->rebooting = true;
	p->patience = time_read() + STOP_MS * core->plan->timebase / 1000;
	mesh_forget(core, dead);
	look_later(core);
}

static unsigned first_online(const struct core *core)
{
	unsigned i = 0;
	while (i != core->id && !mesh_core_online(core, i))
		i++;
	return i;
}

void reboot_notice(struct core *core, unsigned from, const uint64_t word[6])
{
	if (word[0]) {
		if (word[0] <= core->core_count && word[0] - 1 != core->id)
			fence_here(core, (unsigned)word[0] - 1);
		return;
	}
	if (mesh_core_online(core, from))
		core->peers[from].futile = 0;
	else
		mesh_forget(core, from);
	call_notice_core(core, from);
	for (unsigned i = 0; i < core->core_count && first_online(core) == core->id; i++)
		if (core->peers[i].info->state == CORE_PANICKED)
			reboot_begin(core, i);
}

enum error call_core_reboot(struct invocation *c)
{
	if (c->arg[0] >= c->core->core_count || c->arg[0] == c->core->id)
		return ERR_INVALID;
	reboot_begin(c->core, (unsigned)c->arg[0]);
	return ERR_OK;
}

// The four ways in which a kernel can fail. The store goes to the stack of the next core's kernel, where it must not arrive.
enum error call_core_crash(struct invocation *c)
{
	struct core *core = c->core;
	const volatile uint64_t nowhere = PAGE_SIZE;
	if (c->arg[1] > CORE_CRASH_HANG)
		return ERR_INVALID;
	if (!c->caller) // who asks gets an answer all the same
		mesh_answer(core, c->origin, ERR_OK, call_nothing);
	if (c->arg[1] == CORE_CRASH_PANIC)
		kernel_panic(core, "it was asked to");
	if (c->arg[1] == CORE_CRASH_JUMP)
		((void (*)(void))nowhere)();
	if (c->arg[1] == CORE_CRASH_STORE)
		*(volatile uint64_t *)(core->plan->cores[(core->id + 1) % core->core_count].partition + PARTITION_STACK_TOP - 8) = 0;
	for (;;)
		__asm__ volatile("");
}
