// A component that is called within its domain: its start, and who performs its requests (local.h).
//
// Owns the components that were started, their workers and the requests that wait for one. A server without fibers is called on the
// caller's stack, as if on the loop: whoever waits there panics. Right because nothing else runs until it returns. If the domain
// dies, its next incarnation starts them again.
#include "runtime/local_channel.h"
#include <stdlib.h>

#define MATE_START_US 1000u // between two looks whether a component has started that another fiber starts

struct mate_worker {
	struct fiber *fiber;
	struct mate *mate;
	bool idle;
	struct mate_worker *next;
};

static struct mate *mates;

// --- performing

static void mate_perform(struct mate *mate, struct server_request *request)
{
	mate->performing++;
	mate->component->server->request(request);
	mate->performing--;
}

static void mate_worker_run(void *argument)
{
	struct mate_worker *worker = argument;
	struct mate *mate = worker->mate;
	for (;;) {
		struct server_request *request = mate->first;
		if (request && mate->performing < mate->component->server->fibers) {
			mate->first = request->next;
			mate_perform(mate, request);
			continue;
		}
		worker->idle = true;
		worker->next = mate->idle;
		mate->idle = worker;
		while (worker->idle)
			fiber_park();
	}
}

static void mate_wake(struct mate *mate)
{
	struct mate_worker *worker = mate->idle;
	if (!worker)
		return;
	mate->idle = worker->next;
	worker->idle = false;
	fiber_wake(worker->fiber);
}

static void mate_give(struct mate *mate, struct server_request *request)
{
	request->next = 0;
	if (mate->first)
		mate->last->next = request;
	else
		mate->first = request;
	mate->last = request;
	mate_wake(mate);
}

// A server with fibers may wait, so it gets the caller's if that one does nothing else meanwhile.
static void mate_begin_with_fibers(struct mate *mate, struct server_request *request, bool waits)
{
	if (!waits || mate->first || mate->performing >= mate->component->server->fibers) {
		mate_give(mate, request);
		return;
	}
	mate_perform(mate, request);
	if (mate->first)
		mate_wake(mate);
}

static void mate_quick(const struct server *server, struct server_request *request)
{
	const struct request *copy = &request->copy;
	quick_answer_t answer = server->quick(copy->op, copy->arg[0], copy->arg[1], copy->arg[2]);
	local_complete(request, quick_error(answer), (uint64_t[5]){quick_result(answer)});
}

void mate_begin(struct mate *mate, struct server_request *request, bool waits)
{
	const struct server *server = mate->component->server;
	if (request->copy.op >= OP_RUNTIME) {
		server_runtime_answer(request);
	} else if (server->quick_from && request->copy.op >= server->quick_from) {
		mate_quick(server, request);
	} else if (server->fibers) {
		mate_begin_with_fibers(mate, request, waits);
	} else {
		loop_enter();
		server->request(request);
		loop_leave();
	}
}

// --- starting

static enum error mate_workers_make(struct mate *mate)
{
	for (unsigned i = 0; i < mate->component->server->fibers; i++) {
		struct mate_worker *worker = calloc(1, sizeof(*worker));
		if (!worker)
			return ERR_NO_MEMORY;
		worker->mate = mate;
		worker->fiber = server_fiber(mate->component->server, mate_worker_run, worker, mate->component->name);
		if (!worker->fiber)
			return ERR_NO_MEMORY;
	}
	return ERR_OK;
}

// It starts when somebody opens it: so whatever it uses itself is opened in the right order, and what nobody uses does not start. In
// the order of server_run: adopt, start, replay. An error ends the domain, as with every server: the restart rule decides.
static void mate_start(struct mate *mate)
{
	uint64_t mark = 0;
	struct server_replays replays = {0};
	const struct server *server = mate->component->server;
	local_log_adopt(mate, &replays);
	enum error e = server->start ? server->start(&mark) : ERR_OK;
	if (e == ERR_OK)
		e = mate_workers_make(mate);
	if (e != ERR_OK) {
		log_line("%s: start failed: error %u", mate->component->name, (unsigned)e);
		domain_exit((int)e);
	}
	local_log_replay(mate, mark, &replays);
	if (server->replayed)
		server->replayed();
	mate->started = true;
}

struct mate *mate_of(const struct component *component)
{
	struct mate *mate = mates;
	while (mate && mate->component != component)
		mate = mate->next;
	if (!mate) {
		mate = calloc(1, sizeof(*mate));
		if (!mate)
			return 0;
		mate->component = component;
		mate->next = mates;
		mates = mate;
		mate_start(mate);
	}
	while (!mate->started) // another fiber is at it
		fiber_sleep_us(MATE_START_US);
	return mate;
}
