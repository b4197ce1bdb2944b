// See build.h.
#include "build.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void build_add(struct build *build, const void *data, size_t bytes)
{
	build->data = realloc(build->data, build->bytes + bytes + 1);
	if (bytes)
		memcpy(build->data + build->bytes, data, bytes);
	build->bytes += bytes;
}

void build_align(struct build *build, size_t boundary)
{
	static const uint8_t zero[PAGE_SIZE];
	build_add(build, zero, (boundary - build->bytes % boundary) % boundary);
}

void build_free(struct build *build)
{
	free(build->data);
	*build = (struct build){0};
}

static void build_name(char name[NAME_SIZE], const char *text)
{
	memset(name, 0, NAME_SIZE);
	memcpy(name, text, strlen(text));
}

struct manifest_service build_service(const char *name)
{
	struct manifest_service s = {
		.core = CORE_ANY,
		.priority = 4,
		.flags = SERVICE_FLAG_AUTOSTART,
		.memory_pages = 1024,
		.stack_pages = 16,
		.burst = 3,
		.window_ms = 1000,
		.delay_ms = 0,
		.hang_ms = 10,
	};
	build_name(s.name, name);
	build_name(s.image, name);
	return s;
}

void build_serves(struct manifest_service *service, const char *name)
{
	build_name(service->serves[service->serves_count++], name);
}

void build_uses(struct manifest_service *service, const char *name)
{
	build_name(service->uses[service->uses_count++], name);
}

struct build build_manifest(const struct manifest_service *services, unsigned count)
{
	struct build b = {0};
	struct manifest_header h = {
		.magic = MANIFEST_MAGIC,
		.version = MANIFEST_VERSION,
		.bytes = (uint32_t)(sizeof h + count * sizeof services[0]),
		.service_count = count,
		.system = "test",
	};
	build_add(&b, &h, sizeof h);
	build_add(&b, services, count * sizeof services[0]);
	if (count)
		((struct manifest_service *)(b.data + sizeof h))->flags |= SERVICE_FLAG_FIRST;
	return b;
}

void build_cpio_entry(struct build *cpio, const char *name, uint32_t mode, const void *data, size_t bytes)
{
	char header[111];
	snprintf(header, sizeof header, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", 1u, mode, 0u, 0u, 1u,
		 0u, (unsigned)bytes, 0u, 0u, 0u, 0u, (unsigned)strlen(name) + 1, 0u);
	build_add(cpio, header, 110);
	build_add(cpio, name, strlen(name) + 1);
	build_align(cpio, 4);
	build_add(cpio, data, bytes);
	build_align(cpio, 4);
}

void build_cpio_end(struct build *cpio)
{
	build_cpio_entry(cpio, "TRAILER!!!", 0, "", 0);
}

static void build_put(uint8_t *at, uint64_t value, unsigned bytes)
{
	memcpy(at, &value, bytes);
}

static void build_section(struct build *b, uint32_t type, uint64_t offset, uint64_t bytes, uint32_t link)
{
	uint8_t section[64] = {0};
	build_put(section + 4, type, 4);
	build_put(section + 24, offset, 8);
	build_put(section + 32, bytes, 8);
	build_put(section + 40, link, 4);
	build_add(b, section, sizeof section);
}

static void build_symbol(struct build *b, uint32_t name, uint64_t value, uint64_t bytes)
{
	uint8_t symbol[24] = {0};
	build_put(symbol, name, 4);
	symbol[4] = 0x12; // global function
	build_put(symbol + 8, value, 8);
	build_put(symbol + 16, bytes, 8);
	build_add(b, symbol, sizeof symbol);
}

static void build_symbols(struct build *b, uint64_t text)
{
	static const char strings[] = "\0main\0helper";
	build_align(b, 8);
	size_t table = b->bytes;
	build_symbol(b, 0, 0, 0);
	build_symbol(b, 1, text, 32);
	build_symbol(b, 6, text + 32, 64);
	size_t names = b->bytes;
	build_add(b, strings, sizeof strings);
	build_align(b, 8);
	build_put(b->data + 40, b->bytes, 8);
	build_put(b->data + 58, 64, 2);
	build_put(b->data + 60, 3, 2);
	build_section(b, 0, 0, 0, 0);
	build_section(b, 2, table, names - table, 2);
	build_section(b, 3, names, sizeof strings, 0);
}

