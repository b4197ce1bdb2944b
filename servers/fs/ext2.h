// On-disk structures of ext2 (revision 0 and 1) and of ext4, little-endian as both our machines are.
//
// Owns: numbers and layouts only; no code that touches a disk. Source: the layouts as Linux and e2fsprogs write them
// (documentation "The Second Extended File System", filesystems/ext2 and filesystems/ext4 of the Linux kernel). What
// both have is called ext2, what only ext4 has ext4.
// Everything read through these structures is a claim of the disk; super.c, inode.c, bmap.c, extent.c and dir.c check it.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define EXT2_SUPER_OFFSET 1024u // bytes from the start of the volume
#define EXT2_SUPER_SIZE 1024u
#define EXT2_MAGIC 0xef53u
#define EXT2_ROOT_INODE 2u
#define EXT2_FIRST_INODE_OLD 11u // first inode for files in revision 0
#define EXT2_INODE_SIZE_OLD 128u
#define EXT2_LINK_MAX 32000u
#define EXT4_LINK_MAX 65000u // with dir_nlink a directory with more of them counts 1
#define EXT2_DIRECT 12u
#define EXT2_POINTERS 15u
#define EXT2_BLOCK_MAX 4096u
#define EXT2_FAST_SYMLINK 60u // bytes of i_block; a target must be shorter
#define EXT2_NAME_MAX 255u

#define EXT2_STATE_VALID 1u
#define EXT2_STATE_ERROR 2u

#define EXT4_ERROR_DEVICE 2u    // "EIO"
#define EXT4_ERROR_CORRUPTED 5u // "EFSCORRUPTED"

#define EXT3_COMPAT_HAS_JOURNAL 0x0004u
#define EXT2_COMPAT_EXT_ATTR 0x0008u
#define EXT2_COMPAT_RESIZE_INODE 0x0010u
#define EXT2_COMPAT_DIR_INDEX 0x0020u
#define EXT4_COMPAT_SPARSE_SUPER2 0x0200u

#define EXT2_INCOMPAT_FILETYPE 0x0002u
#define EXT3_INCOMPAT_RECOVER 0x0004u // "needs_recovery": the journal may hold something
#define EXT4_INCOMPAT_EXTENTS 0x0040u
#define EXT4_INCOMPAT_64BIT 0x0080u
#define EXT4_INCOMPAT_FLEX_BG 0x0200u
#define EXT4_INCOMPAT_CSUM_SEED 0x2000u

#define EXT2_RO_SPARSE_SUPER 0x0001u
#define EXT2_RO_LARGE_FILE 0x0002u
#define EXT4_RO_HUGE_FILE 0x0008u
#define EXT4_RO_GROUP_CHECKSUM 0x0010u // "uninit_bg": CRC-16 of group descriptors
#define EXT4_RO_DIR_NLINK 0x0020u
#define EXT4_RO_EXTRA_ISIZE 0x0040u
#define EXT4_RO_BIGALLOC 0x0200u
#define EXT4_RO_METADATA_CHECKSUM 0x0400u // CRC-32C of all metadata

#define EXT4_CHECKSUM_CRC32C 1u

#define EXT4_GROUP_INODES_UNUSED 1u // inode bitmap and table were never written
#define EXT4_GROUP_BLOCKS_UNUSED 2u // the block bitmap was never written
#define EXT4_GROUP_ZEROED 4u        // the inode table was zeroed

#define EXT2_FLAG_IMMUTABLE 0x00000010u
#define EXT2_FLAG_APPEND 0x00000020u
#define EXT2_FLAG_INDEX 0x00001000u // directory with hashed index blocks
#define EXT4_FLAG_HUGE_FILE 0x00040000u // blocks are counted in blocks of the file system
#define EXT4_FLAG_EXTENTS 0x00080000u

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
	uint16_t raid_stride;
	uint16_t mmp_interval;
	uint64_t mmp_block;
	uint32_t raid_stripe_width;
	uint8_t log_groups_per_flex;
	uint8_t checksum_type;
	uint8_t unused_376[2];
	uint64_t kbytes_written;
	uint8_t unused_384[20];
	uint32_t error_count; // since the last e2fsck
	uint32_t first_error_time;
	uint32_t first_error_inode;
	uint64_t first_error_block;
	char first_error_function[32];
	uint32_t first_error_line;
	uint32_t last_error_time;
	uint32_t last_error_inode;
	uint32_t last_error_line;
	uint64_t last_error_block;
	char last_error_function[32];
	uint8_t unused_512[76];
	uint32_t backup_groups[2]; // with sparse_super2
	uint8_t unused_596[28];
	uint32_t checksum_seed; // with metadata_csum_seed
	uint8_t unused_628[4];
	uint8_t first_error_time_hi;
	uint8_t last_error_time_hi;
	uint8_t first_error_code; // EXT4_ERROR_*
	uint8_t last_error_code;
	uint8_t unused_636[384];
	uint32_t checksum; // of all before it
} __attribute__((packed, aligned(4)));
_Static_assert(sizeof(struct ext2_super) == 1024, "an ext2 superblock is 1024 bytes");
_Static_assert(__builtin_offsetof(struct ext2_super, backup_groups) == 0x24c, "the backup groups are at byte 588");
_Static_assert(__builtin_offsetof(struct ext2_super, error_count) == 0x194, "the count of errors is at byte 404");
_Static_assert(__builtin_offsetof(struct ext2_super, first_error_code) == 0x27a, "the code of the first error is at byte 634");
_Static_assert(__builtin_offsetof(struct ext2_super, checksum_seed) == 0x270, "the checksum seed is at byte 624");

