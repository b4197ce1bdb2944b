// Checksums of metadata, as ext4 has them: CRC-32C of superblock, descriptors, bitmaps, inodes, directories, extent
// and attribute blocks (metadata_csum), or CRC-16 of the descriptors alone (uninit_bg).
//
// Owns: the checksum fields of all structures, and what buffers say of themselves (kind, owner, checked, stale). A
// block is checked once after it was read, and sealed once before each commit that has it, not at each change: in
// between its checksum in memory is out of date and nobody looks at it. Must never seal what was not checked or made
// here: that would turn damage into truth. Every checksum covers whose block it is (inode and generation, group), so a
// block that was written to a wrong place does not pass.
// The sum of the whole block, which its tag in the journal needs, is put together from what a seal has read anyway.
// A volume without checksums goes the same ways; then a check finds everything right and a seal does nothing.
// If the server dies: what buffers said of themselves goes with the cache, and blocks that are read again are checked
// again. A block that was changed and not sealed was not on its way to the disk yet.
#include "servers/fs/seal.h"
#include "servers/fs/volume.h"
#include <stddef.h>
#include <string.h>

#define CRC16_POLYNOMIAL 0xa001u // reflected
#define TABLE_INODES_MAX 32u     // in a block of 4 KiB
#define SEAL_BREATH 32u          // blocks sealed between two answers to pings

static uint16_t crc16(uint16_t crc, const void *bytes, size_t length)
{
	const uint8_t *p = bytes;
	while (length--) {
		crc ^= *p++;
		for (unsigned bit = 0; bit < 8; bit++)
			crc = (uint16_t)(crc >> 1 ^ (crc & 1 ? CRC16_POLYNOMIAL : 0));
	}
	return crc;
}

// ---- superblock ----

static uint32_t super_sum(const struct ext2_super *s)
{
	return checksum_crc32c(~0u, s, offsetof(struct ext2_super, checksum));
}

bool checksum_super_good(const struct ext2_super *s)
{
	if (!s->rev_level || !(s->feature_ro_compat & EXT4_RO_METADATA_CHECKSUM))
		return true;
	return s->checksum == super_sum(s);
}

void checksum_super_seal(struct ext2_super *s)
{
	if (s->rev_level && s->feature_ro_compat & EXT4_RO_METADATA_CHECKSUM)
		s->checksum = super_sum(s);
}

static void sum_note(struct buffer *b, uint32_t sum)
{
	b->sum = sum;
	b->summed = true;
}

static void super_seal(const struct volume *v, struct buffer *b)
{
	struct ext2_super *s = v->super;
	size_t before = (size_t)((const uint8_t *)s - b->data), end = before + sizeof(*s), bytes = offsetof(struct ext2_super, checksum);
	uint32_t plain = checksum_crc32c(0, s, bytes);
	s->checksum = plain ^ checksum_zeros(~0u, bytes);
	uint32_t sum = plain ^ checksum_zeros(checksum_crc32c(0, b->data, before), bytes);
	sum = checksum_crc32c(sum, &s->checksum, sizeof(s->checksum));
	sum_note(b, checksum_crc32c(sum, b->data + end, v->block_size - end));
}

void checksum_open(struct volume *v, const struct ext2_super *s)
{
	uint32_t ro = s->rev_level ? s->feature_ro_compat : 0;
	v->checksums = ro & EXT4_RO_METADATA_CHECKSUM;
	v->group_checksums = ro & (EXT4_RO_METADATA_CHECKSUM | EXT4_RO_GROUP_CHECKSUM);
	if (v->checksums)
		v->checksum_seed = checksum_crc32c(~0u, s->uuid, sizeof(s->uuid));
	if (s->feature_incompat & EXT4_INCOMPAT_CSUM_SEED)
		v->checksum_seed = s->checksum_seed;
}

// ---- group descriptors ----

