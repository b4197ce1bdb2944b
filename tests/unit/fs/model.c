// See model.h.
#include "model.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define R(n) (fixture_random() % (n))

static struct node *node_make(struct model *m, uint64_t handle, uint32_t mode)
{
	struct node *n = calloc(1, sizeof(*n));
	n->handle = handle;
	n->mode = mode;
	n->links = (mode & FS_MODE_TYPE) == FS_MODE_DIRECTORY ? 2 : 1;
	n->all_next = m->all;
	m->all = n;
	return n;
}

static void entry_add(struct node *d, const char *name, struct node *n)
{
	d->entries = realloc(d->entries, (d->entry_count + 1) * sizeof(*d->entries));
	struct dentry *e = &d->entries[d->entry_count++];
	snprintf(e->name, sizeof(e->name), "%s", name);
	e->node = n;
}

static struct dentry *entry_find(struct node *d, const char *name)
{
	for (size_t i = 0; i < d->entry_count; i++) {
		if (!strcmp(d->entries[i].name, name))
			return &d->entries[i];
	}
	return 0;
}

static void entry_remove(struct node *d, const char *name)
{
	struct dentry *e = entry_find(d, name);
	*e = d->entries[--d->entry_count];
}

static bool is_directory(const struct node *n)
{
	return (n->mode & FS_MODE_TYPE) == FS_MODE_DIRECTORY;
}

void model_make(struct model *m, struct host *h)
{
	memset(m, 0, sizeof(*m));
	m->root = node_make(m, host_root(h), FS_MODE_DIRECTORY | 0755);
	m->root->parent = m->root;
	m->root->links = 3;
	struct node *lost = node_make(m, host_lookup(h, m->root->handle, "lost+found"), FS_MODE_DIRECTORY | 0700);
	lost->parent = m->root;
	entry_add(m->root, "lost+found", lost);
	m->keep = lost;
	m->file_max = 200000;
}

void model_make_below(struct model *m, struct host *h, uint64_t directory)
{
	memset(m, 0, sizeof(*m));
	struct node *parent = node_make(m, host_root(h), FS_MODE_DIRECTORY);
	parent->links = 0; // not one of those that are compared
	m->root = node_make(m, directory, FS_MODE_DIRECTORY | 0755);
	m->root->parent = parent;
	m->file_max = 200000;
}

void model_free(struct model *m)
{
	for (struct node *n = m->all, *next; n; n = next) {
		next = n->all_next;
		free(n->data);
		free(n->entries);
		free(n);
	}
	free(m->payload);
}

// ---- random choices ----

static struct node *pick(struct model *m, uint32_t type)
{
	struct node *best = 0;
	unsigned seen = 0;
	for (struct node *n = m->all; n; n = n->all_next) {
		if (n->links && (n->mode & FS_MODE_TYPE) == type && R(++seen) == 0)
			best = n;
	}
	return best;
}

static void pick_name(struct node *d, char *name, bool existing)
{
	if (existing && d->entry_count && R(4)) {
		snprintf(name, 256, "%s", d->entries[R((uint32_t)d->entry_count)].name);
		return;
	}
	unsigned n = R(20) == 0 ? 200 + R(56) : 1 + R(12);
	for (unsigned i = 0; i < n; i++)
		name[i] = (char)('a' + R(26));
	name[n] = 0;
}

static bool differ(const char *what, enum error want, enum error got)
{
	fprintf(stderr, "%s: model says %d, volume says %d\n", what, (int)want, (int)got);
	return false;
}

#define SAME(what, want, got)                                                                                          \
	do {                                                                                                           \
		if ((want) != (got))                                                                                   \
			return differ(what, want, got);                                                                \
	} while (0)

static uint8_t *random_payload(struct model *m, size_t n)
{
	uint8_t *p = m->payload = realloc(m->payload, n + 1);
	uint32_t x = fixture_random();
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
	return p;
}

// ---- operations ----

