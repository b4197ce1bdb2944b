// Path walk: names looked up one by one, symbolic links followed on the client's side.
//
// Owns the current directory (a handle and its text). Must never trust a symbolic link's length or a name's: both are
// bounded by the buffers here. Right because the text still to be walked is in one buffer, from which names are taken
// at the front and to whose front link targets are put; each link costs one of FILE_LINKS_MAX, so the walk ends.
// If the domain dies here nothing outside changed: a walk only reads. The next incarnation starts in "/".
#include "runtime/client.h"
#include "runtime/file.h"
#include <string.h>

struct walk {
	char rest[FILE_PATH_MAX]; // what is still to be walked
	char *next;
	uint64_t root;
	unsigned links;
	struct path_node *node;
	struct fs_stat *status; // of the node, wanted; 0: not
	bool told;              // it is here
};

static struct {
	bool changed; // else the root
	uint64_t handle; // 0: to be found by the text
	char text[FILE_PATH_MAX];
} current;
static uint64_t root_known; // the same for the life of a channel; 0: to be asked for

static enum error root_handle(uint64_t *root)
{
	if (!root_known) {
		struct client_request request = {.op = FS_OP_ROOT};
		enum error e = file_system_call(&request);
		if (e != ERR_OK)
			return e;
		root_known = request.completion.result[0];
	}
	*root = root_known;
	return ERR_OK;
}

// With its status, if that is wanted and the server gives it.
static enum error lookup(struct walk *walk, uint64_t directory, struct fs_stat *status)
{
	struct path_node *node = walk->node;
	struct client_request request = {.op = FS_OP_LOOKUP,
					 .arg = {directory},
					 .out = node->name,
					 .out_length = (uint32_t)strlen(node->name),
					 .in = status,
					 .in_length = status ? sizeof(*status) : 0};
	enum error e = file_system_call(&request);
	if (e != ERR_OK)
		return e;
	node->handle = request.completion.result[0];
	node->mode = (uint32_t)request.completion.result[1];
	node->size = request.completion.result[2];
	node->losses = request.completion.result[3];
	walk->told = status && request.completion.result[4];
	return ERR_OK;
}

static bool is_type(const struct path_node *node, uint32_t type)
{
	return (node->mode & FS_MODE_TYPE) == type;
}

// Puts the target of the link node->handle in front of what is left; ERR_LOOP after too many.
static enum error link_insert(struct walk *walk)
{
	char target[FILE_PATH_MAX];
	if (++walk->links > FILE_LINKS_MAX)
		return ERR_LOOP;
	struct client_request request = {
		.op = FS_OP_READLINK, .arg = {walk->node->handle}, .in = target, .in_length = sizeof(target)};
	enum error e = file_system_call(&request);
	if (e != ERR_OK)
		return e;
	size_t length = request.completion.result[0];
	size_t rest = strlen(walk->next);
	if (length == 0 || memchr(target, 0, length))
		return ERR_CORRUPT;
	if (length + 1 + rest + 1 > sizeof(walk->rest))
		return ERR_NAME_TOO_LONG;
	memmove(walk->rest + length + 1, walk->next, rest + 1);
	memcpy(walk->rest, target, length);
	walk->rest[length] = rest ? '/' : 0;
	walk->next = walk->rest;
	return ERR_OK;
}

// Takes the next name into `name`; false at the end. `last`: nothing but slashes follows.
static bool name_take(struct walk *walk, char *name, size_t room, bool *last, bool *too_long)
{
	char *from = walk->next + strspn(walk->next, "/");
	size_t length = strcspn(from, "/");
	if (length == 0)
		return false;
	*too_long = length >= room;
	if (*too_long)
		length = room - 1;
	memcpy(name, from, length);
	name[length] = 0;
	walk->next = from + length;
	*last = walk->next[strspn(walk->next, "/")] == 0;
	walk->node->directory_wanted = *last && *walk->next == '/';
	return true;
}

static void start_at(struct path_node *node, uint64_t directory)
{
	node->parent = directory;
	node->handle = directory;
	node->mode = FS_MODE_DIRECTORY;
	node->size = 0;
	node->losses = 0;
	node->found = true;
	node->name[0] = 0;
}

// Where the text in walk->rest begins: the root, or the directory reached so far.
static void restart_at(struct walk *walk, uint64_t here)
{
	walk->told = false;
	start_at(walk->node, *walk->next == '/' ? walk->root : here);
}

// One name. *ended: the walk is over although text may be left (the last name does not exist).
static enum error step(struct walk *walk, bool last, bool follow, bool *ended)
{
	struct path_node *node = walk->node;
	if (!is_type(node, FS_MODE_DIRECTORY))
		return ERR_NOT_DIRECTORY;
	if (strcmp(node->name, ".") == 0) {
		walk->told = false;
		start_at(node, node->handle);
		return ERR_OK;
	}
	uint64_t directory = node->handle;
	node->parent = directory;
	enum error e = lookup(walk, directory, last ? walk->status : 0);
	if (e == ERR_NOT_FOUND && last) {
		node->found = false;
		*ended = true;
		return ERR_OK;
	}
	if (e != ERR_OK)
		return e;
	if (is_type(node, FS_MODE_SYMLINK) && (!last || follow || node->directory_wanted)) {
		e = link_insert(walk);
		if (e == ERR_OK)
			restart_at(walk, directory);
		return e;
	}
	if (strcmp(node->name, "..") == 0)
		start_at(node, node->handle);
	return ERR_OK;
}

