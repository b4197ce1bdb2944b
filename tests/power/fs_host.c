// The file server's own sources on the host, driven by the power-cut harness (tests/power/host.py) line by line: performs a
// workload while every write and flush is recorded, or mounts an image that a cut left and says what is on it.
//
// Owns: the recording, in the format of dm-log-writes (the one that QEMU's blklogwrites writes), so that one reader does
// for both. Marks in it say when an operation began and when it was acknowledged. Never judges: the oracle is Python.
// If the server core aborts here, the harness sees this program end, and names the image that did it.
#include "tests/unit/fs/fixture.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512u
#define LOG_MAGIC 0x6a736677736872ull
#define LOG_FLUSH 1u
#define LOG_MARK 8u
#define CACHE_BYTES (1u << 20)
#define LINE_MAX_BYTES 1024

struct entry {
	uint64_t sector, sectors, flags, bytes;
	uint8_t *data;
};

static struct {
	struct entry *entries;
	size_t count, room;
	size_t pending; // entries from here on were not waited for
} recording;

static struct host host;
static uint8_t *base;
static struct disk inner; // the fixture's own functions

// ---- recording ----

static void note(uint64_t offset, const void *data, uint64_t bytes, uint64_t flags)
{
	if (recording.count == recording.room) {
		recording.room = recording.room * 2 + 256;
		recording.entries = realloc(recording.entries, recording.room * sizeof(*recording.entries));
	}
	struct entry *e = &recording.entries[recording.count++];
	*e = (struct entry){offset / SECTOR, flags & LOG_MARK ? 0 : bytes / SECTOR, flags, bytes, malloc(bytes + 1)};
	memcpy(e->data, bytes ? data : "", bytes);
}

static void note_text(const char *kind, unsigned number)
{
	char text[32];
	snprintf(text, sizeof(text), "%s %u", kind, number);
	note(0, text, strlen(text), LOG_MARK);
}

static void forget(void)
{
	for (size_t i = 0; i < recording.count; i++)
		free(recording.entries[i].data);
	recording.count = recording.pending = 0;
}

static enum error recorded_write(struct disk *disk, uint64_t offset, const uint8_t *from, uint32_t bytes)
{
	note(offset, from, bytes, 0);
	return inner.write(disk, offset, from, bytes);
}

static enum error recorded_write_wait(struct disk *disk)
{
	enum error error = inner.write_wait(disk);
	recording.pending = recording.count;
	return error;
}

static enum error recorded_flush(struct disk *disk)
{
	enum error error = inner.flush(disk);
	note(0, 0, 0, LOG_FLUSH);
	recording.pending = recording.count;
	return error;
}

static bool has_arrived(const struct entry *e)
{
	for (uint64_t s = 0; s < e->sectors; s++) {
		if (memcmp(host.image.bytes + (e->sector + s) * SECTOR, e->data + s * SECTOR, SECTOR) == 0)
			return true;
	}
	return false;
}

// The server died with writes under way, and the driver lives: it ends each write that it had begun. The fixture let some
// sectors through; the writes that they belong to arrive whole, and only those stay in the recording.
static void settle(void)
{
	size_t first = recording.pending, last = recording.count;
	recording.pending = recording.count = first;
	struct entry *old = malloc((last - first + 1) * sizeof(*old));
	memcpy(old, recording.entries + first, (last - first) * sizeof(*old));
	for (size_t i = 0; i < last - first; i++) {
		if (has_arrived(&old[i])) {
			memcpy(host.image.bytes + old[i].sector * SECTOR, old[i].data, old[i].bytes);
			note(old[i].sector * SECTOR, old[i].data, old[i].bytes, 0);
		}
		if (old[i].flags & LOG_MARK)
			note(0, old[i].data, old[i].bytes, LOG_MARK);
		free(old[i].data);
	}
	free(old);
	recording.pending = recording.count;
}

static void put_sector(FILE *f, const void *bytes, size_t length)
{
	static const uint8_t zeros[SECTOR];
	fwrite(bytes, 1, length, f);
	fwrite(zeros, 1, (SECTOR - length % SECTOR) % SECTOR, f);
}

