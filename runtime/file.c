// Open files and operations by path: requests of the file-system protocol made from C calls.
//
// Owns the one channel to "fs" of this domain; no table of open files (struct file belongs to the caller). Must never
// keep a handle's state in the server. Right because a transfer's requests lie in disjoint ranges of the file and of
// the caller's buffer, and the count that is returned is that of the unbroken prefix: what came after a short answer is
// not counted. Of a large read the server writes whole pages of the caller's buffer itself; what fails that way is read by
// copy. If the domain dies here, what was acknowledged is in the file system and what was submitted is performed from the
// ring (client_open of the next incarnation drains it). The supervisor notices.
#include "runtime/file.h"
#include "runtime/client.h"
#include "runtime/fence.h"
#include "runtime/fiber.h"
#include <string.h>

#define PIPELINE 16u // requests of one transfer in flight
#define LEND_BYTES 0x40000u // from here on the memory of a read is lent, so much at a time; measured (docs/bench.md)
#define PERMISSIONS_FILE 0644u

static struct client *fs_client;
static unsigned fs_users; // fibers that are in a call or a transfer on it

enum error file_system_open(void)
{
	// The largest that memory allows: a small partition gets less room for each slot, and more requests.
	static const struct client_options sizes[] = {
		{.slots = 256, .small = 128, .out_bytes = 128 * (8192 + CLIENT_SMALL_BYTES), .in_bytes = 128 * (8192 + CLIENT_SMALL_BYTES)},
		{.slots = 32, .out_bytes = 32 * 8192, .in_bytes = 32 * 8192},
		{.slots = 16, .out_bytes = 16 * 4096, .in_bytes = 16 * 4096},
	};
	static struct fiber_mutex opening;
	enum error e = ERR_OK;
	if (fs_client && (fs_users || !client_lost(fs_client)))
		return ERR_OK;
	fiber_mutex_lock(&opening);
	if (fs_client && fs_users == 0 && client_lost(fs_client)) { // it was given up; perhaps it was started again since
		client_close(fs_client);
		fs_client = 0;
		path_forget_handles();
	}
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]) && !fs_client; i++) {
		e = client_open(&fs_client, "fs", &sizes[i]);
		if (e == ERR_OK)
			memset(client_session(fs_client), 0, sizeof(struct fs_session)); // of a former life, if any
		if (e != ERR_NO_MEMORY && e != ERR_QUOTA)
			break;
	}
	fiber_mutex_unlock(&opening);
	return fs_client ? ERR_OK : e;
}

enum error file_system_call(struct client_request *request)
{
	enum error e = file_system_open();
	if (e != ERR_OK)
		return e;
	fs_users++;
	e = client_call(fs_client, request);
	fs_users--;
	return e;
}

// A call whose payload is a name.
static enum error fs_call_name(struct client_request *request, const char *name)
{
	request->out = name;
	request->out_length = (uint32_t)strlen(name);
	return file_system_call(request);
}

// --- open

static enum error file_create(const struct path_node *node, unsigned flags, uint32_t permissions, uint64_t *handle)
{
	struct client_request request = {.op = FS_OP_CREATE,
					 .arg = {node->parent, FS_MODE_FILE | (permissions & 07777),
						 flags & FILE_EXCLUSIVE ? FS_CREATE_EXCLUSIVE : 0}};
	if (node->directory_wanted)
		return ERR_IS_DIRECTORY;
	enum error e = fs_call_name(&request, node->name);
	*handle = request.completion.result[0];
	return e;
}

// The handle of what is to be opened. A file that is made has lost nothing yet.
static enum error open_find(struct file *file, const char *path, unsigned flags, uint32_t permissions)
{
	struct path_node node;
	enum error e = path_walk(path, !(flags & FILE_EXCLUSIVE), &node);
	if (e != ERR_OK)
		return e;
	file->handle = node.handle;
	file->losses = node.found ? node.losses : 0;
	if (!node.found)
		return flags & FILE_CREATE ? file_create(&node, flags, permissions, &file->handle) : ERR_NOT_FOUND;
	if (flags & FILE_EXCLUSIVE)
		return ERR_EXISTS;
	return (node.mode & FS_MODE_TYPE) == FS_MODE_DIRECTORY ? ERR_IS_DIRECTORY : ERR_OK;
}

