// Journals that others left: random ones, made block by block, in every format, are replayed by e2fsck and by our mount; the
// disks must be the same afterwards. Transactions that debugfs wrote; journals that are refused, by their sentences.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "deaths.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

#define TARGETS 60u

static struct host h;
static uint8_t *pristine, *theirs;
static struct journal_area *area; // of a mount of the pristine image: where the journal lies
static uint32_t targets[TARGETS]; // blocks of a file
static uint32_t block_size;

// What e2fsck makes of the image; true: it took the journal.
static bool replay_by_e2fsck(void)
{
	return file_run("e2fsck -fy -E journal_only $f > /dev/null 2>&1", h.image.bytes, h.image.disk.bytes, theirs);
}

static bool is_of_journal(uint32_t block)
{
	for (uint32_t i = 0; i < area->run_count; i++) {
		if (block - area->runs[i].block < area->runs[i].count)
			return true;
	}
	return false;
}

// All but the journal and the superblock, where times and flags differ.
static void assert_same_as_theirs(void)
{
	uint32_t super = 1024 / block_size;
	for (uint32_t b = 0; b < h.image.disk.bytes / block_size; b++) {
		size_t at = (size_t)b * block_size;
		if (b != super && !is_of_journal(b) && memcmp(h.image.bytes + at, theirs + at, block_size))
			fail_msg("block %u differs from what e2fsck made of it", b);
	}
}

static void open_image(const char *options, unsigned kib)
{
	uint8_t data[TARGETS * 4096];
	fixture_quiet = true;
	host_make(&h, options, kib, 0, 1 << 20, 512 << 10);
	assert_int_equal(host_mount(&h), ERR_OK);
	block_size = h.volume->block_size;
	memset(data, 0x11, sizeof(data));
	assert_int_equal(host_call(&h, FS_OP_CREATE, host_root(&h), 0100644, 0, "file", 4, 0), ERR_OK);
	uint64_t file = h.result[0];
	assert_int_equal(host_write_all(&h, file, 0, data, TARGETS * block_size), ERR_OK);
	assert_int_equal(host_commit(&h), ERR_OK);
	struct inode inode;
	assert_int_equal(inode_open(h.volume, file, &inode), ERR_OK);
	for (uint32_t i = 0, run; i < TARGETS; i++)
		assert_int_equal(bmap_find(h.volume, &inode, i, 1, &targets[i], &run), ERR_OK);
	inode_put(h.volume, &inode);
	uint32_t bytes;
	struct journal_area *live = commit_journal_area(&h.image.disk, &bytes);
	area = malloc(bytes);
	memcpy(area, live, bytes);
	pristine = malloc(h.image.disk.bytes);
	theirs = malloc(h.image.disk.bytes);
	memcpy(pristine, h.image.bytes, h.image.disk.bytes);
}

static void close_image(void)
{
	free(area);
	free(pristine);
	free(theirs);
	host_free(&h);
	fixture_quiet = false;
}

static uint8_t *journal_at(uint32_t index)
{
	uint32_t run;
	return h.image.bytes + (size_t)journal_block(area, index, &run) * block_size;
}

static void put_super(uint32_t incompat, uint32_t start, uint32_t sequence)
{
	area->incompat = incompat;
	jbd2_put(area->super + JBD2_S_INCOMPAT, incompat);
	area->super[JBD2_S_CHECKSUM_TYPE] = journal_has_checksums(area) ? JBD2_CHECKSUM_CRC32C : 0;
	journal_super_make(area, start, sequence);
	memcpy(journal_at(0), area->super, JBD2_SUPER_SIZE);
}

static void random_block(uint8_t *block)
{
	for (uint32_t i = 0; i < block_size; i += 4)
		jbd2_put(block + i, fixture_random());
	if (fixture_random() % 4 == 0)
		jbd2_put(block, JBD2_MAGIC);
}

