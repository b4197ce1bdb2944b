// Symbols of a domain's image, for the two lines that tell of a crash.
//
// Owns nothing and keeps nothing. It must never trust the file: each header is copied out and each range compared with
// the file's size before it is read. A walk over the table, not a search: it runs after the restart, once for each
// crash, and is not to keep the core from who was restarted on it: most entries are left by one byte. Facts: System V ABI, chapter 4 (sections, symbol table).
#include "supervisor/symbols.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct symbols_section {
	uint32_t name;
	uint32_t type;
	uint64_t flags;
	uint64_t address;
	uint64_t offset;
	uint64_t bytes;
	uint32_t link;
	uint32_t info;
	uint64_t align;
	uint64_t entry_bytes;
};
_Static_assert(sizeof(struct symbols_section) == 64, "an ELF64 section header is 64 bytes");

struct symbols_entry { // wherever it lies in the file
	uint32_t name;
	uint8_t info;
	uint8_t other;
	uint16_t section;
	uint64_t value;
	uint64_t bytes;
} __attribute__((packed));
_Static_assert(sizeof(struct symbols_entry) == 24, "an ELF64 symbol is 24 bytes");

#define SYMBOLS_TABLE 2u // section type
#define SYMBOLS_FUNCTION 2u
#define SYMBOLS_SECTION_OFFSET 40u // where the ELF header says where the section headers are, and how many
#define SYMBOLS_SECTION_COUNT 60u
#define SYMBOLS_HEADER 64u

struct symbols_file {
	const uint8_t *base;
	size_t bytes;
};

static bool symbols_inside(const struct symbols_file *file, uint64_t offset, uint64_t bytes)
{
	return offset <= file->bytes && bytes <= file->bytes - offset;
}

static bool symbols_get_section(const struct symbols_file *file, unsigned index, struct symbols_section *section)
{
	uint64_t table;
	uint16_t count;
	if (!symbols_inside(file, 0, SYMBOLS_HEADER))
		return false;
	memcpy(&table, file->base + SYMBOLS_SECTION_OFFSET, sizeof table);
	memcpy(&count, file->base + SYMBOLS_SECTION_COUNT, sizeof count);
	if (index >= count || !symbols_inside(file, table, (uint64_t)count * sizeof *section))
		return false;
	memcpy(section, file->base + table + index * sizeof *section, sizeof *section);
	return true;
}

static bool symbols_find_tables(const struct symbols_file *file, struct symbols_section *table,
				struct symbols_section *strings)
{
	for (unsigned i = 0; symbols_get_section(file, i, table); i++) {
		if (table->type == SYMBOLS_TABLE)
			return symbols_inside(file, table->offset, table->bytes) &&
			       symbols_get_section(file, table->link, strings) &&
			       symbols_inside(file, strings->offset, strings->bytes);
	}
	return false;
}

// The function with the highest address that is not above pc.
static bool symbols_find(const struct symbols_file *file, const struct symbols_section *table, uint64_t pc,
			 struct symbols_entry *best)
{
	bool found = false;
	for (uint64_t at = 0; at + sizeof *best <= table->bytes; at += sizeof *best) {
		const struct symbols_entry *entry = (const struct symbols_entry *)(file->base + table->offset + at);
		if ((entry->info & 15) != SYMBOLS_FUNCTION)
			continue;
		uint64_t value = entry->value;
		if (value > pc || (found && value <= best->value) || !entry->name)
			continue;
		*best = *entry;
		found = true;
	}
	return found;
}

void symbols_describe(const void *base, size_t bytes, uint64_t pc, char *out, size_t out_size)
{
	struct symbols_file file = {base, bytes};
	struct symbols_section table, strings;
	struct symbols_entry entry = {0};
	if (out_size)
		out[0] = 0;
	if (!symbols_find_tables(&file, &table, &strings) || !symbols_find(&file, &table, pc, &entry))
		return;
	if (entry.name >= strings.bytes || pc - entry.value > entry.bytes + 0x1000)
		return; // nameless, or too far away to mean anything
	const char *name = (const char *)file.base + strings.offset + entry.name;
	size_t room = strings.bytes - entry.name;
	snprintf(out, out_size, "%.*s+0x%lx", (int)(room < 64 ? room : 64), name, (unsigned long)(pc - entry.value));
}
