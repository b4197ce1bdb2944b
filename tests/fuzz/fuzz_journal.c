// Fuzzer of the journal: the input is a program that makes the blocks of a journal, then the volume is mounted.
//
// Input: 6 bytes (which image, tame or wild, features of the journal, start, sequence, at which write of the mount the machine
// dies), then commands: a descriptor with its blocks, a revoke block, a commit block, another sequence number, another
// place, bytes anywhere in the journal. Checksums are made, so that what is behind them is reached.
// A tame journal is well-formed, in one of six formats, with numbers that wrap and a log that goes over the end; its blocks
// belong to one file. A plain model beside it (struct replayed) says what that file must hold afterwards, also if the first
// mount died in the middle, and the volume must then take writes, commit them, and have them after a power cut.
// A wild one may say anything, of any block. Whatever it says: a mount that refuses a transaction has written nothing,
// nobody writes into the journal before it is taken over, and a volume that is mounted can be read, written and committed.
// Images of 512 KiB that the fallback's own formatter makes, with a journal of 300 blocks, by pointers or by extents.
#include "servers/fs/ops.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 1024u
#define IMAGE_BYTES 0x80000u
#define IMAGE_BLOCKS (IMAGE_BYTES / BLOCK)
#define LOG_BYTES 0x60000u
#define CACHE_BYTES 0x60000u
#define JOURNAL_BLOCKS 300u
#define TARGETS 80u // more than a replay writes at once
#define EVENTS 600u
#define NEVER (~0u)

#define REQUIRE(condition)                                                                                             \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                \
			abort();                                                                                       \
		}                                                                                                      \
	} while (0)

static uint8_t image[IMAGE_BYTES], before[IMAGE_BYTES];
static uint8_t log_area[LOG_BYTES] __attribute__((aligned(4096)));
static uint8_t cache[CACHE_BYTES] __attribute__((aligned(64)));
static uint8_t in[FS_TRANSFER_MAX], content[JOURNAL_BLOCKS * BLOCK];
static struct volume volume;
static struct disk disk;
static enum error (*disk_write)(struct disk *disk, uint64_t offset, const uint8_t *from, uint32_t bytes);
static bool mounting;
static uint32_t writes_left = NEVER; // until the machine dies
static const struct cache_memory memory = {cache, sizeof(cache), sizeof(cache), 0};

// A valid image, and where things lie in it.
static struct pristine {
	uint8_t bytes[IMAGE_BYTES];
	struct journal_area area;
	uint32_t targets[TARGETS];
	uint64_t file;
} pristine[2];

// What a tame journal says, in order.
struct event {
	uint32_t transaction; // counted from 0
	uint32_t target;
	uint32_t word; // the block is full of it; revoked: nothing
	bool revoke;
};

static struct made {
	struct pristine *from;
	struct journal_area area; // with the features of this input
	const uint8_t *data, *end;
	bool wild;
	uint32_t index; // of the next block
	uint32_t sequence;
	uint32_t blocks; // made so far
	uint32_t transactions; // complete
	struct event events[EVENTS];
	unsigned count;
} made;

// ---- the disk ----

static bool is_of_journal(uint32_t block, uint32_t from_index)
{
	for (uint32_t i = from_index, run; made.from->area.run_count && i < JOURNAL_BLOCKS; i += run) {
		uint32_t first = journal_block(&made.from->area, i, &run);
		if (block - first < run)
			return true;
	}
	return false;
}

static enum error watched_write(struct disk *d, uint64_t offset, const uint8_t *from, uint32_t bytes)
{
	if (writes_left == 0)
		return ERR_PEER_LOST;
	writes_left -= writes_left != NEVER;
	for (uint64_t at = offset; mounting && at < offset + bytes; at += BLOCK)
		REQUIRE(!is_of_journal((uint32_t)(at / BLOCK), 1));
	return disk_write(d, offset, from, bytes);
}

static void open_disk(uint8_t *bytes)
{
	memory_disk_open(&disk, bytes, IMAGE_BYTES, log_area, LOG_BYTES);
	disk_write = disk.write;
	disk.write = watched_write;
	memset(log_area, 0, sizeof(log_area));
	commit_format(&disk);
}

