// Names: operations that change directories and link counts.
//
// Owns: the rules of POSIX for create, link, unlink, rename and their kin. Each function runs inside one operation of the
// cache (ops.c), so a failure at any place leaves no trace. What frees blocks comes last: an operation never takes a
// block that it has freed.
// If the server dies between two changes: both were in the cache alone, so that no directory on the disk names what is not
// there; the request is performed again from the client's ring, on the directory as it was.
#include "servers/fs/volume.h"
#include <string.h>

#define PARENTS_MAX 65536u // steps to the root before '..' entries count as a loop

static bool is_dots(struct name name)
{
	return (name.length == 1 && name.bytes[0] == '.') ||
	       (name.length == 2 && name.bytes[0] == '.' && name.bytes[1] == '.');
}

enum error name_check(struct name name)
{
	if (name.length == 0)
		return ERR_INVALID;
	if (name.length > EXT2_NAME_MAX)
		return ERR_NAME_TOO_LONG;
	if (memchr(name.bytes, '/', name.length) || memchr(name.bytes, 0, name.length))
		return ERR_INVALID;
	return ERR_OK;
}

// The entry and its inode; both are to be put.
static enum error find(struct volume *v, const struct inode *directory, struct name name, struct entry_place *place,
		       struct inode *inode)
{
	*inode = (struct inode){0};
	enum error error = directory_find(v, directory, name.bytes, name.length, place);
	if (error != ERR_OK)
		return error;
	error = inode_get_used(v, place->inode, inode);
	if (error == ERR_STALE)
		error = volume_corrupt(v, directory->number, 0, "directory inode %u names inode %u, which is not in use", directory->number,
				       place->inode);
	if (error != ERR_OK)
		directory_put(v, place);
	return error;
}

enum error name_lookup(struct volume *v, uint64_t directory, struct name name, struct inode *inode)
{
	struct inode d;
	struct entry_place place;
	enum error error = inode_open_directory(v, directory, &d);
	if (error != ERR_OK)
		return error;
	error = find(v, &d, name, &place, inode);
	if (error == ERR_OK)
		directory_put(v, &place);
	inode_put(v, &d);
	return error;
}

// Opens the directory and makes sure that the name can be added.
static enum error open_for_new(struct volume *v, uint64_t directory, struct name name, struct inode *d)
{
	struct entry_place place;
	enum error error = is_dots(name) ? ERR_EXISTS : name_check(name);
	if (error == ERR_OK)
		error = inode_open_directory(v, directory, d);
	if (error != ERR_OK)
		return error;
	error = directory_find(v, d, name.bytes, name.length, &place);
	if (error == ERR_OK)
		directory_put(v, &place);
	d->first_room = place.first_room;
	if (error == ERR_NOT_FOUND)
		return ERR_OK;
	inode_put(v, d);
	return error == ERR_OK ? ERR_EXISTS : error;
}

static enum error reuse_existing(struct volume *v, struct inode *inode, uint32_t flags, uint64_t *handle)
{
	if (inode_is(inode, FS_MODE_DIRECTORY))
		return flags & FS_CREATE_EXCLUSIVE ? ERR_EXISTS : ERR_IS_DIRECTORY;
	if (flags & FS_CREATE_EXCLUSIVE || !inode_is(inode, FS_MODE_FILE))
		return ERR_EXISTS;
	*handle = inode_handle(inode);
	return flags & FS_CREATE_TRUNCATE ? content_truncate(v, inode, 0) : ERR_OK;
}

static enum error new_mode(uint32_t mode, uint16_t *result)
{
	uint32_t type = mode & FS_MODE_TYPE;
	if (mode & ~(FS_MODE_TYPE | 07777u))
		return ERR_INVALID;
	if (type == 0)
		type = FS_MODE_FILE;
	if (type != FS_MODE_FILE && type != 0010000 && type != 0140000) // files, pipes, sockets
		return ERR_UNSUPPORTED;
	*result = (uint16_t)(type | (mode & 07777));
	return ERR_OK;
}

