// Content of files and symbolic links.
//
// Owns: reading with read-ahead, writing, truncation, targets of links. A write prepares everything that can fail
// (blocks, reading what is only partly replaced, size) before the first byte of content changes, because content is not
// kept for undo: so a write is done wholly or not at all. Data is copied once: from the client's memory into the
// cache, from the cache into the client's memory.
// If the server dies in the middle of a copy: the half was in the cache alone, and the client's memory, which is the
// channel's, still has the bytes for the next incarnation. What was read ahead is read again.
#include "servers/fs/volume.h"
#include <string.h>

#define READ_AHEAD_BYTES 0x40000u // enough to keep four reads of 64 KiB in flight

static uint32_t blocks_for(const struct volume *v, uint64_t bytes)
{
	return (uint32_t)((bytes + v->block_size - 1) >> v->block_shift);
}

// ---- read-ahead ----

static void prefetch(struct volume *v, const struct inode *inode, uint64_t from, uint64_t to)
{
	uint32_t index = (uint32_t)(from >> v->block_shift), end = blocks_for(v, to);
	while (index < end) {
		uint32_t block, run;
		if (bmap_find(v, inode, index, end - index, &block, &run) != ERR_OK)
			return;
		if (block)
			cache_read_start(&v->cache, block, run, false);
		index += run;
	}
}

static struct stream *stream_of(struct volume *v, uint32_t inode, uint64_t offset, bool *sequential)
{
	struct stream *oldest = &v->streams[0];
	for (unsigned i = 0; i < VOLUME_STREAMS; i++) {
		struct stream *s = &v->streams[i];
		if (s->inode == inode && s->next == offset) {
			*sequential = true;
			return s;
		}
		if (v->stream_clock - s->age > v->stream_clock - oldest->age)
			oldest = s;
	}
	*oldest = (struct stream){.inode = inode, .next = offset, .ahead = offset};
	*sequential = offset == 0;
	return oldest;
}

static void read_ahead(struct volume *v, const struct inode *inode, uint64_t offset, uint32_t length)
{
	bool sequential;
	struct stream *s = stream_of(v, inode->number, offset, &sequential);
	uint64_t end = offset + length, size = inode_size(inode);
	uint64_t room = (uint64_t)cache_capacity(&v->cache) / 8 << v->block_shift;
	uint64_t window = sequential ? READ_AHEAD_BYTES < room ? READ_AHEAD_BYTES : room : 0;
	uint64_t want = end + window < size ? end + window : size;
	s->age = ++v->stream_clock;
	s->next = end;
	if (s->ahead < offset)
		s->ahead = offset;
	if (s->ahead < want && s->ahead < end + window / 2) {
		prefetch(v, inode, s->ahead, want);
		s->ahead = want;
	}
}

// ---- reading ----

static enum error copy_run(struct volume *v, uint32_t block, uint32_t run, uint32_t skip, uint8_t *to, uint32_t length)
{
	while (length) {
		uint32_t n = v->block_size - skip < length ? v->block_size - skip : length;
		struct buffer *b;
		enum error error = cache_get_run(&v->cache, block, run, &b);
		if (error != ERR_OK)
			return error;
		memcpy(to, b->data + skip, n);
		cache_put(&v->cache, b);
		to += n;
		length -= n;
		skip = 0;
		block++;
		run--;
	}
	return ERR_OK;
}

enum error content_read(struct volume *v, const struct inode *inode, uint64_t offset, uint8_t *to, uint32_t room,
		     uint32_t *bytes)
{
	uint64_t size = inode_size(inode);
	*bytes = 0;
	if (offset >= size)
		return ERR_OK;
	uint32_t length = size - offset < room ? (uint32_t)(size - offset) : room;
	read_ahead(v, inode, offset, length);
	while (*bytes < length) {
		uint64_t at = offset + *bytes;
		uint32_t skip = (uint32_t)at & (v->block_size - 1), left = length - *bytes;
		uint32_t block, run;
		enum error error = bmap_find(v, inode, (uint32_t)(at >> v->block_shift), blocks_for(v, skip + left), &block,
					     &run);
		if (error != ERR_OK)
			return error;
		uint64_t here = ((uint64_t)run << v->block_shift) - skip;
		uint32_t n = here < left ? (uint32_t)here : left;
		if (block == 0)
			memset(to + *bytes, 0, n);
		else if ((error = copy_run(v, block, run, skip, to + *bytes, n)) != ERR_OK)
			return error;
		*bytes += n;
	}
	return ERR_OK;
}

// ---- writing ----

// Zeroes the rest of the block in which the file of that size ends.
static enum error zero_tail(struct volume *v, const struct inode *inode, uint64_t size)
{
	uint32_t skip = (uint32_t)size & (v->block_size - 1), block, run;
	struct buffer *b;
	if (skip == 0)
		return ERR_OK;
	enum error error = bmap_find(v, inode, (uint32_t)(size >> v->block_shift), 1, &block, &run);
	if (error != ERR_OK || block == 0)
		return error;
	error = cache_get(&v->cache, block, &b);
	if (error != ERR_OK)
		return error;
	error = cache_modify(&v->cache, b);
	if (error == ERR_OK) {
		b->flags &= (uint8_t)~BUFFER_CONTENT; // through the journal: a power cut must not leave the zeros alone
		memset(b->data + skip, 0, v->block_size - skip);
	}
	cache_put(&v->cache, b);
	return error;
}

