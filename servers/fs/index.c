// Hashed index of a directory (dir_index): which of its blocks are index blocks, and how the index is dropped.
//
// Owns: the content of index blocks. An index hides behind entries that look unused, so that a directory can be read
// without it; it is only wrong after a name was put where its hash does not belong. Then it goes: the flag, and with
// checksums each index block becomes a block of entries, for the two have their sums in different places.
// If the server dies while an index goes: flag and blocks change in one operation, so the disk has all of the index or none.
#include "servers/fs/volume.h"
#include <string.h>

enum block_kind index_kind(const struct volume *v, const struct inode *directory, uint32_t index, const struct buffer *b)
{
	const struct ext2_entry *first = (const struct ext2_entry *)(const void *)b->data;
	if (!v->checksums || !(directory->raw->flags & EXT2_FLAG_INDEX))
		return BLOCK_DIRECTORY;
	return index == 0 || (first->inode == 0 && first->record == v->block_size) ? BLOCK_INDEX : BLOCK_DIRECTORY;
}

struct ext4_index_count *index_count(const struct volume *v, const struct buffer *b)
{
	const struct ext2_entry *first = (const struct ext2_entry *)(const void *)b->data;
	const struct ext2_entry *second = (const struct ext2_entry *)(const void *)(b->data + 12);
	uint32_t at = EXT4_INDEX_ROOT_AT;
	if (first->record == v->block_size)
		at = EXT4_INDEX_NODE_AT;
	else if (first->record != 12 || second->record != v->block_size - 12)
		return 0;
	struct ext4_index_count *c = (struct ext4_index_count *)(void *)(b->data + at);
	uint32_t room = (v->block_size - at) / sizeof(struct ext4_index_entry);
	return c->limit > room || c->count > c->limit || c->count == 0 ? 0 : c;
}

// The index block becomes one of entries: the root has '.' and '..', the others none.
static enum error make_entries(struct volume *v, const struct inode *directory, struct buffer *b)
{
	uint32_t at = b->data[4] == 12 && b->data[5] == 0 ? 12 : 0, end = v->block_size - sizeof(struct ext4_entry_tail);
	struct ext2_entry *last = (struct ext2_entry *)(void *)(b->data + at);
	enum error error = cache_modify(&v->cache, b);
	if (error != ERR_OK)
		return error;
	last->record = (uint16_t)(end - at);
	memset(b->data + at + 12, 0, v->block_size - at - 12);
	checksum_claim(b, BLOCK_DIRECTORY, checksum_owner(v, directory));
	checksum_make_tail(v, b);
	return ERR_OK;
}

static enum error drop_node(struct volume *v, struct inode *directory, uint32_t index)
{
	struct buffer *b;
	enum error error = directory_block(v, directory, index, &b);
	if (error == ERR_OK)
		error = b->kind == BLOCK_INDEX ? make_entries(v, directory, b)
					       : volume_corrupt(v, directory->number, b->block, "directory inode %u: block %u is no index block",
								directory->number, index);
	cache_put(&v->cache, b);
	return error;
}

enum error index_drop(struct volume *v, struct inode *directory)
{
	struct buffer *root;
	if (!v->checksums) {
		directory->raw->flags &= ~EXT2_FLAG_INDEX;
		return ERR_OK;
	}
	enum error error = directory_block(v, directory, 0, &root);
	if (error != ERR_OK)
		return error;
	const struct ext4_index_root *info = (const struct ext4_index_root *)(const void *)(root->data + EXT4_INDEX_INFO_AT);
	const struct ext4_index_count *c = index_count(v, root);
	const struct ext4_index_entry *e = (const struct ext4_index_entry *)(const void *)c;
	if (!c || info->levels > 1)
		error = volume_corrupt(v, directory->number, 0, "directory inode %u: the root of the index is damaged", directory->number);
	for (uint32_t i = 0; error == ERR_OK && info->levels && i < c->count; i++)
		error = drop_node(v, directory, e[i].block);
	if (error == ERR_OK)
		error = make_entries(v, directory, root);
	directory->raw->flags &= ~EXT2_FLAG_INDEX;
	cache_put(&v->cache, root);
	return error;
}
