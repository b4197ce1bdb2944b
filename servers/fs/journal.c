// The journal: place, state and format of its blocks. Pure: reads and writes no disk.
//
// Owns: struct journal_area (what the log area keeps of the journal) and the layout of every block that is written to it.
// Must never believe a field of a superblock, tag or revoke block that it has not bounded.
// One transaction is committed at a time and is in place (checkpointed) before the next one is begun. So all that the
// journal needs to hold is the last one; the older ones stay until their room is needed, and are then dropped together: the
// tail moves seldom, from one lap to the next. Meanwhile a replay may write old content of a block. It is harmless as long as
// newer content of that block stands later in the journal. Two rules keep that for blocks that become content of files,
// which is written in place: freeing a block that the journal may hold writes a revoke record; and content of a block that
// the journal may still hold (the filter says so) goes through the journal.
// If the server dies: the area survives, with check words; if one is wrong, the journal is read from the disk as after a
// power cut (mount.c). The filter has no check word, since any death may leave it half changed: so bits are set before a record is
// valid and cleared only while one says so, and it never has too few.
#include "servers/fs/journal.h"
#include "abi/channel.h"
#include "servers/fs/volume.h"
#include <stdio.h>
#include <string.h>

#define JOURNAL_CHECK_SEED 0x6a6f75726e616c00ull
#define JOURNAL_BLOCKS_MIN 256u // fewer cannot hold one operation's worst case
#define INCOMPAT_KNOWN (JBD2_INCOMPAT_REVOKE | JBD2_INCOMPAT_64BIT | JBD2_INCOMPAT_CSUM_V2 | JBD2_INCOMPAT_CSUM_V3)

static const struct {
	uint32_t bit;
	const char *name;
} incompat_names[] = {
	{JBD2_INCOMPAT_ASYNC_COMMIT, "async_commit"},
	{JBD2_INCOMPAT_FAST_COMMIT, "fast_commit"},
};

#define REFUSE(error, ...) (snprintf(reason, room, __VA_ARGS__), (error))

// ---- the area ----

uint32_t journal_area_bytes(uint64_t log_bytes)
{
	uint32_t filter = 1024;
	while (filter * 128ull <= log_bytes)
		filter *= 2;
	uint32_t bytes = (uint32_t)sizeof(struct journal_area) + filter;
	return (bytes + 4095) & ~4095u;
}

static uint32_t filter_bytes(uint32_t area_bytes)
{
	uint32_t filter = 1024;
	while (filter * 2 + sizeof(struct journal_area) <= area_bytes)
		filter *= 2;
	return filter;
}

static enum error refuse_features(uint32_t incompat, char *reason, size_t room)
{
	for (unsigned i = 0; i < sizeof(incompat_names) / sizeof(incompat_names[0]); i++) {
		if (incompat & incompat_names[i].bit)
			return REFUSE(ERR_UNSUPPORTED, "the journal needs a feature that is not supported: %s",
				      incompat_names[i].name);
	}
	return REFUSE(ERR_UNSUPPORTED, "the journal needs features that are not supported: bits 0x%x",
		      incompat & ~INCOMPAT_KNOWN);
}

static uint32_t super_checksum(const uint8_t *super)
{
	static const uint8_t zero[4];
	uint32_t crc = checksum_crc32c(~0u, super, JBD2_S_CHECKSUM);
	crc = checksum_crc32c(crc, zero, sizeof(zero));
	return checksum_crc32c(crc, super + JBD2_S_CHECKSUM + 4, JBD2_SUPER_SIZE - JBD2_S_CHECKSUM - 4);
}

