// On-disk structures of ext2 (revision 0 and 1), little-endian as both our machines are.
//
// Owns: numbers and layouts only; no code that touches a disk. Source: the ext2 layout as Linux and e2fsprogs write it
// (documentation "The Second Extended File System", filesystems/ext2 and filesystems/ext4 of the Linux kernel).
// Everything read through these structures is a claim of the disk; super.c, inode.c, bmap.c and dir.c check it.
#pragma once
#include <stdint.h>

#define EXT2_SUPER_OFFSET 1024u // bytes from the start of the volume
#define EXT2_SUPER_SIZE 1024u
#define EXT2_MAGIC 0xef53u
#define EXT2_ROOT_INODE 2u
#define EXT2_FIRST_INODE_OLD 11u // first inode for files in revision 0
#define EXT2_INODE_SIZE_OLD 128u
#define EXT2_LINK_MAX 32000u
#define EXT2_DIRECT 12u
#define EXT2_POINTERS 15u
#define EXT2_BLOCK_MAX 4096u
#define EXT2_FAST_SYMLINK 60u // bytes of i_block; a target must be shorter
#define EXT2_NAME_MAX 255u

#define EXT2_STATE_VALID 1u
#define EXT2_STATE_ERROR 2u

#define EXT2_COMPAT_EXT_ATTR 0x0008u
#define EXT2_COMPAT_RESIZE_INODE 0x0010u
#define EXT2_COMPAT_DIR_INDEX 0x0020u

#define EXT2_INCOMPAT_FILETYPE 0x0002u

#define EXT2_RO_SPARSE_SUPER 0x0001u
#define EXT2_RO_LARGE_FILE 0x0002u

#define EXT2_FLAG_IMMUTABLE 0x00000010u
#define EXT2_FLAG_APPEND 0x00000020u
#define EXT2_FLAG_INDEX 0x00001000u // directory with hashed index blocks

#define EXT2_XATTR_MAGIC 0xea020000u

struct ext2_super {
	uint32_t inodes_count;
	uint32_t blocks_count;
	uint32_t r_blocks_count;
	uint32_t free_blocks_count;
	uint32_t free_inodes_count;
	uint32_t first_data_block;
	uint32_t log_block_size;
	uint32_t log_frag_size;
	uint32_t blocks_per_group;
	uint32_t frags_per_group;
	uint32_t inodes_per_group;
	uint32_t mtime; // last mount
	uint32_t wtime; // last write
	uint16_t mnt_count;
	uint16_t max_mnt_count;
	uint16_t magic;
	uint16_t state;
	uint16_t errors;
	uint16_t minor_rev_level;
	uint32_t lastcheck;
	uint32_t checkinterval;
	uint32_t creator_os;
	uint32_t rev_level;
	uint16_t def_resuid;
	uint16_t def_resgid;
	uint32_t first_ino;
	uint16_t inode_size;
	uint16_t block_group_nr;
	uint32_t feature_compat;
	uint32_t feature_incompat;
	uint32_t feature_ro_compat;
	uint8_t uuid[16];
	char volume_name[16];
	char last_mounted[64];
	uint32_t algorithm_usage_bitmap;
	uint8_t prealloc_blocks;
	uint8_t prealloc_dir_blocks;
	uint16_t reserved_gdt_blocks;
	uint8_t journal_uuid[16];
	uint32_t journal_inum;
	uint32_t journal_dev;
	uint32_t last_orphan;
	uint32_t hash_seed[4];
	uint8_t def_hash_version;
	uint8_t jnl_backup_type;
	uint16_t desc_size;
	uint32_t default_mount_opts;
	uint32_t first_meta_bg;
	uint32_t mkfs_time;
	uint32_t jnl_blocks[17];
	uint32_t blocks_count_hi;
	uint32_t r_blocks_count_hi;
	uint32_t free_blocks_hi;
	uint16_t min_extra_isize;
	uint16_t want_extra_isize;
	uint32_t flags;
	uint8_t rest[1024 - 356];
} __attribute__((packed, aligned(4)));
_Static_assert(sizeof(struct ext2_super) == 1024, "an ext2 superblock is 1024 bytes");

struct ext2_group {
	uint32_t block_bitmap;
	uint32_t inode_bitmap;
	uint32_t inode_table;
	uint16_t free_blocks_count;
	uint16_t free_inodes_count;
	uint16_t used_dirs_count;
	uint16_t flags;
	uint32_t reserved[3];
};
_Static_assert(sizeof(struct ext2_group) == 32, "a group descriptor is 32 bytes");

struct ext2_inode {
	uint16_t mode;
	uint16_t uid;
	uint32_t size;
	uint32_t atime;
	uint32_t ctime;
	uint32_t mtime;
	uint32_t dtime;
	uint16_t gid;
	uint16_t links_count;
	uint32_t blocks; // of 512 bytes, indirect and attribute blocks included
	uint32_t flags;
	uint32_t osd1;
	uint32_t block[EXT2_POINTERS];
	uint32_t generation;
	uint32_t file_acl;
	uint32_t size_high; // of regular files
	uint32_t faddr;
	uint8_t frag;
	uint8_t fsize;
	uint16_t pad1;
	uint16_t uid_high;
	uint16_t gid_high;
	uint32_t reserved2;
	// Inodes larger than 128 bytes, up to extra_isize:
	uint16_t extra_isize;
	uint16_t checksum_hi;
	uint32_t ctime_extra;
	uint32_t mtime_extra;
	uint32_t atime_extra;
	uint32_t crtime;
	uint32_t crtime_extra;
};
_Static_assert(sizeof(struct ext2_inode) == 152, "an ext2 inode has 128 bytes and 24 extra ones");

struct ext2_entry { // followed by the name
	uint32_t inode; // 0: unused
	uint16_t record;
	uint8_t name_length;
	uint8_t type; // EXT2_TYPE_*; 0 without the filetype feature
};
_Static_assert(sizeof(struct ext2_entry) == 8, "a directory entry is 8 bytes before its name");

#define EXT2_ENTRY_SIZE(name_length) ((8u + (name_length) + 3u) & ~3u)

enum ext2_type {
	EXT2_TYPE_UNKNOWN,
	EXT2_TYPE_FILE,
	EXT2_TYPE_DIRECTORY,
	EXT2_TYPE_CHARACTER,
	EXT2_TYPE_BLOCK,
	EXT2_TYPE_FIFO,
	EXT2_TYPE_SOCKET,
	EXT2_TYPE_SYMLINK,
	EXT2_TYPES
};