struct build build_elf(const struct build_segment *segments, unsigned count)
{
	static const uint8_t ident[8] = {0x7f, 'E', 'L', 'F', 2, 1, 1, 0};
	struct build b = {0};
	uint8_t header[64] = {0};
	memcpy(header, ident, sizeof ident);
	build_put(header + 16, 2, 2);
	build_put(header + 18, 243, 2);
	build_put(header + 20, 1, 4);
	build_put(header + 24, count ? segments[0].address : 0, 8);
	build_put(header + 32, 64, 8);
	build_put(header + 52, 64, 2);
	build_put(header + 54, 56, 2);
	build_put(header + 56, count, 2);
	build_add(&b, header, sizeof header);
	uint64_t offset = 64 + 56ull * count;
	for (unsigned i = 0; i < count; i++) {
		uint8_t program[56] = {0};
		build_put(program, 1, 4);
		build_put(program + 4, segments[i].flags, 4);
		build_put(program + 8, offset, 8);
		build_put(program + 16, segments[i].address, 8);
		build_put(program + 32, segments[i].file_bytes, 8);
		build_put(program + 40, segments[i].memory_bytes, 8);
		build_add(&b, program, sizeof program);
		offset += segments[i].file_bytes;
	}
	for (unsigned i = 0; i < count; i++) {
		uint8_t *content = calloc(1, segments[i].file_bytes + 1);
		build_add(&b, content, segments[i].file_bytes);
		free(content);
	}
	build_symbols(&b, count ? segments[0].address : 0);
	return b;
}

struct build build_program(void)
{
	static const struct build_segment segments[] = {
		{5, GPA_IMAGE, 100, 100},
		{6, GPA_IMAGE + PAGE_SIZE, 50, 5000},
	};
	struct build b = build_elf(segments, 2);
	uint8_t *text = b.data + 64 + 56 * 2; // behind the headers
	memcpy(text + (BUILD_FILE_AT - GPA_IMAGE), "tests/unit.c", 12);
	memcpy(text + (BUILD_CLAIM_AT - GPA_IMAGE), "x > 0", 5);
	memcpy(text + (BUILD_ENDLESS_AT - GPA_IMAGE), "unending", 8);
	return b;
}

static uint32_t build_crc(const uint8_t *data, size_t bytes)
{
	uint32_t crc = ~0u;
	for (size_t i = 0; i < bytes; i++) {
		crc ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

static void build_programs(struct build *cpio, const struct manifest_service *services, unsigned count)
{
	struct build program = build_program();
	for (unsigned i = 0; i < count; i++) {
		char name[NAME_SIZE + 1] = {0};
		memcpy(name, services[i].image, NAME_SIZE);
		build_cpio_entry(cpio, name, 0100644, program.data, program.bytes);
		memcpy(name, services[i].alternative, NAME_SIZE);
		if (name[0])
			build_cpio_entry(cpio, name, 0100644, program.data, program.bytes);
	}
	build_cpio_end(cpio);
	build_free(&program);
}

struct build build_image(const struct manifest_service *services, unsigned count)
{
	struct build b = {0}, manifest = build_manifest(services, count), cpio = {0};
	struct boot_image header = {.magic = BOOT_IMAGE_MAGIC, .version = BOOT_IMAGE_VERSION};
	build_programs(&cpio, services, count);
	build_add(&b, &header, sizeof header);
	header.manifest_offset = b.bytes;
	header.manifest_bytes = manifest.bytes;
	build_add(&b, manifest.data, manifest.bytes);
	build_align(&b, PAGE_SIZE);
	header.cpio_offset = b.bytes;
	header.cpio_bytes = cpio.bytes;
	build_add(&b, cpio.data, cpio.bytes);
	build_align(&b, PAGE_SIZE);
	header.bytes = b.bytes;
	memcpy(b.data, &header, sizeof header);
	header.crc32 = build_crc(b.data + BOOT_IMAGE_SUMMED, b.bytes - BOOT_IMAGE_SUMMED);
	memcpy(b.data, &header, sizeof header);
	build_free(&manifest);
	build_free(&cpio);
	return b;
}
