// Requests: what the shell and the tests ask of the supervisor.
//
// Owns the list of parked WAITs. It must never wait: each request is done and answered on the loop, but WAIT, which is
// parked until its job ends. A request's payload lies in the client's memory and is copied before it is looked at.
// ONCE operations are recorded when nothing can fail any more, performed, and committed at once, since their effect is in
// the kernels, not here. If the supervisor dies between record and effect, the record answers the client and the effect
// is missing: a kill that did not happen, seen by nobody. Parked WAITs come again from the ring.
#include "supervisor/requests.h"
#include "proto/supervisor.h"
#include "runtime/runtime.h"
#include "runtime/server.h"
#include "supervisor/cores.h"
#include "supervisor/jobs.h"
#include "supervisor/kernel_log.h"
#include "supervisor/restart.h"
#include "supervisor/services.h"
#include "supervisor/watch.h"
#include <string.h>

#define REQUESTS_TEXT (NAME_SIZE + 1 + JOB_ARGUMENT_SIZE)
#define REQUESTS_DOUBTS 100u // of each core in one request: half a millisecond each, and our clients wait

static struct server_request *requests_waiting; // parked WAITs

static const struct op_description requests_operations[] = {
	{0},
#define X(name, attribute, text) {#name, text, OP_##attribute},
	SUPERVISOR_OP_TABLE(X)
#undef X
};

static const struct protocol requests_protocol = {
	.name = "supervisor", .ops = requests_operations, .op_count = SUPERVISOR_OPS};

static void requests_complete(struct server_request *r, enum error error, uint64_t result0, uint64_t result1)
{
	const uint64_t result[5] = {result0, result1};
	server_complete(r, error, result);
}

// A ONCE operation that is certain: record, then perform, then requests_done.
static void requests_certain(struct server_request *r, uint64_t result0)
{
	const uint64_t result[5] = {result0};
	server_record(r, result);
}

static void requests_done(struct server_request *r, uint64_t result0)
{
	requests_complete(r, ERR_OK, result0, 0);
	server_committed(server_serial_last());
}

// Copies the payload. Its length, at most `size`; longer payloads count as none.
static size_t requests_text(const struct server_request *r, char *text, size_t size)
{
	size_t length = r->copy.out_length;
	if (length > size)
		return 0;
	memcpy(text, r->out, length);
	return length;
}

static struct service *requests_named(const struct server_request *r)
{
	char name[NAME_SIZE] = {0};
	size_t length = requests_text(r, name, sizeof name);
	while (length && name[length - 1] == 0)
		length--;
	return services_by_name(name, length);
}

// ---- reading

// The n-th entry that a person wants to see: services and jobs, not the records that jobs are made from.
static struct service *requests_visible(uint64_t index)
{
	struct service *s;
	for (unsigned i = 0; (s = services_at(i)) != 0; i++) {
		if (!s->record || ((s->record->flags & SERVICE_FLAG_APP) && !s->job))
			continue;
		if (index-- == 0)
			return s;
	}
	return 0;
}

static void requests_service(struct server_request *r)
{
	const struct service *s = requests_visible(r->copy.arg[0]);
	struct supervisor_service out;
	if (r->copy.in_length < sizeof out) {
		requests_complete(r, ERR_INVALID, 0, 0);
		return;
	}
	if (s) {
		services_fill(s, &out);
		memcpy(r->in, &out, sizeof out);
	}
	requests_complete(r, ERR_OK, s != 0, 0);
}

static void requests_argument(struct server_request *r)
{
	uint64_t peer = server_channel_peer(r->channel);
	const struct service *s = services_of_domain(CHANNEL_PEER_CORE(peer), CHANNEL_PEER_DOMAIN(peer));
	if (!s) {
		requests_complete(r, ERR_NOT_FOUND, 0, 0);
		return;
	}
	const char *text = s->job ? s->argument : s->record->argument;
	size_t length = s->job ? s->argument_length : strlen(text);
	if (length > r->copy.in_length)
		length = r->copy.in_length;
	memcpy(r->in, text, length);
	requests_complete(r, ERR_OK, length, 0);
}

static void requests_log(struct server_request *r)
{
	uint64_t offset = r->copy.arg[0], lost;
	kernel_log_pull_all();
	size_t length = crash_log_read(&offset, (char *)r->in, r->copy.in_length, &lost);
	requests_complete(r, ERR_OK, length, offset);
}

static void requests_times(struct server_request *r)
{
	static struct supervisor_restart out[64];
	uint64_t first = r->copy.arg[0];
	unsigned room = r->copy.in_length / sizeof out[0];
	unsigned given = restart_times(&first, out, room < 64 ? room : 64);
	memcpy(r->in, out, given * sizeof out[0]);
	requests_complete(r, ERR_OK, given, first + given);
}

