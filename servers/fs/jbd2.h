// On-disk structures of a JBD2 journal, as Linux and e2fsprogs write it. All numbers are big-endian.
//
// Owns: numbers and places only. Source: "Journal (jbd2)" in filesystems/ext4 of the Linux kernel's documentation. Every
// block starts with a header: magic, type, sequence. Everything read is a claim of the disk; journal.c and
// journal_replay.c check it.
#pragma once
#include <stdint.h>

#define JBD2_MAGIC 0xc03b3998u
#define JBD2_HEADER 12u // bytes: magic, type, sequence
#define JBD2_SUPER_SIZE 1024u

enum jbd2_type { JBD2_DESCRIPTOR = 1, JBD2_COMMIT, JBD2_SUPER_V1, JBD2_SUPER_V2, JBD2_REVOKE };

// Places of the superblock's fields, in bytes.
enum {
	JBD2_S_BLOCK_SIZE = 0x0c,
	JBD2_S_LENGTH = 0x10, // blocks, this one included
	JBD2_S_FIRST = 0x14,  // first block of the log
	JBD2_S_SEQUENCE = 0x18,
	JBD2_S_START = 0x1c, // block where the log begins; 0: empty
	JBD2_S_ERROR = 0x20,
	JBD2_S_COMPAT = 0x24,
	JBD2_S_INCOMPAT = 0x28,
	JBD2_S_RO_COMPAT = 0x2c,
	JBD2_S_UUID = 0x30,
	JBD2_S_USERS = 0x40,
	JBD2_S_CHECKSUM_TYPE = 0x50,
	JBD2_S_CHECKSUM = 0xfc,
};

#define JBD2_COMPAT_CHECKSUM 0x1u // of whole transactions, in commit blocks: not looked at, not written
#define JBD2_INCOMPAT_REVOKE 0x1u
#define JBD2_INCOMPAT_64BIT 0x2u
#define JBD2_INCOMPAT_ASYNC_COMMIT 0x4u
#define JBD2_INCOMPAT_CSUM_V2 0x8u
#define JBD2_INCOMPAT_CSUM_V3 0x10u
#define JBD2_INCOMPAT_FAST_COMMIT 0x20u
#define JBD2_CHECKSUM_CRC32C 4u

#define JBD2_ABORTED (~5u + 1) // s_errno of a journal that an I/O error ended: -EIO

// Flags of a tag. The place of the flags depends on the features: journal_tag_get.
#define JBD2_TAG_ESCAPED 1u   // the block began with the magic number; zeros stand there instead
#define JBD2_TAG_SAME_UUID 2u // no uuid follows the tag
#define JBD2_TAG_LAST 8u

#define JBD2_UUID_SIZE 16u
#define JBD2_TAIL 4u // bytes at the end of descriptor and revoke blocks with checksums

// Revoke block: header, bytes used (header included), then numbers of 4 bytes, or 8 with 64bit.
#define JBD2_REVOKE_USED 12u
#define JBD2_REVOKE_FIRST 16u

// Commit block.
#define JBD2_COMMIT_CHECKSUM 16u
#define JBD2_COMMIT_SECONDS 48u

static inline uint32_t jbd2_get(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void jbd2_put(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}