// A descriptor and its blocks; returns the index behind.
static uint32_t put_descriptor(uint32_t index, uint32_t sequence, uint32_t count)
{
	struct journal_tag tags[TARGETS];
	uint32_t at = journal_next(area, index, 1), from = fixture_random() % TARGETS;
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *to = journal_at(at);
		random_block(to);
		tags[i] = (struct journal_tag){.block = targets[(from + i) % TARGETS]};
		if (jbd2_get(to) == JBD2_MAGIC) {
			tags[i].flags = JBD2_TAG_ESCAPED;
			jbd2_put(to, 0);
		}
		if (journal_has_checksums(area))
			tags[i].checksum = journal_tag_checksum(area, sequence, to);
		at = journal_next(area, at, 1);
	}
	journal_descriptor_make(area, sequence, tags, count, journal_at(index));
	return at;
}

static uint32_t put_revokes(uint32_t index, uint32_t sequence)
{
	uint32_t list[20], count = fixture_random() % 20;
	for (uint32_t i = 0; i < count; i++)
		list[i] = targets[fixture_random() % TARGETS];
	journal_revoke_make(area, sequence, list, count, journal_at(index));
	return journal_next(area, index, 1);
}

// Some transactions from a random place on, so that they often go over the end. The last may be torn.
static void put_journal(uint32_t incompat)
{
	uint32_t log = area->length - area->first, start = area->first + fixture_random() % log;
	uint32_t sequence = fixture_random() % 3 ? fixture_random() : ~0u - fixture_random() % 4; // numbers wrap too
	if (fixture_random() & 1)
		start = area->length - 1 - fixture_random() % 40;
	put_super(incompat, start, sequence);
	uint32_t at = start, count = fixture_random() % 8;
	for (uint32_t i = 0; i < count; i++, sequence++) {
		for (unsigned parts = fixture_random() % 3; parts; parts--)
			at = fixture_random() % 3 ? put_descriptor(at, sequence, 1 + fixture_random() % 20)
						  : put_revokes(at, sequence);
		bool torn = i + 1 == count && fixture_random() % 2;
		journal_commit_make(area, sequence, 1700000000, journal_at(at));
		if (torn)
			memset(journal_at(at), 0x5a, block_size);
		at = journal_next(area, at, 1);
	}
}

static const uint32_t formats[] = {
	JBD2_INCOMPAT_REVOKE,
	JBD2_INCOMPAT_REVOKE | JBD2_INCOMPAT_64BIT,
	JBD2_INCOMPAT_REVOKE | JBD2_INCOMPAT_CSUM_V2,
	JBD2_INCOMPAT_REVOKE | JBD2_INCOMPAT_CSUM_V2 | JBD2_INCOMPAT_64BIT,
	JBD2_INCOMPAT_REVOKE | JBD2_INCOMPAT_CSUM_V3,
	JBD2_INCOMPAT_REVOKE | JBD2_INCOMPAT_CSUM_V3 | JBD2_INCOMPAT_64BIT,
};

static void random_journals(const char *options, unsigned kib)
{
	unsigned rounds = getenv("FULL") ? 1000 : 15;
	open_image(options, kib);
	for (unsigned i = 0; i < rounds; i++) {
		host_power_on(&h, pristine);
		put_journal(formats[i % (sizeof(formats) / sizeof(formats[0]))]);
		assert_true(replay_by_e2fsck());
		host_start_with_deaths(&h, 30);
		assert_same_as_theirs();
		assert_true(volume_needs_recovery(h.volume));
		assert_int_equal(host_commit(&h), ERR_OK);
		assert_true(host_clean(&h));
	}
	close_image();
}

static void as_e2fsck_does(void **state)
{
	(void)state;
	fixture_seed(401);
	random_journals("-b 1024 -I 256 -O has_journal -J size=1", 6000);
}

static void as_e2fsck_does_4k(void **state)
{
	(void)state;
	fixture_seed(402);
	random_journals("-b 4096 -I 128 -O has_journal -J size=4", 16000);
}

