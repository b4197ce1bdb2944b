// The fake: nodes in an array, requests performed at submission in order.
#include "tests/unit/apps/fake_fs.h"
#include "proto/fs.h"
#include "runtime/fiber.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NODES 64
#define DATA 65536

struct node {
	bool used;
	uint32_t mode;
	uint32_t parent;
	unsigned links;
	char name[FS_NAME_MAX + 1];
	uint8_t data[DATA];
	uint64_t size;
	uint32_t alias; // hard link: the node meant
};

static struct node nodes[NODES]; // 1 is the root
unsigned fake_fs_in_flight_most;
uint64_t fake_fs_space;
uint32_t fake_fs_room;
bool fake_fs_shy;
unsigned fake_fs_calls;
unsigned fake_fs_lends;
struct fs_session fake_fs_session = {.used = 5, .handle = {1, 2, 3, 4, 5}};
bool fake_fs_unlinked;
uint64_t fake_fs_synced;
bool fake_fs_lost;
uint64_t fake_fs_losses, fake_fs_heard;
bool fake_fs_gone; // and it does not come back
static uint64_t sealed; // what this channel's handles have more than their node's number
static unsigned in_flight;

void fake_fs_reset(void)
{
	memset(nodes, 0, sizeof(nodes));
	nodes[1] = (struct node){.used = true, .mode = FS_MODE_DIRECTORY | 0755, .parent = 1};
	fake_fs_in_flight_most = 0;
	fake_fs_space = ~0ull;
	fake_fs_room = 4096;
	fake_fs_calls = 0;
}

static uint32_t find(uint32_t directory, const char *name, size_t length)
{
	if (length == 2 && memcmp(name, "..", 2) == 0)
		return nodes[directory].parent;
	if (length == 1 && *name == '.')
		return directory;
	for (uint32_t i = 2; i < NODES; i++)
		if (nodes[i].used && nodes[i].parent == directory && strlen(nodes[i].name) == length &&
		    memcmp(nodes[i].name, name, length) == 0)
			return i;
	return 0;
}

static uint32_t target(uint32_t node)
{
	return nodes[node].alias ? nodes[node].alias : node;
}

static uint32_t make(uint32_t directory, uint32_t mode, const char *name, size_t length)
{
	for (uint32_t i = 2; i < NODES; i++) {
		if (nodes[i].used)
			continue;
		nodes[i] = (struct node){.used = true, .mode = mode, .parent = directory, .links = 1};
		memcpy(nodes[i].name, name, length);
		return i;
	}
	abort();
}

static bool is_directory(uint64_t node)
{
	return node < NODES && nodes[node].used && (nodes[node].mode & FS_MODE_TYPE) == FS_MODE_DIRECTORY;
}

static enum error list(struct client_request *r)
{
	uint8_t *at = r->in;
	uint64_t used = 0, i = r->arg[1] ? r->arg[1] : 2;
	for (; i < NODES; i++) {
		if (!nodes[i].used || nodes[i].parent != r->arg[0])
			continue;
		size_t length = strlen(nodes[i].name);
		uint16_t record = (uint16_t)((sizeof(struct fs_dirent) + length + 7) & ~7ull);
		if (used + record > r->in_length)
			break;
		struct fs_dirent entry = {.inode = i, .record = record, .name_length = (uint8_t)length,
					  .type = (uint8_t)(nodes[i].mode >> 12)};
		memcpy(at + used, &entry, sizeof(entry));
		memcpy(at + used + sizeof(entry), nodes[i].name, length);
		used += record;
	}
	r->completion.result[0] = used;
	r->completion.result[1] = i;
	r->completion.result[2] = i == NODES;
	return ERR_OK;
}

