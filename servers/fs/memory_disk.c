// The fallback: an empty ext2 in memory, and the struct disk over it.
//
// Owns: the formatting of a small volume of one group with blocks of 1 KiB, and copying as a disk. Used only when no disk
// can be opened at boot (main.c), announced loudly. Its content dies with this server: said in CAVEATS.
#include "servers/fs/volume.h"
#include <string.h>

#define FORMAT_BLOCK 1024u
#define FORMAT_INODES 256u
#define FORMAT_LOST_FOUND 11u // mke2fs's first inode; e2fsck wants the directory

enum { // blocks of the only group
	FORMAT_SUPER = 1,
	FORMAT_DESCRIPTORS,
	FORMAT_BLOCK_BITMAP,
	FORMAT_INODE_BITMAP,
	FORMAT_INODE_TABLE,
	FORMAT_ROOT = FORMAT_INODE_TABLE + FORMAT_INODES * 128 / FORMAT_BLOCK,
	FORMAT_LOST,
	FORMAT_FREE,
};

static void format_super(uint8_t *image, uint32_t blocks, uint64_t time)
{
	struct ext2_super *s = (struct ext2_super *)(void *)(image + FORMAT_SUPER * FORMAT_BLOCK);
	*s = (struct ext2_super){
		.inodes_count = FORMAT_INODES,
		.blocks_count = blocks,
		.free_blocks_count = blocks - FORMAT_FREE,
		.free_inodes_count = FORMAT_INODES - FORMAT_LOST_FOUND,
		.first_data_block = 1,
		.blocks_per_group = FORMAT_BLOCK * 8,
		.frags_per_group = FORMAT_BLOCK * 8,
		.inodes_per_group = FORMAT_INODES,
		.wtime = (uint32_t)time,
		.max_mnt_count = 0xffff,
		.magic = EXT2_MAGIC,
		.state = EXT2_STATE_VALID,
		.errors = 1,
		.lastcheck = (uint32_t)time,
		.rev_level = 1,
		.first_ino = FORMAT_LOST_FOUND,
		.inode_size = 128,
		.feature_incompat = EXT2_INCOMPAT_FILETYPE,
		.feature_ro_compat = EXT2_RO_SPARSE_SUPER | EXT2_RO_LARGE_FILE,
		.mkfs_time = (uint32_t)time,
	};
	memcpy(s->volume_name, "memory", 6);
	memcpy(s->uuid, "planaria-memory", 16);
}

static void format_maps(uint8_t *image, uint32_t blocks)
{
	struct ext2_group *g = (struct ext2_group *)(void *)(image + FORMAT_DESCRIPTORS * FORMAT_BLOCK);
	uint8_t *map = image + FORMAT_BLOCK_BITMAP * FORMAT_BLOCK;
	*g = (struct ext2_group){
		.block_bitmap = FORMAT_BLOCK_BITMAP,
		.inode_bitmap = FORMAT_INODE_BITMAP,
		.inode_table = FORMAT_INODE_TABLE,
		.free_blocks_count = (uint16_t)(blocks - FORMAT_FREE),
		.free_inodes_count = FORMAT_INODES - FORMAT_LOST_FOUND,
		.used_dirs_count = 2,
	};
	for (uint32_t bit = 0; bit < FORMAT_BLOCK * 8; bit++) { // bit 0 is block 1; bits behind the end are set
		if (bit < FORMAT_FREE - 1 || bit >= blocks - 1)
			map[bit / 8] |= (uint8_t)(1u << bit % 8);
	}
	map = image + FORMAT_INODE_BITMAP * FORMAT_BLOCK;
	for (uint32_t bit = 0; bit < FORMAT_BLOCK * 8; bit++) {
		if (bit < FORMAT_LOST_FOUND || bit >= FORMAT_INODES)
			map[bit / 8] |= (uint8_t)(1u << bit % 8);
	}
}

static uint8_t *format_entry(uint8_t *at, uint32_t inode, uint16_t record, const char *name)
{
	struct ext2_entry *e = (struct ext2_entry *)(void *)at;
	*e = (struct ext2_entry){inode, record, (uint8_t)strlen(name), EXT2_TYPE_DIRECTORY};
	memcpy(at + sizeof(*e), name, strlen(name));
	return at + record;
}

static void format_directory(uint8_t *image, uint32_t number, uint16_t mode, uint16_t links, uint32_t block,
			     uint64_t time)
{
	struct ext2_inode *raw = (struct ext2_inode *)(void *)(image + FORMAT_INODE_TABLE * FORMAT_BLOCK + (number - 1) * 128);
	raw->mode = (uint16_t)(FS_MODE_DIRECTORY | mode);
	raw->size = FORMAT_BLOCK;
	raw->atime = raw->ctime = raw->mtime = (uint32_t)time;
	raw->links_count = links;
	raw->blocks = FORMAT_BLOCK / 512;
	raw->block[0] = block;
}

void memory_disk_format(void *memory, uint32_t bytes, uint64_t time)
{
	uint8_t *image = memory;
	uint32_t blocks = bytes / FORMAT_BLOCK;
	if (blocks > FORMAT_BLOCK * 8) // one group
		blocks = FORMAT_BLOCK * 8;
	format_super(image, blocks, time);
	format_maps(image, blocks);
	format_directory(image, EXT2_ROOT_INODE, 0755, 3, FORMAT_ROOT, time);
	format_directory(image, FORMAT_LOST_FOUND, 0700, 2, FORMAT_LOST, time);
	uint8_t *at = format_entry(image + FORMAT_ROOT * FORMAT_BLOCK, EXT2_ROOT_INODE, 12, ".");
	at = format_entry(at, EXT2_ROOT_INODE, 12, "..");
	format_entry(at, FORMAT_LOST_FOUND, FORMAT_BLOCK - 24, "lost+found");
	at = format_entry(image + FORMAT_LOST * FORMAT_BLOCK, FORMAT_LOST_FOUND, 12, ".");
	format_entry(at, EXT2_ROOT_INODE, FORMAT_BLOCK - 12, "..");
}

// ---- as a disk ----

struct memory_disk {
	uint8_t *bytes;
};

static struct memory_disk memory;

static enum error memory_read_start(struct disk *disk, struct disk_read *read, bool must)
{
	(void)must;
	if (read->offset > disk->bytes || read->bytes > disk->bytes - read->offset)
		return ERR_INVALID;
	read->done(read, ERR_OK, memory.bytes + read->offset);
	return ERR_OK;
}

static void memory_wait(struct disk *disk)
{
	(void)disk; // reads end at once
}

static enum error memory_write(struct disk *disk, uint64_t offset, const uint8_t *from, uint32_t bytes)
{
	if (offset > disk->bytes || bytes > disk->bytes - offset)
		return ERR_INVALID;
	memcpy(memory.bytes + offset, from, bytes);
	disk->written += disk_write_sum(offset, (uint64_t)(from - disk->log), bytes);
	return ERR_OK;
}

static enum error memory_write_wait(struct disk *disk)
{
	(void)disk;
	return ERR_OK;
}

static enum error memory_flush(struct disk *disk)
{
	disk->flushed++;
	return ERR_OK;
}

void memory_disk_open(struct disk *disk, void *bytes, uint32_t length, void *log, uint32_t log_bytes)
{
	memory.bytes = bytes;
	*disk = (struct disk){
		.bytes = length,
		.log = log,
		.log_bytes = log_bytes,
		.read_start = memory_read_start,
		.wait = memory_wait,
		.write = memory_write,
		.write_wait = memory_write_wait,
		.flush = memory_flush,
	};
}