static void save_recording(const char *path)
{
	struct { uint64_t magic, version, entries; uint32_t sector_size; } __attribute__((packed)) super = {
		LOG_MAGIC, 1, recording.count, SECTOR};
	FILE *f = fopen(path, "wb");
	put_sector(f, &super, sizeof(super));
	for (size_t i = 0; i < recording.count; i++) {
		struct entry *e = &recording.entries[i];
		uint64_t head[4] = {e->sector, e->sectors, e->flags, e->flags & LOG_MARK ? e->bytes : 0};
		put_sector(f, head, sizeof(head));
		put_sector(f, e->data, e->bytes);
	}
	fclose(f);
}

// ---- the disk ----

static void read_file(const char *path, uint8_t *to, size_t bytes)
{
	FILE *f = fopen(path, "rb");
	if (!f || fread(to, 1, bytes, f) != bytes) {
		fprintf(stderr, "%s cannot be read\n", path);
		exit(2);
	}
	fclose(f);
}

// Over what is there: giving the pages back and taking them again would cost more than the copy.
static void save_image(const char *path)
{
	FILE *f = fopen(path, "r+b");
	if (!f)
		f = fopen(path, "wb");
	if (!f || fwrite(host.image.bytes, 1, host.image.disk.bytes, f) != host.image.disk.bytes)
		abort();
	fclose(f);
}

static void make_disk(unsigned kib)
{
	host_make(&host, "", kib, 0, CACHE_BYTES, CACHE_BYTES);
	base = malloc((size_t)kib * 1024);
	inner = host.image.disk;
	host.image.disk.write = recorded_write;
	host.image.disk.write_wait = recorded_write_wait;
	host.image.disk.flush = recorded_flush;
}

// Power on: nothing is left but the disk.
static void power_on(const uint8_t *bytes)
{
	if (bytes)
		memcpy(host.image.bytes, bytes, host.image.disk.bytes);
	memset(host.image.log, 0, host.image.disk.log_bytes);
	memset(host.volume, 0, sizeof(*host.volume));
	host.image.pending_count = 0;
	host.record_count = 0;
	host.serial = host.mark = 0;
	forget();
	fixture_die_at = 0;
}

// ---- what is there ----

static void show_file(uint64_t handle, uint64_t size)
{
	for (uint64_t at = 0; at < size;) {
		if (host_call(&host, FS_OP_READ, handle, at, 0, 0, 0, 65536) != ERR_OK || host.result[0] == 0) {
			static const char noise[] = "UNREADABLE ";
			for (; at < size; at++)
				putchar(noise[at % (sizeof(noise) - 1)]);
			return;
		}
		fwrite(host.in, 1, host.result[0], stdout);
		at += host.result[0];
	}
}

static void show_directory(uint64_t directory, const char *path);

static void show(uint64_t handle, const char *path)
{
	struct fs_stat stat;
	enum error error = host_call(&host, FS_OP_STAT, handle, 0, 0, 0, 0, sizeof(stat));
	memcpy(&stat, host.in, sizeof(stat));
	if (error != ERR_OK) {
		printf("broken %d 0 0 %s\n", (int)error, path);
	} else if ((stat.mode & FS_MODE_TYPE) == FS_MODE_DIRECTORY) {
		printf("directory %u 0 %u %s\n", stat.links, stat.mode & 07777, path);
		show_directory(handle, path);
	} else if ((stat.mode & FS_MODE_TYPE) == FS_MODE_SYMLINK) {
		error = host_call(&host, FS_OP_READLINK, handle, 0, 0, 0, 0, 4096);
		printf("symlink %u %u 0 %s\n", stat.links, error == ERR_OK ? (unsigned)host.result[0] : 0, path);
		fwrite(host.in, 1, error == ERR_OK ? host.result[0] : 0, stdout);
	} else {
		printf("file %u %" PRIu64 " %u %s\n", stat.links, stat.size, stat.mode & 07777, path);
		show_file(handle, stat.size);
	}
}

