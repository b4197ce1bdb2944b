// Extents: which blocks of the disk hold which blocks of a file, by way of a tree of up to five levels.
//
// Owns: the extent tree in inode and blocks, and what it adds to the inode's count of blocks. Every node is checked when
// it was read (form, order, range, checksum; remembered in its buffer), the root each time; the depth is bounded by the
// root's and must fall by one with each level, so that no loop of blocks is followed. A tree that names a block twice is
// found when it is freed twice.
// An entry of an index has the number of the first entry below it: fix_keys keeps that, as e2fsck wants it.
// Deterministic: what is done depends on the tree and the bitmaps alone. The tree is not rebalanced when it shrinks.
// If the server dies in a split: the halves were in the cache alone; a commit has the whole split, or nothing of it.
#include "servers/fs/volume.h"
#include <string.h>

struct node {
	struct buffer *buffer; // pinned; 0 for the root, which is in the inode
	struct ext4_extent_header *header;
	unsigned at;  // entry whose range has the index, or the first one
	unsigned put; // where an entry for the index would go
};

struct path {
	unsigned depth;
	struct node level[EXT4_EXTENT_DEPTH_MAX + 1]; // [0] is the root, [depth] the leaf
};

static struct ext4_extent *extents(const struct node *n)
{
	return (struct ext4_extent *)(void *)(n->header + 1);
}

static struct ext4_extent_index *children(const struct node *n)
{
	return (struct ext4_extent_index *)(void *)(n->header + 1);
}

// Both kinds of entries begin with their block.
static uint32_t key(const struct node *n, unsigned i)
{
	return children(n)[i].block;
}

static bool is_unwritten(const struct ext4_extent *e)
{
	return e->length > EXT4_EXTENT_LENGTH_MAX;
}

static uint32_t length_of(const struct ext4_extent *e)
{
	return is_unwritten(e) ? e->length - EXT4_EXTENT_LENGTH_MAX : e->length;
}

static void set_length(struct ext4_extent *e, uint32_t length, bool unwritten)
{
	e->length = (uint16_t)(length + (unwritten ? EXT4_EXTENT_LENGTH_MAX : 0));
}

static uint32_t node_capacity(const struct volume *v)
{
	return (v->block_size - sizeof(struct ext4_extent_header)) / sizeof(struct ext4_extent);
}

// ---- checking ----

static enum error bad_node(struct volume *v, const struct inode *inode, const char *what)
{
	return volume_corrupt(v, inode->number, 0, "inode %u: the extent tree %s", inode->number, what);
}

static const char *leaf_flaw(const struct volume *v, const struct node *n)
{
	uint64_t next = 0;
	for (unsigned i = 0; i < n->header->entries; i++) {
		const struct ext4_extent *e = &extents(n)[i];
		uint32_t length = length_of(e);
		if (length == 0 || e->block < next || (uint64_t)e->block + length > 1ull << 32)
			return "has extents that overlap";
		if (e->start_hi || volume_data_run(v, e->start, length) != length)
			return "names blocks that are no data blocks";
		next = (uint64_t)e->block + length;
	}
	return 0;
}

static const char *children_flaw(const struct volume *v, const struct node *n)
{
	for (unsigned i = 0; i < n->header->entries; i++) {
		const struct ext4_extent_index *e = &children(n)[i];
		if (i > 0 && e->block <= e[-1].block)
			return "is not in order";
		if (e->child_hi || !volume_block_is_data(v, e->child))
			return "names a node that is no data block";
	}
	return n->header->entries ? 0 : "has an empty node";
}

const char *extent_flaw(const struct volume *v, const void *node, bool root)
{
	const struct node n = {.header = (struct ext4_extent_header *)(uintptr_t)node};
	const struct ext4_extent_header *h = n.header;
	if (h->magic != EXT4_EXTENT_MAGIC || h->max != (root ? EXT4_EXTENTS_IN_ROOT : node_capacity(v)) || h->entries > h->max ||
	    h->depth > EXT4_EXTENT_DEPTH_MAX)
		return "has a damaged header";
	return h->depth ? children_flaw(v, &n) : leaf_flaw(v, &n);
}

static enum error check_node(struct volume *v, const struct inode *inode, const struct node *n)
{
	const char *flaw = extent_flaw(v, n->header, !n->buffer);
	return flaw ? bad_node(v, inode, flaw) : ERR_OK;
}

