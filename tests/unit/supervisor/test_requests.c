// Requests: every operation of the protocol, over a table of services that the test makes, and parked WAITs.
#include "proto/supervisor.h"
#include "runtime/runtime.h"
#include "runtime/server.h"
#include "supervisor/jobs.h"
#include "supervisor/kernel_log.h"
#include "supervisor/requests.h"
#include "supervisor/restart.h"
#include "supervisor/services.h"
#include "supervisor/watch.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

// ---- a server library that keeps the answers

#define ASK_ANSWERS 8

static struct {
	struct server_request *request;
	enum error status;
	uint64_t result[5];
} ask_answers[ASK_ANSWERS];
static unsigned ask_answer_count;
static unsigned ask_records;
static uint64_t ask_committed;
static char ask_done[1024]; // what was performed, in order

uint64_t server_record(struct server_request *request, const uint64_t result[5])
{
	(void)request;
	(void)result;
	strcat(ask_done, "record ");
	return ++ask_records;
}

void server_complete(struct server_request *request, enum error status, const uint64_t result[5])
{
	assert_true(ask_answer_count < ASK_ANSWERS);
	ask_answers[ask_answer_count].request = request;
	ask_answers[ask_answer_count].status = status;
	memcpy(ask_answers[ask_answer_count++].result, result, 5 * sizeof result[0]);
}

void server_committed(uint64_t serial)
{
	ask_committed = serial;
}

uint64_t server_serial_last(void)
{
	return ask_records;
}

uint64_t server_channel_peer(const struct server_channel *channel)
{
	return (uint64_t)(uintptr_t)channel;
}

// ---- a supervisor of three entries

static struct manifest_service ask_record[3];
static struct service ask_service[3]; // fs, hello's record, a job of hello
static enum job_state ask_job_state;
static enum error ask_spawn_error;
static char ask_spawned[64];
static uint64_t ask_poked[3];
static struct image ask_image;

const struct image *services_image(void)
{
	return &ask_image;
}

// One program: ten bytes of text at the start of the image, and two pages.
enum error image_program(const struct image *image, const char name[NAME_SIZE], struct image_program *program, char *why,
			 size_t why_size)
{
	(void)image, (void)why, (void)why_size;
	*program = (struct image_program){.offset = 4, .length = 100};
	program->elf.count = 1;
	program->elf.segments[0] =
		(struct elf_segment){.gpa = GPA_IMAGE, .pages = 2, .prot = PROT_READ | PROT_EXEC, .offset = 3, .length = 10};
	return name[0] ? ERR_OK : ERR_NOT_FOUND;
}

struct service *services_at(unsigned index)
{
	return index < 3 ? &ask_service[index] : 0;
}

struct service *services_by_name(const char *text, size_t length)
{
	for (unsigned i = 0; i < 2; i++) {
		if (length == strlen(ask_record[i].name) && memcmp(text, ask_record[i].name, length) == 0)
			return &ask_service[i];
	}
	return 0;
}

const struct manifest_service *services_app(const char *text, size_t length)
{
	return length == 5 && memcmp(text, "hello", 5) == 0 ? &ask_record[1] : 0;
}

struct service *services_of_domain(unsigned core, unsigned domain)
{
	return core == 1 && domain == 2 ? &ask_service[2] : core == 0 && domain == 1 ? &ask_service[0] : 0;
}

void services_fill(const struct service *service, struct supervisor_service *out)
{
	*out = (struct supervisor_service){.job = service->job};
	memcpy(out->name, service->record->name, NAME_SIZE);
}

unsigned cores_state(unsigned core)
{
	return core == 1 ? CORE_ONLINE : CORE_LOST;
}

uint32_t cores_reboots(unsigned core)
{
	return 5 + core;
}

unsigned self_core(void)
{
	return 0;
}

unsigned services_cores(void)
{
	return 2;
}

void services_advance(void)
{
}

void print_pump(void)
{
}

void say(const char *format, ...)
{
	(void)format;
}

void kernel_log_pull_all(void)
{
}

