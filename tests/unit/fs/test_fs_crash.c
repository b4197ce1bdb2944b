// Death of the server at every step: recovery rewrites the commit, the rings are replayed, nothing is lost or twice.
//
// A step is a passage of an injection point or a call of the disk; at death any subset of the sectors being written has
// reached the disk. The log area survives, cache and volume do not (they are overwritten with noise).
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "deaths.h"
#include <stdlib.h>
#include <string.h>

// longjmp out of operations loses the test's own allocations.
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

static void restore(struct host *h, const uint8_t *pristine)
{
	host_power_on(h, pristine);
	h->serial = h->mark = 0;
	h->now = 1800000000;
}

static void check(struct model *m, struct host *h, bool fsck)
{
	die_after(0);
	assert_true(model_equal(m, h));
	assert_int_equal(host_commit(h), ERR_OK);
	if (fsck)
		assert_true(host_clean(h));
	assert_int_equal(h->volume->corruptions, 0);
}

struct volume_case {
	const char *options;
	unsigned kib, count; // of operations, or of rounds
};

static void every_step(void **state)
{
	const struct volume_case *c = *state;
	struct host h;
	bool whole = false, full = getenv("FULL") != 0;
	host_make(&h, c->options, c->kib, 0, 512 << 10, 256 << 10);
	uint8_t *pristine = malloc(h.image.disk.bytes);
	memcpy(pristine, h.image.bytes, h.image.disk.bytes);
	unsigned n;
	for (n = 1; !whole; n += full ? 1 : 3) {
		struct model m;
		restore(&h, pristine);
		fixture_seed(77);
		assert_int_equal(host_mount(&h), ERR_OK);
		model_make(&m, &h);
		m.file_max = 50000;
		die_after(n);
		whole = model_run(&m, &h, c->count, 19);
		if (!whole) {
			die_after(0);
			assert_true(host_start(&h, true));
			assert_true(model_run(&m, &h, 10, 5)); // and it goes on
		}
		check(&m, &h, full || n % 50 < 3);
		model_free(&m);
	}
	print_message("%u steps, each died at once\n", n);
	free(pristine);
	host_free(&h);
}

static void many_deaths(void **state)
{
	const struct volume_case *c = *state;
	struct host h;
	struct model m;
	unsigned deaths = 0, rounds = getenv("FULL") ? 2000 : c->count;
	fixture_seed(78);
	host_make(&h, c->options, c->kib, 0, 1 << 20, 256 << 10);
	assert_int_equal(host_mount(&h), ERR_OK);
	model_make(&m, &h);
	for (unsigned i = 0; i < rounds; i++) {
		die_after(1 + fixture_random() % 400);
		if (model_run(&m, &h, 100, 1 + fixture_random() % 60))
			continue;
		do { // deaths in the recovery too
			deaths++;
			die_after(fixture_random() % 3 ? 1 + fixture_random() % 100 : 0);
		} while (!host_start(&h, true));
		check(&m, &h, i % 20 == 0);
	}
	check(&m, &h, true);
	assert_true(model_equal_debugfs(&m, &h));
	print_message("%u deaths\n", deaths);
	model_free(&m);
	host_free(&h);
}

static void commit_is_repeated_after_disk_errors(void **state)
{
	struct host h;
	struct model m;
	uint32_t count;
	(void)state;
	fixture_seed(79);
	host_make(&h, "-b 2048", 8000, 0, 1 << 20, 512 << 10);
	assert_int_equal(host_mount(&h), ERR_OK);
	model_make(&m, &h);
	die_after(0);
	for (unsigned i = 0; i < 100; i++)
		assert_true(model_step(&m, &h));
	assert_int_equal(fsop_commit_begin(h.volume, h.serial, &count), ERR_OK);
	assert_true(count > 0);
	h.image.fail_writes = true;
	assert_int_equal(commit_write(&h.volume->log), ERR_DEVICE);
	for (unsigned i = 0; i < 20; i++) // operations go on beside it
		assert_true(model_step(&m, &h));
	h.image.fail_writes = false;
	assert_int_equal(commit_write(&h.volume->log), ERR_OK);
	assert_int_equal(commit_checkpoint(&h.volume->log), ERR_OK);
	fsop_commit_end(h.volume);
	check(&m, &h, true);
	model_free(&m);
	host_free(&h);
}

