// Operations of the protocol: one function for each, over the core.
//
// Owns: taking arguments out of requests (names are copied out of shared memory once, and the copy is checked),
// the border of an operation (all or nothing), and the estimate of what it can make dirty. No waiting for commits, no
// channels: serve.c has those, so that the host's tests and fuzzers come in here.
// If the server dies in an operation: it has left nothing outside the cache, and no record says that it was done, so it is
// performed again from the client's ring. The one static text here is scratch of the operation under way.
#include "servers/fs/ops.h"
#include "runtime/inject.h"
#include "runtime/runtime.h"
#include <string.h>

#define NEED_NAMES 48u // blocks of any operation on names: directory, bitmaps, tables, descriptors, superblock

static const struct op_description op_table[FS_OPS] = {
#define X(op_name, op_attribute, op_text) [FS_OP_##op_name] = {#op_name, op_text, OP_##op_attribute},
	FS_OP_TABLE(X)
#undef X
};

const struct protocol fs_protocol = {"fs", op_table, FS_OPS};

struct op_text { // the payload's names, copied
	uint8_t bytes[2 * EXT2_NAME_MAX + 2 + EXT2_BLOCK_MAX];
	unsigned length;
	struct name first;
	struct name second;
};

// Two names with a NUL between, or one. The second may be as long as a block (target of a link).
static enum error take_text(const struct fs_call *call, struct op_text *text, unsigned second_max)
{
	unsigned length = call->request->out_length;
	if (length > EXT2_NAME_MAX + (second_max ? 1 + second_max : 0))
		return ERR_NAME_TOO_LONG;
	memcpy(text->bytes, call->out, length);
	const uint8_t *nul = second_max ? memchr(text->bytes, 0, length) : 0;
	text->first = (struct name){text->bytes, nul ? (unsigned)(nul - text->bytes) : length};
	if (!second_max)
		return ERR_OK;
	if (!nul)
		return ERR_INVALID;
	text->second = (struct name){nul + 1, length - text->first.length - 1};
	return ERR_OK;
}

// A single name, on the caller's stack: reading operations run beside each other.
struct short_name {
	uint8_t bytes[EXT2_NAME_MAX];
};

static enum error take_name(const struct fs_call *call, struct short_name *copy, struct name *name)
{
	if (call->request->out_length > EXT2_NAME_MAX)
		return ERR_NAME_TOO_LONG;
	memcpy(copy->bytes, call->out, call->request->out_length);
	*name = (struct name){copy->bytes, call->request->out_length};
	return name_check(*name);
}

// ---- reading ----

static enum error op_root(struct volume *v, const struct fs_call *call, uint64_t result[5])
{
	struct inode inode;
	(void)call;
	enum error error = inode_get_used(v, EXT2_ROOT_INODE, &inode);
	if (error != ERR_OK)
		return error;
	result[0] = inode_handle(&inode);
	inode_put(v, &inode);
	return ERR_OK;
}

// False: there is no room for it.
static bool status_tell(struct volume *v, const struct fs_call *call, const struct inode *inode)
{
	struct fs_stat stat;
	if (call->request->in_length < sizeof(stat))
		return false;
	inode_stat(v, inode, &stat);
	memcpy(call->in, &stat, sizeof(stat));
	return true;
}

static enum error op_lookup(struct volume *v, const struct fs_call *call, uint64_t result[5])
{
	struct short_name copy;
	struct name name;
	struct inode inode;
	enum error error = take_name(call, &copy, &name);
	if (error == ERR_OK)
		error = name_lookup(v, call->request->arg[0], name, &inode);
	if (error != ERR_OK)
		return error;
	result[0] = inode_handle(&inode);
	result[1] = inode.raw->mode;
	result[2] = inode_size(&inode);
	result[4] = status_tell(v, call, &inode);
	inode_put(v, &inode);
	return ERR_OK;
}

static enum error op_stat(struct volume *v, const struct fs_call *call, uint64_t result[5])
{
	struct inode inode;
	(void)result;
	enum error error = inode_open(v, call->request->arg[0], &inode);
	if (error != ERR_OK)
		return error;
	error = status_tell(v, call, &inode) ? ERR_OK : ERR_INVALID;
	inode_put(v, &inode);
	return error;
}