enum error watch_kill(struct service *service)
{
	strcat(strcat(ask_done, "kill "), service->record->name);
	return ERR_OK;
}

enum error watch_restart(struct service *service)
{
	strcat(strcat(ask_done, "restart "), service->record->name);
	return ERR_OK;
}

enum error jobs_start(const struct manifest_service *record, const char *argument, size_t length, uint32_t *job)
{
	assert_ptr_equal(record, &ask_record[1]);
	memcpy(ask_spawned, argument, length);
	ask_spawned[length] = 0;
	*job = 77;
	return ask_spawn_error;
}

enum error jobs_stop(uint32_t job)
{
	return job == 77 ? ERR_OK : ERR_NOT_FOUND;
}

enum job_state jobs_result(uint32_t job, uint64_t *code, enum fault_kind *kind)
{
	*code = 5;
	*kind = FAULT_EXIT;
	return job == 77 ? ask_job_state : JOB_UNKNOWN;
}

unsigned restart_times(uint64_t *first, struct supervisor_restart *out, unsigned room)
{
	if (*first < 10)
		*first = 10;
	if (room)
		out[0] = (struct supervisor_restart){.name = "fs", .epoch = 3};
	return room ? 1 : 0;
}

struct kernel_result kernel_call(enum call number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
				 uint64_t a5)
{
	(void)a4, (void)a5;
	if (number == CALL_domain_poke) {
		strcat(ask_done, a2 ? "poke" : "look ");
		ask_poked[0] = a0, ask_poked[1] = a1, ask_poked[2] = a2;
		return (struct kernel_result){.error = a1 == 13 ? ERR_INVALID : a1 == 14 ? ERR_STATE : ERR_OK, .value = {0xabc}};
	}
	if (number == CALL_memory_count)
		return (struct kernel_result){.value = {100 + a0, 200, 3}};
	if (number == CALL_core_reboot)
		return (struct kernel_result){.error = a0 == 1 ? ERR_ALIVE : ERR_INVALID};
	if (number == CALL_core_crash) {
		assert_int_equal(a3, CALL_EARNEST);
		sprintf(ask_done + strlen(ask_done), "crash %u %u %u ", (unsigned)a0, (unsigned)a1, (unsigned)a2);
		return (struct kernel_result){0};
	}
	assert_int_equal(number, CALL_power);
	assert_int_equal(a2, CALL_EARNEST);
	strcat(ask_done, a0 ? "reboot" : "off");
	return (struct kernel_result){.error = a1 == 3 ? ERR_UNSUPPORTED : ERR_DENIED};
}

// ---- asking

static uint8_t ask_in[4096];

static struct server_request ask_make(uint16_t op, uint64_t arg, const char *text, uint32_t length)
{
	struct server_request r = {.copy = {.op = op, .arg = {arg}, .out_length = length, .in_length = sizeof ask_in}};
	r.out = (const uint8_t *)text;
	r.in = ask_in;
	r.channel = (struct server_channel *)(uintptr_t)CHANNEL_PEER(1, 2, 1);
	return r;
}

static enum error ask(uint16_t op, uint64_t arg, const char *text)
{
	static struct server_request r;
	r = ask_make(op, arg, text, (uint32_t)strlen(text));
	ask_answer_count = 0;
	ask_done[0] = 0;
	memset(ask_in, 0, sizeof ask_in);
	requests_server.request(&r);
	assert_int_equal(ask_answer_count, 1);
	return ask_answers[0].status;
}

static int ask_setup(void **state)
{
	(void)state;
	memset(ask_record, 0, sizeof ask_record);
	memset(ask_service, 0, sizeof ask_service);
	strcpy(ask_record[0].name, "fs");
	strcpy(ask_record[0].argument, "of the manifest");
	strcpy(ask_record[1].name, "hello");
	ask_record[1].flags = SERVICE_FLAG_APP;
	ask_service[0] = (struct service){.record = &ask_record[0], .phase = PHASE_UP};
	ask_service[1] = (struct service){.record = &ask_record[1]};
	ask_service[2] = (struct service){.record = &ask_record[1], .job = 77, .phase = PHASE_STARTING,
					  .argument = "a b", .argument_length = 3};
	ask_job_state = JOB_RUNS;
	ask_spawn_error = ERR_OK;
	ask_answer_count = 0;
	return 0;
}

