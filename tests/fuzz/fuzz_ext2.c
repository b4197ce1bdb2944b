// Fuzzer of ext2 structures and of requests: the input is a list of changes to a small valid image, then operations.
//
// Input: which image (lowest bit of a byte: pointers or extents) and number of changes (its rest), then for each 3 bytes of place and 2 of content; the rest are requests: op,
// selectors of two handles, 2 bytes of offset, 2 of length or mode, length of the name, name. Each request goes through
// the same entrance as a client's. Kept small: images of 256 KiB that the fallback's own formatter makes, the second with
// the feature of extents. There are no checksums: they would stop most damage at the door.
#include "servers/fs/ops.h"
#include <stdlib.h>
#include <string.h>

#define IMAGE_BYTES 0x40000u
#define LOG_BYTES 0x40000u
#define CACHE_BYTES 0x60000u
#define HANDLES 16u

static uint8_t pristine[2][IMAGE_BYTES], image[IMAGE_BYTES];
static uint8_t log_area[LOG_BYTES] __attribute__((aligned(4096)));
static uint8_t cache[CACHE_BYTES] __attribute__((aligned(64)));
static uint8_t in[FS_TRANSFER_MAX], out[0x10000];
static struct volume volume;
static struct disk disk;
static uint64_t handles[HANDLES];
static const struct cache_memory memory = {cache, sizeof(cache), sizeof(cache), 0};

static void mount_image(uint8_t *bytes)
{
	memory_disk_open(&disk, bytes, IMAGE_BYTES, log_area, LOG_BYTES);
	commit_format(&disk);
}

static void commit_to_the_end(void)
{
	if (fsop_commit_write(&volume) != ERR_OK || commit_checkpoint(&volume.log) != ERR_OK)
		abort();
	fsop_commit_end(&volume);
}

static enum error call(uint16_t op, uint64_t a0, uint64_t a1, uint64_t a2, const uint8_t *payload, uint32_t length,
		       uint32_t room, uint64_t result[5])
{
	struct request request = {.op = op, .arg = {a0, a1, a2}, .out_length = length, .in_length = room};
	struct fs_call c = {&request, payload, in, 1700000001, 0, 0};
	uint32_t count, need = fsop_need(&volume, &request);
	if (need > volume_dirty_limit(&volume))
		return ERR_TOO_BIG;
	if (volume.cache.dirty.count + need > volume_dirty_limit(&volume) && fsop_commit_begin(&volume, 1, &count) == ERR_OK && count) {
		commit_to_the_end();
	}
	return fsop_perform(&volume, &c, result);
}

// "s" has six extents, so a node below the root.
static void write_sparse(uint64_t handle)
{
	uint64_t result[5];
	for (uint64_t at = 0; at < 12; at += 2)
		call(FS_OP_WRITE, handle, at * 1024, 0, out, 1000, 0, result);
	call(FS_OP_WRITE, handle, 400000, 0, out, 3000, 0, result);
}

static void populate(uint8_t *bytes, uint32_t features)
{
	uint64_t result[5], root, d;
	memory_disk_format(bytes, IMAGE_BYTES, 1700000000);
	((struct ext2_super *)(void *)(bytes + EXT2_SUPER_OFFSET))->feature_incompat |= features;
	mount_image(bytes);
	if (volume_open(&volume, &disk, &memory) != ERR_OK)
		abort();
	call(FS_OP_ROOT, 0, 0, 0, 0, 0, 0, result);
	root = result[0];
	call(FS_OP_MKDIR, root, 0755, 0, (const uint8_t *)"d", 1, 0, result);
	d = result[0];
	call(FS_OP_CREATE, d, 0100644, 0, (const uint8_t *)"f", 1, 0, result);
	call(FS_OP_WRITE, result[0], 0, 0, out, 40000, 0, result);
	call(FS_OP_CREATE, d, 0100644, 0, (const uint8_t *)"s", 1, 0, result);
	write_sparse(result[0]);
	call(FS_OP_SYMLINK, d, 0, 0, (const uint8_t *)"l\0target", 8, 0, result);
	uint32_t count;
	fsop_commit_begin(&volume, 1, &count);
	commit_to_the_end();
}

static const uint8_t *damage(const uint8_t *data, const uint8_t *end)
{
	unsigned n = data < end ? *data++ / 2u : 0;
	for (; n && end - data >= 5; n--, data += 5) {
		uint32_t at = (data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16) % (IMAGE_BYTES - 1);
		memcpy(image + at, data + 3, 2);
	}
	return data;
}

static uint64_t handle_of(uint8_t selector)
{
	return selector & 0x80 ? FS_HANDLE(selector & 0x7f, selector & 1) : handles[selector % HANDLES];
}

static void operate(const uint8_t *data, const uint8_t *end)
{
	unsigned next = 1;
	for (unsigned i = 0; i < 64 && end - data >= 8; i++) {
		uint64_t result[5];
		uint16_t op = data[0] % (FS_OPS + 1);
		uint64_t a0 = handle_of(data[1]), a1 = handle_of(data[2]);
		uint64_t offset = (uint64_t)(data[3] | data[4] << 8) << (data[2] % 24);
		uint32_t length = data[5] | (uint32_t)data[6] << 8;
		unsigned name_length = data[7];
		data += 8;
		if (name_length > end - data)
			name_length = (unsigned)(end - data);
		const uint8_t *payload = op == FS_OP_WRITE ? out : data;
		uint32_t bytes = op == FS_OP_WRITE ? length : name_length;
		bool second = op == FS_OP_RENAME || op == FS_OP_LINK;
		if (call(op, a0, second ? a1 : op == FS_OP_CREATE ? length : offset, data[-1], payload, bytes, length, result) ==
			    ERR_OK &&
		    (op == FS_OP_LOOKUP || op == FS_OP_CREATE || op == FS_OP_MKDIR || op == FS_OP_SYMLINK))
			handles[next++ % HANDLES] = result[0];
		data += name_length;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool populated;
	uint64_t result[5];
	if (!populated) {
		memset(out, 0x5a, sizeof(out));
		populate(pristine[0], 0);
		populate(pristine[1], EXT4_INCOMPAT_EXTENTS | EXT4_INCOMPAT_FLEX_BG);
	}
	populated = true;
	memcpy(image, pristine[size ? data[0] & 1 : 0], IMAGE_BYTES);
	const uint8_t *rest = damage(data, data + size);
	mount_image(image);
	if (volume_open(&volume, &disk, &memory) != ERR_OK)
		return 0;
	volume.lenient = true;
	memset(handles, 0, sizeof(handles));
	if (call(FS_OP_ROOT, 0, 0, 0, 0, 0, 0, result) == ERR_OK)
		handles[0] = result[0];
	if (call(FS_OP_LOOKUP, handles[0], 0, 0, (const uint8_t *)"d", 1, 0, result) == ERR_OK)
		handles[1] = result[0];
	static const char *const names[] = {"f", "s", "l"};
	for (unsigned i = 0; i < 3; i++) {
		if (call(FS_OP_LOOKUP, handles[1], 0, 0, (const uint8_t *)names[i], 1, 0, result) == ERR_OK)
			handles[2 + i] = result[0];
	}
	operate(rest, data + size);
	for (unsigned i = 0; i < 5; i++) {
		call(FS_OP_READ, handles[i], 0, 0, 0, 0, 50000, result);
		call(FS_OP_READDIR, handles[i], 0, 0, 0, 0, 2000, result);
	}
	return 0;
}
