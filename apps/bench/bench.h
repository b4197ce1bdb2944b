// What the parts of bench share: series of samples, the rounds between two domains, topics.
#pragma once
#include "abi/error.h"
#include "proto/partner.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client;
struct client_request;

#define SERIES_MAX 512u

// Samples of one measured thing; each is the mean of one batch.
struct series {
	const char *name; // "doorbell.spin"
	unsigned count;
	uint64_t ns[SERIES_MAX];
	uint64_t instructions[SERIES_MAX];
};

extern bool bench_icount;   // run under -icount: instruction counts are exact and are printed
extern uint64_t bench_count; // rounds or operations of one measurement; 0: each topic's own

void series_begin(struct series *series, const char *name);
// One batch: body(context, operations), timed.
void series_batch(struct series *series, void (*body)(void *context, uint64_t operations), void *context,
		  uint64_t operations);
void series_add(struct series *series, uint64_t ns, uint64_t instructions);
void series_add_ns(struct series *series, uint64_t ns);
// Prints the row of a table, and keeps its figures.
void series_print(struct series *series);
void series_head(const char *title);
uint64_t series_median(struct series *series); // ns
uint64_t series_mean_instructions(const struct series *series); // of one operation, over all batches
// A figure that is no series: a row of its own.
void bench_figure(const char *name, const char *part, uint64_t value, const char *unit);
// All figures so far, "BENCH name value unit" each.
void bench_lines_print(void);
int bench_complain(const char *what, enum error error);
uint64_t bench_ns(uint64_t ticks);

// Of all harts together under -icount, of this one otherwise.
static inline uint64_t instructions_read(void)
{
	uint64_t n;
	__asm__ volatile("rdinstret %0" : "=r"(n));
	return n;
}

// Rounds (rounds.c): both sides of the ping-pong.
struct rounds {
	enum partner_mode mode;
	unsigned slot;               // of the channel end
	unsigned own_identity;       // what the peer raises here
	uint32_t peer_identity;
	volatile uint32_t *doorbell; // 0: none mapped
	volatile uint64_t *mine;
	const volatile uint64_t *theirs;
	bool has_file;               // this domain has a guest interrupt file
};

enum error rounds_prepare(struct rounds *rounds, unsigned slot);
// The partner's side of calls through its endpoint: takes `calls` of them and answers each with its words.
enum error rounds_at_endpoint(struct rounds *rounds, uint64_t calls);
// By a notification alone (notify.c).
void rounds_notify(const struct rounds *rounds, uint64_t count);
void rounds_notify_as_partner(const struct rounds *rounds, uint64_t count);
void rounds_finish(void); // gives the interrupts back to the loop; after each rounds_prepare
// Both sides are here and nothing stale is pending; rounds then count from ROUNDS_FIRST.
#define ROUNDS_FIRST 3u
void rounds_meet_as_partner(struct rounds *rounds);
void rounds_meet(struct rounds *rounds);
// Submits `request` and waits until the partner has begun: its word is 1 then. An error when it refused.
enum error rounds_ask(struct client *client, struct client_request *request, const volatile uint64_t *word);
// The same for rounds, and meets it.
enum error rounds_begin(struct rounds *rounds, struct client *client, struct client_request *request);
void rounds_send(struct rounds *rounds, uint64_t round);
void rounds_await(struct rounds *rounds, uint64_t round);

// Runs a program of that kind so often, and what it took (user.c).
enum error programs_run(uint64_t kind, uint64_t times, uint64_t result[5]);

// The serving side: never returns but with an error of its start.
int partner_run(void);

// Starts a partner and opens a channel to it; ends it. (partner_client.c)
struct partner {
	uint64_t job;
	struct client *client;
};
struct client_options;
// `options` 0: 64 slots and areas of 128 KiB that the measurement lays out itself.
enum error partner_start(struct partner *partner, const char *app, const struct client_options *options);
void partner_stop(struct partner *partner);

// Topics: exit status 0, or 1 after a complaint.
int bench_doorbell(void);
int bench_kernel(void);
int bench_latency(void);
int bench_channel(void);
int bench_grants(void);
int bench_switch(void);
int bench_endpoint(void);
int bench_fault(void);
int bench_batch(void);
int bench_recovery(void);
int bench_echo(void);
int bench_ring(void); // of bench_recovery the full ring alone
int bench_files(void);
int bench_sizes(void);
int bench_memory(void);
int bench_start(void);
