// INV-61 (RECOVERY rule 6): what one client has not got durable is committed before another one reads it or builds on it. So a
// client that forges its log loses operations that nobody else has met.
//
// Owns: for each inode with uncommitted changes, who made them and the highest serial (what is committed by now is a free
// place of the table), and the claims of changes that wait for a commit. Nothing here waits: serve.c asks, commits, and tries
// again. A client is a domain, whatever number of channels it has: its word is server_channel_peer's, never 0. If this server dies,
// its successor makes the table anew by replay, where each operation notes what it changes as the first time.
// Why nobody waits for ever: who reads waits for a serial that stands. Who wants to change an inode that is another's claims it,
// and others who want to change it find the claim in their way; they drop their own then, so nobody waits in a circle. When
// places run out, a change counts for all inodes: that costs commits, and no truth.
#include "servers/fs/share.h"
#include "proto/protocol.h"

#define PLACES 1024u
#define PROBES 4u
#define SEVERAL 0ull // in the place of a client

struct share_place {
	uint64_t client;
	uint64_t serial;
	uint32_t inode;
};

static struct {
	struct share_place places[PLACES];
	struct share_place crowd; // changes that found no place, or whose inode nobody knows
	uint64_t last;            // highest serial
	uint64_t last_client;     // whose it is
	uint64_t others;          // highest serial of anybody else
	struct share_change *claims;
} shares;

static struct share_place *place_at(uint32_t inode, unsigned probe)
{
	return &shares.places[(inode + probe) % PLACES];
}

// The inode's place, else one whose change is committed, else the crowd's.
static struct share_place *place_for(uint32_t inode, uint64_t committed)
{
	struct share_place *free = 0;
	for (unsigned i = 0; i < PROBES && inode; i++) {
		struct share_place *p = place_at(inode, i);
		if (p->inode == inode)
			return p;
		if (!free && p->serial <= committed)
			free = p;
	}
	return free ? free : &shares.crowd;
}

static __attribute__((noinline)) void place_take(uint64_t client, uint32_t inode, uint64_t serial, uint64_t committed)
{
	struct share_place *p = place_for(inode, committed);
	bool mixed = p->client != client && p->serial > committed;
	*p = (struct share_place){mixed ? SEVERAL : client, serial, inode};
}

void share_note(uint64_t client, uint32_t inode, uint64_t serial, uint64_t committed)
{
	if (!RECOVERABLE)
		return;
	if (shares.last_client != client) {
		shares.others = shares.last;
		shares.last_client = client;
	}
	shares.last = serial;
	struct share_place *p = place_at(inode, 0);
	if (p->inode == inode && p->client == client && inode) // who has changed it goes on
		p->serial = serial;
	else
		place_take(client, inode, serial, committed);
}

static uint64_t place_foreign(const struct share_place *p, uint64_t client, uint64_t committed)
{
	return p->serial > committed && p->client != client ? p->serial : 0;
}

uint64_t share_foreign(uint64_t client, uint32_t inode, uint64_t committed)
{
	uint64_t foreign = place_foreign(&shares.crowd, client, committed);
	for (unsigned i = 0; i < PROBES; i++) {
		const struct share_place *p = place_at(inode, i);
		uint64_t serial = p->inode == inode ? place_foreign(p, client, committed) : 0;
		foreign = serial > foreign ? serial : foreign;
	}
	return foreign;
}

bool share_alone(uint64_t client, uint64_t committed)
{
	return (shares.last_client == client ? shares.others : shares.last) <= committed && !shares.claims;
}

// ---- claims ----

static const struct share_change *claim_of_another(const struct share_change *change, uint32_t inode)
{
	for (const struct share_change *c = shares.claims; c; c = c->next)
		for (unsigned i = 0; i < c->count && c->client != change->client; i++)
			if (c->claimed[i] == inode)
				return c;
	return 0;
}

static void claim(struct share_change *change, uint32_t inode)
{
	if (change->count == 0) {
		change->next = shares.claims;
		shares.claims = change;
	}
	if (change->count < SHARE_CLAIMS)
		change->claimed[change->count++] = inode;
}

void share_done(struct share_change *change)
{
	struct share_change **at = &shares.claims;
	while (*at && *at != change)
		at = &(*at)->next;
	if (*at)
		*at = change->next;
	change->count = 0;
}

bool share_enter(struct share_change *change, uint32_t inode, uint64_t committed)
{
	const struct share_change *other = claim_of_another(change, inode);
	uint64_t foreign = share_foreign(change->client, inode, committed);
	if (!foreign && !other)
		return true;
	change->wanted = other && other->wanted > foreign ? other->wanted : foreign;
	if (other)
		share_done(change);
	else
		claim(change, inode);
	return false;
}