static void damaged_record_is_refused(void **state)
{
	struct host h;
	struct model m;
	uint32_t count;
	uint64_t mark;
	(void)state;
	fixture_seed(80);
	fixture_quiet = true;
	host_make(&h, "-b 1024", 8000, 0, 1 << 20, 256 << 10);
	assert_int_equal(host_mount(&h), ERR_OK);
	model_make(&m, &h);
	for (unsigned i = 0; i < 50; i++)
		assert_true(model_step(&m, &h));
	assert_int_equal(host_commit(&h), ERR_OK);
	uint64_t known = h.serial;
	for (unsigned i = 0; i < 30; i++)
		assert_true(model_step(&m, &h));
	assert_int_equal(fsop_commit_begin(h.volume, h.serial, &count), ERR_OK);
	size_t bytes = h.volume->log.header->data_offset + (size_t)count * 1024;
	uint8_t *log = malloc(h.image.disk.log_bytes), *disk = malloc(h.image.disk.bytes);
	memcpy(log, h.image.log, h.image.disk.log_bytes);
	memcpy(disk, h.image.bytes, h.image.disk.bytes);
	for (unsigned i = 0; i < 2000; i++) {
		size_t at = 8 + fixture_random() % (bytes - 8); // not the magic number and version
		memcpy(h.image.log, log, h.image.disk.log_bytes);
		h.image.log[at] ^= (uint8_t)(1u << fixture_random() % 8);
		enum error error = commit_recover(&h.image.disk, &mark);
		if (error == ERR_CORRUPT) {
			assert_true(mark == known || mark == 0);
			assert_memory_equal(disk, h.image.bytes, h.image.disk.bytes);
		} else { // a bit that does not count
			assert_int_equal(error, ERR_OK);
			assert_true(mark == h.serial || mark == known || mark == 0);
			memcpy(h.image.bytes, disk, h.image.disk.bytes);
		}
	}
	free(log);
	free(disk);
	model_free(&m);
	host_free(&h);
	fixture_quiet = false;
}

static bool commit_may_die(struct host *h)
{
	if (setjmp(fixture_death))
		return false;
	assert_int_equal(host_commit(h), ERR_OK);
	return true;
}

// With a journal a spoilt log area costs nothing: the disk says how far it is, the rings have the rest.
static void damaged_log_is_no_loss(void **state)
{
	struct host h;
	struct model m;
	unsigned damaged = 0;
	(void)state;
	fixture_seed(81);
	fixture_quiet = true;
	host_make(&h, "-b 1024 -I 256 -O has_journal -J size=1", 8000, 0, 1 << 20, 256 << 10);
	assert_int_equal(host_mount(&h), ERR_OK);
	model_make(&m, &h);
	for (unsigned i = 0; i < (getenv("FULL") ? 2000u : 60u); i++) {
		die_after(0);
		for (unsigned op = 0; op < 20; op++)
			assert_true(model_step(&m, &h));
		die_after(1 + fixture_random() % 20);
		if (commit_may_die(&h))
			continue;
		die_after(0);
		bool everywhere = fixture_random() & 1;
		size_t at = fixture_random() % (everywhere ? h.image.disk.log_bytes : 600);
		h.image.log[at] ^= (uint8_t)(1u << fixture_random() % 8);
		fixture_last_log[0] = 0;
		assert_true(host_start(&h, true));
		damaged += strstr(fixture_last_log, "is damaged") || strstr(fixture_last_log, "replayed");
		assert_true(model_equal(&m, &h));
	}
	assert_true(damaged > 5);
	check(&m, &h, true);
	model_free(&m);
	host_free(&h);
	fixture_quiet = false;
}

// The same when what the journal has of former commits is damaged on the disk as well: it is in place, and nobody reads it. Without a record the
// transaction that was being written is found there, whole or not at all.
static void damaged_past_is_no_loss(void **state)
{
	struct host h;
	struct model m;
	unsigned damaged = 0;
	(void)state;
	fixture_seed(85);
	fixture_quiet = true;
	host_make(&h, "-t ext4 -b 1024 -J size=1", 8000, 0, 1 << 20, 256 << 10);
	assert_int_equal(host_mount(&h), ERR_OK);
	model_make(&m, &h);
	for (unsigned i = 0; i < (getenv("FULL") ? 1000u : 60u); i++) {
		die_after(0);
		for (unsigned op = 0; op < 20; op++) {
			assert_true(model_step(&m, &h));
			if (op == 9)
				assert_int_equal(host_commit(&h), ERR_OK); // the first one drops the past
		}
		die_after(1 + fixture_random() % 20);
		if (commit_may_die(&h))
			continue;
		die_after(0);
		const struct commit_header *header = (const struct commit_header *)(const void *)h.image.log;
		const struct journal_area *area = h.volume->log.journal.area;
		uint32_t run, past = (area->head + area->length - area->first - area->tail) % (area->length - area->first);
		bool harmed = header->state != COMMIT_EMPTY && past && !header->move_tail;
		for (unsigned n = 0; harmed && n < 8; n++) {
			uint32_t index = journal_next(area, area->tail, fixture_random() % past);
			h.image.bytes[(size_t)journal_block(area, index, &run) * 1024 + fixture_random() % 1024] ^= 0x10;
		}
		*h.volume->log.data ^= harmed; // the record's first block
		damaged += harmed;
		do
			die_after(fixture_random() % 4 ? 1 + fixture_random() % 40 : 0); // in the recovery, too
		while (!host_start(&h, true));
		die_after(0);
		assert_true(model_equal(&m, &h));
	}
	assert_true(damaged > 20);
	check(&m, &h, true);
	model_free(&m);
	host_free(&h);
	fixture_quiet = false;
}