// A wrong checksum inside a complete transaction: nothing is written, the volume is refused.
static void damage_is_refused(void **state)
{
	(void)state;
	fixture_seed(403);
	open_image("-b 1024 -I 256 -O has_journal -J size=1", 6000);
	for (unsigned i = 0; i < 40; i++) {
		host_power_on(&h, pristine);
		put_super(JBD2_INCOMPAT_REVOKE | JBD2_INCOMPAT_CSUM_V3, area->first, 7);
		uint32_t at = put_descriptor(area->first, 7, 10);
		journal_commit_make(area, 7, 1700000000, journal_at(at));
		journal_at(area->first + 1 + fixture_random() % 10)[fixture_random() % block_size] ^= 1;
		memcpy(theirs, h.image.bytes, h.image.disk.bytes);
		assert_int_equal(host_mount(&h), ERR_CORRUPT);
		assert_string_equal(h.volume->reason, "transaction 7 of the journal is damaged: e2fsck is needed");
		assert_memory_equal(theirs, h.image.bytes, h.image.disk.bytes);
	}
	close_image();
}

static void require_damage(const char *sentence)
{
	memcpy(theirs, h.image.bytes, h.image.disk.bytes);
	assert_int_equal(host_mount(&h), ERR_CORRUPT);
	assert_string_equal(h.volume->reason, sentence);
	assert_memory_equal(theirs, h.image.bytes, h.image.disk.bytes);
}

// A block that says what the journal is, in a transaction that was durable: what looks as if a power cut had torn it is
// told from that by a good commit block behind. Without one it is torn, and left out.
static void damaged_is_not_torn(void **state)
{
	(void)state;
	fixture_seed(405);
	open_image("-b 1024 -I 256 -O has_journal -J size=1", 6000);
	for (unsigned i = 0; i < 30; i++) {
		host_power_on(&h, pristine);
		uint32_t start = area->length - 1 - i; // over the end, too
		put_super(JBD2_INCOMPAT_REVOKE | (i & 1 ? JBD2_INCOMPAT_CSUM_V3 : JBD2_INCOMPAT_CSUM_V2), start, ~0u);
		uint32_t commit = put_descriptor(start, ~0u, 10);
		journal_commit_make(area, ~0u, 1700000000, journal_at(commit));
		uint32_t at = put_descriptor(journal_next(area, commit, 1), 0, 10);
		bool second = i % 3; // transaction 0 was committed
		journal_commit_make(area, second ? 0 : ~0u - 1, 1700000000, journal_at(at)); // the other one is old
		journal_at(start)[fixture_random() % block_size] ^= 4;
		require_damage("transaction 4294967295 of the journal is damaged, and 4294967295 was committed: e2fsck is needed");
		journal_at(commit)[fixture_random() % 40] ^= 4;
		if (second) {
			require_damage("transaction 4294967295 of the journal is damaged, and 0 was committed: e2fsck is needed");
			continue;
		}
		assert_int_equal(host_mount(&h), ERR_OK);
		assert_memory_equal(pristine + (size_t)targets[0] * 1024, h.image.bytes + (size_t)targets[0] * 1024, TARGETS * 1024);
	}
	close_image();
}

static void assert_refused(enum error error, const char *sentence)
{
	assert_int_equal(host_mount(&h), error);
	assert_string_equal(h.volume->reason, sentence);
	host_power_on(&h, pristine);
}