static enum error op_read(struct volume *v, const struct fs_call *call, uint64_t result[5])
{
	struct inode inode;
	uint32_t bytes = 0, room = call->request->in_length;
	if (room > FS_TRANSFER_MAX)
		room = FS_TRANSFER_MAX;
	enum error error = inode_open(v, call->request->arg[0], &inode);
	if (error != ERR_OK)
		return error;
	if (inode_is(&inode, FS_MODE_FILE))
		error = content_read(v, &inode, call->request->arg[1], call->in, room, &bytes);
	else
		error = inode_is(&inode, FS_MODE_DIRECTORY) ? ERR_IS_DIRECTORY : ERR_INVALID;
	result[0] = bytes;
	result[1] = inode_size(&inode);
	inode_put(v, &inode);
	return error;
}

static enum error op_readdir(struct volume *v, const struct fs_call *call, uint64_t result[5])
{
	struct inode inode;
	uint32_t bytes;
	bool end;
	result[1] = call->request->arg[1];
	enum error error = inode_open_directory(v, call->request->arg[0], &inode);
	if (error != ERR_OK)
		return error;
	error = directory_read(v, &inode, &result[1], call->in, call->request->in_length, &bytes, &end);
	result[0] = bytes;
	result[2] = end;
	inode_put(v, &inode);
	return error;
}

static enum error op_readlink(struct volume *v, const struct fs_call *call, uint64_t result[5])
{
	struct inode inode;
	uint32_t bytes = 0;
	enum error error = inode_open(v, call->request->arg[0], &inode);
	if (error != ERR_OK)
		return error;
	if (inode_is(&inode, FS_MODE_SYMLINK))
		error = content_read_link(v, &inode, call->in, call->request->in_length, &bytes);
	else
		error = ERR_INVALID;
	result[0] = bytes;
	inode_put(v, &inode);
	return error;
}

static enum error op_statfs(struct volume *v, const struct fs_call *call, uint64_t result[5])
{
	const struct ext2_super *s = v->super;
	struct fs_statfs f = {
		.blocks = v->blocks,
		.blocks_free = s->free_blocks_count,
		.blocks_available = s->free_blocks_count, // nobody here is held back from the reserved ones
		.inodes = v->inodes,
		.inodes_free = s->free_inodes_count,
		.block_size = v->block_size,
		.name_max = EXT2_NAME_MAX,
		.flags = (v->read_only ? FS_STATFS_READ_ONLY : 0) | (v->fallback ? FS_STATFS_FALLBACK : 0),
	};
	(void)result;
	memcpy(f.type, volume_kind(v), strlen(volume_kind(v)));
	memcpy(f.device, v->fallback ? "memory" : "block0", 6);
	if (call->request->in_length < sizeof(f))
		return ERR_INVALID;
	memcpy(call->in, &f, sizeof(f));
	return ERR_OK;
}

// ---- changing ----

static enum error op_create(struct volume *v, const struct fs_call *call, uint64_t result[5])
{
	struct short_name copy;
	struct name name;
	bool made;
	const struct request *r = call->request;
	enum error error = take_name(call, &copy, &name);
	if (error == ERR_OK)
		error = name_create(v, r->arg[0], name, (uint32_t)r->arg[1], (uint32_t)r->arg[2], &result[0], &made);
	if (error == ERR_OK)
		result[1] = made;
	return error;
}

static enum error open_file(struct volume *v, uint64_t handle, struct inode *inode)
{
	enum error error = inode_open(v, handle, inode);
	if (error != ERR_OK || inode_is(inode, FS_MODE_FILE))
		return error;
	error = inode_is(inode, FS_MODE_DIRECTORY) ? ERR_IS_DIRECTORY : ERR_INVALID;
	inode_put(v, inode);
	return error;
}

static enum error op_write(struct volume *v, const struct fs_call *call, uint64_t result[5])
{
	struct inode inode;
	const struct request *r = call->request;
	enum error error = open_file(v, r->arg[0], &inode);
	if (error != ERR_OK)
		return error;
	uint64_t offset = r->arg[1] == FS_APPEND ? inode_size(&inode) : r->arg[1];
	if (call->forced && r->arg[1] == FS_APPEND)
		offset = call->forced[1]; // where it was, also when an append before it is lost
	error = content_write(v, &inode, offset, call->out, r->out_length);
	result[0] = r->out_length;
	result[1] = offset;
	result[2] = inode_size(&inode);
	inode_put(v, &inode);
	return error;
}

static enum error op_truncate(struct volume *v, const struct fs_call *call, uint64_t result[5])
{
	struct inode inode;
	(void)result;
	enum error error = open_file(v, call->request->arg[0], &inode);
	if (error != ERR_OK)
		return error;
	error = content_truncate(v, &inode, call->request->arg[1]);
	inode_put(v, &inode);
	return error;
}

static enum error op_unlink(struct volume *v, const struct fs_call *call, uint64_t result[5])
{
	struct short_name copy;
	struct name name;
	(void)result;
	enum error error = take_name(call, &copy, &name);
	return error == ERR_OK ? name_unlink(v, call->request->arg[0], name) : error;
}

