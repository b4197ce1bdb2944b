// Doubts: errors that a client would be told, although what it asked for and what the volume knows do not bear them out.
//
// Owns the table of doubts. A server whose memory was changed does not only find damage where there is none (damage.c): it calls
// handles stale, names invalid, a volume with room full. So the first such answer is none: the server dies, and if its successor, whose
// memory is pristine, comes to the same answer to the same request, it is true, and is told. The table stands in the log area and
// outlives this server; a word in it that is nonsense costs a doubt too many, or none for a while.
// Must never let a client restart this server at will. What can be understood from the request alone (a name that is too long), or
// is seen by a second look that does not go the same way (a handle of an inode that is another now), is
// told at once; who is told what was doubted is believed for a minute, for the error is likely to be his; and all clients
// together have few deaths, which come back slowly. For whoever changes his request between two incarnations makes any doubt seem right.
// If the server dies: that is what it is for.
#include "servers/fs/doubt.h"
#include "proto/fs.h"
#include "runtime/runtime.h"
#include "servers/fs/volume.h"
#include <string.h>

#define DEATHS_AT_ONCE 4u       // some 30 ms each
#define DEATH_US 5000000u       // after which there is one more
#define BELIEVED_US 60000000u   // who has asked for something that is not there may do it again
#define FILE_BYTES (1ull << 30) // a file can be as large in each kind of volume
#define ROOM_PART 16u           // of blocks or inodes: with so many free, there is room for an operation

// Where the request alone decides what is invalid. For some it is a matter of what they name.
static bool is_well_formed(const struct request *r, const uint8_t *out)
{
	switch (r->op) {
	case FS_OP_LOOKUP:
	case FS_OP_CREATE:
	case FS_OP_UNLINK:
	case FS_OP_MKDIR:
	case FS_OP_RMDIR:
	case FS_OP_LINK:
		return r->out_length > 0 && !memchr(out, '/', r->out_length) && !memchr(out, 0, r->out_length);
	case FS_OP_STAT:
		return r->in_length >= sizeof(struct fs_stat);
	case FS_OP_STATFS:
		return r->in_length >= sizeof(struct fs_statfs);
	case FS_OP_FSYNC:
		return r->arg[1] <= (FS_FSYNC_DATA | FS_FSYNC_SINCE);
	case FS_OP_READDIR:
	case FS_OP_READLINK:
	case FS_OP_RENAME:
	case FS_OP_SYMLINK:
		return false;
	default:
		return true;
	}
}

static bool is_inode(const struct volume *v, uint32_t number)
{
	uint32_t first = v->super->rev_level ? v->super->first_ino : EXT2_FIRST_INODE_OLD;
	return number == EXT2_ROOT_INODE || (number >= first && number > EXT2_ROOT_INODE && number <= v->super->inodes_count);
}

// Whether the handle's inode is there. Not by the functions that have said that it is not. An error: nobody knows.
static bool is_alive(struct volume *v, uint64_t handle)
{
	uint32_t each = v->block_size / v->inode_size, index = FS_HANDLE_INODE(handle) - 1, group = index / v->inodes_per_group;
	struct buffer *b;
	index %= v->inodes_per_group;
	if (group >= v->groups || cache_get(&v->cache, v->places[group].inode_table + index / each, &b) != ERR_OK)
		return false;
	const struct ext2_inode *raw = (const void *)(b->data + index % each * v->inode_size);
	bool same = raw->generation == FS_HANDLE_GENERATION(handle), named = raw->links_count;
	cache_put(&v->cache, b);
	return same && (named || (v->is_open && v->is_open(handle)));
}

bool doubt_concerns_handle(struct volume *v, uint64_t handle, enum error status)
{
	return is_inode(v, FS_HANDLE_INODE(handle)) && (status != ERR_STALE || is_alive(v, handle));
}

static bool is_small(const struct request *r)
{
	uint64_t from = r->op == FS_OP_WRITE && r->arg[1] == FS_APPEND ? 0 : r->arg[1];
	bool sized = r->op == FS_OP_WRITE || r->op == FS_OP_TRUNCATE;
	return sized ? from <= FILE_BYTES : r->op != FS_OP_UNLINK && r->op != FS_OP_RENAME && r->op != FS_OP_CREATE;
}

static bool has_room(const struct volume *v)
{
	return v->super->free_blocks_count > v->blocks / ROOM_PART && v->super->free_inodes_count > v->inodes / ROOM_PART;
}

bool doubt_concerns(const struct volume *v, const struct request *r, const uint8_t *out, enum error status)
{
	if (r->grant) // what a client lends may not do, and is sent otherwise
		return false;
	switch (status) {
	case ERR_EXISTS:
	case ERR_NOT_DIRECTORY:
	case ERR_IS_DIRECTORY:
	case ERR_NOT_EMPTY:
	case ERR_LOOP:
	case ERR_LINKS:
	case ERR_CANCELLED:
		return false;
	case ERR_NOT_FOUND: // who removes or renames something has found it before
		return r->op != FS_OP_LOOKUP;
	case ERR_NAME_TOO_LONG:
		return r->out_length <= FS_NAME_MAX;
	case ERR_INVALID:
		return is_well_formed(r, out);
	case ERR_TOO_BIG:
		return is_small(r);
	case ERR_NO_SPACE:
		return has_room(v);
	case ERR_CORRUPT: // a finding, which was doubted by itself
		return v->corruptions == 0;
	default:
		return true;
	}
}

// Time that a word of the table says is to come: not more than `most`, or it is nonsense.
static uint64_t time_left(uint64_t until, uint64_t now, uint64_t most)
{
	return until > now && until - now <= most ? until - now : 0;
}

static bool death_is_left(struct doubts *doubts, uint64_t now)
{
	uint64_t each = time_ticks_from_us(DEATH_US), left = time_left(doubts->spent, now, DEATHS_AT_ONCE * each);
	if (left > (DEATHS_AT_ONCE - 1) * each)
		return false;
	doubts->spent = now + left + each;
	return true;
}

bool doubt_is_due(struct doubts *doubts, unsigned slot, const struct request *r, enum error status, uint64_t now)
{
	struct doubt *d = &doubts->of[slot];
	uint64_t believed = time_ticks_from_us(BELIEVED_US);
	if (d->seq == r->seq && d->op == r->op && d->status == status) {
		d->seq = 0;
		d->until = now + believed;
		return false;
	}
	if (time_left(d->until, now, believed) || !death_is_left(doubts, now))
		return false;
	*d = (struct doubt){.seq = r->seq, .op = r->op, .status = (uint16_t)status};
	return true;
}

void doubt_forget(struct doubts *doubts, unsigned slot)
{
	doubts->of[slot] = (struct doubt){0};
}