static enum error check_super(const uint8_t *s, uint32_t block_size, char *reason, size_t room)
{
	uint32_t type = jbd2_get(s + 4), incompat = jbd2_get(s + JBD2_S_INCOMPAT);
	if (jbd2_get(s) != JBD2_MAGIC)
		return REFUSE(ERR_CORRUPT, "the journal's magic number is 0x%08x instead of 0xc03b3998", jbd2_get(s));
	if (type != JBD2_SUPER_V2)
		return REFUSE(ERR_UNSUPPORTED, "the journal's superblock has type %u; version 2 (type 4) is supported", type);
	if (jbd2_get(s + JBD2_S_BLOCK_SIZE) != block_size)
		return REFUSE(ERR_CORRUPT, "the journal's blocks have %u bytes, the volume's have %u",
			      jbd2_get(s + JBD2_S_BLOCK_SIZE), block_size);
	if (incompat & ~INCOMPAT_KNOWN)
		return refuse_features(incompat, reason, room);
	if (jbd2_get(s + JBD2_S_RO_COMPAT)) // there are none yet
		return REFUSE(ERR_UNSUPPORTED, "the journal has features that are not supported: ro_compat bits 0x%x",
			      jbd2_get(s + JBD2_S_RO_COMPAT));
	bool v2 = incompat & JBD2_INCOMPAT_CSUM_V2, v3 = incompat & JBD2_INCOMPAT_CSUM_V3;
	if (v2 && v3)
		return REFUSE(ERR_CORRUPT, "the journal claims both versions of checksums");
	if ((v2 || v3) && s[JBD2_S_CHECKSUM_TYPE] != JBD2_CHECKSUM_CRC32C)
		return REFUSE(ERR_UNSUPPORTED, "the journal's checksums are of type %u; 4 (crc32c) is supported",
			      s[JBD2_S_CHECKSUM_TYPE]);
	if ((v2 || v3) && jbd2_get(s + JBD2_S_CHECKSUM) != super_checksum(s))
		return REFUSE(ERR_CORRUPT, "the checksum of the journal's superblock is wrong");
	return ERR_OK;
}

enum error journal_area_fill(struct journal_area *area, uint32_t area_bytes, const uint8_t *super, uint32_t block_size,
			     uint64_t inode_blocks, char *reason, size_t room)
{
	enum error error = check_super(super, block_size, reason, room);
	if (error != ERR_OK)
		return error;
	memset(area, 0, sizeof(*area));
	memcpy(area->super, super, JBD2_SUPER_SIZE);
	area->block_size = block_size;
	area->length = jbd2_get(super + JBD2_S_LENGTH);
	area->first = jbd2_get(super + JBD2_S_FIRST);
	area->incompat = jbd2_get(super + JBD2_S_INCOMPAT);
	area->sequence = jbd2_get(super + JBD2_S_SEQUENCE);
	area->tail = jbd2_get(super + JBD2_S_START);
	area->seed = checksum_crc32c(~0u, super + JBD2_S_UUID, JBD2_UUID_SIZE);
	area->filter_bytes = filter_bytes(area_bytes);
	if (area->length > inode_blocks || area->length < JOURNAL_BLOCKS_MIN)
		return REFUSE(ERR_CORRUPT, "the journal claims %u blocks; %u to %llu are possible", area->length,
			      JOURNAL_BLOCKS_MIN, (unsigned long long)inode_blocks);
	if (area->first == 0 || area->first > 16 || (area->tail && (area->tail < area->first || area->tail >= area->length)))
		return REFUSE(ERR_CORRUPT, "the journal of %u blocks has its log from block %u on and begins at block %u",
			      area->length, area->first, area->tail);
	return ERR_OK;
}

static uint64_t mix_bytes(uint64_t x, const void *data, size_t bytes)
{
	const uint8_t *p = data;
	for (uint64_t word; bytes >= 8; bytes -= 8, p += 8) {
		memcpy(&word, p, 8);
		x = channel_mix(x, word);
	}
	return x;
}

// The superblock's sequence, start, error and checksum are written anew each time: they do not count.
static uint64_t area_check(const struct journal_area *area)
{
	uint64_t x = mix_bytes(JOURNAL_CHECK_SEED, area->super, JBD2_S_SEQUENCE);
	x = mix_bytes(x, area->super + JBD2_S_COMPAT, JBD2_S_CHECKSUM - JBD2_S_COMPAT);
	x = channel_mix(x, (uint64_t)area->block_size << 32 | area->length);
	x = channel_mix(x, (uint64_t)area->first << 32 | area->incompat);
	x = channel_mix(x, (uint64_t)area->seed << 32 | area->filter_bytes);
	for (uint32_t i = 0; i < area->run_count; i++) {
		x = channel_mix(x, (uint64_t)area->runs[i].index << 32 | area->runs[i].block);
		x = channel_mix(x, area->runs[i].count);
	}
	return x;
}