static enum error op_mkdir(struct volume *v, const struct fs_call *call, uint64_t result[5])
{
	struct short_name copy;
	struct name name;
	const struct request *r = call->request;
	enum error error = take_name(call, &copy, &name);
	return error == ERR_OK ? name_make_directory(v, r->arg[0], name, (uint32_t)r->arg[1], &result[0]) : error;
}

static enum error op_rmdir(struct volume *v, const struct fs_call *call, uint64_t result[5])
{
	struct short_name copy;
	struct name name;
	(void)result;
	enum error error = take_name(call, &copy, &name);
	return error == ERR_OK ? name_remove_directory(v, call->request->arg[0], name) : error;
}

// Changing operations run alone: one copy of the long texts is enough.
static struct op_text long_text;

static enum error op_rename(struct volume *v, const struct fs_call *call, uint64_t result[5])
{
	(void)result;
	enum error error = take_text(call, &long_text, EXT2_NAME_MAX);
	if (error != ERR_OK)
		return error;
	return name_rename(v, call->request->arg[0], long_text.first, call->request->arg[1], long_text.second);
}

static enum error op_link(struct volume *v, const struct fs_call *call, uint64_t result[5])
{
	struct short_name copy;
	struct name name;
	(void)result;
	enum error error = take_name(call, &copy, &name);
	return error == ERR_OK ? name_link(v, call->request->arg[0], call->request->arg[1], name) : error;
}

static enum error op_symlink(struct volume *v, const struct fs_call *call, uint64_t result[5])
{
	enum error error = take_text(call, &long_text, EXT2_BLOCK_MAX);
	if (error != ERR_OK)
		return error;
	struct name target = long_text.second;
	if (memchr(target.bytes, 0, target.length))
		return ERR_INVALID;
	return name_symlink(v, call->request->arg[0], long_text.first, target.bytes, target.length, &result[0]);
}

static enum error op_chmod(struct volume *v, const struct fs_call *call, uint64_t result[5])
{
	struct inode inode;
	(void)result;
	enum error error = inode_open(v, call->request->arg[0], &inode);
	if (error != ERR_OK)
		return error;
	error = inode_modify(v, &inode);
	if (error == ERR_OK) {
		inode.raw->mode = (uint16_t)((inode.raw->mode & FS_MODE_TYPE) | (call->request->arg[1] & 07777));
		inode_touch(v, &inode, false);
	}
	inode_put(v, &inode);
	return error;
}

static enum error op_utimes(struct volume *v, const struct fs_call *call, uint64_t result[5])
{
	struct inode inode;
	(void)result;
	enum error error = inode_open(v, call->request->arg[0], &inode);
	if (error != ERR_OK)
		return error;
	error = inode_modify(v, &inode);
	if (error == ERR_OK) {
		inode_set_times(v, &inode, call->request->arg[1], call->request->arg[2]);
		inode_touch(v, &inode, false);
	}
	inode_put(v, &inode);
	return error;
}

// ---- the border of an operation ----

static void change_begin(struct volume *v)
{
	if (v->freeing.used)
		v->freeing = (struct ledger){0};
	cache_op_begin(&v->cache);
	journal_op_begin(&v->log.journal);
}

// With an error all is as it was.
static enum error change_end(struct volume *v, enum error error)
{
	if (error == ERR_OK) {
		cache_op_keep(&v->cache);
		if (v->freeing.used)
			ledger_add(&v->freed, &v->freeing);
		return ERR_OK;
	}
	cache_op_undo(&v->cache);
	journal_op_undo(&v->log.journal);
	return error;
}

typedef enum error op_function(struct volume *v, const struct fs_call *call, uint64_t result[5]);

static op_function *const functions[FS_OPS] = {
	[FS_OP_ROOT] = op_root,	    [FS_OP_LOOKUP] = op_lookup,	    [FS_OP_STAT] = op_stat,
	[FS_OP_READ] = op_read,	    [FS_OP_READDIR] = op_readdir,   [FS_OP_READLINK] = op_readlink,
	[FS_OP_STATFS] = op_statfs, [FS_OP_CREATE] = op_create,	    [FS_OP_WRITE] = op_write,
	[FS_OP_TRUNCATE] = op_truncate, [FS_OP_UNLINK] = op_unlink, [FS_OP_MKDIR] = op_mkdir,
	[FS_OP_RMDIR] = op_rmdir,   [FS_OP_RENAME] = op_rename,	    [FS_OP_LINK] = op_link,
	[FS_OP_SYMLINK] = op_symlink, [FS_OP_CHMOD] = op_chmod,	    [FS_OP_UTIMES] = op_utimes,
};

