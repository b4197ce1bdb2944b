// See world.h.
#include "world.h"
#include "runtime/endpoint.h"
#include "runtime/fiber.h"
#include "runtime/machine.h"
#include "runtime/runtime.h"

struct world world;
void (*world_turn)(bool may_sleep);
void (*world_nap)(bool may_sleep);
void (*world_meet)(void);
jmp_buf world_exit;
bool world_exit_armed;
int world_exit_code;
char world_log[256];
static uint32_t random_state = 1;
static volatile uint32_t doorbells[CHANNEL_MAX];
static unsigned depth;
static struct loop_listener *listeners;
static struct loop_source *sources[IDENTITY_MAX + 1];
static bool rung[IDENTITY_MAX + 1];
struct loop_nap loop_naps;
void (*loop_server_event)(unsigned kind, unsigned slot);
uint64_t (*loop_served)(void);

void world_make(unsigned slots, uint64_t out_bytes, uint64_t in_bytes)
{
	world_free();
	memset(&world, 0, sizeof(world));
	assert_int_equal(channel_layout(&world.geometry, slots, out_bytes, in_bytes), 1);
	world.memory = aligned_alloc(PAGE_SIZE, world.geometry.bytes);
	memset(world.memory, 0, world.geometry.bytes);
	world.client_state = world.server_state = CHANNEL_OPEN;
	world.exists = true;
	world.epoch = 1;
	world.time = 1000;
	strcpy(world.name, "ledger");
	strcpy(world.manifest.uses[0], "ledger");
	world.manifest.uses_count = 1;
	for (unsigned i = 0; i < 2; i++)
		world.info[i] = (struct info_page){.core_count = 2, .timebase = 1000000, .running_domain = ~0u};
	struct info_service *s = &world.info[1].services[2];
	strcpy(s->name, "ledger");
	s->state = SERVICE_UP;
	world_turn = world_nap = 0;
	depth = 0;
	listeners = 0;
	memset(sources, 0, sizeof(sources));
	memset(rung, 0, sizeof(rung));
	world_doorbell_clear();
	loop_naps = (struct loop_nap){0};
	loop_server_event = 0;
}

void world_free(void)
{
	free(world.memory);
	world.memory = 0;
}

int world_teardown(void **state)
{
	(void)state;
	world_free();
	return 0;
}

void world_seed(uint32_t seed)
{
	random_state = seed * 2654435761u + 1;
}

uint32_t world_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

// --- kernel

static struct kernel_result channel_info(uint64_t slot)
{
	struct kernel_result r = {.error = ERR_OK};
	bool server = slot == WORLD_SERVER;
	if (!world.exists || (slot != WORLD_SERVER && slot != WORLD_CLIENT)) {
		r.error = ERR_HANDLE;
		return r;
	}
	enum channel_state state = server ? world.server_state : world.client_state;
	if (state == CHANNEL_FREE) {
		r.error = ERR_HANDLE;
		return r;
	}
	r.value[0] = (server ? CHANNEL_ROLE_SERVER : CHANNEL_ROLE_CLIENT) | (uint64_t)state << 1 | world.priority << 8 |
		     (world.no_page ? 0 : CHANNEL_HAS_DOORBELL_PAGE);
	r.value[1] = (uint64_t)world.geometry.slots << 32 | (server ? 20 | 10 << 16 : 10 | 20 << 16);
	r.value[2] = world.geometry.out_bytes;
	r.value[3] = world.geometry.in_bytes;
	r.value[4] = CHANNEL_PEER(world.near ? 0 : 1, server ? 7 : 9, world.epoch);
	return r;
}

static struct kernel_result grant_lend(uint64_t place, uint64_t at, uint64_t how)
{
	struct world_grant *g = &world.grants[place % GRANT_PLACES];
	assert_int_equal(at % PAGE_SIZE, 0);
	if (g->state != WORLD_GRANT_NONE)
		return (struct kernel_result){.error = ERR_STATE};
	if (world.unlendable || how >> 8 == 0)
		return (struct kernel_result){.error = ERR_INVALID};
	*g = (struct world_grant){g->handle / GRANT_PLACES * GRANT_PLACES + GRANT_PLACES + (uint32_t)place, WORLD_GRANT_LENT,
				  (void *)(uintptr_t)at, (how >> 8) * PAGE_SIZE, how & 0xff};
	return (struct kernel_result){.error = ERR_OK, .value = {g->handle}};
}

// Of the server.
static struct kernel_result grant_change(bool take, uint64_t handle)
{
	struct world_grant *g = &world.grants[handle % GRANT_PLACES];
	if (g->handle != handle || g->state == WORLD_GRANT_NONE || (world.unheard > 0 && world.unheard--))
		return (struct kernel_result){.error = ERR_HANDLE};
	if (take && g->state >= WORLD_GRANT_TAKEN)
		return (struct kernel_result){.error = g->state == WORLD_GRANT_TAKEN ? ERR_STATE : ERR_LOST};
	g->state = take ? WORLD_GRANT_TAKEN : WORLD_GRANT_NONE;
	world.grants_ended += !take;
	return (struct kernel_result){.error = ERR_OK, .value = {(uintptr_t)g->at, g->bytes, g->prot}};
}