static enum error mount_image(uint32_t writes)
{
	uint64_t mark;
	open_disk(image);
	mounting = true;
	writes_left = writes;
	enum error error = volume_mount(&volume, &disk, &memory, false, &mark);
	volume.lenient = true;
	mounting = false;
	writes_left = NEVER;
	return error;
}

static bool commit(void)
{
	uint32_t count;
	if (fsop_commit_begin(&volume, 1, &count) != ERR_OK)
		return false;
	if (count) {
		REQUIRE(fsop_commit_write(&volume) == ERR_OK && commit_checkpoint(&volume.log) == ERR_OK);
		fsop_commit_end(&volume);
	}
	return true;
}

static enum error call(uint16_t op, uint64_t a0, uint64_t a1, const uint8_t *payload, uint32_t length, uint32_t room,
		       uint64_t result[5])
{
	struct request request = {.op = op, .arg = {a0, a1}, .out_length = length, .in_length = room};
	struct fs_call c = {&request, payload, in, 1700000001, 0, 0};
	uint32_t need = fsop_need(&volume, &request);
	if (need > volume_dirty_limit(&volume))
		return ERR_TOO_BIG;
	if (volume.cache.dirty.count + need > volume_dirty_limit(&volume) && !commit())
		return ERR_DEVICE;
	return fsop_perform(&volume, &c, result);
}

// ---- the valid images ----

static uint64_t make_file(uint64_t root, const char *name, uint32_t blocks)
{
	uint64_t result[5], handle;
	REQUIRE(call(FS_OP_CREATE, root, 0100644, (const uint8_t *)name, (uint32_t)strlen(name), 0, result) == ERR_OK);
	handle = result[0];
	for (uint32_t i = 0; i < blocks; i += 20)
		REQUIRE(call(FS_OP_WRITE, handle, i * BLOCK, content, 20 * BLOCK, 0, result) == ERR_OK);
	return handle;
}

static void put_first_super(uint8_t *s)
{
	static const uint32_t fields[][2] = {{0, JBD2_MAGIC}, {4, JBD2_SUPER_V2}, {JBD2_S_BLOCK_SIZE, BLOCK},
					     {JBD2_S_LENGTH, JOURNAL_BLOCKS}, {JBD2_S_FIRST, 1}, {JBD2_S_SEQUENCE, 1},
					     {JBD2_S_USERS, 1}};
	for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		jbd2_put(s + fields[i][0], fields[i][1]);
}

static void find_blocks(uint64_t handle, uint32_t *blocks, uint32_t count)
{
	struct inode inode;
	REQUIRE(inode_open(&volume, handle, &inode) == ERR_OK);
	for (uint32_t i = 0, run; i < count; i++)
		REQUIRE(bmap_find(&volume, &inode, i, 1, &blocks[i], &run) == ERR_OK && blocks[i]);
	inode_put(&volume, &inode);
}

static void make_pristine(struct pristine *p, uint32_t features)
{
	uint64_t result[5], journal;
	uint32_t first, bytes;
	struct ext2_super *s = (struct ext2_super *)(void *)(p->bytes + EXT2_SUPER_OFFSET);
	memory_disk_format(p->bytes, IMAGE_BYTES, 1700000000);
	s->feature_incompat |= features;
	open_disk(p->bytes);
	REQUIRE(volume_open(&volume, &disk, &memory) == ERR_OK);
	REQUIRE(call(FS_OP_ROOT, 0, 0, 0, 0, 0, result) == ERR_OK);
	journal = make_file(result[0], "journal", JOURNAL_BLOCKS);
	p->file = make_file(result[0], "file", TARGETS);
	REQUIRE(commit());
	find_blocks(p->file, p->targets, TARGETS);
	find_blocks(journal, &first, 1);
	s->journal_inum = FS_HANDLE_INODE(journal);
	s->feature_compat |= EXT3_COMPAT_HAS_JOURNAL;
	put_first_super(p->bytes + (size_t)first * BLOCK);
	memcpy(image, p->bytes, IMAGE_BYTES);
	REQUIRE(mount_image(NEVER) == ERR_OK);
	p->area = *commit_journal_area(&disk, &bytes);
}

// ---- making a journal ----

static uint32_t take(unsigned bytes)
{
	uint32_t value = 0;
	for (; bytes; bytes--)
		value = value << 8 | (made.data < made.end ? *made.data++ : 0);
	return value;
}