static enum error session_add(struct file *file)
{
	struct fs_session *session = client_session(fs_client);
	for (unsigned i = 0; i < FS_SESSION_FILES; i++) {
		if (session->handle[i])
			continue;
		file->session = i;
		store64(&session->handle[i], file->handle);
		if (session->used <= i)
			store64(&session->used, i + 1);
		return ERR_OK;
	}
	return ERR_LIMIT;
}

void file_close(struct file *file)
{
	if (file->handle == 0)
		return;
	struct fs_session *session = fs_client ? client_session(fs_client) : 0; // 0: given up, and not to be had since
	if (session && session->handle[file->session] == file->handle) // another channel than it was opened by has not got it
		store64(&session->handle[file->session], 0);
	file->handle = 0;
}

// Between the walk and the entry in the table somebody can have removed the last name: so the handle is asked for after
// the entry (by the truncation, if there is one).
static enum error open_confirm(struct file *file)
{
	struct fs_stat status;
	if (!(file->flags & FILE_TRUNCATE))
		return file_status(file, &status);
	return file_truncate(file, 0);
}

enum error file_open_mode(struct file *file, const char *path, unsigned flags, uint32_t permissions)
{
	*file = (struct file){.flags = flags};
	enum error e = open_find(file, path, flags, permissions);
	if (e == ERR_OK)
		e = session_add(file);
	if (e != ERR_OK) {
		file->handle = 0;
		return e;
	}
	e = open_confirm(file);
	if (e != ERR_OK)
		file_close(file);
	return e == ERR_STALE ? ERR_NOT_FOUND : e;
}

enum error file_open(struct file *file, const char *path, unsigned flags)
{
	return file_open_mode(file, path, flags, PERMISSIONS_FILE);
}

// --- transfers

// One transfer in pieces: `next` bytes are submitted, `done` is the unbroken prefix that was performed.
struct transfer {
	uint16_t op;
	uint64_t handle;
	uint64_t offset;
	uint8_t *data;
	size_t length;
	size_t next;
	size_t done;
	uint32_t room;
	enum error error;
	bool lends; // whole pages of `data`, while that is worth it
	bool ended; // a short answer or an error: nothing more is submitted or counted
};

// How much of the data's next whole pages the next request takes along as a grant; 0: none.
static uint32_t piece_lent(const struct transfer *t, size_t left)
{
	if (!t->lends || (uintptr_t)(t->data + t->next) % PAGE_SIZE || left < PAGE_SIZE)
		return 0;
	return (uint32_t)(left < LEND_BYTES ? left : LEND_BYTES) & ~(uint32_t)(PAGE_SIZE - 1);
}

// What follows up to the next whole page goes by copy.
static uint32_t piece_copied(const struct transfer *t, size_t left)
{
	size_t part = t->lends ? PAGE_SIZE - (uintptr_t)(t->data + t->next) % PAGE_SIZE : left;
	part = part < left ? part : left;
	return part < t->room ? (uint32_t)part : t->room;
}

static void piece_prepare(struct transfer *t, struct client_request *request)
{
	size_t left = t->length - t->next;
	uint32_t lent = piece_lent(t, left), bytes = lent ? lent : piece_copied(t, left);
	*request = (struct client_request){.op = t->op, .arg = {t->handle, t->offset + t->next}};
	if (t->op == FS_OP_WRITE) {
		request->out = t->data + t->next;
		request->out_length = bytes;
		if (t->offset == FS_APPEND)
			request->arg[1] = FS_APPEND;
	} else if (lent) {
		request->arg[2] = bytes;
		request->lend = t->data + t->next;
		request->lend_bytes = bytes;
		request->lend_writable = true;
	} else {
		request->in = t->data + t->next;
		request->in_length = bytes;
	}
	t->next += bytes;
}

