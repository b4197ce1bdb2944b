// Topic: what a program of a library OS pays for a page fault and for a call, which its library OS takes in VS-mode; no kernel is entered.
//
// The partner runs and measures it, for that takes a domain of the class library OS; this side asks, and prints. Owns nothing after a
// request: pages and tables of the partner's programs stay with it. If the partner dies, the topic complains.
#include "apps/bench/bench.h"
#include "runtime/client.h"
#include "runtime/csr.h"
#include "runtime/runtime.h"
#include "runtime/user.h"
#include <string.h>

#define BATCHES 50u
#define PAGES 128u // of one batch: in one table
#define TEXT (USER_HIGH + 0x10000)
#define DATA (USER_HIGH + 0x200000)

extern const char bench_program_load[], bench_program_touch[], bench_program_call[];

// ---- the partner's side

static struct user_space space;

static bool call_is_more(struct user *u)
{
	u->x[10] = 0;
	return u->x[17] == 0;
}

static bool fault_is_skipped(struct user *u, uint64_t address, unsigned access)
{
	(void)address, (void)access;
	u->x[0] += 4;
	return true;
}

static bool fault_maps(struct user *u, uint64_t address, unsigned access)
{
	(void)access;
	void *page = user_page_take();
	return page && user_map(u->space, address & ~(PAGE_SIZE - 1), page, PROT_READ | PROT_WRITE) == ERR_OK;
}

static bool fault_maps_and_clears(struct user *u, uint64_t address, unsigned access)
{
	(void)access;
	void *page = user_page_take();
	if (!page)
		return false;
	memset(page, 0, PAGE_SIZE);
	return user_map(u->space, address & ~(PAGE_SIZE - 1), page, PROT_READ | PROT_WRITE) == ERR_OK;
}

static const struct way {
	const char *name;
	const char *program;
	struct user_events events;
} ways[PARTNER_PROGRAMS] = {
	[PARTNER_SKIPS] = {"fault.skip", bench_program_load, {call_is_more, fault_is_skipped}},
	[PARTNER_MAPS] = {"fault.map", bench_program_touch, {call_is_more, fault_maps}},
	[PARTNER_MAPS_CLEAR] = {"fault.first", bench_program_touch, {call_is_more, fault_maps_and_clears}},
	[PARTNER_IS_CALLED] = {"program.call", bench_program_call, {call_is_more, fault_maps}},
};

static enum error space_prepare(void)
{
	uint64_t text = (uint64_t)bench_program_load & ~(PAGE_SIZE - 1);
	if (space.table.root)
		return ERR_OK;
	user_start();
	enum error error = user_space_make(&space);
	for (uint64_t at = 0; error == ERR_OK && at < 2 * PAGE_SIZE; at += PAGE_SIZE)
		error = user_map(&space, TEXT + at, (void *)(text + at), PROT_READ | PROT_EXEC);
	return error;
}

enum error programs_run(uint64_t kind, uint64_t times, uint64_t result[5])
{
	static struct user user;
	if (!(self_manifest()->flags & SERVICE_FLAG_LIBRARY_OS))
		return ERR_DENIED;
	if (kind >= PARTNER_PROGRAMS || times == 0 || (kind != PARTNER_SKIPS && kind != PARTNER_IS_CALLED && times > PAGES))
		return ERR_INVALID;
	enum error error = space_prepare();
	if (error != ERR_OK)
		return error;
	uint64_t base = (uint64_t)bench_program_load & ~(PAGE_SIZE - 1);
	user_make(&user, &space, &ways[kind].events, TEXT + ((uint64_t)ways[kind].program - base), 0);
	user.x[11] = DATA;
	user.x[12] = times;
	user.x[17] = 1;
	user.x[5] = PAGE_SIZE;
	csr_clear(CSR_SIE, INTERRUPT_TIMER); // the loop's alarm, once due, would end every turn of the program
	uint64_t instructions = instructions_read(), start = time_now();
	enum user_stop stop;
	while ((stop = user_run(&user)) == USER_INTERRUPTED)
		while (interrupt_claim() != 0)
			;
	result[0] = time_now() - start;
	result[1] = instructions_read() - instructions;
	rounds_finish();
	user_end(&user);
	for (uint64_t i = 0; i < PAGES; i++) {
		void *page = user_unmap(&space, DATA + i * PAGE_SIZE);
		if (page)
			user_page_give(page);
	}
	return stop == USER_CALLED ? ERR_OK : ERR_NO_MEMORY;
}

// ---- this side

static struct series series;

static enum error measure(struct client *client, enum partner_program kind)
{
	uint64_t times = kind == PARTNER_SKIPS || kind == PARTNER_IS_CALLED ? 1000 : PAGES;
	enum error error = ERR_OK;
	series_begin(&series, ways[kind].name);
	for (unsigned i = 0; i < BATCHES && error == ERR_OK; i++) {
		struct client_request request = {.op = PARTNER_OP_PROGRAM, .arg = {kind, times}, .patient = true};
		error = client_call(client, &request);
		if (error == ERR_OK)
			series_add(&series, bench_ns(request.completion.result[0]) / times, request.completion.result[1] / times);
	}
	if (error == ERR_OK)
		series_print(&series);
	return error;
}

int bench_fault(void)
{
	struct partner partner;
	enum error error = partner_start(&partner, "partner-user", 0);
	if (error != ERR_OK)
		return bench_complain("partner-user", error);
	series_head("a program and its library OS");
	for (enum partner_program kind = 0; kind < PARTNER_PROGRAMS && error == ERR_OK; kind++)
		error = measure(partner.client, kind);
	partner_stop(&partner);
	return error == ERR_OK ? 0 : bench_complain("programs", error);
}