static struct kernel_result grant_recall(uint64_t handle)
{
	struct world_grant *g = &world.grants[handle % GRANT_PLACES];
	world.recalls++;
	if (g->handle != handle)
		return (struct kernel_result){.error = ERR_HANDLE};
	if (world.fenced)
		return (struct kernel_result){.error = ERR_PEER_LOST};
	if (world.recalls_late > 0 && g->state == WORLD_GRANT_TAKEN && world.recalls_late--)
		return (struct kernel_result){.error = ERR_AGAIN};
	if (g->state != WORLD_GRANT_NONE)
		g->state = g->state == WORLD_GRANT_LENT ? WORLD_GRANT_NONE : WORLD_GRANT_RETURNED;
	return (struct kernel_result){.error = ERR_OK};
}

struct kernel_result kernel_call(enum call number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
				 uint64_t a5)
{
	struct kernel_result r = {.error = ERR_OK};
	(void)a3, (void)a4, (void)a5;
	switch (number) {
	case CALL_channel_info:
		return channel_info(a0);
	case CALL_channel_name:
		memcpy(r.value, world.name, NAME_SIZE);
		r.value[2] = WORLD_MEMORY;
		r.value[3] = WORLD_KEY;
		r.value[4] = a0 == WORLD_SERVER ? WORLD_SECRET : 0;
		break;
	case CALL_device_info:
		r.error = ERR_NOT_FOUND;
		break;
	case CALL_doorbell:
		world.rings_by_kernel++;
		break;
	case CALL_channel_open:
		r.error = world.open_error;
		r.value[0] = WORLD_CLIENT;
		world.exists = world.exists || r.error == ERR_OK;
		world.opened++;
		break;
	case CALL_channel_accept:
		world.server_state = CHANNEL_OPEN;
		world.accepted++;
		break;
	case CALL_channel_refuse:
		world.refused++;
		break;
	case CALL_channel_close:
		if (a0 == WORLD_SERVER)
			world.closed_server++, world.server_state = CHANNEL_FREE;
		else
			world.closed_client++, world.client_state = CHANNEL_FREE;
		break;
	case CALL_channel_complain:
		assert_true(a1 < 4);
		if (world.deaf) {
			r.error = ERR_INVALID;
			break;
		}
		world.complaints[a1]++;
		if (a1 == COMPLAINT_NO_ANSWER && world.no_evidence)
			r.error = ERR_INVALID;
		break;
	case CALL_grant_lend:
		assert_int_equal((uint32_t)a0, WORLD_CLIENT);
		return grant_lend(a0 >> 32, a1, a2);
	case CALL_memory_free:
		world.blocks_freed++;
		if (a0 == (uintptr_t)world.block) {
			free(world.block);
			world.block = 0;
			world.heap_blocks--;
		}
		break;
	case CALL_grant_recall:
		assert_int_equal(a0, WORLD_CLIENT);
		return grant_recall(a1);
	case CALL_grant_take:
	case CALL_grant_end:
		assert_int_equal(a0, WORLD_SERVER);
		return grant_change(number == CALL_grant_take, a1);
	case CALL_ready:
		world.ready++;
		break;
	case CALL_memory_alloc:
		world.block = aligned_alloc(PAGE_SIZE, (a0 + (a1 ? a0 / a1 : 0)) * PAGE_SIZE); // pieces, with a page behind each
		r.value[0] = (uintptr_t)world.block;
		world.heap_blocks++;
		break;
	case CALL_memory_physical:
		r.value[0] = a0 + WORLD_PHYSICAL;
		break;
	default:
		fail_msg("kernel call %d is not faked", (int)number);
	}
	return r;
}

struct kernel_short kernel_call_short(enum call number, uint64_t a0, uint64_t a1, uint64_t a2)
{
	struct kernel_result r = kernel_call(number, a0, a1, a2, 0, 0, 0);
	return (struct kernel_short){r.error, r.value[0]};
}

enum error endpoint_open(struct endpoint *endpoint, const char *service)
{
	assert_string_equal(service, world.name);
	*endpoint = (struct endpoint){.door = world.door_error ? 0 : 77};
	world.doors += world.door_error == ERR_OK;
	return world.door_error;
}

void endpoint_close(struct endpoint *endpoint)
{
	assert_int_equal(endpoint->door, 77);
	world.doors--;
}

