// Images that mke2fs filled from a real tree: every file's bytes, every stat, every link and listing as on the host.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "fixture.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned files_compared, directories_compared;

static void compare_file(struct host *h, uint64_t handle, const char *path, const struct stat *st)
{
	FILE *f = fopen(path, "rb");
	uint8_t *want = malloc(65536);
	assert_non_null(f);
	for (uint64_t at = 0; at <= (uint64_t)st->st_size;) {
		assert_int_equal(host_call(h, FS_OP_READ, handle, at, 0, 0, 0, 65536), ERR_OK);
		size_t n = fread(want, 1, 65536, f);
		assert_int_equal(h->result[0], n);
		assert_int_equal(h->result[1], st->st_size);
		if (n)
			assert_memory_equal(h->in, want, n);
		else
			break;
		at += n;
	}
	fclose(f);
	free(want);
	files_compared++;
}

static void compare_link(struct host *h, uint64_t handle, const char *path)
{
	char target[4096];
	ssize_t n = readlink(path, target, sizeof(target));
	assert_int_equal(host_call(h, FS_OP_READLINK, handle, 0, 0, 0, 0, 4096), ERR_OK);
	assert_int_equal(h->result[0], n);
	assert_memory_equal(h->in, target, (size_t)n);
}

static void compare_stat(struct host *h, uint64_t handle, const struct stat *st)
{
	struct fs_stat s;
	assert_int_equal(host_call(h, FS_OP_STAT, handle, 0, 0, 0, 0, sizeof(s)), ERR_OK);
	memcpy(&s, h->in, sizeof(s));
	assert_int_equal(s.mode, st->st_mode);
	assert_int_equal(s.uid, st->st_uid);
	assert_int_equal(s.gid, st->st_gid);
	assert_int_equal(s.mtime, st->st_mtime);
	if (!S_ISDIR(st->st_mode))
		assert_int_equal(s.size, st->st_size);
}

static unsigned count_listing(struct host *h, uint64_t directory)
{
	unsigned n = 0;
	uint64_t cookie = 0;
	for (bool end = false; !end;) {
		assert_int_equal(host_call(h, FS_OP_READDIR, directory, cookie, 0, 0, 0, 4096), ERR_OK);
		cookie = h->result[1];
		end = h->result[2];
		for (size_t at = 0; at < h->result[0]; n++) {
			struct fs_dirent e;
			memcpy(&e, h->in + at, sizeof(e));
			at += e.record;
		}
	}
	return n;
}

static void compare_directory(struct host *h, uint64_t directory, const char *path, bool root)
{
	DIR *d = opendir(path);
	unsigned n = 0;
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));) {
		char name[4096];
		struct stat st;
		n++;
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		assert_int_equal(lstat(name, &st), 0);
		uint64_t handle = host_lookup(h, directory, e->d_name);
		assert_int_not_equal(handle, 0);
		compare_stat(h, handle, &st);
		if (S_ISDIR(st.st_mode))
			compare_directory(h, handle, name, false);
		else if (S_ISLNK(st.st_mode))
			compare_link(h, handle, name);
		else if (S_ISREG(st.st_mode))
			compare_file(h, handle, name, &st);
	}
	closedir(d);
	assert_int_equal(count_listing(h, directory), n + root); // lost+found
	directories_compared++;
}

// A tree with what such trees have: many files, deep directories, holes, links of both kinds, long names.
static char tree[TEMPORARY_PATH];

