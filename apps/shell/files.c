// Commands about single files: ls, cat, write, append, mkdir, mv, ln, stat, df, sync, cd, pwd.
//
// Owns nothing that outlives a command. If the shell dies in the middle, what the file system acknowledged stands.
#include "apps/shell/files.h"
#include "apps/shell/shell.h"
#include "runtime/console.h"
#include "runtime/runtime.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint8_t files_buffer[FILES_BUFFER] __attribute__((aligned(4096)));

// --- ls

#define NAMES_BYTES 65536u
#define NAMES_MAX 2048u

static struct {
	char text[NAMES_BYTES];
	const char *name[NAMES_MAX];
	unsigned used;
	unsigned count;
} listing;

static int name_compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void mode_text(uint32_t mode, char text[11])
{
	static const char letters[] = "rwxrwxrwx";
	uint32_t type = mode & FS_MODE_TYPE;
	text[0] = type == FS_MODE_DIRECTORY ? 'd' : type == FS_MODE_SYMLINK ? 'l' : type == FS_MODE_FILE ? '-' : '?';
	for (unsigned i = 0; i < 9; i++)
		text[1 + i] = mode >> (8 - i) & 1 ? letters[i] : '-';
	text[10] = 0;
}

// Days since 1970-01-01 to year, month, day of the Gregorian calendar, counted in eras of 400 years from 1 March.
static void date_from_days(uint64_t days, unsigned *year, unsigned *month, unsigned *day)
{
	uint64_t z = days + 719468; // days from 0000-03-01
	uint64_t era = z / 146097, in_era = z % 146097;
	uint64_t y = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	uint64_t in_year = in_era - (365 * y + y / 4 - y / 100);
	uint64_t m = (5 * in_year + 2) / 153; // March = 0
	*day = (unsigned)(in_year - (153 * m + 2) / 5 + 1);
	*month = (unsigned)(m < 10 ? m + 3 : m - 9);
	*year = (unsigned)(y + era * 400 + (*month <= 2));
}

static const char *time_text(uint64_t seconds, char text[40])
{
	unsigned year, month, day, second = (unsigned)(seconds % 86400);
	date_from_days(seconds / 86400, &year, &month, &day);
	snprintf(text, 40, "%04u-%02u-%02u %02u:%02u:%02u", year, month, day, second / 3600, second / 60 % 60,
		 second % 60);
	return text;
}

static int list_long(const char *path, const char *name)
{
	struct fs_stat status;
	char mode[11], when[40], target[FILE_PATH_MAX];
	enum error e = file_stat(path, false, &status);
	if (e != ERR_OK)
		return complain(path, e);
	mode_text(status.mode, mode);
	printf("%s %3u %4u %4u %10lu %s %s", mode, status.links, status.uid, status.gid, status.size,
	       time_text(status.mtime, when), name);
	if ((status.mode & FS_MODE_TYPE) == FS_MODE_SYMLINK && file_readlink(path, target, sizeof(target)) == ERR_OK)
		printf(" -> %s", target);
	printf("\n");
	return STATUS_OK;
}

