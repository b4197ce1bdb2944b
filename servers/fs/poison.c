// Poison: who must still hear that an object is not what was acknowledged (RECOVERY rules 6 and 7).
//
// Owns the table of losses: handle, the serial that is lost, a number that rises, and a bit for every channel that has been
// told. It stands in the log area and outlives this server: who has not met a loss yet hears of it from a later incarnation.
// An entry is believed by its check word; the bits are outside of it, for they change alone. Whoever is told is noted behind the
// answer: a death in between tells it twice, never not at all. An open file needs no bit: its fsync says which number it knows, so
// asking again after a death gives the same answer. When the table is full, the oldest entry goes: the loss itself is counted and
// logged by the runtime. A boot begins with none. Must never answer for a replay.
#include "servers/fs/poison.h"
#include "abi/channel.h"
#include "abi/layout.h"
#include "proto/fs.h"
#include "runtime/runtime.h"

#define POISON_SEED 0x6c6f7373ull

static struct loss own[LOSSES]; // where there is no log area
static struct loss *losses = own;
static uint64_t newest; // number of the last one; 0: there is none, which each request asks
_Static_assert(CHANNEL_MAX <= 64, "a word has a bit for each channel");

static uint64_t loss_check(const struct loss *l)
{
	return channel_mix(channel_mix(channel_mix(POISON_SEED, l->handle), l->serial), l->number);
}

static bool is_of(const struct loss *l, uint64_t handle)
{
	return l->number && (l->handle == POISON_ALL || l->handle == handle);
}

void poison_open(struct loss *table)
{
	losses = table ? table : own;
	newest = 0;
	for (struct loss *l = losses; l < losses + LOSSES; l++) {
		if (l->number && l->check != loss_check(l)) {
			log_line("fs: an entry of the table of losses is damaged: who was to hear of it is forgotten");
			l->number = 0;
		}
		newest = l->number > newest ? l->number : newest;
	}
}

static bool known(uint64_t handle, uint64_t serial)
{
	for (const struct loss *l = losses; l < losses + LOSSES; l++) {
		if (l->number && l->handle == handle && (l->serial == serial || handle == POISON_ALL))
			return true;
	}
	return false;
}

void poison_add(uint64_t handle, uint64_t serial)
{
	if (handle == 0 || known(handle, serial))
		return;
	struct loss *l = &losses[++newest % LOSSES];
	l->number = 0; // until all of it is there
	l->handle = handle;
	l->serial = serial;
	l->told = l->heard = 0;
	l->number = newest;
	l->check = loss_check(l);
}

static bool concerns(const struct loss *l, const struct request *r)
{
	bool two = r->op == FS_OP_LINK || r->op == FS_OP_RENAME;
	return is_of(l, r->arg[0]) || (two && is_of(l, r->arg[1]));
}

bool poison_meets(const struct request *request, unsigned client)
{
	if (newest == 0 || (request->op == FS_OP_FSYNC && request->arg[1] & FS_FSYNC_SINCE))
		return false;
	for (const struct loss *l = losses; l < losses + LOSSES; l++) {
		if (concerns(l, request) && !(l->told & 1ull << client))
			return true;
	}
	return false;
}

bool poison_proves(const struct request *request)
{
	for (const struct loss *l = losses; l < losses + LOSSES; l++)
		if (l->check == loss_check(l) && concerns(l, request))
			return true;
	return false;
}

void poison_told(const struct request *request, unsigned client)
{
	for (struct loss *l = losses; l < losses + LOSSES; l++) {
		if (concerns(l, request)) {
			l->told |= 1ull << client;
			l->heard = 1;
		}
	}
}

void poison_forget(unsigned client)
{
	for (struct loss *l = losses; l < losses + LOSSES; l++)
		l->told &= ~(1ull << client);
}

uint64_t poison_newest(uint64_t handle, bool heard)
{
	uint64_t number = 0;
	if (newest == 0)
		return 0;
	for (const struct loss *l = losses; l < losses + LOSSES; l++) {
		if (is_of(l, handle) && (!heard || l->heard) && l->number > number)
			number = l->number;
	}
	return number;
}