enum error name_create(struct volume *v, uint64_t directory, struct name name, uint32_t mode, uint32_t flags,
		       uint64_t *handle, bool *made)
{
	struct inode d, inode;
	uint16_t full_mode;
	*made = false;
	enum error error = new_mode(mode, &full_mode);
	if (error == ERR_OK)
		error = open_for_new(v, directory, name, &d);
	if (error == ERR_EXISTS) {
		error = name_lookup(v, directory, name, &inode);
		if (error != ERR_OK)
			return error;
		error = reuse_existing(v, &inode, flags, handle);
		inode_put(v, &inode);
		return error;
	}
	if (error != ERR_OK)
		return error;
	error = inode_create(v, d.number, full_mode, &inode);
	if (error == ERR_OK) {
		error = directory_add(v, &d, name.bytes, name.length, &inode);
		*handle = inode_handle(&inode);
		*made = true;
		inode_put(v, &inode);
	}
	inode_put(v, &d);
	return error;
}

// ---- links of a directory: two, and one for each directory in it; with dir_nlink 1 stands for too many ----

static bool can_hold_directory(const struct volume *v, const struct inode *d)
{
	return v->many_links || d->raw->links_count < v->link_max;
}

static void gain_directory(struct volume *v, struct inode *d)
{
	uint16_t links = d->raw->links_count;
	if (links == 1 || links >= v->link_max)
		ledger_doubt(&v->freeing, 1u << LEDGER_PARENTS);
	d->raw->links_count = links == 1 || links >= v->link_max ? 1 : (uint16_t)(links + 1);
}

static void lose_directory(struct volume *v, struct inode *d)
{
	if (d->raw->links_count > 2)
		d->raw->links_count--;
	else
		ledger_doubt(&v->freeing, 1u << LEDGER_PARENTS);
}

static enum error make_in(struct volume *v, struct inode *d, struct name name, struct inode *inode)
{
	if (!can_hold_directory(v, d))
		return ERR_LINKS;
	enum error error = directory_create(v, inode, d->number);
	if (error == ERR_OK)
		error = directory_add(v, d, name.bytes, name.length, inode);
	if (error == ERR_OK)
		gain_directory(v, d);
	return error;
}

enum error name_make_directory(struct volume *v, uint64_t directory, struct name name, uint32_t mode, uint64_t *handle)
{
	struct inode d, inode;
	if (mode & ~(FS_MODE_DIRECTORY | 07777u))
		return ERR_INVALID;
	enum error error = open_for_new(v, directory, name, &d);
	if (error != ERR_OK)
		return error;
	error = inode_create(v, d.number, (uint16_t)(FS_MODE_DIRECTORY | (mode & 07777)), &inode);
	if (error == ERR_OK) {
		error = make_in(v, &d, name, &inode);
		*handle = inode_handle(&inode);
		inode_put(v, &inode);
	}
	inode_put(v, &d);
	return error;
}

enum error name_symlink(struct volume *v, uint64_t directory, struct name name, const uint8_t *target, unsigned length,
			uint64_t *handle)
{
	struct inode d, inode;
	enum error error = open_for_new(v, directory, name, &d);
	if (error != ERR_OK)
		return error;
	error = inode_create(v, d.number, FS_MODE_SYMLINK | 0777, &inode);
	if (error == ERR_OK) {
		error = content_set_link(v, &inode, target, length);
		if (error == ERR_OK)
			error = directory_add(v, &d, name.bytes, name.length, &inode);
		*handle = inode_handle(&inode);
		inode_put(v, &inode);
	}
	inode_put(v, &d);
	return error;
}

enum error name_link(struct volume *v, uint64_t handle, uint64_t directory, struct name name)
{
	struct inode d, inode;
	enum error error = inode_open(v, handle, &inode);
	if (error != ERR_OK)
		return error;
	if (inode_is(&inode, FS_MODE_DIRECTORY))
		error = ERR_IS_DIRECTORY;
	else if (inode.raw->links_count == 0) // open, but its last name is gone: it gets no other
		error = ERR_STALE;
	else if (inode.raw->links_count >= v->link_max)
		error = ERR_LINKS;
	else
		error = open_for_new(v, directory, name, &d);
	if (error == ERR_OK) {
		error = directory_add(v, &d, name.bytes, name.length, &inode);
		if (error == ERR_OK)
			error = inode_modify(v, &inode);
		if (error == ERR_OK) {
			inode.raw->links_count++;
			inode_touch(v, &inode, false);
		}
		inode_put(v, &d);
	}
	inode_put(v, &inode);
	return error;
}

