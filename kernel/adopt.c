// Adoption: what a reborn kernel takes over from the records of its former life (adopt.h).
//
// It must never believe more than it can check: the last kernel may have died of what stands in them. Kept are shape and
// memory of domains and the channel ends; every frame is claimed in a fresh frame table, where nothing can be claimed twice.
// Devices are attached anew by the supervisor. Nothing of a domain's content is kept: it is stopped, and its memory restored before it runs again. Frames of a record
// that does not check out stay out of use. If this kernel dies here, the next one reads the same records: each is
// replaced in one piece, by one that checks out as well.
#include "kernel/adopt.h"
#include "boot/plan.h"
#include "kernel/call.h"
#include "kernel/channel.h"
#include "kernel/kernel.h"
#include <string.h>

static struct domain fresh; // a record in the making: too long for the stack

static bool record_is_sound(const struct core *core, const struct domain *d, unsigned index)
{
	const struct core *former = core->former;
	paddr_t at = (paddr_t)d, end = core->partition + core->frames.count * PAGE_SIZE;
	if (at % PAGE_SIZE != 0 || at < core->memory || at >= end - DOMAIN_PAGES * PAGE_SIZE)
		return false;
	return d->index == index && (d->core == former || d->core == core) && d->generation == former->generations[index] &&
	       d->state > DOMAIN_FREE && d->state <= DOMAIN_DYING && d->priority < RUN_PRIORITIES &&
	       d->segment_count <= SEGMENT_MAX &&
	       (d->file == 0 || (d->file <= GUEST_FILE_MAX && (core->files_free & 1ul << d->file)));
}

static bool segments_claim(const struct domain *d)
{
	fresh.segment_count = d->segment_count;
	memcpy(fresh.segments, d->segments, sizeof(fresh.segments));
	for (unsigned i = 0; i < fresh.segment_count; i++) {
		const struct segment *s = &fresh.segments[i];
		if (!operation_segment_is_legal(fresh.core, s) || !domain_frames_claim(&fresh, s->frames, s->pages))
			return false;
	}
	return true;
}

// A device may write there until the supervisor has stopped it: so the heap is freed no sooner than at a restore.
static bool heap_claim(const struct domain *d)
{
	memcpy(fresh.heap, d->heap, sizeof(fresh.heap));
	for (unsigned i = 0; i < HEAP_MAX; i++) {
		const struct heap_block *b = &fresh.heap[i];
		bool inside = b->gpa % PAGE_SIZE == 0 && b->gpa >= GPA_HEAP && b->gpa < GPA_HEAP_END &&
			      b->pages <= (GPA_HEAP_END - b->gpa) / PAGE_SIZE;
		if (b->pages && (!inside || !domain_frames_claim(&fresh, b->frames, b->pages)))
			return false;
	}
	return true;
}

static bool record_claim(struct core *core, const struct domain *d)
{
	memset(&fresh, 0, sizeof(fresh));
	domain_fill(&fresh, core, d->index);
	fresh.priority = d->priority;
	fresh.file = d->file;
	fresh.flags = d->flags;
	fresh.generation = d->generation;
	fresh.epoch = d->epoch;
	memcpy(fresh.name, d->name, sizeof(fresh.name));
	fresh.supervisor = d->supervisor;
	fresh.frames_quota = d->frames_quota;
	fresh.faults = d->faults + 1;
	fresh.status = (struct domain_status){.state = FAULT_CORE << 8, .time_stopped = time_read(), .time_detected = time_read()};
	fresh.unclean = true;
	fresh.state = d->state == DOMAIN_DYING ? DOMAIN_DYING : DOMAIN_STOPPED;
	if (!frames_claim(&core->frames, (paddr_t)d, DOMAIN_PAGES, (uint16_t)(d->index + 1)) || !segments_claim(d) ||
	    !heap_claim(d))
		return false;
	memcpy(fresh.ends, d->ends, sizeof(fresh.ends));
	channel_claim_all(&fresh);
	return fresh.frames_used <= fresh.frames_quota;
}

void adopt_claim(struct core *core)
{
	const struct core *former = core->former;
	if (!former)
		return;
	core->log = former->log; // the epitaph is in it
	core->log_shown = former->log_shown;
	core->chief = former->chief;
	memcpy(core->generations, former->generations, sizeof(core->generations));
	for (unsigned i = 0; i < DOMAIN_MAX; i++) {
		struct domain *d = former->domains[i];
		if (!d)
			continue;
		if (!record_is_sound(core, d, i) || !record_claim(core, d)) {
			kernel_print(core, "core %u: the record of domain %u does not check out: it is lost", core->id, i);
			continue;
		}
		*d = fresh;
		core->domains[i] = d;
		core->files_free &= ~(d->file ? 1ul << d->file : 0);
		core->file_owner[d->file] = d->file ? d : 0;
	}
}

static bool tables_make(struct domain *d)
{
	enum error error = domain_root(d);
	for (unsigned i = 0; i < d->segment_count && error == ERR_OK; i++)
		error = domain_map(d, d->segments[i].gpa, d->segments[i].frames, d->segments[i].pages * PAGE_SIZE,
				   (unsigned)d->segments[i].prot);
	return error == ERR_OK;
}

void adopt_finish(struct core *core)
{
	for (unsigned i = 0; i < DOMAIN_MAX; i++) {
		struct domain *d = core->domains[i];
		if (!d)
			continue;
		bool dying = d->state == DOMAIN_DYING;
		d->state = DOMAIN_STOPPED;
		bool made = tables_make(d);
		kernel_invariant(core, d->table.root); // there was room for it before
		if (made)
			channel_reborn_all(d);
		bool deposed = d->supervisor && (uint32_t)core->chief != ((uint32_t)core->id << 16 | i); // it is elsewhere now
		d->supervisor = d->supervisor && !deposed;
		if (!made || dying || deposed)
			domain_destroy_begin(d);
		else if (d->supervisor) // nobody but its kernel restarts it
			domain_restore_begin(d, (struct origin){0});
		if (core->domains[i])
			domain_info_update(d);
	}
}