static enum error listing_read(const char *path)
{
	static struct directory directory;
	static struct directory_entry entry;
	enum error e = directory_open(&directory, path);
	listing.used = 0;
	listing.count = 0;
	while (e == ERR_OK && (e = directory_next(&directory, &entry)) == ERR_OK) {
		size_t length = strlen(entry.name);
		if (strcmp(entry.name, ".") == 0 || strcmp(entry.name, "..") == 0)
			continue;
		if (listing.count == NAMES_MAX || listing.used + length + 2 > NAMES_BYTES)
			return ERR_TOO_BIG;
		char *name = listing.text + listing.used;
		memcpy(name, entry.name, length);
		if (entry.type == FS_MODE_DIRECTORY >> 12)
			name[length++] = '/';
		name[length] = 0;
		listing.name[listing.count++] = name;
		listing.used += (unsigned)length + 1;
	}
	return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static void listing_columns(void)
{
	size_t width = 1;
	for (unsigned i = 0; i < listing.count; i++)
		if (strlen(listing.name[i]) > width)
			width = strlen(listing.name[i]);
	unsigned columns = (unsigned)(80 / (width + 2));
	unsigned rows = columns > 1 ? (listing.count + columns - 1) / columns : listing.count;
	for (unsigned row = 0; row < rows; row++) {
		for (unsigned i = row; i < listing.count; i += rows)
			printf("%-*s", i + rows < listing.count ? (int)width + 2 : 0, listing.name[i]);
		printf("\n");
	}
}

static int list_directory(const char *path, bool full)
{
	char child[FILE_PATH_MAX];
	int status = STATUS_OK;
	enum error e = listing_read(path);
	if (e != ERR_OK && e != ERR_TOO_BIG)
		return complain(path, e);
	qsort(listing.name, listing.count, sizeof(listing.name[0]), name_compare);
	if (!full)
		listing_columns();
	for (unsigned i = 0; full && i < listing.count && !console_interrupted(); i++) {
		char name[FS_NAME_MAX + 2];
		snprintf(name, sizeof(name), "%s", listing.name[i]);
		name[strcspn(name, "/")] = 0;
		if (path_join(child, path, name) != ERR_OK || list_long(child, name) != STATUS_OK)
			status = STATUS_FAILED;
	}
	return e == ERR_OK ? status : complain(path, e);
}

static int list_path(const char *path, bool full)
{
	struct fs_stat status;
	enum error e = file_stat(path, !full, &status);
	if (e != ERR_OK)
		return complain(path, e);
	if ((status.mode & FS_MODE_TYPE) == FS_MODE_DIRECTORY)
		return list_directory(path, full);
	if (full)
		return list_long(path, path);
	printf("%s\n", path);
	return STATUS_OK;
}

static int command_ls(int argc, char **argv)
{
	bool full = option_take(&argc, argv, "-l");
	int status = STATUS_OK;
	if (argc == 1)
		return list_path(".", full);
	for (int i = 1; i < argc; i++) {
		if (argc > 2)
			printf("%s:\n", argv[i]);
		if (list_path(argv[i], full) != STATUS_OK)
			status = STATUS_FAILED;
	}
	return status;
}

// Does it with each path, and fails if one of them did.
static int each_path(int argc, char **argv, int (*run)(const char *path))
{
	int status = STATUS_OK;
	if (argc < 2)
		return STATUS_USAGE;
	for (int i = 1; i < argc; i++)
		if (run(argv[i]) != STATUS_OK)
			status = STATUS_FAILED;
	return status;
}

// --- contents

static int cat_file(const char *path)
{
	struct file file;
	size_t got;
	enum error e = file_open(&file, path, FILE_READ);
	while (e == ERR_OK && !console_interrupted()) {
		e = file_read(&file, files_buffer, FILES_BUFFER, &got);
		console_write((const char *)files_buffer, got);
		if (got == 0)
			break;
	}
	console_flush();
	file_close(&file);
	return e == ERR_OK ? STATUS_OK : complain(path, e);
}

static int command_cat(int argc, char **argv)
{
	return each_path(argc, argv, cat_file);
}

// Writes the words, a space between and a line feed behind, as one piece.
static int write_words(int argc, char **argv, unsigned flags)
{
	static char text[4096 + 64];
	struct file file;
	size_t used = 0, done;
	if (argc < 2)
		return STATUS_USAGE;
	for (int i = 2; i < argc; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i > 2 ? " " : "", argv[i]);
	text[used++] = '\n';
	enum error e = file_open(&file, argv[1], flags);
	if (e == ERR_OK)
		e = file_write(&file, text, used, &done);
	file_close(&file);
	return e == ERR_OK ? STATUS_OK : complain(argv[1], e);
}

static int command_write(int argc, char **argv)
{
	return write_words(argc, argv, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE);
}

static int command_append(int argc, char **argv)
{
	return write_words(argc, argv, FILE_WRITE | FILE_CREATE | FILE_APPEND);
}

// --- names

static bool is_directory(const char *path)
{
	struct fs_stat status;
	return file_stat(path, true, &status) == ERR_OK && (status.mode & FS_MODE_TYPE) == FS_MODE_DIRECTORY;
}

enum error files_destination(char result[FILE_PATH_MAX], const char *from, const char *to)
{
	if (is_directory(to))
		return path_join(result, to, path_base(from));
	if (strlen(to) >= FILE_PATH_MAX)
		return ERR_NAME_TOO_LONG;
	strcpy(result, to);
	return ERR_OK;
}

static int command_mkdir(int argc, char **argv)
{
	int status = STATUS_OK;
	if (argc < 2)
		return STATUS_USAGE;
	for (int i = 1; i < argc; i++) {
		enum error e = file_make_directory(argv[i], 0755);
		if (e != ERR_OK)
			status = complain(argv[i], e);
	}
	return status;
}

static int command_mv(int argc, char **argv)
{
	char to[FILE_PATH_MAX];
	int status = STATUS_OK;
	if (argc < 3)
		return STATUS_USAGE;
	if (argc > 3 && !is_directory(argv[argc - 1]))
		return complain(argv[argc - 1], ERR_NOT_DIRECTORY);
	for (int i = 1; i < argc - 1; i++) {
		enum error e = files_destination(to, argv[i], argv[argc - 1]);
		if (e == ERR_OK)
			e = file_rename(argv[i], to);
		if (e != ERR_OK)
			status = complain(argv[i], e);
	}
	return status;
}

static int command_ln(int argc, char **argv)
{
	char name[FILE_PATH_MAX];
	bool symbolic = option_take(&argc, argv, "-s");
	if (argc != 3)
		return STATUS_USAGE;
	enum error e = files_destination(name, argv[1], argv[2]);
	if (e == ERR_OK)
		e = symbolic ? file_symlink(argv[1], name) : file_link(argv[1], name);
	return e == ERR_OK ? STATUS_OK : complain(argv[2], e);
}

static int stat_path(const char *path)
{
	struct fs_stat s;
	char mode[11], text[40];
	enum error e = file_stat(path, false, &s);
	if (e != ERR_OK)
		return complain(path, e);
	mode_text(s.mode, mode);
	printf("%s\n", path);
	printf("  size   %-12lu blocks %-8lu block size %u\n", s.size, s.blocks, s.block_size);
	printf("  mode   %s (%04o)  links %u  owner %u:%u\n", mode, s.mode & 07777, s.links, s.uid, s.gid);
	printf("  inode  %-12u generation %u\n", FS_HANDLE_INODE(s.identity), FS_HANDLE_GENERATION(s.identity));
	printf("  access %s\n", time_text(s.atime, text));
	printf("  modify %s\n", time_text(s.mtime, text));
	printf("  change %s\n", time_text(s.ctime, text));
	return STATUS_OK;
}

static int command_stat(int argc, char **argv)
{
	return each_path(argc, argv, stat_path);
}

static int command_truncate(int argc, char **argv)
{
	struct file file;
	uint64_t size;
	if (argc != 3 || !number_parse(argv[2], &size))
		return STATUS_USAGE;
	enum error e = file_open(&file, argv[1], FILE_WRITE | FILE_CREATE);
	if (e == ERR_OK)
		e = file_truncate(&file, size);
	file_close(&file);
	return e == ERR_OK ? STATUS_OK : complain(argv[1], e);
}

// --- the file system

static int command_df(int argc, char **argv)
{
	struct fs_statfs s;
	char all[24], free_text[24];
	(void)argv;
	if (argc != 1)
		return STATUS_USAGE;
	enum error e = file_system_status(&s);
	if (e != ERR_OK)
		return complain("fs", e);
	printf("%-16s %-6s %10s %10s %10s %8s  %s\n", "device", "type", "size", "free", "inodes", "free", "state");
	printf("%-16.16s %-6.8s %10s %10s %10lu %8lu  %s%s\n", s.device, s.type,
	       size_text(s.blocks * s.block_size, all), size_text(s.blocks_free * s.block_size, free_text), s.inodes,
	       s.inodes_free, s.flags & FS_STATFS_READ_ONLY ? "read-only" : "read-write",
	       s.flags & FS_STATFS_FALLBACK ? ", FALLBACK: there is no usable disk" : "");
	return STATUS_OK;
}

static int command_sync(int argc, char **argv)
{
	bool data_only = argc > 1 && !strcmp(argv[1], "-d");
	int status = STATUS_OK, first = data_only ? 2 : 1;
	if (data_only && argc == 2)
		return STATUS_USAGE;
	if (argc == 1) {
		enum error e = file_sync();
		return e == ERR_OK ? STATUS_OK : complain("sync", e);
	}
	for (int i = first; i < argc; i++) {
		enum error e = file_sync_path(argv[i], data_only);
		if (e != ERR_OK)
			status = complain(argv[i], e);
	}
	return status;
}

static int command_cd(int argc, char **argv)
{
	if (argc > 2)
		return STATUS_USAGE;
	const char *to = argc == 2 ? argv[1] : "/";
	enum error e = path_change_directory(to);
	return e == ERR_OK ? STATUS_OK : complain(to, e);
}

static int command_pwd(int argc, char **argv)
{
	(void)argv;
	if (argc != 1)
		return STATUS_USAGE;
	printf("%s\n", path_current_directory());
	return STATUS_OK;
}

const struct command commands_files[] = {
	{"ls", "[-l] [PATH..]", "list a directory", command_ls},
	{"cat", "FILE..", "print files", command_cat},
	{"write", "FILE TEXT..", "replace a file's contents by the words", command_write},
	{"append", "FILE TEXT..", "add a line to a file", command_append},
	{"truncate", "FILE SIZE", "set a file's size", command_truncate},
	{"mkdir", "DIRECTORY..", "make directories", command_mkdir},
	{"mv", "FROM.. TO", "rename, or move into a directory", command_mv},
	{"ln", "[-s] TARGET NAME", "make a hard or a symbolic link", command_ln},
	{"stat", "PATH..", "what the file system knows about a file", command_stat},
	{"cd", "[DIRECTORY]", "change the current directory", command_cd},
	{"pwd", "", "print the current directory", command_pwd},
	{"df", "", "space on the file system", command_df},
	{"sync", "[[-d] PATH..]", "wait until all, or these, are on the medium; -d: their content", command_sync},
	{0},
};