struct endpoint_result endpoint_trap_0(enum call number, uint64_t first)
{
	assert_int_equal(number, CALL_endpoint_call);
	assert_int_equal(first, 77);
	world.meetings++;
	if (world.meet_error == ERR_OK && world_meet)
		world_meet();
	return (struct endpoint_result){world.meet_error, 1};
}

void endpoint_serve_rings(void)
{
	world.serves_rings++;
}

void endpoint_loop_turned(void)
{
}

uint8_t *machine_channel(unsigned slot)
{
	assert_true(slot == WORLD_CLIENT || slot == WORLD_SERVER);
	assert_true(world.geometry.bytes > 0); // a notification has no memory
	return world.memory;
}

void world_doorbell_clear(void)
{
	for (unsigned i = 0; i < CHANNEL_MAX; i++)
		doorbells[i] = 0;
}

volatile uint32_t *machine_doorbell(unsigned slot)
{
	return &doorbells[slot];
}

const struct info_page *machine_info(unsigned core)
{
	assert_true(core < 2);
	return &world.info[core];
}

// --- the parts of the runtime that need a machine

uint64_t time_now(void)
{
	return ++world.time;
}

uint64_t time_ticks_from_us(uint64_t us)
{
	return us;
}

uint64_t time_us_from_ticks(uint64_t ticks)
{
	return ticks;
}

unsigned self_core(void)
{
	return 0;
}

unsigned self_domain(void)
{
	return 9;
}

uint32_t self_epoch(void)
{
	return world.epoch;
}

const struct manifest_service *self_manifest(void)
{
	return &world.manifest;
}

bool info_find_service(const char *name, unsigned *core, struct info_service *found)
{
	for (unsigned i = 0; i < INFO_SERVICE_MAX; i++) {
		const struct info_service *s = &world.info[1].services[i];
		if (s->state == SERVICE_NONE || strncmp(s->name, name, NAME_SIZE))
			continue;
		if (core)
			*core = 1;
		*found = *s;
		return s->state == SERVICE_UP;
	}
	return false;
}

void log_line(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(world_log, sizeof(world_log), format, arguments);
	va_end(arguments);
}

_Noreturn void domain_exit(int code)
{
	assert_true(world_exit_armed);
	world_exit_code = code;
	longjmp(world_exit, 1);
}

_Noreturn void domain_panic(const char *file, int line, const char *what)
{
	if (!world_exit_armed)
		fail_msg("%s:%d: %s", file, line, what);
	world_exit_code = -1;
	longjmp(world_exit, 1);
}

// --- loop: a turn of it is what the test says

void loop_enter(void)
{
	depth++;
}

void loop_leave(void)
{
	depth--;
}

bool loop_running(void)
{
	return depth != 0;
}

void loop_listener_add(struct loop_listener *listener)
{
	struct loop_listener **at = &listeners;
	while (*at && *at != listener)
		at = &(*at)->next;
	*at = listener;
}

void world_state_changed(unsigned slot)
{
	loop_enter();
	for (struct loop_listener *listener = listeners; listener; listener = listener->next)
		listener->state_changed(slot);
	loop_leave();
}

void loop_source_add(struct loop_source *source)
{
	assert_null(sources[source->identity]);
	sources[source->identity] = source;
	rung[source->identity] = true;
}

void loop_source_remove(struct loop_source *source)
{
	assert_ptr_equal(sources[source->identity], source);
	sources[source->identity] = 0;
}

bool loop_take(unsigned identity)
{
	bool was = rung[identity];
	rung[identity] = false;
	return was;
}

void world_ring(unsigned identity)
{
	rung[identity] = true;
}

void world_notify(void)
{
	loop_enter();
	for (unsigned i = 1; i <= IDENTITY_MAX; i++)
		if (loop_take(i) && sources[i])
			sources[i]->notify(sources[i]);
	loop_leave();
}

void loop_ring_add(struct loop_ring *ring)
{
	(void)ring;
}

void loop_ring_remove(struct loop_ring *ring)
{
	(void)ring;
}

bool loop_poll(void)
{
	loop_lower();
	return false;
}

void loop_sleep(void)
{
	loop_turn(true);
}

void loop_sleep_first(void)
{
	loop_sleep();
}

void loop_lower(void)
{
	loop_naps_end();
}

void loop_doze(uint64_t awaited)
{
	(void)awaited;
	assert_non_null(world_turn);
	world_turn(true);
}

void loop_turn_to_doze(uint64_t awaited)
{
	loop_doze(awaited);
}

void loop_nap_ended(unsigned claimed)
{
	world.nap_ended = claimed;
	loop_naps_end();
}

void wait_for_interrupt(void)
{
	assert_non_null(world_turn);
	(world_nap ? world_nap : world_turn)(true);
}

unsigned interrupt_claim(void)
{
	return world.claim;
}

uint64_t time_read(void)
{
	return time_now();
}

void loop_turn(bool may_sleep)
{
	assert_non_null(world_turn);
	world_turn(may_sleep);
}
