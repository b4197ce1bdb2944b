// What the supervisor asks of a core or of a domain on it (abi/call.h, right S). Arguments are checked here, on the
// core that owns the object; the steps of a restart may each be repeated.
#include "abi/boot_image.h"
#include "core-local/info.h"
#include "boot/plan.h"
#include "kernel/call.h"
#include "kernel/channel.h"
#include "kernel/endpoint.h"
#include "kernel/interrupt.h"
#include "kernel/kernel.h"
#include "kernel/reboot.h"
#include "kernel/mesh.h"
#include "kernel/riscv/sbi.h"
#include "kernel/schedule.h"
#include <string.h>

static const struct boot_image *boot_image(const struct core *core)
{
	return (const struct boot_image *)core->plan->boot_image;
}

enum error call_domain_create(struct invocation *c)
{
	struct domain *d;
	uint64_t name[2] = {c->arg[1], c->arg[2]};
	uint32_t flags = (uint32_t)c->arg[4] & (DOMAIN_FLAG_DMA | DOMAIN_FLAG_NO_FILE | DOMAIN_FLAG_CONSOLE | DOMAIN_FLAG_LIBRARY_OS);
	enum error error = domain_make(c->core, name, c->arg[3], (unsigned)(c->arg[4] >> 32), flags, &d);
	if (error != ERR_OK)
		return error;
	return call_results(c, d->generation, d->index);
}

enum error call_domain_open(struct invocation *c)
{
	uint64_t index = c->arg[1];
	struct domain *d = index < DOMAIN_MAX ? c->core->domains[index] : 0;
	if (!d || d->state == DOMAIN_DYING)
		return ERR_NOT_FOUND;
	return call_results(c, d->generation, d->index, d->epoch);
}

bool operation_segment_is_legal(const struct core *core, const struct segment *s)
{
	uint64_t gpa = s->gpa, pages = s->pages, end = gpa + pages * PAGE_SIZE, whole = boot_image(core)->bytes;
	if (s->prot == 0 || s->prot > 7 || (s->prot & (PROT_WRITE | PROT_EXEC)) == (PROT_WRITE | PROT_EXEC))
		return false;
	if (pages >= 0x100000 || s->offset > whole || s->length > whole - s->offset || s->length > pages * PAGE_SIZE)
		return false;
	bool image = gpa >= GPA_IMAGE && end <= GPA_IMAGE_END;
	bool startup = gpa >= GPA_STARTUP && end <= GPA_INFO;
	bool stack = gpa >= GPA_DEVICE_END + PAGE_SIZE && end <= GPA_STACK_TOP;
	return gpa % PAGE_SIZE == 0 && pages > 0 && (image || startup || stack);
}

enum error call_domain_load(struct invocation *c)
{
	struct domain *d = c->target;
	struct segment s = {
	    .gpa = c->arg[1], .pages = c->arg[2] >> 8, .prot = c->arg[2] & 0xff, .offset = c->arg[3], .length = c->arg[4]};
	if (s.pages == 0 && d->state == DOMAIN_STOPPED && d->job.kind == JOB_NONE) { // another image follows
		domain_segments_forget(d);
		d->state = DOMAIN_CREATED;
		return ERR_OK;
	}
	if (d->state != DOMAIN_CREATED || d->job.kind != JOB_NONE)
		return ERR_STATE;
	if (!operation_segment_is_legal(c->core, &s))
		return ERR_INVALID;
	enum error error = domain_segment_add(d, &s);
	if (error == ERR_OK) // the origin of a local caller is made only when nothing can fail any more
		d->job.origin = call_defer(c);
	return error;
}

// INV-14: nothing runs while work on its memory is left.
enum error call_domain_start(struct invocation *c)
{
	struct domain *d = c->target;
	if ((d->state != DOMAIN_CREATED && d->state != DOMAIN_STOPPED) || d->job.kind != JOB_NONE || d->unclean)
		return ERR_STATE;
	domain_begin(d, c->arg[1], c->arg[2]);
	if (d->watch.tick) {
		d->watch.outstanding = false;
		deadline_arm(&c->core->deadlines, &d->tick, time_read() + d->watch.tick);
	}
	return call_results(c, d->epoch);
}

enum error call_domain_stop(struct invocation *c)
{
	unsigned kind = c->arg[1] <= FAULT_CORE && c->arg[1] != FAULT_NONE ? (unsigned)c->arg[1] : FAULT_KILLED;
	domain_halt(c->target, kind, 0, 0, 0);
	c->target->report = false; // who stops it knows
	return ERR_OK;
}

enum error call_domain_unregister(struct invocation *c)
{
	if (c->target->state != DOMAIN_STOPPED && c->target->state != DOMAIN_CREATED)
		return ERR_STATE;
	channel_unregister_all(c->target, c->arg[1] != 0);
	if (c->arg[1])
		endpoint_lost(c->target);
	return ERR_OK;
}

