// Hostile images: metadata with bits flipped and words replaced. Whatever the disk says, nothing is touched that is not
// ours (the sanitizers watch), everything ends, and errors are errors.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "model.h"
#include <stdlib.h>
#include <string.h>

static unsigned mounted, errors, corruptions;

static void note(enum error error)
{
	errors += error != ERR_OK;
}

static void walk(struct host *h, uint64_t directory, unsigned depth);

static void try_entry(struct host *h, uint64_t directory, const char *name, uint32_t length, unsigned depth)
{
	if (host_call(h, FS_OP_LOOKUP, directory, 0, 0, name, length, 0) != ERR_OK)
		return;
	uint64_t handle = h->result[0];
	uint32_t mode = (uint32_t)h->result[1] & FS_MODE_TYPE;
	note(host_call(h, FS_OP_STAT, handle, 0, 0, 0, 0, 72));
	note(host_call(h, FS_OP_READLINK, handle, 0, 0, 0, 0, 4096));
	for (uint64_t at = 0; at < 300000; at += 50000)
		note(host_call(h, FS_OP_READ, handle, at, 0, 0, 0, 50000));
	if (mode == FS_MODE_DIRECTORY && depth < 4)
		walk(h, handle, depth + 1);
	switch (fixture_random() % 6) {
	case 0:
		note(host_call(h, FS_OP_UNLINK, directory, 0, 0, name, length, 0));
		break;
	case 1:
		note(host_call(h, FS_OP_TRUNCATE, handle, fixture_random() % 20000, 0, 0, 0, 0));
		break;
	case 2:
		note(host_call(h, FS_OP_WRITE, handle, fixture_random() % 100000, 0, h->in, 30000, 0));
		break;
	case 3:
		note(host_call(h, FS_OP_RENAME, directory, host_root(h), 0, "a\0b", 3, 0));
		note(host_call(h, FS_OP_LINK, handle, directory, 0, "new-link", 8, 0));
		break;
	case 4:
		note(host_call(h, FS_OP_RMDIR, directory, 0, 0, name, length, 0));
		note(host_call(h, FS_OP_MKDIR, directory, 0755, 0, "new-dir", 7, 0));
		break;
	}
}

static void walk(struct host *h, uint64_t directory, unsigned depth)
{
	uint64_t cookie = 0;
	uint8_t *listing = malloc(2048);
	bool end = false;
	for (unsigned turns = 0; !end && turns < 20; turns++) {
		if (host_call(h, FS_OP_READDIR, directory, cookie, 0, 0, 0, 2048) != ERR_OK)
			break;
		size_t bytes = h->result[0];
		cookie = h->result[1];
		end = h->result[2];
		memcpy(listing, h->in, bytes);
		for (size_t at = 0; at < bytes;) {
			struct fs_dirent e;
			memcpy(&e, listing + at, sizeof(e));
			const char *name = (const char *)listing + at + sizeof(e);
			at += e.record;
			if (e.name_length > 2 || name[0] != '.')
				try_entry(h, directory, name, e.name_length, depth);
		}
	}
	free(listing);
}

static void fill(struct host *h)
{
	struct model m;
	fixture_seed(5);
	assert_int_equal(host_mount(h), ERR_OK);
	model_make(&m, h);
	for (unsigned i = 0; i < 400; i++)
		assert_true(model_step(&m, h));
	uint64_t big = host_root(h);
	assert_int_equal(host_call(h, FS_OP_CREATE, big, 0100644, 0, "big", 3, 0), ERR_OK);
	big = h->result[0];
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(host_call(h, FS_OP_WRITE, big, i * 40000, 0, h->in, 40000, 0), ERR_OK);
	assert_int_equal(host_commit(h), ERR_OK);
	model_free(&m);
}