static void refusals(void **state)
{
	(void)state;
	open_image("-b 1024 -I 256 -O has_journal -J size=1", 6000);
	host_power_on(&h, pristine);
	put_super(JBD2_INCOMPAT_ASYNC_COMMIT, 1, 7);
	assert_refused(ERR_UNSUPPORTED, "the journal needs a feature that is not supported: async_commit");
	put_super(JBD2_INCOMPAT_FAST_COMMIT, 1, 7);
	assert_refused(ERR_UNSUPPORTED, "the journal needs a feature that is not supported: fast_commit");
	put_super(0x200, 1, 7);
	assert_refused(ERR_UNSUPPORTED, "the journal needs features that are not supported: bits 0x200");
	jbd2_put(area->super + JBD2_S_RO_COMPAT, 4);
	put_super(0, 1, 7);
	jbd2_put(area->super + JBD2_S_RO_COMPAT, 0);
	assert_refused(ERR_UNSUPPORTED, "the journal has features that are not supported: ro_compat bits 0x4");
	put_super(0, 5000, 7);
	assert_refused(ERR_CORRUPT, "the journal of 1024 blocks has its log from block 1 on and begins at block 5000");
	put_super(0, 1, 7);
	jbd2_put(journal_at(0), 0);
	assert_refused(ERR_CORRUPT, "the journal's magic number is 0x00000000 instead of 0xc03b3998");
	put_super(JBD2_INCOMPAT_CSUM_V3, 1, 7);
	journal_at(0)[JBD2_S_CHECKSUM] ^= 1;
	assert_refused(ERR_CORRUPT, "the checksum of the journal's superblock is wrong");
	put_super(0, 1, 7);
	h.image.disk.read_only = true;
	assert_refused(ERR_READ_ONLY, "the journal needs recovery, and the disk is read-only");
	h.image.disk.read_only = false;
	struct ext2_super *s = (struct ext2_super *)(void *)(h.image.bytes + 1024);
	s->journal_inum = 0;
	assert_refused(ERR_UNSUPPORTED, "the journal is on another device");
	close_image();
}

// Transactions that debugfs's own journal writer made.
static void of_debugfs(void **state)
{
	// With -c it writes checksums over transactions, but wrong ones where there are revoke records.
	static const char *const opens[] = {"jo", "jo -c"};
	char data[TEMPORARY_PATH], command[1024];
	(void)state;
	fixture_seed(404);
	open_image("-b 1024 -I 256 -O has_journal -J size=1", 6000);
	int fd = temporary_file(data);
	uint8_t block[1024];
	for (unsigned i = 0; i < 4; i++) {
		random_block(block);
		assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
	}
	close(fd);
	for (unsigned i = 0; i < 2; i++) {
		host_power_on(&h, pristine);
		put_super(0, 0, 1); // as after a clean unmount
		((struct ext2_super *)(void *)(h.image.bytes + 1024))->feature_incompat &= ~EXT3_INCOMPAT_RECOVER;
		snprintf(command, sizeof(command),
			 "printf '%s\\njw -b %u,%u,%u,%u %s\\n%s -r %u,%u\\njw -b %u -c %s\\njc\\n' | debugfs -w -f - $f > /dev/null 2>&1",
			 opens[i], targets[0], targets[1], targets[2], targets[3], data, i ? "#" : "jw", targets[2], targets[3],
			 targets[4], data);
		assert_true(host_change(&h, command));
		assert_true(replay_by_e2fsck());
		assert_int_equal(host_mount(&h), ERR_OK);
		assert_same_as_theirs();
		assert_memory_not_equal(h.image.bytes + (size_t)targets[0] * 1024, pristine + (size_t)targets[0] * 1024, 1024);
		bool revoked = memcmp(h.image.bytes + (size_t)targets[3] * 1024, pristine + (size_t)targets[3] * 1024, 1024) == 0;
		assert_int_equal(revoked, i == 0);
	}
	unlink(data);
	close_image();
}

// After a reboot the serials go on from the mark on the disk, and it is an attribute that others can read.
static void mark_is_on_the_disk(void **state)
{
	(void)state;
	open_image("-b 1024 -I 256 -O has_journal -J size=1", 6000);
	uint64_t serial = h.serial;
	assert_int_equal(serial, 2);
	host_power_on(&h, pristine);
	assert_int_equal(host_mount(&h), ERR_OK);
	assert_int_equal(h.serial, serial);
	assert_true(host_run(&h, "debugfs -R 'ea_get -x / trusted.planaria.mark' $f 2> /dev/null | "
		"grep -q '02 00 00 00 00 00 00 00'"));
	close_image();
}