static uint64_t place_check(const struct journal_area *area)
{
	uint64_t x = channel_mix(JOURNAL_CHECK_SEED, (uint64_t)area->head << 32 | area->sequence);
	return channel_mix(x, area->tail);
}

void journal_move(struct journal_area *area, uint32_t head, uint32_t sequence, uint32_t tail)
{
	area->head = head;
	area->sequence = sequence;
	area->tail = tail;
	area->place_check = place_check(area);
}

void journal_area_ready(struct journal_area *area, uint32_t sequence)
{
	journal_forget(area);
	journal_move(area, area->first, sequence, area->first);
	area->check = area_check(area);
}

bool journal_area_checked(const struct journal_area *area, uint32_t area_bytes)
{
	return area->run_count && area->run_count <= JOURNAL_RUNS && area->filter_bytes == filter_bytes(area_bytes) &&
	       area->check == area_check(area);
}

bool journal_area_sound(const struct journal_area *area, uint32_t area_bytes)
{
	return journal_area_checked(area, area_bytes) && area->place_check == place_check(area);
}

void journal_attach(struct journal *journal, struct journal_area *area, uint32_t blocks)
{
	memset(journal, 0, sizeof(*journal));
	journal->area = area;
	journal->blocks = blocks;
}

uint32_t journal_block(const struct journal_area *area, uint32_t index, uint32_t *run)
{
	uint32_t low = 0, high = area->run_count;
	while (high - low > 1) {
		uint32_t middle = (low + high) / 2;
		if (area->runs[middle].index <= index)
			low = middle;
		else
			high = middle;
	}
	const struct journal_run *r = &area->runs[low];
	*run = r->count - (index - r->index);
	return r->block + (index - r->index);
}

uint32_t journal_next(const struct journal_area *area, uint32_t index, uint32_t by)
{
	uint32_t log = area->length - area->first;
	return area->first + (index - area->first + by) % log;
}

// One block stays free, so that head and tail are the same only when the log is empty.
uint32_t journal_room(const struct journal_area *area)
{
	uint32_t log = area->length - area->first;
	return log - 1 - (area->head + log - area->tail) % log;
}

void journal_super_make(struct journal_area *area, uint32_t start, uint32_t sequence)
{
	jbd2_put(area->super + JBD2_S_START, start);
	jbd2_put(area->super + JBD2_S_SEQUENCE, sequence);
	if (journal_has_checksums(area))
		jbd2_put(area->super + JBD2_S_CHECKSUM, super_checksum(area->super));
}

void journal_super_abort(struct journal_area *area)
{
	jbd2_put(area->super + JBD2_S_ERROR, JBD2_ABORTED);
	journal_super_make(area, jbd2_get(area->super + JBD2_S_START), jbd2_get(area->super + JBD2_S_SEQUENCE));
}

// ---- what the journal may hold ----

static uint32_t filter_bit(const struct journal_area *area, uint32_t block)
{
	return block & (area->filter_bytes * 8 - 1);
}

void journal_held(struct journal_area *area, uint32_t block)
{
	uint32_t bit = filter_bit(area, block);
	((uint8_t *)(area + 1))[bit / 8] |= (uint8_t)(1u << bit % 8);
}

bool journal_may_hold(const struct journal_area *area, uint32_t block)
{
	uint32_t bit = filter_bit(area, block);
	return ((const uint8_t *)(area + 1))[bit / 8] >> bit % 8 & 1;
}

void journal_forget(struct journal_area *area)
{
	memset((uint8_t *)(area + 1), 0, area->filter_bytes);
}

// A bit that several blocks share stays.
void journal_revokes_made(struct journal *journal)
{
	bool exact = journal->area->filter_bytes * 8ull >= journal->blocks;
	for (unsigned i = 0; exact && i < journal->revoke_count; i++) {
		uint32_t bit = filter_bit(journal->area, journal->revokes[i]);
		((uint8_t *)(journal->area + 1))[bit / 8] &= (uint8_t)~(1u << bit % 8);
	}
	journal->revoke_count = 0;
}

void journal_revoke(struct journal *journal, uint32_t block)
{
	if (journal->area && journal_may_hold(journal->area, block) && journal->revoke_count < JOURNAL_REVOKES)
		journal->revokes[journal->revoke_count++] = block;
}

