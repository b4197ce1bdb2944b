// Domain objects (domain.h).
#include "kernel/domain.h"
#include "abi/boot_image.h"
#include "abi/words.h"
#include "core-local/info.h"
#include "boot/plan.h"
#include "kernel/call.h"
#include "kernel/channel.h"
#include "kernel/endpoint.h"
#include "kernel/grant.h"
#include "kernel/interrupt.h"
#include "kernel/kernel.h"
#include "kernel/mesh.h"
#include "kernel/riscv/imsic.h"
#include "kernel/schedule.h"
#include "kernel/trace.h"
#include <string.h>

#define CHUNK 0x10000ul // bytes copied or cleared in one kernel entry: some 10 us, as long as a switch
#define WATCH_FULL 4u    // weight of a tick that came in time
#define WATCH_PLACE 64u  // bytes of text that are one place to the watch: a loop that hangs is seldom larger than a few of them
#define SUPERVISOR_FUTILE 10u // deaths in a row before it was ready: no restart mends that
#define ROOT_PAGES 4    // a Sv39x4 root is 16 KiB

static uint16_t owner(const struct domain *d)
{
	return (uint16_t)(d->index + 1);
}

// ---- memory

// INV-10: every frame that a domain holds goes through these two.
paddr_t domain_frames(struct domain *d, uint64_t pages, enum error *error)
{
	bool allowed = pages <= d->frames_quota - d->frames_used;
	paddr_t base = allowed ? frames_alloc(&d->core->frames, pages, owner(d)) : 0;
	if (!base)
		*error = allowed ? ERR_NO_MEMORY : ERR_QUOTA;
	d->frames_used += base ? pages : 0;
	return base;
}

void domain_frames_free(struct domain *d, paddr_t base, uint64_t pages)
{
	frames_free(&d->core->frames, base, pages, owner(d));
	d->frames_used -= pages;
}

bool domain_frames_claim(struct domain *d, paddr_t base, uint64_t pages)
{
	bool mine = frames_claim(&d->core->frames, base, pages, owner(d));
	d->frames_used += mine ? pages : 0;
	return mine;
}

static paddr_t table_frame(void *context)
{
	struct domain *d = context;
	return domain_frames(d, 1, &d->table_error);
}

static void table_frame_free(void *context, paddr_t table)
{
	domain_frames_free(context, table, 1);
}

enum error domain_map(struct domain *d, uint64_t gpa, paddr_t pa, uint64_t bytes, unsigned prot)
{
	enum error error = table_map(&d->table, gpa, pa, bytes, prot);
	hfence_gvma_vmid(d->hgatp >> HGATP_VMID_SHIFT & 0x3fff); // that nothing is there may be cached too
	return error == ERR_NO_MEMORY ? d->table_error : error; // quota or memory
}

// INV-6: fenced before anything is freed or acknowledged.
void domain_unmap(struct domain *d, uint64_t gpa, uint64_t bytes)
{
	if (d->ring.slots && d->ring.gpa - gpa < bytes)
		call_ring_end(d);
	table_unmap(&d->table, gpa, bytes);
	hfence_gvma_vmid(d->hgatp >> HGATP_VMID_SHIFT & 0x3fff);
}

// ---- identities

uint32_t domain_identity_take(struct domain *d, unsigned first, unsigned last)
{
	for (unsigned i = first; i <= last && i <= d->core->plan->identities; i++) {
		if (d->identities[i / 64] & 1ul << i % 64)
			continue;
		d->identities[i / 64] |= 1ul << i % 64;
		return i;
	}
	return 0;
}

void domain_identity_give(struct domain *d, unsigned identity)
{
	d->identities[identity / 64] &= ~(1ul << identity % 64);
}

void domain_ring(struct domain *d, uint32_t identity)
{
	trace(d->core, TRACE_RAISE, d->index, identity, 0, 0);
	if (d->file) {
		imsic_ring(d->core->imsic + d->file * PAGE_SIZE, identity); // a blocked domain is woken by SGEI
		return;
	}
	d->sticky[identity / 64 % 4] |= 1ul << identity % 64;
	schedule_sticky(d);
	schedule_wake(d);
}

// ---- life