static void requests_memory(struct server_request *r)
{
	uint64_t core = r->copy.arg[0];
	struct kernel_result count = {.error = ERR_INVALID};
	if (core < services_cores())
		count = kcall(CALL_memory_count, core);
	server_complete(r, count.error, count.value);
}

static void requests_core(struct server_request *r)
{
	uint64_t core = r->copy.arg[0];
	bool known = core < services_cores();
	requests_complete(r, known ? ERR_OK : ERR_INVALID, known ? cores_state((unsigned)core) : 0,
			  known ? cores_reboots((unsigned)core) : 0);
}

// ---- changing

static void requests_kill(struct server_request *r)
{
	struct service *s = requests_named(r);
	if (!s || s->phase == PHASE_LOST || (s->record->flags & SERVICE_FLAG_FIRST)) {
		requests_complete(r, s ? s->phase == PHASE_LOST ? ERR_CORE_LOST : ERR_DENIED : ERR_NOT_FOUND, 0, 0);
		return;
	}
	if (s->phase != PHASE_UP && s->phase != PHASE_STARTING) {
		requests_complete(r, ERR_STATE, 0, 0);
		return;
	}
	requests_certain(r, 0);
	watch_kill(s);
	requests_done(r, 0);
}

static void requests_restart(struct server_request *r)
{
	struct service *s = requests_named(r);
	if (!s || (s->record->flags & (SERVICE_FLAG_FIRST | SERVICE_FLAG_APP))) {
		requests_complete(r, s ? ERR_DENIED : ERR_NOT_FOUND, 0, 0);
		return;
	}
	if (s->phase == PHASE_LOST || s->phase == PHASE_IDLE || s->phase == PHASE_WAITING) {
		requests_complete(r, s->phase == PHASE_LOST ? ERR_CORE_LOST : ERR_STATE, 0, 0);
		return;
	}
	requests_certain(r, 0);
	watch_restart(s);
	requests_done(r, 0);
}

// The job's number is known once it runs, so the record comes after the effect: a supervisor that dies between the two
// leaves a job that nobody waits for, and starts another.
static void requests_spawn(struct server_request *r)
{
	char text[REQUESTS_TEXT] = {0};
	size_t length = requests_text(r, text, sizeof text);
	size_t name = strnlen(text, length);
	const struct manifest_service *app = services_app(text, name);
	size_t skip = name < length ? name + 1 : length;
	uint32_t job = 0;
	enum error error = app ? jobs_start(app, text + skip, length - skip, &job) : ERR_NOT_FOUND;
	if (error) {
		requests_complete(r, error, 0, 0);
		return;
	}
	requests_certain(r, job);
	requests_done(r, job);
}

static void requests_stop(struct server_request *r)
{
	enum error error = jobs_stop((uint32_t)r->copy.arg[0]);
	if (error) {
		requests_complete(r, error, 0, 0);
		return;
	}
	requests_certain(r, 0);
	requests_done(r, 0);
}

static struct service *requests_job(uint64_t job)
{
	struct service *s = 0;
	for (unsigned i = 0; (s = services_at(i)) != 0 && (!s->record || s->job != job); i++)
		;
	return s;
}

// A service by name, or, when arg[2] says so, a job by its number.
static struct service *requests_victim(const struct server_request *r)
{
	return r->copy.arg[2] ? requests_job(r->copy.arg[2]) : requests_named(r);
}

static void requests_segment(struct server_request *r)
{
	char why[CRASH_LINE_MAX];
	const struct service *s = requests_victim(r);
	struct image_program program;
	enum error error = s ? image_program(services_image(), s->image, &program, why, sizeof why) : ERR_NOT_FOUND;
	uint64_t number = r->copy.arg[0], offset = r->copy.arg[1], result[5] = {0};
	if (!error && number > program.elf.count)
		error = ERR_NOT_FOUND;
	if (!error && number == program.elf.count) {
		result[1] = (uint64_t)s->record->stack_pages << PAGE_SHIFT;
		result[0] = GPA_STACK_TOP - result[1];
		result[2] = PROT_READ | PROT_WRITE;
	} else if (!error) {
		const struct elf_segment *segment = &program.elf.segments[number];
		uint64_t left = offset < segment->length ? segment->length - offset : 0;
		result[0] = segment->gpa;
		result[1] = segment->pages << PAGE_SHIFT;
		result[2] = segment->prot;
		result[3] = left < r->copy.in_length ? left : r->copy.in_length;
		if (result[3])
			memcpy(r->in, services_image()->base + program.offset + segment->offset + offset, result[3]);
	}
	server_complete(r, error, result);
}

