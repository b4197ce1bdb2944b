// Makes a domain out of a manifest record and an image: created, loaded straight from the boot image, devices attached.
#pragma once
#include "abi/error.h"
#include "abi/manifest.h"
#include "supervisor/image.h"
#include "supervisor/machine.h"
#include "supervisor/pci.h"
#include <stdint.h>

struct loader_domain {
	uint64_t handle; // of the domain; 0: there is none
	unsigned core;
	unsigned domain; // index on that core
	uint64_t entry;
	struct pci_device *device; // 0: none, or not of PCI
	bool attached;             // its kernel is known to have the windows of its device
};

// Creates the domain on `core` and loads `program`. Stopped; the caller starts it. On an error nothing is left.
// Errors: of domain_create, domain_load (ERR_NO_MEMORY, ERR_QUOTA, ERR_LIMIT, ERR_CORE_LOST).
enum error loader_create(const struct image *image, const struct manifest_service *record,
			 const struct image_program *program, unsigned core, struct loader_domain *domain);
// Gives the domain the device that its record names. ERR_NOT_FOUND: the machine has none.
enum error loader_attach(const struct machine *machine, const struct manifest_service *record,
			 struct loader_domain *domain);
// Another program into a stopped domain. ERR_UNSUPPORTED: this kernel cannot; destroy and create then.
enum error loader_replace(const struct image *image, const struct manifest_service *record,
			  const struct image_program *program, struct loader_domain *domain);
// Does the machine have the device that the record names? True when it names none.
bool loader_device_exists(const struct machine *machine, const struct manifest_service *record);
