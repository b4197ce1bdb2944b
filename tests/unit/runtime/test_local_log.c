// The log of a component whose client is in its own domain: each death is the end of a process, and what outlives it is shared memory: the
// vault, the component's disk, and what the client was told.
#include "world.h"
#include "runtime/component.h"
#include "runtime/local_channel.h"
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OP_NONE, OP_APPEND, OP_COUNT, OP_FAIL, OPS };
static const struct op_description ops[OPS] = {
	[OP_APPEND] = {"APPEND", "", OP_ONCE}, [OP_COUNT] = {"COUNT", "", OP_IDEMPOTENT}, [OP_FAIL] = {"FAIL", "", OP_ONCE}};
static const struct protocol protocol = {"test", ops, OPS};

#define VAULT_BYTES 0x8000u
#define VALUES_MAX 256u
#define APPENDS 12u // more than there are slots
#define SLOTS 8u
#define PAYLOAD(value) ((value) % 50 + 8)

struct values {
	unsigned count;
	uint32_t value[VALUES_MAX];
};

static struct {
	struct values disk;
	uint64_t mark; // of it
	bool vault;    // there is one
	unsigned asked; // values that the client has asked for
	struct values told; // of them, acknowledged
	unsigned passages, death; // the passage that is the last one; 0: none
	unsigned incarnations, replays;
} *outside;
static uint8_t *vault;

static struct values memory; // what the component knows
static bool commit_due;

static void may_die(void)
{
	if (++outside->passages == outside->death)
		_exit(1);
}

// --- the component

static enum error starts(uint64_t *mark)
{
	may_die();
	memory = outside->disk;
	*mark = outside->mark;
	return ERR_OK;
}

static void commit(void)
{
	uint64_t mark = server_serial_last();
	commit_due = false;
	may_die();
	outside->disk = memory; // and the mark in one transaction
	outside->mark = mark;
	may_die();
	server_committed(mark);
	may_die();
}

static void wants_commit(void)
{
	assert_true(loop_running());
	commit_due = true;
}

static bool payload_fits(const uint8_t *out, uint32_t value)
{
	for (uint32_t i = 0; i < PAYLOAD(value); i++)
		if (out[i] != (uint8_t)(value * 7 + i))
			return false;
	return true;
}

static void append(struct server_request *request)
{
	uint32_t value = (uint32_t)request->copy.arg[0];
	uint64_t result[5] = {memory.count};
	assert_int_equal(request->copy.out_length, PAYLOAD(value));
	assert_true(payload_fits(request->out, value));
	if (request->replayed)
		assert_int_equal(request->former.result[0], memory.count); // the same place in each life
	outside->replays += request->replayed;
	memory.value[memory.count++] = value;
	may_die();
	server_record(request, result);
	may_die();
	server_complete(request, ERR_OK, result);
	may_die();
}

static void performs(struct server_request *request)
{
	if (request->copy.op == OP_APPEND)
		append(request);
	else if (request->copy.op == OP_COUNT)
		server_complete(request, ERR_OK, (uint64_t[5]){memory.count});
	else
		server_complete(request, ERR_NO_SPACE, 0);
}

static void closed(struct server_channel *channel)
{
	server_release(channel); // before all is durable
}

static const struct server log_server = {.protocol = &protocol,
					 .start = starts,
					 .request = performs,
					 .commit_wanted = wants_commit,
					 .replayed = may_die,
					 .closed = closed};
static const struct server host_server = {.protocol = &protocol};
COMPONENT(host, &host_server);
COMPONENT(log, &log_server);
COMPONENT(other, &log_server);

// --- a domain

static void turn(bool may_sleep)
{
	(void)may_sleep;
	if (commit_due)
		commit();
}

static struct client_options options = {.slots = SLOTS, .out_bytes = 64 * SLOTS, .in_bytes = 64 * SLOTS};

static void domain_begins(void)
{
	world_make(2, VAULT_BYTES, 0);
	free(world.memory);
	world.memory = vault;
	world.exists = outside->vault;
	world.epoch = ++outside->incarnations;
	strcpy(world.info[1].services[2].name, "supervisor");
	strcpy(world.name, "supervisor");
	memcpy(world.manifest.image, "host.log.other", 15);
	world.manifest.mates_count = 2;
	memcpy(world.manifest.mates, (char[2][NAME_SIZE]){"log0", "other0"}, 2 * NAME_SIZE);
	memcpy(world.manifest.mate_component, (uint8_t[]){1, 2}, 2);
	world_turn = turn;
	world_exit_armed = false;
}

// What was acknowledged is there, once, in its order; of the rest nothing is there twice.
static void acknowledged_is_there(void)
{
	unsigned at = 0;
	for (unsigned i = 0; i < memory.count; i++)
		at += at < outside->told.count && memory.value[i] == outside->told.value[at];
	assert_int_equal(at, outside->told.count);
	for (unsigned i = 1; i < memory.count; i++)
		assert_true(memory.value[i] > memory.value[i - 1]);
}

static void client_appends(struct client *client)
{
	uint8_t out[64];
	uint32_t value = ++outside->asked;
	for (uint32_t i = 0; i < PAYLOAD(value); i++)
		out[i] = (uint8_t)(value * 7 + i);
	struct client_request r = {.op = OP_APPEND, .arg = {value}, .out = out, .out_length = PAYLOAD(value)};
	assert_int_equal(client_call(client, &r), ERR_OK);
	assert_int_equal(r.completion.result[0], memory.count - 1);
	outside->told.value[outside->told.count++] = value;
	r = (struct client_request){.op = OP_FAIL};
	assert_int_equal(client_call(client, &r), ERR_NO_SPACE);
	r.op = OP_COUNT;
	assert_int_equal(client_call(client, &r), ERR_OK);
	assert_int_equal(r.completion.result[0], memory.count);
}