static enum error transfer(struct client_request *r)
{
	struct node *n = &nodes[target((uint32_t)r->arg[0])];
	uint64_t at = r->arg[1] == FS_APPEND ? n->size : r->arg[1];
	if (r->op == FS_OP_READ) {
		uint64_t left = at < n->size ? n->size - at : 0;
		uint64_t room = r->lend ? r->arg[2] : r->in_length, take = left < room ? left : room;
		assert_true(!r->lend || (r->lend_writable && (uintptr_t)r->lend % PAGE_SIZE == 0 && r->lend_bytes % PAGE_SIZE == 0));
		assert_true(!r->lend || r->arg[2] <= r->lend_bytes);
		memcpy(r->lend ? r->lend : r->in, n->data + (take ? at : 0), take);
		r->completion.result[0] = take;
		return ERR_OK;
	}
	uint64_t take = r->out_length < fake_fs_space ? r->out_length : fake_fs_space;
	if (take == 0)
		return ERR_NO_SPACE;
	fake_fs_space -= take;
	memcpy(n->data + at, r->out, take);
	if (at + take > n->size)
		n->size = at + take;
	r->completion.result[0] = take;
	r->completion.result[1] = at;
	return ERR_OK;
}

static void status_write(const struct client_request *r, uint32_t node)
{
	const struct node *n = &nodes[target(node)];
	const struct fs_stat status = {.identity = node, .size = n->size, .mode = n->mode, .links = n->links};
	memcpy(r->in, &status, sizeof(status));
}

static enum error names(struct client_request *r)
{
	const char *out = r->out;
	uint32_t directory = (uint32_t)(r->op == FS_OP_LINK ? r->arg[1] : r->arg[0]);
	size_t length = r->out_length;
	const char *second = memchr(out, 0, length);
	if (second)
		length = (size_t)(second++ - out);
	uint32_t old = find(directory, out, length);
	if (!is_directory(directory))
		return ERR_NOT_DIRECTORY;
	switch (r->op) {
	case FS_OP_LOOKUP:
		if (!old)
			return ERR_NOT_FOUND;
		r->completion.result[0] = target(old);
		r->completion.result[1] = nodes[target(old)].mode;
		r->completion.result[2] = nodes[target(old)].size;
		r->completion.result[3] = fake_fs_heard;
		r->completion.result[4] = !fake_fs_shy && r->in_length >= sizeof(struct fs_stat);
		if (r->completion.result[4])
			status_write(r, target(old));
		return ERR_OK;
	case FS_OP_CREATE:
	case FS_OP_MKDIR:
		if (old)
			return ERR_EXISTS;
		r->completion.result[0] = make(directory, (uint32_t)r->arg[1], out, length);
		return ERR_OK;
	case FS_OP_SYMLINK:
		old = make(directory, FS_MODE_SYMLINK | 0777, out, length);
		nodes[old].size = r->out_length - length - 1;
		memcpy(nodes[old].data, second, nodes[old].size);
		return ERR_OK;
	case FS_OP_LINK:
		old = make(directory, nodes[r->arg[0]].mode, out, length);
		nodes[old].alias = (uint32_t)r->arg[0];
		nodes[r->arg[0]].links++;
		return ERR_OK;
	case FS_OP_UNLINK:
		if (is_directory(old))
			return ERR_IS_DIRECTORY;
		nodes[old].used = false;
		return ERR_OK;
	case FS_OP_RMDIR:
		if (!is_directory(old))
			return ERR_NOT_DIRECTORY;
		nodes[old].used = false;
		return ERR_OK;
	default: { // RENAME
		size_t more = r->out_length - length - 1;
		uint32_t over = find((uint32_t)r->arg[1], second, more);
		if (over)
			nodes[over].used = false;
		memset(nodes[old].name, 0, sizeof(nodes[old].name));
		memcpy(nodes[old].name, second, more);
		nodes[old].parent = (uint32_t)r->arg[1];
		return ERR_OK;
	}
	}
}

static bool session_has(uint64_t handle)
{
	for (unsigned i = 0; i < FS_SESSION_FILES; i++)
		if (fake_fs_session.handle[i] == handle + sealed)
			return i < fake_fs_session.used;
	return false;
}