static uint16_t group_sum(struct volume *v, uint32_t group)
{
	static const uint16_t zero;
	const struct ext2_group *g = volume_group(v, group);
	size_t at = offsetof(struct ext2_group, checksum);
	const uint8_t *rest = (const uint8_t *)g + EXT2_GROUP_SIZE;
	size_t more = v->descriptor_size - EXT2_GROUP_SIZE;
	if (!v->checksums) {
		uint16_t crc = crc16(crc16(0xffff, v->super->uuid, sizeof(v->super->uuid)), &group, sizeof(group));
		return crc16(crc16(crc, g, at), rest, more);
	}
	uint32_t crc = checksum_crc32c(checksum_crc32c(v->checksum_seed, &group, sizeof(group)), g, at);
	return (uint16_t)checksum_crc32c(checksum_crc32c(crc, &zero, sizeof(zero)), rest, more);
}

bool checksum_group_good(struct volume *v, uint32_t group)
{
	return !v->group_checksums || volume_group(v, group)->checksum == group_sum(v, group);
}

// ---- bitmaps: their sums stand in the descriptors ----

static size_t bitmap_bytes(const struct volume *v, const struct buffer *b)
{
	return ((b->kind == BLOCK_BLOCK_BITMAP ? v->blocks_per_group : v->inodes_per_group) + 7) / 8;
}

static bool bitmap_good(struct volume *v, const struct buffer *b)
{
	const struct ext2_group *g = volume_group(v, b->owner);
	bool blocks = b->kind == BLOCK_BLOCK_BITMAP;
	uint32_t sum = checksum_crc32c(v->checksum_seed, b->data, bitmap_bytes(v, b)), said = blocks ? g->block_bitmap_checksum : g->inode_bitmap_checksum;
	if (v->descriptor_size == EXT2_GROUP_SIZE)
		return said == (sum & 0xffff);
	return (said | (uint32_t)(blocks ? g->block_bitmap_checksum_hi : g->inode_bitmap_checksum_hi) << 16) == sum;
}

static void bitmap_seal(struct volume *v, struct buffer *b)
{
	struct ext2_group *g = volume_group(v, b->owner);
	bool blocks = b->kind == BLOCK_BLOCK_BITMAP, wide = v->descriptor_size > EXT2_GROUP_SIZE;
	size_t bytes = bitmap_bytes(v, b);
	uint32_t plain = checksum_crc32c(0, b->data, bytes), sum = plain ^ checksum_zeros(v->checksum_seed, bytes);
	sum_note(b, checksum_crc32c(plain, b->data + bytes, v->block_size - bytes));
	*(blocks ? &g->block_bitmap_checksum : &g->inode_bitmap_checksum) = (uint16_t)sum;
	if (wide)
		*(blocks ? &g->block_bitmap_checksum_hi : &g->inode_bitmap_checksum_hi) = (uint16_t)(sum >> 16);
}

// ---- inodes ----

static uint32_t inode_seed(const struct volume *v, uint32_t number, const struct ext2_inode *raw)
{
	uint64_t own = (uint64_t)raw->generation << 32 | number;
	return checksum_word(v->checksum_seed, own);
}

uint32_t checksum_owner(const struct volume *v, const struct inode *inode)
{
	return v->checksums ? inode_seed(v, inode->number, inode->raw) : inode->number;
}

// The second half is there when extra_isize reaches behind it.
static bool has_wide_sum(const struct volume *v, const struct ext2_inode *raw)
{
	return v->inode_size > 128 && raw->extra_isize >= 4;
}

static uint32_t inode_sum(const struct volume *v, uint32_t number, const struct ext2_inode *raw)
{
	static const uint16_t zero;
	const uint8_t *bytes = (const uint8_t *)raw;
	size_t at = offsetof(struct ext2_inode, checksum_lo), high = offsetof(struct ext2_inode, checksum_hi);
	uint32_t crc = checksum_crc32c(inode_seed(v, number, raw), bytes, at);
	crc = checksum_crc32c(crc, &zero, 2);
	crc = checksum_crc32c(crc, bytes + at + 2, 128 - at - 2);
	if (v->inode_size == 128)
		return crc;
	crc = checksum_crc32c(crc, bytes + 128, high - 128);
	if (has_wide_sum(v, raw)) {
		crc = checksum_crc32c(crc, &zero, 2);
		high += 2;
	}
	return checksum_crc32c(crc, bytes + high, v->inode_size - high);
}