// What an incarnation wrote into the journal before it died, perhaps with wrong sums, is dropped by the next one's first commit.
static void journal_of_the_dead_is_dropped(void **state)
{
	struct host h;
	uint32_t run;
	(void)state;
	fixture_quiet = true;
	host_make(&h, "-t ext4 -b 1024 -J size=1", 8000, 0, 1 << 20, 256 << 10);
	assert_int_equal(host_mount(&h), ERR_OK);
	for (unsigned i = 0; i < 20; i++) {
		const struct journal_area *area = h.volume->log.journal.area;
		for (unsigned n = 0; n < 4; n++) {
			assert_int_equal(host_call(&h, FS_OP_CHMOD, host_root(&h), 0700 | (i + n) % 8, 0, 0, 0, 0), ERR_OK);
			assert_int_equal(host_commit(&h), ERR_OK);
			assert_int_equal(h.volume->log.header->move_tail, i && n == 0);
		}
		uint32_t index = journal_next(area, area->tail, i % 4);
		h.image.bytes[(size_t)journal_block(area, index, &run) * 1024 + 12 + 50 * i] ^= 2;
		assert_true(host_start(&h, true));
		assert_int_equal(host_call(&h, FS_OP_CHMOD, host_root(&h), 0700 | i % 8, 0, 0, 0, 0), ERR_OK);
		assert_int_equal(host_commit(&h), ERR_OK);
		assert_true(host_clean(&h));
		assert_true(host_start(&h, true));
	}
	memset(h.image.log, 0, h.image.disk.log_bytes);
	assert_int_equal(host_mount(&h), ERR_OK);
	host_free(&h);
	fixture_quiet = false;
}

// A mark without blocks is noted like a commit: a death between it and its check word leaves the record.
static void noted_mark_is_never_torn(void **state)
{
	struct host h;
	uint64_t mark;
	(void)state;
	host_make(&h, "-b 1024", 8000, 0, 1 << 20, 256 << 10);
	assert_int_equal(host_mount(&h), ERR_OK);
	struct commit_header *header = h.volume->log.header;
	commit_note(&h.volume->log, 77);
	assert_int_equal(header->state, COMMIT_EMPTY);
	assert_int_equal(commit_recover(&h.image.disk, &mark), ERR_OK);
	assert_int_equal(mark, 77);
	header->state = COMMIT_VALID; // as it was when the two words were written
	header->last_mark_check = ~header->last_mark_check;
	assert_int_equal(commit_recover(&h.image.disk, &mark), ERR_OK);
	assert_int_equal(mark, 77);
	host_free(&h);
}

static uint32_t block_of(struct host *h, uint64_t handle, uint32_t index)
{
	struct inode inode;
	uint32_t block, run;
	assert_int_equal(inode_open(h->volume, handle, &inode), ERR_OK);
	assert_int_equal(bmap_find(h->volume, &inode, index, 1, &block, &run), ERR_OK);
	inode_put(h->volume, &inode);
	return block;
}

// A file of blocks that say where they stand, until it has got that block.
static uint32_t file_until(struct host *h, uint32_t wanted)
{
	uint32_t content[256];
	assert_int_equal(host_call(h, FS_OP_CREATE, host_root(h), 0100644, 0, "f", 1, 0), ERR_OK);
	uint64_t file = h->result[0];
	for (uint32_t i = 0; i < 1000; i++) {
		for (unsigned k = 0; k < 256; k++)
			content[k] = i + 1;
		assert_int_equal(host_call(h, FS_OP_WRITE, file, i * 1024ull, 0, content, 1024, 0), ERR_OK);
		if (block_of(h, file, i) == wanted)
			return i + 1;
	}
	fail_msg("block %u is not used again", wanted);
	return 0;
}