static unsigned file_take(struct core *core, struct domain *d, uint32_t flags)
{
	if ((flags & DOMAIN_FLAG_NO_FILE) || core->files_free == 0)
		return 0;
	unsigned file = (unsigned)__builtin_ctzl(core->files_free);
	core->files_free &= ~(1ul << file);
	core->file_owner[file] = d;
	return file;
}

// INV-5: nothing that was rung for one incarnation reaches the next.
void domain_file_clear(struct domain *d)
{
	if (!d->file)
		return;
	schedule_unload(d->core);
	imsic_clear_guest(d->file);
	csr_write(CSR_HSTATUS, HSTATUS_VSXL_64);
}

void domain_fill(struct domain *d, struct core *core, unsigned index)
{
	d->core = core;
	d->index = (uint8_t)index;
	d->kernel_sp = core->partition + PARTITION_STACK_TOP;
	d->ran = &core->info->domains[index].run_ticks;
	doors_clear(d->doors);
	d->window_top = GPA_DEVICE;
	d->identities[0] = ((1ul << IDENTITY_DEVICE) - 1) | 1ul << IDENTITY_CALLS; // 0 is none, the others are the kernel's
	d->frames_used = DOMAIN_PAGES;
	d->timer.kind = DEADLINE_DOMAIN_TIMER;
	d->timer.time = DEADLINE_NEVER;
	d->deadline.kind = DEADLINE_CALL;
	d->refill.kind = DEADLINE_REFILL;
	d->tick.kind = DEADLINE_WATCH;
	d->ring.deadline.kind = DEADLINE_CALLS;
	d->timer.index = d->deadline.index = d->tick.index = d->refill.index = d->ring.deadline.index = d->index;
}

enum error domain_root(struct domain *d)
{
	struct core *core = d->core;
	paddr_t root = frames_alloc_aligned(&core->frames, ROOT_PAGES, ROOT_PAGES, owner(d));
	if (!root)
		return ERR_NO_MEMORY;
	memset((void *)root, 0, ROOT_PAGES * PAGE_SIZE);
	d->frames_used += ROOT_PAGES;
	d->table = (struct page_table){(uint64_t *)root, true, table_frame, table_frame_free, d, false};
	d->hgatp = HGATP_SV39X4 | (uint64_t)(core->vmid_usable ? d->index + 1 : 0) << HGATP_VMID_SHIFT | root >> PAGE_SHIFT;
	hfence_gvma_vmid((uint64_t)d->index + 1); // the number was another domain's
	for (unsigned i = 0; i < core->core_count; i++)
		if (domain_map(d, GPA_INFO + i * PAGE_SIZE, (paddr_t)partition_info(core->plan->cores[i].partition),
			       PAGE_SIZE, PROT_READ) != ERR_OK)
			return ERR_QUOTA;
	trace(core, TRACE_NAME, d->index, d->epoch, d->name[0], d->name[1]);
	paddr_t ring = trace_of_domain(core, d->index); // beside the info pages: needs no table
	return ring ? domain_map(d, GPA_TRACE, ring, TRACE_DOMAIN_BYTES, PROT_READ | PROT_WRITE) : ERR_OK;
}

enum error domain_make(struct core *core, const uint64_t name[2], uint64_t quota, unsigned priority, uint32_t flags,
		       struct domain **made)
{
	unsigned place = 0;
	while (place < DOMAIN_MAX && core->domains[place])
		place++;
	if (place == DOMAIN_MAX)
		return ERR_LIMIT;
	if (quota < DOMAIN_PAGES + ROOT_PAGES || priority >= PRIORITIES) // more than the partition has is no harm
		return ERR_INVALID;
	struct domain *d = (struct domain *)frames_alloc(&core->frames, DOMAIN_PAGES, (uint16_t)(place + 1));
	if (!d)
		return ERR_NO_MEMORY;
	memset(d, 0, sizeof(*d));
	domain_fill(d, core, place);
	d->generation = ++core->generations[place];
	d->priority = d->base_priority = (uint8_t)priority;
	d->flags = flags;
	d->state = DOMAIN_CREATED;
	memcpy(d->name, name, sizeof(d->name));
	d->frames_quota = quota;
	d->file = (uint8_t)file_take(core, d, flags);
	d->file_bit = d->file ? 1ul << d->file : 0;
	core->domains[place] = d;
	domain_file_clear(d);
	enum error error = domain_root(d);
	if (error != ERR_OK) {
		domain_destroy_begin(d);
		return error;
	}
	domain_info_update(d);
	*made = d;
	return ERR_OK;
}

