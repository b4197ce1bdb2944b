// Client of the supervisor and of the runtime's own operations in every service.
//
// Owns the channels opened here and nothing of the services. Must never cache what a service said: every question is
// asked anew. If the domain dies, armed faults stay armed in the services that they were sent to, and jobs go on; the
// supervisor notices.
#include "runtime/supervision.h"
#include "runtime/client.h"
#include "runtime/fiber.h"
#include "runtime/runtime.h"
#include <stdio.h>
#include <string.h>

#define CHANNELS 12u
#define MOVE_LOOKS 500u // for a supervisor that is being started on another core: some seconds
#define MOVE_PAUSE_US 10000u
#define WAIT_DOUBTS 6u // of one answer; the third is the end of whoever gave it
#define WAIT_PAUSE_US 20000u

static struct client *supervisor;

static struct {
	char name[NAME_SIZE + 1];
	struct client *client;
} channels[CHANNELS];

// A channel of a service that was given up is closed: it may have been started again since, by somebody's wish.
static enum error channel_reach(struct client **client, const char *served, const struct client_options *options)
{
	if (*client && client_lost(*client)) {
		client_close(*client);
		*client = 0;
	}
	enum error e = *client ? ERR_OK : client_open(client, served, options);
	if (e != ERR_OK)
		*client = 0;
	return e;
}

enum error supervision_open(void)
{
	static struct fiber_mutex opening;
	static const struct client_options options = {
		.slots = 16, .out_bytes = 16 * SUPERVISION_ROOM, .in_bytes = 16 * SUPERVISION_ROOM};
	enum error e = ERR_OK;
	fiber_mutex_lock(&opening);
	e = channel_reach(&supervisor, "supervisor", &options);
	for (unsigned i = 0; i < MOVE_LOOKS && e == ERR_PEER_LOST; i++) { // its core is fenced off: another one is on its way
		fiber_sleep_us(MOVE_PAUSE_US);
		e = channel_reach(&supervisor, "supervisor", &options);
	}
	fiber_mutex_unlock(&opening);
	return e;
}

struct client *supervision_client(void)
{
	return supervisor;
}

static enum error ask(struct client_request *request)
{
	enum error e = supervision_open();
	return e == ERR_OK ? client_call(supervisor, request) : e;
}

static enum error ask_text(uint16_t op, const char *text)
{
	return ask(&(struct client_request){.op = op, .out = text, .out_length = (uint32_t)strlen(text)});
}

// --- services

enum error supervision_service(unsigned index, struct supervisor_service *service)
{
	struct client_request request = {
		.op = SUPERVISOR_OP_SERVICE, .arg = {index}, .in = service, .in_length = sizeof(*service)};
	enum error e = ask(&request);
	return e == ERR_OK && request.completion.result[0] == 0 ? ERR_NOT_FOUND : e;
}

static bool publishes(const struct supervisor_service *service, const char *name)
{
	unsigned core;
	struct info_service found;
	return info_find_service(name, &core, &found) && core == service->core && found.domain == service->domain;
}

enum error supervision_find(const char *name, struct supervisor_service *service)
{
	for (unsigned i = 0;; i++) {
		enum error e = supervision_service(i, service);
		if (e != ERR_OK)
			return e;
		if (strncmp(service->name, name, NAME_SIZE) == 0 || publishes(service, name))
			return ERR_OK;
	}
}

void supervision_served_name(const struct supervisor_service *service, char name[NAME_SIZE + 1])
{
	static struct info_page page; // too large for a small stack; fibers are never pre-empted between read and use
	const char *from = service->name;
	if (info_read(service->core, &page)) {
		for (unsigned i = 0; i < INFO_SERVICE_MAX; i++) {
			const struct info_service *s = &page.services[i];
			// One that is held for want of its device never had a domain: its number is nobody's.
			bool held = s->state == SERVICE_HELD && service->state != SERVICE_HELD;
			if (s->state != SERVICE_NONE && !held && s->domain == service->domain)
				from = s->name;
		}
	}
	memcpy(name, from, NAME_SIZE);
	name[NAME_SIZE] = 0;
}