static void test_requests_list(void **state)
{
	(void)state;
	struct supervisor_service out;
	assert_int_equal(ask(SUPERVISOR_OP_SERVICE, 0, ""), ERR_OK);
	assert_int_equal(ask_answers[0].result[0], 1);
	memcpy(&out, ask_in, sizeof out);
	assert_string_equal(out.name, "fs");
	assert_int_equal(ask(SUPERVISOR_OP_SERVICE, 1, ""), ERR_OK); // the job, not the record that it was made from
	memcpy(&out, ask_in, sizeof out);
	assert_string_equal(out.name, "hello");
	assert_int_equal(out.job, 77);
	assert_int_equal(ask(SUPERVISOR_OP_SERVICE, 2, ""), ERR_OK);
	assert_int_equal(ask_answers[0].result[0], 0);
	assert_int_equal(ask(SUPERVISOR_OP_SERVICE, ~0ull, ""), ERR_OK);
	assert_int_equal(ask_answers[0].result[0], 0);
}

static void test_requests_kill_and_restart(void **state)
{
	(void)state;
	assert_int_equal(ask(SUPERVISOR_OP_KILL, 0, "fs"), ERR_OK);
	assert_string_equal(ask_done, "record kill fs"); // record before effect
	assert_int_equal(ask_committed, ask_records);
	assert_int_equal(ask(SUPERVISOR_OP_KILL, 0, "nobody"), ERR_NOT_FOUND);
	assert_int_equal(ask(SUPERVISOR_OP_KILL, 0, ""), ERR_NOT_FOUND);
	assert_int_equal(ask(SUPERVISOR_OP_KILL, 0, "a name that is longer than names are"), ERR_NOT_FOUND);
	assert_int_equal(ask(SUPERVISOR_OP_RESTART, 0, "fs"), ERR_OK);
	assert_string_equal(ask_done, "record restart fs");
	ask_service[0].phase = PHASE_HELD;
	assert_int_equal(ask(SUPERVISOR_OP_KILL, 0, "fs"), ERR_STATE);
	assert_int_equal(ask(SUPERVISOR_OP_RESTART, 0, "fs"), ERR_OK);
	ask_service[0].phase = PHASE_LOST;
	assert_int_equal(ask(SUPERVISOR_OP_KILL, 0, "fs"), ERR_CORE_LOST);
	assert_int_equal(ask(SUPERVISOR_OP_RESTART, 0, "fs"), ERR_CORE_LOST);
	assert_int_equal(ask(SUPERVISOR_OP_RESTART, 0, "hello"), ERR_DENIED);
	ask_service[0].phase = PHASE_UP;
	ask_record[0].flags = SERVICE_FLAG_FIRST;
	assert_int_equal(ask(SUPERVISOR_OP_KILL, 0, "fs"), ERR_DENIED);
	assert_string_equal(ask_done, "");
}

static void test_requests_cores(void **state)
{
	(void)state;
	struct server_request r = ask_make(SUPERVISOR_OP_CORE_CRASH, 1 << 1, "", 0);
	r.copy.arg[1] = CORE_CRASH_STORE;
	r.copy.arg[2] = 1 << 3 | DOOM_MEET;
	requests_server.request(&r);
	assert_int_equal(ask_answers[0].status, ERR_OK);
	assert_string_equal(ask_done, "record crash 1 2 10 "); // record before effect
	assert_int_equal(ask(SUPERVISOR_OP_CORE, 1, ""), ERR_OK);
	assert_int_equal(ask_answers[0].result[0], CORE_ONLINE);
	assert_int_equal(ask_answers[0].result[1], 6);
	assert_int_equal(ask(SUPERVISOR_OP_CORE, 2, ""), ERR_INVALID);
	assert_int_equal(ask(SUPERVISOR_OP_CORE_CRASH, 3, ""), ERR_CORE_LOST);
	assert_int_equal(ask(SUPERVISOR_OP_CORE_CRASH, 4, ""), ERR_INVALID);
	assert_int_equal(ask(SUPERVISOR_OP_CORE_CRASH, 0, ""), ERR_INVALID);
	assert_string_equal(ask_done, "");
	ask_answer_count = 0;
	r = ask_make(SUPERVISOR_OP_DOUBT, 3, "", 0);
	r.copy.arg[1] = 7;
	requests_server.request(&r);
	assert_int_equal(ask_answers[0].result[0], 7); // our own core's kernel does not count as silent
	r.copy.arg[1] = 101;
	requests_server.request(&r);
	assert_int_equal(ask_answers[1].status, ERR_INVALID);
	assert_int_equal(ask(SUPERVISOR_OP_DOUBT, 4, ""), ERR_INVALID);
}

