// Manifest blob: read and checked before anything is believed.
//
// Owns nothing: the blob stays where it is. It must never use a field that it has not checked. Right because every
// record is checked by itself first, then the names among the records, then the order; whoever has a struct manifest
// holds one that passed the first two. It has no state; if the supervisor dies the next one reads the blob again.
#include "supervisor/manifest.h"
#include "abi/call.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MANIFEST_PRIORITY_MAX 7u // of a domain
// pages; 4 GiB, the largest machine that we boot on
#define MANIFEST_PAGES_MAX 0x100000u
// pages; the stack lives in the 16 MiB below GPA_STACK_TOP
#define MANIFEST_STACK_MAX 4096u
// ms; a day. Larger values are mistakes, and keep products of times far from overflow
#define MANIFEST_TIME_MAX 86400000u

struct manifest_check {
	char *why;
	size_t why_size;
	const struct manifest_service *record;
};

static enum error manifest_bad(struct manifest_check *check, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static enum error manifest_bad(struct manifest_check *check, const char *format, ...)
{
	size_t used = 0;
	if (check->record && check->record->name[0])
		used = (size_t)snprintf(check->why, check->why_size, "service \"%.16s\": ", check->record->name);
	if (used > check->why_size)
		used = check->why_size;
	va_list list;
	va_start(list, format);
	vsnprintf(check->why + used, check->why_size - used, format, list);
	va_end(list);
	return ERR_CORRUPT;
}

static bool manifest_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
	       c == '.';
}

// Well-formed: characters, then only zeros. An empty one is well-formed.
static bool manifest_name_well_formed(const char name[NAME_SIZE])
{
	size_t length = 0;
	while (length < NAME_SIZE && manifest_name_char(name[length]))
		length++;
	for (size_t i = length; i < NAME_SIZE; i++) {
		if (name[i])
			return false;
	}
	return true;
}

// "*": an app that may open whatever is served.
static bool manifest_uses_any(const struct manifest_service *record, unsigned i)
{
	return record->uses[i][0] == '*' && record->uses[i][1] == 0;
}

// The components of its image that serve names within the domain.
static enum error manifest_check_mates(struct manifest_check *check)
{
	const struct manifest_service *r = check->record;
	unsigned parts = 1;
	for (unsigned i = 0; i < NAME_SIZE; i++)
		parts += r->image[i] == '.';
	if (r->mates_count > MANIFEST_MATES_MAX)
		return manifest_bad(check, "its components serve it %u names, at most %u are possible", r->mates_count,
				    MANIFEST_MATES_MAX);
	if (r->device_component >= parts || (r->device_component && r->device == DEVICE_NONE))
		return manifest_bad(check, "component %u of %u has a device, and it is of class %u", r->device_component + 1u, parts,
				    r->device);
	for (unsigned i = 0; i < r->mates_count; i++) {
		if (!r->mates[i][0] || !manifest_name_well_formed(r->mates[i]))
			return manifest_bad(check, "name %u that a component serves it is malformed", i);
		if (r->mate_component[i] >= parts)
			return manifest_bad(check, "\"%.16s\" is served by component %u of %u", r->mates[i],
					    r->mate_component[i] + 1u, parts);
	}
	return ERR_OK;
}

