// Path walk, symbolic links, transfers in pieces, directories: file.c and path.c over a fake file system.
#include "runtime/file.h"
#include "tests/unit/apps/fake_fs.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ok(expression) assert_int_equal(expression, ERR_OK)
#define fails(error, expression) assert_int_equal(expression, ERR_##error)

static int begin(void **state)
{
	(void)state;
	fake_fs_reset();
	ok(path_change_directory("/"));
	return 0;
}

static void make_file(const char *path, const char *text)
{
	struct file file;
	size_t done;
	ok(file_open(&file, path, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE));
	ok(file_write(&file, text, strlen(text), &done));
	assert_int_equal(done, strlen(text));
	file_close(&file);
}

static void expect_text(const char *path, const char *text)
{
	struct file file;
	char data[256];
	size_t done;
	ok(file_open(&file, path, FILE_READ));
	ok(file_read(&file, data, sizeof(data), &done));
	assert_int_equal(done, strlen(text));
	assert_memory_equal(data, text, done);
	file_close(&file);
}

static unsigned session_files(void)
{
	unsigned n = 0;
	for (unsigned i = 0; i < FS_SESSION_FILES; i++)
		n += fake_fs_session.handle[i] != 0;
	return n;
}

// The first test: what a former incarnation had open is closed.
static void test_session(void **state)
{
	(void)state;
	static struct file many[FS_SESSION_FILES + 1];
	make_file("/f", "abc");
	assert_int_equal(session_files(), 0);
	ok(file_open(&many[0], "/f", FILE_READ));
	ok(file_open(&many[1], "/f", FILE_READ));
	assert_int_equal(session_files(), 2); // each open counts
	file_close(&many[0]);
	file_close(&many[0]);
	assert_int_equal(session_files(), 1);
	assert_true(fake_fs_session.handle[1] == many[1].handle && fake_fs_session.used == 2);
	fake_fs_unlinked = true;
	fails(NOT_FOUND, file_open(&many[0], "/f", FILE_READ));
	fake_fs_unlinked = true;
	fails(NOT_FOUND, file_open(&many[0], "/f", FILE_WRITE | FILE_TRUNCATE));
	file_close(&many[0]);
	assert_int_equal(session_files(), 1);
	file_close(&many[1]);
	for (unsigned i = 0; i < FS_SESSION_FILES; i++)
		ok(file_open(&many[i], "/f", FILE_READ));
	fails(LIMIT, file_open(&many[FS_SESSION_FILES], "/f", FILE_READ));
	file_close(&many[FS_SESSION_FILES]);
	assert_int_equal(session_files(), FS_SESSION_FILES);
	for (unsigned i = 0; i < FS_SESSION_FILES; i++)
		file_close(&many[i]);
	assert_int_equal(session_files(), 0);
}

static void test_walk(void **state)
{
	(void)state;
	struct path_node node;
	ok(file_make_directory("/a", 0755));
	ok(file_make_directory("/a/b/", 0755));
	make_file("/a/b/f", "x");
	expect_text("//a/./b/../b//f", "x");
	ok(path_walk("/", true, &node));
	assert_string_equal(node.name, "");
	ok(path_walk("/a/new", true, &node));
	assert_false(node.found);
	assert_string_equal(node.name, "new");
	ok(path_walk("/a/b/f", true, &node));
	assert_true(node.found);
	fails(NOT_FOUND, path_walk("/none/x", true, &node));
	fails(NOT_FOUND, path_find("/none", true, &node));
	fails(NOT_DIRECTORY, path_walk("/a/b/f/x", true, &node));
	fails(NOT_DIRECTORY, path_find("/a/b/f/", true, &node));
	fails(NOT_FOUND, path_walk("", true, &node));
}

static void test_long_names(void **state)
{
	(void)state;
	static char path[3000];
	struct path_node node;
	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	fails(NAME_TOO_LONG, path_walk(path, true, &node));
	path[257] = 0;
	fails(NAME_TOO_LONG, path_walk(path, true, &node));
	path[256] = 0;
	ok(path_walk(path, true, &node));
	assert_int_equal(strlen(node.name), 255);
}