static void test_requests_jobs(void **state)
{
	(void)state;
	struct server_request r = ask_make(SUPERVISOR_OP_SPAWN, 0, "hello\0x y", 9);
	requests_server.request(&r);
	assert_int_equal(ask_answers[0].status, ERR_OK);
	assert_int_equal(ask_answers[0].result[0], 77);
	assert_string_equal(ask_spawned, "x y");
	assert_int_equal(ask(SUPERVISOR_OP_SPAWN, 0, "hello"), ERR_OK);
	assert_string_equal(ask_spawned, "");
	assert_int_equal(ask(SUPERVISOR_OP_SPAWN, 0, "fs"), ERR_NOT_FOUND);
	ask_spawn_error = ERR_NO_MEMORY;
	assert_int_equal(ask(SUPERVISOR_OP_SPAWN, 0, "hello"), ERR_NO_MEMORY);
	assert_int_equal(ask(SUPERVISOR_OP_STOP, 77, ""), ERR_OK);
	assert_int_equal(ask(SUPERVISOR_OP_STOP, 78, ""), ERR_NOT_FOUND);
	char huge[NAME_SIZE + 2 + JOB_ARGUMENT_SIZE];
	memset(huge, 'h', sizeof huge);
	r = ask_make(SUPERVISOR_OP_SPAWN, 0, huge, sizeof huge);
	ask_answer_count = 0;
	requests_server.request(&r);
	assert_int_equal(ask_answers[0].status, ERR_NOT_FOUND);
}

static void test_requests_wait(void **state)
{
	(void)state;
	struct server_request first = ask_make(SUPERVISOR_OP_WAIT, 77, "", 0), second = first, other = first;
	other.channel = (struct server_channel *)(uintptr_t)CHANNEL_PEER(0, 1, 1);
	requests_server.request(&first);
	requests_server.request(&second);
	requests_server.request(&other);
	assert_int_equal(ask_answer_count, 0);
	requests_answer_waiters();
	assert_int_equal(ask_answer_count, 0);
	requests_server.closing(other.channel); // its client has gone
	assert_int_equal(ask_answer_count, 1);
	assert_ptr_equal(ask_answers[0].request, &other);
	struct server_request taken_back = ask_make(SUPERVISOR_OP_WAIT, 77, "", 0);
	requests_server.request(&taken_back);
	requests_server.cancelled(&taken_back);
	assert_int_equal(ask_answer_count, 2);
	assert_int_equal(ask_answers[1].status, ERR_CANCELLED);
	requests_server.cancelled(&taken_back); // another that does not wait
	assert_int_equal(ask_answer_count, 2);
	ask_answer_count = 1;
	ask_job_state = JOB_ENDED;
	requests_answer_waiters();
	assert_int_equal(ask_answer_count, 3);
	assert_int_equal(ask_answers[1].result[0], 5);
	assert_int_equal(ask_answers[1].result[1], FAULT_EXIT);
	requests_answer_waiters();
	assert_int_equal(ask_answer_count, 3);
	assert_int_equal(ask(SUPERVISOR_OP_WAIT, 77, ""), ERR_OK); // late: answered at once
	assert_int_equal(ask(SUPERVISOR_OP_WAIT, 1, ""), ERR_NOT_FOUND);
}