struct ext2_group {
	uint32_t block_bitmap;
	uint32_t inode_bitmap;
	uint32_t inode_table;
	uint16_t free_blocks_count;
	uint16_t free_inodes_count;
	uint16_t used_dirs_count;
	uint16_t flags; // EXT4_GROUP_*, this and all below: only with checksums of descriptors
	uint32_t exclude_bitmap;
	uint16_t block_bitmap_checksum;
	uint16_t inode_bitmap_checksum;
	uint16_t unused_inodes; // at the end of the table, never used
	uint16_t checksum;
	// With 64bit. No volume that we serve has so many of anything that the high halves are used.
	uint32_t block_bitmap_hi;
	uint32_t inode_bitmap_hi;
	uint32_t inode_table_hi;
	uint16_t free_blocks_count_hi;
	uint16_t free_inodes_count_hi;
	uint16_t used_dirs_count_hi;
	uint16_t unused_inodes_hi;
	uint32_t exclude_bitmap_hi;
	uint16_t block_bitmap_checksum_hi;
	uint16_t inode_bitmap_checksum_hi;
	uint32_t reserved;
};
#define EXT2_GROUP_SIZE 32u // of it without 64bit
_Static_assert(sizeof(struct ext2_group) == 64, "a group descriptor is 32 bytes and 32 with 64bit");
_Static_assert(__builtin_offsetof(struct ext2_group, block_bitmap_hi) == EXT2_GROUP_SIZE, "the high halves come second");

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
	uint16_t blocks_high; // with huge_file
	uint16_t file_acl_high; // with 64bit
	uint16_t uid_high;
	uint16_t gid_high;
	uint16_t checksum_lo;
	uint16_t reserved2;
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

// At the end of a directory's block, with metadata_csum: looks like an unused entry.
struct ext4_entry_tail {
	uint32_t inode;  // 0
	uint16_t record; // 12
	uint8_t name_length; // 0
	uint8_t type; // EXT4_TAIL_TYPE
	uint32_t checksum;
};
_Static_assert(sizeof(struct ext4_entry_tail) == 12, "the tail of a directory block is 12 bytes");
#define EXT4_TAIL_TYPE 0xdeu

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

struct ext2_attributes { // head of a block of extended attributes
	uint32_t magic;
	uint32_t references;
	uint32_t blocks;
	uint32_t hash;
	uint32_t checksum;
};
_Static_assert(sizeof(struct ext2_attributes) == 20, "the attribute header is 20 bytes");

// ---- hashed index of a directory: root in its first block, behind '.' and '..', nodes behind an entry that looks unused ----

#define EXT4_INDEX_INFO_AT 24u
#define EXT4_INDEX_ROOT_AT 32u
#define EXT4_INDEX_NODE_AT 8u

struct ext4_index_root {
	uint32_t reserved;
	uint8_t hash_version;
	uint8_t length; // 8
	uint8_t levels; // of nodes below the root
	uint8_t flags;
};
_Static_assert(sizeof(struct ext4_index_root) == 8, "the head of an index root is 8 bytes");

struct ext4_index_entry {
	uint32_t hash; // smallest hash in the block, bit 0: its first name's hash is the last one of the block before; in the first entry struct ext4_index_count
	uint32_t block; // of the directory
};
struct ext4_index_count {
	uint16_t limit;
	uint16_t count; // the first included
};
struct ext4_index_tail { // behind `limit` entries, with metadata_csum
	uint32_t reserved;
	uint32_t checksum;
};

// ---- extents: a tree whose root is in the inode, in place of its pointers ----

#define EXT4_EXTENT_MAGIC 0xf30au
#define EXT4_EXTENT_DEPTH_MAX 5u
#define EXT4_EXTENT_LENGTH_MAX 32768u // longer ones are unwritten: they read as zeros; 32768 is to be taken off then

struct ext4_extent_header {
	uint16_t magic;
	uint16_t entries;
	uint16_t max;
	uint16_t depth; // 0: a leaf
	uint32_t generation;
};
struct ext4_extent { // in a leaf
	uint32_t block; // first one of the file
	uint16_t length;
	uint16_t start_hi;
	uint32_t start;
};
struct ext4_extent_index { // above the leaves
	uint32_t block; // the same as that of the first entry below
	uint32_t child;
	uint16_t child_hi;
	uint16_t unused;
};
_Static_assert(sizeof(struct ext4_extent_header) == 12 && sizeof(struct ext4_extent) == 12 &&
		       sizeof(struct ext4_extent_index) == 12,
	       "headers and entries of extent trees are 12 bytes");

// Field by field: the C library's memcmp goes byte by byte.
static inline bool extent_is_same(const struct ext4_extent *e, const struct ext4_extent *f)
{
	return e->block == f->block && e->length == f->length && e->start_hi == f->start_hi && e->start == f->start;
}

#define EXT4_EXTENTS_IN_ROOT 4u
