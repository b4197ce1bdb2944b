// Damage: points are armed, memory and registers poked by the supervisor's hand, rings flooded by our own.
//
// Owns a copy of the victim's pristine text, to know where instructions begin. Must never write by itself into anything:
// what is damaged is damaged through domain_poke, which refuses what is not the victim's. What is planned can be told before it
// is done. An instruction that lies across two words of 8 bytes is left out, because two pokes would not be one change. If this
// domain dies, damage that was done stays until the victim is restarted.
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
#define TRIES 64u              // places that are looked at for each fault of a volley
#define POINTS 48u
#define HEAP_REACH 0x1000000ul // bytes of the heap's window that are tried
#define HEAP_REACH_MIN 0x10000ul
#define STACK_REACH 1024u
#define RINGS 500u
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

static enum error plan_point(const struct damage_victim *v, enum inject_action action, uint64_t *random, struct damage *d)
{
	d->action = action;
	d->passage = 1 + storm_random_below(random, DAMAGE_PASSAGES);
	enum error e = v->served[0] ? point_choose(v, random, d->point) : ERR_NOT_FOUND;
	snprintf(d->detail, DAMAGE_DETAIL, "%s %s %" PRIu64, d->point, supervision_action_word(action), d->passage);
	return e;
}

// In one of the ways to die; the last is a kill from outside, which the supervisor does not do to itself.
static enum error plan_stop(const struct damage_victim *v, uint64_t *random, struct damage *d)
{
	static const enum inject_action ways[] = {INJECT_ILLEGAL, INJECT_WILD, INJECT_STACK, INJECT_ASSERT, INJECT_EXIT};
	uint64_t way = storm_random_below(random, 6);
	if (v->served[0] && (way < 5 || strcmp(v->who.name, "supervisor") == 0))
		return plan_point(v, ways[way % 5], random, d);
	snprintf(d->detail, DAMAGE_DETAIL, "kill");
	return ERR_OK;
}

static enum error do_point(const struct damage_victim *v, const struct damage *d)
{
	if (d->point[0])
		return supervision_inject(v->served, d->point, d->action, d->passage, ERR_INJECTED);
	enum error e = v->who.job ? supervision_stop(v->who.job) : supervision_kill(v->who.name);
	return e == ERR_STATE ? ERR_OK : e; // another fault of this trial was faster
}

bool damage_disarm(const struct damage_victim *v, const struct damage *d)
{
	bool armed;
	return supervision_disarm(v->served, d->point, &armed) != ERR_OK || !armed;
}

void damage_nudge(const struct damage_victim *v)
{
	(void)supervision_ping(v->served);
}

// --- text

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

static bool mutate(enum damage_class class, uint32_t from, uint64_t random, uint32_t *to)
{
	*to = 0; // a probe: defined to be illegal
	return class == DAMAGE_PROBE || mutate_instruction((enum mutation)(class - DAMAGE_SOURCE), from, random, to);
}

static bool poke_is_planned(const struct damage *d, const struct supervisor_poke *p)
{
	for (unsigned i = 0; i < d->faults; i++)
		if (d->pokes[i].place == p->place && (d->pokes[i].mask & p->mask))
			return true;
	return false;
}

// The bits of the instruction at the offset; the mask is of the word of 8 bytes that it lies in. No instruction twice.
static void plan_instruction(const struct damage_victim *v, size_t offset, uint32_t from, uint32_t to, struct damage *d)
{
	uint64_t all = mutate_length((uint16_t)from) == 4 ? 0xffffffff : 0xffff;
	struct supervisor_poke whole = {v->text.gpa + (offset & ~7ul), all << offset % 8 * 8};
	if (poke_is_planned(d, &whole))
		return;
	whole.mask = (uint64_t)(from ^ to) << offset % 8 * 8;
	snprintf(d->detail, DAMAGE_DETAIL, "%" PRIx64 " %" PRIx32 ">%" PRIx32, v->text.gpa + offset, from, to);
	d->pokes[d->faults++] = whole;
}

static enum error plan_text(const struct damage_victim *v, unsigned count, uint64_t *random, struct damage *d)
{
	for (unsigned i = 0; i < count * TRIES && d->faults < count; i++) {
		size_t offset;
		uint32_t from, to;
		if (instruction_choose(v, random, &offset, &from) == ERR_OK && mutate(d->class, from, storm_random(random), &to))
			plan_instruction(v, offset, from, to, d);
	}
	return d->faults == count ? ERR_OK : ERR_NOT_FOUND;
}

// --- bits

static void plan_bit(uint64_t place, uint64_t *random, struct damage *d)
{
	uint64_t bit = storm_random_below(random, 64);
	struct supervisor_poke poke = {place, 1ull << bit};
	if (poke_is_planned(d, &poke))
		return;
	snprintf(d->detail, DAMAGE_DETAIL, "%" PRIx64 " bit %" PRIu64, place, bit);
	d->pokes[d->faults++] = poke;
}