uint64_t domain_hstatus(const struct domain *d)
{
	return HSTATUS_VSXL_64 | HSTATUS_SPV | HSTATUS_SPVP | (uint64_t)d->file << HSTATUS_VGEIN_SHIFT |
	       (d->flags & DOMAIN_FLAG_LIBRARY_OS ? 0 : HSTATUS_VTVM);
}

static void registers_reset(struct domain *d)
{
	memset(d->x, 0, sizeof(d->x));
	memset(d->f, 0, sizeof(d->f));
	memset(d->sticky, 0, sizeof(d->sticky));
	d->fp = d->flags & DOMAIN_FLAG_LIBRARY_OS; // which no first use could tell us of
	d->hstatus = domain_hstatus(d);
	d->vsstatus = SSTATUS_UXL_64 | SSTATUS_FS_INITIAL;
	d->hvip = d->vsie = d->vstvec = d->vsscratch = d->vsepc = d->vscause = d->vstval = d->vsiselect = 0;
	d->vstimecmp = DEADLINE_NEVER;
	d->scounteren = HCOUNTEREN_CY_TM_IR;
	d->senvcfg = d->vsatp = 0;
}

void domain_begin(struct domain *d, uint64_t entry, uint64_t sp)
{
	registers_reset(d);
	d->x[0] = entry;
	d->x[2] = sp;
	d->epoch++;
	endpoint_begun(d);
	d->ready = false;
	d->complaints = 0;
	d->event_ping = false;
	if (!d->supervisor) // it reads its own to tell why it died
		memset(&d->status, 0, sizeof(d->status));
	else // about its former life, or who has cause says so again
		memset(d->core->complaints, 0, sizeof(d->core->complaints));
	instruction_fence(); // new text, written by this hart
	trace(d->core, TRACE_BEGIN, d->index, d->epoch, 0, 0);
	channel_adopt_all(d);
	schedule_ready(d);
	domain_info_update(d);
}

void domain_report(struct domain *d)
{
	d->report = true;
	d->core->notices |= 1u << d->index;
}

// Who waits for it is told; one's own (memory, channel) ends with the domain.
static void job_drop(struct domain *d)
{
	if (d->job.kind == JOB_LOAD || d->job.kind == JOB_RESTORE)
		mesh_answer(d->core, d->job.origin, ERR_STATE, call_nothing);
	d->unclean |= d->job.kind != JOB_NONE;
	d->core->jobs &= ~(1u << d->index);
	d->job.kind = JOB_NONE;
}

// Nobody watches the supervisor but its kernel, which does the steps of a restart by itself: domain_job_step starts it.
static void supervisor_revive(struct domain *d, bool was_ready)
{
	const struct domain_status *s = &d->status;
	kernel_print(d->core, "the supervisor stopped: kind %lu, cause %lu, address %lx, pc %lx, ra %lx", s->state >> 8, s->cause,
		     s->address, s->pc, s->ra);
	d->futile = was_ready ? 0 : d->futile + 1;
	if (d->futile == SUPERVISOR_FUTILE) {
		kernel_print(d->core, "the supervisor died %u times before it was ready: it is given up", d->futile);
		return;
	}
	channel_unregister_all(d, false);
	domain_restore_begin(d);
}

void domain_halt(struct domain *d, enum fault_kind kind, uint64_t cause, uint64_t address, uint64_t instruction)
{
	if (d->state == DOMAIN_STOPPED || d->state == DOMAIN_DYING)
		return;
	schedule_remove(d);
	schedule_budget_end(d);
	endpoint_halted(d);
	call_ring_end(d);
	deadline_cancel(&d->core->deadlines, &d->deadline);
	deadline_cancel(&d->core->deadlines, &d->tick);
	job_drop(d);
	d->call_request = 0;
	if (d->line_used > 0) { // its last words
		kernel_log_text(d->core, d->line, d->line_used);
		kernel_log_text(d->core, "\n", 1);
		d->line_used = 0;
	}
	trace(d->core, TRACE_HALT, d->index, d->epoch, kind, cause);
	d->state = DOMAIN_STOPPED;
	bool was_ready = d->ready;
	d->ready = false;
	d->faults++;
	uint64_t now = time_read();
	d->status = (struct domain_status){
	    .state = (uint64_t)kind << 8 | (d->hstatus & HSTATUS_SPVP ? 0 : DOMAIN_STATUS_IN_PROGRAM),
	    .cause = cause, .address = address, .instruction = instruction,
	    .pc = d->x[0], .sp = d->x[2], .ra = d->x[1],
	    .time_stopped = now, .time_detected = kind == FAULT_HANG ? d->watch.answered : now,
	};
	domain_info_update(d);
	domain_report(d);
	if (d->supervisor)
		supervisor_revive(d, was_ready);
}