static enum error open_root(struct volume *v, const struct inode *inode, struct node *n)
{
	*n = (struct node){.header = (struct ext4_extent_header *)(void *)inode->raw->block};
	return check_node(v, inode, n);
}

// The node that entry `at` of its parent names, pinned.
static enum error open_child(struct volume *v, const struct inode *inode, const struct node *parent, unsigned at,
			     struct node *n)
{
	struct buffer *b;
	uint32_t owner = checksum_owner(v, inode);
	*n = (struct node){0};
	enum error error = cache_get(&v->cache, children(parent)[at].child, &b);
	if (error != ERR_OK)
		return error;
	*n = (struct node){.buffer = b, .header = (struct ext4_extent_header *)(void *)b->data};
	if (!checksum_known(b, BLOCK_EXTENTS, owner)) {
		if (!checksum_good(v, b, BLOCK_EXTENTS, owner))
			error = bad_node(v, inode, "has a node with a wrong checksum");
		else if ((error = check_node(v, inode, n)) != ERR_OK)
			b->checked = 0;
	}
	if (error == ERR_OK && (n->header->depth + 1 != parent->header->depth || n->header->entries == 0 ||
				key(n, 0) < key(parent, at)))
		error = bad_node(v, inode, "has a node in a wrong place");
	if (error != ERR_OK) {
		cache_put(&v->cache, b);
		n->buffer = 0;
	}
	return error;
}

static void put_path(struct volume *v, struct path *path)
{
	for (unsigned l = 0; l <= path->depth; l++)
		cache_put(&v->cache, path->level[l].buffer);
}