// A number that would be the end of serials is taken for none; the log area's counts then.
static void mark_that_cannot_be(void **state)
{
	(void)state;
	open_image("-b 1024 -I 256 -O has_journal -J size=1", 6000);
	host_power_on(&h, pristine);
	assert_true(host_change(&h, "e2fsck -fy -E journal_only $f > /dev/null 2>&1; printf '\\376\\377\\377\\377\\377\\377\\377\\377' > $f.log; "
				    "debugfs -w -R \"ea_set -f $f.log / trusted.planaria.mark\" $f 2> /dev/null"));
	assert_int_equal(host_mount(&h), ERR_OK);
	assert_non_null(strstr(fixture_last_log, "18446744073709551614, cannot be"));
	assert_int_equal(h.serial, 0);
	assert_int_equal(host_call(&h, FS_OP_CHMOD, host_root(&h), 0755, 0, 0, 0, 0), ERR_OK);
	assert_int_equal(host_commit(&h), ERR_OK);
	assert_int_equal(host_reincarnate(&h), 0);
	assert_int_equal(h.serial, 1);
	assert_true(host_clean(&h));
	close_image();
}

// The superblock's changing fields are not what the check word is over: a death in the middle of an abort leaves the area known.
static void abort_leaves_the_area_known(void **state)
{
	(void)state;
	open_image("-b 1024 -I 256 -O has_journal -J size=1", 6000);
	assert_true(commit_journal_known(&h.image.disk));
	jbd2_put(h.volume->log.journal.area->super + JBD2_S_ERROR, JBD2_ABORTED);
	assert_true(commit_journal_known(&h.image.disk));
	h.volume->log.journal.area->super[JBD2_S_COMPAT] ^= 1;
	assert_false(commit_journal_known(&h.image.disk));
	close_image();
}

// What harms the attributes in memory does not keep operations from being committed.
static void commit_needs_no_attributes(void **state)
{
	struct inode root;
	(void)state;
	open_image("-b 1024 -I 256 -O has_journal -J size=1", 6000);
	host_power_on(&h, pristine);
	assert_int_equal(host_mount(&h), ERR_OK);
	assert_int_equal(inode_get(h.volume, EXT2_ROOT_INODE, &root), ERR_OK);
	root.raw->extra_isize = 0;
	cache_reseal(&h.volume->cache, root.buffer);
	inode_put(h.volume, &root);
	assert_int_equal(host_call(&h, FS_OP_CHMOD, host_root(&h), 0700, 0, 0, 0, 0), ERR_OK);
	assert_int_equal(host_commit(&h), ERR_OK);
	assert_int_equal(h.volume->cache.dirty.count, 0);
	close_image();
}

static void checksum_is_crc32c(void **state)
{
	(void)state;
	assert_int_equal(~checksum_crc32c(~0u, "123456789", 9), 0xe3069283);
}

static uint32_t crc_bit_by_bit(uint32_t crc, const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < 8 * length; i++) {
		bool odd = (crc ^ bytes[i / 8] >> i % 8) & 1;
		crc = crc >> 1 ^ (odd ? 0x82f63b78u : 0);
	}
	return crc;
}

// Any place and length, with stretches in which all bits are alike, or all but one.
static void checksum_of_anything(void **state)
{
	static uint8_t bytes[4096 + 64] __attribute__((aligned(64)));
	(void)state;
	for (unsigned round = 0; round < 400; round++) {
		for (size_t at = 0, n; at < sizeof(bytes); at += n) {
			unsigned kind = fixture_random() % 3;
			n = 1 + fixture_random() % (round % 2 ? 200 : 2000);
			n = n < sizeof(bytes) - at ? n : sizeof(bytes) - at;
			for (size_t i = 0; i < n; i++)
				bytes[at + i] = kind == 2 ? (uint8_t)fixture_random() : kind ? 0xff : 0;
			bytes[at + fixture_random() % n] ^= (uint8_t)(fixture_random() % 2 << fixture_random() % 8);
		}
		size_t from = fixture_random() % 64, length = fixture_random() % 4 ? fixture_random() % 300 : 4096;
		uint32_t seed = fixture_random() % 4 ? fixture_random() : 0;
		assert_int_equal(checksum_crc32c(seed, bytes + from, length), crc_bit_by_bit(seed, bytes + from, length));
	}
}