static void show_directory(uint64_t directory, const char *path)
{
	uint64_t cookie = 0, end = 0;
	uint8_t entries[8192];
	while (!end) {
		if (host_call(&host, FS_OP_READDIR, directory, cookie, 0, 0, 0, sizeof(entries)) != ERR_OK) {
			printf("broken 0 0 0 %s\n", path);
			return;
		}
		uint32_t bytes = (uint32_t)host.result[0];
		cookie = host.result[1];
		end = host.result[2];
		memcpy(entries, host.in, bytes);
		for (uint32_t at = 0; at < bytes;) {
			struct fs_dirent *e = (struct fs_dirent *)(void *)(entries + at);
			char name[256], child[4096];
			snprintf(name, sizeof(name), "%.*s", e->name_length, (const char *)(e + 1));
			at += e->record;
			if (!strcmp(name, ".") || !strcmp(name, ".."))
				continue;
			snprintf(child, sizeof(child), "%s/%s", path, name);
			show(host_lookup(&host, directory, name), child);
		}
	}
}

// Mounts what lies at `path` after a loss of power and shows its tree. What the mount leaves goes to `save`, what it
// wrote to `log`.
static void command_mount(const char *path, const char *save, const char *log)
{
	static uint8_t *bytes;
	if (!bytes)
		bytes = malloc(host.image.disk.bytes);
	read_file(path, bytes, host.image.disk.bytes);
	power_on(bytes);
	enum error error = host_mount(&host);
	if (error != ERR_OK) {
		printf("refused %d %s\n", (int)error, host.volume->reason);
	} else {
		printf("mounted %u\n", host.volume->read_only);
		show(host_root(&host), "");
		printf("corruptions %" PRIu64 "\n", host.volume->corruptions);
	}
	if (strcmp(save, "-") != 0)
		save_image(save);
	if (strcmp(log, "-") != 0)
		save_recording(log);
}

// ---- workloads ----

// The same bytes as content() in tests/power/oracle.py.
static void fill(uint8_t *to, size_t length, unsigned pattern)
{
	for (size_t i = 0; i < length; i++)
		to[i] = (uint8_t)(pattern * 37 + (i & 0xff) * 7 + (i >> 8) * 11 + 1);
}

static uint64_t folder_of(const char *path, const char **name)
{
	char folder[LINE_MAX_BYTES];
	const char *slash = strrchr(path, '/');
	*name = slash ? slash + 1 : path;
	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) : 0, path);
	return host_path(&host, folder);
}

static enum error two_names(uint16_t op, const char *from, const char *to)
{
	const char *name, *new_name;
	char text[2 * LINE_MAX_BYTES];
	uint64_t folder = folder_of(from, &name), new_folder = folder_of(to, &new_name);
	if (op == FS_OP_LINK)
		return host_call(&host, op, host_path(&host, from), new_folder, 0, new_name, (uint32_t)strlen(new_name), 0);
	int length = snprintf(text, sizeof(text), "%s%c%s", name, 0, op == FS_OP_SYMLINK ? to : new_name);
	return host_call(&host, op, folder, op == FS_OP_RENAME ? new_folder : 0, 0, text, (uint32_t)length, 0);
}

static enum error one_name(uint16_t op, const char *path)
{
	const char *name;
	uint64_t folder = folder_of(path, &name);
	return host_call(&host, op, folder, op == FS_OP_CREATE ? FS_MODE_FILE | 0644 : 0755, 0, name, (uint32_t)strlen(name), 0);
}

static enum error write_pattern(const char *path, const char *offset, const char *length, const char *pattern)
{
	static uint8_t bytes[FS_TRANSFER_MAX];
	uint32_t n = (uint32_t)strtoul(length, 0, 10);
	uint64_t at = strcmp(offset, "end") == 0 ? FS_APPEND : strtoull(offset, 0, 10);
	fill(bytes, n, (unsigned)strtoul(pattern, 0, 10));
	return host_call(&host, FS_OP_WRITE, host_path(&host, path), at, 0, bytes, n, 0);
}