static bool step_create(struct model *m, struct host *h)
{
	char name[256];
	struct node *d = pick(m, FS_MODE_DIRECTORY);
	pick_name(d, name, R(3) == 0);
	unsigned flags = R(4);
	struct dentry *e = entry_find(d, name);
	enum error want = ERR_OK;
	if (e && (flags & FS_CREATE_EXCLUSIVE || (!is_directory(e->node) && (e->node->mode & FS_MODE_TYPE) != FS_MODE_FILE)))
		want = ERR_EXISTS;
	else if (e && is_directory(e->node))
		want = ERR_IS_DIRECTORY;
	enum error got = host_call(h, FS_OP_CREATE, d->handle, FS_MODE_FILE | 0644, flags, name, (uint32_t)strlen(name), 0);
	if (got == ERR_NO_SPACE && !e)
		return true;
	SAME("create", want, got);
	if (want != ERR_OK)
		return true;
	if (!e)
		entry_add(d, name, node_make(m, h->result[0], FS_MODE_FILE | 0644));
	else if (flags & FS_CREATE_TRUNCATE)
		e->node->size = 0;
	return (e != 0) == (h->result[1] == 0) && entry_find(d, name)->node->handle == h->result[0];
}

static bool step_write(struct model *m, struct host *h)
{
	struct node *n = pick(m, FS_MODE_FILE);
	if (!n)
		return true;
	bool append = R(2);
	size_t offset = append ? n->size : R(8) ? R((uint32_t)n->size + 1) : R((uint32_t)m->file_max);
	size_t length = R(4) ? R(3000) : R(40000);
	if (offset + length > m->file_max)
		return true;
	uint8_t *data = random_payload(m, length);
	enum error got = host_call(h, FS_OP_WRITE, n->handle, append ? FS_APPEND : offset, 0, data, (uint32_t)length, 0);
	if (got == ERR_OK && length) {
		if (offset + length > n->size) {
			n->data = realloc(n->data, offset + length);
			if (offset > n->size)
				memset(n->data + n->size, 0, offset - n->size);
			n->size = offset + length;
		}
		memcpy(n->data + offset, data, length);
	}
	if (got == ERR_NO_SPACE)
		return true;
	SAME("write", ERR_OK, got);
	return h->result[0] == length && h->result[1] == offset && h->result[2] == n->size;
}

static bool step_truncate(struct model *m, struct host *h)
{
	struct node *n = pick(m, FS_MODE_FILE);
	if (!n)
		return true;
	size_t size = R(3) ? R((uint32_t)n->size + 1) : R((uint32_t)m->file_max);
	SAME("truncate", ERR_OK, host_call(h, FS_OP_TRUNCATE, n->handle, size, 0, 0, 0, 0));
	n->data = realloc(n->data, size + 1);
	if (size > n->size)
		memset(n->data + n->size, 0, size - n->size);
	n->size = size;
	return true;
}

static bool step_mkdir(struct model *m, struct host *h)
{
	char name[256];
	struct node *d = pick(m, FS_MODE_DIRECTORY);
	pick_name(d, name, R(8) == 0);
	enum error want = entry_find(d, name) ? ERR_EXISTS : ERR_OK;
	enum error got = host_call(h, FS_OP_MKDIR, d->handle, 0755, 0, name, (uint32_t)strlen(name), 0);
	if (got == ERR_NO_SPACE && want == ERR_OK)
		return true;
	SAME("mkdir", want, got);
	if (want != ERR_OK)
		return true;
	struct node *n = node_make(m, h->result[0], FS_MODE_DIRECTORY | 0755);
	n->parent = d;
	d->links++;
	entry_add(d, name, n);
	return true;
}

static void drop(struct node *n)
{
	n->links = is_directory(n) ? 0 : n->links - 1;
}

