// What the parts of one commit owe each other. See ledger.c.
#pragma once
#include "servers/fs/ext2.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ledger_account {
	LEDGER_NAMES,   // entries of directories, less links of inodes
	LEDGER_PARENTS, // '.' and '..', less directories and the links that these have of them
	LEDGER_CHAIN,   // inodes without a link, less what the others of them point at
	LEDGER_NUMBERS, // bits of inode bitmaps, less inodes that came into use
	LEDGER_FOLDERS, // directories that descriptors count, less those that came into use
	LEDGER_BLOCKS,  // bits of block bitmaps, less blocks that came to be named
	LEDGER_ACCOUNTS
};
#define LEDGER_ALL ((1u << LEDGER_ACCOUNTS) - 1)
#define LEDGER_ENTRIES (1u << LEDGER_NAMES | 1u << LEDGER_PARENTS)

struct ledger {
	uint64_t sum[LEDGER_ACCOUNTS];
	uint32_t unknown; // accounts of which not all is known; a bit for each
	bool used;
};

struct buffer;
struct cache;
struct volume;

// A block of entries is now what it was not; 0: it was or is none. One that is damaged makes the accounts unknown.
void ledger_directory(struct ledger *l, const uint8_t *was, const uint8_t *is, uint32_t bytes);
// An inode that was or is in use; 0: it was or is not.
void ledger_inode(struct ledger *l, const struct volume *v, uint32_t number, const struct ext2_inode *was, const struct ext2_inode *is);
// A node of an extent tree, with so many bytes for header and entries.
void ledger_node(struct ledger *l, const void *was, const void *is, size_t bytes);
// Bits of a word of a bitmap that were taken (sign 1) or given back (-1); bit 0 stands for the inode or block `first`.
void ledger_bits(struct ledger *l, bool inodes, uint32_t first, uint64_t bits, int sign);
void ledger_folders(struct ledger *l, uint32_t group, int more);
// The operation under way frees the block: what it was at the last commit goes. For cache->freeing.
void ledger_freed(struct cache *cache, const struct buffer *b);
void ledger_doubt(struct ledger *l, uint32_t accounts); // they are unknown: bits
void ledger_add(struct ledger *l, const struct ledger *more);
// Of the whole commit: what does not fit, or 0. The chain of orphans began at `was` and begins at `is`.
const char *ledger_flaw(const struct ledger *l, uint32_t was, uint32_t is);
