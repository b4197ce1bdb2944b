// What the protocol declares of its operations is true of the code: performed once more, with what others did in between, an
// IDEMPOTENT one gives the same answer and leaves every byte of the volume as it was, and a ONCE one does not. So none that needs the log goes
// without it, and none is logged for nothing.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "fixture.h"
#include <stdlib.h>
#include <string.h>

#define VOLUME_KIB 4096u
#define ROOM 4096u

static struct host h;
static uint64_t root, file, folder, link;

static enum error named(uint16_t op, uint64_t directory, uint64_t a1, uint64_t a2, const char *name)
{
	return host_call(&h, op, directory, a1, a2, name, (uint32_t)strlen(name), 0);
}

static enum error written(uint64_t offset, char byte)
{
	char data[600];
	memset(data, byte, sizeof(data));
	return host_call(&h, FS_OP_WRITE, file, offset, 0, data, sizeof(data), 0);
}

// --- one example of each operation; `between`: what another client does before it is performed again

static enum error do_root(void)     { return host_call(&h, FS_OP_ROOT, 0, 0, 0, 0, 0, 0); }
static enum error do_lookup(void)   { return named(FS_OP_LOOKUP, root, 0, 0, "file"); }
static enum error do_stat(void)     { return host_call(&h, FS_OP_STAT, file, 0, 0, 0, 0, ROOM); }
static enum error do_read(void)     { return host_call(&h, FS_OP_READ, file, 100, 0, 0, 0, ROOM); }
static enum error do_readdir(void)  { return host_call(&h, FS_OP_READDIR, root, 0, 0, 0, 0, ROOM); }
static enum error do_readlink(void) { return host_call(&h, FS_OP_READLINK, link, 0, 0, 0, 0, ROOM); }
static enum error do_statfs(void)   { return host_call(&h, FS_OP_STATFS, 0, 0, 0, 0, 0, ROOM); }
static enum error do_sync(void)     { return host_commit(&h); } // serve.c makes it a commit, and nothing else
static enum error do_fsync(void) // as serve.c does it: a commit where one is needed
{
	bool pending = false;
	enum error e = fsop_pending(h.volume, file, &pending);
	h.result[0] = pending;
	return e == ERR_OK && pending ? host_commit(&h) : e;
}
static enum error do_create(void)   { return named(FS_OP_CREATE, root, FS_MODE_FILE | 0644, 0, "new"); }
static enum error do_write(void)    { return written(1000, 'x'); }
static enum error do_append(void)   { return written(FS_APPEND, 'x'); }
static enum error do_truncate(void) { return host_call(&h, FS_OP_TRUNCATE, file, 500, 0, 0, 0, 0); }
static enum error do_unlink(void)   { return named(FS_OP_UNLINK, root, 0, 0, "file"); }
static enum error do_mkdir(void)    { return named(FS_OP_MKDIR, root, 0755, 0, "new"); }
static enum error do_rmdir(void)    { return named(FS_OP_RMDIR, root, 0, 0, "folder"); }
static enum error do_rename(void)   { return host_call(&h, FS_OP_RENAME, root, folder, 0, "file\0moved", 10, 0); }
static enum error do_link(void)     { return named(FS_OP_LINK, file, root, 0, "second"); }
static enum error do_symlink(void)  { return host_call(&h, FS_OP_SYMLINK, root, 0, 0, "short\0target", 12, 0); }
static enum error do_chmod(void)    { return host_call(&h, FS_OP_CHMOD, file, 0600, 0, 0, 0, 0); }
static enum error do_utimes(void)   { return host_call(&h, FS_OP_UTIMES, file, 1000, 2000, 0, 0, 0); }
static enum error other_write(void) { return written(1000, 'y'); }
static enum error other_grow(void)  { return written(FS_APPEND, 'y'); }
static enum error other_mode(void)  { return host_call(&h, FS_OP_CHMOD, file, 0644, 0, 0, 0, 0); }
static enum error other_times(void) { return host_call(&h, FS_OP_UTIMES, file, 3000, 4000, 0, 0, 0); }

