// Damage: what the superblock tells of it, where dumpe2fs, e2fsck and Linux show it.
//
// Owns: the counter of errors and the two places (first and last) in the superblock; what was found since the last commit
// is kept in the volume and goes with the next one, for who finds damage may only be reading. e2fsck clears it all.
// Must never fail, wait or write by itself.
// Damage that is found may be this server's own: flipped bits of its cache, or code that was changed. So the first finding is no
// answer to a client: the server dies, and if its successor finds the same when it is asked again, that is on the disk. What it finds elsewhere is
// another first finding. They are told apart by a few bits, which a boot has for so many of them, or a disk that is damaged all over would
// be nothing but deaths. After some commits without a finding all are forgotten.
// If the server dies: what no commit has taken is forgotten, and found again by whoever meets it.
#include "abi/channel.h"
#include "runtime/runtime.h"
#include "servers/fs/volume.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CORRUPTIONS_LOGGED 32u
#define DOUBTS_MAX 16u // deaths of findings, some 50 ms each
#define DOUBTS_MASK (((1ull << COMMIT_DOUBTS) - 1) << COMMIT_DOUBT_SHIFT)

static void name_fill(char name[32], const char *function)
{
	size_t length = strlen(function); // a name that fills its place has no end mark
	memset(name, 0, 32);
	memcpy(name, function, length < 32 ? length : 32);
}

static void first_fill(struct ext2_super *s, const struct damage *d)
{
	s->first_error_time = d->time;
	s->first_error_time_hi = 0;
	s->first_error_code = d->code;
	s->first_error_inode = d->inode;
	s->first_error_block = d->block;
	s->first_error_line = d->line;
	name_fill(s->first_error_function, d->function);
}

static void last_fill(struct ext2_super *s, const struct damage *d)
{
	s->last_error_time = d->time;
	s->last_error_time_hi = 0;
	s->last_error_code = d->code;
	s->last_error_inode = d->inode;
	s->last_error_block = d->block;
	s->last_error_line = d->line;
	name_fill(s->last_error_function, d->function);
}

void damage_tell(struct ext2_super *s, const struct damage *first, const struct damage *last, uint32_t count)
{
	s->state |= EXT2_STATE_ERROR;
	if (s->error_count == 0)
		first_fill(s, first);
	last_fill(s, last);
	s->error_count = count > UINT32_MAX - s->error_count ? UINT32_MAX : s->error_count + count;
}

void damage_note(struct volume *v)
{
	if (!v->damages || v->read_only)
		return;
	cache_mark_dirty(&v->cache, v->super_buffer);
	damage_tell(v->super, &v->first_damage, &v->last_damage, v->damages);
	v->damages = 0;
}

static uint64_t finding(const struct damage *d)
{
	uint64_t sum = channel_mix(channel_mix((uint64_t)d->line << 32 | d->inode, d->block), strlen(d->function));
	return 1ull << (COMMIT_DOUBT_SHIFT + (sum >> 32) % COMMIT_DOUBTS);
}

bool damage_is_doubted(struct volume *v, const struct damage *d)
{
	uint64_t flags = commit_flags(v->disk), one = finding(d);
	unsigned deaths = 0;
	for (uint64_t left = flags & DOUBTS_MASK; left; left &= left - 1)
		deaths++;
	if (!v->doubts || !commit_known(v->disk) || flags & one || deaths >= DOUBTS_MAX)
		return false;
	commit_set_facts(v->disk, commit_time_base(v->disk), flags | one);
	return true;
}

void damage_no_doubt(struct volume *v)
{
	uint64_t flags = commit_flags(v->disk);
	if (flags & DOUBTS_MASK)
		commit_set_facts(v->disk, commit_time_base(v->disk), flags & ~DOUBTS_MASK);
}

enum error damage_found(struct volume *v, struct damage d, const char *format, ...)
{
	char text[128];
	va_list list;
	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	d.time = volume_seconds(v);
	if (v->damages++ == 0)
		v->first_damage = d;
	v->last_damage = d;
	if (v->corruptions++ < CORRUPTIONS_LOGGED)
		log_line("fs: corrupt: %s", text);
	invariant(!damage_is_doubted(v, &d)); // INV-68
	return ERR_CORRUPT;
}