static void test_links(void **state)
{
	(void)state;
	char target[FILE_PATH_MAX];
	struct fs_stat status;
	ok(file_make_directory("/d", 0755));
	make_file("/d/f", "linked");
	ok(file_symlink("d", "/to_d"));
	ok(file_symlink("../d/f", "/d/up"));
	ok(file_symlink("/to_d/up", "/absolute"));
	ok(file_symlink("nowhere", "/dangling"));
	expect_text("/to_d/f", "linked");
	expect_text("/d/up", "linked");
	expect_text("/absolute", "linked");
	ok(file_readlink("/absolute", target, sizeof(target)));
	assert_string_equal(target, "/to_d/up");
	fails(NAME_TOO_LONG, file_readlink("/absolute", target, 8));
	ok(file_stat("/to_d", false, &status));
	assert_int_equal(status.mode & FS_MODE_TYPE, FS_MODE_SYMLINK);
	ok(file_stat("/to_d/", false, &status));
	assert_int_equal(status.mode & FS_MODE_TYPE, FS_MODE_DIRECTORY);
	fails(NOT_FOUND, file_stat("/dangling", true, &status));
	make_file("/dangling", "made through the link");
	expect_text("/nowhere", "made through the link");
}

static unsigned calls_of_stat(const char *path, bool follow, uint32_t mode, uint64_t size)
{
	struct fs_stat status = {0};
	unsigned before = fake_fs_calls;
	ok(file_stat(path, follow, &status));
	assert_int_equal(status.mode & FS_MODE_TYPE, mode);
	assert_int_equal(status.size, size);
	return fake_fs_calls - before;
}

// The status of the last name comes with its look-up, that of no other does, and a server may leave it to be asked for.
static void test_status_with_the_walk(void **state)
{
	(void)state;
	ok(file_make_directory("/d", 0755));
	make_file("/d/f", "linked");
	ok(file_symlink("d/f", "/to_f"));
	ok(file_symlink("/", "/to_root"));
	for (unsigned asks = 0; asks < 2; asks++) {
		fake_fs_shy = asks;
		assert_int_equal(calls_of_stat("/d/f", true, FS_MODE_FILE, 6), 2 + asks);
		assert_int_equal(calls_of_stat("/d/../d/./f", true, FS_MODE_FILE, 6), 4 + asks);
		assert_int_equal(calls_of_stat("/to_f", false, FS_MODE_SYMLINK, 3), 1 + asks);
		assert_int_equal(calls_of_stat("/to_f", true, FS_MODE_FILE, 6), 4 + asks); // the link, its target, two names
		assert_int_equal(calls_of_stat("/d/..", true, FS_MODE_DIRECTORY, 0), 2 + asks);
		assert_int_equal(calls_of_stat("/d/.", true, FS_MODE_DIRECTORY, 0), 2); // a name that nobody looks up
		assert_int_equal(calls_of_stat("/", true, FS_MODE_DIRECTORY, 0), 1);
		assert_int_equal(calls_of_stat("/to_root", true, FS_MODE_DIRECTORY, 0), 3);
	}
	fake_fs_shy = false;
}

static void test_loop(void **state)
{
	(void)state;
	struct fs_stat status;
	ok(file_symlink("/b", "/a"));
	ok(file_symlink("/a", "/b"));
	ok(file_symlink("self/self", "/self"));
	fails(LOOP, file_stat("/a", true, &status));
	fails(LOOP, file_stat("/self", true, &status));
	ok(file_stat("/a", false, &status));
	for (unsigned i = 0; i < FILE_LINKS_MAX; i++) {
		char target[16], name[16];
		snprintf(target, sizeof(target), "n%u", i);
		snprintf(name, sizeof(name), "/n%u", i + 1);
		ok(file_symlink(target, name));
	}
	make_file("/n0", "end");
	expect_text("/n20", "end");
}

