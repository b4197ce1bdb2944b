// Starts and ends the partner of a measurement: a job of the supervisor with a channel to it.
//
// Owns one job at a time. The channel has raw areas as a rule, which the measurements lay out themselves. If
// this domain dies, the partner goes on until somebody stops it; the next run gets ERR_EXISTS or a second one, never a
// wrong figure.
#include "apps/bench/bench.h"
#include "runtime/client.h"
#include "runtime/supervision.h"

#define AREA_BYTES 0x20000u

enum error partner_start(struct partner *partner, const char *app, const struct client_options *options)
{
	static const struct client_options raw = {
		.slots = 128, .out_bytes = AREA_BYTES, .in_bytes = AREA_BYTES, .raw = true};
	enum error e = supervision_spawn(app, "", &partner->job);
	if (e != ERR_OK)
		return e;
	e = client_open(&partner->client, app, options ? options : &raw);
	if (e != ERR_OK)
		(void)supervision_stop(partner->job);
	return e;
}

void partner_stop(struct partner *partner)
{
	uint64_t code, fault;
	client_close(partner->client);
	(void)supervision_stop(partner->job);
	(void)supervision_wait(partner->job, &code, &fault);
}
