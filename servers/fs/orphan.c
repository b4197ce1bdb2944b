// Orphans: files whose last name is gone while somebody has them open.
//
// Owns: the chain of them on the disk, as ext3 and ext4 keep it: last_orphan of the superblock, then dtime of each
// inode names the next; such an inode has no link, and its bit in the bitmap is set. There is no list in memory: the
// chain is short, its blocks are in the cache, and what an undone operation had changed is undone with them. Who has a
// file open stands in the clients' session tables (proto/fs.h), which outlive this server: its next incarnation finds
// the chain on the disk, or makes it again by replay, and frees what nobody has open. e2fsck does the same. The chain is
// a claim of the disk: steps are counted, numbers checked by inode_get.
#include "servers/fs/volume.h"

#define ORPHAN_STEPS 4096u // more than that is a loop: nobody opens so many files

enum error orphan_add(struct volume *v, struct inode *inode)
{
	enum error error = volume_modify_super(v);
	if (error != ERR_OK)
		return error;
	inode->raw->links_count = 0;
	inode->raw->dtime = v->super->last_orphan;
	v->super->last_orphan = inode->number;
	v->orphaned = true;
	return ERR_OK;
}

// Goes along the chain until `stop` says so; the inode there is to be put. ERR_NOT_FOUND: the end.
static enum error chain_walk(struct volume *v, bool (*stop)(struct volume *v, const struct inode *i, uint32_t wanted),
			     uint32_t wanted, struct inode *inode)
{
	uint32_t number = v->super->last_orphan;
	for (uint32_t i = 0; number && i < ORPHAN_STEPS; i++) {
		enum error error = inode_get(v, number, inode);
		if (error != ERR_OK)
			return error;
		if (!checksum_inode_good(v, inode)) {
			inode_put(v, inode);
			return volume_corrupt(v, number, 0, "inode %u in the chain of orphans: the checksum is wrong", number);
		}
		if (stop(v, inode, wanted))
			return ERR_OK;
		number = inode->raw->dtime;
		inode_put(v, inode);
	}
	return number ? volume_corrupt(v, number, 0, "the chain of orphans does not end") : ERR_NOT_FOUND;
}

static bool is_it(struct volume *v, const struct inode *inode, uint32_t wanted)
{
	(void)v;
	return inode->number == wanted;
}

static bool is_before(struct volume *v, const struct inode *inode, uint32_t wanted)
{
	(void)v;
	return inode->raw->dtime == wanted;
}

static bool is_closed(struct volume *v, const struct inode *inode, uint32_t wanted)
{
	(void)wanted;
	return inode->raw->links_count || !v->is_open || !v->is_open(inode_handle(inode));
}

bool orphan_listed(struct volume *v, uint32_t number)
{
	struct inode inode;
	if (chain_walk(v, is_it, number, &inode) != ERR_OK)
		return false;
	inode_put(v, &inode);
	return true;
}

enum error orphan_find_closed(struct volume *v, struct inode *inode)
{
	return chain_walk(v, is_closed, 0, inode);
}

static enum error chain_remove(struct volume *v, const struct inode *inode)
{
	struct inode before;
	uint32_t next = inode->raw->dtime;
	if (v->super->last_orphan == inode->number) {
		enum error error = volume_modify_super(v);
		if (error == ERR_OK)
			v->super->last_orphan = next;
		return error;
	}
	enum error error = chain_walk(v, is_before, inode->number, &before);
	if (error != ERR_OK)
		return error;
	error = inode_modify(v, &before);
	if (error == ERR_OK)
		before.raw->dtime = next;
	inode_put(v, &before);
	return error;
}

enum error orphan_free(struct volume *v, struct inode *inode)
{
	if (inode->number < v->first_inode)
		return volume_corrupt(v, inode->number, 0, "the chain of orphans has inode %u, which is reserved", inode->number);
	enum error error = inode_modify(v, inode);
	if (error == ERR_OK)
		error = chain_remove(v, inode);
	if (error != ERR_OK)
		return error;
	if (inode->raw->links_count || inode_is(inode, FS_MODE_DIRECTORY)) // as Linux leaves them
		ledger_doubt(&v->freeing, LEDGER_ALL);
	inode->raw->dtime = 0;
	if (inode->raw->links_count == 0)
		return inode_destroy(v, inode);
	uint64_t blocks = (inode_size(inode) + v->block_size - 1) >> v->block_shift;
	return inode_is(inode, FS_MODE_FILE) ? bmap_truncate(v, inode, (uint32_t)blocks) : ERR_OK;
}