static enum error manifest_check_names(struct manifest_check *check)
{
	const struct manifest_service *r = check->record;
	if (!r->image[0] || !manifest_name_well_formed(r->image))
		return manifest_bad(check, "the name of its image is malformed");
	if (!manifest_name_well_formed(r->alternative))
		return manifest_bad(check, "the name of its alternative image is malformed");
	if (r->serves_count > MANIFEST_SERVES_MAX)
		return manifest_bad(check, "serves %u names, at most %u are possible", r->serves_count,
				    MANIFEST_SERVES_MAX);
	if (r->uses_count > MANIFEST_USES_MAX)
		return manifest_bad(check, "uses %u names, at most %u are possible", r->uses_count, MANIFEST_USES_MAX);
	for (unsigned i = 0; i < r->serves_count; i++) {
		if (!r->serves[i][0] || !manifest_name_well_formed(r->serves[i]))
			return manifest_bad(check, "name %u that it serves is malformed", i);
	}
	for (unsigned i = 0; i < r->uses_count; i++) {
		if (manifest_uses_any(r, i) && (r->flags & SERVICE_FLAG_APP))
			continue;
		if (!r->uses[i][0] || !manifest_name_well_formed(r->uses[i]))
			return manifest_bad(check, "name %u that it uses is malformed", i);
	}
	if (!memchr(r->argument, 0, sizeof r->argument))
		return manifest_bad(check, "its argument does not end within %u bytes", MANIFEST_ARGUMENT_SIZE);
	return ERR_OK;
}

static enum error manifest_check_numbers(struct manifest_check *check)
{
	const struct manifest_service *r = check->record;
	if (r->core != CORE_ANY && r->core >= CORE_MAX)
		return manifest_bad(check, "core %u is not below %u", r->core, CORE_MAX);
	if (r->priority > MANIFEST_PRIORITY_MAX)
		return manifest_bad(check, "priority %u is above %u", r->priority, MANIFEST_PRIORITY_MAX);
	if (r->device > DEVICE_RANDOM)
		return manifest_bad(check, "there is no device class %u", r->device);
	if (r->then > THEN_ESCALATE)
		return manifest_bad(check, "there is no end %u of a restart rule", r->then);
	if (r->flags >= SERVICE_FLAG_LIBRARY_OS << 1)
		return manifest_bad(check, "flags 0x%x hold an unknown one", r->flags);
	if ((r->flags & SERVICE_FLAG_LIBRARY_OS) && ((r->flags & (SERVICE_FLAG_FIRST | SERVICE_FLAG_DMA)) || r->device != DEVICE_NONE))
		return manifest_bad(check, "a library OS is not the first domain, and has no device and no DMA");
	if (r->memory_pages == 0 || r->memory_pages > MANIFEST_PAGES_MAX)
		return manifest_bad(check, "a quota of %u pages is not between 1 and %u", r->memory_pages,
				    MANIFEST_PAGES_MAX);
	if (r->stack_pages == 0 || r->stack_pages > MANIFEST_STACK_MAX || r->stack_pages >= r->memory_pages)
		return manifest_bad(check, "a stack of %u pages does not fit (quota %u, at most %u)", r->stack_pages,
				    r->memory_pages, MANIFEST_STACK_MAX);
	return ERR_OK;
}

static enum error manifest_check_times(struct manifest_check *check)
{
	const struct manifest_service *r = check->record;
	const struct {
		const char *name;
		uint32_t value;
	} times[] = {{"window", r->window_ms},   {"delay", r->delay_ms},     {"longest delay", r->delay_max_ms},
		     {"hang deadline", r->hang_ms}, {"request deadline", r->request_ms}};
	for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
		if (times[i].value > MANIFEST_TIME_MAX)
			return manifest_bad(check, "its %s of %u ms is longer than a day", times[i].name,
					    times[i].value);
	}
	if (r->budget_us && (r->budget_us < BUDGET_LEAST_US || r->budget_us > r->budget_period_us || r->budget_period_us > BUDGET_PERIOD_US))
		return manifest_bad(check, "a budget of %u us in each %u us is not between %u us and the whole of a period of at most %u us",
				    r->budget_us, r->budget_period_us, BUDGET_LEAST_US, BUDGET_PERIOD_US);
	if (r->burst && !r->window_ms)
		return manifest_bad(check, "%u restarts are allowed within a window of 0 ms", r->burst);
	return ERR_OK;
}

static enum error manifest_check_record(struct manifest_check *check, unsigned index)
{
	const char *name = check->record->name;
	if (!name[0] || !manifest_name_well_formed(name)) {
		check->record = 0;
		return manifest_bad(check, "the name of service %u is malformed", index);
	}
	enum error error = manifest_check_names(check);
	if (!error)
		error = manifest_check_mates(check);
	if (!error)
		error = manifest_check_numbers(check);
	return error ? error : manifest_check_times(check);
}