enum error supervision_kill(const char *service)
{
	return ask_text(SUPERVISOR_OP_KILL, service);
}

enum error supervision_restart(const char *service)
{
	return ask_text(SUPERVISOR_OP_RESTART, service);
}

// --- jobs

enum error supervision_spawn(const char *app, const char *arguments, uint64_t *job)
{
	char text[NAME_SIZE + 1 + MANIFEST_ARGUMENT_SIZE * 4];
	size_t length = strlen(app) + 1;
	size_t more = strlen(arguments);
	if (length > NAME_SIZE + 1 || length + more > sizeof(text))
		return ERR_NAME_TOO_LONG;
	memcpy(text, app, length);
	memcpy(text + length, arguments, more);
	struct client_request request = {
		.op = SUPERVISOR_OP_SPAWN, .out = text, .out_length = (uint32_t)(length + more)};
	enum error e = ask(&request);
	*job = request.completion.result[0];
	return e;
}

// By what its kernel publishes. False also when its core has no kernel now.
static bool job_runs(uint64_t job)
{
	static struct info_page page;
	unsigned core = SUPERVISOR_JOB_CORE(job), domain = SUPERVISOR_JOB_DOMAIN(job);
	if (job >> 32 || core >= CORE_MAX || domain >= DOMAIN_MAX || !info_read(core, &page) || page.state != CORE_ONLINE)
		return false;
	const struct info_domain *d = &page.domains[domain];
	bool runs = d->state >= DOMAIN_READY && d->state <= DOMAIN_CALLING;
	return runs && (d->epoch & 0xffff) == SUPERVISOR_JOB_EPOCH(job);
}

bool supervision_doubts_end(uint64_t job, enum error answer, unsigned *doubts)
{
	if ((answer != ERR_OK && answer != ERR_NOT_FOUND) || *doubts == WAIT_DOUBTS || !job_runs(job))
		return false;
	(*doubts)++;
	client_complain(supervisor);
	fiber_sleep_us(WAIT_PAUSE_US);
	return true;
}

enum error supervision_wait(uint64_t job, uint64_t *code, uint64_t *fault_kind)
{
	struct client_request request;
	unsigned doubts = 0;
	enum error e;
	do {
		request = (struct client_request){.op = SUPERVISOR_OP_WAIT, .arg = {job}, .patient = true};
		e = ask(&request);
	} while (supervision_doubts_end(job, e, &doubts));
	*code = request.completion.result[0];
	*fault_kind = request.completion.result[1];
	return e;
}

enum error supervision_stop(uint64_t job)
{
	return ask(&(struct client_request){.op = SUPERVISOR_OP_STOP, .arg = {job}});
}

enum error supervision_argument(char *text, size_t room)
{
	struct client_request request = {
		.op = SUPERVISOR_OP_ARGUMENT, .in = text, .in_length = (uint32_t)(room - 1)};
	text[0] = 0;
	enum error e = ask(&request);
	if (e != ERR_OK)
		return e;
	uint64_t got = request.completion.result[0];
	if (got >= room)
		return ERR_PROTOCOL;
	text[got] = 0;
	return ERR_OK;
}

// --- log, history, power

enum error supervision_log(uint64_t offset, char *text, size_t room, size_t *got, uint64_t *next)
{
	if (room > SUPERVISION_ROOM)
		room = SUPERVISION_ROOM;
	struct client_request request = {
		.op = SUPERVISOR_OP_LOG, .arg = {offset}, .in = text, .in_length = (uint32_t)room};
	enum error e = ask(&request);
	*got = 0;
	if (e != ERR_OK)
		return e;
	if (request.completion.result[0] > room)
		return ERR_PROTOCOL;
	*got = request.completion.result[0];
	*next = request.completion.result[1];
	return ERR_OK;
}