bool fsop_changes(uint16_t op)
{
	return op < FS_OPS && op_table[op].attribute == OP_ONCE;
}

// An inode shares its block with others: it may be called pending for their sake.
enum error fsop_pending(struct volume *v, uint64_t handle, bool *pending)
{
	struct inode inode;
	enum error error = inode_open(v, handle, &inode);
	if (error != ERR_OK)
		return error;
	*pending = inode.buffer->flags & (BUFFER_DIRTY | BUFFER_COMMITTING);
	inode_put(v, &inode);
	return ERR_OK;
}

void fsop_content_changed(const struct request *request, const uint64_t result[5], uint64_t handle[2])
{
	handle[0] = request->arg[0];
	handle[1] = result[3];
	switch (request->op) {
	case FS_OP_CHMOD:
	case FS_OP_UTIMES:
		handle[0] = 0;
		break;
	case FS_OP_LINK:
		handle[0] = request->arg[1];
		break;
	case FS_OP_CREATE: // also one that was there is cut, if that is wanted
		handle[1] = result[0];
		break;
	default:
		break;
	}
}

// Nodes of an extent tree that a write of that many blocks can change or make: each block two entries at most (it is cut
// out of an unwritten extent), a node that is split has room for half of its entries, above it one node in each level.
static uint32_t need_nodes(const struct volume *v, uint32_t blocks)
{
	uint32_t half = (v->block_size - 12) / 12 / 2;
	return 2 * (2 * blocks / half + 2) + 2 * EXT4_EXTENT_DEPTH_MAX;
}

// Each new block may lie in a group of its own, with a bitmap and a descriptor. Freeing a large fragmented file may need
// more: cache_modify watches the limit.
uint32_t fsop_need(const struct volume *v, const struct request *request)
{
	uint32_t each_group = v->groups + v->descriptor_blocks;
	if (!fsop_changes(request->op))
		return 0;
	uint32_t blocks = 0;
	if (request->op == FS_OP_WRITE) {
		blocks = (request->out_length >> v->block_shift) + 2;
		blocks += v->extents ? need_nodes(v, blocks) : blocks / v->pointers + 8;
	}
	uint32_t maps = blocks < 16 ? 32 : 2 * blocks;
	return blocks + NEED_NAMES + (maps < each_group ? maps : each_group);
}

// ---- operations that free more than a commit holds ----

// The file that the operation will shorten, and to what size.
static enum error shrink_target(struct volume *v, const struct fs_call *call, struct inode *inode, uint64_t *size)
{
	struct short_name copy;
	struct name name;
	const struct request *r = call->request;
	enum error error;
	*size = r->op == FS_OP_TRUNCATE ? r->arg[1] : 0;
	if (r->op == FS_OP_TRUNCATE)
		return inode_open(v, r->arg[0], inode);
	if (r->op == FS_OP_RENAME) {
		error = take_text(call, &long_text, EXT2_NAME_MAX);
		return error == ERR_OK ? name_lookup(v, r->arg[1], long_text.second, inode) : error;
	}
	if (r->op != FS_OP_UNLINK && r->op != FS_OP_CREATE)
		return ERR_TOO_BIG;
	error = take_name(call, &copy, &name);
	return error == ERR_OK ? name_lookup(v, r->arg[0], name, inode) : error;
}

static bool is_too_much(enum error error)
{
	return error == ERR_LIMIT || error == ERR_NO_MEMORY;
}

// Half of what is to go, or half of that, and so on, until its traces fit.
static enum error shrink_some(struct volume *v, struct inode *inode, uint64_t size)
{
	uint64_t now = inode_size(inode);
	enum error error = ERR_TOO_BIG;
	if (!inode_is(inode, FS_MODE_FILE))
		return ERR_TOO_BIG;
	for (uint64_t piece = (now - size) / 2; now > size && piece >= v->block_size; piece /= 2) {
		change_begin(v);
		error = change_end(v, content_truncate(v, inode, now - piece));
		if (error == ERR_OK)
			return ERR_OK;
		if (!is_too_much(error))
			return error;
	}
	return error;
}

enum error fsop_shrink(struct volume *v, const struct fs_call *call)
{
	struct inode inode;
	uint64_t size;
	if (v->read_only)
		return ERR_READ_ONLY;
	v->now = call->now;
	enum error error = shrink_target(v, call, &inode, &size);
	if (error != ERR_OK)
		return error;
	error = inode_size(&inode) > size ? shrink_some(v, &inode, size) : ERR_TOO_BIG;
	inode_put(v, &inode);
	return is_too_much(error) ? ERR_TOO_BIG : error;
}