static void test_current_directory(void **state)
{
	(void)state;
	ok(file_make_directory("/a", 0755));
	ok(file_make_directory("/a/b", 0755));
	assert_string_equal(path_current_directory(), "/");
	ok(path_change_directory("a/b"));
	assert_string_equal(path_current_directory(), "/a/b");
	make_file("f", "here");
	expect_text("/a/b/f", "here");
	ok(path_change_directory("../../a/./b/.."));
	assert_string_equal(path_current_directory(), "/a");
	ok(path_change_directory(".."));
	ok(path_change_directory(".."));
	assert_string_equal(path_current_directory(), "/");
	fails(NOT_FOUND, path_change_directory("none"));
	fails(NOT_DIRECTORY, path_change_directory("/a/b/f"));
}

// The service was given up and came back: open files are lost, and the current directory is found by its text.
static void test_channel_opened_anew(void **state)
{
	(void)state;
	struct file file;
	struct fs_stat status;
	uint64_t handle;
	ok(file_make_directory("/a", 0755));
	ok(path_change_directory("a"));
	make_file("f", "here");
	ok(file_open(&file, "f", FILE_READ));
	for (unsigned i = 0; i < 2; i++) {
		fake_fs_lost = true;
		expect_text(i ? "f" : "/a/f", "here");
	}
	fails(HANDLE, file_status(&file, &status));
	file_close(&file);
	ok(path_find_by((struct client *)1, "//a/f", &handle));
	ok(file_stat("/a/f", true, &status));
	assert_int_not_equal(handle, status.identity); // sealed
	fails(NOT_FOUND, path_find_by((struct client *)1, "/a/none", &handle));
	ok(file_unlink("f"));
	ok(file_remove_directory("/a"));
	fake_fs_lost = true;
	fails(NOT_FOUND, path_change_directory("x")); // the directory is gone
	ok(path_change_directory("/"));
}

// The service was given up for good: every call says so, and what is open can still be closed.
static void test_channel_gone(void **state)
{
	(void)state;
	struct file file;
	size_t done;
	char text[4];
	make_file("/f", "here");
	ok(file_open(&file, "/f", FILE_READ));
	fake_fs_lost = fake_fs_gone = true;
	fails(PEER_LOST, file_read(&file, text, sizeof(text), &done));
	file_close(&file);
	assert_int_equal(file.handle, 0);
	fails(PEER_LOST, file_open(&file, "/f", FILE_READ));
	file_close(&file);
	fake_fs_gone = false;
	expect_text("/f", "here");
	ok(file_unlink("/f"));
}

static void test_open_flags(void **state)
{
	(void)state;
	struct file file;
	size_t done;
	fails(NOT_FOUND, file_open(&file, "/f", FILE_READ));
	ok(file_open(&file, "/f", FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE));
	fails(EXISTS, file_open(&file, "/f", FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE));
	make_file("/f", "abc");
	ok(file_open(&file, "/f", FILE_WRITE | FILE_APPEND));
	ok(file_write(&file, "def", 3, &done));
	expect_text("/f", "abcdef");
	ok(file_open(&file, "/f", FILE_WRITE | FILE_TRUNCATE));
	expect_text("/f", "");
	fails(IS_DIRECTORY, file_open(&file, "/", FILE_READ));
	fails(IS_DIRECTORY, file_open(&file, "/new/", FILE_WRITE | FILE_CREATE));
}

// Fills `data`, and writes it to /big, which stays open. Returns how much was written.
static size_t big_write(struct file *file, uint8_t *data, size_t bytes)
{
	size_t done;
	for (size_t i = 0; i < bytes; i++)
		data[i] = (uint8_t)(i * 31 >> 3);
	ok(file_open(file, "/big", FILE_WRITE | FILE_CREATE));
	ok(file_write(file, data, bytes, &done));
	return done;
}

static void test_large_transfers(void **state)
{
	(void)state;
	static uint8_t data[60000], back[60000];
	struct file file;
	size_t done;
	done = big_write(&file, data, sizeof(data));
	assert_int_equal(done, sizeof(data));
	assert_true(fake_fs_in_flight_most > 1 && fake_fs_in_flight_most <= 16);
	ok(file_seek(&file, 0, FILE_SEEK_SET));
	ok(file_read(&file, back, sizeof(back), &done));
	assert_int_equal(done, sizeof(back));
	assert_memory_equal(back, data, sizeof(data));
	ok(file_read(&file, back, 10, &done));
	assert_int_equal(done, 0);
	ok(file_read_at(&file, 59990, back, 100, &done));
	assert_int_equal(done, 10);
	ok(file_seek(&file, -10, FILE_SEEK_END));
	assert_int_equal(file.offset, 59990);
	fails(INVALID, file_seek(&file, -60001, FILE_SEEK_END));
	ok(file_seek(&file, 5, FILE_SEEK_CURRENT));
	assert_int_equal(file.offset, 59995);
}

