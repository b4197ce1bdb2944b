// Manifest blob: what tools/manifest makes of a systems/*.toml. The supervisor reads it from the boot image (and
// checks it: it may be corrupt), and each domain sees its own record at GPA_STARTUP.
#pragma once
#include "info.h"
#include <stdint.h>

#define MANIFEST_MAGIC 0x46494e4du // "MNIF"
#define MANIFEST_VERSION 2u
#define MANIFEST_SERVICE_MAX 48
#define MANIFEST_SERVES_MAX 4
#define MANIFEST_USES_MAX 8
#define MANIFEST_MATES_MAX 4
#define MANIFEST_ARGUMENT_SIZE 128
#define CORE_ANY 255u

enum manifest_device { DEVICE_NONE, DEVICE_UART, DEVICE_BLOCK, DEVICE_NETWORK, DEVICE_RANDOM };

enum manifest_then { THEN_HOLD, THEN_ESCALATE }; // when the restart rule is exhausted

#define SERVICE_FLAG_AUTOSTART 1u
#define SERVICE_FLAG_FIRST 2u     // the supervisor itself
#define SERVICE_FLAG_APP 4u       // started on request, may have several instances, not restarted when it exits with 0
#define SERVICE_FLAG_DMA 8u
#define SERVICE_FLAG_NO_FILE 16u
#define SERVICE_FLAG_LIBRARY_OS 32u // class = "library-os"

struct manifest_header {
	uint32_t magic;
	uint32_t version;
	uint32_t bytes; // header and records
	uint32_t service_count;
	char system[NAME_SIZE];
	uint32_t padding[8];
};
_Static_assert(sizeof(struct manifest_header) == 64, "the manifest header is 64 bytes");

struct manifest_service {
	char name[NAME_SIZE];
	char image[NAME_SIZE];       // cpio entry; of several components: their names with dots between
	char alternative[NAME_SIZE]; // image tried when the rule is exhausted; empty: none
	uint8_t core;                // modulo the number of cores; CORE_ANY: the least loaded
	uint8_t priority;            // 0 (first) .. 7 of the domain
	uint8_t device;              // enum manifest_device
	uint8_t device_index;        // the n-th of that class
	uint8_t then;                // enum manifest_then
	uint8_t serves_count;
	uint8_t uses_count;
	uint8_t beside;              // number + 1 of the service on whose core it is placed; 0: `core` says
	uint32_t flags;
	uint32_t memory_pages; // quota
	uint32_t stack_pages;
	uint32_t burst;        // restarts allowed within window_ms before the alternative image, then `then`
	uint32_t window_ms;
	uint32_t delay_ms;     // before the second restart in a window; doubles each time
	uint32_t delay_max_ms;
	uint32_t hang_ms;      // no pong for this long is a hang; 0: not watched
	uint32_t request_ms;   // a request pending longer than this without progress is a complaint; 0: none
	char serves[MANIFEST_SERVES_MAX][NAME_SIZE];
	char uses[MANIFEST_USES_MAX][NAME_SIZE];
	char argument[MANIFEST_ARGUMENT_SIZE];
	uint32_t budget_us;        // of its core in each period while others want it; 0: no limit
	uint32_t budget_period_us;
	// Names that components of this domain serve for it alone, and which part of the image's name ("fs.blk") each of them is.
	char mates[MANIFEST_MATES_MAX][NAME_SIZE];
	uint8_t mate_component[MANIFEST_MATES_MAX];
	uint8_t mates_count;
	uint8_t device_component; // the same of the one whose device it is: but for 0, the host's own, the domain starts without it too
	uint8_t padding[512 - 490];
};
_Static_assert(sizeof(struct manifest_service) == 512, "a manifest record is 512 bytes");
