// For tests of the server's library: one incarnation of `server`, which the file defines, with a script that plays all others.
#pragma once
#include "world.h"
#include "runtime/server.c"

static const struct server server;
static void (*script)(unsigned turn); // what the others do in each turn of the loop
static unsigned turn_number;
static jmp_buf finished; // where the script ends it

static void turn(bool may_sleep)
{
	(void)may_sleep;
	assert_true(turn_number < 1000);
	for (struct server_channel *channel = this.channels; channel; channel = channel->next)
		channel_loop_look(&channel->loop);
	script(turn_number++);
}

static void gone(void)
{
	while (this.channels) {
		struct server_channel *channel = this.channels;
		this.channels = channel->next;
		free(channel);
	}
	memset(&this, 0, sizeof(this));
}

// Until the script ends it.
static void serve(void (*what)(unsigned turn))
{
	script = what;
	turn_number = 0;
	world_turn = turn;
	if (!setjmp(finished)) {
		server_run(&server);
		fail_msg("server_run returned");
	}
	gone();
}
