// Damage: points are armed, memory and registers poked by the supervisor's hand, rings flooded by our own.
//
// Owns a copy of the victim's pristine text, to know where instructions begin. Must never write by itself into anything:
// what is damaged is damaged through domain_poke, which refuses what is not the victim's. An instruction that lies across
// two words of 8 bytes is left out, because two pokes would not be one change. If this domain dies, damage that was done
// stays until the victim is restarted.
#include "apps/storm/damage.h"
#include "apps/storm/mutate.h"
#include "apps/storm/storm.h"
#include "runtime/client.h"
#include "runtime/machine.h"
#include "runtime/runtime.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX (1u << 20)    // bytes; no program of this tree has a fifth of it
#define TRIES 64u              // places that are looked at for one that fits
#define POINTS 48u
#define PASSAGES 4u            // small: it shall fire within the work of one fault
#define HEAP_REACH 0x1000000ul // bytes of the heap's window that are tried
#define STACK_REACH 1024u
#define RINGS 2000u
#define RING_COUNTERS 64u // bytes at the start of the server's page; the rest is complete_ring, and empty

static const char *const words[DAMAGE_CLASSES] = {
#define X(name, word, text) word,
	DAMAGE_TABLE(X)
#undef X
};

const char *damage_word(unsigned class)
{
	return class < DAMAGE_CLASSES ? words[class] : "?";
}

unsigned damage_from_word(const char *word)
{
	unsigned class = 0;
	while (class < DAMAGE_CLASSES && strcmp(words[class], word) != 0)
		class++;
	return class;
}

// --- what the victim is made of

static enum error text_read(struct damage_victim *v)
{
	size_t length = 0;
	struct supervision_segment part = {.got = 1};
	uint8_t *bytes = calloc(1, v->text.bytes);
	v->code = (uint16_t *)bytes;
	v->begins = calloc(1, v->text.bytes / 2);
	if (!v->code || !v->begins)
		return ERR_NO_MEMORY;
	while (part.got > 0 && length < v->text.bytes) {
		size_t room = v->text.bytes - length < SUPERVISION_ROOM ? v->text.bytes - length : SUPERVISION_ROOM;
		enum error e = supervision_segment(&v->who, 0, length, bytes + length, room, &part);
		if (e != ERR_OK)
			return e;
		length += part.got;
	}
	v->text.got = length;
	for (size_t at = 0; at + 4 <= length; at += mutate_length(v->code[at / 2]))
		v->begins[at / 2] = 1;
	return ERR_OK;
}

enum error damage_learn(struct damage_victim *v)
{
	struct supervision_segment s;
	static uint8_t byte[8];
	enum error e = ERR_OK;
	if (v->code)
		return ERR_OK;
	for (unsigned i = 0; e == ERR_OK; i++) {
		e = supervision_segment(&v->who, i, 0, byte, sizeof(byte), &s);
		if (e == ERR_OK && i == 0)
			v->text = s;
		else if (e == ERR_OK && (s.prot & PROT_WRITE) && s.gpa < GPA_IMAGE_END)
			v->data = s;
		else if (e == ERR_OK && (s.prot & PROT_WRITE))
			v->stack = s;
	}
	if (e != ERR_NOT_FOUND || !(v->text.prot & PROT_EXEC) || v->text.bytes > TEXT_MAX)
		return e == ERR_NOT_FOUND ? ERR_UNSUPPORTED : e;
	return text_read(v);
}

// --- points

static enum error point_choose(const struct damage_victim *v, uint64_t *random, char name[INJECT_NAME_SIZE + 1])
{
	static struct inject_point_info points[POINTS];
	struct client *client;
	uint64_t number = 0;
	enum error e = supervision_channel(v->served, &client);
	if (e == ERR_OK)
		e = supervision_points(client, 0, points, sizeof(points), &number);
	if (e != ERR_OK || number == 0)
		return e == ERR_OK ? ERR_NOT_FOUND : e;
	memcpy(name, points[storm_random_below(random, number)].name, INJECT_NAME_SIZE);
	name[INJECT_NAME_SIZE] = 0;
	return ERR_OK;
}

static enum error point_arm(struct damage_victim *v, enum inject_action action, uint64_t *random, char *detail)
{
	uint64_t passage = 1 + storm_random_below(random, PASSAGES);
	enum error e = point_choose(v, random, v->armed);
	if (e == ERR_OK)
		e = supervision_inject(v->served, v->armed, action, passage, ERR_INJECTED);
	snprintf(detail, DAMAGE_DETAIL, "%s %s %" PRIu64, v->armed, supervision_action_word(action), passage);
	return e;
}