static bool step_remove(struct model *m, struct host *h, bool directory)
{
	char name[256];
	struct node *d = pick(m, FS_MODE_DIRECTORY);
	pick_name(d, name, true);
	struct dentry *e = entry_find(d, name);
	enum error want = !e ? ERR_NOT_FOUND : ERR_OK;
	if (e && directory)
		want = !is_directory(e->node) ? ERR_NOT_DIRECTORY : e->node->entry_count ? ERR_NOT_EMPTY : ERR_OK;
	else if (e)
		want = is_directory(e->node) ? ERR_IS_DIRECTORY : ERR_OK;
	if (e && e->node == m->keep)
		return true;
	uint64_t gone = e ? e->node->handle : 0;
	SAME("remove", want, host_call(h, directory ? FS_OP_RMDIR : FS_OP_UNLINK, d->handle, 0, 0, name,
				       (uint32_t)strlen(name), 0));
	if (want != ERR_OK)
		return true;
	struct node *n = e->node;
	drop(n);
	if (directory)
		d->links--;
	entry_remove(d, name);
	if (n->links == 0)
		SAME("stale", ERR_STALE, host_call(h, FS_OP_STAT, gone, 0, 0, 0, 0, sizeof(struct fs_stat)));
	return true;
}

static bool below(const struct node *inner, const struct node *outer, const struct node *root)
{
	for (;; inner = inner->parent) {
		if (inner == outer)
			return true;
		if (inner == root)
			return false;
	}
}

static enum error rename_outcome(struct model *m, struct node *a, struct dentry *from, struct node *b, struct dentry *to)
{
	if (!from)
		return ERR_NOT_FOUND;
	if (to && to->node == from->node)
		return ERR_OK;
	if (is_directory(from->node) && a != b && below(b, from->node, m->root))
		return ERR_INVALID;
	if (to && is_directory(to->node))
		return !is_directory(from->node) ? ERR_IS_DIRECTORY : to->node->entry_count ? ERR_NOT_EMPTY : ERR_OK;
	return to && is_directory(from->node) ? ERR_NOT_DIRECTORY : ERR_OK;
}

static bool step_rename(struct model *m, struct host *h)
{
	char both[600], old_name[256], new_name[256];
	struct node *a = pick(m, FS_MODE_DIRECTORY), *b = R(2) ? a : pick(m, FS_MODE_DIRECTORY);
	pick_name(a, old_name, true);
	pick_name(b, new_name, R(2));
	struct dentry *from = entry_find(a, old_name), *to = entry_find(b, new_name);
	if (!strcmp(old_name, "lost+found") || !strcmp(new_name, "lost+found"))
		return true;
	enum error want = rename_outcome(m, a, from, b, to);
	unsigned length = (unsigned)snprintf(both, sizeof(both), "%s%c%s", old_name, 0, new_name);
	enum error got = host_call(h, FS_OP_RENAME, a->handle, b->handle, 0, both, length, 0);
	if (got == ERR_NO_SPACE && want == ERR_OK)
		return true;
	SAME("rename", want, got);
	if (want != ERR_OK || (to && to->node == from->node))
		return true;
	struct node *n = from->node;
	if (to) {
		if (is_directory(to->node))
			b->links--;
		drop(to->node);
		to->node = n;
	} else {
		entry_add(b, new_name, n);
	}
	entry_remove(a, old_name);
	if (is_directory(n)) {
		a->links--;
		b->links++;
		n->parent = b;
	}
	return true;
}

static bool step_link(struct model *m, struct host *h)
{
	char name[256];
	struct node *n = pick(m, R(8) ? FS_MODE_FILE : R(2) ? FS_MODE_SYMLINK : FS_MODE_DIRECTORY);
	struct node *d = pick(m, FS_MODE_DIRECTORY);
	if (!n)
		return true;
	pick_name(d, name, R(8) == 0);
	enum error want = is_directory(n) ? ERR_IS_DIRECTORY : entry_find(d, name) ? ERR_EXISTS : ERR_OK;
	enum error got = host_call(h, FS_OP_LINK, n->handle, d->handle, 0, name, (uint32_t)strlen(name), 0);
	if (got == ERR_NO_SPACE && want == ERR_OK)
		return true;
	SAME("link", want, got);
	if (want == ERR_OK) {
		n->links++;
		entry_add(d, name, n);
	}
	return true;
}