// Whole pages of a large read's buffer are lent, and what lies beside them is not; where it ends in the middle, the rest comes by copy.
static void test_lent_reads(void **state)
{
	(void)state;
	static uint8_t data[65536], back[0x46000] __attribute__((aligned(4096)));
	static const struct {
		unsigned offset, lends, left; // of the buffer; before, after
	} rows[] = {{0, 100, 99}, {100, 100, 99}, {4095, 1, 0}, {0, 1, 0}, {8, 0, 0}};
	struct file file;
	size_t done;
	done = big_write(&file, data, sizeof(data));
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(back, '.', sizeof(back));
		fake_fs_lends = rows[i].lends;
		ok(file_read_at(&file, 0, back + rows[i].offset, 0x40000 + 4000, &done));
		assert_int_equal(done, sizeof(data));
		assert_memory_equal(back + rows[i].offset, data, sizeof(data));
		assert_true(rows[i].offset == 0 || back[rows[i].offset - 1] == '.');
		assert_int_equal(back[rows[i].offset + sizeof(data)], '.');
		assert_int_equal(fake_fs_lends, rows[i].left);
	}
	fake_fs_lends = 0;
	fake_fs_lends = 1;
	ok(file_read_at(&file, 0, back, 0x3ffff, &done)); // not worth it
	assert_int_equal(done, sizeof(data));
	assert_int_equal(fake_fs_lends, 1);
}

static void test_append_in_pieces(void **state)
{
	(void)state;
	static uint8_t data[20000];
	struct file file;
	struct fs_stat status;
	size_t done;
	ok(file_open(&file, "/log", FILE_WRITE | FILE_CREATE | FILE_APPEND));
	ok(file_write(&file, data, sizeof(data), &done));
	assert_int_equal(fake_fs_in_flight_most, 1);
	ok(file_status(&file, &status));
	assert_int_equal(status.size, sizeof(data));
}

static void test_no_space(void **state)
{
	(void)state;
	static uint8_t data[20000];
	struct file file;
	size_t done;
	ok(file_open(&file, "/full", FILE_WRITE | FILE_CREATE));
	fake_fs_space = 9000;
	fails(NO_SPACE, file_write(&file, data, sizeof(data), &done));
	assert_int_equal(done, 9000);
	assert_int_equal(file.offset, 9000);
	fails(NO_SPACE, file_write(&file, data, 10, &done));
	assert_int_equal(done, 0);
}

static void test_directories(void **state)
{
	(void)state;
	static struct directory directory;
	static struct directory_entry entry;
	unsigned seen = 0;
	ok(file_make_directory("/many", 0755));
	for (unsigned i = 0; i < 40; i++) {
		char path[80];
		snprintf(path, sizeof(path), "/many/a-rather-long-name-so-that-one-piece-is-not-enough-%u", i);
		make_file(path, "");
	}
	ok(directory_open(&directory, "/many"));
	while (directory_next(&directory, &entry) == ERR_OK) {
		assert_true(strncmp(entry.name, "a-rather", 8) == 0);
		assert_int_equal(entry.type, FS_MODE_FILE >> 12);
		seen++;
	}
	assert_int_equal(seen, 40);
	fails(NOT_DIRECTORY, directory_open(&directory, entry.name[0] ? "/many/a-rather-long-name-so-that-one-piece-"
									 "is-not-enough-1"
								       : ""));
}