// In one of the ways to die; the last is a kill from outside, which the supervisor does not do to itself.
static enum error stop(struct damage_victim *v, uint64_t *random, char *detail)
{
	static const enum inject_action ways[] = {INJECT_ILLEGAL, INJECT_WILD, INJECT_STACK, INJECT_ASSERT, INJECT_EXIT};
	uint64_t way = storm_random_below(random, 6);
	if (!v->served[0] || (way == 5 && strcmp(v->who.name, "supervisor") != 0)) {
		snprintf(detail, DAMAGE_DETAIL, "kill");
		return v->who.job ? supervision_stop(v->who.job) : supervision_kill(v->who.name);
	}
	return point_arm(v, ways[way % 5], random, detail);
}

bool damage_is_armed(const struct damage_victim *v)
{
	static struct inject_point_info points[POINTS];
	struct client *client;
	uint64_t number = 0;
	if (!v->armed[0] || supervision_channel(v->served, &client) != ERR_OK ||
	    supervision_points(client, 0, points, sizeof(points), &number) != ERR_OK)
		return false;
	for (uint64_t i = 0; i < number; i++)
		if (strncmp(points[i].name, v->armed, INJECT_NAME_SIZE) == 0)
			return points[i].at != 0;
	return false;
}

// --- text

// Xors `bits` into the instruction at the offset; the mask is of the word of 8 bytes that it lies in.
static enum error text_poke(const struct damage_victim *v, size_t offset, uint64_t bits)
{
	uint64_t was;
	return supervision_poke(&v->who, v->text.gpa + (offset & ~7ul), bits << offset % 8 * 8, &was);
}

static enum error text_change(const struct damage_victim *v, size_t offset, uint32_t from, uint32_t to, char *detail)
{
	snprintf(detail, DAMAGE_DETAIL, "%" PRIx64 " %" PRIx32 ">%" PRIx32, v->text.gpa + offset, from, to);
	return text_poke(v, offset, from ^ to);
}

// A random instruction that does not lie across two words. ERR_NOT_FOUND: not at this try.
static enum error instruction_choose(const struct damage_victim *v, uint64_t *random, size_t *offset, uint32_t *instruction)
{
	*offset = 2 * storm_random_below(random, v->text.got / 2);
	if (!v->begins[*offset / 2])
		return ERR_NOT_FOUND;
	unsigned length = mutate_length(v->code[*offset / 2]);
	if (*offset % 8 + length > 8 || (*offset & ~7ul) + 8 > v->text.got)
		return ERR_NOT_FOUND;
	*instruction = v->code[*offset / 2];
	if (length == 4)
		*instruction |= (uint32_t)v->code[*offset / 2 + 1] << 16;
	return ERR_OK;
}

static enum error mutate_text(const struct damage_victim *v, enum mutation kind, uint64_t *random, char *detail)
{
	for (unsigned i = 0; i < TRIES; i++) {
		size_t offset;
		uint32_t from, to;
		if (instruction_choose(v, random, &offset, &from) == ERR_OK &&
		    mutate_instruction(kind, from, storm_random(random), &to))
			return text_change(v, offset, from, to, detail);
	}
	return ERR_NOT_FOUND;
}

static enum error probe_text(const struct damage_victim *v, uint64_t *random, char *detail)
{
	for (unsigned i = 0; i < TRIES; i++) {
		size_t offset;
		uint32_t from;
		if (instruction_choose(v, random, &offset, &from) == ERR_OK)
			return text_change(v, offset, from, 0, detail);
	}
	return ERR_NOT_FOUND;
}

// --- bits

static enum error flip(const struct supervision_victim *who, uint64_t place, uint64_t *random, char *detail)
{
	uint64_t was, bit = storm_random_below(random, 64);
	snprintf(detail, DAMAGE_DETAIL, "%" PRIx64 " bit %" PRIu64, place, bit);
	return supervision_poke(who, place, 1ull << bit, &was);
}

static enum error flip_within(const struct damage_victim *v, uint64_t base, uint64_t bytes, uint64_t *random, char *detail)
{
	if (bytes < 8)
		return ERR_NOT_FOUND;
	return flip(&v->who, base + 8 * storm_random_below(random, bytes / 8), random, detail);
}

static enum error flip_heap(const struct damage_victim *v, uint64_t *random, char *detail)
{
	enum error e = ERR_INVALID;
	for (unsigned i = 0; i < TRIES && e == ERR_INVALID; i++)
		e = flip_within(v, GPA_HEAP, HEAP_REACH, random, detail);
	return e == ERR_INVALID ? ERR_NOT_FOUND : e;
}

// Above the stack pointer that was saved last; of a fiber's stack, which lies in the heap, perhaps beyond its end.
static enum error flip_stack(const struct damage_victim *v, uint64_t *random, char *detail)
{
	uint64_t sp;
	enum error e = supervision_poke(&v->who, 2, 0, &sp);
	if (e == ERR_OK)
		e = flip_within(v, sp & ~7ull, STACK_REACH, random, detail);
	return e == ERR_INVALID ? ERR_NOT_FOUND : e;
}

// --- channels

static struct supervision_victim ourselves(void)
{
	static struct supervision_victim own;
	struct supervisor_service s;
	for (unsigned i = 0; !own.job && supervision_service(i, &s) == ERR_OK; i++)
		if (s.core == self_core() && s.domain == self_domain())
			own.job = s.job;
	return own;
}