static void test_requests_read(void **state)
{
	(void)state;
	struct supervisor_restart times;
	assert_int_equal(ask(SUPERVISOR_OP_ARGUMENT, 0, ""), ERR_OK);
	assert_int_equal(ask_answers[0].result[0], 3);
	assert_memory_equal(ask_in, "a b", 3);
	assert_int_equal(ask(SUPERVISOR_OP_TIMES, 0, ""), ERR_OK);
	assert_true(ask_answers[0].result[0] == 1 && ask_answers[0].result[1] == 11);
	memcpy(&times, ask_in, sizeof times);
	assert_int_equal(times.epoch, 3);
	assert_int_equal(ask(SUPERVISOR_OP_MEMORY, 1, ""), ERR_OK);
	assert_true(ask_answers[0].result[0] == 101 && ask_answers[0].result[2] == 3);
	assert_int_equal(ask(SUPERVISOR_OP_MEMORY, 2, ""), ERR_INVALID);
	uint64_t before = crash_log_end();
	crash_log_line("storm begins");
	assert_int_equal(ask(SUPERVISOR_OP_LOG, before, ""), ERR_OK);
	assert_int_equal(ask_answers[0].result[0], 13);
	assert_int_equal(ask_answers[0].result[1], before + 13);
	assert_memory_equal(ask_in, "storm begins\n", 13);
}

static enum error ask_of(uint16_t op, uint64_t a, uint64_t b, uint64_t job, const char *name, uint32_t room)
{
	struct server_request r = ask_make(op, a, name, (uint32_t)strlen(name));
	r.copy.arg[1] = b;
	r.copy.arg[2] = job;
	r.copy.in_length = room;
	ask_answer_count = 0;
	ask_done[0] = 0;
	memset(ask_in, 0, sizeof ask_in);
	requests_server.request(&r);
	assert_int_equal(ask_answer_count, 1);
	return ask_answers[0].status;
}

static void test_requests_segment(void **state)
{
	(void)state;
	static const uint8_t boot_image[] = "0123456abcdefghijklm";
	const uint64_t *result = ask_answers[0].result;
	ask_image.base = boot_image;
	strcpy(ask_service[0].image, "fs");
	ask_record[0].stack_pages = 3;
	assert_int_equal(ask_of(SUPERVISOR_OP_SEGMENT, 0, 2, 0, "fs", 4), ERR_OK);
	assert_true(result[0] == GPA_IMAGE && result[1] == 2 * PAGE_SIZE && result[2] == (PROT_READ | PROT_EXEC));
	assert_int_equal(result[3], 4);
	assert_string_equal((char *)ask_in, "cdef");
	assert_int_equal(ask_of(SUPERVISOR_OP_SEGMENT, 0, 8, 0, "fs", 100), ERR_OK);
	assert_int_equal(result[3], 2);
	assert_string_equal((char *)ask_in, "ij");
	assert_int_equal(ask_of(SUPERVISOR_OP_SEGMENT, 0, ~0ull, 0, "fs", 100), ERR_OK);
	assert_int_equal(result[3], 0);
	assert_int_equal(ask_of(SUPERVISOR_OP_SEGMENT, 1, 0, 0, "fs", 100), ERR_OK); // the stack
	assert_true(result[0] == GPA_STACK_TOP - 3 * PAGE_SIZE && result[1] == 3 * PAGE_SIZE && result[3] == 0);
	assert_int_equal(ask_of(SUPERVISOR_OP_SEGMENT, 2, 0, 0, "fs", 100), ERR_NOT_FOUND);
	assert_int_equal(ask_of(SUPERVISOR_OP_SEGMENT, 0, 0, 0, "nobody", 100), ERR_NOT_FOUND);
	assert_int_equal(ask_of(SUPERVISOR_OP_SEGMENT, 0, 0, 78, "fs", 100), ERR_NOT_FOUND); // no such job
}

