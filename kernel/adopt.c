// Adoption: what a reborn kernel takes over from the records of its former life (adopt.h).
//
// It must never believe more than it can check: the last kernel may have died of what stands in them. Kept are shape and
// memory of domains and the channel ends; every frame is claimed in a fresh frame table, where nothing can be claimed twice.
// What was claimed for a record when it turned out wrong stays out of use. A domain goes on where it was, if it had no device and all that
// can be checked is right (may_go_on, is_intact); the content of what it can write cannot. Every other one is stopped, and its
// memory restored before it runs again. If this kernel dies here, the next one reads the same records: each is replaced in
// one piece, by one that checks out as well.
#include "kernel/adopt.h"
#include "abi/words.h"
#include "boot/plan.h"
#include "kernel/call.h"
#include "kernel/channel.h"
#include "kernel/endpoint.h"
#include "kernel/kernel.h"
#include "kernel/schedule.h"
#include <string.h>

// So many lives in a row of less than YOUNG_MS: the kernel may die of a domain that goes on, so all are restarted.
#define YOUNG_MAX 8u
#define YOUNG_MS 200u

static struct domain fresh; // a record in the making: too long for the stack

static bool record_is_sound(const struct core *core, const struct domain *d, unsigned index)
{
	const struct core *former = core->former;
	paddr_t at = (paddr_t)d, end = core->partition + core->frames.count * PAGE_SIZE;
	if (at % PAGE_SIZE != 0 || at < core->memory || at >= end - DOMAIN_PAGES * PAGE_SIZE)
		return false;
	return d->index == index && (d->core == former || d->core == core) && d->generation == former->generations[index] &&
	       d->state > DOMAIN_FREE && d->state <= DOMAIN_DYING && d->base_priority < PRIORITIES &&
	       d->segment_count <= SEGMENT_MAX && (d->epoch || !d->supervisor) && // a supervisor of epoch 0 would begin the system anew
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
		struct heap_block *b = &fresh.heap[i];
		bool inside = b->gpa % PAGE_SIZE == 0 && b->gpa >= GPA_HEAP && b->gpa < GPA_HEAP_END &&
			      b->span <= (GPA_HEAP_END - b->gpa) / PAGE_SIZE;
		inside |= b->gpa == 0 && b->lent > 0; // lent, and given up meanwhile
		b->lent = 0; // grants_claim counts
		if ((b->gpa || b->pages) && (!b->span || b->span != domain_heap_span(b->pages, b->piece) || !inside || !domain_frames_claim(&fresh, b->frames, b->pages)))
			return false;
	}
	return true;
}

// Nothing was under way in it that only the dead kernel knew the end of. The supervisor begins anew in any case, and so does
// whose device may be in any state.
static bool may_go_on(const struct core *core, const struct domain *d)
{
	const struct core *former = core->former;
	bool opens = d->state == DOMAIN_CALLING && (d->callee || d->call_number == CALL_channel_open);
	bool runs = d->state == DOMAIN_READY || d->state == DOMAIN_RUNNING || d->state == DOMAIN_BLOCKED || opens;
	return runs && d != former->current && d != former->serving && d->job.kind == JOB_NONE && !d->unclean && !d->supervisor &&
	       d->window_count == 0 && !(d->flags & DOMAIN_FLAG_DMA) && d->line_used < sizeof(d->line) && core->young < YOUNG_MAX;
}

// CREATED marks it until adopt_finish. A kernel that dies before that leaves nothing that may go on.
static void registers_keep(const struct domain *d)
{
	memcpy(fresh.x, d->x, sizeof(fresh.x));
	memcpy(fresh.f, d->f, sizeof(fresh.f));
	memcpy(fresh.sticky, d->sticky, sizeof(fresh.sticky));
	memcpy(fresh.line, d->line, sizeof(fresh.line));
	memcpy(&fresh.vsstatus, &d->vsstatus, offsetof(struct domain, timer) - offsetof(struct domain, vsstatus));
	memcpy(&fresh.vsepc, &d->vsepc, offsetof(struct domain, sticky) - offsetof(struct domain, vsepc));
	memcpy(fresh.doors, d->doors, sizeof(fresh.doors));
	fresh.serves = d->serves;
	budget_set(&fresh.budget, d->budget.ticks, d->budget.period, time_read());
	fresh.ring = (struct call_ring){.gpa = d->ring.gpa, .next = d->ring.next % CALL_RING_SLOTS, .deadline = fresh.ring.deadline};
	fresh.hvip = d->hvip & 1ul << INTERRUPT_VS_SOFT;
	fresh.hstatus = domain_hstatus(d) & (d->hstatus | ~HSTATUS_SPVP); // it may have been in a program of its own
	fresh.fp = d->fp;
	fresh.ready = d->ready;
	fresh.line_used = d->line_used;
	fresh.event_closed = d->event_closed;
	fresh.event_state = d->event_state;
	fresh.faults = d->faults;
	fresh.state = DOMAIN_CREATED;
	if (d->state == DOMAIN_CALLING) { // its end is given up (channel_claim_all)
		memset(&fresh.x[10], 0, 6 * sizeof(fresh.x[0]));
		fresh.x[10] = d->callee ? ERR_RESTARTED : ERR_AGAIN;
		fresh.x[12] = d->callee != 0; // it may have been received
	} else if (d->receiving) {
		fresh.x[10] = ERR_AGAIN;
	}
}

