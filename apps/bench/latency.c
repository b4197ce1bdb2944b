// Topic: how long until a domain that sleeps runs, from the store of a ring on another core: alone on its core, and beside one of the
// worst priority that computes, calls its kernel without end, or has it clear memory.
//
// Each round is a sample of its own: the partner writes down when it had claimed the ring, and the difference of both clocks, which
// are one on this machine, is the figure. The worst of them is the longest time in which a kernel lets nobody in, and the host's
// share of it. The noise is a second partner; what it does lasts until its job is stopped. If the partner dies in the middle, this
// side waits for ever; the user ends it.
#include "apps/bench/bench.h"
#include "runtime/client.h"
#include "runtime/csr.h"
#include "runtime/fence.h"
#include "runtime/runtime.h"
#include <stdio.h>

#define WARM 16u
#define REST_US 300u

static struct series series;

static void sample(struct rounds *rounds, uint64_t round, bool counts)
{
	const volatile struct partner_word *theirs = (const volatile struct partner_word *)rounds->theirs;
	for (uint64_t rested = time_now() + time_ticks_from_us(REST_US); time_now() < rested;) // it has gone to sleep by then
		;
	uint64_t instructions = instructions_read(), start = time_now();
	rounds_send(rounds, round);
	rounds_await(rounds, round);
	if (counts)
		series_add(&series, bench_ns(theirs->claimed - start), theirs->instructions - instructions);
}

static enum error take_samples(struct client *client, const char *name, uint64_t count)
{
	struct rounds rounds = {.mode = PARTNER_LATENCY, .mine = client_out(client), .theirs = client_in(client)};
	struct client_request request = {.op = PARTNER_OP_ROUNDS,
					 .arg = {PARTNER_LATENCY, WARM + count},
					 .patient = true,
					 .out_length = sizeof(struct partner_word),
					 .in_length = sizeof(struct partner_word)};
	store64(rounds.mine, 0);
	enum error e = rounds_prepare(&rounds, client_slot(client));
	if (e == ERR_OK)
		e = rounds_begin(&rounds, client, &request);
	if (e != ERR_OK)
		return e;
	series_begin(&series, name);
	for (uint64_t i = 0; i < WARM + count; i++)
		sample(&rounds, ROUNDS_FIRST + i, i >= WARM);
	rounds_finish();
	series_print(&series);
	bench_figure(name, "max", series.ns[series.count - 1], "ns");
	return client_wait(client, &request);
}

static enum error beside_noise(struct client *client, const char *name, enum partner_noise kind, uint64_t count)
{
	struct partner noise;
	struct client_request request = {.op = PARTNER_OP_NOISE, .arg = {kind}, .patient = true, .in_length = sizeof(struct partner_word)};
	enum error e = partner_start(&noise, "partner-noise", 0);
	if (e != ERR_OK)
		return e;
	e = rounds_ask(noise.client, &request, client_in(noise.client));
	if (e == ERR_OK)
		e = take_samples(client, name, count);
	partner_stop(&noise);
	return e;
}

int bench_latency(void)
{
	static const struct {
		const char *name;
		enum partner_noise kind;
	} rows[] = {{"latency.compute", PARTNER_COMPUTES}, {"latency.calls", PARTNER_CALLS}, {"latency.memory", PARTNER_CLEARS}};
	struct partner partner;
	uint64_t count = bench_count && bench_count < SERIES_MAX ? bench_count : SERIES_MAX;
	enum error e = partner_start(&partner, "partner", 0);
	if (e != ERR_OK)
		return bench_complain("partner", e);
	series_head("ring until it is claimed");
	e = take_samples(partner.client, "latency.alone", count);
	for (unsigned i = 0; e == ERR_OK && i < sizeof(rows) / sizeof(rows[0]); i++)
		e = beside_noise(partner.client, rows[i].name, rows[i].kind, count);
	partner_stop(&partner);
	if (e == ERR_UNSUPPORTED)
		printf("%-28s not here: it needs two cores and guest interrupt files\n", "latency");
	return e == ERR_OK || e == ERR_UNSUPPORTED ? 0 : bench_complain("latency", e);
}
