// Loader: domain_create, one domain_load for each segment, the stack, the start-up page, domain_start; devices.
//
// Several domains are made in one batch of calls (docs/async-calls.md): a step of each, then the next of each, so that the kernels of several cores work at the same time.
// Owns nothing: the kernel keeps the segments with the offsets of their pristine content, which is what domain_restore
// needs later. It must never copy an image itself, and never leave a half-made domain behind. If the supervisor dies in
// here, a domain in state CREATED remains, which its next incarnation destroys (services_adopt), or one that was started, which it adopts.
#include "supervisor/loader.h"
#include "runtime/call_ring.h"
#include <string.h>

#define LOADER_STEPS (ELF_SEGMENT_MAX + 4u) // create, load its segments, stack and start-up page, start
#define LOADER_BATCH (CALL_RING_SLOTS / LOADER_STEPS)

// The segment of that number, with its place in the boot image: those of the file, the stack, the start-up page. False: there are no more.
static bool loader_segment(const struct image *image, const struct manifest_service *record,
			   const struct image_program *program, unsigned number, struct elf_segment *s)
{
	unsigned count = program->elf.count;
	if (number < count) {
		*s = program->elf.segments[number];
		s->offset += program->offset;
	} else if (number == count) {
		*s = (struct elf_segment){.pages = record->stack_pages, .prot = PROT_READ | PROT_WRITE};
		s->gpa = GPA_STACK_TOP - (s->pages << PAGE_SHIFT);
	} else {
		*s = (struct elf_segment){GPA_STARTUP, 1, PROT_READ, image_record_offset(image, record), sizeof *record};
	}
	return number < count + 2;
}

static uint64_t loader_flags(const struct manifest_service *record)
{
	uint64_t flags = 0;
	if (record->flags & SERVICE_FLAG_DMA)
		flags |= DOMAIN_FLAG_DMA;
	if (record->flags & SERVICE_FLAG_NO_FILE)
		flags |= DOMAIN_FLAG_NO_FILE;
	if (record->flags & SERVICE_FLAG_LIBRARY_OS)
		flags |= DOMAIN_FLAG_LIBRARY_OS;
	if (record->device == DEVICE_UART)
		flags |= DOMAIN_FLAG_CONSOLE;
	return flags;
}

// Adds that step of one domain to the batch, if it has so many.
static void loader_add(const struct image *image, struct loader_order *o, unsigned step)
{
	const struct manifest_service *r = o->record;
	struct elf_segment s;
	uint64_t name[2];
	memcpy(name, r->name, sizeof name);
	if (step == 0)
		o->made = o->last = calls_add(CALL_domain_create, CALLS_NONE, CALLS_NONE, o->core, name[0], name[1], r->memory_pages,
					      (uint64_t)r->priority << 32 | loader_flags(r), 0);
	else if (loader_segment(image, r, &o->program, step - 1, &s))
		o->last = calls_add(CALL_domain_load, o->last, o->made, 0, s.gpa, s.pages << 8 | s.prot, s.offset, s.length, 0);
	else if (step == o->program.elf.count + 3 && o->start)
		o->last = calls_add(CALL_domain_start, o->last, o->made, 0, o->program.elf.entry, GPA_STACK_TOP, 0, 0, 0);
}

static void loader_settle(struct loader_order *o)
{
	struct kernel_result made = calls_result(o->made), last = calls_result(o->last);
	*o->domain = (struct loader_domain){.core = o->core, .domain = (unsigned)made.value[1], .entry = o->program.elf.entry};
	o->error = last.error;
	o->epoch = o->start ? (uint32_t)last.value[0] : 0;
	if (made.error)
		return;
	if (o->error)
		kcall(CALL_domain_destroy, made.value[0]);
	else
		o->domain->handle = made.value[0];
}

void loader_create(const struct image *image, struct loader_order *orders, unsigned count)
{
	for (unsigned first = 0; first < count; first += LOADER_BATCH) {
		unsigned end = count - first < LOADER_BATCH ? count : first + LOADER_BATCH;
		calls_begin();
		for (unsigned step = 0; step < LOADER_STEPS; step++)
			for (unsigned i = first; i < end; i++)
				loader_add(image, &orders[i], step);
		calls_perform();
		for (unsigned i = first; i < end; i++)
			loader_settle(&orders[i]);
	}
}

static enum error attach_device(const struct machine *machine, const struct manifest_service *record,
				struct loader_domain *domain)
{
	if (!loader_needs_device(record) && !loader_device_exists(machine, record))
		return ERR_OK; // its component is absent then
	switch (record->device) {
	case DEVICE_NONE:
		return ERR_OK;
	case DEVICE_UART:
		return record->device_index ? ERR_NOT_FOUND : machine_uart_attach(machine, domain->handle);
	default:
		domain->device = pci_device_find(record->device, record->device_index);
		return domain->device ? pci_device_attach(domain->device, domain->handle) : ERR_NOT_FOUND;
	}
}

enum error loader_attach(const struct machine *machine, const struct manifest_service *record,
			 struct loader_domain *domain)
{
	enum error error = attach_device(machine, record, domain);
	domain->attached = error == ERR_OK;
	return error;
}

enum error loader_replace(const struct image *image, const struct manifest_service *record,
			  const struct image_program *program, struct loader_domain *domain)
{
	struct elf_segment s;
	enum error error = kcall(CALL_domain_load, domain->handle, 0, 0, 0, 0).error; // forget all segments
	if (error)
		return error == ERR_CORE_LOST ? error : ERR_UNSUPPORTED;
	domain->entry = program->elf.entry;
	for (unsigned i = 0; !error && loader_segment(image, record, program, i, &s); i++)
		error = kcall(CALL_domain_load, domain->handle, s.gpa, s.pages << 8 | s.prot, s.offset, s.length).error;
	return error;
}

bool loader_needs_device(const struct manifest_service *record)
{
	return record->device_component == 0;
}

bool loader_device_exists(const struct machine *machine, const struct manifest_service *record)
{
	switch (record->device) {
	case DEVICE_NONE:
		return true;
	case DEVICE_UART:
		return machine->uart.bytes != 0 && record->device_index == 0;
	default:
		return pci_device_find(record->device, record->device_index) != 0;
	}
}
