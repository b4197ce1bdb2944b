// File-system protocol. Service name: "fs". A volume has one server; all its clients share one order of serials.
//
// Handles are stateless: one that a client was given is inode and generation, sealed by the server for that channel. It is good
// on that channel alone, as long as the channel and the inode live; any other word is ERR_HANDLE, or ERR_STALE by chance. The client's
// library keeps offsets, flags and paths. Names are 1 to 255 bytes, no '/', no NUL. ONCE operations are logged: their record holds the serial, and the
// slot and its out data stay until committed >= serial; a client whose slots run out raises want_commit.
// Times are seconds since 1970; the server takes them from request.time and the boot's base, so that a replay gives
// the same.
#pragma once
#include "proto/protocol.h"

#define FS_NAME_MAX 255u
#define FS_TRANSFER_MAX 0x40000u // bytes of one READ or WRITE

#define FS_OP_TABLE(X)                                                                                                 \
	X(ROOT, IDEMPOTENT, "-> handle of the root directory")                                                         \
	X(LOOKUP, IDEMPOTENT, "directory; out: name; in: room for struct fs_stat, or none -> handle, mode, size, number of its last loss that anybody has been told, 1 if its status is in") \
	X(STAT, IDEMPOTENT, "handle -> ; in: struct fs_stat")                                                          \
	X(READ, IDEMPOTENT, "handle, offset, bytes if they are lent; in: room, or lent -> bytes (0 at the end), size of the file") \
	X(READDIR, IDEMPOTENT, "directory, cookie (0: start); in: struct fs_dirent... -> bytes, next cookie, 1 at the end") \
	X(READLINK, IDEMPOTENT, "handle; in: room -> bytes")                                                           \
	X(STATFS, IDEMPOTENT, "-> ; in: struct fs_statfs")                                                             \
	X(CREATE, ONCE, "directory, mode (type and permissions), FS_CREATE_*; out: name -> handle, 1 if it was made")  \
	X(WRITE, ONCE, "handle, offset (FS_APPEND: at the end); out: data -> bytes, offset, size")                     \
	X(TRUNCATE, ONCE, "handle, size -> ")                                                                          \
	X(UNLINK, ONCE, "directory; out: name -> 1 if somebody has the file open: it lives until the last close")                                                                    \
	X(MKDIR, ONCE, "directory, mode; out: name -> handle")                                                         \
	X(RMDIR, ONCE, "directory; out: name -> ")                                                                     \
	X(RENAME, ONCE, "old directory, new directory; out: old name NUL new name -> 1 as with UNLINK, for what was replaced")                                \
	X(LINK, ONCE, "handle, directory; out: name -> ")                                                              \
	X(SYMLINK, ONCE, "directory; out: name NUL target -> handle")                                                  \
	X(CHMOD, ONCE, "handle, mode -> ")                                                                             \
	X(UTIMES, ONCE, "handle, access time, modification time -> ")                                                  \
	X(SYNC, IDEMPOTENT, "-> ; all that was acknowledged before is on the medium")                                  \
	X(FSYNC, IDEMPOTENT, "handle, FS_FSYNC_*, number of the last known loss -> 1 if a commit was needed, number of the last loss; that file or directory is on the medium")

// Of ONCE operations, result 4 is the first handle of the arguments, result 3 the second, or what was made: what a record
// says even if its request is forged.

// Session table of the channel (page 0), written by the client's library: the files that it has open, each as often as it
// was opened; 0: a free place. A file whose last name goes while it stands in some client's table lives until no table
// has it, or its clients are gone. An entry counts for what is requested after it was stored; who opens a file stores
// the entry first and then asks whether the handle is still good.
#define FS_SESSION_FILES 255u
struct fs_session {
	uint64_t used; // places that may hold a handle: the first ones
	uint64_t handle[FS_SESSION_FILES];
};
_Static_assert(sizeof(struct fs_session) == CHANNEL_SESSION_SIZE, "the session table fills its place");

#define FS_APPEND (~0ull)
#define FS_CREATE_EXCLUSIVE 1u
#define FS_CREATE_TRUNCATE 2u
// Who has met a loss (ERR_LOST) need not meet it again. A client that keeps files open says with FSYNC what the file in question
// knows of: when there is a later loss, the answer is ERR_LOST with its number. Without FS_FSYNC_SINCE a client hears of each once.
#define FS_FSYNC_SINCE 2u
#define FS_FSYNC_DATA 1u // content, and what is needed to read it back; times, mode and links may wait

enum fs_op {
	FS_OP_NONE,
#define X(name, attribute, text) FS_OP_##name,
	FS_OP_TABLE(X)
#undef X
	FS_OPS
};

// Which file it is, as one word: inode | generation << 32. In the server that is its handle, too.
#define FS_HANDLE(inode, generation) ((uint64_t)(uint32_t)(generation) << 32 | (uint32_t)(inode))
#define FS_HANDLE_INODE(h) ((uint32_t)(h))
#define FS_HANDLE_GENERATION(h) ((uint32_t)((h) >> 32))

#define FS_MODE_TYPE 0170000u
#define FS_MODE_DIRECTORY 0040000u
#define FS_MODE_FILE 0100000u
#define FS_MODE_SYMLINK 0120000u

struct fs_stat {
	uint64_t identity; // FS_HANDLE; tells files apart, and is no handle
	uint64_t size;
	uint64_t blocks; // of 512 bytes
	uint32_t mode;
	uint32_t links;
	uint32_t uid;
	uint32_t gid;
	uint64_t atime;
	uint64_t mtime;
	uint64_t ctime;
	uint32_t block_size;
	uint32_t padding;
};
_Static_assert(sizeof(struct fs_stat) == 72, "fs_stat is 72 bytes");

struct fs_dirent { // followed by the name, padded to 8 bytes
	uint64_t inode;
	uint16_t record;     // bytes to the next one
	uint8_t name_length;
	uint8_t type;        // mode >> 12
	uint32_t padding;
};
_Static_assert(sizeof(struct fs_dirent) == 16, "fs_dirent is 16 bytes before its name");

struct fs_statfs {
	uint64_t blocks;
	uint64_t blocks_free;
	uint64_t blocks_available;
	uint64_t inodes;
	uint64_t inodes_free;
	uint32_t block_size;
	uint32_t name_max;
	char type[8];   // "ext2", "ext3", "ext4", "memfs"
	char device[16];
	uint32_t flags; // FS_STATFS_*
	uint32_t padding;
};
_Static_assert(sizeof(struct fs_statfs) == 80, "fs_statfs is 80 bytes");
#define FS_STATFS_READ_ONLY 1u
#define FS_STATFS_FALLBACK 2u // served from the boot image: there is no usable disk