static uint8_t *journal_at(uint32_t index)
{
	uint32_t run;
	return image + (size_t)journal_block(&made.from->area, index, &run) * BLOCK;
}

static uint8_t *next_block(void)
{
	uint8_t *block = journal_at(made.index);
	made.index = journal_next(&made.from->area, made.index, 1);
	made.blocks++;
	return block;
}

// Of a wild one any block: of the volume's metadata, of the journal, behind the end.
static uint32_t take_target(uint32_t *target)
{
	*target = take(1);
	if (made.wild && *target >= 0x80)
		return (*target & 0x7f) == 0x7f ? take(4) : (*target & 0x7f) * 5;
	*target %= TARGETS;
	return made.from->targets[*target];
}

static void note(uint32_t target, uint32_t word, bool revoke)
{
	made.events[made.count++] = (struct event){made.transactions, target, word, revoke};
}

static void make_descriptor(void)
{
	struct journal_tag tags[24];
	uint8_t *block = next_block();
	uint32_t count = 1 + take(1) % 24, target;
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *to = next_block();
		tags[i] = (struct journal_tag){.block = take_target(&target)};
		bool escaped = take(1) % 4 == 0;
		uint32_t word = escaped ? JBD2_MAGIC : 0x5a000000 + made.count;
		for (uint32_t at = 0; at < BLOCK; at += 4)
			jbd2_put(to + at, word);
		if (escaped) {
			tags[i].flags = JBD2_TAG_ESCAPED;
			jbd2_put(to, 0);
		}
		if (journal_has_checksums(&made.area))
			tags[i].checksum = journal_tag_checksum(&made.area, made.sequence, to);
		note(target, word, false);
	}
	journal_descriptor_make(&made.area, made.sequence, tags, count, block);
}

static void make_revoke(void)
{
	uint32_t list[24], count = take(1) % 24, target;
	for (uint32_t i = 0; i < count; i++) {
		list[i] = take_target(&target);
		note(target, 0, true);
	}
	uint8_t *block = next_block();
	journal_revoke_make(&made.area, made.sequence, list, count, block);
	if (made.wild && count == 0 && !journal_has_checksums(&made.area))
		jbd2_put(block + JBD2_REVOKE_USED, take(4));
}

static void make_commit(void)
{
	journal_commit_make(&made.area, made.sequence++, 1700000000, next_block());
	made.transactions++;
}

static void make_damage(void)
{
	uint8_t *block = journal_at(take(2) % JOURNAL_BLOCKS);
	uint32_t at = take(2) % BLOCK;
	block[at] = (uint8_t)take(1);
}

static void make_command(void)
{
	uint32_t command = take(1) % (made.wild ? 6 : 3);
	switch (command) {
	case 0:
		make_descriptor();
		return;
	case 1:
		make_revoke();
		return;
	case 2:
		make_commit();
		return;
	case 3:
		made.sequence = take(1) & 1 ? made.sequence - 1 : take(4);
		return;
	case 4:
		made.index = take(2) % JOURNAL_BLOCKS;
		return;
	default:
		make_damage();
	}
}

// Room for one more command: the log is not overrun, and the events fit.
static bool has_room(void)
{
	return made.data < made.end && made.count + 24 < EVENTS && (made.wild || made.blocks + 26 < JOURNAL_BLOCKS - 1);
}

static void make_journal(uint32_t features, uint32_t start, uint32_t sequence)
{
	static const uint32_t versions[] = {0, JBD2_INCOMPAT_CSUM_V2, JBD2_INCOMPAT_CSUM_V3, 0};
	struct journal_area *area = &made.area;
	*area = made.from->area;
	area->incompat = JBD2_INCOMPAT_REVOKE | versions[features & 3] | (features & 4 ? JBD2_INCOMPAT_64BIT : 0);
	made.index = 1 + start % (JOURNAL_BLOCKS - 1);
	made.sequence = sequence & 0x80 ? ~0u - (sequence & 3) : sequence;
	jbd2_put(area->super + JBD2_S_INCOMPAT, area->incompat);
	area->super[JBD2_S_CHECKSUM_TYPE] = journal_has_checksums(area) ? JBD2_CHECKSUM_CRC32C : 0;
	journal_super_make(area, made.index, made.sequence);
	memcpy(journal_at(0), area->super, JBD2_SUPER_SIZE);
	((struct ext2_super *)(void *)(image + EXT2_SUPER_OFFSET))->feature_incompat |= EXT3_INCOMPAT_RECOVER;
	made.blocks = made.transactions = made.count = 0;
	while (has_room())
		make_command();
}