static void piece_take(struct transfer *t, struct client_request *request)
{
	enum error e = client_wait(fs_client, request);
	uint32_t wanted = t->op == FS_OP_WRITE ? request->out_length : request->lend ? request->lend_bytes : request->in_length;
	uint64_t got = request->completion.result[0];
	if (e == ERR_OK && got > wanted)
		e = ERR_PROTOCOL;
	if (t->ended)
		return;
	t->error = e;
	if (e == ERR_OK)
		t->done += got;
	t->ended = e != ERR_OK || got < wanted;
}

// Appends go one by one, because each piece takes its place when it is performed.
static void transfer_run(struct transfer *t)
{
	unsigned limit = t->offset == FS_APPEND ? 1 : t->lends ? GRANT_PLACES : PIPELINE;
	unsigned first = 0, count = 0;
	struct client_request requests[PIPELINE]; // each is made when its turn comes
	while (count > 0 || (t->next < t->length && !t->ended)) {
		while (count < limit && t->next < t->length && !t->ended) {
			struct client_request *request = &requests[(first + count) % PIPELINE];
			piece_prepare(t, request);
			t->error = client_submit(fs_client, request);
			t->ended = t->error != ERR_OK;
			count += t->error == ERR_OK;
		}
		if (count > 0) {
			piece_take(t, &requests[first]);
			first = (first + 1) % PIPELINE;
			count--;
		}
	}
}

static enum error transfer(uint16_t op, uint64_t handle, uint64_t offset, uint8_t *data, size_t length, size_t *done)
{
	*done = 0;
	enum error e = file_system_open();
	if (e != ERR_OK)
		return e;
	struct transfer t = {.op = op, .handle = handle, .offset = offset, .data = data, .length = length};
	t.room = op == FS_OP_WRITE ? client_out_room(fs_client) : client_in_room(fs_client);
	if (t.room > FS_TRANSFER_MAX)
		t.room = FS_TRANSFER_MAX;
	t.lends = op == FS_OP_READ && length >= LEND_BYTES;
	fs_users++;
	transfer_run(&t);
	if (t.lends && t.error != ERR_OK && t.error != ERR_PEER_LOST) { // memory that cannot be lent, or no room for it there
		t.lends = t.ended = false;
		t.next = t.done;
		transfer_run(&t);
	}
	fs_users--;
	*done = t.done;
	return t.error;
}

enum error file_read_at(const struct file *file, uint64_t offset, void *data, size_t length, size_t *done)
{
	return transfer(FS_OP_READ, file->handle, offset, data, length, done);
}

enum error file_write_at(const struct file *file, uint64_t offset, const void *data, size_t length, size_t *done)
{
	return transfer(FS_OP_WRITE, file->handle, offset, (uint8_t *)(uintptr_t)data, length, done);
}

enum error file_read(struct file *file, void *data, size_t length, size_t *done)
{
	enum error e = file_read_at(file, file->offset, data, length, done);
	file->offset += *done;
	return e;
}

enum error file_write(struct file *file, const void *data, size_t length, size_t *done)
{
	enum error e = file_write_at(file, file->flags & FILE_APPEND ? FS_APPEND : file->offset, data, length, done);
	file->offset += *done;
	return e == ERR_OK && *done < length ? ERR_NO_SPACE : e;
}

enum error file_seek(struct file *file, int64_t offset, enum file_whence whence)
{
	struct fs_stat status;
	uint64_t base = whence == FILE_SEEK_CURRENT ? file->offset : 0;
	if (whence == FILE_SEEK_END) {
		enum error e = file_status(file, &status);
		if (e != ERR_OK)
			return e;
		base = status.size;
	}
	if (offset < 0 && (uint64_t)-offset > base)
		return ERR_INVALID;
	file->offset = base + (uint64_t)offset;
	return ERR_OK;
}