static void power_cut(struct host *h)
{
	uint8_t *image = malloc(h->image.disk.bytes);
	memcpy(image, h->image.bytes, h->image.disk.bytes);
	host_power_on(h, image);
	assert_true(host_start(h, false));
	free(image);
}

// The journal has the block of a directory that is gone, and a file has got the block since. Wherever the server died in the commit
// that made it free, a replay after a power cut leaves the file as it is.
static void old_metadata_stays_out_of_files(void **state)
{
	struct host h;
	uint32_t content[256];
	bool died = true;
	(void)state;
	fixture_seed(82);
	host_make(&h, "-b 1024 -I 256 -N 200 -O has_journal -J size=1", 3000, 0, 512 << 10, 256 << 10);
	uint8_t *pristine = malloc(h.image.disk.bytes);
	memcpy(pristine, h.image.bytes, h.image.disk.bytes);
	unsigned n;
	for (n = 1; died; n++) {
		restore(&h, pristine);
		assert_true(host_start(&h, false));
		assert_int_equal(host_call(&h, FS_OP_MKDIR, host_root(&h), 0755, 0, "d", 1, 0), ERR_OK);
		uint32_t block = block_of(&h, h.result[0], 0);
		assert_int_equal(host_commit(&h), ERR_OK);
		assert_int_equal(host_call(&h, FS_OP_RMDIR, host_root(&h), 0, 0, "d", 1, 0), ERR_OK);
		die_after(n);
		died = !commit_may_die(&h);
		die_after(0);
		if (died)
			assert_true(host_start(&h, true));
		assert_int_equal(host_commit(&h), ERR_OK);
		uint32_t blocks = file_until(&h, block);
		assert_int_equal(host_commit(&h), ERR_OK);
		power_cut(&h);
		uint64_t file = host_lookup(&h, host_root(&h), "f");
		for (uint32_t i = 0; i < blocks; i++) {
			assert_int_equal(host_call(&h, FS_OP_READ, file, i * 1024ull, 0, 0, 0, 1024), ERR_OK);
			memcpy(content, h.in, 1024);
			if (content[0] != i + 1 || content[255] != i + 1)
				fail_msg("died at step %u: block %u of the file is not its own", n, i);
		}
	}
	print_message("%u steps\n", n);
	free(pristine);
	host_free(&h);
}

static bool file_is(struct host *h, const char *content, uint32_t size)
{
	uint64_t file = host_lookup(h, host_root(h), "f");
	assert_int_equal(host_call(h, FS_OP_READ, file, 0, 0, 0, 0, 4096), ERR_OK);
	return h->result[0] == size && memcmp(h->in, content, size) == 0;
}

// A file is cut and then written in one transaction, all of it in one block. After a power cut it is as it was, or as it should be:
// what was cut off is not gone while the file still has its old length.
static void cut_and_written_as_a_whole(void **state)
{
	struct host h;
	char old[1000], new[100];
	bool died = true;
	unsigned n, kept = 0;
	(void)state;
	fixture_seed(84);
	memset(old, 'o', sizeof(old));
	memset(new, 'o', sizeof(new));
	memset(new, 'n', 50);
	host_make(&h, "-b 1024 -I 256 -N 200 -O has_journal -J size=1", 3000, 0, 512 << 10, 256 << 10);
	assert_true(host_start(&h, false));
	assert_int_equal(host_call(&h, FS_OP_CREATE, host_root(&h), 0100644, 0, "f", 1, 0), ERR_OK);
	assert_int_equal(host_write_all(&h, h.result[0], 0, old, sizeof(old)), ERR_OK);
	assert_int_equal(host_commit(&h), ERR_OK);
	uint8_t *base = malloc(h.image.disk.bytes);
	memcpy(base, h.image.bytes, h.image.disk.bytes);
	for (n = 1; died; n++) {
		restore(&h, base);
		assert_true(host_start(&h, false));
		uint64_t file = host_lookup(&h, host_root(&h), "f");
		assert_int_equal(host_call(&h, FS_OP_TRUNCATE, file, sizeof(new), 0, 0, 0, 0), ERR_OK);
		assert_int_equal(host_write_all(&h, file, 0, new, 50), ERR_OK);
		die_after(n);
		died = !commit_may_die(&h);
		die_after(0);
		power_cut(&h);
		kept += file_is(&h, old, sizeof(old));
		if (!file_is(&h, old, sizeof(old)) && !file_is(&h, new, sizeof(new)))
			fail_msg("died at step %u: the file is neither the old one nor the new", n);
	}
	assert_in_range(kept, 3, n - 3);
	free(base);
	host_free(&h);
}