// Recorded before the damage is done: it may be our own end, and must not be done again then.
static void requests_poke(struct server_request *r)
{
	const struct service *s = requests_victim(r);
	uint64_t place = r->copy.arg[0], mask = r->copy.arg[1];
	if (!s || (s->phase != PHASE_UP && s->phase != PHASE_STARTING)) {
		requests_complete(r, s ? ERR_STATE : ERR_NOT_FOUND, 0, 0);
		return;
	}
	struct kernel_result word = kcall(CALL_domain_poke, s->domain.handle, place, 0);
	if (word.error) {
		requests_complete(r, word.error, 0, 0);
		return;
	}
	requests_certain(r, word.value[0]);
	(void)kcall(CALL_domain_poke, s->domain.handle, place, mask);
	requests_done(r, word.value[0]);
}

// The payload of PLACES and POKES as it was when it was copied.
static struct requests_volley {
	char name[NAME_SIZE];
	struct supervisor_poke pokes[SUPERVISOR_POKES];
	unsigned count;
	const struct service *victim;
} requests_volley;

static enum error requests_volley_take(const struct server_request *r, struct requests_volley *v)
{
	size_t length = r->copy.out_length;
	size_t bytes = length - NAME_SIZE;
	if (length < NAME_SIZE || bytes > sizeof v->pokes || bytes % sizeof v->pokes[0])
		return ERR_INVALID;
	memcpy(v->name, r->out, NAME_SIZE);
	memcpy(v->pokes, r->out + NAME_SIZE, bytes);
	v->count = (unsigned)(bytes / sizeof v->pokes[0]);
	v->victim = r->copy.arg[2] ? requests_job(r->copy.arg[2]) : services_by_name(v->name, strnlen(v->name, NAME_SIZE));
	if (!v->victim)
		return ERR_NOT_FOUND;
	return v->victim->phase == PHASE_UP || v->victim->phase == PHASE_STARTING ? ERR_OK : ERR_STATE;
}

static void requests_places(struct server_request *r)
{
	struct requests_volley *v = &requests_volley;
	uint64_t result[5] = {0};
	enum error error = requests_volley_take(r, v);
	for (unsigned i = 0; !error && i < v->count; i++) {
		enum error place = kcall(CALL_domain_poke, v->victim->domain.handle, v->pokes[i].place, 0).error;
		result[i / 64] |= (uint64_t)!place << i % 64;
		error = place == ERR_INVALID ? ERR_OK : place;
	}
	server_complete(r, error, result);
}

// Recorded before the damage is done, as with one. A victim that dies or is gone under it ends it: the rest would be done to the next.
static void requests_pokes(struct server_request *r)
{
	struct requests_volley *v = &requests_volley;
	enum error error = requests_volley_take(r, v);
	if (error) {
		requests_complete(r, error, 0, 0);
		return;
	}
	requests_certain(r, 0);
	for (unsigned i = 0; i < v->count && (!error || error == ERR_INVALID); i++)
		error = kcall(CALL_domain_poke, v->victim->domain.handle, v->pokes[i].place, v->pokes[i].mask).error;
	requests_done(r, 0);
}

static void requests_core_crash(struct server_request *r)
{
	uint64_t cores = r->copy.arg[0], how = r->copy.arg[1], doom = r->copy.arg[2];
	enum error error = cores && cores >> (services_cores() - 1) < 2 && how < CORE_CRASH_KINDS ? ERR_OK : ERR_INVALID;
	for (unsigned core = 0; core < services_cores() && !error; core++)
		if ((cores >> core & 1) && cores_state(core) != CORE_ONLINE)
			error = ERR_CORE_LOST;
	if (error) {
		requests_complete(r, error, 0, 0);
		return;
	}
	requests_certain(r, 0);
	for (unsigned core = 0; core < services_cores(); core++)
		if ((cores >> core & 1) && core != self_core())
			kcall(CALL_core_crash, core, how, doom, CALL_EARNEST);
	if (cores >> self_core() & 1)
		kcall(CALL_core_crash, self_core(), how, doom, CALL_EARNEST);
	requests_done(r, 0);
}

// What a damaged supervisor could say of healthy kernels, on purpose.
static void requests_doubt(struct server_request *r)
{
	uint64_t cores = r->copy.arg[0], times = r->copy.arg[1], refused = 0;
	bool valid = cores >> (services_cores() - 1) < 2 && times <= REQUESTS_DOUBTS;
	for (unsigned core = 0; core < services_cores() && valid; core++)
		for (uint64_t n = 0; n < times && (cores >> core & 1); n++)
			refused += kcall(CALL_core_reboot, core).error == ERR_ALIVE;
	requests_complete(r, valid ? ERR_OK : ERR_INVALID, refused, 0);
}