enum error file_truncate(const struct file *file, uint64_t size)
{
	return file_system_call(&(struct client_request){.op = FS_OP_TRUNCATE, .arg = {file->handle, size}});
}

static enum error status_of(uint64_t handle, struct fs_stat *status)
{
	return file_system_call(&(struct client_request){
		.op = FS_OP_STAT, .arg = {handle}, .in = status, .in_length = sizeof(*status)});
}

enum error file_status(const struct file *file, struct fs_stat *status)
{
	return status_of(file->handle, status);
}

// --- by path

enum error file_stat(const char *path, bool follow, struct fs_stat *status)
{
	struct path_node node;
	bool told;
	enum error e = path_find_status(path, follow, &node, status, &told);
	return e == ERR_OK && !told ? status_of(node.handle, status) : e;
}

// The place for a new name: its directory exists, the name does not.
static enum error place_new(const char *path, struct path_node *node)
{
	enum error e = path_walk(path, false, node);
	return e == ERR_OK && node->found ? ERR_EXISTS : e;
}

enum error file_make_directory(const char *path, uint32_t permissions)
{
	struct path_node node;
	enum error e = place_new(path, &node);
	if (e != ERR_OK)
		return e;
	struct client_request request = {.op = FS_OP_MKDIR,
					 .arg = {node.parent, FS_MODE_DIRECTORY | (permissions & 07777)}};
	return fs_call_name(&request, node.name);
}

// The place of an existing name that an operation shall remove; "/", "." and ".." have none.
static enum error place_existing(const char *path, struct path_node *node)
{
	enum error e = path_find(path, false, node);
	return e == ERR_OK && node->name[0] == 0 ? ERR_INVALID : e;
}

enum error file_remove_directory(const char *path)
{
	struct path_node node;
	enum error e = place_existing(path, &node);
	if (e != ERR_OK)
		return e;
	struct client_request request = {.op = FS_OP_RMDIR, .arg = {node.parent}};
	return fs_call_name(&request, node.name);
}

enum error file_unlink(const char *path)
{
	struct path_node node;
	enum error e = place_existing(path, &node);
	if (e != ERR_OK)
		return e;
	struct client_request request = {.op = FS_OP_UNLINK, .arg = {node.parent}};
	return fs_call_name(&request, node.name);
}

enum error file_rename(const char *from, const char *to)
{
	struct path_node old, new;
	char names[2 * (FS_NAME_MAX + 1)];
	enum error e = place_existing(from, &old);
	if (e == ERR_OK)
		e = path_walk(to, false, &new);
	if (e != ERR_OK)
		return e;
	if (new.name[0] == 0)
		return ERR_EXISTS;
	size_t length = strlen(old.name) + 1;
	memcpy(names, old.name, length);
	memcpy(names + length, new.name, strlen(new.name));
	return file_system_call(&(struct client_request){.op = FS_OP_RENAME,
						.arg = {old.parent, new.parent},
						.out = names,
						.out_length = (uint32_t)(length + strlen(new.name))});
}

enum error file_link(const char *existing, const char *name)
{
	struct path_node target, node;
	enum error e = path_find(existing, false, &target);
	if (e == ERR_OK)
		e = place_new(name, &node);
	if (e != ERR_OK)
		return e;
	struct client_request request = {.op = FS_OP_LINK, .arg = {target.handle, node.parent}};
	return fs_call_name(&request, node.name);
}

enum error file_symlink(const char *target, const char *name)
{
	struct path_node node;
	char text[FS_NAME_MAX + 1 + FILE_PATH_MAX];
	enum error e = place_new(name, &node);
	if (e != ERR_OK)
		return e;
	size_t length = strlen(node.name) + 1;
	size_t more = strlen(target);
	if (more == 0 || more >= FILE_PATH_MAX)
		return ERR_NAME_TOO_LONG;
	memcpy(text, node.name, length);
	memcpy(text + length, target, more);
	return file_system_call(&(struct client_request){.op = FS_OP_SYMLINK,
						.arg = {node.parent},
						.out = text,
						.out_length = (uint32_t)(length + more)});
}

