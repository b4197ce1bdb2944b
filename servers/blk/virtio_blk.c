// A virtio block device on PCI: initialisation by VIRTIO 1.2, 3.1.1 and 4.1.4.
//
// Owns the device's registers (not its configuration space and MSI-X table: those are the supervisor's, and entry 0 of
// that table already points to our interrupt file). Must never let the device see memory before it was reset: a former
// incarnation may have left it running. All sizes that the device gives are checked here, once.
// If the driver dies here: the supervisor resets the device; nothing is kept.
#include "servers/blk/virtio_blk.h"
#include "runtime/device.h"
#include "runtime/pci_config.h"
#include "runtime/runtime.h"

#define RESET_TIMEOUT_US 100000u

// struct virtio_pci_common_cfg, 4.1.4.3
#define COMMON_DEVICE_FEATURE_SELECT 0x00
#define COMMON_DEVICE_FEATURE 0x04
#define COMMON_DRIVER_FEATURE_SELECT 0x08
#define COMMON_DRIVER_FEATURE 0x0c
#define COMMON_CONFIG_VECTOR 0x10
#define COMMON_STATUS 0x14
#define COMMON_GENERATION 0x15
#define COMMON_QUEUE_SELECT 0x16
#define COMMON_QUEUE_SIZE 0x18
#define COMMON_QUEUE_VECTOR 0x1a
#define COMMON_QUEUE_ENABLE 0x1c
#define COMMON_QUEUE_NOTIFY_OFFSET 0x1e
#define COMMON_QUEUE_DESCRIPTORS 0x20
#define COMMON_QUEUE_DRIVER 0x28
#define COMMON_QUEUE_DEVICE 0x30
#define COMMON_BYTES 0x38

#define STATUS_ACKNOWLEDGE 1u
#define STATUS_DRIVER 2u
#define STATUS_DRIVER_OK 4u
#define STATUS_FEATURES_OK 8u
#define STATUS_NEEDS_RESET 64u
#define STATUS_FAILED 128u

#define FEATURE_SIZE_MAX (1ull << 1)
#define FEATURE_SEG_MAX (1ull << 2)
#define FEATURE_RO (1ull << 5)
#define FEATURE_BLK_SIZE (1ull << 6)
#define FEATURE_FLUSH (1ull << 9)
#define FEATURE_TOPOLOGY (1ull << 10)
#define FEATURE_EVENT_IDX (1ull << 29)
#define FEATURE_VERSION_1 (1ull << 32)
#define FEATURE_ACCESS_PLATFORM (1ull << 33) // we give bus addresses; without an IOMMU they are physical ones
#define FEATURES_WANTED                                                                                                \
	(FEATURE_SIZE_MAX | FEATURE_SEG_MAX | FEATURE_RO | FEATURE_BLK_SIZE | FEATURE_FLUSH | FEATURE_TOPOLOGY |       \
	 FEATURE_EVENT_IDX | FEATURE_VERSION_1 | FEATURE_ACCESS_PLATFORM)

// struct virtio_blk_config, 5.2.4
#define CONFIG_CAPACITY 0
#define CONFIG_SIZE_MAX 8
#define CONFIG_SEG_MAX 12
#define CONFIG_BLK_SIZE 20
#define CONFIG_PHYSICAL_EXPONENT 24
#define CONFIG_BYTES_LEAST 8u
#define CONFIG_TRIES 100

#define NO_VECTOR 0xffffu
#define SEGMENT_BYTES_DEFAULT BLOCK_TRANSFER_MAX

// Where a structure of the device is, 0: nowhere.
static uint64_t structure_address(const struct pci_config *config, enum virtio_structure which, uint32_t least,
				  uint32_t *length)
{
	const struct pci_place *place = &config->virtio[which];
	unsigned window = place->present ? pci_config_window(config, place->bar) : 0;
	struct kernel_result info;

	if (window == 0)
		return 0;
	info = kcall(CALL_device_info, window);
	if (info.error != ERR_OK || !pci_place_fits(place, info.value[1], least))
		return 0;
	*length = place->length;
	return info.value[0] + place->offset;
}

// Finds the structures. The notification address of queue 0 needs the queue's offset: see queue_start.
static enum error structures_find(struct virtio_blk *blk, struct pci_config *config, uint32_t *notify_bytes)
{
	struct kernel_result info = kcall(CALL_device_info, 0);
	uint32_t common_bytes;