static bool record_claim(struct core *core, const struct domain *d)
{
	memset(&fresh, 0, sizeof(fresh));
	domain_fill(&fresh, core, d->index);
	fresh.priority = fresh.base_priority = d->base_priority;
	fresh.file = d->file;
	fresh.file_bit = d->file ? 1ul << d->file : 0;
	fresh.flags = d->flags;
	fresh.generation = d->generation;
	fresh.epoch = d->epoch;
	memcpy(fresh.name, d->name, sizeof(fresh.name));
	fresh.supervisor = d->supervisor;
	fresh.frames_quota = d->frames_quota;
	fresh.faults = d->faults + 1;
	fresh.status = (struct domain_status){.state = FAULT_CORE << 8, .time_stopped = time_read(), .time_detected = time_read()};
	if (d->state == DOMAIN_STOPPED) // before: its exit code may be all that somebody waits for
		fresh.status = d->status;
	fresh.unclean = true;
	fresh.state = d->state == DOMAIN_DYING ? DOMAIN_DYING : DOMAIN_STOPPED;
	if (may_go_on(core, d))
		registers_keep(d);
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
	chief_hear(core, former->chief);
	core->young = former->died - former->since < YOUNG_MS * core->plan->timebase / 1000 ? former->young + 1 : 0;
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
	for (unsigned i = 0; i < HEAP_MAX && error == ERR_OK; i++)
		if (d->heap[i].gpa)
			error = domain_heap_map(d, &d->heap[i]);
	return error == ERR_OK;
}

// What it cannot write is as it was loaded, and it stands in its text (but where a translation of its own says what that is).
static bool is_intact(const struct domain *d)
{
	paddr_t text;
	unsigned prot;
	for (unsigned i = 0; i < d->segment_count; i++) {
		const struct segment *s = &d->segments[i];
		const void *content = (const uint8_t *)d->core->plan->boot_image + s->offset;
		if (!(s->prot & PROT_WRITE) && !words_equal((const void *)s->frames, content, s->length))
			return false;
	}
	return d->vsatp || (table_lookup(&d->table, d->x[0], &text, &prot) && (prot & PROT_EXEC));
}

static bool went_on(struct domain *d)
{
	if (d->state != DOMAIN_CREATED)
		return false;
	channel_reborn_all(d);
	if (!is_intact(d) || !channel_go_on_all(d)) {
		channel_unregister_all(d, false);
		return false;
	}
	memset(&d->status, 0, sizeof(d->status)); // it has not died
	d->unclean = false;
	endpoint_check_doors(d);
	call_ring_go_on(d);
	schedule_ready(d);
	domain_info_update(d);
	return true;
}

void adopt_finish(struct core *core)
{
	for (unsigned i = 0; i < DOMAIN_MAX; i++) {
		struct domain *d = core->domains[i];
		if (!d)
			continue;
		bool dying = d->state == DOMAIN_DYING, made = tables_make(d);
		kernel_invariant(core, d->table.root); // there was room for it before
		if (made && went_on(d))
			continue;
		d->state = DOMAIN_STOPPED;
		domain_file_clear(d);
		if (made)
			channel_reborn_all(d);
		bool deposed = d->supervisor && (uint32_t)core->chief != ((uint32_t)core->id << 16 | i); // it is elsewhere now
		d->supervisor = d->supervisor && !deposed;
		if (!made || dying || deposed)
			domain_destroy_begin(d);
		else if (d->supervisor) // nobody but its kernel restarts it
			domain_restore_begin(d);
		if (core->domains[i])
			domain_info_update(d);
	}
}