static bool manifest_same(const char a[NAME_SIZE], const char b[NAME_SIZE])
{
	return memcmp(a, b, NAME_SIZE) == 0;
}

int manifest_find(const struct manifest *manifest, const char name[NAME_SIZE])
{
	for (unsigned i = 0; i < manifest->count; i++) {
		if (manifest_same(manifest->services[i].name, name))
			return (int)i;
	}
	return -1;
}

int manifest_provider(const struct manifest *manifest, const char name[NAME_SIZE])
{
	for (unsigned i = 0; i < manifest->count; i++) {
		const struct manifest_service *r = &manifest->services[i];
		for (unsigned j = 0; j < r->serves_count; j++) {
			if (manifest_same(r->serves[j], name))
				return (int)i;
		}
	}
	return -1;
}

bool manifest_name(char name[NAME_SIZE], const char *text, size_t length)
{
	if (length == 0 || length > NAME_SIZE)
		return false;
	memset(name, 0, NAME_SIZE);
	memcpy(name, text, length);
	return manifest_name_well_formed(name);
}

// Who is placed beside whom: there is one, and it does not come back to who asks.
static enum error manifest_check_beside(const struct manifest *manifest, struct manifest_check *check)
{
	const struct manifest_service *r = check->record;
	for (unsigned steps = 0; r->beside; steps++) {
		if (r->beside > manifest->count)
			return manifest_bad(check, "it is placed beside service %u, and there are %u", r->beside, manifest->count);
		if (steps == manifest->count)
			return manifest_bad(check, "it is placed beside itself, by way of others or at once");
		r = &manifest->services[r->beside - 1];
	}
	return ERR_OK;
}

// Names among the records: unique, and somebody serves what is used.
static enum error manifest_check_relations(const struct manifest *manifest, struct manifest_check *check)
{
	unsigned firsts = 0;
	for (unsigned i = 0; i < manifest->count; i++) {
		const struct manifest_service *r = check->record = &manifest->services[i];
		firsts += (r->flags & SERVICE_FLAG_FIRST) != 0;
		if (manifest_find(manifest, r->name) != (int)i)
			return manifest_bad(check, "that name is given twice");
		for (unsigned j = 0; j < r->serves_count; j++) {
			int other = manifest_provider(manifest, r->serves[j]);
			if (other != (int)i)
				return manifest_bad(check, "\"%.16s\" is served by \"%.16s\" already", r->serves[j],
						    manifest->services[other].name);
		}
		for (unsigned j = 0; j < r->uses_count; j++) {
			if (!manifest_uses_any(r, j) && manifest_provider(manifest, r->uses[j]) < 0)
				return manifest_bad(check, "uses \"%.16s\", which nobody serves", r->uses[j]);
		}
		enum error error = manifest_check_beside(manifest, check);
		if (error)
			return error;
	}
	check->record = 0;
	return firsts == 1 ? ERR_OK
			   : manifest_bad(check, "%u services are marked as the first domain, not one", firsts);
}

static enum error manifest_check_header(const void *blob, size_t bytes, struct manifest_check *check)
{
	const struct manifest_header *h = blob;
	if ((uintptr_t)blob % 8)
		return manifest_bad(check, "the manifest is not aligned to 8 bytes");
	if (bytes < sizeof *h)
		return manifest_bad(check, "the manifest has %zu bytes, its header alone has %zu", bytes, sizeof *h);
	if (h->magic != MANIFEST_MAGIC)
		return manifest_bad(check, "the manifest's magic number is 0x%08x, not 0x%08x", h->magic,
				    MANIFEST_MAGIC);
	if (h->version != MANIFEST_VERSION) {
		manifest_bad(check, "the manifest is of version %u, this supervisor reads version %u", h->version,
			     MANIFEST_VERSION);
		return ERR_UNSUPPORTED;
	}
	if (h->service_count == 0 || h->service_count > MANIFEST_SERVICE_MAX)
		return manifest_bad(check, "the manifest names %u services, 1 to %u are possible", h->service_count,
				    MANIFEST_SERVICE_MAX);
	size_t needed = sizeof *h + h->service_count * sizeof(struct manifest_service);
	if (h->bytes != needed || bytes < needed)
		return manifest_bad(check, "the manifest says %u bytes and has %zu, %u services need %zu", h->bytes,
				    bytes, h->service_count, needed);
	return manifest_name_well_formed(h->system) ? ERR_OK
						    : manifest_bad(check, "the name of the system is malformed");
}