enum error file_readlink(const char *path, char *target, size_t room)
{
	struct path_node node;
	enum error e = path_find(path, false, &node);
	if (e != ERR_OK)
		return e;
	struct client_request request = {
		.op = FS_OP_READLINK, .arg = {node.handle}, .in = target, .in_length = (uint32_t)room};
	e = file_system_call(&request);
	if (e != ERR_OK)
		return e;
	if (request.completion.result[0] >= room)
		return ERR_NAME_TOO_LONG;
	target[request.completion.result[0]] = 0;
	return ERR_OK;
}

enum error file_change_mode(const char *path, uint32_t permissions)
{
	struct path_node node;
	enum error e = path_find(path, true, &node);
	if (e != ERR_OK)
		return e;
	return file_system_call(&(struct client_request){.op = FS_OP_CHMOD, .arg = {node.handle, permissions & 07777}});
}

enum error file_fsync(struct file *file, bool data_only)
{
	uint64_t flags = FS_FSYNC_SINCE | (data_only ? FS_FSYNC_DATA : 0);
	struct client_request request = {.op = FS_OP_FSYNC, .arg = {file->handle, flags, file->losses}};
	enum error e = file_system_call(&request);
	if (e == ERR_LOST && request.completion.result[1] > file->losses)
		file->losses = request.completion.result[1];
	return e;
}

enum error file_sync_path(const char *path, bool data_only)
{
	struct path_node node;
	enum error e = path_find(path, true, &node);
	if (e != ERR_OK)
		return e;
	return file_system_call(
		&(struct client_request){.op = FS_OP_FSYNC, .arg = {node.handle, data_only ? FS_FSYNC_DATA : 0}});
}

enum error file_sync(void)
{
	return file_system_call(&(struct client_request){.op = FS_OP_SYNC});
}

enum error file_system_status(struct fs_statfs *status)
{
	return file_system_call(&(struct client_request){.op = FS_OP_STATFS, .in = status, .in_length = sizeof(*status)});
}

// --- directories

enum error directory_open(struct directory *directory, const char *path)
{
	struct path_node node;
	enum error e = path_find(path, true, &node);
	if (e != ERR_OK)
		return e;
	if ((node.mode & FS_MODE_TYPE) != FS_MODE_DIRECTORY)
		return ERR_NOT_DIRECTORY;
	directory->handle = node.handle;
	directory->cookie = 0;
	directory->used = 0;
	directory->next = 0;
	directory->end = false;
	return ERR_OK;
}

static enum error directory_fill(struct directory *d)
{
	struct client_request request = {.op = FS_OP_READDIR,
					 .arg = {d->handle, d->cookie},
					 .in = d->buffer,
					 .in_length = sizeof(d->buffer)};
	enum error e = file_system_call(&request);
	if (e != ERR_OK)
		return e;
	uint64_t got = request.completion.result[0];
	if (got > sizeof(d->buffer))
		return ERR_PROTOCOL;
	d->used = (uint32_t)got;
	d->next = 0;
	d->cookie = request.completion.result[1];
	d->end = request.completion.result[2] != 0 || got == 0;
	return ERR_OK;
}

enum error directory_next(struct directory *d, struct directory_entry *entry)
{
	struct fs_dirent head;
	while (d->next == d->used) {
		enum error e = d->end ? ERR_NOT_FOUND : directory_fill(d);
		if (e != ERR_OK)
			return e;
	}
	if (d->used - d->next < sizeof(head))
		return ERR_PROTOCOL;
	memcpy(&head, d->buffer + d->next, sizeof(head));
	if (head.record < sizeof(head) + head.name_length || head.record > d->used - d->next)
		return ERR_PROTOCOL;
	memcpy(entry->name, d->buffer + d->next + sizeof(head), head.name_length);
	entry->name[head.name_length] = 0;
	entry->inode = (uint32_t)head.inode;
	entry->type = head.type;
	d->next += head.record;
	return ERR_OK;
}
