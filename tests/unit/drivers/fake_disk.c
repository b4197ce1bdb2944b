// See fake_disk.h.
#include "fake_disk.h"
#include "abi/layout.h"
#include "runtime/pci_config.h"
#include "servers/blk/virtqueue.h"

#define CONFIG_WINDOW 0x20000000ull
#define BAR_WINDOW 0x20002000ull // window 2: BAR 4
#define BAR_BYTES 0x4000u
#define COMMON_AT 0x0u
#define NOTIFY_AT 0x3000u
#define DEVICE_AT 0x2000u

struct fake_disk disk;
static uint8_t config[PCI_CONFIG_SIZE];

static void put(unsigned at, unsigned bytes, uint32_t value)
{
	memcpy(&config[at], &value, bytes);
}

static void capability(unsigned at, unsigned next, uint8_t type, uint32_t offset, uint32_t length)
{
	put(at, 1, 0x09);
	put(at + 1, 1, next);
	put(at + 3, 1, type);
	put(at + 4, 1, 4);
	put(at + 8, 4, offset);
	put(at + 12, 4, length);
}

void disk_configure(void)
{
	memset(config, 0, sizeof(config));
	put(PCI_VENDOR, 2, PCI_VENDOR_VIRTIO);
	put(PCI_DEVICE, 2, 0x1001);
	put(PCI_STATUS, 2, PCI_STATUS_CAPABILITIES);
	put(PCI_BAR0, 4, 1); // I/O
	put(PCI_BAR0 + 4, 4, 0x40000000);
	put(PCI_BAR0 + 16, 4, 0x4000400c);
	put(PCI_CAPABILITIES, 1, 0x40);
	put(0x40, 1, 0x11);
	put(0x41, 1, 0x50);
	put(0x44, 4, 1);
	capability(0x50, 0x60, 5, 0, 0);
	capability(0x60, 0x70, VIRTIO_COMMON, COMMON_AT, 0x1000);
	capability(0x70, 0x90, VIRTIO_NOTIFY, NOTIFY_AT, disk.no_notify_room ? 4 : 0x1000);
	put(0x80, 4, 4);
	capability(0x90, disk.no_modern ? 0 : 0xa0, VIRTIO_ISR, 0x1000, 0x1000);
	capability(0xa0, 0, VIRTIO_DEVICE, DEVICE_AT, 0x1000);
}

static uint64_t common_read(unsigned at)
{
	switch (at) {
	case 0x04:
		return (uint32_t)(disk.features >> (32 * disk.feature_select));
	case 0x10:
		return disk.no_vector ? 0xffff : disk.config_vector;
	case 0x14:
		return disk.status;
	case 0x15:
		return disk.restless ? disk.generation++ : disk.generation;
	case 0x18:
		return disk.queue_size;
	case 0x1a:
		return disk.no_vector ? 0xffff : disk.vector;
	case 0x1e:
		return 3; // notify offset of the queue
	default:
		return 0;
	}
}

static void registers_reset(void)
{
	disk.queue_size = disk.queue_max;
	disk.vector = disk.config_vector = 0xffff;
	disk.enabled = false;
	disk.seen = 0;
	disk.held_count = 0;
	disk.driver_features = 0;
}

static void status_write(uint8_t value)
{
	if (value == 0)
		registers_reset();
	if (disk.refuse_features)
		value &= (uint8_t)~8u;
	if (value != 0 || !disk.never_reset)
		disk.status = value;
}

static void common_write(unsigned at, uint64_t value)
{
	switch (at) {
	case 0x00:
		disk.feature_select = (uint32_t)value;
		break;
	case 0x08:
		disk.driver_select = (uint32_t)value;
		break;
	case 0x0c:
		disk.driver_features |= value << (32 * disk.driver_select);
		break;
	case 0x10:
		disk.config_vector = (uint16_t)value;
		break;
	case 0x14:
		status_write((uint8_t)value);
		break;
	case 0x18:
		disk.queue_size = (uint16_t)value;
		break;
	case 0x1a:
		disk.vector = (uint16_t)value;
		break;
	case 0x1c:
		disk.enabled = value != 0;
		break;
	default:
		assert_true(at == 0x16 || (at >= 0x20 && at < 0x38));
		if (at != 0x16)
			memcpy((uint8_t *)disk.address + (at - 0x20), &value, 4);
	}
}

static uint64_t device_config_read(unsigned at)
{
	switch (at) {
	case 0:
		return (uint32_t)disk.capacity;
	case 4:
		return disk.capacity >> 32;
	case 8:
		return disk.size_max;
	case 12:
		return disk.seg_max;
	case 20:
		return disk.block_size;
	case 24:
		return 0x01000003; // physical blocks of 8 logical ones
	default:
		fail_msg("read of device configuration at %u", at);
		return 0;
	}
}

static uint64_t disk_read(uint64_t address, unsigned bytes)
{
	uint64_t value = 0;

	if (address >= CONFIG_WINDOW && address + bytes <= CONFIG_WINDOW + PCI_CONFIG_SIZE) {
		memcpy(&value, &config[address - CONFIG_WINDOW], bytes);
		return value;
	}
	assert_true(address >= BAR_WINDOW && address + bytes <= BAR_WINDOW + BAR_BYTES);
	address -= BAR_WINDOW;
	return address < 0x1000 ? common_read((unsigned)address) : device_config_read((unsigned)address - DEVICE_AT);
}

