// Files as a native program uses them, over the file-system protocol (proto/fs.h).
//
// Handles need nothing in the server, so all that an open file is stands in the caller's struct file: the server can die and come back and nobody here notices. Large transfers are split into requests of one
// slot's room, several in flight. A path is at most FILE_PATH_MAX bytes with its NUL; symbolic links are followed
// here, at most FILE_LINKS_MAX for one walk (ERR_LOOP).
//
// All functions wait (the fiber, not the loop), own nothing of the caller's after they return, and give ERR_OK or the
// file system's error; ERR_PEER_LOST only when the service is given up.
#pragma once
#include "proto/fs.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILE_PATH_MAX 1024u
#define FILE_LINKS_MAX 20u

// Opens the channel to "fs"; the other functions do it when they are first used. Waits until the service is up.
enum error file_system_open(void);
// One request of the protocol; opens the channel when that is needed.
struct client;
struct client_request;
enum error file_system_call(struct client_request *request);

// --- paths (path.c)

struct path_node {
	uint64_t parent;                // directory that holds (or would hold) the last name; of "/" itself
	uint64_t handle;                // valid when found
	uint64_t size;
	uint64_t losses;                // number of its last loss that somebody has heard of
	uint32_t mode;
	bool found;                     // the last name exists
	bool directory_wanted;          // the path ended in a slash
	char name[FS_NAME_MAX + 1];     // last name; "" for the root, "." and ".."
};

// Walks `path` from the current directory. `follow`: a symbolic link as last name is followed. ERR_OK also when only
// the last name is missing (found = false); else ERR_NOT_FOUND, ERR_NOT_DIRECTORY, ERR_LOOP, ERR_NAME_TOO_LONG ...
enum error path_walk(const char *path, bool follow, struct path_node *node);
// The handle of what an absolute path names, for that other channel to "fs": handles are good on their own channel alone.
// Symbolic links are not followed.
enum error path_find_by(struct client *client, const char *path, uint64_t *handle);
// The channel was opened anew: what was walked before is walked again.
void path_forget_handles(void);
// As path_walk, but a missing last name is ERR_NOT_FOUND.
enum error path_find(const char *path, bool follow, struct path_node *node);
// The same, and the status of what was found in the same request, if `told`: else it is to be asked for.
enum error path_find_status(const char *path, bool follow, struct path_node *node, struct fs_stat *status, bool *told);
enum error path_change_directory(const char *path);
const char *path_current_directory(void); // text, absolute, without "." and ".."
// Joins for callers that walk trees: "a" + "b" = "a/b". ERR_NAME_TOO_LONG when it does not fit into FILE_PATH_MAX.
enum error path_join(char result[FILE_PATH_MAX], const char *directory, const char *name);
const char *path_base(const char *path); // what follows the last slash

// --- open files

#define FILE_READ 1u
#define FILE_WRITE 2u
#define FILE_CREATE 4u
#define FILE_EXCLUSIVE 8u
#define FILE_TRUNCATE 16u
#define FILE_APPEND 32u // each write goes to the end, whoever else writes

struct file {
	uint64_t handle;
	uint64_t offset; // of the next file_read or file_write, bytes
	unsigned flags;
	unsigned session; // its place in the channel's session table
	uint64_t losses; // those up to this number were told, or before it was opened
};

// An open file lives until it is closed, also when its last name is gone, and also across the death of the server.
// ERR_LIMIT: FS_SESSION_FILES are open in this domain. After an error there is nothing to close, and closing does nothing.
enum error file_open(struct file *file, const char *path, unsigned flags);
void file_close(struct file *file);
enum error file_open_mode(struct file *file, const char *path, unsigned flags, uint32_t permissions);
// `done` bytes were transferred, also when an error stopped it half-way; fewer than `length` without an error: the end.
enum error file_read(struct file *file, void *data, size_t length, size_t *done);
enum error file_write(struct file *file, const void *data, size_t length, size_t *done);
enum error file_read_at(const struct file *file, uint64_t offset, void *data, size_t length, size_t *done);
enum error file_write_at(const struct file *file, uint64_t offset, const void *data, size_t length, size_t *done);
enum file_whence { FILE_SEEK_SET, FILE_SEEK_CURRENT, FILE_SEEK_END };
enum error file_seek(struct file *file, int64_t offset, enum file_whence whence);
enum error file_truncate(const struct file *file, uint64_t size);
// What this file was told before is on the medium, whoever wrote it. `data_only`: its content and size, and what else is needed
// to read it back; a change of times or mode alone waits for the next commit. ERR_LOST, once for each open file: something acknowledged is lost,
// since it was opened, or before and nobody has been told.
enum error file_fsync(struct file *file, bool data_only);
enum error file_status(const struct file *file, struct fs_stat *status);

// --- by path

enum error file_stat(const char *path, bool follow, struct fs_stat *status);
enum error file_make_directory(const char *path, uint32_t permissions);
enum error file_remove_directory(const char *path);
enum error file_unlink(const char *path); // not for directories
enum error file_rename(const char *from, const char *to);
enum error file_link(const char *existing, const char *name);
enum error file_symlink(const char *target, const char *name);
enum error file_readlink(const char *path, char *target, size_t room); // NUL-terminated; ERR_NAME_TOO_LONG
enum error file_change_mode(const char *path, uint32_t permissions);
enum error file_sync_path(const char *path, bool data_only); // as file_fsync, also of a directory: then its names
enum error file_sync(void); // all that was acknowledged before is on the medium
enum error file_system_status(struct fs_statfs *status);

// --- directories: read in pieces, so that any size works

struct directory {
	uint64_t handle;
	uint64_t cookie;
	uint32_t used;
	uint32_t next;
	bool end;
	uint8_t buffer[2048] __attribute__((aligned(8)));
};

struct directory_entry {
	char name[FS_NAME_MAX + 1];
	uint32_t inode;
	uint32_t type; // mode >> 12
};

enum error directory_open(struct directory *directory, const char *path);
// ERR_NOT_FOUND at the end. "." and ".." are given as the server gives them.
enum error directory_next(struct directory *directory, struct directory_entry *entry);