static enum error plan_within(uint64_t base, uint64_t bytes, unsigned count, uint64_t *random, struct damage *d)
{
	for (unsigned i = 0; i < count * TRIES && d->faults < count && bytes >= 8; i++)
		plan_bit(base + 8 * storm_random_below(random, bytes / 8), random, d);
	return d->faults == count ? ERR_OK : ERR_NOT_FOUND;
}

// Of the heap's window only the lower end is there: many places are asked for at once, in what is there by what was found before.
static enum error plan_heap(struct damage_victim *v, unsigned count, uint64_t *random, struct damage *d)
{
	static struct supervisor_poke tries[SUPERVISOR_POKES];
	for (unsigned n = 0; n < TRIES && d->faults < count; n++) {
		uint64_t there[2], reach = v->heap_reach ? v->heap_reach : HEAP_REACH;
		for (unsigned i = 0; i < SUPERVISOR_POKES; i++)
			tries[i].place = GPA_HEAP + 8 * storm_random_below(random, reach / 8);
		enum error e = supervision_places(&v->who, tries, SUPERVISOR_POKES, there);
		if (e != ERR_OK)
			return e;
		for (unsigned i = 0; i < SUPERVISOR_POKES && d->faults < count; i++)
			if (there[i / 64] >> i % 64 & 1)
				plan_bit(tries[i].place, random, d);
		unsigned found = (unsigned)(__builtin_popcountll(there[0]) + __builtin_popcountll(there[1]));
		if (found < SUPERVISOR_POKES / 4 && reach > HEAP_REACH_MIN)
			v->heap_reach = reach / 2;
		else if (found > SUPERVISOR_POKES * 3 / 4 && reach < HEAP_REACH)
			v->heap_reach = reach * 2;
	}
	return d->faults == count ? ERR_OK : ERR_NOT_FOUND;
}

// Above the stack pointer that was saved last; of a fiber's stack, which lies in the heap, perhaps beyond its end.
static enum error plan_stack(const struct damage_victim *v, unsigned count, uint64_t *random, struct damage *d)
{
	uint64_t sp;
	enum error e = supervision_poke(&v->who, 2, 0, &sp);
	return e == ERR_OK ? plan_within(sp & ~7ull, STACK_REACH, count, random, d) : e;
}

static enum error plan_registers(unsigned count, uint64_t *random, struct damage *d)
{
	for (unsigned i = 0; i < count * TRIES && d->faults < count; i++)
		plan_bit(storm_random_below(random, 32), random, d);
	return d->faults == count ? ERR_OK : ERR_NOT_FOUND;
}