// How many entries of the node have keys up to `index`.
static unsigned entries_up_to(const struct node *n, uint32_t index)
{
	unsigned low = 0, high = n->header->entries;
	while (low < high) {
		unsigned middle = (low + high) / 2;
		if (key(n, middle) <= index)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

// Nothing is pinned after an error.
static enum error find_path(struct volume *v, const struct inode *inode, uint32_t index, struct path *path)
{
	path->depth = 0;
	enum error error = open_root(v, inode, &path->level[0]);
	for (;;) {
		struct node *n = &path->level[path->depth];
		if (error != ERR_OK)
			break;
		n->put = entries_up_to(n, index);
		n->at = n->put ? n->put - 1 : 0;
		if (n->header->depth == 0)
			return ERR_OK;
		n->put = n->at + 1;
		path->depth++;
		error = open_child(v, inode, n, n->at, &path->level[path->depth]);
	}
	put_path(v, path);
	return error;
}

// The extent that has the index, or 0.
static struct ext4_extent *covering(const struct path *path, uint32_t index)
{
	const struct node *leaf = &path->level[path->depth];
	struct ext4_extent *e = &extents(leaf)[leaf->at];
	return leaf->put && index - e->block < length_of(e) ? e : 0;
}

// First block behind a hole at the index: that of the next entry, in the leaf or in the next node.
static uint64_t hole_end(const struct path *path)
{
	const struct node *leaf = &path->level[path->depth];
	if (leaf->put < leaf->header->entries)
		return key(leaf, leaf->put);
	for (unsigned l = path->depth; l-- > 0;) {
		const struct node *n = &path->level[l];
		if (n->at + 1 < n->header->entries)
			return key(n, n->at + 1);
	}
	return 1ull << 32;
}

enum error extent_find(struct volume *v, const struct inode *inode, uint32_t index, uint32_t most, uint32_t *block,
		       uint32_t *run)
{
	struct path path;
	enum error error = find_path(v, inode, index, &path);
	if (error != ERR_OK)
		return error;
	const struct ext4_extent *e = covering(&path, index);
	uint64_t left = e ? e->block + (uint64_t)length_of(e) - index : hole_end(&path) - index;
	*block = e && !is_unwritten(e) ? e->start + (index - e->block) : 0;
	*run = left < most ? (uint32_t)left : most;
	put_path(v, &path);
	return ERR_OK;
}

// ---- changing ----

static enum error modify_node(struct volume *v, struct inode *inode, const struct node *n)
{
	return n->buffer ? cache_modify(&v->cache, n->buffer) : inode_modify(v, inode);
}

static void put_entry(const struct node *n, unsigned at, const void *entry)
{
	struct ext4_extent *e = extents(n);
	memmove(&e[at + 1], &e[at], (n->header->entries - at) * sizeof(*e));
	memcpy(&e[at], entry, sizeof(*e));
	n->header->entries++;
}

static void remove_entry(const struct node *n, unsigned at)
{
	struct ext4_extent *e = extents(n);
	n->header->entries--;
	memmove(&e[at], &e[at + 1], (n->header->entries - at) * sizeof(*e));
}

static enum error fix_keys(struct volume *v, struct inode *inode, struct path *path)
{
	for (unsigned l = path->depth; l > 0; l--) {
		struct node *parent = &path->level[l - 1];
		uint32_t first = key(&path->level[l], 0);
		if (children(parent)[parent->at].block == first)
			return ERR_OK;
		enum error error = modify_node(v, inode, parent);
		if (error != ERR_OK)
			return error;
		children(parent)[parent->at].block = first;
		if (parent->at != 0)
			return ERR_OK;
	}
	return ERR_OK;
}

// A new, empty node of that depth, counted and pinned.
static enum error make_node(struct volume *v, struct inode *inode, uint32_t goal, uint16_t depth, struct node *n)
{
	uint32_t block;
	*n = (struct node){0};
	enum error error = inode_modify(v, inode);
	if (error == ERR_OK)
		error = alloc_block(v, goal, &block);
	if (error == ERR_OK)
		error = inode_count(v, inode, 1);
	if (error == ERR_OK)
		error = cache_create(&v->cache, block, &n->buffer);
	if (error != ERR_OK)
		return error;
	checksum_claim(n->buffer, BLOCK_EXTENTS, checksum_owner(v, inode));
	n->header = (struct ext4_extent_header *)(void *)n->buffer->data;
	*n->header = (struct ext4_extent_header){EXT4_EXTENT_MAGIC, 0, (uint16_t)node_capacity(v), depth, 0};
	return ERR_OK;
}

static uint32_t node_goal(const struct volume *v, const struct inode *inode, const struct node *n)
{
	uint32_t group = (inode->number - 1) / v->inodes_per_group;
	return n->buffer ? n->buffer->block + 1 : volume_group_first(v, group);
}

// The root is full: all that it has moves into a new node, its only child.
static enum error grow(struct volume *v, struct inode *inode, struct path *path)
{
	struct node *root = &path->level[0], n;
	if (path->depth == EXT4_EXTENT_DEPTH_MAX)
		return ERR_TOO_BIG;
	enum error error = make_node(v, inode, node_goal(v, inode, root), root->header->depth, &n);
	if (error != ERR_OK)
		return error;
	n.header->entries = root->header->entries;
	memcpy(n.header + 1, root->header + 1, root->header->entries * sizeof(struct ext4_extent));
	n.at = root->at;
	n.put = root->put;
	memmove(&path->level[2], &path->level[1], path->depth * sizeof(struct node));
	path->level[1] = n;
	path->depth++;
	root->at = 0;
	root->put = 1;
	root->header->depth++;
	root->header->entries = 1;
	children(root)[0] = (struct ext4_extent_index){key(&n, 0), n.buffer->block, 0, 0};
	return ERR_OK;
}

// The node at level l is full, its parent is not: its upper half moves to a new neighbour. At the end of the file nothing
// moves (`index` will be the first there), so that files which grow have full nodes.
static enum error split(struct volume *v, struct inode *inode, struct path *path, unsigned l, bool at_end, uint32_t index)
{
	struct node *n = &path->level[l], *parent = &path->level[l - 1], right;
	unsigned keep = at_end ? n->header->entries : n->header->entries / 2u, moved = n->header->entries - keep;
	enum error error = modify_node(v, inode, n);
	if (error == ERR_OK)
		error = modify_node(v, inode, parent);
	if (error == ERR_OK)
		error = make_node(v, inode, node_goal(v, inode, n), n->header->depth, &right);
	if (error != ERR_OK)
		return error;
	memcpy(extents(&right), &extents(n)[keep], moved * sizeof(struct ext4_extent));
	right.header->entries = (uint16_t)moved;
	n->header->entries = (uint16_t)keep;
	struct ext4_extent_index entry = {moved ? key(&right, 0) : index, right.buffer->block, 0, 0};
	put_entry(parent, parent->put, &entry);
	if (!at_end && n->put <= keep) {
		cache_put(&v->cache, right.buffer);
		return ERR_OK;
	}
	right.put = n->put - keep;
	right.at = n->at >= keep ? n->at - keep : 0;
	cache_put(&v->cache, n->buffer);
	*n = right;
	parent->at = parent->put++;
	return ERR_OK;
}

static bool is_full(const struct node *n)
{
	return n->header->entries == n->header->max;
}

// Makes room in the leaf, from the lowest node that has some downwards.
static enum error make_room(struct volume *v, struct inode *inode, struct path *path, uint32_t index)
{
	bool at_end = true;
	enum error error = ERR_OK;
	for (unsigned l = 0; l <= path->depth; l++)
		at_end &= path->level[l].put == path->level[l].header->entries;
	while (error == ERR_OK && is_full(&path->level[path->depth])) {
		unsigned l = path->depth;
		while (l > 0 && is_full(&path->level[l - 1]))
			l--;
		error = l == 0 ? grow(v, inode, path) : split(v, inode, path, l, at_end, index);
	}
	return error;
}

static bool follows(const struct ext4_extent *a, const struct ext4_extent *b)
{
	uint32_t n = length_of(a), most = EXT4_EXTENT_LENGTH_MAX - is_unwritten(a);
	return a->block + n == b->block && a->start + n == b->start && is_unwritten(a) == is_unwritten(b) &&
	       n + length_of(b) <= most;
}

// Joins the entries at and at + 1 of the leaf if they are one run. The leaf is modified.
static bool join(const struct node *leaf, unsigned at)
{
	struct ext4_extent *e = &extents(leaf)[at];
	if (at + 1 >= leaf->header->entries || !follows(e, e + 1))
		return false;
	set_length(e, length_of(e) + length_of(e + 1), is_unwritten(e));
	remove_entry(leaf, at + 1);
	return true;
}

// Puts an extent whose range is a hole into the tree, joined with its neighbours in the leaf where it can be.
static enum error insert(struct volume *v, struct inode *inode, const struct ext4_extent *e)
{
	struct path path;
	enum error error = find_path(v, inode, e->block, &path);
	if (error != ERR_OK)
		return error;
	struct node *leaf = &path.level[path.depth];
	struct ext4_extent *left = leaf->put ? &extents(leaf)[leaf->at] : 0;
	error = modify_node(v, inode, leaf);
	if (error == ERR_OK && left && follows(left, e)) {
		set_length(left, length_of(left) + length_of(e), is_unwritten(e));
		join(leaf, leaf->at);
	} else if (error == ERR_OK && (error = make_room(v, inode, &path, e->block)) == ERR_OK) {
		leaf = &path.level[path.depth];
		error = modify_node(v, inode, leaf);
		if (error == ERR_OK) {
			put_entry(leaf, leaf->put, e);
			join(leaf, leaf->put);
			error = fix_keys(v, inode, &path);
		}
	}
	put_path(v, &path);
	return error;
}

// Block `index` of an unwritten extent becomes written: what lies before it is cut off, then it is cut off itself and
// put in as a written one.
static enum error convert(struct volume *v, struct inode *inode, struct path *path, struct ext4_extent *e, uint32_t index)
{
	struct node *leaf = &path->level[path->depth];
	uint32_t before = index - e->block, length = length_of(e);
	struct ext4_extent rest = {index, 0, 0, e->start + before}, one = {index, 1, 0, e->start + before};
	enum error error = modify_node(v, inode, leaf);
	if (error != ERR_OK)
		return error;
	if (before == 0 && length == 1) {
		set_length(e, 1, false);
		join(leaf, leaf->at);
		if (leaf->at > 0)
			join(leaf, leaf->at - 1);
		return ERR_OK;
	}
	if (before == 0) {
		e->block++;
		e->start++;
		set_length(e, length - 1, true);
		return insert(v, inode, &one);
	}
	set_length(e, before, true);
	set_length(&rest, length - before - 1, true);
	rest.block++;
	rest.start++;
	if (length - before > 1)
		error = insert(v, inode, &rest);
	return error == ERR_OK ? insert(v, inode, &one) : error;
}

// Behind the extent before the index; the first block of a file goes where the inode's group begins.
static uint32_t block_goal(const struct volume *v, const struct inode *inode, const struct path *path)
{
	const struct node *leaf = &path->level[path->depth];
	const struct ext4_extent *e = &extents(leaf)[leaf->at];
	return leaf->put ? e->start + length_of(e) : node_goal(v, inode, leaf);
}

enum error extent_allocate(struct volume *v, struct inode *inode, uint32_t index, uint32_t *block, bool *fresh)
{
	struct path path;
	if (index == ~0u)
		return ERR_TOO_BIG;
	enum error error = find_path(v, inode, index, &path);
	if (error != ERR_OK)
		return error;
	struct ext4_extent *e = covering(&path, index);
	uint32_t goal = block_goal(v, inode, &path);
	*fresh = !e || is_unwritten(e);
	if (e) {
		*block = e->start + (index - e->block);
		error = *fresh ? convert(v, inode, &path, e, index) : ERR_OK;
	}
	put_path(v, &path);
	if (e || error != ERR_OK)
		return error;
	error = inode_modify(v, inode);
	if (error == ERR_OK)
		error = alloc_block(v, goal, block);
	if (error == ERR_OK)
		error = inode_count(v, inode, 1);
	struct ext4_extent one = {index, 1, 0, *block};
	return error == ERR_OK ? insert(v, inode, &one) : error;
}

void extent_init(struct inode *inode)
{
	struct ext4_extent_header *h = (struct ext4_extent_header *)(void *)inode->raw->block;
	inode->raw->flags |= EXT4_FLAG_EXTENTS;
	*h = (struct ext4_extent_header){EXT4_EXTENT_MAGIC, 0, EXT4_EXTENTS_IN_ROOT, 0, 0};
}

// ---- freeing ----

static enum error free_run(struct volume *v, struct inode *inode, uint32_t start, uint32_t length)
{
	enum error error = alloc_free_blocks(v, start, length);
	return error == ERR_OK ? inode_count(v, inode, -(int64_t)length) : error;
}

static enum error cut_leaf(struct volume *v, struct inode *inode, const struct node *n, uint32_t index, unsigned *keep)
{
	enum error error = ERR_OK;
	for (*keep = n->header->entries; *keep > 0 && error == ERR_OK;) {
		struct ext4_extent *e = &extents(n)[*keep - 1];
		uint32_t length = length_of(e), kept = index > e->block ? index - e->block : 0;
		if (kept >= length)
			break;
		error = free_run(v, inode, e->start + kept, length - kept);
		if (kept) {
			set_length(e, kept, is_unwritten(e));
			break;
		}
		--*keep;
	}
	return error;
}

static enum error cut_child(struct volume *v, struct inode *inode, const struct node *parent, unsigned at, uint32_t index,
			    bool *gone);

// Frees what the node has from `index` on; *keep: how many entries are left. A node of which nothing is left need not be
// changed: it goes.
static enum error cut_node(struct volume *v, struct inode *inode, const struct node *n, uint32_t index, unsigned *keep)
{
	bool gone = true;
	if (n->header->depth == 0)
		return cut_leaf(v, inode, n, index, keep);
	enum error error = ERR_OK;
	for (*keep = n->header->entries; *keep > 0 && gone && error == ERR_OK; *keep -= gone)
		error = cut_child(v, inode, n, *keep - 1, index, &gone);
	return error;
}

static enum error cut_child(struct volume *v, struct inode *inode, const struct node *parent, unsigned at, uint32_t index,
			    bool *gone)
{
	struct node n;
	unsigned keep;
	*gone = false;
	enum error error = open_child(v, inode, parent, at, &n);
	if (error != ERR_OK)
		return error;
	uint32_t block = n.buffer->block;
	if (key(&n, 0) < index)
		error = cache_modify(&v->cache, n.buffer);
	if (error == ERR_OK)
		error = cut_node(v, inode, &n, index, &keep);
	if (error == ERR_OK && keep)
		n.header->entries = (uint16_t)keep;
	cache_put(&v->cache, n.buffer);
	*gone = error == ERR_OK && keep == 0;
	return *gone ? free_run(v, inode, block, 1) : error;
}

enum error extent_truncate(struct volume *v, struct inode *inode, uint32_t index)
{
	struct node root;
	unsigned keep;
	enum error error = inode_modify(v, inode);
	if (error == ERR_OK)
		error = open_root(v, inode, &root);
	if (error == ERR_OK)
		error = cut_node(v, inode, &root, index, &keep);
	if (error != ERR_OK)
		return error;
	root.header->entries = (uint16_t)keep;
	if (keep == 0)
		root.header->depth = 0;
	return ERR_OK;
}