enum error manifest_read(const void *blob, size_t bytes, struct manifest *manifest, char *why, size_t why_size)
{
	struct manifest_check check = {.why = why, .why_size = why_size};
	enum error error = manifest_check_header(blob, bytes, &check);
	if (error)
		return error;
	manifest->header = blob;
	manifest->services = (const void *)((const char *)blob + sizeof *manifest->header);
	manifest->count = manifest->header->service_count;
	for (unsigned i = 0; i < manifest->count; i++) {
		check.record = &manifest->services[i];
		error = manifest_check_record(&check, i);
		if (error)
			return error;
	}
	return manifest_check_relations(manifest, &check);
}

// Is all that record i uses placed already?
static bool manifest_placed(const struct manifest *manifest, unsigned i, const bool placed[MANIFEST_SERVICE_MAX])
{
	const struct manifest_service *r = &manifest->services[i];
	if (r->flags & SERVICE_FLAG_FIRST)
		return true;
	for (unsigned j = 0; j < r->uses_count; j++) {
		int provider = manifest_provider(manifest, r->uses[j]);
		if (provider >= 0 && !placed[provider])
			return false;
	}
	return true;
}

// Some provider of record i that is not placed; there is one.
static unsigned manifest_blocker(const struct manifest *manifest, unsigned i, const bool placed[MANIFEST_SERVICE_MAX])
{
	const struct manifest_service *r = &manifest->services[i];
	for (unsigned j = 0; j < r->uses_count; j++) {
		int provider = manifest_provider(manifest, r->uses[j]);
		if (provider >= 0 && !placed[provider])
			return (unsigned)provider;
	}
	return i;
}

// Every service that is not placed waits for another such, so that following the waits enters a circle within `count`
// steps; a walk from there names it.
static void manifest_name_circle(const struct manifest *manifest, const bool placed[MANIFEST_SERVICE_MAX], char *why,
				 size_t why_size)
{
	unsigned start = 0;
	while (placed[start])
		start++;
	for (unsigned i = 0; i < manifest->count; i++)
		start = manifest_blocker(manifest, start, placed);
	unsigned at = start;
	size_t used = (size_t)snprintf(why, why_size, "services wait for each other in a circle:");
	do {
		if (used < why_size)
			used += (size_t)snprintf(why + used, why_size - used, " \"%.16s\" uses",
						 manifest->services[at].name);
		at = manifest_blocker(manifest, at, placed);
	} while (at != start);
	if (used < why_size)
		snprintf(why + used, why_size - used, " \"%.16s\"", manifest->services[start].name);
}

enum error manifest_order(const struct manifest *manifest, unsigned char order[MANIFEST_SERVICE_MAX], char *why,
			  size_t why_size)
{
	bool placed[MANIFEST_SERVICE_MAX] = {false};
	unsigned count = 0, before;
	do {
		before = count;
		for (unsigned i = 0; i < manifest->count; i++) {
			if (placed[i] || !manifest_placed(manifest, i, placed))
				continue;
			placed[i] = true;
			order[count++] = (unsigned char)i;
		}
	} while (count != before);
	if (count == manifest->count)
		return ERR_OK;
	manifest_name_circle(manifest, placed, why, why_size);
	return ERR_LOOP;
}
