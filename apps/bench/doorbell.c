// Topics: doorbell round trips between two cores, with words and by a notification alone, the same through the kernels, domain switches on one core.
//
// Measures one side's round: its word and ring there, the partner's word and ring back. Trap counters of both kernels are
// taken inside the rounds, when both sides are in them.
#include "abi/info.h"
#include "apps/bench/bench.h"
#include "runtime/client.h"
#include "runtime/notification.h"
#include "runtime/runtime.h"
#include <inttypes.h>
#include <stdio.h>

#define BATCHES 100u
#define WARM_ROUNDS 64u

struct run {
	struct rounds rounds;
	uint64_t next;
	unsigned peer_core;
};

static struct series series;
static struct info_page info;

static void run_rounds(void *context, uint64_t operations)
{
	struct run *run = context;
	if (run->rounds.mode == PARTNER_NOTIFY || run->rounds.mode == PARTNER_NOTIFY_HANDLER) {
		rounds_notify(&run->rounds, operations);
		return;
	}
	for (uint64_t i = 0; i < operations; i++) {
		rounds_send(&run->rounds, run->next);
		rounds_await(&run->rounds, run->next);
		run->next++;
	}
}

// But for those that the supervisor makes by asking whether the core lives.
static uint64_t traps_of(unsigned core)
{
	uint64_t traps = 0;
	if (!info_read(core, &info))
		return 0;
	for (unsigned i = INFO_TRAP_CALL; i <= INFO_TRAP_FP; i++)
		traps += info.counters[i];
	return traps - info.counters[INFO_PINGS];
}

static void measure_batches(struct run *run, const char *name, uint64_t per_batch)
{
	run_rounds(run, WARM_ROUNDS);
	uint64_t own = traps_of(self_core()), peer = traps_of(run->peer_core);
	series_begin(&series, name);
	for (unsigned i = 0; i < BATCHES; i++)
		series_batch(&series, run_rounds, run, per_batch);
	own = traps_of(self_core()) - own;
	peer = traps_of(run->peer_core) - peer;
	series_print(&series);
	bench_figure(name, "traps", own + peer, "traps");
}

static enum error ask_for_rounds(struct run *run, struct client *client, const char *name, uint64_t per_batch)
{
	uint32_t at = (uint32_t)run->rounds.mode * sizeof(struct partner_word);
	struct client_request request = {.op = PARTNER_OP_ROUNDS,
					 .arg = {run->rounds.mode, WARM_ROUNDS + BATCHES * per_batch},
					 .patient = true,
					 .out_offset = at,
					 .in_offset = at,
					 .out_length = sizeof(struct partner_word),
					 .in_length = sizeof(struct partner_word)};
	enum error e = rounds_begin(&run->rounds, client, &request);
	if (e != ERR_OK)
		return e;
	measure_batches(run, name, per_batch);
	rounds_finish();
	return client_wait(client, &request);
}

// Each mode has words of its own in the channel's areas, so that none sees the count of another.
static enum error measure_mode(struct partner *partner, unsigned bell, enum partner_mode mode, const char *name, uint64_t per_batch)
{
	uint32_t at = (uint32_t)mode * sizeof(struct partner_word);
	struct client *client = partner->client;
	struct run run = {.rounds = {.mode = mode,
				     .mine = (volatile uint64_t *)((uint8_t *)client_out(client) + at),
				     .theirs = (const volatile uint64_t *)((const uint8_t *)client_in(client) + at)},
			  .next = ROUNDS_FIRST};
	struct kernel_result channel = kcall(CALL_channel_info, client_slot(client));
	run.peer_core = CHANNEL_PEER_CORE(channel.value[4]);
	bool notifies = mode == PARTNER_NOTIFY || mode == PARTNER_NOTIFY_HANDLER;
	enum error e = rounds_prepare(&run.rounds, notifies ? bell : client_slot(client));
	bool spins = mode != PARTNER_SLEEP && mode != PARTNER_KERNEL_SLEEP && mode != PARTNER_YIELD && !notifies;
	if (e == ERR_OK && spins && run.peer_core == self_core())
		e = ERR_UNSUPPORTED; // spinning against oneself
	if (e == ERR_OK)
		e = ask_for_rounds(&run, client, name, per_batch);
	rounds_finish();
	return e;
}

struct mode_row {
	enum partner_mode mode;
	const char *name;
	uint64_t per_batch;
};

static int measure_rows(const char *app, const char *title, const struct mode_row *rows, unsigned count)
{
	struct partner partner;
	struct notification *bell;
	int status = 0;
	enum error e = partner_start(&partner, app, 0);
	if (e == ERR_OK && (e = notification_open(&bell, app, 0)) != ERR_OK)
		partner_stop(&partner);
	if (e != ERR_OK)
		return bench_complain(app, e);
	series_head(title);
	for (unsigned i = 0; i < count; i++) {
		uint64_t per_batch = bench_count ? (bench_count + BATCHES - 1) / BATCHES : rows[i].per_batch;
		e = measure_mode(&partner, bell->view.slot, rows[i].mode, rows[i].name, per_batch);
		if (e == ERR_UNSUPPORTED)
			printf("%-28s not here: it needs two cores and guest interrupt files\n", rows[i].name);
		else if (e != ERR_OK)
			status = bench_complain(rows[i].name, e);
	}
	notification_close(bell);
	partner_stop(&partner);
	return status;
}

int bench_doorbell(void)
{
	static const struct mode_row rows[] = {{PARTNER_POLL, "poll", 1000},
					       {PARTNER_BARE, "doorbell.bare", 1000},
					       {PARTNER_SPIN, "doorbell.spin", 1000},
					       {PARTNER_SLEEP, "doorbell.sleep", 100},
					       {PARTNER_NOTIFY, "notify.sleep", 100},
					       {PARTNER_NOTIFY_HANDLER, "notify.handler", 100}};
	// Spinning on a machine that runs one hart at a time measures its turns, not us.
	return bench_icount ? measure_rows("partner", "round trip, two cores", rows + 3, 3)
			    : measure_rows("partner", "round trip, two cores", rows, 6);
}

int bench_kernel(void)
{
	static const struct mode_row rows[] = {{PARTNER_KERNEL_SLEEP, "kernel.sleep", 50},
					       {PARTNER_KERNEL_SPIN, "kernel.spin", 100}};
	return measure_rows("partner-plain", "round trip through the kernels", rows, bench_icount ? 1 : 2);
}

int bench_switch(void)
{
	static const struct mode_row rows[] = {{PARTNER_YIELD, "yield.round", 200}};
	return measure_rows("partner-near", "two switches on one core", rows, 1);
}
