// ELF files of domains: nothing of them is believed before it is checked.
//
// Owns nothing and keeps nothing. It must never let a segment through that reaches outside the file or the window of
// images, that is writable and executable, or that shares a page with another. Right because elf_read copies each
// header out of the file (no alignment is assumed) and each sum is compared by subtraction from a checked bound.
// Facts: System V ABI, chapters 4 and 5 (ELF-64); RISC-V ELF psABI (machine 243).
// If the supervisor dies here: nothing of the file was loaded yet, and domains that run do not need it; the next
// incarnation reads it again.
#include "supervisor/elf.h"
#include "abi/call.h"
#include "abi/layout.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct elf_header {
	uint8_t ident[16];
	uint16_t type;
	uint16_t machine;
	uint32_t version;
	uint64_t entry;
	uint64_t program_offset;
	uint64_t section_offset;
	uint32_t flags;
	uint16_t header_size;
	uint16_t program_size;
	uint16_t program_count;
	uint16_t section_size;
	uint16_t section_count;
	uint16_t section_names;
};
_Static_assert(sizeof(struct elf_header) == 64, "an ELF64 header is 64 bytes");

struct elf_program {
	uint32_t type;
	uint32_t flags;
	uint64_t offset;
	uint64_t address;
	uint64_t physical;
	uint64_t file_bytes;
	uint64_t memory_bytes;
	uint64_t align;
};
_Static_assert(sizeof(struct elf_program) == 56, "an ELF64 program header is 56 bytes");

#define ELF_TYPE_EXEC 2u
#define ELF_MACHINE_RISCV 243u
#define ELF_LOAD 1u
#define ELF_DYNAMIC 2u
#define ELF_INTERPRETER 3u
#define ELF_FLAG_EXEC 1u
#define ELF_FLAG_WRITE 2u
#define ELF_FLAG_READ 4u
// Headers looked at. A linker script of ours makes 5; more than 32 is no file of ours.
#define ELF_PROGRAM_MAX 32u

struct elf_check {
	const uint8_t *file;
	size_t bytes;
	struct elf_image *image;
	char *why;
	size_t why_size;
};