static enum error perform(struct client_request *r)
{
	if (fake_fs_unlinked && (r->op == FS_OP_STAT || r->op == FS_OP_TRUNCATE)) {
		assert_true(session_has(r->arg[0])); // told before it asks
		fake_fs_unlinked = false;
		return ERR_STALE;
	}
	struct node *n = r->arg[0] < NODES ? &nodes[target((uint32_t)r->arg[0])] : 0;
	switch (r->op) {
	case FS_OP_ROOT:
		r->completion.result[0] = 1;
		return ERR_OK;
	case FS_OP_READ:
	case FS_OP_WRITE:
		return transfer(r);
	case FS_OP_READDIR:
		return list(r);
	case FS_OP_STAT:
		status_write(r, (uint32_t)r->arg[0]);
		return ERR_OK;
	case FS_OP_READLINK: {
		uint64_t take = n->size < r->in_length ? n->size : r->in_length;
		memcpy(r->in, n->data, take);
		r->completion.result[0] = take;
		return ERR_OK;
	}
	case FS_OP_TRUNCATE:
		n->size = r->arg[1];
		return ERR_OK;
	case FS_OP_CHMOD:
		n->mode = (n->mode & FS_MODE_TYPE) | (uint32_t)r->arg[1];
		return ERR_OK;
	case FS_OP_FSYNC:
		fake_fs_synced = r->arg[0] << 1 | (r->arg[1] & FS_FSYNC_DATA);
		r->completion.result[1] = fake_fs_losses;
		return r->arg[1] & FS_FSYNC_SINCE && fake_fs_losses > r->arg[2] ? ERR_LOST : ERR_OK;
	case FS_OP_SYNC:
		return ERR_OK;
	case FS_OP_STATFS:
		memset(r->in, 0, sizeof(struct fs_statfs));
		return ERR_OK;
	default:
		return names(r);
	}
}

// --- the client library's functions

void *client_session(struct client *client)
{
	assert_non_null(client);
	return &fake_fs_session;
}

bool client_lost(const struct client *client)
{
	(void)client;
	return fake_fs_lost;
}

void client_close(struct client *client)
{
	(void)client;
}

enum error client_open(struct client **client, const char *service, const struct client_options *options)
{
	static int dummy;
	(void)service;
	if (options->slots == 64)
		return ERR_QUOTA; // so that the smaller size is tried
	if (fake_fs_gone)
		return ERR_PEER_LOST;
	*client = (struct client *)&dummy;
	sealed += fake_fs_lost ? NODES : 0;
	fake_fs_lost = false;
	return ERR_OK;
}

// What a channel's handles have more is taken off, and put on.
static enum error perform_sealed(struct client_request *request)
{
	struct client_request plain = *request;
	bool two = plain.op == FS_OP_LINK || plain.op == FS_OP_RENAME, none = plain.op == FS_OP_ROOT || plain.op == FS_OP_SYNC;
	if (!none && plain.arg[0] - sealed >= NODES)
		return ERR_HANDLE;
	plain.arg[0] -= none ? 0 : sealed;
	plain.arg[1] -= two ? sealed : 0;
	enum error e = perform(&plain);
	request->completion = plain.completion;
	if (plain.op == FS_OP_ROOT || plain.op == FS_OP_LOOKUP || plain.op == FS_OP_CREATE)
		request->completion.result[0] += sealed;
	return e;
}

enum error client_submit(struct client *client, struct client_request *request)
{
	(void)client;
	assert_false(fake_fs_lost);
	fake_fs_calls++;
	if (request->lend && fake_fs_lends-- == 0) {
		fake_fs_lends = 0;
		request->done = true;
		return ERR_INVALID;
	}
	if (++in_flight > fake_fs_in_flight_most)
		fake_fs_in_flight_most = in_flight;
	request->completion.status = perform_sealed(request);
	request->done = true;
	return ERR_OK;
}

enum error client_wait(struct client *client, struct client_request *request)
{
	(void)client;
	in_flight--;
	return (enum error)request->completion.status;
}

enum error client_call(struct client *client, struct client_request *request)
{
	enum error e = client_submit(client, request);
	return e == ERR_OK ? client_wait(client, request) : e;
}

uint32_t client_out_room(const struct client *client)
{
	(void)client;
	return fake_fs_room;
}

uint32_t client_in_room(const struct client *client)
{
	(void)client;
	return fake_fs_room;
}

void fiber_mutex_lock(struct fiber_mutex *mutex)
{
	(void)mutex;
}

void fiber_mutex_unlock(struct fiber_mutex *mutex)
{
	(void)mutex;
}