static enum error prepare_block(struct volume *v, struct inode *inode, uint32_t index, bool whole, struct buffer **b)
{
	uint32_t block;
	bool fresh;
	enum error error = bmap_allocate(v, inode, index, &block, &fresh);
	if (error != ERR_OK)
		return error;
	if (!fresh && !whole) {
		if (!cache_peek(&v->cache, block)) // after a restart many small writes come in a row, of what nobody has read
			read_ahead(v, inode, (uint64_t)index << v->block_shift, v->block_size);
		return cache_get(&v->cache, block, b);
	}
	error = cache_get_blank(&v->cache, block, b);
	if (error == ERR_OK && !whole) // nobody's block until now: its old content is nobody's loss
		memset((*b)->data, 0, v->block_size);
	return error;
}

// Pins the blocks of the range in v->write_set.
static enum error prepare_range(struct volume *v, struct inode *inode, uint64_t offset, uint32_t length, uint32_t *count)
{
	uint64_t end = offset + length;
	uint32_t first = (uint32_t)(offset >> v->block_shift), blocks = blocks_for(v, end) - first;
	for (*count = 0; *count < blocks; (*count)++) {
		uint64_t start = (uint64_t)(first + *count) << v->block_shift;
		bool whole = start >= offset && start + v->block_size <= end;
		enum error error = prepare_block(v, inode, first + *count, whole, &v->write_set[*count]);
		if (error != ERR_OK)
			return error;
	}
	return ERR_OK;
}

static void fill_range(struct volume *v, uint64_t offset, const uint8_t *from, uint32_t length)
{
	uint32_t skip = (uint32_t)offset & (v->block_size - 1);
	for (uint32_t i = 0; length; i++) {
		uint32_t n = v->block_size - skip < length ? v->block_size - skip : length;
		payload_copy(v->sum, v->write_set[i]->data + skip, from, n);
		cache_overwritten(&v->cache, v->write_set[i], payload_unit(v->sum, n));
		from += n;
		length -= n;
		skip = 0;
	}
}

enum error content_write(struct volume *v, struct inode *inode, uint64_t offset, const uint8_t *from, uint32_t length)
{
	uint64_t size = inode_size(inode);
	uint32_t count = 0;
	if (length == 0)
		return ERR_OK;
	uint64_t file_max = bmap_file_max(v, inode);
	if (offset > file_max || length > file_max - offset || length > FS_TRANSFER_MAX)
		return ERR_TOO_BIG;
	enum error error = inode_modify(v, inode);
	if (error == ERR_OK && offset > size)
		error = zero_tail(v, inode, size);
	if (error == ERR_OK)
		error = prepare_range(v, inode, offset, length, &count);
	if (error == ERR_OK && offset + length > size)
		error = inode_set_size(v, inode, offset + length);
	if (error == ERR_OK)
		error = cache_room(&v->cache, count);
	if (error == ERR_OK) { // from here on nothing fails
		inode_touch(v, inode, true);
		fill_range(v, offset, from, length);
	}
	for (uint32_t i = 0; i < count; i++)
		cache_put(&v->cache, v->write_set[i]);
	return error;
}

enum error content_truncate(struct volume *v, struct inode *inode, uint64_t size)
{
	uint64_t old = inode_size(inode);
	if (size > bmap_file_max(v, inode))
		return ERR_TOO_BIG;
	enum error error = inode_modify(v, inode);
	if (error == ERR_OK && size != old)
		error = zero_tail(v, inode, size < old ? size : old);
	if (error == ERR_OK && size < old)
		error = bmap_truncate(v, inode, blocks_for(v, size));
	if (error == ERR_OK)
		error = inode_set_size(v, inode, size);
	if (error == ERR_OK)
		inode_touch(v, inode, true);
	return error;
}

// ---- symbolic links: short targets stand in the inode ----

static bool is_fast(const struct volume *v, const struct inode *inode)
{
	return inode->raw->size < EXT2_FAST_SYMLINK && !inode_has_content(v, inode);
}

enum error content_read_link(struct volume *v, const struct inode *inode, uint8_t *to, uint32_t room, uint32_t *bytes)
{
	uint32_t size = inode->raw->size, block, run;
	struct buffer *b;
	*bytes = size < room ? size : room;
	if (is_fast(v, inode)) {
		memcpy(to, inode->raw->block, *bytes);
		return ERR_OK;
	}
	enum error error = bmap_find(v, inode, 0, 1, &block, &run);
	if (error == ERR_OK && block == 0)
		error = volume_corrupt(v, inode->number, 0, "symbolic link inode %u has no block", inode->number);
	if (error == ERR_OK)
		error = cache_get(&v->cache, block, &b);
	if (error != ERR_OK)
		return error;
	memcpy(to, b->data, *bytes);
	cache_put(&v->cache, b);
	return ERR_OK;
}

enum error content_set_link(struct volume *v, struct inode *inode, const uint8_t *target, unsigned length)
{
	uint32_t block;
	struct buffer *b;
	bool fresh;
	if (length == 0)
		return ERR_INVALID;
	if (length >= v->block_size)
		return ERR_NAME_TOO_LONG;
	inode->raw->size = length;
	if (length < EXT2_FAST_SYMLINK) {
		memcpy(inode->raw->block, target, length);
		return ERR_OK;
	}
	if (v->extents)
		extent_init(inode);
	enum error error = bmap_allocate(v, inode, 0, &block, &fresh);
	if (error == ERR_OK)
		error = cache_create(&v->cache, block, &b);
	if (error != ERR_OK)
		return error;
	memcpy(b->data, target, length);
	cache_put(&v->cache, b);
	return ERR_OK;
}