// Read, then recorded, then done: a supervisor that damages itself must not do so again when it is replayed.
static void test_requests_poke(void **state)
{
	(void)state;
	ask_service[0].domain.handle = 5;
	ask_service[2].domain.handle = 6;
	assert_int_equal(ask_of(SUPERVISOR_OP_POKE, 0x200008, 0x10, 0, "fs", 0), ERR_OK);
	assert_string_equal(ask_done, "look record poke");
	assert_true(ask_poked[0] == 5 && ask_poked[1] == 0x200008 && ask_poked[2] == 0x10);
	assert_int_equal(ask_answers[0].result[0], 0xabc);
	assert_int_equal(ask_of(SUPERVISOR_OP_POKE, 7, 1, 77, "", 0), ERR_OK); // a job
	assert_true(ask_poked[0] == 6 && ask_poked[1] == 7);
	assert_int_equal(ask_of(SUPERVISOR_OP_POKE, 13, 1, 0, "fs", 0), ERR_INVALID); // not a place of its own
	assert_string_equal(ask_done, "look ");
	assert_int_equal(ask_of(SUPERVISOR_OP_POKE, 7, 1, 0, "nobody", 0), ERR_NOT_FOUND);
	ask_service[0].phase = PHASE_HELD;
	assert_int_equal(ask_of(SUPERVISOR_OP_POKE, 7, 1, 0, "fs", 0), ERR_STATE);
	assert_string_equal(ask_done, "");
}

static struct {
	char name[NAME_SIZE];
	struct supervisor_poke pokes[SUPERVISOR_POKES + 1];
} ask_volley;

static enum error ask_pokes(uint16_t op, const char *name, uint64_t job, uint32_t length)
{
	static struct server_request r;
	memset(ask_volley.name, 0, NAME_SIZE);
	memcpy(ask_volley.name, name, strlen(name));
	r = ask_make(op, 0, (const char *)&ask_volley, length);
	r.copy.arg[2] = job;
	ask_answer_count = 0;
	ask_done[0] = 0;
	requests_server.request(&r);
	assert_int_equal(ask_answer_count, 1);
	return ask_answers[0].status;
}

// Recorded once, then done one after another; what is not the victim's own is left out.
static void test_requests_pokes(void **state)
{
	(void)state;
	ask_service[0].domain.handle = 5;
	ask_service[2].domain.handle = 6;
	ask_volley.pokes[0] = (struct supervisor_poke){8, 1};
	ask_volley.pokes[1] = (struct supervisor_poke){13, 1}; // not a place of its own
	ask_volley.pokes[2] = (struct supervisor_poke){24, 2};
	assert_int_equal(ask_pokes(SUPERVISOR_OP_POKES, "fs", 0, NAME_SIZE + 3 * 16), ERR_OK);
	assert_string_equal(ask_done, "record pokepokepoke");
	assert_true(ask_poked[0] == 5 && ask_poked[1] == 24 && ask_poked[2] == 2);
	assert_int_equal(ask_committed, ask_records);
	ask_volley.pokes[1].place = 14; // its kernel is restoring it by now: the rest would be done to the next one
	assert_int_equal(ask_pokes(SUPERVISOR_OP_POKES, "fs", 0, NAME_SIZE + 3 * 16), ERR_OK);
	assert_string_equal(ask_done, "record pokepoke");
	assert_int_equal(ask_pokes(SUPERVISOR_OP_POKES, "", 77, NAME_SIZE + 16), ERR_OK); // a job
	assert_true(ask_poked[0] == 6 && ask_poked[1] == 8);
	assert_int_equal(ask_pokes(SUPERVISOR_OP_POKES, "fs", 0, NAME_SIZE), ERR_OK); // none
	assert_string_equal(ask_done, "record ");
}

static void test_requests_places(void **state)
{
	(void)state;
	const uint64_t *own = ask_answers[0].result;
	for (unsigned i = 0; i <= SUPERVISOR_POKES; i++)
		ask_volley.pokes[i] = (struct supervisor_poke){i % 4 == 1 ? 13 : 8, 7};
	assert_int_equal(ask_pokes(SUPERVISOR_OP_PLACES, "fs", 0, NAME_SIZE + SUPERVISOR_POKES * 16), ERR_OK);
	assert_true(own[0] == 0xdddddddddddddddd && own[1] == own[0] && own[2] == 0);
	assert_null(strstr(ask_done, "record"));
	assert_null(strstr(ask_done, "poke")); // only looked at
	ask_volley.pokes[1].place = 14;
	assert_int_equal(ask_pokes(SUPERVISOR_OP_PLACES, "fs", 0, NAME_SIZE + 3 * 16), ERR_STATE);
}