// What a record says beside the results proper: which objects were changed, for whoever must know if it is lost.
static void name_objects(const struct volume *v, const struct request *r, uint64_t result[5])
{
	if (r->op == FS_OP_UNLINK || r->op == FS_OP_RENAME)
		result[0] = v->orphaned;
	if (r->op == FS_OP_LINK || r->op == FS_OP_RENAME)
		result[3] = r->arg[1];
	if (r->op == FS_OP_MKDIR || r->op == FS_OP_SYMLINK || (r->op == FS_OP_CREATE && result[1]))
		result[3] = result[0];
	result[4] = r->arg[0];
}

enum error fsop_perform(struct volume *v, const struct fs_call *call, uint64_t result[5])
{
	uint16_t op = call->request->op;
	memset(result, 0, 5 * sizeof(*result));
	if (op >= FS_OPS || !functions[op])
		return ERR_UNKNOWN_CALL;
	enum error error = inject("fs.op");
	if (error != ERR_OK)
		return error;
	v->clock = call->now;
	if (!fsop_changes(op))
		return functions[op](v, call, result);
	if (v->read_only)
		return ERR_READ_ONLY;
	v->now = call->now;
	v->forced = call->forced;
	v->sum = call->sum;
	v->orphaned = false;
	v->changed_count = 0;
	change_begin(v);
	error = change_end(v, functions[op](v, call, result));
	v->forced = 0;
	name_objects(v, call->request, result);
	return error;
}

// ---- orphans, and what is lost ----

// True: go on with the next one.
static bool free_orphan(struct volume *v)
{
	struct inode inode;
	change_begin(v);
	enum error error = orphan_find_closed(v, &inode);
	if (error == ERR_OK) {
		error = orphan_free(v, &inode);
		inode_put(v, &inode);
	}
	if (change_end(v, error) == ERR_OK)
		return true;
	if (is_too_much(error)) { // in pieces, one for each commit
		error = inode_get(v, inode.number, &inode);
		if (error == ERR_OK) {
			error = shrink_some(v, &inode, 0);
			inode_put(v, &inode);
		}
	}
	v->orphans_damaged = error == ERR_CORRUPT; // logged; e2fsck mends it
	return false;
}

void fsop_free_orphans(struct volume *v, uint64_t now)
{
	v->now = now;
	while (v->super->last_orphan && !v->read_only && !v->orphans_damaged && free_orphan(v))
		;
}

void fsop_retire(struct volume *v, uint64_t handle, uint64_t now)
{
	struct inode inode;
	const uint64_t forced[5] = {handle};
	if (v->read_only)
		return;
	v->now = now;
	v->forced = forced;
	change_begin(v);
	enum error error = inode_create(v, FS_HANDLE_INODE(handle), FS_MODE_FILE, &inode);
	if (error == ERR_OK) {
		error = inode_handle(&inode) == handle ? inode_destroy(v, &inode) : ERR_STALE;
		inode_put(v, &inode);
	}
	(void)change_end(v, error);
	v->forced = 0;
}

enum error fsop_commit_begin(struct volume *v, uint64_t mark, uint32_t *count)
{
	*count = 0;
	damage_note(v);
	if (RECOVERABLE && v->mark_place && !v->read_only && (v->cache.dirty.count || mark != v->mark))
		mark_write(v, mark);
	if (v->cache.dirty.count == 0) {
		if (v->read_only)
			return ERR_OK;
		commit_note(&v->log, mark);
		alloc_commit_begun(v); // what operations have freed that were undone
		alloc_commit_durable(v);
		return ERR_OK;
	}
	if (v->now > v->super->wtime) {
		cache_mark_dirty(&v->cache, v->super_buffer);
		v->super->wtime = (uint32_t)v->now;
	}
	checksum_seal(v);
	if (RECOVERABLE)
		invariant(judge_commit(v)); // INV-67
	enum error error = commit_copy(&v->log, &v->cache, v->now, count);
	if (error != ERR_OK)
		return error;
	invariant(volume_is_guarded(v)); // now that all sums are made: what was changed while they were would have made wrong ones
	commit_record(&v->log, mark);
	alloc_commit_begun(v);
	v->freed = (struct ledger){0};
	return ERR_OK;
}

enum error fsop_commit_write(struct volume *v)
{
	enum error error = commit_write(&v->log);
	if (error == ERR_OK)
		alloc_commit_durable(v);
	return error;
}

void fsop_commit_end(struct volume *v)
{
	commit_finish(&v->log);
	cache_commit_done(&v->cache);
}
