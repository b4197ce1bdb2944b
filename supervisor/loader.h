// Makes a domain out of a manifest record and an image: created, loaded straight from the boot image, devices attached.
#pragma once
#include "abi/error.h"
#include "abi/manifest.h"
#include "supervisor/image.h"
#include "supervisor/machine.h"
#include "supervisor/pci.h"
#include <stdint.h>

#define LOADER_UNDER_WAY UINT64_MAX // a handle that is no handle yet

struct loader_domain {
	uint64_t handle; // of the domain; 0: there is none
	unsigned core;
	unsigned domain; // index on that core
	uint64_t entry;
	struct pci_device *device; // 0: none, or not of PCI
	bool attached;             // its kernel is known to have the windows of its device
};

struct loader_order {
	const struct manifest_service *record;
	struct image_program program;
	unsigned core;
	bool start;                   // or the caller does
	struct loader_domain *domain; // what was made; without a handle on an error
	enum error error;
	uint32_t epoch;               // if it was started
	unsigned made, last;          // the loader's: calls of the batch
};

// Creates domains and loads their programs, all at once; stopped, unless they are to be started. Of one with an error nothing is left.
// Errors: of domain_create, domain_load, domain_start (ERR_NO_MEMORY, ERR_QUOTA, ERR_LIMIT, ERR_CORE_LOST).
void loader_create(const struct image *image, struct loader_order *orders, unsigned count);
// Gives the domain the device that its record names. ERR_NOT_FOUND: the machine has none.
enum error loader_attach(const struct machine *machine, const struct manifest_service *record,
			 struct loader_domain *domain);
// Another program into a stopped domain. ERR_UNSUPPORTED: this kernel cannot; destroy and create then.
enum error loader_replace(const struct image *image, const struct manifest_service *record,
			  const struct image_program *program, struct loader_domain *domain);
// Can the domain not start without its device? It can, if that is a component's that the others of the domain can do without.
bool loader_needs_device(const struct manifest_service *record);
// Does the machine have the device that the record names? True when it names none.
bool loader_device_exists(const struct machine *machine, const struct manifest_service *record);