void journal_op_begin(struct journal *journal)
{
	journal->revoke_undo = journal->revoke_count;
}

void journal_op_undo(struct journal *journal)
{
	journal->revoke_count = journal->revoke_undo;
}

// ---- blocks ----

bool journal_has_checksums(const struct journal_area *area)
{
	return area->incompat & (JBD2_INCOMPAT_CSUM_V2 | JBD2_INCOMPAT_CSUM_V3);
}

// Version 2 of the checksums made tags two bytes longer than what stands in them.
uint32_t journal_tag_bytes(uint32_t incompat)
{
	if (incompat & JBD2_INCOMPAT_CSUM_V3)
		return 16;
	return (incompat & JBD2_INCOMPAT_64BIT ? 12u : 8u) + (incompat & JBD2_INCOMPAT_CSUM_V2 ? 2u : 0u);
}

static uint32_t tail_bytes(const struct journal_area *area)
{
	return journal_has_checksums(area) ? JBD2_TAIL : 0;
}

uint32_t journal_tags_max(const struct journal_area *area)
{
	uint32_t room = area->block_size - JBD2_HEADER - JBD2_UUID_SIZE - tail_bytes(area);
	return room / journal_tag_bytes(area->incompat);
}

static uint32_t revoke_size(const struct journal_area *area)
{
	return area->incompat & JBD2_INCOMPAT_64BIT ? 8 : 4;
}

uint32_t journal_revokes_max(const struct journal_area *area)
{
	return (area->block_size - JBD2_REVOKE_FIRST - tail_bytes(area)) / revoke_size(area);
}

uint32_t journal_transaction_blocks(const struct journal_area *area, uint32_t metadata, uint32_t revokes)
{
	uint32_t tags = journal_tags_max(area), numbers = journal_revokes_max(area);
	return metadata + (metadata + tags - 1) / tags + (revokes + numbers - 1) / numbers + 1;
}

static void put_header(uint8_t *block, uint32_t type, uint32_t sequence)
{
	jbd2_put(block, JBD2_MAGIC);
	jbd2_put(block + 4, type);
	jbd2_put(block + 8, sequence);
}

// Over the block with zeros where the checksum stands.
static uint32_t block_checksum(const struct journal_area *area, const uint8_t *block, uint32_t at)
{
	static const uint8_t zero[4];
	uint32_t crc = checksum_crc32c(area->seed, block, at);
	crc = checksum_crc32c(crc, zero, sizeof(zero));
	return checksum_crc32c(crc, block + at + 4, area->block_size - at - 4);
}

// A block that was made here: its sum's place is still zero, and from `used` on all of it is.
static void seal(const struct journal_area *area, uint8_t *block, uint32_t at, uint32_t used)
{
	if (journal_has_checksums(area))
		jbd2_put(block + at, checksum_zeros(checksum_crc32c(area->seed, block, used), area->block_size - used));
}

static uint32_t tag_seed(const struct journal_area *area, uint32_t sequence)
{
	uint8_t number[4];
	jbd2_put(number, sequence);
	return checksum_crc32c(area->seed, number, 4);
}

static uint32_t tag_cut(const struct journal_area *area, uint32_t crc)
{
	return area->incompat & JBD2_INCOMPAT_CSUM_V3 ? crc : crc & 0xffff;
}

uint32_t journal_tag_checksum(const struct journal_area *area, uint32_t sequence, const uint8_t *data)
{
	return tag_cut(area, checksum_crc32c(tag_seed(area, sequence), data, area->block_size));
}

uint32_t journal_tag_begin(const struct journal_area *area, uint32_t sequence)
{
	return checksum_zeros(tag_seed(area, sequence), area->block_size);
}

uint32_t journal_tag_of_sum(const struct journal_area *area, uint32_t begin, uint32_t sum)
{
	return tag_cut(area, begin ^ sum);
}

static void put_tag(const struct journal_area *area, uint8_t *p, const struct journal_tag *tag, uint32_t flags)
{
	jbd2_put(p, tag->block);
	if (area->incompat & JBD2_INCOMPAT_CSUM_V3) {
		jbd2_put(p + 4, flags);
		jbd2_put(p + 12, tag->checksum);
		return;
	}
	jbd2_put(p + 4, (area->incompat & JBD2_INCOMPAT_CSUM_V2 ? tag->checksum << 16 : 0) | flags);
}

