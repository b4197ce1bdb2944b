// The injector of storm: one fiber for each service, which kills it again and again in all the ways there are.
//
// Owns the order of faults, a function of the seed. Must never wait for a service to be back before it goes on to the
// next fault of another: each service has a fiber of its own, and a fiber waits only for the answer of the one that it
// harms. If this domain dies, armed faults stay armed until they fire or the service is restarted.
#include "apps/storm/storm.h"
#include "runtime/client.h"
#include "runtime/error_text.h"
#include "runtime/fiber.h"
#include "runtime/runtime.h"
#include "runtime/supervision.h"
#include <stdio.h>
#include <string.h>

#define POINTS_MAX 48u
#define PASSAGE_MAX 8u // small, so that what is armed fires soon under load

static struct {
	char served[NAME_SIZE + 1];
	uint64_t random;
	unsigned turn; // which of the actions is next
	struct inject_point_info points[POINTS_MAX];
	unsigned points_known;
} targets[STORM_SERVICES];

static uint64_t injected;

uint64_t storm_injected(void)
{
	return injected;
}

static void points_learn(unsigned service)
{
	struct client *client;
	uint64_t number = 0;
	if (supervision_channel(targets[service].served, &client) != ERR_OK)
		return;
	if (supervision_points(client, 0, targets[service].points, sizeof(targets[service].points), &number) == ERR_OK)
		targets[service].points_known = (unsigned)number;
}

bool storm_inject_begin(void)
{
	struct supervisor_service found;
	for (unsigned i = 0; i < storm_options.services; i++) {
		enum error e = supervision_find(storm_options.service[i], &found);
		if (e != ERR_OK) {
			printf("storm: service %s: %s\n", storm_options.service[i], error_sentence(e));
			return false;
		}
		memcpy(storm_options.service[i], found.name, NAME_SIZE);
		supervision_served_name(&found, targets[i].served);
		targets[i].random = storm_options.seed * 77 + i;
		targets[i].turn = i * 2; // so that not all do the same at the same time
		if (storm_options.rate_mille > 0)
			points_learn(i);
	}
	return true;
}

static unsigned next_action(unsigned service)
{
	unsigned action;
	do
		action = targets[service].turn++ % STORM_ACTIONS;
	while (!(storm_options.actions >> action & 1));
	return action;
}

// A random known point, or (each third time, or when none is known) any.
static const char *next_point(unsigned service)
{
	uint64_t *random = &targets[service].random;
	if (targets[service].points_known == 0 || storm_random_below(random, 3) == 0)
		return "";
	return targets[service].points[storm_random_below(random, targets[service].points_known)].name;
}

// From outside; the supervisor does not kill itself, so that one is let die at its next point.
static enum error kill_service(unsigned service)
{
	enum error e = supervision_kill(storm_options.service[service]);
	return e == ERR_DENIED ? supervision_inject(targets[service].served, "", INJECT_ILLEGAL, 1, 0) : e;
}

static enum error kill_core(unsigned service)
{
	struct supervisor_service found;
	enum error e = supervision_find(storm_options.service[service], &found);
	if (e == ERR_OK) // a hang is for ever where the firmware cannot stop a hart
		e = supervision_core_crash(1ul << found.core, (unsigned)storm_random_below(&targets[service].random, CORE_CRASH_HANG), 0);
	return e;
}

static void harm(unsigned service)
{
	unsigned action = next_action(service);
	const char *point = next_point(service);
	uint64_t passage = 1 + storm_random_below(&targets[service].random, PASSAGE_MAX);
	enum error e = action == STORM_KILL
			       ? kill_service(service)
		       : action == STORM_CORE
			       ? kill_core(service)
			       : supervision_inject(targets[service].served, point, (enum inject_action)action, passage,
						    ERR_INJECTED);
	if (e == ERR_LIMIT || e == ERR_STATE || e == ERR_CORE_LOST)
		return; // too much is armed already, or it, or the kernel below it, is being restarted at this moment
	if (e != ERR_OK) {
		storm_counts.errors++;
		printf("storm: injecting into %s: %s\n", storm_options.service[service], error_sentence(e));
		return;
	}
	injected++;
	storm_report_injected(service, action);
}

void storm_inject(unsigned service)
{
	uint64_t interval = 1000000000ull * storm_options.services / storm_options.rate_mille; // us
	uint64_t due = time_now();
	while (!storm_stopping) {
		// From half to one and a half of the interval; a service that was down for long does not owe the rest.
		uint64_t pause = interval / 2 + storm_random_below(&targets[service].random, interval + 1);
		due += time_ticks_from_us(pause);
		uint64_t now = time_now();
		if (due > now)
			fiber_sleep_us(time_us_from_ticks(due - now));
		else
			due = now;
		if (!storm_stopping)
			harm(service);
	}
}

void storm_inject_end(void)
{
	for (unsigned i = 0; i < storm_options.services && storm_options.rate_mille > 0; i++) {
		enum error e = kill_service(i);
		if (e == ERR_OK) {
			injected++;
			storm_report_injected(i, STORM_KILL);
		}
		e = supervision_ping(targets[i].served);
		if (e != ERR_OK) {
			storm_counts.errors++;
			printf("storm: %s at the end: %s\n", storm_options.service[i], error_sentence(e));
		}
	}
}
