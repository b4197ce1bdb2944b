// Commands that walk directory trees: find, cp, rm, sha256.
//
// Owns one stack of open directories, for one walk at a time (the shell has one fiber). Must never recurse: depth is
// bounded by the array. If the shell dies in the middle, what the file system acknowledged stands.
#include "apps/shell/files.h"
#include "apps/shell/sha256.h"
#include "apps/shell/shell.h"
#include "runtime/console.h"
#include <stdio.h>
#include <string.h>

#define TREE_DEPTH 32u

enum tree_moment { TREE_LEAF, TREE_ENTER, TREE_LEAVE };

struct tree {
	enum error (*visit)(struct tree *tree, enum tree_moment moment);
	char path[FILE_PATH_MAX]; // of what is visited
	uint32_t type;            // FS_MODE_*; of TREE_LEAF
	size_t root;              // length of the path that the walk started with
	void *context;
	int status; // exit status: STATUS_FAILED after a complaint
	unsigned depth;
};

static struct {
	struct directory directory;
	size_t length; // of the path of this directory
} levels[TREE_DEPTH];

static void tree_complain(struct tree *tree, enum error e)
{
	tree->status = complain(tree->path, e);
}

static void tree_enter(struct tree *tree)
{
	enum error e = tree->depth < TREE_DEPTH ? tree->visit(tree, TREE_ENTER) : ERR_TOO_BIG;
	if (e == ERR_OK)
		e = directory_open(&levels[tree->depth].directory, tree->path);
	if (e != ERR_OK) {
		tree_complain(tree, e);
		return;
	}
	levels[tree->depth++].length = strlen(tree->path);
}

static void tree_leave(struct tree *tree)
{
	tree->depth--;
	tree->path[levels[tree->depth].length] = 0;
	enum error e = tree->visit(tree, TREE_LEAVE);
	if (e != ERR_OK)
		tree_complain(tree, e);
}

static void tree_entry(struct tree *tree, const struct directory_entry *entry)
{
	if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0)
		return;
	enum error e = path_join(tree->path, tree->path, entry->name);
	tree->type = entry->type << 12;
	if (e == ERR_OK && tree->type == FS_MODE_DIRECTORY) {
		tree_enter(tree);
		return;
	}
	if (e == ERR_OK)
		e = tree->visit(tree, TREE_LEAF);
	if (e != ERR_OK)
		tree_complain(tree, e);
}

// Visits `path` and, if it is a directory, all below it. Symbolic links are leaves.
static int tree_walk(struct tree *tree, const char *path)
{
	static struct directory_entry entry;
	struct fs_stat status;
	enum error e = file_stat(path, false, &status);
	if (e != ERR_OK)
		return complain(path, e);
	strcpy(tree->path, path); // file_stat bounded it
	tree->root = strlen(path);
	tree->depth = 0;
	tree->type = status.mode & FS_MODE_TYPE;
	if (tree->type != FS_MODE_DIRECTORY) {
		e = tree->visit(tree, TREE_LEAF);
		return e == ERR_OK ? tree->status : complain(path, e);
	}
	tree_enter(tree);
	while (tree->depth > 0 && !console_interrupted()) {
		unsigned level = tree->depth - 1;
		e = directory_next(&levels[level].directory, &entry);
		tree->path[levels[level].length] = 0;
		if (e == ERR_OK)
			tree_entry(tree, &entry);
		else if (e == ERR_NOT_FOUND)
			tree_leave(tree);
		else
			return complain(tree->path, e);
	}
	return tree->status;
}

// --- find

static enum error find_visit(struct tree *tree, enum tree_moment moment)
{
	const char *wanted = tree->context;
	if (moment != TREE_LEAVE && (!wanted || strstr(path_base(tree->path), wanted)))
		printf("%s\n", tree->path);
	return ERR_OK;
}

static int command_find(int argc, char **argv)
{
	struct tree tree = {.visit = find_visit, .context = argc > 2 ? argv[2] : 0};
	if (argc > 3)
		return STATUS_USAGE;
	return tree_walk(&tree, argc > 1 ? argv[1] : ".");
}

// --- sha256

static enum error sha256_file(const char *path)
{
	struct file file;
	struct sha256 hash;
	uint8_t digest[SHA256_SIZE];
	char text[2 * SHA256_SIZE + 1];
	size_t got = 1;
	sha256_begin(&hash);
	enum error e = file_open(&file, path, FILE_READ);
	while (e == ERR_OK && got > 0) {
		e = file_read(&file, files_buffer, FILES_BUFFER, &got);
		sha256_add(&hash, files_buffer, got);
	}
	file_close(&file);
	if (e != ERR_OK)
		return e;
	sha256_end(&hash, digest);
	sha256_text(digest, text);
	printf("%s  %s\n", text, path);
	return ERR_OK;
}

static enum error sha256_visit(struct tree *tree, enum tree_moment moment)
{
	return moment == TREE_LEAF && tree->type == FS_MODE_FILE ? sha256_file(tree->path) : ERR_OK;
}