static void test_requests_pokes_refused(void **state)
{
	(void)state;
	static const uint16_t ops[] = {SUPERVISOR_OP_POKES, SUPERVISOR_OP_PLACES};
	static const uint32_t bad[] = {0, NAME_SIZE - 1, NAME_SIZE + 15, NAME_SIZE + (SUPERVISOR_POKES + 1) * 16, ~0u};
	for (unsigned op = 0; op < 2; op++) {
		ask_service[0].phase = PHASE_UP;
		for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
			assert_int_equal(ask_pokes(ops[op], "fs", 0, bad[i]), ERR_INVALID);
		assert_int_equal(ask_pokes(ops[op], "nobody", 0, NAME_SIZE + 16), ERR_NOT_FOUND);
		assert_int_equal(ask_pokes(ops[op], "fs", 78, NAME_SIZE + 16), ERR_NOT_FOUND);
		ask_service[0].phase = PHASE_HELD;
		assert_int_equal(ask_pokes(ops[op], "fs", 0, NAME_SIZE + 16), ERR_STATE);
		assert_string_equal(ask_done, "");
	}
}

// Room that the client gives is a bound, whatever it is.
static void test_requests_small_room(void **state)
{
	(void)state;
	static const uint16_t ops[] = {SUPERVISOR_OP_SERVICE, SUPERVISOR_OP_ARGUMENT, SUPERVISOR_OP_LOG,
				       SUPERVISOR_OP_TIMES};
	uint8_t in[1];
	crash_log_line("something");
	for (unsigned i = 0; i < 4; i++) {
		struct server_request r = ask_make(ops[i], 0, "", 0);
		r.in = in;
		r.copy.in_length = 1;
		ask_answer_count = 0;
		requests_server.request(&r);
		assert_int_equal(ask_answer_count, 1);
	}
}

static void test_requests_power(void **state)
{
	(void)state;
	assert_int_equal(ask(SUPERVISOR_OP_POWER, 0, ""), ERR_OK);
	assert_string_equal(ask_done, "record off");
	assert_int_equal(ask(SUPERVISOR_OP_POWER, 1, ""), ERR_OK);
	assert_int_equal(ask(SUPERVISOR_OP_POWER, 2, ""), ERR_INVALID);
}

static void test_requests_replayed(void **state)
{
	(void)state;
	struct server_request r = ask_make(SUPERVISOR_OP_KILL, 0, "fs", 2);
	r.replayed = true;
	r.former.status = ERR_OK;
	r.former.result[0] = 9;
	ask_done[0] = 0;
	requests_server.request(&r);
	assert_string_equal(ask_done, "record "); // not killed again
	assert_int_equal(ask_answers[0].result[0], 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_requests_list, ask_setup),
		cmocka_unit_test_setup(test_requests_kill_and_restart, ask_setup),
		cmocka_unit_test_setup(test_requests_cores, ask_setup),
		cmocka_unit_test_setup(test_requests_jobs, ask_setup),
		cmocka_unit_test_setup(test_requests_wait, ask_setup),
		cmocka_unit_test_setup(test_requests_read, ask_setup),
		cmocka_unit_test_setup(test_requests_segment, ask_setup),
		cmocka_unit_test_setup(test_requests_poke, ask_setup),
		cmocka_unit_test_setup(test_requests_pokes, ask_setup),
		cmocka_unit_test_setup(test_requests_places, ask_setup),
		cmocka_unit_test_setup(test_requests_pokes_refused, ask_setup),
		cmocka_unit_test_setup(test_requests_small_room, ask_setup),
		cmocka_unit_test_setup(test_requests_power, ask_setup),
		cmocka_unit_test_setup(test_requests_replayed, ask_setup),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