// When the tail moves, what the journal may hold is found out anew. A death in the middle of that leaves it half known.
static void filter_is_renewed_again(void **state)
{
	struct host h;
	struct inode root;
	uint32_t count, bytes;
	bool moved = false;
	(void)state;
	fixture_seed(83);
	host_make(&h, "-b 1024 -I 256 -N 200 -O has_journal -J size=1", 3000, 0, 512 << 10, 256 << 10);
	assert_true(host_start(&h, false));
	struct journal_area *area = commit_journal_area(&h.image.disk, &bytes);
	for (unsigned i = 0; i < 1000 && !moved; i++) {
		assert_int_equal(host_call(&h, FS_OP_CHMOD, host_root(&h), 0700 | i % 8, 0, 0, 0, 0), ERR_OK);
		assert_int_equal(fsop_commit_begin(h.volume, h.serial, &count), ERR_OK);
		moved = h.volume->log.header->move_tail;
		assert_int_equal(fsop_commit_write(h.volume), ERR_OK);
		assert_int_equal(commit_checkpoint(&h.volume->log), ERR_OK);
		if (!moved)
			fsop_commit_end(h.volume);
	}
	assert_true(moved);
	journal_forget(area);
	assert_true(host_start(&h, true));
	assert_int_equal(inode_get(h.volume, EXT2_ROOT_INODE, &root), ERR_OK);
	assert_true(journal_may_hold(area, root.buffer->block));
	inode_put(h.volume, &root);
	host_free(&h);
}

#define VOLUME(name, run, ...) CASE(name, run, &(const struct volume_case){__VA_ARGS__})

// Many small writes into what nobody has read since the death: a read for each block would be a wait for each.
static void replay_reads_ahead(void **state)
{
	static uint8_t before[240 * 512], piece[512];
	struct host h;
	(void)state;
	die_after(0);
	host_make(&h, "-t ext4 -b 4096 -J size=4", 16000, 0, 4 << 20, 4 << 20);
	assert_int_equal(host_mount(&h), ERR_OK);
	assert_int_equal(host_call(&h, FS_OP_CREATE, host_root(&h), FS_MODE_FILE | 0644, 0, "f", 1, 0), ERR_OK);
	uint64_t file = h.result[0];
	assert_int_equal(host_write_all(&h, file, 0, before, sizeof(before)), ERR_OK);
	assert_int_equal(host_commit(&h), ERR_OK);
	for (unsigned i = 0; i < 240; i++) {
		memset(piece, (int)i, sizeof(piece));
		assert_int_equal(host_call(&h, FS_OP_WRITE, file, i * 512, 0, piece, sizeof(piece), 0), ERR_OK);
	}
	uint64_t reads = h.image.reads;
	assert_int_equal(host_reincarnate(&h), 0);
	assert_in_range(h.image.reads - reads, 3, 12);
	assert_int_equal(host_call(&h, FS_OP_READ, file, 239 * 512, 0, 0, 0, 512), ERR_OK);
	assert_memory_equal(h.in, piece, 512);
	host_free(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VOLUME(every_step_ext2, every_step, "-b 1024 -I 128 -N 200", 2000, 60),
		VOLUME(every_step_journal, every_step, "-b 1024 -I 256 -N 200 -O has_journal -J size=1", 3000, 60),
		VOLUME(many_deaths_ext2, many_deaths, "-b 1024 -I 256 -g 2048", 8193, 150),
		VOLUME(many_deaths_ext4, many_deaths, "-t ext4 -O ^has_journal -b 1024 -g 2048", 8193, 100),
		VOLUME(many_deaths_journal, many_deaths, "-b 1024 -I 256 -g 2048 -O has_journal -J size=1", 8193, 100),
		VOLUME(many_deaths_ext4_journal, many_deaths, "-t ext4 -b 1024 -I 256 -g 2048 -J size=1", 8193, 100),
		cmocka_unit_test(commit_is_repeated_after_disk_errors),
		cmocka_unit_test(damaged_record_is_refused),
		cmocka_unit_test(damaged_log_is_no_loss), cmocka_unit_test(damaged_past_is_no_loss),
		cmocka_unit_test(journal_of_the_dead_is_dropped),
		cmocka_unit_test(noted_mark_is_never_torn),
		cmocka_unit_test(old_metadata_stays_out_of_files),
		cmocka_unit_test(filter_is_renewed_again),
		cmocka_unit_test(cut_and_written_as_a_whole), cmocka_unit_test(replay_reads_ahead),
	};
	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, 0, 0);
}