enum error call_domain_restore(struct invocation *c)
{
	enum job_kind job = c->target->job.kind; // JOB_RESTORE: for one who has died meanwhile; it begins anew
	if (c->target->state != DOMAIN_STOPPED || (job != JOB_NONE && job != JOB_RESTORE))
		return ERR_STATE;
	domain_restore_begin(c->target);
	c->target->job.origin = call_defer(c);
	return ERR_OK;
}

enum error call_domain_destroy(struct invocation *c)
{
	if (c->target->supervisor)
		return ERR_DENIED;
	domain_destroy_begin(c->target);
	return ERR_OK;
}

enum error call_domain_status(struct invocation *c)
{
	struct domain *d = c->target;
	struct domain_status s = d->status;
	s.state |= d->state | (uint64_t)d->ready << 16;
	s.epoch = d->epoch;
	memcpy(s.name, d->name, sizeof(s.name));
	s.frames_used = d->frames_used;
	s.frames_quota = d->frames_quota;
	s.run_ticks = domain_run_ticks(d);
	_Static_assert(sizeof(s) == DOMAIN_STATUS_GROUPS * sizeof(c->value), "groups of five words");
	if (c->arg[1] >= DOMAIN_STATUS_GROUPS)
		return ERR_INVALID;
	memcpy(c->value, (const uint64_t *)&s + 5 * c->arg[1], sizeof(c->value));
	return ERR_OK;
}

enum error call_domain_publish(struct invocation *c)
{
	char name[NAME_SIZE];
	memcpy(name, &c->arg[1], NAME_SIZE);
	if (c->arg[3] > SERVICE_HELD || name[0] == 0)
		return ERR_INVALID;
	return info_service_set(c->core->info, name, c->target->index, c->target->epoch, (enum service_state)c->arg[3]);
}

enum error call_domain_budget(struct invocation *c)
{
	uint64_t us = c->arg[1], period = c->arg[2];
	if (us > period || period > BUDGET_PERIOD_US || (us && us < BUDGET_LEAST_US))
		return ERR_INVALID;
	schedule_budget(c->target, us * c->core->plan->timebase / 1000000, period * c->core->plan->timebase / 1000000);
	return ERR_OK;
}

enum error call_domain_watch(struct invocation *c)
{
	struct watch *w = &c->target->watch;
	uint64_t tick = c->arg[1] * c->core->plan->timebase / 1000000;
	if (c->arg[1] > 10000000 || (c->arg[1] && (c->arg[1] < WATCH_TICK_MIN_US || c->arg[2] == 0 || c->arg[2] > 1000)))
		return ERR_INVALID;
	w->tick = tick;
	w->ticks = (uint32_t)c->arg[2];
	w->answered = time_read();
	w->outstanding = false;
	if (tick)
		deadline_arm(&c->core->deadlines, &c->target->tick, time_read() + tick);
	else
		deadline_cancel(&c->core->deadlines, &c->target->tick);
	return ERR_OK;
}

enum error call_domain_ping(struct invocation *c)
{
	if (c->target->watch.tick == 0)
		return ERR_STATE;
	domain_watch_tick(c->target);
	return ERR_OK;
}

// A word of its image, stack, channels or heap that lies in frames of this partition. What it cannot write must be content:
// only that is compared when it is restored (page_is_pristine).
static uint64_t *poke_word(struct domain *d, uint64_t gpa)
{
	const struct plan_core *own = &d->core->plan->cores[d->core->id];
	bool image = gpa >= GPA_IMAGE && gpa < GPA_IMAGE_END, rest = gpa >= GPA_DEVICE_END && gpa < GPA_HEAP_END, content = false;
	paddr_t pa;
	unsigned prot = 0;
	if (gpa % sizeof(uint64_t) || !(image || rest) || !table_lookup(&d->table, gpa, &pa, &prot) ||
	    pa - own->partition >= own->partition_bytes)
		return 0;
	for (unsigned i = 0; i < d->segment_count; i++) {
		const struct segment *s = &d->segments[i];
		content |= gpa >= s->gpa && gpa - s->gpa + sizeof(uint64_t) <= s->length;
	}
	return content || (prot & PROT_WRITE) ? (uint64_t *)pa : 0;
}

enum error call_domain_poke(struct invocation *c)
{
	struct domain *d = c->target;
	uint64_t *word = c->arg[1] < 32 ? &d->x[c->arg[1]] : poke_word(d, c->arg[1]);
	if (!word || d->job.kind != JOB_NONE)
		return word ? ERR_STATE : ERR_INVALID;
	c->value[0] = *word;
	*word ^= c->arg[2];
	instruction_fence(); // it may be text, and runs on this hart only
	return ERR_OK;
}