static unsigned inode_slot(const struct volume *v, const struct inode *inode)
{
	return (unsigned)((const uint8_t *)inode->raw - inode->buffer->data) / v->inode_size;
}

// A block of a table says by its owner which inode is its first.
static void claim_table(const struct volume *v, const struct inode *inode)
{
	struct buffer *b = inode->buffer;
	uint32_t first = inode->number - inode_slot(v, inode);
	if (b->kind == BLOCK_INODES && b->owner == first)
		return;
	b->kind = BLOCK_INODES;
	b->owner = first;
	b->checked = b->stale = b->changed = 0;
}

bool checksum_inode_good(struct volume *v, const struct inode *inode)
{
	const struct ext2_inode *raw = inode->raw;
	uint32_t bit = 1u << inode_slot(v, inode);
	if (!v->checksums)
		return true;
	claim_table(v, inode);
	if (inode->buffer->checked & bit)
		return true;
	uint32_t sum = inode_sum(v, inode->number, raw);
	bool good = raw->checksum_lo == (sum & 0xffff) &&
		    (!has_wide_sum(v, raw) || raw->checksum_hi == sum >> 16);
	if (good)
		inode->buffer->checked |= bit;
	return good;
}

void checksum_inode_stale(struct volume *v, const struct inode *inode)
{
	uint32_t bit = 1u << inode_slot(v, inode);
	claim_table(v, inode);
	inode->buffer->checked |= bit;
	inode->buffer->stale |= bit;
	inode->buffer->changed |= bit;
}

static struct ext2_inode *inode_in(const struct volume *v, const struct buffer *b, unsigned slot)
{
	return (struct ext2_inode *)(void *)(b->data + slot * v->inode_size);
}

// The sums of a table's inodes, apart from their inodes: in a sum their fields count as zero, and two inodes that are alike differ in them.
struct table_sums {
	uint32_t low[TABLE_INODES_MAX]; // as four bytes that end where the field does
	uint32_t high[TABLE_INODES_MAX];
	uint32_t plain[TABLE_INODES_MAX]; // from zero on, of the inodes without them
	uint32_t known; // bit: plain is what the inode's own sum says
	uint32_t out;   // bit: the sum's fields in the inode are zero meanwhile
};

// An inode that was found right and has not changed since has its sum with it: it need not be read again.
static void sums_know(const struct volume *v, const struct buffer *b, unsigned count, struct table_sums *t)
{
	t->known = 0;
	for (uint32_t left = b->checked & ~b->stale & ~b->changed, slot = 0; left && slot < count; left >>= 1, slot++) {
		const struct ext2_inode *raw = inode_in(v, b, slot);
		if (!(left & 1) || !has_wide_sum(v, raw))
			continue;
		uint32_t own = (uint32_t)raw->checksum_hi << 16 | raw->checksum_lo;
		t->plain[slot] = own ^ checksum_zeros(inode_seed(v, b->owner + slot, raw), v->inode_size);
		t->known |= 1u << slot;
	}
	t->out = ~t->known | ~t->known >> 1; // who is read, and the one before, which it is compared with
}

static void sums_take_out(const struct volume *v, struct buffer *b, unsigned count, struct table_sums *t)
{
	for (unsigned slot = 0; slot < count; slot++) {
		struct ext2_inode *raw = inode_in(v, b, slot);
		bool wide = has_wide_sum(v, raw);
		t->low[slot] = raw->checksum_lo;
		t->high[slot] = wide ? (uint32_t)raw->checksum_hi << 16 : 0;
		if (!(t->out >> slot & 1))
			continue;
		raw->checksum_lo = 0;
		if (wide)
			raw->checksum_hi = 0;
	}
}

static void sums_put_back(const struct volume *v, struct buffer *b, unsigned count, const struct table_sums *t)
{
	for (unsigned slot = 0; slot < count; slot++) {
		struct ext2_inode *raw = inode_in(v, b, slot);
		if (!(t->out >> slot & 1))
			continue;
		raw->checksum_lo = (uint16_t)t->low[slot];
		if (has_wide_sum(v, raw))
			raw->checksum_hi = (uint16_t)(t->high[slot] >> 16);
	}
}