static void requests_power(struct server_request *r)
{
	uint64_t how = r->copy.arg[0], code = r->copy.arg[1];
	if (how > 1) {
		requests_complete(r, ERR_INVALID, 0, 0);
		return;
	}
	requests_certain(r, 0);
	struct kernel_result failed = kcall(CALL_power, how, code, CALL_EARNEST); // comes back only when it cannot be done
	say("supervisor: power could not be switched, error %u", failed.error);
	requests_done(r, 0);
}

// ---- waiting

// True when it was answered.
static bool requests_answer_wait(struct server_request *r)
{
	uint64_t code = 0;
	enum fault_kind kind = FAULT_NONE;
	switch (jobs_result((uint32_t)r->copy.arg[0], &code, &kind)) {
	case JOB_RUNS:
		return false;
	case JOB_ENDED:
		requests_complete(r, ERR_OK, code, kind);
		return true;
	case JOB_UNKNOWN: // never was, or ended while there was no supervisor
		break;
	}
	requests_complete(r, ERR_NOT_FOUND, 0, 0);
	return true;
}

static void requests_wait(struct server_request *r)
{
	if (requests_answer_wait(r))
		return;
	r->next = requests_waiting;
	requests_waiting = r;
}

void requests_answer_waiters(void)
{
	struct server_request **link = &requests_waiting;
	while (*link) {
		struct server_request *r = *link;
		struct server_request *next = r->next; // r is gone once it is answered
		if (requests_answer_wait(r))
			*link = next;
		else
			link = &r->next;
	}
}

// The client waits no more.
static void requests_cancelled(struct server_request *request)
{
	struct server_request **link = &requests_waiting;
	while (*link && *link != request)
		link = &(*link)->next;
	if (!*link)
		return;
	*link = request->next;
	requests_complete(request, ERR_CANCELLED, 0, 0);
}

// The client has gone: nobody will read the answer.
static void requests_closing(struct server_channel *channel)
{
	struct server_request **link = &requests_waiting;
	while (*link) {
		struct server_request *r = *link;
		if (r->channel != channel) {
			link = &r->next;
			continue;
		}
		*link = r->next;
		requests_complete(r, ERR_PEER_LOST, 0, 0);
	}
}

// ---- the server

static void (*const requests_handlers[SUPERVISOR_OPS])(struct server_request *request) = {
	[SUPERVISOR_OP_SERVICE] = requests_service, [SUPERVISOR_OP_KILL] = requests_kill,
	[SUPERVISOR_OP_RESTART] = requests_restart, [SUPERVISOR_OP_SPAWN] = requests_spawn,
	[SUPERVISOR_OP_WAIT] = requests_wait,       [SUPERVISOR_OP_STOP] = requests_stop,
	[SUPERVISOR_OP_ARGUMENT] = requests_argument, [SUPERVISOR_OP_LOG] = requests_log,
	[SUPERVISOR_OP_TIMES] = requests_times,     [SUPERVISOR_OP_POWER] = requests_power,
	[SUPERVISOR_OP_MEMORY] = requests_memory,   [SUPERVISOR_OP_SEGMENT] = requests_segment,
	[SUPERVISOR_OP_POKE] = requests_poke,       [SUPERVISOR_OP_CORE] = requests_core,
	[SUPERVISOR_OP_CORE_CRASH] = requests_core_crash, [SUPERVISOR_OP_POKES] = requests_pokes,
	[SUPERVISOR_OP_PLACES] = requests_places,   [SUPERVISOR_OP_DOUBT] = requests_doubt,
};

// A recorded operation of our former incarnation: its effect is in the kernels, its answer in the record.
static void requests_replay(struct server_request *r)
{
	server_record(r, r->former.result);
	server_complete(r, (enum error)r->former.status, r->former.result);
	server_committed(server_serial_last());
}

static void requests_handle(struct server_request *r)
{
	if (r->replayed) {
		requests_replay(r);
		return;
	}
	requests_handlers[r->copy.op](r);
	requests_answer_waiters();
	services_advance();
	print_pump();
}

static enum error requests_start(uint64_t *mark)
{
	*mark = 0;
	return ERR_OK;
}

const struct server requests_server = {
	.protocol = &requests_protocol,
	.start = requests_start,
	.request = requests_handle,
	.cancelled = requests_cancelled,
	.closing = requests_closing,
};