static int command_sha256(int argc, char **argv)
{
	bool deep = option_take(&argc, argv, "-r");
	int status = STATUS_OK;
	if (argc < 2)
		return STATUS_USAGE;
	for (int i = 1; i < argc && !console_interrupted(); i++) {
		struct tree tree = {.visit = sha256_visit};
		enum error e = ERR_OK;
		if (deep && tree_walk(&tree, argv[i]) != STATUS_OK)
			status = STATUS_FAILED;
		if (!deep)
			e = sha256_file(argv[i]);
		if (e != ERR_OK)
			status = complain(argv[i], e);
	}
	return status;
}

// --- rm

static enum error remove_visit(struct tree *tree, enum tree_moment moment)
{
	if (moment == TREE_LEAF)
		return file_unlink(tree->path);
	return moment == TREE_LEAVE ? file_remove_directory(tree->path) : ERR_OK;
}

static int command_rm(int argc, char **argv)
{
	bool deep = option_take(&argc, argv, "-r");
	int status = STATUS_OK;
	if (argc < 2)
		return STATUS_USAGE;
	for (int i = 1; i < argc; i++) {
		struct tree tree = {.visit = remove_visit};
		enum error e = deep ? ERR_OK : file_unlink(argv[i]);
		if (e != ERR_OK)
			status = complain(argv[i], e);
		else if (deep && tree_walk(&tree, argv[i]) != STATUS_OK)
			status = STATUS_FAILED;
	}
	return status;
}

static int command_rmdir(int argc, char **argv)
{
	int status = STATUS_OK;
	if (argc < 2)
		return STATUS_USAGE;
	for (int i = 1; i < argc; i++) {
		enum error e = file_remove_directory(argv[i]);
		if (e != ERR_OK)
			status = complain(argv[i], e);
	}
	return status;
}

// --- cp

static enum error copy_bytes(struct file *source, struct file *target)
{
	size_t got = 1, done;
	if (target->handle == source->handle)
		return ERR_EXISTS;
	enum error e = file_truncate(target, 0);
	while (e == ERR_OK && got > 0) {
		e = file_read(source, files_buffer, FILES_BUFFER, &got);
		if (e == ERR_OK && got > 0)
			e = file_write(target, files_buffer, got, &done);
	}
	return e;
}

static enum error copy_contents(const char *from, const char *to)
{
	struct file source, target = {0};
	struct fs_stat status;
	enum error e = file_open(&source, from, FILE_READ);
	if (e == ERR_OK)
		e = file_status(&source, &status);
	if (e == ERR_OK)
		e = file_open_mode(&target, to, FILE_WRITE | FILE_CREATE, status.mode & 07777);
	if (e == ERR_OK)
		e = copy_bytes(&source, &target);
	file_close(&target);
	file_close(&source);
	return e;
}

static enum error copy_link(const char *from, const char *to)
{
	char target[FILE_PATH_MAX];
	enum error e = file_readlink(from, target, sizeof(target));
	return e == ERR_OK ? file_symlink(target, to) : e;
}

static enum error copy_visit(struct tree *tree, enum tree_moment moment)
{
	static char to[FILE_PATH_MAX];
	const char *tail = tree->path + tree->root + strspn(tree->path + tree->root, "/");
	enum error e = *tail ? path_join(to, tree->context, tail) : ERR_OK;
	const char *target = *tail ? to : tree->context;
	if (e != ERR_OK || moment == TREE_LEAVE)
		return e;
	if (moment == TREE_ENTER) {
		e = file_make_directory(target, 0755);
		return e == ERR_EXISTS ? ERR_OK : e;
	}
	if (tree->type == FS_MODE_SYMLINK)
		return copy_link(tree->path, target);
	return tree->type == FS_MODE_FILE ? copy_contents(tree->path, target) : ERR_UNSUPPORTED;
}

// A directory copied into itself would never end.
static bool is_inside(const char *path, const char *directory)
{
	size_t length = strlen(directory);
	return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static int command_cp(int argc, char **argv)
{
	bool deep = option_take(&argc, argv, "-r");
	char to[FILE_PATH_MAX];
	int status = STATUS_OK;
	if (argc < 3)
		return STATUS_USAGE;
	for (int i = 1; i < argc - 1 && !console_interrupted(); i++) {
		struct tree tree = {.visit = copy_visit, .context = to};
		enum error e = files_destination(to, argv[i], argv[argc - 1]);
		if (e == ERR_OK && deep && is_inside(to, argv[i]))
			e = ERR_INVALID;
		if (e == ERR_OK && !deep)
			e = copy_contents(argv[i], to);
		if (e != ERR_OK)
			status = complain(argv[i], e);
		else if (deep && tree_walk(&tree, argv[i]) != STATUS_OK)
			status = STATUS_FAILED;
	}
	return status;
}

const struct command commands_trees[] = {
	{"find", "[PATH [PART]]", "list a tree, or the names with PART in them", command_find},
	{"cp", "[-r] FROM.. TO", "copy files, with -r trees", command_cp},
	{"rm", "[-r] PATH..", "remove files, with -r trees", command_rm},
	{"rmdir", "DIRECTORY..", "remove empty directories", command_rmdir},
	{"sha256", "[-r] PATH..", "checksums, with -r of every file below", command_sha256},
	{0},
};