// Its sum was made of all that it is: the new one of an inode that has changed, else what its own is to be.
static void sum_use(const struct volume *v, struct buffer *b, unsigned slot, struct table_sums *t)
{
	const struct ext2_inode *raw = inode_in(v, b, slot);
	bool wide = has_wide_sum(v, raw);
	uint32_t sum = t->plain[slot] ^ checksum_zeros(inode_seed(v, b->owner + slot, raw), v->inode_size);
	if (b->stale >> slot & 1) {
		t->low[slot] = (uint16_t)sum;
		t->high[slot] = wide ? sum & 0xffff0000 : 0; // two bytes on, four behind the other half
	} else if (wide && t->low[slot] == (uint16_t)sum && t->high[slot] == (sum & 0xffff0000)) {
		b->checked |= 1u << slot;
	}
}

// What is put into a place that was zero changes the sum of all as if a sum had been that, four bytes of zeros before it ends there.
static void inodes_seal(const struct volume *v, struct buffer *b)
{
	struct table_sums t;
	uint32_t size = v->inode_size, count = v->block_size / size;
	size_t behind_low = size - offsetof(struct ext2_inode, checksum_lo);
	sums_know(v, b, count, &t);
	sums_take_out(v, b, count, &t);
	checksum_rows(b->data, count, size, t.known, t.plain);
	for (unsigned slot = 0; slot < count; slot++)
		if (b->stale >> slot & 1 || (!(t.known >> slot & 1) && t.plain[slot]))
			sum_use(v, b, slot, &t);
	sums_put_back(v, b, count, &t);
	uint32_t sums = checksum_zeros(checksum_join_two(t.low, t.high, count, size), behind_low - 4);
	sum_note(b, checksum_join(t.plain, count, size) ^ sums);
	b->stale = 0;
}

// ---- blocks that belong to an inode ----

static struct ext4_entry_tail *entry_tail(const struct volume *v, const struct buffer *b)
{
	return (struct ext4_entry_tail *)(void *)(b->data + v->block_size - sizeof(struct ext4_entry_tail));
}

void checksum_make_tail(const struct volume *v, struct buffer *b)
{
	if (v->checksums)
		*entry_tail(v, b) = (struct ext4_entry_tail){0, sizeof(struct ext4_entry_tail), 0, EXT4_TAIL_TYPE, 0};
}

static bool tail_is_there(const struct volume *v, const struct buffer *b)
{
	const struct ext4_entry_tail *t = entry_tail(v, b);
	return t->inode == 0 && t->record == sizeof(*t) && t->name_length == 0 && t->type == EXT4_TAIL_TYPE;
}

static struct ext4_index_tail *index_tail(const struct volume *v, const struct buffer *b, size_t *covered)
{
	const struct ext4_index_count *c = index_count(v, b);
	if (!c)
		return 0;
	size_t at = (size_t)((const uint8_t *)c - b->data), end = at + c->limit * sizeof(struct ext4_index_entry);
	*covered = at + c->count * sizeof(struct ext4_index_entry);
	return end + sizeof(struct ext4_index_tail) > v->block_size ? 0 : (struct ext4_index_tail *)(void *)(b->data + end);
}

// Where the sum of a block that an inode owns stands, and how many bytes are summed; 0: nowhere.
static uint32_t *sum_place(const struct volume *v, const struct buffer *b, size_t *covered)
{
	if (b->kind == BLOCK_INDEX) {
		struct ext4_index_tail *t = index_tail(v, b, covered);
		return t ? &t->checksum : 0;
	}
	if (b->kind == BLOCK_EXTENTS) { // behind as many entries as fit
		*covered = sizeof(struct ext4_extent_header) +
			   (v->block_size - sizeof(struct ext4_extent_header)) / sizeof(struct ext4_extent) * sizeof(struct ext4_extent);
		return (uint32_t *)(void *)(b->data + *covered);
	}
	*covered = v->block_size - sizeof(struct ext4_entry_tail);
	return tail_is_there(v, b) ? &entry_tail(v, b)->checksum : 0;
}