static enum error do_pokes(const struct damage *d)
{
	return supervision_pokes(&d->whose, d->pokes, d->faults);
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

// One of our channels to the victim, taken by chance; notifications have no pages to damage. False: there is none.
static bool channel_choose(const struct damage_victim *v, uint64_t *random, unsigned *slot)
{
	unsigned found = 0;
	for (unsigned i = 0; i < CHANNEL_MAX; i++) {
		struct kernel_result name = kcall(CALL_channel_name, i), info = kcall(CALL_channel_info, i);
		if (name.error != ERR_OK || info.error != ERR_OK || CHANNEL_INFO_STATE(info.value[0]) != CHANNEL_OPEN ||
		    CHANNEL_INFO_SLOTS(info.value[1]) == 0 || strncmp((const char *)name.value, v->served, NAME_SIZE) != 0)
			continue;
		if (storm_random_below(random, ++found) == 0)
			*slot = i;
	}
	return found > 0;
}

static void plan_ring_bit(uint64_t base, const struct channel_geometry *g, uint64_t records, uint64_t *random, struct damage *d)
{
	switch (storm_random_below(random, 3)) {
	case 0:
		plan_bit(base + PAGE_SIZE + 8 * storm_random_below(random, RING_COUNTERS / 8), random, d);
		break;
	case 1:
		plan_bit(base + PAGE_SIZE + 8 * storm_random_below(random, PAGE_SIZE / 8), random, d);
		break;
	default:
		plan_bit(base + g->records + 8 * storm_random_below(random, records / 8), random, d);
	}
}

static enum error plan_ring(const struct damage_victim *v, unsigned count, uint64_t *random, struct damage *d)
{
	struct channel_geometry g;
	d->whose = ourselves();
	if (strcmp(v->who.name, "supervisor") == 0 || !v->served[0] || !d->whose.job || !channel_choose(v, random, &d->slot))
		return ERR_NOT_FOUND; // the supervisor's ring is the one by which we do all this
	struct kernel_result info = kcall(CALL_channel_info, d->slot);
	if (info.error != ERR_OK || !channel_layout(&g, CHANNEL_INFO_SLOTS(info.value[1]), info.value[2], info.value[3]))
		return ERR_NOT_FOUND;
	uint64_t base = GPA_CHANNEL + d->slot * CHANNEL_WINDOW, size = sizeof(struct completion) * CHANNEL_INFO_SLOTS(info.value[1]);
	for (unsigned i = 0; i < count * TRIES && d->faults < count; i++)
		plan_ring_bit(base, &g, size, random, d);
	return d->faults == count ? ERR_OK : ERR_NOT_FOUND;
}

static enum error plan_bells(const struct damage_victim *v, uint64_t *random, struct damage *d)
{
	if (!v->served[0] || !channel_choose(v, random, &d->slot))
		return ERR_NOT_FOUND;
	snprintf(d->detail, DAMAGE_DETAIL, "channel %u", d->slot);
	return ERR_OK;
}

static enum error do_bells(const struct damage *d)
{
	struct kernel_result info = kcall(CALL_channel_info, d->slot);
	for (unsigned i = 0; i < RINGS; i++)
		kcall(CALL_doorbell, d->slot);
	for (uint32_t i = 1; i < IDENTITY_MAX && (info.value[0] & CHANNEL_HAS_DOORBELL_PAGE); i++)
		*machine_doorbell(d->slot) = i; // those that the file does not have are ignored by it
	return ERR_OK;
}

// --- kernels

// Each third panic comes with another one in the rebirth.
static enum error plan_kernel(uint64_t *random, struct damage *d)
{
	static const char *const steps[] = {"", " claim", " meet", " finish", " online"};
	bool again = d->class == DAMAGE_PANIC && storm_random_below(random, 3) == 0;
	unsigned step = again ? DOOM_CLAIM + (unsigned)storm_random_below(random, DOOM_ONLINE) : DOOM_NONE;
	d->doom = step ? 1u << 3 | step : 0;
	snprintf(d->detail, DAMAGE_DETAIL, "%s%s", words[d->class], steps[step]);
	return ERR_OK;
}

static enum error do_kernel(const struct damage_victim *v, const struct damage *d)
{
	static const enum core_crash how[] = {CORE_CRASH_PANIC, CORE_CRASH_JUMP, CORE_CRASH_STORE, CORE_CRASH_HANG};
	return supervision_core_crash(1ul << v->core, how[d->class - DAMAGE_PANIC], d->doom);
}

// --- any

static enum error plan_pokes(struct damage_victim *v, unsigned count, uint64_t *random, struct damage *d)
{
	d->whose = v->who;
	switch (d->class) {
	case DAMAGE_TEXT:
		return plan_within(v->text.gpa, v->text.got, count, random, d);
	case DAMAGE_DATA:
		return plan_within(v->data.gpa, v->data.bytes, count, random, d);
	case DAMAGE_HEAP:
		return plan_heap(v, count, random, d);
	case DAMAGE_STACK:
		return plan_stack(v, count, random, d);
	case DAMAGE_REGISTER:
		return plan_registers(count, random, d);
	case DAMAGE_RING:
		return plan_ring(v, count, random, d);
	default:
		return plan_text(v, count, random, d);
	}
}

static enum error plan_one(const struct damage_victim *v, uint64_t *random, struct damage *d)
{
	switch (d->class) {
	case DAMAGE_STOP:
		return plan_stop(v, random, d);
	case DAMAGE_HANG:
		return plan_point(v, INJECT_HANG, random, d);
	case DAMAGE_ERROR:
		return plan_point(v, INJECT_ERROR, random, d);
	case DAMAGE_REPLY:
		return plan_point(v, INJECT_REPLY, random, d);
	case DAMAGE_BELL:
		return plan_bells(v, random, d);
	case DAMAGE_DEVICE:
	case DAMAGE_STALL:
		snprintf(d->detail, DAMAGE_DETAIL, "by the host");
		return strcmp(v->who.name, "blk") == 0 ? ERR_OK : ERR_NOT_FOUND;
	default:
		return ERR_NOT_FOUND;
	}
}

enum error damage_plan(struct damage_victim *v, enum damage_class class, unsigned count, uint64_t *random,
		       struct damage *d)
{
	*d = (struct damage){.class = class};
	if (v->kernel != damage_is_of_kernel(class))
		return ERR_NOT_FOUND;
	enum error e = v->kernel                ? plan_kernel(random, d)
		       : damage_is_poked(class) ? plan_pokes(v, count, random, d)
						: plan_one(v, random, d);
	if (damage_is_poked(class) && count > 1)
		d->detail[0] = 0;
	d->faults = d->faults ? d->faults : 1;
	return e;
}

enum error damage_do(const struct damage_victim *v, const struct damage *d)
{
	if (v->kernel)
		return do_kernel(v, d);
	if (damage_is_poked(d->class))
		return do_pokes(d);
	if (damage_is_at_point(d->class))
		return do_point(v, d);
	return d->class == DAMAGE_BELL ? do_bells(d) : ERR_OK;
}

_Static_assert(DAMAGE_DROP - DAMAGE_SOURCE == MUTATION_DROP, "the classes of mutations stand in the order of their table");
_Static_assert(DAMAGE_SILENCE - DAMAGE_PANIC == CORE_CRASH_HANG, "the classes of kernels' deaths stand in the order of core_crash");