static bool step_symlink(struct model *m, struct host *h)
{
	char name[256], both[1400];
	struct node *d = pick(m, FS_MODE_DIRECTORY);
	pick_name(d, name, R(8) == 0);
	unsigned start = (unsigned)strlen(name) + 1, target = 1 + (R(2) ? R(59) : R(900));
	memcpy(both, name, start);
	for (unsigned i = 0; i < target; i++)
		both[start + i] = (char)('A' + R(26));
	enum error want = entry_find(d, name) ? ERR_EXISTS : ERR_OK;
	enum error got = host_call(h, FS_OP_SYMLINK, d->handle, 0, 0, both, start + target, 0);
	if (got == ERR_NO_SPACE && want == ERR_OK)
		return true;
	SAME("symlink", want, got);
	if (want != ERR_OK)
		return true;
	struct node *n = node_make(m, h->result[0], FS_MODE_SYMLINK | 0777);
	n->size = target;
	n->data = malloc(target);
	memcpy(n->data, both + start, target);
	entry_add(d, name, n);
	return true;
}

static bool step_chmod(struct model *m, struct host *h)
{
	struct node *n = pick(m, R(2) ? FS_MODE_FILE : FS_MODE_DIRECTORY);
	uint32_t mode = R(01000);
	if (!n || n == m->root)
		return true;
	SAME("chmod", ERR_OK, host_call(h, FS_OP_CHMOD, n->handle, mode, 0, 0, 0, 0));
	n->mode = (n->mode & FS_MODE_TYPE) | mode;
	SAME("utimes", ERR_OK, host_call(h, FS_OP_UTIMES, n->handle, 1700000000 + R(1000), 1700000000, 0, 0, 0));
	return true;
}

bool model_step(struct model *m, struct host *h)
{
	uint32_t what = R(100);
	m->ops++;
	h->now += R(3) == 0;
	if (what < 20)
		return step_create(m, h);
	if (what < 50)
		return step_write(m, h);
	if (what < 57)
		return step_truncate(m, h);
	if (what < 63)
		return step_mkdir(m, h);
	if (what < 77)
		return step_remove(m, h, false);
	if (what < 80)
		return step_remove(m, h, true);
	if (what < 88)
		return step_rename(m, h);
	if (what < 93)
		return step_link(m, h);
	return what < 97 ? step_symlink(m, h) : step_chmod(m, h);
}

// ---- comparing ----

static bool wrong(const char *what, const char *name)
{
	fprintf(stderr, "%s differs: %s\n", what, name);
	return false;
}

static bool content_equal(struct node *n, struct host *h, const char *name)
{
	for (size_t at = 0; at <= n->size; at += 10000) {
		if (host_call(h, FS_OP_READ, n->handle, at, 0, 0, 0, 10000) != ERR_OK)
			return wrong("read", name);
		size_t want = n->size - at < 10000 ? n->size - at : 10000;
		if (h->result[0] != want || h->result[1] != n->size || (want && memcmp(h->in, n->data + at, want)))
			return wrong("content", name);
	}
	return true;
}

static bool node_equal(struct node *n, struct host *h, const char *name)
{
	struct fs_stat stat;
	if (host_call(h, FS_OP_STAT, n->handle, 0, 0, 0, 0, sizeof(stat)) != ERR_OK)
		return wrong("stat", name);
	memcpy(&stat, h->in, sizeof(stat));
	if (stat.mode != n->mode || stat.links != n->links || stat.identity != n->handle)
		return wrong("mode or links", name);
	if (!is_directory(n) && stat.size != n->size)
		return wrong("size", name);
	if ((n->mode & FS_MODE_TYPE) == FS_MODE_FILE)
		return content_equal(n, h, name);
	if ((n->mode & FS_MODE_TYPE) == FS_MODE_SYMLINK)
		return (host_call(h, FS_OP_READLINK, n->handle, 0, 0, 0, 0, 4096) == ERR_OK && h->result[0] == n->size &&
			!memcmp(h->in, n->data, n->size)) ||
		       wrong("target", name);
	return true;
}