// `crc` is that of what is covered.
static uint32_t owned_end(const struct buffer *b, const uint32_t *place, uint32_t crc)
{
	static const uint32_t zero;
	if (b->kind != BLOCK_INDEX)
		return crc;
	return checksum_crc32c(checksum_crc32c(crc, place - 1, 4), &zero, 4); // the tail, its own sum as zero
}

static void owned_seal(const struct volume *v, struct buffer *b)
{
	size_t covered;
	uint32_t *place = sum_place(v, b, &covered);
	if (!place)
		return;
	uint32_t plain = checksum_crc32c(0, b->data, covered);
	*place = owned_end(b, place, plain ^ checksum_zeros(b->owner, covered));
	sum_note(b, checksum_crc32c(plain, b->data + covered, v->block_size - covered));
}

// ---- attributes ----

static uint32_t attributes_sum(const struct volume *v, const struct buffer *b)
{
	static const uint32_t zero;
	uint64_t number = b->block;
	size_t at = offsetof(struct ext2_attributes, checksum);
	uint32_t crc = checksum_crc32c(checksum_crc32c(v->checksum_seed, &number, sizeof(number)), b->data, at);
	return checksum_crc32c(checksum_crc32c(crc, &zero, 4), b->data + at + 4, v->block_size - at - 4);
}

static struct ext2_attributes *attributes_of(const struct buffer *b)
{
	return (struct ext2_attributes *)(void *)b->data;
}

// ---- all kinds ----

static bool block_good(struct volume *v, const struct buffer *b)
{
	size_t covered;
	const uint32_t *place;
	switch (b->kind) {
	case BLOCK_BLOCK_BITMAP:
	case BLOCK_INODE_BITMAP:
		return bitmap_good(v, b);
	case BLOCK_ATTRIBUTES:
		return attributes_of(b)->checksum == attributes_sum(v, b);
	default:
		place = sum_place(v, b, &covered);
		return place && *place == owned_end(b, place, checksum_crc32c(b->owner, b->data, covered));
	}
}

void checksum_claim(struct buffer *b, enum block_kind kind, uint32_t owner)
{
	b->kind = (uint8_t)kind;
	b->owner = owner;
	b->checked = 1;
}

bool checksum_known(const struct buffer *b, enum block_kind kind, uint32_t owner)
{
	return b->kind == kind && b->owner == owner && b->checked;
}

bool checksum_good(struct volume *v, struct buffer *b, enum block_kind kind, uint32_t owner)
{
	if (checksum_known(b, kind, owner))
		return true;
	b->disputed |= b->kind && b->flags & BUFFER_DIRTY;
	checksum_claim(b, kind, owner);
	if (v->checksums && !block_good(v, b))
		b->checked = 0;
	return b->checked;
}

static bool is_bitmap(const struct buffer *b)
{
	return b->kind == BLOCK_BLOCK_BITMAP || b->kind == BLOCK_INODE_BITMAP;
}

static void block_seal(struct volume *v, struct buffer *b)
{
	switch (b->kind) {
	case BLOCK_UNKNOWN:
	case BLOCK_BLOCK_BITMAP: // sealed before
	case BLOCK_INODE_BITMAP:
		break;
	case BLOCK_SUPER:
		super_seal(v, b);
		break;
	case BLOCK_DESCRIPTORS:
		volume_seal_groups(v, b->owner);
		break;
	case BLOCK_INODES:
		inodes_seal(v, b);
		break;
	case BLOCK_ATTRIBUTES:
		attributes_of(b)->checksum = attributes_sum(v, b);
		break;
	default:
		owned_seal(v, b);
	}
}

// ---- were they made? ----