static void random_pieces(uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		bytes[i] = i % 32 == 0 && fixture_random() % 2 ? (uint8_t)fixture_random() : 0;
}

// Rows of zeros with one number of 16 bits, and four bytes behind where that one begins one of 32.
static void join_two(size_t size)
{
	static uint8_t rows[4096];
	uint32_t low[32], high[32];
	memset(rows, 0, sizeof(rows));
	for (size_t i = 0; i < sizeof(rows) / size; i++) {
		low[i] = fixture_random() & 0xffff;
		high[i] = fixture_random();
		for (unsigned byte = 0; byte < 4; byte++) {
			rows[(i + 1) * size - 8 + byte] = (uint8_t)(low[i] >> 8 * byte);
			rows[(i + 1) * size - 4 + byte] = (uint8_t)(high[i] >> 8 * byte);
		}
	}
	uint32_t joined = checksum_join_two(low, high, (unsigned)(sizeof(rows) / size), size);
	assert_int_equal(checksum_zeros(joined, 4), crc_bit_by_bit(0, rows, sizeof(rows)));
}

// The ways in which sums are put together from others: zeros that follow, parts of one size, rows that are much alike.
static void checksum_from_others(void **state)
{
	static uint8_t one[4096] __attribute__((aligned(8)));
	static const uint8_t zeros[4096];
	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		uint32_t seed = fixture_random(), parts[32], rows[32];
		size_t length = fixture_random() % (round % 2 ? 4097 : 600), size = 128u << fixture_random() % 4;
		assert_int_equal(checksum_zeros(seed, length), crc_bit_by_bit(seed, zeros, length));
		random_pieces(one, sizeof(one));
		for (size_t at = size; at < sizeof(one); at += size)
			if (fixture_random() % 4)
				memcpy(one + at, one + at - size + 8 * (fixture_random() % 2), size - 8);
		for (size_t i = 0; i < sizeof(one) / size; i++)
			parts[i] = crc_bit_by_bit(0, one + i * size, size);
		assert_int_equal(checksum_join(parts, (unsigned)(sizeof(one) / size), size), crc_bit_by_bit(0, one, sizeof(one)));
		uint32_t known = fixture_random() & (round % 2 ? ~0u : 0);
		memcpy(rows, parts, sizeof(rows)); // the others are made
		for (size_t i = 0; i < sizeof(one) / size; i++)
			rows[i] ^= known >> i & 1 ? 0 : fixture_random();
		checksum_rows(one, (unsigned)(sizeof(one) / size), size, known, rows);
		assert_memory_equal(rows, parts, sizeof(one) / size * sizeof(*rows));
		join_two(size);
		uint64_t word = fixture_random() | (uint64_t)fixture_random() << 32;
		assert_int_equal(checksum_word(seed, word), crc_bit_by_bit(seed, (const uint8_t *)&word, sizeof(word)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checksum_is_crc32c), cmocka_unit_test(checksum_of_anything), cmocka_unit_test(checksum_from_others), cmocka_unit_test(as_e2fsck_does), cmocka_unit_test(as_e2fsck_does_4k),
		cmocka_unit_test(damage_is_refused),  cmocka_unit_test(refusals),	cmocka_unit_test(of_debugfs),
		cmocka_unit_test(mark_is_on_the_disk), cmocka_unit_test(mark_that_cannot_be), cmocka_unit_test(commit_needs_no_attributes),
		cmocka_unit_test(abort_leaves_the_area_known), cmocka_unit_test(damaged_is_not_torn),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