// Decided once: a replay does what was recorded, whoever has opened or closed the file since.
static bool must_live_on(const struct volume *v, const struct inode *inode)
{
	if (v->forced)
		return v->forced[0] != 0;
	return v->is_open && inode_is(inode, FS_MODE_FILE) && v->is_open(inode_handle(inode));
}

// One name less for something that is no directory.
static enum error drop_link(struct volume *v, struct inode *inode)
{
	enum error error = inode_modify(v, inode);
	if (error != ERR_OK)
		return error;
	inode_touch(v, inode, false);
	if (inode->raw->links_count > 1) {
		inode->raw->links_count--;
		return ERR_OK;
	}
	return must_live_on(v, inode) ? orphan_add(v, inode) : inode_destroy(v, inode);
}

// The directory `inode`, empty and without a name, leaves its parent `d`.
static enum error drop_directory(struct volume *v, struct inode *d, struct inode *inode)
{
	enum error error = inode_modify(v, d);
	if (error != ERR_OK)
		return error;
	lose_directory(v, d);
	return inode_destroy(v, inode);
}

enum error name_unlink(struct volume *v, uint64_t directory, struct name name)
{
	struct inode d, inode;
	struct entry_place place;
	enum error error = inode_open_directory(v, directory, &d);
	if (error != ERR_OK)
		return error;
	error = name_check(name);
	if (error == ERR_OK)
		error = find(v, &d, name, &place, &inode);
	if (error == ERR_OK) {
		error = inode_is(&inode, FS_MODE_DIRECTORY) ? ERR_IS_DIRECTORY : directory_remove(v, &d, &place);
		directory_put(v, &place);
		if (error == ERR_OK)
			error = drop_link(v, &inode);
		inode_put(v, &inode);
	}
	inode_put(v, &d);
	return error;
}

static enum error remove_found(struct volume *v, struct inode *d, struct entry_place *place, struct inode *inode)
{
	if (!inode_is(inode, FS_MODE_DIRECTORY))
		return ERR_NOT_DIRECTORY;
	enum error error = directory_empty(v, inode);
	if (error == ERR_OK)
		error = directory_remove(v, d, place);
	return error == ERR_OK ? drop_directory(v, d, inode) : error;
}

enum error name_remove_directory(struct volume *v, uint64_t directory, struct name name)
{
	struct inode d, inode;
	struct entry_place place;
	enum error error = name_check(name);
	if (error == ERR_OK && is_dots(name))
		error = name.length == 1 ? ERR_INVALID : ERR_NOT_EMPTY;
	if (error == ERR_OK)
		error = inode_open_directory(v, directory, &d);
	if (error != ERR_OK)
		return error;
	error = find(v, &d, name, &place, &inode);
	if (error == ERR_OK) {
		error = remove_found(v, &d, &place, &inode);
		directory_put(v, &place);
		inode_put(v, &inode);
	}
	inode_put(v, &d);
	return error;
}

// ---- rename ----

struct rename {
	struct inode from;  // directories
	struct inode to;
	struct name old_name;
	struct name new_name;
	struct inode moved;
	struct inode target; // what had the new name
	struct entry_place old_place;
	struct entry_place new_place;
	bool replaces;
};

static const struct name dot_dot = {(const uint8_t *)"..", 2};

// ERR_INVALID when the directory `inner` is `outer` or lies below it.
static enum error check_not_below(struct volume *v, uint32_t outer, uint32_t inner)
{
	for (uint32_t i = 0; i < PARENTS_MAX; i++) {
		struct inode d;
		struct entry_place place;
		if (inner == outer)
			return ERR_INVALID;
		if (inner == EXT2_ROOT_INODE)
			return ERR_OK;
		enum error error = inode_get_used(v, inner, &d);
		if (error != ERR_OK)
			return error;
		if (inode_is(&d, FS_MODE_DIRECTORY))
			error = directory_find(v, &d, dot_dot.bytes, dot_dot.length, &place);
		else
			error = volume_corrupt(v, inner, 0, "inode %u is a parent, but no directory", inner);
		inode_put(v, &d);
		if (error != ERR_OK)
			return error == ERR_NOT_FOUND ? volume_corrupt(v, inner, 0, "directory %u has no parent", inner) : error;
		inner = place.inode;
		directory_put(v, &place);
	}
	return volume_corrupt(v, inner, 0, "the parents of directory %u do not lead to the root", inner);
}