void domain_info_update(struct domain *d)
{
	struct info_page *page = d->core->info;
	struct info_domain *line = &page->domains[d->index];
	info_begin(page);
	memcpy(line->name, d->name, NAME_SIZE);
	line->state = d->state;
	line->epoch = d->epoch;
	line->priority = d->base_priority;
	line->guest_file = d->file;
	line->frames = (uint32_t)d->frames_used;
	line->faults = d->faults;
	page->frames_free = d->core->frames.free;
	info_end(page);
}

// ---- segments and restoring

enum error domain_segment_add(struct domain *d, const struct segment *s)
{
	enum error error = ERR_OK;
	if (d->segment_count == SEGMENT_MAX)
		return ERR_LIMIT;
	struct segment *n = &d->segments[d->segment_count];
	*n = *s;
	n->frames = domain_frames(d, s->pages, &error);
	if (!n->frames)
		return error;
	error = domain_map(d, s->gpa, n->frames, s->pages * PAGE_SIZE, (unsigned)s->prot);
	if (error != ERR_OK) {
		domain_frames_free(d, n->frames, s->pages);
		return error;
	}
	d->job = (struct job){.kind = JOB_LOAD, .segment = d->segment_count};
	d->segment_count++;
	d->core->jobs |= 1u << d->index;
	return ERR_OK;
}

uint64_t domain_heap_span(uint64_t pages, uint64_t piece)
{
	bool whole = piece > 0 && pages % piece == 0 && pages - 1 < (GPA_HEAP_END - GPA_HEAP) / PAGE_SIZE;
	bool fits = whole && (piece == pages || (piece <= HEAP_PIECES && pages / piece <= HEAP_PIECES));
	return fits ? pages + pages / piece : 0;
}

enum error domain_heap_map(struct domain *d, const struct heap_block *b) // INV-78
{
	enum error error = ERR_OK;
	unsigned prot = PROT_READ | PROT_WRITE | (d->flags & DOMAIN_FLAG_LIBRARY_OS ? PROT_EXEC : 0); // text of its programs
	for (uint64_t i = 0, bytes = b->piece * PAGE_SIZE; i < b->pages / b->piece && error == ERR_OK; i++)
		error = domain_map(d, b->gpa + i * (bytes + PAGE_SIZE), b->frames + i * bytes, bytes, prot);
	return error;
}

void domain_heap_free(struct domain *d, struct heap_block *b)
{
	if (b->gpa)
		domain_unmap(d, b->gpa, (b->span - 1) * PAGE_SIZE);
	b->gpa = 0;
	if (b->lent > 0) { // INV-71; those that are not taken end. What has ended may have been said without a ring
		for (unsigned i = 0; i < CHANNEL_MAX; i++)
			d->ends[i].tell_grants = true;
		d->core->notices |= 1u << d->index;
		imsic_ring(d->core->imsic, MESH_IDENTITY);
		return;
	}
	domain_frames_free(d, b->frames, b->pages);
	b->pages = 0;
}

static void heap_free(struct domain *d)
{
	for (unsigned i = 0; i < HEAP_MAX; i++)
		if (d->heap[i].pages)
			domain_heap_free(d, &d->heap[i]);
}

void domain_restore_begin(struct domain *d)
{
	trace(d->core, TRACE_RESTORE, d->index, d->epoch, 0, 0);
	heap_free(d);
	domain_file_clear(d);
	channel_restart_all(d);
	d->event_request = d->event_closed = d->event_state = 0;
	d->job = (struct job){.kind = JOB_RESTORE};
	d->core->jobs |= 1u << d->index;
}