static void disk_write(uint64_t address, unsigned bytes, uint64_t value)
{
	(void)bytes;
	assert_true(address >= BAR_WINDOW && address < BAR_WINDOW + BAR_BYTES);
	address -= BAR_WINDOW;
	if (address < 0x1000) {
		common_write((unsigned)address, value);
		return;
	}
	assert_int_equal(address, NOTIFY_AT + 3 * 4);
	assert_true(disk.status & 4);
	disk.notifications++;
	disk_take();
}

static struct kernel_result disk_call(enum call number, const uint64_t a[6])
{
	static const uint64_t windows[3][2] = {
		{CONFIG_WINDOW, PCI_CONFIG_SIZE}, {0x20001000, 0x1000}, {BAR_WINDOW, BAR_BYTES}};

	if (number == CALL_memory_physical)
		return (struct kernel_result){disk.no_dma ? ERR_DENIED : ERR_OK, {a[0]}};
	assert_int_equal(number, CALL_device_info);
	if (a[0] >= 3)
		return (struct kernel_result){ERR_INVALID, {0}};
	return (struct kernel_result){ERR_OK, {windows[a[0]][0], windows[a[0]][1], disk.no_interrupt ? 0 : 2, 0, 2}};
}

void disk_reset(void)
{
	fake_reset();
	memset(&disk, 0, sizeof(disk));
	disk.features = 1ull << 32 | 1 << 9 | 1 << 6 | 1 << 2 | 1 << 10 | 1 << 29 | 1 << 28;
	disk.capacity = DISK_SECTORS;
	disk.seg_max = 126;
	disk.block_size = 512;
	disk.queue_max = 128;
	registers_reset();
	for (unsigned i = 0; i < sizeof(disk.data); i++)
		disk.data[i] = (uint8_t)(i * 7 + i / 512);
	disk_configure();
	fake_read = disk_read;
	fake_write = disk_write;
	fake_call = disk_call;
}

static struct virtqueue_descriptor *descriptors(void)
{
	return (struct virtqueue_descriptor *)disk.address[0];
}

struct virtqueue_used *disk_used_ring(void)
{
	return (struct virtqueue_used *)disk.address[2];
}

void disk_take(void)
{
	struct virtqueue_available *available = (struct virtqueue_available *)disk.address[1];

	assert_true(disk.enabled);
	while (disk.seen != available->index) {
		assert_true(disk.held_count < disk.queue_size);
		disk.held[disk.held_count++] = available->ring[disk.seen++ % disk.queue_size];
	}
	if (disk.driver_features & 1ull << 29) // event index: tell us of the next one
		*(uint16_t *)((uint8_t *)disk_used_ring() + 4 + 8 * disk.queue_size) = disk.seen;
}

void disk_used(uint32_t id, uint32_t length)
{
	struct virtqueue_used *used = disk_used_ring();

	used->ring[used->index % disk.queue_size] = (struct virtqueue_used_element){id, length};
	used->index++;
}

static uint8_t data_move(uint32_t type, uint64_t sector, const struct virtqueue_descriptor *data, unsigned count,
			 uint32_t *written)
{
	uint8_t *at = &disk.data[sector * 512];

	for (unsigned i = 0; i < count; i++) {
		assert_true(at + data[i].length <= disk.data + sizeof(disk.data));
		assert_int_equal(!!(data[i].flags & VIRTQUEUE_DESCRIPTOR_WRITE), type == 0);
		if (type == 0)
			memcpy((void *)data[i].address, at, data[i].length);
		else
			memcpy(at, (void *)data[i].address, data[i].length);
		at += data[i].length;
		*written += type == 0 ? data[i].length : 0;
		if (data[i].length > disk.segment_bytes_most)
			disk.segment_bytes_most = data[i].length;
	}
	if (count > disk.segments_most)
		disk.segments_most = count;
	return 0;
}

static void request_perform(uint16_t head)
{
	struct virtqueue_descriptor chain[260];
	uint32_t header[4], written = 0;
	unsigned count = 0;
	uint8_t status = 0;

	for (uint16_t at = head;; at = chain[count - 1].next) {
		assert_true(at < disk.queue_size && count < 260);
		chain[count++] = descriptors()[at];
		if (!(chain[count - 1].flags & VIRTQUEUE_DESCRIPTOR_NEXT))
			break;
	}
	assert_true(count >= 2);
	assert_int_equal(chain[0].length, 16);
	assert_int_equal(chain[count - 1].length, 1);
	memcpy(header, (void *)chain[0].address, 16);
	disk.flushes += header[0] == 4;
	disk.reads += header[0] == 0;
	disk.writes += header[0] == 1;
	assert_true(header[0] != 4 || (count == 2 && header[2] == 0));
	if (disk.next_status == 0)
		status = data_move(header[0], header[2] | (uint64_t)header[3] << 32, &chain[1], count - 2, &written);
	else
		status = disk.next_status;
	*(uint8_t *)chain[count - 1].address = status;
	disk_used(head, written + 1);
}

bool disk_perform(unsigned count)
{
	uint16_t before = disk_used_ring()->index, now, event;

	disk_take();
	while (count-- != 0 && disk.held_count != 0) {
		unsigned at = disk.shuffle ? fake_random() % disk.held_count : 0;
		uint16_t head = disk.held[at];

		memmove(&disk.held[at], &disk.held[at + 1], (disk.held_count - at - 1) * sizeof(disk.held[0]));
		disk.held_count--;
		request_perform(head);
	}
	now = disk_used_ring()->index;
	if (!(disk.driver_features & 1ull << 29))
		return now != before;
	event = *(uint16_t *)((uint8_t *)disk.address[1] + 4 + 2 * disk.queue_size);
	return (uint16_t)(now - event - 1) < (uint16_t)(now - before);
}
