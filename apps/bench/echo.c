// Topic: a call to the echo server, wherever the manifest has placed it: on another core, on this one, or in this domain
// (docs/placement.md). What is measured is client_call with its payload both ways, of one client at a time.
//
// If the server dies, the calls wait for its next incarnation, and the series shows it; in our own domain it takes us along.
#include "apps/bench/bench.h"
#include "proto/echo.h"
#include "runtime/client.h"
#include "runtime/component.h"
#include "runtime/runtime.h"
#include <stdio.h>
#include <string.h>

#define BATCHES 100u
#define PAYLOAD_MAX 4096u

static struct series series;
static struct client *client;
static enum error failed; // the last error of a call

static void calls(void *context, uint64_t operations)
{
	static uint8_t out[PAYLOAD_MAX], in[PAYLOAD_MAX];
	uint32_t bytes = *(const uint32_t *)context;
	for (uint64_t i = 0; i < operations; i++) {
		struct client_request request = {.op = ECHO_OP_SAY, .out = out, .out_length = bytes, .in = in, .in_length = bytes};
		failed |= client_call(client, &request);
	}
}

static void measure(const char *name, uint32_t bytes)
{
	series_begin(&series, name);
	for (unsigned i = 0; i < BATCHES; i++)
		series_batch(&series, calls, &bytes, bench_count ? bench_count : 100);
	series_print(&series);
	if (bench_icount)
		bench_figure(name, "mean", series_mean_instructions(&series), "instructions");
}

int bench_echo(void)
{
	struct info_service found = {0};
	if (!component_serving("echo") && !info_find_service("echo", 0, &found)) {
		printf("echo: no service of this system\n");
		return 0;
	}
	enum error e = client_open(&client, "echo", 0);
	if (e != ERR_OK)
		return bench_complain("echo", e);
	series_head(component_serving("echo") ? "calls to echo, in this domain" : "calls to echo, in another domain");
	measure("echo.0", 0);
	measure("echo.64", 64);
	measure("echo.4k", PAYLOAD_MAX);
	client_close(client);
	return failed == ERR_OK ? 0 : bench_complain("echo", failed);
}