static enum error check_target(struct volume *v, struct rename *r)
{
	bool directory = inode_is(&r->moved, FS_MODE_DIRECTORY);
	if (!r->replaces)
		return ERR_OK;
	if (inode_is(&r->target, FS_MODE_DIRECTORY))
		return directory ? directory_empty(v, &r->target) : ERR_IS_DIRECTORY;
	return directory ? ERR_NOT_DIRECTORY : ERR_OK;
}

static enum error check_rename(struct volume *v, struct rename *r)
{
	bool directory = inode_is(&r->moved, FS_MODE_DIRECTORY), apart = r->from.number != r->to.number;
	enum error error = directory && apart ? check_not_below(v, r->moved.number, r->to.number) : ERR_OK;
	if (error == ERR_OK)
		error = check_target(v, r);
	if (error == ERR_OK && directory && apart && !r->replaces && !can_hold_directory(v, &r->to))
		error = ERR_LINKS;
	return error;
}

static enum error change_parent(struct volume *v, struct rename *r)
{
	struct entry_place place;
	enum error error = directory_find(v, &r->moved, dot_dot.bytes, dot_dot.length, &place);
	if (error != ERR_OK)
		return error == ERR_NOT_FOUND ? volume_corrupt(v, r->moved.number, 0, "directory %u has no parent", r->moved.number) : error;
	error = cache_modify(&v->cache, place.buffer);
	if (error == ERR_OK) {
		place.entry->inode = r->to.number;
		gain_directory(v, &r->to);
		lose_directory(v, &r->from);
	}
	directory_put(v, &place);
	return error;
}

// Adding may have divided the entry before the old one: it is looked up again before it is removed.
static enum error move_entry(struct volume *v, struct rename *r)
{
	enum error error;
	if (r->replaces)
		error = directory_change(v, &r->to, &r->new_place, &r->moved);
	else
		error = directory_add(v, &r->to, r->new_name.bytes, r->new_name.length, &r->moved);
	directory_put(v, &r->old_place);
	if (error == ERR_OK)
		error = directory_find(v, &r->from, r->old_name.bytes, r->old_name.length, &r->old_place);
	return error == ERR_OK ? directory_remove(v, &r->from, &r->old_place) : error;
}

static enum error perform_rename(struct volume *v, struct rename *r)
{
	if (r->replaces && r->target.number == r->moved.number)
		return ERR_OK; // two names of one file: nothing happens (POSIX)
	enum error error = check_rename(v, r);
	if (error == ERR_OK)
		error = move_entry(v, r);
	if (error == ERR_OK)
		error = inode_modify(v, &r->moved);
	if (error != ERR_OK)
		return error;
	inode_touch(v, &r->moved, false);
	if (inode_is(&r->moved, FS_MODE_DIRECTORY) && r->from.number != r->to.number)
		error = change_parent(v, r);
	if (error != ERR_OK || !r->replaces)
		return error;
	return inode_is(&r->target, FS_MODE_DIRECTORY) ? drop_directory(v, &r->to, &r->target)
						       : drop_link(v, &r->target);
}

static enum error find_both(struct volume *v, struct rename *r)
{
	enum error error = find(v, &r->from, r->old_name, &r->old_place, &r->moved);
	if (error != ERR_OK)
		return error;
	error = find(v, &r->to, r->new_name, &r->new_place, &r->target);
	r->replaces = error == ERR_OK;
	r->to.first_room = r->new_place.first_room;
	return error == ERR_NOT_FOUND ? ERR_OK : error;
}

enum error name_rename(struct volume *v, uint64_t from, struct name old_name, uint64_t to, struct name new_name)
{
	struct rename r = {.old_name = old_name, .new_name = new_name};
	enum error error = name_check(old_name);
	if (error == ERR_OK)
		error = name_check(new_name);
	if (error == ERR_OK && (is_dots(old_name) || is_dots(new_name)))
		error = ERR_INVALID;
	if (error == ERR_OK)
		error = inode_open_directory(v, from, &r.from);
	if (error == ERR_OK)
		error = inode_open_directory(v, to, &r.to);
	if (error == ERR_OK)
		error = find_both(v, &r);
	if (error == ERR_OK)
		error = perform_rename(v, &r);
	directory_put(v, &r.old_place);
	directory_put(v, &r.new_place);
	inode_put(v, &r.moved);
	inode_put(v, &r.target);
	inode_put(v, &r.from);
	inode_put(v, &r.to);
	return error;
}