static const struct example {
	uint16_t op;
	enum error (*perform)(void);
	enum error (*between)(void);
} examples[] = {
	{FS_OP_ROOT, do_root, other_write},	   {FS_OP_LOOKUP, do_lookup, 0},	   {FS_OP_STAT, do_stat, 0},
	{FS_OP_READ, do_read, 0},		   {FS_OP_READDIR, do_readdir, other_mode}, {FS_OP_READLINK, do_readlink, other_write},
	{FS_OP_STATFS, do_statfs, other_mode},	   {FS_OP_SYNC, do_sync, other_write},	   {FS_OP_CREATE, do_create, 0},
	{FS_OP_FSYNC, do_fsync, other_write},
	{FS_OP_WRITE, do_write, other_write},	   {FS_OP_WRITE, do_append, 0},		   {FS_OP_TRUNCATE, do_truncate, other_grow},
	{FS_OP_UNLINK, do_unlink, 0},		   {FS_OP_MKDIR, do_mkdir, 0},		   {FS_OP_RMDIR, do_rmdir, 0},
	{FS_OP_RENAME, do_rename, 0},		   {FS_OP_LINK, do_link, 0},		   {FS_OP_SYMLINK, do_symlink, 0},
	{FS_OP_CHMOD, do_chmod, other_mode},	   {FS_OP_UTIMES, do_utimes, other_times},
};

static void volume_make(const char *options)
{
	host_make(&h, options, VOLUME_KIB, 0, 1 << 20, 1 << 19);
	h.now = 1700000000;
	assert_int_equal(host_mount(&h), ERR_OK);
	root = host_root(&h);
	assert_int_equal(named(FS_OP_CREATE, root, FS_MODE_FILE | 0644, 0, "file"), ERR_OK);
	file = h.result[0];
	assert_int_equal(named(FS_OP_MKDIR, root, 0755, 0, "folder"), ERR_OK);
	folder = h.result[0];
	assert_int_equal(host_call(&h, FS_OP_SYMLINK, root, 0, 0, "link\0file", 9, 0), ERR_OK);
	link = h.result[0];
	for (uint64_t at = 0; at < 3000; at += 600)
		assert_int_equal(written(at, 'a'), ERR_OK);
	assert_int_equal(host_commit(&h), ERR_OK);
}

struct outcome {
	enum error error;
	uint64_t result[5];
	uint8_t in[ROOM];
};

static void perform(const struct example *e, struct outcome *o)
{
	memset(h.result, 0, sizeof(h.result));
	memset(h.in, 0, ROOM);
	o->error = e->perform();
	memcpy(o->result, h.result, sizeof(o->result));
	memcpy(o->in, h.in, ROOM);
	assert_int_equal(host_commit(&h), ERR_OK);
}

// Performed, something in between, performed again: was the second time without harm and with the same answer?
static bool repeats(const struct example *e)
{
	static struct outcome first, second;
	perform(e, &first);
	assert_int_equal(first.error, ERR_OK);
	if (e->between)
		assert_int_equal(e->between(), ERR_OK);
	assert_int_equal(host_commit(&h), ERR_OK);
	uint8_t *before = malloc(h.image.disk.bytes);
	memcpy(before, h.image.bytes, h.image.disk.bytes);
	perform(e, &second);
	bool same = memcmp(before, h.image.bytes, h.image.disk.bytes) == 0;
	free(before);
	return same && first.error == second.error && !memcmp(first.result, second.result, sizeof(first.result)) &&
	       !memcmp(first.in, second.in, ROOM);
}

static void as_declared(void **state)
{
	bool seen[FS_OPS] = {[FS_OP_NONE] = true};
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		const struct op_description *op = &fs_protocol.ops[examples[i].op];
		volume_make(*state);
		bool again = repeats(&examples[i]);
		if (again != (op->attribute == OP_IDEMPOTENT))
			fail_msg("%s is declared %s, but performed again it %s", op->name,
				 op->attribute == OP_ONCE ? "ONCE" : "IDEMPOTENT", again ? "changes nothing" : "makes a difference");
		seen[examples[i].op] = true;
		assert_true(host_clean(&h));
		host_free(&h);
	}
	for (unsigned op = 0; op < FS_OPS; op++)
		if (!seen[op])
			fail_msg("%s has no example", fs_protocol.ops[op].name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(as_declared_ext2, as_declared, "-b 1024"),
		CASE(as_declared_ext4, as_declared, "-t ext4 -O ^has_journal -b 1024"),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