	if (info.error != ERR_OK || info.value[1] < PCI_CONFIG_SIZE || !pci_config_read(info.value[0], config)) {
		log_line("blk: no PCI function was given to this domain");
		return ERR_NOT_FOUND;
	}
	blk->common = structure_address(config, VIRTIO_COMMON, COMMON_BYTES, &common_bytes);
	blk->notify = structure_address(config, VIRTIO_NOTIFY, 2, notify_bytes);
	blk->device = structure_address(config, VIRTIO_DEVICE, CONFIG_BYTES_LEAST, &blk->device_bytes);
	if (blk->common != 0 && blk->notify != 0 && blk->device != 0)
		return ERR_OK;
	log_line("blk: PCI function %04x:%04x lacks a structure of the modern virtio interface", config->vendor,
		 config->device);
	return ERR_UNSUPPORTED;
}

static void status_add(const struct virtio_blk *blk, uint8_t bit)
{
	device_write8(blk->common + COMMON_STATUS, device_read8(blk->common + COMMON_STATUS) | bit);
}

static enum error device_reset(const struct virtio_blk *blk)
{
	uint64_t deadline = time_now() + time_ticks_from_us(RESET_TIMEOUT_US);

	device_write8(blk->common + COMMON_STATUS, 0);
	while (device_read8(blk->common + COMMON_STATUS) != 0) {
		if (time_now() > deadline) {
			log_line("blk: the device does not end its reset");
			return ERR_DEVICE;
		}
	}
	return ERR_OK;
}

static uint64_t features_offered(const struct virtio_blk *blk)
{
	uint64_t low;

	device_write32(blk->common + COMMON_DEVICE_FEATURE_SELECT, 0);
	low = device_read32(blk->common + COMMON_DEVICE_FEATURE);
	device_write32(blk->common + COMMON_DEVICE_FEATURE_SELECT, 1);
	return low | (uint64_t)device_read32(blk->common + COMMON_DEVICE_FEATURE) << 32;
}

static enum error features_negotiate(struct virtio_blk *blk)
{
	uint64_t offered = features_offered(blk);

	blk->features = offered & FEATURES_WANTED;
	if (!(offered & FEATURE_VERSION_1)) {
		log_line("blk: the device offers features %#llx, without VERSION_1", (unsigned long long)offered);
		return ERR_UNSUPPORTED;
	}
	device_write32(blk->common + COMMON_DRIVER_FEATURE_SELECT, 0);
	device_write32(blk->common + COMMON_DRIVER_FEATURE, (uint32_t)blk->features);
	device_write32(blk->common + COMMON_DRIVER_FEATURE_SELECT, 1);
	device_write32(blk->common + COMMON_DRIVER_FEATURE, (uint32_t)(blk->features >> 32));
	status_add(blk, STATUS_FEATURES_OK);
	if (device_read8(blk->common + COMMON_STATUS) & STATUS_FEATURES_OK)
		return ERR_OK;
	log_line("blk: the device refuses features %#llx of %#llx", (unsigned long long)blk->features,
		 (unsigned long long)offered);
	return ERR_UNSUPPORTED;
}

static uint32_t config_word(const struct virtio_blk *blk, uint64_t feature, uint32_t offset, uint32_t otherwise)
{
	if (!(blk->features & feature) || blk->device_bytes < offset + 4)
		return otherwise;
	return device_read32(blk->device + offset);
}

static void limits_read_once(struct virtio_blk *blk, unsigned queue_size)
{
	struct transfer_limits *limits = &blk->limits;
	uint32_t segments = config_word(blk, FEATURE_SEG_MAX, CONFIG_SEG_MAX, 1);
	uint32_t exponent = config_word(blk, FEATURE_TOPOLOGY, CONFIG_PHYSICAL_EXPONENT, 0) & 0xff;

	limits->capacity = device_read32(blk->device + CONFIG_CAPACITY);
	limits->capacity |= (uint64_t)device_read32(blk->device + CONFIG_CAPACITY + 4) << 32;
	limits->block_size = config_word(blk, FEATURE_BLK_SIZE, CONFIG_BLK_SIZE, SECTOR_SIZE);
	limits->physical_size = exponent < 16 ? limits->block_size << exponent : limits->block_size;
	limits->segment_bytes = config_word(blk, FEATURE_SIZE_MAX, CONFIG_SIZE_MAX, SEGMENT_BYTES_DEFAULT);
	limits->segments = segments < queue_size - 2 ? segments : queue_size - 2;
	limits->read_only = (blk->features & FEATURE_RO) != 0;
	limits->flush = (blk->features & FEATURE_FLUSH) != 0;
}

// 2.5.3: configuration space may change while it is read; the generation tells.
static enum error limits_read(struct virtio_blk *blk, unsigned queue_size)
{
	for (unsigned i = 0; i < CONFIG_TRIES; i++) {
		uint8_t generation = device_read8(blk->common + COMMON_GENERATION);

		limits_read_once(blk, queue_size);
		if (device_read8(blk->common + COMMON_GENERATION) != generation)
			continue;
		if (transfer_limits_legal(&blk->limits))
			return ERR_OK;
		log_line("blk: %u segments of %u bytes with blocks of %u bytes cannot be used", blk->limits.segments,
			 blk->limits.segment_bytes, blk->limits.block_size);
		return ERR_UNSUPPORTED;
	}
	log_line("blk: the device's configuration does not hold still");
	return ERR_DEVICE;
}