// INV-15. A page that its domain could not write is compared first: so its text is verified, and an emulator that has
// translated it need not do so again. What follows the content in such a page was cleared when it was loaded.
static bool page_is_pristine(const struct domain *d, const struct segment *s, const uint8_t *to, const uint8_t *from,
			     uint64_t content)
{
	return !d->unclean && d->job.kind == JOB_RESTORE && !(s->prot & PROT_WRITE) && words_equal(to, from, content);
}

static void page_fill(struct domain *d, const struct segment *s, uint64_t at)
{
	const uint8_t *from = (const uint8_t *)d->core->plan->boot_image + s->offset + at;
	uint8_t *to = (uint8_t *)s->frames + at;
	uint64_t content = s->length > at ? s->length - at : 0;
	if (content > PAGE_SIZE)
		content = PAGE_SIZE;
	if (page_is_pristine(d, s, to, from, content))
		return;
	memcpy(to, from, content);
	memset(to + content, 0, PAGE_SIZE - content);
}

// One chunk of a segment: content from the boot image, zero behind it. True when the segment is whole.
static bool segment_fill(struct domain *d, struct job *job)
{
	const struct segment *s = &d->segments[job->segment];
	uint64_t bytes = s->pages * PAGE_SIZE, end = job->done + CHUNK < bytes ? job->done + CHUNK : bytes;
	for (uint64_t at = job->done; at < end; at += PAGE_SIZE)
		page_fill(d, s, at);
	job->done = end;
	return end == bytes;
}

static bool clear_chunk(struct job *job)
{
	uint64_t left = job->bytes - job->done, n = left < CHUNK ? left : CHUNK;
	memset((uint8_t *)job->base + job->done, 0, n);
	job->done += n;
	return job->done == job->bytes;
}

static bool job_step(struct domain *d, struct job *job)
{
	if (job->kind == JOB_CLEAR || job->kind == JOB_OPEN)
		return clear_chunk(job);
	if (job->kind == JOB_RESTORE && job->segment >= d->segment_count)
		return true;
	if (!segment_fill(d, job))
		return false;
	job->segment++;
	job->done = 0;
	return job->kind == JOB_LOAD || job->segment == d->segment_count;
}

void domain_job_step(struct domain *d)
{
	if (!job_step(d, &d->job))
		return;
	struct job done = d->job;
	d->job.kind = JOB_NONE;
	d->core->jobs &= ~(1u << d->index);
	if (done.kind == JOB_OPEN) {
		channel_open_send(d);
		return;
	}
	if (done.kind == JOB_RESTORE) {
		d->unclean = false;
		trace(d->core, TRACE_RESTORED, d->index, d->epoch, 0, 0);
	}
	if (done.kind == JOB_RESTORE && d->supervisor) {
		domain_begin(d, ((const struct boot_image *)d->core->plan->boot_image)->first_entry, GPA_STACK_TOP);
		return;
	}
	uint64_t value[5] = {done.value};
	mesh_answer(d->core, done.origin, ERR_OK, value);
}

// ---- end

void domain_segments_forget(struct domain *d)
{
	for (unsigned i = 0; i < d->segment_count; i++) {
		domain_unmap(d, d->segments[i].gpa, d->segments[i].pages * PAGE_SIZE);
		domain_frames_free(d, d->segments[i].frames, d->segments[i].pages);
	}
	d->segment_count = 0;
	d->serves = false; // its next incarnations do, if the program does
}

static void windows_free(struct domain *d)
{
	for (unsigned i = 0; i < d->window_count; i++) {
		interrupt_release(d, &d->windows[i]);
		domain_unmap(d, d->windows[i].gpa, d->windows[i].bytes);
	}
	d->window_count = 0;
}

void domain_destroy_begin(struct domain *d)
{
	domain_halt(d, FAULT_KILLED, 0, 0, 0);
	d->report = false;
	job_drop(d);
	endpoint_destroyed(d);
	heap_free(d);
	domain_segments_forget(d);
	windows_free(d);
	channel_close_all(d);
	trace(d->core, TRACE_DESTROY, d->index, d->epoch, 0, 0);
	d->state = DOMAIN_DYING; // only now: the last end to go buries it
	domain_info_update(d);
	domain_bury_if_free(d);
}