static void test_names(void **state)
{
	(void)state;
	struct fs_stat status;
	struct file file;
	make_file("/f", "text");
	ok(file_rename("/f", "/g"));
	expect_text("/g", "text");
	fails(NOT_FOUND, file_rename("/f", "/h"));
	ok(file_link("/g", "/h"));
	fails(EXISTS, file_link("/g", "/h"));
	expect_text("/h", "text");
	ok(file_unlink("/h"));
	fails(NOT_FOUND, file_unlink("/h"));
	ok(file_make_directory("/d", 0755));
	fails(EXISTS, file_make_directory("/d", 0755));
	ok(file_rename("/g", "/d/g"));
	expect_text("/d/g", "text");
	fails(IS_DIRECTORY, file_unlink("/d"));
	fails(INVALID, file_unlink("/"));
	fails(INVALID, file_remove_directory("/d/."));
	ok(file_unlink("/d/g"));
	ok(file_remove_directory("/d"));
	make_file("/m", "");
	ok(file_change_mode("/m", 0600));
	ok(file_stat("/m", true, &status));
	assert_int_equal(status.mode, FS_MODE_FILE | 0600);
	ok(file_sync());
	ok(file_sync_path("/m", false));
	assert_int_equal(fake_fs_synced, status.identity << 1);
	ok(file_sync_path("/", true));
	assert_int_equal(fake_fs_synced, 1 << 1 | FS_FSYNC_DATA);
	fails(NOT_FOUND, file_sync_path("/missing", true));
	ok(file_open(&file, "/m", FILE_WRITE));
	ok(file_fsync(&file, true));
	assert_int_equal(fake_fs_synced, status.identity << 1 | FS_FSYNC_DATA);
	file_close(&file);
}

// Each open file is told of what was lost since it was opened, once, and of what nobody has heard of before.
static void test_losses(void **state)
{
	(void)state;
	struct file first, second, third, made;
	make_file("/m", "");
	fake_fs_losses = 4;
	fake_fs_heard = 3;
	ok(file_open(&first, "/m", FILE_WRITE));
	fails(LOST, file_fsync(&first, false));
	ok(file_fsync(&first, true));
	fake_fs_heard = 4;
	ok(file_open(&second, "/m", FILE_WRITE));
	ok(file_fsync(&second, false));
	fake_fs_losses = 6;
	fails(LOST, file_fsync(&second, true));
	fails(LOST, file_fsync(&first, false));
	ok(file_fsync(&second, false));
	ok(file_open(&third, "/m", FILE_WRITE));
	fails(LOST, file_fsync(&third, false));
	fake_fs_losses = 0;
	ok(file_open(&made, "/d", FILE_WRITE | FILE_CREATE));
	assert_int_equal(made.losses, 0);
	fake_fs_heard = 0;
	file_close(&first);
	file_close(&second);
	file_close(&third);
	file_close(&made);
}

static void test_text(void **state)
{
	(void)state;
	char path[FILE_PATH_MAX];
	static char big[FILE_PATH_MAX];
	ok(path_join(path, "/", "a"));
	assert_string_equal(path, "/a");
	ok(path_join(path, path, "b"));
	assert_string_equal(path, "/a/b");
	ok(path_join(path, "", "b"));
	assert_string_equal(path, "b");
	memset(big, 'x', sizeof(big) - 1);
	fails(NAME_TOO_LONG, path_join(path, big, "b"));
	assert_string_equal(path_base("/a/b"), "b");
	assert_string_equal(path_base("b"), "b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_session, begin),
		cmocka_unit_test_setup(test_walk, begin),
		cmocka_unit_test_setup(test_long_names, begin),
		cmocka_unit_test_setup(test_links, begin),
		cmocka_unit_test_setup(test_status_with_the_walk, begin),
		cmocka_unit_test_setup(test_loop, begin),
		cmocka_unit_test_setup(test_current_directory, begin),
		cmocka_unit_test_setup(test_channel_opened_anew, begin),
		cmocka_unit_test_setup(test_channel_gone, begin),
		cmocka_unit_test_setup(test_open_flags, begin),
		cmocka_unit_test_setup(test_large_transfers, begin),
		cmocka_unit_test_setup(test_lent_reads, begin),
		cmocka_unit_test_setup(test_append_in_pieces, begin),
		cmocka_unit_test_setup(test_no_space, begin),
		cmocka_unit_test_setup(test_directories, begin),
		cmocka_unit_test_setup(test_names, begin),
		cmocka_unit_test_setup(test_losses, begin),
		cmocka_unit_test_setup(test_text, begin),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
