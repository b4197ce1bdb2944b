// Which components this image holds (component.h). The linker collects them; the image's name and the manifest record say
// what each is for. Owns nothing, and never believes a number of the record that it has not checked: it comes from the boot image.
#include "runtime/component.h"
#include "runtime/runtime.h"
#include <string.h>

// The bounds of the section "components" (runtime/domain.ld).
extern const struct component *const __start_components[] __attribute__((weak));
extern const struct component *const __stop_components[] __attribute__((weak));

static const struct component *component_named(const char *name, size_t length)
{
	for (const struct component *const *at = __start_components; at != __stop_components; at++)
		if (strlen((*at)->name) == length && !memcmp((*at)->name, name, length))
			return *at;
	return 0;
}

// The number-th part of the image's name: "fs.blk" has two.
static const struct component *component_part(unsigned number)
{
	char image[NAME_SIZE + 1] = {0};
	memcpy(image, self_manifest()->image, NAME_SIZE);
	const char *part = image;
	for (; number && part; number--)
		part = (part = strchr(part, '.')) ? part + 1 : 0;
	return part ? component_named(part, strcspn(part, ".")) : 0;
}

// An image that stands in for another (`alternative`) has its only one.
const struct component *component_own(void)
{
	return __stop_components - __start_components == 1 ? __start_components[0] : component_part(0);
}

// The number of that part; 0: nobody here serves that.
static unsigned component_number(const char *service)
{
	const struct manifest_service *self = self_manifest();
	for (unsigned i = 0; i < self->mates_count && i < MANIFEST_MATES_MAX; i++)
		if (!strncmp(self->mates[i], service, NAME_SIZE))
			return self->mate_component[i];
	return 0;
}

const struct component *component_serving(const char *service)
{
	unsigned number = component_number(service);
	return number ? component_part(number) : 0;
}

// The supervisor starts nobody whose device it has and could not give.
bool component_absent(const char *service)
{
	unsigned number = component_number(service);
	return number && number == self_manifest()->device_component && kcall(CALL_device_info, 0).error != ERR_OK;
}