enum error supervision_times(uint64_t first, struct supervisor_restart *times, unsigned room, unsigned *given,
			     uint64_t *next)
{
	if (room > SUPERVISION_ROOM / sizeof(*times))
		room = SUPERVISION_ROOM / sizeof(*times);
	struct client_request request = {.op = SUPERVISOR_OP_TIMES,
					 .arg = {first},
					 .in = times,
					 .in_length = (uint32_t)(room * sizeof(*times))};
	enum error e = ask(&request);
	*given = 0;
	if (e != ERR_OK)
		return e;
	if (request.completion.result[0] > room)
		return ERR_PROTOCOL;
	*given = (unsigned)request.completion.result[0];
	*next = request.completion.result[1];
	return ERR_OK;
}

enum error supervision_core(unsigned core, uint64_t *state, uint64_t *reboots)
{
	struct client_request request = {.op = SUPERVISOR_OP_CORE, .arg = {core}};
	enum error e = ask(&request);
	*state = request.completion.result[0];
	*reboots = request.completion.result[1];
	return e;
}

enum error supervision_core_crash(uint64_t cores, unsigned how, unsigned doom)
{
	return ask(&(struct client_request){.op = SUPERVISOR_OP_CORE_CRASH, .arg = {cores, how, doom}});
}

enum error supervision_doubt(uint64_t cores, uint64_t times, uint64_t *refused)
{
	struct client_request request = {.op = SUPERVISOR_OP_DOUBT, .arg = {cores, times}};
	enum error e = ask(&request);
	*refused = request.completion.result[0];
	return e;
}

enum error supervision_power(bool reboot, uint64_t code)
{
	return ask(&(struct client_request){.op = SUPERVISOR_OP_POWER, .arg = {reboot, code}});
}

// --- damage

enum error supervision_segment(const struct supervision_victim *victim, unsigned number, uint64_t offset, void *content,
			       size_t room, struct supervision_segment *segment)
{
	struct client_request request = {.op = SUPERVISOR_OP_SEGMENT,
					 .arg = {number, offset, victim->job},
					 .out = victim->name,
					 .out_length = (uint32_t)strlen(victim->name),
					 .in = content,
					 .in_length = (uint32_t)(room < SUPERVISION_ROOM ? room : SUPERVISION_ROOM)};
	enum error e = ask(&request);
	const uint64_t *result = request.completion.result;
	*segment = (struct supervision_segment){result[0], result[1], result[2], result[3]};
	return e == ERR_OK && segment->got > room ? ERR_PROTOCOL : e;
}

enum error supervision_poke(const struct supervision_victim *victim, uint64_t place, uint64_t mask, uint64_t *was)
{
	struct client_request request = {.op = SUPERVISOR_OP_POKE,
					 .arg = {place, mask, victim->job},
					 .out = victim->name,
					 .out_length = (uint32_t)strlen(victim->name)};
	enum error e = ask(&request);
	*was = request.completion.result[0];
	return e;
}

static enum error ask_pokes(uint16_t op, const struct supervision_victim *victim, const struct supervisor_poke *pokes,
			    unsigned count, uint64_t result[2])
{
	struct {
		char name[NAME_SIZE];
		struct supervisor_poke pokes[SUPERVISOR_POKES];
	} out;
	struct client_request request = {.op = op,
					 .arg = {0, 0, victim->job},
					 .out = &out,
					 .out_length = (uint32_t)(NAME_SIZE + count * sizeof(pokes[0]))};
	if (count > SUPERVISOR_POKES)
		return ERR_INVALID;
	memcpy(out.name, victim->name, NAME_SIZE);
	memcpy(out.pokes, pokes, count * sizeof(pokes[0]));
	enum error e = ask(&request);
	memcpy(result, request.completion.result, 2 * sizeof(result[0]));
	return e;
}

enum error supervision_places(const struct supervision_victim *victim, const struct supervisor_poke *places, unsigned count,
			      uint64_t own[2])
{
	return ask_pokes(SUPERVISOR_OP_PLACES, victim, places, count, own);
}

enum error supervision_pokes(const struct supervision_victim *victim, const struct supervisor_poke *pokes, unsigned count)
{
	uint64_t nothing[2];
	return ask_pokes(SUPERVISOR_OP_POKES, victim, pokes, count, nothing);
}

// --- services' runtimes