void journal_descriptor_make(const struct journal_area *area, uint32_t sequence, const struct journal_tag *tags,
			     uint32_t count, uint8_t *block)
{
	uint8_t *p = block + JBD2_HEADER;
	memset(block, 0, area->block_size);
	put_header(block, JBD2_DESCRIPTOR, sequence);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t flags = tags[i].flags | (i ? JBD2_TAG_SAME_UUID : 0) | (i + 1 == count ? JBD2_TAG_LAST : 0);
		put_tag(area, p, &tags[i], flags);
		p += journal_tag_bytes(area->incompat);
		if (i == 0) {
			memcpy(p, area->super + JBD2_S_UUID, JBD2_UUID_SIZE);
			p += JBD2_UUID_SIZE;
		}
	}
	seal(area, block, area->block_size - JBD2_TAIL, (uint32_t)(p - block));
}

void journal_revoke_make(const struct journal_area *area, uint32_t sequence, const uint32_t *blocks, uint32_t count,
			 uint8_t *block)
{
	uint32_t size = revoke_size(area);
	memset(block, 0, area->block_size);
	put_header(block, JBD2_REVOKE, sequence);
	jbd2_put(block + JBD2_REVOKE_USED, JBD2_REVOKE_FIRST + count * size);
	for (uint32_t i = 0; i < count; i++)
		jbd2_put(block + JBD2_REVOKE_FIRST + i * size + size - 4, blocks[i]);
	seal(area, block, area->block_size - JBD2_TAIL, JBD2_REVOKE_FIRST + count * size);
}

void journal_commit_make(const struct journal_area *area, uint32_t sequence, uint64_t seconds, uint8_t *block)
{
	memset(block, 0, area->block_size);
	put_header(block, JBD2_COMMIT, sequence);
	jbd2_put(block + JBD2_COMMIT_SECONDS, (uint32_t)(seconds >> 32));
	jbd2_put(block + JBD2_COMMIT_SECONDS + 4, (uint32_t)seconds);
	seal(area, block, JBD2_COMMIT_CHECKSUM, JBD2_COMMIT_SECONDS + 8);
}

uint32_t journal_type(const struct journal_area *area, uint32_t sequence, const uint8_t *block)
{
	uint32_t type = jbd2_get(block + 4);
	if (jbd2_get(block) != JBD2_MAGIC || jbd2_get(block + 8) != sequence)
		return 0;
	if (type != JBD2_DESCRIPTOR && type != JBD2_COMMIT && type != JBD2_REVOKE)
		return 0;
	uint32_t at = type == JBD2_COMMIT ? JBD2_COMMIT_CHECKSUM : area->block_size - JBD2_TAIL;
	if (journal_has_checksums(area) && jbd2_get(block + at) != block_checksum(area, block, at))
		return 0;
	return type;
}

bool journal_tag_get(const struct journal_area *area, const uint8_t *block, uint32_t *at, struct journal_tag *tag,
		     uint32_t *high)
{
	uint32_t bytes = journal_tag_bytes(area->incompat);
	bool v3 = area->incompat & JBD2_INCOMPAT_CSUM_V3, wide = area->incompat & JBD2_INCOMPAT_64BIT;
	const uint8_t *p = block + *at;
	if (*at == 0 || *at + bytes > area->block_size - tail_bytes(area))
		return false;
	uint32_t word = jbd2_get(p + 4);
	*tag = (struct journal_tag){jbd2_get(p), v3 ? word : word & 0xffff, v3 ? jbd2_get(p + 12) : word >> 16};
	*high = wide ? jbd2_get(p + 8) : 0;
	*at += bytes + (tag->flags & JBD2_TAG_SAME_UUID ? 0 : JBD2_UUID_SIZE);
	if (tag->flags & JBD2_TAG_LAST)
		*at = 0;
	return true;
}

bool journal_revoke_get(const struct journal_area *area, const uint8_t *block, uint32_t *count, uint32_t *size)
{
	uint32_t used = jbd2_get(block + JBD2_REVOKE_USED);
	*size = revoke_size(area);
	*count = (used - JBD2_REVOKE_FIRST) / *size;
	return used >= JBD2_REVOKE_FIRST && used <= area->block_size - tail_bytes(area);
}