// Of 32 bits another content that has the same sum is not to be expected, and looking for another one is cheap; fewer are computed.
static bool inode_sealed(const struct volume *v, uint32_t number, const struct ext2_inode *is, const struct ext2_inode *was)
{
	if (was && has_wide_sum(v, is) && (was->checksum_lo != is->checksum_lo || was->checksum_hi != is->checksum_hi))
		return true;
	if (was && memcmp(was, is, v->inode_size) == 0)
		return true;
	uint32_t sum = inode_sum(v, number, is);
	return is->checksum_lo == (sum & 0xffff) && (!has_wide_sum(v, is) || is->checksum_hi == sum >> 16);
}

static bool inodes_sealed(const struct volume *v, const struct buffer *b)
{
	size_t at = 0;
	for (uint32_t left = b->changed, number = b->owner; left; left >>= 1, number++, at += v->inode_size) {
		const void *was = b->base ? b->base->data + at : 0;
		if (left & 1 && !inode_sealed(v, number, (const void *)(b->data + at), was))
			return false;
	}
	return true;
}

static bool groups_sealed(struct volume *v, const struct buffer *b)
{
	uint32_t in_block = v->block_size / v->descriptor_size, first = b->owner * in_block;
	for (uint32_t group = first; group < first + in_block && group < v->groups; group++) {
		size_t at = (size_t)(group - first) * v->descriptor_size;
		size_t words = v->descriptor_size / 8;
		if (b->base && seal_difference(b->data + at, b->base->data + at, 0, words) == words)
			continue;
		if (!checksum_group_good(v, group))
			return false;
	}
	return true;
}

static bool owned_sealed(const struct volume *v, const struct buffer *b)
{
	size_t covered;
	const uint32_t *place = sum_place(v, b, &covered);
	if (!place)
		return false;
	if (!b->base || *place != *(const uint32_t *)(const void *)(b->base->data + ((const uint8_t *)place - b->data)))
		return true;
	return seal_difference(b->data, b->base->data, 0, covered / 8) == covered / 8;
}

bool checksum_sealed(struct volume *v, const struct buffer *b)
{
	if (b->kind == BLOCK_DESCRIPTORS)
		return groups_sealed(v, b);
	if (!v->checksums)
		return true;
	switch (b->kind) {
	case BLOCK_SUPER:
		return checksum_super_good(v->super);
	case BLOCK_BLOCK_BITMAP: // of zeros and ones for the most part, and taken quickly
	case BLOCK_INODE_BITMAP:
		return bitmap_good(v, b);
	case BLOCK_INODES:
		return inodes_sealed(v, b);
	case BLOCK_DIRECTORY:
	case BLOCK_EXTENTS:
		return owned_sealed(v, b);
	default:
		return true;
	}
}

bool checksum_right(struct volume *v, const struct buffer *b)
{
	const struct ext2_inode *raw;
	unsigned slot;
	switch (v->checksums ? b->kind : BLOCK_UNKNOWN) {
	case BLOCK_UNKNOWN:
	case BLOCK_DESCRIPTORS: // of these all are looked at in each commit
	case BLOCK_SUPER:
	case BLOCK_BLOCK_BITMAP:
	case BLOCK_INODE_BITMAP:
		return true;
	case BLOCK_INODES:
		slot = b->changed ? (unsigned)__builtin_ctz(b->changed) : 0;
		raw = (const void *)(b->data + slot * v->inode_size);
		return !b->changed || inode_sealed(v, b->owner + slot, raw, 0);
	default:
		return block_good(v, b);
	}
}

void checksum_group_seal(struct volume *v, uint32_t group)
{
	volume_group(v, group)->checksum = group_sum(v, group);
}

void checksum_seal(struct volume *v)
{
	unsigned n = 0;
	for (struct buffer *b = v->cache.dirty.first; b && v->checksums; b = b->next) {
		b->summed = false;
		if (is_bitmap(b))
			bitmap_seal(v, b);
	}
	for (struct buffer *b = v->cache.dirty.first; b; b = b->next) {
		if (v->checksums || (v->group_checksums && b->kind == BLOCK_DESCRIPTORS))
			block_seal(v, b);
		cache_seal(&v->cache, b);
		if (++n % SEAL_BREATH == 0 && v->disk->breathe)
			v->disk->breathe(v->disk);
	}
}