static int make_tree(void **state)
{
	char command[2048];
	(void)state;
	temporary_directory(tree);
	snprintf(command, sizeof(command),
		 "cd %s && mkdir -p a/b/c/d/e/f/g/h many && "
		 "for i in $(seq 1 600); do echo file $i > many/entry-number-$i; done && "
		 "cp -r /usr/share/common-licenses lic 2>/dev/null; "
		 "head -c 3000000 /dev/urandom > a/b/big && head -c 267000 /dev/urandom > a/b/c/middle && "
		 "head -c 12288 /dev/urandom > a/direct && head -c 12289 /dev/urandom > a/indirect && : > a/empty && "
		 "truncate -s 9000000 a/hole && printf tail >> a/hole && "
		 "ln -s short a/fast && ln -s $(printf 'x%%.0s' $(seq 1 59)) a/fast59 && "
		 "ln -s $(printf 'x%%.0s' $(seq 1 60)) a/slow60 && ln -s $(printf 'y%%.0s' $(seq 1 900)) a/slow && "
		 "ln a/b/big a/hard && touch $(printf 'n%%.0s' $(seq 1 255)) && chmod 4751 a/direct",
		 tree);
	return system(command);
}

static int remove_tree(void **state)
{
	char command[128];
	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", tree);
	return system(command);
}

static void image_of_tree(void **state)
{
	struct host h;
	host_make(&h, *state, 40000, tree, 1 << 20, 1 << 19);
	assert_int_equal(host_mount(&h), ERR_OK);
	compare_directory(&h, host_root(&h), tree, true);
	assert_int_equal(h.volume->corruptions, 0);
	host_free(&h);
}

// mke2fs 1.47.2 refuses -r and has an extended option instead, which 1.47.0 does not know.
static void tree_revision_0(void **state)
{
	bool removed = system("mke2fs -r 0 2>&1 | grep -q removed") == 0;
	*state = removed ? "-b 1024 -E revision=0 -I 128" : "-b 1024 -r 0 -I 128";
	image_of_tree(state);
}

// The hashed index that e2fsck -D builds: readable, and cleared when the directory changes.
static void indexed_directory(void **state)
{
	struct host h;
	struct inode inode;
	(void)state;
	host_make(&h, "-b 1024", 40000, tree, 1 << 20, 1 << 19);
	(void)host_change(&h, "e2fsck -fyD $f > /dev/null 2>&1"); // its status tells that it changed something
	assert_int_equal(host_mount(&h), ERR_OK);
	uint64_t many = host_path(&h, "many");
	assert_int_equal(inode_open(h.volume, many, &inode), ERR_OK);
	assert_true(inode.raw->flags & EXT2_FLAG_INDEX);
	compare_directory(&h, host_root(&h), tree, true);
	for (unsigned i = 0; i < 100; i++) {
		char name[64];
		int n = snprintf(name, sizeof(name), "another-file-with-a-name-%u", i);
		assert_int_equal(host_call(&h, FS_OP_CREATE, many, 0100644, 0, name, (uint32_t)n, 0), ERR_OK);
		n = snprintf(name, sizeof(name), "entry-number-%u", i * 3 + 1);
		assert_int_equal(host_call(&h, FS_OP_UNLINK, many, 0, 0, name, (uint32_t)n, 0), ERR_OK);
	}
	assert_false(inode.raw->flags & EXT2_FLAG_INDEX);
	assert_int_equal(count_listing(&h, many), 602);
	inode_put(h.volume, &inode);
	assert_int_equal(host_commit(&h), ERR_OK);
	assert_true(host_clean(&h));
	host_free(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(tree_1k, image_of_tree, "-b 1024"),
		CASE(tree_1k_small_inodes, image_of_tree, "-b 1024 -I 128"),
		CASE(tree_2k, image_of_tree, "-b 2048"),
		CASE(tree_4k, image_of_tree, "-b 4096"),
		cmocka_unit_test(tree_revision_0),
		CASE(tree_ext4_1k, image_of_tree, "-t ext4 -O ^has_journal -b 1024"),
		CASE(tree_ext4_2k, image_of_tree, "-t ext4 -O ^has_journal -b 2048"),
		CASE(tree_ext4_4k, image_of_tree, "-t ext4 -O ^has_journal -b 4096"),
		cmocka_unit_test(indexed_directory),
	};
	int failed = cmocka_run_group_tests(tests, make_tree, remove_tree);
	printf("%u files and %u directories compared\n", files_compared, directories_compared);
	return failed;
}
