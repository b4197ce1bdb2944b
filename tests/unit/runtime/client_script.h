// For tests of the client's library: a server that the test steps by hand whenever the client waits.
#pragma once
#include "world.h"
#include "runtime/client.c"
#include "runtime/machine.h"
#include "runtime/server_ring.h"

enum { OP_NONE, OP_LOGGED, OP_ECHO, OPS };

static struct server_ring server;
static uint64_t serial;
static uint64_t commit_lag;   // serials that are kept uncommitted; ~0: commits only when asked
static bool silent;           // does not serve
static unsigned die_in_turns; // the server is replaced after so many turns, 0: never
static enum channel_state state_after; // of the channel, told after the next turn; CHANNEL_FREE: nothing
static unsigned turns;
static bool near_next; // the next server to be opened is on our core

static void server_new(void)
{
	struct request copy;
	struct completion former;
	static const struct op_description ops[OPS] = {[OP_LOGGED] = {"LOGGED", "", OP_ONCE}};
	static const struct protocol protocol = {"test", ops, OPS};
	assert_int_equal(channel_view_load(&server.view, WORLD_SERVER), ERR_OK);
	server_ring_adopt(&server, ++world.epoch);
	for (unsigned slot = 0; slot < server.view.geometry.slots; slot++)
		if (server_ring_adopt_slot(&server, slot, &protocol, &copy, &former) == ADOPTED_TO_DO) {
			struct completion c = {.seq = copy.seq, .result = {copy.arg[0], copy.arg[1]}};
			server_ring_record(&server, slot, &c, true);
			server_ring_publish(&server, slot);
		}
}

static unsigned attempts;    // requests that were served
static bool takes;           // what is lent, and gives it back
static enum error answer_of; // those that could
static uint64_t refusal;     // serial of a refusal

static uint32_t lent_serve(uint32_t grant)
{
	enum error e = kcall(CALL_grant_take, WORLD_SERVER, grant).error;
	kcall(CALL_grant_end, WORLD_SERVER, grant);
	return e == ERR_OK ? answer_of : e;
}

static void serve_all(void)
{
	struct request copy;
	int slot;
	while ((slot = server_ring_take(&server, &copy, 0)) >= 0) {
		struct completion c = {.seq = copy.seq, .result = {copy.arg[0], copy.out_length}};
		attempts++;
		if (copy.op == OP_LOGGED)
			c.serial = ++serial;
		if (copy.grant && takes)
			c.status = lent_serve(copy.grant);
		if (c.status != ERR_OK)
			c.serial = refusal;
		memcpy(server.view.in + copy.in_offset, server.view.out + copy.out_offset,
		       copy.out_length < copy.in_length ? copy.out_length : copy.in_length);
		server_ring_record(&server, (unsigned)slot, &c, true);
		server_ring_publish(&server, (unsigned)slot);
	}
	if (commit_lag != ~0ull && serial > commit_lag)
		server_ring_commit(&server, serial - commit_lag, serial);
	if (server_ring_commit_wanted(&server))
		server_ring_commit(&server, serial, serial);
}

static void turn(bool may_sleep)
{
	(void)may_sleep;
	assert_true(++turns < 10000);
	if (die_in_turns && --die_in_turns == 0)
		server_new();
	else if (!silent)
		serve_all();
	if (state_after != CHANNEL_FREE) {
		world.client_state = state_after;
		state_after = CHANNEL_FREE;
		world_state_changed(WORLD_CLIENT);
	}
	for (struct client *c = clients; c; c = c->next) {
		loop_enter();
		client_loop_look(&c->loop);
		loop_leave();
	}
	timer_run_due();
}

static struct client *open_fresh(const struct client_options *options, unsigned slots)
{
	struct client *client = 0;
	world_make(slots, slots * 256, slots * 256);
	world.exists = false;
	world.near = near_next;
	world_turn = turn;
	serial = turns = die_in_turns = attempts = 0;
	commit_lag = 0;
	silent = takes = false;
	answer_of = ERR_OK;
	refusal = 0;
	state_after = CHANNEL_FREE;
	assert_int_equal(client_open(&client, "ledger", options), ERR_OK);
	server_new();
	return client;
}