static bool overlaps(uint64_t a, uint64_t a_end, uint64_t b, uint64_t b_end)
{
	return a < b_end && b < a_end;
}

// A device window never reaches memory, interrupt files or the APLIC: those would be somebody else's.
static bool is_device(const struct plan *p, uint64_t from, uint64_t to)
{
	return to > from && !overlaps(from, to, p->ram, p->ram + p->ram_bytes) &&
	       !overlaps(from, to, p->imsic_low, p->imsic_high) &&
	       !(p->aplic && overlaps(from, to, p->aplic, p->aplic + p->aplic_bytes));
}

enum error call_device_map(struct invocation *c)
{
	struct domain *d = c->target;
	uint64_t from = c->arg[1] & ~(PAGE_SIZE - 1);
	uint64_t to = page_up(c->arg[1] + c->arg[2]);
	if (c->arg[2] == 0 || c->arg[2] > GPA_DEVICE_END - GPA_DEVICE || !is_device(c->core->plan, from, to))
		return ERR_INVALID;
	for (unsigned i = 0; i < d->window_count; i++) { // again, by a restarted supervisor: the same window
		const struct window *w = &d->windows[i];
		if (w->address == c->arg[1] && w->bytes == to - from)
			return call_results(c, w->gpa + (c->arg[1] - from));
	}
	if (d->window_count == WINDOW_MAX || to - from > GPA_DEVICE_END - d->window_top)
		return ERR_LIMIT;
	enum error error = domain_map(d, d->window_top, from, to - from, PROT_READ | PROT_WRITE);
	if (error != ERR_OK)
		return error;
	d->windows[d->window_count++] = (struct window){.gpa = d->window_top, .bytes = to - from, .address = c->arg[1]};
	c->value[0] = d->window_top + (c->arg[1] - from);
	d->window_top += to - from;
	return ERR_OK;
}

enum error call_interrupt_bind(struct invocation *c)
{
	enum error error = c->arg[1] < WINDOW_MAX && c->arg[2] <= UINT32_MAX
			       ? interrupt_bind(c->target, (unsigned)c->arg[1], (uint32_t)c->arg[2])
			       : ERR_INVALID;
	if (error != ERR_OK)
		return error;
	const struct window *w = &c->target->windows[c->arg[1]];
	return call_results(c, w->identity, w->msi_address, w->msi_data);
}

static enum error map_read_only(struct invocation *c, uint64_t gpa, paddr_t base, uint64_t bytes)
{
	enum error error = domain_map(c->caller, gpa, base, page_up(bytes), PROT_READ);
	c->value[0] = gpa;
	c->value[1] = bytes;
	return error == ERR_EXISTS ? ERR_OK : error;
}

enum error call_boot_image_map(struct invocation *c)
{
	return map_read_only(c, GPA_BOOT_IMAGE, c->core->plan->boot_image, boot_image(c->core)->bytes);
}

enum error call_device_tree_map(struct invocation *c)
{
	return map_read_only(c, GPA_DEVICE_TREE, c->core->plan->device_tree, c->core->plan->device_tree_bytes);
}

enum error call_core_ping(struct invocation *c)
{
	info_count(c->core->info, INFO_PINGS);
	if (c->arg[1] && !c->caller)
		reboot_guard_begin(c->core);
	return call_results(c, c->core->incarnation, c->arg[2]); // when it was asked: call_settle
}

enum error call_core_log(struct invocation *c)
{
	uint64_t next;
	char text[32] = {0};
	log_read(&c->core->log, c->arg[1], text, sizeof(text), &next);
	memcpy(c->value, text, sizeof(text));
	c->value[4] = c->arg[1] == CORE_LOG_SHOWN ? c->core->log_shown : next;
	return ERR_OK;
}

enum error call_memory_count(struct invocation *c)
{
	return call_results(c, c->core->frames.free, c->core->frames.count, c->core->frames.quarantined);
}

// The other harts stop first: QEMU 7.2 may let one that sleeps in a domain run on through a reset of the machine.
enum error call_power(struct invocation *c)
{
	const uint64_t word[6] = {1};
	uint64_t end = time_read() + c->core->plan->timebase / 10;
	if (c->arg[0] > 1 || c->arg[2] != CALL_EARNEST)
		return ERR_INVALID;
	for (unsigned i = 0; i < c->core->core_count; i++)
		if (i != c->core->id && mesh_notice(c->core, i, NOTICE_STOP, word))
			while (time_read() < end && sbi_hart_status(c->core->plan->cores[i].hart).value != SBI_HART_STOPPED)
				;
	sbi_power_off(c->arg[0] == 1, c->arg[1] != 0);
}