// One of our channels to the victim, taken by chance. False: there is none.
static bool channel_choose(const struct damage_victim *v, uint64_t *random, unsigned *slot)
{
	unsigned found = 0;
	for (unsigned i = 0; i < CHANNEL_MAX; i++) {
		struct kernel_result name = kcall(CALL_channel_name, i), info = kcall(CALL_channel_info, i);
		if (name.error != ERR_OK || info.error != ERR_OK || CHANNEL_INFO_STATE(info.value[0]) != CHANNEL_OPEN ||
		    strncmp((const char *)name.value, v->served, NAME_SIZE) != 0)
			continue;
		if (storm_random_below(random, ++found) == 0)
			*slot = i;
	}
	return found > 0;
}

static enum error flip_ring(const struct damage_victim *v, uint64_t *random, char *detail)
{
	unsigned slot = 0;
	struct channel_geometry g;
	struct supervision_victim own = ourselves();
	if (strcmp(v->who.name, "supervisor") == 0 || !own.job || !channel_choose(v, random, &slot))
		return ERR_NOT_FOUND; // the supervisor's ring is the one by which we do all this
	struct kernel_result info = kcall(CALL_channel_info, slot);
	if (info.error != ERR_OK || !channel_layout(&g, CHANNEL_INFO_SLOTS(info.value[1]), info.value[2], info.value[3]))
		return ERR_NOT_FOUND;
	uint64_t base = GPA_CHANNEL + slot * CHANNEL_WINDOW, size = sizeof(struct completion) * CHANNEL_INFO_SLOTS(info.value[1]);
	switch (storm_random_below(random, 3)) {
	case 0:
		return flip(&own, base + PAGE_SIZE + 8 * storm_random_below(random, RING_COUNTERS / 8), random, detail);
	case 1:
		return flip(&own, base + PAGE_SIZE + 8 * storm_random_below(random, PAGE_SIZE / 8), random, detail);
	default:
		return flip(&own, base + g.records + 8 * storm_random_below(random, size / 8), random, detail);
	}
}

static enum error ring_bells(const struct damage_victim *v, uint64_t *random, char *detail)
{
	unsigned slot = 0;
	if (!channel_choose(v, random, &slot))
		return ERR_NOT_FOUND;
	struct kernel_result info = kcall(CALL_channel_info, slot);
	for (unsigned i = 0; i < RINGS; i++)
		kcall(CALL_doorbell, slot);
	for (uint32_t i = 1; i < IDENTITY_MAX && (info.value[0] & CHANNEL_HAS_DOORBELL_PAGE); i++)
		*machine_doorbell(slot) = i; // those that the file does not have are ignored by it
	snprintf(detail, DAMAGE_DETAIL, "channel %u", slot);
	return ERR_OK;
}

// --- any

enum error damage_do(struct damage_victim *v, enum damage_class class, uint64_t *random, char detail[DAMAGE_DETAIL])
{
	bool points = class == DAMAGE_HANG || class == DAMAGE_ERROR || class == DAMAGE_REPLY;
	v->armed[0] = 0;
	if (!v->served[0] && (points || class == DAMAGE_RING || class == DAMAGE_BELL))
		return ERR_NOT_FOUND;
	switch (class) {
	case DAMAGE_STOP:
		return stop(v, random, detail);
	case DAMAGE_HANG:
		return point_arm(v, INJECT_HANG, random, detail);
	case DAMAGE_ERROR:
		return point_arm(v, INJECT_ERROR, random, detail);
	case DAMAGE_REPLY:
		return point_arm(v, INJECT_REPLY, random, detail);
	case DAMAGE_TEXT:
		return flip_within(v, v->text.gpa, v->text.got, random, detail);
	case DAMAGE_DATA:
		return flip_within(v, v->data.gpa, v->data.bytes, random, detail);
	case DAMAGE_HEAP:
		return flip_heap(v, random, detail);
	case DAMAGE_STACK:
		return flip_stack(v, random, detail);
	case DAMAGE_REGISTER:
		return flip(&v->who, storm_random_below(random, 32), random, detail);
	case DAMAGE_RING:
		return flip_ring(v, random, detail);
	case DAMAGE_BELL:
		return ring_bells(v, random, detail);
	case DAMAGE_PROBE:
		return probe_text(v, random, detail);
	case DAMAGE_DEVICE:
	case DAMAGE_STALL:
		snprintf(detail, DAMAGE_DETAIL, "by the host");
		return strcmp(v->who.name, "blk") == 0 ? ERR_OK : ERR_NOT_FOUND;
	default:
		return mutate_text(v, (enum mutation)(class - DAMAGE_SOURCE), random, detail);
	}
}

_Static_assert(DAMAGE_DROP - DAMAGE_SOURCE == MUTATION_DROP, "the classes of mutations stand in the order of their table");
