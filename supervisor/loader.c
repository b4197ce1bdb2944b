// Loader: domain_create, one domain_load for each segment, the stack, the start-up page, devices.
//
// Owns nothing: the kernel keeps the segments with the offsets of their pristine content, which is what domain_restore
// needs later. It must never copy an image itself, and never leave a half-made domain behind. If the supervisor dies in
// here, a domain in state CREATED remains, which its next incarnation destroys (services_adopt).
#include "supervisor/loader.h"
#include "runtime/kernel_call.h"
#include <string.h>

static enum error loader_load_segments(const struct image *image, const struct manifest_service *record,
				       const struct image_program *program, uint64_t handle)
{
	enum error error = ERR_OK;
	for (unsigned i = 0; i < program->elf.count && !error; i++) {
		const struct elf_segment *s = &program->elf.segments[i];
		error = kcall(CALL_domain_load, handle, s->gpa, s->pages << 8 | s->prot, program->offset + s->offset,
			      s->length)
				.error;
	}
	uint64_t stack = (uint64_t)record->stack_pages << PAGE_SHIFT;
	if (!error)
		error = kcall(CALL_domain_load, handle, GPA_STACK_TOP - stack,
			      (uint64_t)record->stack_pages << 8 | PROT_READ | PROT_WRITE, 0, 0)
				.error;
	if (!error)
		error = kcall(CALL_domain_load, handle, GPA_STARTUP, 1 << 8 | PROT_READ,
			      image_record_offset(image, record), sizeof *record)
				.error;
	return error;
}

static uint64_t loader_flags(const struct manifest_service *record)
{
	uint64_t flags = 0;
	if (record->flags & SERVICE_FLAG_DMA)
		flags |= DOMAIN_FLAG_DMA;
	if (record->flags & SERVICE_FLAG_NO_FILE)
		flags |= DOMAIN_FLAG_NO_FILE;
	if (record->device == DEVICE_UART)
		flags |= DOMAIN_FLAG_CONSOLE;
	return flags;
}

enum error loader_create(const struct image *image, const struct manifest_service *record,
			 const struct image_program *program, unsigned core, struct loader_domain *domain)
{
	uint64_t name[2];
	memcpy(name, record->name, sizeof name);
	struct kernel_result created = kcall(CALL_domain_create, core, name[0], name[1], record->memory_pages,
					     (uint64_t)record->priority << 32 | loader_flags(record));
	if (created.error)
		return created.error;
	*domain = (struct loader_domain){
		.handle = created.value[0],
		.core = core,
		.domain = (unsigned)created.value[1],
		.entry = program->elf.entry,
	};
	enum error error = loader_load_segments(image, record, program, domain->handle);
	if (error) {
		kcall(CALL_domain_destroy, domain->handle);
		domain->handle = 0;
	}
	return error;
}

static enum error attach_device(const struct machine *machine, const struct manifest_service *record,
				struct loader_domain *domain)
{
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
	enum error error = kcall(CALL_domain_load, domain->handle, 0, 0, 0, 0).error; // forget all segments
	if (error)
		return error == ERR_CORE_LOST ? error : ERR_UNSUPPORTED;
	domain->entry = program->elf.entry;
	return loader_load_segments(image, record, program, domain->handle);
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
