// Poison: who must still hear that an object is not what was acknowledged (RECOVERY rules 6 and 7).
//
// Owns a small table of handles, each with a bit for every channel that has been told. It dies with this server; what
// is lost is found again by the next incarnation as long as its request stands in the ring. When the table is full, the
// oldest entry goes: the loss itself is counted and logged by the runtime. Must never answer for a replay.
#include "servers/fs/poison.h"
#include "abi/layout.h"
#include "proto/fs.h"

#define POISON_MAX 64u

static struct {
	uint64_t handle;
	uint64_t told; // bit: slot of the channel
} table[POISON_MAX];
static unsigned count, next;
_Static_assert(CHANNEL_MAX <= 64, "a word has a bit for each channel");

void poison_add(uint64_t handle)
{
	if (handle == 0)
		return;
	table[next].handle = handle;
	table[next].told = 0;
	next = (next + 1) % POISON_MAX;
	count += count < POISON_MAX;
}

bool poison_meets(const struct request *r, const struct server_channel *client)
{
	bool two = r->op == FS_OP_LINK || r->op == FS_OP_RENAME;
	bool meets = false;
	for (unsigned i = 0; i < count; i++) {
		uint64_t handle = table[i].handle, bit = 1ull << server_channel_slot(client);
		if ((handle != POISON_ALL && handle != r->arg[0] && !(two && handle == r->arg[1])) || table[i].told & bit)
			continue;
		table[i].told |= bit;
		meets = true;
	}
	return meets;
}