static void life(void)
{
	struct client *client;
	domain_begins();
	outside->vault = true;
	assert_int_equal(client_open(&client, "log0", &options), ERR_OK);
	acknowledged_is_there();
	strcpy(client_session(client), "kept");
	while (outside->told.count < APPENDS)
		client_appends(client);
	acknowledged_is_there();
}

// True: it went to its end.
static bool live(void (*what)(void), unsigned death)
{
	int status;
	outside->passages = 0;
	outside->death = death;
	pid_t child = fork();
	if (child == 0) {
		what();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
	return WEXITSTATUS(status) == 0;
}

static void outside_begins(void)
{
	if (!outside) {
		outside = mmap(0, 0x2000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		vault = mmap(0, 0x10000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		assert_true(outside != MAP_FAILED && vault != MAP_FAILED);
	}
	memset(outside, 0, sizeof(*outside));
	memset(vault, 0, 0x10000);
}

// At each passage of each place, and then in the recovery.
static void death_at_each_passage(void **state)
{
	(void)state;
	static const unsigned seconds[] = {0, 1, 2, 3, 5, 8, 13, 21};
	const unsigned count = sizeof(seconds) / sizeof(seconds[0]), step = getenv("FULL") ? 1 : count; // a process is dear under ASan
	bool ended = false;
	unsigned deaths = 0, replays = 0;
	for (unsigned first = 1; !ended; first++) {
		for (unsigned i = first % step; i < count; i += step) {
			outside_begins();
			ended = live(life, first);
			deaths += !ended;
			if (seconds[i])
				deaths += !live(life, seconds[i]);
			assert_true(live(life, 0));
			replays += outside->replays;
		}
	}
	assert_true(deaths > 60 && replays > 60);
}

static void session_word(const struct server_channel *channel, const void *session)
{
	assert_string_equal(session, "kept");
	assert_int_equal(server_channel_slot(channel), WORLD_CLIENT);
}

static bool session_has(const struct server_channel *channel, const void *session, uint64_t word)
{
	session_word(channel, session);
	return word == 1;
}

static void first_life(void)
{
	life();
	assert_true(server_session_any(session_has, 1));
	assert_false(server_session_any(session_has, 2));
}

// The session and the slots of the former life are there; a client that goes leaves nothing behind once all is durable.
static void second_life(void)
{
	struct client *client;
	domain_begins();
	assert_int_equal(client_open(&client, "log0", &options), ERR_OK);
	assert_true(client_resumed(client));
	assert_int_equal(outside->replays, APPENDS - outside->disk.count);
	assert_string_equal(client_session(client), "kept");
	client_appends(client);
	client_close(client);
	struct client_options second = options; // it has no other vault to go to
	world.open_error = ERR_LIMIT;
	assert_int_equal(client_open(&client, "log0", &second), ERR_LIMIT);
	commit();
	assert_int_equal(client_open(&client, "log0", &second), ERR_OK);
	assert_false(client_resumed(client));
	assert_string_equal(client_session(client), "");
	client_appends(client);
}

static void third_life(void)
{
	struct client *client;
	outside->replays = 0;
	domain_begins();
	assert_int_equal(client_open(&client, "log0", &options), ERR_OK);
	assert_int_equal(outside->replays, 1);
	acknowledged_is_there();
}

static void a_log_ends_with_its_client(void **state)
{
	(void)state;
	outside_begins();
	assert_true(live(first_life, 0));
	assert_true(outside->disk.count > 0 && outside->disk.count < APPENDS);
	assert_true(live(second_life, 0));
	assert_true(live(third_life, 0));
}

static void spoilt_life(void)
{
	struct client *client;
	domain_begins();
	assert_int_equal(client_open(&client, "log0", &options), ERR_OK);
	assert_int_equal(memory.count, APPENDS - 1);
	assert_non_null(strstr(world_log, "the record is spoilt, it is left out"));
}

static void a_spoilt_record_is_left_out(void **state)
{
	(void)state;
	struct channel_geometry g, outer;
	outside_begins();
	assert_true(live(life, 0));
	channel_layout(&g, SLOTS, 64 * SLOTS, 64 * SLOTS);
	channel_layout(&outer, 2, VAULT_BYTES, 0);
	struct completion *record = (struct completion *)(void *)(vault + outer.out + g.records), *last = record;
	for (unsigned i = 0; i < SLOTS; i++)
		if (record[i].serial > last->serial)
			last = &record[i];
	last->result[0] ^= 1;
	assert_true(live(spoilt_life, 0));
}

static void what_is_refused(void **state)
{
	(void)state;
	struct client *client;
	outside_begins();
	domain_begins();
	world.manifest.flags = SERVICE_FLAG_APP;
	assert_int_equal(client_open(&client, "log0", &options), ERR_UNSUPPORTED);
	assert_non_null(strstr(world_log, "log cannot be in the domain of an app"));
	world.manifest.flags = 0;
	assert_int_equal(client_open(&client, "log0", &(struct client_options){.slots = 2, .raw = true}), ERR_UNSUPPORTED);
	assert_non_null(strstr(world_log, "log cannot take payload from where its client has it"));
	assert_int_equal(client_open(&client, "log0", &options), ERR_OK);
	assert_int_equal(client_open(&client, "other0", &options), ERR_UNSUPPORTED);
	assert_non_null(strstr(world_log, "other cannot be in this domain beside log: both have operations that are logged"));
	client_close(client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(death_at_each_passage),
		cmocka_unit_test(a_log_ends_with_its_client),
		cmocka_unit_test(a_spoilt_record_is_left_out),
		cmocka_unit_test(what_is_refused), // last: it opens in this process
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