static enum error address_write(const struct virtio_blk *blk, uint32_t at, const void *memory)
{
	struct kernel_result physical = kcall(CALL_memory_physical, (uintptr_t)memory);

	if (physical.error != ERR_OK) {
		log_line("blk: no physical address for the queue: the manifest must grant this service DMA");
		return physical.error;
	}
	device_write32(blk->common + at, (uint32_t)physical.value[0]);
	device_write32(blk->common + at + 4, (uint32_t)(physical.value[0] >> 32));
	return ERR_OK;
}

static unsigned queue_size_choose(const struct virtio_blk *blk)
{
	uint16_t offered = device_read16(blk->common + COMMON_QUEUE_SIZE);
	unsigned size = VIRTQUEUE_SIZE_MAX;

	while (size > offered)
		size /= 2;
	return size;
}

static bool vectors_set(const struct virtio_blk *blk)
{
	device_write16(blk->common + COMMON_CONFIG_VECTOR, 0);
	device_write16(blk->common + COMMON_QUEUE_VECTOR, 0);
	return device_read16(blk->common + COMMON_CONFIG_VECTOR) == 0 &&
	       device_read16(blk->common + COMMON_QUEUE_VECTOR) == 0;
}

static enum error queue_start(struct virtio_blk *blk, struct virtqueue *queue, struct virtqueue_memory *memory,
			      uint32_t multiplier, uint32_t notify_bytes)
{
	enum error error;
	uint64_t notify_offset;
	unsigned size;

	device_write16(blk->common + COMMON_QUEUE_SELECT, 0);
	size = queue_size_choose(blk);
	notify_offset = (uint64_t)device_read16(blk->common + COMMON_QUEUE_NOTIFY_OFFSET) * multiplier;
	if (size < 4 || notify_offset + 2 > notify_bytes || !vectors_set(blk)) {
		log_line("blk: queue 0 cannot be used: %u descriptors, notification at %llu of %u bytes", size,
			 (unsigned long long)notify_offset, notify_bytes);
		return ERR_UNSUPPORTED;
	}
	blk->notify += notify_offset;
	virtqueue_init(queue, memory, size, (blk->features & FEATURE_EVENT_IDX) != 0);
	device_write16(blk->common + COMMON_QUEUE_SIZE, (uint16_t)size);
	if ((error = address_write(blk, COMMON_QUEUE_DESCRIPTORS, memory->descriptors)) != ERR_OK ||
	    (error = address_write(blk, COMMON_QUEUE_DRIVER, &memory->available)) != ERR_OK ||
	    (error = address_write(blk, COMMON_QUEUE_DEVICE, &memory->used)) != ERR_OK)
		return error;
	device_fence_doorbell();
	device_write16(blk->common + COMMON_QUEUE_ENABLE, 1);
	return ERR_OK;
}

static enum error device_bring_up(struct virtio_blk *blk, struct virtqueue *queue, struct virtqueue_memory *memory,
				  const struct pci_config *config, uint32_t notify_bytes)
{
	enum error error = device_reset(blk);

	if (error != ERR_OK)
		return error;
	status_add(blk, STATUS_ACKNOWLEDGE);
	status_add(blk, STATUS_DRIVER);
	if ((error = features_negotiate(blk)) != ERR_OK ||
	    (error = queue_start(blk, queue, memory, config->notify_multiplier, notify_bytes)) != ERR_OK ||
	    (error = limits_read(blk, queue->size)) != ERR_OK) {
		status_add(blk, STATUS_FAILED);
		return error;
	}
	status_add(blk, STATUS_DRIVER_OK);
	return ERR_OK;
}

enum error virtio_blk_start(struct virtio_blk *blk, struct virtqueue *queue, struct virtqueue_memory *memory)
{
	struct pci_config config;
	uint32_t notify_bytes = 0;
	enum error error = structures_find(blk, &config, &notify_bytes);

	return error != ERR_OK ? error : device_bring_up(blk, queue, memory, &config, notify_bytes);
}

void virtio_blk_notify(const struct virtio_blk *blk)
{
	device_fence_doorbell();
	device_write16(blk->notify, 0);
}

bool virtio_blk_check(struct virtio_blk *blk)
{
	if (device_read8(blk->common + COMMON_STATUS) & STATUS_NEEDS_RESET)
		return false;
	blk->limits.capacity = device_read32(blk->device + CONFIG_CAPACITY);
	blk->limits.capacity |= (uint64_t)device_read32(blk->device + CONFIG_CAPACITY + 4) << 32;
	return true;
}