// ---- what must be so afterwards ----

static bool event_revoked(const struct event *e)
{
	for (unsigned i = 0; i < made.count; i++) {
		const struct event *r = &made.events[i];
		if (r->revoke && r->target == e->target && r->transaction >= e->transaction && r->transaction < made.transactions)
			return true;
	}
	return false;
}

static void require_replayed(void)
{
	static uint32_t words[TARGETS];
	memset(words, 0, sizeof(words));
	for (unsigned i = 0; i < made.count; i++) {
		const struct event *e = &made.events[i];
		if (!e->revoke && e->transaction < made.transactions && !event_revoked(e))
			words[e->target] = e->word;
	}
	for (unsigned t = 0; t < TARGETS; t++) {
		const uint8_t *block = image + (size_t)made.from->targets[t] * BLOCK;
		for (unsigned i = 0; i < BLOCK; i += 4)
			REQUIRE(jbd2_get(block + i) == words[t]);
	}
}

static void require_serves(void)
{
	uint64_t result[5];
	static const uint8_t text[] = "after the replay";
	for (unsigned i = 0; i < 3; i++) {
		REQUIRE(call(FS_OP_WRITE, made.from->file, i * 10 * BLOCK, text, sizeof(text), 0, result) == ERR_OK);
		REQUIRE(call(FS_OP_TRUNCATE, made.from->file, (30 - i) * BLOCK, 0, 0, 0, result) == ERR_OK);
		REQUIRE(commit());
	}
	REQUIRE(mount_image(NEVER) == ERR_OK); // nothing but the disk is left
	REQUIRE(call(FS_OP_READ, made.from->file, 20 * BLOCK, 0, 0, sizeof(text), result) == ERR_OK);
	REQUIRE(result[0] == sizeof(text) && result[1] == 28 * BLOCK && memcmp(in, text, sizeof(text)) == 0);
}

static void judge_tame(uint32_t death)
{
	if (death && mount_image(death - 1) == ERR_OK)
		require_replayed();
	REQUIRE(mount_image(NEVER) == ERR_OK);
	require_replayed();
	require_serves();
}

static void judge_wild(void)
{
	uint64_t result[5];
	memcpy(before, image, IMAGE_BYTES);
	enum error error = mount_image(NEVER);
	if (error != ERR_OK) {
		if (strstr(volume.reason, "of the journal is damaged"))
			REQUIRE(memcmp(before, image, IMAGE_BYTES) == 0);
		return;
	}
	(void)call(FS_OP_READ, made.from->file, 0, 0, 0, 50000, result);
	(void)call(FS_OP_READDIR, FS_HANDLE(EXT2_ROOT_INODE, 0), 0, 0, 0, 2000, result);
	(void)call(FS_OP_WRITE, made.from->file, 0, content, 3000, 0, result);
	(void)call(FS_OP_TRUNCATE, made.from->file, 2000, 0, 0, 0, result);
	(void)call(FS_OP_MKDIR, FS_HANDLE(EXT2_ROOT_INODE, 0), 0755, (const uint8_t *)"d", 1, 0, result);
	if (commit())
		(void)mount_image(NEVER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	made.from = &pristine[0];
	if (!ready) {
		make_pristine(&pristine[0], 0);
		made.from = &pristine[1];
		make_pristine(&pristine[1], EXT4_INCOMPAT_EXTENTS | EXT4_INCOMPAT_FLEX_BG);
	}
	ready = true;
	made.data = data;
	made.end = data + size;
	uint32_t kind = take(1), death = take(1) % 16, features = take(1), start = take(2), sequence = take(1);
	made.from = &pristine[kind & 1];
	made.wild = kind & 2;
	memcpy(image, made.from->bytes, IMAGE_BYTES);
	make_journal(features, start, sequence);
	if (made.wild)
		judge_wild();
	else
		judge_tame(death);
	return 0;
}