void path_forget_handles(void)
{
	root_known = 0;
	current.handle = 0;
}

// The current directory's handle went with the channel that it was given on.
static enum error current_find(void)
{
	struct path_node node;
	if (!current.changed || current.handle)
		return ERR_OK;
	current.changed = false; // so that this walk needs none
	enum error e = path_find(current.text, true, &node);
	current.changed = true;
	if (e == ERR_OK && !is_type(&node, FS_MODE_DIRECTORY))
		e = ERR_NOT_DIRECTORY;
	if (e == ERR_OK)
		current.handle = node.handle;
	return e;
}

static enum error walk_start(struct walk *walk, const char *path)
{
	enum error e = file_system_open(); // before a handle is taken that would be one of the channel before
	if (e == ERR_OK)
		e = root_handle(&walk->root);
	if (e == ERR_OK && *path != '/')
		e = current_find();
	if (e != ERR_OK)
		return e;
	size_t length = strlen(path);
	if (length == 0)
		return ERR_NOT_FOUND;
	if (length >= sizeof(walk->rest))
		return ERR_NAME_TOO_LONG;
	memcpy(walk->rest, path, length + 1);
	walk->next = walk->rest;
	walk->links = 0;
	restart_at(walk, current.changed ? current.handle : walk->root);
	return ERR_OK;
}

static enum error walk_all(struct walk *walk, const char *path, bool follow)
{
	struct path_node *node = walk->node;
	node->directory_wanted = false;
	enum error e = walk_start(walk, path);
	bool last = false, too_long = false, ended = false;
	while (e == ERR_OK && !ended && name_take(walk, node->name, sizeof(node->name), &last, &too_long)) {
		if (too_long)
			return ERR_NAME_TOO_LONG;
		e = step(walk, last, follow, &ended);
	}
	if (e == ERR_OK && node->found && node->directory_wanted && !is_type(node, FS_MODE_DIRECTORY))
		return ERR_NOT_DIRECTORY;
	return e;
}

enum error path_walk(const char *path, bool follow, struct path_node *node)
{
	struct walk walk;
	walk.node = node;
	walk.status = 0;
	return walk_all(&walk, path, follow);
}

enum error path_find_status(const char *path, bool follow, struct path_node *node, struct fs_stat *status, bool *told)
{
	struct walk walk;
	walk.node = node;
	walk.status = status;
	enum error e = walk_all(&walk, path, follow);
	*told = e == ERR_OK && node->found && walk.told;
	return e == ERR_OK && !node->found ? ERR_NOT_FOUND : e;
}

enum error path_find(const char *path, bool follow, struct path_node *node)
{
	bool told;
	return path_find_status(path, follow, node, 0, &told);
}

enum error path_find_by(struct client *client, const char *path, uint64_t *handle)
{
	struct client_request request = {.op = FS_OP_ROOT};
	enum error e = client_call(client, &request);
	for (path += strspn(path, "/"); *path && e == ERR_OK; path += strspn(path, "/")) {
		size_t length = strcspn(path, "/");
		request = (struct client_request){.op = FS_OP_LOOKUP,
						  .arg = {request.completion.result[0]},
						  .out = path,
						  .out_length = (uint32_t)length};
		e = client_call(client, &request);
		path += length;
	}
	*handle = request.completion.result[0];
	return e;
}

// --- text of paths

const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

enum error path_join(char result[FILE_PATH_MAX], const char *directory, const char *name)
{
	size_t length = strlen(directory);
	size_t more = strlen(name);
	bool slash = length > 0 && directory[length - 1] != '/';
	if (length + slash + more >= FILE_PATH_MAX)
		return ERR_NAME_TOO_LONG;
	memmove(result, directory, length);
	if (slash)
		result[length++] = '/';
	memcpy(result + length, name, more + 1);
	return ERR_OK;
}

// Appends one name to an absolute text, "." and ".." resolved as text.
static enum error text_append(char *text, const char *name, size_t length)
{
	if (length == 1 && name[0] == '.')
		return ERR_OK;
	if (length == 2 && name[0] == '.' && name[1] == '.') {
		char *slash = strrchr(text, '/');
		if (slash)
			*slash = 0;
		return ERR_OK;
	}
	size_t used = strlen(text);
	if (used + 1 + length >= FILE_PATH_MAX)
		return ERR_NAME_TOO_LONG;
	text[used] = '/';
	memcpy(text + used + 1, name, length);
	text[used + 1 + length] = 0;
	return ERR_OK;
}

static enum error text_follow(char *text, const char *path)
{
	if (*path == '/')
		text[0] = 0;
	for (path += strspn(path, "/"); *path; path += strspn(path, "/")) {
		size_t length = strcspn(path, "/");
		enum error e = text_append(text, path, length);
		if (e != ERR_OK)
			return e;
		path += length;
	}
	return ERR_OK;
}

enum error path_change_directory(const char *path)
{
	struct path_node node;
	char text[FILE_PATH_MAX];
	enum error e = path_find(path, true, &node);
	if (e != ERR_OK)
		return e;
	if (!is_type(&node, FS_MODE_DIRECTORY))
		return ERR_NOT_DIRECTORY;
	memcpy(text, current.text, sizeof(text));
	e = text_follow(text, path);
	if (e != ERR_OK)
		return e;
	memcpy(current.text, text, sizeof(text));
	current.handle = node.handle;
	current.changed = true;
	return ERR_OK;
}

const char *path_current_directory(void)
{
	return current.text[0] ? current.text : "/";
}