static bool listing_equal(struct node *d, struct host *h, const char *name)
{
	size_t seen = 0;
	uint64_t cookie = 0;
	for (bool end = false; !end;) {
		if (host_call(h, FS_OP_READDIR, d->handle, cookie, 0, 0, 0, 600) != ERR_OK)
			return wrong("listing", name);
		cookie = h->result[1];
		end = h->result[2];
		for (size_t at = 0; at < h->result[0];) {
			struct fs_dirent e;
			char text[256] = {0};
			memcpy(&e, h->in + at, sizeof(e));
			memcpy(text, h->in + at + sizeof(e), e.name_length);
			at += e.record;
			if (!strcmp(text, ".") || !strcmp(text, ".."))
				continue;
			struct dentry *found = entry_find(d, text);
			if (!found || FS_HANDLE_INODE(found->node->handle) != e.inode ||
			    found->node->mode >> 12 != e.type)
				return wrong("entry", text);
			seen++;
		}
	}
	return seen == d->entry_count || wrong("number of entries", name);
}

bool model_equal(struct model *m, struct host *h)
{
	for (struct node *n = m->all; n; n = n->all_next) {
		if (!n->links)
			continue;
		if (!node_equal(n, h, "node") || (is_directory(n) && !listing_equal(n, h, "directory")))
			return false;
		for (size_t i = 0; is_directory(n) && i < n->entry_count; i++) {
			if (host_lookup(h, n->handle, n->entries[i].name) != n->entries[i].node->handle)
				return wrong("lookup", n->entries[i].name);
		}
		if (is_directory(n) && host_lookup(h, n->handle, "..") != n->parent->handle)
			return wrong("parent", "..");
	}
	return true;
}

static bool file_equal(const struct node *n, const char *path)
{
	struct stat st;
	char target[5000];
	if (lstat(path, &st) != 0)
		return wrong("dump", path);
	if ((n->mode & FS_MODE_TYPE) == FS_MODE_SYMLINK) {
		ssize_t length = readlink(path, target, sizeof(target));
		return (length == (ssize_t)n->size && !memcmp(target, n->data, n->size)) || wrong("dumped target", path);
	}
	FILE *f = fopen(path, "rb");
	uint8_t *bytes = malloc(n->size + 1);
	bool ok = f && fread(bytes, 1, n->size + 1, f) == n->size && (n->size == 0 || !memcmp(bytes, n->data, n->size));
	if (f)
		fclose(f);
	free(bytes);
	return ok || wrong("dumped content", path);
}

static bool dump_equal(const struct node *d, const char *path)
{
	for (size_t i = 0; i < d->entry_count; i++) {
		char name[6000];
		const struct node *n = d->entries[i].node;
		snprintf(name, sizeof(name), "%s/%s", path, d->entries[i].name);
		if (strlen(name) > 3000)
			continue; // longer than the host's paths may be
		if (is_directory(n) ? !dump_equal(n, name) : !file_equal(n, name))
			return false;
	}
	return true;
}

static void make_readable(struct model *m, struct host *h)
{
	for (struct node *n = m->all; n; n = n->all_next) {
		if (!n->links || (n->mode & FS_MODE_TYPE) == FS_MODE_SYMLINK || n == m->root)
			continue;
		host_call(h, FS_OP_CHMOD, n->handle, 0755, 0, 0, 0, 0);
		n->mode = (n->mode & FS_MODE_TYPE) | 0755;
	}
	host_commit(h);
}

bool model_equal_debugfs(struct model *m, struct host *h)
{
	char tree[TEMPORARY_PATH], command[256];
	make_readable(m, h);
	temporary_directory(tree);
	snprintf(command, sizeof(command), "debugfs -R 'rdump / %s' $f > /dev/null 2>&1", tree);
	bool ok = host_run(h, command) && dump_equal(m->root, tree);
	snprintf(command, sizeof(command), "rm -rf %s", tree);
	(void)!system(command);
	return ok;
}