static void root_free(struct domain *d)
{
	table_unmap(&d->table, 0, GPA_END); // what is left: info pages, and what a record of a former life did not know of
	hfence_gvma_vmid((uint64_t)d->index + 1);
	frames_free(&d->core->frames, (paddr_t)d->table.root, ROOT_PAGES, owner(d));
}

void domain_bury_if_free(struct domain *d)
{
	struct core *core = d->core;
	if (d->state != DOMAIN_DYING || !channel_none_left(d))
		return;
	unsigned index = d->index;
	uint16_t own = owner(d);
	deadline_cancel(&core->deadlines, &d->tick); // a watch can be set when it is stopped already
	if (core->current == d)
		schedule_unload(core);
	domain_file_clear(d);
	if (d->file) { // every sender's mapping is gone with the last end (KERNEL rule 6)
		core->files_free |= 1ul << d->file;
		core->file_owner[d->file] = 0;
	}
	if (d->table.root)
		root_free(d);
	d->state = DOMAIN_FREE; // for a reborn kernel that finds what was here
	core->domains[index] = 0;
	core->notices &= ~(1u << index);
	core->jobs &= ~(1u << index);
	core->rings &= ~(1u << index);
	frames_free(&core->frames, (paddr_t)d, DOMAIN_PAGES, own);
	info_begin(core->info);
	memset(&core->info->domains[index], 0, sizeof(core->info->domains[index]));
	for (unsigned i = 0; i < INFO_SERVICE_MAX; i++) // or its clients would find the next one in its place
		if (core->info->services[i].domain == index)
			memset(&core->info->services[i], 0, sizeof(core->info->services[i]));
	core->info->frames_free = core->frames.free;
	info_end(core->info);
}

// ---- watch

uint64_t domain_run_ticks(struct domain *d)
{
	d->core->info->domains[d->index].traps = d->traps;
	if (d->core->current == d) {
		uint64_t now = time_read();
		*d->ran += now - d->run_since;
		d->run_since = now;
	}
	return *d->ran;
}

// It cannot have slept in its own wfi for longer than it had the core: what it counts beyond that, others ran.
void domain_slept(struct domain *d, uint64_t asleep)
{
	struct watch *w = &d->watch;
	uint64_t slept = asleep >= w->asleep ? asleep - w->asleep : asleep; // a new incarnation counts anew
	uint64_t ran = domain_run_ticks(d);
	d->core->info->domains[d->index].idle_ticks += slept < ran - w->ran_at_pong ? slept : ran - w->ran_at_pong;
	w->asleep = asleep;
	w->ran_at_pong = ran;
}

// Did it have the core since the last tick, or sleep in spite of the ring? Waiting for the core, or for another
// kernel's answer, is not its fault.
static bool watch_had_its_chance(struct domain *d)
{
	uint64_t ran = domain_run_ticks(d);
	bool enough = ran - d->watch.ran >= d->watch.tick / 4;
	d->watch.ran = ran;
	return enough || d->state == DOMAIN_BLOCKED;
}

// What a tick takes off the patience (decision 0004). One that comes late was held up by the host, and so was the domain; and who is
// where no tick found it since the ping gets on, if slowly, as when an emulator translates what runs for the first time.
static uint32_t watch_weight(const struct domain *d, uint64_t place)
{
	return time_read() - d->tick.time > d->watch.tick / 2 || !(d->watch.places & place) ? 1 : WATCH_FULL;
}

void domain_watch_tick(struct domain *d)
{
	struct watch *w = &d->watch;
	if (w->tick == 0 || d->state == DOMAIN_STOPPED || d->state == DOMAIN_DYING)
		return;
	uint64_t place = 1ul << d->x[0] / WATCH_PLACE % 64;
	uint32_t weight = w->outstanding && watch_had_its_chance(d) ? watch_weight(d, place) : 0;
	w->left -= weight < w->left ? weight : w->left;
	if (w->outstanding && w->left == 0) {
		domain_halt(d, FAULT_HANG, 0, 0, 0);
		return;
	}
	w->places = place | (w->outstanding ? w->places : 0); // a loop that began before the ping is known from it
	if (!w->outstanding && d->ready) {
		w->outstanding = true;
		w->left = w->ticks * WATCH_FULL;
		w->number++;
		d->event_ping = true;
		domain_ring(d, IDENTITY_EVENT);
	}
	deadline_arm(&d->core->deadlines, &d->tick, time_read() + w->tick);
}