static enum error elf_bad(struct elf_check *check, enum error error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static enum error elf_bad(struct elf_check *check, enum error error, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	vsnprintf(check->why, check->why_size, format, list);
	va_end(list);
	return error;
}

static enum error elf_check_header(struct elf_check *check, struct elf_header *h)
{
	static const uint8_t ident[7] = {0x7f, 'E', 'L', 'F', 2, 1, 1}; // 64 bits, little-endian, version 1
	if (check->bytes < sizeof *h)
		return elf_bad(check, ERR_CORRUPT, "the file has %zu bytes, an ELF header alone has %zu", check->bytes,
			       sizeof *h);
	memcpy(h, check->file, sizeof *h);
	if (memcmp(h->ident, ident, 4) != 0)
		return elf_bad(check, ERR_CORRUPT, "the file is no ELF file");
	if (memcmp(h->ident, ident, sizeof ident) != 0)
		return elf_bad(check, ERR_UNSUPPORTED, "the file is not 64-bit little-endian ELF of version 1");
	if (h->machine != ELF_MACHINE_RISCV)
		return elf_bad(check, ERR_UNSUPPORTED, "the file is for machine %u, not RISC-V (%u)", h->machine,
			       ELF_MACHINE_RISCV);
	if (h->type != ELF_TYPE_EXEC)
		return elf_bad(check, ERR_UNSUPPORTED, "the file is of type %u, not an executable (%u)", h->type,
			       ELF_TYPE_EXEC);
	if (h->program_size != sizeof(struct elf_program))
		return elf_bad(check, ERR_CORRUPT, "its program headers have %u bytes each, not %zu", h->program_size,
			       sizeof(struct elf_program));
	if (h->program_count == 0 || h->program_count > ELF_PROGRAM_MAX)
		return elf_bad(check, ERR_CORRUPT, "%u program headers are not between 1 and %u", h->program_count,
			       ELF_PROGRAM_MAX);
	size_t table = h->program_count * sizeof(struct elf_program);
	if (h->program_offset > check->bytes || table > check->bytes - h->program_offset)
		return elf_bad(check, ERR_CORRUPT, "the program headers at %lu reach beyond the file's %zu bytes",
			       (unsigned long)h->program_offset, check->bytes);
	return ERR_OK;
}

static enum error elf_check_ranges(struct elf_check *check, const struct elf_program *p)
{
	unsigned long address = (unsigned long)p->address;
	if (p->address % PAGE_SIZE)
		return elf_bad(check, ERR_UNSUPPORTED, "the segment at 0x%lx does not begin on a page", address);
	if (p->file_bytes > p->memory_bytes)
		return elf_bad(check, ERR_CORRUPT, "the segment at 0x%lx has %lu bytes in the file but %lu in memory",
			       address, (unsigned long)p->file_bytes, (unsigned long)p->memory_bytes);
	if (p->offset > check->bytes || p->file_bytes > check->bytes - p->offset)
		return elf_bad(check, ERR_CORRUPT, "the segment at 0x%lx reaches beyond the file's %zu bytes", address,
			       check->bytes);
	if (p->address < GPA_IMAGE || p->address >= GPA_IMAGE_END || p->memory_bytes > GPA_IMAGE_END - p->address)
		return elf_bad(check, ERR_UNSUPPORTED, "the segment at 0x%lx is not inside 0x%lx to 0x%lx", address,
			       GPA_IMAGE, GPA_IMAGE_END);
	if ((p->flags & ELF_FLAG_WRITE) && (p->flags & ELF_FLAG_EXEC))
		return elf_bad(check, ERR_UNSUPPORTED, "the segment at 0x%lx is writable and executable", address);
	if (!(p->flags & ELF_FLAG_READ))
		return elf_bad(check, ERR_UNSUPPORTED, "the segment at 0x%lx is not readable", address);
	return ERR_OK;
}

static enum error elf_check_overlap(struct elf_check *check, const struct elf_segment *segment)
{
	for (unsigned i = 0; i < check->image->count; i++) {
		const struct elf_segment *other = &check->image->segments[i];
		if (segment->gpa < other->gpa + other->pages * PAGE_SIZE &&
		    other->gpa < segment->gpa + segment->pages * PAGE_SIZE)
			return elf_bad(check, ERR_CORRUPT, "the segments at 0x%lx and 0x%lx share a page",
				       (unsigned long)other->gpa, (unsigned long)segment->gpa);
	}
	return ERR_OK;
}

static enum error elf_add_segment(struct elf_check *check, const struct elf_program *p)
{
	enum error error = elf_check_ranges(check, p);
	if (error)
		return error;
	if (check->image->count == ELF_SEGMENT_MAX)
		return elf_bad(check, ERR_UNSUPPORTED, "it has more than %u segments", ELF_SEGMENT_MAX);
	struct elf_segment segment = {
		.gpa = p->address,
		.pages = (p->memory_bytes + PAGE_SIZE - 1) / PAGE_SIZE,
		.prot = PROT_READ | (p->flags & ELF_FLAG_WRITE ? PROT_WRITE : 0) |
			(p->flags & ELF_FLAG_EXEC ? PROT_EXEC : 0),
		.offset = p->offset,
		.length = p->file_bytes,
	};
	error = elf_check_overlap(check, &segment);
	if (!error)
		check->image->segments[check->image->count++] = segment;
	return error;
}

static enum error elf_check_entry(struct elf_check *check)
{
	const struct elf_image *image = check->image;
	for (unsigned i = 0; i < image->count; i++) {
		const struct elf_segment *s = &image->segments[i];
		if ((s->prot & PROT_EXEC) && image->entry >= s->gpa && image->entry - s->gpa < s->length &&
		    image->entry % 2 == 0)
			return ERR_OK;
	}
	return elf_bad(check, ERR_CORRUPT, "the entry 0x%lx is not inside an executable segment",
		       (unsigned long)image->entry);
}

enum error elf_read(const void *file, size_t bytes, struct elf_image *image, char *why, size_t why_size)
{
	struct elf_check check = {file, bytes, image, why, why_size};
	struct elf_header header;
	enum error error = elf_check_header(&check, &header);
	if (error)
		return error;
	image->entry = header.entry;
	image->count = 0;
	for (unsigned i = 0; i < header.program_count; i++) {
		struct elf_program p;
		memcpy(&p, check.file + header.program_offset + i * sizeof p, sizeof p);
		if (p.type == ELF_DYNAMIC || p.type == ELF_INTERPRETER)
			return elf_bad(&check, ERR_UNSUPPORTED, "it is linked dynamically");
		if (p.type != ELF_LOAD || p.memory_bytes == 0)
			continue;
		error = elf_add_segment(&check, &p);
		if (error)
			return error;
	}
	return elf_check_entry(&check);
}

static const struct elf_segment *elf_constant_segment(const struct elf_image *image, uint64_t gpa)
{
	for (unsigned i = 0; i < image->count; i++) {
		const struct elf_segment *s = &image->segments[i];
		if (!(s->prot & PROT_WRITE) && gpa >= s->gpa && gpa - s->gpa < s->length)
			return s;
	}
	return 0;
}

bool elf_text(const void *file, const struct elf_image *image, uint64_t gpa, char *out, size_t out_size)
{
	const struct elf_segment *s = elf_constant_segment(image, gpa);
	out[0] = 0;
	if (!s)
		return false;
	const char *text = (const char *)file + s->offset + (gpa - s->gpa);
	size_t room = s->length - (gpa - s->gpa), n = 0;
	while (n < room && n < out_size - 1 && text[n] >= ' ' && text[n] <= '~')
		n++;
	if (n == 0 || n == room || (n < out_size - 1 && text[n] != 0))
		return false;
	memcpy(out, text, n);
	out[n] = 0;
	return true;
}