// Metadata is where damage is interesting: superblock, descriptors, bitmaps, inode tables, directories, indirect blocks
// lie in the first part of each group of this image.
static void damage(struct host *h, uint64_t bytes)
{
	unsigned n = 1 + fixture_random() % 100;
	for (unsigned i = 0; i < n; i++) {
		uint64_t at = 1024 + fixture_random() % (bytes - 1024);
		uint32_t word = fixture_random() % 3 ? fixture_random() % 3000 : fixture_random();
		if (fixture_random() & 1)
			h->image.bytes[at] ^= (uint8_t)(1u << fixture_random() % 8);
		else
			memcpy(h->image.bytes + (at & ~3ull), &word, 4);
	}
}

// The superblock and the descriptors are pinned while mounted; after a commit all else is idle.
static unsigned pinned_clean(const struct cache *c, const struct volume *v)
{
	return c->dirty.count == 0 ? 1 + v->descriptor_blocks : c->buffer_count - c->idle.count - c->dirty.count;
}

struct campaign {
	const char *options;
	unsigned kib;
	uint64_t bytes; // that are damaged, from the start
	unsigned rounds;
};

static void campaign(void **state)
{
	const struct campaign *c = *state;
	unsigned rounds = getenv("FULL") ? 5000 : c->rounds;
	struct host h;
	fixture_quiet = true;
	host_make(&h, c->options, c->kib, 0, 512 << 10, 256 << 10);
	fill(&h);
	uint8_t *pristine = malloc(h.image.disk.bytes);
	memcpy(pristine, h.image.bytes, h.image.disk.bytes);
	for (unsigned i = 0; i < rounds; i++) {
		memcpy(h.image.bytes, pristine, h.image.disk.bytes);
		fixture_seed(1000 + i);
		damage(&h, i % 8 == 7 ? 2048 : i % 2 ? c->bytes : c->bytes / 6);
		h.serial = h.mark = 0;
		if (host_mount(&h) != ERR_OK)
			continue;
		h.volume->lenient = true;
		mounted++;
		walk(&h, host_root(&h), 0);
		note(host_commit(&h));
		corruptions += (unsigned)h.volume->corruptions;
		const struct cache *cache = &h.volume->cache; // no pin leaks on any error's way
		assert_int_equal(cache->buffer_count - cache->idle.count - cache->dirty.count, pinned_clean(cache, h.volume));
	}
	free(pristine);
	host_free(&h);
	fixture_quiet = false;
}

static void noise(void **state)
{
	struct host h;
	(void)state;
	host_make(&h, "-b 1024", 1000, 0, 512 << 10, 256 << 10);
	for (unsigned i = 0; i < 200; i++) {
		for (uint64_t at = 0; at < h.image.disk.bytes; at++)
			h.image.bytes[at] = (uint8_t)fixture_random();
		if (i & 1) { // a magic number is not enough
			h.image.bytes[1024 + 56] = 0x53;
			h.image.bytes[1024 + 57] = 0xef;
			memset(h.image.bytes + 1024 + 96, 0, 12);
			memset(h.image.bytes + 1024 + 76, i & 2 ? 0 : 1, 1);
			memset(h.image.bytes + 1024 + 77, 0, 3);
		}
		assert_int_not_equal(host_mount(&h), ERR_OK);
		assert_true(h.volume->reason[0]);
	}
	host_free(&h);
}

#define CAMPAIGN(name, ...) CASE(name, campaign, &(const struct campaign){__VA_ARGS__})

int main(void)
{
	const struct CMUnitTest tests[] = {
		CAMPAIGN(damaged_1k, "-b 1024 -I 128 -N 400", 3000, 400 * 1024, 300),
		CAMPAIGN(damaged_4k, "-b 4096 -I 256 -N 400", 6000, 600 * 1024, 200),
		// without checksums, so that damage gets as far as it can
		CAMPAIGN(damaged_extents, "-t ext4 -O ^has_journal,^metadata_csum -b 1024 -N 400", 3000, 700 * 1024, 300),
		CAMPAIGN(damaged_with_checksums, "-t ext4 -O ^has_journal -b 1024 -N 400", 3000, 700 * 1024, 100),
		cmocka_unit_test(noise),
	};
	int failed = cmocka_run_group_tests(tests, 0, 0);
	printf("%u damaged images mounted, %u errors, %u corruptions reported\n", mounted, errors, corruptions);
	return failed;
}