static enum error perform(const char *line)
{
	static const struct { const char *word; uint16_t op; } ops[] = {
		{"create", FS_OP_CREATE}, {"mkdir", FS_OP_MKDIR}, {"unlink", FS_OP_UNLINK}, {"rmdir", FS_OP_RMDIR},
		{"rename", FS_OP_RENAME}, {"link", FS_OP_LINK}, {"symlink", FS_OP_SYMLINK}};
	char word[5][LINE_MAX_BYTES] = {0};
	if (sscanf(line, "%1023s %1023s %1023s %1023s %1023s", word[0], word[1], word[2], word[3], word[4]) < 1)
		return ERR_INVALID;
	if (!strcmp(word[0], "sync") || !strcmp(word[0], "commit"))
		return host_commit(&host);
	if (!strcmp(word[0], "write"))
		return write_pattern(word[1], word[2], word[3], word[4]);
	if (!strcmp(word[0], "truncate"))
		return host_call(&host, FS_OP_TRUNCATE, host_path(&host, word[1]), strtoull(word[2], 0, 10), 0, 0, 0, 0);
	for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++) {
		if (!strcmp(word[0], ops[i].word))
			return word[2][0] ? two_names(ops[i].op, word[1], word[2]) : one_name(ops[i].op, word[1]);
	}
	return ERR_UNKNOWN_CALL;
}

// Deaths of the server, by steps after the one before; the first counts from the begin of the workload.
static uint64_t deaths[16];
static unsigned death_count, death_next, death_total;

static void arm(void)
{
	fixture_die_at = death_next < death_count ? fixture_steps + deaths[death_next++] : 0;
}

static bool revive(unsigned *differ)
{
	if (setjmp(fixture_death))
		return false;
	*differ = host_reincarnate(&host);
	return true;
}

static void reincarnate(void)
{
	static unsigned differ;
	do { // deaths in the recovery too
		settle();
		note_text("killed", ++death_total);
		arm();
	} while (!revive(&differ));
	if (differ)
		printf("%u operations ended differently in the replay\n", differ);
}

static bool attempt(const char *line, enum error *error)
{
	if (setjmp(fixture_death))
		return false;
	*error = perform(line);
	return true;
}

static void perform_all(char lines[][LINE_MAX_BYTES], unsigned count)
{
	static enum error error;
	arm();
	for (unsigned i = 0; i < count; i++) {
		note_text("begin", i);
		while (!attempt(lines[i], &error)) // what was not acknowledged is asked for again, as the client's ring does
			reincarnate();
		note_text(error == ERR_OK ? "done" : "failed", i);
		if (error != ERR_OK)
			printf("operation %u failed: error %d\n", i, (int)error);
	}
	fixture_die_at = 0;
}

static void command_run(char *arguments)
{
	static char lines[4096][LINE_MAX_BYTES];
	char log[LINE_MAX_BYTES], line[LINE_MAX_BYTES];
	unsigned count = 0;
	int used = 0;
	sscanf(arguments, "%1023s%n", log, &used);
	death_count = death_next = death_total = 0;
	for (char *at = strtok(arguments + used, " \n"); at && death_count < 16; at = strtok(0, " \n"))
		deaths[death_count++] = strtoull(at, 0, 10);
	while (fgets(line, sizeof(line), stdin) && strcmp(line, "end\n") != 0 && count < 4096)
		snprintf(lines[count++], LINE_MAX_BYTES, "%s", line);
	power_on(base);
	if (host_mount(&host) != ERR_OK) {
		printf("refused: %s\n", host.volume->reason);
		return;
	}
	uint64_t before = fixture_steps;
	perform_all(lines, count);
	save_recording(log);
	printf("steps %" PRIu64 "\n", fixture_steps - before);
}

int main(int argc, char **argv)
{
	char line[4 * LINE_MAX_BYTES], path[3][LINE_MAX_BYTES];
	fixture_quiet = true;
	if (argc != 2)
		return 2;
	make_disk((unsigned)strtoul(argv[1], 0, 10));
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "base %1023s", path[0]) == 1)
			read_file(path[0], base, host.image.disk.bytes);
		else if (sscanf(line, "seed %1023s", path[0]) == 1)
			fixture_seed(strtoull(path[0], 0, 10));
		else if (sscanf(line, "mount %1023s %1023s %1023s", path[0], path[1], path[2]) == 3)
			command_mount(path[0], path[1], path[2]);
		else if (!strncmp(line, "run ", 4))
			command_run(line + 4);
		else
			printf("unknown command\n");
		printf("end\n");
		fflush(stdout);
	}
	return 0;
}