enum error supervision_channel(const char *served, struct client **client)
{
	static struct fiber_mutex opening;
	static const struct client_options options = {
		.slots = 8, .out_bytes = 8 * 512, .in_bytes = 8 * SUPERVISION_ROOM};
	enum error e = ERR_LIMIT;
	if (strcmp(served, "supervisor") == 0) {
		e = supervision_open();
		*client = supervisor;
		return e;
	}
	fiber_mutex_lock(&opening);
	unsigned i = 0;
	while (i < CHANNELS && channels[i].name[0] && strncmp(channels[i].name, served, NAME_SIZE) != 0)
		i++;
	if (i < CHANNELS) {
		strncpy(channels[i].name, served, NAME_SIZE);
		e = channel_reach(&channels[i].client, served, &options);
		*client = channels[i].client;
	}
	fiber_mutex_unlock(&opening);
	return e;
}

static enum error ask_injection(const char *served, struct client_request *request, const char *point)
{
	struct client *client;
	enum error e = supervision_channel(served, &client);
	request->op = RUNTIME_OP_INJECT;
	request->out = point;
	request->out_length = (uint32_t)strlen(point);
	return e == ERR_OK ? client_call(client, request) : e;
}

enum error supervision_inject(const char *served, const char *point, enum inject_action action, uint64_t passage,
			      uint32_t parameter)
{
	return ask_injection(served, &(struct client_request){.arg = {action, passage, parameter}}, point);
}

enum error supervision_disarm(const char *served, const char *point, bool *armed)
{
	struct client_request request = {.arg = {INJECT_NONE, 1}};
	enum error e = ask_injection(served, &request, point);
	*armed = e == ERR_OK && request.completion.result[0] != 0;
	return e;
}

enum error supervision_inject_later(const char *served, uint32_t epoch, const char *point, enum inject_action action,
				    uint64_t passage)
{
	static struct client_request wishes[SUPERVISION_WISHES];
	static bool used[SUPERVISION_WISHES];
	struct client *client;
	unsigned i = 0;
	enum error e = supervision_channel(served, &client);
	while (i < SUPERVISION_WISHES && used[i] && !wishes[i].done)
		i++;
	if (e != ERR_OK || i == SUPERVISION_WISHES)
		return e != ERR_OK ? e : ERR_LIMIT;
	used[i] = true;
	wishes[i] = (struct client_request){.op = RUNTIME_OP_INJECT,
					    .arg = {action, passage, (uint64_t)epoch << 32},
					    .out = point,
					    .out_length = (uint32_t)strlen(point),
					    .patient = true};
	return client_submit(client, &wishes[i]);
}

enum error supervision_ping(const char *served)
{
	struct client *client;
	enum error e = supervision_channel(served, &client);
	if (e != ERR_OK)
		return e;
	struct client_request request = {.op = RUNTIME_OP_PING, .arg = {1}};
	return client_call(client, &request);
}

enum error supervision_points(struct client *client, uint64_t first, struct inject_point_info *points, size_t bytes,
			      uint64_t *number)
{
	if (bytes > client_in_room(client))
		bytes = client_in_room(client);
	struct client_request request = {
		.op = RUNTIME_OP_POINTS, .arg = {first}, .in = points, .in_length = (uint32_t)bytes};
	enum error e = client_call(client, &request);
	*number = request.completion.result[0];
	return e == ERR_OK && *number > bytes / sizeof(*points) ? ERR_PROTOCOL : e;
}

static const char *const action_words[INJECT_ACTIONS] = {
#define X(name, word, text) [INJECT_##name] = word,
	INJECT_ACTION_TABLE(X)
#undef X
};

enum inject_action supervision_action(const char *word)
{
	for (unsigned i = 0; i < INJECT_ACTIONS; i++)
		if (strcmp(word, action_words[i]) == 0)
			return (enum inject_action)i;
	return INJECT_NONE;
}

const char *supervision_action_word(unsigned action)
{
	return action < INJECT_ACTIONS ? action_words[action] : "?";
}

const char *supervision_fault_word(unsigned fault_kind)
{
	static const char *const words[] = {"none", "exception", "hang", "exit", "quota", "killed", "complaint", "core"};
	return fault_kind < sizeof(words) / sizeof(words[0]) ? words[fault_kind] : "?";
}
